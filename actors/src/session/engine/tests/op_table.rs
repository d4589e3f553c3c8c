//! The table of the current operation: every stage with everything that may come while it stands there.

use super::*;
use crate::budgets::{Kind, Scope, Spent, Totals};

/// Where the current operation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// There is none.
    None,
    /// A message waits for the supervisor.
    Rating,
    /// A deletion waits until run 1 of its thread has ended.
    Emptying,
    /// A message waits for the store.
    Storing,
    /// A message waits until another session yields the thread.
    Yielding,
}

/// What comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comes {
    Within,
    Beyond,
    Done,
    Duplicate,
    Conflict,
    ThreadBusy,
    RunLimit,
    NotFound,
    NoDocument,
    BudgetExhausted,
    Charged,
    /// Nine seconds have passed.
    TickBefore,
    /// Ten seconds have passed: the time that a yield may take.
    TickAfter,
    EndedThere,
    EndedElsewhere,
    BeganThere,
    StopFrame,
}

const STAGES: [At; 5] = [At::None, At::Rating, At::Emptying, At::Storing, At::Yielding];

const COMES: [Comes; 17] = [
    Comes::Within,
    Comes::Beyond,
    Comes::Done,
    Comes::Duplicate,
    Comes::Conflict,
    Comes::ThreadBusy,
    Comes::RunLimit,
    Comes::NotFound,
    Comes::NoDocument,
    Comes::BudgetExhausted,
    Comes::Charged,
    Comes::TickBefore,
    Comes::TickAfter,
    Comes::EndedThere,
    Comes::EndedElsewhere,
    Comes::BeganThere,
    Comes::StopFrame,
];

/// An engine in which the operation of frame 2 stands there.
fn bench_at(stage: At) -> Bench {
    let mut bench = Bench::new();
    match stage {
        At::None => {}
        At::Rating => {
            bench.give(say(2, OnBusy::Interrupt));
        }
        At::Emptying => {
            bench.start(1);
            bench.give(delete(2));
            assert_eq!(bench.give(Input::Rated(Rating::Within)), [Effect::Cancel(run(1))]);
        }
        At::Storing => {
            bench.give(say(2, OnBusy::Interrupt));
            assert_eq!(bench.give(Input::Rated(Rating::Within)), [accept(2, true)]);
        }
        At::Yielding => {
            assert_eq!(bench.settle(say(2, OnBusy::Interrupt), busy_elsewhere()), [ask_yield()]);
        }
    }
    bench
}

fn delete(number: u64) -> Input {
    let thread_id = thread(HOME);
    frame(number, Command::DeleteThread { thread_id })
}

fn ask_yield() -> Effect {
    Effect::AskYield {
        session: session(9),
        thread: thread(HOME),
        run: run(77),
        stop: replaced(false),
    }
}

fn input(comes: Comes) -> Input {
    match comes {
        Comes::Within => Input::Rated(Rating::Within),
        Comes::Beyond => Input::Rated(Rating::Beyond {
            retry_after: Duration::from_millis(200),
        }),
        Comes::Done => Input::Stored(done("")),
        Comes::Duplicate => Input::Stored(StoreReply::Duplicate {
            thread_id: thread(5),
            name: "old".to_owned(),
            run: Some((run(55), RunState::Completed)),
        }),
        Comes::Conflict => Input::Stored(StoreReply::Conflict),
        Comes::ThreadBusy => Input::Stored(busy_elsewhere()),
        Comes::RunLimit => Input::Stored(StoreReply::RunLimit),
        Comes::NotFound => Input::Stored(StoreReply::NotFound),
        Comes::NoDocument => Input::Stored(StoreReply::NoDocument),
        Comes::BudgetExhausted => Input::Stored(StoreReply::BudgetExhausted(Spent::of(
            Scope::User,
            (Kind::Tokens, 12, 10),
            Some(SystemTime::UNIX_EPOCH + Duration::from_secs(60)),
        ))),
        Comes::Charged => Input::Stored(StoreReply::Charged(Totals::default())),
        Comes::TickBefore | Comes::TickAfter => Input::Tick,
        Comes::EndedThere => changed(HOME, RunState::Stopped),
        Comes::EndedElsewhere => changed(5, RunState::Stopped),
        Comes::BeganThere => changed(HOME, RunState::Running),
        Comes::StopFrame => stop_frame(3, None),
    }
}

fn changed(number: u64, state: RunState) -> Input {
    Input::ThreadChanged {
        thread: thread(number),
        run: run(77),
        state,
    }
}

fn told(number: u64, state: RunState) -> Effect {
    reply(Control::ThreadChanged {
        thread_id: thread(number),
        run_id: run(77),
        state,
    })
}

fn rate_limited() -> Effect {
    reply(Control::Error(ErrorFrame {
        retryable: true,
        retry_after_ms: Some(200),
        ..refused(2, ErrorCode::RateLimited, "too many messages; slow down")
    }))
}

/// The table.
fn expected(stage: At, comes: Comes) -> Vec<Effect> {
    use {At as A, Comes as C};
    let stray_rating = vec![Effect::Violation("a rating that nothing asked for")];
    let stray_answer = vec![Effect::Violation("an answer of the store that nothing asked for")];
    match (stage, comes) {
        (A::None | A::Emptying | A::Storing | A::Yielding, C::Within | C::Beyond) => stray_rating,
        (A::Rating, C::Within) => vec![accept(2, true)],
        (A::Rating, C::Beyond) => vec![rate_limited()],

        (
            A::None | A::Rating | A::Emptying | A::Yielding,
            C::Done
            | C::Duplicate
            | C::Conflict
            | C::ThreadBusy
            | C::RunLimit
            | C::NotFound
            | C::NoDocument
            | C::BudgetExhausted
            | C::Charged,
        ) => stray_answer,
        (A::Storing, C::Done) => [vec![reply(accepted(2, AcceptStatus::Started))], begins(2)].concat(),
        (A::Storing, C::Duplicate) => vec![reply(Control::MessageAccepted {
            message_id: message(2),
            thread_id: thread(5),
            run_id: run(55),
            status: AcceptStatus::Duplicate,
            run_state: RunState::Completed,
        })],
        (A::Storing, C::Conflict) => vec![refuse(
            2,
            ErrorCode::Conflict,
            "this message_id was used for something else; use a new one",
        )],
        (A::Storing, C::ThreadBusy) => vec![ask_yield()],
        (A::Storing, C::RunLimit) => vec![refuse_retryable(
            2,
            ErrorCode::RunLimit,
            "3 runs are active already; wait for one to end",
        )],
        (A::Storing, C::NotFound) => vec![refuse(2, ErrorCode::NotFound, "no such thread")],
        (A::Storing, C::NoDocument) => vec![refuse(
            2,
            ErrorCode::NotFound,
            "no such document; upload it by POST /v1/documents and name the document_id of the answer",
        )],

        (A::Storing, C::BudgetExhausted) => vec![reply(Control::Error(ErrorFrame {
            retryable: true,
            retry_after_ms: Some(60_000),
            details: Some(json!({
                "budget": "user.tokens",
                "used": 12,
                "limit": 10,
                "resets_at": "1970-01-01T00:01:00.000Z",
            })),
            ..refused(
                2,
                ErrorCode::BudgetExhausted,
                "the budget user.tokens is used up, with 12 of 10 tokens; go on after 1970-01-01T00:01:00.000Z",
            )
        }))],
        (A::Storing, C::Charged) => vec![Effect::Violation("a count where an operation waits")],

        (A::None | A::Rating | A::Emptying | A::Storing, C::TickBefore | C::TickAfter) => vec![],
        (A::Yielding, C::TickBefore) => vec![accept(2, true)],
        (A::Yielding, C::TickAfter) => vec![busy_there(2, None)],

        (A::None | A::Rating | A::Emptying | A::Storing, C::EndedThere) => vec![told(HOME, RunState::Stopped)],
        (A::Yielding, C::EndedThere) => vec![told(HOME, RunState::Stopped), accept(2, true)],
        (A::None | A::Rating | A::Emptying | A::Storing | A::Yielding, C::EndedElsewhere) => {
            vec![told(5, RunState::Stopped)]
        }
        (A::None | A::Rating | A::Emptying | A::Storing | A::Yielding, C::BeganThere) => {
            vec![told(HOME, RunState::Running)]
        }

        (A::None, C::StopFrame) => vec![Effect::Grant, stop_accepted(3, vec![])],
        // It waits its turn: the frames before it come first.
        (A::Rating | A::Emptying | A::Storing, C::StopFrame) => vec![],
        (A::Yielding, C::StopFrame) => vec![busy_there(2, None), Effect::Grant, stop_accepted(3, vec![])],
    }
}

#[test]
fn every_stage_answers_everything_that_comes_as_the_table_says() {
    for stage in STAGES {
        for comes in COMES {
            let mut bench = bench_at(stage);
            match comes {
                Comes::TickBefore => bench.pass(Duration::from_secs(9)),
                Comes::TickAfter => bench.pass(Duration::from_secs(10)),
                _ => &mut bench,
            };
            let effects = bench.give(input(comes));
            assert_eq!(effects, expected(stage, comes), "{stage:?} with {comes:?}");
        }
    }
}

#[test]
fn a_stray_answer_leaves_the_operation_where_it_stands() {
    for (stage, stray, due, after) in [
        (At::Rating, Comes::Done, Comes::Within, vec![accept(2, true)]),
        (
            At::Storing,
            Comes::Within,
            Comes::NotFound,
            vec![refuse(2, ErrorCode::NotFound, "no such thread")],
        ),
        (At::Yielding, Comes::Done, Comes::TickBefore, vec![accept(2, true)]),
        (At::Emptying, Comes::Beyond, Comes::StopFrame, vec![]),
    ] {
        let mut bench = bench_at(stage);
        bench.give(input(stray));
        assert_eq!(bench.give(input(due)), after, "{stage:?} after {stray:?}");
    }
}

#[test]
fn a_message_asks_a_holder_again_until_its_time_is_over_and_then_gives_up() {
    let mut bench = bench_at(At::Yielding);
    // The holder does not yield; a tick comes every five seconds, as the shard's ticker does.
    bench.pass(Duration::from_secs(5));
    assert_eq!(bench.give(Input::Tick), [accept(2, true)]);
    assert_eq!(bench.give(Input::Stored(busy_elsewhere())), [ask_yield()]);
    bench.pass(Duration::from_secs(5));
    assert_eq!(bench.give(Input::Tick), [busy_there(2, None)]);
    assert!(bench.engine.is_idle());
}

#[test]
fn a_store_that_answers_after_a_yields_time_is_over_is_the_last_one_asked() {
    let mut bench = bench_at(At::Yielding);
    bench.pass(Duration::from_secs(9));
    assert_eq!(bench.give(Input::Tick), [accept(2, true)]);
    bench.pass(Duration::from_secs(1));
    assert_eq!(
        bench.give(Input::Stored(busy_elsewhere())),
        [busy_there(2, Some(run(77)))]
    );
}

#[test]
fn a_frame_that_waited_goes_on_when_the_operation_before_it_is_answered() {
    for stage in [At::Rating, At::Storing] {
        let mut bench = bench_at(stage);
        assert_eq!(bench.give(say(3, OnBusy::Enqueue)), []);
        let effects = match stage {
            At::Rating => bench.give(input(Comes::Beyond)),
            _ => bench.give(input(Comes::NotFound)),
        };
        assert_eq!(effects[1..], [Effect::Grant, Effect::Rate], "{stage:?}");
    }
}
