//! The test kit (skeleton).
use std::time::SystemTime;

use crate::context::{SessionContext, UserExecutionContext};
use crate::ids::{RequestId, RunId, SessionId, ThreadId, UserId};

/// A user by name. Panics where the name is no user id: this is a test kit.
#[must_use]
pub fn user(name: &str) -> UserId {
    UserId::parse(name).expect("a test's user name is a valid user id")
}

/// The context of a fresh run of `name`, in a session and a thread of its own.
#[must_use]
pub fn context(name: &str) -> UserExecutionContext {
    SessionContext::new(user(name), SessionId::mint()).run(
        ThreadId::mint(),
        RunId::mint(),
        RequestId::mint(),
        SystemTime::now(),
    )
}
