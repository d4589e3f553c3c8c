//! What runs at work are told: words by `/steer`, and decisions on calls that wait for a person.
//!
//! They don't wait in line with the requests: the message at its head may wait for the very run that waits for a decision. Each
//! is sent again under its id until the server has answered.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use sessile_actors::protocol::server::is_terminal_kind;
use tokio::time::Instant;

use super::requests::{RETRIES_MAX, RETRY_AFTER};
use super::{Client, Effect, Now, WAITING_MAX, fault, frame, new_id, note, text};

/// The notes of decisions that no person made.
const BY_NOBODY: &str = "nobody is there to ask";
const BY_ARGUMENT: &str = "approved by --approve-all";

/// Something that a run is told.
#[derive(Debug)]
pub(super) struct Told {
    id: String,
    what: What,
    is_sent: bool,
    /// When it is to be tried again.
    due: Option<Instant>,
    tries: u32,
}

#[derive(Debug)]
enum What {
    /// Words for a run; none until the message that begins it was taken.
    Steer { run: Option<String>, content: String },
    /// A decision on a call.
    Decide {
        call: String,
        approve: bool,
        note: Option<String>,
    },
}

/// A call that waits for a decision.
#[derive(Debug)]
pub(super) struct Asked {
    call: String,
    run: String,
    /// Whether it was decided here; the server tells it to all.
    is_decided: bool,
}

impl Told {
    fn new(what: What) -> Self {
        Self {
            id: new_id(),
            what,
            is_sent: false,
            due: None,
            tries: 0,
        }
    }

    fn decides(&self, of: &str) -> bool {
        matches!(&self.what, What::Decide { call, .. } if call == of)
    }

    fn frame(&self) -> String {
        match &self.what {
            What::Steer { run, content } => frame(&self.id, "steer", &json!({ "run_id": run, "content": content })),
            What::Decide { call, approve, note } => {
                let decision = if *approve { "approve" } else { "deny" };
                let payload = json!({ "call_id": call, "decision": decision, "note": note });
                frame(&self.id, "tool_decision", &payload)
            }
        }
    }
}

impl Client {
    /// Tells the run at work something, or the one that is about to begin.
    pub(super) fn steer(&mut self, content: String, fx: &mut Vec<Effect>) {
        let run = self.runs.at_work();
        if run.is_none() && !self.requests.iter().any(super::Request::is_say) {
            return self.refuse(
                "nothing is running that could be told anything; say it as a message",
                fx,
            );
        }
        if self.told.len() >= WAITING_MAX {
            return self.refuse("too much waits to be told already; write it again later", fx);
        }
        self.told.push(Told::new(What::Steer { run, content }));
    }

    /// Decides the oldest call that waits.
    pub(super) fn decide(&mut self, approve: bool, note: Option<String>, fx: &mut Vec<Effect>) {
        let Some(asked) = self.asked.iter_mut().find(|asked| !asked.is_decided) else {
            return self.refuse("no call waits for a decision", fx);
        };
        asked.is_decided = true;
        let call = asked.call.clone();
        self.told.push(Told::new(What::Decide { call, approve, note }));
    }

    /// Keeps book of the calls that wait.
    pub(super) fn hear_of_approvals(&mut self, arrived: &Value, now: Now, fx: &mut Vec<Effect>) {
        let (run, payload) = (text(arrived, "run_id"), &arrived["payload"]);
        match text(arrived, "type") {
            _ if payload["erased"] == true => self.asked.retain(|asked| asked.run != run),
            "tool_approval_requested" => self.ask(run, payload, now, fx),
            "tool_approval_decided" => self.asked.retain(|asked| asked.call != text(payload, "call_id")),
            kind if is_terminal_kind(kind) => self.asked.retain(|asked| asked.run != run),
            _ => {}
        }
    }

    /// A call waits for a person, who is asked, if there is one.
    pub(super) fn ask(&mut self, run: &str, request: &Value, now: Now, fx: &mut Vec<Effect>) {
        let call = text(request, "call_id");
        if self.asked.iter().any(|asked| asked.call == call) {
            return;
        }
        let is_decided = self.told.iter().any(|told| told.decides(call));
        self.asked.push_back(Asked {
            call: call.to_owned(),
            run: run.to_owned(),
            is_decided,
        });
        if is_decided {
            return;
        }
        // Whole: nobody should approve what they were not shown.
        let what = format!("{} {}", text(request, "tool_name"), request["parameters"]);
        let (by_itself, then) = match (self.approves_all, self.takes_turns) {
            (true, _) => (Some((true, BY_ARGUMENT)), BY_ARGUMENT.to_owned()),
            (false, true) => (
                Some((false, BY_NOBODY)),
                format!("denied, {BY_NOBODY}; --approve-all approves such calls"),
            ),
            (false, false) => {
                let left = left(text(request, "expires_at"), now.wall);
                (
                    None,
                    format!("/approve [NOTE] lets it begin, /deny [NOTE] does not{left}"),
                )
            }
        };
        note(&format!("the agent asks to call {what}: {then}"), fx);
        if let Some((approve, why)) = by_itself {
            self.decide(approve, Some(why.to_owned()), fx);
        }
    }

    /// Sends what was not sent on this socket.
    pub(super) fn send_told(&mut self, now: Now, fx: &mut Vec<Effect>) {
        if !self.is_up || self.ending.is_some() {
            return;
        }
        let begun = self.runs.at_work();
        let is_coming = self.requests.iter().any(super::Request::is_say);
        let before = self.told.len();
        self.told.retain_mut(|told| {
            if told.is_sent || told.due.is_some_and(|due| due > now.mono) {
                return true;
            }
            if let What::Steer { run: run @ None, .. } = &mut told.what {
                run.clone_from(&begun);
                if run.is_none() {
                    return is_coming;
                }
            }
            (told.is_sent, told.due) = (true, None);
            fx.push(Effect::Send(told.frame()));
            true
        });
        if self.told.len() < before {
            self.refuse("the run that was to be told something did not begin", fx);
        }
    }

    pub(super) fn told_due(&self) -> Option<Instant> {
        self.told.iter().filter_map(|told| told.due).min()
    }

    /// The socket is gone, and what was sent may be with it.
    pub(super) fn unsend_told(&mut self) {
        self.told.iter_mut().for_each(|told| told.is_sent = false);
    }

    /// Words for a run that is to be stopped are of no use.
    pub(super) fn forget_steering(&mut self) {
        self.told
            .retain(|told| told.is_sent || matches!(told.what, What::Decide { .. }));
    }

    /// The server took it.
    pub(super) fn told_taken(&mut self, answer: &Value, fx: &mut Vec<Effect>) {
        let id = text(answer, "message_id");
        let Some(at) = self.told.iter().position(|told| told.id == id) else {
            return;
        };
        if let What::Steer { .. } = self.told.remove(at).what {
            note("told; the agent reads it at its next step", fx);
        }
    }

    /// The server refused it, or something else; says which.
    pub(super) fn told_refused(&mut self, id: &str, error: &Value, now: Now, fx: &mut Vec<Effect>) -> bool {
        let Some(at) = self.told.iter().position(|told| told.id == id) else {
            return false;
        };
        let told = &mut self.told[at];
        if error["retryable"] == true && told.tries < RETRIES_MAX {
            let wait = error["retry_after_ms"].as_u64();
            told.due = Some(now.mono + wait.map_or(RETRY_AFTER, Duration::from_millis));
            (told.is_sent, told.tries) = (false, told.tries + 1);
            return true;
        }
        let why = text(error, "message");
        match self.told.remove(at).what {
            What::Steer { .. } => self.refuse(why, fx),
            // Another window was first, or its time is over: that is told, and no fault.
            What::Decide { call, .. } if ["conflict", "not_found"].contains(&text(error, "code")) => {
                self.asked.retain(|asked| asked.call != call);
                note(why, fx);
            }
            What::Decide { call, .. } => {
                let mut asked = self.asked.iter_mut();
                if let Some(asked) = asked.find(|asked| asked.call == call) {
                    asked.is_decided = false;
                }
                fault(why, fx);
            }
        }
        true
    }
}

/// How long a decision may take, where that can be read.
fn left(until: &str, now: SystemTime) -> String {
    let until = humantime::parse_rfc3339_weak(until).ok();
    let left = until.and_then(|until| until.duration_since(now).ok());
    match left.map(|left| left.as_secs()) {
        Some(seconds @ 120..) => format!("; it waits {} min", seconds / 60),
        Some(seconds) => format!("; it waits {seconds} s"),
        None => String::new(),
    }
}
