//! The root supervisor (skeleton): the messages that the edge sends.
use std::time::{Duration, SystemTime};

use actix::{Actor, Addr, Context, Handler, Message};

use crate::ids::{SessionId, ThreadId, UserId};
use crate::protocol::server::StoppedBy;
use crate::session::actor::{Resume, UserSessionActor};
use crate::session::sink::Socket;

/// The root supervisor.
pub struct RootSupervisor;

impl Actor for RootSupervisor {
    type Context = Context<Self>;
}

/// Asks for a place for one socket, before the 101 is written.
#[derive(Debug, Message)]
#[rtype(result = "Result<Reservation, Refusal>")]
pub struct Admit {
    /// The verified user.
    pub user: UserId,
    /// The session to go on with; none makes a new one.
    pub resume: Option<SessionId>,
}

/// A place that is held for a few seconds. Dropping it gives the place back.
#[derive(Debug)]
pub struct Reservation {
    _private: (),
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The user has as many sessions as are allowed: 429.
    #[error("the user has too many sessions")]
    UserLimit,
    /// The process has as many sessions as are allowed, or drains: 503.
    #[error("the server has no room")]
    Overloaded {
        /// When to come back.
        retry_after: Duration,
    },
}

/// Hands over a socket whose handshake is done. Verdicts on a resume come as close codes on the socket.
#[derive(Message)]
#[rtype(result = "()")]
pub struct AttachSocket {
    /// The place.
    pub reservation: Reservation,
    /// The socket.
    pub socket: Box<dyn Socket>,
    /// What the client knows; goes with `Admit::resume`.
    pub resume: Option<Resume>,
    /// Whether the client speaks the seed system's dialect.
    pub legacy: bool,
    /// When the credential ends; none: never.
    pub expires_at: Option<SystemTime>,
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

/// How the process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Census {
    /// Sessions in memory.
    pub sessions: usize,
    /// Whether new sockets are refused.
    pub draining: bool,
}

/// Asks for the census.
#[derive(Debug, Message)]
#[rtype(result = "Census")]
pub struct TakeCensus;

/// Stops accepting, lets runs end, closes sockets with 1012, ends what is left after the drain time. Answers when no session is left.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Drain;

impl Handler<Admit> for RootSupervisor {
    type Result = Result<Reservation, Refusal>;
    fn handle(&mut self, _: Admit, _: &mut Context<Self>) -> Self::Result {
        Ok(Reservation { _private: () })
    }
}
impl Handler<AttachSocket> for RootSupervisor {
    type Result = ();
    fn handle(&mut self, _: AttachSocket, _: &mut Context<Self>) {}
}
impl Handler<FindSession> for RootSupervisor {
    type Result = Option<Addr<UserSessionActor>>;
    fn handle(&mut self, _: FindSession, _: &mut Context<Self>) -> Self::Result {
        None
    }
}
impl Handler<StopThread> for RootSupervisor {
    type Result = ();
    fn handle(&mut self, _: StopThread, _: &mut Context<Self>) {}
}
impl Handler<TakeCensus> for RootSupervisor {
    type Result = actix::MessageResult<TakeCensus>;
    fn handle(&mut self, _: TakeCensus, _: &mut Context<Self>) -> Self::Result {
        actix::MessageResult(Census::default())
    }
}
impl Handler<Drain> for RootSupervisor {
    type Result = ();
    fn handle(&mut self, _: Drain, _: &mut Context<Self>) {}
}
