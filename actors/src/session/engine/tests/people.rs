//! People in the loop: steering and approvals, as tables.

use super::*;

const HOUR: Duration = Duration::from_secs(3600);

fn steer(number: u64, of: u64) -> (Input, Command) {
    let command = Command::Steer {
        run_id: run(of),
        content: "left".to_owned(),
    };
    (frame(number, command.clone()), command)
}

fn decide(number: u64, of: u64, approve: bool) -> (Input, Command) {
    let command = Command::DecideTool {
        call_id: call(of),
        approve,
        note: Some("why".to_owned()),
    };
    (frame(number, command.clone()), command)
}

/// What the store is asked for a frame about run 1.
fn take(number: u64, command: &Command) -> Effect {
    Effect::Store(StoreCommand::Take {
        idempotency: idempotency(number, command),
        run_id: run(1),
        thread_id: thread(HOME),
    })
}

fn repeat(number: u64, command: &Command) -> Effect {
    Effect::Store(StoreCommand::Repeat(idempotency(number, command)))
}

fn steering_accepted(number: u64, status: Option<AcceptStatus>) -> Effect {
    reply(Control::SteeringAccepted {
        message_id: message(number),
        run_id: run(1),
        status,
    })
}

fn decision_accepted(number: u64, status: Option<AcceptStatus>) -> Effect {
    reply(Control::DecisionAccepted {
        message_id: message(number),
        call_id: call(5),
        status,
    })
}

fn decided(decision: ApprovalDecision) -> Effect {
    Effect::Decide {
        call: call(5),
        decision,
        note: (decision != ApprovalDecision::Expired).then(|| "why".to_owned()),
    }
}

fn duplicate() -> StoreReply {
    StoreReply::Duplicate {
        thread_id: thread(HOME),
        name: String::new(),
        run: Some((run(1), RunState::Running)),
    }
}

impl Bench {
    /// Gives a frame about a run whose rate is fine; returns what follows from that.
    fn ask(&mut self, frame: Input) -> Vec<Effect> {
        assert_eq!(self.give(frame), [Effect::Grant, Effect::Rate]);
        self.give(Input::Rated(Rating::Within))
    }

    /// Gives a frame that is refused, which the store knows no repeat of.
    fn refused(&mut self, number: u64, (frame, command): (Input, Command)) -> Vec<Effect> {
        assert_eq!(self.ask(frame), [repeat(number, &command)]);
        self.give(Input::Stored(StoreReply::NotFound))
    }

    fn emits(&mut self, number: u64, event: Event) -> Vec<Effect> {
        let run = run(number);
        self.give(Input::Emitted { run, event })
    }

    /// Run 1 waits for a person's decision about call 5.
    fn waiting() -> Self {
        let mut bench = Self::new();
        bench.start(1).open_call(1, 5);
        assert_eq!(bench.emits(1, asks_for_approval(5)), [emit(1, asks_for_approval(5))]);
        bench
    }
}

#[test]
fn what_a_run_is_told_is_durable_then_accepted_then_handed_over() {
    let mut bench = Bench::new();
    bench.start(1);
    let (frame, command) = steer(2, 1);
    assert_eq!(bench.ask(frame), [take(2, &command)]);
    let handed_over = Effect::Steer {
        run: run(1),
        message_id: message(2),
        content: "left".to_owned(),
    };
    let effects = bench.give(Input::Stored(done("")));
    assert_eq!(effects, [steering_accepted(2, None), handed_over]);
}

#[test]
fn steering_that_is_sent_again_is_answered_again_and_told_once_also_after_the_runs_end() {
    let mut bench = Bench::new();
    bench.start(1);
    bench.settle(steer(2, 1).0, done(""));
    let repeated = [steering_accepted(2, Some(AcceptStatus::Duplicate))];
    assert_eq!(bench.settle(steer(2, 1).0, duplicate()), repeated);
    bench.give(finished(1, answered("done")));
    let (frame, command) = steer(2, 1);
    assert_eq!(bench.ask(frame), [repeat(2, &command)]);
    assert_eq!(bench.give(Input::Stored(duplicate())), repeated);
}

#[test]
fn a_run_that_ends_before_its_steering_is_durable_says_no_more_than_its_end() {
    let mut bench = Bench::new();
    bench.start(1);
    bench.ask(steer(2, 1).0);
    bench.give(finished(1, answered("done")));
    assert_eq!(bench.give(Input::Stored(done(""))), [steering_accepted(2, None)]);
}

#[test]
fn eight_things_may_wait_to_be_told_and_one_more_when_one_was_taken() {
    let mut bench = Bench::new();
    bench.start(1);
    for number in 2..2 + STEERING_WAITING as u64 {
        bench.settle(steer(number, 1).0, done(""));
    }
    let text = "8 things wait to be told to this run; wait for steering_applied";
    assert_eq!(
        bench.refused(20, steer(20, 1)),
        [refuse_retryable(20, ErrorCode::QueueFull, text)]
    );
    assert_eq!(bench.emits(1, steering_applied(2)), [emit(1, steering_applied(2))]);
    let (frame, command) = steer(21, 1);
    assert_eq!(bench.ask(frame), [take(21, &command)]);
}

#[test]
fn only_a_run_at_work_of_an_agent_that_takes_steering_is_steered() {
    let mut bench = Bench::new();
    bench.start(1).queue(2);
    let text = "the run is not at work; steer it between its start and its end";
    assert_eq!(bench.refused(3, steer(3, 2)), [refuse(3, ErrorCode::NotFound, text)]);
    let text = "no such run is active in this session";
    assert_eq!(bench.refused(4, steer(4, 99)), [refuse(4, ErrorCode::NotFound, text)]);
    let poet = Command::Say(Say {
        agent: Some("poet".to_owned()),
        thread: ThreadTarget::New,
        ..words(OnBusy::Enqueue)
    });
    bench.settle(frame(5, poet), done(""));
    let text = "the agent poet takes no steering; stop it or wait for its end";
    assert_eq!(
        bench.give(steer(6, 5).0),
        [Effect::Grant, refuse(6, ErrorCode::Forbidden, text)]
    );
}

#[test]
fn a_decision_is_durable_then_accepted_then_told_and_the_first_wins() {
    let mut bench = Bench::waiting();
    let (frame, command) = decide(2, 5, true);
    assert_eq!(bench.ask(frame), [take(2, &command)]);
    assert_eq!(
        bench.give(Input::Stored(done(""))),
        [decision_accepted(2, None), decided(ApprovalDecision::Approve)]
    );
    let text = "this call was decided already; the first decision stands";
    assert_eq!(
        bench.refused(3, decide(3, 5, false)),
        [refuse(3, ErrorCode::Conflict, text)]
    );
    // The same frame again is answered as the first time.
    let (frame, command) = decide(2, 5, true);
    assert_eq!(bench.ask(frame), [repeat(2, &command)]);
    assert_eq!(
        bench.give(Input::Stored(duplicate())),
        [decision_accepted(2, Some(AcceptStatus::Duplicate))]
    );
}

#[test]
fn a_decision_about_a_call_that_does_not_wait_is_not_found() {
    let mut bench = Bench::new();
    bench.start(1).open_call(1, 5);
    let text = "no such tool call waits for a decision";
    assert_eq!(
        bench.refused(2, decide(2, 5, true)),
        [refuse(2, ErrorCode::NotFound, text)]
    );
    bench.emits(1, asks_for_approval(5));
    bench.give(stop_frame(3, None));
    assert_eq!(
        bench.refused(4, decide(4, 5, true)),
        [refuse(4, ErrorCode::NotFound, text)]
    );
}

#[test]
fn a_request_that_nobody_decides_in_time_expires_once() {
    let mut bench = Bench::waiting();
    assert_eq!(bench.pass(HOUR - Duration::from_millis(1)).give(Input::Tick), []);
    assert_eq!(bench.pass_ms(1).give(Input::Tick), [decided(ApprovalDecision::Expired)]);
    assert_eq!(bench.pass_ms(1).give(Input::Tick), []);
    let text = "this call was decided already; the first decision stands";
    assert_eq!(
        bench.refused(2, decide(2, 5, true)),
        [refuse(2, ErrorCode::Conflict, text)]
    );
}

#[test]
fn a_decision_that_comes_in_time_is_not_overtaken_by_the_end_of_its_time() {
    let mut bench = Bench::waiting();
    bench.pass(HOUR - Duration::from_millis(1));
    bench.ask(decide(2, 5, false).0);
    assert_eq!(bench.pass_ms(1_000).give(Input::Tick), []);
    assert_eq!(
        bench.give(Input::Stored(done(""))),
        [decision_accepted(2, None), decided(ApprovalDecision::Deny)]
    );
}

#[test]
fn a_decision_that_comes_late_is_refused_before_the_tick_that_ends_the_request() {
    let mut bench = Bench::waiting();
    bench.pass(HOUR);
    let text = "the time to decide this call is over; it was not approved";
    assert_eq!(
        bench.refused(2, decide(2, 5, true)),
        [refuse(2, ErrorCode::Conflict, text)]
    );
    assert_eq!(bench.give(Input::Tick), [decided(ApprovalDecision::Expired)]);
}

#[test]
fn a_run_that_is_stopped_while_it_waits_ends_its_call_as_cancelled() {
    let mut bench = Bench::waiting();
    bench.give(stop_frame(2, None));
    let effects = bench.give(finished(1, Outcome::Cancelled));
    let statuses: Vec<_> = effects.iter().filter_map(completed_as).collect();
    assert_eq!(statuses, [ToolStatus::Cancelled]);
    assert!(bench.engine.is_idle());
}

fn completed_as(effect: &Effect) -> Option<ToolStatus> {
    match effect {
        Effect::Emit(emission) => match emission.event {
            Event::ToolCompleted { status, .. } => Some(status),
            _ => None,
        },
        _ => None,
    }
}

#[test]
fn without_a_socket_a_run_that_waits_for_a_person_stays_and_so_does_what_waits_behind_it() {
    let mut bench = Bench::waiting();
    bench.queue(2);
    let elsewhere = Command::Say(Say {
        thread: ThreadTarget::New,
        ..words(OnBusy::Enqueue)
    });
    bench.settle(frame(3, elsewhere), done(""));
    bench.give(Input::Detached);
    // Run 3 works in a thread of its own; nobody comes back to it.
    assert_eq!(bench.pass(HOUR / 2).give(Input::Tick), [Effect::Cancel(run(3))]);
    assert_eq!(bench.pass(HOUR / 4).give(Input::Tick), []);
}

#[test]
fn a_run_that_waited_has_the_grace_time_from_its_decision_on() {
    let mut bench = Bench::waiting();
    bench.give(Input::Detached);
    assert_eq!(bench.pass(HOUR).give(Input::Tick), [decided(ApprovalDecision::Expired)]);
    let grace = Limits::default().grace;
    assert_eq!(bench.pass(grace - Duration::from_millis(1)).give(Input::Tick), []);
    assert_eq!(bench.pass_ms(1).give(Input::Tick), [Effect::Cancel(run(1))]);
}

#[test]
fn what_a_run_says_of_people_must_have_happened() {
    let nobody_decided = Event::ToolApprovalDecided {
        call_id: call(5),
        decision: ApprovalDecision::Approve,
        note: None,
    };
    for (event, fault) in [
        (
            asks_for_approval(6),
            "a request for approval of a call that is not open",
        ),
        (nobody_decided, "a decision that nobody made"),
        (steering_applied(2), "steering that nobody sent"),
    ] {
        let mut bench = Bench::new();
        bench.start(1).open_call(1, 5);
        assert_eq!(
            bench.emits(1, event),
            [Effect::Violation(fault), Effect::Cancel(run(1))]
        );
    }
}
