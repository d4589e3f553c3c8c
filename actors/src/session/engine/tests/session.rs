//! The session itself: frames that are no frames, signs of life, its last socket, drain, revival.

use super::*;

fn faulty() -> Input {
    Input::Faulty(FrameError {
        code: ErrorCode::InvalidPayload,
        message: "content is missing".to_owned(),
        pointer: Some("/content".to_owned()),
        reply_to: Some("as-written".to_owned()),
    })
}

fn fault_told() -> Effect {
    reply(Control::Error(ErrorFrame {
        code: ErrorCode::InvalidPayload,
        message: "content is missing".to_owned(),
        reply_to: Some("as-written".to_owned()),
        retryable: false,
        retry_after_ms: None,
        details: Some(json!({ "pointer": "/content" })),
    }))
}

#[test]
fn the_tenth_faulty_frame_in_a_row_closes_the_socket() {
    let mut bench = Bench::new();
    for _ in 1..10 {
        assert_eq!(bench.give(faulty()), [fault_told(), Effect::Grant]);
    }
    assert_eq!(
        bench.give(faulty()),
        [fault_told(), Effect::Grant, Effect::Close(CloseCode::FaultyFrames)]
    );
}

#[test]
fn a_good_frame_starts_the_count_of_faulty_ones_anew() {
    let mut bench = Bench::new();
    for _ in 1..10 {
        bench.give(faulty());
    }
    bench.give(frame(1, Command::Nothing));
    assert_eq!(bench.give(faulty()), [fault_told(), Effect::Grant]);
}

#[test]
fn signs_of_life_and_acknowledgements_are_answered_also_while_a_message_waits() {
    let mut bench = Bench::new();
    bench.give(say(1, OnBusy::Enqueue));
    let timestamp = json!("noon");
    let ping = Command::Ping {
        timestamp: Some(timestamp.clone()),
    };
    assert_eq!(
        bench.give(frame(2, ping)),
        [reply(Control::Pong { timestamp }), Effect::Grant]
    );
    assert_eq!(
        bench.give(frame(3, Command::Ack { seq: Seq(4) })),
        [Effect::Acked(Seq(4)), Effect::Grant]
    );
    assert_eq!(bench.give(frame(4, Command::Nothing)), [Effect::Grant]);
}

#[test]
fn a_credential_is_checked_without_the_store_being_asked() {
    let mut bench = Bench::new();
    let refresh = Command::RefreshToken {
        token: Some("a-token".to_owned()),
        ticket: None,
    };
    assert_eq!(
        bench.give(frame(1, refresh)),
        [
            Effect::Grant,
            Effect::Refresh {
                message_id: Some(message(1)),
                token: Some("a-token".to_owned()),
                ticket: None,
            }
        ]
    );
}

#[test]
fn a_run_goes_on_without_a_socket_until_the_grace_time_is_over() {
    let mut bench = Bench::with(|limits| limits.run_time = Duration::from_secs(3_600));
    bench.start(1).queue(2);
    let abandoned = Stop {
        by: StoppedBy::Abandoned,
        reason: "no client came back in time".to_owned(),
        forget: false,
    };
    assert_eq!(bench.give(Input::Detached), []);
    assert_eq!(bench.pass_ms(599_999).give(Input::Tick), []);
    assert_eq!(
        bench.pass_ms(1).give(Input::Tick),
        [stopped(2, &abandoned), Effect::Cancel(run(1))]
    );
    assert_eq!(bench.give(finished(1, Outcome::Cancelled)), [stopped(1, &abandoned)]);
    assert_eq!(bench.give(Input::Tick), [Effect::Leave]);
}

#[test]
fn a_socket_that_comes_back_stops_the_grace_time() {
    let mut bench = Bench::with(|limits| limits.run_time = Duration::from_secs(3_600));
    bench.start(1);
    bench.give(Input::Detached);
    bench.pass_ms(599_999);
    assert_eq!(bench.give(Input::Attached), []);
    assert_eq!(bench.pass_ms(600_000).give(Input::Tick), []);
}

#[test]
fn an_idle_session_without_a_socket_asks_to_leave_after_a_minute_and_again_until_it_may() {
    let mut bench = Bench::new();
    assert_eq!(bench.pass_ms(120_000).give(Input::Tick), [], "a socket is attached");
    bench.give(Input::Detached);
    assert_eq!(bench.pass_ms(59_999).give(Input::Tick), []);
    assert_eq!(bench.pass_ms(1).give(Input::Tick), [Effect::Leave]);
    assert_eq!(bench.pass_ms(5_000).give(Input::Tick), [Effect::Leave]);
}

#[test]
fn a_session_in_which_something_runs_or_is_asked_does_not_ask_to_leave() {
    let mut running = Bench::new();
    running.start(1);
    let mut asking = Bench::new();
    asking.give(say(1, OnBusy::Enqueue));
    for bench in [&mut running, &mut asking] {
        bench.give(Input::Detached);
        assert_eq!(bench.pass_ms(60_000).give(Input::Tick), []);
    }
}

#[test]
fn a_session_in_which_nothing_runs_is_drained_at_once() {
    assert_eq!(Bench::new().give(Input::Drain), [Effect::Drained]);
}

#[test]
fn a_drain_refuses_new_messages_lets_the_run_end_and_leaves_what_waits_to_the_next_start() {
    let mut bench = Bench::new();
    bench.start(1).queue(2);
    assert_eq!(bench.give(Input::Drain), []);
    let refusal = ErrorFrame {
        retryable: true,
        retry_after_ms: Some(1_000),
        ..refused(
            3,
            ErrorCode::Overloaded,
            "the server is shutting down; resume in a moment",
        )
    };
    assert_eq!(
        bench.give(say(3, OnBusy::Enqueue)),
        [Effect::Grant, reply(Control::Error(refusal))]
    );
    assert_eq!(
        bench.give(finished(1, answered(""))),
        [completed_empty(1), Effect::Drained]
    );
}

#[test]
fn a_drain_waits_for_the_message_that_is_being_stored_and_for_its_run() {
    let mut bench = Bench::new();
    bench.give(say(1, OnBusy::Enqueue));
    bench.give(Input::Rated(Rating::Within));
    assert_eq!(bench.give(Input::Drain), []);
    assert_eq!(
        bench.give(Input::Stored(done(""))),
        [vec![reply(accepted(1, AcceptStatus::Started))], begins(1)].concat()
    );
    assert_eq!(
        bench.give(finished(1, answered(""))),
        [completed_empty(1), Effect::Drained]
    );
}

#[test]
fn a_drain_is_over_when_the_message_that_was_being_stored_is_refused() {
    let mut bench = Bench::new();
    bench.give(say(1, OnBusy::Enqueue));
    bench.give(Input::Rated(Rating::Within));
    bench.give(Input::Drain);
    assert_eq!(
        bench.give(Input::Stored(StoreReply::NotFound)),
        [refuse(1, ErrorCode::NotFound, "no such thread"), Effect::Drained]
    );
}

#[test]
fn a_drain_that_takes_too_long_ends_what_runs() {
    let mut bench = Bench::new();
    bench.start(1).queue(2);
    bench.give(Input::Drain);
    assert_eq!(bench.give(Input::DrainExpired), [Effect::Cancel(run(1))]);
    assert_eq!(
        bench.give(finished(1, Outcome::Cancelled)),
        [stopped(1, &drain()), Effect::Drained]
    );
}

#[test]
fn a_run_that_begins_after_the_drains_time_is_over_ends_at_once() {
    let mut bench = Bench::new();
    bench.give(say(1, OnBusy::Enqueue));
    bench.give(Input::Rated(Rating::Within));
    bench.give(Input::Drain);
    assert_eq!(bench.give(Input::DrainExpired), []);
    assert_eq!(
        bench.give(Input::Stored(done(""))),
        [
            vec![reply(accepted(1, AcceptStatus::Started))],
            begins(1),
            vec![Effect::Cancel(run(1))]
        ]
        .concat()
    );
    assert_eq!(
        bench.give(finished(1, Outcome::Cancelled)),
        [stopped(1, &drain()), Effect::Drained]
    );
}

#[test]
fn a_message_that_waits_for_another_session_waits_no_longer_than_the_drain() {
    let mut bench = Bench::new();
    bench.settle(say(1, OnBusy::Interrupt), busy_elsewhere());
    bench.give(Input::Drain);
    assert_eq!(bench.give(Input::DrainExpired), [busy_there(1, None), Effect::Drained]);
}

fn drain() -> Stop {
    Stop {
        by: StoppedBy::Drain,
        reason: "the server is shutting down".to_owned(),
        forget: false,
    }
}

fn stored_run(number: u64, thread_id: ThreadId) -> StoredRun {
    StoredRun {
        run_id: run(number),
        thread_id,
        request_id: request(number),
        message_id: message(number),
        agent: "echo".to_owned(),
        content: "hello".to_owned(),
        references: Vec::new(),
        metadata: None,
        state: RunState::Queued,
        open_calls: Vec::new(),
        said: None,
        children: Vec::new(),
    }
}

#[test]
fn runs_that_waited_before_a_revival_wait_again_in_order_one_line_for_each_thread() {
    let mut bench = Bench::new();
    let waiting = vec![
        stored_run(1, thread(HOME)),
        stored_run(2, thread(5)),
        stored_run(3, thread(HOME)),
    ];
    assert_eq!(
        bench.give(Input::Requeued(waiting)),
        [
            promote(1),
            Effect::Promote {
                run: run(2),
                thread: thread(5),
            }
        ]
    );
    assert_eq!(bench.give(granted(1)), begins(1));
    assert_eq!(bench.give(granted(2)), begins_in(thread(5), 2));
    assert_eq!(
        bench.give(finished(1, answered(""))).last(),
        Some(&promote(3)),
        "run 3 waited behind run 1"
    );
}

#[test]
fn a_revived_runs_answer_has_the_same_id_each_time() {
    let answers = [(); 2].map(|()| {
        let mut bench = Bench::new();
        bench.give(Input::Requeued(vec![stored_run(1, thread(HOME))]));
        bench.give(granted(1));
        bench.give(said(1, "words"))
    });
    assert!(matches!(answers[0][..], [Effect::Emit(_)]), "{:?}", answers[0]);
    assert_eq!(answers[0], answers[1]);
}

#[test]
fn a_socket_is_not_closed_for_the_flood_of_the_one_before() {
    let mut bench = Bench::with(|limits| limits.flood_messages = 2);
    let beyond = || {
        Input::Rated(Rating::Beyond {
            retry_after: Duration::from_millis(100),
        })
    };
    for number in 1..=3 {
        bench.give(say(number, OnBusy::Enqueue));
    }
    assert_eq!(bench.engine.waiting_frames(), 2);
    bench.give(beyond());
    let effects = bench.give(beyond());
    assert!(effects.contains(&Effect::Close(CloseCode::RateLimit)), "{effects:?}");
    bench.give(Input::Detached);
    bench.give(Input::Attached);
    let effects = bench.give(beyond());
    assert!(!effects.contains(&Effect::Close(CloseCode::RateLimit)), "{effects:?}");
}
