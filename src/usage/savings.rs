//! What could be saved, and what must hold for it. Each measure is reckoned row by row, first alone, then after those before it.
//!
//! A row saves the difference between its list price before and after, and never more than it cost. Rows of models without a
//! price in the catalogue save nothing.

use rust_decimal::Decimal;
use serde_json::{Value, json};

use self::measures::Measure;
use super::catalogue::{Catalogue, Model};
use super::money::{exact, percent, rounded};
use super::pricing::{Costs, Tokens};
use super::reading::Usage;

mod measures;

/// Measures that are told at most: those that save most.
const TOLD: usize = 20;

const NOTE: &str = "Together the measures save less than the sum of their figures: each is reckoned on what those before it \
    leave, the largest first, and of two that move the same requests to other models only the first counts. All of it holds only \
    where every assumption does.";

/// What could be saved.
#[derive(Debug, Clone, PartialEq)]
pub struct Savings {
    /// What the rows cost.
    pub baseline: Decimal,
    /// Those that save something, the largest first.
    pub measures: Vec<Saving>,
    /// What all of them save together.
    pub combined: Decimal,
}

/// What one measure saves by itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Saving {
    /// In US dollars.
    pub saves: Decimal,
    id: &'static str,
    title: String,
    detail: Value,
    effort: &'static str,
    risk: &'static str,
    assumption: String,
}

/// A row, as it is paid for while measures are tried.
#[derive(Clone, Copy)]
struct Line<'a> {
    feature: usize,
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
    let mut lines = lines(usage, &costs);
    let baseline = lines.iter().map(|line| line.cost).sum();
    let mut found: Vec<(Saving, Measure<'_>)> = measures::all(usage, catalogue, &costs)
        .into_iter()
        .filter_map(|measure| {
            let (saves, lines) = measure.alone(&lines);
            (saves > Decimal::ZERO).then(|| (measure.told(usage, saves, &lines), measure))
        })
        .collect();
    // A stable sort: what saves the same stays in the order of the measures.
    found.sort_by(|(one, _), (other, _)| other.saves.cmp(&one.saves));
    found.truncate(TOLD);
    let mut combined = Decimal::ZERO;
    for (saving, measure) in &found {
        let (saves, _) = measure.alone(&lines);
        // After a measure before it another may even cost more; then it isn't taken.
        if saves > Decimal::ZERO {
            measure.take(&mut lines);
            combined += saves.min(saving.saves);
        }
    }
    Savings {
        baseline,
        measures: found.into_iter().map(|(saving, _)| saving).collect(),
        combined,
    }
}

/// The rows whose cost is known.
fn lines<'a>(usage: &Usage, costs: &Costs<'a>) -> Vec<Line<'a>> {
    let mut seen = std::collections::HashSet::new();
    let rows = usage.rows.iter().zip(&costs.rows);
    rows.filter_map(|(row, cost)| {
        let repeats = match row.prompt {
            Some(prompt) => !seen.insert((row.model, row.feature, row.day, prompt)),
            None => false,
        };
        let mut line = Line {
            feature: row.feature,
            repeats,
            cost: (*cost)?,
            listed: Decimal::ZERO,
            model: costs.models[row.model],
            tokens: Tokens::of(row),
            batched: false,
        };
        line.listed = line.list();
        Some(line)
    })
    .collect()
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
            "assumption": self.assumption,
        })
    }
}

#[cfg(test)]
mod tests;
