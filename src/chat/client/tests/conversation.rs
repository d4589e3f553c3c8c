//! Messages, answers and ends.

use super::*;

#[test]
fn an_answer_is_shown_as_it_comes_and_ends_once() {
    let mut desk = Desk::pipe();
    let said = desk.typed("hello");
    assert_eq!(sent(&said, "user_message")["payload"], json!({ "content": "hello" }));
    desk.accept(&said, "r");
    let mut fx = desk.event("r", "agent_started", json!({}));
    fx.extend(desk.event("r", "agent_thinking", json!({ "reasoning": "hm" })));
    fx.extend(desk.event(
        "r",
        "tool_executing",
        json!({ "tool_name": "calculator", "parameters": { "expression": "1" } }),
    ));
    fx.extend(desk.event("r", "tool_completed", json!({ "status": "ok", "result": 1 })));
    fx.extend(desk.event(
        "r",
        "partial_result",
        json!({ "message_ref": "m", "offset": 0, "content": "One " }),
    ));
    fx.extend(desk.event(
        "r",
        "partial_result",
        json!({ "message_ref": "m", "offset": 4, "content": "two" }),
    ));
    fx.extend(desk.complete("r", "One two"));
    let expected = [
        "aside assistant:",
        "aside   ~ hm",
        "aside   > calculator {\"expression\":\"1\"}",
        "aside   < ok 1",
        "answer One ",
        "answer two",
        "end",
    ];
    assert_eq!(shown(&fx), expected);
    assert_eq!(sent(&fx, "ack")["payload"]["seq"], 7);
    assert_eq!(desk.client.over(), None);
    desk.client.input_is_over();
    assert_eq!(desk.client.over(), Some(Outcome::Completed));
}

#[test]
fn an_answer_that_was_not_streamed_or_not_so_is_shown_whole() {
    let mut desk = Desk::person();
    let said = desk.typed("hello");
    desk.accept(&said, "r");
    assert_eq!(shown(&desk.complete("r", "Hi.")), ["answer Hi.", "end"]);
    let said = desk.typed("again");
    desk.accept(&said, "q");
    desk.event(
        "q",
        "partial_result",
        json!({ "message_ref": "m", "offset": 0, "content": "Wait" }),
    );
    assert_eq!(shown(&desk.complete("q", "Done.")), ["end", "answer Done.", "end"]);
}

#[test]
fn a_piece_that_was_shown_is_not_shown_again_and_a_new_text_begins_a_new_line() {
    let mut desk = Desk::person();
    desk.event("r", "agent_started", json!({}));
    let mut piece = |reference: &str, offset: u64, content: &str| {
        let payload = json!({ "message_ref": reference, "offset": offset, "content": content });
        shown(&desk.event("r", "partial_result", payload))
    };
    assert_eq!(piece("m", 0, "grün "), ["answer grün "]);
    assert_eq!(piece("m", 0, "grün "), [""; 0]);
    assert_eq!(piece("m", 2, "ün und"), ["answer und"]);
    assert_eq!(piece("n", 0, "anew"), ["end", "answer anew"]);
}

#[test]
fn each_end_has_its_code_and_the_first_failure_decides() {
    for (kind, payload, outcome, line) in [
        (
            "agent_error",
            json!({ "error_message": "the model broke" }),
            Outcome::Error,
            "fault the model broke",
        ),
        (
            "agent_stopped",
            json!({ "reason": "enough" }),
            Outcome::Stopped,
            "fault stopped: enough",
        ),
        (
            "agent_death",
            json!({ "message": "it took too long" }),
            Outcome::Death,
            "fault it took too long",
        ),
    ] {
        let mut desk = Desk::pipe();
        for line in ["one", "two", "three"] {
            desk.typed(line);
        }
        desk.client.input_is_over();
        // The first was sent while it was typed; its id is on the socket. What counts here is the order of the ends.
        let runs = ["a", "b", "c"];
        let mut fx = desk.retry_head();
        for run in runs {
            desk.accept(&fx, run);
            fx = if run == "b" {
                let fx = desk.event(run, kind, payload.clone());
                assert_eq!(shown(&fx)[..2], ["end".to_owned(), line.to_owned()]);
                fx
            } else {
                desk.complete(run, "fine")
            };
        }
        assert_eq!(desk.client.over(), Some(outcome));
    }
}

#[test]
fn in_a_pipe_each_line_waits_for_the_answer_to_the_one_before() {
    let mut desk = Desk::pipe();
    let first = desk.typed("one");
    assert_eq!(desk.typed("/threads"), []);
    assert_eq!(desk.typed("two"), []);
    desk.accept(&first, "r");
    let listing = desk.complete("r", "1");
    assert!(is_sent(&listing, "list_threads") && !is_sent(&listing, "user_message"));
    let id = &sent(&listing, "list_threads")["message_id"];
    let fx = desk.hear(
        "thread_list",
        json!({ "message_id": id, "threads": [], "next_before": null }),
    );
    assert_eq!(sent(&fx, "user_message")["payload"]["content"], "two");
}

#[test]
fn at_a_terminal_the_next_message_waits_only_until_the_one_before_is_taken() {
    let mut desk = Desk::person();
    let first = desk.typed("one");
    assert_eq!(desk.typed("two"), []);
    let second = desk.accept(&first, "a");
    assert_eq!(sent(&second, "user_message")["payload"]["content"], "two");
    assert!(!desk.client.is_idle());
}

#[test]
fn a_refusal_that_time_mends_is_tried_again_under_the_same_id_and_before_the_next() {
    let mut desk = Desk::person();
    let first = desk.typed("one");
    desk.typed("two");
    let id = sent(&first, "user_message")["message_id"].clone();
    let fx = desk.refuse(&id, "rate_limited", Some(300));
    assert_eq!(shown(&fx), ["note refused: rate_limited; this is tried again"]);
    assert_eq!(desk.client.tick(desk.now), [], "not yet");
    let due = desk.client.due().unwrap();
    assert_eq!(due - desk.now.mono, Duration::from_millis(300));
    desk.now.mono = due;
    let again = desk.client.tick(desk.now);
    assert_eq!(again, first);
    assert_eq!(
        shown(&desk.refuse(&id, "rate_limited", Some(300))),
        [""; 0],
        "told once"
    );
}

#[test]
fn a_message_that_is_refused_for_good_is_told_and_the_next_one_goes() {
    let mut desk = Desk::pipe();
    let first = desk.typed("one");
    desk.typed("two");
    desk.client.input_is_over();
    let id = sent(&first, "user_message")["message_id"].clone();
    let fx = desk.refuse(&id, "quota_exceeded", None);
    assert_eq!(shown(&fx), ["fault refused: quota_exceeded"]);
    desk.accept(&fx, "r");
    desk.complete("r", "2");
    assert_eq!(desk.client.over(), Some(Outcome::Refused));
}

#[test]
fn a_message_that_the_server_would_not_take_is_not_sent() {
    let mut desk = Desk::pipe();
    let fx = desk.typed(&"x".repeat(1000));
    assert_eq!(frames(&fx), [Value::Null; 0]);
    assert!(shown(&fx)[0].contains("the server takes 1000"), "{fx:?}");
    desk.client.input_is_over();
    assert_eq!(desk.client.over(), Some(Outcome::Refused));
}

#[test]
fn a_stop_reaches_the_run_also_where_its_id_is_not_known_yet() {
    let mut desk = Desk::person();
    let said = desk.typed("one");
    assert_eq!(desk.typed("/stop"), []);
    let fx = desk.accept(&said, "r");
    assert_eq!(sent(&fx, "stop_agent")["payload"]["run_id"], "r");
    assert_eq!(desk.typed("/stop"), [], "it is on its way");
    desk.event("r", "agent_stopped", json!({ "reason": "from the terminal" }));
    assert_eq!(shown(&desk.typed("/stop")), ["note nothing is running"]);
}

#[test]
fn a_stop_in_a_pipe_acts_at_once_and_drops_what_waits() {
    let mut desk = Desk::pipe();
    let said = desk.typed("one");
    desk.accept(&said, "r");
    desk.typed("two");
    desk.client.input_is_over();
    let fx = desk.typed("/stop");
    assert!(is_sent(&fx, "stop_agent"));
    assert!(shown(&fx)[0].contains("dropped before it was sent: 1"), "{fx:?}");
    let fx = desk.event("r", "agent_stopped", json!({ "reason": "enough" }));
    assert!(!is_sent(&fx, "user_message"), "{fx:?}");
    assert_eq!(desk.client.over(), Some(Outcome::Stopped));
}

#[test]
fn the_first_ctrl_c_stops_the_run_and_the_second_ends() {
    let mut desk = Desk::person();
    let said = desk.typed("one");
    desk.accept(&said, "r");
    assert!(is_sent(&desk.client.interrupt(), "stop_agent"));
    assert_eq!(desk.client.over(), None);
    desk.event("r", "agent_stopped", json!({ "reason": "enough" }));
    let said = desk.typed("two");
    desk.accept(&said, "q");
    assert!(
        is_sent(&desk.client.interrupt(), "stop_agent"),
        "a new run, a new first"
    );
    desk.client.interrupt();
    assert_eq!(desk.client.over(), Some(Outcome::Interrupted));
}

#[test]
fn ctrl_c_in_a_pipe_ends_it_once_the_run_is_stopped() {
    let mut desk = Desk::pipe();
    let said = desk.typed("one");
    desk.accept(&said, "r");
    desk.typed("two");
    desk.client.interrupt();
    assert_eq!(desk.client.over(), None);
    desk.event("r", "agent_stopped", json!({ "reason": "enough" }));
    assert_eq!(desk.client.over(), Some(Outcome::Interrupted));
}

impl Desk {
    /// The request at the head, sent again as after a cut, so that a test has it in hand.
    fn retry_head(&mut self) -> Vec<Effect> {
        self.client.cut();
        self.establish("s-1")
    }
}
