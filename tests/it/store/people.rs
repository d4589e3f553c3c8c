//! People in the loop: frames about runs at work are taken once, and what waits for a decision is found again.

use serde_json::json;
use sessile_actors::ids::{CallId, RunId};
use sessile_actors::infra::journal::{Accept, Idempotency, StoreCommand, StoreReply};
use sessile_actors::protocol::server::{ApprovalDecision, Event, PendingApproval, RunState};

use super::children::begun as began;
use super::kit::{World, asked, calls, done, ended, returns, thinking};

super::over_both_backends! {
    a_frame_about_a_run_is_taken_once_over_all_sessions_of_its_user
    a_frame_about_a_run_under_an_id_that_was_used_otherwise_is_a_conflict
    a_call_waits_for_a_person_from_its_request_to_its_decision
    a_run_that_waits_when_its_session_ends_is_found_with_its_open_call
    a_call_that_was_cancelled_while_it_waited_waits_no_more
    a_call_of_a_child_waits_where_its_parent_is_shown
}

fn take(idempotency: Idempotency, run: &Accept) -> StoreCommand {
    StoreCommand::Take {
        idempotency,
        run_id: run.run_id,
        thread_id: run.thread_id,
    }
}

fn asks(call_id: CallId) -> Event {
    Event::ToolApprovalRequested {
        call_id,
        tool_name: "search".to_owned(),
        parameters: json!({"for": "x"}),
        arguments_sha256: "00ff".to_owned(),
        expires_at: "2026-11-20T10:00:00.000Z".to_owned(),
    }
}

fn approved(call_id: CallId) -> Event {
    Event::ToolApprovalDecided {
        call_id,
        decision: ApprovalDecision::Approve,
        note: None,
    }
}

async fn a_frame_about_a_run_is_taken_once_over_all_sessions_of_its_user(world: World) {
    let mut ada = world.session("ada").await;
    let run = ada.start("hello").await;
    let steer = take(asked(), &run);
    assert_eq!(ada.ask(steer.clone()).await, done());
    let duplicate = |state| StoreReply::Duplicate {
        thread_id: run.thread_id,
        name: "a thread".to_owned(),
        run: Some((run.run_id, state)),
    };
    assert_eq!(ada.ask(steer.clone()).await, duplicate(RunState::Running));
    ada.complete(&run, "answer").await;
    let mut elsewhere = world.session("ada").await;
    assert_eq!(elsewhere.ask(steer.clone()).await, duplicate(RunState::Completed));
    // Another user's ids are their own.
    assert_eq!(world.session("eve").await.ask(steer).await, done());
}

async fn a_frame_about_a_run_under_an_id_that_was_used_otherwise_is_a_conflict(world: World) {
    let mut ada = world.session("ada").await;
    let run = ada.start("hello").await;
    let mut other = run.idempotency;
    other.digest = [8; 32];
    assert_eq!(ada.ask(take(other, &run)).await, StoreReply::Conflict);
}

async fn a_call_waits_for_a_person_from_its_request_to_its_decision(world: World) {
    let mut ada = world.session("ada").await;
    let run = ada.start("hello").await;
    let call = CallId::mint();
    ada.tell(&run, &[calls(call), asks(call)], None).await;
    let history = world.history(&ada, ada.thread).await.unwrap();
    let request = PendingApproval {
        run_id: run.run_id,
        call_id: call,
        tool_name: "search".to_owned(),
        parameters: json!({"for": "x"}),
        arguments_sha256: "00ff".to_owned(),
        expires_at: "2026-11-20T10:00:00.000Z".to_owned(),
    };
    assert_eq!(history.pending_approvals, [request]);
    assert_eq!(history.active_runs[0].state, RunState::Waiting);
    assert_eq!(history.active_runs[0].open_calls.len(), 1);

    ada.tell(&run, &[approved(call)], None).await;
    let history = world.history(&ada, ada.thread).await.unwrap();
    assert_eq!(history.pending_approvals, []);
    assert_eq!(history.active_runs[0].state, RunState::Running);
    assert_eq!(history.active_runs[0].open_calls.len(), 1, "the tool is at work");
    let foreign = world.session("eve").await;
    assert!(world.history(&foreign, ada.thread).await.is_err());
}

async fn a_run_that_waits_when_its_session_ends_is_found_with_its_open_call(world: World) {
    let mut ada = world.session("ada").await;
    let run = ada.start("hello").await;
    let call = CallId::mint();
    ada.tell(&run, &[calls(call), asks(call)], None).await;
    let revived = world
        .journal
        .revive(ada.context.clone(), super::kit::at(9))
        .await
        .unwrap();
    let found: Vec<(RunId, RunState, usize)> = revived
        .runs
        .iter()
        .map(|run| (run.run_id, run.state, run.open_calls.len()))
        .collect();
    assert_eq!(found, [(run.run_id, RunState::Waiting, 1)]);
}

async fn a_call_that_was_cancelled_while_it_waited_waits_no_more(world: World) {
    let mut ada = world.session("ada").await;
    let run = ada.start("hello").await;
    let call = CallId::mint();
    ada.tell(&run, &[calls(call), asks(call), returns(call)], None).await;
    let history = world.history(&ada, ada.thread).await.unwrap();
    assert_eq!(history.pending_approvals, []);
    ada.tell(&run, &[thinking()], Some(ended(RunState::Stopped, ""))).await;
    let history = world.history(&ada, ada.thread).await.unwrap();
    assert_eq!(history.active_runs, []);
}

async fn a_call_of_a_child_waits_where_its_parent_is_shown(world: World) {
    let mut ada = world.session("ada").await;
    let run = ada.start("hello").await;
    let child = Accept {
        run_id: RunId::mint(),
        ..run.clone()
    };
    let (call, begun) = (CallId::mint(), began(&child, run.run_id));
    ada.tell(&child, &[begun, calls(call), asks(call)], None).await;
    let history = world.history(&ada, ada.thread).await.unwrap();
    let waiting: Vec<_> = history
        .pending_approvals
        .iter()
        .map(|call| (call.run_id, call.call_id))
        .collect();
    assert_eq!(waiting, [(child.run_id, call)]);
    let shown: Vec<_> = history.active_runs.iter().map(|run| (run.run_id, run.state)).collect();
    assert_eq!(
        shown,
        [(run.run_id, RunState::Waiting)],
        "who waits for the child waits too"
    );
    ada.tell(&child, &[approved(call)], None).await;
    let history = world.history(&ada, ada.thread).await.unwrap();
    assert_eq!(history.pending_approvals, []);
    assert_eq!(history.active_runs[0].state, RunState::Running);
}
