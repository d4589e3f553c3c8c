//! Sums over rows, all together and by model, feature and day.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde_json::{Value, json};

use crate::usage::money::{exact, percent, rounded};
use crate::usage::pricing::Costs;
use crate::usage::reading::{Row, Usage};

/// The sums of some rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// How many rows.
    pub requests: u64,
    /// All input, cached or not.
    pub input_tokens: u64,
    /// Output.
    pub output_tokens: u64,
    /// The part of the input that was cached.
    pub cached_input_tokens: u64,
    /// In US dollars, as far as it is known.
    pub cost: Decimal,
}

impl Figures {
    fn add(&mut self, row: &Row, cost: Option<Decimal>) {
        self.requests += 1;
        self.input_tokens += row.input_tokens;
        self.output_tokens += row.output_tokens;
        self.cached_input_tokens += row.cached_input_tokens;
        self.cost += cost.unwrap_or_default();
    }
}

/// The sums of the rows of one model, feature or day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Of which.
    pub name: String,
    /// The sums.
    pub figures: Figures,
}

impl Group {
    /// The group as the tools tell it: its name as `key`, and its share of `total`.
    pub(super) fn to_json(&self, key: &str, total: Decimal) -> Value {
        let figures = &self.figures;
        json!({
            key: self.name,
            "requests": figures.requests,
            "input_tokens": figures.input_tokens,
            "output_tokens": figures.output_tokens,
            "cost_usd": exact(figures.cost),
            "cost_usd_rounded": rounded(figures.cost),
            "share_percent": percent(figures.cost, total),
        })
    }
}

pub(super) fn total(usage: &Usage, costs: &Costs<'_>) -> Figures {
    let mut figures = Figures::default();
    for (row, cost) in usage.rows.iter().zip(&costs.rows) {
        figures.add(row, *cost);
    }
    figures
}

/// The sums by whatever `key` says of a row; a row of which it says nothing is in none.
pub(super) fn sums<K: Ord>(usage: &Usage, costs: &Costs<'_>, key: impl Fn(&Row) -> Option<K>) -> BTreeMap<K, Figures> {
    let mut groups: BTreeMap<K, Figures> = BTreeMap::new();
    for (row, cost) in usage.rows.iter().zip(&costs.rows) {
        if let Some(key) = key(row) {
            groups.entry(key).or_default().add(row, *cost);
        }
    }
    groups
}

/// Gives groups their names, and puts the dearest first; equally dear ones in the order of their names.
pub(super) fn named(sums: BTreeMap<usize, Figures>, name: impl Fn(usize) -> String) -> Vec<Group> {
    let named = |(number, figures)| Group {
        name: name(number),
        figures,
    };
    let mut groups: Vec<Group> = sums.into_iter().map(named).collect();
    groups.sort_by(|one, other| (other.figures.cost.cmp(&one.figures.cost)).then_with(|| one.name.cmp(&other.name)));
    groups
}

/// The days, in their order.
pub(super) fn by_day(usage: &Usage, costs: &Costs<'_>) -> Vec<Group> {
    let days = sums(usage, costs, |row| row.day).into_iter();
    days.map(|(day, figures)| Group {
        name: day.to_string(),
        figures,
    })
    .collect()
}

/// The percentile by nearest rank: the smallest value that at least `rank` of a hundred values don't exceed.
pub(in crate::usage) fn nearest_rank(sorted: &[u64], rank: u32) -> Option<u64> {
    let place = (sorted.len() * rank as usize).div_ceil(100);
    sorted.get(place.saturating_sub(1)).copied()
}
