//! One run at work: what its agent may touch. The task that it is stands in `task`.

mod child;
mod steps;
mod task;
#[cfg(test)]
mod tests;
mod workflow;

use std::sync::Arc;

use actix::Addr;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{Span, warn};

pub(crate) use child::Handed;
pub use child::{ChildEnd, ChildError, ChildTask, HANDED_BYTES};
pub(crate) use task::{RunTask, Steering};

use crate::context::UserExecutionContext;
use crate::ids::{CallId, DocumentId};
use crate::infra::Infra;
use crate::infra::agents::AgentError;
use crate::infra::model::{ChatMessage, Model};
use crate::infra::tools::ToolSpec;
use crate::protocol::server::{Event, ToolStatus, Usage};
use crate::session::actor::{NeedDispatcher, UserSessionActor};
use crate::session::dispatcher::ExecuteTool;
use crate::session::emitter::RunEmitter;
use crate::session::engine::{STEERING_WAITING, StartRun};
use child::Output;

/// How much of the conversation an agent gets, in messages. Older ones are left out.
const HISTORY_MESSAGES: usize = 40;

/// How much of the conversation an agent gets, in bytes. Older messages are left out.
const HISTORY_BYTES: usize = 64 * 1024;

/// The largest piece of text that becomes one event, in bytes. A longer one is told in pieces.
const PIECE_BYTES: usize = 8 * 1024;

/// The longest thought or line of progress that is told, in bytes. A longer one is cut.
const THOUGHT_BYTES: usize = 4 * 1024;

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

/// One run, as its agent sees it: its message, its conversation, its tools, and the ways to tell its user something.
pub struct RunContext {
    context: UserExecutionContext,
    infra: Arc<Infra>,
    session: Addr<UserSessionActor>,
    emitter: RunEmitter,
    cancelled: CancellationToken,
    steering: mpsc::Receiver<Steering>,
    start: StartRun,
    handed: Handed,
    /// Child runs at once; the rest wait.
    child_places: Arc<Semaphore>,
    /// How many thoughts it told.
    thoughts: u32,
    usage: Usage,
    output: Output,
}

impl RunContext {
    /// For whom the run works.
    #[must_use]
    pub fn context(&self) -> &UserExecutionContext {
        &self.context
    }

    /// The message that the run answers.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.start.content
    }

    /// What the client sent beside the message.
    #[must_use]
    pub fn metadata(&self) -> Option<&Value> {
        self.start.metadata.as_ref()
    }

    /// The documents that the message names: each was the user's own when the message was taken. One that was deleted
    /// since is not found.
    #[must_use]
    pub fn references(&self) -> &[DocumentId] {
        &self.start.references
    }

    /// What was said in the thread before this message, oldest first: the last 40 messages or 64 KiB. Empty where it can't
    /// be read now: an answer without memory is better than none.
    ///
    /// # Errors
    /// [`RunOver`] where the run is being stopped.
    pub async fn history(&self) -> Result<Vec<ChatMessage>, RunOver> {
        if self.cancelled.is_cancelled() {
            return Err(RunOver);
        }
        let (user, thread) = (self.context.user().clone(), self.context.thread());
        let read = self
            .infra
            .threads
            .transcript(user, thread, HISTORY_MESSAGES, HISTORY_BYTES)
            .await;
        let messages = match read {
            Ok(messages) => messages,
            Err(fault) => {
                warn!(%fault, "the conversation can't be read; the agent answers without it");
                Vec::new()
            }
        };
        Ok(messages
            .into_iter()
            .filter(|message| message.message_id != self.start.message_id)
            .map(|message| match message.role.as_str() {
                "user" => ChatMessage::User(message.content),
                _ => ChatMessage::Assistant {
                    text: message.content,
                    calls: Vec::new(),
                },
            })
            .collect())
    }

    /// The default model, or the one of this name.
    #[must_use]
    pub fn model(&self, name: Option<&str>) -> Option<Arc<dyn Model>> {
        match name {
            Some(name) => self.infra.models.get(name),
            None => self.infra.models.default_model(),
        }
    }

    /// The models that the configuration names for this run's agent, as one that falls back; the default where it names none.
    #[must_use]
    pub fn model_for_agent(&self) -> Option<Arc<dyn Model>> {
        self.infra.models.for_agent(&self.start.agent)
    }

    /// The tools that the run's user may call.
    #[must_use]
    pub fn tools(&self) -> Vec<Arc<ToolSpec>> {
        let roles = self.context.roles();
        let specs = self.infra.tools.specs();
        specs
            .filter(|spec| roles.suffice(spec.role.as_deref()))
            .cloned()
            .collect()
    }

    /// What the user told the run since the last call, oldest first; each is told as `steering_applied`. An agent of a
    /// class that is [`steerable`](crate::infra::AgentClass::steerable) calls it between its steps; for others it is empty.
    ///
    /// # Errors
    /// [`RunOver`] where the run has ended.
    pub async fn steering(&mut self) -> Result<Vec<String>, RunOver> {
        let mut told = Vec::new();
        while told.len() < STEERING_WAITING
            && let Ok(Steering { message_id, content }) = self.steering.try_recv()
        {
            let applied = Event::SteeringApplied {
                message_id,
                content: content.clone(),
            };
            self.emitter.emit(applied).await?;
            told.push(content);
        }
        Ok(told)
    }

    /// Says a piece of the answer. Small pieces are gathered, large ones told in parts.
    ///
    /// # Errors
    /// [`RunOver`] where the run has ended.
    pub async fn say(&mut self, text: &str) -> Result<(), RunOver> {
        let mut rest = text;
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(boundary(rest, PIECE_BYTES));
            self.emitter.say(piece.to_owned()).await?;
            rest = after;
        }
        Ok(())
    }

    /// Tells how far the run is.
    ///
    /// # Errors
    /// [`RunOver`] where the run has ended.
    pub async fn progress(&mut self, percentage: Option<u8>, message: impl Into<String>) -> Result<(), RunOver> {
        let mut message: String = message.into();
        message.truncate(boundary(&message, THOUGHT_BYTES));
        self.emitter
            .emit(Event::ProgressUpdate {
                percentage: percentage.map(|share| share.min(100)),
                message,
                current_step: None,
                total_steps: None,
            })
            .await
    }

    /// Tells an event of the agent's own.
    ///
    /// # Errors
    /// [`CustomEventError`]: the name is the protocol's, the payload is too large, or the run has ended.
    pub async fn custom(&mut self, name: &str, payload: Value) -> Result<(), CustomEventError> {
        if is_reserved(name) {
            return Err(CustomEventError::Reserved);
        }
        let limit = self.infra.limits.custom_event_bytes;
        if payload.to_string().len() + name.len() > limit {
            return Err(CustomEventError::TooLarge { limit });
        }
        let event = Event::Custom {
            name: name.to_owned(),
            payload,
        };
        Ok(self.emitter.emit(event).await?)
    }

    /// Calls a tool and waits for its end. A failed call is a reply, not an error; so is one that the user may not make or
    /// did not approve, as `denied`. Where a person must approve it, that takes as long as it takes.
    ///
    /// # Errors
    /// [`RunOver`] where the run has ended.
    pub async fn call_tool(&mut self, name: &str, arguments: Value) -> Result<ToolReply, RunOver> {
        let dispatcher = self.session.send(NeedDispatcher).await.map_err(|_| RunOver)?;
        self.usage.tool_calls += 1;
        dispatcher
            .send(ExecuteTool {
                context: self.context.child(name).map_err(|_| RunOver)?,
                emitter: self.emitter.clone(),
                call: CallId::mint(),
                tool: name.to_owned(),
                arguments,
                cancelled: self.cancelled.clone(),
                span: Span::current(),
            })
            .await
            .map_err(|_| RunOver)?
    }

    /// Fires when the run is being stopped.
    #[must_use]
    pub fn cancelled(&self) -> &CancellationToken {
        &self.cancelled
    }
}

/// Why an agent's own event was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CustomEventError {
    /// The protocol uses this name itself.
    #[error("the protocol uses this name itself; choose another")]
    Reserved,
    /// Name and payload are larger than this.
    #[error("a custom event has at most {limit} bytes")]
    TooLarge {
        /// In bytes of JSON.
        limit: usize,
    },
    /// The run has ended.
    #[error(transparent)]
    Over(#[from] RunOver),
}

impl From<CustomEventError> for AgentError {
    fn from(fault: CustomEventError) -> Self {
        match fault {
            CustomEventError::Over(_) => Self::Over,
            other => Self::Failed {
                code: "bad_custom_event",
                message: other.to_string(),
                retryable: false,
            },
        }
    }
}

fn is_reserved(name: &str) -> bool {
    const PREFIXES: [&str; 6] = ["agent_", "tool_", "workflow_", "step_", "thread_", "server_"];
    const NAMES: [&str; 12] = [
        "partial_result",
        "progress_update",
        "steering_applied",
        "steering_accepted",
        "decision_accepted",
        "budget_warning",
        "run_recovering",
        "custom",
        "error",
        "final_report",
        "resync",
        "pong",
    ];
    name.is_empty() || NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// The last place at or before `most` where `text` may be cut.
fn boundary(text: &str, most: usize) -> usize {
    if text.len() <= most {
        return text.len();
    }
    (0..=most).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}
