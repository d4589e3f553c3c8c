//! `triage`: finds out what a message is about, whether there is data to work on, and who should work on it.
//!
//! The data is looked at by the usage tools; the rest is judged by the model, or by `rules`. A message that tries to give
//! orders to the agents is told as such: its words are read, never followed.

use async_trait::async_trait;
use serde_json::{Value, json};
use sessile_actors::infra::{Agent, AgentClass, AgentError, Answer};
use sessile_actors::session::run::{RunContext, RunOver};

mod entities;
mod judgement;
mod lexicon;
mod rules;

use self::judgement::Judgement;
use super::decide::{Decision, Question, decide};
use super::shapes::Sufficiency;
use super::steps::OfferedTool;
use super::usage::{self, Usage};
use super::{grounds, markdown, source, tool_reply};

/// The name that clients and workflows name.
pub const NAME: &str = "triage";

/// What the model is told to be.
const PROMPT: &str = include_str!("../../config/prompts/triage.md");

/// The catalogue of models.
const CATALOGUE: &str = "supply_catalog";

/// Characters of a message that are judged. Beyond them its end is left out.
const WORDS_MAX: usize = 10_000;

/// What the model may look up.
const OFFERED: [OfferedTool; 1] = [OfferedTool {
    name: CATALOGUE,
    actions: &["list", "get", "find"],
}];

/// Sorts messages.
pub struct Triage {
    step_limit: u32,
}

/// The class of [`Triage`].
#[must_use]
pub fn class(step_limit: u32) -> AgentClass {
    AgentClass::new(
        NAME,
        "Finds out what a message is about, whether there is data, and which agents should work on it.",
        move |_| Triage { step_limit },
    )
}

#[async_trait(?Send)]
impl Agent for Triage {
    async fn run(&mut self, run: &mut RunContext) -> Result<Answer, AgentError> {
        let words = markdown::cut(&source::words_of(run.message()), WORDS_MAX);
        let usage = usage::look(run).await?;
        let known = known_models(run).await?;
        let question = Question {
            prompt: PROMPT,
            task: json!({"message": words, "data_sufficiency": usage.sufficiency()}),
            history: run.history().await?,
            offered: &OFFERED,
            step_limit: self.step_limit,
        };
        let decision = decide(run, question, |judged: &Judgement, results| {
            grounds::check(&judged.sub_category, results)
        })
        .await?;
        let mut judgement = match &decision {
            Decision::ByModel(judgement) => judgement.clone(),
            Decision::ByRules(_) => rules::judge(&words, &known, &usage),
        };
        judgement.keep_to(&words, &usage);
        let mut output = output(&judgement, &usage);
        decision.mark(&mut output);
        run.say(&told(&judgement, &usage)).await?;
        run.set_output(output);
        Ok(Answer::Said)
    }
}

/// The models of the catalogue; none where there is no catalogue or it does not answer: names are then guessed by their looks.
async fn known_models(run: &mut RunContext) -> Result<Vec<String>, RunOver> {
    if !run.tools().iter().any(|spec| spec.name == CATALOGUE) {
        return Ok(Vec::new());
    }
    let listed = tool_reply::call(run, CATALOGUE, json!({"action": "list"})).await?;
    Ok(listed
        .map(|listed| entities::models_listed(&listed))
        .unwrap_or_default())
}

fn output(judgement: &Judgement, usage: &Usage) -> Value {
    let mut output = serde_json::to_value(judgement).unwrap_or_default();
    output["data_sufficiency"] = json!(usage.sufficiency_for(judgement.category.needs_data()));
    output["source"] = json!(usage.source());
    match usage {
        Usage::Found(found) => {
            output["missing"] = json!(found.analysis.missing);
            output["reasons"] = json!(found.analysis.reasons);
        }
        Usage::Failed { why, .. } => output["problem"] = json!(why.sentence()),
        Usage::Nothing => {}
    }
    output
}

/// The judgement in words.
fn told(judgement: &Judgement, usage: &Usage) -> String {
    let mut told = format!(
        "This is about {} ({}). Priority: {}. Complexity: {}.",
        judgement.category.word(),
        markdown::name(&judgement.sub_category),
        judgement.priority.word(),
        judgement.complexity.word()
    );
    for (what, names) in [
        ("Models", &judgement.entities.models),
        ("Features", &judgement.entities.features),
    ] {
        if !names.is_empty() {
            told += &format!(" {what}: {}.", markdown::names(names.iter().map(String::as_str)));
        }
    }
    told += &match usage {
        Usage::Found(found) => format!(
            " There is usage data in {}: {} rows, {}.",
            found.source.words(),
            found.analysis.rows,
            match found.analysis.sufficiency {
                Sufficiency::Sufficient => "enough to work on",
                Sufficiency::Partial => "enough for a part of the work",
                Sufficiency::Insufficient | Sufficiency::Unknown => "not enough to work on",
            }
        ),
        Usage::Failed { source, why } => format!(
            " The usage data in {} can't be read. {}",
            source.words(),
            markdown::escape(&why.sentence())
        ),
        Usage::Nothing if judgement.category.needs_data() => " There is no usage data yet.".to_owned(),
        Usage::Nothing => String::new(),
    };
    if judgement.suspicious {
        told += " A part of the message tries to give orders to the agents; it is read as text and not followed.";
    }
    let next: Vec<&str> = judgement.next_agents.iter().map(|agent| agent.name()).collect();
    told + &format!(" Next: {}.", next.join(", "))
}

#[cfg(test)]
mod tests;
