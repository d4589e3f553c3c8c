//! Threads: made, switched to, renamed, deleted; and the ones that another session of the user wants.

use super::*;

fn delete(number: u64, thread_id: ThreadId) -> Input {
    frame(number, Command::DeleteThread { thread_id })
}

/// What the store is asked for a deletion.
fn delete_command(number: u64, thread_id: ThreadId) -> Effect {
    Effect::Store(StoreCommand::DeleteThread {
        idempotency: idempotency(number, &Command::DeleteThread { thread_id }),
        thread_id,
        fallback: fresh_thread(number),
    })
}

fn deleted(number: u64, thread_id: ThreadId) -> [Effect; 2] {
    [
        Effect::ThreadGone(thread_id),
        reply(Control::ThreadDeleted {
            message_id: Some(message(number)),
            thread_id,
        }),
    ]
}

#[test]
fn a_thread_that_is_made_is_the_current_one() {
    let mut bench = Bench::new();
    let command = Command::CreateThread { name: None };
    let digest = idempotency(1, &command);
    assert_eq!(bench.give(frame(1, command)), [Effect::Grant, Effect::Rate]);
    assert_eq!(
        bench.give(Input::Rated(Rating::Within)),
        [Effect::Store(StoreCommand::CreateThread {
            idempotency: digest,
            thread_id: fresh_thread(1),
            name: "New thread".to_owned(),
        })]
    );
    assert_eq!(
        bench.give(Input::Stored(done("New thread"))),
        [reply(Control::ThreadCreated {
            message_id: message(1),
            thread_id: fresh_thread(1),
            name: "New thread".to_owned(),
            status: None,
        })]
    );
    assert_eq!(bench.engine.current_thread(), fresh_thread(1));
}

#[test]
fn a_repeated_creation_is_answered_by_the_first_thread_and_switches_nothing() {
    let mut bench = Bench::new();
    let repeat = StoreReply::Duplicate {
        thread_id: thread(5),
        name: "first".to_owned(),
        run: None,
    };
    assert_eq!(
        bench.settle(frame(1, Command::CreateThread { name: None }), repeat),
        [reply(Control::ThreadCreated {
            message_id: message(1),
            thread_id: thread(5),
            name: "first".to_owned(),
            status: Some(AcceptStatus::Duplicate),
        })]
    );
    assert_eq!(bench.engine.current_thread(), thread(HOME));
}

#[test]
fn a_switch_changes_where_messages_go_that_name_no_thread() {
    let mut bench = Bench::new();
    assert_eq!(
        bench.settle(frame(1, Command::SwitchThread { thread_id: thread(5) }), done("other")),
        [reply(Control::ThreadSwitched {
            message_id: Some(message(1)),
            thread_id: thread(5),
            name: "other".to_owned(),
        })]
    );
    assert_eq!(
        bench.settle(say(2, OnBusy::Enqueue), done(""))[..1],
        [reply(accepted_in(thread(5), 2, AcceptStatus::Started))]
    );
}

#[test]
fn a_switch_to_a_thread_that_there_is_not_is_refused_and_changes_nothing() {
    let mut bench = Bench::new();
    let switch = frame(1, Command::SwitchThread { thread_id: thread(5) });
    assert_eq!(
        bench.settle(switch, StoreReply::NotFound),
        [refuse(1, ErrorCode::NotFound, "no such thread")]
    );
    assert_eq!(bench.engine.current_thread(), thread(HOME));
}

#[test]
fn a_thread_without_a_name_in_the_frame_is_the_current_one_that_is_renamed() {
    let mut bench = Bench::new();
    let command = Command::RenameThread {
        thread_id: None,
        name: "plans".to_owned(),
    };
    let idempotency = idempotency(1, &command);
    bench.give(frame(1, command));
    assert_eq!(
        bench.give(Input::Rated(Rating::Within)),
        [Effect::Store(StoreCommand::RenameThread {
            idempotency,
            thread_id: thread(HOME),
            name: "plans".to_owned(),
        })]
    );
    assert_eq!(
        bench.give(Input::Stored(done("plans"))),
        [reply(Control::ThreadRenamed {
            message_id: Some(message(1)),
            thread_id: thread(HOME),
            name: "plans".to_owned(),
        })]
    );
}

#[test]
fn a_message_to_a_new_thread_makes_it_and_switches_to_it_when_it_is_accepted() {
    let mut bench = Bench::new();
    let say = Say {
        thread: ThreadTarget::New,
        ..words(OnBusy::Enqueue)
    };
    let effects = bench.settle(frame(1, Command::Say(say)), done(""));
    let switch = Effect::Note(StoreCommand::SwitchThread {
        thread_id: fresh_thread(1),
    });
    let accepted = reply(accepted_in(fresh_thread(1), 1, AcceptStatus::Started));
    assert_eq!(
        effects,
        [vec![switch, accepted], begins_in(fresh_thread(1), 1)].concat()
    );
    assert_eq!(bench.engine.current_thread(), fresh_thread(1));
}

#[test]
fn a_message_may_make_its_thread_only_where_that_is_new_or_the_sessions_own() {
    for (target, create) in [
        (ThreadTarget::Current, Some("hello".to_owned())),
        (ThreadTarget::New, Some("hello".to_owned())),
        (ThreadTarget::Given(thread(HOME)), Some("hello".to_owned())),
        (ThreadTarget::Given(thread(5)), None),
    ] {
        let mut bench = Bench::new();
        let say = Say {
            thread: target,
            ..words(OnBusy::Enqueue)
        };
        bench.give(frame(1, Command::Say(say)));
        let asked = bench.give(Input::Rated(Rating::Within));
        let [Effect::Store(StoreCommand::Accept(accept))] = &asked[..] else {
            panic!("the store is asked: {asked:?}");
        };
        assert_eq!(accept.create_thread, create, "{target:?}");
    }
}

#[test]
fn a_thread_is_named_after_the_first_line_of_its_first_message() {
    for (content, name) in [
        ("  plans \nfor tomorrow".to_owned(), "plans ".to_owned()),
        ("ä".repeat(60), "ä".repeat(60)),
        ("ä".repeat(61), format!("{}…", "ä".repeat(60))),
    ] {
        let mut bench = Bench::new();
        let say = Say {
            content,
            ..words(OnBusy::Enqueue)
        };
        bench.give(frame(1, Command::Say(say)));
        let asked = bench.give(Input::Rated(Rating::Within));
        let [Effect::Store(StoreCommand::Accept(accept))] = &asked[..] else {
            panic!("the store is asked: {asked:?}");
        };
        assert_eq!(accept.create_thread, Some(name));
    }
}

#[test]
fn deleting_the_current_thread_leaves_a_fresh_one_in_its_place() {
    let mut bench = Bench::new();
    bench.give(delete(1, thread(HOME)));
    assert_eq!(
        bench.give(Input::Rated(Rating::Within)),
        [delete_command(1, thread(HOME))]
    );
    assert_eq!(bench.give(Input::Stored(done("old"))), deleted(1, thread(HOME)));
    assert_eq!(bench.engine.current_thread(), fresh_thread(1));
}

#[test]
fn deleting_another_thread_leaves_the_current_one() {
    let mut bench = Bench::new();
    assert_eq!(bench.settle(delete(1, thread(5)), done("other")), deleted(1, thread(5)));
    assert_eq!(bench.engine.current_thread(), thread(HOME));
}

#[test]
fn a_deletion_ends_what_runs_and_waits_in_its_thread_before_the_store_is_asked() {
    let mut bench = Bench::new();
    bench.start(1).queue(2);
    bench.give(delete(3, thread(HOME)));
    assert_eq!(
        bench.give(Input::Rated(Rating::Within)),
        [stopped(2, &thread_deleted()), Effect::Cancel(run(1))]
    );
    assert_eq!(
        bench.give(finished(1, Outcome::Cancelled)),
        [stopped(1, &thread_deleted()), delete_command(3, thread(HOME))]
    );
    assert_eq!(bench.give(Input::Stored(done("old"))), deleted(3, thread(HOME)));
    assert!(bench.engine.is_idle());
}

#[test]
fn a_deletion_waits_for_a_run_that_the_store_is_being_asked_about() {
    let mut bench = Bench::new();
    bench.start(1).queue(2);
    bench.give(finished(1, answered("")));
    bench.give(delete(3, thread(HOME)));
    assert_eq!(bench.give(Input::Rated(Rating::Within)), []);
    assert_eq!(
        bench.give(granted(2)),
        [stopped(2, &thread_deleted()), delete_command(3, thread(HOME))]
    );
}

#[test]
fn a_deletion_of_a_thread_held_elsewhere_asks_the_holder_to_end_and_then_the_store_again() {
    let mut bench = Bench::new();
    assert_eq!(
        bench.settle(delete(1, thread(HOME)), busy_elsewhere()),
        [Effect::AskYield {
            session: session(9),
            thread: thread(HOME),
            run: run(77),
            stop: thread_deleted(),
        }]
    );
    let ended = Input::ThreadChanged {
        thread: thread(HOME),
        run: run(77),
        state: RunState::Stopped,
    };
    assert_eq!(bench.give(ended)[1..], [delete_command(1, thread(HOME))]);
}

#[test]
fn a_run_whose_thread_is_gone_when_its_turn_comes_ends_as_such() {
    let mut bench = Bench::new();
    bench.start(1).queue(2);
    bench.give(finished(1, answered("")));
    let gone = Input::Promoted {
        run: run(2),
        reply: StoreReply::NotFound,
    };
    assert_eq!(bench.give(gone), [stopped(2, &thread_deleted())]);
}

#[test]
fn a_thread_that_another_session_wants_is_given_up_and_what_waits_here_lets_that_one_go_first() {
    let mut bench = Bench::new();
    bench.start(1).queue(2);
    let wanted = Input::Yield {
        thread: thread(HOME),
        run: run(1),
        stop: replaced(false),
    };
    assert_eq!(bench.give(wanted), [Effect::Cancel(run(1))]);
    assert_eq!(
        bench.give(finished(1, Outcome::Cancelled)),
        [stopped(1, &replaced(false))],
        "run 2 does not begin"
    );
    let ended = Input::ThreadChanged {
        thread: thread(HOME),
        run: run(77),
        state: RunState::Completed,
    };
    assert_eq!(bench.give(ended)[1..], [promote(2)]);
}

#[test]
fn what_waits_here_goes_on_after_two_seconds_where_nobody_took_the_thread() {
    let mut bench = Bench::new();
    bench.start(1).queue(2);
    bench.give(Input::Yield {
        thread: thread(HOME),
        run: run(1),
        stop: replaced(false),
    });
    bench.pass_ms(5_000);
    bench.give(finished(1, Outcome::Cancelled));
    assert_eq!(bench.pass_ms(1_999).give(Input::Tick), [], "counted from the run's end");
    assert_eq!(bench.pass_ms(1).give(Input::Tick), [promote(2)]);
}

#[test]
fn a_yield_of_a_run_that_is_not_the_one_at_work_changes_nothing() {
    let mut bench = Bench::new();
    bench.start(1).queue(2);
    for (thread_number, number) in [(HOME, 2), (HOME, 99), (5, 1)] {
        let wanted = Input::Yield {
            thread: thread(thread_number),
            run: run(number),
            stop: replaced(false),
        };
        assert_eq!(bench.give(wanted), []);
    }
    assert_eq!(bench.give(finished(1, answered(""))), [completed_empty(1), promote(2)]);
}

#[test]
fn a_thread_that_another_session_deletes_loses_its_queue_too() {
    let mut bench = Bench::new();
    bench.start(1).queue(2);
    let wanted = Input::Yield {
        thread: thread(HOME),
        run: run(1),
        stop: thread_deleted(),
    };
    assert_eq!(
        bench.give(wanted),
        [stopped(2, &thread_deleted()), Effect::Cancel(run(1))]
    );
}

#[test]
fn lists_and_histories_are_read_without_the_store_being_asked() {
    let mut bench = Bench::new();
    let page = Page {
        before: Some(7),
        limit: None,
    };
    let message_id = Some(message(1));
    assert_eq!(
        bench.give(frame(1, Command::ListThreads(page))),
        [Effect::Grant, Effect::List { message_id, page }]
    );
    assert_eq!(
        bench.give(frame(1, Command::GetThreadHistory(page))),
        [
            Effect::Grant,
            Effect::History {
                message_id,
                thread: thread(HOME),
                page
            }
        ]
    );
}
