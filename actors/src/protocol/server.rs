//! What a client is told: events, which are numbered and never lost, and control frames, which may be lost with the socket.

mod control;
mod event;
mod view;

use std::time::SystemTime;

use bytes::Bytes;
use serde::Serialize;

pub use control::{AcceptStatus, Control, ErrorCode, ErrorFrame};
pub use event::{
    ApprovalDecision, DeathCause, ErrorContext, Event, StepStatus, StoppedBy, ToolStatus, Usage, WorkflowStatus,
    is_terminal_kind,
};
pub use view::{ActiveRun, History, HistoryMessage, OpenCall, PendingApproval, QueuedMessage, RunState, ThreadSummary};

use crate::ids::{RunId, Seq, SessionId, ThreadId};

/// An event with its place in the session: what is journalled and sent, byte for byte the same.
#[derive(Debug, Clone, PartialEq)]
pub struct EventEnvelope<'a> {
    /// Its number.
    pub seq: Seq,
    /// Its session.
    pub session_id: SessionId,
    /// Its conversation.
    pub thread_id: ThreadId,
    /// Its run.
    pub run_id: RunId,
    /// The agent that made it.
    pub agent_name: &'a str,
    /// When.
    pub at: SystemTime,
    /// What happened.
    pub event: &'a Event,
}

impl EventEnvelope<'_> {
    /// The frame as text.
    #[must_use]
    pub fn to_text(&self) -> Bytes {
        text_of(&Envelope {
            kind: self.event.kind(),
            seq: Some(self.seq),
            session_id: self.session_id,
            thread_id: Some(self.thread_id),
            run_id: Some(self.run_id),
            agent_name: Some(self.agent_name),
            timestamp: Timestamp(self.at),
            payload: self.event,
        })
    }
}

impl Control {
    /// The `type` on the wire.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::ConnectionEstablished { .. } => "connection_established",
            Self::MessageAccepted { .. } => "message_accepted",
            Self::StopAccepted { .. } => "stop_accepted",
            Self::SteeringAccepted { .. } => "steering_accepted",
            Self::DecisionAccepted { .. } => "decision_accepted",
            Self::ThreadCreated { .. } => "thread_created",
            Self::ThreadSwitched { .. } => "thread_switched",
            Self::ThreadRenamed { .. } => "thread_renamed",
            Self::ThreadDeleted { .. } => "thread_deleted",
            Self::ThreadList { .. } => "thread_list",
            Self::ThreadHistory { .. } => "thread_history",
            Self::ThreadChanged { .. } => "thread_changed",
            Self::Resync { .. } => "resync",
            Self::ReauthRequired { .. } => "reauth_required",
            Self::TokenRefreshed { .. } => "token_refreshed",
            Self::ServerShutdown { .. } => "server_shutdown",
            Self::Pong { .. } => "pong",
            Self::Error(_) => "error",
            Self::FinalReport { .. } => "final_report",
        }
    }

    /// The frame as text.
    #[must_use]
    pub fn to_text(&self, session_id: SessionId, thread_id: Option<ThreadId>, at: SystemTime) -> Bytes {
        text_of(&Envelope {
            kind: self.kind(),
            seq: None,
            session_id,
            thread_id,
            run_id: None,
            agent_name: None,
            timestamp: Timestamp(at),
            payload: self,
        })
    }
}

#[derive(Serialize)]
struct Envelope<'a, P: Serialize> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<Seq>,
    session_id: SessionId,
    #[serde(skip_serializing_if = "Option::is_none")]
    thread_id: Option<ThreadId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    run_id: Option<RunId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent_name: Option<&'a str>,
    timestamp: Timestamp,
    payload: &'a P,
}

struct Timestamp(SystemTime);

impl Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_rfc3339_millis(self.0))
    }
}

/// Writes RFC 3339 in UTC with milliseconds.
#[must_use]
pub fn rfc3339(at: SystemTime) -> String {
    humantime::format_rfc3339_millis(at).to_string()
}

fn text_of<P: Serialize>(envelope: &Envelope<'_, P>) -> Bytes {
    // Every payload is made of strings, numbers and JSON values with string keys: serde_json can't refuse them.
    serde_json::to_vec(envelope)
        .expect("a frame of ours is always JSON")
        .into()
}
