//! The measures: other models, caches, batches, shorter contexts. Each says what it changes in a row, and what must hold.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde_json::json;

use super::{Bill, HIGH, Line, Saving};
use crate::usage::analysis::nearest_rank;
use crate::usage::catalogue::{Catalogue, Model, Tier};
use crate::usage::pricing::{Costs, Tokens};
use crate::usage::reading::{Row, Usage};

/// Features that measures are sought for at most: the dearest. Data may name a feature in each row.
const FEATURES: usize = 100;

/// Rows of a feature below which its longest inputs say nothing.
const ROWS_FOR_LENGTH: usize = 20;

/// Inputs above this percentile of their feature are the longest.
const LONG: u32 = 90;

/// Milliseconds from which on answers are slow: few people wait at a screen for one that takes as long in the median.
const SLOW_MS: u64 = 10_000;

/// Something that could be done.
pub(super) enum Measure<'a> {
    /// Asks another model.
    OtherModel {
        feature: usize,
        from: &'a Model,
        to: &'a Model,
    },
    /// Keeps prompts that come again in the provider's cache.
    Caching,
    /// Sends requests in batches.
    Batching { feature: usize, is_slow: bool },
    /// Cuts the longest inputs.
    ShorterContext { feature: usize, at_most: u64 },
}

/// What a measure touches: rows, and the input tokens that change there.
#[derive(Default)]
pub(super) struct Touched {
    requests: u64,
    input_tokens: u64,
}

/// All measures that could be thought of, for the dearest features.
pub(super) fn all<'a>(usage: &Usage, catalogue: &'a Catalogue, costs: &Costs<'a>, bill: &Bill<'_>) -> Vec<Measure<'a>> {
    let features = dearest(usage, bill);
    let mut rows: Vec<Vec<&Row>> = vec![Vec::new(); usage.features.len()];
    for row in &usage.rows {
        rows[row.feature].push(row);
    }
    let mut measures = Vec::new();
    for feature in &features {
        measures.extend(other_models(&rows[*feature], *feature, catalogue, costs));
    }
    measures.push(Measure::Caching);
    for feature in &features {
        let latencies = sorted(rows[*feature].iter().filter_map(|row| row.latency_ms));
        measures.push(Measure::Batching {
            feature: *feature,
            is_slow: nearest_rank(&latencies, 50).is_some_and(|median| median >= SLOW_MS),
        });
    }
    for feature in features {
        let inputs = sorted(rows[feature].iter().map(|row| row.input_tokens));
        if inputs.len() >= ROWS_FOR_LENGTH
            && let Some(at_most) = nearest_rank(&inputs, LONG)
        {
            measures.push(Measure::ShorterContext { feature, at_most });
        }
    }
    measures
}

/// The features that cost most, in the order of their names.
fn dearest(usage: &Usage, bill: &Bill<'_>) -> Vec<usize> {
    let cost = |feature: usize| -> Decimal { bill.of_feature[feature].iter().map(|line| bill.lines[*line].cost).sum() };
    let mut features: Vec<usize> = (0..usage.features.len()).collect();
    features.sort_by_cached_key(|feature| (Reverse(cost(*feature)), &usage.features[*feature]));
    features.truncate(FEATURES);
    features.sort_by_key(|feature| &usage.features[*feature]);
    features
}

fn sorted(values: impl Iterator<Item = u64>) -> Vec<u64> {
    let mut values: Vec<u64> = values.collect();
    values.sort_unstable();
    values
}

/// What the requests of one feature to one model add up to, and need.
#[derive(Default)]
struct Needs {
    tokens: Tokens,
    window: u64,
    output: u64,
}

/// For each model of a feature: the cheapest other model of its tier, and the cheapest of the tier below.
fn other_models<'a>(rows: &[&Row], feature: usize, catalogue: &'a Catalogue, costs: &Costs<'a>) -> Vec<Measure<'a>> {
    let mut models: BTreeMap<&str, (&Model, Needs)> = BTreeMap::new();
    for row in rows {
        let Some(model) = costs.models[row.model] else {
            continue;
        };
        let (_, needs) = models.entry(&model.model).or_insert((model, Needs::default()));
        needs.tokens = needs.tokens.and(Tokens::of(row));
        needs.window = needs.window.max(row.input_tokens + row.output_tokens);
        needs.output = needs.output.max(row.output_tokens);
    }
    let mut measures = Vec::new();
    for (from, needs) in models.into_values() {
        for is_same_tier in [true, false] {
            let able = catalogue.models().iter().filter(|to| {
                (to.tier == from.tier) == is_same_tier
                    && from.tier.is_at_most_one_above(to.tier)
                    && can_replace(to, from, &needs)
            });
            let cheapest = able.min_by_key(|to| (to.price.of(needs.tokens), &to.model));
            if let Some(to) = cheapest.filter(|to| to.price.of(needs.tokens) < from.price.of(needs.tokens)) {
                measures.push(Measure::OtherModel { feature, from, to });
            }
        }
    }
    measures
}

/// Whether a model has room for what was asked of another, and can do all that the other can.
fn can_replace(to: &Model, from: &Model, needs: &Needs) -> bool {
    to.model != from.model
        && to.context_window >= needs.window
        && to.max_output_tokens.is_none_or(|most| most >= needs.output)
        && to.capabilities.is_superset(&from.capabilities)
}

impl<'a> Measure<'a> {
    /// What it saves on these rows, and how much it touches.
    pub(super) fn alone(&self, bill: &Bill<'a>) -> (Decimal, Touched) {
        let (mut saves, mut touched) = (Decimal::ZERO, Touched::default());
        let mut add = |line: &Line<'a>| {
            if let Some((after, input_tokens)) = self.after(line) {
                saves += line.pays() - after.pays();
                touched.requests += 1;
                touched.input_tokens += input_tokens;
            }
        };
        match self.feature() {
            Some(feature) => bill.of_feature[feature].iter().for_each(|line| add(&bill.lines[*line])),
            None => bill.lines.iter().for_each(add),
        }
        (saves, touched)
    }

    /// Changes the rows.
    pub(super) fn take(&self, bill: &mut Bill<'a>) {
        let change = |line: &mut Line<'a>| {
            if let Some((after, _)) = self.after(line) {
                *line = after;
            }
        };
        match self.feature() {
            Some(feature) => bill.of_feature[feature]
                .iter()
                .for_each(|line| change(&mut bill.lines[*line])),
            None => bill.lines.iter_mut().for_each(change),
        }
    }

    /// The feature whose rows it changes; none: of all.
    const fn feature(&self) -> Option<usize> {
        match self {
            Self::OtherModel { feature, .. }
            | Self::Batching { feature, .. }
            | Self::ShorterContext { feature, .. } => Some(*feature),
            Self::Caching => None,
        }
    }

    /// A row of its feature after it, and the input tokens that change there; none where it changes nothing.
    fn after(&self, line: &Line<'a>) -> Option<(Line<'a>, u64)> {
        let mut after = *line;
        let model = line.model?;
        let changed = match self {
            Self::OtherModel { from, to, .. } => {
                after.model = Some(to);
                (model.model == from.model).then_some(0)
            }
            Self::Caching => {
                after.tokens.cached += after.tokens.fresh;
                after.tokens.fresh = 0;
                let has_cache = model.price.cached_input.is_some();
                (line.repeats && has_cache && line.tokens.fresh > 0).then_some(line.tokens.fresh)
            }
            Self::Batching { .. } => {
                after.batched = true;
                model.batch_discount.is_some().then_some(0)
            }
            Self::ShorterContext { at_most, .. } => {
                // What is cached stays, as far as it fits: it stands at the beginning.
                after.tokens.cached = line.tokens.cached.min(*at_most);
                after.tokens.fresh = line.tokens.fresh.min(at_most - after.tokens.cached);
                let cut = line.tokens.cached + line.tokens.fresh - after.tokens.cached - after.tokens.fresh;
                (cut > 0).then_some(cut)
            }
        };
        changed.map(|input_tokens| (after, input_tokens))
    }

    /// The measure in words.
    pub(super) fn told(&self, usage: &Usage, saves: Decimal, touched: &Touched) -> Saving {
        let requests = touched.requests;
        match self {
            Self::OtherModel { feature, from, to } => other_model(&usage.features[*feature], from, to, requests, saves),
            Self::Caching => Saving {
                saves,
                counts: Decimal::ZERO,
                id: "caching",
                title: "Cache the prompts that come again".to_owned(),
                detail: json!({ "requests": requests, "input_tokens": touched.input_tokens }),
                effort: "low",
                risk: "low",
                assumption: "A prompt that comes again on the same day, for the same feature and model, is still in the provider's \
                    cache as a whole; what writing to the cache costs is not counted."
                    .to_owned(),
            },
            Self::Batching { feature, is_slow } => {
                let feature = &usage.features[*feature];
                Saving {
                    saves,
                    counts: Decimal::ZERO,
                    id: "batching",
                    title: format!("Send {feature} in batches"),
                    detail: json!({ "feature": feature, "requests": requests }),
                    effort: "medium",
                    risk: if *is_slow { "medium" } else { HIGH },
                    assumption: format!("Nobody waits for the answers of `{feature}`: they may come up to 24 hours later."),
                }
            }
            Self::ShorterContext { feature, at_most } => {
                let feature = &usage.features[*feature];
                Saving {
                    saves,
                    counts: Decimal::ZERO,
                    id: "shorter_context",
                    title: format!("Shorten the longest inputs of {feature} to {at_most} tokens"),
                    detail: json!({
                        "feature": feature,
                        "requests": requests,
                        "at_most_input_tokens": at_most,
                        "input_tokens_cut": touched.input_tokens,
                    }),
                    effort: "medium",
                    risk: "medium",
                    assumption: format!(
                        "What is cut from the longest tenth of the inputs of `{feature}` is not needed for the answers, and these \
                         stay as long as they were."
                    ),
                }
            }
        }
    }
}

fn other_model(feature: &str, from: &Model, to: &Model, requests: u64, saves: Decimal) -> Saving {
    let is_lower = to.tier < from.tier;
    let tier = |tier: Tier| tier.as_str();
    Saving {
        saves,
        counts: Decimal::ZERO,
        id: "other_model",
        title: format!("Move {feature} from {} to {}", from.model, to.model),
        detail: json!({
            "feature": feature,
            "from": from.model,
            "to": to.model,
            "from_provider": from.provider,
            "to_provider": to.provider,
            "from_tier": from.tier,
            "to_tier": to.tier,
            "requests": requests,
        }),
        effort: if to.provider == from.provider { "low" } else { "medium" },
        risk: if is_lower { HIGH } else { "medium" },
        assumption: format!(
            "The answers of {} ({}) are good enough for `{feature}` where {} ({}) gave them: by the catalogue it has room for the \
             longest of these requests and every capability of the other. Try it on real requests first.",
            to.model,
            tier(to.tier),
            from.model,
            tier(from.tier),
        ),
    }
}
