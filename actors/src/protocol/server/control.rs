//! Control frames: answers and notices. They carry no `seq` and may be lost with the socket.

use serde::Serialize;
use serde_json::Value;

use super::view::{History, RunState, ThreadSummary};
use crate::ids::{CallId, Epoch, MessageId, RunId, Seq, SessionId, ThreadId, UserId};
use crate::protocol::WireLimits;

/// A frame that answers or informs; it carries no `seq`. Serialises to its payload; [`Control::kind`] is its `type`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Control {
    /// The first frame on every socket.
    ConnectionEstablished {
        /// The session.
        session_id: SessionId,
        /// The user, as the credential names them.
        user_id: UserId,
        /// The lineage of the log.
        epoch: Epoch,
        /// The last event that there is.
        head_seq: Seq,
        /// Whether an older session goes on.
        resumed: bool,
        /// The current thread.
        thread_id: ThreadId,
        /// `sessile.v1`.
        protocol: &'static str,
        /// What is allowed.
        limits: WireLimits,
        /// How often the server pings, in milliseconds.
        heartbeat_interval_ms: u64,
    },
    /// A message was taken: it is durable, and answered exactly once.
    MessageAccepted {
        /// The message.
        message_id: MessageId,
        /// Its thread.
        thread_id: ThreadId,
        /// The run that answers it.
        run_id: RunId,
        /// `started`, `queued` or `duplicate`.
        status: AcceptStatus,
        /// The state of the run now.
        run_state: RunState,
    },
    /// These runs are being stopped; each tells its end.
    StopAccepted {
        /// The frame that asked.
        #[serde(skip_serializing_if = "Option::is_none")]
        message_id: Option<MessageId>,
        /// The runs.
        run_ids: Vec<RunId>,
    },
    /// A `steer` was taken.
    SteeringAccepted {
        /// The frame that asked.
        message_id: MessageId,
        /// The run.
        run_id: RunId,
        /// Present on a repeat: `duplicate`.
        #[serde(skip_serializing_if = "Option::is_none")]
        status: Option<AcceptStatus>,
    },
    /// A decision was taken.
    DecisionAccepted {
        /// The frame that asked.
        message_id: MessageId,
        /// The call.
        call_id: CallId,
        /// Present on a repeat: `duplicate`.
        #[serde(skip_serializing_if = "Option::is_none")]
        status: Option<AcceptStatus>,
    },
    /// A thread was made, and is the current one.
    ThreadCreated {
        /// The frame that asked.
        message_id: MessageId,
        /// The thread.
        thread_id: ThreadId,
        /// Its name.
        name: String,
        /// Present on a repeat: `duplicate`.
        #[serde(skip_serializing_if = "Option::is_none")]
        status: Option<AcceptStatus>,
    },
    /// The current thread is another one now.
    ThreadSwitched {
        /// The frame that asked.
        #[serde(skip_serializing_if = "Option::is_none")]
        message_id: Option<MessageId>,
        /// The thread.
        thread_id: ThreadId,
        /// Its name.
        name: String,
    },
    /// A thread has another name.
    ThreadRenamed {
        /// The frame that asked.
        #[serde(skip_serializing_if = "Option::is_none")]
        message_id: Option<MessageId>,
        /// The thread.
        thread_id: ThreadId,
        /// Its name.
        name: String,
    },
    /// A thread is gone.
    ThreadDeleted {
        /// The frame that asked.
        #[serde(skip_serializing_if = "Option::is_none")]
        message_id: Option<MessageId>,
        /// The thread.
        thread_id: ThreadId,
    },
    /// The user's threads.
    ThreadList {
        /// The frame that asked.
        #[serde(skip_serializing_if = "Option::is_none")]
        message_id: Option<MessageId>,
        /// Newest first.
        threads: Vec<ThreadSummary>,
        /// Where the next page begins; none at the end.
        next_before: Option<i64>,
    },
    /// What was said in a thread.
    ThreadHistory {
        /// The frame that asked.
        #[serde(skip_serializing_if = "Option::is_none")]
        message_id: Option<MessageId>,
        /// The page.
        #[serde(flatten)]
        history: History,
    },
    /// Another session of this user began or ended a run.
    ThreadChanged {
        /// The thread.
        thread_id: ThreadId,
        /// The run.
        run_id: RunId,
        /// Its state.
        state: RunState,
    },
    /// The events between are gone: start from this snapshot.
    Resync {
        /// `expired` or `epoch_changed`.
        reason: &'static str,
        /// The lineage of the log.
        epoch: Epoch,
        /// The current thread, read at one commit point.
        #[serde(flatten)]
        history: History,
    },
    /// The credential ends soon; send `refresh_token`.
    ReauthRequired {
        /// RFC 3339.
        expires_at: String,
    },
    /// The credential was prolonged.
    TokenRefreshed {
        /// The frame that asked.
        #[serde(skip_serializing_if = "Option::is_none")]
        message_id: Option<MessageId>,
        /// RFC 3339; none where it does not end.
        expires_at: Option<String>,
    },
    /// The server drains; a close with 1012 follows.
    ServerShutdown {
        /// A line for people.
        message: String,
        /// When to come back.
        retry_after_ms: u64,
    },
    /// The answer to `ping`.
    Pong {
        /// As it came.
        timestamp: Value,
    },
    /// Something was refused. The session goes on.
    Error(ErrorFrame),
    /// For the seed system's clients: the end of a run in the frame that they wait for.
    FinalReport {
        /// The answer.
        report: String,
    },
}

/// A refusal: a stable code and a sentence that says what to do.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ErrorFrame {
    /// Stable.
    pub code: ErrorCode,
    /// For people.
    pub message: String,
    /// The id of the frame that it answers, as the client wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<String>,
    /// Whether sending it again may help.
    pub retryable: bool,
    /// When.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// What the code's description promises.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<Value>,
}

/// The codes of refusals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// Not JSON, or not a frame.
    BadJson,
    /// A `type` that the protocol doesn't know.
    UnknownType,
    /// A field is missing or wrong; `details.pointer` names it.
    InvalidPayload,
    /// Nothing was said.
    EmptyMessage,
    /// There is no such thing, or it is someone else's.
    NotFound,
    /// The same id was used for something else.
    Conflict,
    /// A run is active in the thread.
    RunActive,
    /// The user has as many runs as are allowed.
    RunLimit,
    /// As many messages wait as are allowed.
    QueueFull,
    /// Too many messages.
    RateLimited,
    /// More stored than allowed.
    QuotaExceeded,
    /// A budget is used up.
    BudgetExhausted,
    /// Not allowed.
    Forbidden,
    /// The server has no room now.
    Overloaded,
    /// A fault of ours; `details.correlation_id` finds it in the log.
    Internal,
}

/// How a message was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AcceptStatus {
    /// Its run begins.
    Started,
    /// It waits.
    Queued,
    /// It had been taken before.
    Duplicate,
}
