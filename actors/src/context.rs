//! Who is asking, and for what: the immutable values that everything done for a user carries.
//!
//! A [`SessionContext`] names a session and its user; a [`UserExecutionContext`] names one run of it. Both are made by the
//! runtime alone, from verified parts: there is no public constructor, no setter and no default.

mod roles;

use std::sync::Arc;
use std::time::SystemTime;

pub use roles::{ROLE_MAX_BYTES, ROLES_MAX, Roles, RolesError};
use serde::Serialize;

use crate::ids::{RequestId, RunId, SessionId, ThreadId, UserId};

/// How deep contexts may nest. A child deeper than this is a runaway agent, and refused.
pub const MAX_DEPTH: u8 = 10;

/// Names a session and its user. Immutable; one per session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionContext {
    user: UserId,
    session: SessionId,
}

impl SessionContext {
    /// Names a session of a user whose token was verified (or whose row was read back).
    #[must_use]
    pub fn new(user: UserId, session: SessionId) -> Self {
        Self { user, session }
    }

    /// The user whose session it is.
    #[must_use]
    pub fn user(&self) -> &UserId {
        &self.user
    }

    /// The session.
    #[must_use]
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// Names a run of this session, caused by the request `request`, for a user with these roles.
    pub(crate) fn run(
        &self,
        thread: ThreadId,
        run: RunId,
        request: RequestId,
        roles: Roles,
        at: SystemTime,
    ) -> UserExecutionContext {
        UserExecutionContext(Arc::new(Inner {
            user: self.user.clone(),
            roles,
            session: self.session,
            thread,
            run,
            request,
            parent: None,
            operation: None,
            depth: 0,
            created_at: at,
        }))
    }
}

/// Names one run: user, session, thread, run and request. Immutable and cheap to clone.
///
/// It can't be built from strings, so what holds one speaks for a user whose token was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserExecutionContext(Arc<Inner>);

#[derive(Debug, PartialEq, Eq)]
struct Inner {
    user: UserId,
    roles: Roles,
    session: SessionId,
    thread: ThreadId,
    run: RunId,
    request: RequestId,
    parent: Option<UserExecutionContext>,
    operation: Option<Box<str>>,
    depth: u8,
    created_at: SystemTime,
}

/// A child would nest deeper than [`MAX_DEPTH`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("contexts nest at most {MAX_DEPTH} deep")]
pub struct TooDeep;

impl UserExecutionContext {
    /// The user for whom the run works.
    #[must_use]
    pub fn user(&self) -> &UserId {
        &self.0.user
    }

    /// What the user may do, as their credential said when the run began.
    #[must_use]
    pub fn roles(&self) -> &Roles {
        &self.0.roles
    }

    /// The session that owns the run.
    #[must_use]
    pub fn session(&self) -> SessionId {
        self.0.session
    }

    /// The conversation that the run belongs to.
    #[must_use]
    pub fn thread(&self) -> ThreadId {
        self.0.thread
    }

    /// The run.
    #[must_use]
    pub fn run(&self) -> RunId {
        self.0.run
    }

    /// The request that caused this context, as in the logs.
    #[must_use]
    pub fn request(&self) -> RequestId {
        self.0.request
    }

    /// How many contexts stand above this one: 0 for a run's own.
    #[must_use]
    pub fn depth(&self) -> u8 {
        self.0.depth
    }

    /// When it was made (wall clock).
    #[must_use]
    pub fn created_at(&self) -> SystemTime {
        self.0.created_at
    }

    /// Makes a context for a part of this run: same user, session, thread and run, a request id of its own.
    ///
    /// # Errors
    /// [`TooDeep`] at a depth of more than [`MAX_DEPTH`].
    pub fn child(&self, operation: &str) -> Result<Self, TooDeep> {
        if self.0.depth >= MAX_DEPTH {
            return Err(TooDeep);
        }
        Ok(Self(Arc::new(Inner {
            user: self.0.user.clone(),
            roles: self.0.roles.clone(),
            session: self.0.session,
            thread: self.0.thread,
            run: self.0.run,
            request: RequestId::mint(),
            parent: Some(self.clone()),
            operation: Some(operation.into()),
            depth: self.0.depth + 1,
            created_at: SystemTime::now(),
        })))
    }

    /// Makes the context of a child run: same user, session and thread, a run and a request of its own. `agent` is the
    /// child's.
    ///
    /// # Errors
    /// [`TooDeep`] at a depth of more than [`MAX_DEPTH`].
    pub(crate) fn child_run(
        &self,
        agent: &str,
        run: RunId,
        request: RequestId,
        at: SystemTime,
    ) -> Result<Self, TooDeep> {
        if self.0.depth >= MAX_DEPTH {
            return Err(TooDeep);
        }
        Ok(Self(Arc::new(Inner {
            user: self.0.user.clone(),
            session: self.0.session,
            thread: self.0.thread,
            run,
            request,
            roles: self.0.roles.clone(),
            parent: Some(self.clone()),
            operation: Some(agent.into()),
            depth: self.0.depth + 1,
            created_at: at,
        })))
    }

    /// How this context came about, from itself up to the run that answers the user: for audit records and logs. Holds ids and operation names only.
    #[must_use]
    pub fn audit_trail(&self) -> Vec<AuditEntry<'_>> {
        std::iter::successors(Some(self), |context| context.0.parent.as_ref())
            .map(|context| AuditEntry {
                user_id: context.user(),
                session_id: context.session(),
                thread_id: context.thread(),
                run_id: context.run(),
                request_id: context.request(),
                operation: context.0.operation.as_deref(),
                depth: context.0.depth,
                created_at: humantime::format_rfc3339_millis(context.0.created_at).to_string(),
            })
            .collect()
    }
}

/// One step of an audit trail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditEntry<'a> {
    /// The user.
    pub user_id: &'a UserId,
    /// The session.
    pub session_id: SessionId,
    /// The conversation.
    pub thread_id: ThreadId,
    /// The run.
    pub run_id: RunId,
    /// This step's request id.
    pub request_id: RequestId,
    /// What the step was made for; none for the run's own context.
    pub operation: Option<&'a str>,
    /// How deep it stands: 0 is the run's own context.
    pub depth: u8,
    /// RFC 3339, UTC, milliseconds.
    pub created_at: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run_context() -> UserExecutionContext {
        let user = UserId::parse("ada").expect("a valid user id");
        SessionContext::new(user, SessionId::mint()).run(
            ThreadId::mint(),
            RunId::mint(),
            RequestId::mint(),
            Roles::freeze(["buyer"]).expect("a role"),
            SystemTime::UNIX_EPOCH,
        )
    }

    #[test]
    fn a_child_speaks_for_the_same_user_and_run_under_a_request_of_its_own() {
        let parent = run_context();
        let child = parent.child("look up").expect("depth 1 is allowed");
        assert_eq!(
            (child.user(), child.thread(), child.run(), child.session()),
            (parent.user(), parent.thread(), parent.run(), parent.session())
        );
        assert!(child.roles().has("buyer"));
        assert_ne!(child.request(), parent.request());
        assert_eq!(child.depth(), 1);
    }

    #[test]
    fn a_child_run_speaks_for_the_same_user_in_the_same_thread_and_its_trail_leads_to_its_parent() {
        let parent = run_context();
        let (run, request) = (RunId::mint(), RequestId::mint());
        let child = parent
            .child_run("poet", run, request, SystemTime::UNIX_EPOCH)
            .expect("depth 1 is allowed");
        assert_eq!(
            (
                child.user(),
                child.thread(),
                child.session(),
                child.run(),
                child.request()
            ),
            (parent.user(), parent.thread(), parent.session(), run, request)
        );
        let call = child.child("search").expect("depth 2 is allowed");
        let trail: Vec<_> = call
            .audit_trail()
            .iter()
            .map(|entry| (entry.run_id, entry.operation))
            .collect();
        assert_eq!(
            trail,
            [(run, Some("search")), (run, Some("poet")), (parent.run(), None)]
        );
    }

    #[test]
    fn contexts_nest_ten_deep_and_no_deeper() {
        let mut context = run_context();
        for _ in 0..MAX_DEPTH {
            context = context.child("deeper").expect("within the limit");
        }
        assert_eq!(context.child("too deep"), Err(TooDeep));
    }

    #[test]
    fn an_audit_trail_leads_from_the_part_to_its_run() {
        let run = run_context();
        let part = run.child("a").and_then(|a| a.child("b")).expect("two deep");
        let operations: Vec<_> = part.audit_trail().iter().map(|entry| entry.operation).collect();
        assert_eq!(operations, [Some("b"), Some("a"), None]);
        assert!(part.audit_trail().iter().all(|entry| entry.run_id == run.run()));
    }
}
