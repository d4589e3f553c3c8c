//! Group commit: one task, one connection, one transaction for all that has queued up meanwhile.
//!
//! There is no timer: while a commit waits for the disk the next group gathers, so groups grow with the load. The task is
//! never cancelled, so no transaction is ever left half done by a caller who stopped waiting.

use std::fs::File;

use futures_util::future::BoxFuture;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::sync::{mpsc, oneshot};
use tracing::{error, warn};

use sessile_actors::infra::journal::JournalError;

/// Jobs that wait for the writer. Beyond: a caller waits.
pub(super) const JOBS: usize = 8_192;

/// Jobs of one commit. Beyond: the next commit. It bounds how long a single job waits for the others of its group.
const GROUP: usize = 2_048;

/// `SQLITE_FULL` (<https://www.sqlite.org/rescode.html#full>).
const DISK_FULL: &str = "13";

/// Something to be written. It checks before it writes: what it refuses by itself is part of its output and costs the other
/// jobs of the group nothing.
pub(super) trait Work: Send + Sync + 'static {
    /// What the caller gets after the commit.
    type Output: Send + 'static;

    /// Does it within the group's transaction. An error undoes the group; it is then done again, each job by itself.
    fn apply<'a>(&'a self, db: &'a mut SqliteConnection) -> BoxFuture<'a, Result<Self::Output, sqlx::Error>>;
}

/// What waits in the writer's queue.
pub(super) enum Job {
    /// Something to be written.
    Write(Box<dyn Write>),
    /// Ends the writer, after what was queued before. Answered when the connection and the lock are gone.
    Close(oneshot::Sender<()>),
}

impl Job {
    /// Makes a job of `work`, and where its outcome arrives.
    pub(super) fn of<W: Work>(work: W) -> (Self, oneshot::Receiver<Result<W::Output, JournalError>>) {
        let (reply, outcome) = oneshot::channel();
        let pending = Pending {
            work,
            output: None,
            reply,
        };
        (Self::Write(Box::new(pending)), outcome)
    }

    /// Answers a job that comes after the end.
    pub(super) fn refuse(self) {
        if let Self::Write(late) = self {
            late.failed(JournalError::Unavailable("the store is closed".to_owned()));
        }
    }
}

/// A work of any kind with the caller who waits for it.
pub(super) trait Write: Send {
    fn apply<'a>(&'a mut self, db: &'a mut SqliteConnection) -> BoxFuture<'a, Result<(), sqlx::Error>>;
    fn committed(self: Box<Self>);
    fn failed(self: Box<Self>, why: JournalError);
}

struct Pending<W: Work> {
    work: W,
    output: Option<W::Output>,
    reply: oneshot::Sender<Result<W::Output, JournalError>>,
}

impl<W: Work> Write for Pending<W> {
    fn apply<'a>(&'a mut self, db: &'a mut SqliteConnection) -> BoxFuture<'a, Result<(), sqlx::Error>> {
        Box::pin(async move {
            self.output = Some(self.work.apply(db).await?);
            Ok(())
        })
    }

    fn committed(self: Box<Self>) {
        // Nobody waits any more: it is written all the same.
        let _ = match self.output {
            Some(output) => self.reply.send(Ok(output)),
            None => self
                .reply
                .send(Err(JournalError::Refused("the job was not done".to_owned()))),
        };
    }

    fn failed(self: Box<Self>, why: JournalError) {
        let _ = self.reply.send(Err(why));
    }
}

/// Why a group was not committed.
enum Failure {
    /// No transaction could be begun, or the disk has no room for it: nothing changed.
    Begin(sqlx::Error),
    /// In one of the jobs: nothing changed.
    Job(sqlx::Error),
    /// In the commit: nobody knows.
    Commit(sqlx::Error),
}

/// The task's state.
pub(super) struct Writer {
    /// How to connect again after a connection has failed.
    pub(super) options: SqliteConnectOptions,
    /// The only connection that writes; none after it has failed.
    pub(super) connection: Option<SqliteConnection>,
    /// Held as long as this process may write.
    pub(super) lock: File,
}

impl Writer {
    /// Writes until it is told to close, or the last handle of the store is gone.
    pub(super) async fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        let mut queued = Vec::with_capacity(GROUP);
        let mut close = None;
        while close.is_none() && jobs.recv_many(&mut queued, GROUP).await > 0 {
            let mut group = Vec::with_capacity(queued.len());
            for job in queued.drain(..) {
                match job {
                    Job::Write(write) if close.is_none() => group.push(write),
                    Job::Close(done) if close.is_none() => close = Some(done),
                    late @ (Job::Write(_) | Job::Close(_)) => late.refuse(),
                }
            }
            self.write(group).await;
        }
        jobs.close();
        while let Some(late) = jobs.recv().await {
            late.refuse();
        }
        if let Some(connection) = self.connection.take()
            && let Err(error) = connection.close().await
        {
            warn!(%error, "journal not closed cleanly; it recovers at the next start");
        }
        drop(self.lock);
        if let Some(done) = close {
            let _ = done.send(());
        }
    }

    async fn write(&mut self, mut group: Vec<Box<dyn Write>>) {
        let outcome = self.commit(&mut group).await;
        if let (Err(Failure::Job(error)), true) = (&outcome, group.len() > 1) {
            // Alone each job meets its own fault, and only its own.
            warn!(%error, jobs = group.len(), "group not committed; each of its jobs is tried by itself");
            for job in group {
                let mut alone = vec![job];
                let outcome = self.commit(&mut alone).await;
                answer(alone, outcome);
            }
            return;
        }
        answer(group, outcome);
    }

    /// Leaves no connection behind whose state is in doubt.
    async fn commit(&mut self, group: &mut [Box<dyn Write>]) -> Result<(), Failure> {
        if group.is_empty() {
            return Ok(());
        }
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.options.connect().await.map_err(Failure::Begin)?,
        };
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.map_err(Failure::Begin)?;
        for job in group {
            if let Err(error) = job.apply(&mut transaction).await {
                if transaction.rollback().await.is_ok() {
                    self.connection = Some(connection);
                }
                return Err(Failure::Job(error));
            }
        }
        transaction.commit().await.map_err(not_committed)?;
        self.connection = Some(connection);
        Ok(())
    }
}

fn answer(group: Vec<Box<dyn Write>>, outcome: Result<(), Failure>) {
    let why = match outcome {
        Ok(()) => {
            group.into_iter().for_each(|job| job.committed());
            return;
        }
        Err(Failure::Job(error)) if is_its_own(&error) => JournalError::Refused(error.to_string()),
        Err(Failure::Begin(error) | Failure::Job(error)) => {
            error!(%error, jobs = group.len(), "journal can't write; nothing changed");
            JournalError::Unavailable(error.to_string())
        }
        Err(Failure::Commit(error)) => {
            error!(%error, jobs = group.len(), "outcome of a commit unknown");
            JournalError::Unknown(error.to_string())
        }
    };
    for job in group {
        job.failed(why.clone());
    }
}

/// Why a commit failed. On a full disk the end of the transaction did not get into SQLite's log, so it never happened and can
/// be tried again: the sessions wait for room instead of losing their runs.
fn not_committed(error: sqlx::Error) -> Failure {
    match &error {
        sqlx::Error::Database(fault) if fault.code().as_deref() == Some(DISK_FULL) => Failure::Begin(error),
        _ => Failure::Commit(error),
    }
}

/// Whether the fault is in the job's rows, not in the store.
fn is_its_own(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(database) => database.kind() != sqlx::error::ErrorKind::Other,
        sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } | sqlx::Error::Encode(_) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_commit_that_found_the_disk_full_is_tried_again() {
        let mut db = SqliteConnectOptions::new().connect().await.unwrap();
        // A disk for one page stands in for a full one: SQLite gives both the same code.
        let fill = "PRAGMA max_page_count = 1; CREATE TABLE t (x); INSERT INTO t VALUES (zeroblob(10000))";
        let full = sqlx::raw_sql(fill).execute(&mut db).await.unwrap_err();
        assert!(matches!(not_committed(full), Failure::Begin(_)));
    }

    #[tokio::test]
    async fn of_any_other_commit_that_failed_nobody_knows_the_outcome() {
        let mut db = SqliteConnectOptions::new().connect().await.unwrap();
        let other = sqlx::raw_sql("COMMIT").execute(&mut db).await.unwrap_err();
        assert!(matches!(not_committed(other), Failure::Commit(_)));
    }
}
