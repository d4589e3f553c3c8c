//! The edge: every route, and the socket's way in.

pub mod error;
pub mod frame_guard;
pub mod socket;
