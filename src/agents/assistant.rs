//! `assistant`: answers with the default model, which may call tools on the way.
//!
//! A loop of steps: ask the model, pass on what it says as it says it, call the tools that it asked for, ask again with
//! their results. It ends when the model asks for no tool. What is decided on the way stands in `conversation`.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::StreamExt;
use sessile_actors::infra::model::{ModelError, ModelPiece, ModelRequest, ModelStream};
use sessile_actors::infra::{Agent, AgentClass, AgentError, Answer, Model};
use sessile_actors::session::run::RunContext;

use super::conversation::{Conversation, Heard};

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
        let model = run.model(None).ok_or_else(no_model)?;
        let mut conversation = Conversation::new(run.history().await?, run.message());
        for step in 1..=self.step_limit {
            ask(&model, &mut conversation, run).await?;
            let calls = conversation.end_step()?;
            if calls.is_empty() {
                return Ok(Answer::Said);
            }
            if step == self.step_limit {
                // Calling tools whose results nobody will read would only leave their effects behind.
                break;
            }
            for call in calls {
                let reply = run.call_tool(&call.name, call.arguments).await?;
                conversation.tool_replied(call.id, call.name, reply);
            }
        }
        Err(over_the_limit(self.step_limit))
    }
}

/// Asks the model once, and passes on what it says as it says it.
async fn ask(model: &Arc<dyn Model>, conversation: &mut Conversation, run: &mut RunContext) -> Result<(), AgentError> {
    let request = ModelRequest {
        system: PROMPT.to_owned(),
        messages: conversation.messages().to_vec(),
        tools: run.tools(),
    };
    let cancelled = run.cancelled().clone();
    let mut stream = tokio::select! {
        stream = model.stream(request) => stream?,
        () = cancelled.cancelled() => return Err(AgentError::Over),
    };
    loop {
        let piece = tokio::select! {
            piece = next_piece(&mut stream) => piece?,
            () = cancelled.cancelled() => return Err(AgentError::Over),
        };
        match conversation.hear(piece)? {
            Heard::Nothing => {}
            Heard::Thought(reasoning) => run.think(reasoning).await?,
            Heard::Text(text) => run.say(&text).await?,
            Heard::End {
                input_tokens,
                output_tokens,
            } => {
                run.count_usage(input_tokens, output_tokens);
                return Ok(());
            }
        }
    }
}

/// The next piece; a stream that just stops has broken off.
async fn next_piece(stream: &mut ModelStream) -> Result<ModelPiece, ModelError> {
    match stream.next().await {
        Some(piece) => piece,
        None => Err(ModelError::Broken("it stopped without an end".to_owned())),
    }
}

fn no_model() -> AgentError {
    AgentError::Failed {
        code: "no_model",
        message: "No language model is configured. Ask whoever runs this server to set one.".to_owned(),
        retryable: false,
    }
}

fn over_the_limit(step_limit: u32) -> AgentError {
    AgentError::Failed {
        code: "step_limit",
        message: format!("There was no answer within {step_limit} steps. Ask for less at once."),
        retryable: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use futures_util::stream;
    use serde_json::Value;
    use sessile_actors::protocol::server::ToolStatus;
    use sessile_actors::session::run::ToolReply;

    use crate::models::OfflineModel;
    use crate::tools::doubles::call_as;

    #[tokio::test]
    async fn a_stream_that_stops_without_an_end_is_broken() {
        let mut stopped: ModelStream = stream::iter([Ok(ModelPiece::Text("half".to_owned()))]).boxed();
        assert_eq!(next_piece(&mut stopped).await, Ok(ModelPiece::Text("half".to_owned())));
        assert!(matches!(next_piece(&mut stopped).await, Err(ModelError::Broken(_))));
    }

    /// Plays a run without a session: what it said, with the real model, conversation and tools.
    async fn played(message: &str, step_limit: u32) -> Result<String, AgentError> {
        let tools = crate::tools::all(crate::tools::doubles::ports()).freeze().unwrap();
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
    fn a_run_over_the_limit_says_how_many_steps_it_had() {
        assert_eq!(
            over_the_limit(3).to_string(),
            "There was no answer within 3 steps. Ask for less at once."
        );
    }

    #[test]
    fn the_prompt_is_there() {
        assert!(PROMPT.contains("assistant"));
    }
}
