//! What tokens cost: exact, with cached input at its own price.

use rust_decimal::Decimal;

use super::catalogue::{Catalogue, Model};
use super::reading::{Row, Usage};

/// Prices are per this many tokens.
const MILLION: Decimal = Decimal::from_parts(1_000_000, 0, 0, false, 0);

/// US dollars for a million tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Price {
    /// Of input.
    pub input: Decimal,
    /// Of output.
    pub output: Decimal,
    /// Of input that the provider had in its cache; none: the price of other input.
    pub cached_input: Option<Decimal>,
}

/// The tokens of a request, or of many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tokens {
    /// Input that is not cached.
    pub fresh: u64,
    /// Input from the provider's cache.
    pub cached: u64,
    /// Output.
    pub output: u64,
}

impl Tokens {
    /// Those of a row: its cached tokens are part of its input.
    #[must_use]
    pub const fn of(row: &Row) -> Self {
        Self {
            fresh: row.input_tokens - row.cached_input_tokens,
            cached: row.cached_input_tokens,
            output: row.output_tokens,
        }
    }

    /// Both together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            fresh: self.fresh + other.fresh,
            cached: self.cached + other.cached,
            output: self.output + other.output,
        }
    }
}

impl Price {
    /// What tokens cost, in US dollars.
    #[must_use]
    pub fn of(&self, tokens: Tokens) -> Decimal {
        let cached = self.cached_input.unwrap_or(self.input);
        let millionths = self.input * Decimal::from(tokens.fresh)
            + cached * Decimal::from(tokens.cached)
            + self.output * Decimal::from(tokens.output);
        millionths / MILLION
    }
}

/// What each row of some usage cost.
pub struct Costs<'a> {
    /// The catalogue's entry of each model, by the model's number in the usage.
    pub models: Vec<Option<&'a Model>>,
    /// What each row cost, in the order of the rows: what the data says, else by the catalogue, else unknown.
    pub rows: Vec<Option<Decimal>>,
}

impl<'a> Costs<'a> {
    /// Reckons up `usage` by the prices of `catalogue`.
    #[must_use]
    pub fn of(usage: &Usage, catalogue: &'a Catalogue) -> Self {
        let models: Vec<_> = usage.models.iter().map(|name| catalogue.get(name)).collect();
        let cost = |row: &Row| {
            let listed = || models[row.model].map(|model| model.price.of(Tokens::of(row)));
            row.cost_usd.or_else(listed)
        };
        let rows = usage.rows.iter().map(cost).collect();
        Self { models, rows }
    }
}
