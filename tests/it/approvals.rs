//! A tool that needs approval starts when a person has said so, with exactly what was shown, and otherwise never.

use std::time::Duration;

use serde_json::{Value, json};
use sessile_actors::ids::MessageId;
use sessile_actors::infra::Answer;
use sessile_actors::testing::{FakeTool, Probe, World, WorldBuilder, agent, world};
use tokio::time::{Instant, sleep};

const HOUR: Duration = Duration::from_secs(3600);

/// An agent that has something erased, and answers with how that ended.
fn erasers() -> WorldBuilder {
    let eraser = agent("eraser", async |run| {
        let what = run.message().to_owned();
        let reply = run.call_tool("erase", json!({"what": what, "token": "t"})).await?;
        Ok(Answer::Text(json!([reply.status, reply.result]).to_string()))
    });
    world().agent(eraser).tool(FakeTool::new("erase").needs_approval())
}

/// Has something erased; returns the request for approval, which came after its `tool_executing`.
async fn asked(probe: &mut Probe, what: &str) -> Value {
    probe.say(what).await;
    let told = probe.collect_until("tool_approval_requested").await;
    let executing = told.iter().find(|frame| frame["type"] == "tool_executing").unwrap();
    let request = told.last().unwrap().clone();
    assert_eq!(executing["payload"]["call_id"], request["payload"]["call_id"]);
    request
}

async fn decide(probe: &mut Probe, id: MessageId, request: &Value, decision: &str) {
    let payload = json!({"call_id": request["payload"]["call_id"], "decision": decision, "note": "I say so"});
    let frame = json!({"type": "tool_decision", "message_id": id, "payload": payload});
    probe.send(frame).await;
}

async fn decided(probe: &mut Probe, request: &Value, decision: &str) -> Vec<Value> {
    decide(probe, MessageId::mint(), request, decision).await;
    probe.until("decision_accepted").await;
    probe.run_to_end().await
}

async fn refused(probe: &mut Probe) -> Value {
    probe.until("error").await["payload"]["code"].take()
}

/// What was told, but for pieces of the answer.
fn kinds(told: &[Value]) -> Vec<&str> {
    let kinds = told.iter().map(|frame| frame["type"].as_str().unwrap());
    kinds.filter(|kind| *kind != "partial_result").collect()
}

fn result(told: &[Value]) -> Value {
    let result = told.last().unwrap()["payload"]["result"].as_str().unwrap();
    serde_json::from_str(result).unwrap()
}

async fn history(probe: &mut Probe) -> Value {
    probe.send(json!({"type": "get_thread_history", "payload": {}})).await;
    probe.until("thread_history").await["payload"].take()
}

#[actix::test]
async fn an_approved_call_starts_after_its_decision_with_exactly_the_arguments_that_were_shown() {
    tokio::time::pause();
    let world = erasers().start();
    let mut ada = world.connect("ada").await;
    let request = asked(&mut ada, "all").await;
    let payload = &request["payload"];
    assert_eq!(payload["tool_name"], "erase");
    assert_eq!(payload["parameters"], json!({"what": "all", "token": "[REDACTED]"}));
    // Of the canonical arguments, secrets included: `printf '{"token":"t","what":"all"}' | sha256sum`.
    assert_eq!(
        payload["arguments_sha256"],
        "fa9448784d2f5a1d023d5d57b79cf650e4ecef159528da6da933b754ff00576b"
    );
    let told = decided(&mut ada, &request, "approve").await;
    assert_eq!(
        kinds(&told),
        ["tool_approval_decided", "tool_completed", "agent_completed"]
    );
    let decision = json!({"call_id": payload["call_id"], "decision": "approve", "note": "I say so"});
    assert_eq!(told[0]["payload"], decision);
    assert_eq!(told[1]["payload"]["status"], "ok");
    let brought = json!({"arguments": {"what": "all", "token": "t"}, "user": "ada"});
    assert_eq!(result(&told), json!(["ok", brought]));
    world.finish().await;
}

#[actix::test]
async fn a_denied_call_never_starts_and_its_agent_is_told_why() {
    tokio::time::pause();
    let world = erasers().start();
    let mut ada = world.connect("ada").await;
    let request = asked(&mut ada, "all").await;
    let told = decided(&mut ada, &request, "deny").await;
    assert_eq!(
        kinds(&told),
        ["tool_approval_decided", "tool_completed", "agent_completed"]
    );
    assert_eq!(told[1]["payload"]["status"], "denied");
    let why = "the user denied this call of `erase`; it did not start: I say so";
    assert_eq!(result(&told), json!(["denied", why]));
    world.finish().await;
}

#[actix::test]
async fn a_call_that_nobody_decides_in_an_hour_never_starts() {
    tokio::time::pause();
    let world = erasers().start();
    let mut ada = world.connect("ada").await;
    let since = Instant::now();
    asked(&mut ada, "all").await;
    // A probe gives up after two minutes without a frame: this one asks for its history meanwhile.
    while since.elapsed() < HOUR {
        assert_eq!(history(&mut ada).await["active_runs"][0]["state"], "waiting");
        sleep(Duration::from_secs(60)).await;
    }
    let told = ada.run_to_end().await;
    assert_eq!(told[0]["payload"]["decision"], "expired");
    let why = "nobody approved this call of `erase` in time; it did not start";
    assert_eq!(result(&told), json!(["denied", why]));
    world.finish().await;
}

#[actix::test]
async fn the_first_decision_stands_and_a_repeat_of_it_is_answered_again() {
    tokio::time::pause();
    let slow = FakeTool::new("erase").needs_approval().takes(Duration::from_secs(5));
    let eraser = agent("eraser", async |run| {
        run.call_tool("erase", json!({})).await?;
        Ok(Answer::Said)
    });
    let world = world().agent(eraser).tool(slow).start();
    let mut ada = world.connect("ada").await;
    let request = asked(&mut ada, "all").await;
    let first = MessageId::mint();
    decide(&mut ada, first, &request, "approve").await;
    let accepted = ada.until("decision_accepted").await;
    let call = &request["payload"]["call_id"];
    assert_eq!(accepted["payload"], json!({"message_id": first, "call_id": call}));
    decide(&mut ada, MessageId::mint(), &request, "deny").await;
    assert_eq!(refused(&mut ada).await, "conflict");
    decide(&mut ada, first, &request, "deny").await;
    assert_eq!(refused(&mut ada).await, "conflict", "the same id for something else");
    decide(&mut ada, first, &request, "approve").await;
    let again = ada.until("decision_accepted").await;
    assert_eq!(again["payload"]["status"], "duplicate");
    let told = ada.run_to_end().await;
    assert_eq!(told[told.len() - 2]["payload"]["status"], "ok");
    decide(&mut ada, MessageId::mint(), &request, "deny").await;
    assert_eq!(refused(&mut ada).await, "not_found", "its run has ended");
    world.finish().await;
}

#[actix::test]
async fn nobody_else_decides_a_users_call_not_even_from_another_session_of_theirs() {
    tokio::time::pause();
    let world = erasers().start();
    let mut ada = world.connect("ada").await;
    let request = asked(&mut ada, "all").await;
    for stranger in ["eve", "ada"] {
        let mut stranger = world.connect(stranger).await;
        decide(&mut stranger, MessageId::mint(), &request, "approve").await;
        assert_eq!(refused(&mut stranger).await, "not_found");
    }
    let told = decided(&mut ada, &request, "deny").await;
    assert_eq!(told[1]["payload"]["status"], "denied");
    world.finish().await;
}

/// Waits this long in the world's time, while nobody's socket is looked at.
async fn hours_pass(world: &World, hours: u32) {
    sleep(HOUR * hours).await;
    assert_eq!(
        world.census().await.sessions,
        1,
        "a session whose run waits stays in memory"
    );
}

#[actix::test]
async fn waiting_for_a_person_counts_on_no_time_and_outlasts_every_socket() {
    tokio::time::pause();
    let world = erasers().limits(|limits| limits.approval_time = HOUR * 100).start();
    let mut ada = world.connect("ada").await;
    let request = asked(&mut ada, "all").await;
    ada.cut().await;
    // Beyond the run's time, the tool's time, the grace without a socket, and the idle time of a session.
    hours_pass(&world, 24).await;
    let mut ada = world.resume(&ada).await;
    let told = decided(&mut ada, &request, "approve").await;
    assert_eq!(told[1]["payload"]["status"], "ok");
    assert_eq!(told[1]["payload"]["execution_time_ms"], 0, "the time of the tool alone");
    world.finish().await;
}

#[actix::test]
async fn a_run_has_the_time_that_it_had_left_when_it_goes_on() {
    tokio::time::pause();
    let eraser = agent("eraser", async |run| {
        sleep(Duration::from_secs(60)).await;
        run.call_tool("erase", json!({})).await?;
        sleep(Duration::from_secs(60)).await;
        Ok(Answer::Said)
    });
    let world = world()
        .agent(eraser)
        .tool(FakeTool::new("erase").needs_approval())
        .limits(|limits| limits.run_time = Duration::from_secs(100))
        .start();
    let mut ada = world.connect("ada").await;
    ada.say("all").await;
    ada.until("tool_executing").await;
    let request = ada.until("tool_approval_requested").await;
    sleep(HOUR / 2).await;
    let since = Instant::now();
    decide(&mut ada, MessageId::mint(), &request, "approve").await;
    let told = ada.run_to_end().await;
    assert_eq!(told.last().unwrap()["payload"]["death_cause"], "timeout");
    // Its clock began a moment before its task did.
    let (left, moment) = (since.elapsed(), Duration::from_millis(10));
    assert!(left.abs_diff(Duration::from_secs(40)) < moment, "{left:?} were left");
    world.finish().await;
}

#[actix::test]
async fn calls_that_wait_for_a_person_take_no_place_of_calls_at_work() {
    tokio::time::pause();
    let caller = agent("caller", async |run| {
        let tool = run.message().to_owned();
        let reply = run.call_tool(&tool, json!({})).await?;
        Ok(Answer::Text(format!("{:?}", reply.status)))
    });
    let world = world()
        .agent(caller)
        .tool(FakeTool::new("erase").needs_approval())
        .tool(FakeTool::new("look"))
        .limits(|limits| limits.tool_calls_at_once = 1)
        .start();
    let mut ada = world.connect("ada").await;
    ada.say("erase").await;
    ada.until("tool_approval_requested").await;
    let elsewhere = json!({"type": "start_agent", "payload": {"user_request": "look", "thread_id": null}});
    ada.send(elsewhere).await;
    assert_eq!(ada.until("agent_completed").await["payload"]["result"], "Ok");
    world.finish().await;
}

#[actix::test]
async fn a_page_that_is_loaded_anew_finds_what_waits_for_a_decision() {
    tokio::time::pause();
    let world = erasers().start();
    let mut ada = world.connect("ada").await;
    let request = asked(&mut ada, "all").await;
    let read = history(&mut ada).await;
    let mut pending = request["payload"].clone();
    pending["run_id"] = request["run_id"].clone();
    assert_eq!(read["pending_approvals"], json!([pending]));
    assert_eq!(read["active_runs"][0]["state"], "waiting");
    decided(&mut ada, &request, "approve").await;
    assert_eq!(history(&mut ada).await["pending_approvals"], json!([]));
    world.finish().await;
}

#[actix::test]
async fn a_stop_ends_a_call_that_waits_and_then_its_run() {
    tokio::time::pause();
    let world = erasers().start();
    let mut ada = world.connect("ada").await;
    let request = asked(&mut ada, "all").await;
    ada.send(json!({"type": "stop_agent", "payload": {}})).await;
    let told = ada.run_to_end().await;
    assert_eq!(kinds(&told), ["stop_accepted", "tool_completed", "agent_stopped"]);
    assert_eq!(told[1]["payload"]["status"], "cancelled");
    decide(&mut ada, MessageId::mint(), &request, "approve").await;
    assert_eq!(refused(&mut ada).await, "not_found");
    world.finish().await;
}

#[actix::test]
async fn arguments_that_do_not_fit_are_refused_before_anybody_is_asked() {
    tokio::time::pause();
    let eraser = agent("eraser", async |run| {
        let reply = run.call_tool("erase", json!("not an object")).await?;
        Ok(Answer::Text(format!("{:?}", reply.status)))
    });
    let world = world()
        .agent(eraser)
        .tool(FakeTool::new("erase").needs_approval())
        .start();
    let mut ada = world.connect("ada").await;
    ada.say("all").await;
    let told = ada.run_to_end().await;
    assert!(!kinds(&told).contains(&"tool_approval_requested"), "{told:#?}");
    assert_eq!(told.last().unwrap()["payload"]["result"], "Error");
    world.finish().await;
}

#[actix::test]
async fn a_role_that_is_missing_is_told_before_anybody_is_asked() {
    tokio::time::pause();
    let eraser = agent("eraser", async |run| {
        let reply = run.call_tool("erase", json!({})).await?;
        Ok(Answer::Text(format!("{:?}", reply.status)))
    });
    let tool = FakeTool::new("erase").needs_approval().role("admin");
    let world = world().agent(eraser).tool(tool).start();
    let mut ada = world.connect("ada").await;
    ada.say("all").await;
    let told = ada.run_to_end().await;
    assert!(!kinds(&told).contains(&"tool_approval_requested"), "{told:#?}");
    assert_eq!(told.last().unwrap()["payload"]["result"], "Denied");
    world.finish().await;
}

#[actix::test]
async fn a_session_that_dies_while_a_call_waits_ends_it_as_unknown_and_knows_no_decision_after() {
    tokio::time::pause();
    let world = erasers().start();
    let mut ada = world.connect("ada").await;
    let request = asked(&mut ada, "all").await;
    let journal = &world.infra().journal;
    let context = sessile_actors::context::SessionContext::new(sessile_actors::testing::user("ada"), ada.session_id());
    // Another incarnation takes over: this one is fenced off with its next commit.
    let revived = journal.revive(context, std::time::SystemTime::now()).await.unwrap();
    assert_eq!(revived.runs[0].open_calls.len(), 1);
    decide(&mut ada, MessageId::mint(), &request, "approve").await;
    ada.closed().await;
    let mut ada = world.resume(&ada).await;
    let told = ada.run_to_end().await;
    assert_eq!(told[0]["payload"]["status"], "unknown");
    assert_eq!(told.last().unwrap()["type"], "agent_death");
    decide(&mut ada, MessageId::mint(), &request, "approve").await;
    assert_eq!(refused(&mut ada).await, "not_found");
    world.finish().await;
}
