//! The port to who may enter: hosts, origins, credentials. Routes know no tokens, only [`Visitor`]s.

use std::time::SystemTime;

use actix_web::dev::Payload;
use actix_web::http::header::HeaderMap;
use actix_web::{FromRequest, HttpRequest};
use async_trait::async_trait;
use futures_util::future::LocalBoxFuture;
use sessile_actors::ids::UserId;

use super::error::Problem;

/// Judges requests before anything is done for them. One instance serves the worker; it is called on its thread.
#[async_trait(?Send)]
pub trait Doorkeeper: Send + Sync {
    /// Checks `Host` against the list, then `Origin`.
    ///
    /// # Errors
    /// 400 or 403.
    fn check_host_and_origin(&self, headers: &HeaderMap) -> Result<(), Problem>;

    /// Says whose request it is. `query` is the raw query string, which may carry a ticket.
    ///
    /// # Errors
    /// 400 for a token in the query, 401 for a missing or bad credential.
    async fn identify(&self, headers: &HeaderMap, query: &str) -> Result<Visitor, Problem>;

    /// Issues a single-use ticket for a socket, bound to the visitor and to the origin of the request.
    ///
    /// # Errors
    /// 429 or 503.
    async fn issue_ticket(&self, visitor: &Visitor, origin: Option<&str>) -> Result<Ticket, Problem>;
}

/// Who sent a request, as their credential says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visitor {
    /// The user.
    pub user: UserId,
    /// When the credential ends; none: never.
    pub expires_at: Option<SystemTime>,
    /// The subprotocol to select: the first one's name that was offered, never the token beside it.
    pub protocol: Option<String>,
    /// The whole value of a `Set-Cookie` header, where a guest was made just now.
    pub set_cookie: Option<String>,
}

/// Opens one socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    /// Opaque.
    pub ticket: String,
    /// When it stops working.
    pub expires_at: SystemTime,
}

/// A request's visitor, for handlers: host, origin and credential have been checked.
#[derive(Debug)]
pub struct Caller(pub Visitor);

impl FromRequest for Caller {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let state = super::state(&request).ok_or_else(Problem::internal)?;
            state.doorkeeper.check_host_and_origin(request.headers())?;
            let visitor = state
                .doorkeeper
                .identify(request.headers(), request.query_string())
                .await?;
            Ok(Self(visitor))
        })
    }
}
