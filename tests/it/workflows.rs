//! Workflows at work: steps as child runs, in order or at once, tried again, skipped, stopped; and the supervisor, which
//! follows the workflows that are built in.

mod at_start;
mod kit;
mod supervisor;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::json;
use sessile_actors::infra::Answer;
use sessile_actors::testing::{agent, world};
use tokio::time::Instant;

use kit::{answer, brief, broken, follower, played, sleeper, worker};

#[actix::test]
async fn steps_run_one_after_the_other_and_each_is_handed_what_came_before() {
    tokio::time::pause();
    let world = world()
        .agent(follower(
            "[workflows.w]\nsteps = [{ agent = \"a\" }, { agent = \"b\" }]",
        ))
        .agent(worker("a", json!({"found": 7})))
        .agent(agent("b", async |run| {
            Ok(Answer::Text(format!("{} with {}", run.message(), run.input())))
        }))
        .start();
    let frames = played(&world, "go").await;
    assert_eq!(
        brief(&frames),
        [
            "follower agent_started",
            "follower workflow_started w",
            "follower step_started a",
            "a agent_started",
            "a agent_completed",
            "follower step_completed a completed",
            "follower step_started b",
            "b agent_started",
            "b agent_completed",
            "follower step_completed b completed",
            "follower workflow_completed w completed",
            "follower agent_completed",
        ]
    );
    assert_eq!(answer(&frames)["report"], "go with {\"results\":{\"a\":{\"found\":7}}}");
    world.finish().await;
}

#[actix::test]
async fn steps_after_the_same_one_run_at_once() {
    tokio::time::pause();
    let workflow = "[workflows.w]\nsteps = [{ agent = \"a\", after = [] }, { agent = \"b\", after = [] }, \
                    { agent = \"c\", after = [\"a\", \"b\"] }]";
    let world = world()
        .agent(follower(workflow))
        .agent(sleeper("a", Duration::from_secs(30)))
        .agent(sleeper("b", Duration::from_secs(20)))
        .agent(worker("c", json!(null)))
        .start();
    let begun = Instant::now();
    let frames = played(&world, "go").await;
    assert_eq!(begun.elapsed().as_secs(), 30, "as long as the longer one");
    let told = brief(&frames);
    let place = |line: &str| {
        told.iter()
            .position(|told| told == line)
            .unwrap_or_else(|| panic!("{line} in {told:#?}"))
    };
    assert!(place("b agent_started") < place("a agent_completed"));
    assert!(place("b agent_completed") < place("a agent_completed"));
    assert!(place("a agent_completed") < place("follower step_started c"));
    assert_eq!(answer(&frames)["status"], "Completed");
    world.finish().await;
}

#[actix::test]
async fn a_step_is_tried_again_after_pauses_and_only_where_its_fault_may_pass() {
    tokio::time::pause();
    let workflow = "[workflows.w]\nsteps = [\
                    { agent = \"flaky\", may_fail = true, retries = 2, backoff = { first = \"10s\", most = \"20s\" } }, \
                    { agent = \"firm\", may_fail = true, retries = 2 }]";
    let world = world()
        .agent(follower(workflow))
        .agent(agent("flaky", async |_| Err(broken(true))))
        .agent(agent("firm", async |_| Err(broken(false))))
        .start();
    let begun = Instant::now();
    let frames = played(&world, "go").await;
    let took = begun.elapsed().as_secs();
    assert!(
        (15..=30).contains(&took),
        "two pauses, of up to 10 s and 20 s, at least half of each: {took} s"
    );
    let told = brief(&frames);
    let tries = |line: &str| told.iter().filter(|told| *told == line).count();
    assert_eq!(tries("flaky agent_started"), 3);
    assert_eq!(tries("firm agent_started"), 1);
    assert_eq!(tries("follower progress_update"), 2, "each retry is told: {told:#?}");
    let end = answer(&frames);
    assert_eq!(end["status"], "Partial");
    assert_eq!(end["failed"], json!({"flaky": "broken", "firm": "broken"}));
    world.finish().await;
}

#[actix::test]
async fn a_try_that_succeeds_ends_the_retries() {
    tokio::time::pause();
    let tries = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&tries);
    let world = world()
        .agent(follower("[workflows.w]\nsteps = [{ agent = \"flaky\", retries = 5 }]"))
        .agent(agent("flaky", async move |_| {
            match counted.fetch_add(1, Ordering::Relaxed) {
                0 | 1 => Err(broken(true)),
                _ => Ok(Answer::Text("there".to_owned())),
            }
        }))
        .start();
    let end = answer(&played(&world, "go").await);
    assert_eq!((&end["report"], &end["status"]), (&json!("there"), &json!("Completed")));
    assert_eq!(tries.load(Ordering::Relaxed), 3);
    world.finish().await;
}

#[actix::test]
async fn a_step_that_hangs_is_ended_when_its_time_is_over_and_tried_again() {
    tokio::time::pause();
    let tries = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&tries);
    let world = world()
        .agent(follower(
            "[workflows.w]\nsteps = [{ agent = \"stuck\", retries = 1, timeout = \"20s\" }]",
        ))
        .agent(agent("stuck", async move |_| {
            if counted.fetch_add(1, Ordering::Relaxed) == 0 {
                std::future::pending::<()>().await;
            }
            Ok(Answer::Text("loose".to_owned()))
        }))
        .start();
    let begun = Instant::now();
    let frames = played(&world, "go").await;
    assert!((20..=22).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    assert_eq!(answer(&frames)["report"], "loose");
    let ends = brief(&frames)
        .iter()
        .filter(|line| *line == "stuck agent_stopped")
        .count();
    assert_eq!(ends, 1, "the first try was stopped, and told");
    world.finish().await;
}

#[actix::test]
async fn a_step_that_hangs_for_good_fails_and_what_always_runs_still_does() {
    tokio::time::pause();
    let workflow = "[workflows.w]\nsteps = [{ agent = \"stuck\", timeout = \"5s\" }, { agent = \"a\" }, \
                    { agent = \"b\", always = true }]";
    let world = world()
        .agent(follower(workflow))
        .agent(sleeper("stuck", Duration::from_secs(300)))
        .agent(worker("a", json!(1)))
        .agent(worker("b", json!(2)))
        .start();
    let frames = played(&world, "go").await;
    let end = answer(&frames);
    assert_eq!(end["status"], "Failed");
    assert_eq!(end["failed"], json!({"stuck": "step_timeout"}));
    assert_eq!(end["steps"], json!(["stuck Failed", "a Skipped", "b Completed"]));
    assert!(brief(&frames).contains(&"follower step_completed a skipped".to_owned()));
    world.finish().await;
}

#[actix::test]
async fn a_step_that_panics_fails_and_the_run_that_follows_the_workflow_goes_on() {
    tokio::time::pause();
    let workflow = "[workflows.w]\nsteps = [{ agent = \"bomb\", may_fail = true }, { agent = \"a\" }]";
    let world = world()
        .agent(follower(workflow))
        .agent(agent("bomb", async |_| panic!("an agent of a test panics")))
        .agent(agent("a", async |run| {
            Ok(Answer::Text(run.input()["results"]["bomb"]["code"].to_string()))
        }))
        .start();
    let frames = played(&world, "go").await;
    assert!(brief(&frames).contains(&"bomb agent_death".to_owned()));
    let end = answer(&frames);
    assert_eq!(end["status"], "Partial");
    assert_eq!(end["report"], "\"panic\"", "the next step knows why");
    world.finish().await;
}

#[actix::test]
async fn a_stop_in_the_middle_of_a_step_ends_its_children_first_and_begins_none() {
    tokio::time::pause();
    let workflow = "[workflows.w]\nsteps = [{ agent = \"a\", after = [], may_fail = true }, \
                    { agent = \"b\", after = [], may_fail = true }, { agent = \"c\", always = true }]";
    let world = world()
        .agent(follower(workflow))
        .agent(sleeper("a", Duration::from_secs(60)))
        .agent(sleeper("b", Duration::from_secs(60)))
        .agent(worker("c", json!(null)))
        .start();
    let mut ada = world.connect("ada").await;
    ada.say("go").await;
    for agent in ["a", "b"] {
        kit::until_started(&mut ada, agent).await;
    }
    ada.send(json!({"type": "stop_agent", "payload": {}})).await;
    let frames = kit::to_the_end(&mut ada).await;
    let told = brief(&frames);
    let mut ends: Vec<_> = told
        .iter()
        .filter(|line| line.contains("agent_"))
        .map(String::as_str)
        .collect();
    assert_eq!(ends.pop(), Some("follower agent_stopped"), "last: {told:#?}");
    ends.sort_unstable();
    assert_eq!(ends, ["a agent_stopped", "b agent_stopped"], "{told:#?}");
    // Nothing begins afterwards either.
    ada.say("go").await;
    kit::until_started(&mut ada, "a").await;
    world.finish().await;
}

#[actix::test]
async fn a_stop_interrupts_the_pause_before_a_retry() {
    tokio::time::pause();
    let workflow =
        "[workflows.w]\nsteps = [{ agent = \"flaky\", retries = 1, backoff = { first = \"4m\", most = \"4m\" } }]";
    let world = world()
        .agent(follower(workflow))
        .agent(agent("flaky", async |_| Err(broken(true))))
        .start();
    let mut ada = world.connect("ada").await;
    ada.say("go").await;
    ada.until("progress_update").await;
    let asked = Instant::now();
    ada.send(json!({"type": "stop_agent", "payload": {}})).await;
    let frames = kit::to_the_end(&mut ada).await;
    assert_eq!(
        brief(&frames).last().map(String::as_str),
        Some("follower agent_stopped")
    );
    assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
    world.finish().await;
}
