//! What the user tells a run at work reaches its agent, once, and nobody else's.

use std::time::Duration;

use serde_json::{Value, json};
use sessile_actors::ids::MessageId;
use sessile_actors::infra::Answer;
use sessile_actors::testing::{Probe, WorldBuilder, agent, world};

/// An agent that works for ten steps of a second, and answers with all that it was told.
fn listeners() -> WorldBuilder {
    let listener = agent("listener", async |run| {
        let mut told = vec![run.message().to_owned()];
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            told.extend(run.steering().await?);
        }
        Ok(Answer::Text(told.join(", ")))
    });
    let deaf = agent("deaf", async |_| std::future::pending().await);
    world().agent(listener.steerable()).agent(deaf)
}

async fn started(probe: &mut Probe, words: &str) -> Value {
    probe.say(words).await;
    probe.until("agent_started").await["run_id"].take()
}

async fn steer(probe: &mut Probe, id: MessageId, run: &Value, content: &str) {
    let payload = json!({"run_id": run, "content": content});
    probe
        .send(json!({"type": "steer", "message_id": id, "payload": payload}))
        .await;
}

async fn refused(probe: &mut Probe) -> Value {
    probe.until("error").await["payload"]["code"].take()
}

#[actix::test]
async fn what_a_run_is_told_is_accepted_applied_in_order_and_part_of_its_answer() {
    tokio::time::pause();
    let world = listeners().start();
    let mut ada = world.connect("ada").await;
    let run = started(&mut ada, "tea").await;
    for words in ["with milk", "no sugar"] {
        let id = MessageId::mint();
        steer(&mut ada, id, &run, words).await;
        let accepted = ada.until("steering_accepted").await;
        assert_eq!(accepted["payload"], json!({"message_id": id, "run_id": run}));
        let applied = ada.until("steering_applied").await;
        assert_eq!(applied["payload"], json!({"message_id": id, "content": words}));
        assert_eq!(applied["run_id"], run);
    }
    let end = ada.until("agent_completed").await;
    assert_eq!(end["payload"]["result"], "tea, with milk, no sugar");
    world.finish().await;
}

#[actix::test]
async fn steering_that_is_sent_again_is_applied_once() {
    tokio::time::pause();
    let world = listeners().start();
    let mut ada = world.connect("ada").await;
    let run = started(&mut ada, "tea").await;
    let id = MessageId::mint();
    for status in [Value::Null, json!("duplicate")] {
        steer(&mut ada, id, &run, "with milk").await;
        assert_eq!(ada.until("steering_accepted").await["payload"]["status"], status);
    }
    steer(&mut ada, id, &run, "with lemon").await;
    assert_eq!(refused(&mut ada).await, "conflict");
    assert_eq!(
        ada.until("agent_completed").await["payload"]["result"],
        "tea, with milk"
    );
    steer(&mut ada, id, &run, "with milk").await;
    let again = ada.until("steering_accepted").await;
    assert_eq!(again["payload"]["status"], "duplicate", "also after the run's end");
    world.finish().await;
}

#[actix::test]
async fn a_ninth_thing_that_waits_to_be_told_is_refused() {
    tokio::time::pause();
    let world = listeners().start();
    let mut ada = world.connect("ada").await;
    let run = started(&mut ada, "count").await;
    for number in 0..9 {
        steer(&mut ada, MessageId::mint(), &run, &number.to_string()).await;
    }
    assert_eq!(refused(&mut ada).await, "queue_full");
    let end = ada.until("agent_completed").await;
    assert_eq!(end["payload"]["result"], "count, 0, 1, 2, 3, 4, 5, 6, 7");
    world.finish().await;
}

#[actix::test]
async fn a_run_of_another_user_or_of_another_session_is_not_found_and_hears_nothing() {
    tokio::time::pause();
    let world = listeners().start();
    let mut ada = world.connect("ada").await;
    let run = started(&mut ada, "tea").await;
    for stranger in ["eve", "ada"] {
        let mut stranger = world.connect(stranger).await;
        steer(&mut stranger, MessageId::mint(), &run, "with poison").await;
        assert_eq!(refused(&mut stranger).await, "not_found");
    }
    assert_eq!(ada.until("agent_completed").await["payload"]["result"], "tea");
    world.finish().await;
}

#[actix::test]
async fn an_agent_that_takes_no_steering_says_so() {
    tokio::time::pause();
    let world = listeners().start();
    let mut ada = world.connect("ada").await;
    ada.message(json!({"content": "hi", "agent": "deaf"})).await;
    let run = ada.until("agent_started").await["run_id"].take();
    steer(&mut ada, MessageId::mint(), &run, "listen").await;
    assert_eq!(refused(&mut ada).await, "forbidden");
    world.finish().await;
}

#[actix::test]
async fn of_a_run_that_ends_before_it_takes_its_steering_nothing_more_is_told_than_its_end() {
    tokio::time::pause();
    let world = listeners().start();
    let mut ada = world.connect("ada").await;
    let run = started(&mut ada, "tea").await;
    steer(&mut ada, MessageId::mint(), &run, "with milk").await;
    ada.until("steering_accepted").await;
    ada.send(json!({"type": "stop_agent", "payload": {"run_id": run}}))
        .await;
    let told = ada.run_to_end().await;
    assert!(
        told.iter().all(|frame| frame["type"] != "steering_applied"),
        "{told:#?}"
    );
    assert_eq!(told.last().unwrap()["type"], "agent_stopped");
    world.finish().await;
}
