//! What happens to the rows before the first session: schema, lineage, and the end of runs that the last process left.

use std::time::{Duration, SystemTime};

use sqlx::Connection as _;
use sqlx::migrate::Migrator;
use sqlx::sqlite::SqliteConnection;
use tracing::info;
use uuid::Uuid;

use sessile_actors::context::SessionContext;
use sessile_actors::ids::{Epoch, Seq};
use sessile_actors::protocol::server::DeathCause;
use sessile_actors::session::recovery;

use super::{OpenError, append, rows, sessions};

/// Forward only: a file that was applied is never edited.
static MIGRATIONS: Migrator = sqlx::migrate!("src/store/migrations/sqlite");

/// How long a client may send the same frame again.
const REPEATS_KEPT: Duration = Duration::from_secs(7 * 24 * 60 * 60);

const NEW_LINEAGE: &str = "INSERT INTO meta (one, epoch) VALUES (1, ?) ON CONFLICT (one) DO NOTHING";

const LINEAGE: &str = "SELECT epoch FROM meta WHERE one = 1";

const FORGET_REPEATS: &str = "DELETE FROM client_message WHERE created < ?";

/// Of all users: the process that had these runs is gone.
const ORPHANED: &str = "SELECT DISTINCT r.user_id, r.session_id, s.last_seq FROM run r \
        JOIN session s ON s.id = r.session_id AND s.user_id = r.user_id \
    WHERE r.state IN ('running', 'waiting', 'cancelling')";

const ADVANCE: &str = "UPDATE session SET last_seq = ? WHERE id = ? AND user_id = ?";

/// Makes the rows ready, and says which lineage the log is of.
pub(super) async fn prepare(db: &mut SqliteConnection, at: SystemTime) -> Result<Epoch, OpenError> {
    // Not `run`: its `Acquire` bound is "not general enough" within a spawned task (sqlx 0.9.0).
    MIGRATIONS.run_direct(None, &mut *db, false).await?;
    sqlx::query(NEW_LINEAGE)
        .bind(Epoch::mint().as_uuid())
        .execute(&mut *db)
        .await?;
    let epoch: Uuid = sqlx::query_scalar(LINEAGE).fetch_one(&mut *db).await?;
    forget_repeats(db, at).await?;
    let ended = end_orphaned_runs(db, at).await?;
    if ended > 0 {
        info!(runs = ended, "runs of the last process ended as interrupted");
    }
    Epoch::try_from(epoch).map_err(|error| OpenError::Database(rows::damaged(error)))
}

/// Forgets frames that are too old to be sent again.
pub(super) async fn forget_repeats(db: &mut SqliteConnection, at: SystemTime) -> Result<(), sqlx::Error> {
    let before = rows::micros(at - REPEATS_KEPT);
    sqlx::query(FORGET_REPEATS).bind(before).execute(db).await?;
    Ok(())
}

/// Gives each run that was active its one end, all in one transaction. Queued runs stay queued.
async fn end_orphaned_runs(db: &mut SqliteConnection, at: SystemTime) -> Result<usize, sqlx::Error> {
    let mut transaction = db.begin_with("BEGIN IMMEDIATE").await?;
    let found = sqlx::query(ORPHANED).fetch_all(&mut *transaction).await?;
    let mut ended = 0;
    for row in &found {
        let session = sessions::session_of(row, "session_id")?;
        let last_seq = rows::seq(row, "last_seq")?;
        ended += end_runs(&mut transaction, &session, last_seq, at).await?;
    }
    transaction.commit().await?;
    Ok(ended)
}

async fn end_runs(
    db: &mut SqliteConnection,
    session: &SessionContext,
    mut last_seq: Seq,
    at: SystemTime,
) -> Result<usize, sqlx::Error> {
    let mut runs = sessions::open_runs(db, session).await?;
    runs.retain(|run| run.state.is_active());
    for run in &runs {
        let events = recovery::end_of(run, session.session(), last_seq.next(), at, DeathCause::Interrupted);
        append::insert(db, session, &events, at).await?;
        last_seq = events.last().map_or(last_seq, |event| event.seq);
    }
    sqlx::query(ADVANCE)
        .bind(rows::integer(last_seq.0))
        .bind(session.session().as_uuid())
        .bind(session.user().as_str())
        .execute(db)
        .await?;
    Ok(runs.len())
}
