//! After any cut a client gets every later event, in order, once: from memory, from the disk, from another process.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{Client, Door, House, Place, Server, User, spoken, whole_stream};

/// Where every piece of text is an event of its own: many places to cut at.
fn fine_grained() -> House {
    House::scripted().set("limits.text_flush_interval=1ms")
}

#[tokio::test]
async fn a_stream_that_is_cut_anywhere_and_often_is_heard_whole_and_once() {
    let server = fine_grained().start().await;
    let ada = server.guest().await;
    let mut dice = Uuid::new_v4().as_u128();
    println!("dice: {dice}");
    let mut client = server.connect(&ada).await;
    client.say("stream").await;
    let mut heard = client
        .collect("the start", |frame| frame["type"] == "agent_started")
        .await;
    for _ in 0..8 {
        let most = dice % 30;
        dice /= 30;
        for _ in 0..most {
            heard.extend(client.next().await);
        }
        if heard.last().is_some_and(|frame| frame["type"] == "agent_completed") {
            break;
        }
        let place = client.cut().await;
        client = server.resume(&ada, &place).await;
        assert_eq!(client.established()["resumed"], true);
    }
    if heard.last().is_none_or(|frame| frame["type"] != "agent_completed") {
        heard.extend(client.run_to_end().await);
    }
    // The client itself fails on a hole or a repeat.
    assert_eq!(spoken(&heard), whole_stream());
    assert_eq!(
        heard.iter().filter(|frame| frame["type"] == "agent_completed").count(),
        1
    );
}

#[tokio::test]
async fn a_session_that_left_memory_goes_on_from_the_disk() {
    let server = House::scripted().set("limits.detached_idle=1s").start().await;
    let ada = server.guest().await;
    let (place, first) = one_answer(&server, &ada).await;
    server.settles_at(0).await;
    let mut client = server
        .resume(
            &ada,
            &Place {
                last_seq: 0,
                ..place.clone()
            },
        )
        .await;
    assert_eq!(client.established()["head_seq"], place.last_seq);
    assert_eq!(client.established()["epoch"], place.epoch);
    let again = client.collect("the head", |frame| frame["seq"] == place.last_seq).await;
    assert_eq!(again, first, "byte for byte the same events");
    client.say("and now?").await;
    let next = client.run_to_end().await;
    assert_eq!(next.last().unwrap()["payload"]["result"], "You said: and now?");
}

#[tokio::test]
async fn a_restart_on_the_same_data_loses_nothing() {
    let server = House::scripted().start().await;
    let ada = server.guest().await;
    let (place, first) = one_answer(&server, &ada).await;
    let server = server.restart().await;
    let half = place.last_seq / 2;
    let mut client = server
        .resume(
            &ada,
            &Place {
                last_seq: half,
                ..place.clone()
            },
        )
        .await;
    let rest = client.collect("the head", |frame| frame["seq"] == place.last_seq).await;
    assert_eq!(rest[..], first[usize::try_from(half).unwrap()..]);
    client.say("and now?").await;
    assert_eq!(
        client.until("agent_completed").await["payload"]["result"],
        "You said: and now?"
    );
}

#[tokio::test]
async fn a_run_that_is_killed_with_its_process_has_one_end_that_says_so() {
    let server = fine_grained().start().await;
    let ada = server.guest().await;
    let mut client = server.connect(&ada).await;
    let thread = client.thread();
    client.say("stream").await;
    let mut heard = client.collect("some of it", |frame| frame["seq"] == 20).await;
    client.say("what waits is not lost").await;
    heard.extend(
        client
            .collect("its acceptance", |frame| frame["payload"]["status"] == "queued")
            .await,
    );
    let place = client.place();
    let server = server.crash().await;
    let mut client = server.resume(&ada, &place).await;
    // What was committed and not yet sent comes first; then the end; then the message that had waited.
    heard.extend(client.run_to_end().await);
    assert_eq!(heard.last().unwrap()["type"], "agent_death");
    assert_eq!(heard.last().unwrap()["payload"]["death_cause"], "interrupted");
    let said = spoken(&heard);
    assert!(!said.is_empty() && whole_stream().starts_with(&said), "{said:?}");
    let queued = client.run_to_end().await;
    assert_eq!(
        queued.last().unwrap()["payload"]["result"],
        "You said: what waits is not lost"
    );
    let history = server
        .ask(&ada, "GET", &format!("/v1/threads/{thread}/messages"), None)
        .await;
    assert_eq!(history.json()["active_runs"], json!([]));
    assert!(history.body.contains(&said), "what was said is kept: {history:?}");
}

#[tokio::test]
async fn a_page_that_is_reloaded_in_mid_answer_shows_it_whole() {
    let server = fine_grained().start().await;
    let ada = server.guest().await;
    let mut client = server.connect(&ada).await;
    let thread = client.thread();
    client.say("stream").await;
    client.collect("some of it", |frame| frame["seq"] == 30).await;
    let place = client.cut().await;
    // The reloaded page knows nothing of the text that it had shown.
    let mut client = server.resume(&ada, &place).await;
    client.send(json!({"type": "get_thread_history", "payload": {}})).await;
    let mut early = client
        .collect("history", |frame| frame["type"] == "thread_history")
        .await;
    let history = early.pop().unwrap()["payload"].take();
    assert_eq!(history["thread_id"], thread);
    assert_eq!(history["messages"][0]["content"], "stream", "{history:#}");
    let active = &history["active_runs"][0];
    assert_eq!(active["state"], "running", "{history:#}");
    let as_of = history["as_of_seq"].as_u64().unwrap();
    assert!(as_of >= place.last_seq);
    let mut text = active["text_so_far"].as_str().unwrap().to_owned();
    let rest = early.into_iter().chain(client.run_to_end().await);
    for frame in rest.filter(|frame| frame["type"] == "partial_result" && frame["seq"].as_u64() > Some(as_of)) {
        assert_eq!(frame["payload"]["message_ref"], active["message_ref"]);
        assert_eq!(frame["payload"]["offset"], text.len());
        text.push_str(frame["payload"]["content"].as_str().unwrap());
    }
    assert_eq!(text, whole_stream());
}

#[tokio::test]
async fn a_client_that_knows_another_lineage_gets_a_snapshot_and_goes_on_from_it() {
    let server = House::scripted().start().await;
    let ada = server.guest().await;
    let (place, _) = one_answer(&server, &ada).await;
    let other = Place {
        epoch: Uuid::new_v4().to_string(),
        last_seq: 7_000,
        ..place.clone()
    };
    let mut client = server.resume(&ada, &other).await;
    let resync = client.next().await.unwrap();
    assert_eq!(resync["type"], "resync");
    let payload = &resync["payload"];
    assert_eq!(payload["reason"], "epoch_changed");
    assert_eq!(
        (&payload["epoch"], &payload["as_of_seq"]),
        (&json!(place.epoch), &json!(place.last_seq))
    );
    assert_eq!(payload["messages"].as_array().unwrap().len(), 2, "{payload:#}");
    client.say("and now?").await;
    let next = client.run_to_end().await;
    assert_eq!(next.last().unwrap()["payload"]["result"], "You said: and now?");
}

#[tokio::test]
async fn a_run_goes_on_without_its_client_and_its_answer_waits() {
    let server = House::scripted().start().await;
    let ada = server.guest().await;
    let mut client = server.connect(&ada).await;
    let thread = client.thread();
    client.say("linger").await;
    client.until("agent_started").await;
    let place = client.cut().await;
    super::eventually("the run ends by itself", async || {
        let history = server
            .ask(&ada, "GET", &format!("/v1/threads/{thread}/messages"), None)
            .await;
        if history.body.contains("Nearly done.") && history.json()["active_runs"] == json!([]) {
            return Ok(());
        }
        Err(history.body)
    })
    .await;
    let mut client = server.resume(&ada, &place).await;
    assert_eq!(
        client.until("agent_completed").await["payload"]["result"],
        "Nearly done."
    );
}

#[tokio::test]
async fn a_run_that_nobody_comes_back_to_is_abandoned() {
    let server = House::scripted().set("limits.grace=1s").start().await;
    let ada = server.guest().await;
    let mut client = server.connect(&ada).await;
    client.say("hang").await;
    client.until("partial_result").await;
    let place = client.cut().await;
    let history = format!("/v1/threads/{}/messages", thread_of(&server, &ada).await);
    super::eventually("the run is abandoned", async || {
        let history = server.ask(&ada, "GET", &history, None).await;
        if history.json()["active_runs"] == json!([]) {
            Ok(())
        } else {
            Err(history.body)
        }
    })
    .await;
    let mut client = server.resume(&ada, &place).await;
    let end = client.until("agent_stopped").await;
    assert_eq!(end["payload"]["stopped_by"], "abandoned");
    assert_eq!(end["payload"]["partial"], "This much was said ");
}

async fn thread_of(server: &Server, user: &User) -> String {
    let threads = server.ask(user, "GET", "/v1/threads", None).await.json();
    threads["threads"][0]["thread_id"].as_str().unwrap().to_owned()
}

/// A session in which one thing was said and answered: where its client was cut, and all events.
async fn one_answer(server: &Server, user: &User) -> (Place, Vec<Value>) {
    let mut client: Client = server.open(Door::of(user)).await;
    client.say("note something").await;
    let mut frames = client.run_to_end().await;
    frames.retain(|frame| frame.get("seq").is_some());
    (client.cut().await, frames)
}
