//! The steps of a run, as its agent takes them: turns of models, and thoughts of its own.

use super::{RunContext, RunOver, THOUGHT_BYTES, boundary};
use crate::budgets::Charge;
use crate::infra::model::ModelUsage;
use crate::protocol::server::Event;

impl RunContext {
    /// Tells what the agent is thinking about: a step of the run. A thought that a model tells within its turn is told by
    /// [`RunContext::think_along`].
    ///
    /// # Errors
    /// [`RunOver`] where the run has ended, or a budget is used up.
    pub async fn think(&mut self, reasoning: impl Into<String>) -> Result<(), RunOver> {
        self.emitter.charge(Charge::STEP).await?;
        self.usage.steps = self.usage.steps.saturating_add(1);
        self.think_along(reasoning).await
    }

    /// Tells a piece of what a model is thinking about. Its turn is one step, which [`RunContext::count_usage`] counts.
    ///
    /// # Errors
    /// [`RunOver`] where the run has ended.
    pub async fn think_along(&mut self, reasoning: impl Into<String>) -> Result<(), RunOver> {
        self.thoughts = self.thoughts.saturating_add(1);
        let mut reasoning: String = reasoning.into();
        reasoning.truncate(boundary(&reasoning, THOUGHT_BYTES));
        self.emitter
            .emit(Event::AgentThinking {
                reasoning,
                step_number: self.thoughts,
                progress_percentage: None,
            })
            .await
    }

    /// Counts one call of a model and what it used: a step of the run.
    ///
    /// # Errors
    /// [`RunOver`] where the run has ended, or a budget is used up.
    pub async fn count_usage(&mut self, used: &ModelUsage) -> Result<(), RunOver> {
        let usage = &mut self.usage;
        usage.model_calls = usage.model_calls.saturating_add(1);
        usage.steps = usage.steps.saturating_add(1);
        // What a provider tells is only a number: it must not be able to end the run by its size.
        usage.input_tokens = usage.input_tokens.saturating_add(used.input_tokens);
        usage.output_tokens = usage.output_tokens.saturating_add(used.output_tokens);
        usage.cost_micros = usage.cost_micros.saturating_add(used.cost_micros);
        let charge = Charge {
            tokens: used.input_tokens.saturating_add(used.output_tokens),
            cost_micros: used.cost_micros,
            ..Charge::STEP
        };
        self.emitter.charge(charge).await
    }
}
