//! The language models that agents may ask: one file each, one line each in `built_in`; those of the
//! configuration in `network`.

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sessile_actors::infra::Model;
use sessile_actors::infra::model::{ChatMessage, ModelRegistry, ModelRegistryError, ModelRequest};
use tokio::runtime::Handle;

use crate::config::Config;

#[cfg(feature = "llm")]
pub mod network;
pub mod offline;
pub mod scripted;

pub use offline::OfflineModel;
pub use scripted::{ScriptError, ScriptedModel};

/// The models can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum ModelsError {
    /// The script can't be read.
    #[error("the scripted model can't be read")]
    Script(#[from] ScriptError),
    /// A name stands twice, or nobody has it.
    #[error(transparent)]
    Registry(#[from] ModelRegistryError),
    /// A model over the network can't be set up.
    #[cfg(feature = "llm")]
    #[error(transparent)]
    Network(#[from] network::NetworkError),
    /// This build has no models over the network.
    #[cfg(not(feature = "llm"))]
    #[error(
        "the model `{0}` is one over the network, which this build leaves out: build Sessile with the feature `llm`"
    )]
    LeftOut(String),
}

/// What a server of one's own has beside the models that come with Sessile. The first is the default.
#[derive(Default)]
pub struct OwnModels {
    /// In order.
    pub models: Vec<Arc<dyn Model>>,
    /// Whether there are no others than these and those of the configuration.
    pub alone: bool,
}

/// All models, with the default and the ones that agents have of their own. Those over the network live on `io`, and read their
/// keys by `variable` from the environment.
///
/// # Errors
/// Everything that is wrong, at least one.
pub fn registry(
    config: &Config,
    own: OwnModels,
    io: &Handle,
    variable: &dyn Fn(&str) -> Option<OsString>,
) -> Result<ModelRegistry, Vec<ModelsError>> {
    let mut faults = Vec::new();
    let script = config.models.scripted_file.as_deref();
    // Who brings a model has chosen the default, and who wants none at all has none.
    let is_chosen = !own.models.is_empty() || (own.alone && config.models.named.is_empty());
    let mut models = own.models;
    if !own.alone {
        match built_in(offline::PIECE_DELAY, script) {
            Ok(built_in) => models.extend(built_in),
            Err(fault) => faults.push(fault.into()),
        }
    }
    for (name, named) in &config.models.named {
        match over_the_network(name, named, config, io, variable) {
            Ok(model) => models.push(model),
            Err(fault) => faults.push(fault),
        }
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    chosen(config, models, is_chosen || script.is_some()).map_err(|fault| vec![fault.into()])
}

/// The registry with who asks whom. A script, or a model of one's own, stands in for the default model.
fn chosen(
    config: &Config,
    models: Vec<Arc<dyn Model>>,
    is_default_first: bool,
) -> Result<ModelRegistry, ModelRegistryError> {
    let mut registry = ModelRegistry::freeze(models)?;
    if !is_default_first {
        registry = registry.with_default(&config.models.default)?;
    }
    for (agent, names) in &config.agents.models {
        registry = registry.with_agent(agent, names)?;
    }
    Ok(registry)
}

#[cfg(feature = "llm")]
fn over_the_network(
    name: &str,
    named: &crate::config::NamedModel,
    config: &Config,
    io: &Handle,
    variable: &dyn Fn(&str) -> Option<OsString>,
) -> Result<Arc<dyn Model>, ModelsError> {
    let model = network::NetworkModel::new(name, named, &config.models, io, variable)?;
    Ok(Arc::new(model))
}

#[cfg(not(feature = "llm"))]
fn over_the_network(
    name: &str,
    _: &crate::config::NamedModel,
    _: &Config,
    _: &Handle,
    _: &dyn Fn(&str) -> Option<OsString>,
) -> Result<Arc<dyn Model>, ModelsError> {
    Err(ModelsError::LeftOut(name.to_owned()))
}

/// The models that need nobody: the script first, where there is one.
fn built_in(piece_delay: Duration, script: Option<&Path>) -> Result<Vec<Arc<dyn Model>>, ScriptError> {
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
        let models = built_in(Duration::ZERO, Some(script)).unwrap();
        let names: Vec<_> = models.iter().map(|model| model.name()).collect();
        assert_eq!(names, ["scripted", "offline"]);
    }
}
