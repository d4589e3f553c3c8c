//! The rows, and the commit of a batch.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use bytes::Bytes;
use serde_json::Value;

use crate::context::SessionContext;
use crate::ids::{DocumentId, Epoch, Fence, MessageId, RequestId, RunId, Seq, SessionId, ThreadId, UserId};
use crate::infra::journal::{
    Batch, EventRecord, JournalError, Opened, ReviveError, Revived, RunEnd, StoreError, StoreReply, StoredChild,
};
use crate::infra::memory::budgets::Used;
use crate::infra::replay::{Family, Replay};
use crate::protocol::server::{RunState, ThreadSummary, rfc3339};

/// All rows. What belongs to a user is found under the user's id only.
pub(super) struct State {
    pub(super) epoch: Epoch,
    pub(super) sessions: BTreeMap<SessionId, SessionRow>,
    pub(super) threads: BTreeMap<UserId, BTreeMap<ThreadId, ThreadRow>>,
    /// Whose a thread is: its id can't be taken by someone else.
    pub(super) owners: BTreeMap<ThreadId, UserId>,
    /// Of each thread, by place.
    pub(super) messages: BTreeMap<(UserId, ThreadId), BTreeMap<i64, MessageRow>>,
    /// Of each user, the runs that have not ended, oldest first.
    pub(super) runs: BTreeMap<UserId, Vec<RunRow>>,
    /// The last states of runs: for repeated messages.
    pub(super) ended: BTreeMap<(UserId, RunId), RunState>,
    pub(super) client_messages: BTreeMap<(UserId, MessageId), ClientMessageRow>,
    /// Which documents there are; what stands in them is kept elsewhere.
    pub(super) documents: BTreeSet<(UserId, DocumentId)>,
    /// What each user has used in a window, and each of their sessions.
    pub(super) used: BTreeMap<UserId, Used>,
}

pub(super) struct SessionRow {
    pub(super) user: UserId,
    pub(super) thread: ThreadId,
    pub(super) fence: Fence,
    /// The whole log: the event at index `n` has `seq` `n + 1`.
    pub(super) events: Vec<EventRow>,
}

pub(super) struct EventRow {
    pub(super) run: RunId,
    pub(super) thread: ThreadId,
    pub(super) kind: &'static str,
    pub(super) body: Bytes,
}

pub(super) struct ThreadRow {
    pub(super) name: String,
    pub(super) created: SystemTime,
    pub(super) updated: SystemTime,
    /// The order of a list: unique and growing within a user.
    pub(super) touched: i64,
}

pub(super) struct MessageRow {
    pub(super) id: MessageId,
    pub(super) run: RunId,
    pub(super) role: &'static str,
    pub(super) content: String,
    pub(super) status: &'static str,
    pub(super) created: SystemTime,
}

pub(super) struct RunRow {
    pub(super) id: RunId,
    pub(super) thread: ThreadId,
    pub(super) session: SessionId,
    pub(super) request: RequestId,
    pub(super) message: MessageId,
    pub(super) agent: String,
    pub(super) content: String,
    pub(super) references: Vec<DocumentId>,
    pub(super) metadata: Option<Value>,
    pub(super) state: RunState,
    /// The session's last event when the run was accepted or started: its own come after it.
    pub(super) first_seq: Seq,
}

pub(super) struct ClientMessageRow {
    pub(super) digest: [u8; 32],
    pub(super) thread: ThreadId,
    pub(super) run: Option<RunId>,
}

impl SessionRow {
    pub(super) fn last_seq(&self) -> Seq {
        Seq(self.events.len() as u64)
    }

    /// The events after `seq`.
    pub(super) fn after(&self, seq: Seq) -> &[EventRow] {
        let skip = usize::try_from(seq.0).unwrap_or(usize::MAX);
        self.events.get(skip..).unwrap_or_default()
    }
}

impl State {
    pub(super) fn new() -> Self {
        Self {
            epoch: Epoch::mint(),
            sessions: BTreeMap::new(),
            threads: BTreeMap::new(),
            owners: BTreeMap::new(),
            messages: BTreeMap::new(),
            runs: BTreeMap::new(),
            ended: BTreeMap::new(),
            client_messages: BTreeMap::new(),
            documents: BTreeSet::new(),
            used: BTreeMap::new(),
        }
    }

    pub(super) fn open(&mut self, session: &SessionContext) -> Result<Opened, JournalError> {
        if self.sessions.contains_key(&session.session()) {
            return Err(JournalError::Refused("the session exists already".to_owned()));
        }
        let thread = ThreadId::mint();
        let fence = Fence(1);
        let row = SessionRow {
            user: session.user().clone(),
            thread,
            fence,
            events: Vec::new(),
        };
        self.sessions.insert(session.session(), row);
        Ok(Opened {
            epoch: self.epoch,
            thread,
            fence,
        })
    }

    pub(super) fn revive(&mut self, session: &SessionContext) -> Result<Revived, ReviveError> {
        let Some(row) = self.session_mut(session) else {
            return Err(ReviveError::NoSuchSession);
        };
        row.fence = row.fence.next();
        let Some(row) = self.session(session) else {
            return Err(ReviveError::NoSuchSession);
        };
        let runs = self.runs.get(session.user()).map_or(&[][..], Vec::as_slice);
        Ok(Revived {
            epoch: self.epoch,
            thread: row.thread,
            fence: row.fence,
            last_seq: row.last_seq(),
            floor_seq: Seq::ZERO,
            runs: runs
                .iter()
                .filter(|run| run.session == session.session())
                .map(|run| run.stored(row))
                .collect(),
        })
    }

    /// Commits a batch. All that can refuse it is checked before the first change.
    pub(super) fn append(&mut self, batch: Batch) -> Result<Vec<StoreReply>, JournalError> {
        let Some(row) = self.session(&batch.session) else {
            return Err(JournalError::Refused("no such session of this user".to_owned()));
        };
        if row.fence != batch.fence {
            return Err(JournalError::Fenced);
        }
        let mut next = row.last_seq().next();
        if batch.first_seq != next {
            let first = batch.first_seq;
            return Err(JournalError::Refused(format!("event {next} is next, not {first}")));
        }
        for event in &batch.events {
            if event.seq != next {
                let seq = event.seq;
                return Err(JournalError::Refused(format!("event {next} is next, not {seq}")));
            }
            next = next.next();
        }
        let Batch {
            session,
            at,
            events,
            commands,
            runs_per_user,
            gate,
            ..
        } = batch;
        for event in events {
            self.record(&session, event, at);
        }
        let caller = super::commands::Caller {
            session: &session,
            at,
            runs_per_user,
            gate,
        };
        Ok(commands
            .into_iter()
            .map(|command| self.obey(&caller, command))
            .collect())
    }

    fn record(&mut self, session: &SessionContext, event: EventRecord, at: SystemTime) {
        if let Some(row) = self.session_mut(session) {
            row.events.push(EventRow {
                run: event.run_id,
                thread: event.thread_id,
                kind: event.kind,
                body: event.body,
            });
        }
        if let Some(state) = Replay::state_after(event.kind) {
            self.go_on_as(session, event.run_id, state);
        }
        if let Some(end) = event.end {
            self.end_run(session, event.run_id, end, at);
        }
    }

    /// A run that goes on, in another state. One without a row (a child run) has none.
    fn go_on_as(&mut self, session: &SessionContext, id: RunId, state: RunState) {
        let runs = self.runs.entry(session.user().clone()).or_default();
        let ours = |run: &&mut RunRow| run.id == id && run.session == session.session();
        if let Some(run) = runs.iter_mut().find(ours)
            && matches!(run.state, RunState::Running | RunState::Waiting)
        {
            run.state = state;
        }
    }

    fn end_run(&mut self, session: &SessionContext, id: RunId, end: RunEnd, at: SystemTime) {
        let user = session.user();
        let runs = self.runs.entry(user.clone()).or_default();
        let Some(at_index) = runs
            .iter()
            .position(|run| run.id == id && run.session == session.session())
        else {
            return;
        };
        let run = runs.remove(at_index);
        self.ended.insert((user.clone(), id), end.state);
        let place = (user.clone(), run.thread);
        if end.forget {
            if let Some(messages) = self.messages.get_mut(&place) {
                messages.retain(|_, message| message.run != id);
            }
            return;
        }
        let Some(said) = end.message.filter(|said| !said.content.is_empty()) else {
            return;
        };
        if self.thread(user, run.thread).is_some() {
            let message = MessageRow {
                id: said.message_ref,
                run: id,
                role: "assistant",
                content: said.content,
                status: if said.complete { "complete" } else { "partial" },
                created: at,
            };
            self.add_message(place, message);
        }
    }

    /// Puts a message at the end of its thread, which moves to the top of its user's list.
    pub(super) fn add_message(&mut self, place: (UserId, ThreadId), message: MessageRow) {
        self.touch(&place, message.created);
        let messages = self.messages.entry(place).or_default();
        let last = messages.last_key_value().map_or(0, |(n, _)| *n);
        messages.insert(last + 1, message);
    }

    fn touch(&mut self, place: &(UserId, ThreadId), at: SystemTime) {
        let touched = self.next_touch(&place.0, at);
        if let Some(thread) = self.thread_mut(&place.0, place.1) {
            thread.updated = at;
            thread.touched = touched;
        }
    }

    pub(super) fn next_touch(&self, user: &UserId, at: SystemTime) -> i64 {
        let threads = self.threads.get(user).into_iter().flatten();
        let last = threads.map(|(_, thread)| thread.touched).max();
        micros(at).max(last.map_or(0, |last| last + 1))
    }

    /// The session, where it is the user's.
    pub(super) fn session(&self, session: &SessionContext) -> Option<&SessionRow> {
        let row = self.sessions.get(&session.session())?;
        (row.user == *session.user()).then_some(row)
    }

    pub(super) fn session_mut(&mut self, session: &SessionContext) -> Option<&mut SessionRow> {
        let row = self.sessions.get_mut(&session.session())?;
        (row.user == *session.user()).then_some(row)
    }

    pub(super) fn thread(&self, user: &UserId, id: ThreadId) -> Option<&ThreadRow> {
        self.threads.get(user)?.get(&id)
    }

    pub(super) fn thread_mut(&mut self, user: &UserId, id: ThreadId) -> Option<&mut ThreadRow> {
        self.threads.get_mut(user)?.get_mut(&id)
    }

    pub(super) fn create(&mut self, user: &UserId, name: String, at: SystemTime) -> Result<ThreadSummary, StoreError> {
        let id = ThreadId::mint();
        self.create_thread(user, id, name, at);
        self.summary(user, id).ok_or(StoreError::NotFound)
    }

    pub(super) fn rename(&mut self, user: &UserId, id: ThreadId, name: String) -> Result<ThreadSummary, StoreError> {
        if let Some(thread) = self.thread_mut(user, id) {
            thread.name = name;
        }
        self.summary(user, id).ok_or(StoreError::NotFound)
    }

    pub(super) fn delete(&mut self, user: &UserId, id: ThreadId) -> Result<(), StoreError> {
        if self.thread(user, id).is_none() {
            return Err(StoreError::NotFound);
        }
        if let Some(run) = self.active_run(user, id) {
            return Err(StoreError::RunActive(run.id));
        }
        self.erase_thread(user, id);
        Ok(())
    }

    fn summary(&self, user: &UserId, id: ThreadId) -> Option<ThreadSummary> {
        Some(self.thread(user, id)?.summary(id))
    }
}

impl ThreadRow {
    pub(super) fn summary(&self, thread_id: ThreadId) -> ThreadSummary {
        ThreadSummary {
            thread_id,
            name: self.name.clone(),
            created_at: rfc3339(self.created),
            updated_at: rfc3339(self.updated),
        }
    }
}

impl RunRow {
    /// Where the run stands, by the events of the session that has it.
    pub(super) fn replay(&self, session: &SessionRow) -> Replay {
        let mut replay = Replay::default();
        for event in session.after(self.first_seq) {
            if event.run == self.id {
                replay.take(event.kind, &event.body);
            }
        }
        replay
    }

    /// The run's children that have not ended. What waits has none.
    pub(super) fn children(&self, session: &SessionRow) -> Vec<StoredChild> {
        let mut family = Family::of(self.id);
        if self.state.is_active() {
            for event in session.after(self.first_seq) {
                family.take(event.run, event.kind, &event.body);
            }
        }
        family.finish()
    }
}

pub(super) fn micros(at: SystemTime) -> i64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
