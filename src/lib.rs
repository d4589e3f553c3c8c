//! The Sessile server: the edges around the runtime in `sessile-actors`. No session logic lives here.

pub mod agents;
pub mod models;

pub mod tools;
