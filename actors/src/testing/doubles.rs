//! Stand-ins for what a run uses: agents made of a closure, models that play a script, tools that do as told.

use std::collections::VecDeque;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream;
use serde_json::{Value, json};

use crate::infra::agents::{Agent, AgentClass, AgentError, Answer};
use crate::infra::model::{ChatMessage, Model, ModelError, ModelPiece, ModelRequest, ModelStream};
use crate::infra::tools::{Tool, ToolContext, ToolError, ToolSpec};
use crate::session::run::RunContext;

/// An agent made of a closure.
pub fn agent<F>(name: &str, work: F) -> AgentClass
where
    F: AsyncFn(&mut RunContext) -> Result<Answer, AgentError> + Clone + Send + Sync + 'static,
{
    AgentClass::new(name, "an agent of a test", move |_| FnAgent(work.clone()))
}

struct FnAgent<F>(F);

#[async_trait(?Send)]
impl<F> Agent for FnAgent<F>
where
    F: AsyncFn(&mut RunContext) -> Result<Answer, AgentError>,
{
    async fn run(&mut self, run: &mut RunContext) -> Result<Answer, AgentError> {
        (self.0)(run).await
    }
}

/// A model that plays one turn after the other. The turn is chosen by how many turns of the model the conversation holds
/// since the user's last message, so that it needs no memory and serves any number of sessions.
#[derive(Debug, Clone)]
pub struct ScriptedModel {
    turns: Vec<Vec<ModelPiece>>,
}

impl ScriptedModel {
    /// A model that plays these turns.
    #[must_use]
    pub fn new(turns: Vec<Vec<ModelPiece>>) -> Self {
        Self { turns }
    }
}

#[async_trait]
impl Model for ScriptedModel {
    fn name(&self) -> &str {
        "scripted"
    }

    async fn stream(&self, request: ModelRequest) -> Result<ModelStream, ModelError> {
        let turn = request
            .messages
            .iter()
            .rev()
            .take_while(|message| !matches!(message, ChatMessage::User(_)))
            .filter(|message| matches!(message, ChatMessage::Assistant { .. }))
            .count();
        let pieces: VecDeque<_> = self
            .turns
            .get(turn)
            .ok_or_else(|| ModelError::Refused(format!("the script has no turn {turn}")))?
            .iter()
            .cloned()
            .map(Ok)
            .collect();
        Ok(Box::pin(stream::iter(pieces)))
    }
}

/// A tool that does as told.
#[derive(Debug, Clone)]
pub struct FakeTool {
    name: String,
    deed: Deed,
    after: Duration,
    blocking: bool,
    role: Option<String>,
    needs_approval: bool,
}

#[derive(Debug, Clone)]
enum Deed {
    Return(Value),
    Echo,
    Fail(String),
    Panic,
    Hang,
}

impl FakeTool {
    /// A tool that returns its arguments and its user.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            deed: Deed::Echo,
            after: Duration::ZERO,
            blocking: false,
            role: None,
            needs_approval: false,
        }
    }

    /// Returns this.
    #[must_use]
    pub fn returns(mut self, value: Value) -> Self {
        self.deed = Deed::Return(value);
        self
    }

    /// Fails like this.
    #[must_use]
    pub fn fails(mut self, why: &str) -> Self {
        self.deed = Deed::Fail(why.to_owned());
        self
    }

    /// Panics.
    #[must_use]
    pub fn panics(mut self) -> Self {
        self.deed = Deed::Panic;
        self
    }

    /// Never ends by itself.
    #[must_use]
    pub fn hangs(mut self) -> Self {
        self.deed = Deed::Hang;
        self
    }

    /// Takes this long.
    #[must_use]
    pub fn takes(mut self, time: Duration) -> Self {
        self.after = time;
        self
    }

    /// Only users with this role may call it.
    #[must_use]
    pub fn role(mut self, role: &str) -> Self {
        self.role = Some(role.to_owned());
        self
    }

    /// A person must approve each call.
    #[must_use]
    pub fn needs_approval(mut self) -> Self {
        self.needs_approval = true;
        self
    }

    /// Runs on the CPU pool.
    #[must_use]
    pub fn blocks(mut self) -> Self {
        self.blocking = true;
        self
    }
}

#[async_trait]
impl Tool for FakeTool {
    fn spec(&self) -> ToolSpec {
        ToolSpec {
            blocking: self.blocking,
            role: self.role.clone(),
            needs_approval: self.needs_approval,
            ..ToolSpec::new(self.name.clone(), "a tool of a test", json!({"type": "object"}))
        }
    }

    async fn call(&self, context: ToolContext, arguments: Value) -> Result<Value, ToolError> {
        if !self.after.is_zero() {
            tokio::time::sleep(self.after).await;
        }
        match &self.deed {
            Deed::Return(value) => Ok(value.clone()),
            Deed::Echo => Ok(json!({"arguments": arguments, "user": context.user.user()})),
            Deed::Fail(why) => Err(ToolError::Failed(why.clone())),
            Deed::Panic => panic!("a tool of a test panics"),
            Deed::Hang => std::future::pending().await,
        }
    }
}
