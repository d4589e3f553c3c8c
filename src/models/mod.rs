//! The language models that agents may ask: one file each, one line each in [`all`].

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sessile_actors::infra::Model;
use sessile_actors::infra::model::{ChatMessage, ModelRequest};

pub mod offline;
pub mod scripted;

pub use offline::OfflineModel;
pub use scripted::{ScriptError, ScriptedModel};

/// All models, the default first: the script where there is one, else the offline model.
///
/// # Errors
/// [`ScriptError`] where the script can't be read.
pub fn all(piece_delay: Duration, script: Option<&Path>) -> Result<Vec<Arc<dyn Model>>, ScriptError> {
    let mut models: Vec<Arc<dyn Model>> = Vec::new();
    if let Some(path) = script {
        models.push(Arc::new(ScriptedModel::from_file(path)?));
    }
    models.push(Arc::new(OfflineModel::new(piece_delay)));
    Ok(models)
}

/// How many words a text has: what models without a tokenizer count as tokens.
fn words(text: &str) -> u64 {
    text.split_whitespace().count() as u64
}

/// How many words a model reads in a request.
fn words_read(request: &ModelRequest) -> u64 {
    let messages = request.messages.iter().map(|message| match message {
        ChatMessage::User(text) | ChatMessage::Assistant { text, .. } => words(text),
        ChatMessage::Tool { content, .. } => words(&content.to_string()),
    });
    words(&request.system) + messages.sum::<u64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_comes_before_the_offline_model() {
        let script = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/config/scripted.toml"));
        let models = all(Duration::ZERO, Some(script)).unwrap();
        let names: Vec<_> = models.iter().map(|model| model.name()).collect();
        assert_eq!(names, ["scripted", "offline"]);
    }
}
