//! A lane: what runs and what waits in one thread. One run at a time; the rest in order.

use std::collections::VecDeque;
use std::time::Instant;

use super::{Drain, Effect, Ending, Engine, Now, RunInput, RunPhase, Stop};
use crate::ids::{RunId, ThreadId};
use crate::infra::journal::StoreReply;
use crate::protocol::server::{Control, RunState, StoppedBy};

/// What runs and waits in one thread.
#[derive(Debug, Default)]
pub(super) struct Lane {
    /// The run that has the thread, or is asking the store for it.
    pub active: Option<RunId>,
    /// The runs that wait, in order.
    pub queue: VecDeque<RunId>,
    /// Present while the head waits for someone else.
    pub blocked: Option<Blocked>,
}

/// Why the head of a lane does not begin.
#[derive(Debug, Clone, Copy)]
pub(super) struct Blocked {
    /// Since when.
    pub since: Instant,
    /// Whether another session of the user goes first. Otherwise the store had no place for the run.
    pub yielded: bool,
}

impl Lane {
    pub fn is_empty(&self) -> bool {
        self.active.is_none() && self.queue.is_empty()
    }
}

impl Engine {
    /// Begins the next run of a lane, where none is active and nothing blocks it.
    pub(super) fn advance_lane(&mut self, thread: ThreadId, now: Now, fx: &mut Vec<Effect>) {
        let Some(lane) = self.lanes.get_mut(&thread) else {
            return;
        };
        if lane.is_empty() {
            self.lanes.remove(&thread);
            return;
        }
        // While the server drains, what waits stays in the store: the next start runs it.
        if lane.active.is_some() || lane.blocked.is_some() || self.drain != Drain::No {
            return;
        }
        if let Some(next) = lane.queue.pop_front() {
            lane.active = Some(next);
            self.advance_run(next, RunInput::Begin, now, fx);
        }
    }

    /// Takes a run out of its lane, and says whether it had the thread.
    pub(super) fn leave_lane(&mut self, run: RunId, thread: ThreadId, now: Now) -> bool {
        let Some(lane) = self.lanes.get_mut(&thread) else {
            return false;
        };
        lane.queue.retain(|queued| *queued != run);
        if lane.active != Some(run) {
            return false;
        }
        lane.active = None;
        // Whoever asked for the thread needs a moment to take it.
        if let Some(blocked) = &mut lane.blocked {
            blocked.since = now.mono;
        }
        true
    }

    pub(super) fn unblock(&mut self, thread: ThreadId, now: Now, fx: &mut Vec<Effect>) {
        if let Some(lane) = self.lanes.get_mut(&thread) {
            lane.blocked = None;
            self.advance_lane(thread, now, fx);
        }
    }

    /// A run of this user ended, so one that met the user's limit may begin now.
    pub(super) fn unblock_all(&mut self, now: Now, fx: &mut Vec<Effect>) {
        let blocked: Vec<ThreadId> = self
            .lanes
            .iter()
            .filter(|(_, lane)| {
                lane.blocked
                    .is_some_and(|blocked| !blocked.yielded && blocked.since < now.mono)
            })
            .map(|(thread, _)| *thread)
            .collect();
        for thread in blocked {
            self.unblock(thread, now, fx);
        }
    }

    pub(super) fn promoted(&mut self, run: RunId, reply: StoreReply, now: Now, fx: &mut Vec<Effect>) {
        let input = match reply {
            StoreReply::Done { .. } => RunInput::Granted,
            StoreReply::BudgetExhausted(spent) => {
                if let Some(run) = self.runs.get_mut(&run).filter(|run| run.phase == RunPhase::Promoting) {
                    run.phase = RunPhase::Doomed(Ending::Spent(spent));
                }
                RunInput::Refused
            }
            StoreReply::Charged(_) => return fx.push(Effect::Violation("a count where a thread was asked for")),
            StoreReply::ThreadBusy { .. } | StoreReply::RunLimit => RunInput::Refused,
            StoreReply::NotFound | StoreReply::NoDocument | StoreReply::Conflict | StoreReply::Duplicate { .. } => {
                RunInput::Gone
            }
        };
        self.advance_run(run, input, now, fx);
    }

    pub(super) fn thread_changed(
        &mut self,
        thread: ThreadId,
        run: RunId,
        state: RunState,
        now: Now,
        fx: &mut Vec<Effect>,
    ) {
        fx.push(Effect::Reply(Control::ThreadChanged {
            thread_id: thread,
            run_id: run,
            state,
        }));
        if !state.is_active() {
            self.resume_yielding(thread, fx);
            self.unblock(thread, now, fx);
            self.unblock_all(now, fx);
        }
    }

    /// Another session of the user goes first: our run ends, and what waits here waits until that one is over.
    pub(super) fn yield_thread(&mut self, thread: ThreadId, run: RunId, stop: Stop, now: Now, fx: &mut Vec<Effect>) {
        let deleted = stop.by == StoppedBy::ThreadDeleted;
        let Some(lane) = self.lanes.get_mut(&thread) else {
            return;
        };
        if deleted {
            self.stop_matching(None, Some(thread), &stop, now, fx);
        } else if lane.active == Some(run) {
            lane.blocked = Some(Blocked {
                since: now.mono,
                yielded: true,
            });
            self.advance_run(run, RunInput::Stop(stop), now, fx);
        }
    }

    /// Stops what matches, waiting ones first, so that none of them begins in between. Returns the runs.
    pub(super) fn stop_matching(
        &mut self,
        run: Option<RunId>,
        thread: Option<ThreadId>,
        stop: &Stop,
        now: Now,
        fx: &mut Vec<Effect>,
    ) -> Vec<RunId> {
        let matching = self.matching(run, thread);
        let (active, waiting): (Vec<RunId>, Vec<RunId>) = matching
            .iter()
            .partition(|id| self.lanes.values().any(|lane| lane.active == Some(**id)));
        for id in waiting.into_iter().chain(active) {
            self.advance_run(id, RunInput::Stop(stop.clone()), now, fx);
        }
        matching
    }
}
