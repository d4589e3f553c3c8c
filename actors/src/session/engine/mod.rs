//! The execution engine: what a session decides, as a pure state machine.
//!
//! An [`Input`] and the time go in, [`Effect`]s come out, in the order in which they must be carried out. Nothing here does
//! I/O, reads a clock or rolls dice, so every rule of queueing, stopping and ending is a table that tests write out.
//!
//! Client frames are handled one at a time, in order. A frame that needs the store or the supervisor is the current
//! operation (`op::Op`) until it is answered; what comes meanwhile waits in a bounded inbox. Runs go on regardless.

mod child;
mod clock;
mod costs;
mod ending;
mod lane;
mod op;
mod people;
mod run;
#[cfg(test)]
mod tests;
mod vocabulary;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

pub use child::{ChildError, ChildReport, NewChild};
pub use ending::{Ending, Outcome, Stop};
pub use op::{Arrived, Fresh, Rating};
pub use people::STEERING_WAITING;
pub(in crate::session) use run::OPEN_CALLS;
pub use run::{RunInput, RunPhase, RunStep, step};
pub use vocabulary::{Effect, Emission, Input, Now, Rules, StartRun};

use crate::ids::{CallId, MessageId, RunId, ThreadId};
use crate::infra::journal::StoredRun;
use crate::protocol::CloseCode;
use crate::protocol::client::{Command, FrameError};
use crate::protocol::server::{Control, ErrorCode, ErrorFrame, Event, StoppedBy};
use costs::Costs;
use lane::Lane;
use op::Op;
use run::Run;

/// How long a queued run waits before its thread is asked for again, where nobody told that it is free.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// The engine of one session.
#[derive(Debug)]
pub struct Engine {
    rules: Arc<Rules>,
    /// Where frames go that name no thread.
    current: ThreadId,
    /// The threads in which something runs or waits.
    lanes: BTreeMap<ThreadId, Lane>,
    /// The runs that have not ended.
    runs: BTreeMap<RunId, Run>,
    /// Frames that wait for the current operation. Bounded by what the actor grants the socket.
    inbox: VecDeque<Box<Arrived>>,
    /// The frame being worked on.
    op: Option<Op>,
    /// Faulty frames in a row.
    faulty: u32,
    /// Rate-limited messages in a row.
    refused: u32,
    /// Since when there is no socket; none while one is attached.
    detached_since: Option<Instant>,
    drain: Drain,
    /// What the session and its user have used.
    costs: Costs,
}

/// How far the server's drain is. It only goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Drain {
    /// The server does not drain.
    No,
    /// What runs may end by itself.
    Waiting,
    /// Its time is over: what runs is ended.
    Expired,
    /// It was told that nothing runs.
    Told,
}

impl Engine {
    /// Makes the engine of a session without a socket, whose current thread is `current`.
    #[must_use]
    pub fn new(rules: Arc<Rules>, current: ThreadId, now: Now) -> Self {
        Self {
            rules,
            current,
            lanes: BTreeMap::new(),
            runs: BTreeMap::new(),
            inbox: VecDeque::new(),
            op: None,
            faulty: 0,
            refused: 0,
            detached_since: Some(now.mono),
            drain: Drain::No,
            costs: Costs::default(),
        }
    }

    /// The session's current thread.
    #[must_use]
    pub fn current_thread(&self) -> ThreadId {
        self.current
    }

    /// Whether nothing runs, waits or is being asked.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.runs.is_empty() && self.op.is_none() && self.inbox.is_empty()
    }

    /// How many frames wait for the current operation.
    #[must_use]
    pub fn waiting_frames(&self) -> usize {
        self.inbox.len()
    }

    /// Whether what this run makes is told: it works and nobody has stopped it.
    #[must_use]
    pub fn listens_to(&self, run: RunId) -> bool {
        self.runs
            .get(&run)
            .is_some_and(|run| step(&run.phase, &RunInput::Emit) == RunStep::Take)
    }

    /// Whether nothing runs and nothing is being asked; messages may wait.
    fn is_still(&self) -> bool {
        let waits = |run: &Run| run.phase == RunPhase::Queued;
        self.op.is_none() && self.inbox.is_empty() && self.runs.values().all(waits)
    }

    /// Decides what follows from `input`.
    pub fn handle(&mut self, input: Input, now: Now) -> Vec<Effect> {
        let mut fx = Vec::new();
        match input {
            Input::Frame(arrived) => self.frame(arrived, now, &mut fx),
            Input::Faulty(fault) => self.faulty_frame(fault, &mut fx),
            Input::Rated(rating) => self.rated(rating, now, &mut fx),
            Input::Stored(reply) => self.stored(reply, now, &mut fx),
            Input::Promoted { run, reply } => self.promoted(run, reply, now, &mut fx),
            Input::Emitted { run, event } => self.emitted(run, event, now, &mut fx),
            Input::Said { run, text } => self.said(run, &text, now, &mut fx),
            Input::FlushDue => self.flush_due(now, &mut fx),
            Input::Finished { run, outcome } => self.advance_run(run, RunInput::Finished(outcome), now, &mut fx),
            Input::Child(new) => self.begin_child(*new, now, &mut fx),
            Input::Used { run, charge } => self.charge(run, charge),
            Input::Charged(totals) => self.charged(totals, now),
            Input::Violated { run } => self.end_violator(run, now, &mut fx),
            Input::ClockDue => self.clock_due(now, &mut fx),
            Input::ThreadChanged { thread, run, state } => self.thread_changed(thread, run, state, now, &mut fx),
            Input::Yield { thread, run, stop } => self.yield_thread(thread, run, stop, now, &mut fx),
            Input::StopRuns { run, thread, stop } => {
                self.stop_matching(run, thread, &stop, now, &mut fx);
            }
            Input::Attached => {
                self.detached_since = None;
                // In a row means on one socket: the next one is not closed for what the last one did.
                (self.faulty, self.refused) = (0, 0);
            }
            Input::Detached => self.detached_since = Some(now.mono),
            Input::Requeued(runs) => self.requeue(runs, now, &mut fx),
            // Said again, it gives no run its time back.
            Input::Drain => self.drain = self.drain.max(Drain::Waiting),
            Input::DrainExpired => self.drain = self.drain.max(Drain::Expired),
            Input::Tick => self.tick(now, &mut fx),
        }
        self.judge(now, &mut fx);
        self.go_on_draining(now, &mut fx);
        fx
    }

    /// The runs that [`Input::StopRuns`] with the same arguments would stop. A child stands here only where it is named: the
    /// others end with their parents.
    #[must_use]
    pub fn matching(&self, run: Option<RunId>, thread: Option<ThreadId>) -> Vec<RunId> {
        self.runs
            .values()
            .filter(|candidate| run.map_or(candidate.parent.is_none(), |id| id == candidate.id))
            .filter(|candidate| thread.is_none_or(|id| id == candidate.thread))
            .map(|candidate| candidate.id)
            .collect()
    }

    fn frame(&mut self, arrived: Box<Arrived>, now: Now, fx: &mut Vec<Effect>) {
        self.faulty = 0;
        match &arrived.frame.command {
            // These wait for nothing and nothing waits for them.
            Command::Ack { seq } => fx.extend([Effect::Acked(*seq), Effect::Grant]),
            Command::Ping { timestamp } => {
                let timestamp = timestamp.clone().unwrap_or(Value::Null);
                fx.extend([Effect::Reply(Control::Pong { timestamp }), Effect::Grant]);
            }
            Command::Nothing => fx.push(Effect::Grant),
            Command::Stop { .. } => {
                self.give_up_yielding(fx);
                self.inbox.push_back(arrived);
                self.next_frames(now, fx);
            }
            _ => {
                self.inbox.push_back(arrived);
                self.next_frames(now, fx);
            }
        }
    }

    fn faulty_frame(&mut self, fault: FrameError, fx: &mut Vec<Effect>) {
        self.faulty += 1;
        let details = fault.pointer.map(|pointer| serde_json::json!({ "pointer": pointer }));
        fx.push(Effect::Reply(Control::Error(ErrorFrame {
            code: fault.code,
            message: fault.message,
            reply_to: fault.reply_to,
            retryable: false,
            retry_after_ms: None,
            details,
        })));
        fx.push(Effect::Grant);
        if self.faulty >= self.rules.limits.faulty_frames {
            fx.push(Effect::Close(CloseCode::FaultyFrames));
        }
    }

    /// Handles waiting frames until one has to wait for an answer.
    fn next_frames(&mut self, now: Now, fx: &mut Vec<Effect>) {
        while self.op.is_none() {
            let Some(arrived) = self.inbox.pop_front() else {
                return;
            };
            fx.push(Effect::Grant);
            self.begin(*arrived, now, fx);
        }
    }

    fn emitted(&mut self, id: RunId, event: Event, now: Now, fx: &mut Vec<Effect>) {
        let until = now.mono + self.rules.limits.approval_time;
        let Some(run) = self.runs.get_mut(&id) else {
            // Late: the run ended before it knew.
            return;
        };
        match step(&run.phase, &RunInput::Emit) {
            RunStep::Take => {}
            RunStep::Impossible => return self.violated(id, "an event of a run that has not begun", now, fx),
            _ => return,
        }
        if matches!(event, Event::ToolExecuting { .. }) {
            // Judged before it is told: a call beyond the budget never starts.
            self.charge(id, costs::TOOL_CALL);
            self.judge(now, fx);
        }
        let output = costs::output_of(&event);
        let Some(run) = self.runs.get_mut(&id).filter(|run| run.phase == RunPhase::Running) else {
            return;
        };
        let mut waits_no_more = false;
        match &event {
            Event::ToolExecuting { call_id, tool_name, .. } if run.open_call(*call_id, tool_name, now.mono) => {}
            Event::ToolExecuting { .. } => {
                return self.violated(id, "a tool call that is open already, or one too many", now, fx);
            }
            Event::ToolCompleted { call_id, .. } if run.close_call(*call_id) => {
                waits_no_more = run.people.wait_no_more(*call_id);
            }
            Event::ToolCompleted { .. } => {
                return self.violated(id, "the end of a tool call that is not open", now, fx);
            }
            other if other.is_terminal() => {
                return self.violated(id, "an end that is not the engine's", now, fx);
            }
            other => {
                if let Err(fault) = run.note_people(other, until) {
                    return self.violated(id, fault, now, fx);
                }
            }
        }
        run.flush(false, now.mono, fx);
        let asks = matches!(event, Event::ToolApprovalRequested { .. });
        fx.push(run.emit(event));
        if asks {
            self.pause_clock(id, now);
        }
        if waits_no_more {
            self.resume_clock(id, now);
        }
        if let Some(output) = output {
            self.charge(id, output);
        }
    }

    fn said(&mut self, id: RunId, text: &str, now: Now, fx: &mut Vec<Effect>) {
        let limits = &self.rules.limits;
        let Some(run) = self.runs.get_mut(&id) else { return };
        match step(&run.phase, &RunInput::Emit) {
            RunStep::Take => {}
            RunStep::Impossible => return self.violated(id, "text of a run that has not begun", now, fx),
            _ => return,
        }
        if run.text.len() + text.len() > limits.result_bytes {
            let ending = Ending::too_large(limits.result_bytes);
            return self.cancel(id, ending, now, fx);
        }
        run.text.push_str(text);
        match run.flush_time(limits) {
            Some(at) if at > now.mono => fx.push(Effect::FlushAt(at)),
            Some(_) => run.flush(false, now.mono, fx),
            None => {}
        }
    }

    fn flush_due(&mut self, now: Now, fx: &mut Vec<Effect>) {
        for run in self.runs.values_mut() {
            match run.flush_time(&self.rules.limits) {
                Some(at) if at <= now.mono => run.flush(false, now.mono, fx),
                Some(at) => fx.push(Effect::FlushAt(at)),
                None => {}
            }
        }
    }

    /// A drain is over when nothing runs and nothing is being asked: what the store grants late still runs. What waits is
    /// not ended; it is the store's, and the next start runs it.
    fn go_on_draining(&mut self, now: Now, fx: &mut Vec<Effect>) {
        if self.drain == Drain::Expired {
            self.give_up_yielding(fx);
            self.next_frames(now, fx);
            let begun = |run: &&Run| run.phase != RunPhase::Queued;
            let begun: Vec<RunId> = self.runs.values().filter(begun).map(|run| run.id).collect();
            for run in begun {
                self.advance_run(run, RunInput::Stop(Stop::drain()), now, fx);
            }
        }
        match self.drain {
            Drain::Waiting | Drain::Expired if self.is_still() => {
                self.drain = Drain::Told;
                fx.push(Effect::Drained);
            }
            Drain::No | Drain::Waiting | Drain::Expired | Drain::Told => {}
        }
    }

    fn tick(&mut self, now: Now, fx: &mut Vec<Effect>) {
        self.clock_due(now, fx);
        self.accrue(now);
        self.retry_yielding(now, fx);
        self.expire_approvals(now, fx);
        let blocked: Vec<ThreadId> = self
            .lanes
            .iter()
            .filter(|(_, lane)| lane.active.is_none())
            .filter(|(_, lane)| {
                lane.blocked
                    .is_some_and(|blocked| now.mono - blocked.since >= RETRY_AFTER)
            })
            .map(|(thread, _)| *thread)
            .collect();
        for thread in blocked {
            self.unblock(thread, now, fx);
        }
        let Some(since) = self.detached_since else { return };
        let alone = now.mono.saturating_duration_since(since);
        if alone >= self.rules.limits.grace && !self.runs.is_empty() {
            self.abandon(now, fx);
        }
        if alone >= self.rules.limits.detached_idle && self.is_idle() {
            fx.push(Effect::Leave);
        }
    }

    fn requeue(&mut self, runs: Vec<StoredRun>, now: Now, fx: &mut Vec<Effect>) {
        for stored in runs {
            let thread = stored.thread_id;
            let run = Run::requeued(stored, now);
            self.lanes.entry(thread).or_default().queue.push_back(run.id);
            self.runs.insert(run.id, run);
        }
        let threads: Vec<ThreadId> = self.lanes.keys().copied().collect();
        for thread in threads {
            self.advance_lane(thread, now, fx);
        }
    }

    fn error(code: ErrorCode, message: impl Into<String>, reply_to: Option<MessageId>) -> ErrorFrame {
        ErrorFrame {
            code,
            message: message.into(),
            reply_to: reply_to.map(|id| id.to_string()),
            retryable: false,
            retry_after_ms: None,
            details: None,
        }
    }
}

/// A call that began and did not end.
#[derive(Debug, Clone, PartialEq, Eq)]
struct OpenedCall {
    call: CallId,
    tool: String,
    since: Instant,
}

impl Stop {
    fn new(by: StoppedBy, reason: &str) -> Self {
        Self {
            by,
            reason: reason.to_owned(),
            forget: false,
        }
    }

    fn drain() -> Self {
        Self::new(StoppedBy::Drain, "the server is shutting down")
    }

    fn thread_deleted() -> Self {
        Self::new(StoppedBy::ThreadDeleted, "its thread was deleted")
    }

    fn abandoned() -> Self {
        Self::new(StoppedBy::Abandoned, "no client came back in time")
    }
}
