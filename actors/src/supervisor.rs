//! The root supervisor: admits, spawns, counts and watches sessions, and drains them.
//!
//! It lives on the main thread and has never a future in flight: every message is answered at once, from its own books.
//! No event of a run passes here; a run costs it three messages (its rate, its beginning, its end).

mod books;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use actix::prelude::*;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::{error, info, warn};

use crate::context::SessionContext;
use crate::ids::{RunId, SessionId, ThreadId, UserId};
use crate::infra::Infra;
use crate::protocol::server::{DeathCause, RunState, StoppedBy};
use crate::session::actor::{
    Attach, Birth, DrainSession, Evict, ForgetThread, Resume, Spawn, StopRuns, ThreadChanged, UserSessionActor,
    YieldThread,
};
use crate::session::engine::{Rating, Rules, Stop};
use crate::session::sink::Socket;
use crate::shard::Shard;
use books::{Books, Entry, Place};

/// How often reservations and the drain's time are checked.
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// Messages that may wait for the supervisor. Beyond: senders wait.
const MAILBOX: usize = 4096;

/// When a client that found no room should come back.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// The root of all sessions.
pub struct RootSupervisor {
    infra: Arc<Infra>,
    rules: Arc<Rules>,
    shards: Vec<Shard>,
    books: Books,
    /// Present while the server drains.
    drain: Option<Drainage>,
    /// Called when the supervisor itself panics: without it nothing is true any more, so the process ends.
    on_panic: fn(),
}

struct Drainage {
    until: Instant,
    expired: bool,
    waiting: Vec<oneshot::Sender<()>>,
}

impl RootSupervisor {
    /// A supervisor over these shards (at least one). `on_panic` ends the process.
    #[must_use]
    pub fn new(infra: Arc<Infra>, shards: Vec<Shard>, on_panic: fn()) -> Self {
        assert!(!shards.is_empty(), "a supervisor needs a shard");
        let rules = Arc::new(Rules {
            limits: infra.limits.clone(),
            default_agent: Arc::clone(infra.agents.default_name()),
            agents: infra.agents.classes().map(|class| class.name.clone()).collect(),
        });
        Self {
            books: Books::new(&infra.limits, shards.len()),
            infra,
            rules,
            shards,
            drain: None,
            on_panic,
        }
    }

    /// Spawns a session on the least loaded shard. Its place is taken already.
    fn spawn(&mut self, session: SessionId, user: UserId, birth: Birth, me: Addr<Self>) -> Addr<UserSessionActor> {
        let (shard, incarnation) = self.books.place(session);
        let home = &self.shards[shard];
        let spawn = Spawn {
            context: SessionContext::new(user.clone(), session),
            infra: Arc::clone(&self.infra),
            rules: Arc::clone(&self.rules),
            supervisor: me,
            ticker: home.ticker.clone(),
            incarnation,
            birth,
        };
        let address = UserSessionActor::start_in_arbiter(&home.arbiter, move |_| UserSessionActor::new(spawn));
        self.books
            .enter(session, Entry::new(user, address.downgrade(), shard, incarnation));
        address
    }

    /// Sends to a session; a full mailbox is an error of ours, a closed one is a death that will be told.
    fn send<M>(&self, session: SessionId, message: M)
    where
        M: Message<Result = ()> + Send + 'static,
        UserSessionActor: Handler<M>,
    {
        let address = self.books.entry(session).and_then(|entry| entry.address.upgrade());
        if let Some(Err(SendError::Full(_))) = address.map(|address| address.try_send(message)) {
            warn!(%session, "a session's mailbox is full; a notice was not delivered");
        }
    }

    fn finish_drain(&mut self) {
        if self.books.is_empty()
            && let Some(drain) = &mut self.drain
        {
            for waiting in drain.waiting.drain(..) {
                let _ = waiting.send(());
            }
        }
    }
}

impl Actor for RootSupervisor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(MAILBOX);
        ctx.run_interval(CHECK_EVERY, |supervisor, _| supervisor.check());
    }
}

impl Drop for RootSupervisor {
    fn drop(&mut self) {
        if std::thread::panicking() {
            (self.on_panic)();
        }
    }
}

impl RootSupervisor {
    fn check(&mut self) {
        let expired = self.books.expire_reservations(Instant::now());
        if expired > 0 {
            info!(expired, "reservations were not used");
        }
        if let Some(drain) = &mut self.drain
            && !drain.expired
            && drain.until <= Instant::now()
        {
            drain.expired = true;
            let left: Vec<SessionId> = self.books.sessions().collect();
            warn!(sessions = left.len(), "drain time is over; ending what runs");
            for session in left {
                self.send(session, DrainSession::Expire);
            }
        }
        self.finish_drain();
    }
}

/// Asks for a place for one socket, before the 101 is written.
#[derive(Debug, Message)]
#[rtype(result = "Result<Reservation, Refusal>")]
pub struct Admit {
    /// The verified user.
    pub user: UserId,
    /// The session to go on with; none makes a new one.
    pub resume: Option<SessionId>,
}

/// A place that is held for a few seconds. Dropping it gives the place back.
#[derive(Debug)]
pub struct Reservation {
    number: u64,
    supervisor: Addr<RootSupervisor>,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let notice = GiveBack(self.number);
        #[expect(
            clippy::disallowed_methods,
            reason = "a place's death notice: it must not wait, and there is one per place"
        )]
        self.supervisor.do_send(notice);
    }
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The user has as many sessions as are allowed: 429.
    #[error("the user has too many sessions; close one")]
    UserLimit,
    /// The process has as many sessions as are allowed, or drains: 503.
    #[error("the server has no room now")]
    Overloaded {
        /// When to come back.
        retry_after: Duration,
    },
}

impl Handler<Admit> for RootSupervisor {
    type Result = Result<Reservation, Refusal>;

    fn handle(&mut self, Admit { user, resume }: Admit, ctx: &mut Context<Self>) -> Self::Result {
        if self.drain.is_some() {
            return Err(Refusal::Overloaded {
                retry_after: RETRY_AFTER,
            });
        }
        // Someone else's session looks like one that is not in memory: the store will know none of this user.
        let live = resume.filter(|session| self.books.is_of(*session, &user));
        if live.is_none() {
            if self.books.is_full() {
                return Err(Refusal::Overloaded {
                    retry_after: RETRY_AFTER,
                });
            }
            if self.books.user_is_full(&user) {
                let resting = self.books.resting(&user).ok_or(Refusal::UserLimit)?;
                self.send(resting, Evict);
                self.books.strike(resting);
            }
        }
        let place = match (live, resume) {
            (Some(session), _) => Place::Live(session),
            (None, Some(session)) => Place::Revival(session),
            (None, None) => Place::New,
        };
        let number = self.books.reserve(user, place, Instant::now());
        Ok(Reservation {
            number,
            supervisor: ctx.address(),
        })
    }
}

/// A reservation was dropped.
#[derive(Message)]
#[rtype(result = "()")]
struct GiveBack(u64);

impl Handler<GiveBack> for RootSupervisor {
    type Result = ();

    fn handle(&mut self, GiveBack(number): GiveBack, _: &mut Context<Self>) {
        // Nothing where it was used.
        self.books.take_reservation(number);
    }
}

/// Hands over a socket whose handshake is done. Verdicts on a resume come as close codes on the socket.
#[derive(Message)]
#[rtype(result = "()")]
pub struct AttachSocket {
    /// The place.
    pub reservation: Reservation,
    /// The socket.
    pub socket: Box<dyn Socket>,
    /// What the client knows; goes with `Admit::resume`.
    pub resume: Option<Resume>,
    /// Whether the client speaks the seed system's dialect.
    pub legacy: bool,
    /// When the credential ends; none: never.
    pub expires_at: Option<SystemTime>,
}

impl Handler<AttachSocket> for RootSupervisor {
    type Result = ();

    fn handle(&mut self, request: AttachSocket, ctx: &mut Context<Self>) {
        // A place that was held for too long is gone; the socket is dropped, and its client resumes.
        let Some((user, place)) = self.books.take_reservation(request.reservation.number) else {
            return warn!("a socket came after its reservation had ended");
        };
        let me = ctx.address();
        let attach = Attach {
            socket: request.socket,
            resume: request.resume,
            legacy: request.legacy,
            expires_at: request.expires_at,
        };
        let (session, address) = match place {
            Place::New => {
                let session = SessionId::mint();
                (session, self.spawn(session, user, Birth::New, me))
            }
            Place::Live(session) | Place::Revival(session) => match self.books.entry(session) {
                Some(entry) if entry.user == user => match entry.address.upgrade() {
                    Some(address) => (session, address),
                    None => (
                        session,
                        self.spawn(session, user, Birth::Revived(DeathCause::Panic), me),
                    ),
                },
                // Not ours to look at: a session of a fresh name asks the store, which knows none of this user.
                Some(_) => {
                    let session = SessionId::mint();
                    (
                        session,
                        self.spawn(session, user, Birth::Revived(DeathCause::Interrupted), me),
                    )
                }
                None => (
                    session,
                    self.spawn(session, user, Birth::Revived(DeathCause::Interrupted), me),
                ),
            },
        };
        self.books.count_attach(session);
        if let Err(SendError::Full(_)) = address.try_send(attach) {
            warn!(%session, "a session's mailbox is full; a socket was dropped");
        }
    }
}

/// Whether a session has a socket; a session without one and without work may be evicted for another of its user.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Presence {
    /// The session.
    pub session: SessionId,
    /// Whether a socket is attached.
    pub attached: bool,
}

impl Handler<Presence> for RootSupervisor {
    type Result = ();

    fn handle(&mut self, Presence { session, attached }: Presence, _: &mut Context<Self>) {
        self.books.presence(session, attached);
    }
}

/// Asks whether this user may send a message now.
#[derive(Debug, Message)]
#[rtype(result = "Rating")]
pub(crate) struct Rate(pub UserId);

impl Handler<Rate> for RootSupervisor {
    type Result = MessageResult<Rate>;

    fn handle(&mut self, Rate(user): Rate, _: &mut Context<Self>) -> Self::Result {
        MessageResult(self.books.rate(&user, Instant::now()))
    }
}

/// A run began, or its end is durable.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct RunChanged {
    /// The session that has it.
    pub session: SessionId,
    /// Its thread.
    pub thread: ThreadId,
    /// The run.
    pub run: RunId,
    /// Its state.
    pub state: RunState,
}

impl Handler<RunChanged> for RootSupervisor {
    type Result = ();

    fn handle(&mut self, changed: RunChanged, _: &mut Context<Self>) {
        self.books.run_changed(changed.session, changed.state.is_active());
        for session in self.books.siblings(changed.session) {
            let notice = ThreadChanged {
                thread: changed.thread,
                run: changed.run,
                state: changed.state,
            };
            self.send(session, notice);
        }
    }
}

/// A session wants a thread that another session of its user holds.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct AskYield {
    /// The user of the session that asks.
    pub user: UserId,
    /// The session that holds it.
    pub session: SessionId,
    /// The thread.
    pub thread: ThreadId,
    /// Its run.
    pub run: RunId,
    /// How that one ends.
    pub stop: Stop,
}

impl Handler<AskYield> for RootSupervisor {
    type Result = ();

    fn handle(&mut self, ask: AskYield, _: &mut Context<Self>) {
        if self.books.is_of(ask.session, &ask.user) {
            let notice = YieldThread {
                thread: ask.thread,
                run: ask.run,
                stop: ask.stop,
            };
            self.send(ask.session, notice);
        }
    }
}

/// A thread was deleted: the user's sessions forget what is in memory of it.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ThreadGone {
    /// The user.
    pub user: UserId,
    /// The session that knows already.
    pub session: Option<SessionId>,
}

impl Handler<ThreadGone> for RootSupervisor {
    type Result = ();

    fn handle(&mut self, gone: ThreadGone, _: &mut Context<Self>) {
        for session in self.books.of_user(&gone.user) {
            if Some(session) != gone.session {
                self.send(session, ForgetThread);
            }
        }
    }
}

/// Finds a live session of this user, for what must get past its socket. None: gone, unknown, or someone else's.
#[derive(Debug, Message)]
#[rtype(result = "Option<Addr<UserSessionActor>>")]
pub struct FindSession {
    /// The verified user.
    pub user: UserId,
    /// The session.
    pub session: SessionId,
}

impl Handler<FindSession> for RootSupervisor {
    type Result = Option<Addr<UserSessionActor>>;

    fn handle(&mut self, FindSession { user, session }: FindSession, _: &mut Context<Self>) -> Self::Result {
        let entry = self.books.entry(session).filter(|entry| entry.user == user)?;
        entry.address.upgrade()
    }
}

/// Stops what all live sessions of the user run in a thread.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct StopThread {
    /// The verified user.
    pub user: UserId,
    /// The thread.
    pub thread: ThreadId,
    /// Who stops it.
    pub by: StoppedBy,
}

impl Handler<StopThread> for RootSupervisor {
    type Result = ();

    fn handle(&mut self, StopThread { user, thread, by }: StopThread, _: &mut Context<Self>) {
        for session in self.books.of_user(&user) {
            let Some(address) = self.books.entry(session).and_then(|entry| entry.address.upgrade()) else {
                continue;
            };
            let stop = StopRuns {
                run: None,
                thread: Some(thread),
                by,
                reason: "its thread was deleted".to_owned(),
            };
            if let Err(SendError::Full(_)) = address.try_send(stop) {
                warn!(%session, "a session's mailbox is full; a stop was not delivered");
            }
        }
    }
}

/// A session asks to leave memory.
#[derive(Debug, Message)]
#[rtype(result = "bool")]
pub(crate) struct Leave {
    /// The session.
    pub session: SessionId,
    /// Which spawn of it.
    pub incarnation: u64,
    /// How many sockets it was given: where another is on its way, it stays.
    pub attaches: u64,
}

impl Handler<Leave> for RootSupervisor {
    type Result = bool;

    fn handle(&mut self, leave: Leave, _: &mut Context<Self>) -> bool {
        self.books.leave(leave.session, leave.incarnation, leave.attaches)
    }
}

/// Revives sessions in which messages wait, after a start of the process: they are run without waiting for their client.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ReviveSessions(pub Vec<SessionContext>);

impl Handler<ReviveSessions> for RootSupervisor {
    type Result = ();

    fn handle(&mut self, ReviveSessions(sessions): ReviveSessions, ctx: &mut Context<Self>) {
        for context in sessions {
            if self.books.is_full() || self.drain.is_some() {
                return warn!(
                    "no room to revive every session in which messages wait; the rest wait for their clients"
                );
            }
            if self.books.entry(context.session()).is_none() {
                let user = context.user().clone();
                let birth = Birth::Revived(DeathCause::Interrupted);
                self.spawn(context.session(), user, birth, ctx.address());
            }
        }
    }
}

/// How an incarnation of a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HowEnded {
    /// It agreed with the supervisor to leave memory, or was evicted, or drained.
    Left,
    /// Its code panicked.
    Panicked,
    /// It can't go on with what it has in memory; the journal knows better.
    Lost,
    /// A newer incarnation has taken over.
    Fenced,
    /// The journal has no such session, or could not say.
    NeverOpened,
}

/// The death notice of a session.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct SessionEnded {
    /// The session.
    pub session: SessionId,
    /// Which spawn of it.
    pub incarnation: u64,
    /// How.
    pub how: HowEnded,
}

impl Handler<SessionEnded> for RootSupervisor {
    type Result = ();

    fn handle(&mut self, ended: SessionEnded, ctx: &mut Context<Self>) {
        let SessionEnded {
            session,
            incarnation,
            how,
        } = ended;
        let cause = match how {
            HowEnded::Panicked => {
                self.infra.metrics.sessions_panicked.increment();
                error!(%session, "session panicked");
                Some(DeathCause::Panic)
            }
            HowEnded::Lost => Some(DeathCause::Interrupted),
            HowEnded::Left | HowEnded::Fenced | HowEnded::NeverOpened => None,
        };
        if let Some(user) = self.books.bury(session, incarnation) {
            match cause {
                Some(cause) if self.drain.is_none() && self.books.may_restart(session, Instant::now()) => {
                    info!(%session, "session restarts from its journal");
                    self.spawn(session, user, Birth::Revived(cause), ctx.address());
                }
                Some(_) => error!(%session, "session ended too often; it stays down until its client returns"),
                None => {}
            }
        }
        self.finish_drain();
    }
}

/// How the process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Census {
    /// Sessions in memory.
    pub sessions: usize,
    /// Places held for sockets that are on their way.
    pub reserved: usize,
    /// Whether new sockets are refused.
    pub draining: bool,
}

/// Asks for the census.
#[derive(Debug, Message)]
#[rtype(result = "Census")]
pub struct TakeCensus;

impl Handler<TakeCensus> for RootSupervisor {
    type Result = MessageResult<TakeCensus>;

    fn handle(&mut self, _: TakeCensus, _: &mut Context<Self>) -> Self::Result {
        MessageResult(Census {
            sessions: self.books.len(),
            reserved: self.books.reserved(),
            draining: self.drain.is_some(),
        })
    }
}

/// Stops accepting, lets runs end, closes sockets with 1012, ends what is left after the drain time. Answers when no
/// session is left.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Drain;

impl Handler<Drain> for RootSupervisor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Drain, _: &mut Context<Self>) -> Self::Result {
        let (done, waiting) = oneshot::channel();
        let limits = &self.infra.limits;
        let drain = self.drain.get_or_insert_with(|| Drainage {
            until: Instant::now() + limits.drain_timeout,
            expired: false,
            waiting: Vec::new(),
        });
        drain.waiting.push(done);
        let sessions: Vec<SessionId> = self.books.sessions().collect();
        info!(sessions = sessions.len(), "draining");
        for session in sessions {
            self.send(session, DrainSession::Begin);
        }
        self.finish_drain();
        Box::pin(async move {
            // The sender goes only with the supervisor, and then there is nothing left to wait for.
            let _ = waiting.await;
        })
    }
}
