//! The journal in memory, for tests and benches (skeleton).
