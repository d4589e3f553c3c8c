//! Births and deaths of sessions, and the drain of all of them.

use actix::prelude::*;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::{Drainage, RootSupervisor};
use crate::context::SessionContext;
use crate::ids::SessionId;
use crate::protocol::server::DeathCause;
use crate::session::actor::{Birth, DrainSession};

/// A session asks to leave memory.
#[derive(Debug, Message)]
#[rtype(result = "bool")]
pub(crate) struct Leave {
    /// The session.
    pub session: SessionId,
    /// Which spawn of it.
    pub incarnation: u64,
    /// How many sockets it was given: where another is on its way, it stays.
    pub attaches: u64,
}

impl Handler<Leave> for RootSupervisor {
    type Result = bool;

    fn handle(&mut self, leave: Leave, _: &mut Context<Self>) -> bool {
        self.books.leave(leave.session, leave.incarnation, leave.attaches)
    }
}

/// Revives sessions in which messages wait, after a start of the process: they are run without waiting for their client.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ReviveSessions(pub Vec<SessionContext>);

impl Handler<ReviveSessions> for RootSupervisor {
    type Result = ();

    fn handle(&mut self, ReviveSessions(sessions): ReviveSessions, ctx: &mut Context<Self>) {
        for context in sessions {
            if self.books.is_full() || self.drain.is_some() {
                return warn!(
                    "no room to revive every session in which messages wait; the rest wait for their clients"
                );
            }
            if self.books.entry(context.session()).is_none() {
                let user = context.user().clone();
                let birth = Birth::Revived(DeathCause::Interrupted);
                self.spawn(context.session(), user, birth, None, ctx.address());
            }
        }
    }
}

/// How an incarnation of a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HowEnded {
    /// It agreed with the supervisor to leave memory, or was evicted, or drained.
    Left,
    /// Its code panicked.
    Panicked,
    /// It can't go on with what it has in memory; the journal knows better.
    Lost,
    /// A newer incarnation has taken over.
    Fenced,
    /// The journal has no such session, or could not say.
    NeverOpened,
}

/// The death notice of a session.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct SessionEnded {
    /// The session.
    pub session: SessionId,
    /// Which spawn of it.
    pub incarnation: u64,
    /// How.
    pub how: HowEnded,
}

impl Handler<SessionEnded> for RootSupervisor {
    type Result = ();

    fn handle(&mut self, ended: SessionEnded, ctx: &mut Context<Self>) {
        let SessionEnded {
            session,
            incarnation,
            how,
        } = ended;
        let cause = match how {
            HowEnded::Panicked => {
                self.infra.metrics.sessions_panicked.increment();
                error!(%session, "session panicked");
                Some(DeathCause::Panic)
            }
            HowEnded::Lost => Some(DeathCause::Interrupted),
            HowEnded::Left | HowEnded::Fenced | HowEnded::NeverOpened => None,
        };
        if let Some(user) = self.books.bury(session, incarnation) {
            match cause {
                Some(cause) if self.drain.is_none() && self.books.may_restart(session, Instant::now()) => {
                    info!(%session, "session restarts from its journal");
                    self.spawn(session, user, Birth::Revived(cause), None, ctx.address());
                }
                Some(_) => error!(%session, "session ended too often; it stays down until its client returns"),
                None => {}
            }
        }
        self.finish_drain();
    }
}

/// How the process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Census {
    /// Sessions in memory.
    pub sessions: usize,
    /// Places held for sockets that are on their way.
    pub reserved: usize,
    /// Whether new sockets are refused.
    pub draining: bool,
}

/// Asks for the census.
#[derive(Debug, Message)]
#[rtype(result = "Census")]
pub struct TakeCensus;

impl Handler<TakeCensus> for RootSupervisor {
    type Result = MessageResult<TakeCensus>;

    fn handle(&mut self, _: TakeCensus, _: &mut Context<Self>) -> Self::Result {
        MessageResult(Census {
            sessions: self.books.len(),
            reserved: self.books.reserved(),
            draining: self.drain.is_some(),
        })
    }
}

/// Stops accepting, lets runs end, closes sockets with 1012, ends what is left after the drain time. Answers when no
/// session is left.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Drain;

impl Handler<Drain> for RootSupervisor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Drain, _: &mut Context<Self>) -> Self::Result {
        let (done, waiting) = oneshot::channel();
        let limits = &self.infra.limits;
        let drain = self.drain.get_or_insert_with(|| Drainage {
            until: Instant::now() + limits.drain_timeout,
            expired: false,
            waiting: Vec::new(),
        });
        drain.waiting.push(done);
        let sessions: Vec<SessionId> = self.books.sessions().collect();
        info!(sessions = sessions.len(), "draining");
        for session in sessions {
            self.send(session, DrainSession::Begin);
        }
        self.finish_drain();
        Box::pin(async move {
            // The sender goes only with the supervisor, and then there is nothing left to wait for.
            let _ = waiting.await;
        })
    }
}
