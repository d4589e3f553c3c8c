//! The HTTP edge.
pub mod auth;
