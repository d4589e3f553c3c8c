//! Several models as one: where the first is unavailable, the next is asked.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use tracing::warn;

use super::{Model, ModelError, ModelPiece, ModelRequest, ModelStream};

/// Asks its models in order until one begins to answer. Once something of an answer has been shown, there is no way back:
/// a second beginning would contradict what the user has read.
pub(super) struct Fallback {
    name: String,
    models: Vec<Arc<dyn Model>>,
}

impl Fallback {
    /// Asks `models` in this order.
    pub(super) fn new(models: Vec<Arc<dyn Model>>) -> Self {
        let names: Vec<_> = models.iter().map(|model| model.name()).collect();
        Self {
            name: names.join(", else "),
            models,
        }
    }
}

#[async_trait]
impl Model for Fallback {
    fn name(&self) -> &str {
        &self.name
    }

    /// As the first of them, which is who mostly answers: what decides by rules is never unavailable.
    fn follows_rules(&self) -> bool {
        self.models.first().is_some_and(|model| model.follows_rules())
    }

    async fn stream(&self, request: ModelRequest) -> Result<ModelStream, ModelError> {
        let mut last = ModelError::Unavailable("no model is named".to_owned());
        for model in &self.models {
            match begun(model.as_ref(), request.clone()).await {
                Err(fault) if fault.is_retryable() => {
                    warn!(model = model.name(), %fault, "a model is unavailable; the next is asked");
                    last = fault;
                }
                begun => return begun,
            }
        }
        Err(last)
    }
}

/// Asks a model and waits for its first piece: with it the stream is what the run gets to see.
async fn begun(model: &dyn Model, request: ModelRequest) -> Result<ModelStream, ModelError> {
    let mut pieces = model.stream(request).await?;
    loop {
        match pieces.next().await {
            Some(Ok(piece)) if is_silent(&piece) => {}
            Some(Ok(piece)) => return Ok(stream::once(async { Ok(piece) }).chain(pieces).boxed()),
            Some(Err(fault)) => return Err(fault),
            None => return Err(ModelError::Broken("it stopped without an end".to_owned())),
        }
    }
}

/// Whether a piece shows nothing to anybody.
fn is_silent(piece: &ModelPiece) -> bool {
    match piece {
        ModelPiece::Text(text) | ModelPiece::Reasoning(text) => text.is_empty(),
        ModelPiece::Call(_) | ModelPiece::End { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::infra::model::ModelUsage;

    /// Plays these pieces, or can't be asked.
    struct Plays(Result<Vec<Result<ModelPiece, ModelError>>, ModelError>);

    #[async_trait]
    impl Model for Plays {
        fn name(&self) -> &str {
            "plays"
        }

        async fn stream(&self, _: ModelRequest) -> Result<ModelStream, ModelError> {
            Ok(stream::iter(self.0.clone()?).boxed())
        }
    }

    fn unavailable() -> ModelError {
        ModelError::Unavailable("it is down".to_owned())
    }

    fn refused() -> ModelError {
        ModelError::Refused("it is forbidden".to_owned())
    }

    fn text(text: &str) -> Result<ModelPiece, ModelError> {
        Ok(ModelPiece::Text(text.to_owned()))
    }

    fn end() -> Result<ModelPiece, ModelError> {
        Ok(ModelPiece::End {
            usage: ModelUsage::default(),
        })
    }

    async fn said(models: Vec<Plays>) -> Vec<Result<ModelPiece, ModelError>> {
        let models = models.into_iter().map(|model| Arc::new(model) as Arc<dyn Model>);
        match Fallback::new(models.collect()).stream(ModelRequest::default()).await {
            Ok(stream) => stream.collect().await,
            Err(fault) => vec![Err(fault)],
        }
    }

    fn second() -> Plays {
        Plays(Ok(vec![text("second"), end()]))
    }

    struct Rules;

    #[async_trait]
    impl Model for Rules {
        fn name(&self) -> &str {
            "rules"
        }

        fn follows_rules(&self) -> bool {
            true
        }

        async fn stream(&self, _: ModelRequest) -> Result<ModelStream, ModelError> {
            Ok(stream::iter([end()]).boxed())
        }
    }

    #[test]
    fn agents_decide_by_rules_where_the_first_of_its_models_does() {
        let [rules, model]: [Arc<dyn Model>; 2] = [Arc::new(Rules), Arc::new(second())];
        assert!(Fallback::new(vec![Arc::clone(&rules), Arc::clone(&model)]).follows_rules());
        assert!(!Fallback::new(vec![model, rules]).follows_rules());
    }

    #[tokio::test]
    async fn the_next_is_asked_where_the_first_is_unavailable() {
        for first in [
            Plays(Err(unavailable())),
            Plays(Ok(vec![Err(unavailable())])),
            Plays(Ok(vec![text(""), Err(unavailable())])),
            Plays(Ok(Vec::new())),
        ] {
            assert_eq!(said(vec![first, second()]).await, [text("second"), end()]);
        }
    }

    #[tokio::test]
    async fn a_refusal_is_the_answer() {
        for first in [Plays(Err(refused())), Plays(Ok(vec![Err(refused())]))] {
            assert_eq!(said(vec![first, second()]).await, [Err(refused())]);
        }
    }

    #[tokio::test]
    async fn nobody_else_is_asked_once_something_was_shown() {
        let first = Plays(Ok(vec![text("half"), Err(unavailable())]));
        assert_eq!(said(vec![first, second()]).await, [text("half"), Err(unavailable())]);
    }

    #[tokio::test]
    async fn where_all_are_unavailable_the_last_says_why() {
        let last = ModelError::RateLimited { retry_after: None };
        let models = vec![Plays(Err(unavailable())), Plays(Err(last.clone()))];
        assert_eq!(said(models).await, [Err(last)]);
    }
}
