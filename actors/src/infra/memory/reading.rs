//! What is read: events, threads, messages. Each call sees one commit point.

use crate::context::SessionContext;
use crate::ids::{MessageId, RunId, Seq, SessionId, ThreadId, UserId};
use crate::infra::journal::{
    EventPage, HistoryPage, JournalError, ReadLimit, RunRecord, StoreError, StoredEvent, ThreadPage,
};
use crate::protocol::client::Page;
use crate::protocol::server::{
    ActiveRun, History, HistoryMessage, PendingApproval, QueuedMessage, RunState, is_terminal_kind, rfc3339,
};

use super::state::{EventRow, MessageRow, RunRow, SessionRow, State};

/// Entries of a page of threads where the caller names none, and at most.
const PAGE: usize = 50;
const PAGE_MAX: usize = 200;

impl State {
    pub(super) fn read(
        &self,
        session: &SessionContext,
        after: Seq,
        limit: ReadLimit,
    ) -> Result<EventPage, JournalError> {
        let Some(row) = self.session(session) else {
            return Err(JournalError::Refused("no such session of this user".to_owned()));
        };
        let mut bytes = 0;
        let mut seq = after;
        let mut events = Vec::new();
        for event in row.after(after).iter().take(limit.events) {
            bytes += event.body.len();
            if bytes > limit.bytes && !events.is_empty() {
                break;
            }
            seq = seq.next();
            events.push(StoredEvent {
                seq,
                // A child run has no row, neither now nor afterwards.
                terminal: is_terminal_kind(event.kind) && self.ended.contains_key(&(session.user().clone(), event.run)),
                body: event.body.clone(),
            });
        }
        Ok(EventPage {
            events,
            floor_seq: Seq::ZERO,
        })
    }

    pub(super) fn list(&self, user: &UserId, page: Page) -> ThreadPage {
        let limit = page.limit.unwrap_or(PAGE).clamp(1, PAGE_MAX);
        let mut threads: Vec<_> = self.threads.get(user).into_iter().flatten().collect();
        threads.retain(|(_, thread)| page.before.is_none_or(|before| thread.touched < before));
        threads.sort_by_key(|(_, thread)| std::cmp::Reverse(thread.touched));
        let more = threads.len() > limit;
        threads.truncate(limit);
        ThreadPage {
            next_before: threads.last().filter(|_| more).map(|(_, thread)| thread.touched),
            threads: threads.into_iter().map(|(id, thread)| thread.summary(*id)).collect(),
        }
    }

    pub(super) fn history(
        &self,
        user: &UserId,
        thread: ThreadId,
        session: Option<SessionId>,
        page: HistoryPage,
    ) -> Result<History, StoreError> {
        let reader = session.and_then(|session| self.session(&SessionContext::new(user.clone(), session)));
        let unwritten = reader.is_some_and(|session| session.thread == thread);
        if self.thread(user, thread).is_none() && !unwritten {
            return Err(StoreError::NotFound);
        }
        let (messages, next_before) = self.newest(user, thread, page);
        let here = || self.runs_of(user).iter().filter(|run| run.thread == thread);
        let (mut active_runs, mut pending_approvals) = (Vec::new(), Vec::new());
        for run in here().filter(|run| run.state.is_active()) {
            let (at_work, waiting) = self.at_work(run);
            active_runs.push(at_work);
            pending_approvals.extend(waiting);
        }
        Ok(History {
            thread_id: thread,
            messages,
            next_before,
            as_of_seq: reader.map(SessionRow::last_seq).unwrap_or_default(),
            active_runs,
            queued: here()
                .filter(|run| run.state == RunState::Queued)
                .map(|run| QueuedMessage {
                    message_id: run.message,
                    run_id: run.id,
                    content: run.content.clone(),
                })
                .collect(),
            pending_approvals,
        })
    }

    pub(super) fn transcript(
        &self,
        user: &UserId,
        thread: ThreadId,
        messages: usize,
        bytes: usize,
    ) -> Result<Vec<HistoryMessage>, StoreError> {
        if self.thread(user, thread).is_none() {
            return Err(StoreError::NotFound);
        }
        let page = HistoryPage {
            before: None,
            messages,
            bytes,
        };
        let (mut messages, _) = self.newest(user, thread, page);
        messages.reverse();
        Ok(messages)
    }

    pub(super) fn run(&self, user: &UserId, run: RunId) -> Result<RunRecord, StoreError> {
        if let Some(going) = self.runs_of(user).iter().find(|row| row.id == run) {
            return Ok(RunRecord {
                session_id: going.session,
                end: None,
            });
        }
        // An ended run has no row: its events have all that there is to tell.
        let ends = |event: &&EventRow| event.run == run && is_terminal_kind(event.kind);
        let mut sessions = self.sessions.iter().filter(|(_, session)| session.user == *user);
        let found = sessions.find_map(|(id, session)| Some((id, session.events.iter().rfind(ends)?)));
        let (session_id, end) = found.ok_or(StoreError::NotFound)?;
        Ok(RunRecord {
            session_id: *session_id,
            end: Some(end.body.clone()),
        })
    }

    /// What was said, newest first; what still waits in the queue has not been said yet. And where the next page begins.
    fn newest(&self, user: &UserId, thread: ThreadId, page: HistoryPage) -> (Vec<HistoryMessage>, Option<i64>) {
        let runs = self.runs_of(user).iter();
        let queued: Vec<RunId> = runs
            .filter(|run| run.state == RunState::Queued)
            .map(|run| run.id)
            .collect();
        let rows = self.messages.get(&(user.clone(), thread)).into_iter().flatten().rev();
        let rows = rows
            .filter(|(n, _)| page.before.is_none_or(|before| **n < before))
            .filter(|(_, message)| !queued.contains(&message.run));
        let (mut messages, mut bytes, mut last) = (Vec::new(), 0, None);
        for (n, row) in rows {
            bytes += row.content.len();
            if messages.len() >= page.messages || (bytes > page.bytes && !messages.is_empty()) {
                return (messages, last);
            }
            messages.push(row.shown());
            last = Some(*n);
        }
        (messages, None)
    }

    /// The run, and its calls that wait for a person.
    fn at_work(&self, run: &RunRow) -> (ActiveRun, Vec<PendingApproval>) {
        let replay = self.sessions.get(&run.session).map(|session| run.replay(session));
        let mut replay = replay.unwrap_or_default();
        let (mut pending_approvals, mut state) = (replay.take_pending_approvals(), run.state);
        let session = self.sessions.get(&run.session);
        for child in session.map(|session| run.children(session)).unwrap_or_default() {
            state = state.with_child(&child.pending_approvals);
            pending_approvals.extend(child.pending_approvals);
        }
        let (open_calls, said) = replay.finish();
        let (message_ref, text_so_far): (Option<MessageId>, _) =
            said.map_or_else(Default::default, |(message, text)| (Some(message), text));
        let at_work = ActiveRun {
            run_id: run.id,
            session_id: run.session,
            agent_name: run.agent.clone(),
            state,
            message_ref,
            text_so_far,
            open_calls,
        };
        (at_work, pending_approvals)
    }
}

impl MessageRow {
    fn shown(&self) -> HistoryMessage {
        HistoryMessage {
            message_id: self.id,
            role: self.role.to_owned(),
            content: self.content.clone(),
            run_id: self.run,
            status: self.status.to_owned(),
            created_at: rfc3339(self.created),
        }
    }
}
