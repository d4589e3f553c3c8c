//! Tells what the caller has used.

use std::time::SystemTime;

use actix_web::{HttpResponse, web};
use sessile_actors::protocol::WireBudgets;
use sessile_actors::protocol::server::rfc3339;

use super::threads::refused;
use super::{Caller, Problem, State};

/// `GET /v1/usage`: `{since, resets_at, used, limits}` of the caller's window at this time, over all of their sessions.
pub(super) async fn used(caller: Caller, state: web::Data<State>) -> Result<HttpResponse, Problem> {
    let budgets = &state.infra.limits.budgets;
    let window = budgets.window_at(SystemTime::now());
    let used = state
        .infra
        .threads
        .usage(caller.0.user, window)
        .await
        .map_err(refused)?;
    Ok(HttpResponse::Ok().json(serde_json::json!({
        "since": rfc3339(window.start),
        "resets_at": rfc3339(window.end),
        "used": used,
        "limits": WireBudgets::of(budgets).user,
    })))
}
