//! What only a run that breaks its rules can show: no agent can, so these reach behind [`RunContext`].

use serde_json::{Value, json};

use super::*;
use crate::infra::agents::Answer;
use crate::testing::{World, agent, world};

fn calls(call_id: CallId) -> Event {
    Event::ToolExecuting {
        call_id,
        tool_name: "search".to_owned(),
        parameters: json!({}),
    }
}

fn asks(call_id: CallId) -> Event {
    Event::ToolApprovalRequested {
        call_id,
        tool_name: "search".to_owned(),
        parameters: json!({}),
        arguments_sha256: String::new(),
        expires_at: String::new(),
    }
}

fn kinds(frames: &[Value]) -> Vec<&str> {
    frames.iter().filter_map(|frame| frame["type"].as_str()).collect()
}

/// A world whose run asks for leave for a call that is not open.
fn broken() -> World {
    let broken = agent("broken", async |run| {
        if run.message() != "break it" {
            return Ok(Answer::Text("fine".to_owned()));
        }
        run.say("so far").await?;
        run.emitter.emit(calls(CallId::mint())).await?;
        // The engine lets this pass: it is seen where events are numbered.
        let told = run.emitter.emit_durably(asks(CallId::mint())).await;
        assert_eq!(told, Err(RunOver), "nothing comes of what is not told");
        Ok(Answer::Text("never told".to_owned()))
    });
    world().agent(broken).start()
}

#[actix::test]
async fn an_event_that_breaks_the_lifecycle_is_not_told_and_ends_its_run_but_not_the_session() {
    tokio::time::pause();
    let world = broken();
    let mut ada = world.connect("ada").await;
    ada.say("break it").await;
    let frames = ada.run_to_end().await;
    assert_eq!(
        kinds(&frames),
        [
            "message_accepted",
            "agent_started",
            "partial_result",
            "tool_executing",
            "tool_completed",
            "agent_error"
        ]
    );
    let end = &frames[5]["payload"];
    assert_eq!(
        (&end["code"], &end["partial"]),
        (&json!("lifecycle_violation"), &json!("so far"))
    );
    ada.say("still there?").await;
    assert_eq!(ada.until("agent_completed").await["payload"]["result"], "fine");
    world.finish_after_violations(1).await;
}

#[actix::test]
async fn what_the_engine_refuses_of_a_run_ends_that_run() {
    tokio::time::pause();
    let liar = agent("liar", async |run| {
        let end = Event::AgentStopped {
            stopped_by: crate::protocol::server::StoppedBy::User,
            reason: "I say so".to_owned(),
            partial: None,
            discarded_message_ids: Vec::new(),
        };
        run.emitter.emit(end).await?;
        Ok(Answer::Said)
    });
    let world = world().agent(liar).start();
    let mut ada = world.connect("ada").await;
    ada.say("go").await;
    let frames = ada.run_to_end().await;
    assert_eq!(kinds(&frames), ["message_accepted", "agent_started", "agent_error"]);
    assert_eq!(frames[2]["payload"]["code"], "lifecycle_violation");
    world.finish_after_violations(1).await;
}
