//! What stands out, by a rule that outliers themselves don't move: the median, and the median distance from it.
//!
//! Of days, features and models one stands out that costs more than twice the median of its kind and lies above it by more
//! than five median distances. Costs of single requests are spread much wider: there it is more than five times the median of
//! its feature, and ten median distances. Too few of a kind say nothing.

use std::cmp::Reverse;

use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::groups::Group;
use crate::usage::money::{exact, written};
use crate::usage::pricing::Costs;
use crate::usage::reading::Usage;

/// How many are told at most: the dearest.
const TOLD: usize = 20;

/// Days, features or models that there must be at least.
const GROUPS: usize = 5;

/// Rows of a feature that there must be at least.
const ROWS: usize = 20;

/// When something stands out.
struct Rule {
    /// How many medians it must exceed.
    medians: u32,
    /// By how many median distances it must lie above the median.
    distances: u32,
}

const OF_GROUPS: Rule = Rule {
    medians: 2,
    distances: 5,
};

const OF_ROWS: Rule = Rule {
    medians: 5,
    distances: 10,
};

/// Something that costs much more than its like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outlier {
    kind: &'static str,
    name: String,
    cost: Decimal,
    reason: String,
}

impl Outlier {
    pub(super) fn to_json(&self) -> Value {
        json!({ "kind": self.kind, "name": self.name, "cost_usd": exact(self.cost), "reason": self.reason })
    }
}

/// What stands out, dearest first.
pub(super) fn find(
    usage: &Usage,
    costs: &Costs<'_>,
    models: &[Group],
    features: &[Group],
    days: &[Group],
) -> Vec<Outlier> {
    let mut found = Vec::new();
    for (kind, groups) in [("day", days), ("feature", features), ("model", models)] {
        found.extend(of_groups(kind, groups));
    }
    let mut rows_of: Vec<Vec<(u64, Decimal)>> = vec![Vec::new(); usage.features.len()];
    for (row, cost) in usage.rows.iter().zip(&costs.rows) {
        rows_of[row.feature].extend(cost.map(|cost| (row.line, cost)));
    }
    for (feature, known) in usage
        .features
        .iter()
        .zip(rows_of)
        .filter(|(_, known)| known.len() >= ROWS)
    {
        let Some((median, bound)) = bound(known.iter().map(|(_, cost)| *cost).collect(), &OF_ROWS) else {
            continue;
        };
        let dear = known.into_iter().filter(|(_, cost)| *cost > bound);
        found.extend(dear.map(|(line, cost)| Outlier {
            kind: "row",
            name: format!("line {line}"),
            cost,
            reason: format!("{} times the median request of {feature}", times(cost, median)),
        }));
    }
    // A stable sort: what costs the same stays in the order of its kind, then of its place.
    found.sort_by_key(|outlier| Reverse(outlier.cost));
    found.truncate(TOLD);
    found
}

fn of_groups(kind: &'static str, groups: &[Group]) -> Vec<Outlier> {
    if groups.len() < GROUPS {
        return Vec::new();
    }
    let Some((median, bound)) = bound(groups.iter().map(|group| group.figures.cost).collect(), &OF_GROUPS) else {
        return Vec::new();
    };
    let dear = groups.iter().filter(|group| group.figures.cost > bound);
    dear.map(|group| Outlier {
        kind,
        name: group.name.clone(),
        cost: group.figures.cost,
        reason: format!("{} times the median {kind}", times(group.figures.cost, median)),
    })
    .collect()
}

/// The median, and the cost above which something stands out; none where half of them cost nothing.
fn bound(costs: Vec<Decimal>, rule: &Rule) -> Option<(Decimal, Decimal)> {
    let median = median(costs.clone())?;
    if median.is_zero() {
        return None;
    }
    let distance = self::median(costs.into_iter().map(|cost| (cost - median).abs()).collect())?;
    let by_median = median * Decimal::from(rule.medians);
    let by_distance = median + distance * Decimal::from(rule.distances);
    Some((median, by_median.max(by_distance)))
}

/// The middle value; of an even number the mean of the two in the middle.
fn median(mut values: Vec<Decimal>) -> Option<Decimal> {
    values.sort_unstable();
    let upper = *values.get(values.len() / 2)?;
    if values.len() % 2 == 1 {
        return Some(upper);
    }
    Some((values[values.len() / 2 - 1] + upper) / Decimal::TWO)
}

fn times(cost: Decimal, median: Decimal) -> String {
    written(cost / median, 1)
}
