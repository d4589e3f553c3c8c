//! The engine, as tables: `input -> exact effects`. The bench below numbers every id, so that a row reads as a story:
//! frame 3 asks by message 3 for run 3.

mod messages;
mod op_table;
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
use crate::infra::journal::{Accept, Idempotency, Said};
use crate::protocol::client::{ClientFrame, OnBusy, Say, ThreadTarget};
use crate::protocol::server::{AcceptStatus, DeathCause, ErrorContext, ToolStatus, Usage};

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

fn reply(control: Control) -> Effect {
    Effect::Reply(control)
}

fn accepted(number: u64, status: AcceptStatus) -> Control {
    accepted_in(thread(HOME), number, status)
}

fn accepted_in(thread_id: ThreadId, number: u64, status: AcceptStatus) -> Control {
    Control::MessageAccepted {
        message_id: message(number),
        thread_id,
        run_id: run(number),
        status,
        run_state: if status == AcceptStatus::Started {
            RunState::Running
        } else {
            RunState::Queued
        },
    }
}

/// A refusal of frame `number`.
fn refused(number: u64, code: ErrorCode, text: &str) -> ErrorFrame {
    ErrorFrame {
        code,
        message: text.to_owned(),
        reply_to: Some(message(number).to_string()),
        retryable: false,
        retry_after_ms: None,
        details: None,
    }
}

fn refuse(number: u64, code: ErrorCode, text: &str) -> Effect {
    reply(Control::Error(refused(number, code, text)))
}

fn refuse_retryable(number: u64, code: ErrorCode, text: &str) -> Effect {
    reply(Control::Error(ErrorFrame {
        retryable: true,
        ..refused(number, code, text)
    }))
}

fn busy_here(number: u64, holder: u64) -> Effect {
    reply(Control::Error(ErrorFrame {
        retryable: true,
        details: Some(json!({ "run_id": run(holder), "elsewhere": false })),
        ..refused(
            number,
            ErrorCode::RunActive,
            "a run is active in this thread; wait for it, stop it, or send with another on_busy",
        )
    }))
}

fn busy_there(number: u64, holder: Option<RunId>) -> Effect {
    reply(Control::Error(ErrorFrame {
        retryable: true,
        details: Some(json!({ "run_id": holder, "elsewhere": true })),
        ..refused(
            number,
            ErrorCode::RunActive,
            "a run is active in this thread in another session of yours; stop it there, or send with on_busy interrupt",
        )
    }))
}

fn stop_accepted(number: u64, run_ids: Vec<RunId>) -> Effect {
    reply(Control::StopAccepted {
        message_id: Some(message(number)),
        run_ids,
    })
}

fn idempotency(number: u64, command: &Command) -> Idempotency {
    Idempotency {
        message_id: message(number),
        digest: command.digest(),
    }
}

/// What the store is asked for a message to the current thread.
fn accept(number: u64, start: bool) -> Effect {
    Effect::Store(StoreCommand::Accept(Accept {
        // What to do where the thread is busy is no part of what is asked.
        idempotency: idempotency(number, &Command::Say(words(OnBusy::Enqueue))),
        thread_id: thread(HOME),
        create_thread: Some("hello".to_owned()),
        run_id: run(number),
        request_id: request(number),
        agent: "echo".to_owned(),
        content: "hello".to_owned(),
        metadata: None,
        start,
    }))
}

fn emission(number: u64, event: Event, end: Option<RunEnd>) -> Effect {
    Effect::Emit(Box::new(Emission {
        run: run(number),
        thread: thread(HOME),
        agent: "echo".into(),
        event,
        end,
    }))
}

fn emit(number: u64, event: Event) -> Effect {
    emission(number, event, None)
}

fn piece(number: u64, offset: u64, content: &str, is_complete: bool) -> Effect {
    emit(
        number,
        Event::PartialResult {
            message_ref: answer(number),
            offset,
            content: content.to_owned(),
            is_complete,
        },
    )
}

fn tool_executing(number: u64) -> Event {
    Event::ToolExecuting {
        call_id: call(number),
        tool_name: "search".to_owned(),
        parameters: json!({}),
    }
}

fn tool_completed(number: u64) -> Event {
    Event::ToolCompleted {
        call_id: call(number),
        tool_name: "search".to_owned(),
        status: ToolStatus::Ok,
        result: json!("found"),
        truncated: false,
        execution_time_ms: 7,
    }
}

fn tool_cancelled(number: u64, execution_time_ms: u64) -> Event {
    Event::ToolCompleted {
        call_id: call(number),
        tool_name: "search".to_owned(),
        status: ToolStatus::Cancelled,
        result: json!("the run ended first"),
        truncated: false,
        execution_time_ms,
    }
}

fn promote(number: u64) -> Effect {
    Effect::Promote {
        run: run(number),
        thread: thread(HOME),
    }
}

/// What a run's beginning is made of.
fn begins(number: u64) -> Vec<Effect> {
    begins_in(thread(HOME), number)
}

fn begins_in(thread: ThreadId, number: u64) -> Vec<Effect> {
    vec![
        Effect::Emit(Box::new(Emission {
            run: run(number),
            thread,
            agent: "echo".into(),
            event: Event::AgentStarted {
                status: "started",
                message: "echo is working on it".to_owned(),
                message_id: message(number),
                parent_run_id: None,
            },
            end: None,
        })),
        Effect::Began {
            thread,
            run: run(number),
        },
        Effect::Start(Box::new(StartRun {
            run: run(number),
            thread,
            request: request(number),
            message_id: message(number),
            agent: "echo".into(),
            content: "hello".to_owned(),
            metadata: None,
        })),
    ]
}

/// The end of a run of which nothing was said.
fn stopped(number: u64, stop: &Stop) -> Effect {
    emission(
        number,
        Event::AgentStopped {
            stopped_by: stop.by,
            reason: stop.reason.clone(),
            partial: None,
            discarded_message_ids: if stop.forget { vec![message(number)] } else { Vec::new() },
        },
        Some(RunEnd {
            state: RunState::Stopped,
            message: None,
            forget: stop.forget,
        }),
    )
}

/// The end of a run that has an answer.
fn completed(number: u64, text: &str, sha256: &str, execution_time_ms: u64) -> Effect {
    emission(
        number,
        Event::AgentCompleted {
            status: "completed",
            result: text.to_owned(),
            message_ref: answer(number),
            result_sha256: sha256.to_owned(),
            execution_time_ms,
            usage: Usage::default(),
        },
        Some(RunEnd {
            state: RunState::Completed,
            message: Some(Said {
                message_ref: answer(number),
                content: text.to_owned(),
                complete: true,
            }),
            forget: false,
        }),
    )
}

/// The end of a run that has the answer "" after no time.
fn completed_empty(number: u64) -> Effect {
    const OF_NOTHING: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    completed(number, "", OF_NOTHING, 0)
}

fn failed(number: u64, code: &str, text: &str, retryable: bool, partial: Option<&str>) -> Effect {
    emission(
        number,
        Event::AgentError {
            code: code.to_owned(),
            error_message: text.to_owned(),
            error_context: ErrorContext {
                agent_step: "echo".to_owned(),
                retryable,
                user_facing: true,
            },
            partial: partial.map(str::to_owned),
        },
        Some(RunEnd {
            state: RunState::Failed,
            message: partial.map(|partial| Said {
                message_ref: answer(number),
                content: partial.to_owned(),
                complete: false,
            }),
            forget: false,
        }),
    )
}

fn died(number: u64, cause: DeathCause, text: &str) -> Effect {
    emission(
        number,
        Event::AgentDeath {
            death_cause: cause,
            message: text.to_owned(),
            recovery_action: "send_again".to_owned(),
        },
        Some(RunEnd {
            state: RunState::Died,
            message: None,
            forget: false,
        }),
    )
}
