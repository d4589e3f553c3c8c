//! The session's side of its socket: who is attached, what the client sent, what it gets next.

mod messages;
mod replay;
mod turn;

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use actix::prelude::*;
use bytes::Bytes;
pub use messages::{Attach, FrameArrived, Resume, SignOfLife, SinkClosed, SinkReady};
use tokio::time::Instant;
use tracing::{debug, info, warn};
use turn::Turn;

use super::{Standing, UserSessionActor};
use crate::ids::{AttachGen, MessageId, RequestId, RunId, Seq, ThreadId};
use crate::infra::journal::StoredEvent;
use crate::limits::Limits;
use crate::protocol::client::ClientFrame;
use crate::protocol::server::{Control, rfc3339};
use crate::protocol::{CloseCode, SUBPROTOCOL};
use crate::session::engine::{Arrived, Fresh, Input};
use crate::session::sink::{OutFrame, Sink, SinkEnd, Socket, Uplink, Window};

/// How long before its end a credential's owner is asked for a new one.
const REAUTH_BEFORE: Duration = Duration::from_secs(60);

/// A drained client comes back after this at the earliest, so that a restart has begun.
const DRAIN_RETRY: Duration = Duration::from_millis(500);

/// What a session knows of its socket.
pub(super) struct Socketry {
    generation: AttachGen,
    attached: Option<Attached>,
    control_frames: usize,
    control_bytes: usize,
}

/// The socket that is attached.
struct Attached {
    sink: Box<dyn Sink>,
    legacy: bool,
    /// Replies that wait for room.
    control: VecDeque<Bytes>,
    control_bytes: usize,
    /// Grants held back while too many replies wait.
    owed: usize,
    /// Frames that the sink may still hand over. At zero nothing is read, signs of life included.
    credit: usize,
    /// Events wait for a snapshot that is being read.
    holds: bool,
    reading: bool,
    /// What is being read was asked for before a thread was deleted, and may still hold what was said in it.
    stale: bool,
    /// What was read back and not yet sent.
    page: Vec<StoredEvent>,
    last_heard: Instant,
    last_ping: Instant,
    expires_at: Option<SystemTime>,
    reauth_asked: bool,
}

impl Socketry {
    pub fn new(limits: &Limits) -> Self {
        Self {
            generation: AttachGen::ZERO,
            attached: None,
            control_frames: limits.control_frames_waiting,
            control_bytes: limits.control_bytes_waiting,
        }
    }

    pub fn is_attached(&self) -> bool {
        self.attached.is_some()
    }

    /// Forgets events that were read back: a thread was deleted, and the journal has them erased.
    pub fn forget_page(&mut self) {
        if let Some(attached) = &mut self.attached {
            attached.page.clear();
            attached.stale = attached.reading;
        }
    }

    /// The credential was renewed.
    pub fn prolong(&mut self, expires_at: Option<SystemTime>) {
        if let Some(attached) = &mut self.attached {
            attached.expires_at = expires_at;
            attached.reauth_asked = false;
        }
    }

    /// The attached socket, if it is the one of this generation.
    fn of(&mut self, generation: AttachGen) -> Option<&mut Attached> {
        if self.generation == generation {
            self.attached.as_mut()
        } else {
            None
        }
    }
}

impl Attached {
    fn queue(&mut self, reply: Option<Bytes>) {
        self.control_bytes += reply.as_ref().map_or(0, Bytes::len);
        self.control.extend(reply);
    }

    fn backlogged(&self, frames: usize, bytes: usize) -> bool {
        self.control.len() >= frames || self.control_bytes >= bytes
    }
}

impl Handler<Attach> for UserSessionActor {
    type Result = ();

    fn handle(&mut self, attach: Attach, ctx: &mut Context<Self>) {
        self.attaches += 1;
        if self.open.is_none() {
            // The journal has not answered yet. A second early socket takes the first one's place.
            if let Some(earlier) = self.early.replace(attach) {
                self.refuse_socket(earlier.socket, CloseCode::TakenOver);
            }
            return;
        }
        self.attach(attach, ctx);
    }
}

impl UserSessionActor {
    /// Attaches a socket: says who and where we are, then everything after what the client has.
    pub(super) fn attach(&mut self, attach: Attach, ctx: &mut Context<Self>) {
        let Some(open) = &mut self.open else { return };
        let head = open.outbox.committed_seq();
        let known = match attach.resume {
            Some(_) if attach.socket.begins_at_head() => head,
            Some(resume) => resume.last_seq,
            None => Seq::ZERO,
        };
        let same_log = attach
            .resume
            .and_then(|resume| resume.epoch)
            .is_none_or(|epoch| epoch == open.epoch);
        // Up to what is numbered: a snapshot may be ahead of the commit that we have been told of.
        if same_log && known >= open.outbox.next_seq() {
            warn!(parent: &self.span, %known, %head, "a client claims to have seen what was never sent");
            self.refuse_socket(attach.socket, CloseCode::ImpossibleResume);
            return self.not_attached(ctx);
        }
        let resumed = attach.resume.is_some();
        let Some((sink, credit)) = self.open_socket(attach.socket, ctx) else {
            return self.not_attached(ctx);
        };
        let Some(open) = &mut self.open else { return };
        let now = Instant::now();
        open.outbox.attach(known);
        open.standing = Standing::of(attach.roles, attach.expires_at);
        if let Some(mut older) = open.socketry.attached.replace(Attached {
            sink,
            legacy: attach.legacy,
            control: VecDeque::new(),
            control_bytes: 0,
            owed: 0,
            credit,
            holds: false,
            reading: false,
            stale: false,
            page: Vec::new(),
            last_heard: now,
            last_ping: now,
            expires_at: attach.expires_at,
            reauth_asked: false,
        }) {
            older.sink.close(CloseCode::TakenOver);
        }
        let established = Control::ConnectionEstablished {
            session_id: self.context.session(),
            user_id: self.context.user().clone(),
            epoch: open.epoch,
            head_seq: head,
            resumed,
            thread_id: open.engine.current_thread(),
            protocol: SUBPROTOCOL,
            limits: self.infra.limits.on_the_wire(),
            heartbeat_interval_ms: u64::try_from(self.infra.limits.heartbeat_interval.as_millis()).unwrap_or(u64::MAX),
        };
        let expired = known < open.floor;
        debug!(parent: &self.span, resumed, last_seq = %known, %head, "socket attached");
        self.reply(&established);
        if !same_log {
            self.resync("epoch_changed", ctx);
        } else if expired {
            self.resync("expired", ctx);
        }
        self.presence(true, ctx);
        self.input(Input::Attached, ctx);
    }

    /// The open socket, and how many frames it may hand over.
    fn open_socket(&mut self, socket: Box<dyn Socket>, ctx: &Context<Self>) -> Option<(Box<dyn Sink>, usize)> {
        let limits = &self.infra.limits;
        let open = self.open.as_deref()?;
        let generation = open.socketry.generation.next();
        let uplink = Uplink {
            session: ctx.address(),
            tag: self.context.session(),
            generation,
        };
        let window = Window {
            frames: limits.sink_frames,
            bytes: limits.sink_bytes,
            // What earlier sockets handed over and is not handled yet takes its place: reconnecting wins no frames.
            inbound: limits
                .inbox_frames
                .saturating_sub(open.engine.waiting_frames() + open.reads),
        };
        let sink = socket
            .open(uplink, window)
            .inspect_err(|fault| warn!(parent: &self.span, %fault, "a socket can't be opened"))
            .ok()?;
        // Only now: where it can't be opened, the attached one stays the one that is heard.
        self.open.as_deref_mut()?.socketry.generation = generation;
        Some((sink, window.inbound))
    }

    /// Opens a socket only to say why it is not wanted. The attached one, if any, is left alone.
    pub(super) fn refuse_socket(&self, socket: Box<dyn Socket>, code: CloseCode) {
        let Some(me) = &self.me else { return };
        let uplink = Uplink {
            session: me.clone(),
            tag: self.context.session(),
            // Of no socket that is or was attached: what it sends is ignored.
            generation: AttachGen(u64::MAX),
        };
        let window = Window {
            frames: 1,
            bytes: 0,
            inbound: 0,
        };
        match socket.open(uplink, window) {
            Ok(mut sink) => sink.close(code),
            Err(fault) => warn!(parent: &self.span, %fault, "a socket can't be opened"),
        }
    }

    /// Queues a control frame for the client. Without one it is dropped: control frames may be lost with the socket.
    pub(super) fn reply(&mut self, control: &Control) {
        let Some(open) = &mut self.open else { return };
        let Some(attached) = &mut open.socketry.attached else {
            return;
        };
        let text = control.to_text(self.context.session(), None, SystemTime::now());
        attached.queue(Some(text));
    }

    /// A frame was handled: the socket may hand over another, unless too many replies wait.
    pub(super) fn owe_grant(&mut self) {
        if let Some(attached) = self.open.as_mut().and_then(|open| open.socketry.attached.as_mut()) {
            attached.owed += 1;
        }
    }

    /// A frame that was handled asks for a read: its grant waits until that has come back, so that reads are bounded too.
    pub(super) fn hold_grant(&mut self) {
        let Some(open) = &mut self.open else { return };
        open.reads += 1;
        if let Some(attached) = &mut open.socketry.attached {
            attached.owed = attached.owed.saturating_sub(1);
        }
    }

    /// A read has come back.
    pub(super) fn answer_read(&mut self, control: &Control, ctx: &mut Context<Self>) {
        if let Some(open) = &mut self.open {
            open.reads = open.reads.saturating_sub(1);
        }
        self.reply(control);
        self.owe_grant();
        self.pump(ctx);
    }

    /// Closes the socket, if there is one, and goes on without.
    pub(super) fn close_socket(&mut self, code: CloseCode, ctx: &mut Context<Self>) {
        let Some(open) = &mut self.open else { return };
        let generation = open.socketry.generation;
        if open.socketry.is_attached() {
            debug!(parent: &self.span, code = code.code(), "socket closed");
            self.close_after_last_words(code);
            self.detach(generation, ctx);
        }
    }

    /// Sends what there is room for, the answer to what led to the close above all, then closes. What does not fit is
    /// resumed from the journal.
    fn close_after_last_words(&mut self, code: CloseCode) {
        let session = self.context.session();
        let Some(open) = self.open.as_deref_mut() else { return };
        let turn = Turn::of(open, self.infra.limits.sink_frames);
        if let Some(attached) = &mut open.socketry.attached {
            let texts = turn.map(|turn| turn.texts).unwrap_or_default();
            let frames = texts.into_iter().map(|text| OutFrame { tag: session, text }).collect();
            // A socket that is over takes nothing; its client resumes.
            let _ = attached.sink.push(frames);
            attached.sink.close(code);
        }
    }

    pub(super) fn close_for_drain(&mut self) {
        let jitter = u64::from(self.context.session().as_uuid().as_bytes()[0]) * 8;
        let retry_after_ms = u64::try_from(DRAIN_RETRY.as_millis()).unwrap_or(u64::MAX) + jitter;
        self.reply(&Control::ServerShutdown {
            message: "the server restarts; your session goes on where it stands".to_owned(),
            retry_after_ms,
        });
        self.close_after_last_words(CloseCode::Draining { retry_after_ms });
        if let Some(open) = &mut self.open {
            open.socketry.attached = None;
        }
    }

    fn detach(&mut self, generation: AttachGen, ctx: &mut Context<Self>) {
        let Some(open) = &mut self.open else { return };
        if open.socketry.of(generation).is_none() {
            return;
        }
        open.socketry.attached = None;
        debug!(parent: &self.span, "socket detached");
        self.presence(false, ctx);
        self.input(Input::Detached, ctx);
    }

    /// Forgets the bodies of events in memory: they come back from the journal, which has erased those of a deleted thread.
    pub(super) fn forget_bodies(&mut self) {
        if let Some(open) = &mut self.open {
            open.outbox.forget_window();
            open.socketry.forget_page();
        }
    }

    /// Heartbeat and the credential's end; called by the shard's ticker.
    pub(super) fn check_socket(&mut self, ctx: &mut Context<Self>) {
        let limits = &self.infra.limits;
        let Some(open) = &mut self.open else { return };
        let generation = open.socketry.generation;
        let Some(attached) = open.socketry.of(generation) else {
            return;
        };
        let now = Instant::now();
        if attached.credit == 0 {
            // We are not reading, so silence says nothing about the client.
            attached.last_heard = now;
        }
        let silent = now.saturating_duration_since(attached.last_heard);
        if silent > limits.heartbeat_interval * (limits.heartbeat_missed + 1) {
            info!(parent: &self.span, ?silent, "socket is dead");
            return self.detach(generation, ctx);
        }
        if now.saturating_duration_since(attached.last_ping) >= limits.heartbeat_interval {
            attached.last_ping = now;
            attached.sink.ping();
        }
        let Some(expires_at) = attached.expires_at else { return };
        let left = expires_at.duration_since(SystemTime::now()).unwrap_or_default();
        if left.is_zero() {
            return self.close_socket(CloseCode::CredentialExpired, ctx);
        }
        if left <= REAUTH_BEFORE && !std::mem::replace(&mut attached.reauth_asked, true) {
            self.reply(&Control::ReauthRequired {
                expires_at: rfc3339(expires_at),
            });
        }
    }
}

impl Handler<FrameArrived> for UserSessionActor {
    type Result = ();

    fn handle(&mut self, FrameArrived { generation, text }: FrameArrived, ctx: &mut Context<Self>) {
        let depth = self.infra.limits.json_depth;
        let Some(open) = &mut self.open else { return };
        // What still arrives from a socket that was taken over is ignored.
        let Some(attached) = open.socketry.of(generation) else {
            return;
        };
        attached.last_heard = Instant::now();
        attached.credit = attached.credit.saturating_sub(1);
        let read = std::str::from_utf8(&text)
            .map_err(|_| crate::protocol::client::FrameError::not_utf8())
            .and_then(|text| ClientFrame::read(text, depth));
        let input = match read {
            Ok(frame) => Input::Frame(Box::new(Arrived {
                frame,
                fresh: Fresh {
                    thread: ThreadId::mint(),
                    run: RunId::mint(),
                    request: RequestId::mint(),
                    message: MessageId::mint(),
                    answer: MessageId::mint(),
                },
            })),
            Err(fault) => Input::Faulty(fault),
        };
        self.input(input, ctx);
    }
}

impl Handler<SignOfLife> for UserSessionActor {
    type Result = ();

    fn handle(&mut self, SignOfLife { generation }: SignOfLife, _: &mut Context<Self>) {
        if let Some(attached) = self.open.as_mut().and_then(|open| open.socketry.of(generation)) {
            attached.last_heard = Instant::now();
        }
    }
}

impl Handler<SinkReady> for UserSessionActor {
    type Result = ();

    fn handle(&mut self, SinkReady { generation }: SinkReady, ctx: &mut Context<Self>) {
        if self
            .open
            .as_mut()
            .is_some_and(|open| open.socketry.of(generation).is_some())
        {
            self.pump_socket(ctx);
        }
    }
}

impl Handler<SinkClosed> for UserSessionActor {
    type Result = ();

    fn handle(&mut self, SinkClosed { generation, end }: SinkClosed, ctx: &mut Context<Self>) {
        if end == SinkEnd::Slow {
            self.infra.metrics.slow_clients.increment();
            info!(parent: &self.span, "client reads too slowly");
        }
        self.detach(generation, ctx);
    }
}
