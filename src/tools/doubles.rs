//! What tests of tools share: ports to empty stores, and calls on behalf of a user.

use std::sync::Arc;

use serde_json::Value;
use sessile_actors::ids::CallId;
use sessile_actors::infra::{Tool, ToolClassRegistry, ToolContext, ToolError};
use tokio_util::sync::CancellationToken;

use super::ToolPorts;
use crate::store::{MemoryDocuments, MemoryNotes, MemorySupply};
use crate::usage::Catalogue;

/// Ports to stores in memory, with nothing in them, and the shipped catalogue.
pub fn ports() -> ToolPorts {
    ToolPorts {
        notes: Arc::new(MemoryNotes::start()),
        documents: Arc::new(MemoryDocuments::start()),
        supply: Arc::new(MemorySupply::start()),
        catalogue: Arc::new(Catalogue::shipped()),
    }
}

/// Freezes one tool.
pub fn frozen(tool: impl Tool + 'static) -> ToolClassRegistry {
    ToolClassRegistry::builder().tool(tool).freeze().unwrap()
}

/// Calls a tool for the user of this name.
pub async fn call_as(user: &str, tool: &dyn Tool, arguments: Value) -> Result<Value, ToolError> {
    let context = ToolContext {
        user: sessile_actors::testing::context(user),
        call: CallId::mint(),
        cancelled: CancellationToken::new(),
    };
    tool.call(context, arguments).await
}
