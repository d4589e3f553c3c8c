//! The tools that agents may call: one file each, one line each in [`all`].

use std::sync::Arc;
use std::time::SystemTime;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sessile_actors::infra::{ToolClassRegistry, ToolError, ToolRegistryBuilder};

use crate::store::{DocumentStore, NoteStore, SupplyStore};
use crate::usage::Catalogue;

pub mod calculator;
pub mod corpus;
pub mod cost_calculator;
pub mod current_time;
#[cfg(test)]
pub(crate) mod doubles;
pub mod notes;
pub mod supply_catalog;
pub mod text_stats;
pub mod usage_analysis;
mod usage_data;

/// What the tools reach their users' rows through.
#[derive(Clone)]
pub struct ToolPorts {
    pub notes: Arc<dyn NoteStore>,
    pub documents: Arc<dyn DocumentStore>,
    pub supply: Arc<dyn SupplyStore>,
    /// What models cost and can do; frozen.
    pub catalogue: Arc<Catalogue>,
}

/// All tools, not yet frozen.
#[must_use]
pub fn all(ports: ToolPorts) -> ToolRegistryBuilder {
    ToolClassRegistry::builder()
        .tool(calculator::Calculator)
        .tool(corpus::Corpus::new(Arc::clone(&ports.documents)))
        .tool(corpus::CorpusDelete::new(Arc::clone(&ports.documents)))
        .tool(cost_calculator::CostCalculator::new(ports.clone()))
        .tool(current_time::CurrentTime::new(SystemTime::now))
        .tool(notes::Notes::new(Arc::clone(&ports.notes)))
        .tool(supply_catalog::SupplyCatalog::new(ports.clone(), SystemTime::now))
        .tool(text_stats::TextStats)
        .tool(usage_analysis::UsageAnalysis::new(ports))
}

/// The JSON Schema of a tool's arguments.
fn parameters<A: JsonSchema>() -> Value {
    schemars::schema_for!(A).to_value()
}

/// A call's arguments. They have passed the schema; what the schema can't say ends here.
fn arguments<A: DeserializeOwned>(arguments: Value) -> Result<A, ToolError> {
    serde_json::from_value(arguments).map_err(|fault| ToolError::BadArguments(fault.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_tools_freeze_and_none_takes_a_field_that_it_did_not_declare() {
        let tools = all(doubles::ports()).freeze().unwrap();
        let names: Vec<_> = tools.specs().map(|spec| spec.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "calculator",
                "corpus",
                "corpus_delete",
                "cost_calculator",
                "current_time",
                "notes",
                "supply_catalog",
                "text_stats",
                "usage_analysis",
            ]
        );
        for spec in tools.specs() {
            assert_eq!(spec.parameters["additionalProperties"], false, "{}", spec.name);
        }
    }
}
