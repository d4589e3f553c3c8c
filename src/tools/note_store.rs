//! The port to where notes are kept. The tool knows nothing of the store behind it, and a store knows nothing of tools.

use futures_util::future::BoxFuture;
use serde::Serialize;
use sessile_actors::ids::UserId;

/// One note of one user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Note {
    /// Its number, as the store gave it.
    pub id: i64,
    /// What was noted.
    pub text: String,
    /// When it was written: RFC 3339, UTC.
    pub created_at: String,
}

/// Why notes can't be written or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// The user has as many notes as one may have.
    #[error("there are {most} notes already, and no more are kept")]
    Full {
        /// How many a user may have.
        most: u64,
    },
    /// The store does not answer; it has logged why.
    #[error("notes can't be reached at the moment; try again later")]
    Unavailable,
}

/// Where notes are kept. Each method reads and writes the rows of `user` alone.
pub trait NoteStore: Send + Sync {
    /// Keeps a note and returns its number.
    fn write(&self, user: UserId, text: String) -> BoxFuture<'static, Result<i64, NoteError>>;

    /// The newest notes, newest first, at most `limit`.
    fn list(&self, user: UserId, limit: u32) -> BoxFuture<'static, Result<Vec<Note>, NoteError>>;

    /// The notes that contain `query`, newest first, at most `limit`. Letters match in either case.
    fn search(&self, user: UserId, query: String, limit: u32) -> BoxFuture<'static, Result<Vec<Note>, NoteError>>;
}
