//! The session (skeleton).
use std::time::SystemTime;

use actix::{Actor, Context, Handler, Message};
use bytes::Bytes;

use crate::ids::{AttachGen, Epoch, RunId, Seq, ThreadId};
use crate::protocol::server::StoppedBy;
use crate::session::sink::{SinkEnd, Socket};

/// The session actor.
pub struct UserSessionActor;

impl Actor for UserSessionActor {
    type Context = Context<Self>;
}

/// A text message of the client arrived, already assembled and checked for size and UTF-8. Costs one grant.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct FrameArrived {
    /// From which socket.
    pub generation: AttachGen,
    /// The text: valid UTF-8.
    pub text: bytes::Bytes,
}

/// The client gave a sign of life (a pong, a ping) that is no frame.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct SignOfLife {
    /// From which socket.
    pub generation: AttachGen,
}

/// The sink has room again, after a push had left it full, or the client has finished a frame.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct SinkReady {
    /// From which socket.
    pub generation: AttachGen,
}

/// The socket is gone; sent once.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct SinkClosed {
    /// Which socket.
    pub generation: AttachGen,
    /// Why.
    pub end: SinkEnd,
}

/// Gives the session a socket.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Attach {
    /// The socket.
    pub socket: Box<dyn Socket>,
    /// Present where the client goes on from an earlier socket.
    pub resume: Option<Resume>,
    /// Whether the client speaks the seed system's dialect (`/ws`, `/websocket`): each run's end is followed by the frame
    /// that those wait for.
    pub legacy: bool,
    /// When the credential ends; none: never.
    pub expires_at: Option<SystemTime>,
}

/// What a resuming client knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resume {
    /// The last event that it took.
    pub last_seq: Seq,
    /// The lineage that it knows; none where it names none.
    pub epoch: Option<Epoch>,
}

/// Stops runs of the session: what `POST /v1/sessions/{id}/stop` sends, past the socket.
#[derive(Debug, Message)]
#[rtype(result = "Vec<RunId>")]
pub struct StopRuns {
    /// One run; none means all of them and the queues.
    pub run: Option<RunId>,
    /// One thread; none means all.
    pub thread: Option<ThreadId>,
    /// Who stops them.
    pub by: StoppedBy,
    /// Why, for people.
    pub reason: String,
}

impl Handler<FrameArrived> for UserSessionActor {
    type Result = ();
    fn handle(&mut self, _: FrameArrived, _: &mut Context<Self>) {}
}
impl Handler<SignOfLife> for UserSessionActor {
    type Result = ();
    fn handle(&mut self, _: SignOfLife, _: &mut Context<Self>) {}
}
impl Handler<SinkReady> for UserSessionActor {
    type Result = ();
    fn handle(&mut self, _: SinkReady, _: &mut Context<Self>) {}
}
impl Handler<SinkClosed> for UserSessionActor {
    type Result = ();
    fn handle(&mut self, _: SinkClosed, _: &mut Context<Self>) {}
}
impl Handler<StopRuns> for UserSessionActor {
    type Result = Vec<RunId>;
    fn handle(&mut self, _: StopRuns, _: &mut Context<Self>) -> Vec<RunId> {
        Vec::new()
    }
}
#[doc(hidden)]
pub type _Unused = Bytes;
