//! Messages and their runs: taken once, one at a time.

use sessile_actors::ids::{RunId, ThreadId};
use sessile_actors::infra::journal::{Accept, RunEnd, StoreCommand, StoreReply};
use sessile_actors::protocol::server::RunState;

use super::kit::{World, accept, busy, done, ended, promote, says, thinking};

super::over_both_backends! {
    a_message_that_is_sent_again_is_taken_once
    an_id_that_was_used_for_something_else_is_a_conflict
    a_refusal_is_not_recorded
    a_thread_has_one_active_run_over_all_sessions_of_its_user
    a_user_has_as_many_active_runs_as_are_allowed
    a_queued_run_starts_when_its_thread_is_free
    a_message_that_waited_is_said_after_the_answer_that_it_waited_for
    messages_wait_in_the_order_they_came
    a_run_that_is_rolled_back_is_forgotten_by_its_thread
    a_run_that_ends_early_leaves_what_it_said_as_partial
    a_refusal_leaves_the_rest_of_its_batch_alone
    without_leave_to_make_a_thread_a_missing_one_is_not_found
}

async fn a_message_that_is_sent_again_is_taken_once(world: World) {
    let mut ada = world.session("ada").await;
    let run = ada.start("hello").await;
    let mut again = run.clone();
    again.run_id = RunId::mint();
    let duplicate = |state| StoreReply::Duplicate {
        thread_id: run.thread_id,
        name: "a thread".to_owned(),
        run: Some((run.run_id, state)),
    };
    let reply = ada.ask(StoreCommand::Accept(again.clone())).await;
    assert_eq!(reply, duplicate(RunState::Running));
    ada.complete(&run, "answer").await;

    let mut elsewhere = world.session("ada").await;
    let reply = elsewhere.ask(StoreCommand::Accept(again)).await;
    assert_eq!(reply, duplicate(RunState::Completed));
    assert_eq!(world.words(&ada, run.thread_id).await, ["hello", "answer"]);
}

async fn an_id_that_was_used_for_something_else_is_a_conflict(world: World) {
    let mut ada = world.session("ada").await;
    let run = ada.start("hello").await;
    let mut other = accept(run.thread_id, "something else", true);
    other.idempotency = run.idempotency;
    other.idempotency.digest = [8; 32];
    let command = StoreCommand::Accept(other.clone());
    assert_eq!(ada.ask(command.clone()).await, StoreReply::Conflict);

    // Another user's ids are their own.
    let mut eve = world.session("eve").await;
    other.thread_id = eve.thread;
    assert_eq!(eve.ask(StoreCommand::Accept(other)).await, done());
}

async fn a_refusal_is_not_recorded(world: World) {
    let mut ada = world.session("ada").await;
    let first = ada.start("first").await;
    let second = StoreCommand::Accept(accept(ada.thread, "second", true));
    assert_eq!(ada.ask(second.clone()).await, busy(&first, &ada));
    ada.complete(&first, "answer").await;
    assert_eq!(ada.ask(second).await, done());
}

async fn a_thread_has_one_active_run_over_all_sessions_of_its_user(world: World) {
    let (mut holder, mut other) = (world.session("ada").await, world.session("ada").await);
    let run = holder.start("hello").await;
    let second = StoreCommand::Accept(accept(holder.thread, "me too", true));
    assert_eq!(other.ask(second).await, busy(&run, &holder));
    let waiting = accept(holder.thread, "later", false);
    assert_eq!(other.ask(StoreCommand::Accept(waiting.clone())).await, done());
    assert_eq!(other.ask(promote(&waiting)).await, busy(&run, &holder));
    holder.complete(&run, "answer").await;
    assert_eq!(other.ask(promote(&waiting)).await, done());
}

async fn a_user_has_as_many_active_runs_as_are_allowed(world: World) {
    let mut ada = world.session("ada").await;
    ada.runs_per_user = 2;
    let first = ada.start("one").await;
    let second = accept(ThreadId::mint(), "two", true);
    let third = accept(ThreadId::mint(), "three", true);
    assert_eq!(ada.ask(StoreCommand::Accept(second)).await, done());
    let command = StoreCommand::Accept(third.clone());
    assert_eq!(ada.ask(command.clone()).await, StoreReply::RunLimit);
    let refused = world.history(&ada, third.thread_id).await;
    assert!(refused.is_err(), "a refused message made its thread: {refused:?}");

    let mut waiting = accept(third.thread_id, "four", false);
    waiting.create_thread = Some("waits".to_owned());
    assert_eq!(ada.ask(StoreCommand::Accept(waiting.clone())).await, done());
    assert_eq!(ada.ask(promote(&waiting)).await, StoreReply::RunLimit);
    let mut eve = world.session("eve").await;
    eve.start("another user's are another user's").await;
    ada.complete(&first, "answer").await;
    assert_eq!(ada.ask(promote(&waiting)).await, done());
}

async fn a_queued_run_starts_when_its_thread_is_free(world: World) {
    let mut ada = world.session("ada").await;
    let first = ada.start("first").await;
    let second = ada.queue("second").await;
    assert_eq!(ada.ask(promote(&second)).await, busy(&first, &ada));
    ada.complete(&first, "answer").await;
    assert_eq!(ada.ask(promote(&second)).await, done());
    assert_eq!(
        ada.ask(promote(&second)).await,
        StoreReply::NotFound,
        "it is not queued any more"
    );
    let unknown = accept(ada.thread, "", false);
    assert_eq!(ada.ask(promote(&unknown)).await, StoreReply::NotFound);
}

async fn a_message_that_waited_is_said_after_the_answer_that_it_waited_for(world: World) {
    let mut ada = world.session("ada").await;
    let first = ada.start("first").await;
    let second = ada.queue("second").await;
    assert_eq!(world.words(&ada, ada.thread).await, ["first"]);
    ada.complete(&first, "answer").await;
    ada.ask(promote(&second)).await;
    assert_eq!(world.words(&ada, ada.thread).await, ["first", "answer", "second"]);
}

async fn messages_wait_in_the_order_they_came(world: World) {
    let (mut ada, mut other) = (world.session("ada").await, world.session("ada").await);
    ada.start("at work").await;
    ada.queue("one").await;
    let two = accept(ada.thread, "two", false);
    other.ask(StoreCommand::Accept(two)).await;
    ada.queue("three").await;
    let history = world.history(&ada, ada.thread).await.unwrap();
    let waiting: Vec<_> = history.queued.iter().map(|message| message.content.as_str()).collect();
    assert_eq!(waiting, ["one", "two", "three"]);
}

async fn a_run_that_is_rolled_back_is_forgotten_by_its_thread(world: World) {
    let mut ada = world.session("ada").await;
    let kept = ada.start("kept").await;
    ada.complete(&kept, "kept too").await;
    let run = ada.start("forgotten").await;
    let end = RunEnd {
        forget: true,
        ..ended(RunState::Stopped, "half an")
    };
    ada.tell(&run, &[thinking()], Some(end)).await;
    assert_eq!(world.words(&ada, ada.thread).await, ["kept", "kept too"]);
    ada.start("the thread is free again").await;
}

async fn a_run_that_ends_early_leaves_what_it_said_as_partial(world: World) {
    let mut ada = world.session("ada").await;
    let run = ada.start("hello").await;
    ada.tell(&run, &[thinking()], Some(ended(RunState::Stopped, "half an")))
        .await;
    let silent = ada.start("again").await;
    ada.tell(&silent, &[thinking()], Some(ended(RunState::Failed, "")))
        .await;
    let history = world.history(&ada, ada.thread).await.unwrap();
    let shown: Vec<_> = history
        .messages
        .iter()
        .map(|message| (message.role.as_str(), message.content.as_str(), message.status.as_str()))
        .collect();
    assert_eq!(
        shown,
        [
            ("user", "again", "complete"),
            ("assistant", "half an", "partial"),
            ("user", "hello", "complete")
        ]
    );
}

async fn a_refusal_leaves_the_rest_of_its_batch_alone(world: World) {
    let mut ada = world.session("ada").await;
    let run = ada.start("hello").await;
    let events = ada.records(&run, &[says(sessile_actors::ids::MessageId::mint(), 0, "hi")]);
    let commands = [
        promote(&run),
        StoreCommand::Accept(accept(ada.thread, "refused", true)),
        StoreCommand::Accept(accept(ada.thread, "waits", false)),
    ];
    let batch = ada.batch(events, commands.to_vec());
    let replies = ada.append(batch).await.unwrap();
    assert_eq!(replies, [StoreReply::NotFound, busy(&run, &ada), done()]);
    assert_eq!(ada.log().await.len(), 1);
}

async fn without_leave_to_make_a_thread_a_missing_one_is_not_found(world: World) {
    let mut ada = world.session("ada").await;
    let run = Accept {
        create_thread: None,
        ..accept(ThreadId::mint(), "hello", true)
    };
    assert_eq!(ada.ask(StoreCommand::Accept(run)).await, StoreReply::NotFound);
}
