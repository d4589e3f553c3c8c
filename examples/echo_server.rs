//! Returns each text or binary message as it came, for protocol conformance tools such as the Autobahn testsuite.
//!
//! Run it by `cargo run --example echo_server`. Handshake, frame guard, frame reader, sink actor and pump are those of
//! Sessile's sessions: what a tool finds here holds there. Only the limits differ, and that binary messages are taken.

use std::convert::Infallible;
use std::net::SocketAddr;

use actix::{Actor, ActorContext, Addr, AsyncContext, Context, Handler, Message};
use actix_http::{HttpService, Request, Response, StatusCode};
use actix_server::Server;
use actix_service::fn_service;
use anyhow::Context as _;
use clap::Parser;
use sessile::http::frame_guard::FrameLimits;
use sessile::http::handshake::{self, Arrival};
use sessile::http::socket::{
    DataMessage, Delivery, Frame as _, Handle, OpenSockets, Peer, Report, SocketLimits, TcpSocket, deliver,
};
use sessile_actors::ids::RequestId;
use sessile_actors::limits::Limits;
use sessile_actors::session::sink::{SinkEnd, Window};

/// Control frames a second: conformance tools ping more often than chat clients. Beyond: 1008.
const CONTROL_FRAMES_PER_SECOND: u32 = 1000;
/// Replies on their way to a client. Beyond: it is not read.
const REPLIES: usize = 16;

/// Returns each WebSocket message as it came, over the edge that Sessile's sessions use.
#[derive(Parser)]
struct Flags {
    /// Address and port; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:9001")]
    listen: SocketAddr,
    /// Largest message, in bytes. Beyond: closed with 1009.
    #[arg(long, default_value_t = 16 * 1024 * 1024)]
    message_bytes: usize,
    /// Largest frame, in bytes. Beyond: closed with 1009.
    #[arg(long, default_value_t = 16 * 1024 * 1024)]
    frame_bytes: usize,
}

/// One connection: an actor that owns its socket, as a session does.
struct Echo {
    socket: Handle<Line>,
    /// The reply that has no room yet. The client is not read before it is on its way.
    waiting: Option<DataMessage>,
}

impl Actor for Echo {
    type Context = Context<Self>;
}

/// What a connection is told by its socket.
#[derive(Message)]
#[rtype(result = "()")]
enum Told {
    Message(DataMessage),
    Ready,
    Closed,
}

impl Handler<Told> for Echo {
    type Result = ();

    fn handle(&mut self, told: Told, context: &mut Context<Self>) {
        match told {
            Told::Message(message) => self.waiting = Some(message),
            Told::Ready => {}
            Told::Closed => return context.stop(),
        }
        let (replies, bytes) = self.socket.room();
        let next = self.waiting.take_if(|next| replies > 0 && next.bytes() <= bytes);
        if next.is_some_and(|next| self.socket.push(vec![next]).is_ok()) {
            self.socket.grant(1);
        }
    }
}

/// What a socket holds of its connection.
struct Line(Addr<Echo>);

impl Peer for Line {
    type Frame = DataMessage;

    fn owns(&self, _: &DataMessage) -> bool {
        true
    }
    fn arrived(&self, message: DataMessage) -> Delivery {
        deliver(&self.0, Told::Message(message))
    }
    fn alive(&self) -> Delivery {
        Delivery::Taken
    }
}

impl Report for Line {
    // The mailbox has room for all that can be on its way: one message, one word of room, one end.
    fn ready(&self) {
        let _ = self.0.try_send(Told::Ready);
    }
    fn closed(&self, _: SinkEnd) {
        let _ = self.0.try_send(Told::Closed);
    }
}

/// Answers one handshake, on any path, and echoes on the socket that comes out.
async fn welcome(limits: SocketLimits, request: Request, mut arrival: Arrival) -> anyhow::Result<()> {
    let key = match handshake::verify(request.head()) {
        Ok(key) => key,
        Err(problem) => {
            arrival.refuse(&problem, RequestId::mint()).await;
            return Ok(());
        }
    };
    anyhow::ensure!(arrival.accept(&key, &[]).await, "the client is gone");
    let (stream, leftover) = arrival.into_raw()?;
    let socket = TcpSocket {
        stream,
        leftover,
        limits,
        open: OpenSockets::default(),
    };
    let window = Window {
        frames: REPLIES,
        // So that any message fits where nothing is on its way.
        bytes: limits.frames.message_bytes,
        // Each message is answered before anything behind it is read.
        inbound: 1,
    };
    let context = Context::new();
    let socket = socket.open_for(Line(context.address()), window)?;
    context.run(Echo { socket, waiting: None });
    Ok(())
}

#[actix::main]
async fn main() -> anyhow::Result<()> {
    let flags = Flags::parse();
    let limits = SocketLimits {
        frames: FrameLimits {
            frame_bytes: flags.frame_bytes,
            message_bytes: flags.message_bytes,
            // However small the pieces, their bytes are bounded.
            fragments: flags.message_bytes,
            control_frames_per_second: CONTROL_FRAMES_PER_SECOND,
            binary: true,
        },
        slow_client_timeout: Limits::default().slow_client_timeout,
    };
    let listener = sessile::http::listen(flags.listen)
        .with_context(|| format!("{} can't be listened on; choose another by --listen", flags.listen))?;
    let address = listener.local_addr()?;
    let server = Server::build().workers(1).listen("echo", listener, move || {
        let upgrade = fn_service(move |(request, framed)| async move {
            if let Err(error) = welcome(limits, request, Arrival::new(framed)).await {
                eprintln!("a connection ended before its first message: {error}");
            }
            Ok::<_, Infallible>(())
        });
        let no_upgrade =
            fn_service(|_: Request| async { Ok::<_, Infallible>(Response::new(StatusCode::UPGRADE_REQUIRED)) });
        HttpService::build().upgrade(upgrade).finish(no_upgrade).tcp()
    })?;
    println!("echo server listens on ws://{address}");
    Ok(server.run().await?)
}
