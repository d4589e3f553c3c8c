//! One event of a chat completion's stream. Read leniently: servers leave fields out, or write them in other types.

use serde_json::Value;
use sessile_actors::infra::model::{ModelError, ModelPiece};

use super::super::answer::{Answer, CallPart};
use super::super::fault::Fault;
use super::super::patience::Patience;
use super::super::teller::Teller;

/// What stands in place of JSON at the end.
const DONE: &str = "[DONE]";

/// Tokens that one answer can count. Who tells of more has lost count, and must not spoil a sum.
const TOKENS_MAX: u64 = 1_000_000_000;

/// One event.
pub(super) enum Chunk {
    /// Nothing comes any more.
    Done,
    /// A part of the answer.
    Said(Said),
}

/// A part of the answer.
pub(super) struct Said(Value);

impl Chunk {
    /// Reads an event's data.
    ///
    /// # Errors
    /// A [`Fault`] where it is no JSON, or tells of an error.
    pub(super) fn read(data: &str) -> Result<Self, Fault> {
        if data.trim() == DONE {
            return Ok(Self::Done);
        }
        let chunk: Value =
            serde_json::from_str(data).map_err(|_| Fault::nonsense("an event of its stream is no JSON"))?;
        match chunk.get("error") {
            Some(error) if !error.is_null() => Err(reported(error)),
            _ => Ok(Self::Said(Said(chunk))),
        }
    }
}

/// What an error that comes in place of an answer means. Its words are not passed on.
fn reported(error: &Value) -> Fault {
    let status = error
        .get("code")
        .or_else(|| error.get("status"))
        .and_then(Value::as_u64);
    let kind = error.get("type").or_else(|| error.get("code")).and_then(Value::as_str);
    if status == Some(429) || kind.is_some_and(|kind| kind.contains("rate_limit")) {
        return Fault::passing(ModelError::RateLimited { retry_after: None });
    }
    match status {
        Some(400..=428) => Fault::last(ModelError::Refused("it does not accept the request".to_owned())),
        _ => Fault::reported(),
    }
}

impl Said {
    /// Passes on what the event says; `true` where with it the answer is whole.
    pub(super) async fn tell(
        &self,
        answer: &mut Answer,
        teller: &mut Teller,
        patience: &mut Patience,
    ) -> Result<bool, Fault> {
        self.count_usage(answer);
        let Some(choice) = self.0.pointer("/choices/0") else {
            return Ok(false);
        };
        // A server that does not stream says `message`.
        let delta = choice
            .get("delta")
            .or_else(|| choice.get("message"))
            .unwrap_or(&Value::Null);
        let (words, thoughts) = words_and_thoughts(delta);
        let thoughts = [
            thoughts.as_str(),
            text(delta, "reasoning_content"),
            text(delta, "reasoning"),
        ]
        .into_iter();
        if let Some(thought) = thoughts.into_iter().find(|thought| !thought.is_empty()) {
            answer.count(thought)?;
            patience.renew();
            teller.tell(ModelPiece::Reasoning(thought.to_owned())).await?;
        }
        if !words.is_empty() {
            answer.count(&words)?;
            patience.renew();
            teller.tell(ModelPiece::Text(words)).await?;
        }
        for call in list(delta, "tool_calls") {
            patience.renew();
            take_call(call, answer)?;
        }
        match choice.get("finish_reason").and_then(Value::as_str) {
            Some("content_filter") if !teller.has_told() => {
                let why = "its provider's filter stopped the answer";
                Err(Fault::last(ModelError::Refused(why.to_owned())))
            }
            // Whatever the reason: nothing more is said.
            reason => Ok(reason.is_some_and(|reason| !reason.is_empty())),
        }
    }

    /// The last count wins: servers that count in each event count on.
    fn count_usage(&self, answer: &mut Answer) {
        let usage = self.0.get("usage").filter(|usage| usage.is_object());
        let Some(usage) = usage.or_else(|| self.0.pointer("/x_groq/usage")) else {
            return;
        };
        let tokens = |field: &str| {
            let told = usage.get(field).and_then(Value::as_u64);
            told.unwrap_or_default().min(TOKENS_MAX)
        };
        answer.input_tokens = tokens("prompt_tokens");
        answer.output_tokens = tokens("completion_tokens");
    }
}

fn take_call(call: &Value, answer: &mut Answer) -> Result<(), Fault> {
    let function = call.get("function").unwrap_or(&Value::Null);
    let arguments = match function.get("arguments") {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        // Some servers send the object itself.
        Some(whole) => whole.to_string(),
    };
    answer.call_part(&CallPart {
        index: call.get("index").and_then(Value::as_u64),
        id: text(call, "id"),
        name: text(function, "name"),
        arguments: &arguments,
    })
}

/// The words of a part, and the thoughts that stand among them: some servers send a list of both.
fn words_and_thoughts(delta: &Value) -> (String, String) {
    let (mut words, mut thoughts) = (text(delta, "content").to_owned(), String::new());
    for part in list(delta, "content") {
        words += text(part, "text");
        for thought in list(part, "thinking") {
            thoughts += text(thought, "text");
        }
    }
    (words, thoughts)
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value.get(field).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}
