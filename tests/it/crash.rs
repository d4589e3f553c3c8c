//! A session that panics is restarted from its journal, and its client goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use futures_util::future::BoxFuture;
use serde_json::json;
use sessile_actors::context::SessionContext;
use sessile_actors::ids::Seq;
use sessile_actors::infra::Answer;
use sessile_actors::infra::journal::{
    Batch, EventPage, Journal, JournalError, Opened, ReadLimit, ReviveError, Revived, StoreReply,
};
use sessile_actors::infra::memory::MemoryJournal;
use sessile_actors::protocol::CloseCode;
use sessile_actors::protocol::server::is_terminal_kind;
use sessile_actors::session::run::ChildTask;
use sessile_actors::testing::{Ending, FakeTool, World, agent, world};

/// A journal that panics in the session that calls it, when told to.
struct Mine {
    inner: MemoryJournal,
    armed: Arc<AtomicBool>,
    keeps_going_off: bool,
}

impl Journal for Mine {
    fn open(&self, session: SessionContext, at: SystemTime) -> BoxFuture<'static, Result<Opened, JournalError>> {
        self.inner.open(session, at)
    }

    fn revive(&self, session: SessionContext, at: SystemTime) -> BoxFuture<'static, Result<Revived, ReviveError>> {
        self.inner.revive(session, at)
    }

    fn append(&self, batch: Batch) -> BoxFuture<'static, Result<Vec<StoreReply>, JournalError>> {
        let goes_off = if self.keeps_going_off {
            self.armed.load(Ordering::Relaxed)
        } else {
            self.armed.swap(false, Ordering::Relaxed)
        };
        assert!(!goes_off, "the session of a test panics");
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

fn mined_world(keeps_going_off: bool) -> (World, Arc<AtomicBool>) {
    let (inner, armed) = (MemoryJournal::start(), Arc::new(AtomicBool::new(false)));
    let mine = Mine {
        inner: inner.clone(),
        armed: Arc::clone(&armed),
        keeps_going_off,
    };
    let talker = agent("talker", async |run| {
        let words = run.message().to_owned();
        run.say(&words).await?;
        run.call_tool("slow", json!({})).await?;
        Ok(Answer::Said)
    });
    let world = world()
        .agent(talker)
        .tool(FakeTool::new("slow").takes(Duration::from_secs(5)))
        .stores(Arc::new(mine), Arc::new(inner))
        .start();
    (world, armed)
}

#[actix::test]
async fn a_panicking_session_is_restarted_and_its_client_resumes() {
    tokio::time::pause();
    let (world, armed) = mined_world(false);
    let (mut ada, mut bob) = (world.connect("ada").await, world.connect("bob").await);
    ada.say("first").await;
    ada.until("tool_executing").await;
    // Waits in the queue when the session dies.
    ada.say("second").await;
    ada.until("message_accepted").await;
    armed.store(true, Ordering::Relaxed);
    assert_eq!(ada.closed().await, Ending::Closed(CloseCode::Resumable));

    let mut ada = world.resume(&ada).await;
    assert_eq!(ada.established()["resumed"], true);
    let told = ada.run_to_end().await;
    let kinds: Vec<_> = told.iter().map(|frame| frame["type"].as_str().unwrap()).collect();
    assert_eq!(
        kinds,
        ["tool_completed", "agent_death"],
        "the open call, then the one end"
    );
    assert_eq!(told[0]["payload"]["status"], "unknown");
    assert_eq!(told[1]["payload"]["death_cause"], "panic");
    // What waited is answered; what killed the session is not tried again.
    assert_eq!(ada.until("agent_completed").await["payload"]["result"], "second");

    bob.say("undisturbed").await;
    assert_eq!(bob.until("agent_completed").await["payload"]["result"], "undisturbed");
    assert_eq!(world.infra().metrics.sessions_panicked.get(), 1);
    world.finish().await;
}

#[actix::test]
async fn a_session_that_keeps_panicking_is_restarted_three_times_and_then_stays_down() {
    tokio::time::pause();
    let (world, armed) = mined_world(true);
    let mut ada = world.connect("ada").await;
    ada.say("go").await;
    ada.until("tool_executing").await;
    armed.store(true, Ordering::Relaxed);
    assert_eq!(ada.closed().await, Ending::Closed(CloseCode::Resumable));
    sessile_actors::testing::eventually("the session stays down", || {
        world.infra().metrics.sessions_panicked.get() == 4
    })
    .await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(world.census().await.sessions, 0);

    // Its client returns, and finds the truth.
    armed.store(false, Ordering::Relaxed);
    let mut ada = world.resume(&ada).await;
    let told = ada.run_to_end().await;
    let ends = told
        .iter()
        .filter(|frame| is_terminal_kind(frame["type"].as_str().unwrap()));
    assert_eq!(ends.count(), 1);
    world.finish().await;
}

#[actix::test]
async fn a_thread_held_by_a_session_that_stays_down_is_freed_by_one_that_interrupts() {
    tokio::time::pause();
    let (world, armed) = mined_world(true);
    let (mut first, mut second) = (world.connect("ada").await, world.connect("ada").await);
    first.say("go").await;
    let thread = first.until("message_accepted").await["payload"]["thread_id"].clone();
    first.until("tool_executing").await;
    armed.store(true, Ordering::Relaxed);
    first.closed().await;
    sessile_actors::testing::eventually("the session stays down", || {
        world.infra().metrics.sessions_panicked.get() == 4
    })
    .await;
    armed.store(false, Ordering::Relaxed);
    second
        .message(json!({"content": "on with it", "on_busy": "interrupt", "thread_id": thread}))
        .await;
    assert_eq!(second.until("agent_completed").await["payload"]["result"], "on with it");
    world.finish().await;
}

#[actix::test]
async fn a_panicking_session_ends_the_children_of_its_runs_before_them() {
    tokio::time::pause();
    let (inner, armed) = (MemoryJournal::start(), Arc::new(AtomicBool::new(false)));
    let mine = Mine {
        inner: inner.clone(),
        armed: Arc::clone(&armed),
        keeps_going_off: false,
    };
    let world = world()
        .agent(agent("lead", async |run| {
            run.child("caller", ChildTask::default()).await?;
            Ok(Answer::Said)
        }))
        .agent(agent("caller", async |run| {
            run.call_tool("slow", json!({})).await?;
            run.call_tool("slow", json!({})).await?;
            Ok(Answer::Said)
        }))
        .tool(FakeTool::new("slow").takes(Duration::from_secs(5)))
        .stores(Arc::new(mine), Arc::new(inner))
        .start();
    let mut ada = world.connect("ada").await;
    ada.say("go").await;
    ada.until("tool_executing").await;
    armed.store(true, Ordering::Relaxed);
    assert_eq!(ada.closed().await, Ending::Closed(CloseCode::Resumable));
    let mut ada = world.resume(&ada).await;
    let mut told = ada.run_to_end().await;
    told.extend(ada.run_to_end().await);
    let line: Vec<_> = told
        .iter()
        .map(|frame| (frame["type"].as_str().unwrap(), frame["agent_name"].as_str().unwrap()))
        .collect();
    assert_eq!(
        line,
        [
            ("tool_completed", "caller"),
            ("agent_death", "caller"),
            ("agent_death", "lead")
        ]
    );
    world.finish().await;
}
