//! What an agent tells of a workflow that it works through.

use super::{RunContext, RunOver, boundary};
use crate::protocol::server::{Event, StepStatus, WorkflowStatus};

/// The longest name of a workflow or a step that is told, in bytes. A longer one is cut.
const NAME_BYTES: usize = 256;

/// Steps that `workflow_started` names at most. The others are told when they begin.
const STEPS_NAMED: usize = 128;

impl RunContext {
    /// Tells that a workflow begins, with its steps in order.
    ///
    /// # Errors
    /// [`RunOver`] where the run has ended.
    pub async fn workflow_started(&mut self, workflow: &str, steps: &[String]) -> Result<(), RunOver> {
        self.emitter
            .emit(Event::WorkflowStarted {
                workflow: name(workflow),
                steps: steps.iter().take(STEPS_NAMED).map(|step| name(step)).collect(),
            })
            .await
    }

    /// Tells that a step begins; the first is number 1.
    ///
    /// # Errors
    /// [`RunOver`] where the run has ended.
    pub async fn step_started(&mut self, step: &str, step_number: u32) -> Result<(), RunOver> {
        let step = name(step);
        self.emitter.emit(Event::StepStarted { step, step_number }).await
    }

    /// Tells how a step ended.
    ///
    /// # Errors
    /// [`RunOver`] where the run has ended.
    pub async fn step_completed(&mut self, step: &str, step_number: u32, status: StepStatus) -> Result<(), RunOver> {
        self.emitter
            .emit(Event::StepCompleted {
                step: name(step),
                step_number,
                status,
            })
            .await
    }

    /// Tells how the workflow ended.
    ///
    /// # Errors
    /// [`RunOver`] where the run has ended.
    pub async fn workflow_completed(&mut self, workflow: &str, status: WorkflowStatus) -> Result<(), RunOver> {
        let workflow = name(workflow);
        self.emitter.emit(Event::WorkflowCompleted { workflow, status }).await
    }
}

fn name(text: &str) -> String {
    text[..boundary(text, NAME_BYTES)].to_owned()
}
