//! Sessile.

pub mod agents;
pub mod models;
pub mod tools;
