//! A stop in good order: runs may end, clients are told when to come back, and nothing is lost.

use super::http::UPGRADE;
use super::{Client, Ending, House};

/// Reads the goodbye: `server_shutdown`, then 1012 with the time to come back.
async fn goodbye(client: &mut Client) {
    let (frames, ending) = client.until_it_ends().await;
    let told = frames.iter().find(|frame| frame["type"] == "server_shutdown");
    let told = told.unwrap_or_else(|| panic!("no server_shutdown in {frames:#?}"))["payload"]["retry_after_ms"].clone();
    let Ending::Closed(1012, reason) = ending else {
        panic!("{ending:?} is no goodbye");
    };
    assert_eq!(reason, format!("draining; retry_after_ms={told}"));
    assert!(told.as_u64().unwrap() > 0);
}

#[tokio::test]
async fn a_stop_lets_a_run_end_then_says_when_to_come_back() {
    let mut server = House::scripted().start().await;
    let (ada, bob) = (server.guest().await, server.guest().await);
    let (mut busy, mut idle) = (server.connect(&ada).await, server.connect(&bob).await);
    busy.say("linger").await;
    busy.until("agent_started").await;
    server.signal("TERM");
    goodbye(&mut idle).await;
    busy.say("one more").await;
    let frames = busy
        .collect("the end", |frame| frame["type"] == "agent_completed")
        .await;
    assert_eq!(frames.last().unwrap()["payload"]["result"], "Nearly done.");
    let refused = frames
        .iter()
        .find(|frame| frame["type"] == "error")
        .expect("nothing new is taken");
    assert_eq!(refused["payload"]["code"], "overloaded");
    goodbye(&mut busy).await;
    let status = server.exit().await;
    assert_eq!(status.code(), Some(0));
    let server = server.start_again().await;
    let mut busy = server.resume(&ada, &busy.place()).await;
    busy.say("back").await;
    busy.until("agent_completed").await;
}

#[tokio::test]
async fn after_the_drain_time_what_runs_is_ended_and_told_and_what_waits_runs_at_the_next_start() {
    let mut server = House::scripted().set("limits.drain_timeout=1s").start().await;
    let ada = server.guest().await;
    let mut client = server.connect(&ada).await;
    client.say("hang").await;
    client.until("partial_result").await;
    client.say("waits").await;
    client.until("message_accepted").await;
    let thread = client.thread();
    server.signal("TERM");
    let end = client.until("agent_stopped").await;
    assert_eq!(end["payload"]["stopped_by"], "drain");
    goodbye(&mut client).await;
    assert_eq!(server.exit().await.code(), Some(0));
    let server = server.start_again().await;
    let told = server
        .ask(&ada, "GET", &format!("/v1/threads/{thread}/messages"), None)
        .await;
    assert!(told.body.contains("This much was said "), "{told:?}");
    // What waited was left to this start, which runs it whether its client is there or not.
    let mut client = server.resume(&ada, &client.place()).await;
    client.until("agent_started").await;
}

#[tokio::test]
async fn a_second_signal_ends_at_once_and_the_next_start_tells_the_rest() {
    let mut server = House::scripted().start().await;
    let ada = server.guest().await;
    let mut client = server.connect(&ada).await;
    client.say("hang").await;
    client.until("partial_result").await;
    server.signal("TERM");
    server.logged("draining").await;
    let begun = tokio::time::Instant::now();
    server.signal("TERM");
    let status = server.exit().await;
    assert_eq!(status.code(), Some(1), "{}", server.log());
    assert!(begun.elapsed().as_secs() < 5, "{:?}", begun.elapsed());
    let place = client.place();
    let server = server.start_again().await;
    let mut client = server.resume(&ada, &place).await;
    let end = client.run_to_end().await.pop().unwrap();
    assert_eq!(end["payload"]["death_cause"], "interrupted", "{end}");
}

#[tokio::test]
async fn a_run_without_a_client_is_drained_as_well() {
    let mut server = House::scripted().start().await;
    let ada = server.guest().await;
    let mut client = server.connect(&ada).await;
    client.say("linger").await;
    client.until("agent_started").await;
    let place = client.cut().await;
    server.signal("INT");
    assert_eq!(server.exit().await.code(), Some(0), "an interrupt is a stop too");
    let server = server.start_again().await;
    let mut client = server.resume(&ada, &place).await;
    assert_eq!(
        client.until("agent_completed").await["payload"]["result"],
        "Nearly done."
    );
}

#[tokio::test]
async fn who_comes_while_it_drains_is_told_to_come_back_and_a_run_can_still_be_stopped() {
    let mut server = House::scripted().start().await;
    let ada = server.guest().await;
    let mut client = server.connect(&ada).await;
    client.say("hang").await;
    client.until("partial_result").await;
    server.signal("TERM");
    server.logged("draining").await;
    let refused = server.call("GET", "/v1/session", &UPGRADE, None).await;
    refused.assert_problem(503);
    assert!(refused.header("retry-after").is_some(), "{refused:?}");
    server.call("GET", "/readyz", &[], None).await.assert_problem(503);
    assert_eq!(server.call("GET", "/healthz", &[], None).await.status, 200);
    let path = format!("/v1/sessions/{}/stop", client.place().session_id);
    assert_eq!(server.ask(&ada, "POST", &path, None).await.status, 200);
    assert_eq!(client.until("agent_stopped").await["payload"]["stopped_by"], "user");
    goodbye(&mut client).await;
    assert_eq!(server.exit().await.code(), Some(0));
}
