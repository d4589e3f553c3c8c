//! What a run tells: text that is gathered, tool calls that come in pairs, an answer that fits what was said.

use super::*;

const HELLO_SHA256: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

#[test]
fn the_first_words_are_told_at_once_and_what_follows_is_gathered_for_fifty_milliseconds() {
    let mut bench = Bench::new();
    bench.start(1);
    let first = bench.now.mono;
    assert_eq!(bench.give(said(1, "he")), [piece(1, 0, "he", false)]);
    let due = [Effect::FlushAt(first + Duration::from_millis(50))];
    assert_eq!(bench.pass_ms(10).give(said(1, "l")), due);
    assert_eq!(bench.pass_ms(30).give(said(1, "l")), due);
    assert_eq!(bench.pass_ms(10).give(Input::FlushDue), [piece(1, 2, "ll", false)]);
    assert_eq!(bench.give(Input::FlushDue), [], "nothing is told twice");
}

#[test]
fn a_flush_that_comes_too_early_asks_for_another() {
    let mut bench = Bench::new();
    bench.start(1);
    let first = bench.now.mono;
    bench.give(said(1, "he"));
    bench.give(said(1, "llo"));
    let due = Effect::FlushAt(first + Duration::from_millis(50));
    assert_eq!(bench.pass_ms(49).give(Input::FlushDue), [due]);
}

#[test]
fn words_that_come_after_a_silence_are_told_at_once() {
    let mut bench = Bench::new();
    bench.start(1).say_first(1, "he");
    assert_eq!(bench.pass_ms(50).give(said(1, "llo")), [piece(1, 2, "llo", false)]);
}

#[test]
fn a_kibibyte_of_text_waits_for_no_time_and_offsets_count_bytes() {
    let mut bench = Bench::new();
    bench.start(1).say_first(1, "ä");
    let (most, rest) = ("ö".repeat(511), "!!");
    let effects = bench.give(said(1, &most));
    assert!(matches!(effects[..], [Effect::FlushAt(_)]), "1022 bytes are gathered");
    assert_eq!(
        bench.give(said(1, rest)),
        [piece(1, 2, &format!("{most}{rest}"), false)],
        "1024 are not"
    );
}

#[test]
fn what_was_gathered_is_told_before_the_event_that_follows_it() {
    let mut bench = Bench::new();
    bench.start(1).say_first(1, "he");
    bench.give(said(1, "llo"));
    let event = tool_executing(1);
    assert_eq!(
        bench.give(Input::Emitted {
            run: run(1),
            event: event.clone()
        }),
        [piece(1, 2, "llo", false), emit(1, event)]
    );
}

#[test]
fn an_answer_that_was_said_is_completed_by_its_last_piece() {
    let mut bench = Bench::new();
    bench.start(1).say_first(1, "he");
    bench.give(said(1, "llo"));
    let outcome = Outcome::Said {
        usage: Usage::default(),
    };
    assert_eq!(
        bench.pass_ms(8).give(finished(1, outcome)),
        [piece(1, 2, "llo", true), completed(1, "hello", HELLO_SHA256, 8)]
    );
}

#[test]
fn an_answer_whose_words_have_all_been_told_is_completed_by_an_empty_piece() {
    let mut bench = Bench::new();
    bench.start(1).say_first(1, "hello");
    let outcome = Outcome::Said {
        usage: Usage::default(),
    };
    assert_eq!(
        bench.give(finished(1, outcome)),
        [piece(1, 5, "", true), completed(1, "hello", HELLO_SHA256, 0)]
    );
}

#[test]
fn an_answer_that_goes_on_where_the_text_stands_is_told_as_its_rest() {
    let mut bench = Bench::new();
    bench.start(1).say_first(1, "he");
    assert_eq!(
        bench.give(finished(1, answered("hello"))),
        [piece(1, 2, "llo", true), completed(1, "hello", HELLO_SHA256, 0)]
    );
}

#[test]
fn an_answer_that_replaces_the_text_stands_in_the_end_alone() {
    let mut bench = Bench::new();
    bench.start(1).say_first(1, "well");
    assert_eq!(
        bench.give(finished(1, answered("hello"))),
        [piece(1, 4, "", true), completed(1, "hello", HELLO_SHA256, 0)]
    );
}

#[test]
fn the_text_of_a_run_that_did_not_complete_is_kept_as_partial_and_never_called_complete() {
    let mut bench = Bench::new();
    bench.start(1).say_first(1, "he");
    bench.give(said(1, "llo"));
    let outcome = Outcome::Failed {
        code: "no_luck".to_owned(),
        message: "try again".to_owned(),
        retryable: false,
    };
    assert_eq!(
        bench.give(finished(1, outcome)),
        [
            piece(1, 2, "llo", false),
            failed(1, "no_luck", "try again", false, Some("hello"))
        ]
    );
}

#[test]
fn a_run_that_was_stopped_is_not_listened_to() {
    let mut bench = Bench::new();
    bench.start(1);
    assert!(bench.engine.listens_to(run(1)));
    bench.give(stop_frame(2, None));
    assert!(!bench.engine.listens_to(run(1)));
    assert_eq!(bench.give(said(1, "but")), []);
    let event = tool_executing(1);
    assert_eq!(bench.give(Input::Emitted { run: run(1), event }), []);
    assert_eq!(bench.give(finished(1, answered("but"))), [stopped(1, &by_user())]);
}

#[test]
fn open_tool_calls_are_cancelled_in_order_before_their_runs_end() {
    let mut bench = Bench::new();
    bench
        .start(1)
        .open_call(1, 1)
        .open_call(1, 2)
        .pass_ms(5)
        .open_call(1, 3);
    let event = tool_completed(2);
    assert_eq!(
        bench.give(Input::Emitted {
            run: run(1),
            event: event.clone()
        }),
        [emit(1, event)]
    );
    assert_eq!(
        bench.pass_ms(7).give(finished(1, Outcome::Panicked)),
        [
            emit(1, tool_cancelled(1, 12)),
            emit(1, tool_cancelled(3, 7)),
            died(1, DeathCause::Panic, "a crash ended the run; send the message again"),
        ]
    );
}

#[test]
fn the_end_of_a_call_that_is_not_open_is_a_violation_and_ends_the_run() {
    let mut bench = Bench::new();
    bench.start(1);
    let event = tool_completed(1);
    assert_eq!(
        bench.give(Input::Emitted { run: run(1), event }),
        [
            Effect::Violation("the end of a tool call that is not open"),
            Effect::Cancel(run(1))
        ]
    );
    assert_eq!(bench.give(finished(1, Outcome::Cancelled)), [violator(1)]);
}

#[test]
fn a_call_that_begins_twice_is_a_violation_and_ends_once() {
    let mut bench = Bench::new();
    bench.start(1).open_call(1, 1);
    let event = tool_executing(1);
    assert_eq!(
        bench.give(Input::Emitted { run: run(1), event }),
        [
            Effect::Violation("a tool call that is open already, or one too many"),
            Effect::Cancel(run(1))
        ]
    );
    assert_eq!(
        bench.give(finished(1, Outcome::Cancelled)),
        [emit(1, tool_cancelled(1, 0)), violator(1)]
    );
}

#[test]
fn one_call_more_than_a_run_may_have_open_is_a_violation() {
    let mut bench = Bench::new();
    bench.start(1);
    for number in 0..1_024 {
        bench.open_call(1, number);
    }
    let event = tool_executing(1_024);
    let effects = bench.give(Input::Emitted { run: run(1), event });
    assert!(
        matches!(effects[..], [Effect::Violation(_), Effect::Cancel(_)]),
        "{effects:?}"
    );
}

#[test]
fn an_end_that_a_run_tells_by_itself_is_a_violation_and_ends_the_run() {
    let mut bench = Bench::new();
    bench.start(1);
    let event = Event::AgentDeath {
        death_cause: DeathCause::Budget,
        message: "I am done".to_owned(),
        recovery_action: "none".to_owned(),
    };
    assert_eq!(
        bench.give(Input::Emitted { run: run(1), event }),
        [
            Effect::Violation("an end that is not the engine's"),
            Effect::Cancel(run(1))
        ]
    );
    assert_eq!(bench.give(finished(1, answered("42"))), [violator(1)]);
}

#[test]
fn text_beyond_the_answers_bound_ends_the_run_as_an_error_with_what_was_said() {
    let mut bench = Bench::with(|limits| limits.result_bytes = 5);
    bench.start(1).say_first(1, "hello");
    assert_eq!(bench.give(said(1, "!")), [Effect::Cancel(run(1))]);
    let text = "the answer grew beyond 5 bytes; ask for less at once";
    assert_eq!(
        bench.give(finished(1, Outcome::Cancelled)),
        [failed(1, "result_too_large", text, false, Some("hello"))]
    );
}

#[test]
fn an_answer_beyond_its_bound_ends_the_run_as_an_error() {
    let mut bench = Bench::with(|limits| limits.result_bytes = 5);
    bench.start(1);
    let text = "the answer grew beyond 5 bytes; ask for less at once";
    assert_eq!(
        bench.give(finished(1, answered("hello!"))),
        [failed(1, "result_too_large", text, false, None)]
    );
}
