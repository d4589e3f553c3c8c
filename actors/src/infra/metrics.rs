//! What sessions report: plain counters, per process. They hold numbers, never an id or an address of a session.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// The counters of one process.
        #[derive(Debug, Default)]
        pub struct Metrics { $($(#[$doc])* pub $name: Counter,)* }

        impl Metrics {
            /// Every counter's name and value, in a fixed order.
            #[must_use]
            pub fn snapshot(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name.get()),)*]
            }
        }
    };
}

counters! {
    /// Sessions that were spawned, revivals included.
    sessions_spawned,
    /// Sessions that ended by a panic.
    sessions_panicked,
    /// Sessions that left memory.
    sessions_left,
    /// Runs that began.
    runs_started,
    /// Runs that ended.
    runs_ended,
    /// Events that were numbered.
    events_emitted,
    /// Events that were committed.
    events_committed,
    /// Events that were handed to a socket, replays included.
    events_sent,
    /// Tool calls that began.
    tool_calls,
    /// Frames with a foreign tag that a sink refused. Anything but zero is a defect.
    isolation_violations,
    /// Events that a run made and that its lifecycle did not allow. Anything but zero is a defect.
    lifecycle_violations,
    /// Sockets closed because they read too slowly.
    slow_clients,
}

/// A counter that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Counts one.
    pub fn increment(&self) {
        self.add(1);
    }

    /// Counts `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// The count so far.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
