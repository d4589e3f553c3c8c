//! The tool dispatcher: an actor of its session alone, started on the first tool call.
//!
//! Each call is a task of its own: a tool that hangs, panics or floods ends its call and nothing else. A call is told by a
//! pair of events on every path; the first is durable before the tool starts. A call that a person must approve waits
//! here, without a place and without a time of its own; the engine says how that ends.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use actix::{Actor, Context, Handler, Message, ResponseFuture};
use serde_json::Value;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span, debug, warn};

use crate::context::UserExecutionContext;
use crate::ids::CallId;
use crate::infra::Infra;
use crate::infra::tools::{ToolContext, ToolError, ToolSpec};
use crate::protocol::server::{Event, ToolStatus, rfc3339};
use crate::session::approval;
pub(crate) use crate::session::approval::Verdict;
use crate::session::emitter::RunEmitter;
use crate::session::run::{RunOver, ToolReply};

/// Executes the tool calls of one session.
pub struct ToolDispatcher {
    infra: Arc<Infra>,
    /// Calls at once; the rest wait.
    places: Arc<Semaphore>,
    /// Blocking calls at once; the rest wait.
    blocking_places: Arc<Semaphore>,
    /// Who waits for a person's decision. Calls that ended are left out when the next one comes.
    waiting: HashMap<CallId, oneshot::Sender<Verdict>>,
}

impl ToolDispatcher {
    pub(crate) fn new(infra: Arc<Infra>) -> Self {
        let limits = &infra.limits;
        Self {
            places: Arc::new(Semaphore::new(limits.tool_calls_at_once.max(1))),
            blocking_places: Arc::new(Semaphore::new(limits.blocking_calls_at_once.max(1))),
            infra,
            waiting: HashMap::new(),
        }
    }

    /// What brings the decision about a call that needs one.
    fn await_verdict(&mut self, call: &ExecuteTool) -> Option<oneshot::Receiver<Verdict>> {
        let needs_approval = |spec: &Arc<ToolSpec>| spec.needs_approval;
        if !self
            .infra
            .tools
            .get(&call.tool)
            .map(|class| class.spec())
            .is_some_and(needs_approval)
        {
            return None;
        }
        let (decided, verdict) = oneshot::channel();
        self.waiting.retain(|_, decided| !decided.is_closed());
        self.waiting.insert(call.call, decided);
        Some(verdict)
    }
}

impl Actor for ToolDispatcher {
    type Context = Context<Self>;
}

/// Calls a tool for a run.
#[derive(Message)]
#[rtype(result = "Result<ToolReply, RunOver>")]
pub(crate) struct ExecuteTool {
    /// For whom.
    pub context: UserExecutionContext,
    /// Tells what happens.
    pub emitter: RunEmitter,
    /// The call.
    pub call: CallId,
    /// The tool.
    pub tool: String,
    /// Its arguments, not yet checked.
    pub arguments: Value,
    /// Fires when the run is being stopped.
    pub cancelled: CancellationToken,
    /// The run's, so that the lines of its tools carry its ids.
    pub span: Span,
}

impl Handler<ExecuteTool> for ToolDispatcher {
    type Result = ResponseFuture<Result<ToolReply, RunOver>>;

    fn handle(&mut self, call: ExecuteTool, _: &mut Context<Self>) -> Self::Result {
        let span = tracing::info_span!(parent: &call.span, "tool", call = %call.call, tool = %call.tool);
        let execution = Execution {
            infra: Arc::clone(&self.infra),
            places: Arc::clone(&self.places),
            blocking_places: Arc::clone(&self.blocking_places),
            verdict: self.await_verdict(&call),
            waited: Duration::ZERO,
            call,
        };
        Box::pin(execution.run().instrument(span))
    }
}

/// A call that waits was decided.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct CallDecided {
    /// The call.
    pub call: CallId,
    /// How.
    pub verdict: Verdict,
}

impl Handler<CallDecided> for ToolDispatcher {
    type Result = ();

    fn handle(&mut self, CallDecided { call, verdict }: CallDecided, _: &mut Context<Self>) {
        if let Some(decided) = self.waiting.remove(&call) {
            // A call whose run was stopped meanwhile needs no decision.
            let _ = decided.send(verdict);
        }
    }
}

struct Execution {
    infra: Arc<Infra>,
    places: Arc<Semaphore>,
    blocking_places: Arc<Semaphore>,
    /// Present where a person must approve the call.
    verdict: Option<oneshot::Receiver<Verdict>>,
    /// How long it waited for that.
    waited: Duration,
    call: ExecuteTool,
}

/// How a call ended, before it is told.
struct Ended {
    status: ToolStatus,
    result: Value,
}

impl Ended {
    fn failed(status: ToolStatus, why: impl Into<String>) -> Self {
        Self {
            status,
            result: Value::String(why.into()),
        }
    }
}

impl Execution {
    async fn run(mut self) -> Result<ToolReply, RunOver> {
        let since = Instant::now();
        let (call_id, tool_name) = (self.call.call, self.call.tool.clone());
        self.infra.metrics.tool_calls.increment();
        // Intent before effect: the call is durable before the tool starts.
        self.call
            .emitter
            .emit_durably(Event::ToolExecuting {
                call_id,
                tool_name: tool_name.clone(),
                // What is told of them is cut like an output; the tool gets them whole.
                parameters: capped(self.call.arguments.clone(), self.infra.limits.tool_output_bytes).0,
            })
            .await?;
        let ended = self.execute().await?;
        let elapsed = since.elapsed().saturating_sub(self.waited);
        let (result, truncated) = capped(ended.result, self.infra.limits.tool_output_bytes);
        debug!(status = ?ended.status, truncated, ?elapsed, waited = ?self.waited, "tool call ended");
        self.call
            .emitter
            .emit(Event::ToolCompleted {
                call_id,
                tool_name,
                status: ended.status,
                result: result.clone(),
                truncated,
                execution_time_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
            })
            .await?;
        Ok(ToolReply {
            status: ended.status,
            result,
        })
    }

    async fn execute(&mut self) -> Result<Ended, RunOver> {
        let Some(class) = self.infra.tools.get(&self.call.tool) else {
            return Ok(Ended::failed(ToolStatus::Error, "there is no such tool"));
        };
        let spec = Arc::clone(class.spec());
        if let Some(role) = spec.role.as_deref().filter(|role| !self.call.context.roles().has(role)) {
            let why = format!("the tool needs the role `{role}`, which this user does not have");
            return Ok(Ended::failed(ToolStatus::Denied, why));
        }
        if let Err(faults) = class.validate(&self.call.arguments) {
            let why = format!("the arguments do not fit the tool: {faults}");
            return Ok(Ended::failed(ToolStatus::Error, why));
        }
        if let Some(verdict) = self.verdict.take()
            && let Some(refused) = self.ask(&spec, verdict).await?
        {
            return Ok(refused);
        }
        Ok(self.carry_out(&spec).await)
    }

    /// Asks for a person's approval and waits for it, without a place and on nobody's time. Returns how the call ends,
    /// where it may not start.
    async fn ask(&mut self, spec: &ToolSpec, verdict: oneshot::Receiver<Verdict>) -> Result<Option<Ended>, RunOver> {
        let since = Instant::now();
        let call_id = self.call.call;
        self.call
            .emitter
            .emit(Event::ToolApprovalRequested {
                call_id,
                tool_name: self.call.tool.clone(),
                parameters: capped(self.call.arguments.clone(), self.infra.limits.tool_output_bytes).0,
                arguments_sha256: approval::fingerprint(&self.call.arguments),
                expires_at: rfc3339(SystemTime::now() + self.infra.limits.approval_time),
            })
            .await?;
        let verdict = tokio::select! {
            biased;
            () = self.call.cancelled.cancelled() => return Ok(Some(stopped())),
            verdict = verdict => verdict.map_err(|_| RunOver)?,
        };
        self.waited = since.elapsed();
        // The decision is durable before the tool starts.
        self.call
            .emitter
            .emit_durably(Event::ToolApprovalDecided {
                call_id,
                decision: verdict.decision,
                note: verdict.note.clone(),
            })
            .await?;
        Ok(verdict.refusal(spec).map(|why| Ended::failed(ToolStatus::Denied, why)))
    }

    /// Runs the tool, within its time.
    async fn carry_out(&self, spec: &ToolSpec) -> Ended {
        let limit = spec
            .timeout
            .unwrap_or(self.infra.limits.tool_time)
            .min(self.infra.limits.run_time);
        let cancelled = self.call.cancelled.child_token();
        let ended = tokio::select! {
            biased;
            () = self.call.cancelled.cancelled() => stopped(),
            ended = self.call_tool(spec.blocking, cancelled.clone()) => ended,
            () = tokio::time::sleep(limit) => timed_out(limit),
        };
        // A tool that is no longer waited for should know.
        cancelled.cancel();
        ended
    }

    /// Runs the tool in a task of its own, which ends with this future.
    async fn call_tool(&self, blocking: bool, cancelled: CancellationToken) -> Ended {
        let _place = self.places.acquire().await.expect("the places are never closed");
        let Some(class) = self.infra.tools.get(&self.call.tool) else {
            return Ended::failed(ToolStatus::Error, "there is no such tool");
        };
        let tool = Arc::clone(class.tool());
        let arguments = self.call.arguments.clone();
        let context = ToolContext {
            user: self.call.context.clone(),
            call: self.call.call,
            cancelled,
        };
        let work = async move { tool.call(context, arguments).await }.in_current_span();
        let joined = if blocking {
            let place = Arc::clone(&self.blocking_places)
                .acquire_owned()
                .await
                .expect("the places are never closed");
            // A thread can't be taken back: its place is free again when the tool returns, not when we stop waiting.
            let work = async move {
                let _place = place;
                work.await
            };
            self.infra.cpu.run_for(self.call.context.user(), work).await
        } else {
            AbortOnDrop(actix_rt::spawn(work)).await
        };
        match joined {
            Ok(Ok(result)) => Ended {
                status: ToolStatus::Ok,
                result,
            },
            Ok(Err(ToolError::BadArguments(why) | ToolError::Failed(why))) => Ended::failed(ToolStatus::Error, why),
            Err(fault) if fault.is_panic() => {
                warn!("tool panicked");
                Ended::failed(ToolStatus::Panicked, "the tool crashed")
            }
            Err(_) => Ended::failed(ToolStatus::Cancelled, "the tool was ended"),
        }
    }
}

fn stopped() -> Ended {
    Ended::failed(ToolStatus::Cancelled, "the run was stopped")
}

fn timed_out(limit: Duration) -> Ended {
    Ended::failed(ToolStatus::Timeout, format!("the tool took longer than {limit:?}"))
}

/// Cuts an output that is too large: what is left is its beginning, as text.
fn capped(result: Value, limit: usize) -> (Value, bool) {
    let text = result.to_string();
    if text.len() <= limit {
        return (result, false);
    }
    let mut end = limit;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    (Value::String(text[..end].to_owned()), true)
}

/// A task that ends when nobody waits for it.
pub(crate) struct AbortOnDrop<T>(pub actix_rt::task::JoinHandle<T>);

impl<T> Future for AbortOnDrop<T> {
    type Output = Result<T, actix_rt::task::JoinError>;

    fn poll(mut self: std::pin::Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> std::task::Poll<Self::Output> {
        std::pin::Pin::new(&mut self.0).poll(cx)
    }
}

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_beyond_its_cap_is_cut_at_a_character_and_says_so() {
        let (kept, truncated) = capped(Value::String("ä".repeat(100)), 51);
        assert!(truncated);
        assert!(
            kept.as_str()
                .is_some_and(|text| text.len() <= 51 && text.starts_with("\"ä"))
        );
        assert_eq!(capped(Value::from(7), 51), (Value::from(7), false));
    }
}
