//! Moves the sink actor's bytes to the socket, and ends the socket: the one task of a connection.
//!
//! It polls the actor also while the socket can't be written, so that pushes, grants and closes get through behind a client
//! that reads nothing. It knows where frames end: room goes back to the session as they finish, and a client that
//! finishes none for too long is slow. There is one place that closes a connection: [`part`].

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::net::Shutdown;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use actix_http::ws::{CloseReason, Codec, Message};
use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use sessile_actors::protocol::CloseCode;
use sessile_actors::session::sink::{SinkEnd, Window};
use tokio::time::{Instant, Sleep, sleep, sleep_until, timeout};
use tokio_util::codec::Encoder;

use super::ledger::Ledger;
use super::reader::Gate;
use super::wire::{Unsent, Wire};

/// How long the last bytes and the close frame may take. Beyond: the socket is cut.
const LAST_BYTES_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a client may take to close its side, so that it reads our close frame instead of a reset.
const LINGER: Duration = Duration::from_secs(1);
/// What is read and thrown away meanwhile: about what the kernel may hold of a client that was sending. Beyond: cut.
const LINGER_BYTES: usize = 256 * 1024;
/// How much is thrown away at once.
const DISCARD_BYTES: usize = 4 * 1024;

/// Where a sink reports to.
pub trait Report {
    /// There is room again.
    fn ready(&self);
    /// The socket is over. Called once.
    fn closed(&self, end: SinkEnd);
}

/// What handle, actor and pump of one socket share. All three are on one thread.
pub(super) struct Desk<R: Report> {
    /// What is on its way out.
    pub(super) ledger: RefCell<Ledger>,
    /// Whether the client is read.
    pub(super) gate: Rc<Gate>,
    /// The session.
    pub(super) report: R,
    ending: RefCell<Option<Ending>>,
    is_reported: Cell<bool>,
}

impl<R: Report> Desk<R> {
    pub(super) fn new(window: Window, report: R) -> Self {
        Self {
            ledger: RefCell::new(Ledger::new(window)),
            gate: Rc::new(Gate::new(window.inbound)),
            report,
            ending: RefCell::new(None),
            is_reported: Cell::new(false),
        }
    }

    /// Orders the end. The first order counts.
    pub(super) fn end(&self, ending: Ending) {
        self.ledger.borrow_mut().close();
        self.ending.borrow_mut().get_or_insert(ending);
    }

    /// Tells the session that the socket is over, once.
    fn report_closed(&self, end: SinkEnd) {
        self.ledger.borrow_mut().close();
        if !self.is_reported.replace(true) {
            self.report.closed(end);
        }
    }
}

/// How a socket ends.
#[derive(Debug)]
pub(super) struct Ending {
    /// The close frame; none where nobody would read it.
    close: Option<Message>,
    /// What the session is told.
    end: SinkEnd,
}

impl Ending {
    /// Ends with a close frame of ours.
    pub(super) fn with(code: &CloseCode, end: SinkEnd) -> Self {
        Self::saying(code, code.reason().into_owned(), end)
    }

    /// The same, with a sentence of its own.
    pub(super) fn saying(code: &CloseCode, reason: String, end: SinkEnd) -> Self {
        Self {
            close: Some(Message::Close(Some((code.code().into(), reason).into()))),
            end,
        }
    }

    /// Answers the client's close frame with the same one (RFC 6455, section 5.5.1).
    pub(super) fn echo(close: Option<CloseReason>) -> Self {
        Self {
            close: Some(Message::Close(close)),
            end: SinkEnd::Client,
        }
    }

    /// The connection is broken: there is nobody to tell.
    pub(super) fn broken() -> Self {
        Self {
            close: None,
            end: SinkEnd::Client,
        }
    }
}

/// Runs one connection from its first byte to its last. `actor` is the sink actor; dropping it ends the actor.
#[expect(
    clippy::manual_async_fn,
    reason = "an async fn moves its arguments: the task would keep room for the actor twice, 1504 bytes instead of 800"
)]
pub(super) fn run<W: Wire, R: Report, E>(
    wire: Rc<W>,
    desk: Rc<Desk<R>>,
    mut actor: impl Stream<Item = Result<Bytes, E>> + Unpin,
    slow_after: Duration,
) -> impl Future<Output = ()> {
    async move {
        // Also where the actor panics: the session must hear that its socket is gone.
        let _last_word = LastWord(Rc::clone(&desk));
        let mut unsent = Unsent::default();
        let mut patience = None;
        let ending = poll_fn(|cx| {
            let actor = Pin::new(&mut actor);
            turn(&*wire, &desk, actor, &mut unsent, &mut patience, slow_after, cx)
        })
        .await;
        drop(actor);
        // Boxed: the task of a live socket keeps no room for its end.
        Box::pin(part(wire, desk, unsent, ending)).await;
    }
}

struct LastWord<R: Report>(Rc<Desk<R>>);

impl<R: Report> Drop for LastWord<R> {
    fn drop(&mut self) {
        self.0.report_closed(SinkEnd::Client);
    }
}

/// One turn: what the actor has, what the socket takes, what the session is to know.
fn turn<W: Wire, R: Report, E>(
    wire: &W,
    desk: &Desk<R>,
    mut actor: Pin<&mut impl Stream<Item = Result<Bytes, E>>>,
    unsent: &mut Unsent,
    patience: &mut Option<Pin<Box<Sleep>>>,
    slow_after: Duration,
    cx: &mut Context<'_>,
) -> Poll<Ending> {
    loop {
        match actor.as_mut().poll_next(cx) {
            Poll::Ready(Some(Ok(chunk))) => unsent.push(chunk),
            Poll::Ready(Some(Err(_)) | None) => {
                let ending = desk.ending.borrow_mut().take();
                return Poll::Ready(ending.unwrap_or_else(|| Ending::with(&CloseCode::Resumable, SinkEnd::Ours)));
            }
            Poll::Pending => break,
        }
    }
    let mut has_progress = false;
    while !unsent.is_empty() {
        match unsent.poll_write(wire, cx) {
            Poll::Ready(Ok(written)) => {
                let finished = desk.ledger.borrow_mut().wrote(written);
                desk.gate.own_finished(finished.own);
                has_progress |= finished.pushed + finished.own > 0;
            }
            Poll::Ready(Err(_)) => return Poll::Ready(Ending::broken()),
            Poll::Pending => break,
        }
    }
    if desk.ledger.borrow_mut().take_ready() {
        desk.report.ready();
    }
    if unsent.is_empty() {
        *patience = None;
        return Poll::Pending;
    }
    if has_progress {
        *patience = None;
    }
    let sleep = patience.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + slow_after)));
    ready!(sleep.as_mut().poll(cx));
    Poll::Ready(Ending::with(&CloseCode::SlowClient, SinkEnd::Slow))
}

/// Ends the connection: the last bytes, the close frame, a short wait for the client's side, the cut.
async fn part<W: Wire, R: Report>(wire: Rc<W>, desk: Rc<Desk<R>>, mut unsent: Unsent, ending: Ending) {
    if ending.end == SinkEnd::Slow {
        // What stands behind the frame under way would only make the client wait for the verdict; it comes back by resume.
        unsent.truncate(desk.ledger.borrow().rest_of_frame());
    }
    // Where the session ended it, it may wait for the last bytes; else it hears at once and can go on without the socket.
    if ending.end != SinkEnd::Ours {
        desk.report_closed(ending.end);
    }
    if let Some(close) = ending.close {
        unsent.push(encoded(close));
        let is_sent = timeout(LAST_BYTES_TIMEOUT, poll_fn(|cx| unsent.poll_flush(&*wire, cx))).await;
        if matches!(is_sent, Ok(Ok(()))) && wire.shutdown(Shutdown::Write).is_ok() {
            desk.report_closed(ending.end);
            discard(&*wire).await;
        }
    }
    desk.report_closed(ending.end);
    // A socket that the client has closed already says so; there is nothing left to do about it.
    let _ = wire.shutdown(Shutdown::Both);
}

/// Reads and forgets until the client closes its side, at most [`LINGER_BYTES`] and [`LINGER`].
async fn discard<W: Wire>(wire: &W) {
    let mut scratch = BytesMut::with_capacity(DISCARD_BYTES);
    let mut left = LINGER_BYTES;
    let until_closed = poll_fn(|cx| {
        while left > 0 {
            ready!(wire.poll_read_ready(cx))?;
            scratch.clear();
            match wire.try_read(&mut scratch) {
                Ok(0) => break,
                Ok(read) => left = left.saturating_sub(read),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(io::Result::Ok(()))
    });
    tokio::select! {
        _ = until_closed => {}
        () = sleep(LINGER) => {}
    }
}

fn encoded(message: Message) -> Bytes {
    let mut frame = BytesMut::new();
    Codec::new()
        .encode(message, &mut frame)
        .expect("the codec refuses continuation frames only");
    frame.freeze()
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use tokio::sync::mpsc;
    use tokio::task::{LocalSet, spawn_local, yield_now};

    use super::super::fake_wire::FakeWire;
    use super::super::ledger::Queued;
    use super::*;

    const WINDOW: Window = Window {
        frames: 4,
        bytes: 1000,
        inbound: 1,
    };
    const SLOW_AFTER: Duration = Duration::from_secs(15);

    #[tokio::test(start_paused = true)]
    async fn the_actor_is_polled_while_the_socket_takes_nothing() {
        run_local(async {
            let line = Line::open();
            line.push(&[100]);
            line.push(&[100]);
            settle().await;
            assert_eq!(line.desk.ledger.borrow_mut().room(), (2, 800));
            assert_eq!(line.actor.capacity(), WINDOW.frames, "the actor was not polled");
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn room_comes_back_and_is_told_as_frames_finish() {
        run_local(async {
            let line = Line::open();
            line.push(&[100, 100, 100]);
            line.wire.client_takes(102);
            settle().await;
            assert_eq!(line.desk.ledger.borrow_mut().room(), (2, 800));
            assert_eq!(line.reports(), [Told::Ready]);
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_finishes_no_frame_is_slow_and_gets_4002_behind_the_frame_under_way() {
        run_local(async {
            let line = Line::open();
            line.push(&[100, 100, 100]);
            line.wire.client_takes(150);
            settle().await;
            tokio::time::sleep(SLOW_AFTER - Duration::from_millis(1)).await;
            assert!(!line.reports().contains(&Told::Closed(SinkEnd::Slow)));
            tokio::time::sleep(Duration::from_millis(2)).await;
            assert_eq!(line.reports(), [Told::Ready, Told::Closed(SinkEnd::Slow)]);
            line.wire.client_takes(10_000);
            line.wire.client_ends();
            settle().await;
            let written = line.wire.written.borrow();
            assert_eq!(written[204..206], [0x88, (written.len() - 206) as u8]);
            assert_eq!(written[206..208], 4002_u16.to_be_bytes());
            assert_eq!(*line.wire.shut.borrow(), [Shutdown::Write, Shutdown::Both]);
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_finishes_a_frame_now_and_then_is_not_slow() {
        run_local(async {
            let line = Line::open();
            line.push(&[100, 100, 100, 100]);
            for _ in 0..4 {
                tokio::time::sleep(SLOW_AFTER - Duration::from_secs(1)).await;
                line.wire.client_takes(102);
            }
            tokio::time::sleep(SLOW_AFTER * 10).await;
            assert!(line.reports().iter().all(|told| *told == Told::Ready));
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_wedged_client_is_cut_ten_seconds_after_the_verdict_and_reported_once() {
        run_local(async {
            let line = Line::open();
            line.push(&[100]);
            tokio::time::sleep(SLOW_AFTER + LAST_BYTES_TIMEOUT + Duration::from_secs(1)).await;
            assert_eq!(line.reports(), [Told::Closed(SinkEnd::Slow)]);
            assert_eq!(*line.wire.shut.borrow(), [Shutdown::Both]);
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn our_close_comes_after_what_was_pushed_and_is_reported_when_it_is_written() {
        run_local(async {
            let line = Line::open();
            line.push(&[3]);
            line.desk.end(Ending::with(&CloseCode::TakenOver, SinkEnd::Ours));
            let (wire, desk) = (Rc::clone(&line.wire), Rc::clone(&line.desk));
            let told = line.hang_up();
            settle().await;
            assert!(told.borrow().is_empty());
            wire.client_takes(10_000);
            settle().await;
            assert_eq!(*told.borrow(), [Told::Closed(SinkEnd::Ours)]);
            assert_eq!(wire.written.borrow()[5..9], [0x88, 2 + 37, 0x0f, 0xa1]);
            assert_eq!(desk.ledger.borrow_mut().room(), (0, 0));
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_streams_on_after_a_verdict_is_read_no_further_than_the_linger() {
        run_local(async {
            let line = Line::open();
            line.wire.client_takes(10_000);
            line.wire.client_sends(&vec![0; LINGER_BYTES * 4]);
            line.desk.end(Ending::with(&CloseCode::TooBig, SinkEnd::Fault));
            let wire = Rc::clone(&line.wire);
            let told = line.hang_up();
            settle().await;
            assert_eq!(*told.borrow(), [Told::Closed(SinkEnd::Fault)]);
            assert_eq!(wire.sent.borrow().len(), LINGER_BYTES * 3);
            assert_eq!(*wire.shut.borrow(), [Shutdown::Write, Shutdown::Both]);
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn the_session_hears_of_a_socket_whose_actor_panicked() {
        run_local(async {
            let desk = Rc::new(Desk::new(WINDOW, Reports::default()));
            let told = Rc::clone(&desk.report.0);
            let actor = futures_util::stream::poll_fn(|_| -> Poll<Option<Result<Bytes, Infallible>>> {
                panic!("a planted panic");
            });
            let pump = run(Rc::new(FakeWire::default()), desk, actor, SLOW_AFTER);
            assert!(spawn_local(pump).await.is_err());
            assert_eq!(*told.borrow(), [Told::Closed(SinkEnd::Client)]);
        })
        .await;
    }

    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Told {
        Ready,
        Closed(SinkEnd),
    }

    #[derive(Default)]
    struct Reports(Rc<RefCell<Vec<Told>>>);

    impl Report for Reports {
        fn ready(&self) {
            self.0.borrow_mut().push(Told::Ready);
        }
        fn closed(&self, end: SinkEnd) {
            self.0.borrow_mut().push(Told::Closed(end));
        }
    }

    /// A running pump, with a channel where the actor would be.
    struct Line {
        wire: Rc<FakeWire>,
        desk: Rc<Desk<Reports>>,
        actor: mpsc::Sender<Bytes>,
    }

    impl Line {
        fn open() -> Self {
            let (wire, desk) = (
                Rc::new(FakeWire::default()),
                Rc::new(Desk::new(WINDOW, Reports::default())),
            );
            let (actor, mut chunks) = mpsc::channel(WINDOW.frames);
            let chunks = futures_util::stream::poll_fn(move |cx| {
                chunks.poll_recv(cx).map(|chunk| chunk.map(Ok::<_, Infallible>))
            });
            spawn_local(run(Rc::clone(&wire), Rc::clone(&desk), chunks, SLOW_AFTER));
            Self { wire, desk, actor }
        }

        /// Pushes frames with such payloads as one turn.
        fn push(&self, payloads: &[usize]) {
            let mut ledger = self.desk.ledger.borrow_mut();
            ledger.take(payloads.len(), payloads.iter().sum()).unwrap();
            let mut turn = BytesMut::new();
            for payload in payloads {
                ledger.queued(Queued::pushed(*payload));
                let text = String::from_utf8(vec![b'x'; *payload]).unwrap();
                Codec::new().encode(Message::Text(text.into()), &mut turn).unwrap();
            }
            self.actor.try_send(turn.freeze()).unwrap();
        }

        fn reports(&self) -> Vec<Told> {
            self.desk.report.0.borrow().clone()
        }

        /// Ends the actor, as its context does after `stop`.
        fn hang_up(self) -> Rc<RefCell<Vec<Told>>> {
            Rc::clone(&self.desk.report.0)
        }
    }

    async fn run_local(test: impl Future<Output = ()>) {
        LocalSet::new().run_until(test).await;
    }

    /// Lets every task run until all of them wait, without letting time pass.
    async fn settle() {
        for _ in 0..20 {
            yield_now().await;
        }
    }
}
