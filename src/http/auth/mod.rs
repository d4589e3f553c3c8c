//! Who is asking, and from where: the only place where a user's identity is made.
//!
//! The order is fixed: the host, then the origin, then the credential. Nothing here knows handlers or sockets, so the REST
//! routes and the upgrade service ask the same [`Gate`].

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use actix_http::header::HeaderMap;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use secrecy::ExposeSecret;
use sessile_actors::context::Roles;
use sessile_actors::ids::UserId;
use sessile_actors::infra::credentials::{BadCredential, Credentials, Renewed};

use crate::config::{AuthMode, Config};

pub mod guest;
pub mod jwt;
pub mod offer;
pub mod origin;
pub mod tickets;

use guest::Guests;
use jwt::JwtVerifier;
use offer::{Offer, Proof};
use origin::{Origin, OriginPolicy};
use tickets::{Ticket, TicketError, Tickets};

/// Who is asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The user.
    pub user: UserId,
    /// When the credential ends (none: never).
    pub expires_at: Option<SystemTime>,
    /// What the credential says that the user may do.
    pub roles: Roles,
    /// The value of a `Set-Cookie` header for the answer: a new guest's, or a renewed one.
    pub fresh_guest_cookie: Option<String>,
}

/// A request that may enter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admitted {
    /// Who is asking.
    pub identity: Identity,
    /// The page it comes from (none: no browser's page).
    pub origin: Option<Origin>,
    /// The subprotocol to answer with; none where none was offered, and always for REST.
    pub protocol: Option<&'static str>,
}

/// Why a request may not enter. Each is a sentence for the client that says what to do, and shows no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// No credential, or one that isn't valid: HTTP 401.
    #[error("{0}")]
    Unauthorized(String),
    /// A host or an origin that isn't on the list: HTTP 403.
    #[error("{0}")]
    Forbidden(String),
    /// A request that can't be judged: HTTP 400.
    #[error("{0}")]
    BadRequest(String),
}

/// The gate can't be built.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// A key of `auth.keys` can't be used.
    #[error(transparent)]
    Key(#[from] jwt::KeyError),
    /// This instance's identity can't be read or made.
    #[error(transparent)]
    Instance(#[from] guest::InstanceError),
    /// A host or an origin of the configuration can't be read.
    #[error(transparent)]
    Origin(#[from] origin::OriginError),
}

/// Judges every request. Frozen at start but for the tickets, which belong to a task of their own; clones are cheap.
#[derive(Clone)]
pub struct Gate {
    origins: Arc<OriginPolicy>,
    users: Arc<Users>,
    tickets: Tickets,
}

/// How users are known.
enum Users {
    Guests(Guests),
    Tokens(JwtVerifier),
}

impl Gate {
    /// Builds the gate and starts the task of its tickets on the caller's runtime. `bound` is the address that the
    /// listener really got.
    ///
    /// # Errors
    /// [`GateError`] names the key or the file that can't be used.
    pub fn start(config: &Config, bound: SocketAddr) -> Result<Self, GateError> {
        let users = match config.auth.mode {
            AuthMode::Guest => Users::Guests(Guests::open(config)?),
            AuthMode::Jwt => Users::Tokens(JwtVerifier::new(&config.auth)?),
        };
        let origins = OriginPolicy::new(&config.server, bound)?;
        let tickets = Tickets::start(config.auth.ticket_ttl, config.auth.tickets);
        Ok(Self {
            origins: Arc::new(origins),
            users: Arc::new(users),
            tickets,
        })
    }

    /// Checks host and origin alone, for what needs no user.
    ///
    /// # Errors
    /// As [`OriginPolicy::check`].
    pub fn origin(&self, headers: &HeaderMap) -> Result<Option<Origin>, AuthError> {
        self.origins.check(headers)
    }

    /// Judges a request for a socket. A ticket that it shows is used up.
    ///
    /// # Errors
    /// [`AuthError`], which is what the client is told.
    pub async fn session(&self, headers: &HeaderMap, query: &str) -> Result<Admitted, AuthError> {
        let origin = self.origins.check(headers)?;
        let Offer { proof, protocol } = Offer::read(headers, query)?;
        let identity = self.identify(headers, proof, origin.as_ref()).await?;
        Ok(Admitted {
            identity,
            origin,
            protocol,
        })
    }

    /// Judges any other request.
    ///
    /// # Errors
    /// [`AuthError`], which is what the client is told.
    pub async fn request(&self, headers: &HeaderMap, query: &str) -> Result<Admitted, AuthError> {
        let origin = self.origins.check(headers)?;
        let proof = Offer::read_plain(headers, query)?;
        let identity = self.identify(headers, proof, origin.as_ref()).await?;
        Ok(Admitted {
            identity,
            origin,
            protocol: None,
        })
    }

    /// Makes a ticket for who was admitted, good on the same page's sockets.
    ///
    /// # Errors
    /// As [`Tickets::issue`].
    pub async fn ticket(
        &self,
        user: &UserId,
        origin: Option<Origin>,
        expires_at: Option<SystemTime>,
        roles: Roles,
    ) -> Result<Ticket, TicketError> {
        self.tickets.issue(user.clone(), origin, expires_at, roles).await
    }

    async fn identify(
        &self,
        headers: &HeaderMap,
        proof: Option<Proof>,
        origin: Option<&Origin>,
    ) -> Result<Identity, AuthError> {
        let unauthorized = |text: &str| Err(AuthError::Unauthorized(text.to_owned()));
        match (proof, &*self.users) {
            (Some(Proof::Ticket(ticket)), _) => {
                match self.tickets.redeem(ticket.expose_secret(), origin.cloned()).await {
                    Some(redeemed) => Ok(known(redeemed.user, redeemed.expires_at, redeemed.roles)),
                    None => unauthorized("the ticket was used, has expired or is another page's: get a new one"),
                }
            }
            (Some(Proof::Token(token)), Users::Tokens(verifier)) => {
                let verified = verifier.verify(token.expose_secret())?;
                Ok(known(verified.user, Some(verified.expires_at), verified.roles))
            }
            (Some(Proof::Token(_)), Users::Guests(_)) => {
                unauthorized("this server knows guests only: send no token, or set auth.mode to \"jwt\"")
            }
            // The origin has passed, so the cookie comes from a page of ours or from no browser's page.
            (None, Users::Guests(guests)) => guests.identify(headers),
            (None, Users::Tokens(_)) => unauthorized(
                "this server needs a token: send it in the Authorization header or the subprotocol list, or a ticket of \
                 POST /v1/tickets",
            ),
        }
    }

    async fn prolong(
        self,
        user: UserId,
        token: Option<String>,
        ticket: Option<String>,
    ) -> Result<Renewed, BadCredential> {
        let (who, renewed) = match (token, ticket, &*self.users) {
            (Some(token), None, Users::Tokens(verifier)) => {
                let verified = verifier.verify(&token).map_err(|_| BadCredential)?;
                let expires_at = Some(verified.expires_at);
                let roles = verified.roles;
                (verified.user, Renewed { expires_at, roles })
            }
            (None, Some(ticket), _) => {
                let redeemed = self
                    .tickets
                    .redeem_for(&ticket, user.clone())
                    .await
                    .ok_or(BadCredential)?;
                let (expires_at, roles) = (redeemed.expires_at, redeemed.roles);
                (redeemed.user, Renewed { expires_at, roles })
            }
            // A guest has no token; and of two proofs none is the first.
            (Some(_), None, Users::Guests(_)) | (None, None, _) | (Some(_), Some(_), _) => return Err(BadCredential),
        };
        if who == user { Ok(renewed) } else { Err(BadCredential) }
    }
}

impl Credentials for Gate {
    fn refresh(
        &self,
        user: UserId,
        token: Option<String>,
        ticket: Option<String>,
    ) -> BoxFuture<'static, Result<Renewed, BadCredential>> {
        self.clone().prolong(user, token, ticket).boxed()
    }
}

fn known(user: UserId, expires_at: Option<SystemTime>, roles: Roles) -> Identity {
    Identity {
        user,
        expires_at,
        roles,
        fresh_guest_cookie: None,
    }
}

#[cfg(test)]
mod tests;
