//! The rows of threads and messages, and what HTTP asks of them.

use std::time::SystemTime;

use futures_util::future::BoxFuture;
use sqlx::sqlite::SqliteConnection;
use uuid::Uuid;

use sessile_actors::ids::{MessageId, RunId, SessionId, ThreadId, UserId};
use sessile_actors::infra::journal::StoreError;
use sessile_actors::protocol::server::ThreadSummary;

use super::rows;
use super::writer::Work;

const INSERT: &str = "INSERT INTO thread (user_id, id, name, created, updated, touched) \
    VALUES (?1, ?2, ?3, ?4, ?4, max(?4, coalesce((SELECT max(touched) FROM thread WHERE user_id = ?1), 0) + 1)) \
    ON CONFLICT (id) DO NOTHING";

const TOUCH: &str = "UPDATE thread SET updated = ?3, \
        touched = max(?3, coalesce((SELECT max(touched) FROM thread WHERE user_id = ?1), 0) + 1) \
    WHERE user_id = ?1 AND id = ?2";

const NAME: &str = "SELECT name FROM thread WHERE user_id = ? AND id = ?";

const SUMMARY: &str = "SELECT id, name, created, updated FROM thread WHERE user_id = ? AND id = ?";

const RENAME: &str = "UPDATE thread SET name = ? WHERE user_id = ? AND id = ?";

const ADD_MESSAGE: &str = "INSERT INTO message (user_id, thread_id, n, id, run_id, role, content, status, created) \
    SELECT ?1, ?2, coalesce((SELECT max(n) FROM message WHERE user_id = ?1 AND thread_id = ?2), 0) + 1, \
        ?3, ?4, ?5, ?6, ?7, ?8 \
    WHERE EXISTS (SELECT 1 FROM thread WHERE user_id = ?1 AND id = ?2)";

const ACTIVE_RUN: &str = "SELECT id, session_id FROM run \
    WHERE user_id = ? AND thread_id = ? AND state IN ('running', 'waiting', 'cancelling')";

const SESSIONS: &str = "SELECT session_id, min(first_seq) AS first_seq FROM run \
    WHERE user_id = ? AND thread_id = ? GROUP BY session_id";

const ERASE_BODIES: &str = "UPDATE event SET body = json_set(body, '$.payload', json('{\"erased\":true}')) \
    WHERE session_id = (SELECT id FROM session WHERE id = ? AND user_id = ?) AND seq > ? AND thread_id = ?";

const DELETE_QUEUED: &str = "DELETE FROM run WHERE user_id = ? AND thread_id = ? AND state = 'queued'";
const ERASE_RUNS: &str = "UPDATE run SET metadata = NULL WHERE user_id = ? AND thread_id = ?";
const DELETE_MESSAGES: &str = "DELETE FROM message WHERE user_id = ? AND thread_id = ?";
const DELETE_THREAD: &str = "DELETE FROM thread WHERE user_id = ? AND id = ?";

/// A message on its way into its thread.
pub(super) struct NewMessage<'a> {
    pub(super) id: MessageId,
    pub(super) run: RunId,
    pub(super) role: &'static str,
    pub(super) content: &'a str,
    pub(super) status: &'static str,
}

/// Puts a message at the end of its thread, which moves to the top of its user's list. A thread that is gone takes nothing.
pub(super) async fn add_message(
    db: &mut SqliteConnection,
    user: &str,
    thread: Uuid,
    message: &NewMessage<'_>,
    at: SystemTime,
) -> Result<(), sqlx::Error> {
    sqlx::query(ADD_MESSAGE)
        .bind(user)
        .bind(thread)
        .bind(message.id.as_uuid())
        .bind(message.run.as_uuid())
        .bind(message.role)
        .bind(message.content)
        .bind(message.status)
        .bind(rows::micros(at))
        .execute(&mut *db)
        .await?;
    let touch = sqlx::query(TOUCH).bind(user).bind(thread).bind(rows::micros(at));
    touch.execute(db).await?;
    Ok(())
}

/// Makes a thread; `false` where its id is taken, by whomever.
pub(super) async fn insert(
    db: &mut SqliteConnection,
    user: &UserId,
    id: ThreadId,
    name: &str,
    at: SystemTime,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(INSERT)
        .bind(user.as_str())
        .bind(id.as_uuid())
        .bind(name)
        .bind(rows::micros(at))
        .execute(db)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// The name of the user's thread, where there is one.
pub(super) async fn name(
    db: &mut SqliteConnection,
    user: &UserId,
    id: ThreadId,
) -> Result<Option<String>, sqlx::Error> {
    let name = sqlx::query_scalar(NAME).bind(user.as_str()).bind(id.as_uuid());
    name.fetch_optional(db).await
}

/// Gives the user's thread another name; `false` where there is none.
pub(super) async fn rename(
    db: &mut SqliteConnection,
    user: &UserId,
    id: ThreadId,
    name: &str,
) -> Result<bool, sqlx::Error> {
    let rename = sqlx::query(RENAME).bind(name).bind(user.as_str()).bind(id.as_uuid());
    Ok(rename.execute(db).await?.rows_affected() == 1)
}

/// The run that holds the user's thread, and the session that has it.
pub(super) async fn active_run(
    db: &mut SqliteConnection,
    user: &UserId,
    thread: ThreadId,
) -> Result<Option<(RunId, SessionId)>, sqlx::Error> {
    let run = sqlx::query(ACTIVE_RUN).bind(user.as_str()).bind(thread.as_uuid());
    let Some(row) = run.fetch_optional(db).await? else {
        return Ok(None);
    };
    Ok(Some((rows::id(&row, "id")?, rows::id(&row, "session_id")?)))
}

/// Takes the thread, its messages, its queued runs and the bodies of its events; the events keep their `seq`.
pub(super) async fn erase(db: &mut SqliteConnection, user: &UserId, id: ThreadId) -> Result<(), sqlx::Error> {
    let (user, thread) = (user.as_str(), id.as_uuid());
    let sessions = sqlx::query(SESSIONS)
        .bind(user)
        .bind(thread)
        .fetch_all(&mut *db)
        .await?;
    for session in &sessions {
        let session_id: SessionId = rows::id(session, "session_id")?;
        sqlx::query(ERASE_BODIES)
            .bind(session_id.as_uuid())
            .bind(user)
            .bind(rows::integer(rows::counter(session, "first_seq")?))
            .bind(thread)
            .execute(&mut *db)
            .await?;
    }
    for step in [DELETE_QUEUED, ERASE_RUNS, DELETE_MESSAGES, DELETE_THREAD] {
        sqlx::query(step).bind(user).bind(thread).execute(&mut *db).await?;
    }
    Ok(())
}

async fn summary(
    db: &mut SqliteConnection,
    user: &UserId,
    id: ThreadId,
) -> Result<Result<ThreadSummary, StoreError>, sqlx::Error> {
    let row = sqlx::query(SUMMARY).bind(user.as_str()).bind(id.as_uuid());
    match row.fetch_optional(db).await? {
        Some(row) => rows::thread(&row).map(Ok),
        None => Ok(Err(StoreError::NotFound)),
    }
}

/// Makes a thread, asked by HTTP.
pub(super) struct CreateThread {
    pub(super) user: UserId,
    pub(super) name: String,
    pub(super) at: SystemTime,
}

impl Work for CreateThread {
    type Output = Result<ThreadSummary, StoreError>;

    fn apply<'a>(&'a self, db: &'a mut SqliteConnection) -> BoxFuture<'a, Result<Self::Output, sqlx::Error>> {
        Box::pin(async move {
            let id = ThreadId::mint();
            insert(db, &self.user, id, &self.name, self.at).await?;
            summary(db, &self.user, id).await
        })
    }
}

/// Renames a thread, asked by HTTP.
pub(super) struct RenameThread {
    pub(super) user: UserId,
    pub(super) thread: ThreadId,
    pub(super) name: String,
}

impl Work for RenameThread {
    type Output = Result<ThreadSummary, StoreError>;

    fn apply<'a>(&'a self, db: &'a mut SqliteConnection) -> BoxFuture<'a, Result<Self::Output, sqlx::Error>> {
        Box::pin(async move {
            rename(db, &self.user, self.thread, &self.name).await?;
            summary(db, &self.user, self.thread).await
        })
    }
}

/// Deletes a thread, asked by HTTP.
pub(super) struct DeleteThread {
    pub(super) user: UserId,
    pub(super) thread: ThreadId,
}

impl Work for DeleteThread {
    type Output = Result<(), StoreError>;

    fn apply<'a>(&'a self, db: &'a mut SqliteConnection) -> BoxFuture<'a, Result<Self::Output, sqlx::Error>> {
        Box::pin(async move {
            if name(db, &self.user, self.thread).await?.is_none() {
                return Ok(Err(StoreError::NotFound));
            }
            if let Some((run, _)) = active_run(db, &self.user, self.thread).await? {
                return Ok(Err(StoreError::RunActive(run)));
            }
            erase(db, &self.user, self.thread).await?;
            Ok(Ok(()))
        })
    }
}
