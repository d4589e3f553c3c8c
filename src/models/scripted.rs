//! `scripted`: a model that plays a script, for tests and load. It says exactly what the script says, when it says so,
//! and can fail, panic and hang on demand.
//!
//! A script is a list of turns. The user's last message picks the turn; what came from tools since then picks its part:
//! `steps` first, `then` once there are results. `config/scripted.toml` shows all of it.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{StreamExt, future, stream};
use serde_json::Value;
use sessile_actors::infra::Model;
use sessile_actors::infra::model::{
    ChatMessage, ModelCall, ModelError, ModelPiece, ModelRequest, ModelStream, ModelUsage,
};

mod file;
mod script;

pub use file::ScriptError;
pub use script::{Failure, Step, Turn};

/// Its name, as in the configuration and the logs.
pub const NAME: &str = "scripted";

/// What stands for the user's last message in texts, thoughts and arguments.
pub const MESSAGE_PLACEHOLDER: &str = "${message}";

/// Plays a script. It remembers nothing: the same request is answered the same way.
#[derive(Debug)]
pub struct ScriptedModel {
    turns: Vec<Turn>,
}

impl ScriptedModel {
    /// Plays `turns`; the first that matches wins.
    #[must_use]
    pub fn new(turns: Vec<Turn>) -> Self {
        Self { turns }
    }

    /// Plays the script in the file at `path`.
    ///
    /// # Errors
    /// [`ScriptError`] where it can't be read, or is no script: with the line.
    pub fn from_file(path: &Path) -> Result<Self, ScriptError> {
        file::load(path).map(Self::new)
    }

    /// Plays the script in `text`.
    ///
    /// # Errors
    /// [`ScriptError::Bad`] where it is no script: with the line.
    pub fn from_toml(text: &str) -> Result<Self, ScriptError> {
        file::parse(text).map(Self::new)
    }
}

#[async_trait]
impl Model for ScriptedModel {
    fn name(&self) -> &str {
        NAME
    }

    async fn stream(&self, request: ModelRequest) -> Result<ModelStream, ModelError> {
        let message = last_user_message(&request.messages);
        let turn = self.turns.iter().find(|turn| turn.matches(message));
        let turn = turn.ok_or_else(|| ModelError::Refused("the script has no turn for this message".to_owned()))?;
        let phase = phase(&request.messages);
        let steps = if phase == 0 { turn.steps() } else { turn.then() };
        if let Some(Step::Error(failure)) = steps.first() {
            // A turn that begins with an error could not even be asked.
            return Err(failure.to_error());
        }
        let player = Player {
            cursor: script::Cursor::new(Arc::clone(steps)),
            message: message.to_owned(),
            phase,
            calls: 0,
            input_tokens: super::words_read(&request),
            output_tokens: 0,
            over: false,
        };
        Ok(stream::unfold(player, Player::next).boxed())
    }
}

/// One turn being played.
struct Player {
    cursor: script::Cursor,
    message: String,
    phase: usize,
    calls: usize,
    input_tokens: u64,
    output_tokens: u64,
    over: bool,
}

impl Player {
    /// Plays on to the next piece. After the last step comes the end; after an error nothing.
    async fn next(mut self) -> Option<(Result<ModelPiece, ModelError>, Self)> {
        if self.over {
            return None;
        }
        loop {
            let piece = match self.cursor.next() {
                Some(Step::Text(text)) => Ok(ModelPiece::Text(self.spoken(&text))),
                Some(Step::Reasoning(text)) => Ok(ModelPiece::Reasoning(self.spoken(&text))),
                Some(Step::Call { name, arguments }) => Ok(ModelPiece::Call(self.call(name, &arguments))),
                Some(Step::Delay(delay)) => {
                    tokio::time::sleep(delay).await;
                    continue;
                }
                Some(Step::Error(failure)) => {
                    self.over = true;
                    Err(failure.to_error())
                }
                Some(Step::Panic(reason)) => panic!("the script panics: {reason}"),
                Some(Step::Hang) => future::pending().await,
                // The cursor unfolds repetitions; what it hands out is never one.
                Some(Step::Repeat { .. }) => continue,
                None => {
                    self.over = true;
                    let usage = ModelUsage {
                        input_tokens: self.input_tokens,
                        output_tokens: self.output_tokens,
                        cost_micros: 0,
                    };
                    Ok(ModelPiece::End { usage })
                }
            };
            return Some((piece, self));
        }
    }

    fn spoken(&mut self, text: &str) -> String {
        let text = text.replace(MESSAGE_PLACEHOLDER, &self.message);
        self.output_tokens += super::words(&text);
        text
    }

    fn call(&mut self, name: String, arguments: &Value) -> ModelCall {
        self.calls += 1;
        self.output_tokens += 1;
        ModelCall {
            id: format!("call_{}_{}", self.phase + 1, self.calls),
            name,
            arguments: filled(arguments, &self.message),
        }
    }
}

/// `value` with the message in place of its placeholder, in every text of it.
fn filled(value: &Value, message: &str) -> Value {
    match value {
        Value::String(text) => Value::String(text.replace(MESSAGE_PLACEHOLDER, message)),
        Value::Array(items) => items.iter().map(|item| filled(item, message)).collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, field)| (name.clone(), filled(field, message)))
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

fn last_user_message(messages: &[ChatMessage]) -> &str {
    let user = messages.iter().rev().find_map(|message| match message {
        ChatMessage::User(text) => Some(text.as_str()),
        ChatMessage::Assistant { .. } | ChatMessage::Tool { .. } => None,
    });
    user.unwrap_or_default()
}

/// How often tools have been called since the user's last message.
fn phase(messages: &[ChatMessage]) -> usize {
    let since_user = messages
        .iter()
        .rev()
        .take_while(|message| !matches!(message, ChatMessage::User(_)));
    since_user
        .filter(|message| matches!(message, ChatMessage::Assistant { calls, .. } if !calls.is_empty()))
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::time::Duration;
    use tokio::time::{Instant, timeout};

    fn request(messages: Vec<ChatMessage>) -> ModelRequest {
        ModelRequest {
            messages,
            ..ModelRequest::default()
        }
    }

    fn asked(message: &str) -> ModelRequest {
        request(vec![ChatMessage::User(message.to_owned())])
    }

    async fn play(model: &ScriptedModel, request: ModelRequest) -> Vec<Result<ModelPiece, ModelError>> {
        match model.stream(request).await {
            Ok(stream) => stream.collect().await,
            Err(error) => vec![Err(error)],
        }
    }

    fn text(text: &str) -> Result<ModelPiece, ModelError> {
        Ok(ModelPiece::Text(text.to_owned()))
    }

    fn end(input_tokens: u64, output_tokens: u64) -> Result<ModelPiece, ModelError> {
        let usage = ModelUsage {
            input_tokens,
            output_tokens,
            cost_micros: 0,
        };
        Ok(ModelPiece::End { usage })
    }

    #[tokio::test]
    async fn the_first_turn_that_matches_is_played() {
        let model = ScriptedModel::new(vec![
            Turn::new([Step::text("rain")]).when("weather"),
            Turn::new([Step::text("you said: ${message}")]),
        ]);
        assert_eq!(play(&model, asked("the weather?")).await, [text("rain"), end(2, 1)]);
        let other = play(&model, asked("canary 7")).await;
        assert_eq!(other, [text("you said: canary 7"), end(2, 4)]);
    }

    #[tokio::test]
    async fn a_message_without_a_turn_is_refused() {
        let model = ScriptedModel::new(vec![Turn::new([Step::text("rain")]).when("weather")]);
        let played = play(&model, asked("hello")).await;
        assert!(matches!(played.as_slice(), [Err(ModelError::Refused(_))]), "{played:?}");
    }

    #[tokio::test]
    async fn after_the_results_of_tools_the_second_part_is_played() {
        let call = Step::call("notes", json!({"action": "write", "text": "<${message}>"}));
        let model = ScriptedModel::new(vec![Turn::new([call]).then_say([Step::text("done")])]);
        let first = play(&model, asked("milk")).await;
        let expected = ModelCall {
            id: "call_1_1".to_owned(),
            name: "notes".to_owned(),
            arguments: json!({"action": "write", "text": "<milk>"}),
        };
        assert_eq!(first[0], Ok(ModelPiece::Call(expected.clone())));
        let with_result = request(vec![
            ChatMessage::User("milk".to_owned()),
            ChatMessage::Assistant {
                text: String::new(),
                calls: vec![expected],
            },
            ChatMessage::Tool {
                id: "call_1_1".to_owned(),
                name: "notes".to_owned(),
                content: json!({}),
                is_error: false,
            },
        ]);
        assert_eq!(play(&model, with_result).await[0], text("done"));
    }

    #[tokio::test]
    async fn an_error_ends_the_stream_and_one_at_the_beginning_prevents_it() {
        let unavailable = || Step::Error(Failure::Unavailable);
        let first = ScriptedModel::new(vec![Turn::new([unavailable()])]);
        assert!(first.stream(asked("x")).await.is_err());
        let later = ScriptedModel::new(vec![Turn::new([Step::text("a"), unavailable(), Step::text("b")])]);
        let played = play(&later, asked("x")).await;
        assert_eq!(played, [text("a"), Err(Failure::Unavailable.to_error())]);
    }

    #[tokio::test(start_paused = true)]
    async fn delays_take_their_time_and_repetitions_are_played_in_full() {
        let beat = [Step::Delay(Duration::from_millis(20)), Step::text("x")];
        let model = ScriptedModel::new(vec![Turn::new([Step::repeat(3, beat)])]);
        let begun = Instant::now();
        let played = play(&model, asked("go")).await;
        assert_eq!(played, [text("x"), text("x"), text("x"), end(1, 3)]);
        assert_eq!(begun.elapsed(), Duration::from_millis(60));
    }

    #[tokio::test(start_paused = true)]
    async fn a_hang_never_ends() {
        let model = ScriptedModel::new(vec![Turn::new([Step::Hang])]);
        let played = timeout(Duration::from_secs(3600), play(&model, asked("go"))).await;
        assert!(played.is_err());
    }

    #[tokio::test]
    async fn a_panic_panics_where_the_stream_is_read() {
        let model = ScriptedModel::new(vec![Turn::new([Step::Panic("boom".to_owned())])]);
        let read = tokio::spawn(async move { play(&model, asked("go")).await });
        assert!(read.await.unwrap_err().is_panic());
    }
}
