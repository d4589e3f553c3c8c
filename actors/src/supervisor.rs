//! The root supervisor: admits, spawns, counts and watches sessions, and drains them.
//!
//! It lives on the main thread and has never a future in flight: every message is answered at once, from its own books.
//! No event of a run passes here; a run costs it three messages (its rate, its beginning, its end).

mod admission;
mod books;
mod life;
mod siblings;

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::{info, warn};

pub use admission::{Admit, AttachSocket, Refusal, Reservation};
pub(crate) use admission::{Presence, Stays};
pub use life::{Census, Drain, ReviveSessions, TakeCensus};
pub(crate) use life::{HowEnded, Leave, SessionEnded};
pub(crate) use siblings::{AskYield, RunChanged};
pub use siblings::{FindSession, Rate, StopThread, ThreadGone};

use crate::context::SessionContext;
use crate::ids::{SessionId, UserId};
use crate::infra::Infra;
use crate::session::actor::{Attach, Birth, DrainSession, Spawn, UserSessionActor};
use crate::session::engine::Rules;
use crate::shard::Shard;
use books::{Books, Entry};

/// How often reservations and the drain's time are checked.
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// Messages that may wait for the supervisor. Beyond: senders wait.
const MAILBOX: usize = 4096;

/// When a client that found no room should come back.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// The root of all sessions.
pub struct RootSupervisor {
    infra: Arc<Infra>,
    rules: Arc<Rules>,
    shards: Vec<Shard>,
    books: Books,
    /// Present while the server drains.
    drain: Option<Drainage>,
    /// Called when the supervisor itself panics: without it nothing is true any more, so the process ends.
    on_panic: fn(),
}

struct Drainage {
    until: Instant,
    expired: bool,
    waiting: Vec<oneshot::Sender<()>>,
}

impl RootSupervisor {
    /// A supervisor over these shards (at least one). `on_panic` ends the process.
    #[must_use]
    pub fn new(infra: Arc<Infra>, shards: Vec<Shard>, on_panic: fn()) -> Self {
        assert!(!shards.is_empty(), "a supervisor needs a shard");
        let steerable = infra.agents.classes().filter(|class| class.steerable);
        let rules = Arc::new(Rules {
            limits: infra.limits.clone(),
            default_agent: Arc::clone(infra.agents.default_name()),
            agents: infra.agents.classes().map(|class| class.name.clone()).collect(),
            steerable: steerable.map(|class| class.name.clone()).collect(),
        });
        Self {
            books: Books::new(&infra.limits, shards.len()),
            infra,
            rules,
            shards,
            drain: None,
            on_panic,
        }
    }

    /// Spawns a session on the least loaded shard. Its place is taken already.
    ///
    /// Its first socket goes with it: sent after it, a session that the journal does not know could be gone before it came.
    fn spawn(&mut self, session: SessionId, user: UserId, birth: Birth, first: Option<Attach>, me: Addr<Self>) {
        let (shard, incarnation) = self.books.place(session);
        let home = &self.shards[shard];
        let spawn = Spawn {
            context: SessionContext::new(user.clone(), session),
            infra: Arc::clone(&self.infra),
            rules: Arc::clone(&self.rules),
            supervisor: me,
            ticker: home.ticker.clone(),
            incarnation,
            birth,
            first,
        };
        let address = UserSessionActor::start_in_arbiter(&home.arbiter, move |_| UserSessionActor::new(spawn));
        self.books
            .enter(session, Entry::new(user, address.downgrade(), shard, incarnation));
    }

    /// Sends to a session; a full mailbox is an error of ours, a closed one is a death that will be told.
    fn send<M>(&self, session: SessionId, message: M)
    where
        M: Message<Result = ()> + Send + 'static,
        UserSessionActor: Handler<M>,
    {
        let address = self.books.entry(session).and_then(|entry| entry.address.upgrade());
        if let Some(Err(SendError::Full(_))) = address.map(|address| address.try_send(message)) {
            warn!(%session, "a session's mailbox is full; a notice was not delivered");
        }
    }

    fn finish_drain(&mut self) {
        if self.books.is_empty()
            && let Some(drain) = &mut self.drain
        {
            for waiting in drain.waiting.drain(..) {
                let _ = waiting.send(());
            }
        }
    }
}

impl Actor for RootSupervisor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(MAILBOX);
        ctx.run_interval(CHECK_EVERY, |supervisor, _| supervisor.check());
    }
}

impl Drop for RootSupervisor {
    fn drop(&mut self) {
        if std::thread::panicking() {
            (self.on_panic)();
        }
    }
}

impl RootSupervisor {
    fn check(&mut self) {
        let expired = self.books.expire_reservations(Instant::now());
        if expired > 0 {
            info!(expired, "reservations were not used");
        }
        if let Some(drain) = &mut self.drain
            && !drain.expired
            && drain.until <= Instant::now()
        {
            drain.expired = true;
            let left: Vec<SessionId> = self.books.sessions().collect();
            warn!(sessions = left.len(), "drain time is over; ending what runs");
            for session in left {
                self.send(session, DrainSession::Expire);
            }
        }
        self.finish_drain();
    }
}
