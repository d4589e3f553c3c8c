//! The language model port: a streaming chat model with tool calls.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::Stream;
use serde_json::Value;

use crate::infra::tools::ToolSpec;

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

/// A piece of what a model says.
#[derive(Debug, Clone, PartialEq)]
pub enum ModelPiece {
    /// A thought, for the thinking line.
    Reasoning(String),
    /// Text of the answer.
    Text(String),
    /// A call of a tool.
    Call(ModelCall),
    /// The end of this turn, with the tokens it used.
    End {
        /// Read.
        input_tokens: u64,
        /// Written.
        output_tokens: u64,
    },
}

/// Why a model failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// No answer to be had now; trying again may help.
    #[error("the model is unavailable: {0}")]
    Unavailable(String),
    /// The request will never be answered.
    #[error("the model refused the request: {0}")]
    Refused(String),
    /// The stream broke off or made no sense.
    #[error("the model's stream broke: {0}")]
    Broken(String),
}

impl ModelError {
    /// Whether trying again may help.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Broken(_))
    }
}

/// The models by name, frozen. The first one is the default.
#[derive(Clone, Default)]
pub struct ModelRegistry {
    default: Option<Arc<dyn Model>>,
    by_name: BTreeMap<String, Arc<dyn Model>>,
}

impl ModelRegistry {
    /// Freezes `models`; the first is the default.
    ///
    /// # Errors
    /// The name that stands twice.
    pub fn freeze(models: Vec<Arc<dyn Model>>) -> Result<Self, String> {
        let mut registry = Self {
            default: models.first().cloned(),
            by_name: BTreeMap::new(),
        };
        for model in models {
            let name = model.name().to_owned();
            if registry.by_name.insert(name.clone(), model).is_some() {
                return Err(name);
            }
        }
        Ok(registry)
    }

    /// The default model; none where no model was registered.
    #[must_use]
    pub fn default_model(&self) -> Option<Arc<dyn Model>> {
        self.default.clone()
    }

    /// The model of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Arc<dyn Model>> {
        self.by_name.get(name).cloned()
    }
}
