//! A user's documents: their text part by part, each few in a commit of their own, and an index of their words.
//!
//! A text of megabytes in one job would hold up every session's commit. So a document's parts are written first, under a
//! content that no document has yet, and the last job gives it to its document; in the same commit the quota is judged. What
//! is taken away goes the other way. `document_loose` names the contents in between, for the next start to take away. Of all
//! users' documents one job at a time waits for the writer, so a group has one such job at most.

use std::cmp::Reverse;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::TryStreamExt as _;
use futures_util::future::BoxFuture;
use sessile_actors::ids::{DocumentId, UserId};
use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use tokio::sync::{Semaphore, mpsc};
use uuid::Uuid;

use self::change::{Forget, Publish, Room};
use self::parts::{Parts, Sweep, WriteParts};
use super::{Job, SqliteStore, rows};
use crate::store::documents::text::Query;
use crate::store::{DocumentError, DocumentInfo, DocumentLimits, DocumentStore, Found, documents};

mod change;
mod parts;

const INFO: &str =
    "SELECT id, name, media_type, bytes, sha256, created, content FROM document WHERE user_id = ? AND id = ?";

const TEXT: &str = "SELECT text FROM document_part WHERE content = ? ORDER BY part";

const LIST: &str = "SELECT id, name, media_type, bytes, sha256, created, content FROM document \
    WHERE user_id = ? ORDER BY n DESC LIMIT ?";

/// Of each document the first part that holds the words. The index names the owner too, but whose a document is, its row says.
const SEARCH: &str = "WITH hit AS ( \
        SELECT d.n, d.content, min(p.part) AS part FROM document_words \
            JOIN document_part p ON p.n = document_words.rowid JOIN document d ON d.content = p.content \
        WHERE document_words MATCH ?1 AND d.user_id = ?2 GROUP BY d.n, d.content ORDER BY d.n DESC LIMIT ?3) \
    SELECT d.id, d.name, p.part, p.text FROM hit \
        JOIN document d ON d.n = hit.n AND d.user_id = ?2 \
        JOIN document_part p ON p.content = hit.content AND p.part = hit.part \
    ORDER BY d.n DESC";

const LOOSE: &str = "SELECT content FROM document_loose";

/// Contents that the last process was writing or taking away.
pub(super) async fn loose(db: &mut SqliteConnection) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar(LOOSE).fetch_all(db).await
}

/// Takes contents away that no document has, few parts at a time, as long as anybody has the store. What is left then goes at
/// the next start.
pub(super) async fn sweep(jobs: mpsc::WeakSender<Job>, turn: Arc<Semaphore>, contents: Vec<Uuid>) {
    for content in contents {
        loop {
            let Ok(_turn) = turn.acquire().await else { return };
            let (job, swept) = Job::of(Sweep { content });
            let Some(jobs) = jobs.upgrade() else { return };
            if jobs.send(job).await.is_err() {
                return;
            }
            match swept.await {
                Ok(Ok(true)) => break,
                Ok(Ok(false)) => {}
                Ok(Err(_)) | Err(_) => return,
            }
        }
    }
}

impl SqliteStore {
    /// Begins to take a content away that no document has any more.
    fn sweep_later(&self, content: Uuid) {
        let turn = Arc::clone(&self.document_turn);
        self.runtime.spawn(sweep(self.jobs.downgrade(), turn, vec![content]));
    }

    async fn write_parts(&self, parts: &mut Parts) -> Result<(), DocumentError> {
        // Its words are told apart before its turn comes.
        while let Some(next) = parts.next() {
            let _turn = self.document_turn.acquire().await.map_err(unavailable)?;
            self.write::<WriteParts>(next).await.map_err(unavailable)?;
        }
        Ok(())
    }

    /// Takes a text, for a new document or in the place of an old one's. As a task: nobody who stops waiting leaves half.
    fn take(
        &self,
        content: Bytes,
        publish: impl FnOnce(DocumentLimits) -> Publish + Send + 'static,
    ) -> BoxFuture<'static, Result<DocumentInfo, DocumentError>> {
        let store = self.clone();
        let taking = self.runtime.spawn(async move {
            let limits = store.documents;
            limits.check_text(&content)?;
            let mut publish = publish(limits);
            publish.bytes = content.len();
            // Refused before anything is written where it can be; the last word is the publishing job's.
            store.write(Room(publish.clone())).await.map_err(unavailable)??;
            let mut parts = Parts::of(content, &publish);
            let written = store.write_parts(&mut parts).await;
            publish.sha256 = parts.sha256();
            let content = publish.content;
            let published = match written {
                Ok(()) => store.write(publish).await.map_err(unavailable).flatten(),
                Err(error) => Err(error),
            };
            match published {
                Ok((info, replaced)) => {
                    replaced.into_iter().for_each(|old| store.sweep_later(old));
                    Ok(info)
                }
                Err(error) => {
                    store.sweep_later(content);
                    Err(error)
                }
            }
        });
        async move { taking.await.map_err(unavailable)? }.boxed()
    }
}

impl DocumentStore for SqliteStore {
    fn put(
        &self,
        user: &UserId,
        name: String,
        media_type: String,
        content: Bytes,
    ) -> BoxFuture<'static, Result<DocumentInfo, DocumentError>> {
        let name = match documents::document_name(&name) {
            Ok(name) => name,
            Err(error) => return std::future::ready(Err(error)).boxed(),
        };
        let user = user.clone();
        self.take(content, move |limits| Publish::new(user, name, media_type, limits))
    }

    fn info(&self, user: &UserId, id: DocumentId) -> BoxFuture<'static, Result<DocumentInfo, DocumentError>> {
        let user = user.clone();
        let found = self.read(move |db| async move { info(db, &user, id).await }.boxed());
        async move { found.await.map_err(unavailable)?.map(|(info, _)| info) }.boxed()
    }

    fn read(&self, user: &UserId, id: DocumentId) -> BoxFuture<'static, Result<(DocumentInfo, Bytes), DocumentError>> {
        let user = user.clone();
        let found = self.read(move |db| async move { text(db, &user, id).await }.boxed());
        async move { found.await.map_err(unavailable)? }.boxed()
    }

    fn list(&self, user: &UserId, limit: usize) -> BoxFuture<'static, Result<Vec<DocumentInfo>, DocumentError>> {
        let user = user.clone();
        let found = self.read(move |db| {
            async move {
                let query = sqlx::query(LIST).bind(user.as_str()).bind(rows::integer(limit));
                query.fetch_all(db).await?.iter().map(document).collect()
            }
            .boxed()
        });
        async move { found.await.map_err(unavailable) }.boxed()
    }

    fn replace(
        &self,
        user: &UserId,
        id: DocumentId,
        content: Bytes,
    ) -> BoxFuture<'static, Result<DocumentInfo, DocumentError>> {
        let known = DocumentStore::info(self, user, id);
        let (store, user) = (self.clone(), user.clone());
        // Its name stands in the index beside the words of its first part.
        let replacing = self.runtime.spawn(async move {
            let known = known.await?;
            let taken = store.take(content, move |limits| Publish::again(user, known, limits));
            taken.await
        });
        async move { replacing.await.map_err(unavailable)? }.boxed()
    }

    fn search(
        &self,
        user: &UserId,
        words: String,
        limit: usize,
    ) -> BoxFuture<'static, Result<Vec<Found>, DocumentError>> {
        let Some(query) = Query::read(&words) else {
            return std::future::ready(Ok(Vec::new())).boxed();
        };
        let user = user.clone();
        let found = self.read(move |db| async move { search(db, &user, &query, limit).await }.boxed());
        async move { found.await.map_err(unavailable) }.boxed()
    }

    fn delete(&self, user: &UserId, id: DocumentId) -> BoxFuture<'static, Result<(), DocumentError>> {
        let store = self.clone();
        let forgetting = self.write(Forget { user: user.clone(), id });
        let deleting = self.runtime.spawn(async move {
            let content = forgetting.await.map_err(unavailable)?;
            store.sweep_later(content.ok_or(DocumentError::NotFound)?);
            Ok(())
        });
        async move { deleting.await.map_err(unavailable)? }.boxed()
    }
}

type Answer<T> = Result<Result<T, DocumentError>, sqlx::Error>;

/// What is known of a document, and which content is its own.
async fn info(db: &mut SqliteConnection, user: &UserId, id: DocumentId) -> Answer<(DocumentInfo, Uuid)> {
    let row = sqlx::query(INFO)
        .bind(user.as_str())
        .bind(id.as_uuid())
        .fetch_optional(db)
        .await?;
    let Some(row) = row else {
        return Ok(Err(DocumentError::NotFound));
    };
    Ok(Ok((document(&row)?, row.try_get("content")?)))
}

async fn text(db: &mut SqliteConnection, user: &UserId, id: DocumentId) -> Answer<(DocumentInfo, Bytes)> {
    let (info, content) = match info(db, user, id).await? {
        Ok(known) => known,
        Err(error) => return Ok(Err(error)),
    };
    // At once as long as it will be: it is never copied into a longer one.
    let mut text = Vec::with_capacity(usize::try_from(info.bytes).map_err(rows::damaged)?);
    let mut parts = sqlx::query(TEXT).bind(content).fetch(db);
    while let Some(part) = parts.try_next().await? {
        text.extend_from_slice(part.try_get("text")?);
    }
    Ok(Ok((info, text.into())))
}

async fn search(
    db: &mut SqliteConnection,
    user: &UserId,
    query: &Query,
    limit: usize,
) -> Result<Vec<Found>, sqlx::Error> {
    // Words are letters and digits, so the quotes hold.
    let words: Vec<String> = query.words.iter().map(|word| format!("\"{word}\"")).collect();
    let expression = format!("owner : \"{}\" AND words : ({})", owner(user), words.join(" AND "));
    let mut hits = sqlx::query(SEARCH)
        .bind(expression)
        .bind(user.as_str())
        .bind(rows::integer(documents::RANKED_DOCUMENTS))
        .fetch(db);
    let mut found = Vec::new();
    while let Some(row) = hits.try_next().await? {
        let name: String = row.try_get("name")?;
        let passage = std::str::from_utf8(row.try_get("text")?).map_err(rows::damaged)?;
        let of_first = (row.try_get::<i64, _>("part")? == 0).then_some(name.as_str());
        if let Some((rank, snippet)) = query.look(of_first, passage) {
            found.push(Found {
                document_id: rows::id(&row, "id")?,
                name,
                snippet,
                rank,
            });
        }
    }
    found.sort_by_key(|found| Reverse(found.rank));
    found.truncate(limit);
    Ok(found)
}

/// A row of `document`.
fn document(row: &SqliteRow) -> Result<DocumentInfo, sqlx::Error> {
    Ok(DocumentInfo {
        document_id: rows::id(row, "id")?,
        name: row.try_get("name")?,
        media_type: row.try_get("media_type")?,
        bytes: rows::counter(row, "bytes")?,
        sha256: row.try_get("sha256")?,
        created_at: rows::time(row, "created")?,
    })
}

/// A user as one word of the index.
fn owner(user: &UserId) -> String {
    user.as_str().bytes().map(|byte| format!("{byte:02x}")).collect()
}

fn unavailable(error: impl ToString) -> DocumentError {
    DocumentError::Unavailable(error.to_string())
}
