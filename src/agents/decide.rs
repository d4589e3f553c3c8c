//! Asks the run's model for a decision: an answer of a declared shape, which is checked, objected to once, and else not used.
//!
//! A model chooses, orders and explains. It reckons nothing: what it may not say is what the agent's own check refuses, and where
//! it gives no answer that can be used, the agent decides by rules.

use std::time::Duration;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sessile_actors::infra::AgentError;
use sessile_actors::infra::model::ChatMessage;
use sessile_actors::session::run::RunContext;

use super::conversation::Conversation;
use super::steps::{Offered, OfferedTool, Steps, Words};

/// How long one turn of the model may take. Beyond it the rules decide: a decision is worth less than an answer in time.
const TURN_TIME: Duration = Duration::from_secs(60);

/// How long an answer may be, in bytes. Beyond it the model is told so.
const ANSWER_BYTES: usize = 64 * 1024;

/// How often the model is told what was wrong with its answer.
const OBJECTIONS: u32 = 1;

/// Faults of an answer that the model is told at once.
const FAULTS_TOLD: usize = 5;

/// What a model is asked.
pub struct Question<'a> {
    /// What the model is told to be.
    pub prompt: &'a str,
    /// What is to be decided, as the model reads it.
    pub task: Value,
    /// What was said in the thread before; it may be empty.
    pub history: Vec<ChatMessage>,
    /// The tools that the model may call on the way.
    pub offered: &'a [OfferedTool],
    /// How often the model is asked at most, for the answer and again for its repair.
    pub step_limit: u32,
}

/// Who decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision<T> {
    /// The model, like this.
    ByModel(T),
    /// Nobody yet: the rules must. With the reason, where there is a model that could have decided.
    ByRules(Option<String>),
}

impl<T> Decision<T> {
    /// Writes into an agent's output who decided, and why not the model.
    pub fn mark(&self, output: &mut Value) {
        match self {
            Self::ByModel(_) => output["decided_by"] = "model".into(),
            Self::ByRules(why) => {
                output["decided_by"] = "rules".into();
                if let Some(why) = why {
                    output["decision_note"] = why.as_str().into();
                }
            }
        }
    }
}

/// Asks the run's model. `check` gets the answer and the results of the tools that the model called.
///
/// # Errors
/// [`AgentError::Over`] alone: whatever else goes wrong leaves the decision to the rules.
pub async fn decide<T, C>(run: &mut RunContext, question: Question<'_>, check: C) -> Result<Decision<T>, AgentError>
where
    T: DeserializeOwned + JsonSchema,
    C: Fn(&T, &[&Value]) -> Result<(), String>,
{
    let Some(model) = run.model_for_agent().filter(|model| !model.follows_rules()) else {
        return Ok(Decision::ByRules(None));
    };
    let shape = match Shape::of::<T>() {
        Ok(shape) => shape,
        Err(fault) => return Ok(Decision::ByRules(Some(fault))),
    };
    let steps = Steps {
        model,
        system: &format!("{}\n\n{}", question.prompt.trim_end(), shape.instruction),
        offered: Offered::Only(question.offered),
        limit: question.step_limit,
        words: Words::Kept(TURN_TIME),
    };
    let mut conversation = Conversation::new(question.history, &question.task.to_string());
    for objections in 0..=OBJECTIONS {
        match steps.take(&mut conversation, run).await {
            Ok(()) => {}
            Err(AgentError::Over) => return Err(AgentError::Over),
            Err(fault) => return Ok(Decision::ByRules(Some(format!("the model did not answer: {fault}")))),
        }
        let results: Vec<&Value> = conversation.results().collect();
        let answer = shape.read::<T>(conversation.last_words());
        let checked = answer.and_then(|answer| check(&answer, &results).map(|()| answer));
        let fault = match checked {
            Ok(answer) => return Ok(Decision::ByModel(answer)),
            Err(fault) => fault,
        };
        if objections == OBJECTIONS {
            return Ok(Decision::ByRules(Some(format!(
                "the model's answer can't be used: {fault}"
            ))));
        }
        conversation.object(format!(
            "Your answer can't be used: {fault}. Answer again, with the whole JSON object and nothing else."
        ));
    }
    Ok(Decision::ByRules(None))
}

/// The shape that an answer must have.
struct Shape {
    validator: jsonschema::Validator,
    instruction: String,
}

impl Shape {
    fn of<T: JsonSchema>() -> Result<Self, String> {
        let schema = schemars::schema_for!(T).to_value();
        let validator = jsonschema::validator_for(&schema)
            .map_err(|fault| format!("the shape of the model's answer is no JSON Schema: {fault}"))?;
        let instruction = format!(
            "Answer with one JSON object and nothing else. It must fit this JSON Schema:\n\n```json\n{schema}\n```\n"
        );
        Ok(Self { validator, instruction })
    }

    /// Reads an answer.
    fn read<T: DeserializeOwned>(&self, words: &str) -> Result<T, String> {
        if words.len() > ANSWER_BYTES {
            return Err(format!("it is longer than {ANSWER_BYTES} bytes"));
        }
        let object = object_in(words).ok_or("there is no JSON object in it")?;
        let answer: Value = serde_json::from_str(object).map_err(|fault| format!("it is no JSON: {fault}"))?;
        let faults: Vec<String> = self
            .validator
            .iter_errors(&answer)
            .take(FAULTS_TOLD)
            .map(|fault| format!("{} at `{}`", fault.masked(), fault.instance_path()))
            .collect();
        if !faults.is_empty() {
            return Err(faults.join("; "));
        }
        serde_json::from_value(answer).map_err(|fault| fault.to_string())
    }
}

/// The JSON object in an answer: from its first brace to its last one. Models like to put words and fences around it.
fn object_in(words: &str) -> Option<&str> {
    let (first, last) = (words.find('{')?, words.rfind('}')?);
    words.get(first..=last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use serde_json::json;

    #[derive(Debug, PartialEq, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Choice {
        #[schemars(length(min = 1, max = 8))]
        pick: String,
    }

    fn read(words: &str) -> Result<Choice, String> {
        Shape::of::<Choice>().unwrap().read(words)
    }

    #[test]
    fn an_answer_may_stand_between_words_and_fences() {
        for words in [
            r#"{"pick": "this"}"#,
            "```json\n{\"pick\": \"this\"}\n```",
            "Here it is: {\"pick\": \"this\"} as you wished.",
        ] {
            assert_eq!(read(words).unwrap().pick, "this", "{words}");
        }
    }

    #[test]
    fn what_is_no_answer_is_told_so_that_a_model_can_mend_it() {
        for (words, fault) in [
            ("", "there is no JSON object"),
            ("} {", "there is no JSON object"),
            ("{\"pick\": }", "it is no JSON"),
            ("{}", "\"pick\" is a required property"),
            (r#"{"pick": 7}"#, "at `/pick`"),
            (r#"{"pick": "far too long"}"#, "at `/pick`"),
            (r#"{"pick": "this", "saves_usd": "1000000"}"#, "Additional properties"),
        ] {
            let told = read(words).unwrap_err();
            assert!(told.contains(fault), "{words}: {told}");
        }
        let long = format!("{{\"pick\": \"{}\"}}", "x".repeat(ANSWER_BYTES));
        assert_eq!(read(&long).unwrap_err(), "it is longer than 65536 bytes");
    }

    #[test]
    fn an_output_says_who_decided_and_why_not_the_model() {
        let mut output = json!({});
        Decision::ByModel(()).mark(&mut output);
        assert_eq!(output, json!({"decided_by": "model"}));
        let mut output = json!({});
        Decision::<()>::ByRules(Some("it was no JSON".to_owned())).mark(&mut output);
        assert_eq!(
            output,
            json!({"decided_by": "rules", "decision_note": "it was no JSON"})
        );
    }
}
