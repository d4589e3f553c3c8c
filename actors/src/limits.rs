//! Every bound of the runtime, in one value. What the binary's configuration sets, under `limits`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::budgets::Budgets;
use crate::protocol::{WireBudgets, WireLimits};

/// The bounds. Each says what happens beyond it; the defaults are the protocol's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Largest frame, in bytes. Beyond: close 1009, judged at the frame's header.
    pub frame_bytes: usize,
    /// Largest message put together from fragments, in bytes. Beyond: close 1009.
    pub message_bytes: usize,
    /// Fragments of one message, empty ones included. Beyond: close 1009.
    pub fragments: usize,
    /// How deep a frame's JSON may nest. Beyond: error `bad_json`.
    pub json_depth: usize,
    /// Control frames (ping, pong) of a socket per second. Beyond: close 1008.
    pub control_frames_per_second: u32,
    /// Faulty frames in a row. At this count: close 4400.
    pub faulty_frames: u32,
    /// Client frames of a session that wait to be handled. Beyond: the socket is not read.
    pub inbox_frames: usize,
    /// Messages that wait per thread. Beyond: error `queue_full`.
    pub queued_per_thread: usize,
    /// Runs of one user at once. Beyond: error `run_limit`.
    pub runs_per_user: usize,
    /// Sessions of one user. Beyond: an idle detached one yields, else 429.
    pub sessions_per_user: usize,
    /// Sessions in all. Beyond: 503.
    pub sessions_total: usize,
    /// Messages of one user per second, sustained. Beyond: error `rate_limited`.
    pub messages_per_second: u32,
    /// Messages of one user at once. Beyond: error `rate_limited`.
    pub message_burst: u32,
    /// How many refused messages in a row are a flood. At this count: close 4008.
    pub flood_messages: u32,
    /// Events that a session keeps in memory for its client. Beyond: read back from the journal.
    pub outbox_events: usize,
    /// Bytes that a session keeps in memory for its client. Beyond: read back from the journal.
    pub outbox_bytes: usize,
    /// Frames on their way to the socket. Beyond: they wait in the session.
    pub sink_frames: usize,
    /// Bytes on their way to the socket. Beyond: they wait in the session.
    pub sink_bytes: usize,
    /// Control replies that wait. Beyond: the socket is not read.
    pub control_frames_waiting: usize,
    /// Bytes of control replies that wait. Beyond: the socket is not read.
    pub control_bytes_waiting: usize,
    /// Uncommitted events of one run. Beyond: the run waits.
    pub emit_credit: usize,
    /// Events of one commit of one session. Beyond: the rest goes with the next.
    pub batch_events: usize,
    /// How long a client may finish no frame while one waits. Beyond: close 4002.
    #[serde(with = "humantime_serde")]
    pub slow_client_timeout: Duration,
    /// How often a socket is pinged.
    #[serde(with = "humantime_serde")]
    pub heartbeat_interval: Duration,
    /// Pings without any sign of life. At this count the socket is cut.
    pub heartbeat_missed: u32,
    /// How long runs go on without a socket. Beyond: `agent_stopped{abandoned}`.
    #[serde(with = "humantime_serde")]
    pub grace: Duration,
    /// How long an idle session without a socket stays in memory. Beyond: it leaves, and is revived when needed.
    #[serde(with = "humantime_serde")]
    pub detached_idle: Duration,
    /// How long a run may work; its clock stands still while it waits for a person. Beyond: `agent_death{timeout}`.
    #[serde(with = "humantime_serde")]
    pub run_time: Duration,
    /// Child runs of one run at once. Beyond: they wait.
    pub children_at_once: usize,
    /// Child runs that one run begins in all, those of its children included. Beyond: `too_many_children`.
    pub children_per_run: usize,
    /// How long a tool call may take where the tool names nothing shorter. Beyond: `timeout`.
    #[serde(with = "humantime_serde")]
    pub tool_time: Duration,
    /// How long a tool call waits for a person's approval, which counts on no other time. Beyond: `denied`.
    #[serde(with = "humantime_serde")]
    pub approval_time: Duration,
    /// Tool calls of one session at once. Beyond: they wait.
    pub tool_calls_at_once: usize,
    /// Blocking tool calls of one session at once. Beyond: they wait.
    pub blocking_calls_at_once: usize,
    /// Output of one tool call, in bytes of JSON. Beyond: cut, `truncated: true`.
    pub tool_output_bytes: usize,
    /// An agent's own event, in bytes of JSON. Beyond: refused.
    pub custom_event_bytes: usize,
    /// The answer of one run, in bytes. Beyond: `agent_error{result_too_large}`.
    pub result_bytes: usize,
    /// A user's document, in bytes. Beyond: 413.
    pub document_bytes: usize,
    /// Documents of one user together, in bytes. Beyond: 413, `quota_exceeded`.
    pub document_bytes_per_user: u64,
    /// Documents of one user. Beyond: 413, `quota_exceeded`.
    pub documents_per_user: usize,
    /// Documents that one user sends or fetches at once. Beyond: 429.
    pub document_transfers_per_user: usize,
    /// Documents that all users send or fetch at once: each is held in memory. Beyond: 503.
    pub document_transfers: usize,
    /// How long a document may take to be sent or fetched. Beyond: 408, or the connection is cut.
    #[serde(with = "humantime_serde")]
    pub document_transfer_time: Duration,
    /// How long text of an answer is gathered before it becomes an event.
    #[serde(with = "humantime_serde")]
    pub text_flush_interval: Duration,
    /// How much text of an answer is gathered before it becomes an event, in bytes.
    pub text_flush_bytes: usize,
    /// Entries of a history page where the client names none.
    pub history_page: usize,
    /// Entries of a history page at most. Beyond: clamped.
    pub history_page_max: usize,
    /// Bytes of a history page at most. Beyond: fewer entries.
    pub history_page_bytes: usize,
    /// How long a place at the supervisor is held for a socket that was admitted.
    #[serde(with = "humantime_serde")]
    pub reservation: Duration,
    /// How long a message waits for another session's run to yield its thread. Beyond: error `run_active`.
    #[serde(with = "humantime_serde")]
    pub yield_timeout: Duration,
    /// How long a drain waits for runs. Beyond: `agent_stopped{drain}`.
    #[serde(with = "humantime_serde")]
    pub drain_timeout: Duration,
    /// Restarts of a panicking session within `restart_window`. Beyond: it stays down until its client returns.
    pub restarts: u32,
    /// See `restarts`.
    #[serde(with = "humantime_serde")]
    pub restart_window: Duration,
    /// What runs, sessions and users may use in all. A section of its own in the configuration.
    #[serde(skip)]
    pub budgets: Budgets,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            frame_bytes: 64 * 1024,
            message_bytes: 256 * 1024,
            fragments: 64,
            json_depth: 32,
            control_frames_per_second: 20,
            faulty_frames: 10,
            inbox_frames: 32,
            queued_per_thread: 8,
            runs_per_user: 3,
            sessions_per_user: 20,
            sessions_total: 20_000,
            messages_per_second: 5,
            message_burst: 20,
            flood_messages: 50,
            outbox_events: 256,
            outbox_bytes: 256 * 1024,
            sink_frames: 64,
            sink_bytes: 256 * 1024,
            control_frames_waiting: 64,
            control_bytes_waiting: 256 * 1024,
            emit_credit: 32,
            batch_events: 512,
            slow_client_timeout: Duration::from_secs(15),
            heartbeat_interval: Duration::from_secs(15),
            heartbeat_missed: 2,
            grace: Duration::from_secs(600),
            detached_idle: Duration::from_secs(60),
            run_time: Duration::from_secs(600),
            children_at_once: 4,
            children_per_run: 32,
            tool_time: Duration::from_secs(30),
            approval_time: Duration::from_secs(3600),
            tool_calls_at_once: 8,
            blocking_calls_at_once: 2,
            tool_output_bytes: 64 * 1024,
            custom_event_bytes: 16 * 1024,
            result_bytes: 1024 * 1024,
            document_bytes: 10 * 1024 * 1024,
            document_bytes_per_user: 256 * 1024 * 1024,
            documents_per_user: 1_000,
            document_transfers_per_user: 2,
            document_transfers: 32,
            document_transfer_time: Duration::from_secs(60),
            text_flush_interval: Duration::from_millis(50),
            text_flush_bytes: 1024,
            history_page: 50,
            history_page_max: 200,
            history_page_bytes: 256 * 1024,
            reservation: Duration::from_secs(5),
            yield_timeout: Duration::from_secs(10),
            drain_timeout: Duration::from_secs(30),
            restarts: 3,
            restart_window: Duration::from_secs(60),
            budgets: Budgets::default(),
        }
    }
}

impl Limits {
    /// What a client is told on connecting.
    #[must_use]
    pub fn on_the_wire(&self) -> WireLimits {
        WireLimits {
            frame_bytes: self.frame_bytes,
            message_bytes: self.message_bytes,
            queued_per_thread: self.queued_per_thread,
            runs_per_user: self.runs_per_user,
            messages_per_second: self.messages_per_second,
            message_burst: self.message_burst,
            history_page_max: self.history_page_max,
            document_bytes: self.document_bytes,
            budgets: WireBudgets::of(&self.budgets),
        }
    }
}
