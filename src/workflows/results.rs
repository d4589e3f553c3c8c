//! What a step is handed: what earlier steps brought, and what kept others from bringing something, within a bound.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// What a step is handed, in bytes of JSON. Beyond: the largest results are left out, each with a note in its place. Below the
/// MiB that a child run takes, so that the rest of the input fits too.
pub const RESULTS_BYTES: usize = 896 * 1024;

/// What steps brought.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Known {
    /// What each step hands on, by its name. Of two steps of the same name, the later one's.
    pub results: BTreeMap<String, Value>,
    /// Why a step failed, by its name.
    pub failed: BTreeMap<String, Failure>,
}

/// Why a step failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Stable, lower case with underscores.
    pub code: String,
    /// A sentence for people.
    pub message: String,
}

impl Known {
    /// As the input of a step: `{"results": {step: ...}}`, with `{"code": ..., "problem": ...}` in the place of what a step
    /// that failed did not bring. At most `most` bytes.
    #[must_use]
    pub fn into_input(mut self, most: usize) -> Value {
        for (step, Failure { code, message }) in self.failed {
            self.results.insert(step, json!({"code": code, "problem": message}));
        }
        let mut sizes: Vec<_> = self
            .results
            .iter()
            .map(|(step, result)| (result.to_string().len(), step.clone()))
            .collect();
        sizes.sort();
        let mut total: usize = sizes.iter().map(|(bytes, step)| bytes + step.len()).sum();
        while total > most
            && let Some((bytes, step)) = sizes.pop()
        {
            let note = json!({"left_out": format!("this result has {bytes} bytes, and together there were too many")});
            total = total - bytes + note.to_string().len();
            self.results.insert(step, note);
        }
        json!({"results": self.results})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(results: &[(&str, usize)]) -> Known {
        let result = |(step, letters): &(&str, usize)| ((*step).to_owned(), json!("x".repeat(*letters)));
        Known {
            results: results.iter().map(result).collect(),
            failed: BTreeMap::new(),
        }
    }

    #[test]
    fn what_fits_is_handed_on_whole() {
        let input = known(&[("a", 3), ("b", 0)]).into_input(RESULTS_BYTES);
        assert_eq!(input, json!({"results": {"a": "xxx", "b": ""}}));
    }

    #[test]
    fn the_largest_results_give_way_to_a_note() {
        let input = known(&[("a", 400), ("b", 100), ("c", 900)]).into_input(700);
        assert_eq!(input["results"]["a"].as_str().map(str::len), Some(400));
        assert_eq!(input["results"]["b"].as_str().map(str::len), Some(100));
        assert_eq!(
            input["results"]["c"]["left_out"],
            "this result has 902 bytes, and together there were too many"
        );
    }

    #[test]
    fn why_a_step_failed_is_handed_on_too() {
        let mut known = known(&[]);
        let failure = Failure {
            code: "no_model".to_owned(),
            message: "No model.".to_owned(),
        };
        known.failed.insert("data".to_owned(), failure);
        assert_eq!(
            known.into_input(RESULTS_BYTES),
            json!({"results": {"data": {"code": "no_model", "problem": "No model."}}})
        );
    }
}
