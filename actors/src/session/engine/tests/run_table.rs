//! The run table: every phase with every input.

use super::*;

/// Every input, in the order of the table's columns.
fn inputs() -> [RunInput; 13] {
    let failed = Outcome::Failed {
        code: "no_luck".to_owned(),
        message: "try again".to_owned(),
        retryable: true,
    };
    [
        RunInput::Begin,
        RunInput::Granted,
        RunInput::Refused,
        RunInput::Gone,
        RunInput::Stop(later()),
        RunInput::Emit,
        RunInput::Finished(Outcome::Said {
            usage: Usage::default(),
        }),
        RunInput::Finished(answered("42")),
        RunInput::Finished(failed),
        RunInput::Finished(Outcome::Panicked),
        RunInput::Finished(Outcome::Cancelled),
        RunInput::Finished(Outcome::Abandoned),
        RunInput::TimeUp,
    ]
}

/// Names every phase and every input: a new one stops this from compiling, and then belongs in the table.
fn place(phase: &RunPhase, input: &RunInput) -> (usize, usize) {
    let row = match phase {
        RunPhase::Queued => 0,
        RunPhase::Promoting => 1,
        RunPhase::Doomed(_) => 2,
        RunPhase::Running => 3,
        RunPhase::Cancelling(_) => 4,
    };
    let column = match input {
        RunInput::Begin => 0,
        RunInput::Granted => 1,
        RunInput::Refused => 2,
        RunInput::Gone => 3,
        RunInput::Stop(_) => 4,
        RunInput::Emit => 5,
        RunInput::Finished(Outcome::Said { .. }) => 6,
        RunInput::Finished(Outcome::Answered { .. }) => 7,
        RunInput::Finished(Outcome::Failed { .. }) => 8,
        RunInput::Finished(Outcome::Panicked) => 9,
        RunInput::Finished(Outcome::Cancelled) => 10,
        RunInput::Finished(Outcome::Abandoned) => 11,
        RunInput::TimeUp => 12,
    };
    (row, column)
}

/// The stop that comes in the table.
fn later() -> Stop {
    by_user()
}

/// The stop that had come before, where a phase holds one.
fn earlier() -> Stop {
    replaced(true)
}

#[test]
fn every_phase_answers_every_input_as_the_table_says() {
    use RunStep::{Ask, Cancel, Doom, End, Impossible, Nothing, Start, Take, Wait};
    let stopped = || End(Ending::Stopped(earlier()));
    let first_end = || End(Ending::Died(DeathCause::Budget));
    let usage = Usage::default();
    let gave_up = Ending::Failed {
        code: "agent_gave_up".to_owned(),
        message: "the agent ended without an answer; send the message again".to_owned(),
        retryable: true,
    };
    let no_luck = Ending::Failed {
        code: "no_luck".to_owned(),
        message: "try again".to_owned(),
        retryable: true,
    };
    #[rustfmt::skip]
    let table: [(RunPhase, [RunStep; 13]); 5] = [
        // Begin, Granted, Refused, Gone, Stop, Emit; then Finished: Said, Answered, Failed, Panicked, Cancelled, Abandoned; TimeUp
        (RunPhase::Queued, [
            Ask, Impossible, Impossible, Impossible, End(Ending::Stopped(later())), Impossible,
            Impossible, Impossible, Impossible, Impossible, Impossible, Impossible, Impossible,
        ]),
        (RunPhase::Promoting, [
            Impossible, Start, Wait, End(Ending::Stopped(thread_deleted())), Doom(Ending::Stopped(later())), Impossible,
            Impossible, Impossible, Impossible, Impossible, Impossible, Impossible, Impossible,
        ]),
        (RunPhase::Doomed(Ending::Stopped(earlier())), [
            Impossible, stopped(), stopped(), stopped(), Nothing, Impossible,
            Impossible, Impossible, Impossible, Impossible, Impossible, Impossible, Impossible,
        ]),
        (RunPhase::Running, [
            Impossible, Impossible, Impossible, Impossible, Cancel(Ending::Stopped(later())), Take,
            End(Ending::Completed(None, usage)), End(Ending::Completed(Some("42".to_owned()), usage)), End(no_luck),
            End(Ending::Died(DeathCause::Panic)), End(gave_up), End(Ending::Stopped(Stop::by_parent())),
            Cancel(Ending::Died(DeathCause::Timeout)),
        ]),
        (RunPhase::Cancelling(Ending::Died(DeathCause::Budget)), [
            Impossible, Impossible, Impossible, Impossible, Nothing, Nothing,
            first_end(), first_end(), first_end(), first_end(), first_end(), first_end(), Nothing,
        ]),
    ];
    for (row, (phase, steps)) in table.iter().enumerate() {
        for (column, (input, expected)) in inputs().iter().zip(steps).enumerate() {
            assert_eq!(place(phase, input), (row, column), "the table is in order");
            assert_eq!(step(phase, input), *expected, "{phase:?} with {input:?}");
        }
    }
}

#[test]
fn what_a_runs_phase_does_not_allow_is_a_violation_and_ends_the_run() {
    let impossible = Effect::Violation("an input that the run's phase does not allow");
    let mut bench = Bench::new();
    bench.start(1).queue(2).queue(3).queue(4);
    assert_eq!(bench.give(granted(1)), [impossible.clone(), Effect::Cancel(run(1))]);
    assert_eq!(
        bench.give(granted(1)),
        std::slice::from_ref(&impossible),
        "it ends already"
    );
    assert_eq!(
        bench.give(finished(2, Outcome::Panicked)),
        [impossible.clone(), violator(2)]
    );
    assert_eq!(
        bench.give(said(3, "too early")),
        [Effect::Violation("text of a run that has not begun"), violator(3)]
    );
    assert_eq!(bench.give(finished(1, answered(""))), [violator(1), promote(4)]);
    let event = tool_executing(1);
    assert_eq!(
        bench.give(Input::Emitted { run: run(4), event }),
        [Effect::Violation("an event of a run that has not begun")],
        "it ends when the store has answered"
    );
    assert_eq!(bench.give(granted(4)), [violator(4)]);
    assert!(bench.engine.is_idle());
}

#[test]
fn what_is_told_of_a_run_that_has_ended_is_dropped() {
    let mut bench = Bench::new();
    bench.start(1);
    assert_eq!(bench.give(finished(1, answered(""))), [completed_empty(1)]);
    let event = tool_executing(1);
    assert_eq!(bench.give(Input::Emitted { run: run(1), event }), []);
    assert_eq!(bench.give(said(1, "late")), []);
    assert_eq!(bench.give(finished(1, Outcome::Panicked)), []);
    assert_eq!(bench.give(granted(1)), []);
    assert!(bench.engine.is_idle());
}
