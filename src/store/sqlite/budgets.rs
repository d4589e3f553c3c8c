//! What users and their sessions have used, within the transaction of a batch.

use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use sessile_actors::budgets::{Charge, Gate, MOST, Spent, Totals, Window};
use sessile_actors::context::SessionContext;
use sessile_actors::ids::UserId;

use super::rows;

/// Adds to the row of the user (?1) and to that of the session (?2). In an update every expression sees the row as it was. A
/// clock that was set back opens no window again.
const ADD: &str = "INSERT INTO used \
    (user_id, session_id, since, steps, tool_calls, tokens, cost_micros, time_ms, tool_output_bytes, stored_bytes) \
    VALUES (?1, x'', ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10), (?1, ?2, 0, ?4, ?5, ?6, ?7, ?8, ?9, ?10) \
    ON CONFLICT (user_id, session_id) DO UPDATE SET \
        steps = min(?11, iif(since < excluded.since, 0, steps) + excluded.steps), \
        tool_calls = min(?11, iif(since < excluded.since, 0, tool_calls) + excluded.tool_calls), \
        tokens = min(?11, iif(since < excluded.since, 0, tokens) + excluded.tokens), \
        cost_micros = min(?11, iif(since < excluded.since, 0, cost_micros) + excluded.cost_micros), \
        time_ms = min(?11, iif(since < excluded.since, 0, time_ms) + excluded.time_ms), \
        tool_output_bytes = min(?11, iif(since < excluded.since, 0, tool_output_bytes) + excluded.tool_output_bytes), \
        stored_bytes = min(?11, iif(since < excluded.since, 0, stored_bytes) + excluded.stored_bytes), \
        since = max(since, excluded.since) \
    RETURNING session_id, steps, tool_calls, tokens, cost_micros, time_ms, tool_output_bytes, stored_bytes";

const USED: &str = "SELECT session_id, steps, tool_calls, tokens, cost_micros, time_ms, tool_output_bytes, stored_bytes \
    FROM used WHERE user_id = ?1 AND (session_id = ?2 OR (session_id = x'' AND since >= ?3))";

const BY_USER: &str = "SELECT steps, tool_calls, tokens, cost_micros, time_ms, tool_output_bytes, stored_bytes \
    FROM used WHERE user_id = ?1 AND session_id = x'' AND since >= ?2";

/// Counts what was used, and says what was used until now.
pub(super) async fn add(
    db: &mut SqliteConnection,
    session: &SessionContext,
    window: &Window,
    charge: Charge,
) -> Result<Totals, sqlx::Error> {
    let mut query = sqlx::query(ADD)
        .bind(session.user().as_str())
        .bind(session.session().as_uuid())
        .bind(rows::micros(window.start));
    for used in charge.by_kind() {
        query = query.bind(rows::integer(used.min(MOST)));
    }
    let rows = query.bind(rows::integer(MOST)).fetch_all(db).await?;
    totals(&rows)
}

/// Why nothing new may begin.
pub(super) async fn refuse_more(
    db: &mut SqliteConnection,
    session: &SessionContext,
    gate: &Gate,
) -> Result<Option<Spent>, sqlx::Error> {
    if gate.is_open() {
        return Ok(None);
    }
    let rows = sqlx::query(USED)
        .bind(session.user().as_str())
        .bind(session.session().as_uuid())
        .bind(rows::micros(gate.window.start))
        .fetch_all(db)
        .await?;
    Ok(gate.refuses(&totals(&rows)?))
}

/// What the user has used in the window.
pub(super) async fn by_user(db: &mut SqliteConnection, user: &UserId, window: &Window) -> Result<Charge, sqlx::Error> {
    let row = sqlx::query(BY_USER)
        .bind(user.as_str())
        .bind(rows::micros(window.start))
        .fetch_optional(db)
        .await?;
    row.as_ref().map_or(Ok(Charge::NONE), charge)
}

fn totals(rows: &[SqliteRow]) -> Result<Totals, sqlx::Error> {
    let mut totals = Totals::default();
    for row in rows {
        let session: &[u8] = row.try_get("session_id")?;
        if session.is_empty() {
            totals.user = charge(row)?;
        } else {
            totals.session = charge(row)?;
        }
    }
    Ok(totals)
}

fn charge(row: &SqliteRow) -> Result<Charge, sqlx::Error> {
    Ok(Charge {
        steps: rows::counter(row, "steps")?,
        tool_calls: rows::counter(row, "tool_calls")?,
        tokens: rows::counter(row, "tokens")?,
        cost_micros: rows::counter(row, "cost_micros")?,
        time_ms: rows::counter(row, "time_ms")?,
        tool_output_bytes: rows::counter(row, "tool_output_bytes")?,
        stored_bytes: rows::counter(row, "stored_bytes")?,
    })
}
