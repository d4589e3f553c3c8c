//! What tests of tools share: a note store in memory, and calls on behalf of a user.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::Value;
use sessile_actors::ids::{CallId, UserId};
use sessile_actors::infra::{Tool, ToolClassRegistry, ToolContext, ToolError};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::note_store::{Note, NoteError, NoteStore};

/// Freezes one tool.
pub fn frozen(tool: impl Tool + 'static) -> ToolClassRegistry {
    ToolClassRegistry::builder().tool(tool).freeze().unwrap()
}

/// Calls a tool for the user of this name.
pub async fn call_as(user: &str, tool: &dyn Tool, arguments: Value) -> Result<Value, ToolError> {
    let context = ToolContext {
        user: sessile_actors::testing::context(user),
        call: CallId::mint(),
        cancelled: CancellationToken::new(),
    };
    tool.call(context, arguments).await
}

/// Notes in memory.
pub struct NoteShelf {
    rows: Arc<Mutex<Vec<(UserId, Note)>>>,
    most: u64,
}

impl Default for NoteShelf {
    fn default() -> Self {
        Self::holding(1000)
    }
}

impl NoteShelf {
    /// A shelf for `most` notes.
    pub fn holding(most: u64) -> Self {
        Self {
            rows: Arc::default(),
            most,
        }
    }

    fn read(&self, user: UserId, query: String, limit: u32) -> BoxFuture<'static, Result<Vec<Note>, NoteError>> {
        let rows = Arc::clone(&self.rows);
        async move {
            let rows = rows.lock().await;
            let own = rows.iter().rev().filter(|(owner, _)| *owner == user);
            let matching = own.filter(|(_, note)| note.text.to_lowercase().contains(&query.to_lowercase()));
            Ok(matching.take(limit as usize).map(|(_, note)| note.clone()).collect())
        }
        .boxed()
    }
}

impl NoteStore for NoteShelf {
    fn write(&self, user: UserId, text: String) -> BoxFuture<'static, Result<i64, NoteError>> {
        let (rows, most) = (Arc::clone(&self.rows), self.most);
        async move {
            let mut rows = rows.lock().await;
            if rows.len() as u64 >= most {
                return Err(NoteError::Full { most });
            }
            let id = rows.len() as i64 + 1;
            let created_at = "2026-11-20T12:00:00Z".to_owned();
            rows.push((user, Note { id, text, created_at }));
            Ok(id)
        }
        .boxed()
    }

    fn list(&self, user: UserId, limit: u32) -> BoxFuture<'static, Result<Vec<Note>, NoteError>> {
        self.read(user, String::new(), limit)
    }

    fn search(&self, user: UserId, query: String, limit: u32) -> BoxFuture<'static, Result<Vec<Note>, NoteError>> {
        self.read(user, query, limit)
    }
}
