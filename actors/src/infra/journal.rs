//! The persistence ports: [`Journal`], which sessions write, and [`ThreadStore`], which people read.
//!
//! The event log is the truth. A session hands over one [`Batch`] at a time; all that is in it is committed at once or not
//! at all, and the rows that reading needs (threads, messages, runs) are written from it in the same commit. A batch names
//! the session's [`Fence`]: an incarnation that was replaced is refused.

use std::time::SystemTime;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde_json::Value;

use crate::budgets::{Charge, Gate, Spent, Totals, Window};
use crate::context::SessionContext;
use crate::ids::{DocumentId, Epoch, Fence, MessageId, RequestId, RunId, Seq, SessionId, ThreadId, UserId};
use crate::protocol::client::Page;
use crate::protocol::server::{History, HistoryMessage, OpenCall, PendingApproval, RunState, ThreadSummary};

/// The name of a thread that was made without one, until something is said in it.
pub const UNNAMED: &str = "New thread";

/// Where sessions keep their events.
///
/// Each call is a job in one queue: a revival stands behind the appends of the old incarnation, or fences them. The futures
/// are detached from the work: dropping one cancels nothing.
pub trait Journal: Send + Sync {
    /// Writes the row of a new session: `fence` 1, no events. The session's first thread is minted here; its row is written
    /// when something is said in it.
    fn open(&self, session: SessionContext, at: SystemTime) -> BoxFuture<'static, Result<Opened, JournalError>>;

    /// Begins a new incarnation of a session that has left memory or died: `fence` + 1, same line of events.
    fn revive(&self, session: SessionContext, at: SystemTime) -> BoxFuture<'static, Result<Revived, ReviveError>>;

    /// Commits a batch: first its events, then its commands in order.
    fn append(&self, batch: Batch) -> BoxFuture<'static, Result<Vec<StoreReply>, JournalError>>;

    /// Reads committed events after `after`, oldest first, at most `limit.events` and about `limit.bytes` (at least one).
    fn read(
        &self,
        session: SessionContext,
        after: Seq,
        limit: ReadLimit,
    ) -> BoxFuture<'static, Result<EventPage, JournalError>>;
}

/// Where threads are listed and read, and changed by HTTP. Every call names its user, and reaches that user's rows alone.
pub trait ThreadStore: Send + Sync {
    /// The user's threads, last used first.
    fn list(&self, user: UserId, page: Page) -> BoxFuture<'static, Result<ThreadPage, StoreError>>;

    /// A page of a thread with its active runs, read at one commit point. `as_of_seq` is `session`'s (or zero). A thread
    /// that is the session's own but in which nothing was said yet reads as empty.
    fn history(
        &self,
        user: UserId,
        thread: ThreadId,
        session: Option<SessionId>,
        page: HistoryPage,
    ) -> BoxFuture<'static, Result<History, StoreError>>;

    /// The newest messages of a thread, oldest first: at most `messages`, about `bytes`. For agents.
    fn transcript(
        &self,
        user: UserId,
        thread: ThreadId,
        messages: usize,
        bytes: usize,
    ) -> BoxFuture<'static, Result<Vec<HistoryMessage>, StoreError>>;

    /// A run of the user, whichever of their sessions has it.
    fn run(&self, user: UserId, run: RunId) -> BoxFuture<'static, Result<RunRecord, StoreError>>;

    /// What the user has used in this window, over all sessions.
    fn usage(&self, user: UserId, window: Window) -> BoxFuture<'static, Result<Charge, StoreError>>;

    /// Makes a thread.
    fn create(
        &self,
        user: UserId,
        name: String,
        at: SystemTime,
    ) -> BoxFuture<'static, Result<ThreadSummary, StoreError>>;

    /// Gives a thread another name.
    fn rename(
        &self,
        user: UserId,
        thread: ThreadId,
        name: String,
        at: SystemTime,
    ) -> BoxFuture<'static, Result<ThreadSummary, StoreError>>;

    /// Deletes a thread, its messages and the bodies of its events. Its runs must have ended.
    fn delete(&self, user: UserId, thread: ThreadId) -> BoxFuture<'static, Result<(), StoreError>>;
}

/// A new session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// The lineage of the log.
    pub epoch: Epoch,
    /// The session's first thread.
    pub thread: ThreadId,
    /// What this incarnation writes under.
    pub fence: Fence,
}

/// A session that came back.
#[derive(Debug, Clone, PartialEq)]
pub struct Revived {
    /// The lineage of the log.
    pub epoch: Epoch,
    /// The session's current thread.
    pub thread: ThreadId,
    /// What this incarnation writes under.
    pub fence: Fence,
    /// The last event.
    pub last_seq: Seq,
    /// Events up to here are gone.
    pub floor_seq: Seq,
    /// Runs that had not ended, oldest first: active ones and queued ones.
    pub runs: Vec<StoredRun>,
}

/// A run that had not ended, as the store knows it.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredRun {
    /// The run.
    pub run_id: RunId,
    /// Its thread.
    pub thread_id: ThreadId,
    /// What it was asked by.
    pub request_id: RequestId,
    /// The message that it answers.
    pub message_id: MessageId,
    /// Its agent.
    pub agent: String,
    /// The message's words.
    pub content: String,
    /// Documents that it names.
    pub references: Vec<DocumentId>,
    /// What the client wanted kept beside them.
    pub metadata: Option<Value>,
    /// `Queued`, or an active state.
    pub state: RunState,
    /// Calls that began and did not end.
    pub open_calls: Vec<OpenCall>,
    /// What had been said, with the message that it is part of.
    pub said: Option<(MessageId, String)>,
    /// Its child runs that had begun and not ended, in the order in which they began.
    pub children: Vec<StoredChild>,
}

/// A child run that had not ended, as its events tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredChild {
    /// The child.
    pub run_id: RunId,
    /// Its agent.
    pub agent: String,
    /// Calls that began and did not end.
    pub open_calls: Vec<OpenCall>,
    /// Those of them that wait for a person.
    pub pending_approvals: Vec<PendingApproval>,
}

/// What a session commits at once.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Whose.
    pub session: SessionContext,
    /// Which incarnation writes.
    pub fence: Fence,
    /// The number of the first event: one more than the last committed. Also where there are no events.
    pub first_seq: Seq,
    /// When.
    pub at: SystemTime,
    /// The events, in order without a hole.
    pub events: Vec<EventRecord>,
    /// What is asked of the store, in order, after the events.
    pub commands: Vec<StoreCommand>,
    /// How many runs of the user may be active at once, over all sessions. Counted where a run is started.
    pub runs_per_user: usize,
    /// What the session and its user may have used for something new to begin.
    pub gate: Gate,
}

/// An event as it is kept.
#[derive(Debug, Clone)]
pub struct EventRecord {
    /// Its number.
    pub seq: Seq,
    /// Its run.
    pub run_id: RunId,
    /// Its thread.
    pub thread_id: ThreadId,
    /// Its `type`.
    pub kind: &'static str,
    /// The frame, as it is sent.
    pub body: Bytes,
    /// Present on the run's last event.
    pub end: Option<RunEnd>,
}

/// What the end of a run leaves in the rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunEnd {
    /// Its last state.
    pub state: RunState,
    /// What it said.
    pub message: Option<Said>,
    /// Whether the thread forgets the run: its message and its answer (`rollback`).
    pub forget: bool,
    /// Whether it is a child run's: that has no row, and nobody but its parent and its client is told.
    pub child: bool,
}

/// What a run said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// The message.
    pub message_ref: MessageId,
    /// The words.
    pub content: String,
    /// Whether it is all of the answer.
    pub complete: bool,
}

/// What a session asks of the store. It is answered by a [`StoreReply`]; a refusal leaves the rest of the batch alone.
#[derive(Debug, Clone, PartialEq)]
pub enum StoreCommand {
    /// Take a message: record its id, make its run, and start it where the thread is free.
    Accept(Accept),
    /// Answer a repeat as it was answered, and take nothing: `NotFound` where the id is new. For a message that is refused
    /// without it: sending again must be safe also where a new message would be refused.
    Repeat(Idempotency),
    /// Take a frame about a run at work (`steer`, `tool_decision`): record its id, so that a repeat is known.
    Take {
        /// The frame that asks.
        idempotency: Idempotency,
        /// The run.
        run_id: RunId,
        /// Its thread.
        thread_id: ThreadId,
    },
    /// Start a queued run: grants it the thread, or answers `ThreadBusy`, `RunLimit`, `BudgetExhausted` or `NotFound`.
    Promote {
        /// The run.
        run_id: RunId,
        /// Its thread.
        thread_id: ThreadId,
    },
    /// Count what was used: for the session, and for its user in the window of [`Batch::gate`]. Answered by
    /// [`StoreReply::Charged`].
    Charge(Charge),
    /// Make a thread and switch to it.
    CreateThread {
        /// The frame that asks.
        idempotency: Idempotency,
        /// The thread.
        thread_id: ThreadId,
        /// Its name.
        name: String,
    },
    /// Make a thread the session's current one.
    SwitchThread {
        /// The thread.
        thread_id: ThreadId,
    },
    /// Give a thread another name.
    RenameThread {
        /// The frame that asks.
        idempotency: Idempotency,
        /// The thread.
        thread_id: ThreadId,
        /// Its name.
        name: String,
    },
    /// Delete a thread, its messages and the bodies of its events. Answered by [`StoreReply::ThreadBusy`] while a run is
    /// active in it.
    DeleteThread {
        /// The frame that asks.
        idempotency: Idempotency,
        /// The thread.
        thread_id: ThreadId,
        /// Becomes the session's current thread where the deleted one was; its row is written when something is said in it.
        fallback: ThreadId,
    },
}

/// A message to take.
#[derive(Debug, Clone, PartialEq)]
pub struct Accept {
    /// The frame that asks; its `message_id` becomes the message's.
    pub idempotency: Idempotency,
    /// Its thread.
    pub thread_id: ThreadId,
    /// Whether the thread may be made here, under this name. One that is there as [`UNNAMED`] gets the name.
    pub create_thread: Option<String>,
    /// The run that answers it.
    pub run_id: RunId,
    /// What it is asked by.
    pub request_id: RequestId,
    /// The agent.
    pub agent: String,
    /// The words.
    pub content: String,
    /// Documents that it names. All must be the user's, or it is answered by [`StoreReply::NoDocument`].
    pub references: Vec<DocumentId>,
    /// What the client wants kept beside them.
    pub metadata: Option<Value>,
    /// `true`: start, or answer [`StoreReply::ThreadBusy`] or [`StoreReply::RunLimit`]. `false`: queue.
    pub start: bool,
}

/// Makes sending again safe: unique per user, kept for days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Idempotency {
    /// The frame's id.
    pub message_id: MessageId,
    /// SHA-256 of what it asks.
    pub digest: [u8; 32],
}

/// What the store answers to a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreReply {
    /// Done. The name is the thread's, where the command speaks of one.
    Done {
        /// The thread's name; empty for messages and runs.
        name: String,
    },
    /// It was done before, under the same id.
    Duplicate {
        /// The thread it was about.
        thread_id: ThreadId,
        /// The thread's name.
        name: String,
        /// The run that it made, with its state now.
        run: Option<(RunId, RunState)>,
    },
    /// The id was used for something else.
    Conflict,
    /// Another run holds the thread.
    ThreadBusy {
        /// The run.
        run_id: RunId,
        /// The session that has it.
        session_id: SessionId,
    },
    /// The user has as many active runs as [`Batch::runs_per_user`] allows.
    RunLimit,
    /// No such thread, or run, of this user.
    NotFound,
    /// The message names a document that this user does not have.
    NoDocument,
    /// It was counted: what was used until now, over all sessions of the user.
    Charged(Totals),
    /// A budget of the session's or the user's is used up: nothing new begins.
    BudgetExhausted(Spent),
}

/// Why a batch, or a question, was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// A newer incarnation writes this session now. The old one must end.
    #[error("a newer incarnation of the session has taken over")]
    Fenced,
    /// Nobody knows whether it was committed: read again before going on.
    #[error("the outcome of the commit is unknown: {0}")]
    Unknown(String),
    /// It was not committed, and nothing changed.
    #[error("the journal is unavailable: {0}")]
    Unavailable(String),
    /// The session's own rows are damaged, or the batch is impossible.
    #[error("the batch was refused: {0}")]
    Refused(String),
}

/// Why a session can't come back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReviveError {
    /// Unknown, gone, or someone else's: not told apart.
    #[error("no such session of this user")]
    NoSuchSession,
    /// The journal can't say now.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// How much to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadLimit {
    /// Events at most.
    pub events: usize,
    /// Bytes, about.
    pub bytes: usize,
}

/// Events read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventPage {
    /// Oldest first.
    pub events: Vec<StoredEvent>,
    /// Events up to here are gone. Where it is beyond what was asked for, the page is empty and the client must resync.
    pub floor_seq: Seq,
}

/// An event read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// Its number.
    pub seq: Seq,
    /// Whether it ends a run that answers a user's message. A child run's end is none.
    pub terminal: bool,
    /// The frame, as it was sent.
    pub body: Bytes,
}

/// A run, as it is found by its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRecord {
    /// The session that has it: only there do its events arrive.
    pub session_id: SessionId,
    /// Its last event, as it was sent; none while it goes on.
    pub end: Option<Bytes>,
}

/// A page of threads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThreadPage {
    /// Last used first.
    pub threads: Vec<ThreadSummary>,
    /// Where the next page begins.
    pub next_before: Option<i64>,
}

/// Which part of a thread to read, already clamped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryPage {
    /// Messages before this cursor.
    pub before: Option<i64>,
    /// How many at most.
    pub messages: usize,
    /// Bytes of content, about (at least one message).
    pub bytes: usize,
}

/// Why a thread can't be read or changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// No such thread, or run, of this user.
    #[error("no such thread or run of this user")]
    NotFound,
    /// A run is still active in it.
    #[error("a run is active in the thread")]
    RunActive(RunId),
    /// The store can't say now.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
}
