//! The outbox: what is durable, what is kept, what goes next.

use bytes::Bytes;

use super::*;
use crate::infra::journal::RunEnd;

fn outbox(events: usize, bytes: usize) -> Outbox {
    let limits = Limits {
        outbox_events: events,
        outbox_bytes: bytes,
        ..Limits::default()
    };
    Outbox::after(Seq::ZERO, &limits)
}

/// Pushes one event with a body of this size.
fn push(outbox: &mut Outbox, bytes: usize) -> Seq {
    let seq = outbox.next_seq();
    outbox.push(EventRecord {
        seq,
        run_id: RunId::mint(),
        thread_id: ThreadId::mint(),
        kind: "custom",
        body: Bytes::from(vec![b'x'; bytes]),
        end: None,
    });
    seq
}

/// Pushes and commits events with bodies of these sizes.
fn commit(outbox: &mut Outbox, sizes: &[usize]) {
    for bytes in sizes {
        push(outbox, *bytes);
    }
    outbox.begin_commit(usize::MAX);
    outbox.commit_done();
}

fn stored(seq: u64, bytes: usize) -> StoredEvent {
    StoredEvent {
        seq: Seq(seq),
        terminal: false,
        body: Bytes::from(vec![b'x'; bytes]),
    }
}

fn seqs(events: &[StoredEvent]) -> Vec<u64> {
    events.iter().map(|event| event.seq.0).collect()
}

/// The numbers of what goes next.
fn next(outbox: &Outbox, frames: usize, bytes: usize) -> Vec<u64> {
    match outbox.next(frames, bytes) {
        Next::Frames(events) => seqs(&events),
        other => panic!("no frames, but {other:?}"),
    }
}

#[test]
fn nothing_is_sent_before_it_is_durable() {
    let mut outbox = outbox(8, 1_000);
    push(&mut outbox, 10);
    assert_eq!(outbox.next(8, 1_000), Next::Nothing);
    outbox.begin_commit(8);
    assert_eq!(outbox.next(8, 1_000), Next::Nothing);
    outbox.commit_done();
    assert_eq!(next(&outbox, 8, 1_000), [1]);
}

#[test]
fn what_the_socket_took_is_not_sent_again() {
    let mut outbox = outbox(8, 1_000);
    commit(&mut outbox, &[10, 10, 10]);
    assert_eq!(next(&outbox, 2, 1_000), [1, 2]);
    outbox.sent(Seq(2));
    assert_eq!(next(&outbox, 2, 1_000), [3]);
    outbox.sent(Seq(3));
    assert_eq!(outbox.next(2, 1_000), Next::Nothing);
    assert_eq!(
        outbox.sent_seq().next(),
        outbox.next_seq(),
        "all that is numbered was sent"
    );
}

#[test]
fn as_many_events_go_at_once_as_there_is_room_for_in_frames_and_in_bytes() {
    let mut outbox = outbox(8, 1_000);
    commit(&mut outbox, &[10, 10, 10]);
    assert_eq!(next(&outbox, 2, 1_000), [1, 2]);
    assert_eq!(next(&outbox, 8, 29), [1, 2]);
    assert_eq!(outbox.next(0, 1_000), Next::NoRoom);
    assert_eq!(outbox.next(8, 9), Next::NoRoom);
}

#[test]
fn the_window_keeps_the_newest_within_both_its_bounds() {
    let mut by_count = outbox(2, 1_000);
    commit(&mut by_count, &[10, 10, 10]);
    let mut by_bytes = outbox(8, 25);
    commit(&mut by_bytes, &[10, 10, 10]);
    for mut outbox in [by_count, by_bytes] {
        assert_eq!(
            outbox.next(8, 1_000),
            Next::ReadBack(Seq::ZERO),
            "1 is in the journal only"
        );
        outbox.attach(Seq(1));
        assert_eq!(next(&outbox, 8, 1_000), [2, 3]);
    }
}

#[test]
fn an_event_larger_than_the_window_is_read_back() {
    let mut outbox = outbox(8, 25);
    commit(&mut outbox, &[10, 26]);
    assert_eq!(outbox.next(8, 1_000), Next::ReadBack(Seq::ZERO));
    outbox.attach(Seq(1));
    assert_eq!(outbox.next(8, 1_000), Next::ReadBack(Seq(1)));
    outbox.sent(Seq(2));
    commit(&mut outbox, &[10]);
    assert_eq!(next(&outbox, 8, 1_000), [3], "what comes after it is in memory again");
}

#[test]
fn a_page_that_was_read_back_goes_on_where_the_client_stands() {
    let mut outbox = outbox(1, 1_000);
    commit(&mut outbox, &[10, 10, 10, 10]);
    let page = [stored(1, 10), stored(2, 10), stored(3, 10)];
    assert_eq!(seqs(&outbox.next_of_page(&page, 2, 1_000)), [1, 2]);
    outbox.sent(Seq(2));
    assert_eq!(seqs(&outbox.next_of_page(&page, 8, 1_000)), [3]);
    outbox.sent(Seq(3));
    assert_eq!(seqs(&outbox.next_of_page(&page, 8, 1_000)), [0; 0]);
    assert_eq!(next(&outbox, 8, 1_000), [4], "the window goes on behind the page");
}

#[test]
fn a_page_of_an_earlier_attachment_is_left_out_where_it_would_leave_a_hole() {
    let mut outbox = outbox(1, 1_000);
    commit(&mut outbox, &[10, 10, 10, 10]);
    outbox.attach(Seq(0));
    let page = [stored(3, 10), stored(4, 10)];
    assert_eq!(outbox.next_of_page(&page, 8, 1_000), []);
    assert_eq!(outbox.next_of_page(&[], 8, 1_000), []);
}

#[test]
fn a_big_frame_goes_alone_when_the_caller_gives_it_all_room() {
    let mut outbox = outbox(8, 10_000);
    commit(&mut outbox, &[500, 10]);
    assert_eq!(outbox.next(8, 100), Next::NoRoom, "10 does not overtake 500");
    assert_eq!(next(&outbox, 1, usize::MAX), [1]);
    assert_eq!(outbox.next_of_page(&[stored(1, 500)], 8, 100), []);
    assert_eq!(seqs(&outbox.next_of_page(&[stored(1, 500)], 1, usize::MAX)), [1]);
}

#[test]
fn an_acknowledgement_frees_memory_and_loses_nothing() {
    let mut outbox = outbox(8, 1_000);
    commit(&mut outbox, &[10, 10, 10]);
    outbox.sent(Seq(3));
    outbox.ack(Seq(2));
    assert_eq!((outbox.window.len(), outbox.window_bytes), (1, 10));
    outbox.attach(Seq(1));
    assert_eq!(
        outbox.next(8, 1_000),
        Next::ReadBack(Seq(1)),
        "a client that forgot what it acknowledged gets it from the journal"
    );
}

#[test]
fn an_acknowledgement_beyond_what_was_sent_frees_only_what_was_sent() {
    let mut outbox = outbox(8, 1_000);
    commit(&mut outbox, &[10, 10, 10]);
    outbox.sent(Seq(1));
    outbox.ack(Seq(u64::MAX));
    assert_eq!(next(&outbox, 8, 1_000), [2, 3]);
}

#[test]
fn a_client_attaches_below_within_and_at_the_end_of_the_window() {
    let mut outbox = outbox(2, 1_000);
    commit(&mut outbox, &[10, 10, 10, 10]);
    outbox.attach(Seq(1));
    assert_eq!(outbox.next(8, 1_000), Next::ReadBack(Seq(1)));
    outbox.attach(Seq(2));
    assert_eq!(next(&outbox, 8, 1_000), [3, 4]);
    outbox.attach(Seq(3));
    assert_eq!(next(&outbox, 8, 1_000), [4]);
    outbox.attach(Seq(4));
    assert_eq!(outbox.next(8, 1_000), Next::Nothing);
}

#[test]
fn a_snapshot_ahead_of_what_is_known_to_be_durable_repeats_nothing() {
    let mut outbox = outbox(8, 1_000);
    commit(&mut outbox, &[10]);
    push(&mut outbox, 10);
    outbox.begin_commit(8);
    // The journal has 2 already, and a snapshot was read as of it.
    outbox.attach(Seq(2));
    assert_eq!(outbox.next(8, 1_000), Next::Nothing);
    outbox.commit_done();
    assert_eq!(outbox.next(8, 1_000), Next::Nothing);
    commit(&mut outbox, &[10]);
    assert_eq!(next(&outbox, 8, 1_000), [3]);
}

#[test]
fn a_session_that_comes_back_goes_on_after_its_last_event_and_reads_back_what_was_before() {
    let mut outbox = Outbox::after(Seq(7), &Limits::default());
    assert_eq!(outbox.next_seq(), Seq(8));
    assert!(outbox.is_durable());
    assert_eq!(
        outbox.sent_seq().next(),
        outbox.next_seq(),
        "all that is numbered was sent"
    );
    outbox.attach(Seq(5));
    assert_eq!(outbox.next(8, 1_000), Next::ReadBack(Seq(5)));
}

#[test]
fn a_commit_that_failed_is_tried_again_with_what_came_meanwhile() {
    let mut outbox = outbox(8, 1_000);
    push(&mut outbox, 10);
    push(&mut outbox, 10);
    let (first, records) = outbox.begin_commit(8);
    assert_eq!((first, records.len()), (Seq(1), 2));
    push(&mut outbox, 10);
    outbox.commit_failed();
    assert_eq!(outbox.next(8, 1_000), Next::Nothing);
    let (first, records) = outbox.begin_commit(8);
    assert_eq!(first, Seq(1));
    assert_eq!(records.iter().map(|record| record.seq.0).collect::<Vec<_>>(), [1, 2, 3]);
    outbox.commit_done();
    assert_eq!(next(&outbox, 8, 1_000), [1, 2, 3]);
}

#[test]
fn a_commit_takes_no_more_than_its_bound_and_the_next_one_the_rest() {
    let mut outbox = outbox(8, 1_000);
    for _ in 0..3 {
        push(&mut outbox, 10);
    }
    assert_eq!(outbox.begin_commit(2).1.len(), 2);
    outbox.commit_done();
    assert_eq!((outbox.committed_seq(), outbox.pending_len()), (Seq(2), 1));
    assert!(!outbox.is_durable());
    let (first, records) = outbox.begin_commit(2);
    assert_eq!((first, records.len()), (Seq(3), 1));
    outbox.commit_done();
    assert!(outbox.is_durable());
}

#[test]
fn a_durable_end_is_reported_with_its_run() {
    let mut outbox = outbox(8, 1_000);
    let (run, thread) = (RunId::mint(), ThreadId::mint());
    push(&mut outbox, 10);
    outbox.push(EventRecord {
        seq: Seq(2),
        run_id: run,
        thread_id: thread,
        kind: "agent_stopped",
        body: Bytes::from_static(b"{}"),
        end: Some(RunEnd {
            state: RunState::Stopped,
            message: None,
            forget: false,
            child: false,
        }),
    });
    outbox.begin_commit(8);
    let state = RunState::Stopped;
    assert_eq!(
        outbox.commit_done(),
        [EndedRun {
            run,
            thread,
            state,
            child: false
        }]
    );
    let Next::Frames(events) = outbox.next(8, 1_000) else {
        panic!("both are in the window");
    };
    assert_eq!(
        events.iter().map(|event| event.terminal).collect::<Vec<_>>(),
        [false, true]
    );
}

#[test]
fn what_an_emitter_gave_along_is_let_go_when_its_event_is_durable_and_not_before() {
    let mut outbox = outbox(8, 1_000);
    let (durable, mut waiting) = oneshot::channel();
    push(&mut outbox, 10);
    push(&mut outbox, 10);
    outbox.entrust(Receipt {
        credit: None,
        durable: Some(durable),
    });
    outbox.begin_commit(1);
    outbox.commit_done();
    assert_eq!(waiting.try_recv(), Err(oneshot::error::TryRecvError::Empty));
    outbox.begin_commit(1);
    outbox.commit_failed();
    assert_eq!(waiting.try_recv(), Err(oneshot::error::TryRecvError::Empty));
    outbox.begin_commit(1);
    outbox.commit_done();
    assert_eq!(waiting.try_recv(), Ok(()));
}

#[test]
fn a_window_that_was_forgotten_is_read_back() {
    let mut outbox = outbox(8, 1_000);
    commit(&mut outbox, &[10, 10]);
    outbox.forget_window();
    assert_eq!(outbox.next(8, 1_000), Next::ReadBack(Seq::ZERO));
    outbox.sent(Seq(2));
    commit(&mut outbox, &[10]);
    assert_eq!(next(&outbox, 8, 1_000), [3]);
}
