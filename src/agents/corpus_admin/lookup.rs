//! Finds the document that a request names, or the candidates to ask about.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sessile_actors::ids::DocumentId;
use sessile_actors::infra::AgentError;
use sessile_actors::session::run::RunContext;

use super::{CORPUS, Which, corpus};
use crate::agents::markdown::{escape, name};
use crate::agents::tool_reply;

/// Candidates that are told. Beyond them the rest is left out: who has more says more of the name.
const CANDIDATES: usize = 10;

/// Characters of a name that a search takes.
const QUERY_CHARS: usize = 200;

/// A document, as the tools name it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// Names it.
    pub document_id: DocumentId,
    /// What its user calls it.
    pub name: String,
    /// How long it is, where a tool said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// When it came, where a tool said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<String>,
    /// Where the words of a search stand in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snippet: Option<String>,
}

/// How sure it must be which document a name means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// It has this name, with or without its ending: to change it.
    ByName,
    /// Its name has these words: to look at it.
    Nearly,
}

/// The document, or what to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolved {
    /// This one.
    One(Document),
    /// None is certain.
    Ask(Asked),
}

/// What to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Why, as a sentence.
    pub why: String,
    /// Which it could be.
    pub candidates: Vec<Document>,
}

impl Document {
    /// Reads one; what a tool says beside is left alone.
    pub fn of(value: &Value) -> Option<Self> {
        Self::deserialize(value).ok()
    }

    /// Reads a list.
    pub fn all_in(list: &Value) -> Vec<Self> {
        let entries = list.as_array().into_iter().flatten();
        entries.filter_map(Self::of).collect()
    }

    /// Its name and what tells it from others.
    pub fn told(&self) -> String {
        let day = self.created_at.as_deref().and_then(|time| time.get(..10));
        let details = [
            Some(format!("id {}", self.document_id)),
            self.bytes.map(|bytes| format!("{bytes} bytes")),
            day.map(|day| format!("of {}", escape(day))),
        ];
        let details: Vec<String> = details.into_iter().flatten().collect();
        format!("{} ({})", name(&self.name), details.join(", "))
    }
}

/// Documents one by one.
pub fn listed(documents: &[Document]) -> String {
    let lines = documents.iter().map(|document| match &document.snippet {
        Some(snippet) => format!("- {}: {}\n", document.told(), escape(snippet)),
        None => format!("- {}\n", document.told()),
    });
    lines.collect()
}

/// Finds the document that is meant.
///
/// # Errors
/// The end of the run, or the tool's failure. That there is none, or more than one, is to be asked.
pub async fn which(run: &mut RunContext, which: &Which, sure: Found) -> Result<Resolved, AgentError> {
    match which {
        Which::Id(id) => by_id(run, *id).await,
        Which::Referenced => match run.references() {
            &[id] => by_id(run, id).await,
            _ => Ok(ask(
                "The message names several documents, and one at a time is worked on.",
                Vec::new(),
            )),
        },
        Which::Name(wanted) => {
            let mut documents = Document::all_in(&corpus(run, json!({"action": "list"})).await?["documents"]);
            // The list has the newest alone; the names of all others are found by their words.
            if wanted.contains(char::is_alphanumeric) {
                let query: String = wanted.chars().take(QUERY_CHARS).collect();
                let found = corpus(run, json!({"action": "search", "query": query})).await?;
                for mut document in Document::all_in(&found["found"]) {
                    document.snippet = None;
                    if !documents.iter().any(|known| known.document_id == document.document_id) {
                        documents.push(document);
                    }
                }
            }
            Ok(among(documents, wanted, sure))
        }
    }
}

async fn by_id(run: &mut RunContext, id: DocumentId) -> Result<Resolved, AgentError> {
    let reply = tool_reply::call(run, CORPUS, json!({"action": "get", "document_id": id})).await?;
    Ok(match reply {
        Ok(result) => match Document::of(&result["document"]) {
            Some(document) => Resolved::One(document),
            None => ask("The document can't be read now. Send the message again.", Vec::new()),
        },
        Err(why) => ask(&escape(&why.sentence()), Vec::new()),
    })
}

/// The one document that has this name, if it is certain.
fn among(documents: Vec<Document>, wanted: &str, sure: Found) -> Resolved {
    let wanted_small = wanted.to_lowercase();
    let tiers: [&dyn Fn(&str) -> bool; 3] = [
        &|name| name == wanted_small,
        &|name| name.rsplit_once('.').is_some_and(|(stem, _)| stem == wanted_small),
        &|name| {
            let mut words = wanted_small.split_whitespace().peekable();
            words.peek().is_some() && words.all(|word| name.contains(word))
        },
    ];
    for (tier, fits) in tiers.iter().enumerate() {
        let mut found: Vec<Document> = documents
            .iter()
            .filter(|document| fits(&document.name.to_lowercase()))
            .cloned()
            .collect();
        let is_sure = tier < 2 || sure == Found::Nearly;
        match found.len() {
            0 => {}
            1 if is_sure => return Resolved::One(found.remove(0)),
            1 => {
                return ask(
                    &format!("No document is called {} exactly. One is nearly:", name(wanted)),
                    found,
                );
            }
            _ => {
                let shown = found.len().min(CANDIDATES);
                let rest = found.len() - shown;
                found.truncate(shown);
                let more = if rest > 0 {
                    format!(" ({rest} more are not shown)")
                } else {
                    String::new()
                };
                return ask(&format!("More than one document fits {}{more}:", name(wanted)), found);
            }
        }
    }
    ask(
        &format!(
            "You have no document called {}. `list my documents` names the newest.",
            name(wanted)
        ),
        Vec::new(),
    )
}

fn ask(why: &str, candidates: Vec<Document>) -> Resolved {
    Resolved::Ask(Asked {
        why: why.to_owned(),
        candidates,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(names: &[&str]) -> Vec<Document> {
        let documents = names.iter().map(|name| Document {
            document_id: DocumentId::mint(),
            name: (*name).to_owned(),
            bytes: None,
            created_at: None,
            snippet: None,
        });
        documents.collect()
    }

    /// The name that was found, or `? name name` for what is asked.
    fn found(names: &[&str], wanted: &str, sure: Found) -> String {
        match among(named(names), wanted, sure) {
            Resolved::One(document) => document.name,
            Resolved::Ask(asked) => {
                let names: Vec<String> = asked.candidates.into_iter().map(|document| document.name).collect();
                format!("? {}", names.join(" ")).trim_end().to_owned()
            }
        }
    }

    #[test]
    fn a_document_is_changed_where_its_name_is_certain_and_else_asked_back() {
        let names = ["plan.md", "plan b.md", "usage.csv", "usage.json", "PLAN.MD.old"];
        for (wanted, to_change, to_look) in [
            ("plan.md", "plan.md", "plan.md"),
            ("Plan.MD", "plan.md", "plan.md"),
            ("plan", "plan.md", "plan.md"),
            ("usage", "? usage.csv usage.json", "? usage.csv usage.json"),
            ("b", "? plan b.md", "plan b.md"),
            ("old plan", "? PLAN.MD.old", "PLAN.MD.old"),
            ("diary", "?", "?"),
            ("", "?", "?"),
            ("%", "?", "?"),
        ] {
            assert_eq!(found(&names, wanted, Found::ByName), to_change, "{wanted}");
            assert_eq!(found(&names, wanted, Found::Nearly), to_look, "{wanted}");
        }
        assert_eq!(found(&["a.md", "a.md"], "a.md", Found::Nearly), "? a.md a.md");
    }

    #[test]
    fn many_candidates_are_cut_and_that_is_said() {
        let names: Vec<String> = (0..CANDIDATES + 3).map(|n| format!("plan {n}.md")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let Resolved::Ask(asked) = among(named(&names), "plan", Found::ByName) else {
            panic!("nothing was asked");
        };
        assert_eq!(asked.candidates.len(), CANDIDATES);
        assert_eq!(asked.why, "More than one document fits plan (3 more are not shown):");
    }

    #[test]
    fn what_stands_in_names_and_snippets_is_no_markup() {
        let mut document = named(&["<b>|`x`"]).remove(0);
        document.snippet = Some("see [here](http://evil)".to_owned());
        let told = listed(&[document]);
        assert!(told.starts_with("- &lt;b&gt;\\|\\`x\\` (id "), "{told}");
        assert!(told.contains("\\[here\\]"), "{told}");
    }
}
