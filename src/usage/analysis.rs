//! What usage data says: totals, where the money went, how it moves, what stands out, and whether the data is enough to go by.

use rust_decimal::Decimal;
use serde_json::{Value, json};

use self::groups::{Figures, Group};
use self::outliers::Outlier;
use super::catalogue::Catalogue;
use super::day::Day;
use super::money::{exact, percent, rounded};
use super::pricing::Costs;
use super::reading::{COLUMNS, Row, Skipped, Usage};

mod groups;
mod outliers;
mod sufficiency;

pub(super) use self::groups::nearest_rank;
pub use self::sufficiency::Sufficiency;

/// Entries of each list that the tools tell at most, so that a result stays readable.
pub const LISTED: usize = 50;

/// The percentiles that are told.
const PERCENTILES: [u32; 3] = [50, 90, 99];

/// The analysis of some usage data.
#[derive(Debug, Clone, PartialEq)]
pub struct Analysis {
    rows: usize,
    skipped: Vec<Skipped>,
    skipped_count: u64,
    sufficiency: Sufficiency,
    /// Why it isn't sufficient, in words.
    reasons: Vec<String>,
    missing: Vec<&'static str>,
    /// The first and the last day.
    period: Option<(Day, Day)>,
    /// All together.
    pub totals: Figures,
    /// Dearest first.
    pub by_model: Vec<Group>,
    /// Dearest first.
    pub by_feature: Vec<Group>,
    /// In the order of the days.
    pub by_day: Vec<Group>,
    percentiles: Value,
    trend: Option<Trend>,
    outliers: Vec<Outlier>,
    repeated: Repeated,
    unpriced_models: Vec<String>,
}

/// What the first and the second half of the period cost a day.
#[derive(Debug, Clone, PartialEq)]
struct Trend {
    first: Decimal,
    second: Decimal,
}

/// Prompts that came more than once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Repeated {
    /// Whether the data says which prompts are equal.
    known: bool,
    requests: u64,
    distinct: u64,
    input_tokens: u64,
}

/// Analyses usage by the prices of a catalogue.
#[must_use]
pub fn analyse(usage: &Usage, catalogue: &Catalogue) -> Analysis {
    let costs = Costs::of(usage, catalogue);
    let by = |key: fn(&Row) -> Option<usize>| groups::sums(usage, &costs, key);
    let totals = groups::total(usage, &costs);
    let by_model = groups::named(by(|row| Some(row.model)), |number| usage.models[number].clone());
    let by_feature = groups::named(by(|row| Some(row.feature)), |number| usage.features[number].clone());
    let days = usage.rows.iter().filter_map(|row| row.day);
    let period = days.clone().min().zip(days.max());
    let by_day = groups::by_day(usage, &costs);
    let (sufficiency, reasons) = sufficiency::judge(usage, &costs, period);
    let mut unpriced: Vec<&String> = (usage.rows.iter().zip(&costs.rows))
        .filter(|(_, cost)| cost.is_none())
        .map(|(row, _)| &usage.models[row.model])
        .collect();
    unpriced.sort_unstable();
    unpriced.dedup();
    Analysis {
        rows: usage.rows.len(),
        skipped: usage.skipped.clone(),
        skipped_count: usage.skipped_count,
        sufficiency,
        reasons,
        missing: missing(usage, &costs),
        period,
        trend: trend(&by_day, period),
        outliers: outliers::find(usage, &costs, &by_model, &by_feature, &by_day),
        percentiles: percentiles(usage),
        repeated: repeated(usage),
        unpriced_models: unpriced.into_iter().cloned().collect(),
        totals,
        by_model,
        by_feature,
        by_day,
    }
}

impl Analysis {
    /// Whether the data is enough to go by.
    #[must_use]
    pub const fn sufficiency(&self) -> Sufficiency {
        self.sufficiency
    }

    /// The analysis as the tools tell it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let total = self.totals.cost;
        let dearest = |groups: &[Group], key: &str| -> Vec<Value> {
            groups
                .iter()
                .take(LISTED)
                .map(|group| group.to_json(key, total))
                .collect()
        };
        // Of the days the last ones.
        let last_days = &self.by_day[self.by_day.len().saturating_sub(LISTED)..];
        let left_out = |count: usize| count.saturating_sub(LISTED);
        json!({
            "rows": self.rows,
            "skipped": self.skipped,
            "skipped_count": self.skipped_count,
            "sufficiency": self.sufficiency,
            "reasons": self.reasons,
            "missing": self.missing,
            "period": self.period.map(|(from, to)| json!({
                "from": from.to_string(), "to": to.to_string(), "days": from.days_to(to),
            })),
            "totals": {
                "requests": self.totals.requests,
                "input_tokens": self.totals.input_tokens,
                "output_tokens": self.totals.output_tokens,
                "cached_input_tokens": self.totals.cached_input_tokens,
                "cost_usd": exact(total),
                "cost_usd_rounded": rounded(total),
            },
            "by_model": dearest(&self.by_model, "model"),
            "by_feature": dearest(&self.by_feature, "feature"),
            "by_day": dearest(last_days, "day"),
            "percentiles": self.percentiles,
            "trend": self.trend.as_ref().map(Trend::to_json),
            "outliers": self.outliers.iter().map(Outlier::to_json).collect::<Vec<_>>(),
            "repeated_prompts": {
                "known": self.repeated.known,
                "requests": self.repeated.requests,
                "distinct": self.repeated.distinct,
                "repeated_input_tokens": self.repeated.input_tokens,
            },
            "unpriced_models": self.unpriced_models.iter().take(LISTED).collect::<Vec<_>>(),
            "left_out": {
                "by_model": left_out(self.by_model.len()),
                "by_feature": left_out(self.by_feature.len()),
                "by_day": left_out(self.by_day.len()),
                "unpriced_models": left_out(self.unpriced_models.len()),
            },
        })
    }
}

impl Trend {
    fn to_json(&self) -> Value {
        let change = (!self.first.is_zero()).then(|| percent(self.second - self.first, self.first));
        json!({
            "first_half_usd_per_day": exact(self.first),
            "second_half_usd_per_day": exact(self.second),
            "change_percent": change,
        })
    }
}

/// The columns that the data doesn't have. A cost isn't missing where every model has a price.
fn missing(usage: &Usage, costs: &Costs<'_>) -> Vec<&'static str> {
    let is_missed = |name: &&str| *name != "cost_usd" || costs.rows.iter().any(Option::is_none);
    let columns = COLUMNS.into_iter().filter(|name| usage.missing.contains(name));
    columns.filter(is_missed).collect()
}

/// Compares the halves of the period. Of an odd number of days the middle one belongs to neither.
fn trend(by_day: &[Group], period: Option<(Day, Day)>) -> Option<Trend> {
    let (from, to) = period?;
    let half = from.days_to(to) / 2;
    if half == 0 {
        return None;
    }
    let (first_end, second_begin) = (from.plus(half).to_string(), to.plus(1 - half).to_string());
    // Days are written so that their texts are in their order.
    let cost = |is_in: &dyn Fn(&str) -> bool| -> Decimal {
        let days = by_day.iter().filter(|day| is_in(&day.name));
        days.map(|day| day.figures.cost).sum::<Decimal>() / Decimal::from(half)
    };
    Some(Trend {
        first: cost(&|day| day < first_end.as_str()),
        second: cost(&|day| day >= second_begin.as_str()),
    })
}

fn percentiles(usage: &Usage) -> Value {
    let of = |values: Vec<u64>| {
        let mut values = values;
        values.sort_unstable();
        let named = PERCENTILES.map(|rank| (format!("p{rank}"), json!(nearest_rank(&values, rank))));
        Value::Object(named.into_iter().collect())
    };
    json!({
        "input_tokens": of(usage.rows.iter().map(|row| row.input_tokens).collect()),
        "output_tokens": of(usage.rows.iter().map(|row| row.output_tokens).collect()),
        "latency_ms": of(usage.rows.iter().filter_map(|row| row.latency_ms).collect()),
    })
}

/// Counts the prompts that came more than once. The input of a prompt's first request is not repeated; that of the others is.
fn repeated(usage: &Usage) -> Repeated {
    let prompts = usage.rows.iter().filter_map(|row| row.prompt);
    let mut counts = vec![0_u64; prompts.clone().max().map_or(0, |most| most + 1)];
    prompts.for_each(|prompt| counts[prompt] += 1);
    let mut seen = vec![false; counts.len()];
    let again = usage.rows.iter().filter(|row| {
        let prompt = row.prompt.map(|prompt| std::mem::replace(&mut seen[prompt], true));
        prompt.unwrap_or(false)
    });
    Repeated {
        known: !usage.missing.contains(&"prompt_hash"),
        input_tokens: again.map(|row| row.input_tokens).sum(),
        requests: counts.iter().filter(|count| **count > 1).sum(),
        distinct: counts.iter().filter(|count| **count > 1).count() as u64,
    }
}

#[cfg(test)]
mod tests;
