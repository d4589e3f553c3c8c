//! What the usage tools return and agents hand to each other, as far as agents read it. Amounts are exact decimals in US dollars.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Whether data is enough to go by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sufficiency {
    /// For everything.
    Sufficient,
    /// For some of it.
    Partial,
    /// For nothing that should be acted on.
    Insufficient,
    /// Nobody looked, or nobody could.
    Unknown,
}

impl Sufficiency {
    /// Whether there is something to work on.
    pub const fn is_usable(self) -> bool {
        matches!(self, Self::Sufficient | Self::Partial)
    }
}

/// The result of `usage_analysis`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Analysis {
    /// Rows that were read.
    pub rows: u64,
    /// Rows that were left out.
    #[serde(default)]
    pub skipped_count: u64,
    /// Whether the data is enough.
    pub sufficiency: Sufficiency,
    /// Why it is not sufficient.
    #[serde(default)]
    pub reasons: Vec<String>,
    /// Columns that the data does not have.
    #[serde(default)]
    pub missing: Vec<String>,
    /// None where the data has no timestamps.
    #[serde(default)]
    pub period: Option<Period>,
    /// All together.
    pub totals: Figures,
    /// Dearest first.
    #[serde(default)]
    pub by_model: Vec<Group>,
    /// Dearest first.
    #[serde(default)]
    pub by_feature: Vec<Group>,
    /// None where the period is too short.
    #[serde(default)]
    pub trend: Option<Trend>,
    /// What costs much more than its like.
    #[serde(default)]
    pub outliers: Vec<Outlier>,
    /// None where nobody counted.
    #[serde(default)]
    pub repeated_prompts: Option<Repeated>,
    /// Models whose cost nobody knows.
    #[serde(default)]
    pub unpriced_models: Vec<String>,
}

/// First and last day, both included.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Period {
    /// `YYYY-MM-DD`.
    pub from: String,
    /// `YYYY-MM-DD`.
    pub to: String,
    /// How many days that is.
    pub days: u64,
}

/// Sums.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Figures {
    /// How many requests.
    pub requests: u64,
    /// All input.
    #[serde(default)]
    pub input_tokens: u64,
    /// Output.
    #[serde(default)]
    pub output_tokens: u64,
    /// As far as it is known.
    pub cost_usd: Decimal,
}

/// The sums of one model or one feature.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Group {
    /// Of which.
    #[serde(alias = "model", alias = "feature")]
    pub name: String,
    /// The sums.
    #[serde(flatten)]
    pub figures: Figures,
    /// Its part of all cost.
    #[serde(default)]
    pub share_percent: Decimal,
}

/// How the cost of a day moves.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Trend {
    /// From the first half of the period to the second; none where the first cost nothing.
    #[serde(default)]
    pub change_percent: Option<Decimal>,
}

/// Something that costs much more than its like.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Outlier {
    /// `day`, `feature`, `model` or `row`.
    pub kind: String,
    /// Which one.
    pub name: String,
    /// Why it stands out.
    pub reason: String,
}

/// Prompts that came more than once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Repeated {
    /// Whether the data says which prompts are equal.
    pub known: bool,
    /// Requests with such a prompt.
    #[serde(default)]
    pub requests: u64,
    /// How many prompts these are.
    #[serde(default)]
    pub distinct: u64,
}

/// The result of `cost_calculator` for savings, and what `optimization` hands on.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Savings {
    /// What is paid now.
    pub baseline_usd: Decimal,
    /// Those that save something.
    pub strategies: Vec<Strategy>,
    /// What all of them save together.
    pub combined_saves_usd: Decimal,
    /// Why that is less than their sum.
    #[serde(default)]
    pub note: Option<String>,
}

impl Savings {
    /// The strategies that count among all together: what can be done side by side.
    pub fn counted(&self) -> Vec<Strategy> {
        let counts = |strategy: &&Strategy| strategy.counts_usd.is_none_or(|counts| counts > Decimal::ZERO);
        self.strategies.iter().filter(counts).cloned().collect()
    }
}

/// One way to save.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Strategy {
    /// Its kind: several may have the same.
    pub id: String,
    /// What to do.
    pub title: String,
    /// Of what: depends on the kind.
    #[serde(default)]
    pub detail: Value,
    /// By itself.
    pub saves_usd: Decimal,
    /// By itself, of the baseline.
    #[serde(default)]
    pub saves_percent: Decimal,
    /// What of it counts among all together; none where nobody reckoned it.
    #[serde(default)]
    pub counts_usd: Option<Decimal>,
    /// How much work it is.
    pub effort: Level,
    /// How likely it does harm.
    pub risk: Level,
    /// What must hold for it.
    #[serde(default)]
    pub assumption: String,
}

/// How much of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Little.
    Low,
    /// Some.
    Medium,
    /// Much.
    High,
}

impl Level {
    /// As it stands in tables.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// One entry of the plan that `actions` hands on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Action {
    /// From 1.
    pub order: usize,
    /// What to do.
    pub title: String,
    /// The role that does it.
    pub owner: String,
    /// How much work it is.
    pub effort: Level,
    /// What it saves by itself.
    pub saves_usd: Decimal,
    /// The orders of the entries that come before it.
    pub depends_on: Vec<usize>,
    /// How to do it.
    pub steps: Vec<String>,
}

/// Something that `data_helper` asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The column, or what else.
    pub field: String,
    /// What it is needed for.
    pub why: String,
    /// What it looks like.
    pub example: String,
}

#[cfg(test)]
pub mod samples {
    //! Results as the tools return them.

    use serde_json::{Value, json};

    /// Of `usage_analysis`.
    pub fn analysis() -> Value {
        json!({
            "rows": 1200, "skipped": [{"line": 7, "reason": "the timestamp makes no sense"}], "skipped_count": 1,
            "sufficiency": "sufficient", "reasons": [], "missing": ["latency_ms"],
            "period": {"from": "2026-10-01", "to": "2026-10-30", "days": 30},
            "totals": {"requests": 1200, "input_tokens": 9_000_000, "output_tokens": 700_000, "cached_input_tokens": 0,
                       "cost_usd": "12.345678", "cost_usd_rounded": "12.35"},
            "by_model": [
                {"model": "m1", "requests": 700, "input_tokens": 8_000_000, "output_tokens": 600_000,
                 "cost_usd": "10.000005", "cost_usd_rounded": "10.00", "share_percent": "81.00"},
                {"model": "m2", "requests": 500, "input_tokens": 1_000_000, "output_tokens": 100_000,
                 "cost_usd": "2.345673", "cost_usd_rounded": "2.35", "share_percent": "19.00"},
            ],
            "by_feature": [
                {"feature": "summaries", "requests": 1200, "input_tokens": 9_000_000, "output_tokens": 700_000,
                 "cost_usd": "12.345678", "cost_usd_rounded": "12.35", "share_percent": "100.00"},
            ],
            "by_day": [], "percentiles": {},
            "trend": {"first_half_usd_per_day": "0.400000", "second_half_usd_per_day": "0.480000", "change_percent": "20.00"},
            "outliers": [{"kind": "day", "name": "2026-10-17", "cost_usd": "1.900000", "reason": "3.4 times the median day"}],
            "repeated_prompts": {"known": true, "requests": 400, "distinct": 20, "repeated_input_tokens": 380_000},
            "unpriced_models": [],
        })
    }

    /// Of `cost_calculator` with the action `savings`.
    pub fn savings() -> Value {
        json!({
            "baseline_usd": "12.345678",
            "strategies": [
                {"id": "other_model", "title": "Move `summaries` from m1 to m2",
                 "detail": {"feature": "summaries", "from": "m1", "to": "m2"},
                 "saves_usd": "3.210000", "saves_usd_rounded": "3.21", "saves_percent": "26.00", "effort": "high",
                 "risk": "high", "assumption": "m2 is able enough."},
                {"id": "caching", "title": "Cache the prompts that come again", "detail": {"requests": 380},
                 "saves_usd": "2.005000", "saves_usd_rounded": "2.01", "saves_percent": "16.24", "effort": "low",
                 "risk": "low", "assumption": "A prompt is still in the cache."},
                {"id": "batching", "title": "Send `summaries` in batches", "detail": {"feature": "summaries"},
                 "saves_usd": "1.000000", "saves_usd_rounded": "1.00", "saves_percent": "8.10", "effort": "medium",
                 "risk": "medium", "assumption": "Nobody waits for it."},
            ],
            "combined_saves_usd": "5.000000", "combined_saves_usd_rounded": "5.00",
            "note": "Together they save less than their sum.",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_tools_results_are_read_exactly() {
        let analysis: Analysis = serde_json::from_value(samples::analysis()).unwrap();
        assert_eq!(analysis.totals.cost_usd.to_string(), "12.345678");
        assert_eq!(analysis.by_model[1].name, "m2");
        assert_eq!(analysis.by_feature[0].figures.requests, 1200);
        let savings: Savings = serde_json::from_value(samples::savings()).unwrap();
        assert_eq!(savings.strategies[0].saves_usd.to_string(), "3.210000");
        assert_eq!(savings.combined_saves_usd.to_string(), "5.000000");
    }

    #[test]
    fn what_may_be_null_may_be_null() {
        let mut sample = samples::analysis();
        for key in ["period", "trend", "repeated_prompts"] {
            sample[key] = Value::Null;
        }
        assert!(serde_json::from_value::<Analysis>(sample).is_ok());
        let trend: Trend = serde_json::from_value(json!({"change_percent": null})).unwrap();
        assert_eq!(trend.change_percent, None);
    }

    #[test]
    fn an_amount_that_is_none_is_refused() {
        let mut sample = samples::savings();
        sample["baseline_usd"] = json!("a lot");
        assert!(serde_json::from_value::<Savings>(sample).is_err());
    }
}
