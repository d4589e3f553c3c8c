//! The life of sessions and runs: every run ends once, panics stay where they happen, sessions come back.

use std::time::Duration;

use serde_json::json;
use sessile_actors::infra::{AgentError, Answer};
use sessile_actors::supervisor::Refusal;
use sessile_actors::testing::{FakeTool, agent, world};

#[actix::test]
async fn a_message_is_accepted_then_answered_and_the_run_ends_once() {
    tokio::time::pause();
    let world = world().start();
    let mut ada = world.connect("ada").await;
    ada.say("hello").await;
    let frames = ada.run_to_end().await;
    let kinds: Vec<_> = frames
        .iter()
        .map(|frame| frame["type"].as_str().unwrap_or(""))
        .collect();
    assert_eq!(
        kinds,
        [
            "message_accepted",
            "agent_started",
            "partial_result",
            "partial_result",
            "agent_completed"
        ]
    );
    assert_eq!(frames[4]["payload"]["result"], "hello");
    world.finish().await;
}

#[actix::test]
async fn a_panicking_tool_ends_its_call_not_the_run() {
    tokio::time::pause();
    let world = world()
        .agent(agent("caller", async |run| {
            let reply = run.call_tool("bomb", json!({})).await?;
            Ok(Answer::Text(format!("{:?}", reply.status)))
        }))
        .tool(FakeTool::new("bomb").panics())
        .start();
    let mut ada = world.connect("ada").await;
    ada.say("go").await;
    let frames = ada.run_to_end().await;
    let completed = frames
        .iter()
        .find(|frame| frame["type"] == "tool_completed")
        .expect("the call is told");
    assert_eq!(completed["payload"]["status"], "panicked");
    assert_eq!(frames.last().expect("an end")["payload"]["result"], "Panicked");
    world.finish().await;
}

#[actix::test]
async fn a_panicking_agent_ends_its_run_not_the_session() {
    tokio::time::pause();
    let world = world()
        .agent(agent("fragile", async |run| -> Result<Answer, AgentError> {
            assert!(run.message() != "die", "an agent of a test panics");
            Ok(Answer::Text("alive".to_owned()))
        }))
        .start();
    let mut ada = world.connect("ada").await;
    ada.say("die").await;
    let death = ada.until("agent_death").await;
    assert_eq!(death["payload"]["death_cause"], "panic");
    ada.say("still there?").await;
    assert_eq!(ada.until("agent_completed").await["payload"]["result"], "alive");
    world.finish().await;
}

#[actix::test]
async fn a_run_that_takes_too_long_is_ended_and_told() {
    tokio::time::pause();
    let world = world()
        .agent(agent("sleeper", async |_| {
            tokio::time::sleep(Duration::from_secs(3_600)).await;
            Ok(Answer::Said)
        }))
        .start();
    let mut ada = world.connect("ada").await;
    ada.say("go").await;
    // Longer than a probe waits: the run's time is ten minutes.
    ada.until("agent_started").await;
    tokio::time::sleep(Duration::from_secs(599)).await;
    assert_eq!(ada.until("agent_death").await["payload"]["death_cause"], "timeout");
    world.finish().await;
}

#[actix::test]
async fn an_idle_session_without_a_socket_makes_room_for_another_of_its_user_and_a_busy_one_does_not() {
    tokio::time::pause();
    let world = world()
        .agent(agent("sleeper", async |_| {
            tokio::time::sleep(Duration::from_secs(60)).await;
            Ok(Answer::Said)
        }))
        .limits(|limits| limits.sessions_per_user = 2)
        .start();
    let (mut busy, mut idle) = (world.connect("ada").await, world.connect("ada").await);
    busy.say("work").await;
    busy.until("agent_started").await;
    busy.cut().await;
    let refused = world.try_attach("ada", None, None).await.err();
    assert_eq!(refused, Some(Refusal::UserLimit), "nobody rests");
    idle.cut().await;
    let third = world.connect("ada").await;
    assert_eq!(world.census().await.sessions, 2, "the idle one has left");
    let mut busy = world.resume(&busy).await;
    busy.until("agent_completed").await;
    drop(third);
    world.finish().await;
}

#[actix::test]
async fn a_session_whose_messages_wait_buys_its_user_no_more_than_one_session_beyond_the_limit() {
    tokio::time::pause();
    let world = world()
        .agent(agent("sleeper", async |_| {
            tokio::time::sleep(Duration::from_secs(300)).await;
            Ok(Answer::Said)
        }))
        .limits(|limits| limits.sessions_per_user = 2)
        .start();
    let (mut busy, mut waiting) = (world.connect("ada").await, world.connect("ada").await);
    waiting.say("first").await;
    let thread = waiting.until("agent_started").await["thread_id"].clone();
    waiting.say("second").await;
    waiting.until("message_accepted").await;
    // Another session takes the thread: the second message waits for it, and nothing runs here.
    busy.message(json!({"content": "third", "thread_id": thread, "on_busy": "interrupt"}))
        .await;
    busy.until("agent_started").await;
    waiting.run_to_end().await;
    for _ in 0..3 {
        waiting.cut().await;
        if let Ok(mut extra) = world.try_attach("ada", None, None).await {
            extra.until("connection_established").await;
        }
        waiting = world.resume(&waiting).await;
    }
    let sessions = world.census().await.sessions;
    assert!(sessions <= 3, "{sessions} sessions");
    world.finish().await;
}
