//! `usage_analysis`: what AI usage cost, where the money went, how it moves and what stands out. It computes, so it runs on the
//! CPU pool.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use sessile_actors::infra::{Tool, ToolContext, ToolError, ToolSpec};

use super::ToolPorts;
use super::usage_data::{TEXT_MAX_CHARS, UsageData, catalogue_of};
use crate::usage::{Format, analyse};

/// The name that models and agents call it by.
pub const NAME: &str = "usage_analysis";

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// The document that holds the usage data; this or `text`.
    #[serde(default)]
    #[schemars(length(max = 36))]
    document_id: Option<String>,
    /// The usage data itself; this or `document_id`.
    #[serde(default)]
    #[schemars(length(max = TEXT_MAX_CHARS))]
    text: Option<String>,
    /// How it is written; guessed where it is missing.
    #[serde(default)]
    format: Option<Format>,
}

/// Analyses usage data. It holds no data itself: each call reads that of its own user.
pub struct UsageAnalysis {
    ports: ToolPorts,
}

impl UsageAnalysis {
    /// Reads documents and changes of the catalogue through `ports`.
    #[must_use]
    pub fn new(ports: ToolPorts) -> Self {
        Self { ports }
    }
}

#[async_trait]
impl Tool for UsageAnalysis {
    fn spec(&self) -> ToolSpec {
        ToolSpec::new(
            NAME,
            "Analyses AI usage data (CSV or JSON rows with timestamp, model, feature, input_tokens, output_tokens and more): totals, \
             costs by model, feature and day, percentiles, trend, outliers, repeated prompts, and whether the data is sufficient.",
            super::parameters::<Arguments>(),
        )
        .blocking()
        .idempotent()
    }

    async fn call(&self, context: ToolContext, arguments: Value) -> Result<Value, ToolError> {
        let Arguments {
            document_id,
            text,
            format,
        } = super::arguments(arguments)?;
        // Whose data and prices they are comes from the verified context; no argument can name somebody else.
        let user = context.user.user().clone();
        let data = UsageData {
            document_id,
            text,
            format,
        };
        let usage = data.read(&self.ports, &user).await?;
        let catalogue = catalogue_of(&self.ports, &user).await?;
        Ok(analyse(&usage, &catalogue).to_json())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::json;
    use sessile_actors::testing::user;

    use super::*;
    use crate::tools::doubles::{call_as, frozen, ports};

    const TABLE: &str = "timestamp,model,feature,input_tokens,output_tokens\n\
        2026-10-01,gpt-4.1,chat,1000000,500000\n\
        2026-10-02,gpt-4.1-mini,search,1000000,0\n";

    #[tokio::test]
    async fn it_reckons_up_a_text_in_the_call() {
        let told = call_as("ada", &UsageAnalysis::new(ports()), json!({"text": TABLE}))
            .await
            .unwrap();
        assert_eq!(told["totals"]["cost_usd"], "6.400000");
        assert_eq!(told["by_feature"][0]["feature"], "chat");
        assert_eq!(told["by_feature"][0]["share_percent"], "93.75");
    }

    #[tokio::test]
    async fn it_reads_the_documents_of_its_own_user_alone() {
        let ports = ports();
        let put = ports.documents.put(
            &user("ada"),
            "usage.csv".to_owned(),
            "text/csv".to_owned(),
            Bytes::from(TABLE),
        );
        let document = put.await.unwrap().document_id;
        let tool = UsageAnalysis::new(ports);
        let told = call_as("ada", &tool, json!({"document_id": document})).await.unwrap();
        assert_eq!(told["rows"], 2);
        let refused = call_as("bob", &tool, json!({"document_id": document})).await;
        let unknown = call_as("bob", &tool, json!({"document_id": uuid::Uuid::now_v7()})).await;
        // Another user's document and none at all look the same.
        assert_eq!(refused, unknown);
        assert!(matches!(refused, Err(ToolError::BadArguments(why)) if why.contains("no document of this id")));
    }

    #[tokio::test]
    async fn what_it_needs_is_said_plainly() {
        let tool = UsageAnalysis::new(ports());
        for (arguments, part) in [
            (json!({}), "give the usage data once"),
            (json!({"text": "a", "document_id": "b"}), "give the usage data once"),
            (json!({"document_id": "usage.csv"}), "no document's id"),
            (json!({"text": ""}), "no usage data"),
            (
                json!({"text": "model,tokens\nm,1"}),
                "no column holds input tokens; name one input_tokens",
            ),
            (json!({"text": "[1,", "format": "json"}), "can't be read"),
        ] {
            let fault = call_as("ada", &tool, arguments.clone()).await;
            assert!(
                matches!(&fault, Err(ToolError::BadArguments(why)) if why.contains(part)),
                "{arguments}: {fault:?}"
            );
        }
    }

    #[tokio::test]
    async fn the_schema_rejects_a_user_and_other_formats() {
        let tools = frozen(UsageAnalysis::new(ports()));
        let class = tools.get(NAME).unwrap();
        assert!(class.spec().blocking && class.spec().idempotent);
        assert_eq!(class.validate(&json!({"text": TABLE, "format": "csv"})), Ok(()));
        assert!(class.validate(&json!({"text": TABLE, "user": "bob"})).is_err());
        assert!(class.validate(&json!({"text": TABLE, "format": "xlsx"})).is_err());
    }
}
