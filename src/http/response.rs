//! A response as a session's socket: what the session pushes is read by a request's handler or its body, on the worker.
//!
//! It implements the port that WebSockets implement, over the same ledger: tags are checked, room comes back as frames are
//! taken, and a client that takes none for too long is cut with 4002. So resume, backpressure and isolation are the same code.
//! The session holds the sink on its shard; the worker holds [`Frames`]; between them are two bounded channels.

use std::cell::RefCell;
use std::io;
use std::net::Shutdown;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_http::Extensions;
use bytes::Bytes;
use sessile_actors::limits::Limits;
use sessile_actors::protocol::CloseCode;
use sessile_actors::session::sink::{OutFrame, PushError, Sink, SinkEnd, Socket, Uplink, Window};
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, timeout};
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::socket::ledger::{Ledger, Queued};
use super::socket::{DataMessage, Delivery, OpenSockets, Peer, Report};

/// What goes through the channel besides pushed frames: a ping, which is sent only when nothing is under way, and a close.
const CHANNEL_EXTRA: usize = 4;

/// How often, at most, the session is told that its client takes what it is sent.
const ALIVE_EVERY: Duration = Duration::from_secs(1);

/// What a session says to a response.
#[derive(Debug)]
pub(super) enum Told {
    /// A frame, as on a socket.
    Frame(Bytes),
    /// Nothing, to keep the connection alive.
    Ping,
    /// The last thing: why there is no more.
    Close(CloseCode),
}

/// What cuts the connection under a response that its client does not read. The worker itself can't: it waits for that client.
#[derive(Debug, Clone)]
pub(super) struct Cutter(Arc<socket2::Socket>);

impl Cutter {
    /// Keeps what cuts a connection beside it, for its requests.
    pub(super) fn keep(stream: &TcpStream, beside: &mut Extensions) {
        // Without another descriptor there is none: a stalled connection then stays until the kernel gives it up.
        if let Ok(socket) = SockRef::from(stream).try_clone() {
            beside.insert(Self(Arc::new(socket)));
        }
    }

    /// Cuts it. Whoever reads or writes it is told by the kernel.
    pub(super) fn cut(&self) {
        // It may be over already.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

/// A response on its way to its session.
pub(super) struct ResponseSocket {
    told: mpsc::Sender<Told>,
    taken: watch::Receiver<u64>,
    slow_client_timeout: Duration,
    cutter: Option<Cutter>,
    /// What the client says, once: a whole frame.
    message: Option<Bytes>,
}

/// What the session says, for the handler or the body of the response. Dropping it detaches the session; its runs go on.
pub(super) struct Frames {
    told: mpsc::Receiver<Told>,
    taken: watch::Sender<u64>,
    /// Taken and not reported yet.
    unreported: u64,
    _open: TaskTrackerToken,
}

/// Makes both ends. `message` is the frame that the client sends, where there is one.
pub(super) fn response(
    limits: &Limits,
    open: &OpenSockets,
    cutter: Option<Cutter>,
    message: Option<Bytes>,
) -> (ResponseSocket, Frames) {
    let (to_worker, told) = mpsc::channel(limits.sink_frames + CHANNEL_EXTRA);
    let (taken, reported) = watch::channel(0);
    let socket = ResponseSocket {
        told: to_worker,
        taken: reported,
        slow_client_timeout: limits.slow_client_timeout,
        cutter,
        message,
    };
    let frames = Frames {
        told,
        taken,
        unreported: 0,
        _open: open.token(),
    };
    (socket, frames)
}

impl Frames {
    /// The next thing that the session says. A session that is gone says what a dropped socket says: resume.
    pub(super) async fn next(&mut self) -> Told {
        let told = std::future::poll_fn(|context| self.poll_next(context)).await;
        self.report();
        told
    }

    /// The same, for a body. Call [`Frames::report`] when it has what it takes at once.
    pub(super) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Told> {
        self.told.poll_recv(context).map(|told| {
            self.unreported += 1;
            told.unwrap_or(Told::Close(CloseCode::Resumable))
        })
    }

    /// Gives back the room of what was taken.
    pub(super) fn report(&mut self) {
        let more = std::mem::take(&mut self.unreported);
        if more > 0 {
            self.taken.send_modify(|taken| *taken += more);
        }
    }
}

impl Socket for ResponseSocket {
    fn open(self: Box<Self>, uplink: Uplink, window: Window) -> io::Result<Box<dyn Sink>> {
        // Its request was answered that nobody is there: then nothing may be said in its name.
        if self.told.is_closed() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let desk = Rc::new(Desk {
            uplink,
            ledger: RefCell::new(Ledger::new(window)),
            pushed: Notify::new(),
        });
        let watching = watch_over(Rc::clone(&desk), self.taken, self.slow_client_timeout, self.cutter);
        actix_rt::spawn(watching);
        let mut sink = ResponseSink {
            desk,
            told: self.told,
            message: self.message,
            is_closed: false,
        };
        sink.grant(window.inbound);
        Ok(Box::new(sink))
    }

    fn begins_at_head(&self) -> bool {
        self.message.is_some()
    }
}

/// What the sink shares with the task that watches over its client.
struct Desk {
    uplink: Uplink,
    ledger: RefCell<Ledger>,
    pushed: Notify,
}

/// What the session holds of a response. Dropping it closes with 4000.
struct ResponseSink {
    desk: Rc<Desk>,
    told: mpsc::Sender<Told>,
    message: Option<Bytes>,
    is_closed: bool,
}

impl ResponseSink {
    /// The channel has room for all that the ledger lets through; it is closed where the client is gone.
    fn tell(&self, what: Told) -> Result<(), PushError> {
        let told = self.told.try_send(what).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => PushError::Full,
            mpsc::error::TrySendError::Closed(_) => PushError::Closed,
        });
        self.desk.pushed.notify_one();
        told
    }
}

impl Sink for ResponseSink {
    fn room(&self) -> (usize, usize) {
        self.desk.ledger.borrow_mut().room()
    }

    fn push(&mut self, turn: Vec<OutFrame>) -> Result<(), PushError> {
        if !turn.iter().all(|frame| self.desk.uplink.owns(frame)) {
            return Err(PushError::ForeignTag);
        }
        if self.is_closed {
            return Err(PushError::Closed);
        }
        let bytes = turn.iter().map(|frame| frame.text.len()).sum();
        {
            let mut ledger = self.desk.ledger.borrow_mut();
            ledger.take(turn.len(), bytes)?;
            for frame in &turn {
                ledger.queued(Queued::pushed(frame.text.len()));
            }
        }
        turn.into_iter()
            .try_for_each(|frame| self.tell(Told::Frame(frame.text)))
    }

    fn grant(&mut self, frames: usize) {
        if frames == 0 {
            return;
        }
        if let Some(message) = self.message.take()
            && let Delivery::Full(sending) = self.desk.uplink.arrived(DataMessage::Text(message))
        {
            actix_rt::spawn(sending);
        }
    }

    fn ping(&mut self) {
        if self.desk.ledger.borrow().is_idle() {
            self.desk.ledger.borrow_mut().queued(Queued::own(0));
            // Refused where the client is gone, which is told by the task that watches over it.
            let _ = self.tell(Told::Ping);
        }
    }

    fn close(&mut self, code: CloseCode) {
        if !std::mem::replace(&mut self.is_closed, true) {
            {
                let mut ledger = self.desk.ledger.borrow_mut();
                ledger.queued(Queued::own(0));
                ledger.close();
            }
            // As above.
            let _ = self.tell(Told::Close(code));
        }
    }
}

impl Drop for ResponseSink {
    fn drop(&mut self) {
        self.close(CloseCode::Resumable);
    }
}

/// Gives room back as the client takes frames, and judges a client that takes none while one waits. Ends with the client.
async fn watch_over(desk: Rc<Desk>, mut taken: watch::Receiver<u64>, slow: Duration, cutter: Option<Cutter>) {
    let (mut seen, mut told_alive) = (0, Instant::now());
    let end = loop {
        let is_idle = desk.ledger.borrow().is_idle();
        let took = if is_idle {
            tokio::select! {
                took = taken.changed() => took,
                () = desk.pushed.notified() => continue,
            }
        } else {
            match timeout(slow, taken.changed()).await {
                Ok(took) => took,
                Err(_) => break SinkEnd::Slow,
            }
        };
        if took.is_err() {
            break SinkEnd::Client;
        }
        let now = *taken.borrow_and_update();
        let (finished, is_ready) = {
            let mut ledger = desk.ledger.borrow_mut();
            (ledger.finished(now - seen), ledger.take_ready())
        };
        seen = now;
        if is_ready {
            desk.uplink.ready();
        }
        // Only our own say nothing else: who takes a ping lives.
        if finished.own > 0 || told_alive.elapsed() >= ALIVE_EVERY {
            told_alive = Instant::now();
            if let Delivery::Full(sending) = desk.uplink.alive() {
                sending.await;
            }
        }
    };
    desk.ledger.borrow_mut().close();
    if end == SinkEnd::Slow
        && let Some(cutter) = cutter
    {
        cutter.cut();
    }
    desk.uplink.closed(end);
}
