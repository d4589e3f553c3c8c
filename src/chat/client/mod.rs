//! The client without its edges: what is typed and what arrives goes in, what is to be sent and to be shown comes out.
//!
//! It does no I/O and reads no clock. It keeps the protocol's side of a conversation: one session over any number of sockets,
//! each event taken once, one request at a time, so that a message that must be sent again keeps its place before the next.

mod answers;
mod files;
mod lines;
mod requests;
mod runs;
mod sockets;
#[cfg(test)]
mod tests;
mod told;

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::time::SystemTime;

use serde_json::{Value, json};
use sessile_actors::protocol::server::is_terminal_kind;
use tokio::time::Instant;
use uuid::Uuid;

use super::commands::{Command, HELP, Line, Which};
pub use answers::AgentInfo;
pub use files::Uploaded;
use requests::{After, Kind, Request};
use runs::Runs;
pub use sockets::Next;
use told::{Asked, Told};

/// Lines and requests that wait, each. Beyond: a pipe is not read, and at the terminal the line is refused.
pub const WAITING_MAX: usize = 16;

/// Events taken before the server is told: it then need not keep them in memory.
const ACK_EVERY: u64 = 32;

/// Names of threads that are remembered. Beyond: they are learned anew.
const NAMES_MAX: usize = 1000;

/// How it ended. The numbers are the exit codes, as `sessile chat --help` lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Outcome {
    /// Every message was answered.
    Completed = 0,
    /// No connection, or refused at the door, or cut off.
    NoConnection = 1,
    /// A message or a command was refused.
    Refused = 3,
    /// The agent failed: `agent_error`.
    Error = 4,
    /// The run was stopped: `agent_stopped`.
    Stopped = 5,
    /// The runtime ended the run: `agent_death`.
    Death = 6,
    /// Ctrl-C.
    Interrupted = 130,
    /// SIGTERM.
    Terminated = 143,
}

/// What the edges are to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Send this frame. Made only while there is a socket.
    Send(String),
    /// Show this.
    Show(Show),
    /// Fetch the list of agents, then call [`Client::agents`].
    FetchAgents,
    /// Bring this file to the server, if it has at most so many bytes, then call [`Client::uploaded`].
    Upload(PathBuf, usize),
    /// Look for a newer token; where there is one, call [`Client::renew`].
    RenewToken,
}

/// What a person or a pipe is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Show {
    /// A piece of an answer: standard output.
    Answer(String),
    /// The answer is over: its line ends.
    AnswerEnd,
    /// What a command asked for: standard output.
    Listing(String),
    /// What happens in a run besides its answer: standard error.
    Aside(String),
    /// What happens besides runs: standard error.
    Note(String),
    /// What went wrong: standard error.
    Fault(String),
}

/// The time, passed in.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// For waiting.
    pub mono: Instant,
    /// For the age of threads.
    pub wall: SystemTime,
}

/// What a resume needs.
#[derive(Debug, Clone)]
struct Place {
    session: String,
    epoch: String,
    last_seq: u64,
}

/// The client's side of a conversation.
#[derive(Debug)]
pub struct Client {
    /// Whether each line waits for the answer to the one before: in a pipe, where nobody sees that a run is active.
    takes_turns: bool,
    /// Whether what asks for approval gets it, unseen.
    approves_all: bool,
    agent: Option<String>,
    place: Option<Place>,
    is_up: bool,
    acked: u64,
    message_bytes: usize,
    document_bytes: usize,
    thread: String,
    /// Whether something was said in the thread, so that it is worth going back to.
    thread_is_kept: bool,
    names: HashMap<String, String>,
    /// The threads as they were listed last, for their numbers.
    listing: Vec<String>,
    lines: VecDeque<String>,
    requests: VecDeque<Request>,
    runs: Runs,
    /// What runs at work are told, until the server has answered.
    told: Vec<Told>,
    /// The calls that wait for a decision, oldest first.
    asked: VecDeque<Asked>,
    /// The documents that the next message names.
    attached: Vec<String>,
    /// Whether a file of the next message was not taken, so that it is not sent.
    lacks_file: bool,
    /// How the first message ended that was not answered.
    failed: Option<Outcome>,
    input_is_over: bool,
    was_interrupted: bool,
    ending: Option<Outcome>,
}

impl Client {
    /// A client that has not been connected yet. With a `thread`, it goes on there.
    #[must_use]
    pub fn new(takes_turns: bool, agent: Option<String>, thread: Option<Uuid>) -> Self {
        let enter = thread.map(|thread| Request::switch(Kind::Enter, &thread.to_string()));
        Self {
            takes_turns,
            approves_all: false,
            agent,
            place: None,
            is_up: false,
            acked: 0,
            message_bytes: usize::MAX,
            document_bytes: files::BYTES_MAX,
            thread: String::new(),
            thread_is_kept: false,
            names: HashMap::new(),
            listing: Vec::new(),
            lines: VecDeque::new(),
            requests: enter.into_iter().collect(),
            runs: Runs::default(),
            told: Vec::new(),
            asked: VecDeque::new(),
            attached: Vec::new(),
            lacks_file: false,
            failed: None,
            input_is_over: false,
            was_interrupted: false,
            ending: None,
        }
    }

    /// Approves what asks for approval, from now on.
    pub fn approve_all(&mut self) {
        self.approves_all = true;
    }

    /// What a socket's address ends in: where to go on, or nothing for a new session.
    #[must_use]
    pub fn query(&self) -> String {
        self.place.as_ref().map_or_else(String::new, |place| {
            let Place {
                session,
                epoch,
                last_seq,
            } = place;
            format!("?session_id={session}&last_seq={last_seq}&epoch={epoch}")
        })
    }

    /// Whether nothing is going on, so that a prompt may be shown. While the line is down, one may write.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.runs.is_empty() && (self.requests.is_empty() || !self.is_up)
    }

    /// Whether there is a socket that the server has greeted.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.is_up
    }

    /// Whether another line can be kept.
    #[must_use]
    pub fn takes_lines(&self) -> bool {
        self.lines.len() < WAITING_MAX
    }

    /// How all of it ended; none while something is to come.
    #[must_use]
    pub fn over(&self) -> Option<Outcome> {
        // Not before there was a session: whether a server is there must not depend on how fast an input ends.
        let is_quiet =
            self.lines.is_empty() && self.requests.is_empty() && self.runs.is_empty() && self.told.is_empty();
        let is_done = self.input_is_over && is_quiet && self.place.is_some();
        let result = match self.failed {
            _ if self.was_interrupted => Outcome::Interrupted,
            Some(failed) if self.takes_turns => failed,
            _ => Outcome::Completed,
        };
        self.ending.or(is_done.then_some(result))
    }

    /// Ends, whatever is going on.
    pub fn end(&mut self, outcome: Outcome) {
        self.ending.get_or_insert(outcome);
    }

    /// When [`Client::tick`] wants to be called.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        let request = self.requests.front().and_then(|request| request.due);
        request.into_iter().chain(self.told_due()).min()
    }

    /// A moment that was waited for has come.
    pub fn tick(&mut self, now: Now) -> Vec<Effect> {
        let mut fx = Vec::new();
        self.advance(now, &mut fx);
        fx
    }

    /// A line was typed, or came through the pipe.
    pub fn typed(&mut self, line: &str, now: Now) -> Vec<Effect> {
        let mut fx = Vec::new();
        match Line::read(line) {
            // At once, also in a pipe: behind the answer that it is to stop it would be of no use.
            Line::Command(command) if command.is_meanwhile() => self.command(command, &mut fx),
            _ if self.takes_turns => self.lines.push_back(line.to_owned()),
            read => self.obey(read, &mut fx),
        }
        self.advance(now, &mut fx);
        fx
    }

    /// Says a text as it stands.
    pub fn say(&mut self, text: &str, now: Now) -> Vec<Effect> {
        let mut fx = Vec::new();
        self.push(Request::say(text, self.agent.as_deref()), &mut fx);
        self.advance(now, &mut fx);
        fx
    }

    /// A line could not be read; nothing of it is sent.
    pub fn unreadable(&mut self, why: &str) -> Vec<Effect> {
        let mut fx = Vec::new();
        self.refuse(why, &mut fx);
        fx
    }

    /// No line follows.
    pub fn input_is_over(&mut self) {
        self.input_is_over = true;
    }

    /// Ctrl-C: stops the run; where none can be stopped, or for the second time, ends.
    pub fn interrupt(&mut self) -> Vec<Effect> {
        let mut fx = Vec::new();
        let is_busy = self.is_up && (!self.runs.is_empty() || self.requests.front().is_some_and(Request::is_said));
        if self.was_interrupted || !is_busy {
            self.end(Outcome::Interrupted);
            return fx;
        }
        self.was_interrupted = true;
        self.stop(&mut fx);
        self.input_is_over |= self.takes_turns;
        fx
    }

    /// The newer token that [`Effect::RenewToken`] asked for.
    pub fn renew(&mut self, token: &str) -> Vec<Effect> {
        vec![send("refresh_token", &json!({ "token": token }))]
    }

    /// A text frame arrived.
    pub fn frame(&mut self, text: &str, now: Now) -> Vec<Effect> {
        let mut fx = Vec::new();
        match serde_json::from_str::<Value>(text) {
            Ok(arrived) if arrived["seq"].is_u64() => self.event(&arrived, now, &mut fx),
            Ok(arrived) => self.control(&arrived, now, &mut fx),
            Err(_) => fault("the server sent something that is no frame", &mut fx),
        }
        self.advance(now, &mut fx);
        fx
    }

    /// An event: in order, each once.
    fn event(&mut self, arrived: &Value, now: Now, fx: &mut Vec<Effect>) {
        let (Some(seq), Some(place)) = (arrived["seq"].as_u64(), &mut self.place) else {
            return;
        };
        if seq <= place.last_seq {
            return;
        }
        place.last_seq = seq;
        self.hear_of_approvals(arrived, now, fx);
        if let Some(outcome) = self.runs.event(arrived, fx) {
            self.settled(outcome);
        }
        if is_terminal_kind(text(arrived, "type")) || seq - self.acked >= ACK_EVERY {
            self.acked = seq;
            fx.push(send("ack", &json!({ "seq": seq })));
        }
    }

    fn control(&mut self, arrived: &Value, now: Now, fx: &mut Vec<Effect>) {
        let payload = &arrived["payload"];
        match text(arrived, "type") {
            "connection_established" => self.established(payload, fx),
            "resync" => self.resync(payload, now, fx),
            "error" => self.refused(payload, now, fx),
            "thread_changed" => self.thread_changed(payload, fx),
            "reauth_required" => fx.push(Effect::RenewToken),
            "steering_accepted" | "decision_accepted" => self.told_taken(payload, fx),
            "server_shutdown" => note(text(payload, "message"), fx),
            kind => self.answered(kind, payload, now, fx),
        }
    }

    /// Does what a line asks for.
    fn obey(&mut self, line: Line, fx: &mut Vec<Effect>) {
        match line {
            Line::Empty => {}
            Line::Unknown(why) => self.refuse(&why, fx),
            Line::Message(text) => self.push(Request::say(&text, self.agent.as_deref()), fx),
            Line::Command(command) => self.command(command, fx),
        }
    }

    fn command(&mut self, command: Command, fx: &mut Vec<Effect>) {
        let request = match command {
            Command::Help => return fx.push(Effect::Show(Show::Listing(HELP.to_owned()))),
            Command::Stop => return self.stop(fx),
            Command::Steer(content) => return self.steer(content, fx),
            Command::Decide { approve, note } => return self.decide(approve, note, fx),
            Command::Attach(file) => return self.push_file(file, fx),
            Command::Quit => {
                self.lines.clear();
                self.input_is_over = true;
                if !self.takes_turns {
                    self.end(Outcome::Completed);
                }
                return;
            }
            Command::Switch(which) | Command::Delete(which) => match self.thread_of(which) {
                Some(thread) if matches!(command, Command::Switch(_)) => Request::switch(Kind::Switch, &thread),
                Some(thread) => Request::delete(&thread),
                None if self.listing.is_empty() => Request::list(After::Obey(command)),
                None => return self.refuse("there is no thread of that number; /threads lists them", fx),
            },
            Command::Threads => Request::list(After::Show),
            Command::New(name) => Request::create(name.as_deref()),
            Command::Rename(name) => Request::rename(&name),
            Command::History(count) => Request::history(count),
            Command::Agent(name) => Request::agents(name),
        };
        self.push(request, fx);
    }

    fn thread_of(&self, which: Which) -> Option<String> {
        match which {
            Which::Id(id) => Some(id.to_string()),
            Which::Number(number) => self.listing.get(number.checked_sub(1)?).cloned(),
        }
    }

    /// Stops what runs, and what waits behind it.
    fn stop(&mut self, fx: &mut Vec<Effect>) {
        let waited = self.lines.len() + self.requests.len();
        self.lines.clear();
        // What was sent may have been accepted: its run is stopped once its id is known.
        self.requests.retain(|request| !request.is_say() || request.was_sent());
        let dropped = waited - self.requests.len();
        self.forget_steering();
        let sent = self.requests.front_mut().filter(|request| request.is_say());
        let is_coming = sent.map(|request| request.stops = true).is_some();
        if dropped > 0 {
            note(
                &format!("dropped before it was sent: {dropped} of what was written"),
                fx,
            );
            self.settled(Outcome::Stopped);
        } else if !is_coming && self.runs.is_empty() {
            note("nothing is running", fx);
        }
        self.runs.stop_all();
        self.send_stops(fx);
    }

    fn send_stops(&mut self, fx: &mut Vec<Effect>) {
        if self.is_up {
            for run in self.runs.take_stops() {
                let payload = json!({ "run_id": run, "reason": "from the terminal" });
                fx.push(send("stop_agent", &payload));
            }
        }
    }

    /// A message has its end.
    fn settled(&mut self, outcome: Outcome) {
        if outcome != Outcome::Completed {
            self.failed.get_or_insert(outcome);
        }
        if self.runs.is_empty() && !self.takes_turns {
            self.was_interrupted = false;
        }
    }

    fn refuse(&mut self, why: &str, fx: &mut Vec<Effect>) {
        fault(why, fx);
        self.settled(Outcome::Refused);
    }
}

/// A frame that is sent once.
fn send(kind: &str, payload: &Value) -> Effect {
    Effect::Send(frame(&new_id(), kind, payload))
}

fn frame(id: &str, kind: &str, payload: &Value) -> String {
    json!({ "type": kind, "message_id": id, "payload": payload }).to_string()
}

fn new_id() -> String {
    Uuid::new_v4().to_string()
}

/// A text field; empty where there is none.
fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

fn note(text: &str, fx: &mut Vec<Effect>) {
    fx.push(Effect::Show(Show::Note(text.to_owned())));
}

fn fault(text: &str, fx: &mut Vec<Effect>) {
    fx.push(Effect::Show(Show::Fault(text.to_owned())));
}
