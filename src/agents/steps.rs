//! The steps of a run with its model: ask, call the tools that it asked for, ask again with their results. It ends when the
//! model asks for no tool. What is decided on the way stands in `conversation`.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use sessile_actors::infra::model::{ModelCall, ModelError, ModelPiece, ModelRequest, ModelStream};
use sessile_actors::infra::tools::ToolSpec;
use sessile_actors::infra::{AgentError, Model};
use sessile_actors::protocol::server::ToolStatus;
use sessile_actors::session::run::{RunContext, ToolReply};
use tokio::time::timeout;

use super::conversation::{Conversation, Heard};

/// How an agent works with its model.
pub struct Steps<'a> {
    /// Whom it asks.
    pub model: Arc<dyn Model>,
    /// What the model should be.
    pub system: &'a str,
    /// The tools that the model may call.
    pub offered: Offered<'a>,
    /// The model is asked at most this often. Beyond it, the run fails as `step_limit`.
    pub limit: u32,
    /// What becomes of what the model says.
    pub words: Words,
}

/// The tools that a model may call.
#[derive(Debug, Clone, Copy)]
pub enum Offered<'a> {
    /// All that the run has.
    All,
    /// These alone. A call of another is denied and reaches no tool.
    Only(&'a [OfferedTool]),
}

/// A tool that a model may call for some of its actions.
#[derive(Debug, Clone, Copy)]
pub struct OfferedTool {
    /// Its name.
    pub name: &'static str,
    /// What may stand in the argument `action`.
    pub actions: &'static [&'static str],
}

/// What becomes of what the model says.
#[derive(Debug, Clone, Copy)]
pub enum Words {
    /// It is said to the user as it comes.
    Said,
    /// It is kept for the agent to read. Each turn of the model may take this long.
    Kept(Duration),
}

impl Steps<'_> {
    /// Asks the model until it asks for no tool; what it said last stands in the conversation.
    ///
    /// # Errors
    /// `step_limit`, what [`Conversation`] refuses, the model's failure, or the end of the run.
    pub async fn take(&self, conversation: &mut Conversation, run: &mut RunContext) -> Result<(), AgentError> {
        for step in 1..=self.limit {
            conversation.steered(run.steering().await?);
            self.turn(conversation, run).await?;
            let calls = conversation.end_step()?;
            if calls.is_empty() {
                if step < self.limit && conversation.steered(run.steering().await?) {
                    // The model was done before it could read what it was told meanwhile.
                    continue;
                }
                return Ok(());
            }
            if step == self.limit {
                // Calling tools whose results nobody will read would only leave their effects behind.
                break;
            }
            for call in calls {
                let reply = match self.offered.refusal(&call) {
                    Some(why) => ToolReply {
                        status: ToolStatus::Denied,
                        result: why.into(),
                    },
                    None => run.call_tool(&call.name, call.arguments).await?,
                };
                conversation.tool_replied(call.id, call.name, reply);
            }
        }
        Err(over_the_limit(self.limit))
    }

    /// One turn of the model, within its time.
    async fn turn(&self, conversation: &mut Conversation, run: &mut RunContext) -> Result<(), AgentError> {
        match self.words {
            Words::Said => self.ask(conversation, run).await,
            Words::Kept(limit) => timeout(limit, self.ask(conversation, run)).await.unwrap_or_else(|_| {
                let why = format!("it took longer than {} s", limit.as_secs());
                Err(ModelError::Unavailable(why).into())
            }),
        }
    }

    /// Asks the model once, and passes on what it says as it says it.
    async fn ask(&self, conversation: &mut Conversation, run: &mut RunContext) -> Result<(), AgentError> {
        let request = ModelRequest {
            system: self.system.to_owned(),
            messages: conversation.messages().to_vec(),
            tools: self.offered.of(run.tools()),
        };
        let cancelled = run.cancelled().clone();
        let mut stream = tokio::select! {
            stream = self.model.stream(request) => stream?,
            () = cancelled.cancelled() => return Err(AgentError::Over),
        };
        loop {
            let piece = tokio::select! {
                piece = next_piece(&mut stream) => piece?,
                () = cancelled.cancelled() => return Err(AgentError::Over),
            };
            match conversation.hear(piece)? {
                Heard::Nothing => {}
                Heard::Thought(reasoning) => run.think_along(reasoning).await?,
                Heard::Text(text) => match self.words {
                    Words::Said => run.say(&text).await?,
                    Words::Kept(_) => {}
                },
                Heard::End { usage } => {
                    run.count_usage(&usage).await?;
                    return Ok(());
                }
            }
        }
    }
}

impl Offered<'_> {
    fn of(self, mut tools: Vec<Arc<ToolSpec>>) -> Vec<Arc<ToolSpec>> {
        if let Self::Only(offered) = self {
            tools.retain(|spec| offered.iter().any(|tool| tool.name == spec.name));
        }
        tools
    }

    /// Why a call must not be made.
    fn refusal(self, call: &ModelCall) -> Option<String> {
        let Self::Only(offered) = self else {
            return None;
        };
        let Some(tool) = offered.iter().find(|tool| tool.name == call.name) else {
            return Some("this tool is not offered here; answer without it".to_owned());
        };
        let action = call.arguments["action"].as_str().unwrap_or_default();
        if tool.actions.contains(&action) {
            return None;
        }
        Some(format!(
            "only these actions are offered here: {}",
            tool.actions.join(", ")
        ))
    }
}

/// The next piece; a stream that just stops has broken off.
pub(super) async fn next_piece(stream: &mut ModelStream) -> Result<ModelPiece, ModelError> {
    match stream.next().await {
        Some(piece) => piece,
        None => Err(ModelError::Broken("it stopped without an end".to_owned())),
    }
}

pub(super) fn over_the_limit(limit: u32) -> AgentError {
    AgentError::Failed {
        code: "step_limit",
        message: format!("There was no answer within {limit} steps. Ask for less at once."),
        retryable: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;
    use serde_json::{Value, json};

    const LIST: OfferedTool = OfferedTool {
        name: "supply_catalog",
        actions: &["list", "get"],
    };

    fn refused(name: &str, arguments: Value) -> Option<String> {
        let call = ModelCall {
            id: "1".to_owned(),
            name: name.to_owned(),
            arguments,
        };
        assert_eq!(Offered::All.refusal(&call), None);
        Offered::Only(&[LIST]).refusal(&call)
    }

    #[tokio::test]
    async fn a_stream_that_stops_without_an_end_is_broken() {
        let mut stopped: ModelStream = stream::iter([Ok(ModelPiece::Text("half".to_owned()))]).boxed();
        assert_eq!(next_piece(&mut stopped).await, Ok(ModelPiece::Text("half".to_owned())));
        assert!(matches!(next_piece(&mut stopped).await, Err(ModelError::Broken(_))));
    }

    #[test]
    fn a_call_is_refused_unless_its_tool_and_its_action_are_offered() {
        assert_eq!(refused("supply_catalog", json!({"action": "get", "model": "m"})), None);
        let update = refused("supply_catalog", json!({"action": "update"}));
        assert_eq!(
            update.as_deref(),
            Some("only these actions are offered here: list, get")
        );
        assert!(refused("supply_catalog", json!({})).is_some());
        assert!(refused("corpus_delete", json!({"action": "list"})).is_some());
    }

    #[test]
    fn a_model_sees_the_tools_that_it_is_offered_and_no_others() {
        let tools = || {
            ["notes", "supply_catalog"]
                .map(|name| Arc::new(ToolSpec::new(name, "a tool", json!({}))))
                .to_vec()
        };
        assert_eq!(Offered::All.of(tools()).len(), 2);
        assert_eq!(Offered::Only(&[LIST]).of(tools())[0].name, "supply_catalog");
        assert!(Offered::Only(&[]).of(tools()).is_empty());
    }

    #[test]
    fn a_run_over_the_limit_says_how_many_steps_it_had() {
        assert_eq!(
            over_the_limit(3).to_string(),
            "There was no answer within 3 steps. Ask for less at once."
        );
    }
}
