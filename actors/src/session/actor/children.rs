//! Child runs, as the session keeps them: from the asking of their parent to the answer it gets.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use actix::prelude::*;
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::UserSessionActor;
use crate::context::UserExecutionContext;
use crate::ids::{MessageId, RequestId, RunId};
use crate::session::engine::{ChildError, ChildReport, Input, NewChild};
use crate::session::run::{ChildEnd, Handed, RunOver};

/// The child runs of one session that have not ended.
#[derive(Default)]
pub(super) struct Children(HashMap<RunId, Child>);

struct Child {
    /// For whom it works.
    context: UserExecutionContext,
    /// What it was given, until its task gets it.
    handed: Option<Handed>,
    /// What its task handed back.
    output: Value,
    /// To its parent.
    tell: oneshot::Sender<ChildEnd>,
    /// Its place among its parent's children; free again when it has ended.
    _place: OwnedSemaphorePermit,
}

impl Children {
    /// What the task of a child run begins with; none for a run that answers a user's message.
    pub fn take(&mut self, run: RunId) -> Option<(UserExecutionContext, Handed)> {
        let child = self.0.get_mut(&run)?;
        Some((child.context.clone(), child.handed.take().unwrap_or_default()))
    }

    /// The task of a run ended and hands this back; where it is no child, nobody wants it.
    pub fn hand_back(&mut self, run: RunId, output: Value) {
        if let Some(child) = self.0.get_mut(&run) {
            child.output = output;
        }
    }

    /// A child has ended, or did not begin.
    pub fn ended(&mut self, report: ChildReport) {
        if let Some(child) = self.0.remove(&report.run) {
            // A parent that was stopped waits no longer.
            let _ = child.tell.send(ChildEnd::new(report, child.output));
        }
    }
}

/// A run begins a child. Answered by where its end will be told.
#[derive(Message)]
#[rtype(result = "Result<oneshot::Receiver<ChildEnd>, RunOver>")]
pub(crate) struct BeginChild {
    /// The run that begins it.
    pub parent: UserExecutionContext,
    /// The child's agent.
    pub agent: String,
    /// What it is asked to do, in words.
    pub content: String,
    /// What it is given beside them.
    pub handed: Handed,
    /// Its place among its parent's children.
    pub place: OwnedSemaphorePermit,
}

impl Handler<BeginChild> for UserSessionActor {
    type Result = Result<oneshot::Receiver<ChildEnd>, RunOver>;

    fn handle(&mut self, begin: BeginChild, ctx: &mut Context<Self>) -> Self::Result {
        if self.is_foreign(&begin.parent, ctx) {
            return Err(RunOver);
        }
        let parent = begin.parent.run();
        let Some(open) = &mut self.open else {
            return Err(RunOver);
        };
        // It was given up while it was on its way here, or its parent was stopped.
        if begin.handed.abandoned.is_cancelled() || !open.engine.listens_to(parent) {
            return Err(RunOver);
        }
        let (tell, end) = oneshot::channel();
        let (run, request) = (RunId::mint(), RequestId::mint());
        let Ok(context) = begin.parent.child_run(&begin.agent, run, request, SystemTime::now()) else {
            let _ = tell.send(ChildEnd::refused(run, ChildError::too_deep()));
            return Ok(end);
        };
        let child = Child {
            context,
            handed: Some(begin.handed),
            output: Value::Null,
            tell,
            _place: begin.place,
        };
        open.children.0.insert(run, child);
        let new = NewChild {
            parent,
            run,
            request,
            answer: MessageId::mint(),
            agent: Arc::from(begin.agent),
            content: begin.content,
        };
        self.input(Input::Child(Box::new(new)), ctx);
        Ok(end)
    }
}
