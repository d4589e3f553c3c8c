//! What a script is made of, and the cursor that plays it.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use sessile_actors::infra::model::ModelError;

/// What to play for a message.
#[derive(Debug, Clone)]
pub struct Turn {
    when: Option<String>,
    steps: Arc<[Step]>,
    then: Arc<[Step]>,
}

impl Turn {
    /// Plays `steps` for every message.
    #[must_use]
    pub fn new(steps: impl Into<Vec<Step>>) -> Self {
        Self {
            when: None,
            steps: steps.into().into(),
            then: Arc::default(),
        }
    }

    /// Plays only for messages that contain `text`.
    #[must_use]
    pub fn when(mut self, text: impl Into<String>) -> Self {
        self.when = Some(text.into());
        self
    }

    /// Plays `steps` each time that tools have brought results.
    #[must_use]
    pub fn then_say(mut self, steps: impl Into<Vec<Step>>) -> Self {
        self.then = steps.into().into();
        self
    }

    pub(super) fn matches(&self, message: &str) -> bool {
        self.when.as_ref().is_none_or(|text| message.contains(text))
    }

    pub(super) fn steps(&self) -> &Arc<[Step]> {
        &self.steps
    }

    pub(super) fn then(&self) -> &Arc<[Step]> {
        &self.then
    }
}

/// One thing that the model does.
#[derive(Debug, Clone)]
pub enum Step {
    /// Says a piece of text, as one piece.
    Text(String),
    /// Thinks.
    Reasoning(String),
    /// Waits.
    Delay(Duration),
    /// Asks for a tool call.
    Call {
        /// The tool; one that does not exist is allowed, so that it can be tested.
        name: String,
        /// Its arguments; wrong ones are allowed too.
        arguments: Value,
    },
    /// Fails. As the first step of a turn: can't be asked at all.
    Error(Failure),
    /// Panics, with this reason.
    Panic(String),
    /// Never says anything again.
    Hang,
    /// Plays steps several times.
    Repeat {
        /// How often.
        times: u32,
        /// What.
        steps: Arc<[Step]>,
    },
}

impl Step {
    /// Says a piece of text.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// Asks for a tool call.
    #[must_use]
    pub fn call(name: impl Into<String>, arguments: Value) -> Self {
        Self::Call {
            name: name.into(),
            arguments,
        }
    }

    /// Plays `steps` `times` times.
    #[must_use]
    pub fn repeat(times: u32, steps: impl Into<Vec<Step>>) -> Self {
        Self::Repeat {
            times,
            steps: steps.into().into(),
        }
    }
}

/// The ways in which a model fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Failure {
    /// No answer to be had now.
    Unavailable,
    /// No answer ever.
    Refused,
    /// The stream broke off.
    Broken,
}

impl Failure {
    pub(super) fn to_error(self) -> ModelError {
        let reason = "the script says so".to_owned();
        match self {
            Self::Unavailable => ModelError::Unavailable(reason),
            Self::Refused => ModelError::Refused(reason),
            Self::Broken => ModelError::Broken(reason),
        }
    }
}

/// A place in a script. Repetitions are played and never written out, so a million of them cost no memory.
pub(super) struct Cursor {
    stack: Vec<Frame>,
}

struct Frame {
    steps: Arc<[Step]>,
    at: usize,
    rounds_left: u32,
}

impl Cursor {
    pub(super) fn new(steps: Arc<[Step]>) -> Self {
        let rounds_left = 1;
        Self {
            stack: vec![Frame {
                steps,
                at: 0,
                rounds_left,
            }],
        }
    }

    /// The next step, which is never a repetition.
    pub(super) fn next(&mut self) -> Option<Step> {
        loop {
            let frame = self.stack.last_mut()?;
            if frame.rounds_left == 0 || frame.steps.is_empty() {
                self.stack.pop();
                continue;
            }
            let Some(step) = frame.steps.get(frame.at) else {
                frame.at = 0;
                frame.rounds_left -= 1;
                continue;
            };
            frame.at += 1;
            match step {
                Step::Repeat { times, steps } => {
                    let inner = Frame {
                        steps: Arc::clone(steps),
                        at: 0,
                        rounds_left: *times,
                    };
                    self.stack.push(inner);
                }
                step => return Some(step.clone()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn played(steps: Vec<Step>) -> String {
        let mut cursor = Cursor::new(steps.into());
        std::iter::from_fn(|| cursor.next())
            .map(|step| match step {
                Step::Text(text) => text,
                other => panic!("{other:?} is no text"),
            })
            .collect()
    }

    #[test]
    fn repetitions_nest() {
        let inner = Step::repeat(2, [Step::text("b")]);
        let script = vec![Step::repeat(2, [Step::text("a"), inner]), Step::text("c")];
        assert_eq!(played(script), "abbabbc");
    }

    #[test]
    fn what_is_repeated_zero_times_or_empty_is_skipped() {
        let script = vec![
            Step::repeat(0, [Step::text("a")]),
            Step::repeat(u32::MAX, []),
            Step::text("c"),
        ];
        assert_eq!(played(script), "c");
        assert_eq!(played(Vec::new()), "");
    }
}
