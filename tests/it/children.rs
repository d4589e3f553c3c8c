//! Child runs: a run has others do part of its work, and answers for them.

use std::time::Duration;

use serde_json::{Value, json};
use sessile_actors::infra::{AgentClass, AgentError, Answer};
use sessile_actors::protocol::server::{RunState, StepStatus, WorkflowStatus};
use sessile_actors::session::run::{ChildEnd, ChildTask, HANDED_BYTES, RunContext};
use sessile_actors::testing::{FakeTool, Probe, World, WorldBuilder, agent, world};

fn task(content: &str) -> ChildTask {
    ChildTask {
        content: content.to_owned(),
        input: Value::Null,
    }
}

/// Answers in capitals after a second, and hands back what it was given.
fn shout() -> AgentClass {
    agent("shout", async |run| {
        tokio::time::sleep(Duration::from_secs(1)).await;
        run.set_output(json!({ "given": run.input() }));
        Ok(Answer::Text(run.message().to_uppercase()))
    })
}

/// Says how far it is, then hangs in a tool.
fn stuck() -> AgentClass {
    agent("stuck", async |run| {
        run.say("so far").await?;
        run.call_tool("hang", json!({})).await?;
        Ok(Answer::Said)
    })
}

fn code(end: &ChildEnd) -> Option<&str> {
    end.error.as_ref().map(|error| error.code.as_str())
}

/// A world whose default agent does this.
fn with<F>(work: F) -> WorldBuilder
where
    F: AsyncFn(&mut RunContext) -> Result<Answer, AgentError> + Clone + Send + Sync + 'static,
{
    world()
        .agent(agent("lead", work))
        .agent(shout())
        .agent(stuck())
        .tool(FakeTool::new("hang").hangs())
}

/// Reads up to and with the end of the run that answers the message; gives each event's type and agent.
async fn told(ada: &mut Probe) -> (Vec<Value>, Vec<(String, String)>) {
    let mut frames = Vec::new();
    loop {
        frames.extend(ada.run_to_end().await);
        if frames.last().unwrap()["agent_name"] == "lead" {
            break;
        }
    }
    frames.retain(|frame| frame["seq"].is_u64());
    let text = |frame: &Value, field: &str| frame[field].as_str().unwrap().to_owned();
    let line = frames
        .iter()
        .map(|frame| (text(frame, "type"), text(frame, "agent_name")));
    let line = line.collect();
    (frames, line)
}

async fn answer_of(world: &World, words: &str) -> Value {
    let mut ada = world.connect("ada").await;
    ada.say(words).await;
    let (frames, _) = told(&mut ada).await;
    frames.last().unwrap()["payload"]["result"].clone()
}

#[actix::test]
async fn a_child_has_events_of_its_own_and_its_parent_gets_what_it_made() {
    tokio::time::pause();
    let world = with(async |run| {
        let input = json!({"results": {"triage": 7}});
        let task = ChildTask {
            content: "hello".to_owned(),
            input: input.clone(),
        };
        let end = run.child("shout", task).await?;
        assert_eq!((end.state, code(&end)), (RunState::Completed, None));
        assert_eq!(end.output, json!({ "given": input }));
        assert_eq!(run.input(), &Value::Null, "its own message came from a user");
        Ok(Answer::Text(format!("it said {}", end.result.unwrap())))
    })
    .start();
    let mut ada = world.connect("ada").await;
    ada.say("go").await;
    let (frames, line) = told(&mut ada).await;
    let expected = [
        ("agent_started", "lead"),
        ("agent_started", "shout"),
        ("partial_result", "shout"),
        ("agent_completed", "shout"),
        ("partial_result", "lead"),
        ("agent_completed", "lead"),
    ];
    assert_eq!(line, expected.map(|(kind, name)| (kind.to_owned(), name.to_owned())));
    assert_eq!(frames[1]["payload"]["parent_run_id"], frames[0]["run_id"]);
    assert_eq!(frames[1]["thread_id"], frames[0]["thread_id"]);
    assert_ne!(frames[1]["run_id"], frames[0]["run_id"]);
    assert_eq!(frames[5]["payload"]["result"], "it said HELLO");
    world.finish().await;
}

#[actix::test]
async fn a_childs_words_are_no_message_of_the_thread_and_take_no_place_of_the_users() {
    tokio::time::pause();
    let world = with(async |run| {
        run.child("shout", task("aside")).await?;
        Ok(Answer::Text("answer".to_owned()))
    })
    .limits(|limits| limits.runs_per_user = 1)
    .start();
    let (mut ada, mut other) = (world.connect("ada").await, world.connect("ada").await);
    ada.say("go").await;
    let (frames, _) = told(&mut ada).await;
    ada.send(json!({"type": "get_thread_history", "payload": {}})).await;
    let history = ada.until("thread_history").await;
    let mut words: Vec<_> = history["payload"]["messages"].as_array().unwrap().iter().collect();
    words.sort_by_key(|message| message["role"].as_str().map(str::len));
    let words: Vec<_> = words.iter().map(|message| message["content"].clone()).collect();
    assert_eq!(words, ["go", "answer"]);
    // The user's other sessions hear of the parent alone.
    other.send(json!({"type": "ping", "payload": {}})).await;
    let heard = other.collect_until("pong").await;
    let heard: Vec<_> = heard.iter().filter(|frame| frame["type"] == "thread_changed").collect();
    assert_eq!(heard.len(), 2, "its beginning and its end: {heard:?}");
    assert!(
        heard
            .iter()
            .all(|frame| frame["payload"]["run_id"] == frames[0]["run_id"])
    );
    world.finish().await;
}

#[actix::test]
async fn children_work_at_once_as_many_as_are_allowed_and_the_others_wait() {
    tokio::time::pause();
    let world = with(async |run| {
        let since = tokio::time::Instant::now();
        let children: Vec<_> = (0..5)
            .map(|n| run.spawn_child("shout", task(&format!("n{n}"))))
            .collect();
        let mut said = Vec::new();
        for child in children {
            said.push(child.await?.result.unwrap());
        }
        Ok(Answer::Text(format!(
            "{} after {}s",
            said.join(" "),
            since.elapsed().as_secs()
        )))
    })
    .limits(|limits| limits.children_at_once = 2)
    .start();
    // A second each, two at a time.
    assert_eq!(answer_of(&world, "go").await, "N0 N1 N2 N3 N4 after 3s");
    world.finish().await;
}

#[actix::test]
async fn a_child_that_may_not_begin_is_an_end_with_its_reason() {
    tokio::time::pause();
    let world = with(async |run| {
        let mut codes = Vec::new();
        let large = Value::String("x".repeat(HANDED_BYTES));
        let input = ChildTask {
            content: String::new(),
            input: large,
        };
        for (agent, task) in [
            ("nobody", task("hello")),
            ("shout", input),
            ("shout", task(&"x".repeat(HANDED_BYTES + 1))),
            ("shout", task("this one may")),
            ("shout", task("one too many")),
        ] {
            let end = run.child(agent, task).await?;
            codes.push(code(&end).unwrap_or("none").to_owned());
        }
        Ok(Answer::Text(codes.join(" ")))
    })
    .limits(|limits| limits.children_per_run = 1)
    .start();
    let codes = "no_such_agent input_too_large input_too_large none too_many_children";
    assert_eq!(answer_of(&world, "go").await, codes);
    world.finish().await;
}

#[actix::test]
async fn a_run_that_begins_itself_again_and_again_comes_to_an_end_and_the_deepest_may_still_call_a_tool() {
    tokio::time::pause();
    let world = with(async |run| {
        let depth: u64 = run.message().parse().unwrap_or(0);
        let end = run.child("lead", task(&(depth + 1).to_string())).await?;
        if code(&end) == Some("too_deep") {
            let reply = run.call_tool("look", json!({})).await?;
            return Ok(Answer::Text(format!("{depth} deep, {:?}", reply.status)));
        }
        Ok(Answer::Text(end.result.unwrap()))
    })
    .tool(FakeTool::new("look"))
    .start();
    let mut ada = world.connect("ada").await;
    ada.say("start").await;
    let mut last = Value::Null;
    for _ in 0..10 {
        last = ada.until("agent_completed").await;
    }
    assert_eq!(last["payload"]["result"], "9 deep, Ok");
    world.finish().await;
}

#[actix::test]
async fn a_child_that_panics_or_hands_back_too_much_is_told_to_its_parent_which_goes_on() {
    tokio::time::pause();
    let world = with(async |run| {
        let crash = run.child("bomb", task("")).await?;
        let large = run.child("large", task("")).await?;
        assert_eq!((crash.state, large.state), (RunState::Died, RunState::Failed));
        assert_eq!((crash.output, large.output), (Value::Null, Value::Null));
        Ok(Answer::Text(format!(
            "{} {}",
            crash.error.unwrap().code,
            large.error.unwrap().code
        )))
    })
    .agent(agent("bomb", async |run| -> Result<Answer, AgentError> {
        assert!(!run.message().is_empty(), "an agent of a test panics");
        Ok(Answer::Said)
    }))
    .agent(agent("large", async |run| {
        run.set_output(Value::String("x".repeat(HANDED_BYTES)));
        Ok(Answer::Text("fine".to_owned()))
    }))
    .start();
    assert_eq!(answer_of(&world, "go").await, "panic output_too_large");
    world.finish().await;
}

#[actix::test]
async fn a_child_whose_future_is_dropped_is_stopped_and_its_place_is_free_again() {
    tokio::time::pause();
    let world = with(async |run| {
        let stuck = run.spawn_child("stuck", task(""));
        let waited = tokio::time::timeout(Duration::from_secs(5), stuck).await;
        assert!(waited.is_err(), "it hangs");
        let next = run.child("shout", task("next")).await?;
        Ok(Answer::Text(next.result.unwrap()))
    })
    .limits(|limits| limits.children_at_once = 1)
    .start();
    let mut ada = world.connect("ada").await;
    ada.say("go").await;
    let stopped = ada.until("agent_stopped").await;
    assert_eq!(stopped["agent_name"], "stuck");
    assert_eq!(stopped["payload"]["stopped_by"], "parent");
    assert_eq!(stopped["payload"]["partial"], "so far");
    ada.until("agent_completed").await;
    assert_eq!(ada.until("agent_completed").await["payload"]["result"], "NEXT");
    world.finish().await;
}

#[actix::test]
async fn a_run_that_answers_with_children_at_work_ends_after_them() {
    tokio::time::pause();
    let world = with(async |run| {
        let _left_alone = run.spawn_child("stuck", task(""));
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok(Answer::Text("done".to_owned()))
    })
    .start();
    let mut ada = world.connect("ada").await;
    ada.say("go").await;
    let (_, line) = told(&mut ada).await;
    let ends = &line[line.len() - 4..];
    let expected = [
        ("tool_completed", "stuck"),
        ("agent_stopped", "stuck"),
        ("partial_result", "lead"),
        ("agent_completed", "lead"),
    ];
    assert_eq!(ends, expected.map(|(kind, name)| (kind.to_owned(), name.to_owned())));
    world.finish().await;
}

#[actix::test]
async fn a_stop_ends_a_run_with_a_hanging_tool_and_two_levels_of_children_within_200_ms() {
    tokio::time::pause();
    let world = with(async |run| {
        run.say("the lead so far").await?;
        let _nested = run.spawn_child("middle", task(""));
        run.call_tool("hang", json!({})).await?;
        Ok(Answer::Said)
    })
    .agent(agent("middle", async |run| {
        run.say("the middle so far").await?;
        run.child("stuck", task("")).await?;
        Ok(Answer::Said)
    }))
    .start();
    let mut ada = world.connect("ada").await;
    ada.say("go").await;
    let mut hanging = 0;
    while hanging < 2 {
        hanging += usize::from(ada.next().await.unwrap()["type"] == "tool_executing");
    }
    let since = tokio::time::Instant::now();
    ada.send(json!({"type": "stop_agent", "payload": {"reason": "enough"}}))
        .await;
    let (frames, line) = told(&mut ada).await;
    assert!(since.elapsed() < Duration::from_millis(200), "{:?}", since.elapsed());
    let expected = [
        ("tool_completed", "stuck"),
        ("agent_stopped", "stuck"),
        ("agent_stopped", "middle"),
        ("tool_completed", "lead"),
        ("agent_stopped", "lead"),
    ];
    assert_eq!(line, expected.map(|(kind, name)| (kind.to_owned(), name.to_owned())));
    let ends = frames.iter().filter(|frame| frame["type"] == "agent_stopped");
    let kept: Vec<_> = ends
        .map(|end| {
            assert_eq!(
                (&end["payload"]["stopped_by"], &end["payload"]["reason"]),
                (&json!("user"), &json!("enough"))
            );
            end["payload"]["partial"].clone()
        })
        .collect();
    assert_eq!(kept, ["so far", "the middle so far", "the lead so far"]);
    world.finish().await;
}

#[actix::test]
async fn a_stop_that_names_a_child_ends_it_alone() {
    tokio::time::pause();
    let world = with(async |run| {
        let end = run.child("stuck", task("")).await?;
        Ok(Answer::Text(format!("{:?} {}", end.state, end.error.unwrap().message)))
    })
    .start();
    let mut ada = world.connect("ada").await;
    ada.say("go").await;
    let child = ada.until("tool_executing").await["run_id"].clone();
    ada.send(json!({"type": "stop_agent", "payload": {"run_id": child, "reason": "not this one"}}))
        .await;
    let accepted = ada.until("stop_accepted").await;
    assert_eq!(accepted["payload"]["run_ids"], json!([child]));
    assert_eq!(ada.until("agent_stopped").await["run_id"], child);
    assert_eq!(
        ada.until("agent_completed").await["payload"]["result"],
        "Stopped not this one"
    );
    world.finish().await;
}

#[actix::test]
async fn a_run_whose_time_is_over_ends_to_the_second_and_its_children_first() {
    tokio::time::pause();
    let world = with(async |run| {
        tokio::time::sleep(Duration::from_secs(1)).await;
        run.child("stuck", task("")).await?;
        Ok(Answer::Said)
    })
    .limits(|limits| {
        limits.run_time = Duration::from_millis(12_300);
        limits.tool_time = Duration::from_secs(60);
    })
    .start();
    let mut ada = world.connect("ada").await;
    let since = tokio::time::Instant::now();
    ada.say("go").await;
    let (frames, line) = told(&mut ada).await;
    let took = since.elapsed();
    assert!(
        took >= Duration::from_millis(12_300) && took < Duration::from_millis(12_500),
        "{took:?}"
    );
    assert!(
        line.contains(&("agent_stopped".to_owned(), "stuck".to_owned())),
        "{line:?}"
    );
    assert_eq!(frames.last().unwrap()["payload"]["death_cause"], "timeout");
    world.finish().await;
}

#[actix::test]
async fn a_workflow_is_told_step_by_step() {
    tokio::time::pause();
    let world = with(async |run| {
        let steps = ["triage".to_owned(), "data".to_owned()];
        run.workflow_started("costs", &steps).await?;
        run.step_started("triage", 1).await?;
        run.step_completed("triage", 1, StepStatus::Completed).await?;
        run.step_completed("data", 2, StepStatus::Skipped).await?;
        run.workflow_completed("costs", WorkflowStatus::Partial).await?;
        Ok(Answer::Text(String::new()))
    })
    .start();
    let mut ada = world.connect("ada").await;
    ada.say("go").await;
    let (frames, _) = told(&mut ada).await;
    let payloads: Vec<_> = frames[1..6].iter().map(|frame| frame["payload"].clone()).collect();
    assert_eq!(
        payloads,
        [
            json!({"workflow": "costs", "steps": ["triage", "data"]}),
            json!({"step": "triage", "step_number": 1}),
            json!({"step": "triage", "step_number": 1, "status": "completed"}),
            json!({"step": "data", "step_number": 2, "status": "skipped"}),
            json!({"workflow": "costs", "status": "partial"}),
        ]
    );
    world.finish().await;
}
