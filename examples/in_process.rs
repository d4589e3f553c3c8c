//! Two users in one process, without a network: an agent, a tool, and the proof that neither saw the other's words.
//!
//! Run it by `cargo run --example in_process`. The test kit that it uses is `sessile_actors::testing`; a server gives its
//! sessions sockets instead of probes, and nothing else is different.

use async_trait::async_trait;
use serde_json::{Value, json};
use sessile_actors::infra::{Answer, Tool, ToolContext, ToolError, ToolSpec};
use sessile_actors::testing::{Probe, agent, world};

/// A tool: one instance serves all users, so it holds nothing of any of them. Who calls stands in the context alone.
struct Counter;

#[async_trait]
impl Tool for Counter {
    fn spec(&self) -> ToolSpec {
        ToolSpec::new(
            "count_characters",
            "Counts the characters of a text.",
            json!({
                "type": "object",
                "properties": { "text": { "type": "string" } },
                "required": ["text"],
            }),
        )
        .idempotent()
    }

    async fn call(&self, context: ToolContext, arguments: Value) -> Result<Value, ToolError> {
        let count = arguments["text"].as_str().unwrap_or_default().chars().count();
        Ok(json!({ "characters": count, "for": context.user.user() }))
    }
}

#[actix::main]
async fn main() {
    // An agent: made afresh for each run, so what it holds is that run's alone.
    let critic = agent("critic", async |run| {
        let text = run.message().to_owned();
        run.think("I count before I judge.").await?;
        let counted = run.call_tool("count_characters", json!({ "text": text })).await?;
        run.say(&format!("\"{text}\" has {} characters.", counted.result["characters"]))
            .await?;
        Ok(Answer::Said)
    });
    let world = world().agent(critic).tool(Counter).start();

    // Each connection is an actor of its own, and both work at once.
    let (mut ada, mut bob) = (world.connect("ada").await, world.connect("bob").await);
    ada.say("the engine weaves algebra").await;
    bob.say("a lighthouse in the fog").await;

    let (told_ada, told_bob) = (conversation(&mut ada).await, conversation(&mut bob).await);
    assert!(told_ada.contains("algebra") && !told_ada.contains("lighthouse"));
    assert!(told_bob.contains("lighthouse") && !told_bob.contains("algebra"));
    println!("Neither saw the other's words.");

    // Fails if an actor or a task outlives its session.
    world.finish().await;
}

/// Prints what one user is told until the run has ended, and gives it back as text.
async fn conversation(probe: &mut Probe) -> String {
    println!("{} is told:", probe.user());
    let frames = probe.run_to_end().await;
    for frame in &frames {
        let seq = frame["seq"].as_u64().map_or("-".to_owned(), |seq| seq.to_string());
        println!(
            "  {seq:>2} {:<17} {}",
            frame["type"].as_str().unwrap_or_default(),
            line(frame)
        );
    }
    println!();
    Value::from(frames).to_string()
}

/// What is of interest in a frame.
fn line(frame: &Value) -> String {
    let payload = &frame["payload"];
    ["reasoning", "parameters", "result", "content", "status"]
        .iter()
        .map(|field| &payload[field])
        .find(|value| !value.is_null())
        .map(ToString::to_string)
        .unwrap_or_default()
}
