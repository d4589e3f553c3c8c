//! A content's parts, few in a job: written with the index of their words, and swept.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use sha2::{Digest as _, Sha256};
use sqlx::sqlite::SqliteConnection;
use uuid::Uuid;

use super::super::Work;
use super::change::{KEEP, LOOSEN, Publish};
use crate::store::documents::text::{index_words, next_part};

/// Parts of a job. With their index they are what another session's commit may have to wait for.
const PARTS_AT_ONCE: usize = 2;

const INSERT: &str = "INSERT INTO document_part (content, part, text) VALUES (?, ?, ?)";

const INDEX: &str = "INSERT INTO document_words (rowid, owner, words) VALUES (?, ?, ?)";

const SOME: &str = "SELECT n FROM document_part WHERE content = ? ORDER BY part LIMIT ?";

const UNINDEX: &str = "DELETE FROM document_words WHERE rowid = ?";

const DELETE: &str = "DELETE FROM document_part WHERE n = ?";

/// Cuts a text into jobs, and counts up its hash.
pub(super) struct Parts {
    text: Bytes,
    /// How much of it is in jobs, in bytes and in parts.
    done: usize,
    next: i64,
    hash: Sha256,
    owner: String,
    name: String,
    content: Uuid,
}

impl Parts {
    /// Of a text that has been checked to be one.
    pub(super) fn of(text: Bytes, publish: &Publish) -> Self {
        Self {
            text,
            done: 0,
            next: 0,
            hash: Sha256::new(),
            owner: super::owner(&publish.user),
            name: publish.name.clone(),
            content: publish.content,
        }
    }

    /// The next job; none after the last part.
    pub(super) fn next(&mut self) -> Option<WriteParts> {
        let whole = self.text.clone();
        let text = std::str::from_utf8(&whole).unwrap_or_default();
        let first = self.next;
        let mut parts = Vec::with_capacity(PARTS_AT_ONCE);
        while parts.len() < PARTS_AT_ONCE && self.done < text.len() {
            let part = next_part(text, self.done);
            let mut words = String::with_capacity(part.len());
            if self.done == 0 {
                index_words(&self.name, &mut words);
            }
            index_words(&text[part.clone()], &mut words);
            self.hash.update(&text[part.clone()]);
            self.done = part.end;
            // A slice of the whole, not a copy.
            parts.push((self.text.slice(part), words));
        }
        self.next += parts.len() as i64;
        (!parts.is_empty()).then(|| WriteParts {
            content: self.content,
            owner: self.owner.clone(),
            first,
            parts,
        })
    }

    /// Of all that is in jobs, in hexadecimal digits.
    pub(super) fn sha256(self) -> String {
        format!("{:x}", self.hash.finalize())
    }
}

/// Writes parts of a content that no document has yet.
pub(super) struct WriteParts {
    content: Uuid,
    owner: String,
    /// The number of the first of them.
    first: i64,
    /// Each with its words.
    parts: Vec<(Bytes, String)>,
}

impl Work for WriteParts {
    type Output = ();

    fn apply<'a>(&'a self, db: &'a mut SqliteConnection) -> BoxFuture<'a, Result<(), sqlx::Error>> {
        Box::pin(async move {
            if self.first == 0 {
                sqlx::query(LOOSEN).bind(self.content).execute(&mut *db).await?;
            }
            for (part, (text, words)) in (self.first..).zip(&self.parts) {
                let inserted = sqlx::query(INSERT)
                    .bind(self.content)
                    .bind(part)
                    .bind(text.as_ref())
                    .execute(&mut *db)
                    .await?;
                sqlx::query(INDEX)
                    .bind(inserted.last_insert_rowid())
                    .bind(&self.owner)
                    .bind(words)
                    .execute(&mut *db)
                    .await?;
            }
            Ok(())
        })
    }
}

/// Takes some parts of a content away that no document has.
pub(super) struct Sweep {
    pub(super) content: Uuid,
}

impl Work for Sweep {
    /// Whether nothing is left of it.
    type Output = bool;

    fn apply<'a>(&'a self, db: &'a mut SqliteConnection) -> BoxFuture<'a, Result<bool, sqlx::Error>> {
        Box::pin(async move {
            let some: Vec<i64> = sqlx::query_scalar(SOME)
                .bind(self.content)
                .bind(PARTS_AT_ONCE as i64)
                .fetch_all(&mut *db)
                .await?;
            for part in &some {
                sqlx::query(UNINDEX).bind(part).execute(&mut *db).await?;
                sqlx::query(DELETE).bind(part).execute(&mut *db).await?;
            }
            let swept = some.len() < PARTS_AT_ONCE;
            if swept {
                sqlx::query(KEEP).bind(self.content).execute(db).await?;
            }
            Ok(swept)
        })
    }
}
