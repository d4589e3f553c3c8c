//! `echo`: says what it was sent, and nothing else. For tests, load and first steps: it asks no model and calls no tool.

use async_trait::async_trait;
use sessile_actors::infra::{Agent, AgentClass, AgentError, Answer};
use sessile_actors::session::run::RunContext;

/// The name that clients name in `agent`.
pub const NAME: &str = "echo";

/// Says what it was sent.
pub struct Echo;

/// The class of [`Echo`].
#[must_use]
pub fn class() -> AgentClass {
    AgentClass::new(NAME, "Says exactly what it was sent.", |_| Echo)
}

#[async_trait(?Send)]
impl Agent for Echo {
    async fn run(&mut self, run: &mut RunContext) -> Result<Answer, AgentError> {
        let message = run.message().to_owned();
        run.say(&message).await?;
        Ok(Answer::Said)
    }
}
