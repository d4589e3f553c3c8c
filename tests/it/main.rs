//! One test binary, a module per promise.

mod interleavings;
mod lifecycle;
