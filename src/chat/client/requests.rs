//! Requests: each has an id, and is sent again under it until the server has answered. One at a time.

use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::Instant;

use super::{Client, Command, Effect, Now, WAITING_MAX, fault, frame, new_id, note, text};

/// How long to wait where the server names no time.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How often a request is tried again. Beyond: it counts as refused.
pub(super) const RETRIES_MAX: u32 = 600;

/// The most messages that a page of history has.
const HISTORY_MAX: usize = 200;

/// What a request asks for, and so what its answer means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// Words for an agent.
    Say,
    /// The list of threads.
    List(After),
    /// To go on in another thread, as a person asked.
    Switch,
    /// The same, as the command line asked: where it fails, nothing is to be said elsewhere.
    Enter,
    /// The same, after the session was lost.
    Return,
    /// A new thread.
    Create,
    /// Another name for this thread.
    Rename,
    /// A thread's end.
    Delete(String),
    /// What was said.
    History,
    /// The agents, over HTTP; with a name: choose that one.
    Agents(Option<String>),
    /// A file on its way to the server, over HTTP.
    Attach(PathBuf),
}

/// What the list of threads is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum After {
    /// To be shown.
    Show,
    /// To do this: it names a thread by its number.
    Obey(Command),
    /// To say this about the thread of this id.
    Tell(String, &'static str),
}

#[derive(Debug)]
pub(super) struct Request {
    pub kind: Kind,
    id: String,
    type_name: &'static str,
    payload: Value,
    is_sent: bool,
    /// The session in which it was sent first.
    sent_in: Option<String>,
    /// When it is to be tried again.
    pub due: Option<Instant>,
    tries: u32,
    /// Whether its run is to be stopped at once.
    pub stops: bool,
}

impl Request {
    fn new(kind: Kind, type_name: &'static str, payload: Value) -> Self {
        Self {
            kind,
            id: new_id(),
            type_name,
            payload,
            is_sent: false,
            sent_in: None,
            due: None,
            tries: 0,
            stops: false,
        }
    }

    pub fn say(content: &str, agent: Option<&str>) -> Self {
        let payload = match agent {
            Some(agent) => json!({ "content": content, "agent": agent }),
            None => json!({ "content": content }),
        };
        Self::new(Kind::Say, "user_message", payload)
    }

    pub fn switch(kind: Kind, thread: &str) -> Self {
        Self::new(kind, "switch_thread", json!({ "thread_id": thread }))
    }

    pub fn list(after: After) -> Self {
        Self::new(Kind::List(after), "list_threads", json!({}))
    }

    pub fn create(name: Option<&str>) -> Self {
        Self::new(Kind::Create, "create_thread", json!({ "name": name }))
    }

    pub fn rename(name: &str) -> Self {
        Self::new(Kind::Rename, "rename_thread", json!({ "name": name }))
    }

    pub fn delete(thread: &str) -> Self {
        let payload = json!({ "thread_id": thread });
        Self::new(Kind::Delete(thread.to_owned()), "delete_thread", payload)
    }

    pub fn history(count: usize) -> Self {
        let limit = count.min(HISTORY_MAX);
        Self::new(Kind::History, "get_thread_history", json!({ "limit": limit }))
    }

    pub fn agents(name: Option<String>) -> Self {
        Self::new(Kind::Agents(name), "", Value::Null)
    }

    pub fn attach(file: PathBuf) -> Self {
        Self::new(Kind::Attach(file), "", Value::Null)
    }

    pub fn is_file(&self) -> bool {
        matches!(self.kind, Kind::Attach(_))
    }

    pub fn is_say(&self) -> bool {
        self.kind == Kind::Say
    }

    /// Names documents in a message that was not sent yet.
    pub fn refer(&mut self, documents: &[String]) {
        if !documents.is_empty() {
            self.payload["references"] = json!(documents);
        }
    }

    /// The documents that it names.
    pub fn references(&self) -> Vec<String> {
        let named = self.payload["references"].as_array().into_iter().flatten();
        named.filter_map(|id| id.as_str().map(str::to_owned)).collect()
    }

    fn goes_over_http(&self) -> bool {
        matches!(self.kind, Kind::Agents(_) | Kind::Attach(_))
    }

    /// Whether it is a message on its way.
    pub fn is_said(&self) -> bool {
        self.is_say() && self.is_sent
    }

    /// Whether the server may have it, though no answer came.
    pub fn was_sent(&self) -> bool {
        self.sent_in.is_some()
    }

    /// Whether it is the one of this id.
    pub fn is(&self, id: &str) -> bool {
        self.id == id
    }

    /// Its socket is gone. What goes over HTTP has none.
    pub fn unsend(&mut self) {
        if !self.goes_over_http() {
            self.is_sent = false;
        }
    }
}

impl Client {
    pub(super) fn push(&mut self, request: Request, fx: &mut Vec<Effect>) {
        // Files are counted by themselves: as many as a message may name.
        let waiting = self.requests.iter().filter(|request| !request.is_file()).count();
        if waiting >= WAITING_MAX && !request.is_file() {
            let why = format!("{WAITING_MAX} of what you wrote wait already; this was not kept: write it again later");
            return self.refuse(&why, fx);
        }
        if request.is_say() && !self.is_up && self.place.is_some() {
            note("the line is down; this is kept and sent later", fx);
        }
        self.requests.push_back(request);
    }

    /// Sends the request at the head; where there is none, and it is this client's turn, reads the next line.
    pub(super) fn advance(&mut self, now: Now, fx: &mut Vec<Effect>) {
        self.send_told(now, fx);
        while self.ending.is_none() {
            if let Some(head) = self.requests.front_mut() {
                let is_early = head.due.is_some_and(|due| due > now.mono);
                // A guest has a name only once a socket was open: a file needs its owner.
                let needs_socket = !matches!(head.kind, Kind::Agents(_));
                if head.is_sent || is_early || (needs_socket && !self.is_up) {
                    return;
                }
                head.due = None;
                if head.is_say() && !head.was_sent() {
                    if std::mem::take(&mut self.lacks_file) {
                        self.requests.pop_front();
                        self.refuse(
                            "the message was not sent: the file that it was to name was not taken",
                            fx,
                        );
                        continue;
                    }
                    head.refer(&std::mem::take(&mut self.attached));
                }
                let text = frame(&head.id, head.type_name, &head.payload);
                if text.len() > self.message_bytes {
                    let (has, may) = (text.len(), self.message_bytes);
                    self.attached = head.references();
                    self.requests.pop_front();
                    let why = format!(
                        "the message has {has} bytes as it is sent, and the server takes {may}; send less at once"
                    );
                    self.refuse(&why, fx);
                    continue;
                }
                head.is_sent = true;
                match &head.kind {
                    Kind::Agents(_) => return fx.push(Effect::FetchAgents),
                    Kind::Attach(file) => return fx.push(Effect::Upload(file.clone(), self.document_bytes)),
                    _ => {}
                }
                let session = self.place.as_ref().map(|place| place.session.clone());
                head.sent_in = head.sent_in.take().or(session);
                return fx.push(Effect::Send(text));
            }
            if !self.takes_turns || !self.runs.is_empty() {
                return;
            }
            let Some(line) = self.lines.pop_front() else { return };
            self.obey(super::Line::read(&line), fx);
        }
    }

    /// The request at the head, where this is its answer.
    pub(super) fn take_answered(&mut self, id: &str) -> Option<Request> {
        self.requests
            .pop_front_if(|request| request.is_sent && request.id == id)
    }

    /// Something was refused.
    pub(super) fn refused(&mut self, error: &Value, now: Now, fx: &mut Vec<Effect>) {
        let id = text(error, "reply_to");
        if self.told_refused(id, error, now, fx) {
            return;
        }
        let Some(head) = self.requests.front_mut().filter(|request| request.id == id) else {
            // A stop for a run that has ended meanwhile is no fault.
            if text(error, "code") != "not_found" {
                fault(text(error, "message"), fx);
            }
            return;
        };
        if error["retryable"].as_bool().unwrap_or(false) && head.tries < RETRIES_MAX && !head.stops {
            let wait = error["retry_after_ms"]
                .as_u64()
                .map_or(RETRY_AFTER, Duration::from_millis);
            (head.is_sent, head.due) = (false, Some(now.mono + wait));
            head.tries += 1;
            if head.tries == 1 {
                note(&format!("{}; this is tried again", text(error, "message")), fx);
            }
            return;
        }
        if let Some(request) = self.requests.pop_front() {
            self.give_up(&request, error, fx);
        }
    }

    /// Whether the request was first sent in another session, which alone hears of its run.
    pub(super) fn is_of_another_session(&self, request: &Request) -> bool {
        let current = self.place.as_ref().map(|place| &place.session);
        request.sent_in.as_ref() != current
    }
}
