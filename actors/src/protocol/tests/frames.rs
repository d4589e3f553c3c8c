//! What a client may send, in every spelling, and what each fault is answered by.

use super::*;
use crate::protocol::client::{Page, REFERENCES_MAX, STOP_REASON_MAX_CHARS, Say, THREAD_NAME_MAX_CHARS};

/// As deep as the protocol allows by default.
const JSON_DEPTH: usize = 32;

fn read(frame: &Value) -> Result<ClientFrame, FrameError> {
    ClientFrame::read(&frame.to_string(), JSON_DEPTH)
}

fn command(frame: &Value) -> Command {
    match read(frame) {
        Ok(frame) => frame.command,
        Err(fault) => panic!("{frame} is refused: {fault:?}"),
    }
}

fn say(content: &str) -> Say {
    Say {
        content: content.to_owned(),
        agent: None,
        thread: ThreadTarget::Current,
        references: Vec::new(),
        metadata: None,
        on_busy: OnBusy::Enqueue,
    }
}

fn fault(frame: &Value) -> (ErrorCode, Option<String>) {
    let fault = read(frame).expect_err("a faulty frame");
    (fault.code, fault.pointer)
}

fn invalid_at(pointer: &str) -> (ErrorCode, Option<String>) {
    (ErrorCode::InvalidPayload, Some(pointer.to_owned()))
}

#[test]
fn a_message_is_read_under_every_name_that_its_type_and_its_content_go_by() {
    for kind in ["user_message", "user", "user_input", "chat_message", "chat", "message"] {
        for field in ["content", "text", "message"] {
            let frame = json!({"type": kind, "payload": {field: "hello"}});
            assert_eq!(command(&frame), Command::Say(say("hello")), "{kind}, {field}");
        }
    }
}

#[test]
fn a_message_is_read_with_all_that_may_stand_beside_its_words() {
    let frame = json!({
        "type": "user_message", "message_id": MESSAGE, "thread_id": THREAD,
        "payload": {
            "content": "hello", "agent": "poet", "references": [CALL, MESSAGE, CALL], "metadata": {"k": 1}, "on_busy": "rollback"
        },
    });
    let expected = ClientFrame {
        message_id: Some(message()),
        thread_id: Some(thread()),
        command: Command::Say(Say {
            agent: Some("poet".to_owned()),
            thread: ThreadTarget::Given(thread()),
            references: [CALL, MESSAGE].map(|id| id.parse().unwrap()).to_vec(),
            metadata: Some(json!({"k": 1})),
            on_busy: OnBusy::Rollback,
            ..say("hello")
        }),
    };
    assert_eq!(read(&frame), Ok(expected));
}

#[test]
fn every_word_for_a_busy_thread_is_read() {
    for (text, on_busy) in [
        ("enqueue", OnBusy::Enqueue),
        ("reject", OnBusy::Reject),
        ("interrupt", OnBusy::Interrupt),
        ("rollback", OnBusy::Rollback),
    ] {
        let frame = json!({"type": "user_message", "payload": {"content": "c", "on_busy": text}});
        assert_eq!(command(&frame), Command::Say(Say { on_busy, ..say("c") }));
    }
}

#[test]
fn a_thread_in_the_payload_goes_before_the_one_in_the_envelope() {
    let frame = json!({"type": "user_message", "thread_id": CALL, "payload": {"content": "c", "thread_id": THREAD}});
    let Command::Say(said) = command(&frame) else {
        panic!("a message");
    };
    assert_eq!(said.thread, ThreadTarget::Given(thread()));
}

#[test]
fn a_frame_without_a_payload_is_its_own_payload() {
    let frame = json!({"type": "user_message", "text": "hello", "message_id": MESSAGE});
    assert_eq!(
        read(&frame),
        Ok(ClientFrame {
            message_id: Some(message()),
            thread_id: None,
            command: Command::Say(say("hello")),
        })
    );
}

#[test]
fn an_agent_is_started_in_the_current_a_given_or_a_new_thread() {
    for kind in ["start_agent", "execute_agent", "agent_request", "agent"] {
        for (envelope, payload, target) in [
            (json!(null), json!({}), ThreadTarget::Current),
            (json!(null), json!({"thread_id": null}), ThreadTarget::New),
            (json!(null), json!({"thread_id": THREAD}), ThreadTarget::Given(thread())),
            (json!(THREAD), json!({}), ThreadTarget::Given(thread())),
            (json!(THREAD), json!({"thread_id": null}), ThreadTarget::Given(thread())),
        ] {
            let mut payload = payload;
            payload["user_request"] = json!("go");
            let frame = json!({"type": kind, "thread_id": envelope, "payload": payload});
            let expected = Say {
                thread: target,
                ..say("go")
            };
            assert_eq!(command(&frame), Command::Say(expected), "{frame}");
        }
    }
}

#[test]
fn what_an_agent_is_started_with_is_kept_beside_the_message() {
    let frame = json!({
        "type": "start_agent",
        "payload": {
            "user_request": "go", "agent": "poet", "references": [CALL], "context": {"c": 1}, "settings": {"s": 2}
        },
    });
    let expected = Say {
        agent: Some("poet".to_owned()),
        references: vec![CALL.parse().unwrap()],
        metadata: Some(json!({"context": {"c": 1}, "settings": {"s": 2}})),
        ..say("go")
    };
    assert_eq!(command(&frame), Command::Say(expected));
}

#[test]
fn every_other_frame_is_read_as_what_it_asks_for() {
    let page = Page {
        before: Some(3),
        limit: Some(10),
    };
    let name = |name: &str| Some(name.to_owned());
    for (kind, payload, expected) in [
        (
            "stop_agent",
            json!({}),
            Command::Stop {
                run_id: None,
                reason: None,
            },
        ),
        (
            "stop_agent",
            json!({"run_id": RUN, "reason": "enough"}),
            Command::Stop {
                run_id: Some(run()),
                reason: name("enough"),
            },
        ),
        (
            "steer",
            json!({"run_id": RUN, "content": "left"}),
            Command::Steer {
                run_id: run(),
                content: "left".to_owned(),
            },
        ),
        (
            "tool_decision",
            json!({"call_id": CALL, "decision": "approve", "note": "fine"}),
            Command::DecideTool {
                call_id: call(),
                approve: true,
                note: name("fine"),
            },
        ),
        (
            "tool_decision",
            json!({"call_id": CALL, "decision": "deny"}),
            Command::DecideTool {
                call_id: call(),
                approve: false,
                note: None,
            },
        ),
        ("create_thread", json!({}), Command::CreateThread { name: None }),
        (
            "create_thread",
            json!({"name": "plans"}),
            Command::CreateThread { name: name("plans") },
        ),
        (
            "switch_thread",
            json!({"thread_id": THREAD}),
            Command::SwitchThread { thread_id: thread() },
        ),
        (
            "rename_thread",
            json!({"name": "plans"}),
            Command::RenameThread {
                thread_id: None,
                name: "plans".to_owned(),
            },
        ),
        (
            "rename_thread",
            json!({"name": "plans", "thread_id": THREAD}),
            Command::RenameThread {
                thread_id: Some(thread()),
                name: "plans".to_owned(),
            },
        ),
        (
            "delete_thread",
            json!({"thread_id": THREAD}),
            Command::DeleteThread { thread_id: thread() },
        ),
        ("list_threads", json!({}), Command::ListThreads(Page::default())),
        (
            "list_threads",
            json!({"before": 3, "limit": 10}),
            Command::ListThreads(page),
        ),
        (
            "get_thread_history",
            json!({"before": 3, "limit": 10}),
            Command::GetThreadHistory(page),
        ),
        ("ack", json!({"seq": 7}), Command::Ack { seq: Seq(7) }),
        (
            "refresh_token",
            json!({"token": "t"}),
            Command::RefreshToken {
                token: name("t"),
                ticket: None,
            },
        ),
        (
            "refresh_token",
            json!({"ticket": "t"}),
            Command::RefreshToken {
                token: None,
                ticket: name("t"),
            },
        ),
        ("ping", json!({}), Command::Ping { timestamp: None }),
        (
            "ping",
            json!({"timestamp": 12.5}),
            Command::Ping {
                timestamp: Some(json!(12.5)),
            },
        ),
        ("pong", json!({}), Command::Nothing),
        ("heartbeat_ack", json!({}), Command::Nothing),
        ("typing_started", json!({}), Command::Nothing),
        ("typing_stopped", json!({}), Command::Nothing),
    ] {
        assert_eq!(command(&json!({"type": kind, "payload": payload})), expected, "{kind}");
    }
}

#[test]
fn a_stop_and_a_history_mean_the_thread_that_they_name_wherever_it_stands() {
    for kind in ["stop_agent", "get_thread_history"] {
        for frame in [
            json!({"type": kind, "thread_id": thread(), "payload": {}}),
            json!({"type": kind, "payload": {"thread_id": thread()}}),
            json!({"type": kind, "thread_id": session(), "payload": {"thread_id": thread()}}),
        ] {
            assert_eq!(read(&frame).unwrap().thread_id, Some(thread()), "{frame}");
        }
        assert_eq!(read(&json!({"type": kind, "payload": {}})).unwrap().thread_id, None);
        let wrong = json!({"type": kind, "payload": {"thread_id": "x"}});
        assert_eq!(fault(&wrong), invalid_at("/thread_id"));
    }
}

#[test]
fn a_reason_for_stopping_is_cut_however_long_it_comes() {
    let said = "é".repeat(STOP_REASON_MAX_CHARS + 1);
    let stop = command(&json!({"type": "stop_agent", "payload": {"reason": said}}));
    let reason = Some("é".repeat(STOP_REASON_MAX_CHARS));
    assert_eq!(stop, Command::Stop { run_id: None, reason });
}

#[test]
fn frames_that_must_name_a_thread_take_it_from_the_envelope_too() {
    let thread_id = thread();
    for (kind, expected) in [
        ("switch_thread", Command::SwitchThread { thread_id }),
        ("delete_thread", Command::DeleteThread { thread_id }),
    ] {
        let frame = json!({"type": kind, "thread_id": THREAD, "payload": {}});
        assert_eq!(command(&frame), expected);
        let without = json!({"type": kind, "payload": {}});
        assert_eq!(fault(&without), invalid_at("/thread_id"));
    }
}

#[test]
fn what_is_no_frame_is_bad_json() {
    for text in [
        "",
        "{",
        "hello",
        "[]",
        "7",
        "null",
        "{}",
        r#"{"type": 7}"#,
        "{'type': 'ping'}",
    ] {
        let fault = ClientFrame::read(text, JSON_DEPTH).expect_err("no frame");
        assert_eq!((fault.code, fault.pointer), (ErrorCode::BadJson, None), "{text:?}");
    }
    assert_eq!(FrameError::not_utf8().code, ErrorCode::BadJson);
}

#[test]
fn a_frame_may_nest_as_deep_as_the_limit_and_no_deeper() {
    let nested = |depth: usize| {
        let value = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        format!(r#"{{"type":"ping","payload":{{"timestamp":{value}}}}}"#)
    };
    assert!(ClientFrame::read(&nested(30), 32).is_ok());
    let fault = ClientFrame::read(&nested(31), 32).expect_err("33 levels");
    assert_eq!(fault.code, ErrorCode::BadJson);
    assert_eq!(
        fault.message,
        "the frame nests deeper than 32 levels; send flatter JSON"
    );
    // Judged before it is read: no matter how deep.
    assert!(ClientFrame::read(&"[".repeat(1_000_000), 32).is_err());
}

#[test]
fn brackets_inside_strings_are_no_nesting() {
    let frame = json!({"type": "user_message", "payload": {"content": format!("\"{}\\\"", "[{".repeat(100))}});
    assert!(read(&frame).is_ok());
}

#[test]
fn a_type_that_the_protocol_does_not_know_is_told_as_such_with_the_frames_id() {
    let frame = json!({"type": "dance", "message_id": MESSAGE, "payload": {}});
    let fault = read(&frame).expect_err("unknown");
    assert_eq!(fault.code, ErrorCode::UnknownType);
    assert_eq!(fault.reply_to.as_deref(), Some(MESSAGE));
}

#[test]
fn a_message_without_words_is_empty() {
    for frame in [
        json!({"type": "user_message", "payload": {}}),
        json!({"type": "user_message", "payload": {"content": " \n\t"}}),
        json!({"type": "start_agent", "payload": {"user_request": ""}}),
        json!({"type": "steer", "payload": {"run_id": RUN, "content": " "}}),
    ] {
        assert_eq!(fault(&frame), (ErrorCode::EmptyMessage, None), "{frame}");
    }
}

#[test]
fn a_wrong_field_is_named_by_a_pointer() {
    let long = "x".repeat(THREAD_NAME_MAX_CHARS + 1);
    for (frame, pointer) in [
        (json!({"type": "user_message", "payload": {"content": 7}}), "/content"),
        (
            json!({"type": "user_message", "payload": {"content": "c", "on_busy": "wait"}}),
            "/on_busy",
        ),
        (
            json!({"type": "user_message", "payload": {"content": "c", "thread_id": "default"}}),
            "/thread_id",
        ),
        (
            json!({"type": "user_message", "payload": {"content": "c", "references": [CALL, 7]}}),
            "/references/1",
        ),
        (
            json!({"type": "start_agent", "payload": {"user_request": "c", "references": ["usage.csv"]}}),
            "/references/0",
        ),
        (
            json!({"type": "user_message", "payload": {"content": "c", "references": vec![CALL; REFERENCES_MAX + 1]}}),
            "/references",
        ),
        (
            json!({"type": "user_message", "message_id": "1", "payload": {"content": "c"}}),
            "/message_id",
        ),
        (
            json!({"type": "user_message", "thread_id": "registry", "payload": {"content": "c"}}),
            "/thread_id",
        ),
        (json!({"type": "stop_agent", "payload": {"run_id": "all"}}), "/run_id"),
        (
            json!({"type": "tool_decision", "payload": {"call_id": CALL, "decision": "maybe"}}),
            "/decision",
        ),
        (json!({"type": "create_thread", "payload": {"name": "  "}}), "/name"),
        (json!({"type": "rename_thread", "payload": {"name": long}}), "/name"),
        (json!({"type": "list_threads", "payload": {"limit": -1}}), "/limit"),
        (json!({"type": "ack", "payload": {"seq": "7"}}), "/seq"),
        (json!({"type": "refresh_token", "payload": {}}), "/token"),
    ] {
        assert_eq!(fault(&frame), invalid_at(pointer), "{frame}");
    }
}

#[test]
fn a_missing_field_is_named_in_the_sentence() {
    for (frame, field) in [
        (json!({"type": "start_agent", "payload": {}}), "user_request"),
        (json!({"type": "steer", "payload": {"content": "left"}}), "run_id"),
        (json!({"type": "ack", "payload": {}}), "seq"),
        (json!({"type": "rename_thread", "payload": {}}), "name"),
    ] {
        let fault = read(&frame).expect_err("a field is missing");
        assert_eq!(fault.code, ErrorCode::InvalidPayload);
        assert_eq!(fault.message, format!("missing field `{field}`"));
    }
}

#[test]
fn a_digest_tells_what_is_asked_apart_and_nothing_else() {
    let of = |payload: Value| command(&json!({"type": "user_message", "payload": payload})).digest();
    let plain = of(json!({"content": "hello"}));
    assert_eq!(plain, of(json!({"text": "hello", "on_busy": "reject"})));
    for other in [
        json!({"content": "hello "}),
        json!({"content": "hello", "agent": "poet"}),
        json!({"content": "hello", "agent": ""}),
        json!({"content": "hello", "thread_id": THREAD}),
        json!({"content": "hello", "references": [CALL]}),
        json!({"content": "hello", "references": [CALL, MESSAGE]}),
        json!({"content": "hello", "metadata": {}}),
    ] {
        assert_ne!(plain, of(other.clone()), "{other}");
    }
}

#[test]
fn a_digest_does_not_hang_on_the_order_of_fields() {
    let of = |metadata: &str| {
        let text = format!(r#"{{"type": "user_message", "payload": {{"content": "hello", "metadata": {metadata}}}}}"#);
        command(&serde_json::from_str::<Value>(&text).expect("JSON")).digest()
    };
    let (one, other) = (
        r#"{"a": 1, "b": [{"c": 2, "d": 3}]}"#,
        r#"{"b": [{"d": 3, "c": 2}], "a": 1}"#,
    );
    assert_eq!(of(one), of(other));
}

#[test]
fn a_history_and_a_stop_are_about_the_thread_that_their_payload_names() {
    for kind in ["get_thread_history", "stop_agent"] {
        let frame = json!({"type": kind, "payload": {"thread_id": THREAD}});
        assert_eq!(read(&frame).expect("a frame").thread_id, Some(thread()), "{kind}");
        let frame = json!({"type": kind, "payload": {"thread_id": "default"}});
        assert_eq!(fault(&frame), invalid_at("/thread_id"), "{kind}");
    }
}
