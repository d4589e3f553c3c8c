//! Child runs: what a run may begin, and how its children end before it does.
//!
//! A child is a run without a lane and without a row in the store: its parent holds the thread for it. It works in its
//! parent's thread under an id of its own, and never outlives its parent.

use std::sync::Arc;

use super::ending::{Ending, Stop};
use super::run::Run;
use super::{Effect, Engine, Now, RunInput, RunPhase, RunStep, StartRun, step};
use crate::context::MAX_DEPTH;
use crate::ids::{MessageId, RequestId, RunId};
use crate::protocol::server::{DeathCause, RunState, StoppedBy};

/// A child that a run wants to begin, with the ids that the actor minted for it.
#[derive(Debug, Clone, PartialEq)]
pub struct NewChild {
    /// The run that begins it.
    pub parent: RunId,
    /// The child.
    pub run: RunId,
    /// What it is asked by.
    pub request: RequestId,
    /// For what it says.
    pub answer: MessageId,
    /// Its agent.
    pub agent: Arc<str>,
    /// What it is asked to do, in words.
    pub content: String,
}

/// How a child run ended, as its parent is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChildReport {
    /// The child.
    pub run: RunId,
    /// Its last state. `Failed` also where it never began.
    pub state: RunState,
    /// Its answer, where it completed.
    pub result: Option<String>,
    /// Why it did not complete.
    pub error: Option<ChildError>,
}

/// Why a child run did not complete.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ChildError {
    /// Stable: the child's own `agent_error` code, `stopped`, a death's cause, or why it did not begin: `no_such_agent`,
    /// `too_deep`, `too_many_children`, `input_too_large`.
    pub code: String,
    /// A sentence that says what to do.
    pub message: String,
    /// Whether trying again may help.
    pub retryable: bool,
}

impl ChildError {
    pub(in crate::session) fn new(code: &str, message: impl Into<String>, retryable: bool) -> Self {
        Self {
            code: code.to_owned(),
            message: message.into(),
            retryable,
        }
    }

    fn no_such_agent(agent: &str) -> Self {
        Self::new(
            "no_such_agent",
            format!("there is no agent {agent}; GET /v1/agents lists them"),
            false,
        )
    }

    /// A child at the last depth could call no tool: that is a context deeper.
    pub(in crate::session) fn too_deep() -> Self {
        let message =
            format!("runs and their tool calls nest at most {MAX_DEPTH} deep; let a run above begin this child");
        Self::new("too_deep", message, false)
    }

    fn too_many(most: usize) -> Self {
        let message = format!("a run begins at most {most} child runs, those of its children included; begin fewer");
        Self::new("too_many_children", message, false)
    }

    fn too_many_at_once(most: usize) -> Self {
        let message = format!("a run has at most {most} child runs at once; wait for one to end");
        Self::new("too_many_children", message, true)
    }
}

impl ChildReport {
    /// A child that never began.
    pub(in crate::session) fn refused(run: RunId, error: ChildError) -> Self {
        Self {
            run,
            state: RunState::Failed,
            result: None,
            error: Some(error),
        }
    }

    /// What a parent is told of this end.
    pub(super) fn of(run: &Run, ending: &Ending) -> Self {
        let (state, result, error) = match ending {
            Ending::Completed(answer, _) => {
                let result = answer.clone().unwrap_or_else(|| run.text.clone());
                (RunState::Completed, Some(result), None)
            }
            Ending::Failed {
                code,
                message,
                retryable,
            } => (RunState::Failed, None, Some(ChildError::new(code, message, *retryable))),
            Ending::Stopped(stop) => (
                RunState::Stopped,
                None,
                Some(ChildError::new("stopped", &stop.reason, false)),
            ),
            Ending::Died(cause) => {
                let retryable = matches!(cause, DeathCause::Panic | DeathCause::Interrupted);
                let error = ChildError::new(cause.as_str(), cause.sentence(), retryable);
                (RunState::Died, None, Some(error))
            }
            Ending::Spent(spent) => {
                let error = ChildError::new(DeathCause::Budget.as_str(), spent.sentence(), false);
                (RunState::Died, None, Some(error))
            }
        };
        Self {
            run: run.id,
            state,
            result,
            error,
        }
    }
}

impl Stop {
    /// A run ended with children at work, or no longer waits for one.
    pub(super) fn by_parent() -> Self {
        Self {
            by: StoppedBy::Parent,
            reason: "the run that began it no longer waits for it".to_owned(),
            forget: false,
        }
    }
}

impl Engine {
    /// A run begins a child. It is told at once why, where it may not.
    pub(super) fn begin_child(&mut self, new: NewChild, now: Now, fx: &mut Vec<Effect>) {
        let Some(parent) = self.runs.get(&new.parent) else {
            return;
        };
        if step(&parent.phase, &RunInput::Emit) != RunStep::Take {
            return;
        }
        if let Some(refusal) = self.refusal_of(&new, parent) {
            fx.push(Effect::ChildEnded(Box::new(ChildReport::refused(new.run, refusal))));
            return;
        }
        let start = StartRun {
            run: new.run,
            thread: parent.thread,
            request: new.request,
            message_id: parent.message_id,
            agent: new.agent,
            content: new.content,
            references: parent.references.clone(),
            metadata: None,
            parent: Some(new.parent),
        };
        let mut child = Run::new(start, new.answer, RunPhase::Queued, now);
        child.depth = parent.depth + 1;
        for ancestor in self.line_above(Some(new.parent)) {
            if let Some(ancestor) = self.runs.get_mut(&ancestor) {
                ancestor.descendants += 1;
            }
        }
        child.start(now, fx);
        self.runs.insert(new.run, child);
    }

    fn refusal_of(&self, new: &NewChild, parent: &Run) -> Option<ChildError> {
        let limits = &self.rules.limits;
        if !self.rules.agents.contains(&*new.agent) {
            return Some(ChildError::no_such_agent(&new.agent));
        }
        if parent.depth + 1 >= MAX_DEPTH {
            return Some(ChildError::too_deep());
        }
        if self.children_of(new.parent).len() >= limits.children_at_once {
            return Some(ChildError::too_many_at_once(limits.children_at_once));
        }
        // Counted over the tree: each of the runs above must have a place left, so a tree is no larger than its root's.
        let full = |id: &RunId| {
            self.runs
                .get(id)
                .is_some_and(|run| run.descendants >= limits.children_per_run)
        };
        let above = self.line_above(Some(new.parent));
        above
            .iter()
            .any(full)
            .then(|| ChildError::too_many(limits.children_per_run))
    }

    /// The children of a run that have not ended.
    fn children_of(&self, parent: RunId) -> Vec<RunId> {
        let children = self.runs.values().filter(|run| run.parent == Some(parent));
        children.map(|run| run.id).collect()
    }

    /// A run and those above it, up to the root.
    pub(super) fn line_above(&self, run: Option<RunId>) -> Vec<RunId> {
        let above = |id: &RunId| self.runs.get(id).and_then(|run| run.parent);
        std::iter::successors(run, above).take(usize::from(MAX_DEPTH)).collect()
    }

    /// Ends what a run has begun, the deepest first, at once: what their tasks still say is late.
    pub(super) fn end_children(&mut self, parent: RunId, ending: &Ending, now: Now, fx: &mut Vec<Effect>) {
        for child in self.children_of(parent) {
            let stop = match ending {
                // A thread forgets messages, and no child has one there.
                Ending::Stopped(stop) => Stop {
                    forget: false,
                    ..stop.clone()
                },
                Ending::Completed(..) | Ending::Failed { .. } | Ending::Died(_) | Ending::Spent(_) => Stop::by_parent(),
            };
            let ending = match self.runs.get(&child).map(|run| &run.phase) {
                Some(RunPhase::Cancelling(earlier)) => earlier.clone(),
                _ => Ending::Stopped(stop),
            };
            self.end(child, ending, now, fx);
            fx.push(Effect::Cancel(child));
        }
    }
}
