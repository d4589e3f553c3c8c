//! The port to who may enter: hosts, origins, credentials. Routes know no tokens, only [`Visitor`]s.

use std::time::SystemTime;

use actix_web::dev::Payload;
use actix_web::http::header::HeaderMap;
use actix_web::{FromRequest, HttpRequest};
use async_trait::async_trait;
use futures_util::future::LocalBoxFuture;
use secrecy::ExposeSecret as _;
use sessile_actors::context::Roles;
use sessile_actors::ids::UserId;

use super::auth::origin::Origin;
use super::auth::{Admitted, AuthError, Gate};
use super::error::Problem;

/// Judges requests before anything is done for them. One instance serves the worker; it is called on its thread.
#[async_trait(?Send)]
pub trait Doorkeeper: Send + Sync {
    /// Checks `Host` against the list, then `Origin`.
    ///
    /// # Errors
    /// 400 or 403.
    fn check_host_and_origin(&self, headers: &HeaderMap) -> Result<(), Problem>;

    /// Says who wants a socket. `query` is the raw query string, which may carry a ticket; the ticket is used up.
    ///
    /// # Errors
    /// 400 for a token in the query, 401 for a missing or bad credential, 403 for a foreign host or origin.
    async fn identify_socket(&self, headers: &HeaderMap, query: &str) -> Result<Visitor, Problem>;

    /// Says whose any other request is. Tickets open sockets only.
    ///
    /// # Errors
    /// As [`Doorkeeper::identify_socket`].
    async fn identify(&self, headers: &HeaderMap, query: &str) -> Result<Visitor, Problem>;

    /// Issues a single-use ticket for a socket, bound to the visitor and to the page that they came from.
    ///
    /// # Errors
    /// 503.
    async fn issue_ticket(&self, visitor: &Visitor) -> Result<Ticket, Problem>;
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
    /// The page that the request came from; none: no browser's page.
    pub origin: Option<Origin>,
    /// What the credential says that the user may do.
    pub roles: Roles,
}

impl From<Admitted> for Visitor {
    fn from(admitted: Admitted) -> Self {
        Self {
            user: admitted.identity.user,
            expires_at: admitted.identity.expires_at,
            protocol: admitted.protocol.map(str::to_owned),
            set_cookie: admitted.identity.fresh_guest_cookie,
            origin: admitted.origin,
            roles: admitted.identity.roles,
        }
    }
}

impl From<AuthError> for Problem {
    fn from(refused: AuthError) -> Self {
        match refused {
            AuthError::Unauthorized(why) => Self::unauthorized(why),
            AuthError::Forbidden(why) => Self::forbidden(why),
            AuthError::BadRequest(why) => Self::bad_request(why),
        }
    }
}

#[async_trait(?Send)]
impl Doorkeeper for Gate {
    fn check_host_and_origin(&self, headers: &HeaderMap) -> Result<(), Problem> {
        self.origin(headers)?;
        Ok(())
    }

    async fn identify_socket(&self, headers: &HeaderMap, query: &str) -> Result<Visitor, Problem> {
        Ok(self.session(headers, query).await?.into())
    }

    async fn identify(&self, headers: &HeaderMap, query: &str) -> Result<Visitor, Problem> {
        Ok(self.request(headers, query).await?.into())
    }

    async fn issue_ticket(&self, visitor: &Visitor) -> Result<Ticket, Problem> {
        let issued = self
            .ticket(
                &visitor.user,
                visitor.origin.clone(),
                visitor.expires_at,
                visitor.roles.clone(),
            )
            .await;
        match issued {
            Ok(issued) => Ok(Ticket {
                ticket: issued.ticket.expose_secret().to_owned(),
                expires_at: issued.expires_at,
            }),
            Err(refused) => Err(Problem::unavailable(refused.to_string(), super::RETRY_AFTER)),
        }
    }
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
            let visitor = state
                .doorkeeper
                .identify(request.headers(), request.query_string())
                .await?;
            Ok(Self(visitor))
        })
    }
}
