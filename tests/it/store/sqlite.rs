//! What only a journal on disk promises: it outlives its process, and has one at a time.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use sessile::store::{OpenError, SqliteStore};
use sessile_actors::ids::{CallId, MessageId, Seq};
use sessile_actors::infra::journal::{JournalError, StoreCommand};
use sessile_actors::protocol::server::RunState;
use sessile_actors::testing::user;
use tempfile::TempDir;
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use super::kit::{Session, World, accept, at, calls, done, promote, says, thinking};

async fn open(dir: &Path) -> SqliteStore {
    SqliteStore::open(dir, &Handle::current()).await.unwrap()
}

/// Closes the store and opens it again: what a restart does.
async fn reopen(store: SqliteStore, dir: &Path) -> SqliteStore {
    store.close().await;
    open(dir).await
}

/// The same session, writing in a store that was opened anew.
async fn revive(world: &World, old: Session) -> Session {
    let revived = world.journal.revive(old.context.clone(), at(9)).await.unwrap();
    let mut session = world.session("nobody").await;
    session.context = old.context;
    session.thread = revived.thread;
    session.fence = revived.fence;
    session.last = revived.last_seq;
    session
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_everything() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path()).await;
    let world = World::over(store.clone());
    let mut ada = world.session("ada").await;
    let run = ada.start("hello").await;
    ada.complete(&run, "answer").await;
    let before = world.journal.revive(ada.context.clone(), at(1)).await.unwrap();
    world
        .notes
        .write(ada.context.user(), "a note".to_owned())
        .await
        .unwrap();
    let log = ada.log().await;

    let world = World::over(reopen(store, dir.path()).await);
    let ada = revive(&world, ada).await;
    assert_eq!(ada.log().await, log);
    assert_eq!(world.words(&ada, ada.thread).await, ["hello", "answer"]);
    assert_eq!(world.notes.list(ada.context.user(), 9).await.unwrap().len(), 1);
    let after = world.journal.revive(ada.context.clone(), at(2)).await.unwrap();
    assert_eq!(after.epoch, before.epoch, "the same lineage");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_store_is_one_file_that_can_be_copied_alone() {
    let (dir, copy) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let store = open(dir.path()).await;
    let world = World::over(store.clone());
    let mut ada = world.session("ada").await;
    ada.start("hello").await;
    store.close().await;

    std::fs::copy(dir.path().join("sessile.db"), copy.path().join("sessile.db")).unwrap();
    let world = World::over(open(copy.path()).await);
    assert_eq!(world.words(&ada, ada.thread).await, ["hello"]);
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_on_the_machine_reads_what_users_said() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = TempDir::new().unwrap();
    let open_to_others = || {
        let files = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap());
        files
            .filter(|file| file.metadata().unwrap().permissions().mode() & 0o077 != 0)
            .map(|file| file.file_name().into_string().unwrap())
            .filter(|name| name.starts_with("sessile.db"))
            .collect::<Vec<_>>()
    };
    let store = open(dir.path()).await;
    World::over(store.clone()).session("ada").await.start("hello").await;
    assert!(dir.path().join("sessile.db-wal").exists(), "the log is looked at too");
    assert_eq!(open_to_others(), Vec::<String>::new());

    let restored = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(dir.path().join("sessile.db"), restored).unwrap();
    let _store = reopen(store, dir.path()).await;
    assert_eq!(open_to_others(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_gives_each_orphaned_run_its_end_once() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path()).await;
    let world = World::over(store.clone());
    let mut ada = world.session("ada").await;
    let run = ada.start("hello").await;
    let message = MessageId::mint();
    let events = [thinking(), says(message, 0, "half an"), calls(CallId::mint())];
    ada.tell(&run, &events, None).await;
    let waiting = ada.queue("and then").await;

    let store = reopen(store, dir.path()).await;
    let store = reopen(store, dir.path()).await;
    let world = World::over(store.clone());
    let mut ada = revive(&world, ada).await;
    let log = ada.log().await;
    let kinds: Vec<_> = log.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(
        kinds[2..],
        ["tool_executing", "tool_completed", "agent_death"],
        "one end, and the open call before it"
    );
    assert_eq!(log[3]["payload"]["status"], "unknown");
    assert_eq!(log[4]["payload"]["death_cause"], "interrupted");
    assert_eq!((ada.last, &log[4]["seq"]), (Seq(5), &serde_json::json!(5)));

    let history = world.history(&ada, ada.thread).await.unwrap();
    assert_eq!(history.active_runs, []);
    let kept = &history.messages[0];
    assert_eq!((kept.message_id, kept.status.as_str()), (message, "partial"));
    assert_eq!(history.queued[0].run_id, waiting.run_id, "what waited waits");
    let queued = store.sessions_with_queued_runs().await.unwrap();
    assert_eq!(queued, [ada.context.clone()]);
    assert_eq!(ada.ask(promote(&waiting)).await, done());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revived_session_finds_no_run_that_the_restart_ended() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path()).await;
    let mut ada = World::over(store.clone()).session("ada").await;
    ada.start("hello").await;
    let world = World::over(reopen(store, dir.path()).await);
    let revived = world.journal.revive(ada.context.clone(), at(1)).await.unwrap();
    assert_eq!(revived.runs, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_on_the_same_directory_is_refused_by_name() {
    let dir = TempDir::new().unwrap();
    let first = open(dir.path()).await;
    let Err(refused) = SqliteStore::open(dir.path(), &Handle::current()).await else {
        panic!("two servers have one directory");
    };
    assert!(matches!(refused, OpenError::InUse { .. }), "{refused:?}");
    let file = dir.path().join("sessile.db");
    let message = refused.to_string();
    assert!(message.contains(file.to_str().unwrap()), "{message}");
    reopen(first, dir.path()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_can_be_read_by_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = TempDir::new().unwrap();
    let store = open(dir.path()).await;
    for name in ["sessile.db", "sessile.db-wal", "sessile.db-shm"] {
        let mode = std::fs::metadata(dir.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{name} has mode {mode:o}");
    }
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_store_says_that_it_is_unavailable() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path()).await;
    let world = World::over(store.clone());
    let mut ada = world.session("ada").await;
    store.close().await;
    let batch = ada.batch(Vec::new(), Vec::new());
    let refused = ada.append(batch).await;
    assert!(matches!(refused, Err(JournalError::Unavailable(_))), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_append_at_once_have_logs_without_holes() {
    let dir = TempDir::new().unwrap();
    let world = World::over(open(dir.path()).await);
    let mut sessions = JoinSet::new();
    for n in 0..50 {
        let mut session = world.session(&format!("user {n}")).await;
        sessions.spawn(async move {
            let run = session.start("hello").await;
            for _ in 0..10 {
                session.tell(&run, &[thinking(), thinking()], None).await;
            }
            session
        });
    }
    while let Some(session) = sessions.join_next().await {
        let log = session.unwrap().log().await;
        let numbers: Vec<_> = log.iter().map(|event| event["seq"].as_u64()).collect();
        assert_eq!(numbers, (1..=20).map(Some).collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_whose_rows_refuse_it_costs_the_others_nothing() {
    let dir = TempDir::new().unwrap();
    let world = World::over(open(dir.path()).await);
    let mut guilty = world.session("ada").await;
    let taken = guilty.start("hello").await;
    let mut others = Vec::new();
    for n in 0..8 {
        others.push(world.session(&format!("user {n}")).await);
    }
    // A run's id that is taken is no reply of the port: only the table finds it.
    let mut again = accept(guilty.thread, "again", false);
    again.run_id = taken.run_id;
    let fault = guilty.batch(Vec::new(), vec![StoreCommand::Accept(again)]);
    let batches = others.iter().map(|session| {
        let run = accept(session.thread, "hello", true);
        session.batch(session.records(&run, &[thinking()]), vec![StoreCommand::Accept(run)])
    });
    let good: Vec<_> = batches.map(|batch| world.journal.append(batch)).collect();
    let refused = world.journal.append(fault);
    let (good, refused) = tokio::join!(futures_util::future::join_all(good), refused);
    assert!(matches!(refused, Err(JournalError::Refused(_))), "{refused:?}");
    for replies in good {
        assert_eq!(replies, Ok(vec![done()]));
    }
    guilty.tell(&taken, &[thinking()], None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_the_answer_cancels_nothing() {
    let dir = TempDir::new().unwrap();
    let world = World::over(open(dir.path()).await);
    let mut ada = world.session("ada").await;
    let run = ada.start("hello").await;
    drop(
        world
            .journal
            .append(ada.batch(ada.records(&run, &[thinking()]), Vec::new())),
    );
    // It stands in the same queue, behind the append.
    let revived = world.journal.revive(ada.context.clone(), at(1)).await.unwrap();
    assert_eq!(revived.last_seq, Seq(1));
    assert_eq!(revived.runs[0].state, RunState::Running);
}

/// How many rows a table has.
async fn rows(dir: &Path, table: &str) -> i64 {
    let file = sqlx::sqlite::SqliteConnectOptions::new().filename(dir.join("sessile.db"));
    let mut db = sqlx::ConnectOptions::connect(&file).await.unwrap();
    let count = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
    sqlx::query_scalar(count).fetch_one(&mut db).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_documents_text_is_swept_also_where_the_server_stopped_in_between() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path()).await;
    let world = World::over(store.clone());
    let ada = user("ada");
    let text = Bytes::from("some words\n".repeat(40_000));
    let put = world
        .documents
        .put(&ada, "big".to_owned(), "text/plain".to_owned(), text);
    let id = put.await.unwrap().document_id;
    world.documents.delete(&ada, id).await.unwrap();
    // Its parts go one job after another, and the store closes before the last.
    store.close().await;
    let left = rows(dir.path(), "document_part").await;
    assert!(
        left > 0 && rows(dir.path(), "document_loose").await == 1,
        "{left} parts are left"
    );
    let world = World::over(reopen(store, dir.path()).await);
    let swept = async {
        while rows(dir.path(), "document_loose").await > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), swept)
        .await
        .expect("the rest is swept");
    assert_eq!(rows(dir.path(), "document_part").await, 0);
    assert_eq!(world.documents.list(&ada, 9).await, Ok(Vec::new()));
}
