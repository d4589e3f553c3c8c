//! A session's batch within the group's transaction: its events, then its commands.

use std::time::SystemTime;

use futures_util::future::BoxFuture;
use sqlx::Row as _;
use sqlx::sqlite::{SqliteArguments, SqliteConnection};

use sessile_actors::context::SessionContext;
use sessile_actors::ids::{RunId, Seq};
use sessile_actors::infra::journal::{Batch, EventRecord, JournalError, RunEnd, Said, StoreReply};
use sessile_actors::infra::replay::Replay;

use super::commands::Caller;
use super::writer::Work;
use super::{rows, threads};

const ADVANCE: &str = "UPDATE session SET last_seq = ? WHERE id = ? AND user_id = ? AND fence = ? AND last_seq = ?";

const WHERE_IT_STANDS: &str = "SELECT fence, last_seq FROM session WHERE id = ? AND user_id = ?";

const INSERT_1: &str = "INSERT INTO event (session_id, seq, run_id, thread_id, kind, body) VALUES (?, ?, ?, ?, ?, ?)";

/// Events of one statement: each statement is a trip to the connection's thread, which costs more than its rows.
const ROWS: usize = 8;

const INSERT_8: &str = "INSERT INTO event (session_id, seq, run_id, thread_id, kind, body) VALUES \
    (?, ?, ?, ?, ?, ?), (?, ?, ?, ?, ?, ?), (?, ?, ?, ?, ?, ?), (?, ?, ?, ?, ?, ?), \
    (?, ?, ?, ?, ?, ?), (?, ?, ?, ?, ?, ?), (?, ?, ?, ?, ?, ?), (?, ?, ?, ?, ?, ?)";

const END_RUN: &str = "UPDATE run SET state = ? WHERE id = ? AND user_id = ? AND session_id = ? \
    AND state IN ('queued', 'running', 'waiting', 'cancelling') RETURNING thread_id";

const GO_ON_AS: &str = "UPDATE run SET state = ? WHERE id = ? AND user_id = ? AND session_id = ? \
    AND state IN ('running', 'waiting')";

const FORGET: &str = "DELETE FROM message WHERE user_id = ? AND run_id = ?";

/// A batch. Its own refusals are found before anything is written.
pub(super) struct Append(pub(super) Batch);

impl Work for Append {
    type Output = Result<Vec<StoreReply>, JournalError>;

    fn apply<'a>(&'a self, db: &'a mut SqliteConnection) -> BoxFuture<'a, Result<Self::Output, sqlx::Error>> {
        Box::pin(async move {
            let batch = &self.0;
            if let Err(refusal) = check(batch) {
                return Ok(Err(refusal));
            }
            let last_seq = Seq(batch.first_seq.0.saturating_sub(1) + batch.events.len() as u64);
            if !advance(db, batch, last_seq).await? {
                return Ok(Err(why_not(db, batch).await?));
            }
            insert(db, &batch.session, &batch.events, batch.at).await?;
            let caller = Caller {
                session: &batch.session,
                at: batch.at,
                last_seq,
                runs_per_user: batch.runs_per_user,
                gate: &batch.gate,
            };
            let mut replies = Vec::with_capacity(batch.commands.len());
            for command in &batch.commands {
                replies.push(caller.obey(db, command).await?);
            }
            Ok(Ok(replies))
        })
    }
}

/// Refuses what no session should hand over.
fn check(batch: &Batch) -> Result<(), JournalError> {
    let mut next = batch.first_seq;
    for event in &batch.events {
        let seq = event.seq;
        if seq != next {
            return Err(JournalError::Refused(format!("event {next} is next, not {seq}")));
        }
        if std::str::from_utf8(&event.body).is_err() {
            return Err(JournalError::Refused(format!("event {seq} is not UTF-8")));
        }
        next = next.next();
    }
    Ok(())
}

/// Moves the session's end, where this incarnation writes it and the batch follows it.
async fn advance(db: &mut SqliteConnection, batch: &Batch, last_seq: Seq) -> Result<bool, sqlx::Error> {
    let Some(before) = batch.first_seq.0.checked_sub(1) else {
        return Ok(false);
    };
    let done = sqlx::query(ADVANCE)
        .bind(rows::integer(last_seq.0))
        .bind(batch.session.session().as_uuid())
        .bind(batch.session.user().as_str())
        .bind(rows::integer(batch.fence.0))
        .bind(rows::integer(before))
        .execute(db)
        .await?;
    Ok(done.rows_affected() == 1)
}

async fn why_not(db: &mut SqliteConnection, batch: &Batch) -> Result<JournalError, sqlx::Error> {
    let row = sqlx::query(WHERE_IT_STANDS)
        .bind(batch.session.session().as_uuid())
        .bind(batch.session.user().as_str())
        .fetch_optional(db)
        .await?;
    let Some(row) = row else {
        return Ok(JournalError::Refused("no such session of this user".to_owned()));
    };
    if rows::counter(&row, "fence")? != batch.fence.0 {
        return Ok(JournalError::Fenced);
    }
    let (next, first) = (rows::seq(&row, "last_seq")?.next(), batch.first_seq);
    Ok(JournalError::Refused(format!("event {next} is next, not {first}")))
}

/// Writes events that follow the session's last, and what the ends among them leave.
pub(super) async fn insert(
    db: &mut SqliteConnection,
    session: &SessionContext,
    events: &[EventRecord],
    at: SystemTime,
) -> Result<(), sqlx::Error> {
    let (eights, rest) = events.as_chunks::<ROWS>();
    for eight in eights {
        let mut query = sqlx::query(INSERT_8);
        for event in eight {
            query = bind(query, session, event)?;
        }
        query.execute(&mut *db).await?;
    }
    for event in rest {
        bind(sqlx::query(INSERT_1), session, event)?.execute(&mut *db).await?;
    }
    for event in events {
        if let Some(state) = Replay::state_after(event.kind) {
            // A run without a row (a child run) has no state to change.
            sqlx::query(GO_ON_AS)
                .bind(state.as_str())
                .bind(event.run_id.as_uuid())
                .bind(session.user().as_str())
                .bind(session.session().as_uuid())
                .execute(&mut *db)
                .await?;
        }
        if let Some(end) = &event.end {
            end_run(db, session, event.run_id, end, at).await?;
        }
    }
    Ok(())
}

type Query = sqlx::query::Query<'static, sqlx::Sqlite, SqliteArguments>;

fn bind(query: Query, session: &SessionContext, event: &EventRecord) -> Result<Query, sqlx::Error> {
    let body = std::str::from_utf8(&event.body).map_err(rows::damaged)?;
    Ok(query
        .bind(session.session().as_uuid())
        .bind(rows::integer(event.seq.0))
        .bind(event.run_id.as_uuid())
        .bind(event.thread_id.as_uuid())
        .bind(event.kind)
        .bind(body.to_owned()))
}

/// A run that has no row (a child run), or has ended before, leaves nothing.
async fn end_run(
    db: &mut SqliteConnection,
    session: &SessionContext,
    run: RunId,
    end: &RunEnd,
    at: SystemTime,
) -> Result<(), sqlx::Error> {
    let user = session.user().as_str();
    let ended = sqlx::query(END_RUN)
        .bind(end.state.as_str())
        .bind(run.as_uuid())
        .bind(user)
        .bind(session.session().as_uuid())
        .fetch_optional(&mut *db)
        .await?;
    let Some(ended) = ended else {
        return Ok(());
    };
    if end.forget {
        sqlx::query(FORGET).bind(user).bind(run.as_uuid()).execute(db).await?;
        return Ok(());
    }
    let Some(said) = end.message.as_ref().filter(|said| !said.content.is_empty()) else {
        return Ok(());
    };
    let thread_id = ended.try_get("thread_id")?;
    let message = threads::NewMessage {
        id: said.message_ref,
        run,
        role: "assistant",
        content: &said.content,
        status: status(said),
    };
    threads::add_message(db, user, thread_id, &message, at).await
}

const fn status(said: &Said) -> &'static str {
    if said.complete { "complete" } else { "partial" }
}
