//! What is shown of threads and runs, on the socket and over HTTP.

use serde::Serialize;
use serde_json::Value;

use crate::ids::{CallId, MessageId, RunId, Seq, SessionId, ThreadId};

/// The state of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// It waits for the thread.
    Queued,
    /// It works.
    Running,
    /// It waits for a person.
    Waiting,
    /// It is being stopped.
    Cancelling,
    /// It has an answer.
    Completed,
    /// It failed.
    Failed,
    /// It was stopped.
    Stopped,
    /// The runtime ended it.
    Died,
}

impl RunState {
    /// As text, on the wire and in rows.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Cancelling => "cancelling",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
            Self::Died => "died",
        }
    }

    /// Reads what [`RunState::as_str`] wrote.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        [
            Self::Queued,
            Self::Running,
            Self::Waiting,
            Self::Cancelling,
            Self::Completed,
            Self::Failed,
            Self::Stopped,
            Self::Died,
        ]
        .into_iter()
        .find(|state| state.as_str() == text)
    }

    /// The state of a run as people see it, where these calls of a child of its wait for one of them.
    #[must_use]
    pub fn with_child(self, waiting: &[PendingApproval]) -> Self {
        match self {
            Self::Running if !waiting.is_empty() => Self::Waiting,
            other => other,
        }
    }

    /// Whether it holds its thread: at most one run of a thread is in such a state.
    #[must_use]
    pub const fn is_active(self) -> bool {
        matches!(self, Self::Running | Self::Waiting | Self::Cancelling)
    }
}

/// A thread in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ThreadSummary {
    /// The thread.
    pub thread_id: ThreadId,
    /// Its name.
    pub name: String,
    /// RFC 3339.
    pub created_at: String,
    /// RFC 3339: when something was last said in it.
    pub updated_at: String,
}

/// A page of a thread, newest first, with all that a page needs to go on from there. Read at one commit point.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct History {
    /// The thread.
    pub thread_id: ThreadId,
    /// Newest first.
    pub messages: Vec<HistoryMessage>,
    /// Where the next page begins; none at the end.
    pub next_before: Option<i64>,
    /// The session's last event at that point: apply only what comes after it. Zero where no session was named.
    pub as_of_seq: Seq,
    /// The runs at work in the thread.
    pub active_runs: Vec<ActiveRun>,
    /// The messages that wait.
    pub queued: Vec<QueuedMessage>,
    /// The calls that wait for a person.
    pub pending_approvals: Vec<PendingApproval>,
}

/// One thing said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HistoryMessage {
    /// Its id.
    pub message_id: MessageId,
    /// `user` or `assistant`.
    pub role: String,
    /// The words.
    pub content: String,
    /// The run that it began or ended.
    pub run_id: RunId,
    /// `complete`, or `partial` where the run ended before its time.
    pub status: String,
    /// RFC 3339.
    pub created_at: String,
}

/// A run at work.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ActiveRun {
    /// The run.
    pub run_id: RunId,
    /// The session that has it: only there do its events arrive.
    pub session_id: SessionId,
    /// Its agent.
    pub agent_name: String,
    /// Its state.
    pub state: RunState,
    /// The message being written; none before the first text.
    pub message_ref: Option<MessageId>,
    /// What has been written of it.
    pub text_so_far: String,
    /// Tool calls that have begun and not ended.
    pub open_calls: Vec<OpenCall>,
}

/// A tool call that has begun and not ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OpenCall {
    /// The call.
    pub call_id: CallId,
    /// The tool.
    pub tool_name: String,
}

/// A tool call that waits for a person: what its `tool_approval_requested` said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PendingApproval {
    /// The run that made the call.
    pub run_id: RunId,
    /// The call.
    pub call_id: CallId,
    /// The tool.
    pub tool_name: String,
    /// Its arguments, sanitised.
    pub parameters: Value,
    /// Binds the approval to the exact arguments, in hexadecimal.
    pub arguments_sha256: String,
    /// RFC 3339.
    pub expires_at: String,
}

/// A message that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct QueuedMessage {
    /// The message.
    pub message_id: MessageId,
    /// The run that will answer it.
    pub run_id: RunId,
    /// The words.
    pub content: String,
}
