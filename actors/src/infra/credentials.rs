//! The port through which a session prolongs its credential. The session itself knows no tokens.

use std::time::SystemTime;

use futures_util::future::BoxFuture;

use crate::context::Roles;
use crate::ids::UserId;

/// Checks credentials that arrive on a live socket.
pub trait Credentials: Send + Sync {
    /// Checks a token or a ticket of `user`, and says what it brings.
    fn refresh(
        &self,
        user: UserId,
        token: Option<String>,
        ticket: Option<String>,
    ) -> BoxFuture<'static, Result<Renewed, BadCredential>>;
}

/// What a good credential brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renewed {
    /// When it ends; none: never.
    pub expires_at: Option<SystemTime>,
    /// What its user may do from now on.
    pub roles: Roles,
}

/// The credential is bad, expired, or another user's: not told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the credential is not a valid one of this user")]
pub struct BadCredential;
