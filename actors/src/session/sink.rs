//! The port to a client's socket: what a session needs of it, whatever it is made of.
//!
//! [`Socket`] travels to the session's shard and is opened there; the [`Sink`] that comes out stays there. The session
//! pushes only what the sink has room for; the sink hands over only as many client frames as the session granted.

use std::io;

use actix::Addr;
use bytes::Bytes;

use crate::ids::{AttachGen, SessionId};
use crate::protocol::CloseCode;
use crate::session::actor::UserSessionActor;

/// A socket on its way to its session: the handshake is done, nothing has been read or written.
pub trait Socket: Send {
    /// Opens it on the current thread, which is the session's shard.
    ///
    /// # Errors
    /// What the operating system said.
    fn open(self: Box<Self>, uplink: Uplink, window: Window) -> io::Result<Box<dyn Sink>>;

    /// Whether its client wants only what comes from now on, whatever it has taken: a request that brings one message to a
    /// session has no use for what was said there before.
    fn begins_at_head(&self) -> bool {
        false
    }
}

/// Where a sink reports to. It sends `FrameArrived`, `SinkReady` and `SinkClosed`, each with this `gen`.
#[derive(Clone)]
pub struct Uplink {
    /// The session.
    pub session: Addr<UserSessionActor>,
    /// The session's id: frames with another tag are refused.
    pub tag: SessionId,
    /// Which socket of the session this is.
    pub generation: AttachGen,
}

/// How much may be on its way, in each direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Frames to the client.
    pub frames: usize,
    /// Bytes to the client.
    pub bytes: usize,
    /// Client frames that the sink may hand over before the session grants more.
    pub inbound: usize,
}

/// An open socket. Dropping it closes with 4000: the client can resume.
pub trait Sink {
    /// Room for more: frames and bytes.
    fn room(&self) -> (usize, usize);

    /// Hands over the frames of one turn, in order. Call it with no more than there is room for.
    ///
    /// # Errors
    /// [`PushError`]; the session then gives the socket up.
    fn push(&mut self, turn: Vec<OutFrame>) -> Result<(), PushError>;

    /// Lets the sink hand over this many client frames more.
    fn grant(&mut self, frames: usize);

    /// Pings the client, unless a frame is under way.
    fn ping(&mut self);

    /// Sends what was pushed, then the close frame, then ends.
    fn close(&mut self, code: CloseCode);
}

/// A frame with the tag of the session that made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutFrame {
    /// Whose it is.
    pub tag: SessionId,
    /// The text.
    pub text: Bytes,
}

/// Why a sink took nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// More than there is room for.
    #[error("the sink is full")]
    Full,
    /// A frame of another session. Nothing of the turn was sent.
    #[error("a frame carries the tag of another session")]
    ForeignTag,
    /// The socket is gone.
    #[error("the socket is closed")]
    Closed,
}

/// Why a socket ended, as its sink saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SinkEnd {
    /// The client closed it, or it broke.
    Client,
    /// It finished no frame for too long.
    Slow,
    /// The client broke the WebSocket protocol or a limit of it.
    Fault,
    /// We closed it.
    Ours,
}
