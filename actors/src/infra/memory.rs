//! The journal in memory, for tests, benches and `--journal memory`: the same promises as on disk, gone with the process.
//!
//! One task owns all rows; it takes jobs over a bounded channel and answers each by a oneshot. So there is no lock, a job is
//! a commit, and jobs are done in the order they came. Nothing is ever thrown away: it is not meant to run for months.

use std::time::SystemTime;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use crate::budgets::{Charge, Window};
use crate::context::SessionContext;
use crate::ids::{DocumentId, RunId, Seq, SessionId, ThreadId, UserId};
use crate::infra::journal::{
    Batch, EventPage, HistoryPage, Journal, JournalError, Opened, ReadLimit, ReviveError, Revived, RunRecord,
    StoreError, StoreReply, ThreadPage, ThreadStore,
};
use crate::protocol::client::Page;
use crate::protocol::server::{History, HistoryMessage, ThreadSummary};

use self::state::State;

mod budgets;
mod commands;
mod reading;
mod state;

/// Jobs that wait for the task. Beyond: a caller waits.
const JOBS: usize = 8_192;

type Job = Box<dyn FnOnce(&mut State) + Send>;

/// A [`Journal`] and [`ThreadStore`] in memory. Clones share their rows; the task ends with the last of them.
#[derive(Clone)]
pub struct MemoryJournal {
    /// Where the task runs; a job that finds the channel full waits there.
    runtime: Handle,
    /// To the task that owns the rows.
    jobs: mpsc::Sender<Job>,
}

/// The task is gone: its runtime was shut down, or a job panicked.
struct Gone;

impl MemoryJournal {
    /// Starts an empty journal on the current tokio runtime. Panics outside one.
    #[must_use]
    pub fn start() -> Self {
        Self::start_on(&Handle::current())
    }

    /// Starts an empty journal on `runtime`.
    #[must_use]
    pub fn start_on(runtime: &Handle) -> Self {
        let (jobs, mut queue) = mpsc::channel::<Job>(JOBS);
        runtime.spawn(async move {
            let mut state = State::new();
            while let Some(job) = queue.recv().await {
                job(&mut state);
            }
        });
        Self {
            runtime: runtime.clone(),
            jobs,
        }
    }

    /// Tells the journal of a user's new document, so that messages may name it. Done in the order of the calls, and whether
    /// or not the future is awaited.
    pub fn document_made(&self, user: UserId, document: DocumentId) -> impl Future<Output = ()> + Send + 'static {
        let asked = self.ask(move |state| state.documents.insert((user, document)));
        // A journal that has ended takes no message either.
        asked.map(drop)
    }

    /// Tells the journal that a document is gone, as [`MemoryJournal::document_made`] told that it is there.
    pub fn document_gone(&self, user: UserId, document: DocumentId) -> impl Future<Output = ()> + Send + 'static {
        let asked = self.ask(move |state| state.documents.remove(&(user, document)));
        asked.map(drop)
    }

    /// Hands a job to the task at once: dropping the future that comes back cancels nothing.
    fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut State) -> T + Send + 'static,
    ) -> impl Future<Output = Result<T, Gone>> + Send + 'static {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |state| {
            // Nobody waits any more: the job is done all the same.
            let _ = reply.send(work(state));
        });
        if let Err(TrySendError::Full(job)) = self.jobs.try_send(job) {
            let jobs = self.jobs.clone();
            self.runtime.spawn(async move { jobs.send(job).await });
        }
        answer.map(|answer| answer.map_err(|_| Gone))
    }
}

impl From<Gone> for JournalError {
    fn from(Gone: Gone) -> Self {
        Self::Unavailable("the memory journal has ended".to_owned())
    }
}

impl From<Gone> for ReviveError {
    fn from(gone: Gone) -> Self {
        Self::Journal(gone.into())
    }
}

impl From<Gone> for StoreError {
    fn from(Gone: Gone) -> Self {
        Self::Unavailable("the memory journal has ended".to_owned())
    }
}

/// Joins "the task is gone" with what the job itself answered.
async fn answer<T, E: From<Gone>>(asked: impl Future<Output = Result<Result<T, E>, Gone>>) -> Result<T, E> {
    asked.await.map_err(E::from).flatten()
}

impl Journal for MemoryJournal {
    fn open(&self, session: SessionContext, _at: SystemTime) -> BoxFuture<'static, Result<Opened, JournalError>> {
        answer(self.ask(move |state| state.open(&session))).boxed()
    }

    fn revive(&self, session: SessionContext, _at: SystemTime) -> BoxFuture<'static, Result<Revived, ReviveError>> {
        answer(self.ask(move |state| state.revive(&session))).boxed()
    }

    fn append(&self, batch: Batch) -> BoxFuture<'static, Result<Vec<StoreReply>, JournalError>> {
        answer(self.ask(move |state| state.append(batch))).boxed()
    }

    fn read(
        &self,
        session: SessionContext,
        after: Seq,
        limit: ReadLimit,
    ) -> BoxFuture<'static, Result<EventPage, JournalError>> {
        answer(self.ask(move |state| state.read(&session, after, limit))).boxed()
    }
}

impl ThreadStore for MemoryJournal {
    fn list(&self, user: UserId, page: Page) -> BoxFuture<'static, Result<ThreadPage, StoreError>> {
        answer(self.ask(move |state| Ok(state.list(&user, page)))).boxed()
    }

    fn history(
        &self,
        user: UserId,
        thread: ThreadId,
        session: Option<SessionId>,
        page: HistoryPage,
    ) -> BoxFuture<'static, Result<History, StoreError>> {
        answer(self.ask(move |state| state.history(&user, thread, session, page))).boxed()
    }

    fn transcript(
        &self,
        user: UserId,
        thread: ThreadId,
        messages: usize,
        bytes: usize,
    ) -> BoxFuture<'static, Result<Vec<HistoryMessage>, StoreError>> {
        answer(self.ask(move |state| state.transcript(&user, thread, messages, bytes))).boxed()
    }

    fn run(&self, user: UserId, run: RunId) -> BoxFuture<'static, Result<RunRecord, StoreError>> {
        answer(self.ask(move |state| state.run(&user, run))).boxed()
    }

    fn usage(&self, user: UserId, window: Window) -> BoxFuture<'static, Result<Charge, StoreError>> {
        answer(self.ask(move |state| Ok(state.used_by_user(&user, &window)))).boxed()
    }

    fn create(
        &self,
        user: UserId,
        name: String,
        at: SystemTime,
    ) -> BoxFuture<'static, Result<ThreadSummary, StoreError>> {
        answer(self.ask(move |state| state.create(&user, name, at))).boxed()
    }

    fn rename(
        &self,
        user: UserId,
        thread: ThreadId,
        name: String,
        _at: SystemTime,
    ) -> BoxFuture<'static, Result<ThreadSummary, StoreError>> {
        answer(self.ask(move |state| state.rename(&user, thread, name))).boxed()
    }

    fn delete(&self, user: UserId, thread: ThreadId) -> BoxFuture<'static, Result<(), StoreError>> {
        answer(self.ask(move |state| state.delete(&user, thread))).boxed()
    }
}
