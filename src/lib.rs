//! The Sessile server: the edges around the runtime in `sessile-actors`. No session logic lives here.

pub mod agents;
mod banner;
pub mod builder;
pub mod chat;
pub mod cli;
pub mod config;
pub mod guides;
pub mod http;
pub mod models;
mod paint;
mod private_file;
pub mod server;
pub mod store;
pub mod telemetry;
pub mod tools;
pub mod usage;
pub mod workflows;

pub use builder::Sessile;

/// The code in the README compiles as it stands there.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
