//! Makes the end of a run that died with its process or its session. Pure: a booting store and a revived session tell the
//! same end.

use std::time::SystemTime;

use serde_json::json;

use crate::ids::{RunId, Seq, SessionId};
use crate::infra::journal::{EventRecord, RunEnd, Said, StoredRun};
use crate::protocol::server::{DeathCause, Event, EventEnvelope, OpenCall, RunState, ToolStatus};

/// The events that end `run`, numbered from `first`: each open call as `unknown`, then its children, then the run's death.
/// A child ends as its parent does, and after what it began itself. What the run had said is kept as a partial message.
#[must_use]
pub fn end_of(run: &StoredRun, session: SessionId, first: Seq, at: SystemTime, cause: DeathCause) -> Vec<EventRecord> {
    let root = (run.run_id, run.agent.as_str());
    let mut events: Vec<((RunId, &str), Event)> = Vec::new();
    events.extend(run.open_calls.iter().map(|call| (root, lost(call))));
    // What a run begins begins after it: backwards, the deepest come first.
    for child in run.children.iter().rev() {
        let name = (child.run_id, child.agent.as_str());
        events.extend(child.open_calls.iter().map(|call| (name, lost(call))));
        events.push((name, death(cause)));
    }
    events.push((root, death(cause)));
    let mut next = first;
    let mut number = |((id, agent), event): ((RunId, &str), Event)| {
        let seq = next;
        next = next.next();
        let envelope = EventEnvelope {
            seq,
            session_id: session,
            thread_id: run.thread_id,
            run_id: id,
            agent_name: agent,
            at,
            event: &event,
        };
        EventRecord {
            seq,
            run_id: id,
            thread_id: run.thread_id,
            kind: event.kind(),
            body: envelope.to_text(),
            end: event.is_terminal().then(|| end(run, id)),
        }
    };
    events.into_iter().map(&mut number).collect()
}

fn lost(call: &OpenCall) -> Event {
    Event::ToolCompleted {
        call_id: call.call_id,
        tool_name: call.tool_name.clone(),
        status: ToolStatus::Unknown,
        // The call may have had its effect: nobody runs it again by itself.
        result: json!({"note": "the server stopped before the call's result was known"}),
        truncated: false,
        execution_time_ms: 0,
    }
}

fn death(cause: DeathCause) -> Event {
    Event::AgentDeath {
        death_cause: cause,
        message: cause.sentence().to_owned(),
        recovery_action: "send_again".to_owned(),
    }
}

/// What the end of `id` leaves: `run` itself, or one of its children.
fn end(run: &StoredRun, id: RunId) -> RunEnd {
    let child = id != run.run_id;
    RunEnd {
        state: RunState::Died,
        message: run.said.clone().filter(|_| !child).map(|(message_ref, content)| Said {
            message_ref,
            content,
            complete: false,
        }),
        forget: false,
        child,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{CallId, MessageId, RequestId, ThreadId};
    use crate::infra::journal::StoredChild;

    fn run() -> StoredRun {
        StoredRun {
            run_id: RunId::mint(),
            thread_id: ThreadId::mint(),
            request_id: RequestId::mint(),
            message_id: MessageId::mint(),
            agent: "echo".to_owned(),
            content: "hello".to_owned(),
            references: Vec::new(),
            metadata: None,
            state: RunState::Running,
            open_calls: Vec::new(),
            said: None,
            children: Vec::new(),
        }
    }

    fn end(run: &StoredRun) -> Vec<EventRecord> {
        end_of(
            run,
            SessionId::mint(),
            Seq(8),
            SystemTime::UNIX_EPOCH,
            DeathCause::Interrupted,
        )
    }

    #[test]
    fn open_calls_end_before_their_run_on_the_sessions_line() {
        let call = OpenCall {
            call_id: CallId::mint(),
            tool_name: "search".to_owned(),
        };
        let records = end(&StoredRun {
            open_calls: vec![call.clone(), call],
            ..run()
        });
        let line: Vec<_> = records.iter().map(|record| (record.seq.0, record.kind)).collect();
        assert_eq!(
            line,
            [(8, "tool_completed"), (9, "tool_completed"), (10, "agent_death")]
        );
    }

    #[test]
    fn only_the_death_ends_the_run_and_it_keeps_what_was_said() {
        let message_ref = MessageId::mint();
        let records = end(&StoredRun {
            said: Some((message_ref, "half an ans".to_owned())),
            ..run()
        });
        let end = records.last().and_then(|record| record.end.clone()).expect("an end");
        assert_eq!(end.state, RunState::Died);
        assert_eq!(
            end.message,
            Some(Said {
                message_ref,
                content: "half an ans".to_owned(),
                complete: false
            })
        );
    }

    #[test]
    fn children_end_the_deepest_first_after_the_calls_of_their_parent_and_before_it() {
        let call = || OpenCall {
            call_id: CallId::mint(),
            tool_name: "search".to_owned(),
        };
        let [first, nested] = [true, false].map(|calls| StoredChild {
            run_id: RunId::mint(),
            agent: "poet".to_owned(),
            open_calls: calls.then(call).into_iter().collect(),
            pending_approvals: Vec::new(),
        });
        let (one, two) = (first.run_id, nested.run_id);
        let root = StoredRun {
            open_calls: vec![call()],
            said: Some((MessageId::mint(), "half".to_owned())),
            children: vec![first, nested],
            ..run()
        };
        let records = end(&root);
        let line: Vec<_> = records.iter().map(|record| (record.run_id, record.kind)).collect();
        assert_eq!(
            line,
            [
                (root.run_id, "tool_completed"),
                (two, "agent_death"),
                (one, "tool_completed"),
                (one, "agent_death"),
                (root.run_id, "agent_death"),
            ]
        );
        let ends: Vec<_> = records.iter().filter_map(|record| record.end.as_ref()).collect();
        assert_eq!(
            ends.iter().map(|end| end.child).collect::<Vec<_>>(),
            [true, true, false]
        );
        assert!(
            ends[0].message.is_none() && ends[2].message.is_some(),
            "only the parent's words are a message"
        );
    }

    #[test]
    fn the_death_tells_the_client_to_send_again() {
        let records = end(&run());
        let body: serde_json::Value = serde_json::from_slice(&records[0].body).expect("json");
        assert_eq!(body["payload"]["death_cause"], "interrupted");
        assert_eq!(body["payload"]["recovery_action"], "send_again");
    }
}
