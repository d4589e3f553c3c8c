//! What stays bounded whatever a client does, and what ends with a run.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use sessile_actors::budgets::{Charge, Window};
use sessile_actors::ids::{RunId, SessionId, ThreadId, UserId};
use sessile_actors::infra::journal::{HistoryPage, RunRecord, StoreError, ThreadPage};
use sessile_actors::infra::{Tool, ToolContext, ToolError, ToolSpec};
use sessile_actors::protocol::client::Page;
use sessile_actors::protocol::server::{History, HistoryMessage, ThreadSummary};

use super::*;

#[actix::test]
async fn reconnecting_wins_a_client_no_frames_beyond_those_that_wait() {
    tokio::time::pause();
    let (world, journal) = brittle_world();
    let mut client = Client::new(&world, USERS[0], false);
    client.connect(0).await;
    let payload = json!({ "content": "hello" });
    // The first message waits for the journal, and the others for the first.
    journal.break_next(0, Fault::Unavailable);
    while client.granted() > 0 {
        client.say(MessageId::mint(), &payload).await;
    }
    for _ in 0..3 {
        client.cut().await;
        client.connect(0).await;
        assert_eq!(
            client.granted(),
            0,
            "those that wait are those that may be on their way"
        );
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(client.granted(), WINDOW, "the journal is back, and all were handled");
    client.cut().await;
    world.finish().await;
}

#[actix::test]
async fn a_run_of_a_session_that_the_journal_can_not_revive_at_once_has_its_end_when_it_can() {
    tokio::time::pause();
    let (world, journal) = brittle_world();
    let mut zora = world.connect(USERS[0]).await;
    journal.break_next(0, Fault::Unknown);
    journal.fail_revivals(5);
    zora.say("hello").await;
    zora.closed().await;
    let metrics = &world.infra().metrics;
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(metrics.runs_ended.get(), 1, "the run that was accepted has its end");
    let mut zora = world.resume(&zora).await;
    zora.until("agent_death").await;
    world.finish().await;
}

#[actix::test]
async fn no_more_reads_are_at_work_for_a_client_than_it_may_have_frames_on_their_way() {
    tokio::time::pause();
    let memory = MemoryJournal::start();
    let world = world()
        .stores(Arc::new(memory) as Arc<dyn Journal>, Arc::new(StuckThreads))
        .limits(|limits| limits.inbox_frames = WINDOW)
        .start();
    let mut client = Client::new(&world, USERS[0], false);
    client.connect(0).await;
    for _ in 0..3 {
        let list = json!({ "type": "list_threads", "message_id": MessageId::mint(), "payload": {} });
        for _ in 0..2 * WINDOW {
            client.send(list.clone()).await;
        }
        assert_eq!(client.granted(), 0, "each frame waits for its read");
        client.cut().await;
        client.connect(0).await;
    }
    client.cut().await;
    world.finish().await;
}

#[actix::test]
async fn a_tool_that_its_run_no_longer_waits_for_is_ended_with_the_run() {
    tokio::time::pause();
    let ended = Arc::new(AtomicBool::new(false));
    let world = world()
        .tool(Endless(Arc::clone(&ended)))
        .agent(agent("impatient", async |run| {
            let call = run.call_tool("endless", json!({}));
            tokio::time::timeout(Duration::from_millis(10), call).await.ok();
            Ok(Answer::Text("without it".to_owned()))
        }))
        .start();
    let mut zora = world.connect("zora").await;
    zora.say("go").await;
    let frames = zora.run_to_end().await;
    let kinds: Vec<_> = frames.iter().filter_map(|frame| frame["type"].as_str()).collect();
    assert!(kinds.contains(&"tool_completed"), "{kinds:?}");
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(ended.load(Ordering::Relaxed), "the tool runs on behind its run's end");
    world.finish().await;
}

/// A tool that never ends by itself, and tells when it is ended.
struct Endless(Arc<AtomicBool>);

#[async_trait]
impl Tool for Endless {
    fn spec(&self) -> ToolSpec {
        ToolSpec::new("endless", "a tool of a test", json!({"type": "object"}))
    }

    async fn call(&self, _: ToolContext, _: Value) -> Result<Value, ToolError> {
        struct Tells(Arc<AtomicBool>);
        impl Drop for Tells {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let _tells = Tells(Arc::clone(&self.0));
        std::future::pending().await
    }
}

/// Threads that are never read to the end.
struct StuckThreads;

impl ThreadStore for StuckThreads {
    fn list(&self, _: UserId, _: Page) -> BoxFuture<'static, Result<ThreadPage, StoreError>> {
        Box::pin(std::future::pending())
    }

    fn history(
        &self,
        _: UserId,
        _: ThreadId,
        _: Option<SessionId>,
        _: HistoryPage,
    ) -> BoxFuture<'static, Result<History, StoreError>> {
        Box::pin(std::future::pending())
    }

    fn transcript(
        &self,
        _: UserId,
        _: ThreadId,
        _: usize,
        _: usize,
    ) -> BoxFuture<'static, Result<Vec<HistoryMessage>, StoreError>> {
        Box::pin(std::future::pending())
    }

    fn run(&self, _: UserId, _: RunId) -> BoxFuture<'static, Result<RunRecord, StoreError>> {
        Box::pin(std::future::pending())
    }

    fn usage(&self, _: UserId, _: Window) -> BoxFuture<'static, Result<Charge, StoreError>> {
        Box::pin(std::future::pending())
    }

    fn create(&self, _: UserId, _: String, _: SystemTime) -> BoxFuture<'static, Result<ThreadSummary, StoreError>> {
        Box::pin(std::future::pending())
    }

    fn rename(
        &self,
        _: UserId,
        _: ThreadId,
        _: String,
        _: SystemTime,
    ) -> BoxFuture<'static, Result<ThreadSummary, StoreError>> {
        Box::pin(std::future::pending())
    }

    fn delete(&self, _: UserId, _: ThreadId) -> BoxFuture<'static, Result<(), StoreError>> {
        Box::pin(std::future::pending())
    }
}
