//! Documents that stand in a message itself: fenced blocks of CSV or JSON.

use pulldown_cmark::{CodeBlockKind, Event, Parser, Tag, TagEnd};

/// Documents of one message at most. What comes after them is words like any other.
pub const INLINE_DOCUMENTS_MAX: usize = 8;

/// A fenced block whose info string names its format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InlineDocument {
    /// `csv` or `json`.
    pub format: &'static str,
    /// What stands between the fences.
    pub text: String,
}

/// The blocks of a message that are documents, in order, by the rules of CommonMark: fences of backticks or tildes, longer
/// ones around shorter ones, in lists and quotes too, and open until the message's end where nothing closes them. Empty ones
/// are none.
#[must_use]
pub fn documents_in(message: &str) -> Vec<InlineDocument> {
    let mut found: Vec<InlineDocument> = Vec::new();
    let mut open: Option<InlineDocument> = None;
    for event in Parser::new(message) {
        match event {
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(info))) => {
                let text = String::new();
                open = format(&info).map(|format| InlineDocument { format, text });
            }
            Event::Text(piece) => {
                if let Some(document) = &mut open {
                    document.text.push_str(&piece);
                }
            }
            Event::End(TagEnd::CodeBlock) => {
                let ended = open.take().filter(|document| !document.text.trim().is_empty());
                found.extend(ended);
                if found.len() == INLINE_DOCUMENTS_MAX {
                    break;
                }
            }
            _ => {}
        }
    }
    found
}

/// The format that an info string begins with.
fn format(info: &str) -> Option<&'static str> {
    let word = info.split_whitespace().next()?;
    ["csv", "json"]
        .into_iter()
        .find(|format| word.eq_ignore_ascii_case(format))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(message: &str) -> Vec<(&'static str, String)> {
        let found = documents_in(message).into_iter();
        found.map(|document| (document.format, document.text)).collect()
    }

    fn one(format: &'static str, text: &str) -> Vec<(&'static str, String)> {
        vec![(format, text.to_owned())]
    }

    #[test]
    fn fenced_blocks_are_found_in_order_with_their_formats() {
        let message = "Look:\n\n```csv\na,b\n1,2\n```\nand\n~~~ JSON usage\n[{\"a\": 1}]\n~~~\nwhat costs most?";
        assert_eq!(
            texts(message),
            [("csv", "a,b\n1,2\n".to_owned()), ("json", "[{\"a\": 1}]\n".to_owned())]
        );
    }

    #[test]
    fn other_blocks_are_no_documents() {
        for message in [
            "```\na,b\n```",
            "```rust\nlet csv = 1;\n```",
            "    ```csv\n    a,b\n    ```",
            "``csv\na,b\n``",
            "`csv a,b`",
            "```csv\n\n```",
            "```csv``` a,b",
            "csv\na,b",
        ] {
            assert_eq!(texts(message), [], "{message:?}");
        }
    }

    #[test]
    fn a_longer_fence_holds_a_shorter_one_and_only_its_own_kind_closes_it() {
        assert_eq!(texts("````csv\na\n```\nb\n````\nc"), one("csv", "a\n```\nb\n"));
        assert_eq!(texts("~~~csv\na\n```\nb\n~~~~\nc"), one("csv", "a\n```\nb\n"));
        assert_eq!(texts("```csv\na\n``` x\nb\n```"), one("csv", "a\n``` x\nb\n"));
    }

    #[test]
    fn a_block_that_nothing_closes_ends_with_the_message() {
        assert_eq!(texts("```json\n{\"a\":\n1}"), one("json", "{\"a\":\n1}"));
        assert_eq!(texts("```csv"), []);
    }

    #[test]
    fn indentation_of_the_fence_and_line_ends_of_windows_are_no_part_of_the_text() {
        assert_eq!(
            texts("  ```csv\r\n  a,b\r\n  1,2\r\n  ```\r\n"),
            one("csv", "a,b\n1,2\n")
        );
        assert_eq!(texts("- here:\n  ```csv\n  a,b\n  ```\n"), one("csv", "a,b\n"));
        assert_eq!(texts("> ```csv\n> a,b\n"), one("csv", "a,b\n"));
    }

    #[test]
    fn a_text_is_taken_as_it_stands() {
        assert_eq!(
            texts("```csv\n&amp;,*a*,<b>,\\_\n```"),
            one("csv", "&amp;,*a*,<b>,\\_\n")
        );
    }

    #[test]
    fn more_than_a_message_may_hold_are_left_out() {
        let message = "```csv\na\n```\n".repeat(INLINE_DOCUMENTS_MAX + 1);
        assert_eq!(documents_in(&message).len(), INLINE_DOCUMENTS_MAX);
    }
}
