//! Every event, as it is journalled and sent.

use super::*;
use crate::protocol::server::{
    ApprovalDecision, DeathCause, ErrorContext, StepStatus, StoppedBy, ToolStatus, Usage, WorkflowStatus,
};

fn sent(event: &Event) -> Value {
    let envelope = EventEnvelope {
        seq: Seq(7),
        session_id: session(),
        thread_id: thread(),
        run_id: run(),
        agent_name: "echo",
        at: at(),
        event,
    };
    serde_json::from_slice(&envelope.to_text()).expect("an event is JSON")
}

/// Every event with its payload; where fields may be absent, once with them and once without.
fn all() -> Vec<(&'static str, Event, Value)> {
    [run_events(), tool_events(), workflow_events(), steps_ended(), ends()].concat()
}

fn run_events() -> Vec<(&'static str, Event, Value)> {
    vec![
        (
            "agent_started",
            Event::AgentStarted {
                status: "started",
                message: "echo is working on it".to_owned(),
                message_id: message(),
                parent_run_id: None,
            },
            json!({"status": "started", "message": "echo is working on it", "message_id": MESSAGE}),
        ),
        (
            "agent_started",
            Event::AgentStarted {
                status: "started",
                message: "m".to_owned(),
                message_id: message(),
                parent_run_id: Some(run()),
            },
            json!({"status": "started", "message": "m", "message_id": MESSAGE, "parent_run_id": RUN}),
        ),
        (
            "agent_thinking",
            Event::AgentThinking {
                reasoning: "hm".to_owned(),
                step_number: 1,
                progress_percentage: None,
            },
            json!({"reasoning": "hm", "step_number": 1}),
        ),
        (
            "agent_thinking",
            Event::AgentThinking {
                reasoning: "hm".to_owned(),
                step_number: 2,
                progress_percentage: Some(50),
            },
            json!({"reasoning": "hm", "step_number": 2, "progress_percentage": 50}),
        ),
        (
            "partial_result",
            Event::PartialResult {
                message_ref: message(),
                offset: 12,
                content: "ä \"quoted\"\n".to_owned(),
                is_complete: false,
            },
            json!({"message_ref": MESSAGE, "offset": 12, "content": "ä \"quoted\"\n", "is_complete": false}),
        ),
        (
            "progress_update",
            Event::ProgressUpdate {
                percentage: Some(40),
                message: "half".to_owned(),
                current_step: Some(2),
                total_steps: Some(5),
            },
            json!({"percentage": 40, "message": "half", "current_step": 2, "total_steps": 5}),
        ),
        (
            "progress_update",
            Event::ProgressUpdate {
                percentage: None,
                message: "half".to_owned(),
                current_step: None,
                total_steps: None,
            },
            json!({"message": "half"}),
        ),
        (
            "steering_applied",
            Event::SteeringApplied {
                message_id: message(),
                content: "left".to_owned(),
            },
            json!({"message_id": MESSAGE, "content": "left"}),
        ),
        (
            "budget_warning",
            Event::BudgetWarning {
                budget: "tokens".to_owned(),
                used: 90.0,
                limit: 100.0,
            },
            json!({"budget": "tokens", "used": 90.0, "limit": 100.0}),
        ),
        (
            "run_recovering",
            Event::RunRecovering {
                step_number: 3,
                message: "going on".to_owned(),
            },
            json!({"step_number": 3, "message": "going on"}),
        ),
        (
            "custom",
            Event::Custom {
                name: "chart".to_owned(),
                payload: json!({"points": [1, 2]}),
            },
            json!({"name": "chart", "payload": {"points": [1, 2]}}),
        ),
    ]
}

fn tool_events() -> Vec<(&'static str, Event, Value)> {
    let completed = |status, truncated| Event::ToolCompleted {
        call_id: call(),
        tool_name: "search".to_owned(),
        status,
        result: json!({"hits": 3}),
        truncated,
        execution_time_ms: 9,
    };
    let payload = |status: &str| json!({"call_id": CALL, "tool_name": "search", "status": status, "result": {"hits": 3}, "execution_time_ms": 9});
    let mut truncated = payload("ok");
    truncated["truncated"] = json!(true);
    vec![
        (
            "tool_executing",
            Event::ToolExecuting {
                call_id: call(),
                tool_name: "search".to_owned(),
                parameters: json!({"for": "x"}),
            },
            json!({"call_id": CALL, "tool_name": "search", "parameters": {"for": "x"}}),
        ),
        (
            "tool_approval_requested",
            Event::ToolApprovalRequested {
                call_id: call(),
                tool_name: "search".to_owned(),
                parameters: json!({}),
                arguments_sha256: "ab".to_owned(),
                expires_at: "2026-11-20T10:00:00Z".to_owned(),
            },
            json!({
                "call_id": CALL, "tool_name": "search", "parameters": {}, "arguments_sha256": "ab",
                "expires_at": "2026-11-20T10:00:00Z"
            }),
        ),
        decided(
            ApprovalDecision::Approve,
            None,
            json!({"call_id": CALL, "decision": "approve"}),
        ),
        decided(
            ApprovalDecision::Deny,
            Some("too dear"),
            json!({"call_id": CALL, "decision": "deny", "note": "too dear"}),
        ),
        decided(
            ApprovalDecision::Expired,
            None,
            json!({"call_id": CALL, "decision": "expired"}),
        ),
        ("tool_completed", completed(ToolStatus::Ok, true), truncated),
        ("tool_completed", completed(ToolStatus::Ok, false), payload("ok")),
        ("tool_completed", completed(ToolStatus::Error, false), payload("error")),
        (
            "tool_completed",
            completed(ToolStatus::Timeout, false),
            payload("timeout"),
        ),
        (
            "tool_completed",
            completed(ToolStatus::Denied, false),
            payload("denied"),
        ),
        (
            "tool_completed",
            completed(ToolStatus::Cancelled, false),
            payload("cancelled"),
        ),
        (
            "tool_completed",
            completed(ToolStatus::Panicked, false),
            payload("panicked"),
        ),
        (
            "tool_completed",
            completed(ToolStatus::Unknown, false),
            payload("unknown"),
        ),
    ]
}

fn workflow_events() -> Vec<(&'static str, Event, Value)> {
    vec![
        (
            "workflow_started",
            Event::WorkflowStarted {
                workflow: "w".to_owned(),
                steps: vec!["a".to_owned(), "b".to_owned()],
            },
            json!({"workflow": "w", "steps": ["a", "b"]}),
        ),
        (
            "step_started",
            Event::StepStarted {
                step: "a".to_owned(),
                step_number: 1,
            },
            json!({"step": "a", "step_number": 1}),
        ),
    ]
}

/// How steps and workflows end, in every word.
fn steps_ended() -> Vec<(&'static str, Event, Value)> {
    let steps = [
        (StepStatus::Completed, "completed"),
        (StepStatus::Failed, "failed"),
        (StepStatus::Skipped, "skipped"),
    ];
    let workflows = [
        (WorkflowStatus::Completed, "completed"),
        (WorkflowStatus::Partial, "partial"),
        (WorkflowStatus::Failed, "failed"),
    ];
    let step = |(status, word)| {
        let event = Event::StepCompleted {
            step: "a".to_owned(),
            step_number: 1,
            status,
        };
        let payload = json!({"step": "a", "step_number": 1, "status": word});
        ("step_completed", event, payload)
    };
    let workflow = |(status, word)| {
        let event = Event::WorkflowCompleted {
            workflow: "w".to_owned(),
            status,
        };
        ("workflow_completed", event, json!({"workflow": "w", "status": word}))
    };
    steps
        .into_iter()
        .map(step)
        .chain(workflows.into_iter().map(workflow))
        .collect()
}

fn ends() -> Vec<(&'static str, Event, Value)> {
    let mut ends = vec![
        (
            "agent_completed",
            Event::AgentCompleted {
                status: "completed",
                result: "42".to_owned(),
                message_ref: message(),
                result_sha256: "73".to_owned(),
                execution_time_ms: 5,
                usage: Usage {
                    input_tokens: 1,
                    output_tokens: 2,
                    model_calls: 3,
                    tool_calls: 4,
                    steps: 6,
                    cost_micros: 5,
                },
            },
            json!({
                "status": "completed", "result": "42", "message_ref": MESSAGE, "result_sha256": "73",
                "execution_time_ms": 5,
                "usage": {"input_tokens": 1, "output_tokens": 2, "model_calls": 3, "tool_calls": 4, "steps": 6, "cost_micros": 5}
            }),
        ),
        (
            "agent_error",
            Event::AgentError {
                code: "model_failed".to_owned(),
                error_message: "try again".to_owned(),
                error_context: ErrorContext {
                    agent_step: "echo".to_owned(),
                    retryable: true,
                    user_facing: true,
                },
                partial: Some("half".to_owned()),
            },
            json!({
                "code": "model_failed", "error_message": "try again", "partial": "half",
                "error_context": {"agent_step": "echo", "retryable": true, "user_facing": true}
            }),
        ),
        (
            "agent_stopped",
            Event::AgentStopped {
                stopped_by: StoppedBy::Replaced,
                reason: "r".to_owned(),
                partial: Some("half".to_owned()),
                discarded_message_ids: vec![message()],
            },
            json!({"stopped_by": "replaced", "reason": "r", "partial": "half", "discarded_message_ids": [MESSAGE]}),
        ),
    ];
    for (by, text) in [
        (StoppedBy::User, "user"),
        (StoppedBy::Drain, "drain"),
        (StoppedBy::Abandoned, "abandoned"),
        (StoppedBy::ThreadDeleted, "thread_deleted"),
        (StoppedBy::Revoked, "revoked"),
        (StoppedBy::Parent, "parent"),
    ] {
        let event = Event::AgentStopped {
            stopped_by: by,
            reason: "r".to_owned(),
            partial: None,
            discarded_message_ids: vec![],
        };
        ends.push(("agent_stopped", event, json!({"stopped_by": text, "reason": "r"})));
    }
    for (cause, text) in [
        (DeathCause::Panic, "panic"),
        (DeathCause::Timeout, "timeout"),
        (DeathCause::Budget, "budget"),
        (DeathCause::Interrupted, "interrupted"),
    ] {
        let event = Event::AgentDeath {
            death_cause: cause,
            message: "m".to_owned(),
            recovery_action: "send_again".to_owned(),
        };
        let payload = json!({"death_cause": text, "message": "m", "recovery_action": "send_again"});
        ends.push(("agent_death", event, payload));
    }
    ends
}

fn decided(decision: ApprovalDecision, note: Option<&str>, payload: Value) -> (&'static str, Event, Value) {
    let event = Event::ToolApprovalDecided {
        call_id: call(),
        decision,
        note: note.map(str::to_owned),
    };
    ("tool_approval_decided", event, payload)
}

/// Names every event: a new one stops this from compiling, and then belongs in [`all`].
fn number(event: &Event) -> usize {
    match event {
        Event::AgentStarted { .. } => 0,
        Event::AgentThinking { .. } => 1,
        Event::ToolExecuting { .. } => 2,
        Event::ToolApprovalRequested { .. } => 3,
        Event::ToolCompleted { .. } => 4,
        Event::PartialResult { .. } => 5,
        Event::ProgressUpdate { .. } => 6,
        Event::SteeringApplied { .. } => 7,
        Event::BudgetWarning { .. } => 8,
        Event::RunRecovering { .. } => 9,
        Event::Custom { .. } => 10,
        Event::WorkflowStarted { .. } => 11,
        Event::StepStarted { .. } => 12,
        Event::StepCompleted { .. } => 13,
        Event::WorkflowCompleted { .. } => 14,
        Event::AgentCompleted { .. } => 15,
        Event::AgentError { .. } => 16,
        Event::AgentStopped { .. } => 17,
        Event::AgentDeath { .. } => 18,
        Event::ToolApprovalDecided { .. } => 19,
    }
}

#[test]
fn every_event_is_sent_as_the_protocol_says() {
    let mut seen: Vec<usize> = Vec::new();
    for (kind, event, payload) in all() {
        let expected = json!({
            "type": kind, "seq": 7, "session_id": SESSION, "thread_id": THREAD, "run_id": RUN, "agent_name": "echo",
            "timestamp": "2026-11-20T10:00:00.007Z", "payload": payload,
        });
        assert_eq!(sent(&event), expected);
        seen.push(number(&event));
    }
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen, (0..20).collect::<Vec<_>>(), "each event stands in the table");
}

#[test]
fn the_ends_are_the_four_that_the_protocol_names() {
    for (kind, event, _) in all() {
        let is_end = matches!(
            kind,
            "agent_completed" | "agent_error" | "agent_stopped" | "agent_death"
        );
        assert_eq!(event.is_terminal(), is_end, "{kind}");
        assert_eq!(server::is_terminal_kind(kind), is_end, "{kind}");
    }
}

#[test]
fn an_envelope_has_its_fields_in_an_order_that_people_can_read() {
    let event = Event::AgentThinking {
        reasoning: "hm".to_owned(),
        step_number: 1,
        progress_percentage: None,
    };
    let envelope = EventEnvelope {
        seq: Seq(1),
        session_id: session(),
        thread_id: thread(),
        run_id: run(),
        agent_name: "echo",
        at: at(),
        event: &event,
    };
    let expected = format!(
        r#"{{"type":"agent_thinking","seq":1,"session_id":"{SESSION}","thread_id":"{THREAD}","run_id":"{RUN}","agent_name":"echo","timestamp":"2026-11-20T10:00:00.007Z","payload":{{"reasoning":"hm","step_number":1}}}}"#
    );
    assert_eq!(envelope.to_text(), expected);
}

#[test]
fn a_cost_that_nobody_knows_is_left_out() {
    let usage = Usage {
        input_tokens: 1,
        ..Usage::default()
    };
    assert_eq!(
        serde_json::to_value(usage).unwrap(),
        json!({"input_tokens": 1, "output_tokens": 0, "model_calls": 0, "tool_calls": 0, "steps": 0})
    );
}
