//! The agents that may run: one file each, one line each in [`all`].

use std::sync::Arc;

use sessile_actors::infra::{AgentClassRegistry, AgentRegistryBuilder};

use crate::workflows::Workflows;

pub mod assistant;
mod conversation;
pub mod echo;
pub mod supervisor;

/// All agents, not yet frozen. `step_limit` bounds how often the assistant asks its model in one run; the supervisor follows
/// `workflows`.
#[must_use]
pub fn all(step_limit: u32, workflows: Arc<Workflows>) -> AgentRegistryBuilder {
    AgentClassRegistry::builder()
        .agent(assistant::class(step_limit))
        .agent(echo::class())
        .agent(supervisor::class(workflows))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_agents_freeze_with_the_assistant_as_the_default() {
        let workflows = Arc::new(Workflows::load(None).unwrap());
        let agents = all(8, workflows).freeze(assistant::NAME).unwrap();
        let names: Vec<_> = agents.classes().map(|class| class.name.as_str()).collect();
        assert_eq!(names, ["assistant", "echo", "supervisor"]);
    }
}
