//! What all sessions share: built before the first connection, then frozen. No setter, no lock, no user's data.
//!
//! Excepted from "no shared mutable state", each for its reason: the counters of [`metrics::Metrics`] (atomics that hold
//! numbers, never an id) and the channel to the keeper of [`CpuPool`], which alone can know how many threads a user's
//! sessions hold together: a session knows no other. It counts calls that run or wait, and forgets a user with the last.

use std::sync::Arc;

use crate::limits::Limits;

pub mod agents;
mod cpu;
pub mod credentials;
pub mod journal;
pub mod memory;
pub mod metrics;
pub mod model;
pub mod replay;
pub mod tools;

pub use agents::{Agent, AgentClass, AgentClassRegistry, AgentError, AgentRegistryBuilder, Answer};
pub use cpu::CpuPool;
pub use journal::{Journal, ThreadStore};
pub use model::{Model, ModelRegistry};
pub use tools::{Tool, ToolClassRegistry, ToolContext, ToolError, ToolRegistryBuilder, ToolSpec};

/// The frozen bundle that every session gets a clone of (behind one `Arc`).
pub struct Infra {
    /// The agents that may run.
    pub agents: AgentClassRegistry,
    /// The tools that they may call.
    pub tools: ToolClassRegistry,
    /// The models that they may ask.
    pub models: ModelRegistry,
    /// Where events are kept.
    pub journal: Arc<dyn Journal>,
    /// Where threads are read.
    pub threads: Arc<dyn ThreadStore>,
    /// Checks credentials that arrive on a live socket.
    pub credentials: Arc<dyn credentials::Credentials>,
    /// The bounds.
    pub limits: Limits,
    /// The counters.
    pub metrics: metrics::Metrics,
    /// Threads for tools that block.
    pub cpu: CpuPool,
}
