//! What tests of workflows share: an agent that follows one, agents that do as told, and runs told in short.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use sessile::workflows::{Workflows, run_workflow};
use sessile_actors::infra::{AgentClass, AgentError, Answer};
use sessile_actors::protocol::server::is_terminal_kind;
use sessile_actors::testing::{Probe, World, agent};

/// The agent `follower`: follows the workflow `w` in `text`, and answers with how that ended, as JSON.
pub fn follower(text: &str) -> AgentClass {
    let workflows = Arc::new(Workflows::from_toml("test.toml", text).unwrap());
    agent("follower", async move |run| {
        let end = run_workflow(run, workflows.course("w").unwrap()).await?;
        let steps = end.steps.iter().map(|step| format!("{} {:?}", step.step, step.status));
        let failed = end
            .failed
            .iter()
            .map(|(step, failure)| (step.clone(), json!(failure.code)));
        let told = json!({
            "status": format!("{:?}", end.status),
            "steps": steps.collect::<Vec<_>>(),
            "failed": failed.collect::<serde_json::Map<_, _>>(),
            "results": end.results,
            "report": end.report,
        });
        Ok(Answer::Text(told.to_string()))
    })
}

/// An agent that hands back `output` at once.
pub fn worker(name: &str, output: Value) -> AgentClass {
    let words = format!("{name} says so");
    agent(name, async move |run| {
        run.set_output(output.clone());
        Ok(Answer::Text(words.clone()))
    })
}

/// An agent that takes this long.
pub fn sleeper(name: &str, time: Duration) -> AgentClass {
    agent(name, async move |_| {
        tokio::time::sleep(time).await;
        Ok(Answer::Text("rested".to_owned()))
    })
}

/// A fault of an agent.
pub fn broken(retryable: bool) -> AgentError {
    AgentError::Failed {
        code: "broken",
        message: "It broke.".to_owned(),
        retryable,
    }
}

/// The frames of the run that answers `message`, its children's included.
pub async fn played(world: &World, message: &str) -> Vec<Value> {
    let mut ada = world.connect("ada").await;
    ada.say(message).await;
    to_the_end(&mut ada).await
}

/// Reads up to and with the end of a run that is nobody's child.
pub async fn to_the_end(probe: &mut Probe) -> Vec<Value> {
    let mut frames: Vec<Value> = Vec::new();
    loop {
        let frame = probe.next().await.expect("the socket lives until the run has ended");
        let is_end = frame["type"].as_str().is_some_and(is_terminal_kind);
        let is_first = frame["agent_name"] == "follower" || frame["agent_name"] == "supervisor";
        frames.push(frame);
        if is_end && is_first {
            return frames;
        }
    }
}

/// Reads until this agent begins.
pub async fn until_started(probe: &mut Probe, agent: &str) {
    while probe.until("agent_started").await["agent_name"] != agent {}
}

/// Each event in a line: its agent, its type, and what it says of steps. Without pieces of text and control frames.
pub fn brief(frames: &[Value]) -> Vec<String> {
    let line = |frame: &Value| {
        let payload = &frame["payload"];
        let words = [
            &frame["agent_name"],
            &frame["type"],
            &payload["workflow"],
            &payload["step"],
        ];
        let words = words.into_iter().filter_map(Value::as_str);
        let status = payload["status"]
            .as_str()
            .filter(|_| frame["type"] != "agent_started" && !frame["type"].as_str().is_some_and(is_terminal_kind));
        words.chain(status).collect::<Vec<_>>().join(" ")
    };
    let events = frames
        .iter()
        .filter(|frame| frame["seq"].is_u64() && frame["type"] != "partial_result");
    events.map(line).collect()
}

/// The answer of `follower`, which ends the frames.
pub fn answer(frames: &[Value]) -> Value {
    let last = frames.last().expect("a run has an end");
    assert_eq!(last["type"], "agent_completed", "{last}");
    serde_json::from_str(last["payload"]["result"].as_str().expect("an answer")).expect("the follower answers in JSON")
}
