//! The promises of Sessile, a module each.

#![allow(
    clippy::unwrap_used,
    reason = "in a test a panic is the answer, and its line says which"
)]

mod agents;
mod approvals;
mod architecture;
mod browser;
mod budgets;
mod chat;
mod children;
mod crash;
mod custom;
mod echo;
mod examples;
mod figures;
mod interleavings;
mod isolation;
mod lifecycle;
mod models;
mod permissions;
mod readme;
mod resume;
mod server;
mod steering;
mod store;
mod threads;
mod workflows;
