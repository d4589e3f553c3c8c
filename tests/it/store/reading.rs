//! Reading: snapshots and pages.

use sessile_actors::ids::{CallId, MessageId, Seq, ThreadId, UserId};
use sessile_actors::infra::journal::{HistoryPage, RunRecord, StoreError};
use sessile_actors::protocol::client::Page;
use sessile_actors::protocol::server::{ActiveRun, Event, OpenCall, RunState, StoppedBy};

use super::kit::{World, at, calls, ended, page, returns, says};

super::over_both_backends! {
    a_page_loaded_in_mid_answer_shows_it_whole
    a_snapshot_of_no_session_is_as_of_zero
    a_thread_that_does_not_exist_is_not_found
    history_is_paged_from_the_newest
    history_is_bounded_by_bytes
    a_transcript_is_the_newest_oldest_first
    a_run_is_found_by_its_user_with_its_session_and_its_end
    threads_are_listed_by_last_use_in_pages
}

async fn a_page_loaded_in_mid_answer_shows_it_whole(world: World) {
    let mut holder = world.session("ada").await;
    let mut reader = world.session("ada").await;
    let elsewhere = reader.start("elsewhere").await;
    reader.tell(&elsewhere, &[says(MessageId::mint(), 0, "x")], None).await;
    let run = holder.start("hello").await;
    let waiting = holder.queue("and then").await;
    let (message_ref, open, closed) = (MessageId::mint(), CallId::mint(), CallId::mint());
    let events = [
        says(message_ref, 0, "Grüß"),
        calls(closed),
        calls(open),
        returns(closed),
        says(message_ref, 6, " Gott"),
        says(message_ref, 6, " Gott"),
    ];
    holder.tell(&run, &events, None).await;

    let history = world.history(&reader, holder.thread).await.unwrap();
    assert_eq!(history.as_of_seq, Seq(1), "the reader's line, not the holder's");
    let at_work = ActiveRun {
        run_id: run.run_id,
        session_id: holder.context.session(),
        agent_name: "echo".to_owned(),
        state: RunState::Running,
        message_ref: Some(message_ref),
        text_so_far: "Grüß Gott".to_owned(),
        open_calls: vec![OpenCall {
            call_id: open,
            tool_name: "search".to_owned(),
        }],
    };
    assert_eq!(history.active_runs, [at_work]);
    assert_eq!(history.queued[0].run_id, waiting.run_id);
    assert_eq!(history.messages.len(), 1, "what waits has not been said yet");
    assert_eq!(world.history(&holder, holder.thread).await.unwrap().as_of_seq, Seq(6));
}

async fn a_snapshot_of_no_session_is_as_of_zero(world: World) {
    let mut ada = world.session("ada").await;
    let run = ada.start("hello").await;
    ada.complete(&run, "answer").await;
    let eve = world.session("eve").await;
    let user = ada.context.user().clone();
    for session in [None, Some(eve.context.session())] {
        let history = world.threads.history(user.clone(), ada.thread, session, page(None, 5));
        assert_eq!(history.await.unwrap().as_of_seq, Seq::ZERO);
    }
}

async fn a_thread_that_does_not_exist_is_not_found(world: World) {
    let ada = world.session("ada").await;
    let history = world.history(&ada, ThreadId::mint()).await;
    assert_eq!(history, Err(StoreError::NotFound));
    let transcript = world.threads.transcript(ada.context.user().clone(), ada.thread, 5, 100);
    assert_eq!(transcript.await, Err(StoreError::NotFound), "nothing was said in it");
}

async fn history_is_paged_from_the_newest(world: World) {
    let mut ada = world.session("ada").await;
    for words in ["1", "3", "5"] {
        let run = ada.start(words).await;
        ada.complete(&run, &format!("after {words}")).await;
    }
    let mut pages = Vec::new();
    let mut before = None;
    loop {
        let user = ada.context.user().clone();
        let history = world
            .threads
            .history(user, ada.thread, None, page(before, 4))
            .await
            .unwrap();
        let words = history.messages.into_iter().map(|message| message.content);
        pages.push(words.collect::<Vec<_>>());
        before = history.next_before;
        if before.is_none() {
            break;
        }
    }
    assert_eq!(pages, [vec!["after 5", "5", "after 3", "3"], vec!["after 1", "1"]]);
}

async fn history_is_bounded_by_bytes(world: World) {
    let mut ada = world.session("ada").await;
    let run = ada.start("four").await;
    ada.complete(&run, "a long answer").await;
    for (bytes, expected) in [(17, 2), (16, 1), (1, 1)] {
        let page = HistoryPage {
            before: None,
            messages: 9,
            bytes,
        };
        let user = ada.context.user().clone();
        let history = world.threads.history(user, ada.thread, None, page).await.unwrap();
        assert_eq!(history.messages.len(), expected, "{bytes} bytes");
        assert_eq!(history.next_before.is_some(), expected == 1);
    }
}

async fn a_transcript_is_the_newest_oldest_first(world: World) {
    let mut ada = world.session("ada").await;
    for words in ["one", "two"] {
        let run = ada.start(words).await;
        ada.complete(&run, &format!("after {words}")).await;
    }
    let user = ada.context.user().clone();
    let transcript = world.threads.transcript(user, ada.thread, 3, 1_000).await.unwrap();
    let words: Vec<_> = transcript.iter().map(|message| message.content.as_str()).collect();
    assert_eq!(words, ["after one", "two", "after two"]);
}

async fn a_run_is_found_by_its_user_with_its_session_and_its_end(world: World) {
    let mut ada = world.session("ada").await;
    let eve = world.session("eve").await;
    let run = ada.start("hello").await;
    let look = |user: &UserId| world.threads.run(user.clone(), run.run_id);
    let going = RunRecord {
        session_id: ada.context.session(),
        end: None,
    };
    assert_eq!(look(ada.context.user()).await, Ok(going));
    let ending = [
        says(MessageId::mint(), 0, "answer"),
        Event::AgentStopped {
            stopped_by: StoppedBy::User,
            reason: "enough".to_owned(),
            partial: None,
            discarded_message_ids: Vec::new(),
        },
    ];
    ada.tell(&run, &ending, Some(ended(RunState::Stopped, "answer"))).await;
    let over = RunRecord {
        session_id: ada.context.session(),
        end: ada.read(0, 9, 9_999).await.events.pop().map(|event| event.body),
    };
    assert!(over.end.is_some());
    assert_eq!(look(ada.context.user()).await, Ok(over));
    assert_eq!(look(eve.context.user()).await, Err(StoreError::NotFound));
}

async fn threads_are_listed_by_last_use_in_pages(world: World) {
    let mut ada = world.session("ada").await;
    let user = ada.context.user().clone();
    // All at the same instant: the order is still one.
    for name in ["a", "b", "c"] {
        world
            .threads
            .create(user.clone(), name.to_owned(), at(0))
            .await
            .unwrap();
    }
    ada.start("hello").await;
    world.threads.create(user.clone(), "d".to_owned(), at(0)).await.unwrap();
    let list = async |before| {
        let page = Page { before, limit: Some(3) };
        let page = world.threads.list(user.clone(), page).await.unwrap();
        let names: Vec<_> = page.threads.into_iter().map(|thread| thread.name).collect();
        (names.join(" "), page.next_before)
    };
    let (first, next) = list(None).await;
    assert_eq!((first.as_str(), next.is_some()), ("d a thread c", true));
    assert_eq!(list(next).await, ("b a".to_owned(), None));
}
