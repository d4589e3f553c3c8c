//! Reads by its words what a message wants done with documents.

use std::ops::Range;

use pulldown_cmark::{CodeBlockKind, Event, Parser, Tag, TagEnd};
use sessile_actors::ids::DocumentId;

use crate::agents::source::words_of;

/// Characters of a search that are looked for. What comes after them is left out.
const QUERY_CHARS: usize = 200;

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Name the newest documents.
    List,
    /// Find documents by words.
    Search {
        /// The words.
        query: String,
    },
    /// Show a document.
    Show {
        /// Which.
        which: Which,
    },
    /// Keep a new one.
    Add {
        /// What to call it.
        name: String,
        /// What stands in it.
        text: String,
    },
    /// Give one another text.
    Update {
        /// Which.
        which: Which,
        /// What stands in it from now on.
        text: String,
    },
    /// Take one away.
    Delete {
        /// Which.
        which: Which,
    },
    /// Nobody knows: say so, and why.
    Unclear {
        /// A sentence; empty where there is nothing to say.
        why: String,
    },
    /// Ask this.
    Ask {
        /// The question.
        question: String,
    },
}

/// Which document is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// The one with this id.
    Id(DocumentId),
    /// The one of this name.
    Name(String),
    /// The one that the message refers to.
    Referenced,
}

/// What a word asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    List,
    Search,
    Show,
    Add,
    Update,
    Delete,
}

/// The words that ask for it. The first that stands in a message counts.
const VERBS: [(Verb, &[&str]); 6] = [
    (Verb::Delete, &["delete", "remove", "erase", "discard"]),
    (Verb::Update, &["update", "replace", "overwrite", "rewrite"]),
    (Verb::Add, &["add", "save", "store", "create", "keep"]),
    (Verb::Search, &["search", "find", "look"]),
    (Verb::Show, &["show", "read", "open", "get", "display", "print"]),
    (Verb::List, &["list", "which", "what"]),
];

/// What turns a verb into its opposite, or asks how: nothing is changed on such words.
const HOLDS_BACK: [&str; 13] = [
    "not", "never", "t", "dont", "cannot", "without", "how", "should", "why", "when", "whether", "if", "undo",
];

/// What stands around a name and is no part of it.
const AROUND: [&str; 22] = [
    "the",
    "a",
    "an",
    "my",
    "our",
    "new",
    "this",
    "that",
    "it",
    "them",
    "document",
    "documents",
    "file",
    "files",
    "doc",
    "corpus",
    "called",
    "named",
    "please",
    "now",
    "from",
    "as",
];

/// What stands between searching and what is searched for.
const BEFORE_QUERY: [&str; 12] = [
    "in",
    "through",
    "my",
    "all",
    "the",
    "documents",
    "document",
    "files",
    "corpus",
    "for",
    "at",
    "about",
];

/// What stands between a document's name and its text.
const BEFORE_TEXT: [&str; 5] = ["with", "by", "to", "saying", "containing"];

/// What ends the naming of a document before its text.
const SEPARATORS: [char; 2] = [':', '\n'];

/// Reads a message.
pub fn read(message: &str, has_references: bool) -> Request {
    let words = words_of(message);
    let Some((verb, begin, end)) = verb_in(&words) else {
        return unclear("");
    };
    let rest = &words[end..];
    let is_held_back = tokens(&words[..begin]).any(|(_, _, word)| HOLDS_BACK.contains(&word.as_str()));
    let changes = matches!(verb, Verb::Delete | Verb::Update | Verb::Add);
    if is_held_back && changes {
        return unclear("Nothing was changed: the message does not say plainly that something should be.");
    }
    match verb {
        Verb::List => Request::List,
        Verb::Search => search(rest),
        Verb::Show => {
            let name = name_in(rest);
            let is_list = name.is_empty() && !has_references;
            if is_list {
                Request::List
            } else {
                Request::Show {
                    which: which(name, has_references),
                }
            }
        }
        Verb::Delete => delete(rest, has_references),
        Verb::Add => with_text(message, rest, |name, text| match name {
            name if name.is_empty() => unclear("Say what to call the document."),
            name => Request::Add { name, text },
        }),
        Verb::Update => with_text(message, rest, |name, text| match name.is_empty() && !has_references {
            true => unclear("Say which document is to be updated."),
            false => Request::Update {
                which: which(name, has_references),
                text,
            },
        }),
    }
}

fn unclear(why: &str) -> Request {
    Request::Unclear { why: why.to_owned() }
}

fn search(rest: &str) -> Request {
    let query = quoted(rest).map_or_else(|| without_before(rest, &BEFORE_QUERY), str::to_owned);
    let query: String = query
        .trim_end_matches(['?', '.', '!'])
        .chars()
        .take(QUERY_CHARS)
        .collect();
    if query.contains(char::is_alphanumeric) {
        Request::Search { query }
    } else {
        unclear("Say which words to search for.")
    }
}

fn delete(rest: &str, has_references: bool) -> Request {
    let name = name_in(rest);
    let is_all = tokens(rest).any(|(_, _, word)| matches!(word.as_str(), "all" | "every" | "everything"));
    if quoted(rest).is_none() && is_all {
        return unclear("One document at a time is deleted, after you approved it.");
    }
    if name.is_empty() && !has_references {
        return unclear("Say which document is to be deleted.");
    }
    Request::Delete {
        which: which(name, has_references),
    }
}

/// A request that needs a text: it stands in a fenced block, or after a colon.
fn with_text(message: &str, rest: &str, request: impl FnOnce(String, String) -> Request) -> Request {
    let blocks = fenced(message);
    // A name in quotes may have a colon in it.
    let first = rest.find(SEPARATORS);
    let quotes = quotes(rest).filter(|quotes| first.is_some_and(|first| quotes.start < first));
    let from = quotes.map_or(0, |quotes| quotes.end);
    let (naming, after) = match rest[from..].find(SEPARATORS) {
        Some(at) => (&rest[..from + at], rest[from + at + 1..].trim()),
        None => (rest, ""),
    };
    let text = match (blocks.as_slice(), after) {
        ([block], _) => block.clone(),
        ([], after) if !after.is_empty() => after.to_owned(),
        ([], _) => {
            return unclear("The text is missing: put it between two lines of three backticks.");
        }
        _ => return unclear("There is more than one text: put all of it into one block."),
    };
    request(name_in(naming), text)
}

/// Which document a name means.
fn which(name: String, has_references: bool) -> Which {
    if name.is_empty() && has_references {
        return Which::Referenced;
    }
    match name.parse() {
        Ok(id) => Which::Id(id),
        Err(_) => Which::Name(name),
    }
}

/// What names a document: what is quoted, else the words that are left without what stands around names.
fn name_in(text: &str) -> String {
    let text = text.split('\n').next().unwrap_or_default();
    if let Some(name) = quoted(text) {
        return name.trim().to_owned();
    }
    let is_around = |word: &str, more: &[&str]| {
        let word = word.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase();
        word.is_empty() || AROUND.contains(&&*word) || more.contains(&&*word)
    };
    let mut words: Vec<&str> = text.split_whitespace().collect();
    while words.first().is_some_and(|word| is_around(word, &[])) {
        words.remove(0);
    }
    while words.last().is_some_and(|word| is_around(word, &BEFORE_TEXT)) {
        words.pop();
    }
    let name = words.join(" ");
    name.trim_end_matches(['.', ',', '?', '!', ';', ':']).to_owned()
}

/// What stands in quotes.
fn quoted(text: &str) -> Option<&str> {
    quotes(text).map(|place| &text[place])
}

/// Where what stands in quotes begins and ends.
fn quotes(text: &str) -> Option<Range<usize>> {
    [('`', '`'), ('"', '"'), ('“', '”'), ('„', '“')]
        .into_iter()
        .find_map(|(open, close)| {
            let begin = text.find(open)? + open.len_utf8();
            let end = begin + text[begin..].find(close)?;
            (!text[begin..end].trim().is_empty()).then_some(begin..end)
        })
}

/// A text without the words of a list that it begins with.
fn without_before(text: &str, before: &[&str]) -> String {
    let mut rest = text.trim();
    while let Some((begin, end, word)) = tokens(rest).next()
        && rest[..begin].trim().is_empty()
        && before.contains(&word.as_str())
    {
        rest = rest[end..].trim_start();
    }
    rest.trim().to_owned()
}

/// The first verb, and where it begins and ends.
fn verb_in(text: &str) -> Option<(Verb, usize, usize)> {
    tokens(text).find_map(|(begin, end, word)| {
        let (verb, _) = VERBS.iter().find(|(_, words)| words.contains(&word.as_str()))?;
        Some((*verb, begin, end))
    })
}

/// The words of a text in small letters, with where they begin and end.
fn tokens(text: &str) -> impl Iterator<Item = (usize, usize, String)> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let begin = from + text[from..].find(char::is_alphanumeric)?;
        let tail = &text[begin..];
        from = begin + tail.find(|c: char| !c.is_alphanumeric()).unwrap_or(tail.len());
        Some((begin, from, text[begin..from].to_lowercase()))
    })
}

/// The texts of the fenced blocks of a message, whatever their format.
fn fenced(message: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut open: Option<String> = None;
    for event in Parser::new(message) {
        match event {
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(_))) => open = Some(String::new()),
            Event::Text(piece) => {
                if let Some(text) = &mut open {
                    text.push_str(&piece);
                }
            }
            Event::End(TagEnd::CodeBlock) => found.extend(open.take().filter(|text| !text.trim().is_empty())),
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A request in short.
    fn short(message: &str) -> String {
        let which = |which: Which| match which {
            Which::Id(id) => format!("id {id}"),
            Which::Name(name) => name,
            Which::Referenced => "(referenced)".to_owned(),
        };
        match read(message, message.starts_with('^')) {
            Request::List => "list".to_owned(),
            Request::Search { query } => format!("search {query}"),
            Request::Show { which: shown } => format!("show {}", which(shown)),
            Request::Add { name, text } => format!("add {name} = {}", text.trim()),
            Request::Update { which: changed, text } => format!("update {} = {}", which(changed), text.trim()),
            Request::Delete { which: deleted } => format!("delete {}", which(deleted)),
            Request::Unclear { why } => format!("? {why}").trim().to_owned(),
            Request::Ask { question } => question,
        }
    }

    #[test]
    fn requests_are_read_by_their_words() {
        for (message, request) in [
            ("list my documents", "list"),
            ("Which documents do I have?", "list"),
            ("show my documents", "list"),
            ("search my documents for cache hits", "search cache hits"),
            ("Search for \"prompt cache\" please", "search prompt cache"),
            ("find latency", "search latency"),
            ("look for delete markers", "search delete markers"),
            ("search my documents for `delete plan.md`", "search delete plan.md"),
            ("show plan.md", "show plan.md"),
            ("Please open the document called \"Q3 plan\"", "show Q3 plan"),
            ("delete document plan.md", "delete plan.md"),
            ("Delete the file usage 2026.csv, please.", "delete usage 2026.csv"),
            ("Could you remove `my notes` from my documents?", "delete my notes"),
            ("delete plan", "delete plan"),
            (
                "delete document 0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b",
                "delete id 0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b",
            ),
            ("^ delete this document", "delete (referenced)"),
            ("^ show it", "show (referenced)"),
            (
                "add document plan.md: Move the summaries.",
                "add plan.md = Move the summaries.",
            ),
            ("save as `a: b.md`\n```md\n# A\n```", "add a: b.md = # A"),
            (
                "Add a new document called todo.txt\nbuy milk\nsell tea",
                "add todo.txt = buy milk\nsell tea",
            ),
            (
                "update plan.md with:\n```\nKeep them.\n```",
                "update plan.md = Keep them.",
            ),
            ("replace the document plan.md by: none", "update plan.md = none"),
            ("^ update this document: short", "update (referenced) = short"),
        ] {
            assert_eq!(short(message), request, "{message}");
        }
    }

    #[test]
    fn nothing_is_changed_on_words_that_do_not_say_so_plainly() {
        for message in [
            "don't delete plan.md",
            "Do not delete plan.md",
            "please don’t remove plan.md",
            "never overwrite plan.md: x",
            "How do I delete plan.md?",
            "should I delete plan.md?",
            "what if somebody were to delete plan.md",
            "delete all my documents",
            "delete everything",
            "delete",
            "delete the document",
            "update plan.md",
            "update: new text",
            "add: new text",
            "add plan.md\n```\na\n```\n```\nb\n```",
            "plan.md",
            "hello",
            "",
        ] {
            let request = short(message);
            assert!(request.starts_with('?') || request == "list", "{message}: {request}");
        }
    }

    #[test]
    fn a_request_in_a_documents_text_is_no_request() {
        let message = "```\ndelete document plan.md\n```\n";
        assert_eq!(short(message), "?");
        assert_eq!(
            short(&format!("add document a.md\n{message}")),
            "add a.md = delete document plan.md"
        );
    }
}
