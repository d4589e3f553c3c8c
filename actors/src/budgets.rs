//! Budgets: what a run, a session and a user may use, and what they have used. Plain data.
//!
//! A use is a [`Charge`], made where it happens. It counts for the run that answers the user's message (a child run charges
//! the run at its root), for that run's session and for the session's user. A [`Caps`] bounds each kind of use; what is
//! found beyond a cap is [`Spent`].

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::protocol::server::rfc3339;

/// The largest use that is told apart from a larger one: the largest count that JSON's numbers hold exactly. Sums stop there.
pub const MOST: u64 = (1 << 53) - 1;

/// The longest window of a user, a year: what is meant for longer is no window any more.
pub const LONGEST_WINDOW: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// What part of a cap is a warning: four fifths, 80 %.
const WARN_AT: (u128, u128) = (4, 5);

/// What is bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Turns of models (each call of a model, counted when it ends), and thoughts that an agent tells outside of one.
    Steps,
    /// Calls of tools.
    ToolCalls,
    /// Tokens that models read and wrote.
    Tokens,
    /// What models cost, in millionths of a US dollar.
    CostMicros,
    /// How long runs worked, in milliseconds. Waiting for a person is no work.
    TimeMs,
    /// What tools put out, in bytes of JSON as it was told: after the cut of a single output.
    ToolOutputBytes,
    /// What was stored, in bytes: the bodies of events, and the messages of threads.
    StoredBytes,
}

impl Kind {
    /// All of them, in the order of the fields of a [`Charge`].
    pub const ALL: [Self; 7] = [
        Self::Steps,
        Self::ToolCalls,
        Self::Tokens,
        Self::CostMicros,
        Self::TimeMs,
        Self::ToolOutputBytes,
        Self::StoredBytes,
    ];

    /// The word for it in the name of a budget.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CostMicros => "cost",
            Self::TimeMs => "time",
            Self::Steps | Self::ToolCalls | Self::Tokens | Self::ToolOutputBytes | Self::StoredBytes => self.field(),
        }
    }

    /// Its field in a [`Charge`], with the unit.
    #[must_use]
    pub const fn field(self) -> &'static str {
        match self {
            Self::Steps => "steps",
            Self::ToolCalls => "tool_calls",
            Self::Tokens => "tokens",
            Self::CostMicros => "cost_micros",
            Self::TimeMs => "time_ms",
            Self::ToolOutputBytes => "tool_output_bytes",
            Self::StoredBytes => "stored_bytes",
        }
    }

    const fn unit(self) -> &'static str {
        match self {
            Self::Steps => "steps",
            Self::ToolCalls => "tool calls",
            Self::Tokens => "tokens",
            Self::CostMicros => "millionths of a US dollar",
            Self::TimeMs => "milliseconds of work",
            Self::ToolOutputBytes => "bytes of tool output",
            Self::StoredBytes => "stored bytes",
        }
    }
}

/// Whose a budget is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// One run that answers a user's message, with its child runs.
    Run,
    /// One session, as long as there is one.
    Session,
    /// One user, over all sessions, within a [`Window`].
    User,
}

impl Scope {
    /// The word in configuration and on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Session => "session",
            Self::User => "user",
        }
    }
}

/// What was used, of every kind. A use of one moment and a sum of many have the same shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Charge {
    /// See [`Kind::Steps`].
    pub steps: u64,
    /// See [`Kind::ToolCalls`].
    pub tool_calls: u64,
    /// See [`Kind::Tokens`].
    pub tokens: u64,
    /// See [`Kind::CostMicros`].
    pub cost_micros: u64,
    /// See [`Kind::TimeMs`].
    pub time_ms: u64,
    /// See [`Kind::ToolOutputBytes`].
    pub tool_output_bytes: u64,
    /// See [`Kind::StoredBytes`].
    pub stored_bytes: u64,
}

impl Charge {
    /// Nothing.
    pub const NONE: Self = Self::of_kinds([0; 7]);

    /// One step, and nothing else.
    pub const STEP: Self = Self { steps: 1, ..Self::NONE };

    /// From what was used of each of [`Kind::ALL`].
    #[must_use]
    pub const fn of_kinds(used: [u64; 7]) -> Self {
        let [
            steps,
            tool_calls,
            tokens,
            cost_micros,
            time_ms,
            tool_output_bytes,
            stored_bytes,
        ] = used;
        Self {
            steps,
            tool_calls,
            tokens,
            cost_micros,
            time_ms,
            tool_output_bytes,
            stored_bytes,
        }
    }

    /// What was used of each of [`Kind::ALL`].
    #[must_use]
    pub const fn by_kind(&self) -> [u64; 7] {
        [
            self.steps,
            self.tool_calls,
            self.tokens,
            self.cost_micros,
            self.time_ms,
            self.tool_output_bytes,
            self.stored_bytes,
        ]
    }

    /// Both together, at most [`MOST`] of each: what a provider tells is only a number, and none may break a sum.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let (mine, theirs) = (self.by_kind(), other.by_kind());
        Self::of_kinds(std::array::from_fn(|kind| {
            mine[kind].saturating_add(theirs[kind]).min(MOST)
        }))
    }
}

/// The most that may be used, of every kind; 0 means that there is no cap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Caps {
    /// See [`Kind::Steps`].
    pub steps: u64,
    /// See [`Kind::ToolCalls`].
    pub tool_calls: u64,
    /// See [`Kind::Tokens`].
    pub tokens: u64,
    /// See [`Kind::CostMicros`].
    pub cost_micros: u64,
    /// See [`Kind::TimeMs`]. Of a run, `limits.run_time` is the cap.
    #[serde(with = "humantime_serde")]
    pub time: Duration,
    /// See [`Kind::ToolOutputBytes`].
    pub tool_output_bytes: u64,
    /// See [`Kind::StoredBytes`].
    pub stored_bytes: u64,
}

impl Caps {
    /// Whether nothing is bounded.
    #[must_use]
    pub fn are_none(&self) -> bool {
        *self == Self::default()
    }

    /// Each kind that has a cap, with the cap.
    pub fn each(&self) -> impl Iterator<Item = (Kind, u64)> + use<> {
        let caps = [
            self.steps,
            self.tool_calls,
            self.tokens,
            self.cost_micros,
            u64::try_from(self.time.as_millis()).unwrap_or(MOST),
            self.tool_output_bytes,
            self.stored_bytes,
        ];
        Kind::ALL.into_iter().zip(caps).filter(|(_, cap)| *cap > 0)
    }

    /// Each kind that has a cap, with how much was used and the cap.
    fn of(&self, used: &Charge) -> impl Iterator<Item = (Kind, u64, u64)> + use<> {
        let used = used.by_kind();
        self.each().map(move |(kind, cap)| (kind, used[kind as usize], cap))
    }

    /// What of `used` is beyond its cap: a run does not go on with it.
    #[must_use]
    pub fn exceeded_by(&self, used: &Charge) -> Option<(Kind, u64, u64)> {
        self.of(used).find(|(_, used, cap)| used > cap)
    }

    /// What of `used` has reached its cap: nothing new is begun with it.
    #[must_use]
    pub fn reached_by(&self, used: &Charge) -> Option<(Kind, u64, u64)> {
        self.of(used).find(|(_, used, cap)| used >= cap)
    }

    /// What of `used` is at 80 % of its cap or beyond.
    pub fn nearly_reached_by(&self, used: &Charge) -> impl Iterator<Item = (Kind, u64, u64)> + use<> {
        let (part, whole) = WARN_AT;
        self.of(used)
            .filter(move |(_, used, cap)| u128::from(*used) * whole >= u128::from(*cap) * part)
    }
}

/// What may be used in all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Budgets {
    /// By one run, with its child runs. Beyond: `agent_death{budget}`.
    pub run: Caps,
    /// By one session. Beyond: `agent_death{budget}`, and `budget_exhausted` for the next message.
    pub session: Caps,
    /// By one user within a window. Beyond: as of a session.
    pub user: Caps,
    /// How long a user's window is. Windows follow each other without a gap from 1970 on, in UTC.
    #[serde(with = "humantime_serde")]
    pub user_window: Duration,
}

impl Default for Budgets {
    fn default() -> Self {
        Self {
            run: Caps {
                steps: 64,
                tool_calls: 128,
                tokens: 2_000_000,
                tool_output_bytes: 8 * 1024 * 1024,
                ..Caps::default()
            },
            session: Caps::default(),
            user: Caps::default(),
            user_window: Duration::from_secs(24 * 60 * 60),
        }
    }
}

impl Budgets {
    /// The user's window at this time.
    #[must_use]
    pub fn window_at(&self, at: SystemTime) -> Window {
        let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let length = self.user_window.min(LONGEST_WINDOW).as_micros().max(1);
        let start = u64::try_from(since.as_micros() / length * length).unwrap_or(0);
        let start = SystemTime::UNIX_EPOCH + Duration::from_micros(start);
        Window {
            start,
            end: start + self.user_window.min(LONGEST_WINDOW),
        }
    }
}

/// A stretch of time in which a user's budget counts. The next one begins at zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Its first moment.
    pub start: SystemTime,
    /// The first moment after it.
    pub end: SystemTime,
}

/// What a store needs to judge a new message: it alone knows what all of a user's sessions have used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gate {
    /// Of the session.
    pub session: Caps,
    /// Of the user.
    pub user: Caps,
    /// The user's window now.
    pub window: Window,
}

impl Gate {
    /// Whether nothing is judged here.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.session.are_none() && self.user.are_none()
    }

    /// Why nothing new may begin after this use.
    #[must_use]
    pub fn refuses(&self, used: &Totals) -> Option<Spent> {
        let of_user = self.user.reached_by(&used.user);
        let of_session = self.session.reached_by(&used.session);
        let user = of_user.map(|found| Spent::of(Scope::User, found, Some(self.window.end)));
        user.or_else(|| of_session.map(|found| Spent::of(Scope::Session, found, None)))
    }
}

/// What a session and its user have used, as the store knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// The session, since it is there.
    pub session: Charge,
    /// The user, in their window, over all sessions.
    pub user: Charge,
}

/// A budget that is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spent {
    /// Whose.
    pub scope: Scope,
    /// Of what.
    pub kind: Kind,
    /// How much was used.
    pub used: u64,
    /// How much there was.
    pub limit: u64,
    /// When it begins anew; none: never.
    pub resets_at: Option<SystemTime>,
}

impl Spent {
    /// From what was found beyond a cap.
    #[must_use]
    pub const fn of(scope: Scope, (kind, used, limit): (Kind, u64, u64), resets_at: Option<SystemTime>) -> Self {
        Self {
            scope,
            kind,
            used,
            limit,
            resets_at,
        }
    }

    /// The budget's name on the wire: `run.tokens`.
    #[must_use]
    pub fn name(&self) -> String {
        name(self.scope, self.kind)
    }

    /// What people are told, and what they can do.
    #[must_use]
    pub fn sentence(&self) -> String {
        let Self { used, limit, kind, .. } = self;
        let advice = match (self.scope, self.resets_at) {
            (Scope::Run, _) => "ask for less at once".to_owned(),
            (Scope::Session, _) => "go on in a new session".to_owned(),
            (Scope::User, Some(at)) => format!("go on after {}", rfc3339(at)),
            (Scope::User, None) => "go on later".to_owned(),
        };
        format!(
            "the budget {} is used up, with {used} of {limit} {}; {advice}",
            self.name(),
            kind.unit()
        )
    }
}

/// A budget's name on the wire: `run.tokens`.
#[must_use]
pub fn name(scope: Scope, kind: Kind) -> String {
    format!("{}.{}", scope.as_str(), kind.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(steps: u64) -> Charge {
        Charge { steps, ..Charge::NONE }
    }

    #[test]
    fn a_cap_warns_at_four_fifths_refuses_at_its_value_and_ends_runs_beyond_it() {
        let caps = Caps {
            steps: 10,
            ..Caps::default()
        };
        for (used, warns, refuses, ends) in [
            (7, false, false, false),
            (8, true, false, false),
            (10, true, true, false),
            (11, true, true, true),
        ] {
            let used = steps(used);
            assert_eq!(caps.nearly_reached_by(&used).next().is_some(), warns, "{used:?}");
            assert_eq!(caps.reached_by(&used).is_some(), refuses, "{used:?}");
            assert_eq!(caps.exceeded_by(&used).is_some(), ends, "{used:?}");
        }
    }

    #[test]
    fn a_cap_of_zero_is_none() {
        let all = Charge::of_kinds([MOST; 7]);
        assert_eq!(Caps::default().reached_by(&all), None);
        assert!(Caps::default().are_none());
    }

    #[test]
    fn sums_stop_where_numbers_of_json_do() {
        let all = Charge::of_kinds([u64::MAX; 7]);
        assert_eq!(all.plus(steps(1)).by_kind(), [MOST; 7]);
    }

    #[test]
    fn windows_follow_each_other_in_utc() {
        let budgets = Budgets::default();
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let day = 24 * 60 * 60;
        let window = budgets.window_at(at(20_000 * day + 5));
        assert_eq!((window.start, window.end), (at(20_000 * day), at(20_001 * day)));
        assert_eq!(budgets.window_at(window.end).start, window.end);
    }

    #[test]
    fn a_budget_that_is_used_up_says_which_how_much_and_what_to_do() {
        let spent = Spent::of(Scope::User, (Kind::Tokens, 12, 10), Some(SystemTime::UNIX_EPOCH));
        let told = "the budget user.tokens is used up, with 12 of 10 tokens; go on after 1970-01-01T00:00:00.000Z";
        assert_eq!(spent.sentence(), told);
    }
}
