//! Says whether the process lives, and whether it takes sockets.

use actix_web::{HttpResponse, web};
use sessile_actors::supervisor::TakeCensus;
use tokio::time::timeout;

use super::{ANSWER_TIMEOUT, Problem, RETRY_AFTER, State};

/// `GET /healthz`: the worker answers.
pub(super) async fn alive() -> HttpResponse {
    HttpResponse::Ok().json(serde_json::json!({"status": "ok"}))
}

/// `GET /readyz`: the journal is open (else there is no [`State`]), the supervisor answers, nothing drains.
pub(super) async fn ready(state: web::Data<State>) -> Result<HttpResponse, Problem> {
    let census = timeout(ANSWER_TIMEOUT, state.supervisor.send(TakeCensus)).await;
    match census {
        Ok(Ok(census)) if !census.draining => {
            Ok(HttpResponse::Ok().json(serde_json::json!({"status": "ready", "sessions": census.sessions})))
        }
        Ok(Ok(_)) => Err(Problem::unavailable("the server drains", RETRY_AFTER)),
        Ok(Err(_)) | Err(_) => Err(Problem::unavailable("the server does not answer itself", RETRY_AFTER)),
    }
}
