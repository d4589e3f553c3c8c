//! The current operation: the client frame that is being worked on, from its first check to its answer.
//!
//! A message goes: checks here, then the supervisor's rate, then the store, which records it, makes its run and grants the
//! thread in one transaction. Changes of threads go the same way. Refusals are told and leave nothing behind.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::run::{Run, RunPhase};
use super::{Drain, Effect, Engine, Now, RunInput, StartRun, Stop};
use crate::ids::{MessageId, RequestId, RunId, SessionId, ThreadId};
use crate::infra::journal::{Accept, Idempotency, StoreCommand, StoreReply};
use crate::protocol::CloseCode;
use crate::protocol::client::{ClientFrame, Command, OnBusy, Say, ThreadTarget};
use crate::protocol::server::{AcceptStatus, Control, ErrorCode, RunState, StoppedBy};

/// How long a thread's name is that is made from its first message, in characters.
const MADE_NAME_CHARS: usize = 60;

/// A frame with the ids that it may need: the engine makes none itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Arrived {
    /// The frame.
    pub frame: ClientFrame,
    /// Ids that no one else has.
    pub fresh: Fresh,
}

/// Ids that no one else has, minted by the actor for one frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fresh {
    /// For a thread.
    pub thread: ThreadId,
    /// For a run.
    pub run: RunId,
    /// For the request.
    pub request: RequestId,
    /// For a frame that has no id.
    pub message: MessageId,
    /// For the answer.
    pub answer: MessageId,
}

/// What the supervisor says about a user's rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rating {
    /// Go on.
    Within,
    /// Too many; the next is welcome after this.
    Beyond {
        /// How long.
        retry_after: Duration,
    },
}

/// The frame being worked on.
#[derive(Debug)]
pub(super) struct Op {
    message_id: MessageId,
    digest: [u8; 32],
    fresh: Fresh,
    thread: ThreadId,
    work: Work,
    stage: Stage,
    /// When it gives up waiting for another session; set once, when it begins to.
    yield_until: Option<Instant>,
}

#[derive(Debug)]
enum Work {
    Say {
        say: Say,
        agent: Arc<str>,
        /// The name under which the thread may be made.
        create: Option<String>,
    },
    Create {
        name: String,
    },
    Switch,
    Rename {
        name: String,
    },
    Delete,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The supervisor is asked.
    Rating,
    /// Own runs of the thread are ending.
    Emptying,
    /// The store is asked.
    Storing { start: bool },
    /// Another session is asked to yield the thread; the store is asked again when it has.
    Yielding,
}

impl Engine {
    /// Begins a frame. Where it needs an answer, it becomes the current operation.
    pub(super) fn begin(&mut self, arrived: Arrived, now: Now, fx: &mut Vec<Effect>) {
        let Arrived { frame, fresh } = arrived;
        let digest = frame.command.digest();
        let reply_to = frame.message_id;
        let about = frame.thread_id;
        let thread = about.unwrap_or(self.current);
        let work = match frame.command {
            Command::Say(say) => return self.begin_say(say, digest, reply_to, fresh, fx),
            Command::Stop { run_id, reason } => {
                return self.begin_stop(run_id, about, reason, reply_to, now, fx);
            }
            Command::Steer { run_id, .. } => {
                return fx.push(match self.runs.get(&run_id) {
                    Some(run) => refusal(
                        ErrorCode::Forbidden,
                        format!("the agent {} takes no steering; stop it or wait for its end", run.agent),
                        reply_to,
                    ),
                    None => refusal(ErrorCode::NotFound, "no such run is active in this session", reply_to),
                });
            }
            Command::DecideTool { .. } => {
                let message = "no such tool call waits for a decision";
                return fx.push(refusal(ErrorCode::NotFound, message, reply_to));
            }
            Command::ListThreads(page) => {
                return fx.push(Effect::List {
                    message_id: reply_to,
                    page,
                });
            }
            Command::GetThreadHistory(page) => {
                return fx.push(Effect::History {
                    message_id: reply_to,
                    thread,
                    page,
                });
            }
            Command::RefreshToken { token, ticket } => {
                return fx.push(Effect::Refresh {
                    message_id: reply_to,
                    token,
                    ticket,
                });
            }
            Command::CreateThread { name } => (
                fresh.thread,
                Work::Create {
                    name: name.unwrap_or_else(|| "New thread".to_owned()),
                },
            ),
            Command::SwitchThread { thread_id } => (thread_id, Work::Switch),
            Command::RenameThread { thread_id, name } => (thread_id.unwrap_or(thread), Work::Rename { name }),
            Command::DeleteThread { thread_id } => (thread_id, Work::Delete),
            // Answered on arrival; they never wait here.
            Command::Ack { .. } | Command::Ping { .. } | Command::Nothing => return,
        };
        self.rate(
            Op {
                message_id: reply_to.unwrap_or(fresh.message),
                digest,
                fresh,
                thread: work.0,
                work: work.1,
                stage: Stage::Rating,
                yield_until: None,
            },
            fx,
        );
    }

    fn begin_say(
        &mut self,
        say: Say,
        digest: [u8; 32],
        reply_to: Option<MessageId>,
        fresh: Fresh,
        fx: &mut Vec<Effect>,
    ) {
        if self.drain != Drain::No {
            let mut error = Self::error(
                ErrorCode::Overloaded,
                "the server is shutting down; resume in a moment",
                reply_to,
            );
            error.retryable = true;
            error.retry_after_ms = Some(1_000);
            return fx.push(Effect::Reply(Control::Error(error)));
        }
        let agent = say.agent.as_deref().unwrap_or(&self.rules.default_agent);
        if !self.rules.agents.contains(agent) {
            let mut error = Self::error(
                ErrorCode::InvalidPayload,
                "no such agent; GET /v1/agents lists them",
                reply_to,
            );
            error.details = Some(serde_json::json!({ "pointer": "/agent" }));
            return fx.push(Effect::Reply(Control::Error(error)));
        }
        if !say.references.is_empty() {
            let message = "no such document; leave `references` empty";
            return fx.push(refusal(ErrorCode::NotFound, message, reply_to));
        }
        let name = made_name(&say.content);
        let (thread, create) = match say.thread {
            ThreadTarget::Current => (self.current, Some(name)),
            ThreadTarget::New => (fresh.thread, Some(name)),
            ThreadTarget::Given(id) => (id, (id == self.current).then_some(name)),
        };
        let agent = Arc::from(agent);
        self.rate(
            Op {
                message_id: reply_to.unwrap_or(fresh.message),
                digest,
                fresh,
                thread,
                work: Work::Say { say, agent, create },
                stage: Stage::Rating,
                yield_until: None,
            },
            fx,
        );
    }

    fn begin_stop(
        &mut self,
        run: Option<RunId>,
        thread: Option<ThreadId>,
        reason: Option<String>,
        reply_to: Option<MessageId>,
        now: Now,
        fx: &mut Vec<Effect>,
    ) {
        let thread = match run {
            Some(_) => None,
            None => Some(thread.unwrap_or(self.current)),
        };
        let run_ids = self.matching(run, thread);
        if run.is_some() && run_ids.is_empty() {
            let message = "no such run is active in this session";
            return fx.push(refusal(ErrorCode::NotFound, message, reply_to));
        }
        fx.push(Effect::Reply(Control::StopAccepted {
            message_id: reply_to,
            run_ids,
        }));
        let stop = Stop {
            by: StoppedBy::User,
            reason: reason.unwrap_or_else(|| "stopped by the user".to_owned()),
            forget: false,
        };
        self.stop_matching(run, thread, &stop, now, fx);
    }

    fn rate(&mut self, op: Op, fx: &mut Vec<Effect>) {
        self.op = Some(op);
        fx.push(Effect::Rate);
    }

    pub(super) fn rated(&mut self, rating: Rating, now: Now, fx: &mut Vec<Effect>) {
        let Some(op) = self.op.take_if(|op| op.stage == Stage::Rating) else {
            return fx.push(Effect::Violation("a rating that nothing asked for"));
        };
        match rating {
            Rating::Within => {
                self.refused = 0;
                self.prepare(op, now, fx);
            }
            Rating::Beyond { retry_after } => {
                self.refused += 1;
                let mut error = Self::error(
                    ErrorCode::RateLimited,
                    "too many messages; slow down",
                    Some(op.message_id),
                );
                error.retryable = true;
                error.retry_after_ms = Some(u64::try_from(retry_after.as_millis()).unwrap_or(u64::MAX));
                fx.push(Effect::Reply(Control::Error(error)));
                if self.refused >= self.rules.limits.flood_messages {
                    // The rest of the flood goes with its socket, or it would close the next one.
                    self.inbox.clear();
                    fx.push(Effect::Close(CloseCode::RateLimit));
                }
            }
        }
        self.next_frames(now, fx);
    }

    /// Within the rate: what is left to check here, then the store.
    fn prepare(&mut self, mut op: Op, now: Now, fx: &mut Vec<Effect>) {
        let lane = self.lanes.get(&op.thread);
        let repeat = self.runs.values().any(|run| run.message_id == op.message_id);
        let start = match (&op.work, lane) {
            // The store knows the first answer. What a new message would be refused for does not concern a repeat.
            (Work::Say { .. }, Some(_)) if repeat => false,
            (Work::Say { say, .. }, Some(lane)) => {
                if say.on_busy == OnBusy::Reject {
                    let holder = lane.active.or(lane.queue.front().copied());
                    return fx.push(run_active(op.message_id, holder, false));
                }
                if lane.queue.len() >= self.rules.limits.queued_per_thread {
                    let mut error = Self::error(
                        ErrorCode::QueueFull,
                        format!(
                            "{} messages wait in this thread already; wait for an answer",
                            lane.queue.len()
                        ),
                        Some(op.message_id),
                    );
                    error.retryable = true;
                    return fx.push(Effect::Reply(Control::Error(error)));
                }
                false
            }
            (Work::Delete, Some(_)) => {
                op.stage = Stage::Emptying;
                let thread = op.thread;
                self.op = Some(op);
                self.stop_matching(None, Some(thread), &thread_deleted(), now, fx);
                return;
            }
            (Work::Say { .. }, None) => true,
            (Work::Create { .. } | Work::Switch | Work::Rename { .. } | Work::Delete, _) => false,
        };
        self.store(op, start, fx);
    }

    fn store(&mut self, mut op: Op, start: bool, fx: &mut Vec<Effect>) {
        op.stage = Stage::Storing { start };
        fx.push(Effect::Store(op.command(start)));
        self.op = Some(op);
    }

    pub(super) fn stored(&mut self, reply: StoreReply, now: Now, fx: &mut Vec<Effect>) {
        match self.op.take() {
            Some(op) => match op.stage {
                Stage::Storing { start } => self.settle_op(op, start, reply, now, fx),
                Stage::Rating | Stage::Emptying | Stage::Yielding => {
                    self.op = Some(op);
                    fx.push(Effect::Violation("an answer of the store that nothing asked for"));
                }
            },
            None => fx.push(Effect::Violation("an answer of the store that nothing asked for")),
        }
        self.next_frames(now, fx);
    }

    fn settle_op(&mut self, mut op: Op, start: bool, reply: StoreReply, now: Now, fx: &mut Vec<Effect>) {
        let id = op.message_id;
        match reply {
            StoreReply::Done { name } => self.done(op, start, name, now, fx),
            StoreReply::Duplicate { thread_id, name, run } => fx.push(op.repeated(thread_id, name, run)),
            StoreReply::Conflict => fx.push(refusal(
                ErrorCode::Conflict,
                "this message_id was used for something else; use a new one",
                Some(id),
            )),
            StoreReply::NotFound => fx.push(refusal(ErrorCode::NotFound, "no such thread", Some(id))),
            StoreReply::RunLimit => {
                let mut error = Self::error(
                    ErrorCode::RunLimit,
                    format!(
                        "{} runs are active already; wait for one to end",
                        self.rules.limits.runs_per_user
                    ),
                    Some(id),
                );
                error.retryable = true;
                fx.push(Effect::Reply(Control::Error(error)));
            }
            StoreReply::ThreadBusy { run_id, session_id } => match op.stop_of_holder() {
                Some(stop) if self.may_yield_until(&mut op, now) > now.mono => {
                    op.stage = Stage::Yielding;
                    fx.push(ask_yield(session_id, op.thread, run_id, stop));
                    self.op = Some(op);
                }
                Some(_) | None => fx.push(run_active(id, Some(run_id), true)),
            },
        }
    }

    /// When `op` gives up waiting for another session. Asking again wins it no time.
    fn may_yield_until(&self, op: &mut Op, now: Now) -> Instant {
        *op.yield_until.get_or_insert(now.mono + self.rules.limits.yield_timeout)
    }

    fn done(&mut self, op: Op, start: bool, name: String, now: Now, fx: &mut Vec<Effect>) {
        let (message_id, thread_id) = (op.message_id, op.thread);
        match op.work {
            Work::Say { say, agent, .. } => {
                if say.thread == ThreadTarget::New {
                    self.current = thread_id;
                    fx.push(Effect::Note(StoreCommand::SwitchThread { thread_id }));
                }
                let on_busy = say.on_busy;
                let begin = StartRun {
                    run: op.fresh.run,
                    thread: thread_id,
                    request: op.fresh.request,
                    message_id,
                    agent,
                    content: say.content,
                    metadata: say.metadata,
                };
                self.accepted(begin, op.fresh.answer, start, on_busy, now, fx);
            }
            Work::Create { .. } => {
                self.current = thread_id;
                fx.push(Effect::Reply(Control::ThreadCreated {
                    message_id,
                    thread_id,
                    name,
                    status: None,
                }));
            }
            Work::Switch => {
                self.current = thread_id;
                fx.push(Effect::Reply(Control::ThreadSwitched {
                    message_id: Some(message_id),
                    thread_id,
                    name,
                }));
            }
            Work::Rename { .. } => fx.push(Effect::Reply(Control::ThreadRenamed {
                message_id: Some(message_id),
                thread_id,
                name,
            })),
            Work::Delete => {
                if self.current == thread_id {
                    self.current = op.fresh.thread;
                }
                fx.push(Effect::ThreadGone(thread_id));
                fx.push(Effect::Reply(Control::ThreadDeleted {
                    message_id: Some(message_id),
                    thread_id,
                }));
            }
        }
    }

    /// The message is durable: say so, then begin its run, or let it wait.
    fn accepted(
        &mut self,
        begin: StartRun,
        answer: MessageId,
        start: bool,
        on_busy: OnBusy,
        now: Now,
        fx: &mut Vec<Effect>,
    ) {
        let (id, thread) = (begin.run, begin.thread);
        let (status, run_state) = if start {
            (AcceptStatus::Started, RunState::Running)
        } else {
            (AcceptStatus::Queued, RunState::Queued)
        };
        // `message_accepted` precedes the run's first event.
        fx.push(Effect::Reply(Control::MessageAccepted {
            message_id: begin.message_id,
            thread_id: thread,
            run_id: id,
            status,
            run_state,
        }));
        let mut run = Run::new(begin, answer, RunPhase::Queued, now);
        let lane = self.lanes.entry(thread).or_default();
        if start {
            lane.active = Some(id);
            run.start(now, fx);
            self.runs.insert(id, run);
            return;
        }
        self.runs.insert(id, run);
        let replaced = match on_busy {
            OnBusy::Enqueue | OnBusy::Reject => {
                lane.queue.push_back(id);
                None
            }
            OnBusy::Interrupt | OnBusy::Rollback => {
                lane.queue.push_front(id);
                lane.active
            }
        };
        if let Some(active) = replaced {
            self.advance_run(active, RunInput::Stop(replaced_by(on_busy)), now, fx);
        }
        self.advance_lane(thread, now, fx);
    }

    /// The client stops everything, so a message of its that waits for another session's run waits no longer.
    pub(super) fn give_up_yielding(&mut self, fx: &mut Vec<Effect>) {
        if let Some(op) = self.op.take_if(|op| op.stage == Stage::Yielding) {
            fx.push(run_active(op.message_id, None, true));
        }
    }

    /// A run of another session ended in `thread`: ask again for it.
    pub(super) fn resume_yielding(&mut self, thread: ThreadId, fx: &mut Vec<Effect>) {
        if let Some(op) = self.op.take_if(|op| op.thread == thread && op.stage == Stage::Yielding) {
            let start = matches!(op.work, Work::Say { .. });
            self.store(op, start, fx);
        }
    }

    /// Asks again also where nobody told that the other run ended; gives up when the time is over.
    pub(super) fn retry_yielding(&mut self, now: Now, fx: &mut Vec<Effect>) {
        let Some(op) = self.op.as_ref().filter(|op| op.stage == Stage::Yielding) else {
            return;
        };
        if op.yield_until.is_some_and(|until| until <= now.mono) {
            self.give_up_yielding(fx);
            return self.next_frames(now, fx);
        }
        self.resume_yielding(op.thread, fx);
    }

    /// A run ended here: a deletion that waited for the thread to be empty goes on.
    pub(super) fn op_after_end(&mut self, thread: ThreadId, fx: &mut Vec<Effect>) {
        let empty = self.lanes.get(&thread).is_none_or(super::lane::Lane::is_empty);
        if !empty {
            return;
        }
        if let Some(op) = self.op.take_if(|op| op.thread == thread && op.stage == Stage::Emptying) {
            self.store(op, false, fx);
        }
    }
}

impl Op {
    fn command(&self, start: bool) -> StoreCommand {
        let idempotency = Idempotency {
            message_id: self.message_id,
            digest: self.digest,
        };
        let thread_id = self.thread;
        match &self.work {
            Work::Say { say, agent, create } => StoreCommand::Accept(Accept {
                idempotency,
                thread_id,
                create_thread: create.clone(),
                run_id: self.fresh.run,
                request_id: self.fresh.request,
                agent: agent.to_string(),
                content: say.content.clone(),
                metadata: say.metadata.clone(),
                start,
            }),
            Work::Create { name } => StoreCommand::CreateThread {
                idempotency,
                thread_id,
                name: name.clone(),
            },
            Work::Switch => StoreCommand::SwitchThread { thread_id },
            Work::Rename { name } => StoreCommand::RenameThread {
                idempotency,
                thread_id,
                name: name.clone(),
            },
            Work::Delete => StoreCommand::DeleteThread {
                idempotency,
                thread_id,
                fallback: self.fresh.thread,
            },
        }
    }

    /// How the run of another session that holds the thread would end; none where this waits for nobody.
    fn stop_of_holder(&self) -> Option<Stop> {
        match &self.work {
            Work::Say { say, .. } => match say.on_busy {
                OnBusy::Interrupt | OnBusy::Rollback => Some(replaced_by(say.on_busy)),
                OnBusy::Enqueue | OnBusy::Reject => None,
            },
            Work::Delete => Some(thread_deleted()),
            Work::Create { .. } | Work::Switch | Work::Rename { .. } => None,
        }
    }

    /// The answer to a repeat: the first answer again.
    fn repeated(&self, thread_id: ThreadId, name: String, run: Option<(RunId, RunState)>) -> Effect {
        let message_id = self.message_id;
        Effect::Reply(match (&self.work, run) {
            (Work::Say { .. }, Some((run_id, run_state))) => Control::MessageAccepted {
                message_id,
                thread_id,
                run_id,
                status: AcceptStatus::Duplicate,
                run_state,
            },
            (Work::Rename { .. }, _) => Control::ThreadRenamed {
                message_id: Some(message_id),
                thread_id,
                name,
            },
            (Work::Delete, _) => Control::ThreadDeleted {
                message_id: Some(message_id),
                thread_id,
            },
            (Work::Say { .. } | Work::Create { .. } | Work::Switch, _) => Control::ThreadCreated {
                message_id,
                thread_id,
                name,
                status: Some(AcceptStatus::Duplicate),
            },
        })
    }
}

fn refusal(code: ErrorCode, message: impl Into<String>, reply_to: Option<MessageId>) -> Effect {
    Effect::Reply(Control::Error(Engine::error(code, message, reply_to)))
}

fn run_active(reply_to: MessageId, holder: Option<RunId>, elsewhere: bool) -> Effect {
    let message = if elsewhere {
        "a run is active in this thread in another session of yours; stop it there, or send with on_busy interrupt"
    } else {
        "a run is active in this thread; wait for it, stop it, or send with another on_busy"
    };
    let mut error = Engine::error(ErrorCode::RunActive, message, Some(reply_to));
    error.retryable = true;
    error.details = Some(serde_json::json!({ "run_id": holder, "elsewhere": elsewhere }));
    Effect::Reply(Control::Error(error))
}

fn ask_yield(session: SessionId, thread: ThreadId, run: RunId, stop: Stop) -> Effect {
    Effect::AskYield {
        session,
        thread,
        run,
        stop,
    }
}

fn replaced_by(on_busy: OnBusy) -> Stop {
    Stop {
        by: StoppedBy::Replaced,
        reason: "another message took its place".to_owned(),
        forget: on_busy == OnBusy::Rollback,
    }
}

fn thread_deleted() -> Stop {
    Stop {
        by: StoppedBy::ThreadDeleted,
        reason: "its thread was deleted".to_owned(),
        forget: false,
    }
}

/// A thread's name from its first message: its first line, cut at a character.
fn made_name(content: &str) -> String {
    let line = content.trim().lines().next().unwrap_or_default();
    let mut name: String = line.chars().take(MADE_NAME_CHARS).collect();
    if name.len() < line.len() {
        name.push('…');
    }
    name
}
