//! What a course knows: what its steps brought, whom that is handed to, and how they ended.

use std::collections::BTreeSet;

use serde_json::Value;
use sessile_actors::protocol::server::StepStatus;

use super::super::results::{Failure, Known};
use super::super::{UNKNOWN, Work};
use super::{At, Course, Progress, StepSummary};

impl Course {
    /// What its steps brought, those of workflows in it included.
    #[must_use]
    pub fn known(&self) -> Known {
        let mut known = Known::default();
        self.learn_frame(0, &mut known);
        known
    }

    /// Every step that ran an agent or was to, in order.
    #[must_use]
    pub fn summary(&self) -> Vec<StepSummary> {
        let mut summary = Vec::new();
        self.summarise(0, &mut summary);
        summary
    }

    /// What the last step said; none where it said nothing.
    #[must_use]
    pub fn last_words(&self) -> Option<&str> {
        let mut frame = 0;
        loop {
            match self.frames[frame].steps.last()? {
                Progress::Completed { words, .. } => return words.as_deref(),
                Progress::Held { frame: inner, .. } | Progress::Holding { frame: inner } => frame = *inner,
                Progress::Waiting
                | Progress::Running { .. }
                | Progress::Pausing { .. }
                | Progress::Failed { .. }
                | Progress::Skipped => return None,
            }
        }
    }

    /// A field of a result, as text; [`UNKNOWN`] where there is none.
    pub(super) fn field(&self, at: At, field: &str) -> String {
        let value = match self.progress(at) {
            Progress::Completed { output, .. } => output.get(field),
            _ => None,
        };
        match value {
            None | Some(Value::Null) => UNKNOWN.to_owned(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        }
    }

    /// What a step is handed: what all steps brought that it comes after, and those that its workflow comes after.
    pub(super) fn handed(&self, at: At) -> Known {
        let mut known = match self.frames[at.frame].holder {
            Some(holder) => self.handed(holder),
            None => Known::default(),
        };
        let steps = &self.workflow(at.frame).steps;
        let mut before = BTreeSet::new();
        let mut open = steps[at.step].after.clone();
        while let Some(step) = open.pop() {
            if before.insert(step) {
                open.extend(&steps[step].after);
            }
        }
        for step in before {
            self.learn(At { frame: at.frame, step }, &mut known);
        }
        known
    }

    fn learn_frame(&self, frame: usize, known: &mut Known) {
        for step in 0..self.frames[frame].steps.len() {
            self.learn(At { frame, step }, known);
        }
    }

    fn learn(&self, at: At, known: &mut Known) {
        let name = &self.step(at).name;
        match self.progress(at) {
            Progress::Completed { output, words } => {
                // Where an agent hands on nothing, its words are what it brought.
                let words = words.clone().map_or(Value::Null, Value::String);
                let result = if output.is_null() { words } else { output.clone() };
                known.results.insert(name.clone(), result);
            }
            Progress::Failed { code, message } => {
                let (code, message) = (code.clone(), message.clone());
                known.failed.insert(name.clone(), Failure { code, message });
            }
            Progress::Holding { frame } | Progress::Held { frame, .. } => self.learn_frame(*frame, known),
            Progress::Waiting | Progress::Running { .. } | Progress::Pausing { .. } | Progress::Skipped => {}
        }
    }

    fn summarise(&self, frame: usize, summary: &mut Vec<StepSummary>) {
        for (step, progress) in self.workflow(frame).steps.iter().zip(&self.frames[frame].steps) {
            match (&step.work, progress) {
                (Work::Agent(agent), progress) => summary.push(StepSummary {
                    step: step.name.clone(),
                    agent: agent.clone(),
                    // Only a course that was left before its end has steps without one.
                    status: progress.status().unwrap_or(StepStatus::Skipped),
                }),
                (_, Progress::Holding { frame } | Progress::Held { frame, .. }) => self.summarise(*frame, summary),
                (Work::Workflow(_) | Work::Choose { .. }, _) => {}
            }
        }
    }
}
