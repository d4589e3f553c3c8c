//! Reads off events where a run stands: which calls are open, which of them wait for a person, what has been said, which
//! children are at work. Pure; both journals use it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::ids::{CallId, MessageId, RunId};
use crate::infra::journal::StoredChild;
use crate::protocol::server::{OpenCall, PendingApproval, RunState, is_terminal_kind};

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
    #[serde(default)]
    agent_name: String,
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
    parent_run_id: Option<RunId>,
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
        let Ok(Frame { run_id, payload, .. }) = serde_json::from_slice(body) else {
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

/// The children of a run, and theirs, built from the events of its session after the run's own first.
#[derive(Debug)]
pub struct Family {
    parent: RunId,
    /// In the order in which they began: a run stands before what it began.
    children: Vec<(RunId, String, Replay)>,
}

impl Family {
    /// The family of `parent`, of which nothing is known yet.
    #[must_use]
    pub fn of(parent: RunId) -> Self {
        Self {
            parent,
            children: Vec::new(),
        }
    }

    /// Whether events of this `type` say anything about which children are at work.
    #[must_use]
    pub fn concerns(kind: &str) -> bool {
        let of_calls = Replay::concerns(kind) && kind != "partial_result";
        kind == "agent_started" || of_calls || is_terminal_kind(kind)
    }

    /// Takes the session's next event, of whichever run.
    pub fn take(&mut self, run: RunId, kind: &str, body: &[u8]) {
        if kind == "agent_started" {
            return self.begun(run, body);
        }
        let Some(at) = self.children.iter().position(|(id, ..)| *id == run) else {
            return;
        };
        if is_terminal_kind(kind) {
            self.children.remove(at);
        } else if kind != "partial_result" {
            self.children[at].2.take(kind, body);
        }
    }

    fn begun(&mut self, run: RunId, body: &[u8]) {
        let Ok(Frame {
            agent_name, payload, ..
        }) = serde_json::from_slice(body)
        else {
            return;
        };
        // A child ends after its own children, so its parent is still known here.
        let is_ours = |parent| parent == self.parent || self.children.iter().any(|(id, ..)| *id == parent);
        if payload.parent_run_id.is_some_and(is_ours) {
            self.children.push((run, agent_name, Replay::default()));
        }
    }

    /// The children that have not ended, in the order in which they began.
    #[must_use]
    pub fn finish(self) -> Vec<StoredChild> {
        let stored = |(run_id, agent, mut replay): (RunId, String, Replay)| StoredChild {
            run_id,
            agent,
            pending_approvals: replay.take_pending_approvals(),
            open_calls: replay.finish().0,
        };
        self.children.into_iter().map(stored).collect()
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

    fn begins(family: &mut Family, child: RunId, parent: RunId) {
        let body = json!({"agent_name": "echo", "payload": {"parent_run_id": parent}});
        family.take(child, "agent_started", body.to_string().as_bytes());
    }

    #[test]
    fn a_family_is_what_began_under_the_run_and_has_not_ended() {
        let [root, child, grandchild, other, stranger] = std::array::from_fn(|_| RunId::mint());
        let call = CallId::mint();
        let mut family = Family::of(root);
        begins(&mut family, child, root);
        begins(&mut family, other, root);
        begins(&mut family, grandchild, child);
        begins(&mut family, stranger, RunId::mint());
        let body = json!({"payload": {"call_id": call, "tool_name": "search"}}).to_string();
        family.take(grandchild, "tool_executing", body.as_bytes());
        family.take(stranger, "tool_executing", body.as_bytes());
        family.take(other, "agent_completed", b"{}");
        let left: Vec<(RunId, usize)> = family
            .finish()
            .into_iter()
            .map(|child| (child.run_id, child.open_calls.len()))
            .collect();
        assert_eq!(left, [(child, 0), (grandchild, 1)]);
    }
}
