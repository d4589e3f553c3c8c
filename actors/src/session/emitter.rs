//! The emitter of one run: the only way to make an event.
//!
//! It is minted with the run's context and can speak for no other. Each event is sanitised here, costs one unit of the
//! run's credit, and is numbered by the session; the credit comes back when the event is durable. So a run that outpaces
//! the journal waits, and its session's memory stays bounded.

use std::sync::Arc;

use actix::{Addr, Message};
use tokio::sync::{Semaphore, oneshot};

use crate::budgets::Charge;
use crate::context::UserExecutionContext;
use crate::protocol::server::Event;
use crate::session::actor::{Use, UserSessionActor};
use crate::session::outbox::Receipt;
use crate::session::run::RunOver;
use crate::session::sanitise::redacted;

/// An event of a run, or a piece of its answer, on its way to its session.
#[derive(Debug, Message)]
#[rtype(result = "Result<(), RunOver>")]
pub(crate) struct Emit {
    /// Whose: the session compares it with its own.
    pub context: UserExecutionContext,
    /// What.
    pub what: Told,
    /// What to let go when it is durable.
    pub receipt: Receipt,
}

/// What a run tells.
#[derive(Debug)]
pub(crate) enum Told {
    /// An event.
    Event(Event),
    /// A piece of the answer; pieces are gathered.
    Text(String),
}

/// Makes events of one run. Cheap to clone; clones share the run's credit.
#[derive(Clone)]
pub(crate) struct RunEmitter {
    context: UserExecutionContext,
    session: Addr<UserSessionActor>,
    credit: Arc<Semaphore>,
}

impl RunEmitter {
    pub(crate) fn new(context: UserExecutionContext, session: Addr<UserSessionActor>, credit: usize) -> Self {
        Self {
            context,
            session,
            credit: Arc::new(Semaphore::new(credit.max(1))),
        }
    }

    /// Tells an event. Waits while the run is ahead of the journal.
    pub(crate) async fn emit(&self, event: Event) -> Result<(), RunOver> {
        self.tell(Told::Event(sanitised(event)), None).await
    }

    /// Tells an event and waits until it is durable.
    pub(crate) async fn emit_durably(&self, event: Event) -> Result<(), RunOver> {
        let (durable, committed) = oneshot::channel();
        self.tell(Told::Event(sanitised(event)), Some(durable)).await?;
        committed.await.map_err(|_| RunOver)
    }

    /// Says a piece of the answer.
    pub(crate) async fn say(&self, text: String) -> Result<(), RunOver> {
        self.tell(Told::Text(text), None).await
    }

    /// Counts what the run used.
    pub(crate) async fn charge(&self, charge: Charge) -> Result<(), RunOver> {
        let context = self.context.clone();
        // A closed mailbox means that the session ended: so did the run.
        self.session.send(Use { context, charge }).await.map_err(|_| RunOver)?
    }

    async fn tell(&self, what: Told, durable: Option<oneshot::Sender<()>>) -> Result<(), RunOver> {
        let credit = Arc::clone(&self.credit).acquire_owned().await.map_err(|_| RunOver)?;
        let emit = Emit {
            context: self.context.clone(),
            what,
            receipt: Receipt {
                credit: Some(credit),
                durable,
            },
        };
        // A closed mailbox means that the session ended: so did the run.
        self.session.send(emit).await.map_err(|_| RunOver)?
    }
}

fn sanitised(event: Event) -> Event {
    match event {
        Event::ToolExecuting {
            call_id,
            tool_name,
            parameters,
        } => Event::ToolExecuting {
            call_id,
            tool_name,
            parameters: redacted(parameters),
        },
        Event::ToolApprovalRequested {
            call_id,
            tool_name,
            parameters,
            arguments_sha256,
            expires_at,
        } => Event::ToolApprovalRequested {
            call_id,
            tool_name,
            parameters: redacted(parameters),
            arguments_sha256,
            expires_at,
        },
        Event::ToolCompleted {
            call_id,
            tool_name,
            status,
            result,
            truncated,
            execution_time_ms,
        } => Event::ToolCompleted {
            call_id,
            tool_name,
            status,
            result: redacted(result),
            truncated,
            execution_time_ms,
        },
        Event::Custom { name, payload } => Event::Custom {
            name,
            payload: redacted(payload),
        },
        other => other,
    }
}
