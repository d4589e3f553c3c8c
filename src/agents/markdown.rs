//! Markdown that agents write: what comes from users, tools and models stands in it as text, never as markup.

use rust_decimal::{Decimal, RoundingStrategy};

/// Characters of a cell of a table. Beyond it the cell is cut.
const CELL_CHARS: usize = 160;

/// Writes text so that it is shown as it is: no markup, no link, no line break, no end of a table's cell.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    let mut before = ' ';
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let after = characters.peek().copied().unwrap_or(' ');
        match character {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            // Between letters it emphasises nothing, and names stay as they are.
            '_' if before.is_alphanumeric() && after.is_alphanumeric() => escaped.push('_'),
            '\\' | '|' | '`' | '*' | '_' | '[' | ']' | '~' | '!' | '#' => escaped.extend(['\\', character]),
            _ if character.is_whitespace() || character.is_control() => escaped.push(' '),
            _ if is_invisible(character) => {}
            _ => escaped.push(character),
        }
        before = character;
    }
    escaped.trim().to_owned()
}

/// What turns the direction of writing, or can't be seen: it could show a name as another one.
fn is_invisible(character: char) -> bool {
    matches!(character, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// Cuts a text to this many characters, and shows that it was cut.
pub fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// Names, as they may stand in a sentence or a cell.
pub fn name(text: &str) -> String {
    let shown = escape(&cut(text, CELL_CHARS));
    if shown.is_empty() {
        "(no name)".to_owned()
    } else {
        shown
    }
}

/// Names one after the other.
pub fn names<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    texts.into_iter().map(name).collect::<Vec<_>>().join(", ")
}

/// An amount of US dollars to the cent, rounded half up.
pub fn dollars(amount: Decimal) -> String {
    let cents = cents(amount);
    let sign = if cents.is_sign_negative() { "-" } else { "" };
    format!("{sign}${:.2}", cents.abs())
}

/// An amount in whole cents, half up. What rounds to nothing has no sign.
pub fn cents(amount: Decimal) -> Decimal {
    let cents = amount.round_dp_with_strategy(2, RoundingStrategy::MidpointAwayFromZero);
    if cents.is_zero() { Decimal::ZERO } else { cents }
}

/// A share, with two decimals.
pub fn percent(share: Decimal) -> String {
    format!("{:.2}%", cents(share))
}

/// A block that shows a text letter by letter. Its fence is longer than any in the text.
pub fn fenced(text: &str) -> String {
    let mut longest = 0;
    for run in text.split(|character| character != '`') {
        longest = longest.max(run.len());
    }
    let fence = "`".repeat(longest.max(2) + 1);
    let end = if text.ends_with('\n') { "" } else { "\n" };
    format!("{fence}text\n{text}{end}{fence}\n")
}

/// A table. Its cells are Markdown already; `numbers` says which columns stand to the right.
pub fn table(header: &[&str], numbers: &[bool], rows: &[Vec<String>]) -> String {
    let line = |cells: &mut dyn Iterator<Item = String>| format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "));
    let mut table = line(&mut header.iter().map(|&cell| cell.to_owned()));
    let rules = numbers.iter().map(|number| if *number { "---:" } else { "---" });
    table.push_str(&line(&mut rules.map(str::to_owned)));
    for row in rows {
        table.push_str(&line(&mut row.iter().cloned()));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_escaped_is_markup() {
        for (text, escaped) in [
            ("plain_name-1.5", "plain_name-1.5"),
            ("|", "\\|"),
            ("\\|", "\\\\\\|"),
            ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
            ("a & b", "a &amp; b"),
            ("[x](http://y)", "\\[x\\](http://y)"),
            ("![x](y)", "\\!\\[x\\](y)"),
            ("`code`", "\\`code\\`"),
            ("_em_ **strong**", "\\_em\\_ \\*\\*strong\\*\\*"),
            ("one\ntwo\r\n| three", "one two  \\| three"),
            ("# title", "\\# title"),
            ("\u{202e}gpt\u{200b}", "gpt"),
            ("\u{0}\u{7}", ""),
        ] {
            assert_eq!(escape(text), escaped, "{text:?}");
        }
    }

    #[test]
    fn a_name_is_never_empty_and_never_long() {
        assert_eq!(name(" \n"), "(no name)");
        assert_eq!(name(&"x".repeat(500)).chars().count(), CELL_CHARS);
        assert_eq!(names(["a", "|"]), "a, \\|");
    }

    #[test]
    fn amounts_are_told_to_the_cent_half_up() {
        for (amount, told) in [
            ("0", "$0.00"),
            ("1234.567890", "$1234.57"),
            ("0.005", "$0.01"),
            ("0.0049", "$0.00"),
            ("2.675", "$2.68"),
            ("-0.001", "$0.00"),
            ("-3.5", "-$3.50"),
        ] {
            assert_eq!(dollars(amount.parse().unwrap()), told, "{amount}");
        }
        assert_eq!(percent("45.1".parse().unwrap()), "45.10%");
    }

    #[test]
    fn a_fence_is_longer_than_any_in_its_text() {
        assert_eq!(fenced("a"), "```text\na\n```\n");
        assert_eq!(fenced("```\n# b\n````\n"), "`````text\n```\n# b\n````\n`````\n");
    }

    #[test]
    fn a_table_has_a_line_per_row() {
        let rows = [vec!["m".to_owned(), "$1.00".to_owned()]];
        let told = table(&["Model", "Cost"], &[false, true], &rows);
        assert_eq!(told, "| Model | Cost |\n| --- | ---: |\n| m | $1.00 |\n");
    }
}
