//! Reads off a run's events where it stands: which calls are open, which of them wait for a person, what has been said. Pure; both journals use it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::ids::{CallId, MessageId, RunId};
use crate::protocol::server::{OpenCall, PendingApproval, RunState};

/// Where a run stands, built from its events in order.
#[derive(Debug, Default)]
pub struct Replay {
    open_calls: Vec<OpenCall>,
    pending_approvals: Vec<PendingApproval>,
    message_ref: Option<MessageId>,
    /// By offset: a piece that is told twice counts once.
    pieces: BTreeMap<u64, String>,
}

/// The part of an event frame that matters here. All optional: an erased body has none of it.
#[derive(Deserialize)]
struct Frame {
    run_id: Option<RunId>,
    payload: Payload,
}

#[derive(Deserialize)]
struct Payload {
    call_id: Option<CallId>,
    tool_name: Option<String>,
    #[serde(default)]
    parameters: Value,
    arguments_sha256: Option<String>,
    expires_at: Option<String>,
    message_ref: Option<MessageId>,
    offset: Option<u64>,
    content: Option<String>,
}

impl Replay {
    /// Whether events of this `type` say anything about where a run stands.
    #[must_use]
    pub fn concerns(kind: &str) -> bool {
        matches!(
            kind,
            "tool_executing"
                | "tool_approval_requested"
                | "tool_approval_decided"
                | "tool_completed"
                | "partial_result"
        )
    }

    /// The state that an event of this `type` leaves its run in, where it changes it and the run goes on.
    #[must_use]
    pub fn state_after(kind: &str) -> Option<RunState> {
        match kind {
            "tool_approval_requested" => Some(RunState::Waiting),
            "tool_approval_decided" => Some(RunState::Running),
            _ => None,
        }
    }

    /// Takes the run's next event. Others than [`Replay::concerns`] names, and erased ones, change nothing.
    pub fn take(&mut self, kind: &str, body: &[u8]) {
        if !Self::concerns(kind) {
            return;
        }
        let Ok(Frame { run_id, payload }) = serde_json::from_slice(body) else {
            return;
        };
        match (kind, payload) {
            (
                "tool_executing",
                Payload {
                    call_id: Some(call_id),
                    tool_name: Some(tool_name),
                    ..
                },
            ) => self.open_calls.push(OpenCall { call_id, tool_name }),
            (
                "tool_approval_requested",
                Payload {
                    call_id: Some(call_id),
                    tool_name: Some(tool_name),
                    parameters,
                    arguments_sha256: Some(arguments_sha256),
                    expires_at: Some(expires_at),
                    ..
                },
            ) => self.pending_approvals.extend(run_id.map(|run_id| PendingApproval {
                run_id,
                call_id,
                tool_name,
                parameters,
                arguments_sha256,
                expires_at,
            })),
            (
                "tool_approval_decided",
                Payload {
                    call_id: Some(call_id), ..
                },
            ) => self.pending_approvals.retain(|call| call.call_id != call_id),
            (
                "tool_completed",
                Payload {
                    call_id: Some(call_id), ..
                },
            ) => {
                self.pending_approvals.retain(|call| call.call_id != call_id);
                self.open_calls.retain(|call| call.call_id != call_id);
            }
            (
                "partial_result",
                Payload {
                    message_ref: Some(message_ref),
                    offset: Some(offset),
                    content: Some(content),
                    ..
                },
            ) => self.say(message_ref, offset, content),
            _ => {}
        }
    }

    /// The calls that wait for a person, in the order they asked.
    pub fn take_pending_approvals(&mut self) -> Vec<PendingApproval> {
        std::mem::take(&mut self.pending_approvals)
    }

    /// The open calls in the order they began, and what has been said, where anything was.
    #[must_use]
    pub fn finish(self) -> (Vec<OpenCall>, Option<(MessageId, String)>) {
        let mut text = String::new();
        for (offset, piece) in self.pieces {
            let known = usize::try_from(offset).map_or(0, |offset| text.len().saturating_sub(offset));
            text.push_str(piece.get(known..).unwrap_or_default());
        }
        let said = self
            .message_ref
            .filter(|_| !text.is_empty())
            .map(|message_ref| (message_ref, text));
        (self.open_calls, said)
    }

    fn say(&mut self, message_ref: MessageId, offset: u64, content: String) {
        // A run that was recovered begins its text anew, under another message.
        if self.message_ref != Some(message_ref) {
            self.message_ref = Some(message_ref);
            self.pieces.clear();
        }
        self.pieces.insert(offset, content);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn piece(replay: &mut Replay, message: MessageId, offset: u64, content: &str) {
        let body = json!({"payload": {"message_ref": message, "offset": offset, "content": content}});
        replay.take("partial_result", body.to_string().as_bytes());
    }

    #[test]
    fn text_is_put_together_by_offset_and_a_repeat_counts_once() {
        let (mut replay, message) = (Replay::default(), MessageId::mint());
        piece(&mut replay, message, 3, "def");
        piece(&mut replay, message, 0, "abc");
        piece(&mut replay, message, 3, "def");
        assert_eq!(replay.finish().1, Some((message, "abcdef".to_owned())));
    }

    #[test]
    fn a_call_waits_for_a_person_from_its_request_until_its_decision_or_its_end() {
        let [decided, ended, waiting] = [CallId::mint(), CallId::mint(), CallId::mint()];
        let (mut replay, run_id) = (Replay::default(), RunId::mint());
        let mut tell = |kind: &str, call_id: CallId| {
            let body = json!({"run_id": run_id, "payload": {
                "call_id": call_id, "tool_name": "erase", "parameters": {"all": true}, "arguments_sha256": "00ff",
                "expires_at": "2026-11-20T10:00:00.000Z"
            }});
            replay.take(kind, body.to_string().as_bytes());
        };
        for call in [decided, ended, waiting] {
            tell("tool_executing", call);
            tell("tool_approval_requested", call);
        }
        tell("tool_approval_decided", decided);
        tell("tool_completed", ended);
        let request = PendingApproval {
            run_id,
            call_id: waiting,
            tool_name: "erase".to_owned(),
            parameters: json!({"all": true}),
            arguments_sha256: "00ff".to_owned(),
            expires_at: "2026-11-20T10:00:00.000Z".to_owned(),
        };
        assert_eq!(replay.take_pending_approvals(), [request]);
        let open: Vec<CallId> = replay.finish().0.into_iter().map(|call| call.call_id).collect();
        assert_eq!(open, [decided, waiting]);
    }

    #[test]
    fn a_new_message_starts_the_text_anew() {
        let (mut replay, recovered) = (Replay::default(), MessageId::mint());
        piece(&mut replay, MessageId::mint(), 0, "lost");
        piece(&mut replay, recovered, 0, "kept");
        assert_eq!(replay.finish().1, Some((recovered, "kept".to_owned())));
    }

    #[test]
    fn an_erased_event_says_nothing() {
        let mut replay = Replay::default();
        replay.take("partial_result", br#"{"payload":{"erased":true}}"#);
        replay.take("tool_executing", b"no json");
        assert_eq!(replay.finish(), (Vec::new(), None));
    }
}
