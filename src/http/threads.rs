//! Lists, reads and changes a user's threads, with or without a session.

use std::time::{Duration, SystemTime};

use actix_web::{HttpResponse, web};
use serde::Deserialize;
use sessile_actors::ids::{SessionId, ThreadId, UserId};
use sessile_actors::infra::journal::{HistoryPage, StoreError};
use sessile_actors::protocol::client::{Page, THREAD_NAME_MAX_CHARS};
use sessile_actors::protocol::server::StoppedBy;
use sessile_actors::session::engine::Rating;
use sessile_actors::supervisor::{Rate, StopThread, ThreadGone};
use tokio::time::{sleep, timeout};
use tracing::warn;

use super::{ANSWER_TIMEOUT, Caller, Problem, RETRY_AFTER, State};

/// How often a deletion is tried while the thread's runs end.
const DELETE_TRIES: usize = 50;
/// How long it waits in between. A run that has not ended after all of them: 409.
const DELETE_PAUSE: Duration = Duration::from_millis(100);

/// A thread's name.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Named {
    name: String,
}

/// Which part of a thread is read, and for whose `as_of_seq`.
#[derive(Debug, Deserialize)]
pub(super) struct MessagesQuery {
    before: Option<i64>,
    limit: Option<usize>,
    session_id: Option<SessionId>,
}

/// `GET /v1/threads?before&limit`: `{threads, next_before}`.
pub(super) async fn list(
    caller: Caller,
    state: web::Data<State>,
    page: web::Query<Page>,
) -> Result<HttpResponse, Problem> {
    let page = Page {
        before: page.before,
        limit: Some(clamped(&state, page.limit)),
    };
    let page = state.infra.threads.list(caller.0.user, page).await.map_err(refused)?;
    Ok(HttpResponse::Ok().json(serde_json::json!({
        "threads": page.threads,
        "next_before": page.next_before,
    })))
}

/// `POST /v1/threads {name}`: the new thread.
pub(super) async fn create(
    caller: Caller,
    state: web::Data<State>,
    body: web::Json<Named>,
) -> Result<HttpResponse, Problem> {
    let name = checked(body.into_inner())?;
    within_rate(&state, &caller.0.user).await?;
    let made = state.infra.threads.create(caller.0.user, name, SystemTime::now()).await;
    Ok(HttpResponse::Created().json(made.map_err(refused)?))
}

/// `PATCH /v1/threads/{id} {name}`: the thread under its new name.
pub(super) async fn rename(
    caller: Caller,
    state: web::Data<State>,
    thread: web::Path<ThreadId>,
    body: web::Json<Named>,
) -> Result<HttpResponse, Problem> {
    let name = checked(body.into_inner())?;
    within_rate(&state, &caller.0.user).await?;
    let threads = &state.infra.threads;
    let renamed = threads.rename(caller.0.user, thread.into_inner(), name, SystemTime::now());
    Ok(HttpResponse::Ok().json(renamed.await.map_err(refused)?))
}

/// `DELETE /v1/threads/{id}`: stops its runs in every session, then deletes it.
pub(super) async fn delete(
    caller: Caller,
    state: web::Data<State>,
    thread: web::Path<ThreadId>,
) -> Result<HttpResponse, Problem> {
    let (user, thread) = (caller.0.user, thread.into_inner());
    within_rate(&state, &user).await?;
    for _ in 0..DELETE_TRIES {
        // Each time: a run may have begun since the last.
        stop_runs(&state, &user, thread).await?;
        match state.infra.threads.delete(user.clone(), thread).await {
            Ok(()) => {
                forget_bodies(&state, user).await?;
                return Ok(HttpResponse::NoContent().finish());
            }
            Err(StoreError::RunActive(_)) => sleep(DELETE_PAUSE).await,
            Err(error) => return Err(refused(error)),
        }
    }
    Err(Problem::conflict("a run in the thread has not ended yet; try again"))
}

/// `GET /v1/threads/{id}/messages?before&limit&session_id`: a page with all that is needed to go on from there.
pub(super) async fn messages(
    caller: Caller,
    state: web::Data<State>,
    thread: web::Path<ThreadId>,
    query: web::Query<MessagesQuery>,
) -> Result<HttpResponse, Problem> {
    let page = HistoryPage {
        before: query.before,
        messages: clamped(&state, query.limit),
        bytes: state.infra.limits.history_page_bytes,
    };
    let threads = &state.infra.threads;
    let history = threads.history(caller.0.user, thread.into_inner(), query.session_id, page);
    Ok(HttpResponse::Ok().json(history.await.map_err(refused)?))
}

/// Changes cost what messages cost, whichever way they come.
pub(super) async fn within_rate(state: &State, user: &UserId) -> Result<(), Problem> {
    match timeout(ANSWER_TIMEOUT, state.supervisor.send(Rate(user.clone()))).await {
        Ok(Ok(Rating::Within)) => Ok(()),
        Ok(Ok(Rating::Beyond { retry_after })) => Err(Problem::too_many(
            "too many changes; slow down",
            retry_after.max(RETRY_AFTER),
        )),
        Ok(Err(_)) | Err(_) => Err(Problem::unavailable("the server does not answer itself", RETRY_AFTER)),
    }
}

async fn stop_runs(state: &State, user: &UserId, thread: ThreadId) -> Result<(), Problem> {
    let stop = StopThread {
        user: user.clone(),
        thread,
        by: StoppedBy::ThreadDeleted,
    };
    match timeout(ANSWER_TIMEOUT, state.supervisor.send(stop)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(Problem::unavailable("the server does not answer itself", RETRY_AFTER)),
    }
}

/// What sessions in memory keep of the thread goes before the deletion is answered: a resume from there would tell it again.
async fn forget_bodies(state: &State, user: UserId) -> Result<(), Problem> {
    let gone = ThreadGone { user, session: None };
    match timeout(ANSWER_TIMEOUT, state.supervisor.send(gone)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(Problem::unavailable("the server does not answer itself", RETRY_AFTER)),
    }
}

fn clamped(state: &State, limit: Option<usize>) -> usize {
    let limits = &state.infra.limits;
    limit.unwrap_or(limits.history_page).clamp(1, limits.history_page_max)
}

fn checked(named: Named) -> Result<String, Problem> {
    let length = named.name.chars().count();
    if named.name.trim().is_empty() || length > THREAD_NAME_MAX_CHARS {
        return Err(Problem::bad_request(format!(
            "a thread's name has 1 to {THREAD_NAME_MAX_CHARS} characters"
        )));
    }
    Ok(named.name)
}

pub(super) fn refused(error: StoreError) -> Problem {
    match error {
        StoreError::NotFound => Problem::not_found("there is no such thread"),
        StoreError::RunActive(_) => Problem::conflict("a run is active in the thread; stop it first"),
        StoreError::Unavailable(cause) => {
            warn!(cause, "the thread store is unavailable");
            Problem::unavailable("threads can't be reached now; try again", RETRY_AFTER)
        }
    }
}
