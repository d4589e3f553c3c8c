//! Notes in memory, for tests and `--journal memory`: one task owns them, as in the memory journal.

use std::collections::BTreeMap;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use sessile_actors::ids::UserId;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use super::{NOTES_PER_USER, Note, NoteError, NoteStore, check_length, holds_all};

/// Jobs that wait for the task. Beyond: [`NoteError::Unavailable`].
const JOBS: usize = 1_024;

type Notes = BTreeMap<UserId, Vec<Note>>;
type Job = Box<dyn FnOnce(&mut Notes) + Send>;

/// A [`NoteStore`] in memory. Clones share their notes; the task ends with the last of them.
#[derive(Clone)]
pub struct MemoryNotes {
    /// To the task that owns the notes.
    jobs: mpsc::Sender<Job>,
}

impl MemoryNotes {
    /// Starts without notes on the current tokio runtime. Panics outside one.
    #[must_use]
    pub fn start() -> Self {
        Self::start_on(&Handle::current())
    }

    /// Starts without notes on `runtime`.
    #[must_use]
    pub fn start_on(runtime: &Handle) -> Self {
        let (jobs, mut queue) = mpsc::channel::<Job>(JOBS);
        runtime.spawn(async move {
            let mut notes = Notes::new();
            while let Some(job) = queue.recv().await {
                job(&mut notes);
            }
        });
        Self { jobs }
    }

    fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Notes) -> Result<T, NoteError> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, NoteError>> {
        let (reply, answer) = oneshot::channel();
        let sent = self.jobs.try_send(Box::new(move |notes| {
            // Nobody waits any more: the note is taken all the same.
            let _ = reply.send(work(notes));
        }));
        async move {
            let unavailable = |why: &str| NoteError::Unavailable(why.to_owned());
            sent.map_err(|_| unavailable("too many notes at once, or the server is ending"))?;
            answer.await.map_err(|_| unavailable("the server is ending"))?
        }
        .boxed()
    }
}

impl NoteStore for MemoryNotes {
    fn write(&self, user: &UserId, text: String) -> BoxFuture<'static, Result<Uuid, NoteError>> {
        let user = user.clone();
        self.ask(move |notes| {
            check_length(&text)?;
            let notes = notes.entry(user).or_default();
            if notes.len() >= NOTES_PER_USER {
                return Err(NoteError::TooMany);
            }
            let id = Uuid::now_v7();
            notes.push(Note { id, text });
            Ok(id)
        })
    }

    fn list(&self, user: &UserId, limit: usize) -> BoxFuture<'static, Result<Vec<Note>, NoteError>> {
        self.search(user, Vec::new(), limit)
    }

    fn search(
        &self,
        user: &UserId,
        words: Vec<String>,
        limit: usize,
    ) -> BoxFuture<'static, Result<Vec<Note>, NoteError>> {
        let user = user.clone();
        self.ask(move |notes| {
            let newest = notes.get(&user).into_iter().flatten().rev();
            let found = newest.filter(|note| holds_all(&note.text, &words));
            Ok(found.take(limit).cloned().collect())
        })
    }
}
