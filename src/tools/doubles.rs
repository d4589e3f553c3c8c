//! What tests of tools share: calls on behalf of a user.

use serde_json::Value;
use sessile_actors::ids::CallId;
use sessile_actors::infra::{Tool, ToolClassRegistry, ToolContext, ToolError};
use tokio_util::sync::CancellationToken;

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
