//! What every request leaves behind: an id, one line in the log, and headers that keep browsers strict.

use std::net::SocketAddr;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use sessile_actors::ids::RequestId;
use tokio::time::Instant;
use tracing::info;

/// The header that carries a request's id back.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Middleware of `App`; the upgrade service does the same by [`log`].
pub(super) async fn leave_trail(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let (id, started) = (RequestId::mint(), Instant::now());
    let method = request.method().clone();
    let path = request.path().to_owned();
    let peer = request.peer_addr();
    let mut response = match next.call(request).await {
        Ok(response) => response,
        Err(error) => {
            // An extractor's refusal: the response is made from it further out, where no header can be added any more.
            log(id, method.as_str(), &path, error.as_response_error().status_code().as_u16(), peer, started);
            return Err(error);
        }
    };
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
    info!(%request_id, method, path, status, elapsed_ms, ?peer, "request");
}
