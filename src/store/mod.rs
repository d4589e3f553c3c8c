//! Where events, threads, notes, documents and changes of the supply catalogue are kept. The only folder that names sqlx.

use futures_util::future::BoxFuture;
use sessile_actors::ids::UserId;
use uuid::Uuid;

pub mod documents;
pub mod notes;
pub mod sqlite;
pub mod supply;

pub use documents::{
    DocumentError, DocumentInfo, DocumentLimits, DocumentStore, Found, MemoryDocuments, document_name,
};
pub use notes::MemoryNotes;
pub use sqlite::{OpenError, SqliteStore};
pub use supply::{MemorySupply, SupplyStore};

/// Notes of one user at most. Beyond: [`NoteError::TooMany`].
pub const NOTES_PER_USER: usize = 1_000;

/// Bytes of one note at most. Beyond: [`NoteError::TooLong`].
pub const NOTE_BYTES: usize = 4 * 1024;

/// A note that a user's agent took.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Note {
    /// Names it.
    pub id: Uuid,
    /// The words.
    pub text: String,
}

/// Why a note was not taken or found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// The note is longer than [`NOTE_BYTES`].
    #[error("a note has at most {NOTE_BYTES} bytes, not {bytes}")]
    TooLong {
        /// How long it was.
        bytes: usize,
    },
    /// The user has [`NOTES_PER_USER`] notes.
    #[error("a user has at most {NOTES_PER_USER} notes, and this one has as many")]
    TooMany,
    /// The store can't say now.
    #[error("the notes are unavailable: {0}")]
    Unavailable(String),
}

/// Where a user's notes are kept. Every call names its user, and reaches that user's notes alone.
pub trait NoteStore: Send + Sync {
    /// Takes a note.
    fn write(&self, user: &UserId, text: String) -> BoxFuture<'static, Result<Uuid, NoteError>>;

    /// The newest notes, newest first.
    fn list(&self, user: &UserId, limit: usize) -> BoxFuture<'static, Result<Vec<Note>, NoteError>>;

    /// The newest notes that hold every one of the words (whatever their case), newest first.
    fn search(
        &self,
        user: &UserId,
        words: Vec<String>,
        limit: usize,
    ) -> BoxFuture<'static, Result<Vec<Note>, NoteError>>;
}

/// Whether a note holds every one of the words, whatever their case.
fn holds_all(text: &str, words: &[String]) -> bool {
    let text = text.to_lowercase();
    words.iter().all(|word| text.contains(&word.to_lowercase()))
}

/// Refuses a note that is too long.
fn check_length(text: &str) -> Result<(), NoteError> {
    let bytes = text.len();
    if bytes > NOTE_BYTES {
        return Err(NoteError::TooLong { bytes });
    }
    Ok(())
}
