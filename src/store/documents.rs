//! Users' documents: the port to where they are kept, and what is asked of a text before it becomes one.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde::Serialize;
use sessile_actors::ids::{DocumentId, UserId};
use sessile_actors::limits::Limits;

pub mod memory;
pub(super) mod text;

pub use memory::MemoryDocuments;

/// Characters of a document's name at most. Beyond: [`DocumentError::BadName`].
pub const DOCUMENT_NAME_MAX_CHARS: usize = 200;

/// Documents of a user that a search ranks: of those that hold the words, the newest. Each costs the reading of a part.
pub(super) const RANKED_DOCUMENTS: usize = 100;

/// What is known of a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DocumentInfo {
    /// Names it.
    pub document_id: DocumentId,
    /// What its user calls it; a label, never a path.
    pub name: String,
    /// Such as `text/csv`, without parameters: the text is UTF-8.
    pub media_type: String,
    /// How long it is.
    pub bytes: u64,
    /// Of its text, in hexadecimal digits.
    pub sha256: String,
    /// When it came; RFC 3339, UTC. A text that is replaced does not change it.
    pub created_at: String,
}

/// A document that a search found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Found {
    /// Which.
    pub document_id: DocumentId,
    /// Its name.
    pub name: String,
    /// Where the words stand: at most 300 characters of one line.
    pub snippet: String,
    /// How often they stand in the passage that the snippet is from. A larger one is better.
    pub rank: u32,
}

/// Why a document was not taken or found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// No such document of this user.
    #[error("no such document of this user")]
    NotFound,
    /// The name can't be one.
    #[error("a document's name has 1 to {DOCUMENT_NAME_MAX_CHARS} characters, and no control characters")]
    BadName,
    /// There is nothing in it.
    #[error("the document is empty; send its text")]
    Empty,
    /// It is no text.
    #[error("a document is UTF-8 text without NUL characters, and this is something else")]
    NotText,
    /// It is too long.
    #[error("a document has at most {most} bytes, not {bytes}")]
    TooLarge {
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        most: usize,
    },
    /// The user's documents together would be too long.
    #[error("a user's documents have at most {most} bytes together; delete one first")]
    QuotaExceeded {
        /// How long they may be.
        most: u64,
    },
    /// The user has too many.
    #[error("a user has at most {most} documents; delete one first")]
    TooMany {
        /// How many there may be.
        most: usize,
    },
    /// The store can't say now.
    #[error("the documents are unavailable: {0}")]
    Unavailable(String),
}

/// How much a user may keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DocumentLimits {
    /// Bytes of one document. Beyond: [`DocumentError::TooLarge`].
    pub bytes: usize,
    /// Bytes of a user's documents together. Beyond: [`DocumentError::QuotaExceeded`].
    pub bytes_per_user: u64,
    /// Documents of a user. Beyond: [`DocumentError::TooMany`].
    pub per_user: usize,
}

impl From<&Limits> for DocumentLimits {
    fn from(limits: &Limits) -> Self {
        Self {
            bytes: limits.document_bytes,
            bytes_per_user: limits.document_bytes_per_user,
            per_user: limits.documents_per_user,
        }
    }
}

impl Default for DocumentLimits {
    fn default() -> Self {
        Self::from(&Limits::default())
    }
}

impl DocumentLimits {
    /// Whether there is room for one more of `bytes` beside `documents` that have `kept` together.
    pub(super) fn check_room(&self, documents: usize, kept: u64, bytes: usize) -> Result<(), DocumentError> {
        if documents >= self.per_user {
            return Err(DocumentError::TooMany { most: self.per_user });
        }
        if kept.saturating_add(bytes as u64) > self.bytes_per_user {
            return Err(DocumentError::QuotaExceeded {
                most: self.bytes_per_user,
            });
        }
        Ok(())
    }

    /// Refuses what can't be a document's text.
    pub(super) fn check_text(&self, content: &[u8]) -> Result<(), DocumentError> {
        if content.len() > self.bytes {
            return Err(DocumentError::TooLarge {
                bytes: content.len(),
                most: self.bytes,
            });
        }
        if content.is_empty() {
            return Err(DocumentError::Empty);
        }
        if content.contains(&0) || std::str::from_utf8(content).is_err() {
            return Err(DocumentError::NotText);
        }
        Ok(())
    }
}

/// The name as it is kept: of a path its last part.
///
/// # Errors
/// [`DocumentError::BadName`].
pub fn document_name(name: &str) -> Result<String, DocumentError> {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default().trim();
    let length = last.chars().count();
    let is_path = matches!(last, "." | "..");
    if length == 0 || length > DOCUMENT_NAME_MAX_CHARS || is_path || last.chars().any(char::is_control) {
        return Err(DocumentError::BadName);
    }
    Ok(last.to_owned())
}

/// Where users' documents are kept. Every call names its user and reaches that user's rows alone: what is somebody else's is
/// [`DocumentError::NotFound`]. The futures are detached from the work: dropping one cancels nothing.
pub trait DocumentStore: Send + Sync {
    /// Takes a document, which is there at once or not at all.
    fn put(
        &self,
        user: &UserId,
        name: String,
        media_type: String,
        content: Bytes,
    ) -> BoxFuture<'static, Result<DocumentInfo, DocumentError>>;

    /// What is known of it.
    fn info(&self, user: &UserId, id: DocumentId) -> BoxFuture<'static, Result<DocumentInfo, DocumentError>>;

    /// Its whole text.
    fn read(&self, user: &UserId, id: DocumentId) -> BoxFuture<'static, Result<(DocumentInfo, Bytes), DocumentError>>;

    /// The newest ones, newest first.
    fn list(&self, user: &UserId, limit: usize) -> BoxFuture<'static, Result<Vec<DocumentInfo>, DocumentError>>;

    /// Gives it another text. Who reads meanwhile gets the old one or the new one.
    fn replace(
        &self,
        user: &UserId,
        id: DocumentId,
        content: Bytes,
    ) -> BoxFuture<'static, Result<DocumentInfo, DocumentError>>;

    /// Documents of which a passage holds every word (whatever its case), best first. A passage is up to 32 KiB of the text;
    /// the first one has the name's words too. Of more than 100 the newest are ranked. Without a word nothing is found.
    fn search(
        &self,
        user: &UserId,
        words: String,
        limit: usize,
    ) -> BoxFuture<'static, Result<Vec<Found>, DocumentError>>;

    /// Takes it away.
    fn delete(&self, user: &UserId, id: DocumentId) -> BoxFuture<'static, Result<(), DocumentError>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_path_its_last_part_is_the_name() {
        for (path, name) in [
            ("usage.csv", "usage.csv"),
            ("/etc/passwd", "passwd"),
            ("..\\..\\usage 2026.csv", "usage 2026.csv"),
            (" Bericht über alles.md ", "Bericht über alles.md"),
        ] {
            assert_eq!(document_name(path).as_deref(), Ok(name));
        }
    }

    #[test]
    fn what_names_nothing_is_no_name() {
        let long = "x".repeat(DOCUMENT_NAME_MAX_CHARS + 1);
        for name in ["", "  ", "a/", "..", ".", "a\nb", "a\u{7f}", &long] {
            assert_eq!(document_name(name), Err(DocumentError::BadName), "{name:?}");
        }
        assert!(document_name(&"ü".repeat(DOCUMENT_NAME_MAX_CHARS)).is_ok());
    }

    #[test]
    fn only_text_is_a_documents_text() {
        let limits = DocumentLimits {
            bytes: 8,
            ..DocumentLimits::default()
        };
        assert_eq!(limits.check_text("für".as_bytes()), Ok(()));
        assert_eq!(limits.check_text(b""), Err(DocumentError::Empty));
        assert_eq!(limits.check_text(b"\xff\xfe"), Err(DocumentError::NotText));
        assert_eq!(limits.check_text(b"a\0b"), Err(DocumentError::NotText));
        assert_eq!(
            limits.check_text(b"123456789"),
            Err(DocumentError::TooLarge { bytes: 9, most: 8 })
        );
    }
}
