//! `text_stats`: counts what a text is made of. It computes, so it runs on the CPU pool.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use sessile_actors::infra::{Tool, ToolContext, ToolError, ToolSpec};

/// The name that models and agents call it by.
pub const NAME: &str = "text_stats";

/// How many of the most frequent words are told where the call names no number.
const FREQUENT_WORDS: u8 = 5;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// The text to count.
    #[schemars(length(max = 50_000))]
    text: String,
    /// How many of the most frequent words to tell; 5 where it is missing.
    #[serde(default)]
    #[schemars(range(max = 50))]
    frequent_words: Option<u8>,
}

/// Counts characters, words, lines, sentences and bytes.
pub struct TextStats;

#[async_trait]
impl Tool for TextStats {
    fn spec(&self) -> ToolSpec {
        ToolSpec::new(
            NAME,
            "Counts the characters, words, lines, sentences and bytes of a text, and its most frequent words.",
            super::parameters::<Arguments>(),
        )
        .blocking()
        .idempotent()
    }

    async fn call(&self, _context: ToolContext, arguments: Value) -> Result<Value, ToolError> {
        let Arguments { text, frequent_words } = super::arguments(arguments)?;
        Ok(count(&text, frequent_words.unwrap_or(FREQUENT_WORDS)))
    }
}

/// The figures of a text. A word is what stands between spaces and holds a letter or a digit.
fn count(text: &str, frequent_words: u8) -> Value {
    let words: Vec<String> = text
        .split_whitespace()
        .map(|word| word.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase())
        .filter(|word| !word.is_empty())
        .collect();
    json!({
        "characters": text.chars().count(),
        "words": words.len(),
        "lines": text.lines().count(),
        "sentences": sentences(text),
        "bytes": text.len(),
        "frequent_words": frequent(&words, frequent_words.into()),
    })
}

/// How many sentences a text has: stretches with a letter or digit that end in `.`, `!`, `?`, or with the text. A mark
/// ends a sentence only before a space or the end, so that "3.5" and "e.g.," stay whole.
fn sentences(text: &str) -> usize {
    let (mut count, mut open) = (0, false);
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        open |= character.is_alphanumeric();
        let ends =
            matches!(character, '.' | '!' | '?' | '…') && characters.peek().is_none_or(|next| next.is_whitespace());
        if open && ends {
            count += 1;
            open = false;
        }
    }
    count + usize::from(open)
}

/// The `most` most frequent words; equally frequent ones in alphabetical order.
fn frequent(words: &[String], most: usize) -> Vec<Value> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for word in words {
        *counts.entry(word).or_default() += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|&(_, count)| Reverse(count));
    counts
        .into_iter()
        .take(most)
        .map(|(word, count)| json!({ "word": word, "count": count }))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::doubles::{call_as, frozen};

    #[tokio::test]
    async fn it_counts_what_a_text_is_made_of() {
        let text = "The cat saw the dog.\nDid the dog see it? Yes: at 3.5 m…";
        let told = call_as("ada", &TextStats, json!({"text": text, "frequent_words": 2})).await;
        assert_eq!(
            told,
            Ok(json!({
                "characters": 55,
                "words": 14,
                "lines": 2,
                "sentences": 3,
                "bytes": 57,
                "frequent_words": [{"word": "the", "count": 3}, {"word": "dog", "count": 2}],
            }))
        );
    }

    #[test]
    fn a_text_without_words_has_none_and_no_sentence() {
        for text in ["", "  \n ", "... !!! --"] {
            let told = count(text, 5);
            assert_eq!((&told["words"], &told["sentences"]), (&json!(0), &json!(0)), "{text:?}");
        }
    }

    #[test]
    fn characters_are_counted_and_not_bytes() {
        let told = count("Grüße 👋", 0);
        assert_eq!((&told["characters"], &told["bytes"]), (&json!(7), &json!(12)));
    }

    #[test]
    fn it_runs_on_the_cpu_pool() {
        assert!(TextStats.spec().blocking);
    }

    #[test]
    fn the_schema_rejects_extra_fields_and_texts_that_are_too_long() {
        let tools = frozen(TextStats);
        let class = tools.get(NAME).unwrap();
        assert_eq!(class.validate(&json!({"text": ""})), Ok(()));
        assert!(class.validate(&json!({"text": "x".repeat(50_001)})).is_err());
        assert!(class.validate(&json!({"text": "x", "language": "en"})).is_err());
        assert!(class.validate(&json!({})).is_err());
    }
}
