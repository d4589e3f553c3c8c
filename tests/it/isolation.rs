//! No event of one user reaches another, and nobody waits for somebody else.

use std::time::Duration;

use serde_json::{Value, json};
use sessile_actors::infra::{AgentError, Answer};
use sessile_actors::session::actor::Resume;
use sessile_actors::testing::{Ending, FakeTool, WorldBuilder, agent, world};
use sessile_actors::{ids::Seq, protocol::CloseCode};
use tokio::time::Instant;

/// An agent that says the user's words in pieces, thinks them, and passes them through a tool.
fn parrots() -> WorldBuilder {
    let parrot = agent("parrot", async |run| {
        let words = run.message().to_owned();
        run.think(format!("about {words}")).await?;
        let reply = run.call_tool("mirror", json!({ "words": words })).await?;
        run.say(&reply.result["arguments"]["words"].to_string()).await?;
        for _ in 0..5 {
            tokio::time::sleep(Duration::from_millis(20)).await;
            run.say(&words).await?;
        }
        Ok(Answer::Said)
    });
    world().agent(parrot).tool(FakeTool::new("mirror"))
}

#[actix::test]
async fn of_two_users_at_once_no_frame_of_one_holds_the_others_canary() {
    tokio::time::pause();
    let world = parrots().start();
    let (mut ada, mut bob) = (world.connect("ada").await, world.connect("bob").await);
    for round in 0..10 {
        ada.say(&format!("canary-of-ada-{round}")).await;
        bob.say(&format!("canary-of-bob-{round}")).await;
        let (told_ada, told_bob) = (ada.run_to_end().await, bob.run_to_end().await);
        for (told, own, foreign) in [(told_ada, "ada", "bob"), (told_bob, "bob", "ada")] {
            let text = Value::from(told).to_string();
            assert!(
                text.contains(&format!("canary-of-{own}-{round}")),
                "{own}'s own words came"
            );
            assert!(
                !text.contains(&format!("canary-of-{foreign}")),
                "{own} got {foreign}'s words"
            );
        }
    }
    world.finish().await;
}

#[actix::test]
async fn a_slow_run_of_one_user_delays_anothers_fast_run_by_not_a_millisecond() {
    tokio::time::pause();
    let slow_or_fast = agent("worker", async |run| {
        if run.message() == "slow" {
            tokio::time::sleep(Duration::from_secs(300)).await;
        }
        Ok(Answer::Text("done".to_owned()))
    });
    let world = world().agent(slow_or_fast).start();
    let (mut ada, mut bob) = (world.connect("ada").await, world.connect("bob").await);
    ada.say("slow").await;
    ada.until("agent_started").await;
    let before = Instant::now();
    bob.say("fast").await;
    bob.until("agent_completed").await;
    assert_eq!(before.elapsed(), Duration::ZERO);
    world.finish().await;
}

#[actix::test]
async fn a_stuck_tool_of_one_user_leaves_anothers_tools_alone() {
    tokio::time::pause();
    let caller = agent("caller", async |run| {
        let tool = run.message().to_owned();
        let reply = run.call_tool(&tool, json!({})).await?;
        Ok(Answer::Text(format!("{:?}", reply.status)))
    });
    let world = world()
        .agent(caller)
        .tool(FakeTool::new("stuck").hangs())
        .tool(FakeTool::new("quick"))
        .start();
    let (mut ada, mut bob) = (world.connect("ada").await, world.connect("bob").await);
    ada.say("stuck").await;
    ada.until("tool_executing").await;
    let before = Instant::now();
    bob.say("quick").await;
    assert_eq!(bob.until("agent_completed").await["payload"]["result"], "Ok");
    assert_eq!(before.elapsed(), Duration::ZERO);
    assert_eq!(ada.until("tool_completed").await["payload"]["status"], "timeout");
    assert_eq!(before.elapsed().as_secs(), 30);
    ada.until("agent_completed").await;
    world.finish().await;
}

#[actix::test]
async fn a_session_id_of_someone_else_opens_nothing_and_says_nothing() {
    tokio::time::pause();
    let world = world().start();
    let mut ada = world.connect("ada").await;
    ada.say("a secret of ada").await;
    ada.run_to_end().await;
    let resume = Some(Resume {
        last_seq: Seq(0),
        epoch: Some(ada.epoch()),
    });
    let unknown = "2f5e8b1c-9d4a-4c37-8e06-5b7a1d3f9c24".parse().unwrap();
    for session in [ada.session_id(), unknown] {
        let mut eve = world.try_attach("eve", Some(session), resume).await.unwrap();
        assert!(eve.next().await.is_none(), "nothing is told");
        assert_eq!(eve.ending(), Some(&Ending::Closed(CloseCode::NoSuchSession)));
    }
    ada.say("still here").await;
    assert_eq!(ada.until("agent_completed").await["payload"]["result"], "still here");
    world.finish().await;
}

#[actix::test]
async fn a_thread_of_someone_else_is_not_found_by_any_frame() {
    tokio::time::pause();
    let world = world().start();
    let (mut ada, mut eve) = (world.connect("ada").await, world.connect("eve").await);
    ada.say("a secret of ada").await;
    let thread = ada.until("message_accepted").await["payload"]["thread_id"].clone();
    ada.run_to_end().await;
    for frame in [
        json!({"type": "user_message", "payload": {"content": "hi", "thread_id": thread}}),
        json!({"type": "get_thread_history", "thread_id": thread}),
        json!({"type": "switch_thread", "payload": {"thread_id": thread}}),
        json!({"type": "rename_thread", "payload": {"thread_id": thread, "name": "mine"}}),
        json!({"type": "delete_thread", "payload": {"thread_id": thread}}),
    ] {
        eve.send(frame.clone()).await;
        let error = eve.until("error").await;
        assert_eq!(error["payload"]["code"], "not_found", "{frame}");
    }
    eve.send(json!({"type": "list_threads", "payload": {}})).await;
    assert_eq!(eve.until("thread_list").await["payload"]["threads"], json!([]));
    world.finish().await;
}

#[actix::test]
async fn a_thousand_sessions_in_one_process_get_exactly_their_own_events_in_order() {
    tokio::time::pause();
    let world = parrots().start();
    let mut probes = Vec::new();
    for n in 0..1_000 {
        let mut probe = world.connect(&format!("user-{n}")).await;
        probe.say(&format!("canary-{n}-end")).await;
        probes.push(probe);
    }
    for (n, probe) in probes.iter_mut().enumerate() {
        // The probe itself fails on a hole, a repeat or a swap in `seq`.
        let told = Value::from(probe.run_to_end().await).to_string();
        let (own, all) = (format!("canary-{n}-end"), told.matches("canary-").count());
        assert!(
            all > 0 && told.matches(&own).count() == all,
            "user {n} got a foreign event"
        );
    }
    assert_eq!(world.census().await.sessions, 1_000);
    world.finish().await;
}

#[actix::test]
async fn a_panicking_session_leaves_its_neighbours_alone() {
    tokio::time::pause();
    let world = world()
        .agent(agent("fragile", async |run| -> Result<Answer, AgentError> {
            assert!(run.message() != "die", "an agent of a test panics");
            Ok(Answer::Text("fine".to_owned()))
        }))
        .start();
    let (mut ada, mut bob) = (world.connect("ada").await, world.connect("bob").await);
    ada.say("die").await;
    bob.say("live").await;
    assert_eq!(bob.until("agent_completed").await["payload"]["result"], "fine");
    ada.until("agent_death").await;
    assert_eq!(bob.waiting(), 0, "nobody else's death is told");
    world.finish().await;
}
