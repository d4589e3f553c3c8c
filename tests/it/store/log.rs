//! The log: numbers, incarnations, pages.

use sessile_actors::context::SessionContext;
use sessile_actors::ids::{CallId, Fence, MessageId, Seq, SessionId};
use sessile_actors::infra::journal::{JournalError, ReadLimit, ReviveError};
use sessile_actors::protocol::server::{OpenCall, RunState};
use sessile_actors::testing::user;

use super::kit::{World, accept, at, calls, promote, returns, says, thinking};

super::over_both_backends! {
    events_are_numbered_without_a_hole
    a_batch_that_leaves_a_hole_is_refused_and_changes_nothing
    an_incarnation_that_was_replaced_is_refused
    a_session_of_another_user_is_not_there
    a_session_is_opened_once
    a_page_of_events_is_bounded_by_count_and_by_bytes
    a_revived_session_knows_its_runs_and_where_they_stand
}

async fn events_are_numbered_without_a_hole(world: World) {
    let mut ada = world.session("ada").await;
    let run = ada.start("hello").await;
    for _ in 0..3 {
        ada.tell(&run, &vec![thinking(); 11], None).await;
    }
    let numbers: Vec<_> = ada.log().await.iter().map(|event| event["seq"].as_u64()).collect();
    assert_eq!(numbers, (1..=33).map(Some).collect::<Vec<_>>());
}

async fn a_batch_that_leaves_a_hole_is_refused_and_changes_nothing(world: World) {
    let mut ada = world.session("ada").await;
    let run = ada.start("hello").await;
    let mut ahead = ada.batch(ada.records(&run, &[thinking()]), Vec::new());
    ahead.first_seq = Seq(5);
    ahead.events[0].seq = Seq(5);
    let mut torn = ada.batch(ada.records(&run, &[thinking(), thinking()]), Vec::new());
    torn.events[1].seq = Seq(3);
    for batch in [ahead, torn] {
        let refused = ada.append(batch).await;
        assert!(matches!(refused, Err(JournalError::Refused(_))), "{refused:?}");
    }
    assert_eq!(ada.log().await.len(), 0);
    ada.tell(&run, &[thinking()], None).await;
}

async fn an_incarnation_that_was_replaced_is_refused(world: World) {
    let mut old = world.session("ada").await;
    let run = old.start("hello").await;
    let revived = world.journal.revive(old.context.clone(), at(1)).await.unwrap();
    assert_eq!(revived.fence, Fence(2));
    let batch = old.batch(old.records(&run, &[thinking()]), Vec::new());
    assert_eq!(old.append(batch).await, Err(JournalError::Fenced));
    old.fence = revived.fence;
    old.tell(&run, &[thinking()], None).await;
}

async fn a_session_of_another_user_is_not_there(world: World) {
    let mut ada = world.session("ada").await;
    let run = ada.start("hello").await;
    ada.tell(&run, &[thinking()], None).await;
    let theirs = SessionContext::new(user("eve"), ada.context.session());
    let unknown = SessionContext::new(user("eve"), SessionId::mint());
    for session in [theirs.clone(), unknown] {
        let revived = world.journal.revive(session, at(1)).await;
        assert_eq!(revived, Err(ReviveError::NoSuchSession));
    }
    let limit = ReadLimit {
        events: 10,
        bytes: 1_000,
    };
    let read = world.journal.read(theirs.clone(), Seq::ZERO, limit).await;
    assert!(matches!(read, Err(JournalError::Refused(_))), "{read:?}");
    let mut batch = ada.batch(ada.records(&run, &[thinking()]), Vec::new());
    batch.session = theirs;
    let appended = world.journal.append(batch).await;
    assert!(matches!(appended, Err(JournalError::Refused(_))), "{appended:?}");
}

async fn a_session_is_opened_once(world: World) {
    let ada = world.session("ada").await;
    let again = world.journal.open(ada.context.clone(), at(1)).await;
    assert!(matches!(again, Err(JournalError::Refused(_))), "{again:?}");
}

async fn a_page_of_events_is_bounded_by_count_and_by_bytes(world: World) {
    let mut ada = world.session("ada").await;
    let run = ada.start("hello").await;
    ada.tell(&run, &vec![thinking(); 5], None).await;
    let bytes_of_one = ada.read(0, 1, usize::MAX).await.events[0].body.len();
    let numbers = async |after, events, bytes| {
        let page = ada.read(after, events, bytes).await;
        page.events.iter().map(|event| event.seq.0).collect::<Vec<_>>()
    };
    assert_eq!(numbers(0, 3, usize::MAX).await, [1, 2, 3]);
    assert_eq!(numbers(3, 3, usize::MAX).await, [4, 5]);
    assert_eq!(numbers(0, 9, bytes_of_one * 2).await, [1, 2]);
    assert_eq!(numbers(0, 9, 1).await, [1], "at least one, however large");
    assert_eq!(numbers(5, 9, usize::MAX).await, [0; 0]);
}

async fn a_revived_session_knows_its_runs_and_where_they_stand(world: World) {
    let mut ada = world.session("ada").await;
    let ended = ada.start("first").await;
    ada.complete(&ended, "answer").await;
    let active = ada.queue("second").await;
    ada.ask(promote(&active)).await;
    let (message, open, closed) = (MessageId::mint(), CallId::mint(), CallId::mint());
    let events = [
        calls(closed),
        returns(closed),
        says(message, 0, "half "),
        calls(open),
        says(message, 5, "an answer"),
    ];
    ada.tell(&active, &events, None).await;
    let waiting = ada.queue("third").await;

    let revived = world.journal.revive(ada.context.clone(), at(9)).await.unwrap();
    assert_eq!((revived.thread, revived.last_seq), (ada.thread, ada.last));
    let states: Vec<_> = revived.runs.iter().map(|run| (run.run_id, run.state)).collect();
    assert_eq!(
        states,
        [(active.run_id, RunState::Running), (waiting.run_id, RunState::Queued)]
    );
    let run = &revived.runs[0];
    assert_eq!((run.content.as_str(), run.agent.as_str()), ("second", "echo"));
    assert_eq!(run.message_id, active.idempotency.message_id);
    assert_eq!(
        (run.request_id, &run.metadata),
        (active.request_id, &accept(ada.thread, "", true).metadata)
    );
    assert_eq!(run.said, Some((message, "half an answer".to_owned())));
    let tool_name = "search".to_owned();
    assert_eq!(
        run.open_calls,
        [OpenCall {
            call_id: open,
            tool_name
        }]
    );
}
