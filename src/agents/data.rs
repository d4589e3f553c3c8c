//! `data`: analyses the usage data and says what it found. All figures are the tool's.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use sessile_actors::infra::{Agent, AgentClass, AgentError, Answer};
use sessile_actors::session::run::RunContext;

use super::decide::{Decision, Question, decide};
use super::grounds;
use super::markdown::{dollars, escape, name, names, percent};
use super::shapes::{Analysis, Group, Sufficiency};
use super::steps::OfferedTool;
use super::usage::{self, Found, Usage};

/// The name that clients and workflows name.
pub const NAME: &str = "data";

/// What the model is told to be.
const PROMPT: &str = include_str!("../../config/prompts/data.md");

/// What is said where there is no data.
const NOTHING: &str = "There is no usage data yet. Name a document of yours, or put CSV or JSON into the message between \
    two lines of three backticks.";

/// What stands out, of which this much is said. The rest stands in the output.
const OUTLIERS_TOLD: usize = 3;

/// What the model may look up.
const OFFERED: [OfferedTool; 1] = [OfferedTool {
    name: "supply_catalog",
    actions: &["list", "get", "find"],
}];

/// Analyses.
pub struct Data {
    step_limit: u32,
}

/// The class of [`Data`].
#[must_use]
pub fn class(step_limit: u32) -> AgentClass {
    AgentClass::new(
        NAME,
        "Analyses usage data: what was spent on which models and features, how it moves, what stands out.",
        move |_| Data { step_limit },
    )
}

/// What the model says.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Explained {
    /// A few sentences about the analysis. Each figure in them stands in the analysis.
    #[schemars(length(min = 1, max = 2000))]
    words: String,
}

#[async_trait(?Send)]
impl Agent for Data {
    async fn run(&mut self, run: &mut RunContext) -> Result<Answer, AgentError> {
        match usage::look(run).await? {
            Usage::Found(found) => self.found(run, &found).await,
            Usage::Nothing => {
                run.say(NOTHING).await?;
                run.set_output(json!({
                    "analysis": null, "data_sufficiency": Sufficiency::Insufficient, "source": null, "decided_by": "rules",
                }));
                Ok(Answer::Said)
            }
            Usage::Failed { source, why } => {
                run.set_output(json!({
                    "analysis": null, "data_sufficiency": Sufficiency::Unknown, "source": source,
                    "problem": why.sentence(), "decided_by": "rules",
                }));
                Err(why.failure("analysis_failed"))
            }
        }
    }
}

impl Data {
    async fn found(&self, run: &mut RunContext, found: &Found) -> Result<Answer, AgentError> {
        let question = Question {
            prompt: PROMPT,
            task: json!({"message": run.message(), "analysis": found.result}),
            history: Vec::new(),
            offered: &OFFERED,
            step_limit: self.step_limit,
        };
        let is_grounded = |explained: &Explained, looked_up: &[&Value]| {
            let results: Vec<&Value> = looked_up.iter().copied().chain([&found.result]).collect();
            grounds::check(&explained.words, &results)
        };
        let decision = decide(run, question, is_grounded).await?;
        match &decision {
            Decision::ByModel(explained) => run.say(&explained.words).await?,
            Decision::ByRules(_) => run.say(&told(&found.analysis)).await?,
        }
        let mut output = json!({
            "analysis": found.result, "data_sufficiency": found.analysis.sufficiency, "source": found.source,
        });
        decision.mark(&mut output);
        run.set_output(output);
        Ok(Answer::Said)
    }
}

/// The analysis in a few sentences.
pub fn told(analysis: &Analysis) -> String {
    let mut told = vec![spent(analysis)];
    told.extend(dearest("model", &analysis.by_model));
    told.extend(dearest("feature", &analysis.by_feature));
    told.extend(moved(analysis));
    for outlier in analysis.outliers.iter().take(OUTLIERS_TOLD) {
        let (kind, name) = (escape(&outlier.kind), name(&outlier.name));
        told.push(format!("The {kind} {name} stands out: {}.", escape(&outlier.reason)));
    }
    told.extend(repeated(analysis));
    told.extend(gaps(analysis));
    told.join(" ")
}

/// All together.
pub fn spent(analysis: &Analysis) -> String {
    let requests = counted(analysis.totals.requests, "request");
    let period = match &analysis.period {
        Some(period) => format!(
            " from {} to {} ({})",
            escape(&period.from),
            escape(&period.to),
            counted(period.days, "day")
        ),
        None => String::new(),
    };
    format!(
        "There are {requests}{period}; they cost {}.",
        dollars(analysis.totals.cost_usd)
    )
}

fn dearest(kind: &str, groups: &[Group]) -> Option<String> {
    let group = groups.first()?;
    let (cost, share) = (dollars(group.figures.cost_usd), percent(group.share_percent));
    Some(format!(
        "The dearest {kind} is {}: {cost}, {share} of all.",
        name(&group.name)
    ))
}

fn moved(analysis: &Analysis) -> Option<String> {
    let change = analysis.trend.as_ref()?.change_percent?;
    let way = if change.is_zero() {
        return Some("The cost of a day is the same in both halves of the period.".to_owned());
    } else if change.is_sign_negative() {
        "fell"
    } else {
        "rose"
    };
    Some(format!(
        "From the first half of the period to the second the cost of a day {way} by {}.",
        percent(change.abs())
    ))
}

fn repeated(analysis: &Analysis) -> Option<String> {
    let repeated = analysis
        .repeated_prompts
        .filter(|repeated| repeated.known && repeated.requests > 0)?;
    Some(format!(
        "{} had a prompt that came more than once ({}).",
        counted(repeated.requests, "request"),
        counted(repeated.distinct, "different prompt")
    ))
}

/// What the figures do not hold.
pub fn gaps(analysis: &Analysis) -> Vec<String> {
    let mut gaps = Vec::new();
    if analysis.skipped_count > 0 {
        gaps.push(format!(
            "{} had faults and could not be counted.",
            counted(analysis.skipped_count, "row")
        ));
    }
    if !analysis.unpriced_models.is_empty() {
        let unpriced = names(analysis.unpriced_models.iter().map(String::as_str));
        gaps.push(format!(
            "Nobody knows the price of {unpriced}: its cost is not in the sums."
        ));
    }
    if !analysis.missing.is_empty() {
        let missing = names(analysis.missing.iter().map(String::as_str));
        gaps.push(format!("The data does not have {missing}."));
    }
    if analysis.sufficiency != Sufficiency::Sufficient {
        let reasons: Vec<String> = analysis.reasons.iter().map(|reason| escape(reason)).collect();
        let why = if reasons.is_empty() {
            String::new()
        } else {
            format!(": {}", reasons.join("; "))
        };
        let verdict = match analysis.sufficiency {
            Sufficiency::Partial => "The data is enough for a part of the work only",
            Sufficiency::Sufficient | Sufficiency::Insufficient | Sufficiency::Unknown => {
                "The data is not enough to act on"
            }
        };
        gaps.push(format!("{verdict}{why}."));
    }
    gaps
}

/// How many of something, in words that fit the number.
pub fn counted(count: u64, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::shapes::samples;

    fn analysis(change: impl FnOnce(&mut Value)) -> Analysis {
        let mut sample = samples::analysis();
        change(&mut sample);
        serde_json::from_value(sample).unwrap()
    }

    #[test]
    fn the_analysis_is_told_with_its_own_figures() {
        let told = told(&analysis(|_| ()));
        assert_eq!(
            told,
            "There are 1200 requests from 2026-10-01 to 2026-10-30 (30 days); they cost $12.35. The dearest model is m1: \
             $10.00, 81.00% of all. The dearest feature is summaries: $12.35, 100.00% of all. From the first half of the \
             period to the second the cost of a day rose by 20.00%. The day 2026-10-17 stands out: 3.4 times the median day. \
             400 requests had a prompt that came more than once (20 different prompts). 1 row had faults and could not be \
             counted. The data does not have latency_ms."
        );
        // What the rules say would hold if a model said it.
        assert_eq!(grounds::check(&told, &[&samples::analysis()]), Ok(()));
    }

    #[test]
    fn what_is_not_known_is_not_told() {
        let told = told(&analysis(|sample| {
            for key in ["period", "trend", "repeated_prompts"] {
                sample[key] = Value::Null;
            }
            for key in ["by_model", "by_feature", "outliers", "missing"] {
                sample[key] = json!([]);
            }
            sample["skipped_count"] = json!(0);
        }));
        assert_eq!(told, "There are 1200 requests; they cost $12.35.");
    }

    #[test]
    fn a_fall_is_told_as_one() {
        let told = |change: &str| moved(&analysis(|sample| sample["trend"]["change_percent"] = json!(change))).unwrap();
        assert!(told("-7.50").ends_with("fell by 7.50%."));
        assert!(told("0.00").contains("the same"));
    }

    #[test]
    fn gaps_are_named_with_their_reasons() {
        let gaps = gaps(&analysis(|sample| {
            sample["sufficiency"] = json!("insufficient");
            sample["reasons"] = json!(["there are 3 rows", "half of them have faults"]);
            sample["unpriced_models"] = json!(["x|y"]);
        }));
        assert!(gaps.contains(&"Nobody knows the price of x\\|y: its cost is not in the sums.".to_owned()));
        let verdict = "The data is not enough to act on: there are 3 rows; half of them have faults.";
        assert!(gaps.contains(&verdict.to_owned()), "{gaps:?}");
    }
}
