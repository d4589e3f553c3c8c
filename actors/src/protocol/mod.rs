//! The wire contract `sessile.v1`: what clients send, what they are told, and how a socket ends. Plain data and serde, no logic.

pub mod client;
pub mod close;
pub mod server;
#[cfg(test)]
mod tests;

pub use client::{ClientFrame, Command, FrameError, OnBusy, ThreadTarget};
pub use close::CloseCode;
pub use server::{Control, ErrorCode, Event, EventEnvelope};

use serde::Serialize;
use serde_json::Value;

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
}
