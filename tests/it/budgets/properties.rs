//! What is counted, over random runs, sessions and returns: the rows hold the sum of it, and no run goes further than one call
//! beyond a cap.

use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use sessile_actors::protocol::server::is_terminal_kind;

use super::*;

/// One message of a history.
#[derive(Debug, Clone)]
struct Act {
    user: usize,
    session: usize,
    /// What each call of its run's model uses; each second call is followed by one of a tool.
    tokens: Vec<u64>,
    /// Whether the session leaves memory first.
    leaves: bool,
}

/// Cases of one test: each is a world of its own.
const CASES: u32 = 40;
const USERS: [&str; 2] = ["ada", "eve"];
const SESSIONS: usize = 2;
const LARGEST_CALL: u64 = 40;

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let tokens = prop::collection::vec(1..=LARGEST_CALL, 0..6);
    let act = (0..USERS.len(), 0..SESSIONS, tokens, prop::bool::weighted(0.2));
    let act = act.prop_map(|(user, session, tokens, leaves)| Act {
        user,
        session,
        tokens,
        leaves,
    });
    prop::collection::vec(act, 1..16)
}

/// What the agents of one world did, by user: calls of models, tokens, calls of tools.
#[derive(Default)]
struct Done([[AtomicU64; 3]; USERS.len()]);

fn worker(done: Arc<Done>) -> AgentClass {
    agent("worker", async move |run| {
        let place = USERS.iter().position(|name| *name == run.context().user().as_str());
        let [calls, used, tools] = &done.0[place.expect("a user of the test")];
        let numbers: Vec<u64> = run.message().split(' ').filter_map(|word| word.parse().ok()).collect();
        for (index, tokens) in numbers.into_iter().enumerate() {
            calls.fetch_add(1, Ordering::Relaxed);
            used.fetch_add(tokens, Ordering::Relaxed);
            run.count_usage(&ModelUsage {
                output_tokens: tokens,
                ..ModelUsage::default()
            })
            .await?;
            if index % 2 == 1 && run.call_tool("free", json!({})).await.is_ok() {
                tools.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(Answer::Text("done".to_owned()))
    })
}

/// Plays a history; what is promised holds at its end.
async fn play(acts: Vec<Act>, run_cap: u64, session_cap: u64, user_cap: u64) -> Result<(), TestCaseError> {
    let done = Arc::new(Done::default());
    let world = world()
        .agent(worker(Arc::clone(&done)))
        .tool(FakeTool::new("free"))
        .limits(|limits| {
            limits.budgets.run.tokens = run_cap;
            limits.budgets.session.tokens = session_cap;
            limits.budgets.user.tokens = user_cap;
        })
        .start();
    let mut probes: [[Option<Probe>; SESSIONS]; USERS.len()] = Default::default();
    for act in acts {
        let place = &mut probes[act.user][act.session];
        let mut probe = match place.take() {
            None => world.connect(USERS[act.user]).await,
            Some(mut probe) if act.leaves => {
                probe.cut().await;
                tokio::time::sleep(Duration::from_secs(120)).await;
                world.resume(&probe).await
            }
            Some(probe) => probe,
        };
        let words: Vec<String> = act.tokens.iter().map(ToString::to_string).collect();
        let before = done.0[act.user][1].load(Ordering::Relaxed);
        probe.say(&format!("use {}", words.join(" "))).await;
        while let Some(frame) = probe.next().await {
            let kind = frame["type"].as_str().unwrap_or_default();
            if is_terminal_kind(kind) || kind == "error" {
                break;
            }
        }
        let after = done.0[act.user][1].load(Ordering::Relaxed);
        prop_assert!(
            after - before <= run_cap + LARGEST_CALL,
            "a run used {}",
            after - before
        );
        prop_assert!(after <= user_cap + LARGEST_CALL, "a user used {after} of {user_cap}");
        *place = Some(probe);
    }
    for (name, [calls, tokens, tools]) in USERS.iter().zip(&done.0) {
        let used = used_by(&world, name).await;
        let counted = (used.steps, used.tokens, used.tool_calls);
        let made = (
            calls.load(Ordering::Relaxed),
            tokens.load(Ordering::Relaxed),
            tools.load(Ordering::Relaxed),
        );
        prop_assert_eq!(counted, made, "{}", name);
    }
    drop(probes);
    world.finish().await;
    Ok(())
}

#[test]
fn the_rows_hold_the_sum_of_what_was_used_and_no_run_goes_further_than_one_call_beyond() {
    let config = ProptestConfig {
        cases: CASES,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let strategy = (acts(), 20..120_u64, 50..300_u64, 50..400_u64);
    TestRunner::new(config)
        .run(&strategy, |(acts, run_cap, session_cap, user_cap)| {
            actix::System::new().block_on(async move {
                tokio::time::pause();
                play(acts, run_cap, session_cap, user_cap).await
            })
        })
        .unwrap();
}
