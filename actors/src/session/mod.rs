//! What one user's session owns. Every value here belongs to exactly one [`actor::UserSessionActor`], and dies with it.

pub mod actor;
mod approval;
pub mod dispatcher;
pub mod emitter;
pub mod engine;
mod lifecycle;
pub mod outbox;
pub mod recovery;
pub mod run;
mod sanitise;
pub mod sink;
