//! What reaches a session past its socket: from HTTP, from its user's other sessions, from the supervisor, from the clock.

use actix::prelude::*;
use tracing::debug;

use super::UserSessionActor;
use crate::ids::{RunId, ThreadId};
use crate::protocol::CloseCode;
use crate::protocol::server::{RunState, StoppedBy};
use crate::session::engine::{Input, Stop};
use crate::shard::Tick;
use crate::supervisor::Stays;

/// Stops runs of the session, past its socket.
#[derive(Debug, Message)]
#[rtype(result = "Vec<RunId>")]
pub struct StopRuns {
    /// One run; none means all of them and the queues.
    pub run: Option<RunId>,
    /// One thread; none means all.
    pub thread: Option<ThreadId>,
    /// Who stops them.
    pub by: StoppedBy,
    /// Why, for people.
    pub reason: String,
}

impl Handler<StopRuns> for UserSessionActor {
    type Result = Vec<RunId>;

    fn handle(&mut self, stop: StopRuns, ctx: &mut Context<Self>) -> Self::Result {
        let (run, thread) = (stop.run, stop.thread);
        let stopped = self
            .open
            .as_ref()
            .map(|open| open.engine.matching(run, thread))
            .unwrap_or_default();
        let stop = Stop {
            by: stop.by,
            reason: stop.reason,
            forget: false,
        };
        self.input(Input::StopRuns { run, thread, stop }, ctx);
        stopped
    }
}

/// Another session of this user began or ended a run.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub(crate) struct ThreadChanged {
    /// The thread.
    pub thread: ThreadId,
    /// The run.
    pub run: RunId,
    /// Its state.
    pub state: RunState,
}

impl Handler<ThreadChanged> for UserSessionActor {
    type Result = ();

    fn handle(&mut self, ThreadChanged { thread, run, state }: ThreadChanged, ctx: &mut Context<Self>) {
        self.input(Input::ThreadChanged { thread, run, state }, ctx);
    }
}

/// Another session of this user wants the thread that a run here holds.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct YieldThread {
    /// The thread.
    pub thread: ThreadId,
    /// The run.
    pub run: RunId,
    /// How it ends.
    pub stop: Stop,
}

impl Handler<YieldThread> for UserSessionActor {
    type Result = ();

    fn handle(&mut self, YieldThread { thread, run, stop }: YieldThread, ctx: &mut Context<Self>) {
        self.input(Input::Yield { thread, run, stop }, ctx);
    }
}

/// A thread of this user was deleted: what is in memory of it goes too.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub(crate) struct ForgetThread;

impl Handler<ForgetThread> for UserSessionActor {
    type Result = ();

    fn handle(&mut self, _: ForgetThread, _: &mut Context<Self>) {
        self.forget_bodies();
    }
}

/// The server drains.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub(crate) enum DrainSession {
    /// Take nothing new; end when nothing runs.
    Begin,
    /// End what runs.
    Expire,
}

impl Handler<DrainSession> for UserSessionActor {
    type Result = ();

    fn handle(&mut self, drain: DrainSession, ctx: &mut Context<Self>) {
        match drain {
            DrainSession::Begin if self.open.is_none() => self.stillborn(CloseCode::Overloaded, ctx),
            DrainSession::Begin => self.input(Input::Drain, ctx),
            DrainSession::Expire => self.input(Input::DrainExpired, ctx),
        }
    }
}

/// The user has too many sessions and this one seems to rest: leave memory, if that is so.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub(crate) struct Evict;

impl Handler<Evict> for UserSessionActor {
    type Result = ();

    fn handle(&mut self, _: Evict, ctx: &mut Context<Self>) {
        if self.open.as_ref().is_some_and(|open| open.engine.is_idle()) {
            debug!(parent: &self.span, "session makes room for another of its user");
            self.ask_leave(ctx);
        }
        if !self.open.as_ref().is_some_and(|open| open.leaving) {
            let session = self.context.session();
            self.tell(Stays { session }, ctx);
        }
    }
}

impl Handler<Tick> for UserSessionActor {
    type Result = ();

    fn handle(&mut self, _: Tick, ctx: &mut Context<Self>) {
        self.check_socket(ctx);
        self.input(Input::Tick, ctx);
        // A clock that stood still has gone on meanwhile.
        self.watch_clock(ctx);
    }
}
