//! `reporting`: writes the report. It never fails: what is missing is named, with what is needed.
//!
//! Everything but the opening sentences is made of results, the same from the same; the model, where there is one, may only write
//! these sentences.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use sessile_actors::infra::{Agent, AgentClass, AgentError, Answer};
use sessile_actors::session::run::{RunContext, RunOver};

mod facts;
mod report;

use self::facts::Facts;
use super::actions::plan;
use super::data_helper::Gap;
use super::decide::{Decision, Question, decide};
use super::given::Given;
use super::grounds;
use super::markdown::escape;
use super::source::Source;
use super::usage::{self, Usage};

/// The name that clients and workflows name.
pub const NAME: &str = "reporting";

/// What the model is told to be.
const PROMPT: &str = include_str!("../../config/prompts/reporting.md");

/// Writes reports.
pub struct Reporting {
    step_limit: u32,
}

/// The class of [`Reporting`].
#[must_use]
pub fn class(step_limit: u32) -> AgentClass {
    AgentClass::new(
        NAME,
        "Writes the report: what was spent, what could be saved, how, and what is missing.",
        move |_| Reporting { step_limit },
    )
}

/// What the model writes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Summary {
    /// A few sentences that say what matters most. Each figure in them stands in the results.
    #[schemars(length(min = 1, max = 2000))]
    summary: String,
}

#[async_trait(?Send)]
impl Agent for Reporting {
    async fn run(&mut self, run: &mut RunContext) -> Result<Answer, AgentError> {
        let given = Given::of(run.input());
        let facts = match given.is_in_workflow() {
            true => Facts::of_workflow(given),
            false => gathered(run).await?,
        };
        let results = facts.results();
        let decision: Decision<Summary> = if facts.has_figures() {
            let question = Question {
                prompt: PROMPT,
                task: json!({"message": run.message(), "results": results, "missing": facts.missing()}),
                history: Vec::new(),
                offered: &[],
                step_limit: self.step_limit,
            };
            decide(run, question, |summary: &Summary, _| {
                grounds::check(&summary.summary, &[&results])
            })
            .await?
        } else {
            Decision::ByRules(None)
        };
        let summary = match &decision {
            Decision::ByModel(written) => escape(&written.summary),
            Decision::ByRules(_) => report::summary(&facts),
        };
        let report = report::write(&facts, &summary);
        run.say(&report).await?;
        let mut output = json!({"report": report});
        decision.mark(&mut output);
        run.set_output(output);
        Ok(Answer::Said)
    }
}

/// What the run finds out by itself, where no workflow found it out before.
async fn gathered(run: &mut RunContext) -> Result<Facts, RunOver> {
    let looked = usage::look(run).await?;
    let mut facts = Facts {
        requests: Gap::of(&looked).requests(),
        ..Facts::default()
    };
    match looked {
        Usage::Nothing => {}
        Usage::Failed { why, .. } => facts.problems.push(why.sentence()),
        Usage::Found(found) => {
            let usable = found.analysis.sufficiency.is_usable();
            facts.analysis = Some((found.result, found.analysis));
            if usable {
                savings(run, &found.source, &mut facts).await?;
            }
        }
    }
    Ok(facts)
}

async fn savings(run: &mut RunContext, source: &Source, facts: &mut Facts) -> Result<(), RunOver> {
    match usage::savings(run, source).await? {
        Ok((result, savings)) => {
            facts.plan = plan(&savings.counted());
            facts.savings = Some((result, savings));
        }
        Err(why) => facts.problems.push(why.sentence()),
    }
    Ok(())
}

#[cfg(test)]
mod tests;
