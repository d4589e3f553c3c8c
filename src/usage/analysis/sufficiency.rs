//! Whether the data is enough to go by, and if not, why: rules that anybody can check against the data.

use serde::Serialize;

use crate::usage::day::Day;
use crate::usage::pricing::Costs;
use crate::usage::reading::Usage;

/// Rows below which nothing can be said.
const ROWS_MIN: usize = 10;

/// Rows below which only something can be said.
const ROWS_ENOUGH: usize = 100;

/// Days below which a week's ups and downs can't be told from a trend.
const DAYS_ENOUGH: i64 = 7;

/// Rows of a hundred that may be left out without harm.
const SKIPPED_PERCENT: u64 = 5;

/// Columns without which only something can be said. The others make the picture richer.
const WANTED: [&str; 5] = ["timestamp", "model", "feature", "input_tokens", "output_tokens"];

/// Whether the data is enough to go by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Sufficiency {
    /// For everything that the tools reckon.
    Sufficient,
    /// For some of it.
    Partial,
    /// For nothing that should be acted on.
    Insufficient,
}

/// Judges the data. The reasons are those of the worst verdict.
pub(super) fn judge(usage: &Usage, costs: &Costs<'_>, period: Option<(Day, Day)>) -> (Sufficiency, Vec<String>) {
    let (rows, skipped) = (usage.rows.len(), usage.skipped_count);
    let unpriced = costs.rows.iter().filter(|cost| cost.is_none()).count();
    let mut reasons = Vec::new();
    if rows < ROWS_MIN {
        reasons.push(format!(
            "there are {rows} rows that can be read; {ROWS_MIN} are the least"
        ));
    }
    if skipped > rows as u64 {
        reasons.push("more rows have faults than have none".to_owned());
    }
    if unpriced * 2 > rows {
        reasons.push(
            "of more than half of the rows nobody knows the cost: give cost_usd, or models of the catalogue".to_owned(),
        );
    }
    if !reasons.is_empty() {
        return (Sufficiency::Insufficient, reasons);
    }
    for column in WANTED.iter().filter(|column| usage.missing.contains(column)) {
        reasons.push(format!("there is no column {column}"));
    }
    if rows < ROWS_ENOUGH {
        reasons.push(format!("there are {rows} rows; {ROWS_ENOUGH} say more"));
    }
    if let Some(days) = period
        .map(|(from, to)| from.days_to(to))
        .filter(|days| *days < DAYS_ENOUGH)
    {
        reasons.push(format!(
            "the data covers {days} days; {DAYS_ENOUGH} show a week's course"
        ));
    }
    if unpriced > 0 {
        reasons.push(format!(
            "of {unpriced} rows nobody knows the cost: their models have no price in the catalogue"
        ));
    }
    if skipped * 100 > (rows as u64 + skipped) * SKIPPED_PERCENT {
        reasons.push(format!(
            "{skipped} rows have faults, which is more than {SKIPPED_PERCENT} of a hundred"
        ));
    }
    let verdict = if reasons.is_empty() {
        Sufficiency::Sufficient
    } else {
        Sufficiency::Partial
    };
    (verdict, reasons)
}
