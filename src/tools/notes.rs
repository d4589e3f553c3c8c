//! `notes`: writes, lists and searches the notes of the user for whom the run works.

use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use sessile_actors::infra::{Tool, ToolContext, ToolError, ToolSpec};

use crate::store::{NoteError, NoteStore};

/// The name that models and agents call it by.
pub const NAME: &str = "notes";

/// How many notes a call returns; beyond it the newest ones. A page for reading, and far below the cap of a tool's output.
const PAGE_NOTES: usize = 20;

/// What may be done with notes.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Action {
    /// Keep `text`.
    Write,
    /// Read the newest notes.
    List,
    /// Read the notes that hold every word of `query`.
    Search,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// What to do.
    action: Action,
    /// What to note; for `write`.
    #[serde(default)]
    #[schemars(length(min = 1, max = 4000))]
    text: Option<String>,
    /// What to look for; for `search`.
    #[serde(default)]
    #[schemars(length(min = 1, max = 200))]
    query: Option<String>,
}

/// Keeps notes. It holds no note itself: each call reads and writes the rows of its own user.
pub struct Notes {
    store: Arc<dyn NoteStore>,
}

impl Notes {
    /// Keeps notes in `store`.
    #[must_use]
    pub fn new(store: Arc<dyn NoteStore>) -> Self {
        Self { store }
    }
}

#[async_trait]
impl Tool for Notes {
    fn spec(&self) -> ToolSpec {
        ToolSpec::new(
            NAME,
            "Keeps the user's notes: `write` with `text`, `list` the newest, or `search` with `query`.",
            super::parameters::<Arguments>(),
        )
    }

    async fn call(&self, context: ToolContext, arguments: Value) -> Result<Value, ToolError> {
        let Arguments { action, text, query } = super::arguments(arguments)?;
        // Whose notes they are comes from the verified context; no argument can name somebody else.
        let user = context.user.user().clone();
        match action {
            Action::Write => {
                let text = given(text, "text", "write")?;
                let id = self.store.write(&user, text.clone()).await.map_err(failed)?;
                Ok(json!({ "id": id, "text": text }))
            }
            Action::List => {
                let notes = self.store.list(&user, PAGE_NOTES).await.map_err(failed)?;
                Ok(json!({ "notes": notes }))
            }
            Action::Search => {
                let query = given(query, "query", "search")?;
                let words = query.split_whitespace().map(str::to_owned).collect();
                let notes = self.store.search(&user, words, PAGE_NOTES).await.map_err(failed)?;
                Ok(json!({ "query": query, "notes": notes }))
            }
        }
    }
}

/// What an action needs, without the spaces around it.
fn given(value: Option<String>, field: &str, action: &str) -> Result<String, ToolError> {
    let value = value.unwrap_or_default().trim().to_owned();
    if value.is_empty() {
        return Err(ToolError::BadArguments(format!("`{action}` needs `{field}`")));
    }
    Ok(value)
}

fn failed(error: NoteError) -> ToolError {
    ToolError::Failed(match error {
        NoteError::Unavailable(_) => "notes can't be reached now; try again later".to_owned(),
        told @ (NoteError::TooLong { .. } | NoteError::TooMany) => told.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryNotes;
    use crate::tools::doubles::{call_as, frozen};

    fn notes() -> Notes {
        Notes::new(Arc::new(MemoryNotes::start()))
    }

    #[tokio::test]
    async fn a_written_note_is_listed_and_found() {
        let notes = notes();
        let written = call_as("ada", &notes, json!({"action": "write", "text": " buy Milk "})).await;
        let written = written.unwrap();
        assert_eq!(written["text"], "buy Milk");
        let listed = call_as("ada", &notes, json!({"action": "list"})).await.unwrap();
        assert_eq!(listed["notes"][0]["text"], "buy Milk");
        let found = call_as("ada", &notes, json!({"action": "search", "query": "milk"})).await;
        assert_eq!(found.unwrap()["notes"][0]["id"], written["id"]);
    }

    #[tokio::test]
    async fn nobody_reads_the_notes_of_somebody_else() {
        let notes = notes();
        let secret = json!({"action": "write", "text": "the code is 1234"});
        call_as("ada", &notes, secret).await.unwrap();
        for read in [json!({"action": "list"}), json!({"action": "search", "query": "code"})] {
            let seen = call_as("bob", &notes, read).await.unwrap();
            assert_eq!(seen["notes"], json!([]));
        }
    }

    #[tokio::test]
    async fn an_action_without_what_it_needs_says_so() {
        let notes = notes();
        let missing = |needs: &str| Err(ToolError::BadArguments(needs.to_owned()));
        let write = call_as("ada", &notes, json!({"action": "write", "text": "  "})).await;
        assert_eq!(write, missing("`write` needs `text`"));
        let search = call_as("ada", &notes, json!({"action": "search"})).await;
        assert_eq!(search, missing("`search` needs `query`"));
    }

    #[tokio::test]
    async fn a_full_store_is_told_plainly() {
        let notes = notes();
        for _ in 0..crate::store::NOTES_PER_USER {
            call_as("ada", &notes, json!({"action": "write", "text": "x"}))
                .await
                .unwrap();
        }
        let answer = call_as("ada", &notes, json!({"action": "write", "text": "one more"})).await;
        assert!(matches!(answer, Err(ToolError::Failed(why)) if why.contains("at most 1000 notes")));
    }

    #[tokio::test]
    async fn the_schema_rejects_a_user_and_other_extra_fields() {
        let tools = frozen(notes());
        let class = tools.get(NAME).unwrap();
        assert_eq!(class.validate(&json!({"action": "list"})), Ok(()));
        assert_eq!(class.validate(&json!({"action": "search", "query": "x"})), Ok(()));
        assert!(class.validate(&json!({"action": "list", "user": "bob"})).is_err());
        assert!(class.validate(&json!({"action": "delete"})).is_err());
        assert!(class.validate(&json!({"action": "write", "text": ""})).is_err());
        assert!(class.validate(&json!({})).is_err());
    }
}
