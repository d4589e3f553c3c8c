//! What could be saved, and what must hold for it. Each measure is reckoned row by row, first alone, then after those before it.
//!
//! A row saves the difference between its list price before and after, and never more than it cost. Rows of models without a
//! price in the catalogue save nothing.

use std::cmp::Reverse;
use std::collections::HashSet;

use rust_decimal::Decimal;
use serde_json::{Value, json};

use self::measures::{Measure, Touched};
use super::catalogue::{Catalogue, Model};
use super::money::{exact, percent, rounded};
use super::pricing::{Costs, Tokens};
use super::reading::Usage;

mod measures;

/// Measures that are told at most: those that save most.
const TOLD: usize = 20;

/// The risk of a measure that does not count among all together: a model of a lower tier, or batches of what somebody may wait for.
const HIGH: &str = "high";

const NOTE: &str = "Together the measures save less than the sum of their figures: each is reckoned on what those before it \
    leave, the largest first, of two that move the same requests to other models only the first counts, and those of high risk \
    are left out. All of it holds only where every assumption does.";

/// What could be saved.
#[derive(Debug, Clone, PartialEq)]
pub struct Savings {
    /// What the rows cost.
    pub baseline: Decimal,
    /// Those that save something, the largest first.
    pub measures: Vec<Saving>,
    /// What those save together whose risk is not high.
    pub combined: Decimal,
}

/// What one measure saves by itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Saving {
    /// In US dollars.
    pub saves: Decimal,
    /// What of it counts among all together; zero where another takes its place, or its risk is high.
    pub counts: Decimal,
    id: &'static str,
    title: String,
    detail: Value,
    effort: &'static str,
    risk: &'static str,
    assumption: String,
}

/// The rows whose cost is known.
struct Bill<'a> {
    lines: Vec<Line<'a>>,
    /// Where the rows of each feature stand.
    of_feature: Vec<Vec<usize>>,
}

/// A row, as it is paid for while measures are tried.
#[derive(Clone, Copy)]
struct Line<'a> {
    /// Whether the same prompt went to the same model for the same feature on the same day before.
    repeats: bool,
    /// What it really cost.
    cost: Decimal,
    /// What it costs by the list as it is.
    listed: Decimal,
    /// Its model now; none where the catalogue has no price.
    model: Option<&'a Model>,
    tokens: Tokens,
    batched: bool,
}

impl Line<'_> {
    /// What it costs by the list after the measures so far.
    fn list(&self) -> Decimal {
        let Some(model) = self.model else {
            return Decimal::ZERO;
        };
        let full = model.price.of(self.tokens);
        match model.batch_discount.filter(|_| self.batched) {
            Some(share) => full * (Decimal::ONE - share),
            None => full,
        }
    }

    /// What is still paid for it.
    fn pays(&self) -> Decimal {
        (self.cost - (self.listed - self.list())).max(Decimal::ZERO)
    }
}

/// Reckons what could be saved by the prices of a catalogue.
#[must_use]
pub fn savings(usage: &Usage, catalogue: &Catalogue) -> Savings {
    let costs = Costs::of(usage, catalogue);
    let mut bill = Bill::of(usage, &costs);
    let baseline = bill.lines.iter().map(|line| line.cost).sum();
    let mut found: Vec<(Decimal, Touched, Measure<'_>)> = measures::all(usage, catalogue, &costs, &bill)
        .into_iter()
        .map(|measure| {
            let (saves, touched) = measure.alone(&bill);
            (saves, touched, measure)
        })
        .filter(|(saves, ..)| *saves > Decimal::ZERO)
        .collect();
    // A stable sort: what saves the same stays in the order of the measures.
    found.sort_by_key(|(saves, ..)| Reverse(*saves));
    found.truncate(TOLD);
    let told = |(saves, touched, measure): &(Decimal, Touched, Measure<'_>)| measure.told(usage, *saves, touched);
    let mut measures: Vec<Saving> = found.iter().map(told).collect();
    for (saving, (.., measure)) in measures
        .iter_mut()
        .zip(&found)
        .filter(|(saving, _)| saving.risk != HIGH)
    {
        let (saves, _) = measure.alone(&bill);
        // After a measure before it another may even cost more; then it isn't taken.
        if saves > Decimal::ZERO {
            measure.take(&mut bill);
            saving.counts = saves.min(saving.saves);
        }
    }
    let combined = measures.iter().map(|saving| saving.counts).sum();
    Savings {
        baseline,
        measures,
        combined,
    }
}

impl<'a> Bill<'a> {
    fn of(usage: &Usage, costs: &Costs<'a>) -> Self {
        let mut bill = Self {
            lines: Vec::with_capacity(usage.rows.len()),
            of_feature: vec![Vec::new(); usage.features.len()],
        };
        let mut seen = HashSet::new();
        for (row, cost) in usage.rows.iter().zip(&costs.rows) {
            let repeats = match row.prompt {
                Some(prompt) => !seen.insert((row.model, row.feature, row.day, prompt)),
                None => false,
            };
            let Some(cost) = *cost else { continue };
            let mut line = Line {
                repeats,
                cost,
                listed: Decimal::ZERO,
                model: costs.models[row.model],
                tokens: Tokens::of(row),
                batched: false,
            };
            line.listed = line.list();
            bill.of_feature[row.feature].push(bill.lines.len());
            bill.lines.push(line);
        }
        bill
    }
}

impl Savings {
    /// The savings as the tools tell them.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let strategies: Vec<Value> = self
            .measures
            .iter()
            .map(|saving| saving.to_json(self.baseline))
            .collect();
        json!({
            "baseline_usd": exact(self.baseline),
            "strategies": strategies,
            "combined_saves_usd": exact(self.combined),
            "combined_saves_usd_rounded": rounded(self.combined),
            "combined_saves_percent": percent(self.combined, self.baseline),
            "note": NOTE,
        })
    }
}

impl Saving {
    fn to_json(&self, baseline: Decimal) -> Value {
        json!({
            "id": self.id,
            "title": self.title,
            "detail": self.detail,
            "saves_usd": exact(self.saves),
            "saves_usd_rounded": rounded(self.saves),
            "saves_percent": percent(self.saves, baseline),
            "effort": self.effort,
            "risk": self.risk,
            "in_combined": self.counts > Decimal::ZERO,
            "counts_usd": exact(self.counts),
            "assumption": self.assumption,
        })
    }
}

#[cfg(test)]
mod tests;
