//! What every request leaves behind: an id, one line in the log, and headers that keep browsers strict.

use std::net::SocketAddr;

use actix_web::ResponseError as _;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use sessile_actors::ids::RequestId;
use tokio::time::Instant;
use tracing::info;

use super::error::{PROBLEM_JSON, Problem};

/// The header that carries a request's id back.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Middleware of `App`; the upgrade service does the same by [`log`].
pub(super) async fn leave_trail(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse, actix_web::Error> {
    let (id, started) = (RequestId::mint(), Instant::now());
    let method = request.method().clone();
    let path = request.path().to_owned();
    let peer = request.peer_addr();
    let mut response = in_our_words(next.call(request).await?.map_into_boxed_body());
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&id.to_string()) {
        headers.insert(REQUEST_ID, id);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    log(id, method.as_str(), &path, response.status().as_u16(), peer, started);
    Ok(response)
}

/// What a library refused gets the same kind of body as what we refuse.
fn in_our_words(response: ServiceResponse) -> ServiceResponse {
    let status = response.status();
    let content_type = response.headers().get(header::CONTENT_TYPE);
    if status.as_u16() < 400 || content_type.is_some_and(|kind| kind == PROBLEM_JSON) {
        return response;
    }
    response.into_response(Problem::from_status(status).error_response())
}

/// The access log's line. `path` has no query: that may hold a ticket.
pub(super) fn log(
    request_id: RequestId,
    method: &str,
    path: &str,
    status: u16,
    peer: Option<SocketAddr>,
    started: Instant,
) {
    let elapsed_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let peer = peer.map(tracing::field::display);
    info!(%request_id, method, path, status, elapsed_ms, peer, "request");
}
