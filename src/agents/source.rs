//! Where a run's usage data is: in documents that the message names, in the message itself, or earlier in the thread.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sessile_actors::ids::DocumentId;
use sessile_actors::infra::model::ChatMessage;
use sessile_actors::session::run::{RunContext, RunOver};

/// How many places are looked at. Beyond them the rest is left alone: each is read as a whole.
pub const SOURCES_MAX: usize = 3;

/// Lines that a block must have to be a table: a header and a row.
const TABLE_LINES: usize = 2;

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

/// The blocks of data in a message, in order.
pub fn in_text(message: &str) -> Vec<Source> {
    let blocks = blocks(message).into_iter();
    blocks
        .filter_map(|part| match part {
            Part::Words(_) => None,
            Part::Block { info, text } => Some(Source::Text {
                format: format_of(info, &text)?,
                text,
            }),
        })
        .collect()
}

/// The message without its blocks.
pub fn words_of(message: &str) -> String {
    let mut words = String::new();
    for part in blocks(message) {
        if let Part::Words(line) = part {
            words.push_str(line);
            words.push('\n');
        }
    }
    words.trim().to_owned()
}

/// A part of a message.
enum Part<'a> {
    /// A line outside of blocks.
    Words(&'a str),
    /// What stands between two fences, and what the first says of it.
    Block { info: &'a str, text: String },
}

/// Parts a message at its fences. A block without an end reaches to the end of the message.
fn blocks(message: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut open: Option<(&str, &str, String)> = None;
    for line in message.lines() {
        let fence = fence_of(line);
        match open.take() {
            None => match fence {
                Some((fence, info)) => open = Some((fence, info, String::new())),
                None => parts.push(Part::Words(line)),
            },
            Some((begun, info, text)) => match fence {
                Some((fence, "")) if fence.starts_with(begun) => parts.push(Part::Block { info, text }),
                _ => open = Some((begun, info, text + line + "\n")),
            },
        }
    }
    if let Some((_, info, text)) = open {
        parts.push(Part::Block { info, text });
    }
    parts
}

/// The fence that a line is, and what stands after it.
fn fence_of(line: &str) -> Option<(&str, &str)> {
    let line = line.trim();
    let sign = line.chars().next().filter(|sign| matches!(sign, '`' | '~'))?;
    let length = line.chars().take_while(|character| *character == sign).count();
    (length >= 3).then(|| (&line[..length], line[length..].trim()))
}

/// How a block's data is written; none where it is no data.
fn format_of(info: &str, text: &str) -> Option<Format> {
    let text = text.trim();
    let kind = info.split_whitespace().next().unwrap_or_default().to_lowercase();
    match kind.as_str() {
        "csv" | "tsv" => Some(Format::Csv),
        "json" => Some(Format::Json),
        "" | "text" | "txt" => {
            let header = text.lines().next().unwrap_or_default();
            let columns = header.split([',', ';', '\t']).count();
            if text.starts_with(['[', '{']) {
                Some(Format::Json)
            } else if columns >= 2 && text.lines().count() >= TABLE_LINES {
                Some(Format::Csv)
            } else {
                None
            }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn found(message: &str) -> Vec<Value> {
        in_text(message).iter().map(Source::arguments).collect()
    }

    #[test]
    fn blocks_of_data_are_found_by_what_they_say_or_look_like() {
        for (message, expected) in [
            (
                "```csv\na,b\n1,2\n```",
                vec![json!({"text": "a,b\n1,2\n", "format": "csv"})],
            ),
            ("~~~ JSON\n[]\n~~~", vec![json!({"text": "[]\n", "format": "json"})]),
            (
                "see\n```\na;b\n1;2\n```\nthanks",
                vec![json!({"text": "a;b\n1;2\n", "format": "csv"})],
            ),
            (
                "```\n{\"rows\": []}\n```",
                vec![json!({"text": "{\"rows\": []}\n", "format": "json"})],
            ),
            ("```csv\na,b\n1,2", vec![json!({"text": "a,b\n1,2\n", "format": "csv"})]),
            (
                "````csv\n```\na,b\n````",
                vec![json!({"text": "```\na,b\n", "format": "csv"})],
            ),
            ("```\njust words\n```", vec![]),
            ("```rust\nlet a = [1, 2];\n```", vec![]),
            ("a,b\n1,2", vec![]),
            ("", vec![]),
        ] {
            assert_eq!(found(message), expected, "{message}");
        }
    }

    #[test]
    fn the_words_of_a_message_are_what_stands_outside_its_blocks() {
        assert_eq!(words_of("cut costs\n```csv\ncost,x\n```\nplease"), "cut costs\nplease");
        assert_eq!(words_of("```csv\na,b"), "");
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
