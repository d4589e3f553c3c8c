//! `optimization`: finds what could be saved. The tool reckons; the model, where there is one, orders and explains.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use sessile_actors::infra::{Agent, AgentClass, AgentError, Answer};
use sessile_actors::session::run::{RunContext, RunOver};

use super::decide::{Decision, Question, decide};
use super::given::Given;
use super::grounds;
use super::markdown::{dollars, escape, percent};
use super::shapes::{Savings, Sufficiency};
use super::source::Source;
use super::steps::OfferedTool;
use super::tool_reply::NoResult;
use super::usage::{self, Usage};

/// The name that clients and workflows name.
pub const NAME: &str = "optimization";

/// What the model is told to be.
const PROMPT: &str = include_str!("../../config/prompts/optimization.md");

/// What the model may look up.
const OFFERED: [OfferedTool; 2] = [
    OfferedTool {
        name: "supply_catalog",
        actions: &["list", "get", "find"],
    },
    OfferedTool {
        name: "cost_calculator",
        actions: &["price"],
    },
];

/// Finds savings.
pub struct Optimization {
    step_limit: u32,
}

/// The class of [`Optimization`].
#[must_use]
pub fn class(step_limit: u32) -> AgentClass {
    AgentClass::new(
        NAME,
        "Finds what could be saved: other models, caching, batching, shorter contexts, each with what must hold.",
        move |_| Optimization { step_limit },
    )
}

/// What the model chooses.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Chosen {
    /// The positions of the strategies in the list, from 1, the most advisable first. What is left out comes after them.
    #[schemars(length(max = 20))]
    order: Vec<usize>,
    /// A few sentences that explain the choice. Each figure in them stands in the strategies.
    #[schemars(length(min = 1, max = 2000))]
    words: String,
}

/// What could be saved, or why nobody can say.
pub enum Reckoned {
    /// This: the tool's result as it came, and the same, read.
    Savings(Value, Savings),
    /// There is no data that is enough; with what is known of it.
    NotEnough(Sufficiency),
    /// A tool failed.
    Failed(NoResult),
}

#[async_trait(?Send)]
impl Agent for Optimization {
    async fn run(&mut self, run: &mut RunContext) -> Result<Answer, AgentError> {
        match reckon(run).await? {
            Reckoned::Savings(result, savings) => self.found(run, result, &savings).await,
            Reckoned::NotEnough(sufficiency) => {
                run.say(&not_enough(sufficiency)).await?;
                run.set_output(json!({
                    "baseline_usd": null, "strategies": [], "combined_saves_usd": null,
                    "data_sufficiency": sufficiency, "decided_by": "rules",
                }));
                Ok(Answer::Said)
            }
            Reckoned::Failed(why) => {
                run.set_output(json!({
                    "baseline_usd": null, "strategies": [], "combined_saves_usd": null,
                    "problem": why.sentence(), "decided_by": "rules",
                }));
                Err(why.failure("savings_failed"))
            }
        }
    }
}

impl Optimization {
    async fn found(&self, run: &mut RunContext, mut result: Value, savings: &Savings) -> Result<Answer, AgentError> {
        let question = Question {
            prompt: PROMPT,
            task: json!({"message": run.message(), "savings": result}),
            history: Vec::new(),
            offered: &OFFERED,
            step_limit: self.step_limit,
        };
        let count = savings.strategies.len();
        let holds = |chosen: &Chosen, looked_up: &[&Value]| {
            whole_order(&chosen.order, count)?;
            let results: Vec<&Value> = looked_up.iter().copied().chain([&result]).collect();
            grounds::check(&chosen.words, &results)
        };
        let decision: Decision<Chosen> = match count {
            0 => Decision::ByRules(None),
            _ => decide(run, question, holds).await?,
        };
        let order = match &decision {
            Decision::ByModel(chosen) => whole_order(&chosen.order, count).unwrap_or_else(|_| (0..count).collect()),
            Decision::ByRules(_) => (0..count).collect(),
        };
        let told = told(savings, &order);
        match &decision {
            Decision::ByModel(chosen) => run.say(&format!("{}\n\n{told}", chosen.words.trim())).await?,
            Decision::ByRules(_) => run.say(&told).await?,
        }
        let ordered: Vec<Value> = order.iter().map(|&at| result["strategies"][at].clone()).collect();
        result["strategies"] = ordered.into();
        decision.mark(&mut result);
        run.set_output(result);
        Ok(Answer::Said)
    }
}

/// Reckons what could be saved with the data that the workflow found, or that the run finds itself.
///
/// # Errors
/// [`RunOver`] where the run has ended.
pub async fn reckon(run: &mut RunContext) -> Result<Reckoned, RunOver> {
    let given = Given::of(run.input());
    let known: Option<(Source, Sufficiency)> = given
        .part("data", "source")
        .zip(given.part("data", "data_sufficiency"))
        .filter(|(_, sufficiency)| *sufficiency != Sufficiency::Unknown);
    let (source, sufficiency) = match known {
        Some(known) => known,
        None => match usage::look(run).await? {
            Usage::Found(found) => (found.source, found.analysis.sufficiency),
            Usage::Nothing => return Ok(Reckoned::NotEnough(Sufficiency::Insufficient)),
            Usage::Failed { why, .. } => return Ok(Reckoned::Failed(why)),
        },
    };
    if !sufficiency.is_usable() {
        return Ok(Reckoned::NotEnough(sufficiency));
    }
    Ok(match usage::savings(run, &source).await? {
        Ok((result, savings)) => Reckoned::Savings(result, savings),
        Err(why) => Reckoned::Failed(why),
    })
}

/// What is said where nothing can be reckoned.
pub fn not_enough(sufficiency: Sufficiency) -> String {
    let why = match sufficiency {
        Sufficiency::Unknown => "Nobody knows whether the usage data is enough",
        Sufficiency::Sufficient | Sufficiency::Partial | Sufficiency::Insufficient => "There is not enough usage data",
    };
    format!("{why}, so nothing can be said of savings. The agent `data_helper` says what is needed.")
}

/// The places of all strategies, those that were chosen first.
fn whole_order(chosen: &[usize], count: usize) -> Result<Vec<usize>, String> {
    let mut order = Vec::with_capacity(count);
    for &position in chosen {
        let at = position.checked_sub(1).filter(|at| *at < count);
        let at = at.ok_or_else(|| format!("there is no strategy {position}; they are numbered from 1 to {count}"))?;
        if order.contains(&at) {
            return Err(format!("strategy {position} stands in the order twice"));
        }
        order.push(at);
    }
    let left_out: Vec<usize> = (0..count).filter(|at| !order.contains(at)).collect();
    order.extend(left_out);
    Ok(order)
}

/// The strategies in words.
fn told(savings: &Savings, order: &[usize]) -> String {
    let baseline = dollars(savings.baseline_usd);
    if savings.strategies.is_empty() {
        return format!("Of {baseline} nothing can be saved by any strategy that I know.");
    }
    let mut told = format!(
        "Of {baseline} up to {} can be saved by all strategies together, where every assumption holds:\n\n",
        dollars(savings.combined_saves_usd)
    );
    for strategy in order.iter().filter_map(|&at| savings.strategies.get(at)) {
        told += &format!(
            "- {}: saves {} ({}), effort {}, risk {}. {}\n",
            escape(&strategy.title),
            dollars(strategy.saves_usd),
            percent(strategy.saves_percent),
            strategy.effort.word(),
            strategy.risk.word(),
            escape(&strategy.assumption)
        );
    }
    if let Some(note) = &savings.note {
        told += &format!("\n{}", escape(note));
    }
    told.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::shapes::samples;

    fn savings() -> Savings {
        serde_json::from_value(samples::savings()).unwrap()
    }

    #[test]
    fn the_strategies_are_told_with_the_tools_figures() {
        let told = told(&savings(), &[1, 0, 2]);
        assert_eq!(
            told,
            "Of $12.35 up to $5.00 can be saved by all strategies together, where every assumption holds:\n\n\
             - Cache the prompts that come again: saves $2.01 (16.24%), effort low, risk low. A prompt is still in the cache.\n\
             - Move \\`summaries\\` from m1 to m2: saves $3.21 (26.00%), effort high, risk high. m2 is able enough.\n\
             - Send \\`summaries\\` in batches: saves $1.00 (8.10%), effort medium, risk medium. Nobody waits for it.\n\n\
             Together they save less than their sum."
        );
    }

    #[test]
    fn where_nothing_can_be_saved_that_is_said() {
        let mut savings = savings();
        savings.strategies.clear();
        assert_eq!(
            told(&savings, &[]),
            "Of $12.35 nothing can be saved by any strategy that I know."
        );
    }

    #[test]
    fn an_order_names_each_strategy_once_and_loses_none() {
        assert_eq!(whole_order(&[3, 1], 3), Ok(vec![2, 0, 1]));
        assert_eq!(whole_order(&[], 2), Ok(vec![0, 1]));
        for (chosen, fault) in [
            (vec![0], "no strategy 0"),
            (vec![4], "no strategy 4"),
            (vec![2, 2], "twice"),
        ] {
            assert!(whole_order(&chosen, 3).unwrap_err().contains(fault), "{chosen:?}");
        }
    }
}
