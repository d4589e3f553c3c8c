//! One active run a thread over all sessions of its user; and threads over HTTP, down to their last word.

use serde_json::{Value, json};

use super::{Client, House, Place, Server, User, eventually, message_id};

/// Two sessions of one user on the first one's thread, in which a run hangs.
async fn shared() -> (Server, User, Client, Client, Value) {
    let server = House::scripted().start().await;
    let ada = server.guest().await;
    let (mut holder, mut other) = (server.connect(&ada).await, server.connect(&ada).await);
    holder.say("hang").await;
    let run = holder.until("message_accepted").await["payload"]["run_id"].take();
    holder.until("partial_result").await;
    let told = other.until("thread_changed").await;
    assert_eq!(
        told["payload"],
        json!({"thread_id": holder.thread(), "run_id": run, "state": "running"})
    );
    other
        .send(json!({"type": "switch_thread", "payload": {"thread_id": holder.thread()}}))
        .await;
    other.until("thread_switched").await;
    (server, ada, holder, other, run)
}

#[tokio::test]
async fn two_sessions_on_one_thread_never_run_at_once() {
    let (_server, _, mut holder, mut other, run) = shared().await;
    for on_busy in ["enqueue", "reject"] {
        let id = other.message(json!({"content": "me too", "on_busy": on_busy})).await;
        let error = other.until("error").await["payload"].take();
        assert_eq!(
            (&error["code"], &error["reply_to"]),
            (&json!("run_active"), &json!(id)),
            "{error}"
        );
        assert_eq!(error["details"], json!({"run_id": run, "elsewhere": true}));
    }
    holder.send(json!({"type": "stop_agent", "payload": {}})).await;
    holder.until("agent_stopped").await;
    let told = other.until("thread_changed").await;
    assert_eq!(told["payload"]["state"], "stopped");
    other.say("now?").await;
    other.until("agent_completed").await;
}

#[tokio::test]
async fn an_interrupt_reaches_the_holder_and_keeps_what_was_said() {
    let (server, ada, mut holder, mut other, _) = shared().await;
    other.message(json!({"content": "mine", "on_busy": "interrupt"})).await;
    let end = holder.until("agent_stopped").await["payload"].take();
    assert_eq!(
        (&end["stopped_by"], &end["partial"]),
        (&json!("replaced"), &json!("This much was said "))
    );
    assert_eq!(end.get("discarded_message_ids"), None);
    assert_eq!(
        other.until("agent_completed").await["payload"]["result"],
        "You said: mine"
    );
    let said = contents(&server, &ada, &holder.thread()).await;
    assert_eq!(said, ["You said: mine", "mine", "This much was said ", "hang"]);
}

#[tokio::test]
async fn a_rollback_reaches_the_holder_and_the_thread_forgets() {
    let (server, ada, mut holder, mut other, _) = shared().await;
    other.message(json!({"content": "mine", "on_busy": "rollback"})).await;
    let end = holder.until("agent_stopped").await["payload"].take();
    assert_eq!(end["stopped_by"], "replaced");
    assert_eq!(
        end["discarded_message_ids"].as_array().unwrap().len(),
        2,
        "question and answer: {end}"
    );
    other.until("agent_completed").await;
    assert_eq!(
        contents(&server, &ada, &holder.thread()).await,
        ["You said: mine", "mine"]
    );
}

#[tokio::test]
async fn what_waits_in_the_holders_session_waits_behind_the_interrupt() {
    let (server, ada, mut holder, mut other, _) = shared().await;
    holder.say("I was first in line").await;
    holder.until("message_accepted").await;
    other.message(json!({"content": "mine", "on_busy": "interrupt"})).await;
    other.until("agent_completed").await;
    holder.until("agent_completed").await;
    let said = contents(&server, &ada, &holder.thread()).await;
    assert_eq!(said[..2], ["You said: I was first in line", "I was first in line"]);
    assert_eq!(said[2..4], ["You said: mine", "mine"]);
}

#[tokio::test]
async fn threads_are_made_listed_renamed_read_and_deleted_over_http() {
    let server = House::scripted().start().await;
    let (ada, eve) = (server.guest().await, server.guest().await);
    let made = server
        .ask(&ada, "POST", "/v1/threads", Some(json!({"name": "plans"})))
        .await;
    assert_eq!((made.status, &made.json()["name"]), (201, &json!("plans")));
    let id = made.json()["thread_id"].as_str().unwrap().to_owned();
    let path = format!("/v1/threads/{id}");
    let renamed = server
        .ask(&ada, "PATCH", &path, Some(json!({"name": "better plans"})))
        .await;
    assert_eq!((renamed.status, &renamed.json()["name"]), (200, &json!("better plans")));
    let mut client = server.connect(&ada).await;
    client
        .send(json!({"type": "user_message", "thread_id": id, "payload": {"content": "hello"}}))
        .await;
    client.until("agent_completed").await;
    assert_eq!(contents(&server, &ada, &id).await, ["You said: hello", "hello"]);
    let page = server
        .ask(&ada, "GET", &format!("{path}/messages?limit=1"), None)
        .await
        .json();
    let next = format!("{path}/messages?limit=1&before={}", page["next_before"]);
    let page = server.ask(&ada, "GET", &next, None).await.json();
    assert_eq!(page["messages"][0]["content"], "hello");
    let listed = server.ask(&ada, "GET", "/v1/threads", None).await.json();
    assert_eq!(listed["threads"][0]["thread_id"], json!(id));
    for (method, path, body) in [
        ("PATCH", path.clone(), Some(json!({"name": "eve's"}))),
        ("GET", format!("{path}/messages"), None),
        ("DELETE", path.clone(), None),
    ] {
        server.ask(&eve, method, &path, body).await.assert_problem(404);
    }
    assert_eq!(
        server.ask(&eve, "GET", "/v1/threads", None).await.json()["threads"],
        json!([])
    );
    assert_eq!(server.ask(&ada, "DELETE", &path, None).await.status, 204);
    server.ask(&ada, "DELETE", &path, None).await.assert_problem(404);
    server
        .ask(&ada, "GET", &format!("{path}/messages"), None)
        .await
        .assert_problem(404);
}

#[tokio::test]
async fn a_deletion_over_http_stops_the_run_and_erases_every_body() {
    let server = House::scripted().start().await;
    let ada = server.guest().await;
    let mut client = server.connect(&ada).await;
    let path = format!("/v1/threads/{}", client.thread());
    client.say("a secret of ada").await;
    client.until("agent_completed").await;
    client.say("stream").await;
    client.until("partial_result").await;
    assert_eq!(server.ask(&ada, "DELETE", &path, None).await.status, 204);
    let end = client.until("agent_stopped").await;
    assert_eq!(end["payload"]["stopped_by"], "thread_deleted");
    all_erased(server, &ada, client).await;
}

#[tokio::test]
async fn a_deletion_over_the_socket_stops_the_other_sessions_run_too() {
    let (server, ada, mut holder, mut other, _) = shared().await;
    let frame = json!({
        "type": "delete_thread", "message_id": message_id(), "payload": {"thread_id": holder.thread()}
    });
    other.send(frame.clone()).await;
    let end = holder.until("agent_stopped").await;
    assert_eq!(end["payload"]["stopped_by"], "thread_deleted");
    let deleted = other.until("thread_deleted").await;
    assert_eq!(deleted["payload"]["thread_id"], holder.thread());
    other.send(frame).await;
    other.until("thread_deleted").await;
    all_erased(server, &ada, holder).await;
}

/// From memory, and from another process: each event keeps its `seq`, and says nothing.
async fn all_erased(server: Server, user: &User, client: Client) {
    let (place, head) = (
        Place {
            last_seq: 0,
            ..client.place()
        },
        client.last_seq,
    );
    drop(client);
    // A deletion is told to sessions in memory a moment after it is answered.
    eventually("the bodies are gone", async || {
        erased(&server, user, &place, head).await
    })
    .await;
    let server = server.restart().await;
    erased(&server, user, &place, head).await.unwrap();
}

async fn erased(server: &Server, user: &User, place: &Place, head: u64) -> Result<(), String> {
    let mut client = server.resume(user, place).await;
    let events = client.collect("the head", |frame| frame["seq"] == head).await;
    assert_eq!(events.len() as u64, head, "each seq is there");
    client.cut().await;
    match events.iter().find(|event| event["payload"] != json!({"erased": true})) {
        Some(event) => Err(format!("{event}")),
        None => Ok(()),
    }
}

/// What was said in a thread, newest first.
async fn contents(server: &Server, user: &User, thread: &str) -> Vec<String> {
    let history = server
        .ask(user, "GET", &format!("/v1/threads/{thread}/messages"), None)
        .await
        .json();
    let messages = history["messages"].as_array().unwrap_or_else(|| panic!("{history}"));
    messages
        .iter()
        .map(|message| message["content"].as_str().unwrap().to_owned())
        .collect()
}
