//! What runs cost: from each use to the totals, and what ends or warns a run that uses too much.
//!
//! The engine keeps what each run has used, and what its session and its user had used when the store counted last; what the
//! store has not counted yet is added to both. So a run, and a session, is judged at once, and a user as soon as anything of
//! theirs is counted here.

use std::collections::BTreeSet;
use std::io;

use super::run::Run;
use super::{Effect, Ending, Engine, Now, RunPhase};
use crate::budgets::{self, Caps, Charge, Kind, Scope, Spent, Totals, Window};
use crate::ids::RunId;
use crate::infra::journal::RunEnd;
use crate::protocol::server::Event;

/// A call of a tool.
pub(super) const TOOL_CALL: Charge = Charge {
    tool_calls: 1,
    ..Charge::NONE
};

/// Stored bytes that are counted without a step, a call or an end of a run. Fewer wait for one of these: each count is a
/// statement of the store's, and what a process that dies has not counted is lost.
const COUNT_STORED_BYTES: u64 = 64 * 1024;

/// Working time that is counted without a step, a call or an end of a run, in milliseconds. See [`COUNT_STORED_BYTES`].
const COUNT_TIME_MS: u64 = 60_000;

/// What one run has used, with its child runs.
#[derive(Debug, Default)]
pub(super) struct Used {
    charge: Charge,
    /// What it was warned of.
    warned: BTreeSet<(Scope, Kind)>,
}

/// What a session and its user have used.
#[derive(Debug, Default)]
pub(super) struct Costs {
    /// When the store counted last.
    known: Totals,
    /// The user's window then.
    window: Option<Window>,
    /// What the store is asked to count.
    asked: Charge,
    /// What it is not yet asked to count.
    waiting: Charge,
    /// Whether a run ended since it was asked last.
    ended: bool,
    /// Whether anything was used since runs were judged last.
    unjudged: bool,
}

impl Costs {
    fn add(&mut self, charge: Charge) {
        self.waiting = self.waiting.plus(charge);
        self.unjudged = true;
    }

    fn totals(&self) -> Totals {
        let uncounted = self.asked.plus(self.waiting);
        Totals {
            session: self.known.session.plus(uncounted),
            user: self.known.user.plus(uncounted),
        }
    }
}

impl Engine {
    /// Counts what a run used: for the run at its root, the session and the user. What a run that has ended used still
    /// counts for these two.
    pub(super) fn charge(&mut self, run: RunId, charge: Charge) {
        let mut root = run;
        while let Some(parent) = self.runs.get(&root).and_then(|run| run.parent) {
            root = parent;
        }
        if let Some(root) = self.runs.get_mut(&root) {
            root.used.charge = root.used.charge.plus(charge);
        }
        self.costs.add(charge);
    }

    /// Counts what was stored of a run's, in bytes. Judged with the next input.
    pub fn stored_bytes(&mut self, run: RunId, bytes: usize) {
        self.charge(run, stored(bytes));
    }

    /// Counts the time that runs have worked. A child's is its parent's: that one waits for it.
    pub(super) fn accrue(&mut self, now: Now) {
        let mut all = Charge::NONE;
        for run in self.runs.values_mut().filter(|run| run.parent.is_none()) {
            let time = worked(run, now);
            all = all.plus(time);
        }
        if all != Charge::NONE {
            self.costs.add(all);
        }
    }

    /// What the store should count now; none where that can wait. Give it back by [`Engine::not_charged`] where it could not.
    ///
    /// Before a run begins it counts what there is, and be it nothing, where a budget is not the run's alone: its answer
    /// says what the session used before it came back, and what the user used elsewhere.
    pub fn take_charge(&mut self, begins: bool, now: Now) -> Option<Charge> {
        let budgets = &self.rules.limits.budgets;
        let is_own = budgets.session.are_none() && budgets.user.are_none();
        if !self.owes() && (is_own || !begins) {
            return None;
        }
        self.accrue(now);
        self.costs.ended = false;
        self.costs.asked = std::mem::take(&mut self.costs.waiting);
        Some(self.costs.asked)
    }

    /// Whether something should be counted now.
    #[must_use]
    pub fn owes(&self) -> bool {
        let Costs { waiting, ended, .. } = &self.costs;
        let acts = [
            waiting.steps,
            waiting.tool_calls,
            waiting.tokens,
            waiting.cost_micros,
            waiting.tool_output_bytes,
        ];
        (*ended && *waiting != Charge::NONE)
            || acts.iter().any(|used| *used > 0)
            || waiting.stored_bytes >= COUNT_STORED_BYTES
            || waiting.time_ms >= COUNT_TIME_MS
    }

    /// The store did not count what it was asked to: it is asked again.
    pub fn not_charged(&mut self) {
        let asked = std::mem::take(&mut self.costs.asked);
        self.costs.waiting = self.costs.waiting.plus(asked);
        self.costs.ended = true;
    }

    /// The store has counted.
    pub(super) fn charged(&mut self, totals: Totals, now: Now) {
        self.costs.known = totals;
        self.costs.asked = Charge::NONE;
        self.costs.window = Some(self.rules.limits.budgets.window_at(now.wall));
        self.costs.unjudged = true;
    }

    /// Ends each run that has used more than it may, and warns each that has nearly. Nothing is judged where nothing was used.
    pub(super) fn judge(&mut self, now: Now, fx: &mut Vec<Effect>) {
        if !std::mem::take(&mut self.costs.unjudged) {
            return;
        }
        let budgets = &self.rules.limits.budgets;
        if self.costs.window.is_some_and(|window| window.end <= now.wall) {
            self.costs.window = None;
            self.costs.known.user = Charge::NONE;
        }
        let totals = self.costs.totals();
        let resets_at = budgets.window_at(now.wall).end;
        let (of_run, of_session, of_user) = (budgets.run, budgets.session, budgets.user);
        // The run clock ends a run whose time is over; here it is warned before.
        let of_run_with_time = Caps {
            time: self.rules.limits.run_time,
            ..of_run
        };
        let mut spent = Vec::new();
        for run in self.runs.values_mut() {
            if run.parent.is_some() || run.phase != RunPhase::Running {
                continue;
            }
            let scopes = [
                (Scope::Run, of_run, of_run_with_time, run.used.charge, None),
                (Scope::Session, of_session, of_session, totals.session, None),
                (Scope::User, of_user, of_user, totals.user, Some(resets_at)),
            ];
            let mut exceeded = None;
            for (scope, caps, warns, used, resets_at) in scopes {
                warn(run, scope, &warns, &used, now, fx);
                let found = caps.exceeded_by(&used);
                exceeded = exceeded.or(found.map(|found| Spent::of(scope, found, resets_at)));
            }
            spent.extend(exceeded.map(|exceeded| (run.id, exceeded)));
        }
        for (run, exceeded) in spent {
            self.cancel(run, Ending::Spent(exceeded), now, fx);
        }
    }

    /// A run has ended: what it still used is counted, and with it what waits.
    pub(super) fn settle_costs(&mut self, run: &mut Run, end: &RunEnd, now: Now) {
        if run.parent.is_some() {
            return;
        }
        let time = worked(run, now);
        self.costs.add(time);
        if let Some(said) = &end.message {
            self.costs.add(stored(said.content.len()));
        }
        self.costs.ended = true;
    }
}

/// Counts what a run has worked since this was done last.
fn worked(run: &mut Run, now: Now) -> Charge {
    if matches!(run.phase, RunPhase::Queued | RunPhase::Promoting | RunPhase::Doomed(_)) {
        return Charge::NONE;
    }
    let time = Charge {
        time_ms: run.clock.charge(now),
        ..Charge::NONE
    };
    run.used.charge = run.used.charge.plus(time);
    time
}

/// Tells a run what is nearly used up: each budget once.
fn warn(run: &mut Run, scope: Scope, caps: &Caps, used: &Charge, now: Now, fx: &mut Vec<Effect>) {
    for (kind, used, limit) in caps.nearly_reached_by(used) {
        if run.used.warned.insert((scope, kind)) {
            run.flush(false, now.mono, fx);
            fx.push(run.emit(Event::BudgetWarning {
                budget: budgets::name(scope, kind),
                used: used as f64,
                limit: limit as f64,
            }));
        }
    }
}

/// What was stored.
pub(super) fn stored(bytes: usize) -> Charge {
    Charge {
        stored_bytes: bytes as u64,
        ..Charge::NONE
    }
}

/// What a tool put out, where the event tells it.
pub(super) fn output_of(event: &Event) -> Option<Charge> {
    let Event::ToolCompleted { result, .. } = event else {
        return None;
    };
    let mut bytes = Counter(0);
    // A count can't fail, and a value is always JSON.
    serde_json::to_writer(&mut bytes, result).ok()?;
    Some(Charge {
        tool_output_bytes: bytes.0,
        ..Charge::NONE
    })
}

/// Counts what is written to it.
struct Counter(u64);

impl io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
