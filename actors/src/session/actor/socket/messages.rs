//! What reaches a session from its socket, and the message that brings it one.

use std::time::SystemTime;

use actix::Message;
use bytes::Bytes;

use crate::context::Roles;
use crate::ids::{AttachGen, Epoch, Seq};
use crate::session::sink::{SinkEnd, Socket};

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
    /// What the credential says that its user may do.
    pub roles: Roles,
}

/// What a resuming client knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resume {
    /// The last event that it took.
    pub last_seq: Seq,
    /// The lineage that it knows; none where it names none.
    pub epoch: Option<Epoch>,
}

/// A text message of the client arrived, assembled, within its size, valid UTF-8. Costs one grant.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct FrameArrived {
    /// From which socket.
    pub generation: AttachGen,
    /// The text: valid UTF-8.
    pub text: Bytes,
}

/// The client gave a sign of life (a pong, a ping) that is no frame.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct SignOfLife {
    /// From which socket.
    pub generation: AttachGen,
}

/// The sink has room again.
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
