//! Workflows: sequences of agents as configuration. Read and checked once at start, then frozen.
//!
//! `file` reads TOML, `check` says what is wrong with it, `course` decides what begins when (pure), `results` is what a step
//! is handed, `run` performs it all with child runs. `config/workflows.toml` explains the form.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sessile_actors::infra::AgentClassRegistry;

mod check;
mod course;
mod file;
mod results;
mod run;

pub use course::{Course, StepSummary};
pub use results::Failure;
pub use run::{WorkflowEnd, run_workflow};

/// Steps of a workflow, those of workflows nested in it included. Beyond: refused at start.
pub const STEPS: usize = 64;

/// Steps of a workflow that run at once. Beyond: they wait.
pub const STEPS_AT_ONCE: usize = 4;

/// How often a step may be tried again. Beyond: refused at start, for by then the fault is no passing one.
pub const RETRIES: u32 = 10;

/// The longest pause before a retry. Beyond: refused at start, for a person waits for the answer.
pub const BACKOFF_MOST: Duration = Duration::from_secs(300);

/// The field of a result that conditions ask about where they name none.
pub const SUFFICIENCY: &str = "data_sufficiency";

/// What [`SUFFICIENCY`] may be.
pub const SUFFICIENCIES: [&str; 4] = ["sufficient", "partial", "insufficient", UNKNOWN];

/// What a field counts as where it is missing, or its step failed or was skipped.
pub const UNKNOWN: &str = "unknown";

/// The workflows that are built in.
const BUILT_IN: &str = include_str!("../../config/workflows.toml");

/// How messages call [`BUILT_IN`].
const BUILT_IN_NAME: &str = "the workflows that are built in";

/// All workflows, checked and frozen.
#[derive(Debug)]
pub struct Workflows {
    /// Where they were read, for messages.
    file: String,
    all: Vec<Workflow>,
}

/// A sequence of steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workflow {
    /// Its name: letters, digits, `_` and `-`.
    pub name: String,
    /// What it does, for people.
    pub description: String,
    /// At least one. Each comes after others by their place in this list.
    pub steps: Vec<Step>,
}

/// One step of a workflow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Its name, unique in its workflow.
    pub name: String,
    /// What it does.
    pub work: Work,
    /// The steps that end before it begins.
    pub after: Vec<usize>,
    /// What an earlier result must be. Else it is skipped.
    pub when: Option<When>,
    /// Whether the workflow goes on without it where it fails.
    pub may_fail: bool,
    /// Whether it runs also where the workflow has failed.
    pub always: bool,
    /// How often it is tried again, and after which pauses.
    pub retry: Retry,
    /// How long one try may take; none: as long as a run may.
    pub timeout: Option<Duration>,
    /// Where its agent is named in the file.
    at: Place,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    /// Runs this agent as a child run.
    Agent(String),
    /// Runs this workflow, by its place in [`Workflows`].
    Workflow(usize),
    /// Runs the workflow that a field of an earlier result picks; any other value picks that of [`UNKNOWN`].
    Choose {
        /// The earlier step.
        step: usize,
        /// The field of its result.
        field: String,
        /// The workflow for each value, [`UNKNOWN`] included.
        is: BTreeMap<String, usize>,
    },
}

/// A condition on an earlier result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct When {
    /// The earlier step.
    pub step: usize,
    /// The field of its result.
    pub field: String,
    /// What it may be.
    pub is: Vec<String>,
}

/// How often a step is tried again, and after which pauses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// Tries after the first.
    pub retries: u32,
    /// The pause before the first of them; each next one is twice as long.
    pub first: Duration,
    /// The longest pause.
    pub most: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            retries: 0,
            first: Duration::from_secs(1),
            most: Duration::from_secs(16),
        }
    }
}

impl Retry {
    /// The longest pause after the failed try `attempt`, from 1.
    #[must_use]
    pub fn pause(&self, attempt: u32) -> Duration {
        let doubled = 1_u32.checked_shl(attempt.saturating_sub(1));
        let pause = doubled.and_then(|times| self.first.checked_mul(times));
        pause.map_or(self.most, |pause| pause.min(self.most))
    }
}

/// A place in the file, both from 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Place {
    line: usize,
    column: usize,
}

/// Why workflows can't be used.
#[derive(Debug, thiserror::Error)]
pub enum WorkflowError {
    /// The file can't be read.
    #[error("the workflows {} can't be read: see agents.workflows_file", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Something in it is wrong.
    #[error("{file}, line {line}, column {column}: {fault}")]
    Bad {
        /// Where it was read.
        file: String,
        /// The line of the fault, from 1.
        line: usize,
        /// The column of the fault in characters, from 1.
        column: usize,
        /// What is wrong, and what to do.
        fault: String,
    },
}

impl Workflows {
    /// Reads the workflows in the file at `path`; none: those that are built in.
    ///
    /// # Errors
    /// Everything that is wrong with them, by place: at least one.
    pub fn load(path: Option<&Path>) -> Result<Self, Vec<WorkflowError>> {
        let Some(path) = path else {
            return Self::from_toml(BUILT_IN_NAME, BUILT_IN);
        };
        let text = std::fs::read_to_string(path).map_err(|source| {
            vec![WorkflowError::Unreadable {
                path: path.to_owned(),
                source,
            }]
        })?;
        Self::from_toml(&path.display().to_string(), &text)
    }

    /// Reads the workflows in `text`. Messages say that it came from `file`.
    ///
    /// # Errors
    /// As [`Workflows::load`].
    pub fn from_toml(file: &str, text: &str) -> Result<Self, Vec<WorkflowError>> {
        let all = file::parse(text).map_err(|faults| {
            let bad = |fault: file::Fault| bad(file, file::place(text, fault.at), fault.fault);
            faults.into_iter().map(bad).collect::<Vec<_>>()
        })?;
        Ok(Self {
            file: file.to_owned(),
            all,
        })
    }

    /// What is wrong with these workflows for these agents: steps that name one that is not there, or `runner`, which would
    /// never end as it runs workflows itself; and that there is none for `runner`, which follows the one of its name.
    #[must_use]
    pub fn agent_faults(&self, agents: &AgentClassRegistry, runner: &str) -> Vec<WorkflowError> {
        let steps = self.all.iter().flat_map(|workflow| &workflow.steps);
        let fault = |step: &Step| {
            let Work::Agent(name) = &step.work else {
                return None;
            };
            let fault = if name == runner {
                format!("the agent `{name}` runs workflows itself: nest one by `workflow = \"...\"` instead")
            } else if agents.get(name).is_none() {
                let known = agents.classes().map(|class| class.name.as_str());
                format!("there is no agent `{name}`{}", check::did_you_mean(name, known))
            } else {
                return None;
            };
            Some(bad(&self.file, step.at, fault))
        };
        let missing = || {
            let fault = format!("the agent `{runner}` has no workflow to follow: add one by [workflows.{runner}]");
            bad(&self.file, Place { line: 1, column: 1 }, fault)
        };
        let has_one = self.all.iter().any(|workflow| workflow.name == runner);
        let none = (!has_one).then(missing);
        let mut faults: Vec<_> = none.into_iter().chain(steps.filter_map(fault)).collect();
        faults.sort_by_key(WorkflowError::place);
        faults
    }

    /// Starts on the workflow of this name; none where there is no such workflow.
    #[must_use]
    pub fn course(self: &Arc<Self>, name: &str) -> Option<Course> {
        let workflow = self.all.iter().position(|workflow| workflow.name == name)?;
        Some(Course::new(Arc::clone(self), workflow))
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Workflow> {
        self.all.iter()
    }
}

impl WorkflowError {
    /// Line and column, for sorting.
    const fn place(&self) -> (usize, usize) {
        match self {
            Self::Unreadable { .. } => (0, 0),
            Self::Bad { line, column, .. } => (*line, *column),
        }
    }
}

fn bad(file: &str, at: Place, fault: String) -> WorkflowError {
    WorkflowError::Bad {
        file: file.to_owned(),
        line: at.line,
        column: at.column,
        fault,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::agents::echo;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let retry = Retry {
            retries: 40,
            ..Retry::default()
        };
        let seconds: Vec<_> = [1, 2, 3, 4, 5, 6, 40]
            .map(|attempt| retry.pause(attempt).as_secs())
            .into();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 16, 16]);
    }

    #[test]
    fn a_missing_file_is_named() {
        let told = Workflows::load(Some(Path::new("/no/such/workflows.toml"))).unwrap_err();
        let told: Vec<_> = told.iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            ["the workflows /no/such/workflows.toml can't be read: see agents.workflows_file"]
        );
    }

    #[test]
    fn agents_that_are_not_there_or_follow_workflows_themselves_are_told_with_their_place() {
        let agents = AgentClassRegistry::builder().agent(echo::class());
        let agents = agents.freeze(echo::NAME).unwrap();
        let text = "[workflows.w]\nsteps = [\n{ agent = \"echo\" },\n{ agent = \"ecko\" },\n{ agent = \"boss\" },\n]";
        let workflows = Workflows::from_toml("my.toml", text).unwrap();
        let faults = workflows.agent_faults(&agents, "boss");
        let told: Vec<_> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "my.toml, line 1, column 1: the agent `boss` has no workflow to follow: add one by [workflows.boss]",
                "my.toml, line 4, column 11: there is no agent `ecko`: did you mean `echo`?",
                "my.toml, line 5, column 11: the agent `boss` runs workflows itself: nest one by `workflow = \"...\"` instead",
            ]
        );
    }

    #[test]
    fn the_workflows_that_are_built_in_load() {
        let workflows = Workflows::load(None).unwrap();
        let names: Vec<_> = workflows.iter().map(|workflow| workflow.name.as_str()).collect();
        assert_eq!(
            names,
            ["insufficient", "partial", "sufficient", "supervisor", "unknown"]
        );
    }
}
