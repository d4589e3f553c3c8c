//! A client that keeps every byte, can be cut at any frame, and whose socket can be made to panic in its session's hands.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use sessile_actors::context::{Roles, SessionContext};
use sessile_actors::ids::{Epoch, MessageId, Seq, SessionId};
use sessile_actors::protocol::CloseCode;
use sessile_actors::protocol::server::is_terminal_kind;
use sessile_actors::session::actor::{FrameArrived, Resume, SinkClosed, SinkReady};
use sessile_actors::session::sink::{OutFrame, PushError, Sink, SinkEnd, Socket, Uplink, Window};
use sessile_actors::supervisor::{Admit, AttachSocket};
use sessile_actors::testing::{World, user};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::brittle::die;

/// Frames that a client may have on their way.
pub const WINDOW: usize = 4;

/// How long a client waits for a frame before it takes it that none comes now.
const QUIET: Duration = Duration::from_millis(50);

/// How long it waits before it connects again.
const BACK_OFF: Duration = Duration::from_millis(500);

/// What the client's side and the session's side of a socket share.
#[derive(Default)]
struct Line {
    frames: AtomicUsize,
    bytes: AtomicUsize,
    granted: AtomicUsize,
    /// The session's next push panics.
    breaks: AtomicBool,
}

struct TestSocket {
    line: Arc<Line>,
    out: mpsc::UnboundedSender<Bytes>,
    opened: oneshot::Sender<Uplink>,
}

impl Socket for TestSocket {
    fn open(self: Box<Self>, uplink: Uplink, window: Window) -> io::Result<Box<dyn Sink>> {
        self.line.granted.store(window.inbound, Ordering::Relaxed);
        let tag = uplink.tag;
        self.opened.send(uplink).ok();
        Ok(Box::new(TestSink {
            line: self.line,
            out: Some(self.out),
            window,
            tag,
        }))
    }
}

struct TestSink {
    line: Arc<Line>,
    out: Option<mpsc::UnboundedSender<Bytes>>,
    window: Window,
    tag: SessionId,
}

impl Sink for TestSink {
    fn room(&self) -> (usize, usize) {
        let free = |all: usize, used: &AtomicUsize| all.saturating_sub(used.load(Ordering::Relaxed));
        (
            free(self.window.frames, &self.line.frames),
            free(self.window.bytes, &self.line.bytes),
        )
    }

    fn push(&mut self, turn: Vec<OutFrame>) -> Result<(), PushError> {
        if self.line.breaks.swap(false, Ordering::Relaxed) {
            die();
        }
        let (frames, bytes) = self.room();
        let size: usize = turn.iter().map(|frame| frame.text.len()).sum();
        let alone = turn.len() == 1 && frames == self.window.frames;
        assert!(turn.len() <= frames, "no more frames than there is room for");
        assert!(size <= bytes || alone, "no more bytes than there is room for");
        let out = self.out.as_ref().ok_or(PushError::Closed)?;
        for frame in turn {
            assert_eq!(frame.tag, self.tag, "a frame of its own session");
            self.line.frames.fetch_add(1, Ordering::Relaxed);
            self.line.bytes.fetch_add(frame.text.len(), Ordering::Relaxed);
            out.send(frame.text).map_err(|_| PushError::Closed)?;
        }
        Ok(())
    }

    fn grant(&mut self, frames: usize) {
        let granted = self.line.granted.fetch_add(frames, Ordering::Relaxed) + frames;
        assert!(granted <= WINDOW, "no more grants than frames may be on their way");
    }

    fn ping(&mut self) {}

    fn close(&mut self, _: CloseCode) {
        self.out = None;
    }
}

struct Wire {
    line: Arc<Line>,
    uplink: Uplink,
    incoming: mpsc::UnboundedReceiver<Bytes>,
    /// The last event that came on this socket.
    at: u64,
    /// A run's end came, and the frame that the seed system's clients wait for is due.
    tail_due: bool,
}

/// A client of one session.
pub struct Client<'w> {
    world: &'w World,
    user: &'static str,
    /// Whether it speaks the seed system's dialect.
    legacy: bool,
    session: Option<(SessionId, Epoch)>,
    wire: Option<Wire>,
    /// Every event that was seen, by `seq`.
    pub seen: BTreeMap<u64, Bytes>,
    /// Every reply to a message, by the message.
    pub replies: BTreeMap<String, Vec<Value>>,
    /// Every frame that was seen, as text.
    pub texts: Vec<Bytes>,
}

impl<'w> Client<'w> {
    pub fn new(world: &'w World, user: &'static str, legacy: bool) -> Self {
        Self {
            world,
            user,
            legacy,
            session: None,
            wire: None,
            seen: BTreeMap::new(),
            replies: BTreeMap::new(),
            texts: Vec::new(),
        }
    }

    pub fn context(&self) -> SessionContext {
        let (session, _) = self.session.expect("it was connected");
        SessionContext::new(user(self.user), session)
    }

    /// The last event that the client has.
    pub fn last_seq(&self) -> u64 {
        self.seen.last_key_value().map_or(0, |(seq, _)| *seq)
    }

    /// Connects after `last_seq`, again and again until the session says hello.
    pub async fn connect(&mut self, last_seq: u64) {
        for _ in 0..200 {
            self.wire = self.try_connect(last_seq).await;
            if self.wire.is_some() && self.read(1).await == 1 {
                return;
            }
            tokio::time::sleep(BACK_OFF).await;
        }
        panic!("{} can't connect to its session", self.user);
    }

    async fn try_connect(&mut self, last_seq: u64) -> Option<Wire> {
        let supervisor = self.world.supervisor();
        let resume = self.session.map(|(session, _)| session);
        let admit = Admit {
            user: user(self.user),
            resume,
        };
        let reservation = supervisor.send(admit).await.expect("the supervisor lives").ok()?;
        let (out, incoming) = mpsc::unbounded_channel();
        let (opened, uplink) = oneshot::channel();
        let line = Arc::new(Line::default());
        let socket = TestSocket {
            line: Arc::clone(&line),
            out,
            opened,
        };
        let attach = AttachSocket {
            reservation,
            socket: Box::new(socket),
            resume: self.session.map(|(_, epoch)| Resume {
                last_seq: Seq(last_seq),
                epoch: Some(epoch),
            }),
            legacy: self.legacy,
            expires_at: None,
            roles: Roles::none(),
        };
        supervisor.send(attach).await.expect("the supervisor lives");
        Some(Wire {
            line,
            // The session may die before it opens the socket.
            uplink: timeout(Duration::from_secs(30), uplink).await.ok()?.ok()?,
            incoming,
            at: last_seq,
            tail_due: false,
        })
    }

    /// Goes on after the last event that it has, unless it is connected.
    pub async fn resume(&mut self) {
        if self.wire.is_none() {
            self.connect(self.last_seq()).await;
        }
    }

    /// Drops the connection: what was not read is lost with it.
    pub async fn cut(&mut self) {
        if let Some(wire) = self.wire.take() {
            let closed = SinkClosed {
                generation: wire.uplink.generation,
                end: SinkEnd::Client,
            };
            wire.uplink.session.send(closed).await.ok();
        }
    }

    /// The session's next push panics.
    pub fn break_push(&self) {
        if let Some(wire) = &self.wire {
            wire.line.breaks.store(true, Ordering::Relaxed);
        }
    }

    /// Reads at most this many frames that come now; returns how many came.
    pub async fn read(&mut self, most: usize) -> usize {
        for count in 0..most {
            let Some(wire) = &mut self.wire else { return count };
            match timeout(QUIET, wire.incoming.recv()).await {
                Ok(Some(text)) => self.take(text),
                Ok(None) => {
                    self.wire = None;
                    return count;
                }
                Err(_) => return count,
            }
        }
        most
    }

    fn take(&mut self, text: Bytes) {
        let wire = self.wire.as_mut().expect("it came on a wire");
        wire.line.frames.fetch_sub(1, Ordering::Relaxed);
        wire.line.bytes.fetch_sub(text.len(), Ordering::Relaxed);
        let generation = wire.uplink.generation;
        // A session that has ended needs no room.
        wire.uplink.session.try_send(SinkReady { generation }).ok();
        let frame: Value = serde_json::from_slice(&text).expect("the server sends JSON");
        self.texts.push(text.clone());
        let kind = frame["type"].as_str().expect("a frame has a type");
        let is_tail = matches!(kind, "final_report" | "error") && frame["payload"]["reply_to"].is_null();
        assert_eq!(
            is_tail, wire.tail_due,
            "right after each end, and nowhere else: {frame}"
        );
        wire.tail_due = self.legacy && is_terminal_kind(kind);
        if let Some(seq) = frame["seq"].as_u64() {
            assert_eq!(seq, wire.at + 1, "a hole, a repeat or a swap in seq");
            wire.at = seq;
            let first = self.seen.entry(seq).or_insert_with(|| text.clone());
            assert_eq!(*first, text, "an event is the same each time it is sent");
        }
        let payload = &frame["payload"];
        match frame["type"].as_str() {
            Some("connection_established") => {
                let text = |key: &str| payload[key].as_str().expect("the server names it");
                let session = text("session_id").parse().expect("an id");
                self.session = Some((session, text("epoch").parse().expect("an epoch")));
            }
            Some("message_accepted") => self.replied(&payload["message_id"], &frame),
            // The seed system's dialect tells failed runs by errors that answer no frame.
            Some("error") if self.legacy && payload["reply_to"].is_null() => {}
            Some("error") => self.replied(&payload["reply_to"], &frame),
            Some("resync") => panic!("nothing is gone from a test's journal: {frame}"),
            _ => {}
        }
    }

    fn replied(&mut self, to: &Value, frame: &Value) {
        let to = to.as_str().expect("a test's frames have ids").to_owned();
        self.replies.entry(to).or_default().push(frame.clone());
    }

    /// Sends a frame, if the session granted one and lives.
    pub async fn send(&mut self, frame: Value) {
        let Some(wire) = &self.wire else { return };
        let granted = &wire.line.granted;
        let took = granted.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        if took.is_ok() {
            let arrived = FrameArrived {
                generation: wire.uplink.generation,
                text: frame.to_string().into(),
            };
            wire.uplink.session.send(arrived).await.ok();
        }
    }

    /// How many frames more it may send now.
    pub fn granted(&self) -> usize {
        let wire = self.wire.as_ref().expect("it is connected");
        wire.line.granted.load(Ordering::Relaxed)
    }

    pub async fn say(&mut self, id: MessageId, payload: &Value) {
        self.send(json!({ "type": "user_message", "message_id": id, "payload": payload }))
            .await;
    }
}
