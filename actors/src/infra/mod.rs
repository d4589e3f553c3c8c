//! What all sessions share: built before the first connection, then frozen. No setter, no lock, no user's data.
//!
//! Excepted from "no shared mutable state", each for its reason: the counters of [`metrics::Metrics`] (atomics that hold
//! numbers, never an id) and the permits of [`CpuPool`] (a semaphore).

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::limits::Limits;

pub mod agents;
pub mod credentials;
pub mod journal;
pub mod memory;
pub mod metrics;
pub mod model;
pub mod replay;
pub mod tools;

pub use agents::{Agent, AgentClass, AgentClassRegistry, AgentError, AgentRegistryBuilder, Answer};
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

/// A bounded pool of threads for tools that block or compute.
#[derive(Clone)]
pub struct CpuPool {
    runtime: Handle,
    permits: Arc<Semaphore>,
}

impl CpuPool {
    /// Makes a pool of `threads` on the blocking threads of `runtime`.
    #[must_use]
    pub fn new(runtime: Handle, threads: usize) -> Self {
        Self {
            runtime,
            permits: Arc::new(Semaphore::new(threads.max(1))),
        }
    }

    /// Runs `work` on a thread of the pool, once one is free.
    ///
    /// # Errors
    /// The [`tokio::task::JoinError`] of a panic in `work`.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, tokio::task::JoinError> {
        let permit = Arc::clone(&self.permits)
            .acquire_owned()
            .await
            .expect("the pool's semaphore is never closed");
        let runtime = self.runtime.clone();
        self.runtime
            .spawn_blocking(move || {
                let _permit = permit;
                runtime.block_on(work)
            })
            .await
    }
}
