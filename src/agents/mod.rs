//! The agents that may run: one file each, one line each in [`all`].

use std::sync::Arc;

use sessile_actors::infra::{AgentClassRegistry, AgentRegistryBuilder};

use crate::workflows::Workflows;

pub mod actions;
pub mod assistant;
mod conversation;
pub mod corpus_admin;
pub mod data;
pub mod data_helper;
mod decide;
pub mod echo;
mod given;
mod grounds;
pub mod inline;
mod markdown;
pub mod optimization;
pub mod reporting;
mod shapes;
mod source;
mod steps;
pub mod supervisor;
pub mod supply_researcher;
mod tool_reply;
pub mod triage;
mod usage;
mod words;

/// All agents, not yet frozen. `step_limit` bounds how often one asks its model for an answer; the supervisor follows
/// `workflows`.
#[must_use]
pub fn all(step_limit: u32, workflows: Arc<Workflows>) -> AgentRegistryBuilder {
    AgentClassRegistry::builder()
        .agent(actions::class(step_limit))
        .agent(assistant::class(step_limit))
        .agent(corpus_admin::class(step_limit))
        .agent(data::class(step_limit))
        .agent(data_helper::class(step_limit))
        .agent(echo::class())
        .agent(optimization::class(step_limit))
        .agent(reporting::class(step_limit))
        .agent(supervisor::class(workflows))
        .agent(supply_researcher::class(step_limit))
        .agent(triage::class(step_limit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_agents_freeze_with_the_assistant_as_the_default() {
        let workflows = Arc::new(Workflows::load(None).unwrap());
        let agents = all(8, workflows).freeze(assistant::NAME).unwrap();
        let names: Vec<_> = agents.classes().map(|class| class.name.as_str()).collect();
        let expected = [
            "actions",
            "assistant",
            "corpus_admin",
            "data",
            "data_helper",
            "echo",
            "optimization",
            "reporting",
            "supervisor",
            "supply_researcher",
            "triage",
        ];
        assert_eq!(names, expected);
    }
}
