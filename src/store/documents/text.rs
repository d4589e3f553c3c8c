//! How a document's text is cut into parts, and how words are found in them: one rule for every store.

use std::ops::Range;

/// Bytes of a part at most: what is written in one statement, and what a search looks at as one passage.
pub(in crate::store) const PART_BYTES: usize = 32 * 1024;

/// Characters of a word at most. A longer one is data, and is not found.
const WORD_CHARS: usize = 64;

/// Words of a search that count. What comes after them is left out.
const QUERY_WORDS: usize = 16;

/// Characters of a snippet at most.
const SNIPPET_CHARS: usize = 300;

/// Characters of a snippet before the first word that was found, about.
const SNIPPET_LEAD_CHARS: usize = 60;

/// The next part of a text: to the end of a line where one ends in its second half, else as much as a part takes.
pub(in crate::store) fn next_part(text: &str, from: usize) -> Range<usize> {
    let most = text.len().min(from + PART_BYTES);
    if most == text.len() {
        return from..most;
    }
    let end = (from..=most)
        .rev()
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(most);
    let half = PART_BYTES / 2;
    match text.as_bytes()[from..end].iter().rposition(|byte| *byte == b'\n') {
        Some(at) if at >= half => from..from + at + 1,
        Some(_) | None => from..end,
    }
}

/// All parts of a text, in order.
pub(in crate::store) fn parts(text: &str) -> impl Iterator<Item = Range<usize>> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let part = next_part(text, from);
        from = part.end;
        (!part.is_empty()).then_some(part)
    })
}

/// The words of a text with where they begin: letters and digits between anything else.
fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut rest = 0;
    std::iter::from_fn(move || {
        let begin = rest + text[rest..].find(char::is_alphanumeric)?;
        let tail = &text[begin..];
        let length = tail
            .find(|letter: char| !letter.is_alphanumeric())
            .unwrap_or(tail.len());
        rest = begin + length;
        Some((begin, &text[begin..rest]))
    })
    .filter(|(_, word)| word.len() <= WORD_CHARS || word.chars().count() <= WORD_CHARS)
}

/// Adds the words of a text to an index line: small letters, single spaces.
pub(in crate::store) fn index_words(text: &str, line: &mut String) {
    for (_, word) in words(text) {
        if !line.is_empty() {
            line.push(' ');
        }
        if word.is_ascii() {
            line.extend(word.chars().map(|letter| letter.to_ascii_lowercase()));
        } else {
            line.push_str(&word.to_lowercase());
        }
    }
}

/// What a search looks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct Query {
    /// Each once, in small letters.
    pub(in crate::store) words: Vec<String>,
}

impl Query {
    /// None where there is no word in it.
    pub(in crate::store) fn read(text: &str) -> Option<Self> {
        let mut found: Vec<String> = Vec::new();
        for (_, word) in words(text) {
            let word = word.to_lowercase();
            if found.len() < QUERY_WORDS && !found.contains(&word) {
                found.push(word);
            }
        }
        (!found.is_empty()).then_some(Self { words: found })
    }

    /// Where all the words stand in a passage, or in the name that belongs to it: how often, and a snippet.
    pub(in crate::store) fn look(&self, name: Option<&str>, passage: &str) -> Option<(u32, String)> {
        let mut seen = vec![false; self.words.len()];
        let mut rank = 0;
        let mut first = None;
        for (_, word) in words(name.unwrap_or_default()) {
            rank += self.see(word, &mut seen);
        }
        for (at, word) in words(passage) {
            let found = self.see(word, &mut seen);
            if found > 0 {
                first.get_or_insert(at);
                rank += found;
            }
        }
        let all = seen.into_iter().all(|seen| seen);
        all.then(|| (rank, snippet(passage, first.unwrap_or(0))))
    }

    /// How often it is one of the words: once or never.
    fn see(&self, word: &str, seen: &mut [bool]) -> u32 {
        let is = |known: &String| match word.is_ascii() {
            true => known.eq_ignore_ascii_case(word),
            false => *known == word.to_lowercase(),
        };
        match self.words.iter().position(is) {
            Some(place) => {
                seen[place] = true;
                1
            }
            None => 0,
        }
    }
}

/// What stands around a place, as one line.
fn snippet(text: &str, at: usize) -> String {
    let lead = text[..at].char_indices().rev().nth(SNIPPET_LEAD_CHARS - 1);
    let begin = match lead {
        None => 0,
        // From the beginning of a word, if there is one in between.
        Some((begin, _)) => text[begin..at]
            .find(char::is_whitespace)
            .map_or(begin, |gap| begin + gap),
    };
    let mut line = String::new();
    if begin > 0 {
        line.push('…');
    }
    let mut letters = text[begin..].trim_start().chars();
    // Room for both marks of what is left out.
    for letter in letters.by_ref().take(SNIPPET_CHARS - 2) {
        line.push(if letter.is_control() { ' ' } else { letter });
    }
    if letters.next().is_some() {
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rejoined(text: &str) -> String {
        parts(text).map(|part| &text[part]).collect()
    }

    #[test]
    fn parts_are_bounded_and_together_they_are_the_text() {
        let lines = "timestamp,model,0.5\n".repeat(10_000);
        let long = "ü€".repeat(40_000);
        for text in [lines.as_str(), long.as_str(), "short", ""] {
            assert!(
                rejoined(text) == text,
                "a text of {} bytes came back otherwise",
                text.len()
            );
            assert!(parts(text).all(|part| part.len() <= PART_BYTES && !part.is_empty()));
        }
        let whole_lines = parts(&lines).all(|part| lines[part].ends_with('\n'));
        assert!(whole_lines, "a line was cut although it fits");
    }

    #[test]
    fn words_are_letters_and_digits_in_small_letters() {
        let mut line = String::new();
        index_words("GPT-4o,  Größe=7\n\u{1F600}İx", &mut line);
        assert_eq!(line, "gpt 4o größe 7 i\u{307}x");
        let mut data = String::new();
        index_words(&format!("a {} b", "x".repeat(WORD_CHARS + 1)), &mut data);
        assert_eq!(data, "a b");
    }

    #[test]
    fn a_query_has_each_word_once_and_not_too_many() {
        let query = Query::read("Cost cost, COST! of").unwrap();
        assert_eq!(query.words, ["cost", "of"]);
        assert_eq!(Query::read(" - \" ' ( * "), None);
        let many: String = (0..99).map(|n| format!("w{n} ")).collect();
        assert_eq!(Query::read(&many).unwrap().words.len(), QUERY_WORDS);
    }

    #[test]
    fn a_passage_is_found_where_it_holds_all_the_words_and_ranked_by_how_often() {
        let query = Query::read("cost model").unwrap();
        let (rank, snippet) = query.look(None, "The COST of a model.\nA cost.").unwrap();
        assert_eq!((rank, snippet.as_str()), (3, "The COST of a model. A cost."));
        assert_eq!(query.look(None, "costs of a model"), None);
        assert_eq!(query.look(Some("model.csv"), "cost").map(|(rank, _)| rank), Some(2));
    }

    #[test]
    fn a_snippet_is_one_bounded_line_around_the_first_word() {
        let passage = format!("{}needle\r\n{}", "hay \n".repeat(1_000), "ü".repeat(1_000));
        let (_, snippet) = Query::read("NEEDLE").unwrap().look(None, &passage).unwrap();
        assert!(snippet.chars().count() <= SNIPPET_CHARS, "{snippet}");
        assert!(snippet.starts_with("…hay") && snippet.contains("needle") && snippet.ends_with('…'));
        assert!(!snippet.contains('\n'));
    }
}
