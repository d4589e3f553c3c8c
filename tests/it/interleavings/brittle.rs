//! A journal that breaks on demand: it panics inside the session's handler, or is away for a moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::time::SystemTime;

use futures_util::future::BoxFuture;
use sessile_actors::context::SessionContext;
use sessile_actors::ids::Seq;
use sessile_actors::infra::journal::{
    Batch, EventPage, Journal, JournalError, Opened, ReadLimit, ReviveError, Revived, StoreReply,
};
use sessile_actors::infra::memory::MemoryJournal;

/// What the next append does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The session panics before the journal has the batch.
    PanicBefore,
    /// The session panics when the journal has the batch: it is committed, and the session never hears of it.
    PanicAfter,
    /// The journal takes nothing.
    Unavailable,
    /// The batch is committed, and nobody can say so.
    Unknown,
}

const FAULTS: [Fault; 4] = [
    Fault::PanicBefore,
    Fault::PanicAfter,
    Fault::Unavailable,
    Fault::Unknown,
];

/// A journal of one world in memory. What breaks, breaks for one user.
pub struct Brittle {
    memory: MemoryJournal,
    /// Of each user, what the next append does: 0 is nothing special, `n` is the fault before `n`.
    next: [AtomicU8; 2],
    /// How many revivals fail before one does not.
    failing_revivals: AtomicUsize,
}

/// The users of a brittle world. Their names can't be part of an id.
pub const USERS: [&str; 2] = ["zora", "yusuf"];

impl Brittle {
    pub fn over(memory: MemoryJournal) -> Arc<Self> {
        Arc::new(Self {
            memory,
            next: [AtomicU8::new(0), AtomicU8::new(0)],
            failing_revivals: AtomicUsize::new(0),
        })
    }

    pub fn break_next(&self, user: usize, fault: Fault) {
        let number = FAULTS.iter().position(|other| *other == fault).expect("it is listed");
        self.next[user].store(u8::try_from(number + 1).expect("there are few"), Ordering::Relaxed);
    }

    pub fn fail_revivals(&self, times: usize) {
        self.failing_revivals.store(times, Ordering::Relaxed);
    }

    pub fn mend(&self, user: usize) {
        self.next[user].store(0, Ordering::Relaxed);
    }
}

/// Panics without a word on stderr.
pub fn die() -> ! {
    std::panic::resume_unwind(Box::new("a test's panic"))
}

impl Journal for Brittle {
    fn open(&self, session: SessionContext, at: SystemTime) -> BoxFuture<'static, Result<Opened, JournalError>> {
        self.memory.open(session, at)
    }

    fn revive(&self, session: SessionContext, at: SystemTime) -> BoxFuture<'static, Result<Revived, ReviveError>> {
        let left = self.failing_revivals.load(Ordering::Relaxed);
        self.failing_revivals.store(left.saturating_sub(1), Ordering::Relaxed);
        if left > 0 {
            let fault = JournalError::Unavailable("a test's fault".to_owned());
            return Box::pin(std::future::ready(Err(fault.into())));
        }
        self.memory.revive(session, at)
    }

    fn append(&self, batch: Batch) -> BoxFuture<'static, Result<Vec<StoreReply>, JournalError>> {
        let user = USERS.iter().position(|name| *name == batch.session.user().as_str());
        let next = user.map_or(0, |user| self.next[user].swap(0, Ordering::Relaxed));
        let fault = usize::from(next).checked_sub(1).map(|number| FAULTS[number]);
        match fault {
            None => self.memory.append(batch),
            Some(Fault::PanicBefore) => die(),
            Some(Fault::PanicAfter) => {
                // Dropping the future cancels nothing.
                drop(self.memory.append(batch));
                die()
            }
            Some(Fault::Unavailable) => Box::pin(std::future::ready(Err(JournalError::Unavailable(
                "a test's fault".to_owned(),
            )))),
            Some(Fault::Unknown) => {
                let committed = self.memory.append(batch);
                Box::pin(async move {
                    committed.await.ok();
                    Err(JournalError::Unknown("a test's fault".to_owned()))
                })
            }
        }
    }

    fn read(
        &self,
        session: SessionContext,
        after: Seq,
        limit: ReadLimit,
    ) -> BoxFuture<'static, Result<EventPage, JournalError>> {
        self.memory.read(session, after, limit)
    }
}
