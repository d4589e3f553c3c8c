//! `cost_calculator`: what requests cost, and what could be saved. It computes, so it runs on the CPU pool.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use sessile_actors::infra::{Tool, ToolContext, ToolError, ToolSpec};

use super::ToolPorts;
use super::usage_data::{TEXT_MAX_CHARS, UsageData, catalogue_of};
use crate::usage::catalogue::Catalogue;
use crate::usage::money::{exact, rounded};
use crate::usage::pricing::Tokens;
use crate::usage::{Format, savings};

/// The name that models and agents call it by.
pub const NAME: &str = "cost_calculator";

/// Tokens of one question at most, each kind: beyond, the question is a slip.
const TOKENS_MAX: u64 = 1_000_000_000_000;

/// What is to be reckoned.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Action {
    /// What `input_tokens` and `output_tokens` of `model` cost.
    Price,
    /// What could be saved in the usage of `document_id` or `text`.
    Savings,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// What to reckon.
    action: Action,
    /// The model; for `price`.
    #[serde(default)]
    #[schemars(length(min = 1, max = 100))]
    model: Option<String>,
    /// All input, cached or not; for `price`.
    #[serde(default)]
    #[schemars(range(max = TOKENS_MAX))]
    input_tokens: Option<u64>,
    /// Output; for `price`.
    #[serde(default)]
    #[schemars(range(max = TOKENS_MAX))]
    output_tokens: Option<u64>,
    /// The part of the input that is cached; for `price`.
    #[serde(default)]
    #[schemars(range(max = TOKENS_MAX))]
    cached_input_tokens: Option<u64>,
    /// The document that holds the usage data; for `savings`, this or `text`.
    #[serde(default)]
    #[schemars(length(max = 36))]
    document_id: Option<String>,
    /// The usage data itself; for `savings`, this or `document_id`.
    #[serde(default)]
    #[schemars(length(max = TEXT_MAX_CHARS))]
    text: Option<String>,
    /// How the data is written; guessed where it is missing.
    #[serde(default)]
    format: Option<Format>,
}

/// Reckons costs and savings. It holds no data itself: each call reads that of its own user.
pub struct CostCalculator {
    ports: ToolPorts,
}

impl CostCalculator {
    /// Reads documents and changes of the catalogue through `ports`.
    #[must_use]
    pub fn new(ports: ToolPorts) -> Self {
        Self { ports }
    }
}

#[async_trait]
impl Tool for CostCalculator {
    fn spec(&self) -> ToolSpec {
        ToolSpec::new(
            NAME,
            "Reckons exactly, by the supply catalogue: `price` says what tokens of a model cost; `savings` says what other models, \
             caching, batches and shorter contexts would save in some usage data, and what must hold for it.",
            super::parameters::<Arguments>(),
        )
        .blocking()
        .idempotent()
    }

    async fn call(&self, context: ToolContext, arguments: Value) -> Result<Value, ToolError> {
        let arguments: Arguments = super::arguments(arguments)?;
        // Whose data and prices they are comes from the verified context; no argument can name somebody else.
        let user = context.user.user().clone();
        let catalogue = catalogue_of(&self.ports, &user).await?;
        match arguments.action {
            Action::Price => price(&catalogue, &arguments),
            Action::Savings => {
                let data = UsageData {
                    document_id: arguments.document_id,
                    text: arguments.text,
                    format: arguments.format,
                };
                let usage = data.read(&self.ports, &user).await?;
                Ok(savings(&usage, &catalogue).to_json())
            }
        }
    }
}

fn price(catalogue: &Catalogue, arguments: &Arguments) -> Result<Value, ToolError> {
    let bad = |why: &str| ToolError::BadArguments(why.to_owned());
    let name = arguments.model.as_deref().ok_or_else(|| bad("`price` needs `model`"))?;
    let input = arguments
        .input_tokens
        .ok_or_else(|| bad("`price` needs `input_tokens`"))?;
    let output = arguments
        .output_tokens
        .ok_or_else(|| bad("`price` needs `output_tokens`"))?;
    let cached = arguments.cached_input_tokens.unwrap_or_default();
    let fresh = (input.checked_sub(cached))
        .ok_or_else(|| bad("`cached_input_tokens` is above `input_tokens`, of which it is a part"))?;
    let model = catalogue
        .get(name)
        .ok_or_else(|| bad("the catalogue has no such model: ask `supply_catalog` for a list"))?;
    let cost = model.price.of(Tokens { fresh, cached, output });
    let entry = model.to_json();
    Ok(json!({
        "model": model.model,
        "cost_usd": exact(cost),
        "cost_usd_rounded": rounded(cost),
        "price": {
            "provider": entry["provider"],
            "input_usd_per_million": entry["input_usd_per_million"],
            "output_usd_per_million": entry["output_usd_per_million"],
            "cached_input_usd_per_million": entry["cached_input_usd_per_million"],
            "source": entry["source"],
            "as_of": entry["as_of"],
            "updated": entry["updated"],
        },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::doubles::{call_as, frozen, ports};

    fn asked(model: &str, input: u64, output: u64, cached: u64) -> Value {
        json!({
            "action": "price", "model": model,
            "input_tokens": input, "output_tokens": output, "cached_input_tokens": cached,
        })
    }

    #[tokio::test]
    async fn it_prices_tokens_to_the_last_digit_with_cached_ones_apart() {
        let tool = CostCalculator::new(ports());
        for (model, input, output, cached, cost) in [
            ("gpt-4.1", 1_000_000, 1_000_000, 0, "10.000000"),
            ("GPT-4.1-2025-04-14", 1_000_000, 0, 1_000_000, "0.500000"),
            ("deepseek-v4-pro", 3, 1, 1, "0.000002"),
            // Without a price for cached input it costs what other input does.
            ("command-r7b-12-2024", 1_000_000, 0, 1_000_000, "0.037500"),
            ("gpt-5", 1_000_000_000_000, 0, 0, "1250000.000000"),
        ] {
            let told = call_as("ada", &tool, asked(model, input, output, cached))
                .await
                .unwrap();
            assert_eq!(told["cost_usd"], cost, "{model}");
        }
    }

    #[tokio::test]
    async fn what_it_needs_is_said_plainly() {
        let tool = CostCalculator::new(ports());
        for (arguments, part) in [
            (json!({"action": "price"}), "`price` needs `model`"),
            (
                json!({"action": "price", "model": "gpt-5"}),
                "`price` needs `input_tokens`",
            ),
            (asked("gpt-17", 1, 1, 0), "no such model"),
            (asked("gpt-5", 1, 1, 2), "above `input_tokens`"),
            (json!({"action": "savings"}), "give the usage data once"),
        ] {
            let fault = call_as("ada", &tool, arguments.clone()).await;
            assert!(
                matches!(&fault, Err(ToolError::BadArguments(why)) if why.contains(part)),
                "{arguments}: {fault:?}"
            );
        }
    }

    #[tokio::test]
    async fn the_schema_rejects_what_is_no_question() {
        let tools = frozen(CostCalculator::new(ports()));
        let class = tools.get(NAME).unwrap();
        assert!(class.spec().blocking && class.spec().idempotent);
        assert_eq!(class.validate(&asked("gpt-5", 1, 1, 0)), Ok(()));
        assert!(class.validate(&json!({"action": "refund"})).is_err());
        assert!(class.validate(&json!({"action": "price", "input_tokens": -1})).is_err());
        assert!(class.validate(&json!({"action": "savings", "user": "bob"})).is_err());
    }
}
