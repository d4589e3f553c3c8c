//! People in the loop: what a run was told by steering, and which of its calls wait for a decision.
//!
//! The engine alone says how a request for approval ends, also that nobody decided in time: so a decision that was accepted
//! is never overtaken by a timer.

use std::collections::VecDeque;
use std::time::Instant;

use super::run::Run;
use super::{Effect, Engine, Now, RunPhase, Stop};
use crate::ids::{CallId, MessageId, RunId, ThreadId};
use crate::protocol::server::{ApprovalDecision, Event};

/// What a run may be told before it has taken it. Beyond: error `queue_full`.
pub const STEERING_WAITING: usize = 8;

/// Decided calls of a run that are remembered, to answer a late decision with `conflict`. Of an older one no call is known.
const DECIDED_KEPT: usize = 64;

/// What people do in a run.
#[derive(Debug, Default)]
pub(super) struct People {
    /// What it was told and has not taken.
    steering: usize,
    /// Its calls that wait for a decision.
    waiting: Vec<Waiting>,
    /// Its calls that were decided, oldest first.
    decided: VecDeque<CallId>,
    /// When it last went on after waiting.
    went_on: Option<Instant>,
}

#[derive(Debug)]
struct Waiting {
    call: CallId,
    until: Instant,
}

/// How a call stands towards its approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Approval {
    /// It never asked, or is not known any more.
    Unknown,
    /// It waits for a decision.
    Waiting,
    /// Its time to be decided is over.
    Overdue,
    /// It was decided.
    Decided,
}

impl People {
    /// Whether it may be told more.
    pub fn may_steer(&self) -> bool {
        self.steering < STEERING_WAITING
    }

    pub fn approval_of(&self, call: CallId, now: Now) -> Approval {
        match self.waiting.iter().find(|waiting| waiting.call == call) {
            Some(waiting) if waiting.until <= now.mono => Approval::Overdue,
            Some(_) => Approval::Waiting,
            None if self.decided.contains(&call) => Approval::Decided,
            None => Approval::Unknown,
        }
    }

    /// The call ended, however that came. Says whether it waited.
    pub fn wait_no_more(&mut self, call: CallId) -> bool {
        let before = self.waiting.len();
        self.waiting.retain(|waiting| waiting.call != call);
        self.waiting.len() < before
    }

    fn decide(&mut self, call: CallId) {
        self.wait_no_more(call);
        if self.decided.len() == DECIDED_KEPT {
            self.decided.pop_front();
        }
        self.decided.push_back(call);
    }
}

impl Run {
    /// Takes note of what an event of the run's own says about people.
    ///
    /// # Errors
    /// What the event breaks, where the run could not have made it.
    pub fn note_people(&mut self, event: &Event, until: Instant) -> Result<(), &'static str> {
        match event {
            Event::ToolApprovalRequested { call_id, .. } if self.has_open(*call_id) => {
                self.people.waiting.push(Waiting { call: *call_id, until });
                Ok(())
            }
            Event::ToolApprovalRequested { .. } => Err("a request for approval of a call that is not open"),
            Event::ToolApprovalDecided { call_id, .. } if !self.people.decided.contains(call_id) => {
                Err("a decision that nobody made")
            }
            Event::SteeringApplied { .. } => match self.people.steering.checked_sub(1) {
                Some(left) => {
                    self.people.steering = left;
                    Ok(())
                }
                None => Err("steering that nobody sent"),
            },
            _ => Ok(()),
        }
    }
}

impl Engine {
    /// Hands over what the user told a run. One that has ended meanwhile says no more than its end.
    pub(super) fn steer(&mut self, id: RunId, message_id: MessageId, content: String, fx: &mut Vec<Effect>) {
        if let Some(run) = self.runs.get_mut(&id).filter(|run| run.phase == RunPhase::Running) {
            run.people.steering += 1;
            fx.push(Effect::Steer {
                run: id,
                message_id,
                content,
            });
        }
    }

    /// Decides a call, where it still waits.
    pub(super) fn decide(
        &mut self,
        id: RunId,
        call: CallId,
        decision: ApprovalDecision,
        note: Option<String>,
        now: Now,
        fx: &mut Vec<Effect>,
    ) {
        let Some(run) = self.runs.get_mut(&id).filter(|run| run.phase == RunPhase::Running) else {
            return;
        };
        match run.people.approval_of(call, now) {
            Approval::Waiting | Approval::Overdue => {
                run.people.decide(call);
                fx.push(Effect::Decide { call, decision, note });
                self.resume_clock(id, now);
                for above in self.line_above(Some(id)) {
                    if let Some(run) = self.runs.get_mut(&above) {
                        run.people.went_on = Some(now.mono);
                    }
                }
            }
            Approval::Unknown | Approval::Decided => {}
        }
    }

    /// The run whose call waits for a decision, or waited for one.
    pub(super) fn run_of_approval(&self, call: CallId, now: Now) -> Option<&Run> {
        self.runs
            .values()
            .find(|run| run.people.approval_of(call, now) != Approval::Unknown)
    }

    /// Ends requests for approval whose time is over, but for one whose decision is on its way to the store.
    pub(super) fn expire_approvals(&mut self, now: Now, fx: &mut Vec<Effect>) {
        let being_decided = self.op.as_ref().and_then(super::op::Op::being_decided);
        let overdue: Vec<(RunId, CallId)> = self
            .runs
            .values()
            .flat_map(|run| run.people.waiting.iter().map(|waiting| (run.id, waiting)))
            .filter(|(_, waiting)| waiting.until <= now.mono && being_decided != Some(waiting.call))
            .map(|(run, waiting)| (run, waiting.call))
            .collect();
        for (run, call) in overdue {
            self.decide(run, call, ApprovalDecision::Expired, None, now, fx);
        }
    }

    /// The grace time without a socket is over: what runs ends, but for runs that wait for a person or did so until just
    /// now, and what waits behind them.
    pub(super) fn abandon(&mut self, now: Now, fx: &mut Vec<Effect>) {
        let grace = self.rules.limits.grace;
        let stays = |run: &Run| {
            let people = &run.people;
            run.clock.stands_still() || people.went_on.is_some_and(|at| now.mono - at < grace)
        };
        let (kept, left): (Vec<ThreadId>, Vec<ThreadId>) = self.lanes.keys().copied().partition(|id| {
            let active = self.lanes.get(id).and_then(|lane| lane.active);
            active.and_then(|run| self.runs.get(&run)).is_some_and(stays)
        });
        let stop = Stop::abandoned();
        if kept.is_empty() {
            self.stop_matching(None, None, &stop, now, fx);
            return;
        }
        for thread in left {
            self.stop_matching(None, Some(thread), &stop, now, fx);
        }
    }
}
