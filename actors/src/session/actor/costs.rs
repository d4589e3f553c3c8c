//! What runs use, on its way to the engine.

use actix::prelude::*;

use super::UserSessionActor;
use crate::budgets::Charge;
use crate::context::UserExecutionContext;
use crate::session::engine::Input;
use crate::session::run::RunOver;

/// A run used something. Answered by whether it may go on.
#[derive(Message)]
#[rtype(result = "Result<(), RunOver>")]
pub(crate) struct Use {
    /// Whose.
    pub context: UserExecutionContext,
    /// What.
    pub charge: Charge,
}

impl Handler<Use> for UserSessionActor {
    type Result = Result<(), RunOver>;

    fn handle(&mut self, used: Use, ctx: &mut Context<Self>) -> Self::Result {
        if self.is_foreign(&used.context, ctx) {
            return Err(RunOver);
        }
        let run = used.context.run();
        let charge = used.charge;
        self.input(Input::Used { run, charge }, ctx);
        let goes_on = self.open.as_ref().is_some_and(|open| open.engine.listens_to(run));
        goes_on.then_some(()).ok_or(RunOver)
    }
}
