//! Sessile.
pub mod http;
