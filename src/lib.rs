//! Sessile.

pub mod store;
