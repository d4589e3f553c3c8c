//! The session's side of its socket: who is attached, what the client sent, what it gets next.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use actix::prelude::*;
use bytes::Bytes;
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use super::{Open, UserSessionActor};
use crate::ids::{AttachGen, Epoch, MessageId, RequestId, RunId, Seq, ThreadId};
use crate::infra::journal::{EventPage, JournalError, ReadLimit, StoredEvent};
use crate::limits::Limits;
use crate::protocol::client::{ClientFrame, Page};
use crate::protocol::server::{Control, History, rfc3339};
use crate::protocol::{CloseCode, SUBPROTOCOL};
use crate::session::engine::{Arrived, Fresh, Input};
use crate::session::outbox::Next;
use crate::session::sink::{OutFrame, PushError, Sink, SinkEnd, Socket, Uplink, Window};
use crate::supervisor::{HowEnded, Presence};

/// How long before its end a credential's owner is asked for a new one.
const REAUTH_BEFORE: Duration = Duration::from_secs(60);

/// A drained client comes back after this at the earliest, so that a restart has begun.
const DRAIN_RETRY: Duration = Duration::from_millis(500);

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
        let known = attach.resume.map_or(Seq::ZERO, |resume| resume.last_seq);
        let same_log = attach
            .resume
            .and_then(|resume| resume.epoch)
            .is_none_or(|epoch| epoch == open.epoch);
        // Up to what is numbered: a snapshot may be ahead of the commit that we have been told of.
        if same_log && known >= open.outbox.next_seq() {
            warn!(parent: &self.span, %known, %head, "a client claims to have seen what was never sent");
            return self.refuse_socket(attach.socket, CloseCode::ImpossibleResume);
        }
        let resumed = attach.resume.is_some();
        let Some(sink) = self.open_socket(attach.socket, ctx) else {
            return;
        };
        let Some(open) = &mut self.open else { return };
        let now = Instant::now();
        open.outbox.attach(known);
        if let Some(mut older) = open.socketry.attached.replace(Attached {
            sink,
            legacy: attach.legacy,
            control: VecDeque::new(),
            control_bytes: 0,
            owed: 0,
            credit: self.infra.limits.inbox_frames,
            holds: false,
            reading: false,
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

    fn open_socket(&mut self, socket: Box<dyn Socket>, ctx: &Context<Self>) -> Option<Box<dyn Sink>> {
        let limits = &self.infra.limits;
        let open = self.open.as_mut()?;
        open.socketry.generation = open.socketry.generation.next();
        let uplink = Uplink {
            session: ctx.address(),
            tag: self.context.session(),
            generation: open.socketry.generation,
        };
        let window = Window {
            frames: limits.sink_frames,
            bytes: limits.sink_bytes,
            // What earlier sockets handed over and is not handled yet takes its place: reconnecting wins no frames.
            inbound: limits
                .inbox_frames
                .saturating_sub(open.engine.waiting_frames() + open.reads),
        };
        socket
            .open(uplink, window)
            .inspect_err(|fault| warn!(parent: &self.span, %fault, "a socket can't be opened"))
            .ok()
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

    /// Sends a snapshot instead of events that are gone. Events wait for it.
    fn resync(&mut self, reason: &'static str, ctx: &mut Context<Self>) {
        let page = self.history_page(Page::default());
        let Some(open) = &mut self.open else { return };
        let generation = open.socketry.generation;
        if let Some(attached) = open.socketry.of(generation) {
            attached.holds = true;
        }
        let (user, session) = (self.context.user().clone(), Some(self.context.session()));
        let thread = open.engine.current_thread();
        let reading = self.infra.threads.history(user, thread, session, page);
        ctx.spawn(reading.into_actor(self).map(move |read, act, ctx| match read {
            Ok(history) => act.resynced(generation, reason, history, ctx),
            Err(fault) => {
                error!(parent: &act.span, %fault, "a client can't be resynchronised");
                act.close_socket(CloseCode::Resumable, ctx);
            }
        }));
    }

    fn resynced(&mut self, generation: AttachGen, reason: &'static str, history: History, ctx: &mut Context<Self>) {
        let Some(open) = &mut self.open else { return };
        let Some(attached) = open.socketry.of(generation) else {
            return;
        };
        attached.holds = false;
        open.outbox.attach(history.as_of_seq);
        let epoch = open.epoch;
        self.reply(&Control::Resync { reason, epoch, history });
        self.pump(ctx);
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

    /// Sends replies, then durable events, as far as there is room; reads back what memory no longer holds.
    pub(super) fn pump_socket(&mut self, ctx: &mut Context<Self>) {
        let window = self.infra.limits.sink_frames;
        while let Some(open) = self.open.as_deref_mut() {
            let Some(turn) = Turn::of(open, window) else { return };
            if let Some(after) = turn.read_back {
                self.read_back(after, ctx);
            }
            if turn.texts.is_empty() {
                break;
            }
            if !self.push(turn, ctx) {
                return;
            }
        }
        self.grant();
    }

    /// Whether the socket took the turn.
    fn push(&mut self, turn: Turn, ctx: &mut Context<Self>) -> bool {
        let session = self.context.session();
        let Some(open) = self.open.as_deref_mut() else {
            return false;
        };
        let generation = open.socketry.generation;
        let Some(attached) = &mut open.socketry.attached else {
            return false;
        };
        let tagged = |text| OutFrame { tag: session, text };
        match attached.sink.push(turn.texts.into_iter().map(tagged).collect()) {
            Ok(()) => {
                for text in attached.control.drain(..turn.controls) {
                    attached.control_bytes -= text.len();
                }
                attached.queue(turn.tail);
                attached.page.retain(|event| event.seq > turn.sent);
                open.outbox.sent(turn.sent);
                self.infra.metrics.events_sent.add(turn.events as u64);
                true
            }
            // It says when it has room.
            Err(PushError::Full) => false,
            Err(PushError::Closed) => {
                self.detach(generation, ctx);
                false
            }
            Err(PushError::ForeignTag) => {
                self.infra.metrics.isolation_violations.increment();
                error!(parent: &self.span, "the sink refused a frame of another session");
                self.end(HowEnded::Lost, ctx);
                false
            }
        }
    }

    /// Gives the grants that are owed, unless too many replies wait.
    fn grant(&mut self) {
        let Some(open) = self.open.as_deref_mut() else { return };
        let (frames, bytes) = (open.socketry.control_frames, open.socketry.control_bytes);
        if let Some(attached) = &mut open.socketry.attached
            && attached.owed > 0
            && !attached.backlogged(frames, bytes)
        {
            let owed = std::mem::take(&mut attached.owed);
            attached.credit += owed;
            attached.sink.grant(owed);
        }
    }

    fn read_back(&mut self, after: Seq, ctx: &mut Context<Self>) {
        let limits = &self.infra.limits;
        let limit = ReadLimit {
            events: limits.sink_frames,
            bytes: limits.sink_bytes / 2,
        };
        let Some(open) = &mut self.open else { return };
        let generation = open.socketry.generation;
        let Some(attached) = open.socketry.of(generation) else {
            return;
        };
        if std::mem::replace(&mut attached.reading, true) {
            return;
        }
        let reading = self.infra.journal.read(self.context.clone(), after, limit);
        ctx.spawn(
            reading
                .into_actor(self)
                .map(move |page, act, ctx| act.read(generation, after, page, ctx)),
        );
    }

    fn read(
        &mut self,
        generation: AttachGen,
        after: Seq,
        page: Result<EventPage, JournalError>,
        ctx: &mut Context<Self>,
    ) {
        let Some(open) = &mut self.open else { return };
        let Some(attached) = open.socketry.of(generation) else {
            return;
        };
        attached.reading = false;
        match page {
            Ok(page) if page.floor_seq > after => {
                open.floor = page.floor_seq;
                self.resync("expired", ctx);
            }
            Ok(page) if page.events.is_empty() => {
                error!(parent: &self.span, %after, "the journal lacks events that it committed");
                self.close_socket(CloseCode::Resumable, ctx);
            }
            Ok(page) => {
                attached.page = page.events;
                self.pump(ctx);
            }
            Err(fault) => {
                warn!(parent: &self.span, %fault, "events can't be read back");
                self.close_socket(CloseCode::Resumable, ctx);
            }
        }
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

    fn presence(&self, attached: bool, ctx: &mut Context<Self>) {
        self.tell(
            Presence {
                session: self.context.session(),
                attached,
            },
            ctx,
        );
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

/// What goes to the socket at once.
struct Turn {
    texts: Vec<Bytes>,
    controls: usize,
    events: usize,
    sent: Seq,
    read_back: Option<Seq>,
    /// For a client of the seed system, when the turn ends with the end of a run: what goes right after it.
    tail: Option<Bytes>,
}

impl Turn {
    /// Control frames first, so that an answer never waits behind a replay; then events.
    ///
    /// A frame that is larger than all of the room goes alone, when nothing else is on its way.
    fn of(open: &Open, window: usize) -> Option<Self> {
        let attached = open.socketry.attached.as_ref()?;
        let (mut frames, mut bytes) = attached.sink.room();
        let idle = frames >= window;
        let mut turn = Self {
            texts: Vec::new(),
            controls: 0,
            events: 0,
            sent: open.outbox.sent_seq(),
            read_back: None,
            tail: None,
        };
        for text in &attached.control {
            let alone = idle && turn.texts.is_empty();
            if frames == 0 || (bytes < text.len() && !alone) {
                return Some(turn);
            }
            frames -= 1;
            bytes = bytes.saturating_sub(text.len());
            turn.controls += 1;
            turn.texts.push(text.clone());
        }
        if attached.holds {
            return Some(turn);
        }
        let alone = idle && turn.texts.is_empty();
        let events = match open.outbox.next(frames, bytes) {
            Next::Nothing => Vec::new(),
            Next::NoRoom if alone => match open.outbox.next(1, usize::MAX) {
                Next::Frames(events) => events,
                Next::Nothing | Next::NoRoom | Next::ReadBack(_) => Vec::new(),
            },
            Next::NoRoom => Vec::new(),
            Next::Frames(events) => events,
            Next::ReadBack(after) => {
                let mut events = open.outbox.next_of_page(&attached.page, frames, bytes);
                if events.is_empty() && alone {
                    events = open.outbox.next_of_page(&attached.page, 1, usize::MAX);
                }
                let page_goes_on = attached.page.iter().any(|event| event.seq > after);
                turn.read_back = (!page_goes_on).then_some(after);
                events
            }
        };
        for event in events {
            turn.sent = event.seq;
            turn.events += 1;
            let ends = attached.legacy && event.terminal;
            if ends {
                turn.tail = legacy_tail(&event.body, open);
            }
            turn.texts.push(event.body);
            if ends {
                // The tail comes before the next event, and has room of its own.
                break;
            }
        }
        Some(turn)
    }
}

/// For the seed system's clients: what they wait for after a run's end, made from that end. Outside `seq`.
fn legacy_tail(end: &Bytes, open: &Open) -> Option<Bytes> {
    let end: serde_json::Value = serde_json::from_slice(end).ok()?;
    let payload = end.get("payload")?;
    let control = match end.get("type")?.as_str()? {
        "agent_completed" => Control::FinalReport {
            report: payload.get("result")?.as_str()?.to_owned(),
        },
        kind => Control::Error(crate::protocol::server::ErrorFrame {
            code: crate::protocol::server::ErrorCode::Internal,
            message: ["error_message", "reason", "message"]
                .iter()
                .find_map(|field| payload.get(field)?.as_str())
                .unwrap_or(kind)
                .to_owned(),
            reply_to: None,
            retryable: true,
            retry_after_ms: None,
            details: Some(serde_json::json!({ "run_id": end.get("run_id"), "type": kind })),
        }),
    };
    let session = end.get("session_id")?.as_str()?.parse().ok()?;
    Some(control.to_text(session, Some(open.engine.current_thread()), SystemTime::now()))
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
