//! The tools that agents may call: one file each, one line each in [`all`].

use std::sync::Arc;
use std::time::SystemTime;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sessile_actors::infra::{ToolClassRegistry, ToolError, ToolRegistryBuilder};
use tokio::runtime::Handle;

use crate::config;
use crate::store::{DocumentStore, NoteStore, SupplyStore};
use crate::usage::Catalogue;

pub mod calculator;
pub mod corpus;
pub mod cost_calculator;
pub mod current_time;
#[cfg(test)]
pub(crate) mod doubles;
pub mod http_fetch;
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

/// The tools that are off until the operator turns them on: those that are on, made ready.
#[derive(Clone, Default)]
pub struct ToolSettings {
    pub http_fetch: Option<http_fetch::HttpFetch>,
}

impl ToolSettings {
    /// Makes ready what is turned on. What waits for the network does so on `io`.
    ///
    /// # Errors
    /// [`http_fetch::HttpFetchError`] where TLS can't be had.
    pub fn open(config: &config::Tools, io: &Handle) -> Result<Self, http_fetch::HttpFetchError> {
        let fetch = Some(&config.http_fetch).filter(|fetch| fetch.enabled);
        Ok(Self {
            http_fetch: fetch.map(|fetch| http_fetch::HttpFetch::open(fetch, io)).transpose()?,
        })
    }
}

/// All tools, not yet frozen.
#[must_use]
pub fn all(ports: ToolPorts, settings: &ToolSettings) -> ToolRegistryBuilder {
    let tools = ToolClassRegistry::builder()
        .tool(calculator::Calculator)
        .tool(corpus::Corpus::new(Arc::clone(&ports.documents)))
        .tool(corpus::CorpusDelete::new(Arc::clone(&ports.documents)))
        .tool(cost_calculator::CostCalculator::new(ports.clone()))
        .tool(current_time::CurrentTime::new(SystemTime::now))
        .tool(notes::Notes::new(Arc::clone(&ports.notes)))
        .tool(supply_catalog::SupplyCatalog::new(ports.clone(), SystemTime::now))
        .tool(text_stats::TextStats)
        .tool(usage_analysis::UsageAnalysis::new(ports));
    match settings.http_fetch.clone() {
        Some(fetch) => tools.tool(fetch),
        None => tools,
    }
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
        let mut config = config::Config::default().tools;
        config.http_fetch.enabled = true;
        let settings = ToolSettings::open(&config, &Handle::current()).unwrap();
        let tools = all(doubles::ports(), &settings).freeze().unwrap();
        let names: Vec<_> = tools.specs().map(|spec| spec.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "calculator",
                "corpus",
                "corpus_delete",
                "cost_calculator",
                "current_time",
                "http_fetch",
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

    #[tokio::test]
    async fn what_is_not_turned_on_is_not_there() {
        let settings = ToolSettings::open(&config::Config::default().tools, &Handle::current()).unwrap();
        let tools = all(doubles::ports(), &settings).freeze().unwrap();
        assert!(tools.get(http_fetch::NAME).is_none());
    }
}
