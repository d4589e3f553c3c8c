//! What the workflow handed a run: the outputs of the steps before it. Without a workflow there is nothing.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::shapes::Savings;
use super::source::Source;

/// What a run was given: `{"results": {"<step>": <output of that step>}}`.
#[derive(Debug, Clone, Copy)]
pub struct Given<'a>(&'a Value);

impl<'a> Given<'a> {
    /// Reads the input of a run.
    pub fn of(input: &'a Value) -> Self {
        Self(&input["results"])
    }

    /// Whether a workflow runs it.
    pub fn is_in_workflow(self) -> bool {
        self.0.is_object()
    }

    /// What a step handed back.
    pub fn output(self, step: &str) -> Option<&'a Value> {
        self.0.get(step).filter(|output| !output.is_null())
    }

    /// A part of what a step handed back, if it is there and makes sense.
    pub fn part<T: DeserializeOwned>(self, step: &str, key: &str) -> Option<T> {
        let part = self.output(step)?.get(key)?;
        T::deserialize(part).ok()
    }

    /// Where the usage data is, as the steps before found out.
    pub fn source(self) -> Option<Source> {
        self.part("data", "source").or_else(|| self.part("triage", "source"))
    }

    /// What could be saved, as `optimization` handed it on.
    pub fn savings(self) -> Option<Savings> {
        self.output("optimization")
            .and_then(|output| serde::Deserialize::deserialize(output).ok())
    }

    /// What the steps before could not do, as they told it.
    pub fn problems(self) -> Vec<String> {
        let steps = self.0.as_object().into_iter().flatten();
        steps
            .filter_map(|(step, output)| Some(format!("{step}: {}", output.get("problem")?.as_str()?)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::shapes::samples;
    use serde_json::json;

    #[test]
    fn without_a_workflow_nothing_is_given() {
        let given = Given::of(&Value::Null);
        assert!(!given.is_in_workflow());
        assert!(given.output("triage").is_none() && given.source().is_none() && given.savings().is_none());
        assert!(given.problems().is_empty());
    }

    #[test]
    fn what_the_steps_handed_back_is_found_by_their_names() {
        let input = json!({"results": {
            "triage": {"source": {"text": "a,b", "format": "csv"}},
            "data": {"source": null, "problem": "it took too long"},
            "optimization": samples::savings(),
            "actions": null,
        }});
        let given = Given::of(&input);
        assert!(given.is_in_workflow());
        assert_eq!(given.source().unwrap().arguments()["text"], "a,b");
        assert_eq!(given.savings().unwrap().strategies.len(), 3);
        assert!(given.output("actions").is_none());
        assert_eq!(given.problems(), ["data: it took too long"]);
    }

    #[test]
    fn an_output_that_makes_no_sense_is_as_good_as_none() {
        let input = json!({"results": {"optimization": {"strategies": "many"}, "data": 7}});
        assert!(Given::of(&input).savings().is_none());
        assert!(Given::of(&input).source().is_none());
    }
}
