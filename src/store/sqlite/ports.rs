//! The runtime's ports, made of jobs for the writer and reads from a snapshot.

use std::time::SystemTime;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use sessile_actors::budgets::{Charge, Window};
use sessile_actors::context::SessionContext;
use sessile_actors::ids::{RunId, Seq, SessionId, ThreadId, UserId};
use sessile_actors::infra::journal::{
    Batch, EventPage, HistoryPage, Journal, JournalError, Opened, ReadLimit, ReviveError, Revived, RunRecord,
    StoreError, StoreReply, ThreadPage, ThreadStore,
};
use sessile_actors::protocol::client::Page;
use sessile_actors::protocol::server::{History, HistoryMessage, ThreadSummary};

use super::append::Append;
use super::sessions::{OpenSession, ReviveSession};
use super::threads::{CreateThread, DeleteThread, RenameThread};
use super::{SqliteStore, Work, budgets, read};

impl Journal for SqliteStore {
    fn open(&self, session: SessionContext, at: SystemTime) -> BoxFuture<'static, Result<Opened, JournalError>> {
        let epoch = self.epoch;
        self.write(OpenSession { session, epoch, at })
    }

    fn revive(&self, session: SessionContext, _at: SystemTime) -> BoxFuture<'static, Result<Revived, ReviveError>> {
        let epoch = self.epoch;
        let revived = self.write(ReviveSession { session, epoch });
        async move { revived.await?.ok_or(ReviveError::NoSuchSession) }.boxed()
    }

    fn append(&self, batch: Batch) -> BoxFuture<'static, Result<Vec<StoreReply>, JournalError>> {
        let appended = self.write(Append(batch));
        async move { appended.await? }.boxed()
    }

    fn read(
        &self,
        session: SessionContext,
        after: Seq,
        limit: ReadLimit,
    ) -> BoxFuture<'static, Result<EventPage, JournalError>> {
        let page = self.read(move |db| async move { read::events(db, &session, after, limit).await }.boxed());
        async move { page.await.map_err(JournalError::Unavailable)? }.boxed()
    }
}

impl ThreadStore for SqliteStore {
    fn list(&self, user: UserId, page: Page) -> BoxFuture<'static, Result<ThreadPage, StoreError>> {
        let page = self.read(move |db| async move { read::list(db, &user, page).await }.boxed());
        async move { page.await.map_err(StoreError::Unavailable) }.boxed()
    }

    fn history(
        &self,
        user: UserId,
        thread: ThreadId,
        session: Option<SessionId>,
        page: HistoryPage,
    ) -> BoxFuture<'static, Result<History, StoreError>> {
        let history = self.read(move |db| async move { read::history(db, &user, thread, session, page).await }.boxed());
        async move { history.await.map_err(StoreError::Unavailable)? }.boxed()
    }

    fn transcript(
        &self,
        user: UserId,
        thread: ThreadId,
        messages: usize,
        bytes: usize,
    ) -> BoxFuture<'static, Result<Vec<HistoryMessage>, StoreError>> {
        let transcript =
            self.read(move |db| async move { read::transcript(db, &user, thread, messages, bytes).await }.boxed());
        async move { transcript.await.map_err(StoreError::Unavailable)? }.boxed()
    }

    fn run(&self, user: UserId, run: RunId) -> BoxFuture<'static, Result<RunRecord, StoreError>> {
        let found = self.read(move |db| async move { read::run(db, &user, run).await }.boxed());
        async move {
            found
                .await
                .map_err(StoreError::Unavailable)?
                .ok_or(StoreError::NotFound)
        }
        .boxed()
    }

    fn usage(&self, user: UserId, window: Window) -> BoxFuture<'static, Result<Charge, StoreError>> {
        let used = self.read(move |db| async move { budgets::by_user(db, &user, &window).await }.boxed());
        async move { used.await.map_err(StoreError::Unavailable) }.boxed()
    }

    fn create(
        &self,
        user: UserId,
        name: String,
        at: SystemTime,
    ) -> BoxFuture<'static, Result<ThreadSummary, StoreError>> {
        self.change(CreateThread { user, name, at })
    }

    fn rename(
        &self,
        user: UserId,
        thread: ThreadId,
        name: String,
        _at: SystemTime,
    ) -> BoxFuture<'static, Result<ThreadSummary, StoreError>> {
        self.change(RenameThread { user, thread, name })
    }

    fn delete(&self, user: UserId, thread: ThreadId) -> BoxFuture<'static, Result<(), StoreError>> {
        self.change(DeleteThread { user, thread })
    }
}

impl SqliteStore {
    /// Has the writer change a thread.
    fn change<T: Send + 'static>(
        &self,
        work: impl Work<Output = Result<T, StoreError>>,
    ) -> BoxFuture<'static, Result<T, StoreError>> {
        let changed = self.write(work);
        async move {
            changed
                .await
                .map_err(|error| StoreError::Unavailable(error.to_string()))?
        }
        .boxed()
    }
}
