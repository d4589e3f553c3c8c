//! People in the loop, over a real socket.

use serde_json::json;

use super::{House, User, message_id};

#[tokio::test]
async fn a_run_at_work_takes_into_account_what_its_user_tells_it() {
    let server = House::scripted().start().await;
    let mut ada = server.connect(&server.guest().await).await;
    ada.say("linger").await;
    let run = ada.until("agent_started").await["run_id"].take();
    let id = message_id();
    let frame = json!({"type": "steer", "message_id": id, "payload": {"run_id": run, "content": "and in French"}});
    ada.send(frame.clone()).await;
    ada.send(frame).await;
    assert_eq!(
        ada.until("steering_accepted").await["payload"],
        json!({"message_id": id, "run_id": run})
    );
    assert_eq!(ada.until("steering_accepted").await["payload"]["status"], "duplicate");
    let frames = ada.run_to_end().await;
    let applied: Vec<_> = frames
        .iter()
        .filter(|frame| frame["type"] == "steering_applied")
        .collect();
    assert_eq!(applied.len(), 1, "{frames:#?}");
    assert_eq!(
        applied[0]["payload"],
        json!({"message_id": id, "content": "and in French"})
    );
    let end = frames.last().unwrap();
    assert_eq!(end["payload"]["result"], "Nearly done.\n\nYou said: and in French");
}

#[tokio::test]
async fn a_decision_about_no_call_is_refused_in_words_and_the_session_goes_on() {
    let server = House::scripted().start().await;
    let mut ada = server.connect(&server.guest().await).await;
    let payload = json!({"call_id": message_id(), "decision": "approve"});
    ada.send(json!({"type": "tool_decision", "message_id": message_id(), "payload": payload}))
        .await;
    let error = ada.until("error").await;
    assert_eq!(error["payload"]["code"], "not_found");
    assert_eq!(error["payload"]["message"], "no such tool call waits for a decision");
    ada.say("hello").await;
    ada.until("agent_completed").await;
}

#[tokio::test]
async fn a_token_with_roles_is_printed_and_lets_its_user_in() {
    let server = House::scripted().with_tokens().start().await;
    let asked = ["token", "--user", "ada", "--role", "buyer", "--role", "clerk"];
    let (succeeded, out, err) = server.house().run(&asked);
    assert!(succeeded, "{err}");
    let mut ada = server.connect(&User::with_token("ada", out.trim())).await;
    ada.say("hello").await;
    assert_eq!(
        ada.until("agent_completed").await["payload"]["result"],
        "You said: hello"
    );
}
