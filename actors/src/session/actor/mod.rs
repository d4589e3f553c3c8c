//! The session: one user's line of events, and everything that makes it.
//!
//! The supervisor spawns it on a shard; it opens its row in the journal (or takes over from its last incarnation), then
//! lives: sockets come and go, runs go on regardless, and when nobody is there and nothing runs it asks to leave memory.
//! The engine decides; `perform` carries out. Three flows meet here and nowhere else:
//! client frames in (`socket`), events to the journal (`commit`), durable events out to the socket.

mod children;
mod commit;
mod costs;
mod notices;
mod perform;
mod socket;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use actix::prelude::*;
use serde_json::Value;
use tokio::time::Instant;
use tracing::{Span, error, info, warn};

pub(crate) use children::BeginChild;
pub(crate) use costs::Use;
pub use notices::StopRuns;
pub(crate) use notices::{DrainSession, Evict, ForgetThread, ThreadChanged, YieldThread};
pub use socket::{Attach, FrameArrived, Resume, SignOfLife, SinkClosed, SinkReady};

use crate::context::{Roles, SessionContext, UserExecutionContext};
use crate::ids::{Epoch, Fence, RunId, Seq};
use crate::infra::Infra;
use crate::infra::journal::{JournalError, Opened, ReviveError, Revived};
use crate::protocol::CloseCode;
use crate::protocol::server::DeathCause;
use crate::session::dispatcher::ToolDispatcher;
use crate::session::emitter::{Emit, Told};
use crate::session::engine::{Engine, Input, Now, Outcome, Rules};
use crate::session::lifecycle::Lifecycle;
use crate::session::outbox::Outbox;
use crate::session::recovery;
use crate::session::run::{RunOver, RunTask};
use crate::shard::{Ticker, Watch};
use crate::supervisor::{HowEnded, RootSupervisor, SessionEnded};
use children::Children;
use commit::{Commits, RETRY_FIRST, RETRY_MOST};
use socket::Socketry;

/// One user's session.
pub struct UserSessionActor {
    /// Whose, and which. Never changes.
    context: SessionContext,
    infra: Arc<Infra>,
    rules: Arc<Rules>,
    supervisor: Addr<RootSupervisor>,
    ticker: Addr<Ticker>,
    /// Which spawn of this session it is, for the supervisor's book.
    incarnation: u64,
    birth: Birth,
    /// An actor without an address stops: the session keeps its own until the supervisor agrees to its leaving.
    me: Option<Addr<Self>>,
    /// What it owns once it has its row in the journal.
    open: Option<Box<Open>>,
    /// A socket that came before the journal answered.
    early: Option<Attach>,
    /// How many sockets were handed over, for the supervisor's book.
    attaches: u64,
    /// What the death notice says.
    ending: HowEnded,
    span: Span,
}

/// How a session comes to life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Birth {
    /// It is new.
    New,
    /// It was there before. Runs that had not ended did so for this reason.
    Revived(DeathCause),
}

/// What a session owns while it is open.
struct Open {
    epoch: Epoch,
    fence: Fence,
    /// Events up to here are gone from the journal.
    floor: Seq,
    engine: Engine,
    outbox: Outbox,
    runs: HashMap<RunId, RunTask>,
    children: Children,
    /// What each run may do next, by what it has told.
    lifecycle: Lifecycle,
    dispatcher: Option<Addr<ToolDispatcher>>,
    commits: Commits,
    socketry: Socketry,
    flush_at: Option<Instant>,
    /// When a run's time is over next.
    clock_at: Option<Instant>,
    /// What is being read for the client. Each holds back the grant of its frame.
    reads: usize,
    standing: Standing,
    /// Nothing runs and the server drains: close when all is told.
    drained: bool,
    leaving: bool,
}

/// What the newest verified credential says that the user may do. Nobody has shown one to a session that was just revived.
#[derive(Default)]
struct Standing {
    roles: Roles,
    /// When the credential ends; none: never.
    until: Option<SystemTime>,
}

impl Standing {
    const fn of(roles: Roles, until: Option<SystemTime>) -> Self {
        Self { roles, until }
    }

    /// The roles at this time: none once the credential has ended.
    fn roles(&self, now: SystemTime) -> Roles {
        if self.until.is_some_and(|until| until <= now) {
            return Roles::none();
        }
        self.roles.clone()
    }
}

/// What the supervisor gives a session on its way.
pub(crate) struct Spawn {
    pub context: SessionContext,
    pub infra: Arc<Infra>,
    pub rules: Arc<Rules>,
    pub supervisor: Addr<RootSupervisor>,
    pub ticker: Addr<Ticker>,
    pub incarnation: u64,
    pub birth: Birth,
    /// The socket that it is spawned for.
    pub first: Option<Attach>,
}

impl UserSessionActor {
    pub(crate) fn new(spawn: Spawn) -> Self {
        let span = tracing::info_span!("session", session = %spawn.context.session(), user = %spawn.context.user());
        Self {
            context: spawn.context,
            infra: spawn.infra,
            rules: spawn.rules,
            supervisor: spawn.supervisor,
            ticker: spawn.ticker,
            incarnation: spawn.incarnation,
            birth: spawn.birth,
            me: None,
            open: None,
            attaches: u64::from(spawn.first.is_some()),
            early: spawn.first,
            ending: HowEnded::Left,
            span,
        }
    }

    fn now() -> Now {
        Now {
            mono: Instant::now().into_std(),
            wall: SystemTime::now(),
        }
    }

    fn opened(&mut self, opened: Opened, ctx: &mut Context<Self>) {
        info!(parent: &self.span, "session opened");
        let new = Revived {
            epoch: opened.epoch,
            thread: opened.thread,
            fence: opened.fence,
            last_seq: Seq::ZERO,
            floor_seq: Seq::ZERO,
            runs: Vec::new(),
        };
        self.open = Some(Box::new(self.owns(&new)));
        self.attach_early(ctx);
    }

    /// A new incarnation: first the end of every run that the old one left behind, then what waited.
    fn revived(&mut self, revived: Revived, cause: DeathCause, ctx: &mut Context<Self>) {
        let mut open = self.owns(&revived);
        let (active, queued): (Vec<_>, Vec<_>) = revived.runs.into_iter().partition(|run| run.state.is_active());
        info!(parent: &self.span, fence = %revived.fence, ended = active.len(), queued = queued.len(), "session revived");
        let (session, at) = (self.context.session(), SystemTime::now());
        for run in &active {
            for record in recovery::end_of(run, session, open.outbox.next_seq(), at, cause) {
                open.outbox.push(record);
            }
        }
        self.open = Some(Box::new(open));
        self.input(Input::Requeued(queued), ctx);
        self.attach_early(ctx);
    }

    /// What an incarnation begins with that goes on where `at` says.
    fn owns(&self, at: &Revived) -> Open {
        let limits = &self.infra.limits;
        Open {
            epoch: at.epoch,
            fence: at.fence,
            floor: at.floor_seq,
            engine: Engine::new(Arc::clone(&self.rules), at.thread, Self::now()),
            outbox: Outbox::after(at.last_seq, limits),
            runs: HashMap::new(),
            children: Children::default(),
            lifecycle: Lifecycle::default(),
            dispatcher: None,
            commits: Commits::default(),
            socketry: Socketry::new(limits),
            flush_at: None,
            clock_at: None,
            reads: 0,
            standing: Standing::default(),
            drained: false,
            leaving: false,
        }
    }

    fn attach_early(&mut self, ctx: &mut Context<Self>) {
        if let Some(attach) = self.early.take() {
            self.attach(attach, ctx);
        }
    }

    /// The journal has no such session, or can't say: a waiting socket is told, then the session is gone.
    fn stillborn(&mut self, code: CloseCode, ctx: &mut Context<Self>) {
        if let Some(attach) = self.early.take() {
            self.refuse_socket(attach.socket, code);
        }
        self.end(HowEnded::NeverOpened, ctx);
    }

    /// Gives an input to the engine, carries out what it decides, then lets the flows go on.
    fn input(&mut self, input: Input, ctx: &mut Context<Self>) {
        let Some(open) = &mut self.open else { return };
        let effects = open.engine.handle(input, Self::now());
        self.perform(effects, ctx);
        self.pump(ctx);
    }

    /// Commits what waits, sends what is durable.
    fn pump(&mut self, ctx: &mut Context<Self>) {
        self.pump_commits(ctx);
        self.pump_socket(ctx);
        self.finish_drain(ctx);
    }

    /// Ends this incarnation, for this reason.
    fn end(&mut self, how: HowEnded, ctx: &mut Context<Self>) {
        self.ending = how;
        self.me = None;
        // What is still running ends with the actor: its tasks are dropped, and the next incarnation tells their end.
        ctx.stop();
    }
}

impl Actor for UserSessionActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.infra.metrics.sessions_spawned.increment();
        self.me = Some(ctx.address());
        if self.ticker.try_send(Watch(ctx.address().downgrade())).is_err() {
            // A full mailbox of the ticker: it gets there, a little later.
            let watch = self.ticker.send(Watch(ctx.address().downgrade()));
            ctx.spawn(watch.into_actor(self).map(|_, _, _| ()));
        }
        match self.birth {
            Birth::New => {
                let opening = self.infra.journal.open(self.context.clone(), SystemTime::now());
                ctx.spawn(opening.into_actor(self).map(|result, act, ctx| match result {
                    Ok(opened) => act.opened(opened, ctx),
                    Err(fault) => {
                        error!(parent: &act.span, %fault, "session can't be opened");
                        act.stillborn(CloseCode::Overloaded, ctx);
                    }
                }));
            }
            Birth::Revived(cause) => self.revive(cause, RETRY_FIRST, ctx),
        }
    }
}

impl UserSessionActor {
    /// Takes over from the last incarnation. Where the journal can't be reached now it is asked again: nobody else ends the
    /// runs that the last incarnation left, and they hold their threads and their user's places.
    fn revive(&mut self, cause: DeathCause, wait: Duration, ctx: &mut Context<Self>) {
        let reviving = self.infra.journal.revive(self.context.clone(), SystemTime::now());
        ctx.spawn(reviving.into_actor(self).map(move |result, act, ctx| match result {
            Ok(revived) => act.revived(revived, cause, ctx),
            Err(ReviveError::NoSuchSession) => act.stillborn(CloseCode::NoSuchSession, ctx),
            Err(ReviveError::Journal(fault @ (JournalError::Unavailable(_) | JournalError::Unknown(_)))) => {
                warn!(parent: &act.span, %fault, ?wait, "session can't be revived now, trying again");
                if let Some(attach) = act.early.take() {
                    act.refuse_socket(attach.socket, CloseCode::Overloaded);
                    act.not_attached(ctx);
                }
                ctx.run_later(wait, move |act, ctx| act.revive(cause, (wait * 2).min(RETRY_MOST), ctx));
            }
            Err(ReviveError::Journal(fault @ (JournalError::Refused(_) | JournalError::Fenced))) => {
                error!(parent: &act.span, %fault, "session can't be revived");
                act.stillborn(CloseCode::Overloaded, ctx);
            }
        }));
    }
}

impl Drop for UserSessionActor {
    /// The death notice. It runs during unwinding too, so nothing in it may panic.
    fn drop(&mut self) {
        let how = if std::thread::panicking() {
            HowEnded::Panicked
        } else {
            self.ending
        };
        let notice = SessionEnded {
            session: self.context.session(),
            incarnation: self.incarnation,
            how,
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "the death notice: it must not wait, and there is one per session"
        )]
        self.supervisor.do_send(notice);
    }
}

/// A run's task ended.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct RunFinished {
    /// The run.
    pub run: RunId,
    /// How.
    pub outcome: Outcome,
    /// What it hands back to its parent.
    pub output: Value,
}

impl Handler<RunFinished> for UserSessionActor {
    type Result = ();

    fn handle(&mut self, finished: RunFinished, ctx: &mut Context<Self>) {
        let RunFinished { run, outcome, output } = finished;
        if let Some(open) = &mut self.open {
            open.runs.remove(&run);
            open.children.hand_back(run, output);
        }
        self.input(Input::Finished { run, outcome }, ctx);
    }
}

impl Handler<Emit> for UserSessionActor {
    type Result = Result<(), RunOver>;

    fn handle(&mut self, emit: Emit, ctx: &mut Context<Self>) -> Self::Result {
        if self.is_foreign(&emit.context, ctx) {
            return Err(RunOver);
        }
        let run = emit.context.run();
        let Some(open) = &mut self.open else {
            return Err(RunOver);
        };
        if !open.engine.listens_to(run) {
            return Err(RunOver);
        }
        let before = open.outbox.next_seq();
        let input = match emit.what {
            Told::Event(event) => Input::Emitted { run, event },
            Told::Text(text) => Input::Said { run, text },
        };
        let effects = open.engine.handle(input, Self::now());
        self.perform(effects, ctx);
        // What a run may not tell ends it: then nothing of it waits for a commit.
        let mut taken = Err(RunOver);
        if let Some(open) = &mut self.open
            && open.engine.listens_to(run)
        {
            taken = Ok(());
            if open.outbox.next_seq() > before {
                // Text that is still being gathered needs no credit: it is bounded by what is gathered.
                open.outbox.entrust(emit.receipt);
            }
        }
        self.pump(ctx);
        taken
    }
}

impl UserSessionActor {
    /// The tag is compared where the data cross: a run of another session can't write here. Where it tries, this ends.
    fn is_foreign(&mut self, context: &UserExecutionContext, ctx: &mut Context<Self>) -> bool {
        let foreign = context.session() != self.context.session() || context.user() != self.context.user();
        if foreign {
            self.infra.metrics.isolation_violations.increment();
            error!(parent: &self.span, foreign = %context.session(), "what a run of another session sent was refused");
            self.end(HowEnded::Lost, ctx);
        }
        foreign
    }
}

/// A run needs the session's tool dispatcher; the first one starts it.
#[derive(Debug, Message)]
#[rtype(result = "Addr<ToolDispatcher>")]
pub(crate) struct NeedDispatcher;

impl Handler<NeedDispatcher> for UserSessionActor {
    type Result = Addr<ToolDispatcher>;

    fn handle(&mut self, _: NeedDispatcher, _: &mut Context<Self>) -> Self::Result {
        let infra = &self.infra;
        let start = || ToolDispatcher::new(Arc::clone(infra)).start();
        match &mut self.open {
            Some(open) => match &open.dispatcher {
                Some(dispatcher) if dispatcher.connected() => dispatcher.clone(),
                _ => open.dispatcher.insert(start()).clone(),
            },
            None => start(),
        }
    }
}

impl UserSessionActor {
    /// A commit, a revival or a command that can't be carried on: this incarnation ends, and another reads the journal.
    fn lose(&mut self, fault: &JournalError, ctx: &mut Context<Self>) {
        match fault {
            JournalError::Fenced => {
                info!(parent: &self.span, "a newer incarnation has taken over");
                self.end(HowEnded::Fenced, ctx);
            }
            JournalError::Unknown(_) | JournalError::Refused(_) | JournalError::Unavailable(_) => {
                error!(parent: &self.span, %fault, "session starts over from its journal");
                self.end(HowEnded::Lost, ctx);
            }
        }
    }

    /// Draining, nothing runs, all is durable: say goodbye.
    fn finish_drain(&mut self, ctx: &mut Context<Self>) {
        let told = |open: &Open| open.drained && open.outbox.is_durable() && open.commits.is_quiet();
        if self.open.as_deref().is_some_and(told) {
            self.close_for_drain();
            self.end(HowEnded::Left, ctx);
        }
    }
}
