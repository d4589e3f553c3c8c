//! The task of a run: the agent at work, and how its work ends.

use std::sync::Arc;

use actix::Addr;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, warn};

use super::RunContext;
use super::child::{HANDED_BYTES, Handed, Output};
use crate::context::UserExecutionContext;
use crate::ids::MessageId;
use crate::infra::Infra;
use crate::infra::agents::{AgentError, Answer};
use crate::protocol::server::Usage;
use crate::session::actor::{RunFinished, UserSessionActor};
use crate::session::dispatcher::AbortOnDrop;
use crate::session::emitter::RunEmitter;
use crate::session::engine::{Outcome, STEERING_WAITING, StartRun};

/// What the user told a run at work.
#[derive(Debug)]
pub(crate) struct Steering {
    /// The frame that told it.
    pub message_id: MessageId,
    /// What.
    pub content: String,
}

/// A run's task. Dropping it ends the task.
pub(crate) struct RunTask {
    /// Asks it to end.
    pub cancelled: CancellationToken,
    steering: mpsc::Sender<Steering>,
    _watch: AbortOnDrop<()>,
}

impl RunTask {
    /// Begins a run as a task of its own on this thread: a panic in it is an outcome, not the session's end.
    pub(crate) fn spawn(
        start: StartRun,
        context: UserExecutionContext,
        infra: Arc<Infra>,
        session: Addr<UserSessionActor>,
        handed: Handed,
    ) -> Self {
        let cancelled = CancellationToken::new();
        let (steer, steering) = mpsc::channel(STEERING_WAITING);
        let span = tracing::info_span!(
            "run", session = %context.session(), thread = %context.thread(), run = %start.run,
            request = %start.request, agent = %start.agent
        );
        let run = start.run;
        let emitter = RunEmitter::new(context.clone(), session.clone(), infra.limits.emit_credit);
        let child_places = Arc::new(Semaphore::new(infra.limits.children_at_once.max(1)));
        let run_context = RunContext {
            context,
            infra,
            session: session.clone(),
            emitter,
            cancelled: cancelled.clone(),
            steering,
            start,
            handed,
            child_places,
            thoughts: 0,
            usage: Usage::default(),
            output: Output::None,
        };
        let work = AbortOnDrop(actix_rt::spawn(work(run_context).instrument(span.clone())));
        let watch = async move {
            let (outcome, output) = work.await.unwrap_or_else(|fault| {
                if fault.is_panic() {
                    warn!("agent panicked");
                    (Outcome::Panicked, Value::Null)
                } else {
                    (Outcome::Cancelled, Value::Null)
                }
            });
            debug!(outcome = outcome.name(), "run ended");
            // A closed mailbox means that the session ended, and its next incarnation tells this run's end.
            let _ = session.send(RunFinished { run, outcome, output }).await;
        };
        Self {
            cancelled,
            steering: steer,
            _watch: AbortOnDrop(actix_rt::spawn(watch.instrument(span))),
        }
    }

    /// Tells the run something. False where it was told more than it may: a fault of who counts. One that has ended needs
    /// to be told nothing.
    pub(crate) fn steer(&self, steering: Steering) -> bool {
        !matches!(self.steering.try_send(steering), Err(TrySendError::Full(_)))
    }
}

impl Drop for RunTask {
    fn drop(&mut self) {
        // Its tool calls are tasks of the dispatcher's: they end with the run that no longer waits for them.
        self.cancelled.cancel();
    }
}

/// How the run went, and what it hands back to its parent.
async fn work(mut run: RunContext) -> (Outcome, Value) {
    let outcome = outcome(&mut run).await;
    match (run.output, outcome) {
        (Output::TooLarge, Outcome::Said { .. } | Outcome::Answered { .. }) => {
            let outcome = Outcome::Failed {
                code: "output_too_large".to_owned(),
                message: format!("the agent handed back more than {HANDED_BYTES} bytes; ask for less at once"),
                retryable: false,
            };
            (outcome, Value::Null)
        }
        (Output::Set(output), outcome) => (outcome, output),
        (Output::None | Output::TooLarge, outcome) => (outcome, Value::Null),
    }
}

async fn outcome(run: &mut RunContext) -> Outcome {
    let Some(class) = run.infra.agents.get(&run.start.agent).cloned() else {
        return Outcome::Failed {
            code: "no_such_agent".to_owned(),
            message: "this agent is no longer there; choose another".to_owned(),
            retryable: false,
        };
    };
    let cancelled = run.cancelled.clone();
    let abandoned = run.handed.abandoned.clone();
    let mut agent = class.make(&run.context);
    let answer = tokio::select! {
        biased;
        () = cancelled.cancelled() => return Outcome::Cancelled,
        () = abandoned.cancelled() => return Outcome::Abandoned,
        answer = agent.run(run) => answer,
    };
    let usage = run.usage;
    match answer {
        Ok(Answer::Said) => Outcome::Said { usage },
        Ok(Answer::Text(text)) => Outcome::Answered { text, usage },
        Err(AgentError::Over) => Outcome::Cancelled,
        Err(AgentError::Failed {
            code,
            message,
            retryable,
        }) => Outcome::Failed {
            code: code.to_owned(),
            message,
            retryable,
        },
        Err(AgentError::Model(fault)) => {
            warn!(%fault, "model failed");
            Outcome::Failed {
                code: "model_failed".to_owned(),
                message: if fault.is_retryable() {
                    "the model does not answer now; send the message again".to_owned()
                } else {
                    "the model refused the request".to_owned()
                },
                retryable: fault.is_retryable(),
            }
        }
    }
}

impl Outcome {
    /// For logs: what it is, without a word of what was said.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Said { .. } | Self::Answered { .. } => "answered",
            Self::Failed { .. } => "failed",
            Self::Panicked => "panicked",
            Self::Cancelled => "cancelled",
            Self::Abandoned => "abandoned",
        }
    }
}
