//! Reads off a run's events where it stands: which calls are open, what has been said. Pure; both journals use it.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::ids::{CallId, MessageId};
use crate::protocol::server::OpenCall;

/// Where a run stands, built from its events in order.
#[derive(Debug, Default)]
pub struct Replay {
    open_calls: Vec<OpenCall>,
    message_ref: Option<MessageId>,
    /// By offset: a piece that is told twice counts once.
    pieces: BTreeMap<u64, String>,
}

/// The part of an event frame that matters here. All optional: an erased body has none of it.
#[derive(Deserialize)]
struct Frame {
    payload: Payload,
}

#[derive(Deserialize)]
struct Payload {
    call_id: Option<CallId>,
    tool_name: Option<String>,
    message_ref: Option<MessageId>,
    offset: Option<u64>,
    content: Option<String>,
}

impl Replay {
    /// Whether events of this `type` say anything about where a run stands.
    #[must_use]
    pub fn concerns(kind: &str) -> bool {
        matches!(kind, "tool_executing" | "tool_completed" | "partial_result")
    }

    /// Takes the run's next event. Others than [`Replay::concerns`] names, and erased ones, change nothing.
    pub fn take(&mut self, kind: &str, body: &[u8]) {
        if !Self::concerns(kind) {
            return;
        }
        let Ok(Frame { payload }) = serde_json::from_slice(body) else {
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
                "tool_completed",
                Payload {
                    call_id: Some(call_id), ..
                },
            ) => self.open_calls.retain(|call| call.call_id != call_id),
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
