//! The lifecycle of runs, kept in production: it sees each event that a session numbers, and says what must not be told.
//!
//! The engine makes no such event; this is the check that it doesn't. A run begins once, its calls are paired, its children
//! end before it, it has one end, and nothing comes after that. The end itself is never lost: one that comes too early is
//! told, and counted. Pure.

use std::collections::{BTreeMap, VecDeque};

use crate::ids::{CallId, RunId};
use crate::protocol::server::{DeathCause, Event};
use crate::session::engine::OPEN_CALLS;

/// Runs whose end is remembered, so that nothing is told after it. Of older ones an end that comes again is not recognised.
const ENDED_RUNS: usize = 256;

/// What is known of the runs of one session.
#[derive(Debug, Default)]
pub(super) struct Lifecycle {
    /// The runs that have begun and not ended.
    begun: BTreeMap<RunId, Life>,
    /// The runs that ended last, the oldest first.
    ended: VecDeque<RunId>,
}

#[derive(Debug, Default)]
struct Life {
    parent: Option<RunId>,
    open_calls: Vec<CallId>,
    /// Children that have not ended.
    children: usize,
}

/// What follows from an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Whether the event may be told.
    pub told: bool,
    /// What is wrong with it.
    pub fault: Option<&'static str>,
}

impl Verdict {
    const FINE: Self = Self {
        told: true,
        fault: None,
    };

    const fn refused(fault: &'static str) -> Self {
        Self {
            told: false,
            fault: Some(fault),
        }
    }
}

impl Lifecycle {
    /// Takes the next event of a run.
    pub fn see(&mut self, run: RunId, event: &Event) -> Verdict {
        if self.ended.contains(&run) {
            return Verdict::refused("an event after the run's end");
        }
        if event.is_terminal() {
            return self.end(run, event);
        }
        if let Event::AgentStarted { parent_run_id, .. } = event {
            return self.begin(run, *parent_run_id);
        }
        let Some(life) = self.begun.get_mut(&run) else {
            return Verdict::refused("an event of a run that has not begun");
        };
        match event {
            Event::ToolExecuting { call_id, .. } => life.open(*call_id),
            Event::ToolCompleted { call_id, .. } => life.close(*call_id),
            Event::ToolApprovalRequested { call_id, .. } if !life.open_calls.contains(call_id) => {
                Verdict::refused("an approval is asked for a tool call that is not open")
            }
            _ => Verdict::FINE,
        }
    }

    fn begin(&mut self, run: RunId, parent: Option<RunId>) -> Verdict {
        if self.begun.contains_key(&run) {
            return Verdict::refused("a run begins twice");
        }
        if let Some(parent) = parent {
            let Some(parent) = self.begun.get_mut(&parent) else {
                return Verdict::refused("a child of a run that has not begun, or has ended");
            };
            parent.children += 1;
        }
        let life = Life {
            parent,
            ..Life::default()
        };
        self.begun.insert(run, life);
        Verdict::FINE
    }

    /// An end is told whatever is wrong with it: a client that waits for it must not wait for ever.
    fn end(&mut self, run: RunId, event: &Event) -> Verdict {
        let life = self.begun.remove(&run);
        let fault = match &life {
            Some(life) if !life.open_calls.is_empty() => Some("a run ends before its tool calls"),
            Some(life) if life.children > 0 => Some("a run ends before its children"),
            // A run that waited in the queue may be ended there.
            None if !matches!(event, Event::AgentStopped { .. } | Event::AgentError { .. })
                && !is_out_of_budget(event) =>
            {
                Some("a run that has not begun ends with an answer or a death")
            }
            Some(_) | None => None,
        };
        if let Some(parent) = life
            .and_then(|life| life.parent)
            .and_then(|parent| self.begun.get_mut(&parent))
        {
            parent.children = parent.children.saturating_sub(1);
        }
        if self.ended.len() == ENDED_RUNS {
            self.ended.pop_front();
        }
        self.ended.push_back(run);
        Verdict { told: true, fault }
    }
}

/// Whether a budget ended the run: it may be used up before a run that waited begins.
const fn is_out_of_budget(event: &Event) -> bool {
    matches!(
        event,
        Event::AgentDeath {
            death_cause: DeathCause::Budget,
            ..
        }
    )
}

impl Life {
    fn open(&mut self, call: CallId) -> Verdict {
        if self.open_calls.contains(&call) {
            return Verdict::refused("a tool call begins twice");
        }
        if self.open_calls.len() == OPEN_CALLS {
            return Verdict::refused("more tool calls are open at once than a run may have");
        }
        self.open_calls.push(call);
        Verdict::FINE
    }

    fn close(&mut self, call: CallId) -> Verdict {
        let before = self.open_calls.len();
        self.open_calls.retain(|open| *open != call);
        if self.open_calls.len() == before {
            return Verdict::refused("the end of a tool call that is not open");
        }
        Verdict::FINE
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::MessageId;
    use crate::protocol::server::{DeathCause, StoppedBy, ToolStatus};
    use serde_json::Value;

    fn started(parent: Option<RunId>) -> Event {
        Event::AgentStarted {
            status: "started",
            message: String::new(),
            message_id: MessageId::mint(),
            parent_run_id: parent,
        }
    }

    fn calls(call_id: CallId) -> Event {
        Event::ToolExecuting {
            call_id,
            tool_name: "search".to_owned(),
            parameters: Value::Null,
        }
    }

    fn returns(call_id: CallId) -> Event {
        Event::ToolCompleted {
            call_id,
            tool_name: "search".to_owned(),
            status: ToolStatus::Ok,
            result: Value::Null,
            truncated: false,
            execution_time_ms: 0,
        }
    }

    fn stopped() -> Event {
        Event::AgentStopped {
            stopped_by: StoppedBy::User,
            reason: String::new(),
            partial: None,
            discarded_message_ids: Vec::new(),
        }
    }

    fn died() -> Event {
        Event::AgentDeath {
            death_cause: DeathCause::Panic,
            message: String::new(),
            recovery_action: "send_again".to_owned(),
        }
    }

    /// Plays a story of one run and its child; returns what is wrong with its last event, and whether that is told.
    fn last(story: &[(RunId, Event)]) -> (bool, Option<&'static str>) {
        let mut lifecycle = Lifecycle::default();
        let (end, before) = story.split_last().expect("a story has events");
        for (run, event) in before {
            assert_eq!(lifecycle.see(*run, event), Verdict::FINE, "{event:?}");
        }
        let Verdict { told, fault } = lifecycle.see(end.0, &end.1);
        (told, fault)
    }

    #[test]
    fn a_run_with_a_call_and_a_child_goes_through() {
        let (run, child, call) = (RunId::mint(), RunId::mint(), CallId::mint());
        let story = [
            (run, started(None)),
            (run, calls(call)),
            (child, started(Some(run))),
            (run, returns(call)),
            (child, died()),
            (run, stopped()),
        ];
        assert_eq!(last(&story), (true, None));
        assert_eq!(last(&[(run, stopped())]), (true, None), "it was stopped in the queue");
    }

    #[test]
    fn what_a_lifecycle_does_not_allow_is_named_and_not_told() {
        let (run, child, call) = (RunId::mint(), RunId::mint(), CallId::mint());
        let begun = (run, started(None));
        for (fault, story) in [
            ("a run begins twice", vec![begun.clone(), begun.clone()]),
            ("an event of a run that has not begun", vec![(run, calls(call))]),
            (
                "a tool call begins twice",
                vec![begun.clone(), (run, calls(call)), (run, calls(call))],
            ),
            (
                "the end of a tool call that is not open",
                vec![begun.clone(), (run, returns(call))],
            ),
            (
                "a child of a run that has not begun, or has ended",
                vec![begun.clone(), (child, started(Some(child)))],
            ),
            (
                "an event after the run's end",
                vec![begun.clone(), (run, died()), (run, calls(call))],
            ),
            (
                "an event after the run's end",
                vec![begun.clone(), (run, died()), (run, stopped())],
            ),
            (
                "an event after the run's end",
                vec![begun.clone(), (run, died()), begun.clone()],
            ),
        ] {
            assert_eq!(last(&story), (false, Some(fault)));
        }
    }

    #[test]
    fn an_end_that_comes_too_early_is_told_all_the_same() {
        let (run, child, call) = (RunId::mint(), RunId::mint(), CallId::mint());
        let begun = (run, started(None));
        for (fault, story) in [
            (
                "a run ends before its tool calls",
                vec![begun.clone(), (run, calls(call)), (run, died())],
            ),
            (
                "a run ends before its children",
                vec![begun.clone(), (child, started(Some(run))), (run, stopped())],
            ),
            (
                "a run that has not begun ends with an answer or a death",
                vec![(run, died())],
            ),
        ] {
            assert_eq!(last(&story), (true, Some(fault)));
        }
    }

    #[test]
    fn a_run_has_no_more_open_calls_than_its_bound() {
        let (mut lifecycle, run) = (Lifecycle::default(), RunId::mint());
        lifecycle.see(run, &started(None));
        for _ in 0..OPEN_CALLS {
            assert_eq!(lifecycle.see(run, &calls(CallId::mint())), Verdict::FINE);
        }
        assert!(!lifecycle.see(run, &calls(CallId::mint())).told);
    }

    #[test]
    fn what_is_remembered_of_ended_runs_is_bounded() {
        let mut lifecycle = Lifecycle::default();
        for _ in 0..ENDED_RUNS + 10 {
            let run = RunId::mint();
            lifecycle.see(run, &started(None));
            lifecycle.see(run, &died());
        }
        assert_eq!((lifecycle.begun.len(), lifecycle.ended.len()), (0, ENDED_RUNS));
    }
}
