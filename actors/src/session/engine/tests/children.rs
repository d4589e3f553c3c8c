//! Child runs: what a run may begin, and how its children end before it does. Run 1 answers a message; the others are its
//! children and theirs.

use super::*;

fn child(parent: u64, number: u64) -> Input {
    child_of("echo", parent, number)
}

fn child_of(agent: &str, parent: u64, number: u64) -> Input {
    Input::Child(Box::new(NewChild {
        parent: run(parent),
        run: run(number),
        request: request(number),
        answer: answer(number),
        agent: agent.into(),
        content: "do this".to_owned(),
    }))
}

/// A session in which run 1 has begun children, each given with its parent.
fn family(children: &[(u64, u64)]) -> Bench {
    let mut bench = Bench::new();
    bench.start(1);
    for (parent, number) in children {
        let effects = bench.give(child(*parent, *number));
        assert!(
            matches!(effects[..], [Effect::Emit(_), Effect::Start(_)]),
            "the child starts: {effects:?}"
        );
    }
    bench
}

fn told(run_number: u64, state: RunState, result: Option<&str>, error: Option<(&str, &str, bool)>) -> Effect {
    Effect::ChildEnded(Box::new(ChildReport {
        run: run(run_number),
        state,
        result: result.map(str::to_owned),
        error: error.map(|(code, message, retryable)| ChildError {
            code: code.to_owned(),
            message: message.to_owned(),
            retryable,
        }),
    }))
}

/// A child's end leaves nothing in the rows.
fn childs(end: Effect) -> Effect {
    let Effect::Emit(mut emission) = end else {
        panic!("an end is told");
    };
    let end = emission.end.as_mut().expect("an end");
    (end.child, end.message, end.forget) = (true, None, false);
    Effect::Emit(emission)
}

/// A child of which nothing was said is stopped, at once.
fn stopped_at_once(number: u64, stop: &Stop) -> [Effect; 3] {
    [
        childs(stopped(number, stop)),
        told(number, RunState::Stopped, None, Some(("stopped", &stop.reason, false))),
        Effect::Cancel(run(number)),
    ]
}

fn by_parent() -> Stop {
    Stop {
        by: StoppedBy::Parent,
        reason: "the run that began it no longer waits for it".to_owned(),
        forget: false,
    }
}

fn timed_out(number: u64) -> Effect {
    died(
        number,
        DeathCause::Timeout,
        "the run took longer than it may; ask for less at once",
    )
}

#[test]
fn a_child_begins_in_its_parents_thread_and_no_other_session_is_told() {
    let mut bench = Bench::new();
    bench.start(1);
    let started = Event::AgentStarted {
        status: "started",
        message: "echo is working on it".to_owned(),
        message_id: message(1),
        parent_run_id: Some(run(2_001)),
    };
    let parent = NewChild {
        parent: run(1),
        run: run(2_001),
        request: request(2_001),
        answer: answer(2_001),
        agent: "echo".into(),
        content: "do this".to_owned(),
    };
    bench.give(Input::Child(Box::new(parent)));
    let start = StartRun {
        run: run(2),
        thread: thread(HOME),
        request: request(2),
        message_id: message(1),
        agent: "echo".into(),
        content: "do this".to_owned(),
        references: Vec::new(),
        metadata: None,
        parent: Some(run(2_001)),
    };
    assert_eq!(
        bench.give(child(2_001, 2)),
        [emit(2, started), Effect::Start(Box::new(start))],
        "also a child of a child"
    );
}

#[test]
fn a_childs_words_are_its_parents_and_no_message_of_the_thread() {
    let mut bench = family(&[(1, 2)]);
    bench.say_first(2, "42");
    assert_eq!(
        bench.give(finished(2, answered("42"))),
        [
            piece(2, 2, "", true),
            childs(completed(
                2,
                "42",
                "73475cb40a568e8da8a045ced110137e159f890ac4da883b6b17dc651b3a8049",
                0
            )),
            told(2, RunState::Completed, Some("42"), None),
        ]
    );
    assert_eq!(bench.give(finished(1, answered(""))), [completed_empty(1)]);
    assert!(bench.engine.is_idle());
}

#[test]
fn a_child_that_fails_or_panics_is_told_to_its_parent_which_goes_on() {
    let mut bench = family(&[(1, 2), (1, 3)]);
    let outcome = Outcome::Failed {
        code: "no_luck".to_owned(),
        message: "try again".to_owned(),
        retryable: true,
    };
    assert_eq!(
        bench.give(finished(2, outcome)),
        [
            childs(failed(2, "no_luck", "try again", true, None)),
            told(2, RunState::Failed, None, Some(("no_luck", "try again", true))),
        ]
    );
    let crash = "a crash ended the run; send the message again";
    assert_eq!(
        bench.give(finished(3, Outcome::Panicked)),
        [
            childs(died(3, DeathCause::Panic, crash)),
            told(3, RunState::Died, None, Some(("panic", crash, true))),
        ]
    );
    bench.say_first(1, "still here");
}

#[test]
fn a_child_that_may_not_begin_is_told_why_and_is_never_heard_of() {
    let refused = |number, code, message: &str, retryable| {
        [told(number, RunState::Failed, None, Some((code, message, retryable)))]
    };
    let mut bench = Bench::with(|limits| (limits.children_at_once, limits.children_per_run) = (2, 3));
    bench.start(1);
    assert_eq!(
        bench.give(child_of("nobody", 1, 2)),
        refused(
            2,
            "no_such_agent",
            "there is no agent nobody; GET /v1/agents lists them",
            false
        )
    );
    bench.give(child(1, 3));
    bench.give(child(1, 4));
    assert_eq!(
        bench.give(child(1, 5)),
        refused(
            5,
            "too_many_children",
            "a run has at most 2 child runs at once; wait for one to end",
            true
        )
    );
    // The third in all is a child of a child; what has ended counts too.
    bench.give(child(4, 6));
    bench.give(finished(3, answered("")));
    let many = "a run begins at most 3 child runs, those of its children included; begin fewer";
    assert_eq!(bench.give(child(1, 7)), refused(7, "too_many_children", many, false));
    assert_eq!(bench.give(child(4, 8)), refused(8, "too_many_children", many, false));
    assert_eq!(bench.give(said(7, "never began")), []);
}

#[test]
fn children_nest_as_deep_as_leaves_them_their_tools() {
    let line: Vec<(u64, u64)> = (1..u64::from(crate::context::MAX_DEPTH))
        .map(|number| (number, number + 1))
        .collect();
    let mut bench = family(&line);
    let effects = bench.give(child(10, 11));
    let [Effect::ChildEnded(report)] = &effects[..] else {
        panic!("it is refused: {effects:?}");
    };
    assert_eq!(report.error.as_ref().map(|error| error.code.as_str()), Some("too_deep"));
}

#[test]
fn a_run_that_is_stopped_or_over_begins_nothing() {
    let mut bench = Bench::new();
    bench.start(1);
    bench.give(stop_frame(2, None));
    assert_eq!(bench.give(child(1, 3)), []);
    bench.give(finished(1, Outcome::Cancelled));
    assert_eq!(bench.give(child(1, 3)), []);
    assert!(bench.engine.is_idle());
}

#[test]
fn a_stop_ends_the_children_at_once_the_deepest_first_and_then_their_parent() {
    let mut bench = family(&[(1, 2), (2, 3), (1, 4)]);
    bench.say_first(3, "half").open_call(3, 1).say_first(1, "so far");
    let partial = Event::AgentStopped {
        stopped_by: StoppedBy::User,
        reason: by_user().reason,
        partial: Some("half".to_owned()),
        discarded_message_ids: Vec::new(),
    };
    let end = RunEnd {
        state: RunState::Stopped,
        message: None,
        forget: false,
        child: true,
    };
    assert_eq!(
        bench.pass_ms(5).give(stop_frame(9, None)),
        [
            vec![
                Effect::Grant,
                stop_accepted(9, vec![run(1)]),
                emit(3, tool_cancelled(1, 5)),
                emission(3, partial, Some(end)),
                told(3, RunState::Stopped, None, Some(("stopped", &by_user().reason, false))),
                Effect::Cancel(run(3)),
            ],
            stopped_at_once(2, &by_user()).to_vec(),
            stopped_at_once(4, &by_user()).to_vec(),
            vec![Effect::Cancel(run(1))],
        ]
        .concat()
    );
    assert_eq!(
        bench.give(said(3, "late")),
        [],
        "what a stopped child still says is not told"
    );
    assert_eq!(bench.give(finished(3, Outcome::Cancelled)), []);
    let effects = bench.give(finished(1, Outcome::Cancelled));
    assert!(matches!(&effects[..], [Effect::Emit(end)] if end.event.is_terminal() && end.run == run(1)));
}

#[test]
fn a_stop_that_names_a_child_stops_it_with_its_children_alone() {
    let mut bench = family(&[(1, 2), (2, 3), (1, 4)]);
    assert_eq!(
        bench.give(stop_frame(9, Some(run(2)))),
        [
            vec![Effect::Grant, stop_accepted(9, vec![run(2)])],
            stopped_at_once(3, &by_user()).to_vec(),
            vec![Effect::Cancel(run(2))],
        ]
        .concat()
    );
    let [end, report, _] = stopped_at_once(2, &by_user());
    assert_eq!(bench.give(finished(2, Outcome::Cancelled)), [end, report]);
    bench.say_first(1, "goes on").say_first(4, "so does this");
}

#[test]
fn a_message_that_rolls_its_parent_back_makes_the_thread_forget_nothing_of_a_child() {
    let mut bench = family(&[(1, 2)]);
    assert_eq!(
        bench.settle(say(3, OnBusy::Rollback), done("")),
        [
            vec![reply(accepted(3, AcceptStatus::Queued))],
            stopped_at_once(2, &replaced(false)).to_vec(),
            vec![Effect::Cancel(run(1))],
        ]
        .concat()
    );
}

#[test]
fn a_run_that_ends_by_itself_ends_its_open_children_first() {
    let crash = "a crash ended the run; send the message again";
    let outcome = Outcome::Failed {
        code: "no_luck".to_owned(),
        message: "try again".to_owned(),
        retryable: false,
    };
    for (outcome, end) in [
        (answered(""), completed_empty(1)),
        (Outcome::Panicked, died(1, DeathCause::Panic, crash)),
        (outcome, failed(1, "no_luck", "try again", false, None)),
    ] {
        let mut bench = family(&[(1, 2), (2, 3)]);
        assert_eq!(
            bench.give(finished(1, outcome)),
            [
                stopped_at_once(3, &by_parent()).to_vec(),
                stopped_at_once(2, &by_parent()).to_vec(),
                vec![end],
            ]
            .concat()
        );
        assert!(bench.engine.is_idle());
    }
}

#[test]
fn a_child_that_was_being_stopped_when_its_parent_ended_ends_as_it_was_going_to() {
    let mut bench = family(&[(1, 2)]);
    bench.give(stop_frame(9, Some(run(2))));
    let effects = bench.give(finished(1, Outcome::Panicked));
    assert_eq!(effects[..3], stopped_at_once(2, &by_user()));
}

#[test]
fn a_child_that_nobody_waits_for_any_more_is_stopped_by_its_parent() {
    let mut bench = family(&[(1, 2)]);
    let [end, report, _] = stopped_at_once(2, &by_parent());
    assert_eq!(bench.give(finished(2, Outcome::Abandoned)), [end, report]);
}

#[test]
fn a_child_that_breaks_its_lifecycle_ends_alone() {
    let mut bench = family(&[(1, 2)]);
    let event = tool_completed(1);
    assert_eq!(
        bench.give(Input::Emitted { run: run(2), event }),
        [
            Effect::Violation("the end of a tool call that is not open"),
            Effect::Cancel(run(2))
        ]
    );
    assert_eq!(bench.give(finished(2, answered("42")))[0], childs(violator(2)));
    bench.say_first(1, "goes on");
}

#[test]
fn a_run_whose_event_was_refused_ends_once_with_its_children() {
    let mut bench = family(&[(1, 2)]);
    let refused = || Input::Violated { run: run(1) };
    let effects = bench.give(refused());
    assert_eq!(
        effects,
        [stopped_at_once(2, &by_parent()).to_vec(), vec![Effect::Cancel(run(1))]].concat()
    );
    assert_eq!(bench.give(refused()), []);
    assert_eq!(bench.give(finished(1, answered("42"))), [violator(1)]);
    assert_eq!(bench.give(refused()), []);
}

#[test]
fn the_end_of_a_child_begins_nothing_that_waits() {
    let mut bench = family(&[(1, 2)]);
    bench.queue(3);
    assert_eq!(
        bench.give(finished(2, answered(""))).len(),
        2,
        "its end, and its report"
    );
    assert_eq!(bench.give(finished(1, answered(""))), [completed_empty(1), promote(3)]);
}

#[test]
fn a_drain_waits_for_children_and_stops_them_when_its_time_is_over() {
    let mut bench = family(&[(1, 2)]);
    let drain = Stop {
        by: StoppedBy::Drain,
        reason: "the server is shutting down".to_owned(),
        forget: false,
    };
    assert_eq!(bench.give(Input::Drain), []);
    assert_eq!(
        bench.give(Input::DrainExpired),
        [stopped_at_once(2, &drain).to_vec(), vec![Effect::Cancel(run(1))]].concat()
    );
    assert_eq!(
        bench.give(finished(1, Outcome::Cancelled)),
        [stopped(1, &drain), Effect::Drained]
    );
}

#[test]
fn a_run_that_has_worked_for_its_time_is_ended_and_one_that_has_not_is_left_alone() {
    let mut bench = Bench::with(|limits| limits.run_time = Duration::from_secs(60));
    bench.start(1);
    let start = bench.now.mono;
    assert_eq!(bench.engine.clock_runs_out_at(), Some(start + Duration::from_secs(60)));
    assert_eq!(bench.pass_ms(59_999).give(Input::ClockDue), []);
    assert_eq!(bench.pass_ms(1).give(Input::Tick), [Effect::Cancel(run(1))]);
    assert_eq!(bench.engine.clock_runs_out_at(), None);
    assert_eq!(bench.give(Input::ClockDue), [], "once");
    assert_eq!(bench.give(finished(1, answered("too late"))), [timed_out(1)]);
}

#[test]
fn a_run_that_waits_in_its_lane_does_not_use_its_time() {
    let mut bench = Bench::with(|limits| limits.run_time = Duration::from_secs(60));
    bench.start(1).queue(2).pass_ms(59_000);
    bench.give(finished(1, answered("")));
    bench.give(granted(2));
    assert_eq!(bench.pass_ms(59_999).give(Input::ClockDue), []);
    assert_eq!(bench.pass_ms(1).give(Input::ClockDue), [Effect::Cancel(run(2))]);
}

#[test]
fn a_child_has_a_clock_of_its_own_and_its_parents_goes_on() {
    let mut bench = Bench::with(|limits| limits.run_time = Duration::from_secs(60));
    bench.start(1).pass_ms(50_000);
    bench.give(child(1, 2));
    assert_eq!(
        bench.pass_ms(10_000).give(Input::ClockDue),
        [stopped_at_once(2, &by_parent()).to_vec(), vec![Effect::Cancel(run(1))]].concat()
    );
}

#[test]
fn the_clock_stands_still_while_a_run_waits_for_people() {
    let mut bench = Bench::with(|limits| limits.run_time = Duration::from_secs(60));
    bench.start(1).pass_ms(20_000);
    bench.engine.pause_clock(run(1), bench.now);
    bench.engine.pause_clock(run(1), bench.now);
    assert_eq!(bench.engine.clock_runs_out_at(), None);
    assert_eq!(bench.pass_ms(3_600_000).give(Input::ClockDue), []);
    bench.engine.resume_clock(run(1), bench.now);
    assert_eq!(
        bench.pass_ms(3_600_000).give(Input::ClockDue),
        [],
        "one thing is not decided yet"
    );
    bench.engine.resume_clock(run(1), bench.now);
    assert_eq!(bench.pass_ms(39_999).give(Input::ClockDue), []);
    assert_eq!(bench.pass_ms(1).give(Input::ClockDue), [Effect::Cancel(run(1))]);
}

#[test]
fn the_clocks_above_a_child_that_waits_for_a_person_stand_still_until_it_is_decided_or_ends() {
    for ends in [false, true] {
        let mut bench = Bench::with(|limits| limits.run_time = Duration::from_secs(60));
        bench.start(1);
        bench.give(child(1, 2));
        bench.give(child(2, 3));
        bench.give(child(1, 4));
        bench.engine.pause_clock(run(3), bench.now);
        // The one that waits for nobody is bounded all the same.
        assert_eq!(bench.pass_ms(60_000).give(Input::ClockDue), [Effect::Cancel(run(4))]);
        bench.give(finished(4, Outcome::Cancelled));
        if ends {
            bench.give(finished(3, answered("")));
        } else {
            bench.engine.resume_clock(run(3), bench.now);
        }
        assert_eq!(bench.pass_ms(59_999).give(Input::ClockDue), []);
        assert!(!bench.pass_ms(1).give(Input::ClockDue).is_empty(), "ends: {ends}");
    }
}

#[test]
fn a_run_that_was_said_to_go_on_without_having_waited_wins_no_time() {
    let mut bench = Bench::with(|limits| limits.run_time = Duration::from_secs(60));
    bench.start(1).pass_ms(30_000);
    bench.engine.resume_clock(run(1), bench.now);
    bench.engine.resume_clock(run(99), bench.now);
    assert_eq!(bench.pass_ms(30_000).give(Input::ClockDue), [Effect::Cancel(run(1))]);
}
