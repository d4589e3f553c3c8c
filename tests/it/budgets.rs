//! Budgets: a run, a session and a user use what they may, are warned before, and no more than one call beyond.

use std::sync::{Arc, mpsc};
use std::time::{Duration, SystemTime};

use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use sessile_actors::budgets::{Charge, Window};
use sessile_actors::context::SessionContext;
use sessile_actors::ids::Seq;
use sessile_actors::infra::journal::{
    Batch, EventPage, Journal, JournalError, Opened, ReadLimit, ReviveError, Revived, StoreCommand, StoreReply,
};
use sessile_actors::infra::memory::MemoryJournal;
use sessile_actors::infra::model::ModelUsage;
use sessile_actors::infra::{AgentClass, Answer, ThreadStore as _};
use sessile_actors::limits::Limits;
use sessile_actors::session::run::ChildTask;
use sessile_actors::testing::{FakeTool, Probe, World, WorldBuilder, agent, user, world};

mod properties;

/// An agent that calls a model for each number of its message, which uses so many tokens, and says each number that it had.
fn spender() -> AgentClass {
    agent("spender", async |run| {
        let numbers: Vec<u64> = run.message().split(' ').filter_map(|word| word.parse().ok()).collect();
        for tokens in numbers {
            let used = ModelUsage {
                input_tokens: tokens,
                output_tokens: 0,
                cost_micros: tokens * 2,
            };
            run.count_usage(&used).await?;
            run.say(&format!("{tokens} ")).await?;
        }
        Ok(Answer::Said)
    })
}

fn spending(change: impl FnOnce(&mut Limits)) -> WorldBuilder {
    tokio::time::pause();
    world().agent(spender()).limits(change)
}

async fn used_by(world: &World, name: &str) -> Charge {
    let window = world.infra().limits.budgets.window_at(SystemTime::now());
    world.infra().threads.usage(user(name), window).await.unwrap()
}

async fn told(probe: &mut Probe, message: &str) -> Vec<Value> {
    probe.say(message).await;
    probe.run_to_end().await
}

fn last(frames: &[Value]) -> &Value {
    frames.last().expect("an end")
}

fn warnings(frames: &[Value]) -> Vec<&Value> {
    let warnings = frames.iter().filter(|frame| frame["type"] == "budget_warning");
    warnings.map(|frame| &frame["payload"]).collect()
}

#[actix::test]
async fn a_run_is_warned_once_and_ends_beyond_its_budget_with_what_it_said() {
    let world = spending(|limits| limits.budgets.run.tokens = 100).start();
    let mut ada = world.connect("ada").await;
    let frames = told(&mut ada, "50 30 10 10 1 1").await;
    let death = last(&frames);
    assert_eq!(
        (&death["type"], &death["payload"]["death_cause"]),
        (&json!("agent_death"), &json!("budget"))
    );
    assert_eq!(
        death["payload"]["message"],
        "the budget run.tokens is used up, with 101 of 100 tokens; ask for less at once"
    );
    assert_eq!(
        warnings(&frames),
        [&json!({"budget": "run.tokens", "used": 80.0, "limit": 100.0})]
    );
    ada.send(json!({"type": "get_thread_history", "payload": {}})).await;
    let history = ada.until("thread_history").await;
    let messages = history["payload"]["messages"].as_array().unwrap();
    let said = messages.iter().find(|message| message["role"] == "assistant").unwrap();
    assert_eq!(
        (&said["content"], &said["status"]),
        (&json!("50 30 10 10 "), &json!("partial"))
    );
    let next = told(&mut ada, "100").await;
    assert_eq!(
        last(&next)["type"],
        "agent_completed",
        "the next run has a budget of its own"
    );
    world.finish().await;
}

#[actix::test]
async fn the_answer_tells_the_steps_and_what_they_cost() {
    let world = spending(|_| ()).start();
    let mut ada = world.connect("ada").await;
    let frames = told(&mut ada, "5 6").await;
    let usage = json!({
        "input_tokens": 11, "output_tokens": 0, "model_calls": 2, "tool_calls": 0, "steps": 2, "cost_micros": 22
    });
    assert_eq!(last(&frames)["payload"]["usage"], usage);
    world.finish().await;
}

#[actix::test]
async fn a_tool_call_beyond_the_budget_does_not_start() {
    tokio::time::pause();
    let caller = agent("caller", async |run| {
        for _ in 0..3 {
            run.call_tool("free", json!({})).await?;
        }
        Ok(Answer::Text("done".to_owned()))
    });
    let world = world()
        .agent(caller)
        .tool(FakeTool::new("free"))
        .limits(|limits| limits.budgets.run.tool_calls = 2)
        .start();
    let mut ada = world.connect("ada").await;
    let frames = told(&mut ada, "go").await;
    assert_eq!(last(&frames)["payload"]["death_cause"], "budget");
    let begun = frames.iter().filter(|frame| frame["type"] == "tool_executing");
    assert_eq!(begun.count(), 2);
    world.finish().await;
}

#[actix::test]
async fn a_thought_beyond_the_budget_is_not_told() {
    tokio::time::pause();
    let thinker = agent("thinker", async |run| {
        loop {
            run.think("hm").await?;
        }
    });
    let world = world()
        .agent(thinker)
        .limits(|limits| limits.budgets.run.steps = 3)
        .start();
    let mut ada = world.connect("ada").await;
    let frames = told(&mut ada, "go").await;
    assert_eq!(last(&frames)["payload"]["death_cause"], "budget");
    assert_eq!(
        frames.iter().filter(|frame| frame["type"] == "agent_thinking").count(),
        3
    );
    world.finish().await;
}

#[actix::test]
async fn a_tools_output_beyond_the_budget_is_told_and_the_run_ends_after_it() {
    tokio::time::pause();
    let caller = agent("caller", async |run| {
        run.call_tool("loud", json!({})).await?;
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok(Answer::Text("done".to_owned()))
    });
    let world = world()
        .agent(caller)
        .tool(FakeTool::new("loud").returns(json!("x".repeat(100))))
        .limits(|limits| limits.budgets.run.tool_output_bytes = 100)
        .start();
    let mut ada = world.connect("ada").await;
    let frames = told(&mut ada, "go").await;
    let death = last(&frames)["payload"]["message"].as_str().unwrap_or_default();
    assert!(
        death.contains("run.tool_output_bytes is used up, with 102 of 100"),
        "{death}"
    );
    let output = frames.iter().find(|frame| frame["type"] == "tool_completed").unwrap();
    assert_eq!(output["payload"]["status"], "ok");
    world.finish().await;
}

#[actix::test]
async fn children_use_their_root_runs_budget_and_end_before_it() {
    tokio::time::pause();
    let parent = agent("parent", async |run| {
        let task = |content: &str| ChildTask {
            content: content.to_owned(),
            ..ChildTask::default()
        };
        run.child("spender", task("60")).await?;
        run.child("spender", task("60 1 1")).await?;
        Ok(Answer::Text("done".to_owned()))
    });
    let world = world()
        .agent(parent)
        .agent(spender())
        .limits(|limits| limits.budgets.run.tokens = 100)
        .start();
    let mut ada = world.connect("ada").await;
    ada.say("go").await;
    let frames = ada.collect_until("agent_death").await;
    let ends: Vec<_> = frames
        .iter()
        .filter_map(|frame| frame["type"].as_str())
        .filter(|kind| sessile_actors::protocol::server::is_terminal_kind(kind))
        .collect();
    assert_eq!(ends, ["agent_completed", "agent_stopped", "agent_death"]);
    assert_eq!(last(&frames)["agent_name"], "parent");
    assert_eq!(warnings(&frames).len(), 1);
    assert_eq!(used_by(&world, "ada").await.tokens, 120);
    world.finish().await;
}

#[actix::test]
async fn a_users_budget_counts_over_all_sessions_and_refuses_the_next_message() {
    let world = spending(|limits| limits.budgets.user.tokens = 100).start();
    let (mut one, mut two) = (world.connect("ada").await, world.connect("ada").await);
    let mut eve = world.connect("eve").await;
    assert_eq!(last(&told(&mut one, "60").await)["type"], "agent_completed");
    let frames = told(&mut two, "41 1").await;
    assert_eq!(last(&frames)["payload"]["death_cause"], "budget");
    let first = one.say("1").await;
    let refusal = one.until("error").await["payload"].clone();
    assert_eq!(
        (&refusal["code"], &refusal["reply_to"]),
        (&json!("budget_exhausted"), &json!(first))
    );
    let details = &refusal["details"];
    assert_eq!(
        (&details["budget"], &details["used"], &details["limit"]),
        (&json!("user.tokens"), &json!(101), &json!(100))
    );
    assert!(details["resets_at"].is_string() && refusal["retryable"] == true);
    assert_eq!(last(&told(&mut eve, "60").await)["type"], "agent_completed");
    assert_eq!(used_by(&world, "ada").await.tokens, 101);
    world.finish().await;
}

#[actix::test]
async fn a_run_that_goes_on_learns_what_its_users_other_sessions_used() {
    tokio::time::pause();
    let slow = agent("slow", async |run| {
        for _ in 0..100 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            run.count_usage(&ModelUsage {
                input_tokens: 1,
                ..ModelUsage::default()
            })
            .await?;
        }
        Ok(Answer::Said)
    });
    let world = world()
        .agent(slow)
        .agent(spender())
        .limits(|limits| {
            limits.budgets.user.tokens = 100;
            limits.budgets.run.steps = 0;
        })
        .start();
    let (mut one, mut two) = (world.connect("ada").await, world.connect("ada").await);
    one.say("go").await;
    one.until("agent_started").await;
    two.message(json!({"content": "90", "agent": "spender"})).await;
    two.until("agent_completed").await;
    let frames = one.collect_until("agent_death").await;
    assert!(
        last(&frames)["payload"]["message"]
            .as_str()
            .unwrap()
            .contains("user.tokens")
    );
    assert_eq!(warnings(&frames)[0]["budget"], "user.tokens");
    let used = used_by(&world, "ada").await.tokens;
    assert!((101..=102).contains(&used), "at most one call beyond: {used}");
    world.finish().await;
}

#[actix::test]
async fn a_sessions_budget_holds_when_it_comes_back_from_the_journal() {
    let world = spending(|limits| limits.budgets.session.tokens = 100).start();
    let mut ada = world.connect("ada").await;
    told(&mut ada, "60").await;
    ada.cut().await;
    // Longer than limits.detached_idle: it leaves memory.
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(world.census().await.sessions, 0);
    let mut ada = world.resume(&ada).await;
    let frames = told(&mut ada, "40").await;
    assert_eq!(last(&frames)["type"], "agent_completed");
    ada.say("1").await;
    let refusal = ada.until("error").await["payload"].clone();
    assert_eq!(refusal["details"]["budget"], "session.tokens");
    assert_eq!(
        (&refusal["retryable"], &refusal["details"]["resets_at"]),
        (&json!(false), &Value::Null)
    );
    let mut fresh = world.connect("ada").await;
    assert_eq!(last(&told(&mut fresh, "99").await)["type"], "agent_completed");
    world.finish().await;
}

#[actix::test]
async fn a_message_that_waited_behind_what_used_the_budget_up_dies_without_beginning() {
    tokio::time::pause();
    let slow = agent("slow", async |run| {
        tokio::time::sleep(Duration::from_secs(1)).await;
        run.think("hm").await?;
        Ok(Answer::Said)
    });
    let world = world()
        .agent(slow)
        .limits(|limits| limits.budgets.user.steps = 1)
        .start();
    let mut ada = world.connect("ada").await;
    ada.say("go").await;
    ada.say("and go").await;
    ada.until("agent_completed").await;
    let death = ada.until("agent_death").await;
    assert_eq!(death["payload"]["death_cause"], "budget");
    assert_eq!(world.infra().metrics.lifecycle_violations.get(), 0);
    world.finish().await;
}

#[actix::test]
async fn time_counts_as_work_and_not_while_a_person_is_waited_for() {
    tokio::time::pause();
    let caller = agent("caller", async |run| {
        tokio::time::sleep(Duration::from_secs(2)).await;
        run.call_tool("risky", json!({})).await?;
        tokio::time::sleep(Duration::from_secs(3)).await;
        Ok(Answer::Said)
    });
    let world = world()
        .agent(caller)
        .tool(FakeTool::new("risky").needs_approval())
        .start();
    let mut ada = world.connect("ada").await;
    ada.say("go").await;
    let asked = ada.until("tool_approval_requested").await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let decision = json!({"call_id": asked["payload"]["call_id"], "decision": "approve"});
    ada.send(json!({"type": "tool_decision", "message_id": uuid::Uuid::new_v4(), "payload": decision}))
        .await;
    ada.run_to_end().await;
    let worked = used_by(&world, "ada").await.time_ms;
    assert!((5_000..5_100).contains(&worked), "{worked} ms");
    world.finish().await;
}

#[actix::test]
async fn a_session_whose_runs_work_longer_than_its_budget_ends_them() {
    tokio::time::pause();
    let sleeper = agent("sleeper", async |_| {
        tokio::time::sleep(Duration::from_secs(300)).await;
        Ok(Answer::Said)
    });
    let world = world()
        .agent(sleeper)
        .limits(|limits| limits.budgets.session.time = Duration::from_secs(60))
        .start();
    let mut ada = world.connect("ada").await;
    let begun = tokio::time::Instant::now();
    let frames = told(&mut ada, "go").await;
    assert_eq!(last(&frames)["payload"]["death_cause"], "budget");
    assert_eq!(warnings(&frames)[0]["budget"], "session.time");
    let took = begun.elapsed().as_secs();
    assert!((60..=66).contains(&took), "a tick after its time: {took} s");
    world.finish().await;
}

/// A journal that tells what it is asked to count.
struct Counting {
    inner: MemoryJournal,
    charges: mpsc::Sender<Charge>,
}

impl Journal for Counting {
    fn open(&self, session: SessionContext, at: SystemTime) -> BoxFuture<'static, Result<Opened, JournalError>> {
        self.inner.open(session, at)
    }

    fn revive(&self, session: SessionContext, at: SystemTime) -> BoxFuture<'static, Result<Revived, ReviveError>> {
        self.inner.revive(session, at)
    }

    fn append(&self, batch: Batch) -> BoxFuture<'static, Result<Vec<StoreReply>, JournalError>> {
        let charges = batch.commands.iter().filter_map(|command| match command {
            StoreCommand::Charge(charge) => Some(*charge),
            _ => None,
        });
        charges.for_each(|charge| self.charges.send(charge).unwrap());
        self.inner.append(batch)
    }

    fn read(
        &self,
        session: SessionContext,
        after: Seq,
        limit: ReadLimit,
    ) -> BoxFuture<'static, Result<EventPage, JournalError>> {
        self.inner.read(session, after, limit)
    }
}

#[actix::test]
async fn a_run_without_steps_is_counted_once_at_its_end_with_all_that_was_stored() {
    tokio::time::pause();
    let inner = MemoryJournal::start();
    let (charges, counts) = mpsc::channel();
    let counting = Counting {
        inner: inner.clone(),
        charges,
    };
    let world = world().stores(Arc::new(counting), Arc::new(inner.clone())).start();
    let mut ada = world.connect("ada").await;
    ada.say("hello").await;
    ada.run_to_end().await;
    let counted: Vec<Charge> = counts.try_iter().collect();
    let limit = ReadLimit {
        events: 100,
        bytes: usize::MAX,
    };
    let context = SessionContext::new(user("ada"), ada.session_id());
    let log = inner.read(context, Seq::ZERO, limit).await.unwrap();
    let bodies: usize = log.events.iter().map(|event| event.body.len()).sum();
    let stored_bytes = (bodies + 2 * "hello".len()) as u64;
    assert_eq!(
        counted,
        [Charge {
            stored_bytes,
            ..Charge::NONE
        }]
    );
    let window = Window {
        start: SystemTime::UNIX_EPOCH,
        end: SystemTime::now(),
    };
    assert_eq!(inner.usage(user("ada"), window).await.unwrap(), counted[0]);
    world.finish().await;
}
