//! The course of a workflow: a state machine that says what begins when, takes what came of it, and decides on retries,
//! skipped steps and the end. Pure: no clock, no randomness, no run. Ends and pauses go in, effects come out.
//!
//! A workflow within another is a frame of its own over the one that holds it. A frame waits for its steps, a step that
//! holds a workflow waits for its frame; as neither leads round (`check` sees to that), every course ends.

use std::sync::Arc;

use serde_json::Value;
use sessile_actors::protocol::server::{StepStatus, WorkflowStatus};

use super::{STEPS_AT_ONCE, Step, UNKNOWN, When, Work, Workflow, Workflows};

mod reading;
mod vocabulary;

pub use vocabulary::{At, Effect, StepEnd, StepSummary};

/// A workflow on its way.
#[derive(Debug)]
pub struct Course {
    workflows: Arc<Workflows>,
    /// The workflow itself, then those within it as they began.
    frames: Vec<Frame>,
}

/// One workflow on its way.
#[derive(Debug)]
struct Frame {
    workflow: usize,
    /// The step that holds it.
    holder: Option<At>,
    steps: Vec<Progress>,
    /// Whether a step failed that must not.
    has_failed: bool,
    status: Option<WorkflowStatus>,
}

/// How far a step is.
#[derive(Debug)]
enum Progress {
    Waiting,
    /// Its agent runs, for the `attempt`th time.
    Running {
        attempt: u32,
    },
    /// Its `attempt`th try failed, and it waits for the next.
    Pausing {
        attempt: u32,
    },
    /// Its workflow runs in this frame.
    Holding {
        frame: usize,
    },
    /// Its workflow ended.
    Held {
        frame: usize,
        status: WorkflowStatus,
    },
    Completed {
        output: Value,
        words: Option<String>,
    },
    Failed {
        code: String,
        message: String,
    },
    Skipped,
}

impl Progress {
    /// How it ended; none where it has not.
    const fn status(&self) -> Option<StepStatus> {
        match self {
            Self::Waiting | Self::Running { .. } | Self::Pausing { .. } | Self::Holding { .. } => None,
            Self::Completed { .. } => Some(StepStatus::Completed),
            Self::Held {
                status: WorkflowStatus::Completed | WorkflowStatus::Partial,
                ..
            } => Some(StepStatus::Completed),
            Self::Held {
                status: WorkflowStatus::Failed,
                ..
            }
            | Self::Failed { .. } => Some(StepStatus::Failed),
            Self::Skipped => Some(StepStatus::Skipped),
        }
    }

    /// Whether it went less than well, though the workflow may go on.
    const fn is_blemish(&self) -> bool {
        matches!(
            self,
            Self::Failed { .. }
                | Self::Held {
                    status: WorkflowStatus::Partial | WorkflowStatus::Failed,
                    ..
                }
        )
    }
}

impl Course {
    pub(super) fn new(workflows: Arc<Workflows>, workflow: usize) -> Self {
        let mut course = Self {
            workflows,
            frames: Vec::new(),
        };
        course.add_frame(workflow, None);
        course
    }

    /// Begins. Called once.
    pub fn begin(&mut self) -> Vec<Effect> {
        let mut effects = vec![self.told_to_start(0)];
        self.advance(&mut effects);
        effects
    }

    /// Takes what came of a try. What no longer waits for one changes nothing.
    pub fn ended(&mut self, at: At, end: StepEnd) -> Vec<Effect> {
        let Progress::Running { attempt } = *self.progress(at) else {
            return Vec::new();
        };
        let retry = self.step(at).retry;
        match end {
            StepEnd::Completed { output, words } => self.end(at, Progress::Completed { output, words }),
            StepEnd::Failed { retryable: true, .. } if attempt <= retry.retries && !self.is_in_vain(at) => {
                *self.progress_mut(at) = Progress::Pausing { attempt };
                vec![Effect::Pause {
                    at,
                    step: self.step(at).name.clone(),
                    most: retry.pause(attempt),
                    retry: attempt,
                    retries: retry.retries,
                }]
            }
            StepEnd::Failed { code, message, .. } => self.end(at, Progress::Failed { code, message }),
        }
    }

    /// Goes on after a pause. Where there is none, nothing changes.
    pub fn pause_over(&mut self, at: At) -> Vec<Effect> {
        let Progress::Pausing { attempt } = *self.progress(at) else {
            return Vec::new();
        };
        *self.progress_mut(at) = Progress::Running { attempt: attempt + 1 };
        self.begun(at).into_iter().collect()
    }

    /// How the workflow ended; none where it has not.
    #[must_use]
    pub fn status(&self) -> Option<WorkflowStatus> {
        self.frames[0].status
    }

    /// Ends a step, and goes on with what waited for it.
    fn end(&mut self, at: At, progress: Progress) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.settle(at, progress, &mut effects);
        self.advance(&mut effects);
        effects
    }

    /// Begins and ends whatever can be, until nothing more can.
    fn advance(&mut self, effects: &mut Vec<Effect>) {
        let mut has_moved = true;
        while has_moved {
            has_moved = false;
            for frame in 0..self.frames.len() {
                for step in 0..self.frames[frame].steps.len() {
                    has_moved |= self.try_begin(At { frame, step }, effects);
                }
                has_moved |= self.try_close(frame, effects);
            }
        }
    }

    /// Begins or skips a step where what it comes after has ended; says whether it did.
    fn try_begin(&mut self, at: At, effects: &mut Vec<Effect>) -> bool {
        let workflows = Arc::clone(&self.workflows);
        let step = &workflows.all[self.frames[at.frame].workflow].steps[at.step];
        let beside = |step: usize| At { frame: at.frame, step };
        let has_ended = |before: &usize| self.progress(beside(*before)).status().is_some();
        if !matches!(self.progress(at), Progress::Waiting) || !step.after.iter().all(has_ended) {
            return false;
        }
        let is_met = |when: &When| when.is.contains(&self.field(beside(when.step), &when.field));
        if self.is_in_vain(at) || !step.when.as_ref().is_none_or(is_met) {
            self.settle(at, Progress::Skipped, effects);
            return true;
        }
        let inner = match &step.work {
            Work::Agent(_) => {
                if self.running() >= STEPS_AT_ONCE {
                    return false;
                }
                effects.push(self.told_to_begin(at));
                *self.progress_mut(at) = Progress::Running { attempt: 1 };
                effects.extend(self.begun(at));
                return true;
            }
            Work::Workflow(inner) => *inner,
            Work::Choose { step, field, is } => {
                let value = self.field(beside(*step), field);
                // `check` refuses a choice without the latter.
                match is.get(&value).or_else(|| is.get(UNKNOWN)) {
                    Some(inner) => *inner,
                    None => return false,
                }
            }
        };
        effects.push(self.told_to_begin(at));
        let frame = self.add_frame(inner, Some(at));
        *self.progress_mut(at) = Progress::Holding { frame };
        effects.push(self.told_to_start(frame));
        true
    }

    /// Ends a frame whose steps have ended; says whether it did.
    fn try_close(&mut self, frame: usize, effects: &mut Vec<Effect>) -> bool {
        let Frame {
            steps,
            has_failed,
            status,
            holder,
            ..
        } = &self.frames[frame];
        if status.is_some() || steps.iter().any(|step| step.status().is_none()) {
            return false;
        }
        let status = if *has_failed {
            WorkflowStatus::Failed
        } else if steps.iter().any(Progress::is_blemish) {
            WorkflowStatus::Partial
        } else {
            WorkflowStatus::Completed
        };
        let holder = *holder;
        self.frames[frame].status = Some(status);
        effects.push(Effect::WorkflowCompleted {
            workflow: self.workflow(frame).name.clone(),
            status,
        });
        if let Some(holder) = holder {
            self.settle(holder, Progress::Held { frame, status }, effects);
        }
        true
    }

    /// Notes how a step ended.
    fn settle(&mut self, at: At, progress: Progress, effects: &mut Vec<Effect>) {
        let Some(status) = progress.status() else {
            return;
        };
        let must_not_fail = !self.step(at).may_fail;
        *self.progress_mut(at) = progress;
        self.frames[at.frame].has_failed |= status == StepStatus::Failed && must_not_fail;
        effects.push(Effect::StepCompleted {
            step: self.step(at).name.clone(),
            step_number: number(at),
            status,
        });
    }

    /// Whether the workflow has failed and goes on without this step.
    fn is_in_vain(&self, at: At) -> bool {
        self.frames[at.frame].has_failed && !self.step(at).always
    }

    /// Tries that run or are about to.
    fn running(&self) -> usize {
        let steps = self.frames.iter().flat_map(|frame| &frame.steps);
        steps
            .filter(|step| matches!(step, Progress::Running { .. } | Progress::Pausing { .. }))
            .count()
    }

    fn add_frame(&mut self, workflow: usize, holder: Option<At>) -> usize {
        let steps = self.workflows.all[workflow].steps.iter().map(|_| Progress::Waiting);
        self.frames.push(Frame {
            workflow,
            holder,
            steps: steps.collect(),
            has_failed: false,
            status: None,
        });
        self.frames.len() - 1
    }

    fn told_to_start(&self, frame: usize) -> Effect {
        let workflow = self.workflow(frame);
        Effect::WorkflowStarted {
            workflow: workflow.name.clone(),
            steps: workflow.steps.iter().map(|step| step.name.clone()).collect(),
        }
    }

    fn told_to_begin(&self, at: At) -> Effect {
        Effect::StepStarted {
            step: self.step(at).name.clone(),
            step_number: number(at),
        }
    }

    /// The effect that begins a try; none for a step that runs no agent.
    fn begun(&self, at: At) -> Option<Effect> {
        let step = self.step(at);
        let Work::Agent(agent) = &step.work else {
            return None;
        };
        Some(Effect::Begin {
            at,
            agent: agent.clone(),
            timeout: step.timeout,
            known: self.handed(at),
        })
    }

    fn workflow(&self, frame: usize) -> &Workflow {
        &self.workflows.all[self.frames[frame].workflow]
    }

    fn step(&self, at: At) -> &Step {
        &self.workflow(at.frame).steps[at.step]
    }

    fn progress(&self, at: At) -> &Progress {
        &self.frames[at.frame].steps[at.step]
    }

    fn progress_mut(&mut self, at: At) -> &mut Progress {
        &mut self.frames[at.frame].steps[at.step]
    }
}

/// The number of a step in its workflow, from 1.
fn number(at: At) -> u32 {
    u32::try_from(at.step + 1).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
