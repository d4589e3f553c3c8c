//! What users and their sessions have used.

use std::collections::BTreeMap;
use std::time::SystemTime;

use crate::budgets::{Charge, Spent, Totals, Window};
use crate::ids::{SessionId, UserId};

use super::commands::Caller;
use super::state::State;

/// What one user has used.
pub(super) struct Used {
    /// The beginning of the window in which it counts.
    since: SystemTime,
    charge: Charge,
    /// What each session has used since it is there.
    sessions: BTreeMap<SessionId, Charge>,
}

impl State {
    pub(super) fn charge(&mut self, caller: &Caller<'_>, charge: Charge) -> Totals {
        let window = &caller.gate.window;
        let used = self.used.entry(caller.user().clone()).or_insert_with(|| Used {
            since: window.start,
            charge: Charge::NONE,
            sessions: BTreeMap::new(),
        });
        // A clock that was set back opens no window again.
        if used.since < window.start {
            (used.since, used.charge) = (window.start, Charge::NONE);
        }
        used.charge = used.charge.plus(charge);
        let session = used.sessions.entry(caller.session.session()).or_default();
        *session = session.plus(charge);
        Totals {
            session: *session,
            user: used.charge,
        }
    }

    /// Why nothing new may begin.
    pub(super) fn refuse_more(&self, caller: &Caller<'_>) -> Option<Spent> {
        let session = caller.session.session();
        let used = self.used.get(caller.user());
        caller.gate.refuses(&Totals {
            session: used
                .and_then(|used| used.sessions.get(&session))
                .copied()
                .unwrap_or_default(),
            user: self.used_by_user(caller.user(), &caller.gate.window),
        })
    }

    pub(super) fn used_by_user(&self, user: &UserId, window: &Window) -> Charge {
        let used = self.used.get(user).filter(|used| used.since >= window.start);
        used.map_or(Charge::NONE, |used| used.charge)
    }
}
