//! Files for the next message: brought to the server one by one, then named in it by their ids.

use std::path::{Path, PathBuf};

use sessile_actors::protocol::client::REFERENCES_MAX;

use super::requests::{Kind, Request};
use super::{Client, Effect, Now, note};

/// Largest file where the server names no limit, in bytes. Beyond: it is refused before anything is sent.
pub(super) const BYTES_MAX: usize = 10 * 1024 * 1024;

/// A document that the server has.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
pub struct Uploaded {
    /// What a message names it by.
    pub document_id: String,
    /// What it is called there.
    pub name: String,
    /// How long it is.
    pub bytes: u64,
}

impl Client {
    /// Brings a file to the server; the next message names it.
    pub fn attach(&mut self, file: &Path, now: Now) -> Vec<Effect> {
        let mut fx = Vec::new();
        self.push_file(file.to_owned(), &mut fx);
        self.advance(now, &mut fx);
        fx
    }

    pub(super) fn push_file(&mut self, file: PathBuf, fx: &mut Vec<Effect>) {
        let coming = self.requests.iter().filter(|request| request.is_file()).count();
        if self.attached.len() + coming >= REFERENCES_MAX {
            let why =
                format!("a message names at most {REFERENCES_MAX} files; send it, and attach the rest to the next");
            return self.refuse(&why, fx);
        }
        self.push(Request::attach(file), fx);
    }

    /// What became of the file that [`Effect::Upload`] named.
    pub fn uploaded(&mut self, taken: Result<Uploaded, String>, now: Now) -> Vec<Effect> {
        let mut fx = Vec::new();
        let asked = self
            .requests
            .pop_front_if(|request| matches!(request.kind, Kind::Attach(_)));
        match taken {
            _ if asked.is_none() => {}
            Ok(document) => {
                let Uploaded { name, bytes, .. } = &document;
                note(
                    &format!("the server has {name:?} ({bytes} bytes); the next message names it"),
                    &mut fx,
                );
                self.attached.push(document.document_id);
            }
            Err(why) => {
                self.refuse(&why, &mut fx);
                // Nobody wants an answer that was found without the file. A person who sees the refusal decides anew.
                let is_written = self
                    .requests
                    .iter()
                    .any(|request| request.is_say() && !request.was_sent());
                self.lacks_file = self.takes_turns || is_written;
            }
        }
        self.advance(now, &mut fx);
        fx
    }
}
