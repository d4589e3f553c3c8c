//! Events: what happens in a run, numbered and never lost.

use serde::Serialize;
use serde_json::Value;

use crate::ids::{CallId, MessageId, RunId};

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
    /// A request for approval was decided. The tool starts after this, or never.
    ToolApprovalDecided {
        /// The call.
        call_id: CallId,
        /// How.
        decision: ApprovalDecision,
        /// Why, in the words of who decided.
        #[serde(skip_serializing_if = "Option::is_none")]
        note: Option<String>,
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
        /// Which: whose it is and what it counts, as `run.tokens` or `user.cost`.
        budget: String,
        /// Used so far: a count, bytes, milliseconds, or millionths of a US dollar.
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
        /// How.
        status: StepStatus,
    },
    /// A workflow ended.
    WorkflowCompleted {
        /// Its name.
        workflow: String,
        /// How.
        status: WorkflowStatus,
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

/// How a request for approval was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalDecision {
    /// The tool starts.
    Approve,
    /// The tool does not start.
    Deny,
    /// Nobody decided in time: the tool does not start.
    Expired,
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

/// How a step of a workflow ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StepStatus {
    /// It did what it is for.
    Completed,
    /// It failed.
    Failed,
    /// It was not needed, or what it needs is missing.
    Skipped,
}

/// How a workflow ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkflowStatus {
    /// Every step did.
    Completed,
    /// Some steps did.
    Partial,
    /// It has nothing to show.
    Failed,
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
    /// Calls of models, and thoughts of the agent outside of them.
    pub steps: u32,
    /// What the models cost, in millionths of a US dollar; left out where nothing is known to have cost anything.
    #[serde(skip_serializing_if = "is_zero")]
    pub cost_micros: u64,
}

const fn is_zero(count: &u64) -> bool {
    *count == 0
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
    /// The run that began it ended first, or no longer waits for it. For child runs.
    Parent,
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

impl DeathCause {
    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Panic => "panic",
            Self::Timeout => "timeout",
            Self::Budget => "budget",
            Self::Interrupted => "interrupted",
        }
    }

    /// What people are told, and what they can do.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Panic => "a crash ended the run; send the message again",
            Self::Timeout => "the run took longer than it may; ask for less at once",
            Self::Budget => "the run's budget is used up",
            Self::Interrupted => "the server went down during this run; send the message again",
        }
    }
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
            Self::ToolApprovalDecided { .. } => "tool_approval_decided",
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
