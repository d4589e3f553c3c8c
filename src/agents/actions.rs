//! `actions`: makes a plan of the strategies: quick wins first, what depends on what, who does it, and how.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use sessile_actors::infra::{Agent, AgentClass, AgentError, Answer};
use sessile_actors::session::run::{RunContext, RunOver};

mod plan;

pub use self::plan::plan;
use self::plan::{Wish, by_wishes};
use super::decide::{Decision, Question, decide};
use super::given::Given;
use super::grounds;
use super::markdown::{dollars, escape};
use super::optimization::{self, Reckoned};
use super::shapes::{Action, Savings};
use super::tool_reply::NoResult;

/// The name that clients and workflows name.
pub const NAME: &str = "actions";

/// What the model is told to be.
const PROMPT: &str = include_str!("../../config/prompts/actions.md");

/// Plans.
pub struct Actions {
    step_limit: u32,
}

/// The class of [`Actions`].
#[must_use]
pub fn class(step_limit: u32) -> AgentClass {
    AgentClass::new(
        NAME,
        "Makes a plan of what could be saved: quick wins first, with steps, roles and what depends on what.",
        move |_| Actions { step_limit },
    )
}

/// What the model plans.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Planned {
    /// The strategies in the order in which they should be done. What is left out comes after them.
    #[schemars(length(max = 20))]
    plan: Vec<Wish>,
    /// A sentence or two that explain the order. Each figure in them stands in the strategies.
    #[schemars(length(min = 1, max = 1000))]
    words: String,
}

/// What there is to plan.
enum Strategies {
    /// These.
    Known(Savings),
    /// None, and why, as a sentence.
    None(String),
    /// A tool failed.
    Failed(NoResult),
}

#[async_trait(?Send)]
impl Agent for Actions {
    async fn run(&mut self, run: &mut RunContext) -> Result<Answer, AgentError> {
        match strategies(run).await? {
            Strategies::Known(savings) => self.known(run, &savings).await,
            Strategies::None(why) => {
                run.say(&why).await?;
                run.set_output(json!({"plan": [], "decided_by": "rules"}));
                Ok(Answer::Said)
            }
            Strategies::Failed(why) => {
                run.set_output(json!({"plan": [], "problem": why.sentence(), "decided_by": "rules"}));
                Err(why.failure("savings_failed"))
            }
        }
    }
}

impl Actions {
    async fn known(&self, run: &mut RunContext, savings: &Savings) -> Result<Answer, AgentError> {
        let strategies = savings.counted();
        let listed: Vec<Value> = strategies
            .iter()
            .enumerate()
            .map(|(at, strategy)| {
                json!({
                    "strategy": at + 1, "title": strategy.title, "saves_usd": strategy.saves_usd,
                    "saves_percent": strategy.saves_percent, "effort": strategy.effort, "risk": strategy.risk,
                    "assumption": strategy.assumption,
                })
            })
            .collect();
        let listed = Value::Array(listed);
        let question = Question {
            prompt: PROMPT,
            task: json!({"message": run.message(), "strategies": listed}),
            history: Vec::new(),
            offered: &[],
            step_limit: self.step_limit,
        };
        let holds = |planned: &Planned, _: &[&Value]| {
            by_wishes(&strategies, &planned.plan)?;
            let steps = planned
                .plan
                .iter()
                .flat_map(|wish| wish.steps.iter().chain([&wish.owner]));
            let words: Vec<&str> = steps.chain([&planned.words]).map(String::as_str).collect();
            grounds::check(&words.join("\n"), &[&listed])
        };
        let decision = match strategies.as_slice() {
            [] => Decision::ByRules(None),
            _ => decide(run, question, holds).await?,
        };
        let (opening, plan) = match &decision {
            Decision::ByModel(planned) => (
                planned.words.trim(),
                by_wishes(&strategies, &planned.plan).unwrap_or_else(|_| plan(&strategies)),
            ),
            Decision::ByRules(_) => ("", plan(&strategies)),
        };
        run.say(format!("{opening}\n\n{}", told(&plan)).trim()).await?;
        let mut output = json!({"plan": written(&plan)});
        decision.mark(&mut output);
        run.set_output(output);
        Ok(Answer::Said)
    }
}

/// The strategies of the workflow; without a workflow, those that the run reckons itself.
async fn strategies(run: &mut RunContext) -> Result<Strategies, RunOver> {
    let given = Given::of(run.input());
    if let Some(savings) = given.savings() {
        return Ok(Strategies::Known(savings));
    }
    if given.is_in_workflow() {
        return Ok(Strategies::None(
            "There are no strategies, so there is nothing to plan.".to_owned(),
        ));
    }
    Ok(match optimization::reckon(run).await? {
        Reckoned::Savings(_, savings) => Strategies::Known(savings),
        Reckoned::NotEnough(sufficiency) => Strategies::None(optimization::not_enough(sufficiency)),
        Reckoned::Failed(why) => Strategies::Failed(why),
    })
}

/// The plan as it is handed on: amounts with six decimals, as the tools write them.
pub fn written(plan: &[Action]) -> Value {
    let mut written = json!(plan);
    for (entry, action) in written.as_array_mut().into_iter().flatten().zip(plan) {
        entry["saves_usd"] = format!("{:.6}", action.saves_usd).into();
    }
    written
}

/// The plan in words.
fn told(plan: &[Action]) -> String {
    if plan.is_empty() {
        return "Nothing can be saved by any strategy that I know, so there is nothing to plan.".to_owned();
    }
    let mut told = String::new();
    for action in plan {
        told += &format!(
            "{}. **{}**: saves {}, effort {}, by the {}",
            action.order,
            escape(&action.title),
            dollars(action.saves_usd),
            action.effort.word(),
            escape(&action.owner)
        );
        told += &match action.depends_on.as_slice() {
            [] => ".\n".to_owned(),
            orders => format!(", after {}.\n", listed(orders)),
        };
        for step in &action.steps {
            told += &format!("   - {}\n", escape(step));
        }
    }
    told.trim_end().to_owned()
}

/// Orders one after the other.
pub fn listed(orders: &[usize]) -> String {
    orders.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::shapes::samples;

    fn sample() -> Vec<Action> {
        let savings: Savings = serde_json::from_value(samples::savings()).unwrap();
        plan(&savings.strategies)
    }

    #[test]
    fn the_plan_is_handed_on_with_the_tools_amounts() {
        let written = written(&sample());
        assert_eq!(written[0]["title"], "Cache the prompts that come again");
        assert_eq!(written[0]["saves_usd"], "2.005000");
        assert_eq!(written[0]["order"], 1);
        assert_eq!(written[0]["effort"], "low");
        let read: Vec<Action> = serde_json::from_value(written).unwrap();
        assert_eq!(read, sample());
    }

    #[test]
    fn the_plan_is_told_in_order_with_its_steps() {
        let told = told(&sample());
        let titles: Vec<&str> = told.lines().filter(|line| line.contains("**")).collect();
        assert_eq!(
            titles,
            [
                "1. **Cache the prompts that come again**: saves $2.01, effort low, by the backend engineer.",
                "2. **Move \\`summaries\\` from m1 to m2**: saves $3.21, effort high, by the machine learning engineer.",
                "3. **Send \\`summaries\\` in batches**: saves $1.00, effort medium, by the platform engineer, after 2.",
            ]
        );
        assert!(told.contains("\n   - "));
    }

    #[test]
    fn a_plan_of_nothing_says_so() {
        assert!(told(&[]).contains("nothing to plan"));
    }
}
