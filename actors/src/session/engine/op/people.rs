//! Frames about a run at work: `steer` and `tool_decision`. What they need of the run is checked when their turn has come.

use super::answers::refusal;
use super::{Fresh, Op, Stage, Work};
use crate::ids::{CallId, MessageId, RunId, ThreadId};
use crate::protocol::server::{ApprovalDecision, ErrorCode};
use crate::session::engine::people::{Approval, STEERING_WAITING};
use crate::session::engine::{Effect, Engine, Now, RunPhase};

/// A frame of the client that changes something, before it is known what.
pub(super) struct Asked {
    pub digest: [u8; 32],
    pub reply_to: Option<MessageId>,
    pub fresh: Fresh,
}

impl Engine {
    pub(super) fn begin_steer(&mut self, run_id: RunId, content: String, asked: &Asked, fx: &mut Vec<Effect>) {
        let run = self.runs.get(&run_id);
        // Nothing of such an agent was ever taken, so this can be no repeat.
        if let Some(run) = run.filter(|run| !self.rules.steerable.contains(&*run.agent)) {
            let message = format!("the agent {} takes no steering; stop it or wait for its end", run.agent);
            return fx.push(refusal(ErrorCode::Forbidden, message, asked.reply_to));
        }
        let thread = run.map_or(self.current, |run| run.thread);
        let work = Work::Steer { run: run_id, content };
        self.rate(asked.about(thread, work), fx);
    }

    pub(super) fn begin_decision(
        &mut self,
        call: CallId,
        approve: bool,
        note: Option<String>,
        asked: &Asked,
        now: Now,
        fx: &mut Vec<Effect>,
    ) {
        let (run, thread) = match self.run_of_approval(call, now) {
            Some(run) => (run.id, run.thread),
            // No run has this id: the decision is refused when its turn has come, unless it is a repeat.
            None => (asked.fresh.run, self.current),
        };
        let decision = if approve {
            ApprovalDecision::Approve
        } else {
            ApprovalDecision::Deny
        };
        let work = Work::Decide {
            run,
            call,
            decision,
            note,
        };
        self.rate(asked.about(thread, work), fx);
    }

    /// Why a frame about a run can't be taken now; none where it can, or is about no run.
    pub(super) fn refused_by_run(&self, op: &Op, now: Now) -> Option<Effect> {
        let refuse = |code, message: String| Some(refusal(code, message, op.reply_to));
        match &op.work {
            Work::Steer { run, .. } => match self.runs.get(run) {
                Some(run) if run.phase == RunPhase::Running && run.people.may_steer() => None,
                Some(run) if run.phase == RunPhase::Running => {
                    let message =
                        format!("{STEERING_WAITING} things wait to be told to this run; wait for steering_applied");
                    let mut error = Self::error(ErrorCode::QueueFull, message, op.reply_to);
                    error.retryable = true;
                    Some(Effect::Reply(crate::protocol::server::Control::Error(error)))
                }
                Some(_) => refuse(
                    ErrorCode::NotFound,
                    "the run is not at work; steer it between its start and its end".to_owned(),
                ),
                None => refuse(ErrorCode::NotFound, "no such run is active in this session".to_owned()),
            },
            Work::Decide { run, call, .. } => {
                let run = self.runs.get(run).filter(|run| run.phase == RunPhase::Running);
                match run.map_or(Approval::Unknown, |run| run.people.approval_of(*call, now)) {
                    Approval::Waiting => None,
                    Approval::Overdue => refuse(
                        ErrorCode::Conflict,
                        "the time to decide this call is over; it was not approved".to_owned(),
                    ),
                    Approval::Decided => refuse(
                        ErrorCode::Conflict,
                        "this call was decided already; the first decision stands".to_owned(),
                    ),
                    Approval::Unknown => {
                        refuse(ErrorCode::NotFound, "no such tool call waits for a decision".to_owned())
                    }
                }
            }
            Work::Say { .. } | Work::Create { .. } | Work::Switch | Work::Rename { .. } | Work::Delete => None,
        }
    }
}

impl Asked {
    fn about(&self, thread: ThreadId, work: Work) -> Op {
        Op {
            message_id: self.reply_to.unwrap_or(self.fresh.message),
            digest: self.digest,
            fresh: self.fresh,
            thread,
            work,
            stage: Stage::Rating,
            reply_to: self.reply_to,
            refusal: None,
            yield_until: None,
        }
    }
}

impl Op {
    /// The call whose decision is on its way to the store.
    pub(in crate::session::engine) fn being_decided(&self) -> Option<CallId> {
        match (&self.work, self.stage) {
            (Work::Decide { call, .. }, Stage::Storing { .. }) if self.refusal.is_none() => Some(*call),
            _ => None,
        }
    }
}
