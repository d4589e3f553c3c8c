//! Random scripts of clients, cuts and crashes against the real actors: whatever happens, the line of events is whole,
//! every accepted message has one run, and every run one end.

mod bounds;
mod brittle;
mod client;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};
use sessile_actors::ids::{MessageId, Seq};
use sessile_actors::infra::journal::{Journal, ReadLimit, ThreadStore};
use sessile_actors::infra::memory::MemoryJournal;
use sessile_actors::infra::{AgentError, Answer};
use sessile_actors::protocol::server::is_terminal_kind;
use sessile_actors::testing::{FakeTool, World, agent, world};

use brittle::{Brittle, Fault, USERS, die};
use client::{Client, WINDOW};

/// One thing that a client does, or that happens to it.
#[derive(Debug, Clone)]
enum Step {
    Say { agent: &'static str, on_busy: &'static str },
    SayAgain(usize),
    Stop,
    Read(usize),
    Cut,
    Resume,
    BreakJournal(Fault),
    BreakSocket,
    Ack,
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let agents = select(vec!["echo", "teller", "teller", "caller", "fragile", "orator"]);
    let on_busy = select(vec!["enqueue", "enqueue", "reject", "interrupt", "rollback"]);
    let fault = select(vec![
        Fault::PanicBefore,
        Fault::PanicAfter,
        Fault::Unavailable,
        Fault::Unknown,
    ]);
    prop_oneof![
        6 => (agents, on_busy).prop_map(|(agent, on_busy)| Step::Say { agent, on_busy }),
        2 => (0..8_usize).prop_map(Step::SayAgain),
        1 => Just(Step::Stop),
        6 => (1..12_usize).prop_map(Step::Read),
        2 => Just(Step::Cut),
        4 => Just(Step::Resume),
        2 => fault.prop_map(Step::BreakJournal),
        1 => Just(Step::BreakSocket),
        1 => Just(Step::Ack),
        4 => (1..400_u64).prop_map(Step::Pass),
    ]
}

fn script() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(), 1..40)
}

/// A world with small windows, so that events are read back, and with agents of every temper.
fn brittle_world() -> (World, Arc<Brittle>) {
    let memory = MemoryJournal::start();
    let journal = Brittle::over(memory.clone());
    let world = world()
        .stores(
            Arc::clone(&journal) as Arc<dyn Journal>,
            Arc::new(memory) as Arc<dyn ThreadStore>,
        )
        .limits(|limits| {
            limits.outbox_events = 6;
            limits.sink_frames = 4;
            limits.sink_bytes = 4 * 1024;
            limits.inbox_frames = WINDOW;
            limits.queued_per_thread = 3;
            limits.message_burst = 1_000;
            limits.emit_credit = 2;
            limits.restarts = 2;
        })
        .tool(FakeTool::new("search").takes(Duration::from_millis(30)))
        .tool(FakeTool::new("bomb").panics())
        .agent(agent("echo", async |run| Ok(Answer::Text(run.message().to_owned()))))
        .agent(agent("teller", async |run| {
            for _ in 0..6 {
                let words = format!("{}, ", run.message());
                run.say(&words).await?;
                tokio::time::sleep(Duration::from_millis(15)).await;
            }
            Ok(Answer::Said)
        }))
        .agent(agent("caller", async |run| {
            run.think("whom to call").await?;
            run.call_tool("search", json!({ "for": run.message() })).await?;
            run.call_tool("bomb", json!({})).await?;
            Ok(Answer::Text(format!("found {}", run.message())))
        }))
        .agent(agent("fragile", async |run| -> Result<Answer, AgentError> {
            run.say("I ").await?;
            // The call is open when its run dies.
            let call = run.call_tool("search", json!({}));
            tokio::time::timeout(Duration::from_millis(10), call).await.ok();
            die()
        }))
        .agent(agent("orator", async |run| {
            // Larger than the socket's window: it goes alone.
            Ok(Answer::Text(run.message().repeat(600)))
        }))
        .start();
    (world, journal)
}

/// The life of one user's client.
async fn live(world: &World, journal: &Brittle, user: usize, legacy: bool, script: Vec<Step>) -> Vec<Bytes> {
    let mut client = Client::new(world, USERS[user], legacy);
    client.connect(0).await;
    let mut said: Vec<(MessageId, Value)> = Vec::new();
    for step in script {
        match step {
            Step::Say { agent, on_busy } => {
                let content = format!("{}-{}", USERS[user], said.len());
                let payload = json!({ "content": content, "agent": agent, "on_busy": on_busy });
                let id = MessageId::mint();
                client.say(id, &payload).await;
                said.push((id, payload));
            }
            Step::SayAgain(which) => {
                if let Some((id, payload)) = which.checked_rem(said.len()).map(|which| said[which].clone()) {
                    client.say(id, &payload).await;
                }
            }
            Step::Stop => {
                let id = MessageId::mint();
                client
                    .send(json!({ "type": "stop_agent", "message_id": id, "payload": {} }))
                    .await;
            }
            Step::Read(frames) => {
                client.read(frames).await;
            }
            Step::Cut => client.cut().await,
            Step::Resume => client.resume().await,
            Step::BreakJournal(fault) => journal.break_next(user, fault),
            Step::BreakSocket => client.break_push(),
            Step::Ack => {
                let seq = client.last_seq();
                client.send(json!({ "type": "ack", "payload": { "seq": seq } })).await;
            }
            Step::Pass(millis) => tokio::time::sleep(Duration::from_millis(millis)).await,
        }
    }
    journal.mend(user);
    let runs = ask_all_again(&mut client, &said).await;
    check(&mut client, journal, &said, &runs).await;
    client.cut().await;
    client.texts
}

/// Sends every message once more, until it is answered: what was accepted is told again. Returns the run of each message.
async fn ask_all_again(client: &mut Client<'_>, said: &[(MessageId, Value)]) -> BTreeMap<String, String> {
    let mut runs = BTreeMap::new();
    for (id, payload) in said {
        let id_text = id.to_string();
        for attempt in 0.. {
            assert!(
                attempt < 200,
                "a message is answered in the end: {:?}",
                client.replies.get(&id_text)
            );
            client.resume().await;
            client.say(*id, payload).await;
            while client.read(16).await > 0 {}
            let accepted = accepted_runs(client, &id_text);
            assert!(accepted.len() <= 1, "a message has one run: {accepted:?}");
            if let Some(run) = accepted.into_iter().next() {
                runs.insert(id_text, run);
                break;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
    runs
}

/// The runs that replies to this message have named.
fn accepted_runs(client: &Client<'_>, id: &str) -> BTreeSet<String> {
    let replies = client.replies.get(id).into_iter().flatten();
    replies
        .filter(|reply| reply["type"] == "message_accepted")
        .map(|reply| reply["payload"]["run_id"].as_str().expect("a run").to_owned())
        .collect()
}

/// Waits until every run has ended, then compares the whole line of events with the journal's.
async fn check(
    client: &mut Client<'_>,
    journal: &Brittle,
    said: &[(MessageId, Value)],
    runs: &BTreeMap<String, String>,
) {
    for attempt in 0.. {
        client.resume().await;
        while client.read(16).await > 0 {}
        let ended = ends(client.seen.values());
        if runs.values().all(|run| ended.contains_key(run)) {
            break;
        }
        assert!(attempt < 200, "each run ends: {ended:?} of {runs:?}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let live = std::mem::take(&mut client.seen);
    client.cut().await;
    client.connect(0).await;
    while client.read(16).await > 0 {}
    let limit = ReadLimit {
        events: usize::MAX,
        bytes: usize::MAX,
    };
    let page = journal
        .read(client.context(), Seq::ZERO, limit)
        .await
        .expect("the journal reads");
    let kept: BTreeMap<u64, Bytes> = page.events.into_iter().map(|event| (event.seq.0, event.body)).collect();
    assert!(kept.keys().copied().eq(1..=kept.len() as u64), "no hole in the journal");
    assert_eq!(
        client.seen, kept,
        "a resume from the start gives all that the journal has"
    );
    assert!(
        live.iter().all(|(seq, text)| kept.get(seq) == Some(text)),
        "what was seen live is what the journal has, byte for byte"
    );
    check_runs(kept.values(), said, runs);
}

fn parsed<'a>(events: impl Iterator<Item = &'a Bytes>) -> impl Iterator<Item = Value> {
    events.map(|text| serde_json::from_slice(text).expect("events are JSON"))
}

/// Of each run, how many ends it has.
fn ends<'a>(events: impl Iterator<Item = &'a Bytes>) -> BTreeMap<String, usize> {
    let mut ends = BTreeMap::new();
    for event in parsed(events) {
        if is_terminal_kind(event["type"].as_str().expect("a type")) {
            *ends
                .entry(event["run_id"].as_str().expect("a run").to_owned())
                .or_default() += 1;
        }
    }
    ends
}

fn check_runs<'a>(
    events: impl Iterator<Item = &'a Bytes> + Clone,
    said: &[(MessageId, Value)],
    runs: &BTreeMap<String, String>,
) {
    let ends = ends(events.clone());
    let known: BTreeSet<&String> = runs.values().collect();
    assert_eq!(known.len(), said.len(), "no two messages share a run");
    assert!(ends.values().all(|ends| *ends == 1), "one end a run: {ends:?}");
    assert_eq!(
        ends.keys().collect::<BTreeSet<_>>(),
        known,
        "no run without its message"
    );
    let (mut over, mut begun) = (BTreeSet::new(), BTreeSet::new());
    let mut open = BTreeSet::new();
    let mut at_work: Option<String> = None;
    for event in parsed(events) {
        let run = event["run_id"].as_str().expect("a run").to_owned();
        assert!(!over.contains(&run), "nothing after the end: {event}");
        let call = (run.clone(), event["payload"]["call_id"].as_str().map(str::to_owned));
        match event["type"].as_str().expect("a type") {
            "agent_started" => {
                assert!(begun.insert(run.clone()), "a run begins once");
                assert_eq!(at_work.replace(run.clone()), None, "one run at work in a thread");
                let message = event["payload"]["message_id"].as_str().expect("a message");
                assert_eq!(runs.get(message), Some(&run), "a message has one run");
            }
            "tool_executing" => assert!(open.insert(call), "a call opens once"),
            "tool_completed" => assert!(open.remove(&call), "a call closes once"),
            kind if is_terminal_kind(kind) => {
                assert!(!open.iter().any(|(of, _)| *of == run), "calls end before their run");
                at_work = at_work.filter(|working| *working != run);
                over.insert(run);
            }
            _ => assert!(begun.contains(&run), "an event of a run that has not begun"),
        }
    }
}

/// Runs one case in a world, and a system, of its own, on paused time.
fn in_a_world<F: Future<Output = ()>>(play: impl FnOnce(Arc<Brittle>, Arc<World>) -> F) {
    actix::System::new().block_on(async {
        tokio::time::pause();
        let (world, journal) = brittle_world();
        let world = Arc::new(world);
        play(journal, Arc::clone(&world)).await;
        let world = Arc::into_inner(world).expect("the case has ended");
        world.finish().await;
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn through_cuts_and_crashes_the_line_of_events_is_whole_and_each_run_ends_once(script in script(), legacy in any::<bool>()) {
        in_a_world(async |journal, world| {
            live(&world, &journal, 0, legacy, script).await;
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn through_cuts_and_crashes_of_both_no_user_sees_a_word_of_the_other(zora in script(), yusuf in script()) {
        in_a_world(async |journal, world| {
            let (to_zora, to_yusuf) = futures_util::future::join(
                live(&world, &journal, 0, false, zora),
                live(&world, &journal, 1, false, yusuf),
            )
            .await;
            for (texts, stranger) in [(to_zora, "yusuf"), (to_yusuf, "zora")] {
                for text in texts {
                    let text = String::from_utf8_lossy(&text);
                    assert!(!text.contains(stranger), "{stranger} stands in {text}");
                }
            }
        });
    }
}
