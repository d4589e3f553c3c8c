//! Where a run's usage data is: in documents that the message names, in the message itself, or earlier in the thread.

use pulldown_cmark::{CodeBlockKind, Event, Parser, Tag};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sessile_actors::ids::DocumentId;
use sessile_actors::infra::model::ChatMessage;
use sessile_actors::session::run::{RunContext, RunOver};

use super::inline::documents_in;

/// How many places are looked at. Beyond them the rest is left alone: each is read as a whole.
pub const SOURCES_MAX: usize = 3;

/// Where usage data is, as the usage tools take it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Source {
    /// In a document of the user's.
    Document {
        /// Which one.
        document_id: DocumentId,
    },
    /// In this text.
    Text {
        /// The data.
        text: String,
        /// How it is written.
        format: Format,
    },
}

/// How data is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// A header and rows.
    Csv,
    /// A list of objects.
    Json,
}

impl Source {
    /// As arguments of the usage tools.
    pub fn arguments(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    /// As it is named in a sentence.
    pub const fn words(&self) -> &'static str {
        match self {
            Self::Document { .. } => "a document that the message names",
            Self::Text { .. } => "a block of text in the conversation",
        }
    }
}

/// The places where this run's data may be, the likeliest first: documents, the message, earlier messages from the newest on.
///
/// # Errors
/// [`RunOver`] where the run is being stopped.
pub async fn of_run(run: &RunContext) -> Result<Vec<Source>, RunOver> {
    let mut found: Vec<Source> = run
        .references()
        .iter()
        .map(|&document_id| Source::Document { document_id })
        .collect();
    found.extend(in_text(run.message()));
    if found.is_empty() {
        for message in run.history().await?.iter().rev() {
            if let ChatMessage::User(words) = message {
                found.extend(in_text(words));
            }
        }
    }
    found.truncate(SOURCES_MAX);
    Ok(found)
}

/// The documents in a message, in order.
pub fn in_text(message: &str) -> Vec<Source> {
    let documents = documents_in(message).into_iter();
    documents
        .map(|document| Source::Text {
            text: document.text,
            format: match document.format {
                "json" => Format::Json,
                _ => Format::Csv,
            },
        })
        .collect()
}

/// The message without its fenced blocks.
pub fn words_of(message: &str) -> String {
    let mut words = String::new();
    let mut end = 0;
    for (event, place) in Parser::new(message).into_offset_iter() {
        if matches!(event, Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(_)))) && place.start >= end {
            words.push_str(&message[end..place.start]);
            end = place.end;
        }
    }
    words.push_str(&message[end..]);
    words.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_documents_in_a_message_are_sources() {
        let message = "see\n```csv\na,b\n1,2\n```\n~~~ JSON\n[]\n~~~";
        let found: Vec<Value> = in_text(message).iter().map(Source::arguments).collect();
        let expected = [
            json!({"text": "a,b\n1,2\n", "format": "csv"}),
            json!({"text": "[]\n", "format": "json"}),
        ];
        assert_eq!(found, expected);
        assert!(in_text("a,b\n1,2").is_empty());
    }

    #[test]
    fn the_words_of_a_message_are_what_stands_outside_its_blocks() {
        for (message, words) in [
            ("cut costs\n```csv\ncost,x\n```\nplease", "cut costs\n\nplease"),
            ("cut\n~~~\nslow\n~~~\n```json\n[]\n```", "cut"),
            ("```csv\na,b", ""),
            ("- here:\n  ```csv\n  slow\n  ```\n- cut", "- here:\n  \n- cut"),
            ("plain `slow` words", "plain `slow` words"),
        ] {
            assert_eq!(words_of(message), words, "{message:?}");
        }
    }

    #[test]
    fn a_source_reads_back_as_what_it_was() {
        let document = Source::Document {
            document_id: DocumentId::mint(),
        };
        for source in [document, in_text("```csv\na,b\n1,2\n```").remove(0)] {
            assert_eq!(serde_json::from_value::<Source>(source.arguments()).unwrap(), source);
        }
        assert!(serde_json::from_value::<Source>(json!({"path": "/etc/passwd"})).is_err());
    }
}
