//! What the engine understands and what it says: its inputs and effects.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use serde_json::Value;

use super::child::{ChildReport, NewChild};
use super::ending::{Outcome, Stop};
use super::op::{Arrived, Rating};
use crate::budgets::{Charge, Totals};
use crate::ids::{CallId, DocumentId, MessageId, RequestId, RunId, Seq, SessionId, ThreadId};
use crate::infra::journal::{RunEnd, StoreCommand, StoreReply, StoredRun};
use crate::limits::Limits;
use crate::protocol::CloseCode;
use crate::protocol::client::{FrameError, Page};
use crate::protocol::server::{ApprovalDecision, Control, Event, RunState};

/// The time, as the actor read it: monotonic for limits, wall time for what people see.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// For durations.
    pub mono: Instant,
    /// For timestamps.
    pub wall: SystemTime,
}

/// What the engine is told at birth and never again.
#[derive(Debug, Clone)]
pub struct Rules {
    /// The bounds.
    pub limits: Limits,
    /// The agent of messages that name none.
    pub default_agent: Arc<str>,
    /// The agents that there are.
    pub agents: BTreeSet<String>,
    /// Those of them that take steering.
    pub steerable: BTreeSet<String>,
}

/// What happens to a session.
#[derive(Debug)]
pub enum Input {
    /// The client sent a frame.
    Frame(Box<Arrived>),
    /// The client sent something that is no frame.
    Faulty(FrameError),
    /// The supervisor answered [`Effect::Rate`].
    Rated(Rating),
    /// The store answered [`Effect::Store`].
    Stored(StoreReply),
    /// The store answered [`Effect::Promote`].
    Promoted {
        /// The run.
        run: RunId,
        /// The answer.
        reply: StoreReply,
    },
    /// A run made an event.
    Emitted {
        /// The run.
        run: RunId,
        /// The event.
        event: Event,
    },
    /// A run said a piece of its answer.
    Said {
        /// The run.
        run: RunId,
        /// The piece.
        text: String,
    },
    /// The time of an [`Effect::FlushAt`] has come.
    FlushDue,
    /// The task of a run ended.
    Finished {
        /// The run.
        run: RunId,
        /// How.
        outcome: Outcome,
    },
    /// A run begins a child.
    Child(Box<NewChild>),
    /// A run used something.
    Used {
        /// The run.
        run: RunId,
        /// What.
        charge: Charge,
    },
    /// The store counted what [`Engine::take_charge`] gave: what was used until now.
    ///
    /// [`Engine::take_charge`]: super::Engine::take_charge
    Charged(Totals),
    /// An event of a run broke the run's lifecycle and was not told: the run ends.
    Violated {
        /// The run.
        run: RunId,
    },
    /// The time has come at which a run will have worked for as long as it may.
    ClockDue,
    /// Another session of this user began or ended a run.
    ThreadChanged {
        /// The thread.
        thread: ThreadId,
        /// The run.
        run: RunId,
        /// Its state.
        state: RunState,
    },
    /// Another session of this user wants the thread that a run of ours holds.
    Yield {
        /// The thread.
        thread: ThreadId,
        /// The run.
        run: RunId,
        /// How it ends.
        stop: Stop,
    },
    /// Somebody stops runs from outside the socket.
    StopRuns {
        /// One run; none means all.
        run: Option<RunId>,
        /// One thread; none means all.
        thread: Option<ThreadId>,
        /// How they end.
        stop: Stop,
    },
    /// A socket was attached.
    Attached,
    /// The last socket is gone.
    Detached,
    /// Runs that waited when the last incarnation ended wait again, in order.
    Requeued(Vec<StoredRun>),
    /// The server drains: take nothing new.
    Drain,
    /// The drain's time is over: end what runs.
    DrainExpired,
    /// Time has passed.
    Tick,
}

/// What the actor has to do, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Tell the client, if one is attached.
    Reply(Control),
    /// Let the socket hand over one frame more.
    Grant,
    /// The client has taken all up to here.
    Acked(Seq),
    /// Ask the supervisor whether the user may send this now.
    Rate,
    /// Ask the store, for the current operation.
    Store(StoreCommand),
    /// Tell the store something whose answer changes nothing.
    Note(StoreCommand),
    /// Ask the store for the thread of a queued run.
    Promote {
        /// The run.
        run: RunId,
        /// Its thread.
        thread: ThreadId,
    },
    /// Number and journal an event.
    Emit(Box<Emission>),
    /// Begin a run's task.
    Start(Box<StartRun>),
    /// Ask a run's task to end.
    Cancel(RunId),
    /// Hand a run's task what the user tells it.
    Steer {
        /// The run.
        run: RunId,
        /// The frame that told it.
        message_id: MessageId,
        /// What.
        content: String,
    },
    /// Tell the dispatcher how a call that waits was decided.
    Decide {
        /// The call.
        call: CallId,
        /// How.
        decision: ApprovalDecision,
        /// Why, in the user's words.
        note: Option<String>,
    },
    /// Say [`Input::FlushDue`] at this time.
    FlushAt(Instant),
    /// Tell a parent how its child ended, or why it did not begin.
    ChildEnded(Box<ChildReport>),
    /// Tell the user's other sessions, by the supervisor, that a run began. Not of child runs.
    Began {
        /// The thread.
        thread: ThreadId,
        /// The run.
        run: RunId,
    },
    /// Ask another session of this user, by the supervisor, to yield a thread.
    AskYield {
        /// The session that holds it.
        session: SessionId,
        /// The thread.
        thread: ThreadId,
        /// Its run.
        run: RunId,
        /// How that one ends.
        stop: Stop,
    },
    /// Forget what is kept in memory of a deleted thread, here and in the user's other sessions.
    ThreadGone(ThreadId),
    /// Read the user's threads.
    List {
        /// The frame that asked.
        message_id: Option<MessageId>,
        /// Which.
        page: Page,
    },
    /// Read a thread.
    History {
        /// The frame that asked.
        message_id: Option<MessageId>,
        /// The thread.
        thread: ThreadId,
        /// Which part.
        page: Page,
    },
    /// Check a credential that arrived on the socket.
    Refresh {
        /// The frame that asked.
        message_id: Option<MessageId>,
        /// A token.
        token: Option<String>,
        /// A ticket.
        ticket: Option<String>,
    },
    /// Close the socket.
    Close(CloseCode),
    /// Ask the supervisor whether the session may leave memory.
    Leave,
    /// The session drains and nothing runs: close the socket with 1012 and end.
    Drained,
    /// What a lifecycle does not allow was asked: count it, log it. Where it is a run's, the engine ends that run.
    Violation(&'static str),
}

/// An event on its way to the log.
#[derive(Debug, Clone, PartialEq)]
pub struct Emission {
    /// The run.
    pub run: RunId,
    /// Its thread.
    pub thread: ThreadId,
    /// What it is asked by.
    pub request: RequestId,
    /// Its agent.
    pub agent: Arc<str>,
    /// The event.
    pub event: Event,
    /// Present on the last one.
    pub end: Option<RunEnd>,
}

/// What a run's task needs.
#[derive(Debug, Clone, PartialEq)]
pub struct StartRun {
    /// The run.
    pub run: RunId,
    /// Its thread.
    pub thread: ThreadId,
    /// What it is asked by.
    pub request: RequestId,
    /// The message that it answers.
    pub message_id: MessageId,
    /// The agent.
    pub agent: Arc<str>,
    /// The message's words.
    pub content: String,
    /// Documents that it names: the user's, when the message was taken.
    pub references: Vec<DocumentId>,
    /// What the client sent beside them.
    pub metadata: Option<Value>,
    /// The run that began it, for a child run.
    pub parent: Option<RunId>,
}
