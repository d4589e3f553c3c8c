//! What the store is asked for an operation, and what the client is told.

use super::{Op, Work};
use crate::budgets::Spent;
use crate::ids::{MessageId, RunId, SessionId, ThreadId};
use crate::infra::journal::{Accept, Idempotency, StoreCommand};
use crate::protocol::client::OnBusy;
use crate::protocol::server::{AcceptStatus, Control, ErrorCode, RunState, StoppedBy, rfc3339};
use crate::session::engine::{Effect, Engine, Now, Stop};

impl Op {
    pub(super) fn command(&self, start: bool) -> StoreCommand {
        let idempotency = Idempotency {
            message_id: self.message_id,
            digest: self.digest,
        };
        let thread_id = self.thread;
        if self.refusal.is_some() {
            return StoreCommand::Repeat(idempotency);
        }
        match &self.work {
            Work::Say { say, agent, create } => StoreCommand::Accept(Accept {
                idempotency,
                thread_id,
                create_thread: create.clone(),
                run_id: self.fresh.run,
                request_id: self.fresh.request,
                agent: agent.to_string(),
                content: say.content.clone(),
                references: say.references.clone(),
                metadata: say.metadata.clone(),
                start,
            }),
            Work::Create { name } => StoreCommand::CreateThread {
                idempotency,
                thread_id,
                name: name.clone(),
            },
            Work::Switch => StoreCommand::SwitchThread { thread_id },
            Work::Rename { name } => StoreCommand::RenameThread {
                idempotency,
                thread_id,
                name: name.clone(),
            },
            Work::Steer { run, .. } | Work::Decide { run, .. } => StoreCommand::Take {
                idempotency,
                run_id: *run,
                thread_id,
            },
            Work::Delete => StoreCommand::DeleteThread {
                idempotency,
                thread_id,
                fallback: self.fresh.thread,
            },
        }
    }

    /// How the run of another session that holds the thread would end; none where this waits for nobody.
    pub(super) fn stop_of_holder(&self) -> Option<Stop> {
        match &self.work {
            Work::Say { say, .. } => match say.on_busy {
                OnBusy::Interrupt | OnBusy::Rollback => Some(replaced_by(say.on_busy)),
                OnBusy::Enqueue | OnBusy::Reject => None,
            },
            Work::Delete => Some(Stop::thread_deleted()),
            Work::Create { .. } | Work::Switch | Work::Rename { .. } | Work::Steer { .. } | Work::Decide { .. } => None,
        }
    }

    /// The answer to a repeat: the first answer again.
    pub(super) fn repeated(&self, thread_id: ThreadId, name: String, run: Option<(RunId, RunState)>) -> Effect {
        let message_id = self.message_id;
        Effect::Reply(match (&self.work, run) {
            (Work::Say { .. }, Some((run_id, run_state))) => Control::MessageAccepted {
                message_id,
                thread_id,
                run_id,
                status: AcceptStatus::Duplicate,
                run_state,
            },
            (Work::Steer { run, .. }, _) => Control::SteeringAccepted {
                message_id,
                run_id: *run,
                status: Some(AcceptStatus::Duplicate),
            },
            (Work::Decide { call, .. }, _) => Control::DecisionAccepted {
                message_id,
                call_id: *call,
                status: Some(AcceptStatus::Duplicate),
            },
            (Work::Rename { .. }, _) => Control::ThreadRenamed {
                message_id: Some(message_id),
                thread_id,
                name,
            },
            (Work::Delete, _) => Control::ThreadDeleted {
                message_id: Some(message_id),
                thread_id,
            },
            (Work::Say { .. } | Work::Create { .. } | Work::Switch, _) => Control::ThreadCreated {
                message_id,
                thread_id,
                name,
                status: Some(AcceptStatus::Duplicate),
            },
        })
    }
}

pub(super) fn refusal(code: ErrorCode, message: impl Into<String>, reply_to: Option<MessageId>) -> Effect {
    Effect::Reply(Control::Error(Engine::error(code, message, reply_to)))
}

pub(super) fn exhausted(spent: &Spent, reply_to: Option<MessageId>, now: Now) -> Effect {
    let mut error = Engine::error(ErrorCode::BudgetExhausted, spent.sentence(), reply_to);
    let wait = spent
        .resets_at
        .map(|at| at.duration_since(now.wall).unwrap_or_default());
    error.retryable = wait.is_some();
    error.retry_after_ms = wait.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
    error.details = Some(serde_json::json!({
        "budget": spent.name(),
        "used": spent.used,
        "limit": spent.limit,
        "resets_at": spent.resets_at.map(rfc3339),
    }));
    Effect::Reply(Control::Error(error))
}

pub(super) fn run_active(reply_to: Option<MessageId>, holder: Option<RunId>, elsewhere: bool) -> Effect {
    let message = if elsewhere {
        "a run is active in this thread in another session of yours; stop it there, or send with on_busy interrupt"
    } else {
        "a run is active in this thread; wait for it, stop it, or send with another on_busy"
    };
    let mut error = Engine::error(ErrorCode::RunActive, message, reply_to);
    error.retryable = true;
    error.details = Some(serde_json::json!({ "run_id": holder, "elsewhere": elsewhere }));
    Effect::Reply(Control::Error(error))
}

pub(super) fn ask_yield(session: SessionId, thread: ThreadId, run: RunId, stop: Stop) -> Effect {
    Effect::AskYield {
        session,
        thread,
        run,
        stop,
    }
}

pub(super) fn replaced_by(on_busy: OnBusy) -> Stop {
    Stop {
        by: StoppedBy::Replaced,
        reason: "another message took its place".to_owned(),
        forget: on_busy == OnBusy::Rollback,
    }
}
