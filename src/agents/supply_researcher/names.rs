//! Finds models in texts, however a page writes their names, and never one for another: `GPT-5 pro` is not `gpt-5`.

/// What makes another model of a name that stands before it.
const QUALIFIERS: [&str; 27] = [
    "mini", "nano", "pro", "lite", "flash", "turbo", "large", "medium", "small", "max", "plus", "ultra", "codex",
    "chat", "audio", "realtime", "search", "image", "vision", "thinking", "fast", "instruct", "coder", "embed",
    "batch", "tts", "live",
];

/// What may stand behind a name in a cell.
const REMARKS: [&str; 5] = ["new", "latest", "deprecated", "preview", "legacy"];

/// The models that are looked for, the longest names first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names(Vec<(String, String)>);

impl Names {
    /// Of the catalogue's names.
    pub fn of<'a>(models: impl IntoIterator<Item = &'a str>) -> Self {
        let mut names: Vec<(String, String)> = models
            .into_iter()
            .map(|model| (flat(model), model.to_owned()))
            .filter(|(flat, _)| !flat.is_empty())
            .collect();
        names.sort_by_key(|(flat, _)| std::cmp::Reverse(flat.len()));
        Self(names)
    }

    /// The models that a line names, each once.
    pub fn in_line(&self, line: &str) -> Vec<String> {
        let mut found: Vec<String> = Vec::new();
        for (_, end, model) in self.places(line) {
            let next = self.word_after(line, end);
            if !QUALIFIERS.contains(&next.as_str()) && !found.contains(&model) {
                found.push(model);
            }
        }
        found
    }

    /// The model that a cell or a heading is for: nothing else may stand in it but remarks.
    pub fn of_cell(&self, cell: &str) -> Option<String> {
        let bare = without_parentheses(cell)?;
        let places = self.places(&bare);
        let [(begin, end, model)] = places.as_slice() else {
            return None;
        };
        let outside: String = bare
            .chars()
            .take(*begin)
            .chain([' '])
            .chain(bare.chars().skip(*end))
            .collect();
        let mut words = outside
            .split(|c: char| !c.is_alphanumeric())
            .filter(|word| !word.is_empty());
        let fits = |word: &str| REMARKS.contains(&word.to_lowercase().as_str()) || is_date(word);
        words.all(fits).then(|| model.clone())
    }

    /// Whether a cell seems to name a model that is none of these.
    pub fn looks_like_one(&self, cell: &str) -> bool {
        let has = |test: fn(&char) -> bool| cell.chars().any(|c| test(&c));
        let length = cell.chars().count();
        (3..=60).contains(&length)
            && has(char::is_ascii_digit)
            && has(|c| c.is_alphabetic())
            && !has(|c| matches!(c, '$' | '%' | '=' | '<' | '>' | '(' | ')'))
            && self.in_line(cell).is_empty()
            && cell.starts_with(|c: char| c.is_alphabetic())
    }

    /// Where names stand in a text, in characters, the longest first; no two over each other.
    fn places(&self, text: &str) -> Vec<(usize, usize, String)> {
        let mut line = flat(text);
        let mut found = Vec::new();
        for (name, model) in &self.0 {
            let mut from = 0;
            while let Some(at) = line.get(from..).and_then(|rest| rest.find(name.as_str())) {
                let (begin, end) = (from + at, from + at + name.len());
                let is_alone = is_edge(&line, text, begin, end);
                if is_alone {
                    found.push((begin, end, model.clone()));
                    line.replace_range(begin..end, &" ".repeat(name.len()));
                }
                from = end;
            }
        }
        found
    }

    /// The word that stands behind a place, in small letters.
    fn word_after(&self, text: &str, end: usize) -> String {
        let rest: String = text.chars().skip(end).collect();
        let rest = rest.strip_prefix(' ').unwrap_or_default();
        let end = rest.find(|c: char| !c.is_alphanumeric()).unwrap_or(rest.len());
        rest[..end].to_lowercase()
    }
}

/// A text in small letters, one byte for each character: letters, digits, and `-` for all else.
fn flat(text: &str) -> String {
    let flat = text.chars().map(|c| match c {
        'a'..='z' | '0'..='9' => c,
        'A'..='Z' => c.to_ascii_lowercase(),
        _ if c.is_alphanumeric() => 'x',
        _ => '-',
    });
    flat.collect()
}

/// Whether a name stands there as a whole: no letter or digit beside it, and no sign that goes on with one but a space. A date
/// behind it is a release of the same model.
fn is_edge(line: &str, text: &str, begin: usize, end: usize) -> bool {
    let bytes = line.as_bytes();
    let is_letter = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_alphanumeric);
    let sign = |at: usize| text.chars().nth(at);
    let joins = |sign: Option<char>| sign.is_some_and(|c| matches!(c, '-' | '.' | '_' | '/' | ':'));
    let is_joined = begin >= 2 && is_letter(begin.checked_sub(2)) && joins(sign(begin - 1));
    let begins = !is_letter(begin.checked_sub(1)) && !is_joined;
    let rest = line.get(end + 1..).unwrap_or_default();
    let goes_on = sign(end) != Some(':') && joins(sign(end)) && is_letter(Some(end + 1)) && !is_date(rest);
    begins && !is_letter(Some(end)) && !goes_on
}

/// Whether a text begins with a date: eight digits, with or without signs between.
fn is_date(text: &str) -> bool {
    let digits = text.chars().take_while(|c| c.is_ascii_digit() || *c == '-');
    digits.filter(char::is_ascii_digit).count() == 8
}

/// A cell without what stands in parentheses; none where that makes another tariff of it.
fn without_parentheses(cell: &str) -> Option<String> {
    let mut bare = String::new();
    let mut depth = 0_u32;
    let mut inner = String::new();
    for c in cell.chars() {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' => depth = depth.saturating_sub(1),
            _ if depth == 0 => bare.push(c),
            _ => inner.push(c.to_ascii_lowercase()),
        }
    }
    let is_other = ["batch", "flex", "priority", "cache", "long", "fast", "fine"];
    (!is_other.iter().any(|word| inner.contains(word))).then(|| bare.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        Names::of([
            "gpt-5",
            "gpt-5-mini",
            "claude-opus-4-5",
            "claude-opus-5",
            "gemini-2.5-pro",
            "o3",
        ])
    }

    #[test]
    fn names_are_found_however_they_are_written() {
        for (line, found) in [
            ("gpt-5 costs $1", vec!["gpt-5"]),
            ("GPT-5: $1", vec!["gpt-5"]),
            ("GPT 5 mini and GPT-5", vec!["gpt-5-mini", "gpt-5"]),
            ("Claude Opus 4.5", vec!["claude-opus-4-5"]),
            ("gpt-5-2025-08-07", vec!["gpt-5"]),
            ("Gemini 2.5 Pro, new", vec!["gemini-2.5-pro"]),
            ("the (o3)", vec!["o3"]),
        ] {
            assert_eq!(names().in_line(line), found, "{line}");
        }
    }

    #[test]
    fn no_model_is_taken_for_another() {
        for line in [
            "gpt-5.4",
            "GPT-5 pro",
            "gpt-5-codex",
            "gpt-50",
            "my-gpt-5",
            "Claude Opus 5.5",
            "xo3",
            "o3-pro",
            "o3 mini",
        ] {
            assert_eq!(names().in_line(line), Vec::<String>::new(), "{line}");
            assert_eq!(names().of_cell(line), None, "{line}");
        }
    }

    #[test]
    fn a_cell_is_for_a_model_where_nothing_else_stands_in_it() {
        for (cell, model) in [
            ("GPT-5", Some("gpt-5")),
            ("GPT-5 (new)", Some("gpt-5")),
            ("Claude Opus 4.5 preview", Some("claude-opus-4-5")),
            ("GPT-5 (batch)", None),
            ("GPT-5 and o3", None),
            ("GPT-5 is good", None),
            ("GPT-5 vivid", None),
            ("", None),
        ] {
            assert_eq!(names().of_cell(cell).as_deref(), model, "{cell}");
        }
        assert!(
            names().looks_like_one("GPT-6 turbo")
                && !names().looks_like_one("$1.25")
                && !names().looks_like_one("GPT-5")
        );
    }
}
