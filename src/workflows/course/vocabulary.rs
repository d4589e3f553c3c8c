//! What the course of a workflow takes and gives: ends in, effects out.

use std::time::Duration;

use serde_json::Value;
use sessile_actors::protocol::server::{StepStatus, WorkflowStatus};

use super::super::results::Known;

/// Where a step stands: in which frame of the course, and there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct At {
    pub(super) frame: usize,
    pub(super) step: usize,
}

/// What came of one try of a step.
#[derive(Debug, Clone, PartialEq)]
pub enum StepEnd {
    /// It did what it is for.
    Completed {
        /// What it hands on; Null where it set nothing.
        output: Value,
        /// What it said.
        words: Option<String>,
    },
    /// It did not.
    Failed {
        /// Stable, lower case with underscores.
        code: String,
        /// A sentence for people.
        message: String,
        /// Whether another try may help.
        retryable: bool,
    },
}

/// What is to be done, in this order.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Tell that a workflow begins.
    WorkflowStarted {
        /// Its name.
        workflow: String,
        /// Its steps, in order.
        steps: Vec<String>,
    },
    /// Tell that a step begins.
    StepStarted {
        /// The step.
        step: String,
        /// 1, 2, 3 ... in its workflow.
        step_number: u32,
    },
    /// Run an agent, and tell [`Course::ended`] what came of it.
    Begin {
        /// The step.
        at: At,
        /// The agent.
        agent: String,
        /// How long it may take; none: as long as a run may.
        timeout: Option<Duration>,
        /// What it is handed.
        known: Known,
    },
    /// Wait at most this long, then tell [`Course::pause_over`].
    Pause {
        /// The step that failed and is tried again.
        at: At,
        /// Its name.
        step: String,
        /// The longest pause.
        most: Duration,
        /// Which retry comes next, from 1.
        retry: u32,
        /// How many there are.
        retries: u32,
    },
    /// Tell that a step ended, or never began.
    StepCompleted {
        /// The step.
        step: String,
        /// 1, 2, 3 ... in its workflow.
        step_number: u32,
        /// How.
        status: StepStatus,
    },
    /// Tell that a workflow ended.
    WorkflowCompleted {
        /// Its name.
        workflow: String,
        /// How.
        status: WorkflowStatus,
    },
}

/// How a step that runs an agent ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepSummary {
    /// The step.
    pub step: String,
    /// Its agent.
    pub agent: String,
    /// How.
    pub status: StepStatus,
}
