//! The agents that may run: one file each, one line each in [`all`].

use sessile_actors::infra::{AgentClassRegistry, AgentRegistryBuilder};

pub mod assistant;
mod conversation;
pub mod echo;
pub mod inline;
mod steps;

/// All agents, not yet frozen. `step_limit` bounds how often the assistant asks its model in one run.
#[must_use]
pub fn all(step_limit: u32) -> AgentRegistryBuilder {
    AgentClassRegistry::builder()
        .agent(assistant::class(step_limit))
        .agent(echo::class())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_agents_freeze_with_the_assistant_as_the_default() {
        let agents = all(8).freeze(assistant::NAME).unwrap();
        let names: Vec<_> = agents.classes().map(|class| class.name.as_str()).collect();
        assert_eq!(names, ["assistant", "echo"]);
    }
}
