//! The engine, as tables: `input -> exact effects`. The bench below numbers every id, so that a row reads as a story:
//! frame 3 asks by message 3 for run 3.

mod children;
mod expected;
mod messages;
mod op_table;
mod people;
mod properties;
mod run_table;
mod session;
mod text;
mod threads;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::ids::{RequestId, Seq, SessionId};
use crate::infra::journal::{Accept, Idempotency, RunEnd, Said, StoreCommand, StoreReply};
use crate::limits::Limits;
use crate::protocol::client::{ClientFrame, OnBusy, Page, Say, ThreadTarget};
use crate::protocol::server::{AcceptStatus, ApprovalDecision, DeathCause, ErrorContext, RunState, ToolStatus, Usage};
use expected::*;

/// The thread that a session of a test is born with.
const HOME: u64 = 0;

/// Makes an id of any kind from a number that tests can read back.
fn id<T: TryFrom<Uuid, Error = crate::ids::IdError>>(kind: u64, number: u64) -> T {
    T::try_from(Uuid::from_u64_pair(kind, number + 1)).expect("neither nil nor all ones")
}

fn thread(number: u64) -> ThreadId {
    id(1, number)
}

fn run(number: u64) -> RunId {
    id(2, number)
}

fn message(number: u64) -> MessageId {
    id(3, number)
}

fn answer(number: u64) -> MessageId {
    id(4, number)
}

fn request(number: u64) -> RequestId {
    id(5, number)
}

fn call(number: u64) -> CallId {
    id(6, number)
}

fn session(number: u64) -> SessionId {
    id(7, number)
}

/// The thread that frame `number` may make.
fn fresh_thread(number: u64) -> ThreadId {
    thread(100 + number)
}

fn fresh(number: u64) -> Fresh {
    Fresh {
        thread: fresh_thread(number),
        run: run(number),
        request: request(number),
        message: message(1_000 + number),
        answer: answer(number),
    }
}

/// A frame of the client, under message id `number`.
fn frame(number: u64, command: Command) -> Input {
    Input::Frame(Box::new(Arrived {
        frame: ClientFrame {
            message_id: Some(message(number)),
            thread_id: None,
            command,
        },
        fresh: fresh(number),
    }))
}

fn words(on_busy: OnBusy) -> Say {
    Say {
        content: "hello".to_owned(),
        agent: None,
        thread: ThreadTarget::Current,
        references: Vec::new(),
        metadata: None,
        on_busy,
    }
}

/// A message to the current thread.
fn say(number: u64, on_busy: OnBusy) -> Input {
    frame(number, Command::Say(words(on_busy)))
}

fn stop_frame(number: u64, run_id: Option<RunId>) -> Input {
    frame(number, Command::Stop { run_id, reason: None })
}

fn done(name: &str) -> StoreReply {
    StoreReply::Done { name: name.to_owned() }
}

fn finished(number: u64, outcome: Outcome) -> Input {
    Input::Finished {
        run: run(number),
        outcome,
    }
}

fn said(number: u64, text: &str) -> Input {
    Input::Said {
        run: run(number),
        text: text.to_owned(),
    }
}

fn answered(text: &str) -> Outcome {
    Outcome::Answered {
        text: text.to_owned(),
        usage: Usage::default(),
    }
}

fn granted(number: u64) -> Input {
    Input::Promoted {
        run: run(number),
        reply: done(""),
    }
}

/// The thread is held by run 77 of session 9: another one of the same user.
fn busy_elsewhere() -> StoreReply {
    StoreReply::ThreadBusy {
        run_id: run(77),
        session_id: session(9),
    }
}

fn by_user() -> Stop {
    Stop {
        by: StoppedBy::User,
        reason: "stopped by the user".to_owned(),
        forget: false,
    }
}

fn replaced(forget: bool) -> Stop {
    Stop {
        by: StoppedBy::Replaced,
        reason: "another message took its place".to_owned(),
        forget,
    }
}

fn thread_deleted() -> Stop {
    Stop {
        by: StoppedBy::ThreadDeleted,
        reason: "its thread was deleted".to_owned(),
        forget: false,
    }
}

/// A session's engine with a clock of its own.
struct Bench {
    engine: Engine,
    now: Now,
}

impl Bench {
    fn new() -> Self {
        Self::with(|_| ())
    }

    fn with(change: impl FnOnce(&mut Limits)) -> Self {
        let mut limits = Limits::default();
        change(&mut limits);
        let rules = Rules {
            limits,
            default_agent: "echo".into(),
            agents: ["echo".to_owned(), "poet".to_owned()].into(),
            steerable: ["echo".to_owned()].into(),
        };
        let now = Now {
            mono: tokio::time::Instant::now().into_std(),
            wall: SystemTime::UNIX_EPOCH,
        };
        let mut bench = Self {
            engine: Engine::new(Arc::new(rules), thread(HOME), now),
            now,
        };
        assert_eq!(bench.give(Input::Attached), []);
        bench
    }

    fn give(&mut self, input: Input) -> Vec<Effect> {
        self.engine.handle(input, self.now)
    }

    fn pass(&mut self, time: Duration) -> &mut Self {
        self.now.mono += time;
        self
    }

    fn pass_ms(&mut self, millis: u64) -> &mut Self {
        self.pass(Duration::from_millis(millis))
    }

    /// Gives a frame whose rate is fine and which the store answers like this; returns what follows from the answer.
    fn settle(&mut self, frame: Input, reply: StoreReply) -> Vec<Effect> {
        assert_eq!(self.give(frame), [Effect::Grant, Effect::Rate]);
        let asked = self.give(Input::Rated(Rating::Within));
        assert!(matches!(asked[..], [Effect::Store(_)]), "the store is asked: {asked:?}");
        self.give(Input::Stored(reply))
    }

    /// Starts run `number` in the current thread, which is free.
    fn start(&mut self, number: u64) -> &mut Self {
        let effects = self.settle(say(number, OnBusy::Enqueue), done(""));
        assert!(
            matches!(effects[..], [.., Effect::Start(_)]),
            "the run starts: {effects:?}"
        );
        self
    }

    /// Queues run `number` behind the one that holds the current thread.
    fn queue(&mut self, number: u64) -> &mut Self {
        let effects = self.settle(say(number, OnBusy::Enqueue), done(""));
        assert_eq!(effects, [reply(accepted(number, AcceptStatus::Queued))]);
        self
    }

    /// Run `number` says `text`, which is told at once, as a run's first words are.
    fn say_first(&mut self, number: u64, text: &str) -> &mut Self {
        assert_eq!(self.give(said(number, text)), [piece(number, 0, text, false)]);
        self
    }

    fn open_call(&mut self, number: u64, call_number: u64) -> &mut Self {
        let opening = tool_executing(call_number);
        let effects = self.give(Input::Emitted {
            run: run(number),
            event: opening.clone(),
        });
        assert_eq!(effects, [emit(number, opening)]);
        self
    }
}
