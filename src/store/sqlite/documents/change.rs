//! What changes a document's row: judged and done in one job of the writer.

use std::time::SystemTime;

use futures_util::future::BoxFuture;
use sessile_actors::ids::{DocumentId, UserId};
use sqlx::Row as _;
use sqlx::sqlite::SqliteConnection;
use uuid::Uuid;

use super::super::{Work, rows};
use crate::store::{DocumentError, DocumentInfo, DocumentLimits};

/// Of all the user's documents but one.
const KEPT: &str =
    "SELECT count(*) AS documents, coalesce(sum(bytes), 0) AS bytes FROM document WHERE user_id = ? AND id <> ?";

const CONTENT: &str = "SELECT content FROM document WHERE user_id = ? AND id = ?";

const INSERT: &str = "INSERT INTO document (user_id, id, name, media_type, bytes, sha256, content, created) \
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)";

const REPLACE: &str = "UPDATE document SET bytes = ?, sha256 = ?, content = ? WHERE user_id = ? AND id = ?";

const DELETE: &str = "DELETE FROM document WHERE user_id = ? AND id = ? RETURNING content";

pub(super) const LOOSEN: &str = "INSERT INTO document_loose (content) VALUES (?) ON CONFLICT (content) DO NOTHING";

pub(super) const KEEP: &str = "DELETE FROM document_loose WHERE content = ?";

/// Gives a content that has been written to its document, new or not.
#[derive(Clone)]
pub(super) struct Publish {
    pub(super) user: UserId,
    pub(super) id: DocumentId,
    pub(super) name: String,
    media_type: String,
    limits: DocumentLimits,
    /// Whether the document is there already.
    again: bool,
    at: SystemTime,
    /// Names the parts.
    pub(super) content: Uuid,
    pub(super) bytes: usize,
    pub(super) sha256: String,
}

impl Publish {
    /// For a new document.
    pub(super) fn new(user: UserId, name: String, media_type: String, limits: DocumentLimits) -> Self {
        Self {
            user,
            id: DocumentId::mint(),
            name,
            media_type,
            limits,
            again: false,
            at: SystemTime::now(),
            content: Uuid::now_v7(),
            bytes: 0,
            sha256: String::new(),
        }
    }

    /// For one that is there.
    pub(super) fn again(user: UserId, known: DocumentInfo, limits: DocumentLimits) -> Self {
        Self {
            id: known.document_id,
            again: true,
            ..Self::new(user, known.name, known.media_type, limits)
        }
    }

    /// Whether there is room for it now; the content of the document that it replaces.
    async fn judge(&self, db: &mut SqliteConnection) -> super::Answer<Option<Uuid>> {
        let user = self.user.as_str();
        let id = self.id.as_uuid();
        let old: Option<Uuid> = sqlx::query_scalar(CONTENT)
            .bind(user)
            .bind(id)
            .fetch_optional(&mut *db)
            .await?;
        if old.is_some() != self.again {
            // Deleted meanwhile; a new one's id is new.
            return Ok(Err(DocumentError::NotFound));
        }
        let kept = sqlx::query(KEPT).bind(user).bind(id).fetch_one(db).await?;
        let documents = usize::try_from(rows::counter(&kept, "documents")?).map_err(rows::damaged)?;
        let room = self
            .limits
            .check_room(documents, rows::counter(&kept, "bytes")?, self.bytes);
        Ok(room.map(|()| old))
    }
}

impl Work for Publish {
    /// What is known of it now, and the content that it had before.
    type Output = Result<(DocumentInfo, Option<Uuid>), DocumentError>;

    fn apply<'a>(&'a self, db: &'a mut SqliteConnection) -> BoxFuture<'a, Result<Self::Output, sqlx::Error>> {
        Box::pin(async move {
            let replaced = match self.judge(&mut *db).await? {
                Ok(replaced) => replaced,
                Err(error) => return Ok(Err(error)),
            };
            sqlx::query(KEEP).bind(self.content).execute(&mut *db).await?;
            if let Some(old) = replaced {
                sqlx::query(LOOSEN).bind(old).execute(&mut *db).await?;
                sqlx::query(REPLACE)
                    .bind(rows::integer(self.bytes))
                    .bind(&self.sha256)
                    .bind(self.content)
                    .bind(self.user.as_str())
                    .bind(self.id.as_uuid())
                    .execute(&mut *db)
                    .await?;
            } else {
                sqlx::query(INSERT)
                    .bind(self.user.as_str())
                    .bind(self.id.as_uuid())
                    .bind(&self.name)
                    .bind(&self.media_type)
                    .bind(rows::integer(self.bytes))
                    .bind(&self.sha256)
                    .bind(self.content)
                    .bind(rows::micros(self.at))
                    .execute(&mut *db)
                    .await?;
            }
            let known = super::info(db, &self.user, self.id).await?;
            Ok(known.map(|(info, _)| (info, replaced)))
        })
    }
}

/// Says whether there would be room, before anything is written.
pub(super) struct Room(pub(super) Publish);

impl Work for Room {
    type Output = Result<(), DocumentError>;

    fn apply<'a>(&'a self, db: &'a mut SqliteConnection) -> BoxFuture<'a, Result<Self::Output, sqlx::Error>> {
        Box::pin(async move { Ok(self.0.judge(db).await?.map(drop)) })
    }
}

/// Takes a document's row away, and leaves its content to be swept.
pub(super) struct Forget {
    pub(super) user: UserId,
    pub(super) id: DocumentId,
}

impl Work for Forget {
    /// The content; none where there is no such document.
    type Output = Option<Uuid>;

    fn apply<'a>(&'a self, db: &'a mut SqliteConnection) -> BoxFuture<'a, Result<Self::Output, sqlx::Error>> {
        Box::pin(async move {
            let gone = sqlx::query(DELETE)
                .bind(self.user.as_str())
                .bind(self.id.as_uuid())
                .fetch_optional(&mut *db)
                .await?;
            let Some(gone) = gone else {
                return Ok(None);
            };
            let content: Uuid = gone.try_get("content")?;
            sqlx::query(LOOSEN).bind(content).execute(db).await?;
            Ok(Some(content))
        })
    }
}
