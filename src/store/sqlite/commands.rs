//! What a session asks of the rows, within the transaction of its batch. Refusals are found before anything is written, and
//! are not recorded.

use std::time::SystemTime;

use sqlx::Row as _;
use sqlx::sqlite::SqliteConnection;

use sessile_actors::budgets::Gate;
use sessile_actors::context::SessionContext;
use sessile_actors::ids::{DocumentId, RunId, Seq, ThreadId, UserId};
use sessile_actors::infra::journal::{Accept, Idempotency, StoreCommand, StoreReply, UNNAMED};
use sessile_actors::protocol::server::RunState;

use super::{budgets, rows, threads};

const REPEATED: &str = "SELECT c.digest, c.thread_id, c.run_id, coalesce(t.name, '') AS name, r.state \
    FROM client_message c \
        LEFT JOIN thread t ON t.user_id = c.user_id AND t.id = c.thread_id \
        LEFT JOIN run r ON r.user_id = c.user_id AND r.id = c.run_id \
    WHERE c.user_id = ? AND c.message_id = ?";

const REMEMBER: &str = "INSERT INTO client_message (user_id, message_id, digest, thread_id, run_id, created) \
    VALUES (?, ?, ?, ?, ?, ?)";

const ACTIVE_RUNS: &str = "SELECT count(*) FROM run \
    WHERE user_id = ? AND state IN ('running', 'waiting', 'cancelling')";

const INSERT_RUN: &str = "INSERT INTO run \
    (id, user_id, thread_id, session_id, request_id, message_id, agent, documents, metadata, state, first_seq, created) \
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";

/// Whether each of a JSON array of UUIDs names a document of the user.
const ALL_THERE: &str = "SELECT NOT EXISTS (SELECT 1 FROM json_each(?2) named WHERE NOT EXISTS \
    (SELECT 1 FROM document d WHERE d.user_id = ?1 AND d.id = unhex(named.value, '-')))";

const QUEUED: &str = "SELECT EXISTS (SELECT 1 FROM run r JOIN thread t ON t.user_id = r.user_id AND t.id = r.thread_id \
    WHERE r.id = ? AND r.user_id = ? AND r.thread_id = ? AND r.session_id = ? AND r.state = 'queued')";

const START: &str = "UPDATE run SET state = 'running', first_seq = ? WHERE id = ? AND user_id = ?";

const SAY_NOW: &str = "UPDATE message \
    SET n = (SELECT max(n) FROM message WHERE user_id = ?1 AND thread_id = ?2) + 1 \
    WHERE user_id = ?1 AND thread_id = ?2 AND run_id = ?3";

const CURRENT: &str = "SELECT EXISTS (SELECT 1 FROM session WHERE id = ? AND user_id = ? AND thread_id = ?)";

const MAKE_CURRENT: &str = "UPDATE session SET thread_id = ? WHERE id = ? AND user_id = ?";

type Reply = Result<StoreReply, sqlx::Error>;

/// Who asks, and when.
pub(super) struct Caller<'a> {
    pub(super) session: &'a SessionContext,
    pub(super) at: SystemTime,
    /// The session's last event: the batch's own come before its commands.
    pub(super) last_seq: Seq,
    pub(super) runs_per_user: usize,
    pub(super) gate: &'a Gate,
}

impl Caller<'_> {
    fn user(&self) -> &UserId {
        self.session.user()
    }

    pub(super) async fn obey(&self, db: &mut SqliteConnection, command: &StoreCommand) -> Reply {
        match command {
            StoreCommand::Accept(accept) => self.accept(db, accept).await,
            StoreCommand::Repeat(idempotency) => {
                let repeated = self.repeated(db, *idempotency).await?;
                Ok(repeated.unwrap_or(StoreReply::NotFound))
            }
            StoreCommand::Take {
                idempotency,
                run_id,
                thread_id,
            } => self.take(db, *idempotency, *run_id, *thread_id).await,
            StoreCommand::Promote { run_id, thread_id } => self.promote(db, *run_id, *thread_id).await,
            StoreCommand::Charge(charge) => {
                let window = &self.gate.window;
                let totals = budgets::add(db, self.session, window, *charge).await?;
                Ok(StoreReply::Charged(totals))
            }
            StoreCommand::CreateThread {
                idempotency,
                thread_id,
                name,
            } => self.create_thread(db, *idempotency, *thread_id, name).await,
            StoreCommand::SwitchThread { thread_id } => self.switch_thread(db, *thread_id).await,
            StoreCommand::RenameThread {
                idempotency,
                thread_id,
                name,
            } => self.rename_thread(db, *idempotency, *thread_id, name).await,
            StoreCommand::DeleteThread {
                idempotency,
                thread_id,
                fallback,
            } => self.delete_thread(db, *idempotency, *thread_id, *fallback).await,
        }
    }

    async fn accept(&self, db: &mut SqliteConnection, accept: &Accept) -> Reply {
        if let Some(reply) = self.repeated(db, accept.idempotency).await? {
            return Ok(reply);
        }
        let thread = accept.thread_id;
        let known = threads::name(db, self.user(), thread).await?;
        if known.is_none() && accept.create_thread.is_none() {
            return Ok(StoreReply::NotFound);
        }
        if !self.has_all(db, &accept.references).await? {
            return Ok(StoreReply::NoDocument);
        }
        if let Some(spent) = budgets::refuse_more(db, self.session, self.gate).await? {
            return Ok(StoreReply::BudgetExhausted(spent));
        }
        if accept.start
            && let Some(refusal) = self.refuse_start(db, thread).await?
        {
            return Ok(refusal);
        }
        match (known, &accept.create_thread) {
            (None, Some(name)) if !threads::insert(db, self.user(), thread, name, self.at).await? => {
                // The id is another user's.
                return Ok(StoreReply::NotFound);
            }
            (Some(known), Some(name)) if known == UNNAMED => {
                threads::rename(db, self.user(), thread, name).await?;
            }
            (None | Some(_), _) => {}
        }
        self.insert_run(db, accept).await?;
        let message = threads::NewMessage {
            id: accept.idempotency.message_id,
            run: accept.run_id,
            role: "user",
            content: &accept.content,
            status: "complete",
        };
        threads::add_message(db, self.user().as_str(), thread.as_uuid(), &message, self.at).await?;
        self.remember(db, accept.idempotency, thread, Some(accept.run_id))
            .await?;
        Ok(done(String::new()))
    }

    async fn has_all(&self, db: &mut SqliteConnection, references: &[DocumentId]) -> Result<bool, sqlx::Error> {
        let Some(named) = named(references)? else {
            return Ok(true);
        };
        sqlx::query_scalar(ALL_THERE)
            .bind(self.user().as_str())
            .bind(named)
            .fetch_one(db)
            .await
    }

    async fn insert_run(&self, db: &mut SqliteConnection, accept: &Accept) -> Result<(), sqlx::Error> {
        let state = if accept.start {
            RunState::Running
        } else {
            RunState::Queued
        };
        sqlx::query(INSERT_RUN)
            .bind(accept.run_id.as_uuid())
            .bind(self.user().as_str())
            .bind(accept.thread_id.as_uuid())
            .bind(self.session.session().as_uuid())
            .bind(accept.request_id.as_uuid())
            .bind(accept.idempotency.message_id.as_uuid())
            .bind(&accept.agent)
            .bind(named(&accept.references)?)
            .bind(accept.metadata.as_ref().map(ToString::to_string))
            .bind(state.as_str())
            .bind(rows::integer(self.last_seq.0))
            .bind(rows::micros(self.at))
            .execute(db)
            .await?;
        Ok(())
    }

    async fn take(&self, db: &mut SqliteConnection, asked: Idempotency, run: RunId, thread: ThreadId) -> Reply {
        if let Some(reply) = self.repeated(db, asked).await? {
            return Ok(reply);
        }
        self.remember(db, asked, thread, Some(run)).await?;
        Ok(done(String::new()))
    }

    async fn promote(&self, db: &mut SqliteConnection, run: RunId, thread: ThreadId) -> Reply {
        let queued: bool = sqlx::query_scalar(QUEUED)
            .bind(run.as_uuid())
            .bind(self.user().as_str())
            .bind(thread.as_uuid())
            .bind(self.session.session().as_uuid())
            .fetch_one(&mut *db)
            .await?;
        if !queued {
            return Ok(StoreReply::NotFound);
        }
        if let Some(spent) = budgets::refuse_more(db, self.session, self.gate).await? {
            return Ok(StoreReply::BudgetExhausted(spent));
        }
        if let Some(refusal) = self.refuse_start(db, thread).await? {
            return Ok(refusal);
        }
        sqlx::query(START)
            .bind(rows::integer(self.last_seq.0))
            .bind(run.as_uuid())
            .bind(self.user().as_str())
            .execute(&mut *db)
            .await?;
        // It is said now: behind the answer that it waited for.
        sqlx::query(SAY_NOW)
            .bind(self.user().as_str())
            .bind(thread.as_uuid())
            .bind(run.as_uuid())
            .execute(db)
            .await?;
        Ok(done(String::new()))
    }

    async fn create_thread(
        &self,
        db: &mut SqliteConnection,
        asked: Idempotency,
        thread: ThreadId,
        name: &str,
    ) -> Reply {
        if let Some(reply) = self.repeated(db, asked).await? {
            return Ok(reply);
        }
        if !threads::insert(db, self.user(), thread, name, self.at).await? {
            return Ok(StoreReply::NotFound);
        }
        self.make_current(db, thread).await?;
        self.remember(db, asked, thread, None).await?;
        Ok(done(name.to_owned()))
    }

    async fn switch_thread(&self, db: &mut SqliteConnection, thread: ThreadId) -> Reply {
        if let Some(name) = threads::name(db, self.user(), thread).await? {
            self.make_current(db, thread).await?;
            return Ok(done(name));
        }
        Ok(if self.is_current(db, thread).await? {
            done(String::new())
        } else {
            StoreReply::NotFound
        })
    }

    async fn rename_thread(
        &self,
        db: &mut SqliteConnection,
        asked: Idempotency,
        thread: ThreadId,
        name: &str,
    ) -> Reply {
        if let Some(reply) = self.repeated(db, asked).await? {
            return Ok(reply);
        }
        if !threads::rename(db, self.user(), thread, name).await? {
            return Ok(StoreReply::NotFound);
        }
        self.remember(db, asked, thread, None).await?;
        Ok(done(name.to_owned()))
    }

    async fn delete_thread(
        &self,
        db: &mut SqliteConnection,
        asked: Idempotency,
        thread: ThreadId,
        fallback: ThreadId,
    ) -> Reply {
        if let Some(reply) = self.repeated(db, asked).await? {
            return Ok(reply);
        }
        let Some(name) = threads::name(db, self.user(), thread).await? else {
            return Ok(StoreReply::NotFound);
        };
        if let Some((run_id, session_id)) = threads::active_run(db, self.user(), thread).await? {
            return Ok(StoreReply::ThreadBusy { run_id, session_id });
        }
        threads::erase(db, self.user(), thread).await?;
        if self.is_current(db, thread).await? {
            self.make_current(db, fallback).await?;
        }
        self.remember(db, asked, thread, None).await?;
        Ok(done(name))
    }

    /// Why no run may start in the thread now.
    async fn refuse_start(
        &self,
        db: &mut SqliteConnection,
        thread: ThreadId,
    ) -> Result<Option<StoreReply>, sqlx::Error> {
        if let Some((run_id, session_id)) = threads::active_run(db, self.user(), thread).await? {
            return Ok(Some(StoreReply::ThreadBusy { run_id, session_id }));
        }
        let active: i64 = sqlx::query_scalar(ACTIVE_RUNS)
            .bind(self.user().as_str())
            .fetch_one(db)
            .await?;
        Ok((active >= rows::integer(self.runs_per_user)).then_some(StoreReply::RunLimit))
    }

    async fn is_current(&self, db: &mut SqliteConnection, thread: ThreadId) -> Result<bool, sqlx::Error> {
        sqlx::query_scalar(CURRENT)
            .bind(self.session.session().as_uuid())
            .bind(self.user().as_str())
            .bind(thread.as_uuid())
            .fetch_one(db)
            .await
    }

    async fn make_current(&self, db: &mut SqliteConnection, thread: ThreadId) -> Result<(), sqlx::Error> {
        sqlx::query(MAKE_CURRENT)
            .bind(thread.as_uuid())
            .bind(self.session.session().as_uuid())
            .bind(self.user().as_str())
            .execute(db)
            .await?;
        Ok(())
    }

    /// The answer to a frame that was taken before.
    async fn repeated(&self, db: &mut SqliteConnection, asked: Idempotency) -> Result<Option<StoreReply>, sqlx::Error> {
        let row = sqlx::query(REPEATED)
            .bind(self.user().as_str())
            .bind(asked.message_id.as_uuid())
            .fetch_optional(db)
            .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        let digest: &[u8] = row.try_get("digest")?;
        if digest != asked.digest {
            return Ok(Some(StoreReply::Conflict));
        }
        let run = match row.try_get::<Option<&[u8]>, _>("run_id")? {
            None => None,
            // A run without a row was taken out of the queue with its thread.
            Some(_) => Some((
                rows::id(&row, "run_id")?,
                match row.try_get::<Option<&str>, _>("state")? {
                    None => RunState::Stopped,
                    Some(_) => rows::state(&row, "state")?,
                },
            )),
        };
        Ok(Some(StoreReply::Duplicate {
            thread_id: rows::id(&row, "thread_id")?,
            name: row.try_get("name")?,
            run,
        }))
    }

    async fn remember(
        &self,
        db: &mut SqliteConnection,
        asked: Idempotency,
        thread: ThreadId,
        run: Option<RunId>,
    ) -> Result<(), sqlx::Error> {
        sqlx::query(REMEMBER)
            .bind(self.user().as_str())
            .bind(asked.message_id.as_uuid())
            .bind(asked.digest.to_vec())
            .bind(thread.as_uuid())
            .bind(run.map(|run| run.as_uuid()))
            .bind(rows::micros(self.at))
            .execute(db)
            .await?;
        Ok(())
    }
}

/// Documents, as a run's row names them; none where there are none.
fn named(references: &[DocumentId]) -> Result<Option<String>, sqlx::Error> {
    if references.is_empty() {
        return Ok(None);
    }
    serde_json::to_string(references).map(Some).map_err(rows::damaged)
}

const fn done(name: String) -> StoreReply {
    StoreReply::Done { name }
}
