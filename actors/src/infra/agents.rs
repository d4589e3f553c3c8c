//! Agents: what they are given, what they return, and the frozen registry of their classes.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use serde::Serialize;

use crate::context::UserExecutionContext;
use crate::infra::model::ModelError;
use crate::infra::tools::RegistryError;
use crate::session::run::{RunContext, RunOver};

/// One run's worth of an agent. Made afresh for each run, so what it holds is that run's alone.
///
/// It runs as a task of its own on its session's shard: it must not block, and a panic ends its run, nothing else.
#[async_trait(?Send)]
pub trait Agent {
    /// Works on the run's message until there is an answer.
    ///
    /// # Errors
    /// [`AgentError`]: becomes the run's `agent_error`. [`AgentError::Over`] passes on that the run was ended.
    async fn run(&mut self, run: &mut RunContext) -> Result<Answer, AgentError>;
}

/// What a run answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// What was said by [`RunContext::say`] is the answer.
    Said,
    /// This is the answer. What was said before is its beginning, or replaced by it.
    Text(String),
}

/// Why a run has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AgentError {
    /// The run was ended from outside; nothing more can be said.
    #[error("the run is over")]
    Over,
    /// The agent gave up; code and sentence go to the user.
    #[error("{message}")]
    Failed {
        /// Stable, lower case with underscores.
        code: &'static str,
        /// A sentence that says what to do.
        message: String,
        /// Whether sending it again may help.
        retryable: bool,
    },
    /// The model failed.
    #[error(transparent)]
    Model(#[from] ModelError),
}

impl From<RunOver> for AgentError {
    fn from(_: RunOver) -> Self {
        Self::Over
    }
}

/// Makes the agent of one run.
pub type AgentFactory = Arc<dyn Fn(&UserExecutionContext) -> Box<dyn Agent> + Send + Sync>;

/// A kind of agent: its name, what it does, and how one is made.
#[derive(Clone, Serialize)]
pub struct AgentClass {
    /// Its name: what clients name in `agent`.
    pub name: String,
    /// What it does, for people.
    pub description: String,
    /// Whether a run of it takes `steer`.
    pub steerable: bool,
    #[serde(skip)]
    make: AgentFactory,
}

impl AgentClass {
    /// Declares a kind of agent.
    pub fn new<A: Agent + 'static>(
        name: impl Into<String>,
        description: impl Into<String>,
        make: impl Fn(&UserExecutionContext) -> A + Send + Sync + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            description: description.into(),
            steerable: false,
            make: Arc::new(move |context| Box::new(make(context))),
        }
    }

    /// Its runs take `steer`: they ask [`RunContext::steering`] between their steps.
    #[must_use]
    pub fn steerable(mut self) -> Self {
        self.steerable = true;
        self
    }

    /// Makes the agent of one run.
    #[must_use]
    pub fn make(&self, context: &UserExecutionContext) -> Box<dyn Agent> {
        (self.make)(context)
    }
}

/// Collects agent classes before the first connection.
#[derive(Default)]
pub struct AgentRegistryBuilder(Vec<AgentClass>);

impl AgentRegistryBuilder {
    /// Adds a class.
    #[must_use]
    pub fn agent(mut self, class: AgentClass) -> Self {
        self.0.push(class);
        self
    }

    /// Ends registration: from here on nothing changes. Messages that name no agent go to `default`.
    ///
    /// # Errors
    /// [`RegistryError`] where a name stands twice, or `default` is none of them.
    pub fn freeze(self, default: &str) -> Result<AgentClassRegistry, RegistryError> {
        let mut by_name = BTreeMap::new();
        for class in self.0 {
            let name = class.name.clone();
            if by_name.insert(name.clone(), class).is_some() {
                return Err(RegistryError::Twice { name });
            }
        }
        if !by_name.contains_key(default) {
            return Err(RegistryError::NoDefault {
                name: default.to_owned(),
            });
        }
        Ok(AgentClassRegistry {
            default: default.into(),
            by_name: Arc::new(by_name),
        })
    }
}

/// The agent classes by name, frozen: there is no way to register one afterwards.
#[derive(Clone)]
pub struct AgentClassRegistry {
    default: Arc<str>,
    by_name: Arc<BTreeMap<String, AgentClass>>,
}

impl AgentClassRegistry {
    /// Starts collecting.
    #[must_use]
    pub fn builder() -> AgentRegistryBuilder {
        AgentRegistryBuilder::default()
    }

    /// The class of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&AgentClass> {
        self.by_name.get(name)
    }

    /// The agent that messages go to which name none.
    #[must_use]
    pub fn default_name(&self) -> &Arc<str> {
        &self.default
    }

    /// All classes, by name.
    pub fn classes(&self) -> impl Iterator<Item = &AgentClass> {
        self.by_name.values()
    }
}
