//! Stops runs of a session past its socket, which may be wedged.

use actix_web::{HttpResponse, web};
use serde::Deserialize;
use sessile_actors::ids::{RunId, SessionId};
use sessile_actors::protocol::client::STOP_REASON_MAX_CHARS;
use sessile_actors::protocol::server::StoppedBy;
use sessile_actors::session::actor::StopRuns;
use sessile_actors::supervisor::FindSession;
use tokio::time::timeout;

use super::{ANSWER_TIMEOUT, Caller, Problem, RETRY_AFTER, State};

/// What a stop may say. An empty body stops everything.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Stop {
    run_id: Option<RunId>,
    reason: Option<String>,
}

/// `POST /v1/sessions/{id}/stop`: `{run_ids}`. Unknown, gone and someone else's are one 404.
pub(super) async fn stop(
    caller: Caller,
    state: web::Data<State>,
    session: web::Path<SessionId>,
    body: web::Bytes,
) -> Result<HttpResponse, Problem> {
    let stop: Stop = if body.is_empty() {
        Stop::default()
    } else {
        serde_json::from_slice(&body)
            .map_err(|error| Problem::bad_request(format!("the body is not what this path takes: {error}")))?
    };
    let find = FindSession {
        user: caller.0.user,
        session: session.into_inner(),
    };
    let found = timeout(ANSWER_TIMEOUT, state.supervisor.send(find)).await;
    let session = found
        .map_err(|_| busy())?
        .map_err(|_| busy())?
        .ok_or_else(no_such_session)?;
    let reason = stop.reason.unwrap_or_else(|| "stopped over HTTP".to_owned());
    let stopped = session.send(StopRuns {
        run: stop.run_id,
        thread: None,
        by: StoppedBy::User,
        reason: reason.chars().take(STOP_REASON_MAX_CHARS).collect(),
    });
    // Closed: it ended between the two messages.
    let run_ids = timeout(ANSWER_TIMEOUT, stopped)
        .await
        .map_err(|_| busy())?
        .map_err(|_| no_such_session())?;
    Ok(HttpResponse::Ok().json(serde_json::json!({ "run_ids": run_ids })))
}

fn no_such_session() -> Problem {
    Problem::not_found("there is no such session; list your threads to find what goes on")
}

fn busy() -> Problem {
    Problem::unavailable("the session does not answer; try again", RETRY_AFTER)
}
