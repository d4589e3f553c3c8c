//! Where the usage tools get their data from: a document of the user, or a text in the call; and by whose prices they reckon.

use sessile_actors::ids::{DocumentId, UserId};
use sessile_actors::infra::ToolError;

use super::ToolPorts;
use crate::store::DocumentError;
use crate::store::supply::SupplyError;
use crate::usage::{Catalogue, Format, Usage, read};

/// Characters of a text in a call at most. What is longer is kept as a document.
pub(super) const TEXT_MAX_CHARS: usize = 1_048_576;

/// The data that a call names.
pub(super) struct UsageData {
    pub(super) document_id: Option<String>,
    pub(super) text: Option<String>,
    pub(super) format: Option<Format>,
}

impl UsageData {
    /// Reads it: of the documents only those of this user.
    pub(super) async fn read(self, ports: &ToolPorts, user: &UserId) -> Result<Usage, ToolError> {
        let usage = match (self.document_id, self.text) {
            (Some(id), None) => {
                let id: DocumentId = id.parse().map_err(|_| {
                    ToolError::BadArguments("`document_id` is no document's id: take one as it was given".to_owned())
                })?;
                let (_, content) = ports.documents.read(user, id).await.map_err(unread)?;
                read(&content, self.format)
            }
            (None, Some(text)) => read(text.as_bytes(), self.format),
            (Some(_), Some(_)) | (None, None) => {
                let one = "give the usage data once: as `document_id`, or as `text`";
                return Err(ToolError::BadArguments(one.to_owned()));
            }
        };
        usage.map_err(|error| ToolError::BadArguments(error.to_string()))
    }
}

fn unread(error: DocumentError) -> ToolError {
    match error {
        DocumentError::NotFound => ToolError::BadArguments(
            "there is no document of this id: name another, or give the data as `text`".to_owned(),
        ),
        DocumentError::Unavailable(_) => {
            ToolError::Failed("documents can't be reached now; try again later".to_owned())
        }
        other => ToolError::Failed(other.to_string()),
    }
}

/// The catalogue as this user sees it: the frozen one, with the user's own changes over it.
pub(super) async fn catalogue_of(ports: &ToolPorts, user: &UserId) -> Result<Catalogue, ToolError> {
    let overlay = ports.supply.overlay(user).await.map_err(changes_failed)?;
    let values = overlay
        .iter()
        .map(|own| (own.model.as_str(), own.field.as_str(), &own.value));
    Ok(ports.catalogue.with(values))
}

pub(super) fn changes_failed(error: SupplyError) -> ToolError {
    ToolError::Failed(match error {
        SupplyError::Unavailable(_) => {
            "the user's changes of the catalogue can't be reached now; try again later".to_owned()
        }
        full @ SupplyError::TooMany => full.to_string(),
    })
}
