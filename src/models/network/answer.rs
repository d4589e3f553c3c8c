//! What a model has said so far, within bounds: how much, the calls that it asks for, what it used.

use std::mem;

use serde_json::{Map, Value};
use sessile_actors::infra::model::{INVALID_JSON, ModelCall};
use uuid::Uuid;

use super::fault::Fault;

/// The longest answer, thoughts included, in bytes. Beyond: the stream is broken. A run's result is bounded far below.
const ANSWER_BYTES: usize = 4 * 1024 * 1024;

/// Calls of one answer. Beyond: the stream is broken. An agent takes fewer still.
const CALLS: usize = 128;

/// The longest arguments of one call, in bytes. Beyond: the stream is broken.
const ARGUMENTS_BYTES: usize = 512 * 1024;

/// The longest name of a tool and the longest id of a call, in bytes. Beyond: the stream is broken.
const LABEL_BYTES: usize = 256;

/// One answer under way.
#[derive(Debug, Default)]
pub(super) struct Answer {
    bytes: usize,
    calls: Vec<Draft>,
    /// Tokens read.
    pub(super) input_tokens: u64,
    /// Tokens written.
    pub(super) output_tokens: u64,
}

/// A call whose arguments are still being written.
#[derive(Debug, Default)]
struct Draft {
    index: Option<u64>,
    id: String,
    name: String,
    arguments: String,
}

/// A part of a call, as a stream brings it. Only the first part of a call names the tool.
#[derive(Debug, Default)]
pub(super) struct CallPart<'a> {
    pub(super) index: Option<u64>,
    pub(super) id: &'a str,
    pub(super) name: &'a str,
    pub(super) arguments: &'a str,
}

impl Answer {
    /// Counts words or thoughts.
    pub(super) fn count(&mut self, text: &str) -> Result<(), Fault> {
        self.bytes += text.len();
        if self.bytes > ANSWER_BYTES {
            return Err(Fault::nonsense("its answer is too long"));
        }
        Ok(())
    }

    /// Takes a part of a call.
    ///
    /// Servers differ in how they tell calls apart: by `index`, by `id`, or by the name alone, each call in one part. Some give
    /// all calls the index 0.
    pub(super) fn call_part(&mut self, part: &CallPart<'_>) -> Result<(), Fault> {
        if part.id.len() > LABEL_BYTES || part.name.len() > LABEL_BYTES {
            return Err(Fault::nonsense("a call's name or id is too long"));
        }
        let position = self.position_of(part);
        let Some(draft) = position.and_then(|at| self.calls.get_mut(at)) else {
            if self.calls.len() >= CALLS {
                return Err(Fault::nonsense("it asks for too many calls"));
            }
            self.calls.push(Draft {
                index: part.index,
                id: part.id.to_owned(),
                name: part.name.to_owned(),
                arguments: String::new(),
            });
            return self.write(self.calls.len() - 1, part.arguments);
        };
        if draft.id.is_empty() {
            part.id.clone_into(&mut draft.id);
        }
        if draft.name.is_empty() {
            part.name.clone_into(&mut draft.name);
        }
        self.write(position.unwrap_or_default(), part.arguments)
    }

    /// The call that a part goes on with; none where it begins one.
    fn position_of(&self, part: &CallPart<'_>) -> Option<usize> {
        let same_id = |draft: &Draft| part.id.is_empty() || draft.id.is_empty() || draft.id == part.id;
        if part.index.is_some() {
            let last = self.calls.iter().rposition(|draft| draft.index == part.index)?;
            return self.calls.get(last).filter(|draft| same_id(draft)).map(|_| last);
        }
        let last = self.calls.len().checked_sub(1)?;
        let draft = self.calls.get(last)?;
        let goes_on = if part.id.is_empty() {
            part.name.is_empty()
        } else {
            draft.id == part.id
        };
        goes_on.then_some(last)
    }

    fn write(&mut self, position: usize, arguments: &str) -> Result<(), Fault> {
        self.count(arguments)?;
        if let Some(draft) = self.calls.get_mut(position) {
            draft.arguments.push_str(arguments);
            if draft.arguments.len() > ARGUMENTS_BYTES {
                return Err(Fault::nonsense("a call's arguments are too long"));
            }
        }
        Ok(())
    }

    /// The calls, and the tokens that were read and written.
    pub(super) fn into_parts(self) -> (Vec<ModelCall>, u64, u64) {
        let mut calls: Vec<ModelCall> = Vec::new();
        for draft in self.calls {
            // Two calls of one id could not be told apart by their results.
            let is_known = calls.iter().any(|call| call.id == draft.id);
            let id = if draft.id.is_empty() || is_known {
                minted()
            } else {
                draft.id
            };
            calls.push(ModelCall {
                id,
                name: draft.name,
                arguments: arguments(draft.arguments),
            });
        }
        (calls, self.input_tokens, self.output_tokens)
    }
}

/// An id for a call that came without one.
fn minted() -> String {
    format!("call_{}", Uuid::new_v4().simple())
}

/// Arguments as the object that they must be. What is none is kept under a name that no tool takes: the model is told, and can
/// mend it.
fn arguments(text: String) -> Value {
    let mut text = text;
    // Some models write the object as a text within a text.
    for _ in 0..2 {
        if text.trim().is_empty() {
            return Value::Object(Map::new());
        }
        match serde_json::from_str(&text) {
            Ok(Value::Object(fields)) => return Value::Object(fields),
            Ok(Value::Null) => return Value::Object(Map::new()),
            Ok(Value::String(inner)) => text = inner,
            Ok(_) | Err(_) => break,
        }
    }
    let fields = [(INVALID_JSON.to_owned(), Value::String(mem::take(&mut text)))];
    Value::Object(fields.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn part<'a>(index: Option<u64>, id: &'a str, name: &'a str, arguments: &'a str) -> CallPart<'a> {
        CallPart {
            index,
            id,
            name,
            arguments,
        }
    }

    /// The calls that these parts come to: id, name, arguments.
    fn calls(parts: &[CallPart<'_>]) -> Vec<(String, String, Value)> {
        let mut answer = Answer::default();
        for part in parts {
            answer.call_part(part).unwrap();
        }
        let calls = answer.into_parts().0.into_iter();
        calls.map(|call| (call.id, call.name, call.arguments)).collect()
    }

    fn call(id: &str, name: &str, arguments: Value) -> (String, String, Value) {
        (id.to_owned(), name.to_owned(), arguments)
    }

    #[test]
    fn parts_that_are_mixed_find_their_calls_by_their_index() {
        let parts = [
            part(Some(0), "a", "one", "{\"x\""),
            part(Some(1), "b", "two", ""),
            part(Some(0), "", "", ":1}"),
            part(Some(1), "", "", "{}"),
        ];
        let expected = [call("a", "one", json!({"x": 1})), call("b", "two", json!({}))];
        assert_eq!(calls(&parts), expected);
    }

    #[test]
    fn calls_that_share_an_index_are_told_apart_by_their_ids() {
        let parts = [part(Some(0), "a", "one", "{}"), part(Some(0), "b", "two", "{}")];
        assert_eq!(
            calls(&parts),
            [call("a", "one", json!({})), call("b", "two", json!({}))]
        );
    }

    #[test]
    fn without_an_index_a_new_id_or_a_name_begins_a_call() {
        let parts = [
            part(None, "a", "one", "{\"x\":"),
            part(None, "", "", "1"),
            part(None, "a", "", "}"),
            part(None, "b", "two", "{}"),
            part(None, "", "three", "{}"),
        ];
        let calls = calls(&parts);
        let names: Vec<_> = calls.iter().map(|(_, name, _)| name.as_str()).collect();
        assert_eq!(names, ["one", "two", "three"]);
        assert_eq!(calls[0].2, json!({"x": 1}));
        assert!(calls[2].0.starts_with("call_"), "an id is minted: {calls:?}");
    }

    #[test]
    fn two_calls_never_have_one_id() {
        let parts = [part(Some(0), "a", "one", "{}"), part(Some(1), "a", "two", "{}")];
        let calls = calls(&parts);
        assert_eq!(calls[0].0, "a");
        assert_ne!(calls[1].0, "a");
    }

    #[test]
    fn arguments_that_are_no_object_are_kept_where_the_tool_refuses_them() {
        assert_eq!(arguments(String::new()), json!({}));
        assert_eq!(arguments("null".to_owned()), json!({}));
        assert_eq!(arguments("\"{\\\"x\\\": 1}\"".to_owned()), json!({"x": 1}));
        for wrong in ["{\"x\": ", "[1]", "7"] {
            assert_eq!(arguments(wrong.to_owned()), json!({INVALID_JSON: wrong}));
        }
    }

    #[test]
    fn everything_has_an_end() {
        let mut answer = Answer::default();
        assert!(answer.count(&"x".repeat(ANSWER_BYTES)).is_ok());
        assert!(answer.count("x").is_err());
        let mut answer = Answer::default();
        assert!(
            answer
                .call_part(&part(None, "", &"x".repeat(LABEL_BYTES + 1), ""))
                .is_err()
        );
        assert!(
            answer
                .call_part(&part(None, "a", "one", &"x".repeat(ARGUMENTS_BYTES)))
                .is_ok()
        );
        assert!(answer.call_part(&part(None, "a", "", "x")).is_err());
        let mut answer = Answer::default();
        for _ in 0..CALLS {
            answer.call_part(&part(None, "", "one", "")).unwrap();
        }
        assert!(answer.call_part(&part(None, "", "one", "")).is_err());
    }
}
