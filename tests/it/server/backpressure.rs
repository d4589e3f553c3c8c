//! A client that stops reading costs the server a bounded window, costs itself its socket, and loses nothing.

use serde_json::json;

use super::{Client, Door, Ending, House, Server, User, eventually, spoken};

/// Less than this may a client that reads nothing make the server grow. What is bounded is a window of 256 KiB before the
/// socket and another behind it; the rest is the answer itself, its commits and the allocator's slack.
const GROWTH_MAX: u64 = 48 * 1024 * 1024;

/// A server that loses its patience soon, and agents that may say much.
fn impatient() -> House {
    House::scripted()
        .set("limits.slow_client_timeout=1s")
        .set("limits.result_bytes=16000000")
}

/// A client whose kernel keeps next to nothing for it.
async fn narrow(server: &Server, user: &User) -> Client {
    server.open(Door::of(user).receive_buffer(4096)).await
}

#[tokio::test]
async fn a_client_that_stops_reading_is_closed_with_4002_and_resumes_without_a_gap() {
    let server = impatient().start().await;
    let ada = server.guest().await;
    let mut client = narrow(&server, &ada).await;
    client.say("deluge").await;
    let mut heard = client.collect("some of it", |frame| frame["seq"] == 10).await;
    let before = server.resident_bytes();
    server.logged("client reads too slowly").await;
    // Nobody else waits for it.
    let mut bob = server.connect(&server.guest().await).await;
    bob.say("hello").await;
    bob.until("agent_completed").await;
    let (frames, ending) = client.until_it_ends().await;
    let reason = "the client reads too slowly; resume with last_seq".to_owned();
    assert_eq!(ending, Ending::Closed(4002, reason));
    heard.extend(frames);
    let mut client = server.resume(&ada, &client.place()).await;
    heard.extend(client.run_to_end().await);
    // The client itself fails on a gap.
    let said = spoken(&heard);
    assert_eq!(said.len(), 12_000 * 256);
    assert!(
        heard.last().unwrap()["payload"]["result"] == said,
        "the answer is what was streamed"
    );
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown < GROWTH_MAX, "the server grew by {grown} bytes");
}

#[tokio::test]
async fn a_run_is_stopped_over_http_while_its_socket_is_wedged() {
    let server = House::scripted()
        .set("limits.slow_client_timeout=60s")
        .set("limits.result_bytes=64000000")
        .start()
        .await;
    let ada = server.guest().await;
    let mut client = narrow(&server, &ada).await;
    client.say("pour").await;
    client.collect("some of it", |frame| frame["seq"] == 10).await;
    let before = server.resident_bytes();
    let place = client.place();
    // Wedged: what was said is far more than the socket took.
    let history = format!(
        "/v1/threads/{}/messages?session_id={}",
        client.thread(),
        place.session_id
    );
    eventually("the run says more than the buffers hold", async || {
        let told = server.ask(&ada, "GET", &history, None).await.json();
        let as_of = told["as_of_seq"].as_u64().unwrap();
        if as_of > 2_000 {
            Ok(())
        } else {
            Err(format!("as of {as_of}"))
        }
    })
    .await;
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown < GROWTH_MAX, "the server grew by {grown} bytes");
    let path = format!("/v1/sessions/{}/stop", place.session_id);
    let stopped = server
        .ask(&ada, "POST", &path, Some(json!({"reason": "too much"})))
        .await;
    assert_eq!(stopped.status, 200, "{stopped:?}");
    assert_eq!(stopped.json()["run_ids"].as_array().unwrap().len(), 1);
    let end = client.until("agent_stopped").await;
    assert_eq!(end["payload"]["stopped_by"], "user");
    assert_eq!(end["payload"]["reason"], "too much");
    // Nobody else may.
    let eve = server.guest().await;
    server.ask(&eve, "POST", &path, None).await.assert_problem(404);
}

#[tokio::test]
async fn a_client_that_asks_and_never_reads_is_held_back_and_cut_off_alone() {
    let server = impatient().start().await;
    let ada = server.guest().await;
    let mut client = narrow(&server, &ada).await;
    let before = server.resident_bytes();
    let ping = json!({"type": "ping", "payload": {"timestamp": "x".repeat(30_000)}}).to_string();
    let frame = super::client::client_frame(0x81, ping.as_bytes());
    // Each asks for as much as it brings; the server stops reading long before it has answered all.
    let mut sent = 0_usize;
    while sent < 256 * 1024 * 1024 && client.raw(&frame).await.is_ok() {
        sent += frame.len();
    }
    assert!(sent < 256 * 1024 * 1024, "all of it was taken");
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown < GROWTH_MAX, "the server grew by {grown} bytes");
    let mut client = server.resume(&ada, &client.place()).await;
    client.say("hello").await;
    client.until("agent_completed").await;
}
