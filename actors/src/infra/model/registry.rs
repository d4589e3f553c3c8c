//! The frozen registry of models: by name, by agent, and the default.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Model;
use super::fallback::Fallback;

/// The models by name and by agent, frozen.
#[derive(Clone, Default)]
pub struct ModelRegistry {
    default: Option<Arc<dyn Model>>,
    by_name: BTreeMap<String, Arc<dyn Model>>,
    by_agent: BTreeMap<String, Arc<dyn Model>>,
}

/// Why models can't be registered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModelRegistryError {
    /// Two have one name.
    #[error("two models are named `{0}`; give one of them another name")]
    Twice(String),
    /// Nobody has this name.
    #[error("no model is named `{0}`")]
    Unknown(String),
    /// An agent's list names nobody.
    #[error("the list of models of agent `{0}` is empty; name one, or leave the list out")]
    Empty(String),
}

impl ModelRegistry {
    /// Freezes `models`; the first is the default.
    ///
    /// # Errors
    /// [`ModelRegistryError::Twice`] where a name stands twice.
    pub fn freeze(models: Vec<Arc<dyn Model>>) -> Result<Self, ModelRegistryError> {
        let mut registry = Self {
            default: models.first().cloned(),
            ..Self::default()
        };
        for model in models {
            let name = model.name().to_owned();
            if registry.by_name.insert(name.clone(), model).is_some() {
                return Err(ModelRegistryError::Twice(name));
            }
        }
        Ok(registry)
    }

    /// The same with another default.
    ///
    /// # Errors
    /// [`ModelRegistryError::Unknown`] where no model has that name.
    pub fn with_default(mut self, name: &str) -> Result<Self, ModelRegistryError> {
        self.default = Some(self.known(name)?);
        Ok(self)
    }

    /// The same with models of an agent's own: the first is asked, and where it is unavailable before it has said anything,
    /// the next.
    ///
    /// # Errors
    /// [`ModelRegistryError`] where the list is empty or names an unknown model.
    pub fn with_agent(mut self, agent: &str, names: &[String]) -> Result<Self, ModelRegistryError> {
        let mut models = names
            .iter()
            .map(|name| self.known(name))
            .collect::<Result<Vec<_>, _>>()?;
        let model: Arc<dyn Model> = match models.len() {
            0 => return Err(ModelRegistryError::Empty(agent.to_owned())),
            1 => models.remove(0),
            _ => Arc::new(Fallback::new(models)),
        };
        self.by_agent.insert(agent.to_owned(), model);
        Ok(self)
    }

    /// The default model; none where no model was registered.
    #[must_use]
    pub fn default_model(&self) -> Option<Arc<dyn Model>> {
        self.default.clone()
    }

    /// The model of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Arc<dyn Model>> {
        self.by_name.get(name).cloned()
    }

    /// The models of this agent, as one that falls back; the default where it has none of its own.
    #[must_use]
    pub fn for_agent(&self, agent: &str) -> Option<Arc<dyn Model>> {
        self.by_agent.get(agent).cloned().or_else(|| self.default_model())
    }

    fn known(&self, name: &str) -> Result<Arc<dyn Model>, ModelRegistryError> {
        self.get(name)
            .ok_or_else(|| ModelRegistryError::Unknown(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_trait::async_trait;

    use crate::infra::model::{ModelError, ModelRequest, ModelStream};

    struct Named(&'static str);

    #[async_trait]
    impl Model for Named {
        fn name(&self) -> &str {
            self.0
        }

        async fn stream(&self, _: ModelRequest) -> Result<ModelStream, ModelError> {
            Err(ModelError::Refused("it is only a name".to_owned()))
        }
    }

    fn registry() -> ModelRegistry {
        ModelRegistry::freeze(vec![Arc::new(Named("first")), Arc::new(Named("second"))]).unwrap()
    }

    fn name(model: Option<Arc<dyn Model>>) -> Option<String> {
        model.map(|model| model.name().to_owned())
    }

    #[test]
    fn the_first_is_the_default_until_another_is_named() {
        assert_eq!(name(registry().default_model()).as_deref(), Some("first"));
        let other = registry().with_default("second").unwrap();
        assert_eq!(name(other.default_model()).as_deref(), Some("second"));
    }

    #[test]
    fn an_agent_gets_its_own_models_and_any_other_the_default() {
        let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let registry = registry()
            .with_agent("one", &own(&["second"]))
            .and_then(|registry| registry.with_agent("two", &own(&["second", "first"])))
            .unwrap();
        assert_eq!(name(registry.for_agent("one")).as_deref(), Some("second"));
        assert_eq!(name(registry.for_agent("two")).as_deref(), Some("second, else first"));
        assert_eq!(name(registry.for_agent("three")).as_deref(), Some("first"));
    }

    #[test]
    fn what_is_wrong_with_a_name_is_said() {
        let twice = ModelRegistry::freeze(vec![Arc::new(Named("a")), Arc::new(Named("a"))]).err();
        assert_eq!(twice, Some(ModelRegistryError::Twice("a".to_owned())));
        let unknown = registry().with_default("third").err();
        assert_eq!(unknown, Some(ModelRegistryError::Unknown("third".to_owned())));
        let empty = registry().with_agent("one", &[]).err();
        assert_eq!(empty, Some(ModelRegistryError::Empty("one".to_owned())));
    }
}
