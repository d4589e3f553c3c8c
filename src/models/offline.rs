//! `offline`: answers by fixed rules, without a language model, a key or a network. It stands in where no real model is
//! configured, and says so: it never pretends to understand what it does not.
//!
//! The same request is always answered the same way. `understand` finds out what is wished, by `rules`;
//! `arithmetic` finds the sums; `abilities` knows the tools; `answer` decides what to call and what to say.

use std::collections::VecDeque;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use sessile_actors::infra::Model;
use sessile_actors::infra::model::{ModelError, ModelPiece, ModelRequest, ModelStream, ModelUsage};

mod abilities;
mod answer;
mod arithmetic;
mod rules;
mod understand;

use answer::Answer;

/// Its name, as in the configuration and the logs.
pub const NAME: &str = "offline";

/// How long it waits before each piece of text where nothing else is configured: about as fast as a quick reader reads,
/// so that streaming can be seen.
pub const PIECE_DELAY: Duration = Duration::from_millis(15);

/// Shorter words travel together with the next, in bytes.
const PIECE_MIN_BYTES: usize = 3;

/// Longer words are cut, in bytes.
const PIECE_MAX_BYTES: usize = 20;

/// Answers by rules.
#[derive(Debug, Clone)]
pub struct OfflineModel {
    piece_delay: Duration,
}

impl OfflineModel {
    /// Waits `piece_delay` before each piece of text; zero is allowed.
    #[must_use]
    pub fn new(piece_delay: Duration) -> Self {
        Self { piece_delay }
    }
}

impl Default for OfflineModel {
    fn default() -> Self {
        Self::new(PIECE_DELAY)
    }
}

#[async_trait]
impl Model for OfflineModel {
    fn name(&self) -> &str {
        NAME
    }

    fn follows_rules(&self) -> bool {
        true
    }

    async fn stream(&self, request: ModelRequest) -> Result<ModelStream, ModelError> {
        let delay = self.piece_delay;
        let pieces = pieces(answer::to(&request), super::words_read(&request));
        let stream = stream::unfold(pieces, move |mut pieces| async move {
            let piece = pieces.pop_front()?;
            if matches!(piece, ModelPiece::Text(_)) && !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            Some((Ok(piece), pieces))
        });
        Ok(stream.boxed())
    }
}

/// An answer as the pieces of a stream: a thought, the text word by word, the calls, the end.
fn pieces(answer: Answer, input_tokens: u64) -> VecDeque<ModelPiece> {
    let Answer { thought, text, calls } = answer;
    let output_tokens = super::words(&thought) + super::words(&text) + calls.len() as u64;
    let mut pieces = VecDeque::from([ModelPiece::Reasoning(thought)]);
    pieces.extend(
        in_pieces(&text)
            .into_iter()
            .map(|piece| ModelPiece::Text(piece.to_owned())),
    );
    pieces.extend(calls.into_iter().map(ModelPiece::Call));
    let usage = ModelUsage {
        input_tokens,
        output_tokens,
        cost_micros: 0,
    };
    pieces.push_back(ModelPiece::End { usage });
    pieces
}

/// Cuts a text after spaces and line ends, so that put together again it is the same text.
fn in_pieces(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (piece, remaining) = rest.split_at(first_piece_bytes(rest));
        pieces.push(piece);
        rest = remaining;
    }
    pieces
}

/// The length of the first piece: up to a space that leaves enough before it, or to where a long word is cut.
fn first_piece_bytes(text: &str) -> usize {
    let mut within = 0;
    for (at, character) in text.char_indices() {
        let end = at + character.len_utf8();
        if end > PIECE_MAX_BYTES {
            break;
        }
        within = end;
        if character.is_whitespace() && end >= PIECE_MIN_BYTES {
            break;
        }
    }
    within
}

#[cfg(test)]
mod tests {
    use super::*;
    use sessile_actors::infra::model::ChatMessage;
    use tokio::time::Instant;

    fn asked(message: &str) -> ModelRequest {
        ModelRequest {
            messages: vec![ChatMessage::User(message.to_owned())],
            ..ModelRequest::default()
        }
    }

    async fn said(model: &OfflineModel, message: &str) -> Vec<ModelPiece> {
        let stream = model.stream(asked(message)).await.unwrap();
        stream.map(Result::unwrap).collect().await
    }

    #[tokio::test]
    async fn it_thinks_once_then_speaks_in_small_pieces_then_ends() {
        let pieces = said(&OfflineModel::new(Duration::ZERO), "help").await;
        let (first, rest) = pieces.split_first().unwrap();
        let (last, texts) = rest.split_last().unwrap();
        assert!(matches!(first, ModelPiece::Reasoning(_)));
        assert!(matches!(last, ModelPiece::End { usage } if usage.input_tokens == 1 && usage.output_tokens > 20));
        assert!(texts.len() > 20);
        for piece in texts {
            assert!(
                matches!(piece, ModelPiece::Text(text) if text.len() <= PIECE_MAX_BYTES),
                "{piece:?}"
            );
        }
    }

    #[test]
    fn it_says_that_it_follows_rules() {
        assert!(OfflineModel::default().follows_rules());
    }

    #[tokio::test]
    async fn the_same_request_is_answered_the_same_way() {
        let model = OfflineModel::new(Duration::ZERO);
        assert_eq!(
            said(&model, "why is the sky blue?").await,
            said(&model, "why is the sky blue?").await
        );
    }

    #[tokio::test(start_paused = true)]
    async fn each_piece_of_text_takes_the_configured_delay() {
        let begun = Instant::now();
        let pieces = said(&OfflineModel::default(), "hello").await;
        let texts = pieces
            .iter()
            .filter(|piece| matches!(piece, ModelPiece::Text(_)))
            .count();
        assert_eq!(begun.elapsed(), PIECE_DELAY * u32::try_from(texts).unwrap());
    }

    #[test]
    fn pieces_put_together_are_the_text() {
        for text in [
            "",
            "a",
            "I am a b c d",
            "Donaudampfschifffahrtsgesellschaftskapitän",
            "line\n\n- one\n- two",
            "日本語のとても長い文章をここに書きます",
            "ends in spaces   ",
        ] {
            let pieces = in_pieces(text);
            assert_eq!(pieces.concat(), text);
            assert!(pieces.iter().all(|piece| piece.len() <= PIECE_MAX_BYTES), "{pieces:?}");
        }
        assert_eq!(in_pieces("I am a model"), ["I am ", "a model"]);
    }
}
