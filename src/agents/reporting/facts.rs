//! What a report is made of: the results that there are, and the names of those that there are not.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::agents::given::Given;
use crate::agents::shapes::{Action, Analysis, Request, Savings};

/// What is known. Results stand beside what was read of them, so that words can be checked against them.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The analysis of the data.
    pub analysis: Option<(Value, Analysis)>,
    /// What could be saved.
    pub savings: Option<(Value, Savings)>,
    /// How.
    pub plan: Vec<Action>,
    /// What is asked for.
    pub requests: Vec<Request>,
    /// What is asked.
    pub questions: Vec<String>,
    /// What failed, a sentence each.
    pub problems: Vec<String>,
    /// Whether the message tried to give orders.
    pub suspicious: bool,
}

impl Facts {
    /// Reads them from the outputs of the steps. What makes no sense is told as a problem, and else as good as missing.
    pub fn of_workflow(given: Given<'_>) -> Self {
        let mut facts = Self {
            problems: given.problems(),
            requests: given.part("data_helper", "requests").unwrap_or_default(),
            questions: given.part("data_helper", "questions").unwrap_or_default(),
            plan: given.part("actions", "plan").unwrap_or_default(),
            suspicious: given.part("triage", "suspicious").unwrap_or_default(),
            ..Self::default()
        };
        let analysis = given.output("data").map(|output| &output["analysis"]);
        facts.analysis = read("data", analysis, &mut facts.problems);
        let savings = given
            .output("optimization")
            .filter(|output| !output["baseline_usd"].is_null());
        facts.savings = read("optimization", savings, &mut facts.problems);
        facts
    }

    /// Whether there is anything to count.
    pub fn has_figures(&self) -> bool {
        self.analysis.is_some() || self.savings.is_some()
    }

    /// The tools' results, as a model reads them and as its words are checked against them.
    pub fn results(&self) -> Value {
        json!({
            "analysis": self.analysis.as_ref().map(|(result, _)| result),
            "savings": self.savings.as_ref().map(|(result, _)| result),
        })
    }

    /// What the report does not have, a sentence each.
    pub fn missing(&self) -> Vec<String> {
        let mut missing = Vec::new();
        match &self.analysis {
            None => {
                missing.push("There is no analysis of usage data, so nothing is known of what was spent.".to_owned())
            }
            Some((_, analysis)) => missing.extend(crate::agents::data::gaps(analysis)),
        }
        if self.savings.is_none() {
            missing.push("Savings were not reckoned.".to_owned());
        }
        let has_strategies = self
            .savings
            .as_ref()
            .is_some_and(|(_, savings)| !savings.strategies.is_empty());
        if has_strategies && self.plan.is_empty() {
            missing.push("There is no plan for the strategies.".to_owned());
        }
        missing
    }
}

fn read<T: for<'de> Deserialize<'de>>(
    step: &str,
    result: Option<&Value>,
    problems: &mut Vec<String>,
) -> Option<(Value, T)> {
    let result = result.filter(|result| !result.is_null())?;
    match T::deserialize(result) {
        Ok(read) => Some((result.clone(), read)),
        Err(_) => {
            problems.push(format!("{step}: its result has not the shape that it promises."));
            None
        }
    }
}
