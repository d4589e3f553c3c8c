//! The Sessile runtime: every user session is an actor.

pub mod context;
pub mod ids;
pub mod infra;
pub mod limits;
pub mod protocol;
pub mod session;
pub mod shard;
pub mod supervisor;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
