//! The wire contract `sessile.v1`: what clients send, what they are told, and how a socket ends. Plain data and serde, no logic.

pub mod client;
pub mod close;
pub mod server;
#[cfg(test)]
mod tests;

pub use client::{ClientFrame, Command, FrameError, OnBusy, ThreadTarget};
pub use close::CloseCode;
pub use server::{Control, ErrorCode, Event, EventEnvelope};

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::budgets::{Budgets, Caps};

/// The WebSocket subprotocol.
pub const SUBPROTOCOL: &str = "sessile.v1";

/// JSON as text that is the same for the same value, in whatever order its fields came: what a digest is made of. Whether a
/// [`Value`] keeps that order depends on what else is compiled in.
#[must_use]
pub fn canonical(value: &Value) -> String {
    let mut sorted = value.clone();
    sorted.sort_all_objects();
    sorted.to_string()
}

/// The limits that a client is told on connecting, so that it need not find them by being refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WireLimits {
    /// Largest frame, in bytes.
    pub frame_bytes: usize,
    /// Largest message put together from fragments, in bytes.
    pub message_bytes: usize,
    /// Messages that wait per thread.
    pub queued_per_thread: usize,
    /// Runs of one user at once.
    pub runs_per_user: usize,
    /// Messages of one user per second, sustained.
    pub messages_per_second: u32,
    /// Messages of one user at once.
    pub message_burst: u32,
    /// Entries of one history page at most.
    pub history_page_max: usize,
    /// Largest document, in bytes.
    pub document_bytes: usize,
    /// What may be used in all.
    pub budgets: WireBudgets,
}

/// The budgets that there are, each by what it counts, with the unit. What is not named has no cap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WireBudgets {
    /// Of one run, with its child runs.
    pub run: BTreeMap<&'static str, u64>,
    /// Of one session.
    pub session: BTreeMap<&'static str, u64>,
    /// Of one user, within a window.
    pub user: BTreeMap<&'static str, u64>,
    /// How long a user's window is, in seconds.
    pub user_window_s: u64,
}

impl WireBudgets {
    /// What a client is told of these.
    #[must_use]
    pub fn of(budgets: &Budgets) -> Self {
        let named = |caps: &Caps| caps.each().map(|(kind, cap)| (kind.field(), cap)).collect();
        Self {
            run: named(&budgets.run),
            session: named(&budgets.session),
            user: named(&budgets.user),
            user_window_s: budgets.user_window.as_secs(),
        }
    }
}
