//! A shard: one thread with its sessions, and the one ticker that tells all of them that time passes.
//!
//! Heartbeats, grace times and expiring credentials need no precision, so sessions own no timers for them: the ticker goes
//! round, a part of its sessions each second.

use std::time::Duration;

use actix::WeakAddr;
use actix::prelude::*;
use actix_rt::ArbiterHandle;

use crate::session::actor::UserSessionActor;

/// How often the ticker moves on.
const STEP: Duration = Duration::from_secs(1);

/// A session is told once in this many steps. What it measures by ticks is exact to within this many seconds.
const STEPS_PER_ROUND: usize = 5;

/// A thread that sessions live on.
#[derive(Clone)]
pub struct Shard {
    /// Where its actors are started.
    pub arbiter: ArbiterHandle,
    /// Tells its sessions that time passes.
    pub ticker: Addr<Ticker>,
}

impl Shard {
    /// Makes a shard of a running arbiter.
    #[must_use]
    pub fn on(arbiter: &ArbiterHandle) -> Self {
        Self {
            arbiter: arbiter.clone(),
            ticker: Ticker::start_in_arbiter(arbiter, |_| Ticker::default()),
        }
    }
}

/// Time has passed.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Tick;

/// A session began on this shard. The ticker holds no one alive.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Watch(pub WeakAddr<UserSessionActor>);

/// Goes round its shard's sessions.
#[derive(Default)]
pub struct Ticker {
    sessions: [Vec<WeakAddr<UserSessionActor>>; STEPS_PER_ROUND],
    at: usize,
}

impl Actor for Ticker {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.run_interval(STEP, |ticker, _| ticker.step());
    }
}

impl Ticker {
    fn step(&mut self) {
        self.at = (self.at + 1) % STEPS_PER_ROUND;
        // A session whose mailbox is full is busy enough to be alive; it is told next time.
        self.sessions[self.at].retain(|session| {
            session
                .upgrade()
                .is_some_and(|session| !matches!(session.try_send(Tick), Err(SendError::Closed(_))))
        });
    }
}

impl Handler<Watch> for Ticker {
    type Result = ();

    fn handle(&mut self, Watch(session): Watch, _: &mut Context<Self>) {
        if let Some(smallest) = self.sessions.iter_mut().min_by_key(|part| part.len()) {
            smallest.push(session);
        }
    }
}
