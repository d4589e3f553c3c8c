//! The rows of sessions: opened, revived, and their runs that have not ended.

use std::time::SystemTime;

use futures_util::TryStreamExt as _;
use futures_util::future::BoxFuture;
use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use sessile_actors::context::SessionContext;
use sessile_actors::ids::{Epoch, Fence, RunId, Seq, SessionId, ThreadId, UserId};
use sessile_actors::infra::journal::{Opened, Revived, StoredChild, StoredRun};
use sessile_actors::infra::replay::{Family, Replay};

use super::rows;
use super::writer::Work;

const OPEN: &str = "INSERT INTO session (id, user_id, thread_id, fence, last_seq, floor_seq, created) \
    VALUES (?, ?, ?, 1, 0, 0, ?)";

const REVIVE: &str = "UPDATE session SET fence = fence + 1 WHERE id = ? AND user_id = ? \
    RETURNING thread_id, fence, last_seq, floor_seq";

const OPEN_RUNS: &str = "SELECT r.id, r.thread_id, r.request_id, r.message_id, r.agent, r.documents, r.metadata, r.state, r.first_seq, \
        coalesce(m.content, '') AS content \
    FROM run r LEFT JOIN message m ON m.user_id = r.user_id AND m.run_id = r.id AND m.id = r.message_id \
    WHERE r.session_id = ? AND r.user_id = ? AND r.state IN ('queued', 'running', 'waiting', 'cancelling') ORDER BY r.n";

const RUN_EVENTS: &str = "SELECT kind, body FROM event \
    WHERE session_id = (SELECT id FROM session WHERE id = ? AND user_id = ?) AND seq > ? AND run_id = ? \
        AND kind IN ('tool_executing', 'tool_approval_requested', 'tool_approval_decided', 'tool_completed', 'partial_result') \
    ORDER BY seq";

/// Child runs have no rows: what their events tell is all there is of them. They work in their parent's thread.
const FAMILY_EVENTS: &str = "SELECT run_id, kind, body FROM event \
    WHERE session_id = (SELECT id FROM session WHERE id = ? AND user_id = ?) AND seq > ? AND thread_id = ? AND run_id <> ? \
        AND kind IN ('agent_started', 'tool_executing', 'tool_approval_requested', 'tool_approval_decided', 'tool_completed', \
            'agent_completed', 'agent_error', 'agent_stopped', 'agent_death') ORDER BY seq";

/// Writes the row of a new session.
pub(super) struct OpenSession {
    pub(super) session: SessionContext,
    pub(super) epoch: Epoch,
    pub(super) at: SystemTime,
}

impl Work for OpenSession {
    type Output = Opened;

    fn apply<'a>(&'a self, db: &'a mut SqliteConnection) -> BoxFuture<'a, Result<Opened, sqlx::Error>> {
        Box::pin(async move {
            let thread = ThreadId::mint();
            sqlx::query(OPEN)
                .bind(self.session.session().as_uuid())
                .bind(self.session.user().as_str())
                .bind(thread.as_uuid())
                .bind(rows::micros(self.at))
                .execute(db)
                .await?;
            Ok(Opened {
                epoch: self.epoch,
                thread,
                fence: Fence(1),
            })
        })
    }
}

/// Begins a new incarnation; none where the session is not this user's.
pub(super) struct ReviveSession {
    pub(super) session: SessionContext,
    pub(super) epoch: Epoch,
}

impl Work for ReviveSession {
    type Output = Option<Revived>;

    fn apply<'a>(&'a self, db: &'a mut SqliteConnection) -> BoxFuture<'a, Result<Option<Revived>, sqlx::Error>> {
        Box::pin(async move {
            let row = sqlx::query(REVIVE)
                .bind(self.session.session().as_uuid())
                .bind(self.session.user().as_str())
                .fetch_optional(&mut *db)
                .await?;
            let Some(row) = row else {
                return Ok(None);
            };
            Ok(Some(Revived {
                epoch: self.epoch,
                thread: rows::id(&row, "thread_id")?,
                fence: Fence(rows::counter(&row, "fence")?),
                last_seq: rows::seq(&row, "last_seq")?,
                floor_seq: rows::seq(&row, "floor_seq")?,
                runs: open_runs(db, &self.session).await?,
            }))
        })
    }
}

/// The session's runs that have not ended, oldest first.
pub(super) async fn open_runs(
    db: &mut SqliteConnection,
    session: &SessionContext,
) -> Result<Vec<StoredRun>, sqlx::Error> {
    let found = sqlx::query(OPEN_RUNS)
        .bind(session.session().as_uuid())
        .bind(session.user().as_str())
        .fetch_all(&mut *db)
        .await?;
    let mut runs = Vec::with_capacity(found.len());
    for row in &found {
        runs.push(stored_run(db, session, row).await?);
    }
    Ok(runs)
}

async fn stored_run(
    db: &mut SqliteConnection,
    session: &SessionContext,
    row: &SqliteRow,
) -> Result<StoredRun, sqlx::Error> {
    let run_id: RunId = rows::id(row, "id")?;
    let metadata: Option<&str> = row.try_get("metadata")?;
    let metadata = metadata.map(serde_json::from_str).transpose().map_err(rows::damaged)?;
    let documents: Option<&str> = row.try_get("documents")?;
    let references = documents.map(serde_json::from_str).transpose().map_err(rows::damaged)?;
    let first_seq = rows::seq(row, "first_seq")?;
    let (open_calls, said) = replay(db, session, run_id, first_seq).await?.finish();
    let (thread_id, state) = (rows::id(row, "thread_id")?, rows::state(row, "state")?);
    // What waits has begun nothing.
    let children = if state.is_active() {
        children(db, session, thread_id, run_id, first_seq).await?
    } else {
        Vec::new()
    };
    Ok(StoredRun {
        run_id,
        thread_id,
        request_id: rows::id(row, "request_id")?,
        message_id: rows::id(row, "message_id")?,
        agent: row.try_get("agent")?,
        content: row.try_get("content")?,
        references: references.unwrap_or_default(),
        metadata,
        state,
        open_calls,
        said,
        children,
    })
}

/// The run's children that have not ended, by the events of its session after `first_seq`.
pub(super) async fn children(
    db: &mut SqliteConnection,
    session: &SessionContext,
    thread: ThreadId,
    run: RunId,
    first_seq: Seq,
) -> Result<Vec<StoredChild>, sqlx::Error> {
    let mut events = sqlx::query(FAMILY_EVENTS)
        .bind(session.session().as_uuid())
        .bind(session.user().as_str())
        .bind(rows::integer(first_seq.0))
        .bind(thread.as_uuid())
        .bind(run.as_uuid())
        .fetch(db);
    let mut family = Family::of(run);
    while let Some(event) = events.try_next().await? {
        let body: &str = event.try_get("body")?;
        family.take(rows::id(&event, "run_id")?, event.try_get("kind")?, body.as_bytes());
    }
    drop(events);
    Ok(family.finish())
}

/// Where a run stands, by its events after `first_seq`.
pub(super) async fn replay(
    db: &mut SqliteConnection,
    session: &SessionContext,
    run: RunId,
    first_seq: Seq,
) -> Result<Replay, sqlx::Error> {
    let events = sqlx::query(RUN_EVENTS)
        .bind(session.session().as_uuid())
        .bind(session.user().as_str())
        .bind(rows::integer(first_seq.0))
        .bind(run.as_uuid())
        .fetch_all(db)
        .await?;
    let mut replay = Replay::default();
    for event in &events {
        let body: &str = event.try_get("body")?;
        replay.take(event.try_get("kind")?, body.as_bytes());
    }
    Ok(replay)
}

/// The session that a row names.
pub(super) fn session_of(row: &SqliteRow, column: &str) -> Result<SessionContext, sqlx::Error> {
    let user: &str = row.try_get("user_id")?;
    let user = UserId::parse(user).map_err(rows::damaged)?;
    let session: SessionId = rows::id(row, column)?;
    Ok(SessionContext::new(user, session))
}
