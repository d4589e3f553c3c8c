//! The supply catalogue: which models there are, what they cost and can do. Read from TOML, checked as a whole, then frozen.

use std::collections::{BTreeMap, BTreeSet};

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use toml::Spanned;

use super::day::Day;
use super::money;
use super::pricing::Price;

/// The catalogue that the binary carries.
pub const SHIPPED: &str = include_str!("../../config/supply.toml");

/// Entries of one catalogue. Beyond: it is refused.
const MODELS: usize = 500;

/// The highest price of a million tokens, in US dollars: what is above it is a slip.
const PRICE_MAX: u32 = 100_000;

/// Decimals of a price at most, so that sums stay exact.
const PRICE_PLACES: u32 = 6;

/// Tokens of a context window at most: what is above it is a slip.
const WINDOW_MAX: u64 = 1_000_000_000;

/// What a model may be able to do. A word outside this list would never be found.
pub const CAPABILITIES: [&str; 5] = ["audio", "json", "reasoning", "tools", "vision"];

/// How able a model is among its provider's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// Cheap and quick.
    Small,
    /// Between the two.
    Medium,
    /// The ablest.
    Large,
}

impl Tier {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Medium => "medium",
            Self::Large => "large",
        }
    }

    /// Whether `other` is this tier or the next one below.
    #[must_use]
    pub fn is_at_most_one_above(self, other: Self) -> bool {
        other <= self && self as u8 - other as u8 <= 1
    }
}

/// An entry.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// Who sells it.
    pub provider: String,
    /// The name that requests and bills use.
    pub model: String,
    /// Other names of it in usage data.
    pub aliases: Vec<String>,
    /// What it costs.
    pub price: Price,
    /// Tokens of prompt and answer together at most.
    pub context_window: u64,
    /// Tokens of an answer at most, where the provider names a bound.
    pub max_output_tokens: Option<u64>,
    /// What it can do, of [`CAPABILITIES`].
    pub capabilities: BTreeSet<String>,
    /// How able it is.
    pub tier: Tier,
    /// The share of the price that batches save.
    pub batch_discount: Option<Decimal>,
    /// Where the price stands.
    pub source: String,
    /// When it stood there.
    pub as_of: String,
    /// The fields that a user's updates changed.
    pub updated: Vec<&'static str>,
}

/// A field of an entry that users may update for themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    /// `input_usd_per_million`
    Input,
    /// `output_usd_per_million`
    Output,
    /// `cached_input_usd_per_million`
    CachedInput,
    /// `context_window`
    ContextWindow,
    /// `capabilities`
    Capabilities,
}

impl Field {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Input,
        Self::Output,
        Self::CachedInput,
        Self::ContextWindow,
        Self::Capabilities,
    ];

    /// Its name in the catalogue.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Input => "input_usd_per_million",
            Self::Output => "output_usd_per_million",
            Self::CachedInput => "cached_input_usd_per_million",
            Self::ContextWindow => "context_window",
            Self::Capabilities => "capabilities",
        }
    }
}

impl Model {
    /// The value of a field, as the tools show it.
    #[must_use]
    pub fn value(&self, field: Field) -> Value {
        match field {
            Field::Input => json!(money::exact(self.price.input)),
            Field::Output => json!(money::exact(self.price.output)),
            Field::CachedInput => json!(self.price.cached_input.map(money::exact)),
            Field::ContextWindow => json!(self.context_window),
            Field::Capabilities => json!(self.capabilities),
        }
    }

    /// Sets a field to a value as [`Model::value`] shows it.
    ///
    /// # Errors
    /// A sentence that says what the field takes.
    pub fn set(&mut self, field: Field, value: &Value) -> Result<(), String> {
        let name = field.as_str();
        let amount = || match value.as_str() {
            Some(text) => price(text).map_err(|fault| format!("{name} {fault}")),
            None => Err(format!("{name} takes a text such as \"1.25\"")),
        };
        match field {
            Field::Input => self.price.input = amount()?,
            Field::Output => self.price.output = amount()?,
            Field::CachedInput => self.price.cached_input = Some(amount()?),
            Field::ContextWindow => {
                let tokens = value.as_u64().unwrap_or_default();
                self.context_window = window(tokens).map_err(|fault| format!("{name} {fault}"))?;
            }
            Field::Capabilities => {
                let words: Vec<String> = serde_json::from_value(value.clone())
                    .map_err(|_| format!("{name} takes a list of texts such as [\"vision\"]"))?;
                self.capabilities = capabilities(words)?;
            }
        }
        Ok(())
    }

    /// Whether its values fit together.
    ///
    /// # Errors
    /// A sentence that says which don't.
    pub fn check(&self) -> Result<(), String> {
        cached_is_cheaper(&self.price)
    }

    /// The entry as the tools show it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "provider": self.provider,
            "model": self.model,
            "input_usd_per_million": self.value(Field::Input),
            "output_usd_per_million": self.value(Field::Output),
            "cached_input_usd_per_million": self.value(Field::CachedInput),
            "context_window": self.context_window,
            "max_output_tokens": self.max_output_tokens,
            "capabilities": self.capabilities,
            "tier": self.tier,
            "batch_discount": self.batch_discount.map(|share| share.normalize().to_string()),
            "source": self.source,
            "as_of": self.as_of,
            "updated": self.updated,
        })
    }
}

/// Why a catalogue can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {fault}")]
pub struct CatalogueError {
    /// The line of the fault, from 1.
    pub line: usize,
    /// What is wrong, and what to write.
    pub fault: String,
}

/// The models, frozen.
#[derive(Debug, Clone, PartialEq)]
pub struct Catalogue {
    /// In the order of the file.
    models: Vec<Model>,
    /// Where each name and alias stands, in lower case.
    by_name: BTreeMap<String, usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCatalogue {
    #[serde(rename = "model", default)]
    models: Vec<Spanned<RawModel>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawModel {
    provider: String,
    model: String,
    #[serde(default)]
    aliases: Vec<String>,
    input_usd_per_million: String,
    output_usd_per_million: String,
    cached_input_usd_per_million: Option<String>,
    context_window: u64,
    max_output_tokens: Option<u64>,
    capabilities: Vec<String>,
    tier: Tier,
    batch_discount: Option<String>,
    source: String,
    as_of: String,
}

impl Catalogue {
    /// Reads a catalogue and checks it as a whole.
    ///
    /// # Errors
    /// [`CatalogueError`] names the first fault and its line.
    pub fn parse(text: &str) -> Result<Self, CatalogueError> {
        let at = |at: usize, fault: String| {
            let before = text.as_bytes().iter().take(at);
            let line = before.filter(|byte| **byte == b'\n').count() + 1;
            CatalogueError { line, fault }
        };
        let raw: RawCatalogue = toml::from_str(text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            at(start, error.message().to_owned())
        })?;
        if raw.models.is_empty() {
            return Err(at(0, "a catalogue needs at least one [[model]]".to_owned()));
        }
        if raw.models.len() > MODELS {
            return Err(at(
                0,
                format!("a catalogue has at most {MODELS} models: leave some out"),
            ));
        }
        let mut catalogue = Self {
            models: Vec::with_capacity(raw.models.len()),
            by_name: BTreeMap::new(),
        };
        for entry in raw.models {
            let start = entry.span().start;
            let model = checked(entry.into_inner()).map_err(|fault| at(start, fault))?;
            catalogue.add(model).map_err(|fault| at(start, fault))?;
        }
        Ok(catalogue)
    }

    /// The catalogue that the binary carries.
    #[must_use]
    pub fn shipped() -> Self {
        Self::parse(SHIPPED).expect("the embedded catalogue is whole: a test of this file proves it")
    }

    fn add(&mut self, model: Model) -> Result<(), String> {
        let names = std::iter::once(&model.model).chain(&model.aliases);
        for name in names.map(|name| name.to_lowercase()) {
            if self.by_name.contains_key(&name) {
                return Err(format!("`{name}` names two models: each name stands once"));
            }
            self.by_name.insert(name, self.models.len());
        }
        self.models.push(model);
        Ok(())
    }

    /// The models, in the order of the file.
    #[must_use]
    pub fn models(&self) -> &[Model] {
        &self.models
    }

    /// The model of a name or alias, whatever its case.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Model> {
        self.by_name.get(&name.to_lowercase()).map(|place| &self.models[*place])
    }

    /// This catalogue with a user's own values laid over it. What no longer fits (the file names other models now) is left out.
    #[must_use]
    pub fn with<'a>(&self, values: impl IntoIterator<Item = (&'a str, &'a str, &'a Value)>) -> Self {
        let mut own = self.clone();
        for (name, field, value) in values {
            let field = Field::ALL.into_iter().find(|known| known.as_str() == field);
            let place = self.by_name.get(&name.to_lowercase());
            if let (Some(field), Some(place)) = (field, place) {
                let model = &mut own.models[*place];
                if model.set(field, value).is_ok() {
                    model.updated.push(field.as_str());
                }
            }
        }
        own
    }
}

fn checked(raw: RawModel) -> Result<Model, String> {
    for (key, text) in [
        ("provider", &raw.provider),
        ("model", &raw.model),
        ("source", &raw.source),
    ] {
        if text.trim().is_empty() || text.trim() != text {
            return Err(format!("{key} is empty or has spaces around it"));
        }
    }
    if !raw.source.starts_with("https://") {
        return Err("source must be an address that begins with https://".to_owned());
    }
    if Day::parse(&raw.as_of).is_none() {
        return Err(format!("as_of is {:?}: write the day as YYYY-MM-DD", raw.as_of));
    }
    let amount = |key: &str, text: &str| price(text).map_err(|fault| format!("{key} {fault}"));
    let cached_input = raw.cached_input_usd_per_million.as_deref();
    let price = Price {
        input: amount("input_usd_per_million", &raw.input_usd_per_million)?,
        output: amount("output_usd_per_million", &raw.output_usd_per_million)?,
        cached_input: cached_input
            .map(|text| amount("cached_input_usd_per_million", text))
            .transpose()?,
    };
    cached_is_cheaper(&price)?;
    let context_window = window(raw.context_window).map_err(|fault| format!("context_window {fault}"))?;
    if raw
        .max_output_tokens
        .is_some_and(|most| most == 0 || most > context_window)
    {
        return Err("max_output_tokens must be above zero and within context_window".to_owned());
    }
    Ok(Model {
        provider: raw.provider,
        model: raw.model,
        aliases: raw.aliases,
        price,
        context_window,
        max_output_tokens: raw.max_output_tokens,
        capabilities: capabilities(raw.capabilities)?,
        tier: raw.tier,
        batch_discount: raw.batch_discount.as_deref().map(share).transpose()?,
        source: raw.source,
        as_of: raw.as_of,
        updated: Vec::new(),
    })
}

/// A price of a million tokens.
fn price(text: &str) -> Result<Decimal, String> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let amount = Decimal::from_str_exact(text).ok().filter(|_| plain);
    let amount = amount.ok_or_else(|| format!("is {text:?}: write US dollars as \"1.25\""))?;
    if amount.scale() > PRICE_PLACES || amount > Decimal::from(PRICE_MAX) {
        return Err(format!(
            "is {text:?}: a price has at most {PRICE_PLACES} decimals and is at most {PRICE_MAX}"
        ));
    }
    Ok(amount)
}

fn cached_is_cheaper(price: &Price) -> Result<(), String> {
    if price.cached_input.is_some_and(|cached| cached > price.input) {
        return Err(
            "cached_input_usd_per_million is above input_usd_per_million: a cache that costs more is none".to_owned(),
        );
    }
    Ok(())
}

fn share(text: &str) -> Result<Decimal, String> {
    let share = Decimal::from_str_exact(text).ok();
    let share = share.filter(|share| *share > Decimal::ZERO && *share < Decimal::ONE && share.scale() <= 4);
    share.ok_or_else(|| format!("batch_discount is {text:?}: write the share that is saved as \"0.5\""))
}

fn window(tokens: u64) -> Result<u64, String> {
    if tokens == 0 || tokens > WINDOW_MAX {
        return Err(format!("takes a whole number of tokens from 1 to {WINDOW_MAX}"));
    }
    Ok(tokens)
}

fn capabilities(words: Vec<String>) -> Result<BTreeSet<String>, String> {
    match words.iter().find(|word| !CAPABILITIES.contains(&word.as_str())) {
        Some(unknown) => Err(format!(
            "capabilities has the unknown word {unknown:?}: take of {}",
            CAPABILITIES.join(", ")
        )),
        None => Ok(words.into_iter().collect()),
    }
}

#[cfg(test)]
mod tests;
