//! Bounds of users: too many messages, runs, queued messages, sessions. Each refusal says what to do.

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::http::UPGRADE;
use super::{Ending, House, eventually};

#[tokio::test]
async fn beyond_the_rate_a_message_is_refused_and_a_flood_is_closed_with_4008() {
    let server = House::scripted()
        .set("limits.messages_per_second=1")
        .set("limits.message_burst=2")
        // More than wait unread when the socket is closed: those are refused on the next one.
        .set("limits.flood_messages=40")
        .start()
        .await;
    let ada = server.guest().await;
    let mut client = server.connect(&ada).await;
    for n in 0..3 {
        client.message(json!({"content": n.to_string(), "agent": "echo"})).await;
    }
    let error = client.until("error").await["payload"].take();
    assert_eq!(
        (&error["code"], &error["retryable"]),
        (&json!("rate_limited"), &json!(true))
    );
    let wait = error["retry_after_ms"].as_u64().unwrap();
    assert!((1..=1_000).contains(&wait), "{error}");
    // Sessions of one user share the rate; those of others don't.
    let mut second = server.connect(&ada).await;
    second.message(json!({"content": "me too", "agent": "echo"})).await;
    assert_eq!(second.until("error").await["payload"]["code"], "rate_limited");
    let mut bob = server.connect(&server.guest().await).await;
    bob.message(json!({"content": "hello", "agent": "echo"})).await;
    bob.until("agent_completed").await;
    for n in 0..120 {
        let text = json!({"type": "user_message", "payload": {"content": n.to_string()}}).to_string();
        if client
            .raw(&super::client::client_frame(0x81, text.as_bytes()))
            .await
            .is_err()
        {
            break;
        }
    }
    let (_, ending) = client.until_it_ends().await;
    assert!(matches!(ending, Ending::Closed(4008, _)), "{ending:?}");
    server.resume(&ada, &client.place()).await.settle().await;
}

#[tokio::test]
async fn a_full_queue_refuses_and_takes_again_when_it_has_room() {
    let server = House::scripted().set("limits.queued_per_thread=2").start().await;
    let mut client = server.connect(&server.guest().await).await;
    client.say("hang").await;
    client.until("partial_result").await;
    for status in ["queued", "queued"] {
        client.say("waits").await;
        assert_eq!(client.until("message_accepted").await["payload"]["status"], status);
    }
    let id = client.say("too many").await;
    let error = client.until("error").await["payload"].take();
    assert_eq!(
        (&error["code"], &error["reply_to"]),
        (&json!("queue_full"), &json!(id)),
        "{error}"
    );
    client.send(json!({"type": "stop_agent", "payload": {}})).await;
    for _ in 0..3 {
        client.until("agent_stopped").await;
    }
    client.say("again").await;
    client.until("agent_completed").await;
}

#[tokio::test]
async fn a_users_runs_are_counted_over_all_their_sessions() {
    let server = House::scripted().set("limits.runs_per_user=2").start().await;
    let ada = server.guest().await;
    let (mut first, mut second) = (server.connect(&ada).await, server.connect(&ada).await);
    let mut third = server.connect(&ada).await;
    for client in [&mut first, &mut second] {
        client.say("hang").await;
        client.until("partial_result").await;
    }
    let id = third.say("one too many").await;
    let error = third.until("error").await["payload"].take();
    assert_eq!(
        (&error["code"], &error["reply_to"]),
        (&json!("run_limit"), &json!(id)),
        "{error}"
    );
    let mut bob = server.connect(&server.guest().await).await;
    bob.say("not mine").await;
    bob.until("agent_completed").await;
    first.send(json!({"type": "stop_agent", "payload": {}})).await;
    first.until("agent_stopped").await;
    third.say("now?").await;
    third.until("agent_completed").await;
}

#[tokio::test]
async fn one_session_too_many_is_429_until_one_of_them_rests() {
    let server = House::scripted().set("limits.sessions_per_user=2").start().await;
    let ada = server.guest().await;
    let (first, mut second) = (server.connect(&ada).await, server.connect(&ada).await);
    let mut headers = UPGRADE.to_vec();
    headers.push(ada.header());
    let refused = server.call("GET", "/v1/session", &headers, None).await;
    refused.assert_problem(429);
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!(wait >= 1, "{refused:?}");
    server.connect(&server.guest().await).await.settle().await;
    // A session without a socket and without work makes room, and comes back later as if nothing had been.
    let place = first.cut().await;
    let third = eventually("a resting session makes room", async || {
        super::Door::of(&ada)
            .open(server.address)
            .await
            .map_err(|status| status.to_string())
    })
    .await;
    drop(third);
    second.settle().await;
    eventually("the evicted session comes back", async || {
        let door = super::Door::of(&ada).back_to(&place);
        let mut client = door.open(server.address).await.map_err(|status| status.to_string())?;
        client.establish().await;
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_request_that_is_never_finished_is_given_up_with_408() {
    let server = House::new().set("server.request_timeout=1s").start().await;
    let mut slow = TcpStream::connect(server.address).await.unwrap();
    slow.write_all(b"GET /v1/threads HTTP/1.1\r\nhost: ").await.unwrap();
    let mut answer = String::new();
    let read = timeout(super::PATIENCE, slow.read_to_string(&mut answer)).await;
    read.expect("the server gives up").unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    server.connect(&server.guest().await).await.settle().await;
}

#[tokio::test]
async fn changes_over_http_share_the_rate_of_messages() {
    let server = House::scripted()
        .set("limits.messages_per_second=1")
        .set("limits.message_burst=2")
        .start()
        .await;
    let ada = server.guest().await;
    let made = Some(json!({"name": "one more"}));
    for _ in 0..2 {
        let answer = server.ask(&ada, "POST", "/v1/threads", made.clone()).await;
        assert_eq!(answer.status, 201, "{answer:?}");
    }
    server
        .ask(&ada, "POST", "/v1/threads", made.clone())
        .await
        .assert_problem(429);
    // Somebody else's rate is their own.
    let bob = server.guest().await;
    assert_eq!(server.ask(&bob, "POST", "/v1/threads", made).await.status, 201);
}
