//! What goes in, and exactly what comes out.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tokio::time::Instant;
use uuid::Uuid;

use super::{AgentInfo, Client, Effect, Next, Now, Outcome, Show, WAITING_MAX};

mod commands;
mod conversation;
mod meanwhile;
mod sockets;

/// A client with a clock that stands unless it is moved.
struct Desk {
    client: Client,
    now: Now,
    seq: u64,
}

impl Desk {
    fn new(takes_turns: bool) -> Self {
        Self {
            client: Client::new(takes_turns, None, None),
            now: Now {
                mono: Instant::now(),
                wall: SystemTime::UNIX_EPOCH + Duration::from_secs(86_400),
            },
            seq: 0,
        }
    }

    /// At a terminal, with a session.
    fn person() -> Self {
        let mut desk = Self::new(false);
        desk.establish("s-1");
        desk
    }

    /// Behind a pipe, with a session.
    fn pipe() -> Self {
        let mut desk = Self::new(true);
        desk.establish("s-1");
        desk
    }

    fn establish(&mut self, session: &str) -> Vec<Effect> {
        self.hear(
            "connection_established",
            json!({
                "session_id": session, "user_id": "guest-1", "epoch": "e-1", "head_seq": 0, "resumed": false,
                "thread_id": format!("t-{session}"), "limits": { "message_bytes": 1000 },
            }),
        )
    }

    /// A frame without a number.
    fn hear(&mut self, kind: &str, payload: Value) -> Vec<Effect> {
        let frame = json!({ "type": kind, "session_id": "s-1", "payload": payload });
        self.client.frame(&frame.to_string(), self.now)
    }

    /// The next event of a run.
    fn event(&mut self, run: &str, kind: &str, payload: Value) -> Vec<Effect> {
        self.seq += 1;
        let frame = json!({
            "type": kind, "seq": self.seq, "run_id": run, "agent_name": "assistant", "payload": payload,
        });
        self.client.frame(&frame.to_string(), self.now)
    }

    fn typed(&mut self, line: &str) -> Vec<Effect> {
        self.client.typed(line, self.now)
    }

    /// The answer to the message in these effects.
    fn accept(&mut self, effects: &[Effect], run: &str) -> Vec<Effect> {
        let id = &sent(effects, "user_message")["message_id"];
        self.hear(
            "message_accepted",
            json!({ "message_id": id, "thread_id": "t", "run_id": run, "status": "started" }),
        )
    }

    fn complete(&mut self, run: &str, result: &str) -> Vec<Effect> {
        self.event(run, "agent_completed", json!({ "result": result }))
    }

    fn refuse(&mut self, id: &Value, code: &str, retry_after_ms: Option<u64>) -> Vec<Effect> {
        let retryable = retry_after_ms.is_some();
        self.hear(
            "error",
            json!({
                "code": code, "message": format!("refused: {code}"), "reply_to": id,
                "retryable": retryable, "retry_after_ms": retry_after_ms,
            }),
        )
    }
}

/// The one frame of this type among the effects.
fn sent(effects: &[Effect], kind: &str) -> Value {
    let frames = frames(effects);
    let of_kind: Vec<_> = frames.iter().filter(|frame| frame["type"] == kind).collect();
    assert_eq!(of_kind.len(), 1, "{kind}: {effects:?}");
    of_kind[0].clone()
}

fn frames(effects: &[Effect]) -> Vec<Value> {
    let texts = effects.iter().filter_map(|effect| match effect {
        Effect::Send(text) => Some(text),
        _ => None,
    });
    texts.map(|text| serde_json::from_str(text).unwrap()).collect()
}

fn is_sent(effects: &[Effect], kind: &str) -> bool {
    frames(effects).iter().any(|frame| frame["type"] == kind)
}

/// What was shown, in words.
fn shown(effects: &[Effect]) -> Vec<String> {
    let shows = effects.iter().filter_map(|effect| match effect {
        Effect::Show(show) => Some(show),
        _ => None,
    });
    let words = shows.map(|show| match show {
        Show::Answer(text) => format!("answer {text}"),
        Show::AnswerEnd => "end".to_owned(),
        Show::Listing(text) => format!("list {text}"),
        Show::Aside(text) => format!("aside {text}"),
        Show::Note(text) => format!("note {text}"),
        Show::Fault(text) => format!("fault {text}"),
    });
    words.collect()
}
