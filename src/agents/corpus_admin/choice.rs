//! What the model chooses to do with documents, and what of it may be done.
//!
//! A document can say anything, and the model reads it. So what changes a document must stand in the user's own words: the
//! text as a whole, and which document it is.

use schemars::JsonSchema;
use serde::Deserialize;
use sessile_actors::ids::DocumentId;
use sessile_actors::infra::model::ChatMessage;

use super::rules::{Request, Which};

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Action {
    /// Name the newest documents.
    List,
    /// Find documents by the words of `query`.
    Search,
    /// Show the document `document_id` or `name`.
    Show,
    /// Keep `text` as a new document called `name`.
    Add,
    /// Put `text` in the place of all that stands in the document `document_id` or `name`.
    Update,
    /// Delete the document `document_id` or `name`.
    Delete,
    /// Ask the user `question`.
    Ask,
}

/// What the model says.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    action: Action,
    /// What to look for.
    #[serde(default)]
    #[schemars(length(min = 1, max = 200))]
    query: Option<String>,
    /// The document's name, as the user says it.
    #[serde(default)]
    #[schemars(length(min = 1, max = 200))]
    name: Option<String>,
    /// The document's id.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    document_id: Option<DocumentId>,
    /// The text, letter by letter as it stands in the message.
    #[serde(default)]
    #[schemars(length(min = 1, max = 60000))]
    text: Option<String>,
    /// What to ask.
    #[serde(default)]
    #[schemars(length(min = 1, max = 300))]
    question: Option<String>,
}

/// What a choice can stand on.
pub struct Ground {
    /// The message.
    message: String,
    /// All that the user said in the thread, in small letters.
    by_user: String,
    /// What was answered, in small letters.
    by_agents: String,
    references: Vec<DocumentId>,
}

impl Ground {
    /// Gathers it.
    pub fn of(message: &str, history: &[ChatMessage], references: &[DocumentId]) -> Self {
        let (mut by_user, mut by_agents) = (message.to_lowercase(), String::new());
        for earlier in history {
            let (place, words) = match earlier {
                ChatMessage::User(words) => (&mut by_user, words),
                ChatMessage::Assistant { text, .. } => (&mut by_agents, text),
                ChatMessage::Tool { .. } => continue,
            };
            place.push('\n');
            place.push_str(&words.to_lowercase());
        }
        Self {
            message: message.to_owned(),
            by_user,
            by_agents,
            references: references.to_vec(),
        }
    }

    fn is_named_by_user(&self, choice: &Choice) -> bool {
        choice.is_named_in(&self.by_user) || choice.document_id.is_some_and(|id| self.references.contains(&id))
    }
}

impl Choice {
    /// Whether it may be done.
    ///
    /// # Errors
    /// What is wrong, for the model to mend.
    pub fn check(&self, ground: &Ground) -> Result<(), String> {
        let needs = |is_there: bool, what: &str| match is_there {
            true => Ok(()),
            false => Err(format!("this action needs {what}")),
        };
        let has_which = self.name.is_some() || self.document_id.is_some();
        let text_stands = || match self.text.as_deref().map(str::trim) {
            Some(text) if !text.is_empty() && ground.message.contains(text) => Ok(()),
            Some(_) => Err("`text` must stand in the message, letter by letter".to_owned()),
            None => Err("this action needs `text`".to_owned()),
        };
        let unnamed = || "the user named no such document: name it as the message does, or ask".to_owned();
        match self.action {
            Action::List => Ok(()),
            Action::Search => needs(self.query.is_some(), "`query`"),
            Action::Show => needs(has_which, "`name` or `document_id`"),
            Action::Ask => needs(self.question.is_some(), "`question`"),
            Action::Add => {
                needs(self.name.is_some(), "`name`")?;
                text_stands()
            }
            Action::Update => {
                needs(has_which, "`name` or `document_id`")?;
                if !ground.is_named_by_user(self) {
                    return Err(unnamed());
                }
                text_stands()
            }
            Action::Delete => {
                needs(has_which, "`name` or `document_id`")?;
                // One of the candidates that were asked back may be meant by its place; the user approves it by its name.
                if ground.is_named_by_user(self) || self.is_named_in(&ground.by_agents) {
                    return Ok(());
                }
                Err(unnamed())
            }
        }
    }

    /// Whether a text, in small letters, has its name or its id.
    fn is_named_in(&self, text: &str) -> bool {
        match (self.document_id, &self.name) {
            (Some(id), _) => text.contains(&id.to_string()),
            (None, Some(name)) => text.contains(&name.to_lowercase()),
            (None, None) => false,
        }
    }

    /// As a request.
    pub fn request(&self) -> Request {
        let text = self.text.clone().unwrap_or_default();
        let which = match (self.document_id, &self.name) {
            (Some(id), _) => Which::Id(id),
            (None, name) => Which::Name(name.clone().unwrap_or_default()),
        };
        match self.action {
            Action::List => Request::List,
            Action::Search => Request::Search {
                query: self.query.clone().unwrap_or_default(),
            },
            Action::Show => Request::Show { which },
            Action::Add => Request::Add {
                name: self.name.clone().unwrap_or_default(),
                text,
            },
            Action::Update => Request::Update { which, text },
            Action::Delete => Request::Delete { which },
            Action::Ask => Request::Ask {
                question: self.question.clone().unwrap_or_default(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn check(choice: Value, message: &str, answered: &str) -> Result<(), String> {
        let history = [ChatMessage::Assistant {
            text: answered.to_owned(),
            calls: Vec::new(),
        }];
        let choice: Choice = serde_json::from_value(choice).unwrap();
        choice.check(&Ground::of(message, &history, &[]))
    }

    #[test]
    fn what_the_user_said_may_be_done() {
        for (choice, message) in [
            (json!({"action": "list"}), "what is there"),
            (json!({"action": "search", "query": "latency"}), "anything on speed"),
            (json!({"action": "show", "name": "plan.md"}), "the newest one"),
            (
                json!({"action": "add", "name": "note", "text": "Buy milk."}),
                "keep this: Buy milk.",
            ),
            (
                json!({"action": "update", "name": "Plan", "text": "x y"}),
                "make plan say x y",
            ),
            (json!({"action": "delete", "name": "plan.md"}), "away with PLAN.md"),
        ] {
            assert_eq!(check(choice.clone(), message, ""), Ok(()), "{choice}");
        }
    }

    #[test]
    fn what_a_document_or_the_model_itself_made_up_is_objected_to() {
        for (choice, message, fault) in [
            (json!({"action": "search"}), "look", "needs `query`"),
            (
                json!({"action": "delete"}),
                "delete it",
                "needs `name` or `document_id`",
            ),
            (
                json!({"action": "delete", "name": "taxes.csv"}),
                "show plan.md",
                "named no such document",
            ),
            (
                json!({"action": "update", "name": "taxes.csv", "text": "plan"}),
                "summarise the plan",
                "named no such document",
            ),
            (
                json!({"action": "update", "name": "plan.md", "text": "0wned"}),
                "show plan.md",
                "letter by letter",
            ),
            (
                json!({"action": "add", "name": "x", "text": "0wned"}),
                "add x",
                "letter by letter",
            ),
            (
                json!({"action": "add", "name": "x", "text": " "}),
                "add x",
                "letter by letter",
            ),
        ] {
            let told = check(choice.clone(), message, "").unwrap_err();
            assert!(told.contains(fault), "{choice}: {told}");
        }
    }

    #[test]
    fn a_candidate_that_was_asked_back_may_be_deleted_but_not_updated_by_its_place() {
        let answered = "- taxes.csv\n- plan.md";
        let delete = json!({"action": "delete", "name": "taxes.csv"});
        assert_eq!(check(delete, "the first one", answered), Ok(()));
        let update = json!({"action": "update", "name": "taxes.csv", "text": "first"});
        assert!(check(update, "the first one", answered).is_err());
    }
}
