//! Orders strategies and says how each is done. Amounts are copied from the strategies, whoever orders.

use std::cmp::Ordering;

use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::agents::shapes::{Action, Level, Strategy};

/// How a strategy is done, by its kind: the role, and the steps. `{feature}`, `{from}` and `{to}` stand for its details.
const WAYS: [(&str, &str, &[&str]); 4] = [
    (
        "other_model",
        "machine learning engineer",
        &[
            "Collect real requests of {feature} whose good answers are known.",
            "Let {to} answer them beside {from}, and compare quality, latency and cost.",
            "Move a small part of the traffic, and watch it for a week.",
            "Move the rest, and keep the way back open.",
        ],
    ),
    (
        "caching",
        "backend engineer",
        &[
            "Put what stays the same at the beginning of each prompt, and what changes at its end.",
            "Switch on the provider's prompt cache for these requests.",
            "Watch the cached input tokens: they should come near the repeated ones.",
        ],
    ),
    (
        "batching",
        "platform engineer",
        &[
            "Make sure that nobody waits for the answers of {feature}.",
            "Collect its requests, and send them by the provider's batch interface.",
            "Handle answers that come late, fail or never come.",
        ],
    ),
    (
        "shorter_context",
        "application engineer",
        &[
            "Look at the longest inputs of {feature}, and find what the answers do not need.",
            "Cut it: fewer examples, shorter history, only the passages that fit.",
            "Compare the answers before and after on real requests.",
        ],
    ),
];

/// How a strategy of an unknown kind is done.
const OTHERWISE: (&str, &[&str]) = (
    "product owner",
    &[
        "Check what must hold for it.",
        "Try it on a small part of the traffic, and compare cost and quality.",
    ],
);

/// What a model wishes for one strategy.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Wish {
    /// Its position in the list of strategies, from 1.
    pub strategy: usize,
    /// The role that does it.
    #[schemars(length(min = 1, max = 60))]
    pub owner: String,
    /// How to do it.
    #[schemars(length(min = 1, max = 8), inner(length(min = 1, max = 300)))]
    pub steps: Vec<String>,
    /// The positions of strategies that must be done before it; they stand before it in the plan.
    #[schemars(length(max = 20))]
    pub depends_on: Vec<usize>,
}

/// Plans by rules: what saves most for its effort first, and of the same feature one after the other, so that each can be measured.
pub fn plan(strategies: &[Strategy]) -> Vec<Action> {
    let mut order: Vec<usize> = (0..strategies.len()).collect();
    // A stable sort: what is as good stays in the order of the strategies.
    order.sort_by(|&one, &other| before(&strategies[one], &strategies[other]));
    let mut plan: Vec<Action> = Vec::new();
    for (at, &place) in order.iter().enumerate() {
        let strategy = &strategies[place];
        let same_feature = |earlier: &usize| {
            let feature = feature(strategy);
            feature.is_some() && feature == self::feature(&strategies[order[*earlier]])
        };
        let depends_on = (0..at).rev().find(same_feature).map(|earlier| earlier + 1);
        let (owner, steps) = way(strategy);
        plan.push(action(at + 1, strategy, owner, steps, depends_on.into_iter().collect()));
    }
    plan
}

/// Plans by a model's wishes, what they leave out after them.
///
/// # Errors
/// A sentence for the model: a strategy that does not exist or stands twice, or one that depends on a later one.
pub fn by_wishes(strategies: &[Strategy], wishes: &[Wish]) -> Result<Vec<Action>, String> {
    let mut planned: Vec<usize> = Vec::new();
    let mut plan = Vec::new();
    for wish in wishes {
        let position = wish.strategy;
        let strategy = position.checked_sub(1).and_then(|at| strategies.get(at));
        let strategy = strategy.ok_or_else(|| format!("there is no strategy {position}; they are numbered from 1"))?;
        if planned.contains(&position) {
            return Err(format!("strategy {position} stands in the plan twice"));
        }
        let mut depends_on = Vec::new();
        for before in &wish.depends_on {
            let at = planned.iter().position(|done| done == before);
            let at = at.ok_or_else(|| format!("strategy {position} depends on {before}, which is not before it"))?;
            if !depends_on.contains(&(at + 1)) {
                depends_on.push(at + 1);
            }
        }
        depends_on.sort_unstable();
        planned.push(position);
        plan.push(action(
            planned.len(),
            strategy,
            wish.owner.clone(),
            wish.steps.clone(),
            depends_on,
        ));
    }
    for (at, strategy) in strategies.iter().enumerate() {
        if !planned.contains(&(at + 1)) {
            let (owner, steps) = way(strategy);
            plan.push(action(plan.len() + 1, strategy, owner, steps, Vec::new()));
        }
    }
    Ok(plan)
}

fn action(order: usize, strategy: &Strategy, owner: String, steps: Vec<String>, depends_on: Vec<usize>) -> Action {
    Action {
        order,
        title: strategy.title.clone(),
        owner,
        effort: strategy.effort,
        saves_usd: strategy.saves_usd,
        depends_on,
        steps,
    }
}

/// What comes first: what saves more for its effort, then what risks less.
fn before(one: &Strategy, other: &Strategy) -> Ordering {
    // Cross-multiplied, so that nothing is rounded.
    let (first, second) = (
        one.saves_usd * weight(other.effort),
        other.saves_usd * weight(one.effort),
    );
    second.cmp(&first).then(one.risk.cmp(&other.risk))
}

/// How much work an effort is, beside the others.
fn weight(effort: Level) -> Decimal {
    Decimal::from(match effort {
        Level::Low => 1,
        Level::Medium => 2,
        Level::High => 3,
    })
}

fn feature(strategy: &Strategy) -> Option<&str> {
    strategy.detail["feature"].as_str()
}

/// Who does a strategy, and how.
fn way(strategy: &Strategy) -> (String, Vec<String>) {
    let known = WAYS.iter().find(|(id, ..)| *id == strategy.id);
    let (owner, steps) = known.map_or(OTHERWISE, |(_, owner, steps)| (*owner, *steps));
    let fill = |step: &&str| {
        let detail = |key: &str, otherwise: &str| {
            let text = strategy.detail.get(key).and_then(Value::as_str);
            text.unwrap_or(otherwise).to_owned()
        };
        // One pass from left to right: a feature named `{to}` stays what it is.
        let mut filled = String::new();
        let mut rest = *step;
        while let Some((text, after)) = rest.split_once('{') {
            let (key, after) = after.split_once('}').unwrap_or((after, ""));
            filled.push_str(text);
            filled.push_str(&match key {
                "feature" => detail(key, "the feature"),
                "from" => detail(key, "the model of now"),
                _ => detail(key, "the other model"),
            });
            rest = after;
        }
        filled + rest
    };
    (owner.to_owned(), steps.iter().map(fill).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::shapes::{Savings, samples};
    use serde_json::json;

    fn strategies() -> Vec<Strategy> {
        serde_json::from_value::<Savings>(samples::savings())
            .unwrap()
            .strategies
    }

    fn strategy(saves: &str, effort: &str, risk: &str) -> Strategy {
        let strategy = json!({"id": "new", "title": saves, "saves_usd": saves, "effort": effort, "risk": risk});
        serde_json::from_value(strategy).unwrap()
    }

    fn wish(strategy: usize, depends_on: &[usize]) -> Wish {
        Wish {
            strategy,
            owner: "team".to_owned(),
            steps: vec!["do it".to_owned()],
            depends_on: depends_on.to_vec(),
        }
    }

    #[test]
    fn what_saves_most_for_its_effort_comes_first_and_then_what_risks_least() {
        for (strategies, order) in [
            (
                vec![strategy("2.9", "high", "low"), strategy("1", "low", "low")],
                ["1", "2.9"],
            ),
            (
                vec![strategy("1", "low", "low"), strategy("3.1", "high", "low")],
                ["3.1", "1"],
            ),
            (
                vec![strategy("2", "medium", "high"), strategy("1", "low", "low")],
                ["1", "2"],
            ),
            (
                vec![strategy("5", "low", "low"), strategy("5.0", "low", "low")],
                ["5", "5.0"],
            ),
        ] {
            let titles: Vec<String> = plan(&strategies).into_iter().map(|action| action.title).collect();
            assert_eq!(titles, order);
        }
    }

    #[test]
    fn of_the_same_feature_one_comes_after_the_other() {
        let plan = plan(&strategies());
        let depends: Vec<(usize, Vec<usize>)> = plan.into_iter().map(|one| (one.order, one.depends_on)).collect();
        assert_eq!(depends, [(1, vec![]), (2, vec![]), (3, vec![2])]);
    }

    #[test]
    fn steps_name_what_the_strategy_is_about() {
        let plan = plan(&strategies());
        assert_eq!(
            plan[1].steps[1],
            "Let m2 answer them beside m1, and compare quality, latency and cost."
        );
        let mut odd = strategies().remove(0);
        odd.detail = json!({"feature": "{to}"});
        let (_, steps) = way(&odd);
        assert_eq!(steps[0], "Collect real requests of {to} whose good answers are known.");
        assert_eq!(
            steps[1],
            "Let the other model answer them beside the model of now, and compare quality, latency and cost."
        );
    }

    #[test]
    fn each_kind_of_strategy_has_a_way_and_so_has_an_unknown_one() {
        for (id, owner) in [
            ("other_model", "machine learning engineer"),
            ("caching", "backend engineer"),
            ("batching", "platform engineer"),
            ("shorter_context", "application engineer"),
            ("new", "product owner"),
        ] {
            let mut strategy = strategy("1", "low", "low");
            strategy.id = id.to_owned();
            let (who, steps) = way(&strategy);
            assert_eq!(who, owner);
            assert!(steps.iter().all(|step| !step.contains('{')), "{steps:?}");
        }
    }

    #[test]
    fn a_models_wishes_order_and_lose_nothing_and_change_no_amount() {
        let plan = by_wishes(&strategies(), &[wish(3, &[]), wish(1, &[3, 3])]).unwrap();
        let told: Vec<(usize, String, Vec<usize>)> = plan
            .iter()
            .map(|action| (action.order, action.saves_usd.to_string(), action.depends_on.clone()))
            .collect();
        let expected = [
            (1, "1.000000", vec![]),
            (2, "3.210000", vec![1]),
            (3, "2.005000", vec![]),
        ];
        assert_eq!(
            told,
            expected.map(|(order, saves, depends)| (order, saves.to_owned(), depends))
        );
        assert_eq!(
            (plan[0].owner.as_str(), plan[2].owner.as_str()),
            ("team", "backend engineer")
        );
    }

    #[test]
    fn wishes_that_make_no_sense_are_refused_with_the_reason() {
        for (wishes, fault) in [
            (vec![wish(0, &[])], "no strategy 0"),
            (vec![wish(4, &[])], "no strategy 4"),
            (vec![wish(1, &[]), wish(1, &[])], "twice"),
            (
                vec![wish(1, &[2]), wish(2, &[])],
                "depends on 2, which is not before it",
            ),
            (vec![wish(1, &[1])], "depends on 1, which is not before it"),
        ] {
            let told = by_wishes(&strategies(), &wishes).unwrap_err();
            assert!(told.contains(fault), "{told}");
        }
    }
}
