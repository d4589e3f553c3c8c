//! Child runs in a journal: they have no rows, and are known by their events.

use serde_json::Value;
use sessile::store::SqliteStore;
use sessile_actors::ids::{CallId, RunId, Seq, SessionId};
use sessile_actors::infra::journal::{Accept, ReadLimit, RunEnd, StoredChild};
use sessile_actors::protocol::server::{DeathCause, Event, RunState, StoppedBy};
use sessile_actors::session::recovery;
use tempfile::TempDir;
use tokio::runtime::Handle;

use super::kit::{Session, World, at, calls, done, ended, promote, returns, thinking};

super::over_both_backends! {
    a_revived_session_knows_the_children_that_had_not_ended
    what_a_recovery_tells_of_children_can_be_written_and_frees_the_thread
    the_end_of_a_child_ends_no_run_of_the_thread
    a_run_that_waits_has_no_children
}

/// The whole log.
const ALL: ReadLimit = ReadLimit {
    events: usize::MAX,
    bytes: usize::MAX,
};

pub(super) fn begun(run: &Accept, parent: RunId) -> Event {
    Event::AgentStarted {
        status: "started",
        message: "echo is working on it".to_owned(),
        message_id: run.idempotency.message_id,
        parent_run_id: Some(parent),
    }
}

/// A child of the thread's run, as far as its events name it.
fn child(of: &Accept) -> Accept {
    Accept {
        run_id: RunId::mint(),
        ..of.clone()
    }
}

fn end() -> RunEnd {
    RunEnd {
        message: None,
        child: true,
        ..ended(RunState::Completed, "")
    }
}

/// A run at work with a child that ended, one with an open call, and a child of that one.
async fn family(ada: &mut Session) -> (Accept, [Accept; 3], CallId) {
    let run = ada.start("hello").await;
    let children = [child(&run), child(&run), child(&run)];
    let [ended_one, open, nested] = &children;
    let (call, closed) = (CallId::mint(), CallId::mint());
    ada.tell(&run, &[thinking()], None).await;
    ada.tell(ended_one, &[begun(ended_one, run.run_id), calls(CallId::mint())], None)
        .await;
    ada.tell(
        open,
        &[begun(open, run.run_id), calls(call), calls(closed), returns(closed)],
        None,
    )
    .await;
    ada.tell(nested, &[begun(nested, open.run_id)], None).await;
    ada.tell(ended_one, &[over()], Some(end())).await;
    (run, children, call)
}

fn over() -> Event {
    Event::AgentStopped {
        stopped_by: StoppedBy::Parent,
        reason: "enough".to_owned(),
        partial: None,
        discarded_message_ids: Vec::new(),
    }
}

fn line(children: &[StoredChild]) -> Vec<(RunId, &str, Vec<CallId>)> {
    let calls = |child: &StoredChild| child.open_calls.iter().map(|call| call.call_id).collect();
    children
        .iter()
        .map(|child| (child.run_id, child.agent.as_str(), calls(child)))
        .collect()
}

async fn a_revived_session_knows_the_children_that_had_not_ended(world: World) {
    let mut ada = world.session("ada").await;
    let (run, [_, open, nested], call) = family(&mut ada).await;
    let revived = world.journal.revive(ada.context.clone(), at(9)).await.unwrap();
    assert_eq!(revived.runs.len(), 1, "a child has no row");
    assert_eq!(revived.runs[0].run_id, run.run_id);
    assert_eq!(
        line(&revived.runs[0].children),
        [(open.run_id, "echo", vec![call]), (nested.run_id, "echo", vec![])]
    );
    let history = world.history(&ada, ada.thread).await.unwrap();
    let active: Vec<_> = history.active_runs.iter().map(|run| run.run_id).collect();
    assert_eq!(active, [run.run_id]);
    assert!(
        history.active_runs[0].open_calls.is_empty(),
        "its children's calls are theirs"
    );
}

async fn what_a_recovery_tells_of_children_can_be_written_and_frees_the_thread(world: World) {
    let mut ada = world.session("ada").await;
    let (run, [_, open, nested], _) = family(&mut ada).await;
    let revived = world.journal.revive(ada.context.clone(), at(9)).await.unwrap();
    ada.fence = revived.fence;
    let before = ada.log().await.len();
    let session: SessionId = ada.context.session();
    let records = recovery::end_of(&revived.runs[0], session, ada.last.next(), at(9), DeathCause::Panic);
    let batch = ada.batch(records, Vec::new());
    ada.append(batch).await.unwrap();
    let told: Vec<_> = ada.log().await[before..]
        .iter()
        .map(|event| (event["type"].as_str().unwrap().to_owned(), event["run_id"].clone()))
        .collect();
    let expected = [
        ("agent_death", &nested),
        ("tool_completed", &open),
        ("agent_death", &open),
        ("agent_death", &run),
    ];
    assert_eq!(
        told,
        expected.map(|(kind, run)| (kind.to_owned(), run.run_id.to_string().into()))
    );
    let again = world.journal.revive(ada.context.clone(), at(10)).await.unwrap();
    assert!(again.runs.is_empty());
}

async fn the_end_of_a_child_ends_no_run_of_the_thread(world: World) {
    let mut ada = world.session("ada").await;
    let run = ada.start("hello").await;
    let aside = child(&run);
    let waiting = ada.queue("later").await;
    let said = RunEnd {
        child: true,
        ..ended(RunState::Completed, "aside")
    };
    ada.tell(&aside, &[begun(&aside, run.run_id), over()], Some(said)).await;
    assert_ne!(ada.ask(promote(&waiting)).await, done(), "the parent holds the thread");
    assert_eq!(world.words(&ada, ada.thread).await, ["hello"]);
    ada.tell(&run, &[over()], Some(ended(RunState::Stopped, ""))).await;
    // The seed system's clients are told of ends of runs that answer them.
    let page = ada.read(0, 50, 1 << 20).await;
    let terminal: Vec<_> = page.events.iter().map(|event| event.terminal).collect();
    assert_eq!(terminal, [false, false, true]);
}

async fn a_run_that_waits_has_no_children(world: World) {
    let mut ada = world.session("ada").await;
    let run = ada.start("hello").await;
    ada.queue("later").await;
    let aside = child(&run);
    ada.tell(&aside, &[begun(&aside, run.run_id)], None).await;
    let revived = world.journal.revive(ada.context.clone(), at(9)).await.unwrap();
    let children: Vec<_> = revived.runs.iter().map(|run| run.children.len()).collect();
    assert_eq!(children, [1, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_ends_children_before_their_parent_and_each_once() {
    let dir = TempDir::new().unwrap();
    let store = SqliteStore::open(dir.path(), &Handle::current()).await.unwrap();
    let mut ada = World::over(store.clone()).session("ada").await;
    let (run, [_, open, nested], _) = family(&mut ada).await;
    let before = ada.log().await.len();
    store.close().await;

    let store = SqliteStore::open(dir.path(), &Handle::current()).await.unwrap();
    let world = World::over(store.clone());
    let ends = async |world: &World| {
        let page = world.journal.read(ada.context.clone(), Seq::ZERO, ALL).await.unwrap();
        let bodies = page.events[before..]
            .iter()
            .map(|event| serde_json::from_slice(&event.body).unwrap());
        bodies
            .filter(|event: &Value| event["type"] == "agent_death")
            .map(|event| (event["run_id"].clone(), event["payload"]["death_cause"].clone()))
            .collect::<Vec<_>>()
    };
    let expected = [&nested, &open, &run].map(|run| (run.run_id.to_string().into(), "interrupted".into()));
    assert_eq!(ends(&world).await, expected);
    store.close().await;
    let world = World::over(SqliteStore::open(dir.path(), &Handle::current()).await.unwrap());
    assert_eq!(ends(&world).await, expected, "the second restart finds nothing to end");
}
