//! `supply_catalog`: which models there are, what they cost and can do; and what a user found out to be otherwise.
//!
//! The catalogue is frozen. An update is a row of the user who made it, and only that user sees and reckons with it.

use std::collections::BTreeMap;
use std::time::SystemTime;

use async_trait::async_trait;
use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use sessile_actors::ids::UserId;
use sessile_actors::infra::{Tool, ToolContext, ToolError, ToolSpec};

use super::ToolPorts;
use super::usage_data::{catalogue_of, changes_failed};
use crate::store::supply::{FieldChange, Source, SupplyUpdate};
use crate::usage::catalogue::{Catalogue, Field, Model};

/// The name that models and agents call it by.
pub const NAME: &str = "supply_catalog";

/// Entries of a list at most, and of a search where the call names no number below it: what fits into a tool's output.
const LISTED: usize = 100;

/// Changes of the log that a call returns: the newest.
const LOGGED: usize = 30;

/// How sure an update must be at least.
const CONFIDENCE_MIN: f64 = 0.7;

/// What may be done with the catalogue.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Action {
    /// All models.
    List,
    /// One `model`.
    Get,
    /// Models with a `capability`, at least `min_context` and at most `max_input_price`, the cheapest first.
    Find,
    /// Set `changes` of `model` by `provider`, for this user alone.
    Update,
    /// The updates of this user, the newest first; of one `model` where it is named.
    Log,
}

/// New values. Prices are texts, in US dollars per million tokens.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Changes {
    #[serde(default)]
    #[schemars(length(max = 20))]
    input_usd_per_million: Option<String>,
    #[serde(default)]
    #[schemars(length(max = 20))]
    output_usd_per_million: Option<String>,
    #[serde(default)]
    #[schemars(length(max = 20))]
    cached_input_usd_per_million: Option<String>,
    #[serde(default)]
    context_window: Option<u64>,
    #[serde(default)]
    #[schemars(length(max = 10))]
    capabilities: Option<Vec<String>>,
}

/// Where a value stands.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RawSource {
    #[schemars(length(min = 9, max = 500))]
    url: String,
    #[schemars(length(min = 1, max = 200))]
    title: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// What to do.
    action: Action,
    /// The model; for `get` and `update`, and for `log` if wanted.
    #[serde(default)]
    #[schemars(length(min = 1, max = 100))]
    model: Option<String>,
    /// Who sells it; for `update`.
    #[serde(default)]
    #[schemars(length(min = 1, max = 100))]
    provider: Option<String>,
    /// What a model must be able to do; for `find`: audio, json, reasoning, tools or vision.
    #[serde(default)]
    #[schemars(length(max = 100))]
    capability: Option<String>,
    /// Tokens that its context must hold; for `find`.
    #[serde(default)]
    min_context: Option<u64>,
    /// What a million input tokens may cost, such as "1.00"; for `find`.
    #[serde(default)]
    #[schemars(length(max = 20))]
    max_input_price: Option<String>,
    /// How many to return; for `find`.
    #[serde(default)]
    #[schemars(range(min = 1, max = LISTED))]
    limit: Option<usize>,
    /// The new values; for `update`.
    #[serde(default)]
    changes: Option<Changes>,
    /// How sure they are, from 0 to 1; for `update`. Below 0.7 it is refused.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1))]
    confidence: Option<f64>,
    /// Where they stand; for `update`.
    #[serde(default)]
    #[schemars(length(max = 10))]
    sources: Vec<RawSource>,
    /// Why; for `update`.
    #[serde(default)]
    #[schemars(length(min = 1, max = 1000))]
    reason: Option<String>,
}

/// Shows the catalogue, and keeps users' changes of it.
pub struct SupplyCatalog {
    ports: ToolPorts,
    clock: fn() -> SystemTime,
}

impl SupplyCatalog {
    /// Reads and writes changes through `ports`, with the time of `clock`.
    #[must_use]
    pub fn new(ports: ToolPorts, clock: fn() -> SystemTime) -> Self {
        Self { ports, clock }
    }

    async fn update(&self, user: &UserId, arguments: Arguments) -> Result<Value, ToolError> {
        let name = given(arguments.model.as_deref(), "model", "update")?;
        let shipped = find_model(&self.ports.catalogue, name)?.clone();
        let provider = given(arguments.provider.as_deref(), "provider", "update")?;
        if !provider.eq_ignore_ascii_case(&shipped.provider) {
            return bad(format!(
                "`{}` is sold by {}, not by that provider",
                shipped.model, shipped.provider
            ));
        }
        let confidence = given(arguments.confidence, "confidence", "update")?;
        // Written so that what is no number is refused too.
        if !(CONFIDENCE_MIN..=1.0).contains(&confidence) {
            return bad(format!(
                "an update needs a confidence of {CONFIDENCE_MIN} to 1: look for a better source first"
            ));
        }
        let reason = given(
            arguments.reason.as_deref().map(str::trim).filter(|why| !why.is_empty()),
            "reason",
            "update",
        )?;
        if arguments.sources.is_empty() {
            return bad("`update` needs `sources`: at least one, with url and title".to_owned());
        }
        let is_address = |source: &RawSource| source.url.starts_with("https://") || source.url.starts_with("http://");
        if !arguments.sources.iter().all(is_address) {
            return bad("the url of a source begins with https:// or http://".to_owned());
        }
        let mut own = find_model(&catalogue_of(&self.ports, user).await?, name)?.clone();
        let changes = values(arguments.changes.unwrap_or_default());
        if changes.is_empty() {
            return bad("`update` needs at least one value in `changes`".to_owned());
        }
        for (field, value) in &changes {
            own.set(*field, value).map_err(ToolError::BadArguments)?;
        }
        own.check().map_err(ToolError::BadArguments)?;
        let fields = changes.into_keys().map(|field| FieldChange {
            field: field.as_str().to_owned(),
            shipped: shipped.value(field),
            // As the entry shows it now: "1" and "1.00" are no change.
            new: own.value(field),
        });
        let update = SupplyUpdate {
            model: shipped.model.clone(),
            fields: fields.collect(),
            confidence,
            reason: reason.to_owned(),
            sources: (arguments.sources.into_iter())
                .map(|RawSource { url, title }| Source { url, title })
                .collect(),
            at: (self.clock)(),
        };
        let logged = self.ports.supply.update(user, update).await.map_err(changes_failed)?;
        let catalogue = catalogue_of(&self.ports, user).await?;
        Ok(json!({ "changed": logged, "entry": find_model(&catalogue, name)?.to_json() }))
    }
}

#[async_trait]
impl Tool for SupplyCatalog {
    fn spec(&self) -> ToolSpec {
        ToolSpec::new(
            NAME,
            "Knows prices and abilities of language models, each with source and date: `list`, `get` one, `find` by capability, \
             context and price, `update` values for this user with sources and a confidence, or read the `log` of updates.",
            super::parameters::<Arguments>(),
        )
    }

    async fn call(&self, context: ToolContext, arguments: Value) -> Result<Value, ToolError> {
        let arguments: Arguments = super::arguments(arguments)?;
        // Whose changes they are comes from the verified context; no argument can name somebody else.
        let user = context.user.user().clone();
        match arguments.action {
            Action::List => {
                let catalogue = catalogue_of(&self.ports, &user).await?;
                Ok(listed(catalogue.models().iter().collect(), LISTED))
            }
            Action::Get => {
                let name = given(arguments.model.as_deref(), "model", "get")?;
                let catalogue = catalogue_of(&self.ports, &user).await?;
                Ok(find_model(&catalogue, name)?.to_json())
            }
            Action::Find => find(&catalogue_of(&self.ports, &user).await?, &arguments),
            Action::Update => self.update(&user, arguments).await,
            Action::Log => {
                let model = arguments.model.map(|name| match self.ports.catalogue.get(&name) {
                    Some(model) => model.model.clone(),
                    None => name,
                });
                let log = self
                    .ports
                    .supply
                    .log(&user, model, LOGGED)
                    .await
                    .map_err(changes_failed)?;
                Ok(json!({ "log": log }))
            }
        }
    }
}

fn find(catalogue: &Catalogue, arguments: &Arguments) -> Result<Value, ToolError> {
    let most = arguments.max_input_price.as_deref().map(|text| {
        let price = Decimal::from_str_exact(text)
            .ok()
            .filter(|price| !price.is_sign_negative());
        price.ok_or_else(|| ToolError::BadArguments("`max_input_price` is no price: write it as \"1.00\"".to_owned()))
    });
    let most = most.transpose()?;
    let fits = |model: &&Model| {
        (arguments.capability.as_ref()).is_none_or(|wanted| model.capabilities.contains(&wanted.to_lowercase()))
            && arguments
                .min_context
                .is_none_or(|tokens| model.context_window >= tokens)
            && most.is_none_or(|most| model.price.input <= most)
    };
    let mut found: Vec<&Model> = catalogue.models().iter().filter(fits).collect();
    found.sort_by_key(|model| (model.price.input, model.price.output, &model.model));
    Ok(listed(found, arguments.limit.unwrap_or(LISTED)))
}

fn listed(models: Vec<&Model>, most: usize) -> Value {
    let left_out = models.len().saturating_sub(most);
    let models: Vec<Value> = models.into_iter().take(most).map(Model::to_json).collect();
    json!({ "models": models, "left_out": left_out })
}

/// The values that are there, by field.
fn values(changes: Changes) -> BTreeMap<Field, Value> {
    let values = [
        (Field::Input, changes.input_usd_per_million.map(Value::from)),
        (Field::Output, changes.output_usd_per_million.map(Value::from)),
        (
            Field::CachedInput,
            changes.cached_input_usd_per_million.map(Value::from),
        ),
        (Field::ContextWindow, changes.context_window.map(Value::from)),
        (Field::Capabilities, changes.capabilities.map(Value::from)),
    ];
    values
        .into_iter()
        .filter_map(|(field, value)| Some((field, value?)))
        .collect()
}

fn find_model<'a>(catalogue: &'a Catalogue, name: &str) -> Result<&'a Model, ToolError> {
    let missing = || ToolError::BadArguments("the catalogue has no such model: `list` names them".to_owned());
    catalogue.get(name).ok_or_else(missing)
}

fn given<T>(value: Option<T>, field: &str, action: &str) -> Result<T, ToolError> {
    value.ok_or_else(|| ToolError::BadArguments(format!("`{action}` needs `{field}`")))
}

fn bad<T>(why: String) -> Result<T, ToolError> {
    Err(ToolError::BadArguments(why))
}

#[cfg(test)]
mod tests;
