//! One run: its phases as a table, the text it has said, its open tool calls.

use std::sync::Arc;
use std::time::Instant;

use serde_json::Value;

use super::clock::RunClock;
use super::costs::Used;
use super::ending::{Ending, Outcome, Stop};
use super::people::People;
use super::{Effect, Emission, Now, OpenedCall, StartRun};
use crate::ids::{CallId, DocumentId, MessageId, RequestId, RunId, ThreadId};
use crate::infra::journal::StoredRun;
use crate::limits::Limits;
use crate::protocol::server::{DeathCause, Event, ToolStatus};

/// Tool calls of one run that are open at once, those that wait for a place included. Beyond: a violation, and the run ends.
pub(in crate::session) const OPEN_CALLS: usize = 1_024;

/// Where a run stands. A run that has ended is gone.
#[derive(Debug, Clone, PartialEq)]
pub enum RunPhase {
    /// It waits in its lane.
    Queued,
    /// The store is asked for its thread.
    Promoting,
    /// The store is asked for its thread, but it will end at once, like this.
    Doomed(Ending),
    /// Its task works.
    Running,
    /// Its task is asked to end; this is how it will have ended.
    Cancelling(Ending),
}

/// What happens to a run.
#[derive(Debug, Clone, PartialEq)]
pub enum RunInput {
    /// Its turn has come.
    Begin,
    /// The store granted the thread.
    Granted,
    /// The store refused the thread for now.
    Refused,
    /// The thread is gone.
    Gone,
    /// Somebody stops it.
    Stop(Stop),
    /// It has worked for as long as a run may.
    TimeUp,
    /// It made an event.
    Emit,
    /// Its task ended.
    Finished(Outcome),
}

/// What follows.
#[derive(Debug, Clone, PartialEq)]
pub enum RunStep {
    /// Ask the store for the thread.
    Ask,
    /// Begin the task.
    Start,
    /// Back into the queue.
    Wait,
    /// Ask the task to end, with this end in mind.
    Cancel(Ending),
    /// Remember to end it, like this, once the store has answered.
    Doom(Ending),
    /// The event may be told.
    Take,
    /// It is too late for this; nothing follows.
    Nothing,
    /// It is over, like this.
    End(Ending),
    /// This can't happen; count it as a defect.
    Impossible,
}

/// The table: every phase with every input.
#[must_use]
pub fn step(phase: &RunPhase, input: &RunInput) -> RunStep {
    use {RunInput as I, RunPhase as P, RunStep as S};
    match (phase, input) {
        (P::Queued, I::Begin) => S::Ask,
        (P::Queued, I::Stop(stop)) => S::End(Ending::Stopped(stop.clone())),
        (P::Queued, I::Granted | I::Refused | I::Gone | I::TimeUp | I::Emit | I::Finished(_)) => S::Impossible,

        (P::Promoting, I::Granted) => S::Start,
        (P::Promoting, I::Refused) => S::Wait,
        (P::Promoting, I::Gone) => S::End(Ending::Stopped(Stop::thread_deleted())),
        (P::Promoting, I::Stop(stop)) => S::Doom(Ending::Stopped(stop.clone())),
        (P::Promoting, I::Begin | I::TimeUp | I::Emit | I::Finished(_)) => S::Impossible,

        (P::Doomed(ending), I::Granted | I::Refused | I::Gone) => S::End(ending.clone()),
        (P::Doomed(_), I::Stop(_)) => S::Nothing,
        (P::Doomed(_), I::Begin | I::TimeUp | I::Emit | I::Finished(_)) => S::Impossible,

        (P::Running, I::Stop(stop)) => S::Cancel(Ending::Stopped(stop.clone())),
        (P::Running, I::TimeUp) => S::Cancel(Ending::Died(DeathCause::Timeout)),
        (P::Running, I::Emit) => S::Take,
        (P::Running, I::Finished(outcome)) => S::End(Ending::of(outcome)),
        (P::Running, I::Begin | I::Granted | I::Refused | I::Gone) => S::Impossible,

        // The first one to stop a run has stopped it; what its task still says is not told.
        (P::Cancelling(_), I::Stop(_) | I::TimeUp | I::Emit) => S::Nothing,
        (P::Cancelling(ending), I::Finished(_)) => S::End(ending.clone()),
        (P::Cancelling(_), I::Begin | I::Granted | I::Refused | I::Gone) => S::Impossible,
    }
}

/// A run that has not ended.
#[derive(Debug)]
pub(super) struct Run {
    pub id: RunId,
    pub thread: ThreadId,
    pub phase: RunPhase,
    pub agent: Arc<str>,
    pub message_id: MessageId,
    /// The message that holds its answer.
    pub answer: MessageId,
    /// What it has said.
    pub text: String,
    /// When its task began, or it was queued.
    pub since: Instant,
    /// How long it has worked.
    pub clock: RunClock,
    pub request: RequestId,
    /// The run that began it; none where it answers a user's message.
    pub parent: Option<RunId>,
    /// How many runs stand above it.
    pub depth: u8,
    /// How many child runs it has begun, those of its children included.
    pub descendants: usize,
    /// The message's words, until the task gets them.
    content: String,
    pub references: Vec<DocumentId>,
    metadata: Option<Value>,
    /// How much of `text` has become events, in bytes.
    flushed: usize,
    last_flush: Option<Instant>,
    open_calls: Vec<OpenedCall>,
    pub people: People,
    /// What it has used, with its child runs; kept at the root.
    pub used: Used,
}

impl Run {
    pub fn new(start: StartRun, answer: MessageId, phase: RunPhase, now: Now) -> Self {
        Self {
            id: start.run,
            thread: start.thread,
            phase,
            agent: start.agent,
            message_id: start.message_id,
            answer,
            text: String::new(),
            since: now.mono,
            clock: RunClock::starting(now),
            request: start.request,
            parent: start.parent,
            depth: 0,
            descendants: 0,
            content: start.content,
            references: start.references,
            metadata: start.metadata,
            flushed: 0,
            last_flush: None,
            open_calls: Vec::new(),
            people: People::default(),
            used: Used::default(),
        }
    }

    /// A run that waited when its session's last incarnation ended. It has said nothing, so its answer may take the run's
    /// own UUID: unique, and the same each time.
    pub fn requeued(stored: StoredRun, now: Now) -> Self {
        let answer = MessageId::try_from(stored.run_id.as_uuid()).expect("a run's UUID is not nil");
        let start = StartRun {
            run: stored.run_id,
            thread: stored.thread_id,
            request: stored.request_id,
            message_id: stored.message_id,
            agent: stored.agent.into(),
            content: stored.content,
            references: stored.references,
            metadata: stored.metadata,
            parent: None,
        };
        Self::new(start, answer, RunPhase::Queued, now)
    }

    /// Begins: the first event, then the task.
    pub fn start(&mut self, now: Now, fx: &mut Vec<Effect>) {
        self.phase = RunPhase::Running;
        self.since = now.mono;
        self.clock = RunClock::starting(now);
        fx.push(self.emit(Event::AgentStarted {
            status: "started",
            message: format!("{} is working on it", self.agent),
            message_id: self.message_id,
            parent_run_id: self.parent,
        }));
        if self.parent.is_none() {
            fx.push(Effect::Began {
                thread: self.thread,
                run: self.id,
            });
        }
        fx.push(Effect::Start(Box::new(StartRun {
            run: self.id,
            thread: self.thread,
            request: self.request,
            message_id: self.message_id,
            agent: Arc::clone(&self.agent),
            content: std::mem::take(&mut self.content),
            // Its children are given them too.
            references: self.references.clone(),
            metadata: self.metadata.take(),
            parent: self.parent,
        })));
    }

    pub fn emit(&self, event: Event) -> Effect {
        Effect::Emit(Box::new(Emission {
            run: self.id,
            thread: self.thread,
            request: self.request,
            agent: Arc::clone(&self.agent),
            event,
            end: None,
        }))
    }

    /// When what was said should become an event; none where there is nothing new.
    pub fn flush_time(&self, limits: &Limits) -> Option<Instant> {
        let waiting = self.text.len() - self.flushed;
        match self.last_flush {
            _ if waiting == 0 => None,
            // The first words are told at once; what follows is gathered.
            Some(last) if waiting < limits.text_flush_bytes => Some(last + limits.text_flush_interval),
            _ => Some(self.since),
        }
    }

    /// Tells what was said since the last time. `complete` marks the end, also where nothing is new.
    pub fn flush(&mut self, complete: bool, at: Instant, fx: &mut Vec<Effect>) {
        if self.flushed == self.text.len() && !(complete && self.flushed > 0) {
            return;
        }
        let content = self.text[self.flushed..].to_owned();
        fx.push(self.emit(Event::PartialResult {
            message_ref: self.answer,
            offset: self.flushed as u64,
            content,
            is_complete: complete,
        }));
        self.flushed = self.text.len();
        self.last_flush = Some(at);
    }

    /// Whether it may begin: it is no other call, and not one too many.
    pub fn open_call(&mut self, call: CallId, tool: &str, since: Instant) -> bool {
        if self.open_calls.len() == OPEN_CALLS || self.open_calls.iter().any(|open| open.call == call) {
            return false;
        }
        self.open_calls.push(OpenedCall {
            call,
            tool: tool.to_owned(),
            since,
        });
        true
    }

    pub fn has_open(&self, call: CallId) -> bool {
        self.open_calls.iter().any(|open| open.call == call)
    }

    /// Whether it was open.
    pub fn close_call(&mut self, call: CallId) -> bool {
        let before = self.open_calls.len();
        self.open_calls.retain(|open| open.call != call);
        self.open_calls.len() < before
    }

    /// Tells the end of every call that is still open: a run's end comes after them.
    pub fn cancel_open_calls(&mut self, now: Now, fx: &mut Vec<Effect>) {
        for open in std::mem::take(&mut self.open_calls) {
            let elapsed = now.mono.saturating_duration_since(open.since);
            fx.push(self.emit(Event::ToolCompleted {
                call_id: open.call,
                tool_name: open.tool,
                status: ToolStatus::Cancelled,
                result: Value::String("the run ended first".to_owned()),
                truncated: false,
                execution_time_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
            }));
        }
    }
}
