//! What a client is told: events, which are numbered and never lost, and control frames, which may be lost with the socket.

use std::time::SystemTime;

use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;

use crate::ids::{CallId, Epoch, MessageId, RunId, Seq, SessionId, ThreadId, UserId};
use crate::protocol::WireLimits;

/// An event of a run. Serialises to its payload; [`Event::kind`] is its `type`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Event {
    /// A run begins.
    AgentStarted {
        /// Always `started`.
        status: &'static str,
        /// A line for people.
        message: String,
        /// The message that it answers.
        message_id: MessageId,
        /// The run that started it, for a child run.
        #[serde(skip_serializing_if = "Option::is_none")]
        parent_run_id: Option<RunId>,
    },
    /// What the agent is thinking about.
    AgentThinking {
        /// In words.
        reasoning: String,
        /// 1, 2, 3 ... within the run.
        step_number: u32,
        /// 0 to 100, where the agent knows.
        #[serde(skip_serializing_if = "Option::is_none")]
        progress_percentage: Option<u8>,
    },
    /// A tool call begins; its `tool_completed` follows on every path.
    ToolExecuting {
        /// Pairs it with its end.
        call_id: CallId,
        /// The tool.
        tool_name: String,
        /// Its arguments, sanitised.
        parameters: Value,
    },
    /// A tool call waits for a person.
    ToolApprovalRequested {
        /// The call.
        call_id: CallId,
        /// The tool.
        tool_name: String,
        /// Its arguments, sanitised.
        parameters: Value,
        /// Binds the approval to the exact arguments, in hexadecimal.
        arguments_sha256: String,
        /// RFC 3339.
        expires_at: String,
    },
    /// A tool call ended.
    ToolCompleted {
        /// The call.
        call_id: CallId,
        /// The tool.
        tool_name: String,
        /// How.
        status: ToolStatus,
        /// What came out, sanitised.
        result: Value,
        /// Whether the output was cut at its cap.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        truncated: bool,
        /// In milliseconds.
        execution_time_ms: u64,
    },
    /// A piece of the answer.
    PartialResult {
        /// The message that it is part of.
        message_ref: MessageId,
        /// Where it belongs, in UTF-8 bytes from the start.
        offset: u64,
        /// The text.
        content: String,
        /// Whether nothing follows.
        is_complete: bool,
    },
    /// How far the run is.
    ProgressUpdate {
        /// 0 to 100.
        #[serde(skip_serializing_if = "Option::is_none")]
        percentage: Option<u8>,
        /// A line for people.
        message: String,
        /// The step at hand.
        #[serde(skip_serializing_if = "Option::is_none")]
        current_step: Option<u32>,
        /// Of how many.
        #[serde(skip_serializing_if = "Option::is_none")]
        total_steps: Option<u32>,
    },
    /// The agent took what it was told by `steer`.
    SteeringApplied {
        /// The `steer` frame's id.
        message_id: MessageId,
        /// What it was told.
        content: String,
    },
    /// A budget is nearly used up.
    BudgetWarning {
        /// Which: steps, tool_calls, tokens, cost, time.
        budget: String,
        /// Used so far.
        used: f64,
        /// What there is.
        limit: f64,
    },
    /// The run goes on after a crash.
    RunRecovering {
        /// From which step.
        step_number: u32,
        /// A line for people.
        message: String,
    },
    /// An agent's own event.
    Custom {
        /// Its name; the protocol's own names are refused.
        name: String,
        /// Its content, capped in size.
        payload: Value,
    },
    /// A workflow begins.
    WorkflowStarted {
        /// Its name.
        workflow: String,
        /// Its steps, in order.
        steps: Vec<String>,
    },
    /// A step of a workflow begins.
    StepStarted {
        /// The step.
        step: String,
        /// 1, 2, 3 ...
        step_number: u32,
    },
    /// A step of a workflow ended.
    StepCompleted {
        /// The step.
        step: String,
        /// 1, 2, 3 ...
        step_number: u32,
        /// How: completed, failed, skipped.
        status: String,
    },
    /// A workflow ended.
    WorkflowCompleted {
        /// Its name.
        workflow: String,
        /// How: completed, partial, failed.
        status: String,
    },
    /// The run's end: it has an answer.
    AgentCompleted {
        /// Always `completed`.
        status: &'static str,
        /// The answer, whole.
        result: String,
        /// The message that holds it.
        message_ref: MessageId,
        /// Of the UTF-8 of `result`, in hexadecimal.
        result_sha256: String,
        /// In milliseconds.
        execution_time_ms: u64,
        /// What it used.
        usage: Usage,
    },
    /// The run's end: the agent, tool or model failed by itself.
    AgentError {
        /// Stable: `agent_failed`, `model_failed`, `result_too_large`, `step_limit` ...
        code: String,
        /// A sentence that says what to do.
        error_message: String,
        /// Where, and whether trying again helps.
        error_context: ErrorContext,
        /// What was said until then.
        #[serde(skip_serializing_if = "Option::is_none")]
        partial: Option<String>,
    },
    /// The run's end: somebody ended it.
    AgentStopped {
        /// Who.
        stopped_by: StoppedBy,
        /// Why.
        reason: String,
        /// What was said until then.
        #[serde(skip_serializing_if = "Option::is_none")]
        partial: Option<String>,
        /// Messages that the thread forgot (`rollback`).
        #[serde(skip_serializing_if = "Vec::is_empty")]
        discarded_message_ids: Vec<MessageId>,
    },
    /// The run's end: the runtime ended it.
    AgentDeath {
        /// Why.
        death_cause: DeathCause,
        /// A line for people.
        message: String,
        /// What the client should do: `send_again`.
        recovery_action: String,
    },
}

/// How a tool call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolStatus {
    /// It has a result.
    Ok,
    /// It failed by itself.
    Error,
    /// It took too long.
    Timeout,
    /// It was not allowed.
    Denied,
    /// Its run was ended.
    Cancelled,
    /// Its code panicked.
    Panicked,
    /// Nobody knows: the process died after it began.
    Unknown,
}

/// What a run used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Usage {
    /// Tokens that models read.
    pub input_tokens: u64,
    /// Tokens that models wrote.
    pub output_tokens: u64,
    /// Calls of models.
    pub model_calls: u32,
    /// Calls of tools.
    pub tool_calls: u32,
}

/// Where a run failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ErrorContext {
    /// What the agent was doing.
    pub agent_step: String,
    /// Whether sending it again may help.
    pub retryable: bool,
    /// Whether the message is meant for the user.
    pub user_facing: bool,
}

/// Who ended a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StoppedBy {
    /// The user, by `stop_agent` or by HTTP.
    User,
    /// The server is draining.
    Drain,
    /// No socket came back within the grace time.
    Abandoned,
    /// Its thread was deleted.
    ThreadDeleted,
    /// Another message took its place (`interrupt`, `rollback`).
    Replaced,
    /// The user's right was revoked.
    Revoked,
}

/// Why the runtime ended a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DeathCause {
    /// The agent's code or the session's panicked.
    Panic,
    /// It ran longer than it may.
    Timeout,
    /// Its budget is used up.
    Budget,
    /// The process ended under it.
    Interrupted,
}

impl Event {
    /// The `type` on the wire.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::AgentStarted { .. } => "agent_started",
            Self::AgentThinking { .. } => "agent_thinking",
            Self::ToolExecuting { .. } => "tool_executing",
            Self::ToolApprovalRequested { .. } => "tool_approval_requested",
            Self::ToolCompleted { .. } => "tool_completed",
            Self::PartialResult { .. } => "partial_result",
            Self::ProgressUpdate { .. } => "progress_update",
            Self::SteeringApplied { .. } => "steering_applied",
            Self::BudgetWarning { .. } => "budget_warning",
            Self::RunRecovering { .. } => "run_recovering",
            Self::Custom { .. } => "custom",
            Self::WorkflowStarted { .. } => "workflow_started",
            Self::StepStarted { .. } => "step_started",
            Self::StepCompleted { .. } => "step_completed",
            Self::WorkflowCompleted { .. } => "workflow_completed",
            Self::AgentCompleted { .. } => "agent_completed",
            Self::AgentError { .. } => "agent_error",
            Self::AgentStopped { .. } => "agent_stopped",
            Self::AgentDeath { .. } => "agent_death",
        }
    }

    /// Whether it ends its run. A run has exactly one such event.
    #[must_use]
    pub const fn is_terminal(&self) -> bool {
        matches!(
            self,
            Self::AgentCompleted { .. } | Self::AgentError { .. } | Self::AgentStopped { .. } | Self::AgentDeath { .. }
        )
    }
}

/// Whether an event of this `type` ends its run.
#[must_use]
pub fn is_terminal_kind(kind: &str) -> bool {
    matches!(
        kind,
        "agent_completed" | "agent_error" | "agent_stopped" | "agent_death"
    )
}

/// An event with its place in the session: what is journalled and sent, byte for byte the same.
#[derive(Debug, Clone, PartialEq)]
pub struct EventEnvelope<'a> {
    /// Its number.
    pub seq: Seq,
    /// Its session.
    pub session_id: SessionId,
    /// Its conversation.
    pub thread_id: ThreadId,
    /// Its run.
    pub run_id: RunId,
    /// The agent that made it.
    pub agent_name: &'a str,
    /// When.
    pub at: SystemTime,
    /// What happened.
    pub event: &'a Event,
}

impl EventEnvelope<'_> {
    /// The frame as text.
    #[must_use]
    pub fn to_text(&self) -> Bytes {
        text_of(&Envelope {
            kind: self.event.kind(),
            seq: Some(self.seq),
            session_id: self.session_id,
            thread_id: Some(self.thread_id),
            run_id: Some(self.run_id),
            agent_name: Some(self.agent_name),
            timestamp: Timestamp(self.at),
            payload: self.event,
        })
    }
}

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
    },
    /// A decision was taken.
    DecisionAccepted {
        /// The frame that asked.
        message_id: MessageId,
        /// The call.
        call_id: CallId,
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
    pub pending_approvals: Vec<OpenCall>,
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

impl Control {
    /// The `type` on the wire.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::ConnectionEstablished { .. } => "connection_established",
            Self::MessageAccepted { .. } => "message_accepted",
            Self::StopAccepted { .. } => "stop_accepted",
            Self::SteeringAccepted { .. } => "steering_accepted",
            Self::DecisionAccepted { .. } => "decision_accepted",
            Self::ThreadCreated { .. } => "thread_created",
            Self::ThreadSwitched { .. } => "thread_switched",
            Self::ThreadRenamed { .. } => "thread_renamed",
            Self::ThreadDeleted { .. } => "thread_deleted",
            Self::ThreadList { .. } => "thread_list",
            Self::ThreadHistory { .. } => "thread_history",
            Self::ThreadChanged { .. } => "thread_changed",
            Self::Resync { .. } => "resync",
            Self::ReauthRequired { .. } => "reauth_required",
            Self::TokenRefreshed { .. } => "token_refreshed",
            Self::ServerShutdown { .. } => "server_shutdown",
            Self::Pong { .. } => "pong",
            Self::Error(_) => "error",
            Self::FinalReport { .. } => "final_report",
        }
    }

    /// The frame as text.
    #[must_use]
    pub fn to_text(&self, session_id: SessionId, thread_id: Option<ThreadId>, at: SystemTime) -> Bytes {
        text_of(&Envelope {
            kind: self.kind(),
            seq: None,
            session_id,
            thread_id,
            run_id: None,
            agent_name: None,
            timestamp: Timestamp(at),
            payload: self,
        })
    }
}

#[derive(Serialize)]
struct Envelope<'a, P: Serialize> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<Seq>,
    session_id: SessionId,
    #[serde(skip_serializing_if = "Option::is_none")]
    thread_id: Option<ThreadId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    run_id: Option<RunId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent_name: Option<&'a str>,
    timestamp: Timestamp,
    payload: &'a P,
}

struct Timestamp(SystemTime);

impl Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_rfc3339_millis(self.0))
    }
}

/// Writes RFC 3339 in UTC with milliseconds.
#[must_use]
pub fn rfc3339(at: SystemTime) -> String {
    humantime::format_rfc3339_millis(at).to_string()
}

fn text_of<P: Serialize>(envelope: &Envelope<'_, P>) -> Bytes {
    // Every payload is made of strings, numbers and JSON values with string keys: serde_json can't refuse them.
    serde_json::to_vec(envelope)
        .expect("a frame of ours is always JSON")
        .into()
}
