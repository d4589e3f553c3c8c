//! Threads for tools that block or compute, shared fairly: a user's calls hold at most half of them at once.
//!
//! One task keeps the book of who holds how many. It takes requests over a bounded channel and answers each by a oneshot; a
//! permit that is dropped tells it by itself. So there is no lock, and of a user nothing is known but while calls of theirs
//! run or wait.

use std::collections::{HashMap, VecDeque};

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinError;

use crate::ids::UserId;

/// Requests on their way to the keeper. Beyond: a caller waits.
const REQUESTS: usize = 1_024;

/// Calls that wait for a thread, over all users. Beyond: they wait in the channel, then at its door.
const WAITING: usize = 65_536;

/// A bounded pool of threads for tools that block or compute. Clones share it; its keeper ends with the last of them.
#[derive(Clone)]
pub struct CpuPool {
    runtime: Handle,
    requests: mpsc::Sender<Request>,
}

/// A call that wants a thread.
struct Request {
    /// None for work that is no user's.
    user: Option<UserId>,
    granted: oneshot::Sender<Permit>,
}

/// A place on a thread. Dropping it gives it back: its receiver at the keeper's sees the sender gone.
struct Permit {
    _alive: oneshot::Sender<()>,
}

impl CpuPool {
    /// Makes a pool of `threads` on the blocking threads of `runtime`.
    #[must_use]
    pub fn new(runtime: Handle, threads: usize) -> Self {
        let (requests, inbox) = mpsc::channel(REQUESTS);
        runtime.spawn(Keeper::of(threads).keep(inbox));
        Self { runtime, requests }
    }

    /// Runs `work` on a thread of the pool, once one is free.
    ///
    /// # Errors
    /// The [`JoinError`] of a panic in `work`.
    pub async fn run<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Result<T, JoinError> {
        self.run_as(None, work).await
    }

    /// The same for a call of `user`, whose calls hold at most half of the threads at once (at least one).
    ///
    /// # Errors
    /// As [`CpuPool::run`].
    pub async fn run_for<T: Send + 'static>(
        &self,
        user: &UserId,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, JoinError> {
        self.run_as(Some(user.clone()), work).await
    }

    async fn run_as<T: Send + 'static>(
        &self,
        user: Option<UserId>,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, JoinError> {
        let (granted, grant) = oneshot::channel();
        // Without a keeper the runtime has ended, and refuses the work by itself.
        let permit = match self.requests.send(Request { user, granted }).await {
            Ok(()) => grant.await.ok(),
            Err(_) => None,
        };
        let runtime = self.runtime.clone();
        self.runtime
            .spawn_blocking(move || {
                let _permit = permit;
                runtime.block_on(work)
            })
            .await
    }
}

/// The book of who holds how many threads.
struct Keeper {
    free: usize,
    /// What one user may hold.
    share: usize,
    /// Who holds some, and how many.
    held: HashMap<UserId, usize>,
    /// In the order they came.
    waiting: VecDeque<Request>,
}

impl Keeper {
    fn of(threads: usize) -> Self {
        let threads = threads.max(1);
        Self {
            free: threads,
            share: (threads / 2).max(1),
            held: HashMap::new(),
            waiting: VecDeque::new(),
        }
    }

    async fn keep(mut self, mut inbox: mpsc::Receiver<Request>) {
        let mut permits = FuturesUnordered::new();
        loop {
            tokio::select! {
                request = inbox.recv(), if self.waiting.len() < WAITING => match request {
                    Some(request) => self.waiting.push_back(request),
                    None => return,
                },
                Some(user) = permits.next() => self.take_back(user),
            }
            while let Some((user, granted)) = self.next() {
                let (alive, gone) = oneshot::channel();
                permits.push(async move {
                    let _: Result<(), _> = gone.await;
                    user
                });
                // Where nobody waits any more, the permit comes back at once.
                let _ = granted.send(Permit { _alive: alive });
            }
        }
    }

    /// The first in line that may have a thread now. It has it from here on.
    fn next(&mut self) -> Option<(Option<UserId>, oneshot::Sender<Permit>)> {
        // A call that was given up waits for nothing.
        self.waiting.retain(|request| !request.granted.is_closed());
        if self.free == 0 {
            return None;
        }
        let held = |user: &Option<UserId>| user.as_ref().and_then(|user| self.held.get(user)).copied().unwrap_or(0);
        let first = self
            .waiting
            .iter()
            .position(|request| held(&request.user) < self.share)?;
        let Request { user, granted } = self.waiting.remove(first)?;
        self.free -= 1;
        if let Some(user) = &user {
            *self.held.entry(user.clone()).or_default() += 1;
        }
        Some((user, granted))
    }

    fn take_back(&mut self, user: Option<UserId>) {
        self.free += 1;
        let Some(user) = user else { return };
        if let Some(held) = self.held.get_mut(&user) {
            *held -= 1;
            if *held == 0 {
                self.held.remove(&user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Semaphore;

    use super::*;

    fn user(name: &str) -> UserId {
        UserId::parse(name).expect("a user id")
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_user_with_many_blocking_calls_holds_half_the_pool_and_anothers_call_starts_at_once() {
        const CALLS: usize = 10;
        let pool = CpuPool::new(Handle::current(), 4);
        let (at_once, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (go_on, (begun, mut begins)) = (Arc::new(Semaphore::new(0)), mpsc::channel(CALLS));
        let greedy: Vec<_> = (0..CALLS)
            .map(|_| {
                let (pool, at_once, most) = (pool.clone(), Arc::clone(&at_once), Arc::clone(&most));
                let (go_on, begun) = (Arc::clone(&go_on), begun.clone());
                tokio::spawn(async move {
                    let work = async move {
                        most.fetch_max(at_once.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        begun.send(()).await.expect("the test listens");
                        go_on.acquire().await.expect("never closed").forget();
                        at_once.fetch_sub(1, Ordering::SeqCst);
                    };
                    pool.run_for(&user("greedy"), work).await
                })
            })
            .collect();
        // Two have begun and hold their threads until told otherwise.
        begins.recv().await;
        begins.recv().await;
        assert_eq!(pool.run_for(&user("ada"), async { "done" }).await.ok(), Some("done"));
        assert!(begins.try_recv().is_err(), "no third call of the greedy one began");
        go_on.add_permits(CALLS);
        for call in greedy {
            assert!(matches!(call.await, Ok(Ok(()))));
        }
        assert_eq!(most.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn of_a_user_whose_calls_are_over_or_given_up_nothing_is_kept() {
        let mut keeper = Keeper::of(1);
        let ask = |keeper: &mut Keeper, name: &str| {
            let (granted, grant) = oneshot::channel();
            let user = Some(user(name));
            keeper.waiting.push_back(Request { user, granted });
            grant
        };
        let _ada = ask(&mut keeper, "ada");
        let given_up = ask(&mut keeper, "bob");
        let (holder, _) = keeper.next().expect("the pool has one thread");
        drop(given_up);
        assert!(keeper.next().is_none() && keeper.waiting.is_empty());
        keeper.take_back(holder);
        assert!(keeper.held.is_empty() && keeper.free == 1);
    }
}
