//! The client's socket as the session sees it: `TcpSocket` implements the port, `WebSocketSink` is the actor behind it.
//!
//! THE ONLY file that names `actix_web_actors`: its authors have marked it deprecated, so replacing it must stay one file's
//! work. What is used of it is the actor context that encodes frames. Its input side is not: it keeps the largest buffer
//! ever seen and reports bad UTF-8 as an I/O error, so frames come from a stream of our own (`reader`). Nor is its place
//! in a response body, where the actor would freeze as soon as its client stops reading: a task of our own drives it (`pump`).
//!
//! The session owns the `Handle`, which owns nothing; the pump's task owns actor and socket, and ends them.

#[cfg(test)]
mod fake_wire;
mod ledger;
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
use sessile_actors::session::actor::{FrameArrived, SignOfLife, SinkClosed, SinkReady, UserSessionActor};
use sessile_actors::session::sink::{OutFrame, PushError, Sink, SinkEnd, Socket, Uplink, Window};
use tokio::net::TcpStream;
use tokio_util::task::TaskTracker;
use tracing::error;

use self::ledger::Queued;
use self::pump::{Desk, Ending, Report};
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
    /// Waits until no socket is open and none will be.
    pub async fn all_closed(&self) {
        self.0.close();
        self.0.wait().await;
    }
}

impl Socket for TcpSocket {
    fn open(self: Box<Self>, uplink: Uplink, window: Window) -> std::io::Result<Box<dyn Sink>> {
        self.stream.set_nonblocking(true)?;
        let stream = Rc::new(TcpStream::from_std(self.stream)?);
        // Without it a lone event waits for the acknowledgement of the one before: 43.7 ms instead of 64 us.
        stream.set_nodelay(true)?;
        let desk = Rc::new(Desk::new(window, uplink));
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
        Ok(Box::new(Handle {
            address,
            desk,
            is_closed: false,
        }))
    }
}

/// Makes the actor with a mailbox for as many pushes as the window allows, so that the mailbox is never what is full.
fn start(
    sink: WebSocketSink,
    window: Window,
) -> (
    Addr<WebSocketSink>,
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
struct WebSocketSink {
    /// Shared with handle and pump.
    desk: Rc<Desk<Uplink>>,
    /// Handed to the context when the actor starts.
    reader: Option<FrameReader<TcpStream>>,
}

impl Actor for WebSocketSink {
    type Context = WebsocketContext<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        if let Some(reader) = self.reader.take() {
            context.add_stream(reader);
        }
    }
}

impl StreamHandler<Inbound> for WebSocketSink {
    fn handle(&mut self, inbound: Inbound, context: &mut Self::Context) {
        let generation = self.desk.report.generation;
        match inbound {
            Inbound::Text(text) => self.tell_session(FrameArrived { generation, text }, context),
            Inbound::Ping(payload) => {
                self.desk.gate.own_queued();
                self.desk.ledger.borrow_mut().queued(Queued::own(payload.len()));
                context.pong(&payload);
                self.tell_session(SignOfLife { generation }, context);
            }
            Inbound::Pong => self.tell_session(SignOfLife { generation }, context),
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
impl StreamHandler<Result<ws::Message, ws::ProtocolError>> for WebSocketSink {
    fn handle(&mut self, _: Result<ws::Message, ws::ProtocolError>, _: &mut Self::Context) {}
}

/// Sends the frames of one turn.
#[derive(Message)]
#[rtype(result = "()")]
struct SendTurn {
    turn: Vec<OutFrame>,
}

impl Handler<SendTurn> for WebSocketSink {
    type Result = ();

    fn handle(&mut self, SendTurn { turn }: SendTurn, context: &mut Self::Context) {
        for frame in turn {
            let bytes = frame.text.len();
            let Ok(text) = frame.text.try_into() else {
                error!(session = %self.desk.report.tag, "a frame of ours is not UTF-8; the socket is cut");
                return self.end(Ending::with(&CloseCode::Resumable, SinkEnd::Ours), context);
            };
            self.desk.ledger.borrow_mut().queued(Queued::pushed(bytes));
            context.write_raw(ws::Message::Text(text));
        }
    }
}

/// Pings the client.
#[derive(Message)]
#[rtype(result = "()")]
struct SendPing;

impl Handler<SendPing> for WebSocketSink {
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

impl Handler<EndSocket> for WebSocketSink {
    type Result = ();

    fn handle(&mut self, EndSocket { code }: EndSocket, context: &mut Self::Context) {
        self.end(Ending::with(&code, SinkEnd::Ours), context);
    }
}

impl WebSocketSink {
    /// Hands a message to the session. While its mailbox is full the client is not read.
    fn tell_session<M>(&mut self, message: M, context: &mut WebsocketContext<Self>)
    where
        M: Message<Result = ()> + Send + 'static,
        UserSessionActor: Handler<M>,
    {
        match self.desk.report.session.try_send(message) {
            Ok(()) => {}
            Err(actix::prelude::SendError::Full(message)) => {
                let gate = Rc::clone(&self.desk.gate);
                gate.hold();
                let sending = self.desk.report.session.send(message);
                actix_rt::spawn(async move {
                    // An error means that the session is gone: the next message, or its dropped handle, ends the socket.
                    let _ = sending.await;
                    gate.release();
                });
            }
            Err(actix::prelude::SendError::Closed(_)) => {
                self.end(Ending::with(&CloseCode::Resumable, SinkEnd::Ours), context);
            }
        }
    }

    fn end(&mut self, ending: Ending, context: &mut WebsocketContext<Self>) {
        self.desk.end(ending);
        context.stop();
    }
}

impl Report for Uplink {
    fn ready(&self) {
        let ready = SinkReady {
            generation: self.generation,
        };
        if let Err(actix::prelude::SendError::Full(ready)) = self.session.try_send(ready) {
            // Not lost where the mailbox is full: the session may be waiting for nothing else. The ledger reports once for
            // each time that the session filled it, so there are no more of these than that.
            let sending = self.session.send(ready);
            actix_rt::spawn(async move {
                let _ = sending.await;
            });
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the death notice of a socket: sent once, and never lost"
    )]
    fn closed(&self, end: SinkEnd) {
        self.session.do_send(SinkClosed {
            generation: self.generation,
            end,
        });
    }
}

/// What the session holds of its socket.
struct Handle {
    address: Addr<WebSocketSink>,
    desk: Rc<Desk<Uplink>>,
    /// Whether the end was ordered.
    is_closed: bool,
}

impl Sink for Handle {
    fn room(&self) -> (usize, usize) {
        self.desk.ledger.borrow_mut().room()
    }

    fn push(&mut self, turn: Vec<OutFrame>) -> Result<(), PushError> {
        if turn.iter().any(|frame| frame.tag != self.desk.report.tag) {
            return Err(PushError::ForeignTag);
        }
        if self.is_closed {
            return Err(PushError::Closed);
        }
        if turn.is_empty() {
            return Ok(());
        }
        let bytes = turn.iter().map(|frame| frame.text.len()).sum();
        self.desk.ledger.borrow_mut().take(turn.len(), bytes)?;
        self.address
            .try_send(SendTurn { turn })
            .map_err(|refused| match refused {
                actix::prelude::SendError::Full(_) => PushError::Full,
                actix::prelude::SendError::Closed(_) => PushError::Closed,
            })
    }

    fn grant(&mut self, frames: usize) {
        self.desk.gate.grant(frames);
    }

    fn ping(&mut self) {
        if self.desk.ledger.borrow().is_idle() {
            // Refused where the socket is over, or where the last ping was not even taken up: both need no other.
            let _ = self.address.try_send(SendPing);
        }
    }

    fn close(&mut self, code: CloseCode) {
        if !std::mem::replace(&mut self.is_closed, true) {
            // Refused where the socket is over. The mailbox has room for it beside all pushes.
            let _ = self.address.try_send(EndSocket { code });
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.close(CloseCode::Resumable);
    }
}
