//! The run clock: how long each run has worked, and what ends one that works too long.
//!
//! A run's clock stands still while the run waits for a person, and so do the clocks of the runs above it: they wait for
//! the same person. Otherwise a parent's clock goes on while its children work, each under a clock of its own.

use std::time::{Duration, Instant};

use super::run::Run;
use super::{Effect, Engine, Now, RunInput, RunPhase};
use crate::ids::RunId;

/// What a run has worked, and whether it works now.
#[derive(Debug, Clone, Copy)]
pub(super) struct RunClock {
    /// Until the clock stood still last.
    worked: Duration,
    /// Since when it goes, where it does.
    since: Instant,
    /// How much of it was charged.
    charged: Duration,
    /// For how many decisions of a person the run waits, those for which its children wait included.
    waits: usize,
}

impl RunClock {
    pub fn starting(now: Now) -> Self {
        Self {
            worked: Duration::ZERO,
            since: now.mono,
            charged: Duration::ZERO,
            waits: 0,
        }
    }

    /// Whether the run, or a child of it, waits for a person.
    pub fn stands_still(&self) -> bool {
        self.waits > 0
    }

    /// When it will have worked for `limit`; none while it stands still.
    pub fn runs_out_at(&self, limit: Duration) -> Option<Instant> {
        (self.waits == 0).then(|| self.since + limit.saturating_sub(self.worked))
    }

    /// What it has worked since this was asked last, in whole milliseconds.
    pub fn charge(&mut self, now: Now) -> u64 {
        let going = now.mono.saturating_duration_since(self.since);
        let worked = self.worked + if self.stands_still() { Duration::ZERO } else { going };
        let millis = u64::try_from(worked.saturating_sub(self.charged).as_millis()).unwrap_or(u64::MAX);
        self.charged += Duration::from_millis(millis);
        millis
    }

    fn pause(&mut self, now: Now) {
        if self.waits == 0 {
            self.worked += now.mono.saturating_duration_since(self.since);
        }
        self.waits += 1;
    }

    fn resume(&mut self, waits: usize, now: Now) {
        if self.waits == 0 || waits == 0 {
            return;
        }
        self.waits = self.waits.saturating_sub(waits);
        if self.waits == 0 {
            self.since = now.mono;
        }
    }
}

impl Engine {
    /// A run begins to wait for a person: its clock and those above it stand still. Each wait has its own
    /// [`Engine::resume_clock`]; where the run ends first, the clocks above it go on by themselves.
    pub fn pause_clock(&mut self, run: RunId, now: Now) {
        for id in self.line_above(Some(run)) {
            if let Some(run) = self.runs.get_mut(&id) {
                run.clock.pause(now);
            }
        }
    }

    /// One thing that a run waited for was decided. Its clock goes on with the last of them.
    pub fn resume_clock(&mut self, run: RunId, now: Now) {
        self.resume_line(Some(run), 1, now);
    }

    /// A child ended that waited for a person: the runs above it wait for that no longer.
    pub(super) fn resume_above(&mut self, parent: Option<RunId>, clock: RunClock, now: Now) {
        self.resume_line(parent, clock.waits, now);
    }

    fn resume_line(&mut self, from: Option<RunId>, waits: usize, now: Now) {
        for id in self.line_above(from) {
            if let Some(run) = self.runs.get_mut(&id) {
                run.clock.resume(waits, now);
            }
        }
    }

    /// When the next run will have worked for as long as it may, if none ends before: the time of [`Input::ClockDue`].
    ///
    /// [`Input::ClockDue`]: super::Input::ClockDue
    #[must_use]
    pub fn clock_runs_out_at(&self) -> Option<Instant> {
        let limit = self.rules.limits.run_time;
        let working = self.runs.values().filter(|run| run.phase == RunPhase::Running);
        working.filter_map(|run| run.clock.runs_out_at(limit)).min()
    }

    /// Ends the runs that have worked for too long, children first.
    pub(super) fn clock_due(&mut self, now: Now, fx: &mut Vec<Effect>) {
        let limit = self.rules.limits.run_time;
        let is_late = |run: &&Run| run.clock.runs_out_at(limit).is_some_and(|at| at <= now.mono);
        let late = self.runs.values().filter(is_late);
        let mut late: Vec<(u8, RunId)> = late.map(|run| (run.depth, run.id)).collect();
        late.sort_unstable_by(|one, other| other.cmp(one));
        for (_, run) in late {
            if self.listens_to(run) {
                self.advance_run(run, RunInput::TimeUp, now, fx);
            }
        }
    }
}
