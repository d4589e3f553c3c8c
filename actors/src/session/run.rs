//! What an agent may touch: its own run, and nothing else.

use serde_json::Value;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

use crate::context::UserExecutionContext;
use crate::infra::model::{ChatMessage, Model};
use crate::infra::tools::ToolSpec;
use crate::protocol::server::ToolStatus;

/// The run was ended; nothing more of it reaches anyone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the run is over")]
pub struct RunOver;

/// What a tool call brought.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolReply {
    /// How it ended.
    pub status: ToolStatus,
    /// Its result; why there is none, where it failed.
    pub result: Value,
}

/// One run, as its agent sees it.
pub struct RunContext {
    _private: (),
}

#[allow(clippy::unused_async, unused_variables, clippy::unimplemented)]
impl RunContext {
    /// For whom the run works.
    #[must_use]
    pub fn context(&self) -> &UserExecutionContext {
        unimplemented!()
    }
    /// The message that the run answers.
    #[must_use]
    pub fn message(&self) -> &str {
        unimplemented!()
    }
    /// What the client sent beside the message.
    #[must_use]
    pub fn metadata(&self) -> Option<&Value> {
        unimplemented!()
    }
    /// What was said in the thread before this message, oldest first, bounded.
    pub async fn history(&self) -> Result<Vec<ChatMessage>, RunOver> {
        unimplemented!()
    }
    /// The default model, or the one of this name.
    #[must_use]
    pub fn model(&self, name: Option<&str>) -> Option<Arc<dyn Model>> {
        unimplemented!()
    }
    /// The tools that may be called.
    #[must_use]
    pub fn tools(&self) -> Vec<Arc<ToolSpec>> {
        unimplemented!()
    }
    /// Tells what the agent is thinking about.
    pub async fn think(&mut self, reasoning: impl Into<String>) -> Result<(), RunOver> {
        unimplemented!()
    }
    /// Says a piece of the answer. Small pieces are gathered.
    pub async fn say(&mut self, text: &str) -> Result<(), RunOver> {
        unimplemented!()
    }
    /// Tells how far the run is.
    pub async fn progress(&mut self, percentage: Option<u8>, message: impl Into<String>) -> Result<(), RunOver> {
        unimplemented!()
    }
    /// Tells an event of the agent's own.
    pub async fn custom(&mut self, name: &str, payload: Value) -> Result<(), RunOver> {
        unimplemented!()
    }
    /// Calls a tool and waits for its end. A failed call is a reply, not an error.
    pub async fn call_tool(&mut self, name: &str, arguments: Value) -> Result<ToolReply, RunOver> {
        unimplemented!()
    }
    /// Counts what a model used.
    pub fn count_usage(&mut self, input_tokens: u64, output_tokens: u64) {
        unimplemented!()
    }
    /// Fires when the run is being stopped.
    #[must_use]
    pub fn cancelled(&self) -> &CancellationToken {
        unimplemented!()
    }
}
