//! Runs: what is shown of each, and when a message has its end.
//!
//! A run is over for us once it was both accepted and ended. After a cut its end may come first: events are replayed at once,
//! and the answer to a message that is sent again follows. A child run belongs to its parent: what it does stands further in,
//! what it says is its parent's to tell, and its end is no message's.

use std::collections::BTreeMap;

use serde_json::Value;
use sessile_actors::protocol::server::is_terminal_kind;
use sha2::{Digest as _, Sha256};

use super::lines::{line, usage};
use super::{Effect, Outcome, Show, fault, text};

/// The runs of this session that are not over.
#[derive(Debug, Default)]
pub(super) struct Runs(BTreeMap<String, Run>);

#[derive(Debug, Default)]
struct Run {
    is_accepted: bool,
    is_begun: bool,
    /// The run that began it, for a child run.
    parent: Option<String>,
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

    /// The run that may be told something: the last that began, else the last that was taken.
    pub fn at_work(&self) -> Option<String> {
        let open = self
            .0
            .iter()
            .filter(|(_, run)| run.parent.is_none() && run.ended.is_none());
        open.max_by_key(|(_, run)| run.is_begun).map(|(id, _)| id.clone())
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
        let roots = self.0.values_mut().filter(|run| run.parent.is_none());
        roots.for_each(|run| run.stops = true);
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
        let is_end = is_terminal_kind(kind);
        match kind {
            "agent_started" => self.begin(id, text(payload, "parent_run_id")),
            // A run whose beginning is among what is gone: a child, or its message would have been taken before.
            _ if !self.0.contains_key(id) && (kind == "agent_completed" || !is_end) => return None,
            _ => {}
        }
        let depth = self.depth(id);
        if depth > 0 {
            self.child(arrived, depth, fx);
            return None;
        }
        let run = self.0.entry(id.to_owned()).or_default();
        match kind {
            // Its thread was deleted: nothing of it is left to be shown.
            _ if payload["erased"] == true => run.ended = is_end.then_some(Outcome::Stopped),
            "partial_result" => run.say(payload, fx),
            "agent_completed" => run.complete(payload, fx),
            "agent_error" => run.fail(Outcome::Error, text(payload, "error_message"), fx),
            "agent_stopped" => {
                run.fail(Outcome::Stopped, &format!("stopped: {}", text(payload, "reason")), fx);
            }
            "agent_death" => run.fail(Outcome::Death, text(payload, "message"), fx),
            _ => {
                if let Some(line) = line(arrived) {
                    aside(&line, fx);
                }
            }
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
        // Of children a snapshot tells nothing; they end with their parents.
        self.0.retain(|_, run| run.parent.is_none());
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
            (run.is_accepted, run.is_begun) = (true, true);
            let so_far = serde_json::json!({
                "message_ref": active["message_ref"],
                "offset": 0,
                "content": active["text_so_far"],
            });
            run.say(&so_far, fx);
        }
        outcomes
    }

    fn begin(&mut self, id: &str, parent: &str) {
        let run = self.0.entry(id.to_owned()).or_default();
        run.is_begun = true;
        run.parent = (!parent.is_empty()).then(|| parent.to_owned());
    }

    /// How many runs stand above this one.
    fn depth(&self, id: &str) -> usize {
        let parent_of = |id: &String| self.0.get(id).and_then(|run| run.parent.clone());
        // No run is further in than there are runs, whatever a server says.
        std::iter::successors(parent_of(&id.to_owned()), parent_of)
            .take(self.0.len())
            .count()
    }

    /// Shows what a child does, but not what it says.
    fn child(&mut self, arrived: &Value, depth: usize, fx: &mut Vec<Effect>) {
        let (kind, id, payload) = (text(arrived, "type"), text(arrived, "run_id"), &arrived["payload"]);
        let line = match kind {
            _ if payload["erased"] == true => None,
            "agent_error" => Some(format!("  ! {}", text(payload, "error_message"))),
            "agent_stopped" => Some(format!("  ! stopped: {}", text(payload, "reason"))),
            "agent_death" => Some(format!("  ! {}", text(payload, "message"))),
            _ => line(arrived),
        };
        if let Some(line) = line {
            let further_in = "  ".repeat(depth);
            aside(
                &format!("{further_in}{}", line.replace('\n', &format!("\n{further_in}"))),
                fx,
            );
        }
        if is_terminal_kind(kind) {
            self.0.remove(id);
        }
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
    fn complete(&mut self, end: &Value, fx: &mut Vec<Effect>) {
        let result = text(end, "result");
        if Sha256::digest(result) != self.hash.clone().finalize() {
            if self.shown > 0 {
                fx.push(Effect::Show(Show::AnswerEnd));
            }
            fx.push(Effect::Show(Show::Answer(result.to_owned())));
        }
        fx.push(Effect::Show(Show::AnswerEnd));
        if let Some(used) = usage(end) {
            aside(&format!("  = {used}"), fx);
        }
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
