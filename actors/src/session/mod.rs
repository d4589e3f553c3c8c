//! What one user's session owns. Every value here belongs to exactly one [`actor::UserSessionActor`], and dies with it.

pub mod actor;
pub mod recovery;
pub mod run;
pub mod sink;
