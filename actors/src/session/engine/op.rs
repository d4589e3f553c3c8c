//! The current operation: the client frame that is being worked on, from its first check to its answer.
//!
//! A message goes: checks here, then the supervisor's rate, then the store, which records it, makes its run and grants the
//! thread in one transaction. Changes of threads go the same way. Refusals are told and leave nothing behind.

mod answers;
mod begin;
mod people;

use std::sync::Arc;
use std::time::{Duration, Instant};

use answers::{ask_yield, exhausted, refusal, replaced_by, run_active};

use super::run::{Run, RunPhase};
use super::{Effect, Engine, Now, RunInput, StartRun, Stop, costs};
use crate::ids::{CallId, MessageId, RequestId, RunId, ThreadId};
use crate::infra::journal::{StoreCommand, StoreReply};
use crate::protocol::CloseCode;
use crate::protocol::client::{ClientFrame, OnBusy, Say, ThreadTarget};
use crate::protocol::server::{AcceptStatus, ApprovalDecision, Control, ErrorCode, RunState};

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
    /// The id as the client wrote it; none where `message_id` is ours.
    reply_to: Option<MessageId>,
    /// What the client is told unless the store knows the frame as a repeat.
    refusal: Option<Box<Effect>>,
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
    /// Tell a run something.
    Steer {
        run: RunId,
        content: String,
    },
    /// Decide a call that waits.
    Decide {
        run: RunId,
        call: CallId,
        decision: ApprovalDecision,
        note: Option<String>,
    },
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
                let mut error = Self::error(ErrorCode::RateLimited, "too many messages; slow down", op.reply_to);
                error.retryable = true;
                error.retry_after_ms = Some(u64::try_from(retry_after.as_millis()).unwrap_or(u64::MAX));
                fx.push(Effect::Reply(Control::Error(error)));
                if self.refused >= self.rules.limits.flood_messages {
                    fx.push(Effect::Close(CloseCode::RateLimit));
                }
            }
        }
        self.next_frames(now, fx);
    }

    /// Within the rate: what is left to check here, then the store.
    fn prepare(&mut self, mut op: Op, now: Now, fx: &mut Vec<Effect>) {
        if let Some(refusal) = self.refused_by_run(&op, now) {
            return self.refuse_new(op, refusal, fx);
        }
        let lane = self.lanes.get(&op.thread);
        let start = match (&op.work, lane) {
            // Ours wait for another session's run: this one asks that session to yield, as on a thread without a lane.
            (Work::Say { say, .. }, Some(lane)) if lane.active.is_none() && say.on_busy.takes_over() => true,
            (Work::Say { say, .. }, Some(lane)) => {
                if say.on_busy == OnBusy::Reject {
                    let holder = lane.active.or(lane.queue.front().copied());
                    let refusal = run_active(op.reply_to, holder, false);
                    return self.refuse_new(op, refusal, fx);
                }
                if lane.queue.len() >= self.rules.limits.queued_per_thread {
                    let mut error = Self::error(
                        ErrorCode::QueueFull,
                        format!(
                            "{} messages wait in this thread already; wait for an answer",
                            lane.queue.len()
                        ),
                        op.reply_to,
                    );
                    error.retryable = true;
                    return self.refuse_new(op, Effect::Reply(Control::Error(error)), fx);
                }
                false
            }
            (Work::Delete, Some(_)) => {
                op.stage = Stage::Emptying;
                let thread = op.thread;
                self.op = Some(op);
                self.stop_matching(None, Some(thread), &Stop::thread_deleted(), now, fx);
                return;
            }
            (Work::Say { .. }, None) => true,
            (Work::Create { .. } | Work::Switch | Work::Rename { .. } | Work::Delete, _)
            | (Work::Steer { .. } | Work::Decide { .. }, _) => false,
        };
        self.store(op, start, fx);
    }

    /// Refuses a frame, unless it is a repeat: the store knows, and a repeat gets the first answer again.
    fn refuse_new(&mut self, mut op: Op, refusal: Effect, fx: &mut Vec<Effect>) {
        if op.reply_to.is_none() {
            return fx.push(refusal);
        }
        op.refusal = Some(Box::new(refusal));
        self.store(op, false, fx);
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
        let id = op.reply_to;
        match reply {
            StoreReply::Done { name } => self.done(op, start, name, now, fx),
            StoreReply::Duplicate { thread_id, name, run } => fx.push(op.repeated(thread_id, name, run)),
            StoreReply::Conflict => fx.push(refusal(
                ErrorCode::Conflict,
                "this message_id was used for something else; use a new one",
                id,
            )),
            StoreReply::NotFound => fx.push(match op.refusal {
                Some(refusal) => *refusal,
                None => refusal(ErrorCode::NotFound, "no such thread", id),
            }),
            StoreReply::NoDocument => fx.push(refusal(
                ErrorCode::NotFound,
                "no such document; upload it by POST /v1/documents and name the document_id of the answer",
                id,
            )),
            StoreReply::RunLimit => {
                let mut error = Self::error(
                    ErrorCode::RunLimit,
                    format!(
                        "{} runs are active already; wait for one to end",
                        self.rules.limits.runs_per_user
                    ),
                    id,
                );
                error.retryable = true;
                fx.push(Effect::Reply(Control::Error(error)));
            }
            StoreReply::BudgetExhausted(spent) => fx.push(exhausted(&spent, id, now)),
            StoreReply::Charged(_) => fx.push(Effect::Violation("a count where an operation waits")),
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
                    references: say.references,
                    metadata: say.metadata,
                    parent: None,
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
            Work::Steer { run, content } => {
                fx.push(Effect::Reply(Control::SteeringAccepted {
                    message_id,
                    run_id: run,
                    status: None,
                }));
                self.steer(run, message_id, content, fx);
            }
            Work::Decide {
                run,
                call,
                decision,
                note,
            } => {
                fx.push(Effect::Reply(Control::DecisionAccepted {
                    message_id,
                    call_id: call,
                    status: None,
                }));
                self.decide(run, call, decision, note, now, fx);
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
        let said = costs::stored(begin.content.len());
        let mut run = Run::new(begin, answer, RunPhase::Queued, now);
        let lane = self.lanes.entry(thread).or_default();
        if start {
            lane.active = Some(id);
            run.start(now, fx);
            self.runs.insert(id, run);
            self.charge(id, said);
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
        self.charge(id, said);
        if let Some(active) = replaced {
            self.advance_run(active, RunInput::Stop(replaced_by(on_busy)), now, fx);
        }
        self.advance_lane(thread, now, fx);
    }

    /// The client stops everything, so a message of its that waits for another session's run waits no longer.
    pub(super) fn give_up_yielding(&mut self, fx: &mut Vec<Effect>) {
        if let Some(op) = self.op.take_if(|op| op.stage == Stage::Yielding) {
            fx.push(run_active(op.reply_to, None, true));
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
