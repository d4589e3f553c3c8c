//! Issues single-use tickets: where a page meets the refusals that a browser never shows it on a socket.

use actix_web::http::header;
use actix_web::{HttpResponse, web};
use sessile_actors::protocol::server::rfc3339;

use super::{Caller, Problem, State};

/// `POST /v1/tickets`: `{ticket, expires_at, user_id}`, with a cookie for a guest that was made just now.
pub(super) async fn issue(caller: Caller, state: web::Data<State>) -> Result<HttpResponse, Problem> {
    let ticket = state.doorkeeper.issue_ticket(&caller.0).await?;
    let mut response = HttpResponse::Ok();
    if let Some(cookie) = caller.0.set_cookie {
        response.insert_header((header::SET_COOKIE, cookie));
    }
    Ok(response.json(serde_json::json!({
        "ticket": ticket.ticket,
        "expires_at": rfc3339(ticket.expires_at),
        "user_id": caller.0.user,
    })))
}
