//! `corpus` and `corpus_delete`: the documents of the user for whom the run works.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use sessile_actors::ids::DocumentId;
use sessile_actors::infra::{Tool, ToolContext, ToolError, ToolSpec};

use crate::store::{DocumentError, DocumentStore};

/// The names that models and agents call them by.
pub const NAME: &str = "corpus";
pub const DELETE_NAME: &str = "corpus_delete";

/// How many documents a call names; beyond it the best or the newest ones. With their snippets far below the cap of a tool's
/// output.
const PAGE_DOCUMENTS: usize = 20;

/// Bytes of a document that `get` returns. Beyond: cut, `truncated: true`.
const GET_BYTES: usize = 32 * 1024;

/// What may be done with documents.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Action {
    /// Find documents by the words of `query`: a passage must hold every one.
    Search,
    /// Name the newest documents.
    List,
    /// Keep `text` as a new document called `name`.
    Add,
    /// Read the document `document_id`.
    Get,
    /// Put `text` in the place of all that stands in the document `document_id`.
    Update,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// What to do.
    action: Action,
    /// What to look for; for `search`.
    #[serde(default)]
    #[schemars(length(min = 1, max = 200))]
    query: Option<String>,
    /// What to call the new document, such as `plan.md`; for `add`.
    #[serde(default)]
    #[schemars(length(min = 1, max = 200))]
    name: Option<String>,
    /// The whole text; for `add` and `update`.
    #[serde(default)]
    #[schemars(length(min = 1, max = 200000))]
    text: Option<String>,
    /// Which document; for `get` and `update`.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    document_id: Option<DocumentId>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct DeleteArguments {
    /// Which document.
    #[schemars(with = "String")]
    document_id: DocumentId,
}

/// Searches and keeps documents. It holds none itself: each call reaches the rows of its own user.
pub struct Corpus {
    store: Arc<dyn DocumentStore>,
}

impl Corpus {
    /// Over the documents of `store`.
    #[must_use]
    pub fn new(store: Arc<dyn DocumentStore>) -> Self {
        Self { store }
    }
}

#[async_trait]
impl Tool for Corpus {
    fn spec(&self) -> ToolSpec {
        ToolSpec::new(
            NAME,
            "The user's documents: `search` by `query`, `list` the newest, `add` a `text` under a `name`, `get` one by its \
             `document_id`, or `update` one with a whole new `text`.",
            super::parameters::<Arguments>(),
        )
    }

    async fn call(&self, context: ToolContext, arguments: Value) -> Result<Value, ToolError> {
        let asked: Arguments = super::arguments(arguments)?;
        // Whose documents they are comes from the verified context; no argument can name somebody else.
        let user = context.user.user();
        match asked.action {
            Action::Search => {
                let query = given(asked.query, "query", "search")?;
                let found = self.store.search(user, query.clone(), PAGE_DOCUMENTS).await;
                Ok(json!({ "query": query, "found": found.map_err(failed)? }))
            }
            Action::List => {
                let documents = self.store.list(user, PAGE_DOCUMENTS).await;
                Ok(json!({ "documents": documents.map_err(failed)? }))
            }
            Action::Add => {
                let name = given(asked.name, "name", "add")?;
                let text = given(asked.text, "text", "add")?;
                let kept = self.store.put(user, name.clone(), media_type(&name), Bytes::from(text));
                Ok(json!(kept.await.map_err(failed)?))
            }
            Action::Get => {
                let id = which(asked.document_id, "get")?;
                let (info, content) = self.store.read(user, id).await.map_err(failed)?;
                let text = beginning(&content);
                Ok(json!({ "document": info, "text": text, "truncated": text.len() < content.len() }))
            }
            Action::Update => {
                let id = which(asked.document_id, "update")?;
                let text = given(asked.text, "text", "update")?;
                let kept = self.store.replace(user, id, Bytes::from(text)).await;
                Ok(json!(kept.map_err(failed)?))
            }
        }
    }
}

/// Deletes a document, once the user has approved it: there is no way back.
pub struct CorpusDelete {
    store: Arc<dyn DocumentStore>,
}

impl CorpusDelete {
    /// Over the documents of `store`.
    #[must_use]
    pub fn new(store: Arc<dyn DocumentStore>) -> Self {
        Self { store }
    }
}

#[async_trait]
impl Tool for CorpusDelete {
    fn spec(&self) -> ToolSpec {
        ToolSpec::new(
            DELETE_NAME,
            "Deletes one of the user's documents for good. The user is asked first.",
            super::parameters::<DeleteArguments>(),
        )
        .needs_approval()
    }

    async fn call(&self, context: ToolContext, arguments: Value) -> Result<Value, ToolError> {
        let DeleteArguments { document_id } = super::arguments(arguments)?;
        let deleted = self.store.delete(context.user.user(), document_id).await;
        deleted.map_err(failed)?;
        Ok(json!({ "document_id": document_id, "deleted": true }))
    }
}

/// What an action needs, as it was given: spaces are part of a text.
fn given(value: Option<String>, field: &str, action: &str) -> Result<String, ToolError> {
    value
        .filter(|value| !value.trim().is_empty())
        .ok_or_else(|| ToolError::BadArguments(format!("`{action}` needs `{field}`")))
}

fn which(id: Option<DocumentId>, action: &str) -> Result<DocumentId, ToolError> {
    id.ok_or_else(|| ToolError::BadArguments(format!("`{action}` needs `document_id`")))
}

/// What a document of this name is, by its ending.
fn media_type(name: &str) -> String {
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    let known = match ending.to_ascii_lowercase().as_str() {
        "csv" => "text/csv",
        "json" => "application/json",
        "md" => "text/markdown",
        _ => "text/plain",
    };
    known.to_owned()
}

/// As much of a text as a call returns, cut at a character.
fn beginning(content: &Bytes) -> &str {
    let most = &content[..content.len().min(GET_BYTES)];
    match std::str::from_utf8(most) {
        Ok(text) => text,
        Err(cut) => std::str::from_utf8(&most[..cut.valid_up_to()]).unwrap_or_default(),
    }
}

fn failed(error: DocumentError) -> ToolError {
    ToolError::Failed(match error {
        DocumentError::NotFound => {
            "there is no such document; `list` and `search` name those that there are".to_owned()
        }
        DocumentError::Unavailable(_) => "documents can't be reached now; try again later".to_owned(),
        told @ (DocumentError::BadName
        | DocumentError::Empty
        | DocumentError::NotText
        | DocumentError::TooLarge { .. }
        | DocumentError::QuotaExceeded { .. }
        | DocumentError::TooMany { .. }) => told.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryDocuments;
    use crate::tools::doubles::{call_as, frozen};

    fn corpus() -> (Corpus, CorpusDelete) {
        let store: Arc<dyn DocumentStore> = Arc::new(MemoryDocuments::start());
        (Corpus::new(Arc::clone(&store)), CorpusDelete::new(store))
    }

    async fn add(corpus: &Corpus, name: &str, text: &str) -> Value {
        let arguments = json!({"action": "add", "name": name, "text": text});
        call_as("ada", corpus, arguments).await.unwrap()["document_id"].take()
    }

    #[tokio::test]
    async fn a_document_is_added_found_read_updated_and_deleted() {
        let (corpus, delete) = corpus();
        let id = add(&corpus, "plan.md", "# Move the summaries\n").await;
        let found = call_as("ada", &corpus, json!({"action": "search", "query": "SUMMARIES plan"})).await;
        let found = found.unwrap();
        assert_eq!(
            (&found["found"][0]["document_id"], &found["found"][0]["rank"]),
            (&id, &json!(2))
        );
        let update = json!({"action": "update", "document_id": id, "text": "Keep them.\n"});
        call_as("ada", &corpus, update).await.unwrap();
        let read = call_as("ada", &corpus, json!({"action": "get", "document_id": id}))
            .await
            .unwrap();
        assert_eq!(
            (&read["text"], &read["truncated"]),
            (&json!("Keep them.\n"), &json!(false))
        );
        assert_eq!(read["document"]["media_type"], "text/markdown");
        call_as("ada", &delete, json!({"document_id": id})).await.unwrap();
        let listed = call_as("ada", &corpus, json!({"action": "list"})).await.unwrap();
        assert_eq!(listed["documents"], json!([]));
    }

    #[tokio::test]
    async fn nobody_reaches_the_documents_of_somebody_else() {
        let (corpus, delete) = corpus();
        let id = add(&corpus, "diary.txt", "the canary sings").await;
        for read in [
            json!({"action": "list"}),
            json!({"action": "search", "query": "canary"}),
        ] {
            let seen = call_as("bob", &corpus, read).await.unwrap().to_string();
            assert!(!seen.contains("diary") && !seen.contains("sings"), "{seen}");
        }
        for reach in [
            json!({"action": "get", "document_id": id}),
            json!({"action": "update", "document_id": id, "text": "mine"}),
        ] {
            let answer = call_as("bob", &corpus, reach).await;
            assert!(matches!(answer, Err(ToolError::Failed(why)) if why.contains("no such document")));
        }
        let answer = call_as("bob", &delete, json!({"document_id": id})).await;
        assert!(matches!(answer, Err(ToolError::Failed(why)) if why.contains("no such document")));
        let read = call_as("ada", &corpus, json!({"action": "get", "document_id": id}))
            .await
            .unwrap();
        assert_eq!(read["text"], "the canary sings");
    }

    #[tokio::test]
    async fn a_long_text_is_cut_at_a_character_and_said_to_be() {
        let (corpus, _) = corpus();
        let id = add(&corpus, "long", &format!("x{}", "€".repeat(20_000))).await;
        let read = call_as("ada", &corpus, json!({"action": "get", "document_id": id}))
            .await
            .unwrap();
        let text = read["text"].as_str().unwrap();
        assert!(text.ends_with('€') && text.len() <= GET_BYTES && text.len() > GET_BYTES - 4);
        assert_eq!(read["truncated"], true);
    }

    #[tokio::test]
    async fn an_action_without_what_it_needs_says_so() {
        let (corpus, _) = corpus();
        for (arguments, needs) in [
            (json!({"action": "search"}), "`search` needs `query`"),
            (json!({"action": "add", "text": "x"}), "`add` needs `name`"),
            (
                json!({"action": "add", "name": "x", "text": " \n"}),
                "`add` needs `text`",
            ),
            (json!({"action": "get"}), "`get` needs `document_id`"),
            (json!({"action": "update", "text": "x"}), "`update` needs `document_id`"),
        ] {
            let answer = call_as("ada", &corpus, arguments).await;
            assert_eq!(answer, Err(ToolError::BadArguments(needs.to_owned())));
        }
    }

    #[tokio::test]
    async fn the_schemas_take_no_user_and_deleting_needs_approval() {
        let (corpus, delete) = corpus();
        assert!(delete.spec().needs_approval);
        let (corpus, delete) = (frozen(corpus), frozen(delete));
        let (corpus, delete) = (corpus.get(NAME).unwrap(), delete.get(DELETE_NAME).unwrap());
        assert_eq!(corpus.validate(&json!({"action": "list"})), Ok(()));
        assert!(corpus.validate(&json!({"action": "list", "user": "bob"})).is_err());
        assert!(
            corpus
                .validate(&json!({"action": "add", "name": "n", "text": ""}))
                .is_err()
        );
        assert!(corpus.validate(&json!({"action": "purge"})).is_err());
        assert!(delete.validate(&json!({})).is_err());
    }
}
