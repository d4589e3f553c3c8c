//! The language model port: a streaming chat model with tool calls.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::Stream;
use serde_json::Value;

use crate::infra::tools::ToolSpec;

mod fallback;
mod registry;

pub use registry::{ModelRegistry, ModelRegistryError};

/// A chat model that streams.
#[async_trait]
pub trait Model: Send + Sync {
    /// Its name, as in the configuration and the logs.
    fn name(&self) -> &str;

    /// Whether it answers by fixed rules and can decide nothing: agents then decide by rules of their own.
    fn follows_rules(&self) -> bool {
        false
    }

    /// Asks the model. The stream ends with [`ModelPiece::End`], or with an error.
    ///
    /// # Errors
    /// [`ModelError`] where nothing could be asked at all.
    async fn stream(&self, request: ModelRequest) -> Result<ModelStream, ModelError>;
}

/// What a model says, piece by piece.
pub type ModelStream = Pin<Box<dyn Stream<Item = Result<ModelPiece, ModelError>> + Send>>;

/// What a model is asked.
#[derive(Debug, Clone, Default)]
pub struct ModelRequest {
    /// What it should be.
    pub system: String,
    /// The conversation, oldest first.
    pub messages: Vec<ChatMessage>,
    /// The tools that it may call.
    pub tools: Vec<Arc<ToolSpec>>,
}

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq)]
pub enum ChatMessage {
    /// The user's words.
    User(String),
    /// The model's words and the calls that it asked for.
    Assistant {
        /// The words.
        text: String,
        /// The calls.
        calls: Vec<ModelCall>,
    },
    /// What a call brought.
    Tool {
        /// The model's id of the call.
        id: String,
        /// The tool.
        name: String,
        /// Its result as JSON, or why there is none.
        content: Value,
        /// Whether it failed.
        is_error: bool,
    },
}

/// A tool call that a model asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelCall {
    /// The model's own id of the call; pairs it with its result.
    pub id: String,
    /// The tool.
    pub name: String,
    /// Its arguments; checked against the tool's schema before it runs.
    pub arguments: Value,
}

/// The only field of arguments that were no JSON object; it holds them as they came. No tool takes them: the model is told, and
/// can write them anew.
pub const INVALID_JSON: &str = "_invalid_json";

/// A piece of what a model says.
#[derive(Debug, Clone, PartialEq)]
pub enum ModelPiece {
    /// A thought, for the thinking line.
    Reasoning(String),
    /// Text of the answer.
    Text(String),
    /// A call of a tool.
    Call(ModelCall),
    /// The end of this turn.
    End {
        /// What the turn used.
        usage: ModelUsage,
    },
}

/// What one call of a model used. What nobody told is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ModelUsage {
    /// Tokens that it read.
    pub input_tokens: u64,
    /// Tokens that it wrote.
    pub output_tokens: u64,
    /// What that cost, in millionths of a US dollar; 0 where no price is known.
    pub cost_micros: u64,
}

/// Why a model failed. No variant holds a key, or a word of a user's: it is logged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// No answer to be had now; trying again may help.
    #[error("the model is unavailable: {0}")]
    Unavailable(String),
    /// It was asked too often.
    #[error("the model was asked too often{}", wait_text(*retry_after))]
    RateLimited {
        /// How long to wait, where it said so.
        retry_after: Option<Duration>,
    },
    /// It took too long.
    #[error("the model took too long: {0}")]
    TimedOut(ModelTimeout),
    /// The request will never be answered.
    #[error("the model refused the request: {0}")]
    Refused(String),
    /// The stream broke off or made no sense.
    #[error("the model's stream broke: {0}")]
    Broken(String),
}

/// What a model took too long for, and how long it had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ModelTimeout {
    /// To be connected to.
    #[error("no connection within {0:?}")]
    Connect(Duration),
    /// For the first piece of its answer.
    #[error("no first word within {0:?}")]
    FirstPiece(Duration),
    /// For the next piece of its answer.
    #[error("no further word within {0:?}")]
    Stall(Duration),
}

impl ModelError {
    /// Whether trying again, or asking another model, may help.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Unavailable(_) | Self::RateLimited { .. } | Self::TimedOut(_) | Self::Broken(_) => true,
            Self::Refused(_) => false,
        }
    }
}

fn wait_text(retry_after: Option<Duration>) -> String {
    retry_after.map_or_else(String::new, |wait| format!("; it may be asked again in {wait:?}"))
}
