//! The journal on disk: one SQLite file, one writer, a pool of readers.
//!
//! All work is done by tasks of the runtime that the store was opened on, and none of them is ever cancelled: a caller who
//! stops waiting leaves no transaction behind. One process at a time has a data directory, by a lock on a file in it.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use sqlx::ConnectOptions as _;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use tokio::runtime::Handle;
use tokio::sync::mpsc::error::{SendError, TrySendError};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tracing::warn;

use sessile_actors::context::SessionContext;
use sessile_actors::ids::Epoch;
use sessile_actors::infra::journal::{JournalError, StoreError};

use self::writer::{JOBS, Job, Work, Writer};
use crate::private_file;
use crate::store::DocumentLimits;

mod append;
mod boot;
mod budgets;
mod commands;
mod documents;
mod notes;
mod ports;
mod read;
mod rows;
mod sessions;
mod supply;
mod threads;
mod writer;

/// The journal, in the data directory.
const FILE: &str = "sessile.db";

/// What SQLite has written and not yet moved into [`FILE`].
const LOG_FILE: &str = "sessile.db-wal";

/// Where in [`LOG_FILE`] what stands.
const LOG_INDEX_FILE: &str = "sessile.db-shm";

/// Held locked by the process that has the data directory.
const LOCK_FILE: &str = "sessile.lock";

/// How often what need not be kept is forgotten.
const TIDY_EVERY: Duration = Duration::from_secs(60 * 60);

/// Readers at once. Beyond: a read waits. SQLite's readers share the disk and two cores: more of them only wait there.
const READERS: u32 = 4;

/// What is left of SQLite's own log after a checkpoint, in bytes: a burst does not hold the disk for good.
const LOG_KEPT_BYTES: &str = "67108864";

/// How long a statement waits for another's lock. Nobody else writes, so only a backup tool can make it wait.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The journal, the threads, the notes and the documents in one SQLite file. Clones share it.
#[derive(Clone)]
pub struct SqliteStore {
    /// The lineage of the log.
    epoch: Epoch,
    /// Where the work is done.
    runtime: Handle,
    /// To the task that writes.
    jobs: mpsc::Sender<Job>,
    /// Connections that can't write.
    readers: SqlitePool,
    /// How much a user may keep.
    documents: DocumentLimits,
    /// Held by the one document job that may wait or be done.
    document_turn: Arc<Semaphore>,
}

/// Why a store was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has the data directory.
    #[error("another server is using {}: its lock {} is held; stop it, or choose another directory by --data", .file.display(), .lock.display())]
    InUse {
        /// The journal.
        file: PathBuf,
        /// What it holds.
        lock: PathBuf,
    },
    /// The data directory can't be used.
    #[error("{} can't be used", .path.display())]
    Directory {
        /// The directory or file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The schema can't be brought up to date: the file is damaged, or of a newer server.
    #[error("the journal's schema can't be brought up to date")]
    Schema(#[from] sqlx::migrate::MigrateError),
    /// The database failed.
    #[error("the journal can't be opened")]
    Database(#[from] sqlx::Error),
    /// The runtime is shutting down.
    #[error("the runtime is shutting down")]
    Shutdown,
}

impl SqliteStore {
    /// Opens the store of a data directory, which is made where there is none. All work, now and later, is done by tasks of
    /// `runtime`; the future may be awaited anywhere. When it returns, every run that the last process left has its end.
    ///
    /// # Errors
    /// [`OpenError::InUse`] where another process has the directory; the others say what failed.
    pub async fn open(dir: &Path, runtime: &Handle) -> Result<Self, OpenError> {
        let (dir, handle) = (dir.to_owned(), runtime.clone());
        let opening = runtime.spawn(async move { Self::open_here(&dir, handle).await });
        opening.await.map_err(|_| OpenError::Shutdown)?
    }

    async fn open_here(dir: &Path, runtime: Handle) -> Result<Self, OpenError> {
        let file = dir.join(FILE);
        let lock = lock(dir, &file)?;
        keep_private(&file)?;
        let options = SqliteConnectOptions::new()
            .filename(&file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // Measured: where commits are grouped, NORMAL is no faster and may lose the last of them with the power.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY_TIMEOUT)
            .pragma("journal_size_limit", LOG_KEPT_BYTES)
            .foreign_keys(true);
        let mut connection = options.connect().await?;
        let epoch = boot::prepare(&mut connection, SystemTime::now()).await?;
        let loose = documents::loose(&mut connection).await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_with(options.clone().read_only(true).create_if_missing(false))
            .await?;
        let (jobs, queue) = mpsc::channel(JOBS);
        let writer = Writer {
            options: options.create_if_missing(false),
            connection: Some(connection),
            lock,
        };
        runtime.spawn(writer.run(queue));
        runtime.spawn(tidy(jobs.downgrade()));
        let document_turn = Arc::new(Semaphore::new(1));
        runtime.spawn(documents::sweep(jobs.downgrade(), Arc::clone(&document_turn), loose));
        Ok(Self {
            epoch,
            runtime,
            jobs,
            readers,
            documents: DocumentLimits::default(),
            document_turn,
        })
    }

    /// The same store with other limits of documents than the default ones.
    #[must_use]
    pub fn with_documents(self, documents: DocumentLimits) -> Self {
        Self { documents, ..self }
    }

    /// Writes what is queued, then closes the file and lets the data directory go. What is asked later is refused.
    pub async fn close(&self) {
        // Readers first: SQLite moves its log into the file when the last connection goes, and these can't write.
        let readers = self.readers.clone();
        let _ = self.runtime.spawn(async move { readers.close().await }).await;
        let (done, closed) = oneshot::channel();
        self.enqueue(Job::Close(done));
        // An error means that the writer has ended before.
        let _ = closed.await;
    }

    /// Sessions with messages that wait, for the server to go on with after a start. Bounded; the others go on when their
    /// clients return.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn sessions_with_queued_runs(&self) -> Result<Vec<SessionContext>, StoreError> {
        self.read(|db| read::sessions_with_queued_runs(db).boxed())
            .await
            .map_err(StoreError::Unavailable)
    }

    /// Queues a job at once, in the caller's order; where the queue is full it waits there without its caller.
    fn enqueue(&self, job: Job) {
        match self.jobs.try_send(job) {
            Ok(()) => {}
            Err(TrySendError::Closed(late)) => late.refuse(),
            Err(TrySendError::Full(job)) => {
                let jobs = self.jobs.clone();
                self.runtime.spawn(async move {
                    if let Err(SendError(late)) = jobs.send(job).await {
                        late.refuse();
                    }
                });
            }
        }
    }

    /// Has the writer do it. Dropping the future cancels nothing.
    fn write<W: Work>(&self, work: W) -> BoxFuture<'static, Result<W::Output, JournalError>> {
        let (job, outcome) = Job::of(work);
        self.enqueue(job);
        async move {
            match outcome.await {
                Ok(outcome) => outcome,
                // The writer was torn down with its runtime, perhaps in the middle of a commit.
                Err(_) => Err(JournalError::Unknown("the writer has ended".to_owned())),
            }
        }
        .boxed()
    }

    /// Reads within one snapshot. The error is the database's, in words.
    fn read<T: Send + 'static>(
        &self,
        query: impl for<'a> FnOnce(&'a mut SqliteConnection) -> BoxFuture<'a, Result<T, sqlx::Error>> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, String>> {
        let readers = self.readers.clone();
        let reading = self.runtime.spawn(async move {
            let mut snapshot = readers.begin().await?;
            let answer = query(&mut snapshot).await?;
            snapshot.rollback().await?;
            Ok::<T, sqlx::Error>(answer)
        });
        async move {
            let answer = reading.await.map_err(|_| "the read was torn down".to_owned())?;
            answer.map_err(|error| error.to_string())
        }
        .boxed()
    }
}

/// Takes the data directory for this process.
/// Forgets from time to time what need not be kept, as long as anybody has the store.
async fn tidy(jobs: mpsc::WeakSender<Job>) {
    loop {
        tokio::time::sleep(TIDY_EVERY).await;
        let Some(jobs) = jobs.upgrade() else { return };
        let (job, _) = Job::of(ForgetRepeats);
        if jobs.send(job).await.is_err() {
            return;
        }
    }
}

struct ForgetRepeats;

impl Work for ForgetRepeats {
    type Output = ();

    fn apply<'a>(&'a self, db: &'a mut SqliteConnection) -> BoxFuture<'a, Result<(), sqlx::Error>> {
        boot::forget_repeats(db, SystemTime::now()).boxed()
    }
}

fn lock(dir: &Path, file: &Path) -> Result<File, OpenError> {
    let path = dir.join(LOCK_FILE);
    let unusable = |source| OpenError::Directory {
        path: path.clone(),
        source,
    };
    std::fs::create_dir_all(dir).map_err(unusable)?;
    let mut options = File::options();
    let lock = options
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(unusable)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse {
            file: file.to_owned(),
            lock: path,
        }),
        Err(TryLockError::Error(source)) => Err(unusable(source)),
    }
}

/// Sees to it that nobody else on the machine reads what users said. SQLite gives its own log the rights of the file.
fn keep_private(file: &Path) -> Result<(), OpenError> {
    let unusable = |path: &Path, source| OpenError::Directory {
        path: path.to_owned(),
        source,
    };
    match private_file::create(file) {
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(unusable(file, error)),
    }
    for part in [FILE, LOG_FILE, LOG_INDEX_FILE].map(|name| file.with_file_name(name)) {
        match private_file::close_to_others(&part) {
            Ok(false) => {}
            Ok(true) => warn!(path = %part.display(), "others could read what users said; its rights are 0600 now"),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(unusable(&part, error)),
        }
    }
    Ok(())
}
