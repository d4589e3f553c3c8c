//! `data_helper`: asks for exactly the data that is missing, each with the reason and an example.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use sessile_actors::infra::{Agent, AgentClass, AgentError, Answer};
use sessile_actors::session::run::RunContext;

use super::decide::{Decision, Question, decide};
use super::given::Given;
use super::grounds;
use super::markdown::{escape, name};
use super::shapes::{Request, Sufficiency};
use super::usage::{self, Usage};

/// The name that clients and workflows name.
pub const NAME: &str = "data_helper";

/// What the model is told to be.
const PROMPT: &str = include_str!("../../config/prompts/data_helper.md");

/// The columns that may be asked for: name, why, example; and whether nothing can be said without it.
const COLUMNS: [(&str, &str, &str, bool); 9] = [
    (
        "timestamp",
        "to see how cost moves and which days stand out",
        "2026-10-17T09:30:00Z",
        true,
    ),
    ("model", "to find the price of each request", "gpt-5-mini", true),
    (
        "feature",
        "to see which part of your product costs what",
        "summaries",
        true,
    ),
    ("input_tokens", "to reckon what was paid for prompts", "1840", true),
    ("output_tokens", "to reckon what was paid for answers", "220", true),
    (
        "cached_input_tokens",
        "to see what a cache saves already",
        "1024",
        false,
    ),
    ("latency_ms", "to see how long answers take", "950", false),
    (
        "cost_usd",
        "to know what was really paid where no price is known",
        "0.001230",
        false,
    ),
    (
        "prompt_hash",
        "to see which prompts come again and could be cached",
        "9f2c41d0",
        false,
    ),
];

/// Asks for data.
pub struct DataHelper {
    step_limit: u32,
}

/// The class of [`DataHelper`].
#[must_use]
pub fn class(step_limit: u32) -> AgentClass {
    AgentClass::new(
        NAME,
        "Says which data is missing, what it is needed for, and what it should look like.",
        move |_| DataHelper { step_limit },
    )
}

/// What is known of the data, as far as it decides what to ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// Whether there is data that can be read.
    pub has_data: bool,
    /// Whether it is enough.
    pub sufficiency: Sufficiency,
    /// Columns that it does not have.
    pub missing: Vec<String>,
    /// Why it is not enough.
    pub reasons: Vec<String>,
    /// Why it can't be read, as a sentence.
    pub problem: Option<String>,
}

/// What the model says.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Asked {
    /// A sentence or two before the list of what is asked for. They hold no figures.
    #[schemars(length(min = 1, max = 600))]
    opening: String,
    /// Questions to the user, beside the data.
    #[schemars(length(max = 5), inner(length(min = 1, max = 200)))]
    questions: Vec<String>,
}

#[async_trait(?Send)]
impl Agent for DataHelper {
    async fn run(&mut self, run: &mut RunContext) -> Result<Answer, AgentError> {
        let gap = match Gap::of_workflow(Given::of(run.input())) {
            Some(gap) => gap,
            None => Gap::of(&usage::look(run).await?),
        };
        let requests = gap.requests();
        let question = Question {
            prompt: PROMPT,
            task: json!({"message": run.message(), "requests": requests, "reasons": gap.reasons, "problem": gap.problem}),
            history: run.history().await?,
            offered: &[],
            step_limit: self.step_limit,
        };
        let task = question.task.clone();
        let is_grounded = |asked: &Asked, _: &[&Value]| {
            let words = format!("{}\n{}", asked.opening, asked.questions.join("\n"));
            grounds::check(&words, &[&task["requests"], &task["reasons"]])
        };
        let decision = decide(run, question, is_grounded).await?;
        let (opening, questions) = match &decision {
            Decision::ByModel(asked) => (asked.opening.clone(), asked.questions.clone()),
            Decision::ByRules(_) => {
                let period = Given::of(run.input())
                    .output("triage")
                    .map(|triage| &triage["entities"]["period"]);
                (gap.opening(), gap.questions(period.is_some_and(Value::is_string)))
            }
        };
        run.say(&told(&opening, &requests, &questions)).await?;
        let mut output = json!({"requests": requests, "questions": questions});
        decision.mark(&mut output);
        run.set_output(output);
        Ok(Answer::Said)
    }
}

impl Gap {
    /// Reads it from what the data agent or triage found out.
    fn of_workflow(given: Given<'_>) -> Option<Self> {
        let texts = |step: &str, path: &str| -> Option<Vec<String>> {
            let list = given.output(step)?.pointer(path)?.as_array()?;
            Some(list.iter().filter_map(Value::as_str).map(str::to_owned).collect())
        };
        let step = ["data", "triage"]
            .into_iter()
            // A step that failed says nothing of the data.
            .find(|step| given.output(step).is_some_and(|output| output.get("code").is_none()))?;
        let root = if step == "data" { "/analysis" } else { "" };
        let missing = texts(step, &format!("{root}/missing"));
        let has_data = missing.is_some();
        Some(Self {
            has_data,
            sufficiency: given.part(step, "data_sufficiency").unwrap_or(Sufficiency::Unknown),
            missing: missing.unwrap_or_default(),
            reasons: texts(step, &format!("{root}/reasons")).unwrap_or_default(),
            problem: given.part(step, "problem"),
        })
    }

    /// Reads it from what was found now.
    pub fn of(usage: &Usage) -> Self {
        let (missing, reasons, problem) = match usage {
            Usage::Found(found) => (found.analysis.missing.clone(), found.analysis.reasons.clone(), None),
            Usage::Nothing => (Vec::new(), Vec::new(), None),
            Usage::Failed { why, .. } => (Vec::new(), Vec::new(), Some(why.sentence())),
        };
        Self {
            has_data: matches!(usage, Usage::Found(_)),
            sufficiency: usage.sufficiency(),
            missing,
            reasons,
            problem,
        }
    }

    /// What to ask for: without data all that is needed, else the columns that are missing, and more rows where there are too few.
    pub fn requests(&self) -> Vec<Request> {
        let wanted = COLUMNS.iter().filter(|(column, .., is_needed)| match self.has_data {
            true => self.missing.iter().any(|missing| missing == column),
            false => *is_needed,
        });
        let mut requests: Vec<Request> = wanted
            .map(|(column, why, example, _)| Request {
                field: (*column).to_owned(),
                why: (*why).to_owned(),
                example: (*example).to_owned(),
            })
            .collect();
        let needed_are_there = !requests.iter().any(|request| is_needed(&request.field));
        if self.has_data && needed_are_there && self.sufficiency != Sufficiency::Sufficient {
            requests.push(Request {
                field: "rows".to_owned(),
                why: match self.reasons.as_slice() {
                    [] => "because there are too few to go by".to_owned(),
                    reasons => format!("because {}", reasons.join("; ")),
                },
                example: "one row for each request of some weeks".to_owned(),
            });
        }
        requests
    }

    fn opening(&self) -> String {
        match (&self.problem, self.has_data, self.sufficiency) {
            (Some(problem), ..) => format!(
                "The usage data can't be read. {} Please send it as follows.",
                escape(problem)
            ),
            (None, false, _) => {
                "To find out what your models cost and what could be saved, I need usage data: one row for each \
                                 request. Name a document of yours, or put it into a message as below."
                    .to_owned()
            }
            (None, true, Sufficiency::Sufficient) if self.missing.is_empty() => {
                "The usage data has all that is needed; nothing is missing.".to_owned()
            }
            (None, true, Sufficiency::Sufficient) => {
                "The usage data is enough to work on. It would say more with what follows.".to_owned()
            }
            (None, true, _) => "There is usage data, but it is not enough yet. Please add what follows.".to_owned(),
        }
    }

    fn questions(&self, knows_period: bool) -> Vec<String> {
        let mut questions = Vec::new();
        if !self.has_data && !knows_period {
            questions.push("Which period should be looked at?".to_owned());
        }
        if !self.has_data {
            questions
                .push("Are there features whose answers may come hours later, or from a smaller model?".to_owned());
        }
        questions
    }
}

fn is_needed(field: &str) -> bool {
    COLUMNS
        .iter()
        .any(|(column, .., is_needed)| *column == field && *is_needed)
}

/// The whole message: the opening, what is asked for, an example to copy, the questions.
fn told(opening: &str, requests: &[Request], questions: &[String]) -> String {
    let mut told = opening.trim().to_owned();
    if !requests.is_empty() {
        told += "\n\n";
        for request in requests {
            let (field, why, example) = (name(&request.field), escape(&request.why), name(&request.example));
            told += &format!("- **{field}**: {why}. For example: {example}\n");
        }
    }
    let columns: Vec<_> = COLUMNS
        .iter()
        .filter(|(column, ..)| requests.iter().any(|request| request.field == *column))
        .collect();
    if !columns.is_empty() {
        let header: Vec<&str> = columns.iter().map(|(column, ..)| *column).collect();
        let row: Vec<&str> = columns.iter().map(|(_, _, example, _)| *example).collect();
        told += &format!("\n```csv\n{}\n{}\n```\n", header.join(","), row.join(","));
    }
    if !questions.is_empty() {
        told += "\n";
        for question in questions {
            told += &format!("- {}\n", escape(question));
        }
    }
    told.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::shapes::samples;

    fn gap(has_data: bool, sufficiency: Sufficiency, missing: &[&str]) -> Gap {
        Gap {
            has_data,
            sufficiency,
            missing: missing.iter().map(|&column| column.to_owned()).collect(),
            reasons: Vec::new(),
            problem: None,
        }
    }

    fn fields(gap: &Gap) -> Vec<String> {
        gap.requests().into_iter().map(|request| request.field).collect()
    }

    #[test]
    fn exactly_what_is_missing_is_asked_for() {
        let needed = ["timestamp", "model", "feature", "input_tokens", "output_tokens"];
        assert_eq!(fields(&gap(false, Sufficiency::Insufficient, &[])), needed);
        assert_eq!(fields(&gap(true, Sufficiency::Partial, &["feature"])), ["feature"]);
        assert_eq!(
            fields(&gap(true, Sufficiency::Partial, &["latency_ms"])),
            ["latency_ms", "rows"]
        );
        assert_eq!(fields(&gap(true, Sufficiency::Insufficient, &[])), ["rows"]);
        assert_eq!(fields(&gap(true, Sufficiency::Sufficient, &["cost_usd"])), ["cost_usd"]);
        assert_eq!(
            fields(&gap(true, Sufficiency::Sufficient, &["a_column_nobody_knows"])),
            [""; 0]
        );
    }

    #[test]
    fn a_request_for_rows_says_why() {
        let mut gap = gap(true, Sufficiency::Insufficient, &[]);
        gap.reasons = vec!["there are 3 rows".to_owned(), "2 have faults".to_owned()];
        assert_eq!(gap.requests()[0].why, "because there are 3 rows; 2 have faults");
    }

    #[test]
    fn the_gap_is_what_the_data_agent_found_or_else_triage() {
        let triage = json!({"data_sufficiency": "insufficient", "source": null});
        let input = json!({"results": {"triage": triage}});
        let found = Gap::of_workflow(Given::of(&input)).unwrap();
        assert_eq!(found, gap(false, Sufficiency::Insufficient, &[]));
        let data = json!({"analysis": samples::analysis(), "data_sufficiency": "sufficient"});
        let input = json!({"results": {"triage": triage, "data": data}});
        let found = Gap::of_workflow(Given::of(&input)).unwrap();
        assert_eq!(found, gap(true, Sufficiency::Sufficient, &["latency_ms"]));
        assert_eq!(Gap::of_workflow(Given::of(&Value::Null)), None);
    }

    #[test]
    fn a_request_comes_with_its_reason_and_a_row_to_copy() {
        let gap = gap(true, Sufficiency::Partial, &["feature", "prompt_hash"]);
        let told = told(&gap.opening(), &gap.requests(), &gap.questions(false));
        assert_eq!(
            told,
            "There is usage data, but it is not enough yet. Please add what follows.\n\n\
             - **feature**: to see which part of your product costs what. For example: summaries\n\
             - **prompt_hash**: to see which prompts come again and could be cached. For example: 9f2c41d0\n\n\
             ```csv\nfeature,prompt_hash\nsummaries,9f2c41d0\n```"
        );
    }

    #[test]
    fn without_data_it_asks_for_the_period_unless_that_is_known() {
        let gap = gap(false, Sufficiency::Insufficient, &[]);
        assert_eq!(gap.questions(false).len(), 2);
        assert_eq!(gap.questions(true).len(), 1);
    }

    #[test]
    fn data_that_lacks_nothing_is_not_asked_for() {
        let gap = gap(true, Sufficiency::Sufficient, &[]);
        let told = told(&gap.opening(), &gap.requests(), &gap.questions(false));
        assert_eq!(told, "The usage data has all that is needed; nothing is missing.");
    }

    #[test]
    fn a_problem_is_told_as_text() {
        let mut gap = gap(false, Sufficiency::Unknown, &[]);
        gap.problem = Some("The tool failed: <b>.".to_owned());
        assert!(gap.opening().contains("&lt;b&gt;"));
    }
}
