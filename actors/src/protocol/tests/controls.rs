//! Every control frame, as it is sent.

use super::*;
use crate::limits::Limits;
use crate::protocol::server::{
    AcceptStatus, ActiveRun, ErrorFrame, History, HistoryMessage, OpenCall, PendingApproval, QueuedMessage, RunState,
    ThreadSummary,
};

const WHEN: &str = "2026-11-20T10:00:00.007Z";

fn history() -> History {
    let open_call = OpenCall {
        call_id: call(),
        tool_name: "search".to_owned(),
    };
    History {
        thread_id: thread(),
        messages: vec![HistoryMessage {
            message_id: message(),
            role: "user".to_owned(),
            content: "hello".to_owned(),
            run_id: run(),
            status: "complete".to_owned(),
            created_at: WHEN.to_owned(),
        }],
        next_before: Some(3),
        as_of_seq: Seq(9),
        active_runs: vec![ActiveRun {
            run_id: run(),
            session_id: session(),
            agent_name: "echo".to_owned(),
            state: RunState::Running,
            message_ref: Some(message()),
            text_so_far: "half".to_owned(),
            open_calls: vec![open_call.clone()],
        }],
        queued: vec![QueuedMessage {
            message_id: message(),
            run_id: run(),
            content: "next".to_owned(),
        }],
        pending_approvals: vec![PendingApproval {
            run_id: run(),
            call_id: call(),
            tool_name: "search".to_owned(),
            parameters: json!({"q": "x"}),
            arguments_sha256: "00ff".to_owned(),
            expires_at: WHEN.to_owned(),
        }],
    }
}

fn history_payload() -> Value {
    json!({
        "thread_id": THREAD,
        "messages": [{
            "message_id": MESSAGE, "role": "user", "content": "hello", "run_id": RUN, "status": "complete",
            "created_at": WHEN
        }],
        "next_before": 3,
        "as_of_seq": 9,
        "active_runs": [{
            "run_id": RUN, "session_id": SESSION, "agent_name": "echo", "state": "running", "message_ref": MESSAGE,
            "text_so_far": "half", "open_calls": [{"call_id": CALL, "tool_name": "search"}]
        }],
        "queued": [{"message_id": MESSAGE, "run_id": RUN, "content": "next"}],
        "pending_approvals": [{
            "run_id": RUN, "call_id": CALL, "tool_name": "search", "parameters": {"q": "x"}, "arguments_sha256": "00ff",
            "expires_at": WHEN
        }],
    })
}

fn with(mut payload: Value, field: &str, value: Value) -> Value {
    payload[field] = value;
    payload
}

fn error(code: ErrorCode) -> ErrorFrame {
    ErrorFrame {
        code,
        message: "m".to_owned(),
        reply_to: None,
        retryable: false,
        retry_after_ms: None,
        details: None,
    }
}

/// Every control frame with its payload; where fields may be absent, once with them and once without.
fn all() -> Vec<(&'static str, Control, Value)> {
    [on_connecting(), answers(), thread_answers(), notices(), errors()].concat()
}

fn on_connecting() -> Vec<(&'static str, Control, Value)> {
    vec![
        (
            "connection_established",
            Control::ConnectionEstablished {
                session_id: session(),
                user_id: UserId::parse("ada").expect("a user"),
                epoch: epoch(),
                head_seq: Seq(9),
                resumed: true,
                thread_id: thread(),
                protocol: SUBPROTOCOL,
                limits: Limits::default().on_the_wire(),
                heartbeat_interval_ms: 15_000,
            },
            json!({
                "session_id": SESSION, "user_id": "ada", "epoch": EPOCH, "head_seq": 9, "resumed": true,
                "thread_id": THREAD, "protocol": "sessile.v1", "heartbeat_interval_ms": 15_000,
                "limits": {
                    "frame_bytes": 65_536, "message_bytes": 262_144, "queued_per_thread": 8, "runs_per_user": 3,
                    "messages_per_second": 5, "message_burst": 20, "history_page_max": 200,
                    "document_bytes": 10_485_760,
                    "budgets": {
                        "run": {"steps": 64, "tool_calls": 128, "tokens": 2_000_000, "tool_output_bytes": 8_388_608},
                        "session": {}, "user": {}, "user_window_s": 86_400
                    }
                },
            }),
        ),
        (
            "resync",
            Control::Resync {
                reason: "expired",
                epoch: epoch(),
                history: history(),
            },
            with(
                with(history_payload(), "reason", json!("expired")),
                "epoch",
                json!(EPOCH),
            ),
        ),
    ]
}

fn answers() -> Vec<(&'static str, Control, Value)> {
    let mut answers = vec![
        (
            "stop_accepted",
            Control::StopAccepted {
                message_id: None,
                run_ids: vec![run()],
            },
            json!({"run_ids": [RUN]}),
        ),
        (
            "stop_accepted",
            Control::StopAccepted {
                message_id: Some(message()),
                run_ids: vec![],
            },
            json!({"message_id": MESSAGE, "run_ids": []}),
        ),
        (
            "steering_accepted",
            Control::SteeringAccepted {
                message_id: message(),
                run_id: run(),
                status: None,
            },
            json!({"message_id": MESSAGE, "run_id": RUN}),
        ),
        (
            "decision_accepted",
            Control::DecisionAccepted {
                message_id: message(),
                call_id: call(),
                status: Some(AcceptStatus::Duplicate),
            },
            json!({"message_id": MESSAGE, "call_id": CALL, "status": "duplicate"}),
        ),
        (
            "token_refreshed",
            Control::TokenRefreshed {
                message_id: Some(message()),
                expires_at: Some(WHEN.to_owned()),
            },
            json!({"message_id": MESSAGE, "expires_at": WHEN}),
        ),
        (
            "token_refreshed",
            Control::TokenRefreshed {
                message_id: None,
                expires_at: None,
            },
            json!({"expires_at": null}),
        ),
        (
            "pong",
            Control::Pong {
                timestamp: json!({"any": 1}),
            },
            json!({"timestamp": {"any": 1}}),
        ),
    ];
    for (status, text) in [
        (AcceptStatus::Started, "started"),
        (AcceptStatus::Queued, "queued"),
        (AcceptStatus::Duplicate, "duplicate"),
    ] {
        let control = Control::MessageAccepted {
            message_id: message(),
            thread_id: thread(),
            run_id: run(),
            status,
            run_state: RunState::Running,
        };
        let payload = json!({
            "message_id": MESSAGE, "thread_id": THREAD, "run_id": RUN, "status": text, "run_state": "running"
        });
        answers.push(("message_accepted", control, payload));
    }
    answers
}

fn thread_answers() -> Vec<(&'static str, Control, Value)> {
    let created = |status| Control::ThreadCreated {
        message_id: message(),
        thread_id: thread(),
        name: "n".to_owned(),
        status,
    };
    let named = json!({"message_id": MESSAGE, "thread_id": THREAD, "name": "n"});
    vec![
        ("thread_created", created(None), named.clone()),
        (
            "thread_created",
            created(Some(AcceptStatus::Duplicate)),
            with(named.clone(), "status", json!("duplicate")),
        ),
        (
            "thread_switched",
            Control::ThreadSwitched {
                message_id: Some(message()),
                thread_id: thread(),
                name: "n".to_owned(),
            },
            named.clone(),
        ),
        (
            "thread_renamed",
            Control::ThreadRenamed {
                message_id: Some(message()),
                thread_id: thread(),
                name: "n".to_owned(),
            },
            named,
        ),
        (
            "thread_deleted",
            Control::ThreadDeleted {
                message_id: None,
                thread_id: thread(),
            },
            json!({"thread_id": THREAD}),
        ),
        (
            "thread_list",
            Control::ThreadList {
                message_id: Some(message()),
                threads: vec![ThreadSummary {
                    thread_id: thread(),
                    name: "n".to_owned(),
                    created_at: WHEN.to_owned(),
                    updated_at: WHEN.to_owned(),
                }],
                next_before: None,
            },
            json!({
                "message_id": MESSAGE, "next_before": null,
                "threads": [{"thread_id": THREAD, "name": "n", "created_at": WHEN, "updated_at": WHEN}],
            }),
        ),
        (
            "thread_history",
            Control::ThreadHistory {
                message_id: Some(message()),
                history: history(),
            },
            with(history_payload(), "message_id", json!(MESSAGE)),
        ),
    ]
}

fn notices() -> Vec<(&'static str, Control, Value)> {
    let mut notices = vec![
        (
            "reauth_required",
            Control::ReauthRequired {
                expires_at: WHEN.to_owned(),
            },
            json!({"expires_at": WHEN}),
        ),
        (
            "server_shutdown",
            Control::ServerShutdown {
                message: "m".to_owned(),
                retry_after_ms: 500,
            },
            json!({"message": "m", "retry_after_ms": 500}),
        ),
        (
            "final_report",
            Control::FinalReport {
                report: "42".to_owned(),
            },
            json!({"report": "42"}),
        ),
    ];
    for (state, text) in [
        (RunState::Queued, "queued"),
        (RunState::Running, "running"),
        (RunState::Waiting, "waiting"),
        (RunState::Cancelling, "cancelling"),
        (RunState::Completed, "completed"),
        (RunState::Failed, "failed"),
        (RunState::Stopped, "stopped"),
        (RunState::Died, "died"),
    ] {
        assert_eq!((state.as_str(), RunState::from_text(text)), (text, Some(state)));
        let control = Control::ThreadChanged {
            thread_id: thread(),
            run_id: run(),
            state,
        };
        let payload = json!({"thread_id": THREAD, "run_id": RUN, "state": text});
        notices.push(("thread_changed", control, payload));
    }
    notices
}

fn errors() -> Vec<(&'static str, Control, Value)> {
    let whole = ErrorFrame {
        reply_to: Some("as-written".to_owned()),
        retryable: true,
        retry_after_ms: Some(200),
        details: Some(json!({"pointer": "/content"})),
        ..error(ErrorCode::InvalidPayload)
    };
    let mut errors = vec![(
        "error",
        Control::Error(whole),
        json!({
            "code": "invalid_payload", "message": "m", "reply_to": "as-written", "retryable": true,
            "retry_after_ms": 200, "details": {"pointer": "/content"}
        }),
    )];
    for (code, text) in [
        (ErrorCode::BadJson, "bad_json"),
        (ErrorCode::UnknownType, "unknown_type"),
        (ErrorCode::InvalidPayload, "invalid_payload"),
        (ErrorCode::EmptyMessage, "empty_message"),
        (ErrorCode::NotFound, "not_found"),
        (ErrorCode::Conflict, "conflict"),
        (ErrorCode::RunActive, "run_active"),
        (ErrorCode::RunLimit, "run_limit"),
        (ErrorCode::QueueFull, "queue_full"),
        (ErrorCode::RateLimited, "rate_limited"),
        (ErrorCode::QuotaExceeded, "quota_exceeded"),
        (ErrorCode::BudgetExhausted, "budget_exhausted"),
        (ErrorCode::Forbidden, "forbidden"),
        (ErrorCode::Overloaded, "overloaded"),
        (ErrorCode::Internal, "internal"),
    ] {
        let payload = json!({"code": text, "message": "m", "retryable": false});
        errors.push(("error", Control::Error(error(code)), payload));
    }
    errors
}

/// Names every control frame: a new one stops this from compiling, and then belongs in [`all`].
fn number(control: &Control) -> usize {
    match control {
        Control::ConnectionEstablished { .. } => 0,
        Control::MessageAccepted { .. } => 1,
        Control::StopAccepted { .. } => 2,
        Control::SteeringAccepted { .. } => 3,
        Control::DecisionAccepted { .. } => 4,
        Control::ThreadCreated { .. } => 5,
        Control::ThreadSwitched { .. } => 6,
        Control::ThreadRenamed { .. } => 7,
        Control::ThreadDeleted { .. } => 8,
        Control::ThreadList { .. } => 9,
        Control::ThreadHistory { .. } => 10,
        Control::ThreadChanged { .. } => 11,
        Control::Resync { .. } => 12,
        Control::ReauthRequired { .. } => 13,
        Control::TokenRefreshed { .. } => 14,
        Control::ServerShutdown { .. } => 15,
        Control::Pong { .. } => 16,
        Control::Error(_) => 17,
        Control::FinalReport { .. } => 18,
    }
}

#[test]
fn every_control_frame_is_sent_as_the_protocol_says_and_carries_no_seq() {
    let mut seen: Vec<usize> = Vec::new();
    for (kind, control, payload) in all() {
        let expected = json!({"type": kind, "session_id": SESSION, "timestamp": WHEN, "payload": payload});
        let sent: Value = serde_json::from_slice(&control.to_text(session(), None, at())).expect("JSON");
        assert_eq!(sent, expected);
        seen.push(number(&control));
    }
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(
        seen,
        (0..19).collect::<Vec<_>>(),
        "each control frame stands in the table"
    );
}

#[test]
fn a_control_frame_about_a_thread_names_it_in_its_envelope() {
    let control = Control::FinalReport {
        report: "42".to_owned(),
    };
    let expected = format!(
        r#"{{"type":"final_report","session_id":"{SESSION}","thread_id":"{THREAD}","timestamp":"{WHEN}","payload":{{"report":"42"}}}}"#
    );
    assert_eq!(control.to_text(session(), Some(thread()), at()), expected);
}

#[test]
fn every_close_code_has_the_number_that_the_protocol_names_and_a_reason_that_fits() {
    for (code, number, reason) in [
        (CloseCode::Normal, 1000, "ended"),
        (CloseCode::Protocol, 1002, "the WebSocket protocol was broken"),
        (CloseCode::BadUtf8, 1007, "a text message was not valid UTF-8"),
        (CloseCode::Flood, 1008, "too many control frames"),
        (CloseCode::TooBig, 1009, "the message is beyond the size limit"),
        (
            CloseCode::Draining { retry_after_ms: 700 },
            1012,
            "draining; retry_after_ms=700",
        ),
        (CloseCode::Overloaded, 1013, "overloaded; resume with back-off"),
        (CloseCode::Resumable, 4000, "cut; resume with last_seq"),
        (CloseCode::TakenOver, 4001, "another socket took this session over"),
        (
            CloseCode::SlowClient,
            4002,
            "the client reads too slowly; resume with last_seq",
        ),
        (CloseCode::RateLimit, 4008, "far beyond the message rate; resume later"),
        (CloseCode::FaultyFrames, 4400, "too many faulty frames in a row"),
        (
            CloseCode::CredentialExpired,
            4401,
            "the credential is bad or expired; get a new one",
        ),
        (CloseCode::Revoked, 4403, "the credential was revoked"),
        (
            CloseCode::ImpossibleResume,
            4409,
            "last_seq is beyond what was sent; start a new session",
        ),
        (CloseCode::NoSuchSession, 4410, "no such session; start a new one"),
    ] {
        assert_eq!((code.code(), &*code.reason()), (number, reason));
        assert!(code.reason().len() <= 123, "{code:?}");
    }
}
