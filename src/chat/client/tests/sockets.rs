//! Cuts, closes and resumes.

use super::*;

#[test]
fn what_was_not_answered_is_sent_again_under_the_same_id() {
    let mut desk = Desk::new(false);
    assert_eq!(desk.typed("early"), [], "there is no socket yet");
    let first = desk.establish("s-1");
    assert_eq!(sent(&first, "user_message")["payload"]["content"], "early");
    desk.client.cut();
    assert_eq!(desk.client.tick(desk.now), []);
    let again = desk.establish("s-1");
    assert_eq!(sent(&again, "user_message"), sent(&first, "user_message"));
    desk.accept(&again, "r");
    desk.client.cut();
    assert!(!is_sent(&desk.establish("s-1"), "user_message"), "it was answered");
}

#[test]
fn a_resume_names_the_last_event_and_what_is_replayed_is_shown_once() {
    let mut desk = Desk::new(false);
    assert_eq!(desk.client.query(), "");
    desk.establish("s-1");
    assert_eq!(desk.client.query(), "?session_id=s-1&last_seq=0&epoch=e-1");
    desk.event("r", "agent_started", json!({}));
    assert_eq!(
        shown(&desk.event("r", "agent_thinking", json!({ "reasoning": "a" }))).len(),
        1
    );
    assert_eq!(desk.client.query(), "?session_id=s-1&last_seq=2&epoch=e-1");
    desk.seq = 1;
    assert_eq!(desk.event("r", "agent_thinking", json!({ "reasoning": "a" })), []);
    assert_eq!(
        shown(&desk.event("r", "agent_thinking", json!({ "reasoning": "b" }))).len(),
        1
    );
}

#[test]
fn an_end_that_is_replayed_before_the_answer_to_its_message_counts_once() {
    let mut desk = Desk::pipe();
    desk.typed("one");
    desk.client.input_is_over();
    desk.client.cut();
    let again = desk.establish("s-1");
    desk.event("r", "agent_started", json!({}));
    desk.complete("r", "done");
    assert_eq!(desk.client.over(), None);
    let id = &sent(&again, "user_message")["message_id"];
    let accepted = json!({ "message_id": id, "run_id": "r", "status": "duplicate", "run_state": "completed" });
    desk.hear("message_accepted", accepted);
    assert_eq!(desk.client.over(), Some(Outcome::Completed));
}

#[test]
fn a_stop_that_was_lost_with_its_socket_is_sent_again() {
    let mut desk = Desk::person();
    let said = desk.typed("one");
    desk.accept(&said, "r");
    desk.typed("/stop");
    desk.client.cut();
    assert_eq!(sent(&desk.establish("s-1"), "stop_agent")["payload"]["run_id"], "r");
}

#[test]
fn a_token_that_ends_soon_is_renewed_on_the_open_socket() {
    let mut desk = Desk::person();
    assert_eq!(
        desk.hear("reauth_required", json!({ "expires_at": "soon" })),
        [Effect::RenewToken]
    );
    let fx = desk.client.renew("newer");
    assert_eq!(sent(&fx, "refresh_token")["payload"], json!({ "token": "newer" }));
    assert_eq!(desk.hear("token_refreshed", json!({ "expires_at": "later" })), []);
}

#[test]
fn each_close_means_what_the_protocol_says() {
    let again = |millis| Next::Again(Duration::from_millis(millis));
    for (code, reason, next, over) in [
        (1012, "draining; retry_after_ms=700", again(700), None),
        (1013, "overloaded", again(0), None),
        (4000, "cut", again(0), None),
        (4002, "slow", again(0), None),
        (4008, "flooding", again(0), None),
        (1006, "", again(0), None),
        (4409, "impossible", again(0), None),
        (4410, "gone", again(0), None),
        (4401, "expired", Next::Renew, None),
        (4001, "taken over", Next::Stop, Some(Outcome::NoConnection)),
        (1000, "ended", Next::Stop, Some(Outcome::NoConnection)),
        (1009, "too big", Next::Stop, Some(Outcome::NoConnection)),
        (4400, "faulty", Next::Stop, Some(Outcome::NoConnection)),
        (4403, "revoked", Next::Stop, Some(Outcome::NoConnection)),
    ] {
        let mut desk = Desk::person();
        let (found, fx) = desk.client.closed(code, reason);
        assert_eq!((&found, desk.client.over()), (&next, over), "{code}");
        assert_eq!(
            next == Next::Stop,
            shown(&fx).iter().any(|line| line.starts_with("fault")),
            "{code}"
        );
        assert_eq!(desk.client.query().is_empty(), [4409, 4410].contains(&code), "{code}");
    }
}

#[test]
fn a_new_session_goes_on_in_the_thread_of_the_lost_one() {
    let mut desk = Desk::person();
    let said = desk.typed("one");
    desk.accept(&said, "r");
    let (_, fx) = desk.client.closed(4410, "gone");
    assert!(shown(&fx).concat().contains("/history shows"), "{fx:?}");
    desk.client.cut();
    desk.typed("two");
    let fx = desk.establish("s-2");
    assert_eq!(sent(&fx, "switch_thread")["payload"]["thread_id"], "t-s-1");
    assert!(!is_sent(&fx, "user_message"), "not before it is there");
    let id = sent(&fx, "switch_thread")["message_id"].clone();
    let fx = desk.hear(
        "thread_switched",
        json!({ "message_id": id, "thread_id": "t-s-1", "name": "one" }),
    );
    assert_eq!(sent(&fx, "user_message")["payload"]["content"], "two");
}

#[test]
fn a_message_that_the_lost_session_had_taken_is_not_waited_for() {
    let mut desk = Desk::pipe();
    desk.typed("one");
    desk.client.input_is_over();
    desk.client.closed(4410, "gone");
    desk.client.cut();
    let again = desk.establish("s-2");
    let id = &sent(&again, "user_message")["message_id"];
    let fx = desk.hear(
        "message_accepted",
        json!({ "message_id": id, "run_id": "r", "status": "duplicate" }),
    );
    assert!(shown(&fx)[0].contains("/history"), "{fx:?}");
    assert_eq!(desk.client.over(), Some(Outcome::Death));
}

#[test]
fn a_snapshot_shows_the_answers_that_were_waited_for_and_no_other_and_settles_what_is_over() {
    let mut desk = Desk::pipe();
    let said = desk.typed("one");
    desk.accept(&said, "r");
    desk.client.input_is_over();
    desk.client.cut();
    desk.establish("s-1");
    let answer = json!({ "role": "assistant", "run_id": "r", "status": "complete", "content": "One." });
    let question = json!({ "role": "user", "run_id": "r", "status": "complete", "content": "one" });
    let others = json!({ "role": "assistant", "run_id": "s", "status": "complete", "content": "Of another window." });
    let fx = desk.hear(
        "resync",
        json!({
            "reason": "expired", "epoch": "e-2", "as_of_seq": 40, "messages": [others, answer, question],
            "active_runs": [], "queued": [],
        }),
    );
    assert_eq!(
        shown(&fx),
        [
            "note some events are gone; /history shows what was said",
            "end",
            "answer One.",
            "end"
        ]
    );
    assert_eq!(desk.client.query(), "?session_id=s-1&last_seq=40&epoch=e-2");
    assert_eq!(desk.client.over(), Some(Outcome::Completed));
}

#[test]
fn a_run_that_is_active_in_the_snapshot_goes_on_where_its_text_is() {
    let mut desk = Desk::person();
    let said = desk.typed("one");
    desk.accept(&said, "r");
    desk.event(
        "r",
        "partial_result",
        json!({ "message_ref": "m", "offset": 0, "content": "One " }),
    );
    let active = json!({
        "run_id": "r", "session_id": "s-1", "state": "running", "message_ref": "m", "text_so_far": "One two ",
    });
    let fx = desk.hear(
        "resync",
        json!({ "epoch": "e", "as_of_seq": 9, "messages": [], "active_runs": [active], "queued": [] }),
    );
    assert_eq!(shown(&fx)[1..], ["answer two ".to_owned()]);
    desk.seq = 9;
    let payload = json!({ "message_ref": "m", "offset": 8, "content": "three" });
    assert_eq!(shown(&desk.event("r", "partial_result", payload)), ["answer three"]);
    assert_eq!(shown(&desk.complete("r", "One two three")), ["end"]);
}

#[test]
fn a_message_whose_answer_was_lost_is_answered_by_the_snapshot() {
    let mut desk = Desk::pipe();
    let said = desk.typed("one");
    let id = sent(&said, "user_message")["message_id"].clone();
    desk.client.cut();
    desk.establish("s-1");
    let question = json!({ "role": "user", "run_id": "r", "message_id": id, "content": "one", "status": "complete" });
    let answer =
        json!({ "role": "assistant", "run_id": "r", "message_id": "m", "content": "One.", "status": "complete" });
    let fx = desk.hear(
        "resync",
        json!({ "epoch": "e-2", "as_of_seq": 40, "messages": [answer, question], "active_runs": [], "queued": [] }),
    );
    assert_eq!(shown(&fx)[1..], ["end", "answer One.", "end"]);
    // The repeat is answered all the same; nothing waits for it.
    let repeat =
        json!({ "message_id": id, "thread_id": "t", "run_id": "r", "status": "duplicate", "run_state": "completed" });
    assert_eq!(shown(&desk.hear("message_accepted", repeat)), Vec::<String>::new());
    desk.client.input_is_over();
    assert_eq!(desk.client.over(), Some(Outcome::Completed));
}

#[test]
fn while_the_line_is_down_a_bounded_number_of_lines_is_kept() {
    let mut desk = Desk::person();
    desk.client.cut();
    assert!(desk.client.is_idle(), "one may write");
    for n in 0..WAITING_MAX {
        assert!(shown(&desk.typed(&n.to_string()))[0].contains("kept"));
    }
    assert!(shown(&desk.typed("one more"))[0].contains("was not kept"));
    assert!(!desk.client.is_idle() || !desk.client.is_up());
}

#[test]
fn what_is_no_frame_or_of_an_unknown_type_does_no_harm() {
    let mut desk = Desk::person();
    assert_eq!(shown(&desk.client.frame("{", desk.now)).len(), 1);
    assert_eq!(desk.hear("from_the_future", json!({})), []);
    assert_eq!(desk.event("r", "from_the_future", json!({ "a": 1 })), []);
    assert!(desk.client.query().contains("last_seq=1"), "its seq counts");
}
