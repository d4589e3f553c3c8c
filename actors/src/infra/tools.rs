//! Tools: what they declare, what they get, and the frozen registry of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::context::UserExecutionContext;
use crate::ids::CallId;
use crate::infra::model::INVALID_JSON;

/// Something that an agent may call. One instance serves all users: it holds no user's data, and gets each call's context.
#[async_trait]
pub trait Tool: Send + Sync {
    /// What it declares. Read once, when the registry is built.
    fn spec(&self) -> ToolSpec;

    /// Does the work. The arguments have passed the declared schema. Dropped when its time is over or its run ends.
    ///
    /// # Errors
    /// [`ToolError`]: told to the agent, and shown to the user as the call's result.
    async fn call(&self, context: ToolContext, arguments: Value) -> Result<Value, ToolError>;
}

/// What a tool declares.
#[derive(Debug, Clone, Serialize)]
pub struct ToolSpec {
    /// Its name: what models and agents call.
    pub name: String,
    /// What it does, for models and people.
    pub description: String,
    /// JSON Schema of its arguments.
    pub parameters: Value,
    /// How long a call may take; none means the configured limit.
    #[serde(skip)]
    pub timeout: Option<Duration>,
    /// Whether it blocks or computes: it then runs on the CPU pool.
    #[serde(skip)]
    pub blocking: bool,
    /// Whether doing it twice is as good as once: only such a call may ever be run again by the runtime.
    pub idempotent: bool,
    /// The role that its user must have; none: everybody may.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Whether a person must approve each call before it starts.
    pub needs_approval: bool,
}

impl ToolSpec {
    /// Declares a tool that anybody may call, without approval, and that neither blocks nor may be repeated.
    pub fn new(name: impl Into<String>, description: impl Into<String>, parameters: Value) -> Self {
        Self {
            name: name.into(),
            description: description.into(),
            parameters,
            timeout: None,
            blocking: false,
            idempotent: false,
            role: None,
            needs_approval: false,
        }
    }

    /// A call may take this long at most.
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// It blocks or computes: it runs on the CPU pool.
    #[must_use]
    pub fn blocking(mut self) -> Self {
        self.blocking = true;
        self
    }

    /// Doing it twice is as good as once.
    #[must_use]
    pub fn idempotent(mut self) -> Self {
        self.idempotent = true;
        self
    }

    /// Only users with this role may call it.
    #[must_use]
    pub fn role(mut self, role: impl Into<String>) -> Self {
        self.role = Some(role.into());
        self
    }

    /// A person must approve each call before it starts.
    #[must_use]
    pub fn needs_approval(mut self) -> Self {
        self.needs_approval = true;
        self
    }
}

/// What a call gets.
#[derive(Debug, Clone)]
pub struct ToolContext {
    /// For whom, and in which run. Identity comes from here alone, never from arguments.
    pub user: UserExecutionContext,
    /// The call.
    pub call: CallId,
    /// Fires when the call should stop.
    pub cancelled: CancellationToken,
}

/// Why a tool has no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ToolError {
    /// The arguments make no sense, beyond what the schema says.
    #[error("{0}")]
    BadArguments(String),
    /// It failed; the sentence is shown to agent and user.
    #[error("{0}")]
    Failed(String),
}

/// A tool with its compiled schema.
pub struct ToolClass {
    spec: Arc<ToolSpec>,
    schema: jsonschema::Validator,
    tool: Arc<dyn Tool>,
}

impl ToolClass {
    /// What the tool declares.
    #[must_use]
    pub fn spec(&self) -> &Arc<ToolSpec> {
        &self.spec
    }

    /// The tool.
    #[must_use]
    pub fn tool(&self) -> &Arc<dyn Tool> {
        &self.tool
    }

    /// Checks arguments against the schema.
    ///
    /// # Errors
    /// A sentence per fault, each with its JSON pointer.
    pub fn validate(&self, arguments: &Value) -> Result<(), String> {
        if arguments.get(INVALID_JSON).is_some() {
            return Err("they are no JSON object; write one".to_owned());
        }
        let faults: Vec<String> = self
            .schema
            .iter_errors(arguments)
            .take(5)
            .map(|fault| format!("{} at `{}`", fault.masked(), fault.instance_path()))
            .collect();
        if faults.is_empty() {
            Ok(())
        } else {
            Err(faults.join("; "))
        }
    }
}

/// Why a registry can't be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// Two have one name.
    #[error("`{name}` is registered twice; give one of them another name")]
    Twice {
        /// The name.
        name: String,
    },
    /// The declared schema is no JSON Schema.
    #[error("the parameters of tool `{name}` are no JSON Schema: {fault}")]
    BadSchema {
        /// The tool.
        name: String,
        /// What is wrong.
        fault: String,
    },
    /// The agent that messages go to by default does not exist.
    #[error("the default agent `{name}` is not registered")]
    NoDefault {
        /// The name.
        name: String,
    },
}

/// Collects tools before the first connection.
#[derive(Default)]
pub struct ToolRegistryBuilder(Vec<Arc<dyn Tool>>);

impl ToolRegistryBuilder {
    /// Adds a tool.
    #[must_use]
    pub fn tool(mut self, tool: impl Tool + 'static) -> Self {
        self.0.push(Arc::new(tool));
        self
    }

    /// Ends registration: from here on nothing changes.
    ///
    /// # Errors
    /// [`RegistryError`] where a name stands twice or a schema is none.
    pub fn freeze(self) -> Result<ToolClassRegistry, RegistryError> {
        let mut by_name = BTreeMap::new();
        for tool in self.0 {
            let spec = Arc::new(tool.spec());
            let name = spec.name.clone();
            let schema = jsonschema::validator_for(&spec.parameters).map_err(|fault| RegistryError::BadSchema {
                name: name.clone(),
                fault: fault.to_string(),
            })?;
            if by_name.insert(name.clone(), ToolClass { spec, schema, tool }).is_some() {
                return Err(RegistryError::Twice { name });
            }
        }
        Ok(ToolClassRegistry {
            by_name: Arc::new(by_name),
        })
    }
}

/// The tools by name, frozen.
#[derive(Clone, Default)]
pub struct ToolClassRegistry {
    by_name: Arc<BTreeMap<String, ToolClass>>,
}

impl ToolClassRegistry {
    /// Starts collecting.
    #[must_use]
    pub fn builder() -> ToolRegistryBuilder {
        ToolRegistryBuilder::default()
    }

    /// The tool of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&ToolClass> {
        self.by_name.get(name)
    }

    /// What all tools declare, by name.
    pub fn specs(&self) -> impl Iterator<Item = &Arc<ToolSpec>> {
        self.by_name.values().map(ToolClass::spec)
    }
}
