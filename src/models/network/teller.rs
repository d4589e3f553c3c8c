//! Tells the run what a model says, and remembers whether it has told anything.

use sessile_actors::infra::model::{ModelError, ModelPiece, ModelUsage};
use tokio::sync::mpsc;

use super::answer::Answer;
use super::fault::Fault;
use super::price::Price;

/// Where pieces go.
pub(super) type Pieces = mpsc::Sender<Result<ModelPiece, ModelError>>;

/// One answer's way to its run.
pub(super) struct Teller {
    pieces: Pieces,
    has_told: bool,
}

impl Teller {
    pub(super) fn new(pieces: Pieces) -> Self {
        Self {
            pieces,
            has_told: false,
        }
    }

    /// Whether something of the answer was shown: then it can't begin anew.
    pub(super) fn has_told(&self) -> bool {
        self.has_told
    }

    /// Passes on words or thoughts. Waits while the run is behind.
    pub(super) async fn tell(&mut self, piece: ModelPiece) -> Result<(), Fault> {
        self.has_told = true;
        // A closed channel is a stream that was dropped; its task is about to end with it.
        self.pieces.send(Ok(piece)).await.map_err(|_| Fault::unheard())
    }

    /// Passes on the calls that the answer asks for, and its end.
    pub(super) async fn end(&mut self, answer: Answer, price: &Price) -> Result<(), Fault> {
        let (calls, input_tokens, output_tokens) = answer.into_parts();
        for call in calls {
            self.tell(ModelPiece::Call(call)).await?;
        }
        let usage = ModelUsage {
            input_tokens,
            output_tokens,
            cost_micros: price.cost_micros(input_tokens, output_tokens),
        };
        self.tell(ModelPiece::End { usage }).await
    }

    /// Passes on why there is no answer, or no more of it.
    pub(super) async fn fail(self, error: ModelError) {
        // As above: nobody hears it where the stream was dropped.
        let _ = self.pieces.send(Err(error)).await;
    }
}
