//! A client without a network: it speaks frames, reads at its own pace, and can be cut anywhere.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::ids::{Epoch, MessageId, SessionId};
use crate::protocol::CloseCode;
use crate::protocol::server::is_terminal_kind;
use crate::session::actor::{FrameArrived, SignOfLife, SinkClosed, SinkReady};
use crate::session::sink::{OutFrame, PushError, Sink, SinkEnd, Socket, Uplink, Window};

/// How a probe's socket ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// With a close frame.
    Closed(CloseCode),
    /// Without one.
    Dropped,
}

enum Out {
    Frame(Bytes),
    End(Ending),
}

/// What sink and probe share: how much is on its way, and what the probe may send.
struct Line {
    frames: AtomicUsize,
    bytes: AtomicUsize,
    grants: Semaphore,
}

/// A client of one session.
pub struct Probe {
    user: String,
    line: Arc<Line>,
    incoming: mpsc::UnboundedReceiver<Out>,
    uplink: Option<oneshot::Receiver<Uplink>>,
    session: Option<Uplink>,
    established: Value,
    last_seq: u64,
    ending: Option<Ending>,
}

impl Probe {
    /// A probe that has taken everything up to `taken`, and its socket.
    pub(super) fn pair(user: &str, taken: u64) -> (Self, ProbeSocket) {
        let line = Arc::new(Line {
            frames: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            grants: Semaphore::new(0),
        });
        let (outgoing, incoming) = mpsc::unbounded_channel();
        let (tell_uplink, uplink) = oneshot::channel();
        let probe = Self {
            user: user.to_owned(),
            line: Arc::clone(&line),
            incoming,
            uplink: Some(uplink),
            session: None,
            established: Value::Null,
            last_seq: taken,
            ending: None,
        };
        let socket = ProbeSocket {
            line,
            outgoing,
            tell_uplink,
        };
        (probe, socket)
    }

    pub(super) async fn establish(&mut self) {
        self.until("connection_established").await;
    }

    /// The user's name.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }

    /// What `connection_established` said.
    #[must_use]
    pub fn established(&self) -> &Value {
        &self.established["payload"]
    }

    /// The session.
    ///
    /// # Panics
    /// Before the connection was established.
    #[must_use]
    pub fn session_id(&self) -> SessionId {
        let id = self.established()["session_id"]
            .as_str()
            .expect("an established connection");
        id.parse().expect("the server names a session")
    }

    /// The lineage of the log.
    ///
    /// # Panics
    /// Before the connection was established.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        let id = self.established()["epoch"].as_str().expect("an established connection");
        id.parse().expect("the server names an epoch")
    }

    /// The last event taken.
    #[must_use]
    pub fn last_seq(&self) -> u64 {
        self.last_seq
    }

    /// Sends a frame.
    ///
    /// # Panics
    /// Where the session does not take it: it ended, or granted nothing for two minutes.
    pub async fn send(&mut self, frame: Value) {
        self.send_text(&frame.to_string()).await;
    }

    /// Sends any text.
    ///
    /// # Panics
    /// As [`Probe::send`].
    pub async fn send_text(&mut self, text: &str) {
        let uplink = self.uplink().await;
        let grant = tokio::time::timeout(super::PATIENCE, self.line.grants.acquire())
            .await
            .expect("the session grants a frame")
            .expect("grants are never closed");
        grant.forget();
        let frame = FrameArrived {
            generation: uplink.generation,
            text: Bytes::copy_from_slice(text.as_bytes()),
        };
        uplink.session.send(frame).await.expect("the session lives");
    }

    /// Sends a message to the default agent; returns its id.
    pub async fn say(&mut self, content: &str) -> MessageId {
        self.message(json!({ "content": content })).await
    }

    /// Sends a `user_message` with this payload; returns its id.
    pub async fn message(&mut self, payload: Value) -> MessageId {
        let id = MessageId::mint();
        self.send(json!({"type": "user_message", "message_id": id, "payload": payload}))
            .await;
        id
    }

    /// The next frame. None when the socket has ended; see [`Probe::ending`].
    ///
    /// # Panics
    /// Where nothing comes for two minutes, or an event breaks the line of `seq`.
    pub async fn next(&mut self) -> Option<Value> {
        if self.ending.is_some() {
            return None;
        }
        let out = tokio::time::timeout(super::PATIENCE, self.incoming.recv())
            .await
            .unwrap_or_else(|_| panic!("{} waited for a frame in vain, after seq {}", self.user, self.last_seq));
        match out {
            Some(Out::Frame(text)) => {
                self.line.frames.fetch_sub(1, Ordering::Relaxed);
                self.line.bytes.fetch_sub(text.len(), Ordering::Relaxed);
                let uplink = self.uplink().await;
                let ready = SinkReady {
                    generation: uplink.generation,
                };
                // A session that has ended needs no room.
                let _ = uplink.session.try_send(ready);
                let frame: Value = serde_json::from_slice(&text).expect("the server sends JSON");
                if let Some(seq) = frame["seq"].as_u64() {
                    assert_eq!(
                        seq,
                        self.last_seq + 1,
                        "{}: a hole, a repeat or a swap in seq",
                        self.user
                    );
                    self.last_seq = seq;
                }
                if frame["type"] == "connection_established" {
                    self.established = frame.clone();
                }
                if frame["type"] == "resync" {
                    self.last_seq = frame["payload"]["as_of_seq"].as_u64().expect("a snapshot has a place");
                }
                Some(frame)
            }
            Some(Out::End(ending)) => {
                self.ending = Some(ending);
                None
            }
            None => {
                self.ending = Some(Ending::Dropped);
                None
            }
        }
    }

    /// Reads until a frame of this type.
    ///
    /// # Panics
    /// Where the socket ends before.
    pub async fn until(&mut self, kind: &str) -> Value {
        self.collect_until(kind).await.pop().expect("it ends with that frame")
    }

    /// Reads up to and with a frame of this type.
    ///
    /// # Panics
    /// Where the socket ends before.
    pub async fn collect_until(&mut self, kind: &str) -> Vec<Value> {
        let mut frames = Vec::new();
        loop {
            let Some(frame) = self.next().await else {
                panic!(
                    "{}: the socket ended ({:?}) before {kind}; had {frames:#?}",
                    self.user, self.ending
                );
            };
            let found = frame["type"] == kind;
            frames.push(frame);
            if found {
                return frames;
            }
        }
    }

    /// Reads up to and with the end of a run.
    ///
    /// # Panics
    /// Where the socket ends before.
    pub async fn run_to_end(&mut self) -> Vec<Value> {
        let mut frames = Vec::new();
        loop {
            let frame = self.next().await.expect("the socket lives until the run has ended");
            let ended = frame["type"].as_str().is_some_and(is_terminal_kind);
            frames.push(frame);
            if ended {
                return frames;
            }
        }
    }

    /// Reads until the socket ends.
    pub async fn closed(&mut self) -> Ending {
        while self.next().await.is_some() {}
        self.ending.clone().expect("the loop ends with the socket")
    }

    /// How the socket ended, once it has.
    #[must_use]
    pub fn ending(&self) -> Option<&Ending> {
        self.ending.as_ref()
    }

    /// What has arrived and not been read, in frames.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.incoming.len()
    }

    /// Cuts the socket, as a lost connection would. What was not read is lost with it.
    pub async fn cut(&mut self) {
        let uplink = self.uplink().await;
        let closed = SinkClosed {
            generation: uplink.generation,
            end: SinkEnd::Client,
        };
        uplink.session.send(closed).await.ok();
        self.incoming.close();
        self.ending = Some(Ending::Dropped);
    }

    async fn uplink(&mut self) -> Uplink {
        if let Some(coming) = self.uplink.take() {
            self.session = Some(coming.await.expect("the session opens its socket"));
        }
        self.session.clone().expect("set above")
    }
}

/// The socket of a probe.
pub struct ProbeSocket {
    line: Arc<Line>,
    outgoing: mpsc::UnboundedSender<Out>,
    tell_uplink: oneshot::Sender<Uplink>,
}

impl Socket for ProbeSocket {
    fn open(self: Box<Self>, uplink: Uplink, window: Window) -> io::Result<Box<dyn Sink>> {
        self.line.grants.add_permits(window.inbound);
        // A probe that was dropped meanwhile needs no uplink.
        let _ = self.tell_uplink.send(uplink.clone());
        Ok(Box::new(ProbeSink {
            uplink,
            window,
            line: self.line,
            outgoing: self.outgoing,
            closed: false,
        }))
    }
}

struct ProbeSink {
    uplink: Uplink,
    window: Window,
    line: Arc<Line>,
    outgoing: mpsc::UnboundedSender<Out>,
    closed: bool,
}

impl Sink for ProbeSink {
    fn room(&self) -> (usize, usize) {
        (
            self.window
                .frames
                .saturating_sub(self.line.frames.load(Ordering::Relaxed)),
            self.window
                .bytes
                .saturating_sub(self.line.bytes.load(Ordering::Relaxed)),
        )
    }

    fn push(&mut self, turn: Vec<OutFrame>) -> Result<(), PushError> {
        if turn.iter().any(|frame| frame.tag != self.uplink.tag) {
            return Err(PushError::ForeignTag);
        }
        for OutFrame { text, .. } in turn {
            self.line.frames.fetch_add(1, Ordering::Relaxed);
            self.line.bytes.fetch_add(text.len(), Ordering::Relaxed);
            self.outgoing.send(Out::Frame(text)).map_err(|_| PushError::Closed)?;
        }
        Ok(())
    }

    fn grant(&mut self, frames: usize) {
        self.line.grants.add_permits(frames);
    }

    fn ping(&mut self) {
        // A client answers, whether its user reads or not.
        let _ = self.uplink.session.try_send(SignOfLife {
            generation: self.uplink.generation,
        });
    }

    fn close(&mut self, code: CloseCode) {
        self.closed = true;
        // A probe that was dropped needs no close.
        let _ = self.outgoing.send(Out::End(Ending::Closed(code)));
    }
}

impl Drop for ProbeSink {
    fn drop(&mut self) {
        if !self.closed {
            let _ = self.outgoing.send(Out::End(Ending::Closed(CloseCode::Resumable)));
        }
    }
}
