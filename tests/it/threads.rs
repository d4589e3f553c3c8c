//! One active run a thread, over all sessions of its user.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use sessile_actors::context::SessionContext;
use sessile_actors::ids::Seq;
use sessile_actors::infra::Answer;
use sessile_actors::infra::journal::{
    Batch, EventPage, Journal, JournalError, Opened, ReadLimit, ReviveError, Revived, StoreReply, ThreadStore,
};
use sessile_actors::infra::memory::MemoryJournal;
use sessile_actors::testing::{Probe, World, agent, world};

/// A run takes ten seconds.
fn slow_world() -> World {
    world()
        .agent(agent("slow", async |run| {
            run.say("begun. ").await?;
            tokio::time::sleep(Duration::from_secs(10)).await;
            let words = run.message().to_owned();
            run.say(&words).await?;
            Ok(Answer::Said)
        }))
        .start()
}

/// Two sessions of ada on one thread, in which the first one's run is active.
async fn two_on_one_thread(world: &World) -> (Probe, Probe, Value) {
    let (mut first, mut second) = (world.connect("ada").await, world.connect("ada").await);
    first.say("first").await;
    let thread = first.until("message_accepted").await["payload"]["thread_id"].clone();
    first.until("partial_result").await;
    second.until("thread_changed").await;
    second
        .send(json!({"type": "switch_thread", "payload": {"thread_id": thread}}))
        .await;
    second.until("thread_switched").await;
    (first, second, thread)
}

#[actix::test]
async fn a_message_for_a_thread_that_another_session_holds_is_refused_by_default() {
    tokio::time::pause();
    let world = slow_world();
    let (mut first, mut second, thread) = two_on_one_thread(&world).await;
    for on_busy in ["enqueue", "reject"] {
        second.message(json!({"content": "second", "on_busy": on_busy})).await;
        let error = second.until("error").await;
        assert_eq!(error["payload"]["code"], "run_active");
        assert_eq!(error["payload"]["details"]["elsewhere"], true);
    }
    assert_eq!(
        first.until("agent_completed").await["payload"]["result"],
        "begun. first"
    );
    let changed = second.until("thread_changed").await;
    assert_eq!(
        (&changed["payload"]["thread_id"], &changed["payload"]["state"]),
        (&thread, &json!("completed"))
    );
    second.say("now").await;
    assert_eq!(second.until("agent_completed").await["payload"]["result"], "begun. now");
    world.finish().await;
}

#[actix::test]
async fn an_interrupt_reaches_the_session_that_holds_the_thread_and_goes_next() {
    tokio::time::pause();
    let world = slow_world();
    let (mut first, mut second, _) = two_on_one_thread(&world).await;
    // What waits in the holder's own queue waits for the one that interrupts.
    first.say("queued").await;
    first.until("message_accepted").await;
    second
        .message(json!({"content": "urgent", "on_busy": "interrupt"}))
        .await;
    let stopped = first.until("agent_stopped").await;
    assert_eq!(stopped["payload"]["stopped_by"], "replaced");
    assert_eq!(stopped["payload"]["partial"], "begun. ");
    assert_eq!(second.until("message_accepted").await["payload"]["status"], "started");
    assert_eq!(
        second.until("agent_completed").await["payload"]["result"],
        "begun. urgent"
    );
    assert_eq!(
        first.until("agent_completed").await["payload"]["result"],
        "begun. queued"
    );
    world.finish().await;
}

#[actix::test]
async fn a_rollback_makes_the_thread_forget_the_run_that_it_stops() {
    tokio::time::pause();
    let world = slow_world();
    let mut ada = world.connect("ada").await;
    let first = ada.say("wrong words").await;
    ada.until("partial_result").await;
    ada.message(json!({"content": "right words", "on_busy": "rollback"}))
        .await;
    let stopped = ada.until("agent_stopped").await;
    assert_eq!(stopped["payload"]["discarded_message_ids"][0], json!(first));
    ada.until("agent_completed").await;
    ada.send(json!({"type": "get_thread_history", "payload": {}})).await;
    let history = ada.until("thread_history").await.to_string();
    assert!(
        history.contains("right words") && !history.contains("wrong words"),
        "{history}"
    );
    world.finish().await;
}

#[actix::test]
async fn two_sessions_of_one_user_on_one_thread_never_run_at_once() {
    tokio::time::pause();
    let world = slow_world();
    let (mut first, mut second, thread) = two_on_one_thread(&world).await;
    let mut active = 1;
    for round in 0..6 {
        let (on_busy, probe) = (
            ["interrupt", "rollback"][round % 2],
            if round % 2 == 0 { &mut second } else { &mut first },
        );
        probe
            .message(json!({"content": format!("{round}"), "on_busy": on_busy, "thread_id": thread}))
            .await;
        probe.until("agent_started").await;
        active += 1;
        let holders = world
            .infra()
            .threads
            .history(
                sessile_actors::testing::user("ada"),
                thread.as_str().unwrap().parse().unwrap(),
                None,
                sessile_actors::infra::journal::HistoryPage {
                    before: None,
                    messages: 50,
                    bytes: 65_536,
                },
            )
            .await
            .unwrap();
        assert_eq!(holders.active_runs.len(), 1, "after {active} runs");
    }
    world.finish().await;
}

#[actix::test]
async fn a_deleted_thread_stops_its_runs_in_every_session_and_erases_what_was_said() {
    tokio::time::pause();
    let world = slow_world();
    let (mut first, mut second, thread) = two_on_one_thread(&world).await;
    second
        .send(json!({"type": "delete_thread", "payload": {"thread_id": thread}}))
        .await;
    assert_eq!(
        first.until("agent_stopped").await["payload"]["stopped_by"],
        "thread_deleted"
    );
    second.until("thread_deleted").await;
    let mut again = world.resume_from(&first, 0).await;
    again.until("connection_established").await;
    for seq in 1..=3 {
        let event = again.next().await.unwrap();
        assert_eq!(
            (&event["seq"], &event["payload"]),
            (&json!(seq), &json!({"erased": true}))
        );
    }
    world.finish().await;
}

#[actix::test]
async fn the_same_message_id_makes_one_run_and_other_words_under_it_are_a_conflict() {
    tokio::time::pause();
    let world = slow_world();
    let (mut first, mut second) = (world.connect("ada").await, world.connect("ada").await);
    let frame = json!({"type": "user_message", "message_id": "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b", "payload": {"content": "once"}});
    first.send(frame.clone()).await;
    let accepted = first.until("message_accepted").await;
    second.send(frame.clone()).await;
    let repeated = second.until("message_accepted").await;
    assert_eq!(repeated["payload"]["status"], "duplicate");
    assert_eq!(repeated["payload"]["run_id"], accepted["payload"]["run_id"]);
    let mut other = frame;
    other["payload"]["content"] = json!("twice");
    second.send(other).await;
    assert_eq!(second.until("error").await["payload"]["code"], "conflict");
    first.until("agent_completed").await;
    world.finish().await;
}

#[actix::test]
async fn a_repeat_of_a_finished_message_is_a_duplicate_also_where_a_new_one_would_be_refused() {
    tokio::time::pause();
    let world = slow_world();
    let mut ada = world.connect("ada").await;
    let frame = json!({
        "type": "user_message", "message_id": "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b",
        "payload": {"content": "once", "on_busy": "reject"}
    });
    ada.send(frame.clone()).await;
    ada.until("agent_completed").await;
    ada.say("another").await;
    ada.until("agent_started").await;
    ada.send(frame).await;
    let repeated = ada.until("message_accepted").await;
    assert_eq!(repeated["payload"]["status"], "duplicate");
    assert_eq!(repeated["payload"]["run_state"], "completed");
    ada.message(json!({"content": "new", "on_busy": "reject"})).await;
    assert_eq!(ada.until("error").await["payload"]["code"], "run_active");
    world.finish().await;
}

/// A journal whose reads take a second to arrive.
struct SlowReads(MemoryJournal);

impl Journal for SlowReads {
    fn open(&self, session: SessionContext, at: SystemTime) -> BoxFuture<'static, Result<Opened, JournalError>> {
        self.0.open(session, at)
    }

    fn revive(&self, session: SessionContext, at: SystemTime) -> BoxFuture<'static, Result<Revived, ReviveError>> {
        self.0.revive(session, at)
    }

    fn append(&self, batch: Batch) -> BoxFuture<'static, Result<Vec<StoreReply>, JournalError>> {
        self.0.append(batch)
    }

    fn read(
        &self,
        session: SessionContext,
        after: Seq,
        limit: ReadLimit,
    ) -> BoxFuture<'static, Result<EventPage, JournalError>> {
        let page = self.0.read(session, after, limit);
        Box::pin(async move {
            let page = page.await;
            tokio::time::sleep(Duration::from_secs(1)).await;
            page
        })
    }
}

#[actix::test]
async fn what_was_read_back_before_its_thread_was_deleted_is_not_told_after_it() {
    tokio::time::pause();
    let memory = MemoryJournal::start();
    let journal = Arc::new(SlowReads(memory.clone())) as Arc<dyn Journal>;
    let world = world()
        .stores(journal, Arc::new(memory) as Arc<dyn ThreadStore>)
        .limits(|limits| limits.outbox_events = 1)
        .start();
    let mut ada = world.connect("ada").await;
    ada.say("a secret").await;
    let thread = ada.until("message_accepted").await["payload"]["thread_id"].clone();
    ada.run_to_end().await;
    let mut again = world.resume_from(&ada, 0).await;
    again.until("connection_established").await;
    again
        .send(json!({"type": "delete_thread", "payload": {"thread_id": thread}}))
        .await;
    again.until("thread_deleted").await;
    assert_eq!(again.next().await.unwrap()["payload"], json!({"erased": true}));
    world.finish().await;
}
