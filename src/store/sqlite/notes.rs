//! A user's notes: written like everything else, found by reading the user's own.

use std::time::SystemTime;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use sqlx::sqlite::SqliteConnection;
use uuid::Uuid;

use sessile_actors::ids::UserId;

use super::{SqliteStore, Work, read, rows};
use crate::store::{NOTES_PER_USER, Note, NoteError, NoteStore, check_length};

const COUNT: &str = "SELECT count(*) FROM note WHERE user_id = ?";

const INSERT: &str = "INSERT INTO note (user_id, id, text, created) VALUES (?, ?, ?, ?)";

struct WriteNote {
    user: UserId,
    text: String,
    at: SystemTime,
}

impl Work for WriteNote {
    type Output = Result<Uuid, NoteError>;

    fn apply<'a>(&'a self, db: &'a mut SqliteConnection) -> BoxFuture<'a, Result<Self::Output, sqlx::Error>> {
        Box::pin(async move {
            let user = self.user.as_str();
            let count: i64 = sqlx::query_scalar(COUNT).bind(user).fetch_one(&mut *db).await?;
            if count >= rows::integer(NOTES_PER_USER) {
                return Ok(Err(NoteError::TooMany));
            }
            let id = Uuid::now_v7();
            sqlx::query(INSERT)
                .bind(user)
                .bind(id)
                .bind(&self.text)
                .bind(rows::micros(self.at))
                .execute(db)
                .await?;
            Ok(Ok(id))
        })
    }
}

impl NoteStore for SqliteStore {
    fn write(&self, user: &UserId, text: String) -> BoxFuture<'static, Result<Uuid, NoteError>> {
        if let Err(error) = check_length(&text) {
            return std::future::ready(Err(error)).boxed();
        }
        let written = self.write(WriteNote {
            user: user.clone(),
            text,
            at: SystemTime::now(),
        });
        async move {
            written
                .await
                .map_err(|error| NoteError::Unavailable(error.to_string()))?
        }
        .boxed()
    }

    fn list(&self, user: &UserId, limit: usize) -> BoxFuture<'static, Result<Vec<Note>, NoteError>> {
        self.search(user, Vec::new(), limit)
    }

    fn search(
        &self,
        user: &UserId,
        words: Vec<String>,
        limit: usize,
    ) -> BoxFuture<'static, Result<Vec<Note>, NoteError>> {
        let user = user.clone();
        let found = self.read(move |db| async move { read::notes(db, &user, &words, limit).await }.boxed());
        async move { found.await.map_err(NoteError::Unavailable) }.boxed()
    }
}
