//! Runs: what is shown of each, and when a message has its end.
//!
//! A run is over for us once it was both accepted and ended. After a cut its end may come first: events are replayed at once,
//! and the answer to a message that is sent again follows.

use std::collections::BTreeMap;

use serde_json::Value;
use sessile_actors::protocol::server::is_terminal_kind;
use sha2::{Digest as _, Sha256};

use super::{Effect, Outcome, Show, fault, text};

/// Characters of a tool's arguments or result that are shown. Beyond: the line is cut.
const TOOL_LINE_MAX: usize = 500;

/// The runs of this session that are not over.
#[derive(Debug, Default)]
pub(super) struct Runs(BTreeMap<String, Run>);

#[derive(Debug, Default)]
struct Run {
    is_accepted: bool,
    ended: Option<Outcome>,
    /// The message that is being written.
    message_ref: String,
    /// Bytes of it that were shown, and their hash.
    shown: u64,
    hash: Sha256,
    /// Whether it is to be stopped, and whether the server was told on this socket.
    stops: bool,
    stop_is_sent: bool,
}

impl Runs {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A message was accepted. Gives back how its run ended, where it has.
    pub fn accepted(&mut self, id: &str, stops: bool) -> Option<Outcome> {
        let run = self.0.entry(id.to_owned()).or_default();
        run.is_accepted = true;
        run.stops |= stops;
        self.settle(id)
    }

    /// Every run is to be stopped.
    pub fn stop_all(&mut self) {
        self.0.values_mut().for_each(|run| run.stops = true);
    }

    /// The socket is gone, and a stop may be with it.
    pub fn forget_stops(&mut self) {
        self.0.values_mut().for_each(|run| run.stop_is_sent = false);
    }

    /// Runs to stop that the server was not told of. The newest first: a stopped run would let the next one begin.
    pub fn take_stops(&mut self) -> Vec<String> {
        let waiting = self.0.iter_mut().rev();
        let waiting = waiting.filter(|(_, run)| run.stops && !run.stop_is_sent && run.ended.is_none());
        waiting
            .map(|(id, run)| {
                run.stop_is_sent = true;
                id.clone()
            })
            .collect()
    }

    /// No run is heard of any more; says whether there was one.
    pub fn lose_all(&mut self) -> bool {
        !std::mem::take(&mut self.0).is_empty()
    }

    /// Shows an event. Gives back how its run ended, where it is over.
    pub fn event(&mut self, arrived: &Value, fx: &mut Vec<Effect>) -> Option<Outcome> {
        let (kind, id, payload) = (text(arrived, "type"), text(arrived, "run_id"), &arrived["payload"]);
        let run = self.0.entry(id.to_owned()).or_default();
        match kind {
            // Its thread was deleted: nothing of it is left to be shown.
            _ if payload["erased"] == true => run.ended = is_terminal_kind(kind).then_some(Outcome::Stopped),
            "agent_started" => aside(&format!("{}:", text(arrived, "agent_name")), fx),
            "agent_thinking" => aside(&format!("  ~ {}", text(payload, "reasoning")), fx),
            "progress_update" => aside(&format!("  … {}", progress(payload)), fx),
            "tool_executing" => {
                let line = format!("  > {} {}", text(payload, "tool_name"), payload["parameters"]);
                aside(&cut(&line), fx);
            }
            "tool_completed" => {
                let line = format!("  < {} {}", text(payload, "status"), payload["result"]);
                aside(&cut(&line), fx);
            }
            "budget_warning" | "run_recovering" => {
                aside(&format!("  … {kind} {}", text(payload, "message")), fx);
            }
            "partial_result" => run.say(payload, fx),
            "agent_completed" => run.complete(text(payload, "result"), fx),
            "agent_error" => run.fail(Outcome::Error, text(payload, "error_message"), fx),
            "agent_stopped" => {
                run.fail(Outcome::Stopped, &format!("stopped: {}", text(payload, "reason")), fx);
            }
            "agent_death" => run.fail(Outcome::Death, text(payload, "message"), fx),
            _ => {}
        }
        self.settle(id)
    }

    /// Takes a snapshot in the place of events that are gone. Gives back how runs ended that are over.
    pub fn resync(&mut self, payload: &Value, session: &str, fx: &mut Vec<Effect>) -> Vec<Outcome> {
        let list = |field: &str| payload[field].as_array().map_or(&[][..], Vec::as_slice);
        let is_open = |id: &str| {
            let named = |entry: &Value| text(entry, "run_id") == id;
            list("active_runs").iter().any(named) || list("queued").iter().any(named)
        };
        let over: Vec<String> = self.0.keys().filter(|id| !is_open(id)).cloned().collect();
        let outcomes = over.iter().map(|id| {
            let answer = list("messages")
                .iter()
                .find(|said| text(said, "run_id") == *id && text(said, "role") == "assistant");
            // No other answer of the thread: those were shown, or were not asked for here.
            if let Some(answer) = answer {
                fx.push(Effect::Show(Show::AnswerEnd));
                fx.push(Effect::Show(Show::Answer(text(answer, "content").to_owned())));
                fx.push(Effect::Show(Show::AnswerEnd));
            }
            match answer {
                Some(answer) if text(answer, "status") == "complete" => Outcome::Completed,
                _ => {
                    fault("how a run ended is among what is gone", fx);
                    Outcome::Death
                }
            }
        });
        let outcomes = outcomes.collect();
        self.0.retain(|id, _| !over.contains(id));
        let ours = list("active_runs")
            .iter()
            .filter(|run| text(run, "session_id") == session);
        for active in ours {
            let run = self.0.entry(text(active, "run_id").to_owned()).or_default();
            run.is_accepted = true;
            let so_far = serde_json::json!({
                "message_ref": active["message_ref"],
                "offset": 0,
                "content": active["text_so_far"],
            });
            run.say(&so_far, fx);
        }
        outcomes
    }

    fn settle(&mut self, id: &str) -> Option<Outcome> {
        let run = self.0.get(id)?;
        let outcome = run.ended.filter(|_| run.is_accepted)?;
        self.0.remove(id);
        Some(outcome)
    }
}

impl Run {
    /// Shows a piece of the answer. Offsets count bytes of UTF-8, so a piece that was shown is not shown again.
    fn say(&mut self, payload: &Value, fx: &mut Vec<Effect>) {
        let message_ref = text(payload, "message_ref");
        if self.message_ref != message_ref {
            if self.shown > 0 {
                fx.push(Effect::Show(Show::AnswerEnd));
            }
            message_ref.clone_into(&mut self.message_ref);
            (self.shown, self.hash) = (0, Sha256::new());
        }
        let content = text(payload, "content");
        let known = self
            .shown
            .saturating_sub(payload["offset"].as_u64().unwrap_or(self.shown));
        let fresh = usize::try_from(known).ok().and_then(|known| content.get(known..));
        if let Some(fresh) = fresh.filter(|fresh| !fresh.is_empty()) {
            self.shown += fresh.len() as u64;
            self.hash.update(fresh);
            fx.push(Effect::Show(Show::Answer(fresh.to_owned())));
        }
    }

    /// What an agent answers at once was not said in pieces, and what it said in pieces need not be its answer.
    fn complete(&mut self, result: &str, fx: &mut Vec<Effect>) {
        if Sha256::digest(result) != self.hash.clone().finalize() {
            if self.shown > 0 {
                fx.push(Effect::Show(Show::AnswerEnd));
            }
            fx.push(Effect::Show(Show::Answer(result.to_owned())));
        }
        fx.push(Effect::Show(Show::AnswerEnd));
        self.ended = Some(Outcome::Completed);
    }

    fn fail(&mut self, outcome: Outcome, why: &str, fx: &mut Vec<Effect>) {
        fx.push(Effect::Show(Show::AnswerEnd));
        fault(why, fx);
        self.ended = Some(outcome);
    }
}

fn aside(text: &str, fx: &mut Vec<Effect>) {
    fx.push(Effect::Show(Show::Aside(text.to_owned())));
}

fn progress(payload: &Value) -> String {
    match payload["percentage"].as_u64() {
        Some(percentage) => format!("{percentage} % {}", text(payload, "message")),
        None => text(payload, "message").to_owned(),
    }
}

/// Cut where it is too long for a line to be read.
fn cut(line: &str) -> String {
    match line.char_indices().nth(TOOL_LINE_MAX) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line.to_owned(),
    }
}
