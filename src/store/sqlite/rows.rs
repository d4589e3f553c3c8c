//! Between rows and values. A value that no row of ours can hold is damage, and an error of its own session.

use std::time::{Duration, SystemTime};

use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use sessile_actors::ids::{IdError, Seq};
use sessile_actors::protocol::server::{HistoryMessage, RunState, ThreadSummary, rfc3339};

/// An id of ours.
pub(super) fn id<T: TryFrom<Uuid, Error = IdError>>(row: &SqliteRow, column: &str) -> Result<T, sqlx::Error> {
    let uuid: Uuid = row.try_get(column)?;
    T::try_from(uuid).map_err(damaged)
}

/// A counter.
pub(super) fn counter(row: &SqliteRow, column: &str) -> Result<u64, sqlx::Error> {
    u64::try_from(row.try_get::<i64, _>(column)?).map_err(damaged)
}

/// An event's number.
pub(super) fn seq(row: &SqliteRow, column: &str) -> Result<Seq, sqlx::Error> {
    counter(row, column).map(Seq)
}

/// A run's state.
pub(super) fn state(row: &SqliteRow, column: &str) -> Result<RunState, sqlx::Error> {
    let text: &str = row.try_get(column)?;
    RunState::from_text(text).ok_or_else(|| sqlx::Error::Decode("no such state of a run".into()))
}

/// A row of `message`.
pub(super) fn message(row: &SqliteRow) -> Result<HistoryMessage, sqlx::Error> {
    Ok(HistoryMessage {
        message_id: id(row, "id")?,
        role: row.try_get("role")?,
        content: row.try_get("content")?,
        run_id: id(row, "run_id")?,
        status: row.try_get("status")?,
        created_at: time(row, "created")?,
    })
}

/// A row of `thread`.
pub(super) fn thread(row: &SqliteRow) -> Result<ThreadSummary, sqlx::Error> {
    Ok(ThreadSummary {
        thread_id: id(row, "id")?,
        name: row.try_get("name")?,
        created_at: time(row, "created")?,
        updated_at: time(row, "updated")?,
    })
}

/// A time, as it is shown.
pub(super) fn time(row: &SqliteRow, column: &str) -> Result<String, sqlx::Error> {
    let micros = counter(row, column)?;
    Ok(rfc3339(SystemTime::UNIX_EPOCH + Duration::from_micros(micros)))
}

/// A time, as it is kept: microseconds since 1970. A clock before that reads as 1970.
pub(super) fn micros(at: SystemTime) -> i64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// A count, as it is kept. What doesn't fit is beyond any count of ours.
pub(super) fn integer<T: TryInto<i64>>(count: T) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}

pub(super) fn damaged(error: impl std::error::Error + Send + Sync + 'static) -> sqlx::Error {
    sqlx::Error::Decode(Box::new(error))
}
