//! The outbox: what a session has said, numbered, until its client has it.
//!
//! An event goes through three stations: *pending* (numbered, not yet durable), *committed* (durable, kept in a bounded
//! window for the client), and *sent*. Persist before send holds because only the window is ever sent. What falls out of
//! the window unsent is read back from the journal: memory is bounded, events are not lost.

use std::collections::VecDeque;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::ids::{RunId, Seq, ThreadId};
use crate::infra::journal::{EventRecord, StoredEvent};
use crate::limits::Limits;
use crate::protocol::server::RunState;

/// What an emitter gave along with its event; let go when the event is durable.
#[derive(Debug, Default)]
pub struct Receipt {
    /// The run's credit.
    pub credit: Option<OwnedSemaphorePermit>,
    /// Who waits for the commit.
    pub durable: Option<oneshot::Sender<()>>,
}

#[derive(Debug)]
struct Pending {
    record: EventRecord,
    receipt: Receipt,
}

/// A run whose end is durable now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndedRun {
    /// The run.
    pub run: RunId,
    /// Its thread.
    pub thread: ThreadId,
    /// Its last state.
    pub state: RunState,
    /// Whether it is a child run.
    pub child: bool,
}

/// What to send next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// The client has all that is durable.
    Nothing,
    /// These, in order; tell [`Outbox::sent`] when the socket took them.
    Frames(Vec<StoredEvent>),
    /// What comes after this must be read back from the journal.
    ReadBack(Seq),
    /// There is no room for the next one.
    NoRoom,
}

/// The events of one session on their way to its client.
#[derive(Debug)]
pub struct Outbox {
    keep_events: usize,
    keep_bytes: usize,
    /// The last number given out.
    numbered: Seq,
    committed: Seq,
    sent: Seq,
    pending: VecDeque<Pending>,
    /// How many of `pending`, from the front, are being committed.
    in_flight: usize,
    window: VecDeque<StoredEvent>,
    window_bytes: usize,
}

impl Outbox {
    /// An outbox that goes on after `last`: everything up to there is durable, none of it in memory.
    #[must_use]
    pub fn after(last: Seq, limits: &Limits) -> Self {
        Self {
            keep_events: limits.outbox_events,
            keep_bytes: limits.outbox_bytes,
            numbered: last,
            committed: last,
            sent: last,
            pending: VecDeque::new(),
            in_flight: 0,
            window: VecDeque::new(),
            window_bytes: 0,
        }
    }

    /// The number of the next event.
    #[must_use]
    pub fn next_seq(&self) -> Seq {
        self.numbered.next()
    }

    /// The last durable event.
    #[must_use]
    pub fn committed_seq(&self) -> Seq {
        self.committed
    }

    /// The last event that the client was sent.
    #[must_use]
    pub fn sent_seq(&self) -> Seq {
        self.sent
    }

    /// How many events are numbered and not yet durable.
    #[must_use]
    pub fn pending_len(&self) -> usize {
        self.pending.len()
    }

    /// Lets `receipt` go when the event that was taken last is durable.
    pub fn entrust(&mut self, receipt: Receipt) {
        if let Some(last) = self.pending.back_mut() {
            last.receipt = receipt;
        }
    }

    /// Whether everything numbered is durable.
    #[must_use]
    pub fn is_durable(&self) -> bool {
        self.pending.is_empty()
    }

    /// Takes an event; its number must be [`Outbox::next_seq`].
    pub fn push(&mut self, record: EventRecord) {
        debug_assert_eq!(record.seq, self.next_seq(), "events are numbered without a hole");
        self.numbered = record.seq;
        self.pending.push_back(Pending {
            record,
            receipt: Receipt::default(),
        });
    }

    /// The next events to commit, at most `most`, with the number of the first. Call it only when no commit is under way.
    pub fn begin_commit(&mut self, most: usize) -> (Seq, Vec<EventRecord>) {
        debug_assert_eq!(self.in_flight, 0, "one commit at a time");
        let records: Vec<EventRecord> = self
            .pending
            .iter()
            .take(most)
            .map(|pending| pending.record.clone())
            .collect();
        self.in_flight = records.len();
        (self.committed.next(), records)
    }

    /// The commit failed without a trace: its events wait again.
    pub fn commit_failed(&mut self) {
        self.in_flight = 0;
    }

    /// The commit is durable. Returns the runs that ended in it.
    pub fn commit_done(&mut self) -> Vec<EndedRun> {
        let mut ended = Vec::new();
        for _ in 0..std::mem::take(&mut self.in_flight) {
            let Some(Pending { record, receipt }) = self.pending.pop_front() else {
                break;
            };
            self.committed = record.seq;
            if let Some(end) = &record.end {
                ended.push(EndedRun {
                    run: record.run_id,
                    thread: record.thread_id,
                    state: end.state,
                    child: end.child,
                });
            }
            if let Some(waiting) = receipt.durable {
                // Nobody waits any more where the run was stopped meanwhile.
                let _ = waiting.send(());
            }
            self.keep(StoredEvent {
                seq: record.seq,
                terminal: record.end.is_some_and(|end| !end.child),
                body: record.body,
            });
        }
        ended
    }

    fn keep(&mut self, event: StoredEvent) {
        self.window_bytes += event.body.len();
        self.window.push_back(event);
        while self.window.len() > self.keep_events || self.window_bytes > self.keep_bytes {
            let Some(oldest) = self.window.pop_front() else { break };
            self.window_bytes -= oldest.body.len();
        }
    }

    /// A client attached that has everything up to `last`.
    pub fn attach(&mut self, last: Seq) {
        self.sent = last;
    }

    /// What to send next, within this room.
    #[must_use]
    pub fn next(&self, frames: usize, bytes: usize) -> Next {
        if self.sent >= self.committed {
            return Next::Nothing;
        }
        let wanted = self.sent.next();
        match self.window.front() {
            Some(first) if first.seq <= wanted => {
                let skip = usize::try_from(wanted.0 - first.seq.0).unwrap_or(usize::MAX);
                match fitting(self.window.iter().skip(skip), frames, bytes) {
                    taken if taken.is_empty() => Next::NoRoom,
                    taken => Next::Frames(taken),
                }
            }
            _ => Next::ReadBack(self.sent),
        }
    }

    /// What to send of a page that was read back after [`Next::ReadBack`]. Events that do not follow the last sent one are
    /// of an earlier attachment, and left out.
    #[must_use]
    pub fn next_of_page(&self, page: &[StoredEvent], frames: usize, bytes: usize) -> Vec<StoredEvent> {
        match page.first() {
            Some(first) if first.seq <= self.sent.next() => {
                fitting(page.iter().filter(|event| event.seq > self.sent), frames, bytes)
            }
            _ => Vec::new(),
        }
    }

    /// The socket took everything up to here.
    pub fn sent(&mut self, last: Seq) {
        self.sent = last;
    }

    /// The client has taken everything up to here: that need not stay in memory. Beyond what was sent it means nothing.
    pub fn ack(&mut self, seq: Seq) {
        let seq = seq.min(self.sent);
        while let Some(oldest) = self.window.front()
            && oldest.seq <= seq
        {
            self.window_bytes -= oldest.body.len();
            self.window.pop_front();
        }
    }

    /// Forgets the bodies in memory: a thread was deleted, and the journal has them erased.
    pub fn forget_window(&mut self) {
        self.window.clear();
        self.window_bytes = 0;
    }
}

/// As many as there is room for. One that is larger than all of the room goes alone, when the room is whole.
fn fitting<'a>(events: impl Iterator<Item = &'a StoredEvent>, frames: usize, bytes: usize) -> Vec<StoredEvent> {
    let mut left = bytes;
    let mut taken = Vec::new();
    for event in events.take(frames) {
        let Some(rest) = left.checked_sub(event.body.len()) else {
            break;
        };
        left = rest;
        taken.push(event.clone());
    }
    taken
}

#[cfg(test)]
mod tests;
