//! `assistant`: answers with its model, which may call tools on the way.
//!
//! What the model says is passed on as it says it, and what the user tells the run meanwhile is read with the next step. How
//! its tools are called on the way stands in `steps`, what is decided on the way in `conversation`.

use async_trait::async_trait;
use sessile_actors::infra::{Agent, AgentClass, AgentError, Answer};
use sessile_actors::session::run::RunContext;

use super::conversation::Conversation;
use super::steps::{Offered, Steps, Words};

/// The name that clients name in `agent`.
pub const NAME: &str = "assistant";

/// What the model is told to be.
const PROMPT: &str = include_str!("../../config/prompts/assistant.md");

/// Answers with a model and tools.
pub struct Assistant {
    step_limit: u32,
}

/// The class of [`Assistant`].
#[must_use]
pub fn class(step_limit: u32) -> AgentClass {
    AgentClass::new(
        NAME,
        "Answers with the language model, which may call tools on the way.",
        move |_| Assistant::new(step_limit),
    )
    .steerable()
}

impl Assistant {
    /// Asks the model at most `step_limit` times in a run. Beyond it, the run fails as `step_limit`.
    #[must_use]
    pub fn new(step_limit: u32) -> Self {
        Self { step_limit }
    }
}

#[async_trait(?Send)]
impl Agent for Assistant {
    async fn run(&mut self, run: &mut RunContext) -> Result<Answer, AgentError> {
        let model = run.model_for_agent().ok_or_else(no_model)?;
        let mut conversation = Conversation::new(run.history().await?, run.message());
        let steps = Steps {
            model,
            system: PROMPT,
            offered: Offered::All,
            limit: self.step_limit,
            words: Words::Said,
        };
        steps.take(&mut conversation, run).await?;
        Ok(Answer::Said)
    }
}

fn no_model() -> AgentError {
    AgentError::Failed {
        code: "no_model",
        message: "No language model is configured. Ask whoever runs this server to set one.".to_owned(),
        retryable: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use serde_json::Value;
    use sessile_actors::infra::Model;
    use sessile_actors::infra::model::ModelRequest;
    use sessile_actors::protocol::server::ToolStatus;
    use sessile_actors::session::run::ToolReply;

    use crate::agents::conversation::Heard;
    use crate::agents::steps::{next_piece, over_the_limit};
    use crate::models::OfflineModel;
    use crate::tools::doubles::call_as;

    /// Plays a run without a session: what it said, with the real model, conversation and tools.
    async fn played(message: &str, step_limit: u32) -> Result<String, AgentError> {
        let tools = crate::tools::all(crate::tools::doubles::ports(), &crate::tools::ToolSettings::default())
            .freeze()
            .unwrap();
        let model = OfflineModel::new(Duration::ZERO);
        let mut conversation = Conversation::new(Vec::new(), message);
        let mut said = String::new();
        for _ in 0..step_limit {
            let request = ModelRequest {
                system: PROMPT.to_owned(),
                messages: conversation.messages().to_vec(),
                tools: tools.specs().cloned().collect(),
            };
            let mut stream = model.stream(request).await?;
            loop {
                match conversation.hear(next_piece(&mut stream).await?)? {
                    Heard::Text(text) => said.push_str(&text),
                    Heard::Thought(_) | Heard::Nothing => {}
                    Heard::End { .. } => break,
                }
            }
            let calls = conversation.end_step()?;
            if calls.is_empty() {
                return Ok(said);
            }
            for call in calls {
                let class = tools.get(&call.name).unwrap();
                class.validate(&call.arguments).unwrap();
                let (status, result) = match call_as("ada", class.tool().as_ref(), call.arguments).await {
                    Ok(result) => (ToolStatus::Ok, result),
                    Err(error) => (ToolStatus::Error, Value::String(error.to_string())),
                };
                conversation.tool_replied(call.id, call.name, ToolReply { status, result });
            }
        }
        Err(over_the_limit(step_limit))
    }

    #[tokio::test]
    async fn the_offline_model_and_the_tools_answer_together() {
        let message = "My name is Ada and what is 12 * (3+4)? What is 1/0? Remember that it rains. List my notes.";
        let told = "Nice to meet you, Ada.\n\n12 * (3 + 4) = 84.\nThe tool `calculator` failed: it divides by zero.\n\
                    Noted: “it rains”.\nYour notes, newest first:\n- it rains";
        assert_eq!(played(message, 2).await.as_deref(), Ok(told));
        assert_eq!(played(message, 1).await, Err(over_the_limit(1)));
    }

    #[test]
    fn the_prompt_is_there() {
        assert!(PROMPT.contains("assistant"));
    }
}
