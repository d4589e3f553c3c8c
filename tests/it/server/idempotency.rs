//! Sending again is always safe: the same id is the same message, whatever happened in between.

use serde_json::{Value, json};

use super::{Client, House, message_id};

async fn send(client: &mut Client, id: &str, content: &str) -> Value {
    client
        .send(json!({"type": "user_message", "message_id": id, "payload": {"content": content}}))
        .await;
    let answers = client
        .collect("an answer", |frame| {
            frame["type"] == "message_accepted" || frame["type"] == "error"
        })
        .await;
    answers.into_iter().last().unwrap()["payload"].take()
}

#[tokio::test]
async fn a_message_that_is_sent_again_makes_one_run_across_sockets_sessions_and_restarts() {
    let server = House::scripted().start().await;
    let ada = server.guest().await;
    let mut client = server.connect(&ada).await;
    let id = message_id();
    let first = send(&mut client, &id, "once").await;
    assert_eq!(first["status"], "started");
    // At once, while its run may be active.
    let again = send(&mut client, &id, "once").await;
    assert_eq!(
        (&again["status"], &again["run_id"]),
        (&json!("duplicate"), &first["run_id"]),
        "{again}"
    );
    while client.last_seq == 0 || !is_over(&server.ask(&ada, "GET", &history(&client), None).await.json()) {
        client.settle().await;
    }
    let mut client = server.resume(&ada, &client.cut().await).await;
    for round in 0..2 {
        let again = send(&mut client, &id, "once").await;
        assert_eq!(
            (&again["status"], &again["run_id"]),
            (&json!("duplicate"), &first["run_id"]),
            "{round}: {again}"
        );
        assert_eq!(again["run_state"], "completed");
        assert_eq!(again["thread_id"], first["thread_id"]);
    }
    let mut other = server.connect(&ada).await;
    let elsewhere = send(&mut other, &id, "once").await;
    // In another session without a thread of its own the frame is the same, so its answer is too.
    assert_eq!(
        (&elsewhere["status"], &elsewhere["run_id"]),
        (&json!("duplicate"), &first["run_id"]),
        "{elsewhere}"
    );
    let place = client.cut().await;
    let server = server.restart().await;
    let mut client = server.resume(&ada, &place).await;
    let after = send(&mut client, &id, "once").await;
    assert_eq!(
        (&after["status"], &after["run_id"]),
        (&json!("duplicate"), &first["run_id"]),
        "{after}"
    );
    let told = server.ask(&ada, "GET", &history(&client), None).await.json();
    assert_eq!(
        told["messages"].as_array().unwrap().len(),
        2,
        "one question, one answer: {told:#}"
    );
}

#[tokio::test]
async fn a_repeat_while_the_run_is_at_work_is_a_duplicate_and_not_a_second_run() {
    let server = House::scripted().start().await;
    let ada = server.guest().await;
    let mut client = server.connect(&ada).await;
    let id = message_id();
    let first = send(&mut client, &id, "hang").await;
    client.until("partial_result").await;
    for _ in 0..2 {
        let again = send(&mut client, &id, "hang").await;
        assert_eq!(again["status"], "duplicate", "{again}");
        assert_eq!(again["run_state"], "running", "{again}");
        assert_eq!(again["run_id"], first["run_id"]);
        client = server.resume(&ada, &client.cut().await).await;
    }
    let mut other = server.connect(&ada).await;
    let again = send(&mut other, &id, "hang").await;
    assert_eq!(
        (&again["status"], &again["run_id"]),
        (&json!("duplicate"), &first["run_id"]),
        "{again}"
    );
    client.send(json!({"type": "stop_agent", "payload": {}})).await;
    let stopped = client.until("stop_accepted").await;
    assert_eq!(
        stopped["payload"]["run_ids"],
        json!([first["run_id"]]),
        "there is one run"
    );
}

#[tokio::test]
async fn the_same_id_for_something_else_is_a_conflict_and_changes_nothing() {
    let server = House::scripted().start().await;
    let ada = server.guest().await;
    let mut client = server.connect(&ada).await;
    let id = message_id();
    send(&mut client, &id, "once").await;
    client.run_to_end().await;
    let refused = send(&mut client, &id, "twice").await;
    assert_eq!(
        (&refused["code"], &refused["reply_to"]),
        (&json!("conflict"), &json!(id)),
        "{refused}"
    );
    // The same id belongs to nobody else.
    let bob = server.guest().await;
    let mut bob = server.connect(&bob).await;
    assert_eq!(send(&mut bob, &id, "bob's own").await["status"], "started");
    let told = server.ask(&ada, "GET", &history(&client), None).await.json();
    assert_eq!(told["messages"].as_array().unwrap().len(), 2, "{told:#}");
}

fn history(client: &Client) -> String {
    format!("/v1/threads/{}/messages", client.thread())
}

fn is_over(history: &Value) -> bool {
    history["active_runs"] == json!([])
}
