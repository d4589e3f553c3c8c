//! What a session asks of the rows.

use std::time::SystemTime;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::budgets::Gate;
use crate::context::SessionContext;
use crate::ids::{RunId, ThreadId, UserId};
use crate::infra::journal::{Accept, Idempotency, StoreCommand, StoreReply, StoredRun, UNNAMED};
use crate::protocol::server::RunState;

use super::state::{ClientMessageRow, MessageRow, RunRow, SessionRow, State, ThreadRow};

/// Who asks.
pub(super) struct Caller<'a> {
    pub(super) session: &'a SessionContext,
    pub(super) at: SystemTime,
    pub(super) runs_per_user: usize,
    pub(super) gate: Gate,
}

impl Caller<'_> {
    pub(super) fn user(&self) -> &UserId {
        self.session.user()
    }
}

impl State {
    pub(super) fn obey(&mut self, caller: &Caller<'_>, command: StoreCommand) -> StoreReply {
        match command {
            StoreCommand::Accept(accept) => self.accept(caller, accept),
            StoreCommand::Repeat(idempotency) => self
                .repeated(caller.user(), idempotency)
                .unwrap_or(StoreReply::NotFound),
            StoreCommand::Take {
                idempotency,
                run_id,
                thread_id,
            } => self.take(caller, idempotency, run_id, thread_id),
            StoreCommand::Promote { run_id, thread_id } => self.promote(caller, run_id, thread_id),
            StoreCommand::Charge(charge) => StoreReply::Charged(self.charge(caller, charge)),
            StoreCommand::CreateThread {
                idempotency,
                thread_id,
                name,
            } => self.make_thread(caller, idempotency, thread_id, name),
            StoreCommand::SwitchThread { thread_id } => self.switch_thread(caller, thread_id),
            StoreCommand::RenameThread {
                idempotency,
                thread_id,
                name,
            } => self.rename_thread(caller, idempotency, thread_id, name),
            StoreCommand::DeleteThread {
                idempotency,
                thread_id,
                fallback,
            } => self.delete_thread(caller, idempotency, thread_id, fallback),
        }
    }

    fn accept(&mut self, caller: &Caller<'_>, accept: Accept) -> StoreReply {
        if let Some(reply) = self.repeated(caller.user(), accept.idempotency) {
            return reply;
        }
        let place = (caller.user().clone(), accept.thread_id);
        let known = self.thread(caller.user(), accept.thread_id).is_some();
        let foreign = self
            .owners
            .get(&accept.thread_id)
            .is_some_and(|owner| owner != caller.user());
        if foreign || (!known && accept.create_thread.is_none()) {
            return StoreReply::NotFound;
        }
        let mut references = accept.references.iter();
        if !references.all(|document| self.documents.contains(&(caller.user().clone(), *document))) {
            return StoreReply::NoDocument;
        }
        if let Some(spent) = self.refuse_more(caller) {
            return StoreReply::BudgetExhausted(spent);
        }
        if accept.start
            && let Some(refusal) = self.refuse_start(caller, accept.thread_id)
        {
            return refusal;
        }
        if let Some(name) = accept.create_thread {
            match self.thread_mut(caller.user(), accept.thread_id) {
                None => self.create_thread(caller.user(), accept.thread_id, name, caller.at),
                Some(thread) if thread.name == UNNAMED => thread.name = name,
                Some(_) => {}
            }
        }
        let message = MessageRow {
            id: accept.idempotency.message_id,
            run: accept.run_id,
            role: "user",
            content: accept.content.clone(),
            status: "complete",
            created: caller.at,
        };
        self.add_message(place, message);
        let run = RunRow {
            id: accept.run_id,
            thread: accept.thread_id,
            session: caller.session.session(),
            request: accept.request_id,
            message: accept.idempotency.message_id,
            agent: accept.agent,
            content: accept.content,
            references: accept.references,
            metadata: accept.metadata,
            state: if accept.start {
                RunState::Running
            } else {
                RunState::Queued
            },
            first_seq: self
                .session(caller.session)
                .map(SessionRow::last_seq)
                .unwrap_or_default(),
        };
        self.runs.entry(caller.user().clone()).or_default().push(run);
        self.remember(caller.user(), accept.idempotency, accept.thread_id, Some(accept.run_id));
        done("")
    }

    fn take(&mut self, caller: &Caller<'_>, asked: Idempotency, run: RunId, thread: ThreadId) -> StoreReply {
        if let Some(reply) = self.repeated(caller.user(), asked) {
            return reply;
        }
        self.remember(caller.user(), asked, thread, Some(run));
        done("")
    }

    fn promote(&mut self, caller: &Caller<'_>, id: RunId, thread: ThreadId) -> StoreReply {
        let waits = |run: &&RunRow| run.id == id && run.thread == thread && run.state == RunState::Queued;
        let here = |run: &&RunRow| run.session == caller.session.session();
        let runs = self.runs_of(caller.user());
        if runs.iter().find(waits).filter(here).is_none() || self.thread(caller.user(), thread).is_none() {
            return StoreReply::NotFound;
        }
        if let Some(spent) = self.refuse_more(caller) {
            return StoreReply::BudgetExhausted(spent);
        }
        if let Some(refusal) = self.refuse_start(caller, thread) {
            return refusal;
        }
        let first_seq = self
            .session(caller.session)
            .map(SessionRow::last_seq)
            .unwrap_or_default();
        let runs = self.runs.entry(caller.user().clone()).or_default();
        if let Some(run) = runs.iter_mut().find(|run| run.id == id) {
            run.state = RunState::Running;
            run.first_seq = first_seq;
        }
        // It is said now: behind the answer that it waited for.
        let messages = self.messages.entry((caller.user().clone(), thread)).or_default();
        let last = messages.last_key_value().map_or(0, |(n, _)| *n);
        let n = messages.iter().find(|(_, message)| message.run == id).map(|(n, _)| *n);
        if let Some(message) = n.and_then(|n| messages.remove(&n)) {
            messages.insert(last + 1, message);
        }
        done("")
    }

    fn make_thread(&mut self, caller: &Caller<'_>, asked: Idempotency, id: ThreadId, name: String) -> StoreReply {
        if let Some(reply) = self.repeated(caller.user(), asked) {
            return reply;
        }
        if self.owners.contains_key(&id) {
            return StoreReply::NotFound;
        }
        self.create_thread(caller.user(), id, name.clone(), caller.at);
        self.make_current(caller, id);
        self.remember(caller.user(), asked, id, None);
        StoreReply::Done { name }
    }

    fn switch_thread(&mut self, caller: &Caller<'_>, id: ThreadId) -> StoreReply {
        if let Some(thread) = self.thread(caller.user(), id) {
            let reply = done(&thread.name);
            self.make_current(caller, id);
            return reply;
        }
        let current = self.session(caller.session).map(|session| session.thread);
        if current == Some(id) {
            done("")
        } else {
            StoreReply::NotFound
        }
    }

    fn rename_thread(&mut self, caller: &Caller<'_>, asked: Idempotency, id: ThreadId, name: String) -> StoreReply {
        if let Some(reply) = self.repeated(caller.user(), asked) {
            return reply;
        }
        let Some(thread) = self.thread_mut(caller.user(), id) else {
            return StoreReply::NotFound;
        };
        thread.name.clone_from(&name);
        self.remember(caller.user(), asked, id, None);
        StoreReply::Done { name }
    }

    fn delete_thread(
        &mut self,
        caller: &Caller<'_>,
        asked: Idempotency,
        id: ThreadId,
        fallback: ThreadId,
    ) -> StoreReply {
        if let Some(reply) = self.repeated(caller.user(), asked) {
            return reply;
        }
        let Some(thread) = self.thread(caller.user(), id) else {
            return StoreReply::NotFound;
        };
        let reply = done(&thread.name);
        if let Some(run) = self.active_run(caller.user(), id) {
            return busy(run);
        }
        self.erase_thread(caller.user(), id);
        if self.session(caller.session).is_some_and(|session| session.thread == id) {
            self.make_current(caller, fallback);
        }
        self.remember(caller.user(), asked, id, None);
        reply
    }

    /// Why no run may start in the thread now.
    fn refuse_start(&self, caller: &Caller<'_>, thread: ThreadId) -> Option<StoreReply> {
        if let Some(run) = self.active_run(caller.user(), thread) {
            return Some(busy(run));
        }
        let runs = self.runs_of(caller.user());
        let active = runs.iter().filter(|run| run.state.is_active()).count();
        (active >= caller.runs_per_user).then_some(StoreReply::RunLimit)
    }

    pub(super) fn runs_of(&self, user: &UserId) -> &[RunRow] {
        self.runs.get(user).map_or(&[], Vec::as_slice)
    }

    pub(super) fn active_run(&self, user: &UserId, thread: ThreadId) -> Option<&RunRow> {
        let mut runs = self.runs_of(user).iter();
        runs.find(|run| run.thread == thread && run.state.is_active())
    }

    pub(super) fn create_thread(&mut self, user: &UserId, id: ThreadId, name: String, at: SystemTime) {
        let row = ThreadRow {
            name,
            created: at,
            updated: at,
            touched: self.next_touch(user, at),
        };
        self.owners.insert(id, user.clone());
        self.threads.entry(user.clone()).or_default().insert(id, row);
    }

    /// Takes the thread, its messages, its queued runs, and the bodies of its events.
    pub(super) fn erase_thread(&mut self, user: &UserId, id: ThreadId) {
        self.owners.remove(&id);
        self.messages.remove(&(user.clone(), id));
        if let Some(threads) = self.threads.get_mut(user) {
            threads.remove(&id);
        }
        if let Some(runs) = self.runs.get_mut(user) {
            runs.retain(|run| run.thread != id);
        }
        let sessions = self.sessions.values_mut().filter(|session| session.user == *user);
        for event in sessions.flat_map(|session| &mut session.events) {
            if event.thread == id {
                event.body = erased(&event.body);
            }
        }
    }

    fn make_current(&mut self, caller: &Caller<'_>, thread: ThreadId) {
        if let Some(session) = self.session_mut(caller.session) {
            session.thread = thread;
        }
    }

    /// The answer to a frame that was taken before.
    fn repeated(&self, user: &UserId, asked: Idempotency) -> Option<StoreReply> {
        let row = self.client_messages.get(&(user.clone(), asked.message_id))?;
        if row.digest != asked.digest {
            return Some(StoreReply::Conflict);
        }
        let thread = self.thread(user, row.thread);
        Some(StoreReply::Duplicate {
            thread_id: row.thread,
            name: thread.map(|thread| thread.name.clone()).unwrap_or_default(),
            run: row.run.map(|run| (run, self.run_state(user, run))),
        })
    }

    fn run_state(&self, user: &UserId, id: RunId) -> RunState {
        let open = self.runs_of(user).iter().find(|run| run.id == id);
        let ended = || self.ended.get(&(user.clone(), id)).copied();
        // A run that is neither was taken out of the queue with its thread.
        open.map(|run| run.state).or_else(ended).unwrap_or(RunState::Stopped)
    }

    fn remember(&mut self, user: &UserId, asked: Idempotency, thread: ThreadId, run: Option<RunId>) {
        let digest = asked.digest;
        let row = ClientMessageRow { digest, thread, run };
        self.client_messages.insert((user.clone(), asked.message_id), row);
    }
}

impl RunRow {
    pub(super) fn stored(&self, session: &SessionRow) -> StoredRun {
        let (open_calls, said) = self.replay(session).finish();
        StoredRun {
            run_id: self.id,
            thread_id: self.thread,
            request_id: self.request,
            message_id: self.message,
            agent: self.agent.clone(),
            content: self.content.clone(),
            references: self.references.clone(),
            metadata: self.metadata.clone(),
            state: self.state,
            open_calls,
            said,
            children: self.children(session),
        }
    }
}

fn done(name: &str) -> StoreReply {
    StoreReply::Done { name: name.to_owned() }
}

fn busy(run: &RunRow) -> StoreReply {
    StoreReply::ThreadBusy {
        run_id: run.id,
        session_id: run.session,
    }
}

/// The frame without its content.
fn erased(body: &Bytes) -> Bytes {
    let mut frame: Value = serde_json::from_slice(body).unwrap_or_else(|_| json!({}));
    if let Some(frame) = frame.as_object_mut() {
        frame.insert("payload".to_owned(), json!({"erased": true}));
    }
    frame.to_string().into()
}
