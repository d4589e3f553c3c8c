//! Messages: accepted, queued, refused, repeated; what happens where the thread is busy; what stops a run.

use super::*;
use crate::ids::DocumentId;

#[test]
fn a_message_on_a_free_thread_is_rated_then_stored_then_accepted_before_its_run_begins() {
    let mut bench = Bench::new();
    assert_eq!(bench.give(say(1, OnBusy::Enqueue)), [Effect::Grant, Effect::Rate]);
    assert_eq!(bench.give(Input::Rated(Rating::Within)), [accept(1, true)]);
    assert_eq!(
        bench.give(Input::Stored(done(""))),
        [vec![reply(accepted(1, AcceptStatus::Started))], begins(1)].concat()
    );
}

#[test]
fn a_message_without_an_id_is_taken_under_a_fresh_one() {
    let mut bench = Bench::new();
    let Input::Frame(mut arrived) = say(1, OnBusy::Enqueue) else {
        unreachable!("a message is a frame");
    };
    arrived.frame.message_id = None;
    bench.give(Input::Frame(arrived));
    let asked = bench.give(Input::Rated(Rating::Within));
    let [Effect::Store(StoreCommand::Accept(accept))] = &asked[..] else {
        panic!("the store is asked: {asked:?}");
    };
    assert_eq!(accept.idempotency.message_id, message(1_001));
}

#[test]
fn a_message_that_enqueues_waits_behind_its_own_thread_and_begins_when_its_turn_comes() {
    let mut bench = Bench::new();
    bench.start(1);
    bench.give(say(2, OnBusy::Enqueue));
    assert_eq!(bench.give(Input::Rated(Rating::Within)), [accept(2, false)]);
    assert_eq!(
        bench.give(Input::Stored(done(""))),
        [reply(accepted(2, AcceptStatus::Queued))]
    );
    bench.queue(3);
    assert_eq!(bench.give(finished(1, answered(""))), [completed_empty(1), promote(2)]);
    assert_eq!(bench.give(granted(2)), begins(2));
    assert_eq!(bench.give(finished(2, answered(""))), [completed_empty(2), promote(3)]);
}

#[test]
fn a_message_that_rejects_is_refused_where_its_own_thread_is_busy() {
    let mut bench = Bench::new();
    bench.start(1);
    assert_eq!(
        bench.settle(say(2, OnBusy::Reject), StoreReply::NotFound),
        [busy_here(2, 1)]
    );
}

#[test]
fn a_message_that_interrupts_stops_the_run_at_work_and_goes_before_what_waits() {
    let mut bench = Bench::new();
    bench.start(1).queue(2).say_first(1, "half");
    let effects = bench.settle(say(3, OnBusy::Interrupt), done(""));
    assert_eq!(
        effects,
        [reply(accepted(3, AcceptStatus::Queued)), Effect::Cancel(run(1))]
    );
    let end = emission(
        1,
        Event::AgentStopped {
            stopped_by: StoppedBy::Replaced,
            reason: replaced(false).reason,
            partial: Some("half".to_owned()),
            discarded_message_ids: vec![],
        },
        Some(RunEnd {
            state: RunState::Stopped,
            message: Some(Said {
                message_ref: answer(1),
                content: "half".to_owned(),
                complete: false,
            }),
            forget: false,
            child: false,
        }),
    );
    assert_eq!(bench.give(finished(1, Outcome::Cancelled)), [end, promote(3)]);
    assert_eq!(bench.give(granted(3)), begins(3));
    assert_eq!(bench.give(finished(3, answered(""))), [completed_empty(3), promote(2)]);
}

#[test]
fn a_message_that_rolls_back_stops_the_run_at_work_and_the_thread_forgets_it() {
    let mut bench = Bench::new();
    bench.start(1).say_first(1, "half");
    assert_eq!(
        bench.settle(say(2, OnBusy::Rollback), done("")),
        [reply(accepted(2, AcceptStatus::Queued)), Effect::Cancel(run(1))]
    );
    let end = emission(
        1,
        Event::AgentStopped {
            stopped_by: StoppedBy::Replaced,
            reason: replaced(true).reason,
            partial: Some("half".to_owned()),
            discarded_message_ids: vec![message(1), answer(1)],
        },
        Some(RunEnd {
            state: RunState::Stopped,
            message: None,
            forget: true,
            child: false,
        }),
    );
    assert_eq!(bench.give(finished(1, Outcome::Cancelled)), [end, promote(2)]);
}

#[test]
fn a_message_that_interrupts_a_run_which_waits_for_the_store_ends_it_before_it_begins() {
    let mut bench = Bench::new();
    bench.start(1).queue(2);
    assert_eq!(bench.give(finished(1, answered(""))), [completed_empty(1), promote(2)]);
    assert_eq!(
        bench.settle(say(3, OnBusy::Interrupt), done("")),
        [reply(accepted(3, AcceptStatus::Queued))]
    );
    assert_eq!(bench.give(granted(2)), [stopped(2, &replaced(false)), promote(3)]);
}

#[test]
fn a_message_for_a_thread_held_elsewhere_is_refused_unless_it_takes_the_holders_place() {
    for (on_busy, expected) in [
        (OnBusy::Enqueue, busy_there(1, Some(run(77)))),
        (OnBusy::Reject, busy_there(1, Some(run(77)))),
        (OnBusy::Interrupt, ask_yield(replaced(false))),
        (OnBusy::Rollback, ask_yield(replaced(true))),
    ] {
        let mut bench = Bench::new();
        assert_eq!(
            bench.settle(say(1, on_busy), busy_elsewhere()),
            [expected],
            "{on_busy:?}"
        );
    }
}

fn ask_yield(stop: Stop) -> Effect {
    Effect::AskYield {
        session: session(9),
        thread: thread(HOME),
        run: run(77),
        stop,
    }
}

#[test]
fn a_queued_run_whose_thread_is_held_elsewhere_waits_for_the_holders_end() {
    let mut bench = Bench::new();
    bench.start(1).queue(2);
    bench.give(finished(1, answered("")));
    let refused = Input::Promoted {
        run: run(2),
        reply: busy_elsewhere(),
    };
    assert_eq!(bench.give(refused), []);
    let told = Input::ThreadChanged {
        thread: thread(HOME),
        run: run(77),
        state: RunState::Completed,
    };
    assert_eq!(bench.give(told)[1..], [promote(2)]);
}

#[test]
fn a_queued_run_that_met_the_users_limit_is_tried_again_after_two_seconds_or_when_a_run_ends() {
    let limited = |number| Input::Promoted {
        run: run(number),
        reply: StoreReply::RunLimit,
    };
    let mut bench = Bench::new();
    bench.start(1).queue(2);
    bench.give(finished(1, answered("")));
    assert_eq!(bench.give(limited(2)), []);
    assert_eq!(bench.pass_ms(1_999).give(Input::Tick), []);
    assert_eq!(bench.pass_ms(1).give(Input::Tick), [promote(2)]);
    assert_eq!(bench.give(limited(2)), []);
    let elsewhere = Input::ThreadChanged {
        thread: thread(5),
        run: run(77),
        state: RunState::Died,
    };
    assert_eq!(bench.pass_ms(1).give(elsewhere)[1..], [promote(2)]);
}

#[test]
fn a_message_beyond_the_queues_bound_is_refused_whatever_it_wants_of_a_busy_thread() {
    for on_busy in [OnBusy::Enqueue, OnBusy::Interrupt, OnBusy::Rollback] {
        let mut bench = Bench::with(|limits| limits.queued_per_thread = 2);
        bench.start(1).queue(2).queue(3);
        let text = "2 messages wait in this thread already; wait for an answer";
        assert_eq!(
            bench.settle(say(4, on_busy), StoreReply::NotFound),
            [refuse_retryable(4, ErrorCode::QueueFull, text)],
            "{on_busy:?}"
        );
    }
}

#[test]
fn a_repeat_of_a_message_at_work_or_in_the_queue_is_a_duplicate_also_where_a_new_one_would_be_refused() {
    for (number, state) in [(1, RunState::Running), (2, RunState::Queued)] {
        for on_busy in [OnBusy::Enqueue, OnBusy::Reject, OnBusy::Interrupt, OnBusy::Rollback] {
            let mut bench = Bench::with(|limits| limits.queued_per_thread = 1);
            bench.start(1).queue(2);
            let repeated = StoreReply::Duplicate {
                thread_id: thread(HOME),
                name: "hello".to_owned(),
                run: Some((run(number), state)),
            };
            let duplicate = reply(Control::MessageAccepted {
                message_id: message(number),
                thread_id: thread(HOME),
                run_id: run(number),
                status: AcceptStatus::Duplicate,
                run_state: state,
            });
            assert_eq!(
                bench.settle(say(number, on_busy), repeated),
                [duplicate],
                "message {number}, {on_busy:?}"
            );
        }
    }
}

#[test]
fn an_agent_that_there_is_not_is_refused_by_name() {
    let mut bench = Bench::new();
    let say = Say {
        agent: Some("nobody".to_owned()),
        ..words(OnBusy::Enqueue)
    };
    let refusal = ErrorFrame {
        details: Some(json!({ "pointer": "/agent" })),
        ..refused(1, ErrorCode::InvalidPayload, "no such agent; GET /v1/agents lists them")
    };
    assert_eq!(
        bench.give(frame(1, Command::Say(say))),
        [Effect::Grant, reply(Control::Error(refusal))]
    );
}

#[test]
fn the_store_judges_references_and_a_run_gets_those_that_it_granted() {
    let mut bench = Bench::new();
    let document = DocumentId::try_from(uuid::Uuid::from_u128(7)).unwrap();
    let naming = |number| {
        let say = Say {
            references: vec![document],
            ..words(OnBusy::Enqueue)
        };
        frame(number, Command::Say(say))
    };
    let message = "no such document; upload it by POST /v1/documents and name the document_id of the answer";
    assert_eq!(
        bench.settle(naming(1), StoreReply::NoDocument),
        [refuse(1, ErrorCode::NotFound, message)]
    );
    let begun = bench.settle(naming(2), done(""));
    let started = begun.iter().find_map(|effect| match effect {
        Effect::Start(start) => Some(start.references.clone()),
        _ => None,
    });
    assert_eq!(started, Some(vec![document]));
}

#[test]
fn a_flood_of_messages_beyond_the_rate_closes_the_socket() {
    let mut bench = Bench::with(|limits| limits.flood_messages = 3);
    let mut closes = Vec::new();
    for number in 1..=3 {
        bench.give(say(number, OnBusy::Enqueue));
        let effects = bench.give(Input::Rated(Rating::Beyond {
            retry_after: Duration::from_millis(200),
        }));
        let limited = ErrorFrame {
            retryable: true,
            retry_after_ms: Some(200),
            ..refused(number, ErrorCode::RateLimited, "too many messages; slow down")
        };
        assert_eq!(effects[0], reply(Control::Error(limited)));
        closes.extend_from_slice(&effects[1..]);
    }
    assert_eq!(closes, [Effect::Close(CloseCode::RateLimit)]);
}

#[test]
fn a_message_within_the_rate_starts_the_count_of_a_flood_anew() {
    let mut bench = Bench::with(|limits| limits.flood_messages = 2);
    let beyond = || {
        Input::Rated(Rating::Beyond {
            retry_after: Duration::from_secs(1),
        })
    };
    bench.give(say(1, OnBusy::Enqueue));
    assert_eq!(bench.give(beyond()).len(), 1);
    bench.start(2);
    bench.give(say(3, OnBusy::Enqueue));
    assert_eq!(bench.give(beyond()).len(), 1, "no close");
}

#[test]
fn stopping_a_run_is_accepted_at_once_and_its_end_follows_when_its_task_has_ended() {
    let mut bench = Bench::new();
    bench.start(1);
    assert_eq!(
        bench.give(stop_frame(2, Some(run(1)))),
        [Effect::Grant, stop_accepted(2, vec![run(1)]), Effect::Cancel(run(1))]
    );
    assert_eq!(
        bench.give(finished(1, answered("too late"))),
        [stopped(1, &by_user())],
        "the first one to stop a run has stopped it"
    );
    assert!(bench.engine.is_idle());
}

#[test]
fn a_queued_run_that_is_stopped_ends_without_having_begun() {
    let mut bench = Bench::new();
    bench.start(1).queue(2).queue(3);
    assert_eq!(
        bench.give(stop_frame(4, Some(run(2)))),
        [Effect::Grant, stop_accepted(4, vec![run(2)]), stopped(2, &by_user())]
    );
    assert_eq!(bench.give(finished(1, answered(""))), [completed_empty(1), promote(3)]);
}

#[test]
fn a_stop_without_a_run_clears_the_queue_first_then_ends_the_run_at_work() {
    let mut bench = Bench::new();
    bench.start(1).queue(2).queue(3);
    assert_eq!(
        bench.give(stop_frame(4, None)),
        [
            Effect::Grant,
            stop_accepted(4, vec![run(1), run(2), run(3)]),
            stopped(2, &by_user()),
            stopped(3, &by_user()),
            Effect::Cancel(run(1)),
        ]
    );
}

#[test]
fn a_stop_without_a_run_leaves_other_threads_alone() {
    let mut bench = Bench::new();
    bench.start(1);
    let switched = bench.settle(frame(2, Command::SwitchThread { thread_id: thread(5) }), done("other"));
    assert_eq!(switched.len(), 1);
    assert_eq!(
        bench.give(stop_frame(3, None)),
        [Effect::Grant, stop_accepted(3, vec![])]
    );
}

#[test]
fn a_stop_of_a_run_that_there_is_not_is_refused() {
    let mut bench = Bench::new();
    bench.start(1);
    let text = "no such run is active in this session";
    assert_eq!(
        bench.give(stop_frame(2, Some(run(99)))),
        [Effect::Grant, refuse(2, ErrorCode::NotFound, text)]
    );
}

#[test]
fn a_stop_from_outside_the_socket_ends_all_runs_without_a_reply() {
    let mut bench = Bench::new();
    bench.start(1).queue(2);
    let stop = Stop {
        by: StoppedBy::Revoked,
        reason: "the user's right was revoked".to_owned(),
        forget: false,
    };
    let input = Input::StopRuns {
        run: None,
        thread: None,
        stop: stop.clone(),
    };
    assert_eq!(bench.give(input), [stopped(2, &stop), Effect::Cancel(run(1))]);
}

#[test]
fn a_stop_ends_no_run_in_between_in_a_thread_that_waits_for_the_users_limit() {
    let mut bench = Bench::new();
    bench.start(1).queue(2).queue(3);
    bench.give(finished(1, answered("")));
    let limited = Input::Promoted {
        run: run(2),
        reply: StoreReply::RunLimit,
    };
    assert_eq!(bench.give(limited), []);
    assert_eq!(
        bench.pass_ms(1).give(stop_frame(4, None)),
        [
            Effect::Grant,
            stop_accepted(4, vec![run(2), run(3)]),
            stopped(2, &by_user()),
            stopped(3, &by_user()),
        ]
    );
    assert!(bench.engine.is_idle());
}

#[test]
fn a_stop_waits_behind_the_message_that_was_sent_before_it() {
    let mut bench = Bench::new();
    bench.give(say(1, OnBusy::Enqueue));
    bench.give(Input::Rated(Rating::Within));
    assert_eq!(bench.give(stop_frame(2, None)), []);
    assert_eq!(
        bench.give(Input::Stored(done(""))),
        [
            vec![reply(accepted(1, AcceptStatus::Started))],
            begins(1),
            vec![Effect::Grant, stop_accepted(2, vec![run(1)]), Effect::Cancel(run(1))],
        ]
        .concat()
    );
}

#[test]
fn a_run_that_panics_or_gives_up_ends_as_what_happened_to_it() {
    for (outcome, end) in [
        (
            Outcome::Panicked,
            died(1, DeathCause::Panic, "a crash ended the run; send the message again"),
        ),
        (
            Outcome::Cancelled,
            failed(
                1,
                "agent_gave_up",
                "the agent ended without an answer; send the message again",
                true,
                None,
            ),
        ),
        (
            Outcome::Failed {
                code: "no_luck".to_owned(),
                message: "try again".to_owned(),
                retryable: true,
            },
            failed(1, "no_luck", "try again", true, None),
        ),
    ] {
        let mut bench = Bench::new();
        bench.start(1);
        assert_eq!(bench.give(finished(1, outcome)), [end]);
        assert!(bench.engine.is_idle());
    }
}
