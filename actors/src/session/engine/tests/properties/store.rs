//! A store as small as can be: it grants threads and knows repeats, like the real ones.

use std::collections::{BTreeMap, BTreeSet};

use super::super::*;

/// Runs of the user at once, in this world.
pub const RUNS_PER_USER: usize = 2;

/// The rows.
#[derive(Default)]
pub struct Store {
    pub threads: BTreeSet<ThreadId>,
    /// This session's runs: whether each is at work.
    pub runs: BTreeMap<RunId, (ThreadId, bool)>,
    /// Threads in which another session has a run at work.
    pub held: BTreeSet<ThreadId>,
    pub remembered: BTreeMap<MessageId, ([u8; 32], ThreadId, Option<RunId>)>,
}

impl Store {
    pub fn repeated(&self, asked: Idempotency) -> Option<StoreReply> {
        let (digest, thread_id, run) = *self.remembered.get(&asked.message_id)?;
        if digest != asked.digest {
            return Some(StoreReply::Conflict);
        }
        let state = |run| match self.runs.get(&run) {
            Some((_, true)) => RunState::Running,
            Some((_, false)) => RunState::Queued,
            None => RunState::Completed,
        };
        Some(StoreReply::Duplicate {
            thread_id,
            name: String::new(),
            run: run.map(|run| (run, state(run))),
        })
    }

    pub fn holder(&self, thread: ThreadId) -> Option<StoreReply> {
        if self.held.contains(&thread) {
            return Some(busy_elsewhere());
        }
        let own = self.runs.iter().find(|(_, (of, active))| *of == thread && *active);
        own.map(|(run, _)| StoreReply::ThreadBusy {
            run_id: *run,
            session_id: session(1),
        })
    }

    pub fn refuse_start(&self, thread: ThreadId) -> Option<StoreReply> {
        let active = self.runs.values().filter(|(_, active)| *active).count() + self.held.len();
        self.holder(thread)
            .or((active >= RUNS_PER_USER).then_some(StoreReply::RunLimit))
    }

    pub fn obey(&mut self, command: StoreCommand) -> StoreReply {
        let asked = match &command {
            StoreCommand::Accept(Accept { idempotency, .. })
            | StoreCommand::CreateThread { idempotency, .. }
            | StoreCommand::RenameThread { idempotency, .. }
            | StoreCommand::DeleteThread { idempotency, .. }
            | StoreCommand::Take { idempotency, .. }
            | StoreCommand::Repeat(idempotency) => Some(*idempotency),
            StoreCommand::Promote { .. } | StoreCommand::SwitchThread { .. } | StoreCommand::Charge(_) => None,
        };
        if let Some(reply) = asked.and_then(|asked| self.repeated(asked)) {
            return reply;
        }
        let (thread, run) = match command {
            StoreCommand::Accept(accept) => {
                let thread = accept.thread_id;
                if !self.threads.contains(&thread) && accept.create_thread.is_none() {
                    return StoreReply::NotFound;
                }
                if accept.start
                    && let Some(refusal) = self.refuse_start(thread)
                {
                    return refusal;
                }
                self.threads.insert(thread);
                self.runs.insert(accept.run_id, (thread, accept.start));
                (thread, Some(accept.run_id))
            }
            StoreCommand::Repeat(_) => return StoreReply::NotFound,
            StoreCommand::Charge(_) => return StoreReply::Charged(crate::budgets::Totals::default()),
            StoreCommand::Promote { run_id, thread_id } => {
                if self.runs.get(&run_id) != Some(&(thread_id, false)) || !self.threads.contains(&thread_id) {
                    return StoreReply::NotFound;
                }
                if let Some(refusal) = self.refuse_start(thread_id) {
                    return refusal;
                }
                self.runs.insert(run_id, (thread_id, true));
                (thread_id, None)
            }
            StoreCommand::Take { run_id, thread_id, .. } => (thread_id, Some(run_id)),
            StoreCommand::CreateThread { thread_id, .. } => {
                self.threads.insert(thread_id);
                (thread_id, None)
            }
            StoreCommand::SwitchThread { thread_id } | StoreCommand::RenameThread { thread_id, .. } => {
                if !self.threads.contains(&thread_id) {
                    return StoreReply::NotFound;
                }
                (thread_id, None)
            }
            StoreCommand::DeleteThread { thread_id, .. } => {
                if !self.threads.contains(&thread_id) {
                    return StoreReply::NotFound;
                }
                if let Some(busy) = self.holder(thread_id) {
                    return busy;
                }
                self.threads.remove(&thread_id);
                self.runs.retain(|_, (of, _)| *of != thread_id);
                (thread_id, None)
            }
        };
        if let Some(asked) = asked {
            self.remembered.insert(asked.message_id, (asked.digest, thread, run));
        }
        done("")
    }
}
