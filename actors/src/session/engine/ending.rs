//! How runs end: from what happened to the one event that says so.

use sha2::{Digest, Sha256};

use super::child::ChildReport;
use super::lane::Blocked;
use super::run::Run;
use super::{Effect, Emission, Engine, Now, RunInput, RunPhase, RunStep, step};
use crate::budgets::Spent;
use crate::ids::RunId;
use crate::infra::journal::{RunEnd, Said};
use crate::protocol::server::{DeathCause, ErrorContext, Event, RunState, StoppedBy, Usage};

/// How a run's task ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// What was said is the answer.
    Said {
        /// What it used.
        usage: Usage,
    },
    /// This is the answer.
    Answered {
        /// The words.
        text: String,
        /// What it used.
        usage: Usage,
    },
    /// It gave up.
    Failed {
        /// Stable.
        code: String,
        /// A sentence that says what to do.
        message: String,
        /// Whether sending it again may help.
        retryable: bool,
    },
    /// Its code panicked.
    Panicked,
    /// It ended because it was asked to.
    Cancelled,
    /// It ended because the run that began it no longer waits for it.
    Abandoned,
}

/// Who stops a run, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    /// Who.
    pub by: StoppedBy,
    /// Why, for people.
    pub reason: String,
    /// Whether the thread forgets the run (`rollback`).
    pub forget: bool,
}

/// How a run ends.
#[derive(Debug, Clone, PartialEq)]
pub enum Ending {
    /// It has an answer; none means what was said.
    Completed(Option<String>, Usage),
    /// It failed by itself.
    Failed {
        /// Stable.
        code: String,
        /// A sentence that says what to do.
        message: String,
        /// Whether sending it again may help.
        retryable: bool,
    },
    /// Somebody stopped it.
    Stopped(Stop),
    /// The runtime ended it.
    Died(DeathCause),
    /// A budget is used up: the runtime ended it.
    Spent(Spent),
}

impl Ending {
    /// What a task's end means for a run that nobody stopped.
    pub(super) fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Said { usage } => Self::Completed(None, *usage),
            Outcome::Answered { text, usage } => Self::Completed(Some(text.clone()), *usage),
            Outcome::Failed {
                code,
                message,
                retryable,
            } => Self::Failed {
                code: code.clone(),
                message: message.clone(),
                retryable: *retryable,
            },
            Outcome::Panicked => Self::Died(DeathCause::Panic),
            Outcome::Abandoned => Self::Stopped(Stop::by_parent()),
            // Nobody asked it to end, so its agent took itself for cancelled.
            Outcome::Cancelled => Self::Failed {
                code: "agent_gave_up".to_owned(),
                message: "the agent ended without an answer; send the message again".to_owned(),
                retryable: true,
            },
        }
    }

    pub(super) fn violation() -> Self {
        Self::Failed {
            code: "lifecycle_violation".to_owned(),
            message: "the run broke a rule of the server's and was ended; send the message again".to_owned(),
            retryable: true,
        }
    }

    pub(super) fn too_large(limit: usize) -> Self {
        Self::Failed {
            code: "result_too_large".to_owned(),
            message: format!("the answer grew beyond {limit} bytes; ask for less at once"),
            retryable: false,
        }
    }
}

impl Engine {
    /// Applies the table to a run and carries out what follows.
    pub(super) fn advance_run(&mut self, id: RunId, input: RunInput, now: Now, fx: &mut Vec<Effect>) {
        let Some(run) = self.runs.get_mut(&id) else { return };
        match step(&run.phase, &input) {
            RunStep::Ask => {
                run.phase = RunPhase::Promoting;
                fx.push(Effect::Promote {
                    run: id,
                    thread: run.thread,
                });
            }
            RunStep::Start => run.start(now, fx),
            RunStep::Wait => {
                run.phase = RunPhase::Queued;
                let lane = self.lanes.entry(run.thread).or_default();
                lane.active = None;
                lane.queue.push_front(id);
                lane.blocked = Some(Blocked {
                    since: now.mono,
                    yielded: false,
                });
            }
            RunStep::Cancel(ending) => self.cancel(id, ending, now, fx),
            RunStep::Doom(ending) => run.phase = RunPhase::Doomed(ending),
            RunStep::End(ending) => self.end(id, ending, now, fx),
            RunStep::Take | RunStep::Nothing => {}
            RunStep::Impossible => self.violated(id, "an input that the run's phase does not allow", now, fx),
        }
    }

    /// Ends what the run has begun, then asks its task to end, with this end in mind.
    pub(super) fn cancel(&mut self, id: RunId, ending: Ending, now: Now, fx: &mut Vec<Effect>) {
        self.end_children(id, &ending, now, fx);
        if let Some(run) = self.runs.get_mut(&id) {
            run.phase = RunPhase::Cancelling(ending);
            fx.push(Effect::Cancel(id));
        }
    }

    /// A run did what its lifecycle does not allow.
    pub(super) fn violated(&mut self, id: RunId, what: &'static str, now: Now, fx: &mut Vec<Effect>) {
        fx.push(Effect::Violation(what));
        self.end_violator(id, now, fx);
    }

    /// Ends a run whose lifecycle can't be trusted any more. One that ends already does so as it was going to.
    pub(super) fn end_violator(&mut self, id: RunId, now: Now, fx: &mut Vec<Effect>) {
        let Some(run) = self.runs.get_mut(&id) else { return };
        match run.phase {
            RunPhase::Queued => self.end(id, Ending::violation(), now, fx),
            RunPhase::Promoting => run.phase = RunPhase::Doomed(Ending::violation()),
            RunPhase::Running => self.cancel(id, Ending::violation(), now, fx),
            RunPhase::Doomed(_) | RunPhase::Cancelling(_) => {}
        }
    }

    /// Ends a run: its children, its text, its open calls, its one end, then the next one of its lane. All in one commit.
    pub(super) fn end(&mut self, id: RunId, ending: Ending, now: Now, fx: &mut Vec<Effect>) {
        self.end_children(id, &ending, now, fx);
        let Some(mut run) = self.runs.remove(&id) else { return };
        let ending = self.settle(&mut run, ending);
        run.flush(matches!(ending, Ending::Completed(..)), now.mono, fx);
        run.cancel_open_calls(now, fx);
        let report = run.parent.map(|_| ChildReport::of(&run, &ending));
        let (event, end) = last_event(&run, ending, now);
        self.settle_costs(&mut run, &end, now);
        fx.push(Effect::Emit(Box::new(Emission {
            run: id,
            thread: run.thread,
            request: run.request,
            agent: run.agent.clone(),
            event,
            end: Some(end),
        })));
        if let Some(report) = report {
            fx.push(Effect::ChildEnded(Box::new(report)));
            return self.resume_above(run.parent, run.clock, now);
        }
        let had_the_thread = self.leave_lane(id, run.thread, now);
        self.op_after_end(run.thread, fx);
        self.advance_lane(run.thread, now, fx);
        if had_the_thread {
            // A run that waited left no place for another.
            self.unblock_all(now, fx);
        }
    }

    /// Makes what was said and the answer one: an answer that goes on where the text stands becomes its rest.
    fn settle(&self, run: &mut Run, ending: Ending) -> Ending {
        let limit = self.rules.limits.result_bytes;
        match ending {
            Ending::Completed(Some(answer), _) if answer.len() > limit => Ending::too_large(limit),
            Ending::Completed(Some(answer), usage) => {
                if let Some(rest) = answer.strip_prefix(run.text.as_str()) {
                    run.text.push_str(rest);
                    return Ending::Completed(None, usage);
                }
                Ending::Completed(Some(answer), usage)
            }
            other => other,
        }
    }
}

fn last_event(run: &Run, ending: Ending, now: Now) -> (Event, RunEnd) {
    let partial = (!run.text.is_empty()).then(|| run.text.clone());
    let child = run.parent.is_some();
    // A child speaks to its parent: what it said is no message of the thread.
    let said = |content: Option<String>, complete| {
        content.filter(|_| !child).map(|content| Said {
            message_ref: run.answer,
            content,
            complete,
        })
    };
    match ending {
        Ending::Completed(answer, usage) => {
            let result = answer.unwrap_or_else(|| run.text.clone());
            let end = RunEnd {
                state: RunState::Completed,
                message: said(Some(result.clone()), true),
                forget: false,
                child,
            };
            let event = Event::AgentCompleted {
                status: "completed",
                message_ref: run.answer,
                result_sha256: hex(&Sha256::digest(result.as_bytes())),
                result,
                execution_time_ms: millis_since(run, now),
                usage,
            };
            (event, end)
        }
        Ending::Failed {
            code,
            message,
            retryable,
        } => {
            let end = RunEnd {
                state: RunState::Failed,
                message: said(partial.clone(), false),
                forget: false,
                child,
            };
            let event = Event::AgentError {
                code,
                error_message: message,
                error_context: ErrorContext {
                    agent_step: run.agent.to_string(),
                    retryable,
                    user_facing: true,
                },
                partial,
            };
            (event, end)
        }
        Ending::Stopped(Stop { by, reason, forget }) => {
            let mut discarded = Vec::new();
            if forget {
                discarded.push(run.message_id);
                discarded.extend(partial.is_some().then_some(run.answer));
            }
            let end = RunEnd {
                state: RunState::Stopped,
                message: said(partial.clone().filter(|_| !forget), false),
                forget,
                child,
            };
            let event = Event::AgentStopped {
                stopped_by: by,
                reason,
                partial,
                discarded_message_ids: discarded,
            };
            (event, end)
        }
        Ending::Died(cause) => death(cause, cause.sentence().to_owned(), said(partial, false), child),
        Ending::Spent(spent) => death(DeathCause::Budget, spent.sentence(), said(partial, false), child),
    }
}

fn death(cause: DeathCause, message: String, said: Option<Said>, child: bool) -> (Event, RunEnd) {
    let end = RunEnd {
        state: RunState::Died,
        message: said,
        forget: false,
        child,
    };
    let event = Event::AgentDeath {
        death_cause: cause,
        message,
        recovery_action: "send_again".to_owned(),
    };
    (event, end)
}

fn millis_since(run: &Run, now: Now) -> u64 {
    u64::try_from(now.mono.saturating_duration_since(run.since).as_millis()).unwrap_or(u64::MAX)
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(64), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string can't fail");
        text
    })
}
