//! Makes the end of a run that died with its process or its session. Pure: a booting store and a revived session tell the
//! same end.

use std::time::SystemTime;

use serde_json::json;

use crate::ids::{Seq, SessionId};
use crate::infra::journal::{EventRecord, RunEnd, Said, StoredRun};
use crate::protocol::server::{DeathCause, Event, EventEnvelope, RunState, ToolStatus};

/// The events that end `run`, numbered from `first`: each open call as `unknown`, then the run's death. What was said is
/// kept as a partial message.
#[must_use]
pub fn end_of(run: &StoredRun, session: SessionId, first: Seq, at: SystemTime, cause: DeathCause) -> Vec<EventRecord> {
    let calls = run.open_calls.iter().map(|call| Event::ToolCompleted {
        call_id: call.call_id,
        tool_name: call.tool_name.clone(),
        status: ToolStatus::Unknown,
        // The call may have had its effect: nobody runs it again by itself.
        result: json!({"note": "the server stopped before the call's result was known"}),
        truncated: false,
        execution_time_ms: 0,
    });
    let death = Event::AgentDeath {
        death_cause: cause,
        message: cause.sentence().to_owned(),
        recovery_action: "send_again".to_owned(),
    };
    let mut next = first;
    calls
        .chain(std::iter::once(death))
        .map(|event| {
            let seq = next;
            next = next.next();
            record(run, session, seq, at, &event)
        })
        .collect()
}

fn record(run: &StoredRun, session_id: SessionId, seq: Seq, at: SystemTime, event: &Event) -> EventRecord {
    let envelope = EventEnvelope {
        seq,
        session_id,
        thread_id: run.thread_id,
        run_id: run.run_id,
        agent_name: &run.agent,
        at,
        event,
    };
    EventRecord {
        seq,
        run_id: run.run_id,
        thread_id: run.thread_id,
        kind: event.kind(),
        body: envelope.to_text(),
        end: event.is_terminal().then(|| RunEnd {
            state: RunState::Died,
            message: run.said.clone().map(|(message_ref, content)| Said {
                message_ref,
                content,
                complete: false,
            }),
            forget: false,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{CallId, MessageId, RequestId, RunId, ThreadId};
    use crate::protocol::server::OpenCall;

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
    fn the_death_tells_the_client_to_send_again() {
        let records = end(&run());
        let body: serde_json::Value = serde_json::from_slice(&records[0].body).expect("json");
        assert_eq!(body["payload"]["death_cause"], "interrupted");
        assert_eq!(body["payload"]["recovery_action"], "send_again");
    }
}
