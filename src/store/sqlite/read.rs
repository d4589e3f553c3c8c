//! What is read, each call from one snapshot.

use futures_util::TryStreamExt as _;
use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use sessile_actors::context::SessionContext;
use sessile_actors::ids::{RunId, Seq, SessionId, ThreadId, UserId};
use sessile_actors::infra::journal::{
    EventPage, HistoryPage, JournalError, ReadLimit, RunRecord, StoreError, StoredEvent, ThreadPage,
};
use sessile_actors::protocol::client::Page;
use sessile_actors::protocol::server::{
    ActiveRun, History, HistoryMessage, PendingApproval, QueuedMessage, is_terminal_kind,
};

use super::{rows, sessions, threads};
use crate::store::{Note, holds_all};

/// Entries of a page of threads where the caller names none, and at most.
const PAGE: usize = 50;
const PAGE_MAX: usize = 200;

/// Sessions that [`sessions_with_queued_runs`] names at most. The others go on when their clients return.
const QUEUED_SESSIONS: i64 = 10_000;

const SESSION: &str = "SELECT thread_id, last_seq, floor_seq FROM session WHERE id = ? AND user_id = ?";

/// A child run has no row.
const EVENTS: &str = "SELECT seq, kind, body, EXISTS (SELECT 1 FROM run WHERE run.id = event.run_id) AS has_row FROM event \
    WHERE session_id = (SELECT id FROM session WHERE id = ? AND user_id = ?) AND seq > ? ORDER BY seq LIMIT ?";

const THREADS: &str = "SELECT id, name, created, updated, touched FROM thread \
    WHERE user_id = ? AND touched < ? ORDER BY touched DESC LIMIT ?";

/// What waits in the queue has not been said yet.
const MESSAGES: &str = "SELECT n, id, run_id, role, content, status, created FROM message m \
    WHERE user_id = ? AND thread_id = ? AND n < ? \
        AND NOT EXISTS (SELECT 1 FROM run r WHERE r.id = m.run_id AND r.user_id = m.user_id AND r.state = 'queued') \
    ORDER BY n DESC LIMIT ?";

/// A run with its end. Its own events come after `first_seq`.
const RUN: &str = "SELECT r.session_id, (SELECT e.body FROM event e \
        WHERE e.session_id = r.session_id AND e.seq > r.first_seq AND e.run_id = r.id \
            AND e.kind IN ('agent_completed', 'agent_error', 'agent_stopped', 'agent_death') \
        ORDER BY e.seq LIMIT 1) AS body \
    FROM run r WHERE r.user_id = ? AND r.id = ?";

const ACTIVE_RUNS: &str = "SELECT id, user_id, session_id, agent, state, first_seq FROM run \
    WHERE user_id = ? AND thread_id = ? AND state IN ('running', 'waiting', 'cancelling') ORDER BY n";

const QUEUED: &str = "SELECT r.id, r.message_id, m.content FROM run r \
        JOIN message m ON m.user_id = r.user_id AND m.run_id = r.id AND m.id = r.message_id \
    WHERE r.user_id = ? AND r.thread_id = ? AND r.state = 'queued' ORDER BY r.n";

const QUEUED_ANYWHERE: &str = "SELECT DISTINCT user_id, session_id FROM run WHERE state = 'queued' LIMIT ?";

const NOTES: &str = "SELECT id, text FROM note WHERE user_id = ? ORDER BY n DESC";

/// Events of the session after `after`; an empty page where some of them are gone.
pub(super) async fn events(
    db: &mut SqliteConnection,
    session: &SessionContext,
    after: Seq,
    limit: ReadLimit,
) -> Result<Result<EventPage, JournalError>, sqlx::Error> {
    let Some(row) = session_row(db, session).await? else {
        return Ok(Err(JournalError::Refused("no such session of this user".to_owned())));
    };
    let floor_seq = rows::seq(&row, "floor_seq")?;
    let mut events = Vec::new();
    if floor_seq > after {
        return Ok(Ok(EventPage { events, floor_seq }));
    }
    let mut bytes = 0;
    let mut found = sqlx::query(EVENTS)
        .bind(session.session().as_uuid())
        .bind(session.user().as_str())
        .bind(rows::integer(after.0))
        .bind(rows::integer(limit.events))
        .fetch(db);
    while let Some(row) = found.try_next().await? {
        let body: String = row.try_get("body")?;
        bytes += body.len();
        if bytes > limit.bytes && !events.is_empty() {
            break;
        }
        events.push(StoredEvent {
            seq: rows::seq(&row, "seq")?,
            terminal: is_terminal_kind(row.try_get("kind")?) && row.try_get("has_row")?,
            body: body.into(),
        });
    }
    Ok(Ok(EventPage { events, floor_seq }))
}

/// The user's threads, last used first.
pub(super) async fn list(db: &mut SqliteConnection, user: &UserId, page: Page) -> Result<ThreadPage, sqlx::Error> {
    let limit = page.limit.unwrap_or(PAGE).clamp(1, PAGE_MAX);
    let found = sqlx::query(THREADS)
        .bind(user.as_str())
        .bind(page.before.unwrap_or(i64::MAX))
        .bind(rows::integer(limit + 1))
        .fetch_all(db)
        .await?;
    let shown = &found[..limit.min(found.len())];
    Ok(ThreadPage {
        threads: shown.iter().map(rows::thread).collect::<Result<_, _>>()?,
        next_before: match shown.last().filter(|_| found.len() > limit) {
            Some(last) => Some(last.try_get("touched")?),
            None => None,
        },
    })
}

/// A page of the thread, and all that goes on in it.
pub(super) async fn history(
    db: &mut SqliteConnection,
    user: &UserId,
    thread: ThreadId,
    session: Option<SessionId>,
    page: HistoryPage,
) -> Result<Result<History, StoreError>, sqlx::Error> {
    let (mut as_of_seq, mut current) = (Seq::ZERO, None);
    if let Some(session) = session
        && let Some(row) = session_row(db, &SessionContext::new(user.clone(), session)).await?
    {
        as_of_seq = rows::seq(&row, "last_seq")?;
        current = Some(rows::id::<ThreadId>(&row, "thread_id")?);
    }
    if current != Some(thread) && threads::name(db, user, thread).await?.is_none() {
        return Ok(Err(StoreError::NotFound));
    }
    let (messages, next_before) = newest(db, user, thread, page).await?;
    let (active_runs, pending_approvals) = active_runs(db, user, thread).await?;
    Ok(Ok(History {
        thread_id: thread,
        messages,
        next_before,
        as_of_seq,
        active_runs,
        queued: queued(db, user, thread).await?,
        pending_approvals,
    }))
}

/// A run of the user, wherever it is.
pub(super) async fn run(
    db: &mut SqliteConnection,
    user: &UserId,
    run: RunId,
) -> Result<Option<RunRecord>, sqlx::Error> {
    let row = sqlx::query(RUN).bind(user.as_str()).bind(run.as_uuid());
    let Some(row) = row.fetch_optional(db).await? else {
        return Ok(None);
    };
    let body: Option<String> = row.try_get("body")?;
    Ok(Some(RunRecord {
        session_id: rows::id(&row, "session_id")?,
        end: body.map(Into::into),
    }))
}

/// The newest messages, oldest first.
pub(super) async fn transcript(
    db: &mut SqliteConnection,
    user: &UserId,
    thread: ThreadId,
    messages: usize,
    bytes: usize,
) -> Result<Result<Vec<HistoryMessage>, StoreError>, sqlx::Error> {
    if threads::name(db, user, thread).await?.is_none() {
        return Ok(Err(StoreError::NotFound));
    }
    let page = HistoryPage {
        before: None,
        messages,
        bytes,
    };
    let (mut messages, _) = newest(db, user, thread, page).await?;
    messages.reverse();
    Ok(Ok(messages))
}

/// The user's notes that hold all of the words, newest first.
pub(super) async fn notes(
    db: &mut SqliteConnection,
    user: &UserId,
    words: &[String],
    limit: usize,
) -> Result<Vec<Note>, sqlx::Error> {
    let mut notes = Vec::new();
    let mut found = sqlx::query(NOTES).bind(user.as_str()).fetch(db);
    while notes.len() < limit
        && let Some(row) = found.try_next().await?
    {
        let text: String = row.try_get("text")?;
        if holds_all(&text, words) {
            let id = row.try_get("id")?;
            notes.push(Note { id, text });
        }
    }
    Ok(notes)
}

/// Sessions, of whatever users, that have work to go on with.
pub(super) async fn sessions_with_queued_runs(db: &mut SqliteConnection) -> Result<Vec<SessionContext>, sqlx::Error> {
    let found = sqlx::query(QUEUED_ANYWHERE).bind(QUEUED_SESSIONS).fetch_all(db).await?;
    found
        .iter()
        .map(|row| sessions::session_of(row, "session_id"))
        .collect()
}

async fn session_row(db: &mut SqliteConnection, session: &SessionContext) -> Result<Option<SqliteRow>, sqlx::Error> {
    sqlx::query(SESSION)
        .bind(session.session().as_uuid())
        .bind(session.user().as_str())
        .fetch_optional(db)
        .await
}

/// What was said, newest first, and where the next page begins.
async fn newest(
    db: &mut SqliteConnection,
    user: &UserId,
    thread: ThreadId,
    page: HistoryPage,
) -> Result<(Vec<HistoryMessage>, Option<i64>), sqlx::Error> {
    let mut found = sqlx::query(MESSAGES)
        .bind(user.as_str())
        .bind(thread.as_uuid())
        .bind(page.before.unwrap_or(i64::MAX))
        .bind(rows::integer(page.messages.saturating_add(1)))
        .fetch(db);
    let (mut messages, mut bytes, mut last) = (Vec::<HistoryMessage>::new(), 0, None);
    while let Some(row) = found.try_next().await? {
        let message = rows::message(&row)?;
        bytes += message.content.len();
        if messages.len() >= page.messages || (bytes > page.bytes && !messages.is_empty()) {
            return Ok((messages, last));
        }
        messages.push(message);
        last = Some(row.try_get("n")?);
    }
    Ok((messages, None))
}

/// The thread's runs at work, and their calls that wait for a person.
async fn active_runs(
    db: &mut SqliteConnection,
    user: &UserId,
    thread: ThreadId,
) -> Result<(Vec<ActiveRun>, Vec<PendingApproval>), sqlx::Error> {
    let found = sqlx::query(ACTIVE_RUNS)
        .bind(user.as_str())
        .bind(thread.as_uuid())
        .fetch_all(&mut *db)
        .await?;
    let (mut runs, mut pending_approvals) = (Vec::with_capacity(found.len()), Vec::new());
    for row in &found {
        let run_id = rows::id(row, "id")?;
        let holder = sessions::session_of(row, "session_id")?;
        let (first_seq, mut state) = (rows::seq(row, "first_seq")?, rows::state(row, "state")?);
        let mut replay = sessions::replay(db, &holder, run_id, first_seq).await?;
        pending_approvals.extend(replay.take_pending_approvals());
        for child in sessions::children(db, &holder, thread, run_id, first_seq).await? {
            state = state.with_child(&child.pending_approvals);
            pending_approvals.extend(child.pending_approvals);
        }
        let (open_calls, said) = replay.finish();
        let (message_ref, text_so_far) = said.map_or((None, String::new()), |(message, text)| (Some(message), text));
        runs.push(ActiveRun {
            run_id,
            session_id: holder.session(),
            agent_name: row.try_get("agent")?,
            state,
            message_ref,
            text_so_far,
            open_calls,
        });
    }
    Ok((runs, pending_approvals))
}

async fn queued(db: &mut SqliteConnection, user: &UserId, thread: ThreadId) -> Result<Vec<QueuedMessage>, sqlx::Error> {
    let found = sqlx::query(QUEUED).bind(user.as_str()).bind(thread.as_uuid());
    let found = found.fetch_all(db).await?;
    found
        .iter()
        .map(|row| {
            Ok(QueuedMessage {
                message_id: rows::id(row, "message_id")?,
                run_id: rows::id(row, "id")?,
                content: row.try_get("content")?,
            })
        })
        .collect()
}
