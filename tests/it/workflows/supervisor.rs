//! The supervisor with the workflows that are built in: which agents run, in which order, and what it answers.

use std::sync::Arc;

use serde_json::{Value, json};
use sessile::agents::supervisor;
use sessile::workflows::Workflows;
use sessile_actors::infra::{AgentClass, Answer};
use sessile_actors::testing::{World, agent, world};

use super::kit::{brief, broken, played, worker};

/// A world with the supervisor and an agent for each of its steps; `triage` and `reporting` are given.
fn supervised(triage: AgentClass, reporting: AgentClass) -> World {
    let workflows = Arc::new(Workflows::load(None).unwrap());
    let mut world = world()
        .agent(supervisor::class(workflows))
        .agent(triage)
        .agent(reporting);
    for name in ["data", "data_helper", "optimization", "actions"] {
        world = world.agent(worker(name, json!({ "from": name })));
    }
    world.start()
}

/// An agent that finds this much data.
fn triage(sufficiency: &str) -> AgentClass {
    worker("triage", json!({ "data_sufficiency": sufficiency }))
}

/// An agent that reports whose results it was handed.
fn reporting() -> AgentClass {
    agent("reporting", async |run| {
        let steps: Vec<_> = run.input()["results"].as_object().unwrap().keys().cloned().collect();
        Ok(Answer::Text(format!("# Report\n\nOn {}.", steps.join(", "))))
    })
}

/// The agents that ran under the supervisor, in order.
fn ran(frames: &[Value]) -> Vec<String> {
    let told = brief(frames);
    let started = told.iter().filter_map(|line| line.strip_suffix(" agent_started"));
    started
        .filter(|agent| *agent != supervisor::NAME)
        .map(str::to_owned)
        .collect()
}

fn summary(frames: &[Value]) -> Value {
    let custom = frames
        .iter()
        .find(|frame| frame["type"] == "custom")
        .expect("the summary is told");
    assert_eq!(custom["payload"]["name"], "supervisor_summary");
    custom["payload"]["payload"].clone()
}

#[actix::test]
async fn the_data_that_there_are_pick_the_sequence_and_a_report_is_the_answer() {
    tokio::time::pause();
    for (sufficiency, agents, report) in [
        (
            "sufficient",
            &["triage", "data", "optimization", "actions", "reporting"] as &[&str],
            "On actions, data, optimization, triage.",
        ),
        (
            "partial",
            &["triage", "data_helper", "data", "reporting"],
            "On data, data_helper, triage.",
        ),
        (
            "insufficient",
            &["triage", "data_helper", "reporting"],
            "On data_helper, triage.",
        ),
        (
            "unknown",
            &["triage", "data_helper", "reporting"],
            "On data_helper, triage.",
        ),
        (
            "plenty",
            &["triage", "data_helper", "reporting"],
            "On data_helper, triage.",
        ),
    ] {
        let world = supervised(triage(sufficiency), reporting());
        let frames = played(&world, "where does the money go?").await;
        assert_eq!(ran(&frames), agents, "{sufficiency}");
        let last = frames.last().unwrap();
        assert_eq!(last["type"], "agent_completed");
        assert_eq!(last["payload"]["result"], format!("# Report\n\n{report}"));
        let total = agents.len();
        assert_eq!(
            summary(&frames),
            json!({"completed_agents": agents, "failed_agents": [], "total_agents": total, "success_rate": 1.0})
        );
        world.finish().await;
    }
}

#[actix::test]
async fn without_a_triage_the_data_are_unknown() {
    tokio::time::pause();
    let failing = agent("triage", async |_| Err(broken(false)));
    let world = supervised(failing, reporting());
    let frames = played(&world, "help").await;
    assert_eq!(ran(&frames), ["triage", "data_helper", "reporting"]);
    assert_eq!(summary(&frames)["failed_agents"], json!(["triage"]));
    world.finish().await;
}

#[actix::test]
async fn without_a_report_the_answer_says_what_was_done() {
    tokio::time::pause();
    let failing = agent("reporting", async |_| Err(broken(false)));
    let world = supervised(triage("partial"), failing);
    let frames = played(&world, "help").await;
    let last = frames.last().unwrap();
    assert_eq!(
        last["type"], "agent_completed",
        "a fault of the report is no fault of the run"
    );
    let told = last["payload"]["result"].as_str().unwrap();
    assert!(told.contains("The report itself could not be written."), "{told}");
    assert!(told.contains("- **data**: done"), "{told}");
    assert!(told.contains("- **reporting**: failed (broken): It broke."), "{told}");
    assert_eq!(summary(&frames)["success_rate"], 0.75);
    world.finish().await;
}

#[actix::test]
async fn a_supervisor_without_its_workflow_says_whom_to_ask() {
    tokio::time::pause();
    let text = "[workflows.other]\nsteps = [{ agent = \"a\" }]";
    let workflows = Arc::new(Workflows::from_toml("test.toml", text).unwrap());
    let world = world().agent(supervisor::class(workflows)).start();
    let frames = played(&world, "help").await;
    assert_eq!(frames.last().unwrap()["payload"]["code"], "no_workflow");
    world.finish().await;
}
