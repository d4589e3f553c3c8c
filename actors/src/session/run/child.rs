//! Child runs, as an agent begins them and is told of their ends.

use std::io;
use std::sync::Arc;

use actix::Addr;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::{RunContext, RunOver};
use crate::context::UserExecutionContext;
use crate::ids::RunId;
use crate::protocol::server::RunState;
use crate::session::actor::{BeginChild, UserSessionActor};
use crate::session::dispatcher::AbortOnDrop;
use crate::session::engine::ChildReport;

pub use crate::session::engine::ChildError;

/// The most that a run hands over to a child or hands back to its parent, in bytes of JSON, and the most words that a child
/// is asked. Beyond: the child is refused as `input_too_large`, or fails as `output_too_large`.
pub const HANDED_BYTES: usize = 1024 * 1024;

/// What a child run is asked to do.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ChildTask {
    /// Words, as a message would have them. At most [`HANDED_BYTES`].
    pub content: String,
    /// What the parent hands over, at most [`HANDED_BYTES`] of JSON.
    pub input: Value,
}

/// How a child run ended.
#[derive(Debug, Clone, PartialEq)]
pub struct ChildEnd {
    /// The child.
    pub run: RunId,
    /// Its last state. `Failed` also where it never began.
    pub state: RunState,
    /// Its answer, where it completed.
    pub result: Option<String>,
    /// What it set by [`RunContext::set_output`], else null.
    pub output: Value,
    /// Why it did not complete.
    pub error: Option<ChildError>,
}

impl ChildEnd {
    pub(crate) fn new(report: ChildReport, output: Value) -> Self {
        let ChildReport {
            run,
            state,
            result,
            error,
        } = report;
        Self {
            run,
            state,
            result,
            output,
            error,
        }
    }

    pub(crate) fn refused(run: RunId, error: ChildError) -> Self {
        Self::new(ChildReport::refused(run, error), Value::Null)
    }
}

/// What a run was given beside its message.
#[derive(Debug, Default)]
pub(crate) struct Handed {
    /// What its parent handed over.
    pub input: Value,
    /// Fires when its parent no longer waits for it.
    pub abandoned: CancellationToken,
}

/// What a run hands back beside its words.
#[derive(Debug, Default)]
pub(super) enum Output {
    /// Nothing yet.
    #[default]
    None,
    /// This.
    Set(Value),
    /// More than it may.
    TooLarge,
}

impl RunContext {
    /// Begins a child run and returns a future of its end; where as many as `limits.children_at_once` run, it begins when one
    /// of them has ended. Dropping the future stops the child. A child that may not begin is an end too, with the reason.
    ///
    /// # Errors
    /// The future's [`RunOver`] where this run has ended.
    pub fn spawn_child(
        &self,
        agent: &str,
        task: ChildTask,
    ) -> impl Future<Output = Result<ChildEnd, RunOver>> + use<> + 'static {
        let beginning = Beginning {
            session: self.session.clone(),
            parent: self.context.clone(),
            places: Arc::clone(&self.child_places),
            agent: agent.to_owned(),
            task,
        };
        // A task of its own, so that the child works before anyone waits for it.
        let work = AbortOnDrop(actix_rt::spawn(beginning.run().in_current_span()));
        async move { work.await.map_err(|_| RunOver)? }
    }

    /// Has a child run do something, and waits for its end. A child that failed is an end, not an error.
    ///
    /// # Errors
    /// [`RunOver`] where this run has ended.
    pub async fn child(&self, agent: &str, task: ChildTask) -> Result<ChildEnd, RunOver> {
        self.spawn_child(agent, task).await
    }

    /// What the parent handed over; null for a run that answers a user's message.
    #[must_use]
    pub fn input(&self) -> &Value {
        &self.handed.input
    }

    /// What this run hands back to its parent beside its words: at most [`HANDED_BYTES`] of JSON, the last one counts. With
    /// more the run fails as `output_too_large`.
    pub fn set_output(&mut self, output: Value) {
        self.output = if is_within(&output, HANDED_BYTES) {
            Output::Set(output)
        } else {
            Output::TooLarge
        };
    }
}

/// A child on its way.
struct Beginning {
    session: Addr<UserSessionActor>,
    parent: UserExecutionContext,
    places: Arc<Semaphore>,
    agent: String,
    task: ChildTask,
}

impl Beginning {
    async fn run(self) -> Result<ChildEnd, RunOver> {
        let ChildTask { content, input } = self.task;
        if content.len() > HANDED_BYTES || !is_within(&input, HANDED_BYTES) {
            let message = format!("a child run is given at most {HANDED_BYTES} bytes; hand over less, or a document");
            let error = ChildError::new("input_too_large", message, false);
            return Ok(ChildEnd::refused(RunId::mint(), error));
        }
        // The session gives the place back when the child has ended, not when we stop waiting for it.
        let place = self.places.acquire_owned().await.map_err(|_| RunOver)?;
        let abandoned = CancellationToken::new();
        let _stops_the_child = abandoned.clone().drop_guard();
        let begin = BeginChild {
            parent: self.parent,
            agent: self.agent,
            content,
            handed: Handed { input, abandoned },
            place,
        };
        let end = self.session.send(begin).await.map_err(|_| RunOver)??;
        // The session ended, and this run with it.
        end.await.map_err(|_| RunOver)
    }
}

/// Whether `value` has at most this many bytes as JSON. It is counted, not built.
fn is_within(value: &Value, most: usize) -> bool {
    struct Room(usize);
    impl io::Write for Room {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    serde_json::to_writer(Room(most), value).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_handed_over_is_measured_as_json() {
        let text = Value::String("ä".repeat(4));
        assert!(is_within(&text, 10), "eight bytes and two quotes");
        assert!(!is_within(&text, 9));
    }
}
