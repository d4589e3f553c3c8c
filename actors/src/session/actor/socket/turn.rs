//! What goes to the socket: replies first, then durable events, as far as there is room.

use std::time::SystemTime;

use actix::prelude::*;
use bytes::Bytes;
use tracing::error;

use crate::ids::Seq;
use crate::protocol::server::{Control, ErrorCode, ErrorFrame};
use crate::session::actor::{Open, UserSessionActor};
use crate::session::outbox::Next;
use crate::session::sink::{OutFrame, PushError};
use crate::supervisor::HowEnded;

impl UserSessionActor {
    /// Sends replies, then durable events, as far as there is room; reads back what memory no longer holds.
    pub(in crate::session::actor) fn pump_socket(&mut self, ctx: &mut Context<Self>) {
        let window = self.infra.limits.sink_frames;
        while let Some(open) = self.open.as_deref_mut() {
            let Some(turn) = Turn::of(open, window) else { return };
            if let Some(after) = turn.read_back {
                self.read_back(after, ctx);
            }
            if turn.texts.is_empty() {
                break;
            }
            if !self.push(turn, ctx) {
                return;
            }
        }
        self.grant();
    }

    /// Whether the socket took the turn.
    fn push(&mut self, turn: Turn, ctx: &mut Context<Self>) -> bool {
        let session = self.context.session();
        let Some(open) = self.open.as_deref_mut() else {
            return false;
        };
        let generation = open.socketry.generation;
        let Some(attached) = &mut open.socketry.attached else {
            return false;
        };
        let tagged = |text| OutFrame { tag: session, text };
        match attached.sink.push(turn.texts.into_iter().map(tagged).collect()) {
            Ok(()) => {
                for text in attached.control.drain(..turn.controls) {
                    attached.control_bytes -= text.len();
                }
                attached.queue(turn.tail);
                attached.page.retain(|event| event.seq > turn.sent);
                open.outbox.sent(turn.sent);
                self.infra.metrics.events_sent.add(turn.events as u64);
                true
            }
            // It says when it has room.
            Err(PushError::Full) => false,
            Err(PushError::Closed) => {
                self.detach(generation, ctx);
                false
            }
            Err(PushError::ForeignTag) => {
                self.infra.metrics.isolation_violations.increment();
                error!(parent: &self.span, "the sink refused a frame of another session");
                self.end(HowEnded::Lost, ctx);
                false
            }
        }
    }

    /// Gives the grants that are owed, unless too many replies wait.
    fn grant(&mut self) {
        let Some(open) = self.open.as_deref_mut() else { return };
        let (frames, bytes) = (open.socketry.control_frames, open.socketry.control_bytes);
        if let Some(attached) = &mut open.socketry.attached
            && attached.owed > 0
            && !attached.backlogged(frames, bytes)
        {
            let owed = std::mem::take(&mut attached.owed);
            attached.credit += owed;
            attached.sink.grant(owed);
        }
    }
}

/// What goes to the socket at once.
pub(super) struct Turn {
    pub texts: Vec<Bytes>,
    pub controls: usize,
    pub events: usize,
    pub sent: Seq,
    pub read_back: Option<Seq>,
    /// For a client of the seed system, when the turn ends with the end of a run: what goes right after it.
    pub tail: Option<Bytes>,
}

impl Turn {
    /// Control frames first, so that an answer never waits behind a replay; then events.
    ///
    /// A frame that is larger than all of the room goes alone, when nothing else is on its way.
    pub fn of(open: &Open, window: usize) -> Option<Self> {
        let attached = open.socketry.attached.as_ref()?;
        let (mut frames, mut bytes) = attached.sink.room();
        let idle = frames >= window;
        let mut turn = Self {
            texts: Vec::new(),
            controls: 0,
            events: 0,
            sent: open.outbox.sent_seq(),
            read_back: None,
            tail: None,
        };
        for text in &attached.control {
            let alone = idle && turn.texts.is_empty();
            if frames == 0 || (bytes < text.len() && !alone) {
                return Some(turn);
            }
            frames -= 1;
            bytes = bytes.saturating_sub(text.len());
            turn.controls += 1;
            turn.texts.push(text.clone());
        }
        if attached.holds {
            return Some(turn);
        }
        let alone = idle && turn.texts.is_empty();
        let events = match open.outbox.next(frames, bytes) {
            Next::Nothing => Vec::new(),
            Next::NoRoom if alone => match open.outbox.next(1, usize::MAX) {
                Next::Frames(events) => events,
                Next::Nothing | Next::NoRoom | Next::ReadBack(_) => Vec::new(),
            },
            Next::NoRoom => Vec::new(),
            Next::Frames(events) => events,
            Next::ReadBack(after) => {
                let mut events = open.outbox.next_of_page(&attached.page, frames, bytes);
                if events.is_empty() && alone {
                    events = open.outbox.next_of_page(&attached.page, 1, usize::MAX);
                }
                let page_goes_on = attached.page.iter().any(|event| event.seq > after);
                turn.read_back = (!page_goes_on).then_some(after);
                events
            }
        };
        for event in events {
            turn.sent = event.seq;
            turn.events += 1;
            let ends = attached.legacy && event.terminal;
            if ends {
                turn.tail = legacy_tail(&event.body);
            }
            turn.texts.push(event.body);
            if ends {
                // The tail comes before the next event, and has room of its own.
                break;
            }
        }
        Some(turn)
    }
}

/// For the seed system's clients: what they wait for after a run's end, made from that end. Outside `seq`.
fn legacy_tail(end: &Bytes) -> Option<Bytes> {
    let end: serde_json::Value = serde_json::from_slice(end).ok()?;
    let payload = end.get("payload")?;
    let control = match end.get("type")?.as_str()? {
        "agent_completed" => Control::FinalReport {
            report: payload.get("result")?.as_str()?.to_owned(),
        },
        kind => Control::Error(ErrorFrame {
            code: ErrorCode::Internal,
            message: ["error_message", "reason", "message"]
                .iter()
                .find_map(|field| payload.get(field)?.as_str())
                .unwrap_or(kind)
                .to_owned(),
            reply_to: None,
            retryable: true,
            retry_after_ms: None,
            details: Some(serde_json::json!({ "run_id": end.get("run_id"), "type": kind })),
        }),
    };
    let session = end.get("session_id")?.as_str()?.parse().ok()?;
    let thread = end.get("thread_id")?.as_str()?.parse().ok()?;
    Some(control.to_text(session, Some(thread), SystemTime::now()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ids::{SessionId, ThreadId};

    #[test]
    fn what_follows_a_runs_end_names_that_runs_thread() {
        let (session, thread) = (SessionId::mint(), ThreadId::mint());
        let end = json!({
            "type": "agent_completed", "session_id": session, "thread_id": thread, "payload": {"result": "42"},
        });
        let tail = legacy_tail(&end.to_string().into()).expect("a tail");
        let tail: serde_json::Value = serde_json::from_slice(&tail).expect("json");
        assert_eq!(tail["thread_id"], json!(thread));
        assert_eq!(tail["payload"]["report"], "42");
    }
}
