//! `supervisor`: follows the workflow `supervisor`. It sorts a request, runs the sequence of agents that its data allow, and
//! answers with the report that comes last.
//!
//! It asks no model and calls no tool: its steps do, each as a run of its own.

use std::fmt::Write as _;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value, json};
use sessile_actors::infra::{Agent, AgentClass, AgentError, Answer};
use sessile_actors::protocol::server::StepStatus;
use sessile_actors::session::run::RunContext;

use crate::workflows::{WorkflowEnd, Workflows, run_workflow};

/// The name that clients name in `agent`, and that of its workflow.
pub const NAME: &str = "supervisor";

/// The event that tells what [`summary`] says: a run that answers a message has no other way to hand on more than words.
const SUMMARY_EVENT: &str = "supervisor_summary";

/// Follows its workflow.
pub struct Supervisor {
    workflows: Arc<Workflows>,
}

/// The class of [`Supervisor`].
#[must_use]
pub fn class(workflows: Arc<Workflows>) -> AgentClass {
    AgentClass::new(
        NAME,
        "Sorts a request about AI costs and usage, has other agents work on it, and reports.",
        move |_| Supervisor {
            workflows: Arc::clone(&workflows),
        },
    )
    .steerable()
}

#[async_trait(?Send)]
impl Agent for Supervisor {
    async fn run(&mut self, run: &mut RunContext) -> Result<Answer, AgentError> {
        let course = self.workflows.course(NAME).ok_or_else(no_workflow)?;
        let end = run_workflow(run, course).await?;
        let summary = summary(&end);
        run.custom(SUMMARY_EVENT, summary.clone()).await?;
        run.set_output(summary);
        Ok(Answer::Text(end.report.clone().unwrap_or_else(|| fallback(&end))))
    }
}

/// Which agents completed, which failed, and the share of those that completed among those that ran, from 0 to 1.
fn summary(end: &WorkflowEnd) -> Value {
    let of = |status: StepStatus| {
        let steps = end.steps.iter().filter(move |step| step.status == status);
        steps.map(|step| step.agent.as_str()).collect::<Vec<_>>()
    };
    let (completed, failed) = (of(StepStatus::Completed), of(StepStatus::Failed));
    let total = completed.len() + failed.len();
    // Too few to lose a digit.
    #[allow(clippy::cast_precision_loss)]
    let rate = if total == 0 {
        0.0
    } else {
        completed.len() as f64 / total as f64
    };
    json!({"completed_agents": completed, "failed_agents": failed, "total_agents": total, "success_rate": rate})
}

/// The answer where there is no report: what was done, and what was not.
fn fallback(end: &WorkflowEnd) -> String {
    let mut report = "# Report\n\nThe report itself could not be written. This is what was done:\n".to_owned();
    for step in &end.steps {
        let how = match step.status {
            StepStatus::Completed => "done".to_owned(),
            StepStatus::Skipped => "left out".to_owned(),
            StepStatus::Failed => match end.failed.get(&step.step) {
                Some(failure) => format!("failed ({}): {}", failure.code, failure.message),
                None => "failed".to_owned(),
            },
        };
        // Writing to a text can't fail.
        let _ = write!(report, "\n- **{}**: {how}", step.step);
    }
    report.push_str("\n\nSend the message again to try once more.\n");
    report
}

fn no_workflow() -> AgentError {
    AgentError::Failed {
        code: "no_workflow",
        message: format!(
            "There is no workflow `{NAME}`. Ask whoever runs this server to add it to agents.workflows_file."
        ),
        retryable: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    use sessile_actors::protocol::server::WorkflowStatus;

    use crate::workflows::{Failure, StepSummary};

    fn ended(steps: &[(&str, StepStatus)]) -> WorkflowEnd {
        let step = |(name, status): &(&str, StepStatus)| StepSummary {
            step: (*name).to_owned(),
            agent: (*name).to_owned(),
            status: *status,
        };
        WorkflowEnd {
            status: WorkflowStatus::Failed,
            results: BTreeMap::new(),
            failed: BTreeMap::new(),
            steps: steps.iter().map(step).collect(),
            report: None,
        }
    }

    #[test]
    fn the_summary_counts_what_ran_and_not_what_was_left_out() {
        let end = ended(&[
            ("triage", StepStatus::Completed),
            ("data", StepStatus::Failed),
            ("actions", StepStatus::Skipped),
            ("reporting", StepStatus::Completed),
            ("optimization", StepStatus::Failed),
        ]);
        let expected = json!({
            "completed_agents": ["triage", "reporting"],
            "failed_agents": ["data", "optimization"],
            "total_agents": 4,
            "success_rate": 0.5,
        });
        assert_eq!(summary(&end), expected);
        assert_eq!(summary(&ended(&[]))["success_rate"], 0.0);
    }

    #[test]
    fn without_a_report_the_answer_says_what_was_done_and_why_the_rest_was_not() {
        let mut end = ended(&[
            ("data", StepStatus::Completed),
            ("actions", StepStatus::Skipped),
            ("reporting", StepStatus::Failed),
        ]);
        let failure = Failure {
            code: "panic".to_owned(),
            message: "It broke.".to_owned(),
        };
        end.failed.insert("reporting".to_owned(), failure);
        assert_eq!(
            fallback(&end),
            "# Report\n\nThe report itself could not be written. This is what was done:\n\n- **data**: done\n\
             - **actions**: left out\n- **reporting**: failed (panic): It broke.\n\nSend the message again to try once more.\n"
        );
    }
}
