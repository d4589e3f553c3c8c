//! The client's socket as the session sees it: `TcpSocket` implements the port, `WebSocketSink` is the actor behind it.
//!
//! THE ONLY file that names `actix_web_actors`: its authors have marked it deprecated, so replacing it must stay one file's
//! work. What is used of it is the actor context that encodes frames. Its input side is not: it keeps the largest buffer
//! ever seen and reports bad UTF-8 as an I/O error, so frames come from a stream of our own (`reader`). Nor is its place
//! in a response body, where the actor would freeze as soon as its client stops reading: a task of our own drives it (`pump`).
//!
//! The session owns the [`Handle`], which owns nothing; the pump's task owns actor and socket, and ends them. What is said
//! here of the session holds for any [`Peer`].

#[cfg(test)]
mod fake_wire;
pub(in crate::http) mod ledger;
mod peer;
mod pump;
mod reader;
#[cfg(test)]
mod tests;
mod wire;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use actix::{Actor, ActorContext, Addr, AsyncContext, Handler, Message, StreamHandler};
use actix_web_actors::ws::{self, WebsocketContext};
use bytes::Bytes;
use sessile_actors::limits::Limits;
use sessile_actors::protocol::CloseCode;
use sessile_actors::session::sink::{OutFrame, PushError, Sink, SinkEnd, Socket, Uplink, Window};
use tokio::net::TcpStream;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use self::ledger::Queued;
pub use self::peer::{DataMessage, Delivery, Frame, Peer, deliver};
pub use self::pump::Report;
use self::pump::{Desk, Ending};
use self::reader::{FrameReader, Inbound};
use super::frame_guard::FrameLimits;

/// Messages to the sink actor besides pushes: a ping, a close, and the close of a dropped handle.
const MAILBOX_EXTRA: usize = 4;

/// The bounds of one socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SocketLimits {
    /// What the client may send.
    pub frames: FrameLimits,
    /// How long the client may finish no frame while one waits. Beyond: 4002.
    pub slow_client_timeout: Duration,
}

impl From<&Limits> for SocketLimits {
    fn from(limits: &Limits) -> Self {
        Self {
            frames: FrameLimits {
                frame_bytes: limits.frame_bytes,
                message_bytes: limits.message_bytes,
                fragments: limits.fragments,
                control_frames_per_second: limits.control_frames_per_second,
                // The session protocol is text.
                binary: false,
            },
            slow_client_timeout: limits.slow_client_timeout,
        }
    }
}

/// A TCP connection whose WebSocket handshake is done, on its way to its session's shard.
#[derive(Debug)]
pub struct TcpSocket {
    /// The connection.
    pub stream: std::net::TcpStream,
    /// What the client sent right behind its handshake.
    pub leftover: Bytes,
    /// Its bounds.
    pub limits: SocketLimits,
    /// Counts it for as long as it lives.
    pub open: OpenSockets,
}

/// Counts open sockets, so that a drain can wait for the last byte of each. It can't reach any.
#[derive(Debug, Clone, Default)]
pub struct OpenSockets(TaskTracker);

impl OpenSockets {
    /// Counts one more until the token is dropped.
    pub(super) fn token(&self) -> TaskTrackerToken {
        self.0.token()
    }

    /// Waits until no socket is open and none will be.
    pub async fn all_closed(&self) {
        self.0.close();
        self.0.wait().await;
    }
}

impl Socket for TcpSocket {
    fn open(self: Box<Self>, uplink: Uplink, window: Window) -> std::io::Result<Box<dyn Sink>> {
        Ok(Box::new(self.open_for(uplink, window)?))
    }
}

impl TcpSocket {
    /// Opens it on the current thread for whom it belongs to.
    ///
    /// # Errors
    /// What the operating system said.
    pub fn open_for<P: Peer>(self, peer: P, window: Window) -> std::io::Result<Handle<P>> {
        self.stream.set_nonblocking(true)?;
        let stream = Rc::new(TcpStream::from_std(self.stream)?);
        // Without it a lone event waits for the acknowledgement of the one before: 43.7 ms instead of 64 us.
        stream.set_nodelay(true)?;
        let desk = Rc::new(Desk::new(window, peer));
        let reader = FrameReader::new(
            Rc::clone(&stream),
            Rc::clone(&desk.gate),
            self.limits.frames,
            &self.leftover,
        );
        let sink = WebSocketSink {
            desk: Rc::clone(&desk),
            reader: Some(reader),
        };
        let (address, actor) = start(sink, window);
        let pump = pump::run(stream, Rc::clone(&desk), actor, self.limits.slow_client_timeout);
        actix_rt::spawn(self.open.0.track_future(pump));
        Ok(Handle {
            address,
            desk,
            is_closed: false,
        })
    }
}

/// Makes the actor with a mailbox for as many pushes as the window allows, so that the mailbox is never what is full.
fn start<P: Peer>(
    sink: WebSocketSink<P>,
    window: Window,
) -> (
    Addr<WebSocketSink<P>>,
    impl futures_util::Stream<Item = Result<Bytes, actix_web::Error>>,
) {
    let address = Rc::new(Cell::new(None));
    let slot = Rc::clone(&address);
    // Not `create_with_addr`: there the mailbox takes 16 messages until the first poll, and the session may push before it.
    let actor = WebsocketContext::with_factory(futures_util::stream::pending(), move |context| {
        context.set_mailbox_capacity(window.frames + MAILBOX_EXTRA);
        slot.set(Some(context.address()));
        sink
    });
    (address.take().expect("the factory runs at once"), actor)
}

/// The sink actor: turns pushes into WebSocket frames and the client's frames into messages to the session.
struct WebSocketSink<P: Peer> {
    /// Shared with handle and pump.
    desk: Rc<Desk<P>>,
    /// Handed to the context when the actor starts.
    reader: Option<FrameReader<TcpStream>>,
}

impl<P: Peer> Actor for WebSocketSink<P> {
    type Context = WebsocketContext<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        if let Some(reader) = self.reader.take() {
            context.add_stream(reader);
        }
    }
}

impl<P: Peer> StreamHandler<Inbound> for WebSocketSink<P> {
    fn handle(&mut self, inbound: Inbound, context: &mut Self::Context) {
        match inbound {
            Inbound::Data(message) => self.delivered(self.desk.report.arrived(message), context),
            Inbound::Ping(payload) => {
                self.desk.gate.own_queued();
                self.desk.ledger.borrow_mut().queued(Queued::own(payload.len()));
                context.pong(&payload);
                self.delivered(self.desk.report.alive(), context);
            }
            Inbound::Pong => self.delivered(self.desk.report.alive(), context),
            Inbound::Close(close) => self.end(Ending::echo(close), context),
            Inbound::Fault(code, reason) => {
                let reason = reason.map_or_else(|| code.reason().into_owned(), str::to_owned);
                self.end(Ending::saying(&code, reason, SinkEnd::Fault), context);
            }
            Inbound::Gone => self.end(Ending::broken(), context),
        }
    }
}

// `WebsocketContext` asks for it; its own input stream is `pending()` for ever.
impl<P: Peer> StreamHandler<Result<ws::Message, ws::ProtocolError>> for WebSocketSink<P> {
    fn handle(&mut self, _: Result<ws::Message, ws::ProtocolError>, _: &mut Self::Context) {}
}

/// Sends the frames of one turn.
#[derive(Message)]
#[rtype(result = "()")]
struct SendTurn<F: 'static> {
    turn: Vec<F>,
}

impl<P: Peer> Handler<SendTurn<P::Frame>> for WebSocketSink<P> {
    type Result = ();

    fn handle(&mut self, SendTurn { turn }: SendTurn<P::Frame>, context: &mut Self::Context) {
        for frame in turn {
            let bytes = frame.bytes();
            let Some(message) = frame.encode() else {
                return self.end(Ending::with(&CloseCode::Resumable, SinkEnd::Ours), context);
            };
            self.desk.ledger.borrow_mut().queued(Queued::pushed(bytes));
            context.write_raw(message);
        }
    }
}

/// Pings the client.
#[derive(Message)]
#[rtype(result = "()")]
struct SendPing;

impl<P: Peer> Handler<SendPing> for WebSocketSink<P> {
    type Result = ();

    fn handle(&mut self, SendPing: SendPing, context: &mut Self::Context) {
        self.desk.gate.own_queued();
        self.desk.ledger.borrow_mut().queued(Queued::own(0));
        context.ping(&[]);
    }
}

/// Ends the socket, after what was pushed before.
#[derive(Message)]
#[rtype(result = "()")]
struct EndSocket {
    code: CloseCode,
}

impl<P: Peer> Handler<EndSocket> for WebSocketSink<P> {
    type Result = ();

    fn handle(&mut self, EndSocket { code }: EndSocket, context: &mut Self::Context) {
        self.end(Ending::with(&code, SinkEnd::Ours), context);
    }
}

impl<P: Peer> WebSocketSink<P> {
    /// Goes by what became of a message to the session. While its mailbox is full the client is not read.
    fn delivered(&mut self, delivery: Delivery, context: &mut WebsocketContext<Self>) {
        match delivery {
            Delivery::Taken => {}
            Delivery::Full(sending) => {
                let gate = Rc::clone(&self.desk.gate);
                gate.hold();
                actix_rt::spawn(async move {
                    sending.await;
                    gate.release();
                });
            }
            Delivery::Gone => self.end(Ending::with(&CloseCode::Resumable, SinkEnd::Ours), context),
        }
    }

    fn end(&mut self, ending: Ending, context: &mut WebsocketContext<Self>) {
        self.desk.end(ending);
        context.stop();
    }
}

/// What the session holds of its socket. Dropping it closes with 4000.
pub struct Handle<P: Peer> {
    address: Addr<WebSocketSink<P>>,
    desk: Rc<Desk<P>>,
    /// Whether the end was ordered.
    is_closed: bool,
}

impl<P: Peer> Handle<P> {
    /// Room for more: frames and bytes. One who finds too little is told by [`Report::ready`] when there is more.
    #[must_use]
    pub fn room(&self) -> (usize, usize) {
        self.desk.ledger.borrow_mut().room()
    }

    /// Hands over the frames of one turn, in order. Call it with no more than there is room for.
    ///
    /// # Errors
    /// [`PushError`]. Nothing of the turn was sent.
    pub fn push(&mut self, turn: Vec<P::Frame>) -> Result<(), PushError> {
        if !turn.iter().all(|frame| self.desk.report.owns(frame)) {
            return Err(PushError::ForeignTag);
        }
        if self.is_closed {
            return Err(PushError::Closed);
        }
        if turn.is_empty() {
            return Ok(());
        }
        let bytes = turn.iter().map(Frame::bytes).sum();
        self.desk.ledger.borrow_mut().take(turn.len(), bytes)?;
        self.address
            .try_send(SendTurn { turn })
            .map_err(|refused| match refused {
                actix::prelude::SendError::Full(_) => PushError::Full,
                actix::prelude::SendError::Closed(_) => PushError::Closed,
            })
    }

    /// Lets this many messages more through.
    pub fn grant(&mut self, messages: usize) {
        self.desk.gate.grant(messages);
    }

    /// Sends what was pushed, then the close frame, then ends.
    pub fn close(&mut self, code: CloseCode) {
        if !std::mem::replace(&mut self.is_closed, true) {
            // Refused where the socket is over. The mailbox has room for it beside all pushes.
            let _ = self.address.try_send(EndSocket { code });
        }
    }
}

impl Sink for Handle<Uplink> {
    fn room(&self) -> (usize, usize) {
        self.room()
    }

    fn push(&mut self, turn: Vec<OutFrame>) -> Result<(), PushError> {
        self.push(turn)
    }

    fn grant(&mut self, frames: usize) {
        self.grant(frames);
    }

    fn ping(&mut self) {
        if self.desk.ledger.borrow().is_idle() {
            // Refused where the socket is over, or where the last ping was not even taken up: both need no other.
            let _ = self.address.try_send(SendPing);
        }
    }

    fn close(&mut self, code: CloseCode) {
        self.close(code);
    }
}

impl<P: Peer> Drop for Handle<P> {
    fn drop(&mut self) {
        self.close(CloseCode::Resumable);
    }
}
