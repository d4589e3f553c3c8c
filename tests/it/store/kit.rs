//! A world with a journal, and sessions that write in it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use sessile::store::{
    DocumentLimits, DocumentStore, MemoryDocuments, MemoryNotes, MemorySupply, NoteStore, SqliteStore, SupplyStore,
};
use sessile_actors::budgets::{Budgets, Caps, Gate};
use sessile_actors::context::SessionContext;
use sessile_actors::ids::{CallId, Fence, MessageId, RequestId, RunId, Seq, SessionId, ThreadId};
use sessile_actors::infra::journal::{
    Accept, Batch, EventPage, EventRecord, HistoryPage, Idempotency, Journal, JournalError, ReadLimit, RunEnd, Said,
    StoreCommand, StoreError, StoreReply, ThreadStore,
};
use sessile_actors::infra::memory::MemoryJournal;
use sessile_actors::protocol::server::{Event, EventEnvelope, History, RunState, ToolStatus};
use sessile_actors::testing::user;
use tempfile::TempDir;
use tokio::runtime::Handle;

/// Small, so that a test can reach them.
pub const DOCUMENT_LIMITS: DocumentLimits = DocumentLimits {
    bytes: 512 * 1024,
    bytes_per_user: 3 * 512 * 1024,
    per_user: 5,
};

pub struct World {
    pub journal: Arc<dyn Journal>,
    pub threads: Arc<dyn ThreadStore>,
    pub notes: Arc<dyn NoteStore>,
    pub documents: Arc<dyn DocumentStore>,
    pub supply: Arc<dyn SupplyStore>,
    _dir: Option<TempDir>,
}

impl World {
    pub fn in_memory() -> Self {
        let journal = Arc::new(MemoryJournal::start());
        let beside = Some(MemoryJournal::clone(&journal));
        Self {
            journal: journal.clone(),
            threads: journal,
            notes: Arc::new(MemoryNotes::start()),
            documents: Arc::new(MemoryDocuments::start_on(&Handle::current(), DOCUMENT_LIMITS, beside)),
            supply: Arc::new(MemorySupply::start()),
            _dir: None,
        }
    }

    pub async fn on_disk() -> Self {
        let dir = TempDir::new().unwrap();
        let store = SqliteStore::open(dir.path(), &Handle::current()).await.unwrap();
        Self {
            _dir: Some(dir),
            ..Self::over(store)
        }
    }

    pub fn over(store: SqliteStore) -> Self {
        let store = Arc::new(store.with_documents(DOCUMENT_LIMITS));
        Self {
            journal: store.clone(),
            threads: store.clone(),
            notes: store.clone(),
            documents: store.clone(),
            supply: store,
            _dir: None,
        }
    }

    pub async fn session(&self, name: &str) -> Session {
        let context = SessionContext::new(user(name), SessionId::mint());
        let opened = self.journal.open(context.clone(), at(0)).await.unwrap();
        Session {
            journal: self.journal.clone(),
            context,
            thread: opened.thread,
            fence: opened.fence,
            last: Seq::ZERO,
            runs_per_user: 3,
            session_caps: Caps::default(),
            user_caps: Caps::default(),
            later: Duration::ZERO,
        }
    }

    pub async fn history(&self, session: &Session, thread: ThreadId) -> Result<History, StoreError> {
        let user = session.context.user().clone();
        let id = Some(session.context.session());
        self.threads.history(user, thread, id, page(None, 50)).await
    }

    /// The words of a thread, oldest first.
    pub async fn words(&self, session: &Session, thread: ThreadId) -> Vec<String> {
        let user = session.context.user().clone();
        let messages = self.threads.transcript(user, thread, 50, 1 << 20).await.unwrap();
        messages.into_iter().map(|message| message.content).collect()
    }
}

/// A session that keeps count as the runtime's own do.
pub struct Session {
    journal: Arc<dyn Journal>,
    pub context: SessionContext,
    pub thread: ThreadId,
    pub fence: Fence,
    pub last: Seq,
    pub runs_per_user: usize,
    pub session_caps: Caps,
    pub user_caps: Caps,
    /// How far the session's clock is ahead, for the window of its user's budget.
    pub later: Duration,
}

impl Session {
    pub fn batch(&self, events: Vec<EventRecord>, commands: Vec<StoreCommand>) -> Batch {
        Batch {
            session: self.context.clone(),
            fence: self.fence,
            first_seq: self.last.next(),
            at: at(self.last.0),
            events,
            commands,
            runs_per_user: self.runs_per_user,
            gate: Gate {
                session: self.session_caps,
                user: self.user_caps,
                window: Budgets::default().window_at(at(self.last.0) + self.later),
            },
        }
    }

    pub async fn append(&mut self, batch: Batch) -> Result<Vec<StoreReply>, JournalError> {
        let events = batch.events.len() as u64;
        let replies = self.journal.append(batch).await?;
        self.last = Seq(self.last.0 + events);
        Ok(replies)
    }

    pub async fn ask(&mut self, command: StoreCommand) -> StoreReply {
        let batch = self.batch(Vec::new(), vec![command]);
        self.append(batch).await.unwrap().remove(0)
    }

    /// Tells events of a run; the end, where there is one, belongs to the last.
    pub async fn tell(&mut self, run: &Accept, events: &[Event], end: Option<RunEnd>) {
        let mut records = self.records(run, events);
        if let Some(last) = records.last_mut() {
            last.end = end;
        }
        let batch = self.batch(records, Vec::new());
        self.append(batch).await.unwrap();
    }

    pub fn records(&self, run: &Accept, events: &[Event]) -> Vec<EventRecord> {
        let numbers = (self.last.0 + 1..).map(Seq);
        let record = |(seq, event): (Seq, &Event)| EventRecord {
            seq,
            run_id: run.run_id,
            thread_id: run.thread_id,
            kind: event.kind(),
            body: EventEnvelope {
                seq,
                session_id: self.context.session(),
                thread_id: run.thread_id,
                run_id: run.run_id,
                agent_name: "echo",
                at: at(seq.0),
                event,
            }
            .to_text(),
            end: None,
        };
        numbers.zip(events).map(record).collect()
    }

    /// Ends a run with an answer.
    pub async fn complete(&mut self, run: &Accept, answer: &str) {
        self.tell(run, &[thinking()], Some(ended(RunState::Completed, answer)))
            .await;
    }

    /// Starts a run in the session's own thread.
    pub async fn start(&mut self, words: &str) -> Accept {
        let run = accept(self.thread, words, true);
        assert_eq!(self.ask(StoreCommand::Accept(run.clone())).await, done());
        run
    }

    pub async fn queue(&mut self, words: &str) -> Accept {
        let run = accept(self.thread, words, false);
        assert_eq!(self.ask(StoreCommand::Accept(run.clone())).await, done());
        run
    }

    pub async fn read(&self, after: u64, events: usize, bytes: usize) -> EventPage {
        let limit = ReadLimit { events, bytes };
        let page = self.journal.read(self.context.clone(), Seq(after), limit);
        page.await.unwrap()
    }

    /// The whole log, parsed.
    pub async fn log(&self) -> Vec<Value> {
        let page = self.read(0, usize::MAX, usize::MAX).await;
        let parsed = page.events.iter().map(|event| serde_json::from_slice(&event.body));
        parsed.collect::<Result<_, _>>().unwrap()
    }
}

pub fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + seconds)
}

pub fn page(before: Option<i64>, messages: usize) -> HistoryPage {
    HistoryPage {
        before,
        messages,
        bytes: 1 << 20,
    }
}

pub fn asked() -> Idempotency {
    Idempotency {
        message_id: MessageId::mint(),
        digest: [7; 32],
    }
}

pub fn accept(thread_id: ThreadId, content: &str, start: bool) -> Accept {
    Accept {
        idempotency: asked(),
        thread_id,
        create_thread: Some("a thread".to_owned()),
        run_id: RunId::mint(),
        request_id: RequestId::mint(),
        agent: "echo".to_owned(),
        content: content.to_owned(),
        references: Vec::new(),
        metadata: Some(json!({"from": "a test"})),
        start,
    }
}

pub fn done() -> StoreReply {
    named("")
}

pub fn named(name: &str) -> StoreReply {
    StoreReply::Done { name: name.to_owned() }
}

pub fn busy(run: &Accept, holder: &Session) -> StoreReply {
    StoreReply::ThreadBusy {
        run_id: run.run_id,
        session_id: holder.context.session(),
    }
}

pub fn promote(run: &Accept) -> StoreCommand {
    StoreCommand::Promote {
        run_id: run.run_id,
        thread_id: run.thread_id,
    }
}

pub fn ended(state: RunState, answer: &str) -> RunEnd {
    RunEnd {
        state,
        message: Some(Said {
            message_ref: MessageId::mint(),
            content: answer.to_owned(),
            complete: state == RunState::Completed,
        }),
        forget: false,
        child: false,
    }
}

pub fn thinking() -> Event {
    Event::AgentThinking {
        reasoning: "hm".to_owned(),
        step_number: 1,
        progress_percentage: None,
    }
}

pub fn says(message_ref: MessageId, offset: u64, content: &str) -> Event {
    Event::PartialResult {
        message_ref,
        offset,
        content: content.to_owned(),
        is_complete: false,
    }
}

pub fn calls(call_id: CallId) -> Event {
    Event::ToolExecuting {
        call_id,
        tool_name: "search".to_owned(),
        parameters: json!({}),
    }
}

pub fn returns(call_id: CallId) -> Event {
    Event::ToolCompleted {
        call_id,
        tool_name: "search".to_owned(),
        status: ToolStatus::Ok,
        result: json!("found"),
        truncated: false,
        execution_time_ms: 5,
    }
}
