//! Answers to requests, and what is shown of them.

use std::time::{Duration, SystemTime};

use serde_json::Value;

use super::requests::{After, Kind, Request};
use super::{Client, Effect, NAMES_MAX, Now, Outcome, Show, WAITING_MAX, fault, note, text};
use crate::chat::commands::nearest;

/// An agent, as the server lists it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
pub struct AgentInfo {
    /// Its name.
    pub name: String,
    /// What it does.
    pub description: String,
    /// Whether it answers where none is named.
    pub default: bool,
}

impl Client {
    /// An answer, if it is one: each carries the id of its request.
    pub(super) fn answered(&mut self, kind: &str, payload: &Value, now: Now, fx: &mut Vec<Effect>) {
        let Some(request) = self.take_answered(text(payload, "message_id")) else {
            return;
        };
        match (&request.kind, kind) {
            (Kind::Say, "message_accepted") => self.accepted(&request, payload, fx),
            (Kind::List(after), "thread_list") => self.listed(after.clone(), payload, now.wall, fx),
            (Kind::Switch | Kind::Enter | Kind::Return | Kind::Create, "thread_switched" | "thread_created") => {
                text(payload, "thread_id").clone_into(&mut self.thread);
                self.thread_is_kept = true;
                self.learn(payload);
                if request.kind == Kind::Switch || request.kind == Kind::Create {
                    note(&format!("this is {:?} now", text(payload, "name")), fx);
                }
            }
            (Kind::Rename, "thread_renamed") => {
                self.learn(payload);
                note(&format!("this thread is called {:?} now", text(payload, "name")), fx);
            }
            (Kind::Delete(thread), "thread_deleted") => {
                self.listing.clear();
                note("the thread is deleted", fx);
                if *thread == self.thread {
                    self.thread.clear();
                    self.thread_is_kept = false;
                    note("what you say next begins a new one", fx);
                }
            }
            (Kind::History, "thread_history") => {
                fx.push(Effect::Show(Show::Listing(history(payload))));
            }
            _ => fault("the server answered something else than it was asked", fx),
        }
    }

    fn accepted(&mut self, request: &Request, payload: &Value, fx: &mut Vec<Effect>) {
        self.thread_is_kept = true;
        let is_repeat = text(payload, "status") == "duplicate";
        if is_repeat && self.is_of_another_session(request) {
            note(
                "this was taken before the session was lost; /history shows the answer",
                fx,
            );
            return self.settled(Outcome::Death);
        }
        if text(payload, "status") == "queued" && !self.takes_turns {
            note("this waits for the answer before it", fx);
        }
        if let Some(outcome) = self.runs.accepted(text(payload, "run_id"), request.stops) {
            self.settled(outcome);
        }
        self.send_stops(fx);
    }

    fn listed(&mut self, after: After, payload: &Value, now: SystemTime, fx: &mut Vec<Effect>) {
        let threads = payload["threads"].as_array().map_or(&[][..], Vec::as_slice);
        threads.iter().for_each(|thread| self.learn(thread));
        match after {
            After::Tell(thread, what) => self.tell(&thread, what, fx),
            After::Show => {
                self.listing = ids(threads);
                let has_more = !payload["next_before"].is_null();
                let list = thread_list(threads, &self.thread, has_more, now);
                fx.push(Effect::Show(Show::Listing(list)));
            }
            After::Obey(_) if threads.is_empty() => self.refuse("there are no threads yet", fx),
            After::Obey(command) => {
                self.listing = ids(threads);
                self.command(command, fx);
            }
        }
    }

    fn learn(&mut self, thread: &Value) {
        if self.names.len() >= NAMES_MAX {
            self.names.clear();
        }
        let [id, name] = ["thread_id", "name"].map(|field| text(thread, field).to_owned());
        self.names.insert(id, name);
    }

    /// Another session of this user began or ended a run.
    pub(super) fn thread_changed(&mut self, payload: &Value, fx: &mut Vec<Effect>) {
        let what = match text(payload, "state") {
            "running" | "waiting" | "cancelling" => "another window began a run in",
            "queued" => return,
            _ => "another window's run has ended in",
        };
        let thread = text(payload, "thread_id");
        if self.names.contains_key(thread) || self.requests.len() >= WAITING_MAX {
            return self.tell(thread, what, fx);
        }
        // Only its id is known: the list has its name.
        self.requests
            .push_back(Request::list(After::Tell(thread.to_owned(), what)));
    }

    fn tell(&self, thread: &str, what: &str, fx: &mut Vec<Effect>) {
        let name = self.names.get(thread).map_or(thread, String::as_str);
        note(&format!("{what} {name:?}"), fx);
    }

    /// A request was refused for good.
    pub(super) fn give_up(&mut self, request: &Request, error: &Value, fx: &mut Vec<Effect>) {
        let (code, message) = (text(error, "code"), text(error, "message"));
        match request.kind {
            Kind::History if code == "not_found" => note("nothing has been said here yet", fx),
            Kind::Rename if code == "not_found" => {
                self.refuse("say something first: a thread without a message can't have a name", fx);
            }
            Kind::Say if error["details"]["pointer"] == "/agent" => {
                self.refuse("there is no such agent; /agent lists them", fx);
            }
            Kind::Return => note("the thread is gone as well; a new one begins", fx),
            Kind::Enter => {
                fault(
                    "--thread names no thread of yours; /threads lists them with their ids",
                    fx,
                );
                self.end(Outcome::Refused);
            }
            Kind::List(After::Tell(ref thread, what)) => self.tell(thread, what, fx),
            Kind::Say if request.stops => self.settled(Outcome::Stopped),
            _ => self.refuse(message, fx),
        }
        // Who writes the message again need not bring its files again.
        if !self.takes_turns && self.attached.is_empty() {
            self.attached = request.references();
        }
    }

    /// The agents, as they were fetched, or why they could not be.
    pub fn agents(&mut self, fetched: Result<Vec<AgentInfo>, String>, now: Now) -> Vec<Effect> {
        let mut fx = Vec::new();
        let asked = self
            .requests
            .pop_front_if(|request| matches!(request.kind, Kind::Agents(_)));
        if let Some(Request {
            kind: Kind::Agents(name),
            ..
        }) = asked
        {
            match (fetched, name) {
                (Err(why), _) => self.refuse(&format!("the agents can't be listed: {why}"), &mut fx),
                (Ok(agents), None) => {
                    let list = agent_list(&agents, self.agent.as_deref());
                    fx.push(Effect::Show(Show::Listing(list)));
                }
                (Ok(agents), Some(name)) => self.choose(&agents, name, &mut fx),
            }
        }
        self.advance(now, &mut fx);
        fx
    }

    fn choose(&mut self, agents: &[AgentInfo], name: String, fx: &mut Vec<Effect>) {
        let names = || agents.iter().map(|agent| agent.name.as_str());
        if names().any(|known| known == name) {
            note(&format!("{name} answers from now on"), fx);
            self.agent = Some(name);
            return;
        }
        let near = nearest(&name, names()).map_or_else(String::new, |near| format!(" did you mean {near}?"));
        self.refuse(&format!("there is no agent {name:?};{near} /agent lists them"), fx);
    }
}

fn ids(threads: &[Value]) -> Vec<String> {
    threads
        .iter()
        .map(|thread| text(thread, "thread_id").to_owned())
        .collect()
}

fn thread_list(threads: &[Value], current: &str, has_more: bool, now: SystemTime) -> String {
    let mut lines: Vec<String> = threads
        .iter()
        .enumerate()
        .map(|(at, thread)| {
            let mark = if text(thread, "thread_id") == current { '*' } else { ' ' };
            let age = age(text(thread, "updated_at"), now);
            let [id, name] = ["thread_id", "name"].map(|field| one_line(text(thread, field)));
            format!("{mark} {:>2}  {age:>8}  {name}  [{id}]", at + 1)
        })
        .collect();
    if has_more {
        lines.push("      older ones are not shown".to_owned());
    }
    if !threads.iter().any(|thread| text(thread, "thread_id") == current) {
        lines.push("*  -       now  this thread is new: your first message names it".to_owned());
    }
    lines.join("\n")
}

fn history(payload: &Value) -> String {
    let messages = payload["messages"].as_array().map_or(&[][..], Vec::as_slice);
    let mut lines: Vec<String> = messages
        .iter()
        .rev()
        .map(|said| {
            let who = match text(said, "role") {
                "user" => "you",
                _ => "agent",
            };
            let cut = if text(said, "status") == "partial" {
                " (cut short)"
            } else {
                ""
            };
            format!("{who}{cut}: {}", text(said, "content"))
        })
        .collect();
    if messages.is_empty() {
        lines.push("nothing has been said here yet".to_owned());
    }
    lines.join("\n")
}

fn agent_list(agents: &[AgentInfo], chosen: Option<&str>) -> String {
    let lines = agents.iter().map(|agent| {
        let is_chosen = chosen.map_or(agent.default, |chosen| chosen == agent.name);
        let mark = if is_chosen { '*' } else { ' ' };
        format!("{mark} {:12} {}", one_line(&agent.name), one_line(&agent.description))
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// A name stays on its line, whatever it holds.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// How long ago this RFC 3339 time was, in the largest unit that fits.
fn age(at: &str, now: SystemTime) -> String {
    let Ok(at) = humantime::parse_rfc3339_weak(at) else {
        return "?".to_owned();
    };
    // A clock that is behind the server's makes no thread of the future.
    let past = now.duration_since(at).unwrap_or(Duration::ZERO).as_secs();
    match past {
        0..60 => "now".to_owned(),
        60..3_600 => format!("{} min", past / 60),
        3_600..86_400 => format!("{} h", past / 3_600),
        _ => format!("{} d", past / 86_400),
    }
}
