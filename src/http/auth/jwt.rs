//! Tokens
/// Shortest
pub const SECRET_MIN_BYTES: usize = 32;
