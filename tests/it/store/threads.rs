//! Threads: made, named, switched to, deleted; and never another user's.

use serde_json::json;
use sessile_actors::ids::{Seq, ThreadId};
use sessile_actors::infra::journal::{Accept, StoreCommand, StoreError, StoreReply, UNNAMED};
use sessile_actors::protocol::client::Page;
use sessile_actors::protocol::server::RunState;

use super::kit::{World, accept, asked, at, busy, done, named, page, promote, thinking};

super::over_both_backends! {
    a_thread_has_a_row_once_something_was_said_in_it
    a_thread_is_made_once_and_is_the_current_one
    a_thread_without_a_name_is_named_by_its_first_message
    a_thread_can_be_renamed
    a_session_switches_among_its_users_threads
    another_users_thread_is_not_there
    a_deleted_thread_leaves_its_numbers_and_no_words
    a_thread_at_work_is_not_deleted
    a_deleted_threads_queue_goes_with_it
    http_makes_renames_and_deletes_threads
}

fn create(thread_id: ThreadId, name: &str) -> StoreCommand {
    StoreCommand::CreateThread {
        idempotency: asked(),
        thread_id,
        name: name.to_owned(),
    }
}

fn rename(thread_id: ThreadId, name: &str) -> StoreCommand {
    StoreCommand::RenameThread {
        idempotency: asked(),
        thread_id,
        name: name.to_owned(),
    }
}

fn delete(thread_id: ThreadId, fallback: ThreadId) -> StoreCommand {
    StoreCommand::DeleteThread {
        idempotency: asked(),
        thread_id,
        fallback,
    }
}

const fn switch(thread_id: ThreadId) -> StoreCommand {
    StoreCommand::SwitchThread { thread_id }
}

async fn a_thread_has_a_row_once_something_was_said_in_it(world: World) {
    let mut ada = world.session("ada").await;
    let user = ada.context.user().clone();
    let listed = world.threads.list(user.clone(), Page::default()).await.unwrap();
    assert_eq!(listed.threads, []);
    let history = world.history(&ada, ada.thread).await.unwrap();
    assert_eq!((history.messages.len(), history.thread_id), (0, ada.thread));

    ada.start("hello").await;
    let listed = world.threads.list(user, Page::default()).await.unwrap();
    let names: Vec<_> = listed.threads.iter().map(|thread| thread.name.as_str()).collect();
    assert_eq!(names, ["a thread"]);
}

async fn a_thread_is_made_once_and_is_the_current_one(world: World) {
    let mut ada = world.session("ada").await;
    let thread_id = ThreadId::mint();
    let command = create(thread_id, "plans");
    assert_eq!(ada.ask(command.clone()).await, named("plans"));
    let duplicate = StoreReply::Duplicate {
        thread_id,
        name: "plans".to_owned(),
        run: None,
    };
    assert_eq!(ada.ask(command).await, duplicate);
    let revived = world.journal.revive(ada.context.clone(), at(1)).await.unwrap();
    assert_eq!(revived.thread, thread_id);
}

async fn a_thread_without_a_name_is_named_by_its_first_message(world: World) {
    let mut ada = world.session("ada").await;
    let (unnamed, named_before) = (ThreadId::mint(), ThreadId::mint());
    ada.ask(create(unnamed, UNNAMED)).await;
    ada.ask(create(named_before, "plans")).await;
    for thread in [unnamed, named_before] {
        ada.ask(StoreCommand::Accept(accept(thread, "hello", false))).await;
    }
    assert_eq!(ada.ask(switch(unnamed)).await, named("a thread"));
    assert_eq!(ada.ask(switch(named_before)).await, named("plans"));
}

async fn a_thread_can_be_renamed(world: World) {
    let mut ada = world.session("ada").await;
    ada.start("hello").await;
    assert_eq!(ada.ask(rename(ada.thread, "plans")).await, named("plans"));
    assert_eq!(ada.ask(switch(ada.thread)).await, named("plans"));
    assert_eq!(ada.ask(rename(ThreadId::mint(), "x")).await, StoreReply::NotFound);
}

async fn a_session_switches_among_its_users_threads(world: World) {
    let (mut ada, mut other) = (world.session("ada").await, world.session("ada").await);
    assert_eq!(
        ada.ask(switch(ada.thread)).await,
        done(),
        "its own, though nothing was said in it"
    );
    other.start("hello").await;
    assert_eq!(ada.ask(switch(other.thread)).await, named("a thread"));
    assert_eq!(ada.ask(switch(ThreadId::mint())).await, StoreReply::NotFound);
    let revived = world.journal.revive(ada.context.clone(), at(1)).await.unwrap();
    assert_eq!(revived.thread, other.thread);
}

async fn another_users_thread_is_not_there(world: World) {
    let (mut ada, mut eve) = (world.session("ada").await, world.session("eve").await);
    let run = ada.start("a secret").await;
    let waiting = ada.queue("another").await;
    let thread = ada.thread;
    let commands = [
        StoreCommand::Accept(accept(thread, "let me in", true)),
        StoreCommand::Accept(accept(thread, "let me in", false)),
        StoreCommand::Accept(Accept {
            create_thread: None,
            ..accept(thread, "let me in", false)
        }),
        create(thread, "mine"),
        rename(thread, "mine"),
        switch(thread),
        delete(thread, ThreadId::mint()),
        promote(&waiting),
    ];
    for command in commands {
        let reply = eve.ask(command.clone()).await;
        assert_eq!(reply, StoreReply::NotFound, "{command:?}");
    }
    let user = eve.context.user().clone();
    let (threads, not_found) = (&world.threads, Err(StoreError::NotFound));
    let session = Some(ada.context.session());
    let history = threads.history(user.clone(), thread, session, page(None, 5)).await;
    assert_eq!(history.map(|_| ()), not_found);
    let transcript = threads.transcript(user.clone(), thread, 5, 100).await;
    assert_eq!(transcript.map(|_| ()), not_found);
    let renamed = threads.rename(user.clone(), thread, "mine".to_owned(), at(1)).await;
    assert_eq!(renamed.map(|_| ()), not_found);
    assert_eq!(threads.delete(user.clone(), thread).await, not_found);
    assert_eq!(threads.list(user, Page::default()).await.unwrap().threads, []);
    ada.complete(&run, "an answer").await;
    assert_eq!(world.words(&ada, thread).await, ["a secret", "an answer"]);
}

async fn a_deleted_thread_leaves_its_numbers_and_no_words(world: World) {
    let mut ada = world.session("ada").await;
    let run = ada.start("hello").await;
    ada.complete(&run, "answer").await;
    let elsewhere = accept(ThreadId::mint(), "kept", true);
    ada.ask(StoreCommand::Accept(elsewhere.clone())).await;
    ada.complete(&elsewhere, "kept").await;
    let fallback = ThreadId::mint();
    let command = delete(ada.thread, fallback);
    assert_eq!(ada.ask(command.clone()).await, named("a thread"));
    assert!(matches!(
        ada.ask(command).await,
        StoreReply::Duplicate { run: None, .. }
    ));

    let log = ada.log().await;
    assert_eq!(log[0]["payload"], json!({"erased": true}));
    assert_eq!((&log[0]["seq"], &log[0]["type"]), (&json!(1), &json!("agent_thinking")));
    assert_eq!(log[1]["payload"]["reasoning"], "hm");
    let gone = world.threads.transcript(ada.context.user().clone(), ada.thread, 5, 100);
    assert_eq!(gone.await, Err(StoreError::NotFound));
    let repeated = ada.ask(StoreCommand::Accept(run.clone())).await;
    let duplicate = StoreReply::Duplicate {
        thread_id: run.thread_id,
        name: String::new(),
        run: Some((run.run_id, RunState::Completed)),
    };
    assert_eq!(repeated, duplicate, "a message of a deleted thread is not taken again");
    let revived = world.journal.revive(ada.context.clone(), at(1)).await.unwrap();
    assert_eq!((revived.thread, revived.last_seq), (fallback, Seq(2)));
}

async fn a_thread_at_work_is_not_deleted(world: World) {
    let (mut ada, mut other) = (world.session("ada").await, world.session("ada").await);
    let run = ada.start("hello").await;
    let command = delete(ada.thread, ThreadId::mint());
    assert_eq!(other.ask(command.clone()).await, busy(&run, &ada));
    let by_http = world.threads.delete(ada.context.user().clone(), ada.thread).await;
    assert_eq!(by_http, Err(StoreError::RunActive(run.run_id)));
    ada.complete(&run, "answer").await;
    assert_eq!(other.ask(command).await, named("a thread"));
}

async fn a_deleted_threads_queue_goes_with_it(world: World) {
    let mut ada = world.session("ada").await;
    let waiting = ada.queue("waits").await;
    world
        .threads
        .delete(ada.context.user().clone(), ada.thread)
        .await
        .unwrap();
    assert_eq!(ada.ask(promote(&waiting)).await, StoreReply::NotFound);
    let repeated = ada.ask(StoreCommand::Accept(waiting.clone())).await;
    let stopped = Some((waiting.run_id, RunState::Stopped));
    assert!(matches!(repeated, StoreReply::Duplicate { run, .. } if run == stopped));
    ada.tell(&waiting, &[thinking()], None).await;
    assert!(world.history(&ada, ada.thread).await.unwrap().queued.is_empty());
}

async fn http_makes_renames_and_deletes_threads(world: World) {
    let ada = world.session("ada").await;
    let user = ada.context.user().clone();
    let made = world
        .threads
        .create(user.clone(), "plans".to_owned(), at(1))
        .await
        .unwrap();
    assert_eq!(
        (made.name.as_str(), made.created_at.as_str()),
        ("plans", "2023-11-14T22:13:21.000Z")
    );
    let renamed = world
        .threads
        .rename(user.clone(), made.thread_id, "deeds".to_owned(), at(2));
    assert_eq!(renamed.await.unwrap().name, "deeds");
    assert_eq!(world.threads.delete(user.clone(), made.thread_id).await, Ok(()));
    let again = world.threads.delete(user, made.thread_id).await;
    assert_eq!(again, Err(StoreError::NotFound));
}
