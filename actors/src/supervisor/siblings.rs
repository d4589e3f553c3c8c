//! What the sessions of one user share: their rate, their threads, and finding one of them past its socket.

use actix::prelude::*;
use tokio::time::Instant;
use tracing::warn;

use super::RootSupervisor;
use crate::ids::{RunId, SessionId, ThreadId, UserId};
use crate::protocol::server::{DeathCause, RunState, StoppedBy};
use crate::session::actor::{Birth, ForgetThread, StopRuns, ThreadChanged, UserSessionActor, YieldThread};
use crate::session::engine::{Rating, Stop};

/// Asks whether this user may send a message now.
#[derive(Debug, Message)]
#[rtype(result = "Rating")]
pub struct Rate(pub UserId);

impl Handler<Rate> for RootSupervisor {
    type Result = MessageResult<Rate>;

    fn handle(&mut self, Rate(user): Rate, _: &mut Context<Self>) -> Self::Result {
        MessageResult(self.books.rate(&user, Instant::now()))
    }
}

/// A run began, or its end is durable.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct RunChanged {
    /// The session that has it.
    pub session: SessionId,
    /// Its thread.
    pub thread: ThreadId,
    /// The run.
    pub run: RunId,
    /// Its state.
    pub state: RunState,
}

impl Handler<RunChanged> for RootSupervisor {
    type Result = ();

    fn handle(&mut self, changed: RunChanged, _: &mut Context<Self>) {
        self.books
            .run_changed(changed.session, changed.run, changed.state.is_active());
        for session in self.books.siblings(changed.session) {
            let notice = ThreadChanged {
                thread: changed.thread,
                run: changed.run,
                state: changed.state,
            };
            self.send(session, notice);
        }
    }
}

/// A session wants a thread that another session of its user holds.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct AskYield {
    /// The user of the session that asks.
    pub user: UserId,
    /// The session that holds it.
    pub session: SessionId,
    /// The thread.
    pub thread: ThreadId,
    /// Its run.
    pub run: RunId,
    /// How that one ends.
    pub stop: Stop,
}

impl Handler<AskYield> for RootSupervisor {
    type Result = ();

    fn handle(&mut self, ask: AskYield, ctx: &mut Context<Self>) {
        if self.books.entry(ask.session).is_none() && !self.books.is_full() && self.drain.is_none() {
            // Nobody is there to end that run: a new incarnation does so first of all.
            let birth = Birth::Revived(DeathCause::Interrupted);
            self.spawn(ask.session, ask.user, birth, None, ctx.address());
        } else if self.books.is_of(ask.session, &ask.user) {
            let notice = YieldThread {
                thread: ask.thread,
                run: ask.run,
                stop: ask.stop,
            };
            self.send(ask.session, notice);
        }
    }
}

/// A thread was deleted: the user's sessions forget what is in memory of it.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ThreadGone {
    /// The user.
    pub user: UserId,
    /// The session that knows already.
    pub session: Option<SessionId>,
}

impl Handler<ThreadGone> for RootSupervisor {
    type Result = ();

    fn handle(&mut self, gone: ThreadGone, _: &mut Context<Self>) {
        for session in self.books.of_user(&gone.user) {
            if Some(session) != gone.session {
                self.send(session, ForgetThread);
            }
        }
    }
}

/// Finds a live session of this user, for what must get past its socket. None: gone, unknown, or someone else's.
#[derive(Debug, Message)]
#[rtype(result = "Option<Addr<UserSessionActor>>")]
pub struct FindSession {
    /// The verified user.
    pub user: UserId,
    /// The session.
    pub session: SessionId,
}

impl Handler<FindSession> for RootSupervisor {
    type Result = Option<Addr<UserSessionActor>>;

    fn handle(&mut self, FindSession { user, session }: FindSession, _: &mut Context<Self>) -> Self::Result {
        let entry = self.books.entry(session).filter(|entry| entry.user == user)?;
        entry.address.upgrade()
    }
}

/// Stops what all live sessions of the user run in a thread.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct StopThread {
    /// The verified user.
    pub user: UserId,
    /// The thread.
    pub thread: ThreadId,
    /// Who stops it.
    pub by: StoppedBy,
}

impl Handler<StopThread> for RootSupervisor {
    type Result = ();

    fn handle(&mut self, StopThread { user, thread, by }: StopThread, _: &mut Context<Self>) {
        for session in self.books.of_user(&user) {
            let Some(address) = self.books.entry(session).and_then(|entry| entry.address.upgrade()) else {
                continue;
            };
            let stop = StopRuns {
                run: None,
                thread: Some(thread),
                by,
                reason: "its thread was deleted".to_owned(),
            };
            if let Err(SendError::Full(_)) = address.try_send(stop) {
                warn!(%session, "a session's mailbox is full; a stop was not delivered");
            }
        }
    }
}
