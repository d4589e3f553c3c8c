//! Checks what a model wrote against what tools returned: a figure that stands in no result reaches nobody.

use rust_decimal::{Decimal, RoundingStrategy};
use serde_json::Value;

/// Words that make figures without digits.
const WORDS: [&str; 14] = [
    "hundred", "thousand", "million", "billion", "trillion", "dozen", "twice", "double", "triple", "half", "halve",
    "halves", "third", "quarter",
];

/// Words that a figure in digits must stand before.
const UNITS: [&str; 6] = ["dollar", "dollars", "usd", "cent", "cents", "percent"];

/// Words that make another figure of the one before them.
const SCALES: [&str; 7] = ["k", "m", "bn", "mn", "mio", "mrd", "grand"];

/// Decimals that are compared. Beyond it a figure of a text is none that a tool returned.
const PLACES: usize = 6;

/// Checks that each figure of `text` stands in `results`, as it is or rounded. How many entries a list has counts as a figure.
///
/// # Errors
/// A sentence that names the first figure that stands nowhere.
pub fn check(text: &str, results: &[&Value]) -> Result<(), String> {
    let mut grounds = Grounds::default();
    for result in results {
        grounds.read(result);
    }
    // The longest first, so that no name is left in part.
    grounds.names.sort_by_key(|name| std::cmp::Reverse(name.len()));
    let mut rest = text.to_lowercase();
    for name in &grounds.names {
        rest = rest.replace(name.as_str(), " ");
    }
    in_words(&rest)?;
    for figure in figures(&rest) {
        if !grounds.hold(&figure) {
            return Err(format!("the figure {figure} stands in no result of a tool"));
        }
    }
    Ok(())
}

/// What tools returned, as far as figures can stand on it.
#[derive(Default)]
struct Grounds {
    figures: Vec<Decimal>,
    /// Names with digits in them, in lower case.
    names: Vec<String>,
}

impl Grounds {
    fn read(&mut self, value: &Value) {
        match value {
            Value::Null | Value::Bool(_) => {}
            Value::Number(number) => self.figures.extend(number.to_string().parse::<Decimal>()),
            Value::String(text) => match text.parse::<Decimal>() {
                Ok(figure) => self.figures.push(figure),
                Err(_) => self.read_text(text),
            },
            Value::Array(entries) => {
                self.figures.push(Decimal::from(entries.len()));
                entries.iter().for_each(|entry| self.read(entry));
            }
            Value::Object(fields) => {
                fields.keys().for_each(|key| self.read_text(key));
                fields.values().for_each(|field| self.read(field));
            }
        }
    }

    /// A name with digits stands for itself as a whole; sentences bring their figures.
    fn read_text(&mut self, text: &str) {
        let text = text.to_lowercase();
        if !text.contains(|c: char| c.is_ascii_digit()) {
            return;
        }
        if text.contains(char::is_whitespace) {
            let figures = figures(&text)
                .into_iter()
                .filter_map(|figure| figure.parse::<Decimal>().ok());
            self.figures.extend(figures);
            let words = text
                .split_whitespace()
                .map(|word| word.trim_matches(|c: char| !c.is_alphanumeric()));
            self.names.extend(words.filter(|word| is_name(word)).map(str::to_owned));
        } else if is_name(&text) {
            self.names.push(text);
        }
    }

    fn hold(&self, figure: &str) -> bool {
        let places = figure.split_once('.').map_or(0, |(_, decimals)| decimals.len());
        let Ok(told) = figure.parse::<Decimal>() else {
            return false;
        };
        places <= PLACES
            && self.figures.iter().any(|figure| {
                let rounded = figure.abs().round_dp_with_strategy(
                    u32::try_from(places).unwrap_or(u32::MAX),
                    RoundingStrategy::MidpointAwayFromZero,
                );
                rounded == told
            })
    }
}

/// A word in which digits stand beside letters, such as a model's, or a date.
fn is_name(word: &str) -> bool {
    let letters = word.contains(char::is_alphabetic);
    let date = word.len() == 10 && word.bytes().filter(|byte| *byte == b'-').count() == 2;
    word.contains(|c: char| c.is_ascii_digit()) && (letters || date)
}

/// The figures of a text: digits with a point and decimals, thousands separated by commas. A digit of another script, and one
/// beside a letter as in `5k`, is given back as it is, and holds nowhere.
fn figures(text: &str) -> Vec<String> {
    let mut figures = Vec::new();
    let mut figure = String::new();
    let characters: Vec<char> = text.chars().collect();
    for (at, &character) in characters.iter().enumerate() {
        let next_is_digit = characters.get(at + 1).is_some_and(char::is_ascii_digit);
        match character {
            '0'..='9' => {
                let before = at.checked_sub(1).map(|at| characters[at]);
                if figure.is_empty() {
                    figure.extend(before.filter(|before| before.is_alphabetic()));
                }
                figure.push(character);
            }
            '.' if !figure.is_empty() && next_is_digit => figure.push('.'),
            ',' if !figure.is_empty() && next_is_digit => {}
            _ => {
                if !figure.is_empty() {
                    if character.is_alphabetic() {
                        figure.push(character);
                    }
                    figures.push(std::mem::take(&mut figure));
                }
                if character.is_numeric() {
                    figures.push(character.to_string());
                }
            }
        }
    }
    if !figure.is_empty() {
        figures.push(figure);
    }
    figures
}

/// Refuses figures that are written in words.
fn in_words(text: &str) -> Result<(), String> {
    let mut before = "";
    for word in text
        .split(|c: char| !c.is_alphanumeric() && c != '.')
        .filter(|word| !word.is_empty())
    {
        let word = word.trim_matches('.');
        let plain = word.strip_suffix('s').unwrap_or(word);
        // A half of the period is a part of the results' own; a half of the cost is a figure.
        let is_part = plain == "half" && matches!(before, "first" | "second");
        if !is_part && (WORDS.contains(&word) || WORDS.contains(&plain)) {
            return Err(format!(
                "write figures in digits, as the results have them, and not as `{word}`"
            ));
        }
        if SCALES.contains(&word) && before.ends_with(|c: char| c.is_ascii_digit()) {
            return Err(format!("write the figure out that stands before `{word}`"));
        }
        if UNITS.contains(&word) && !before.ends_with(|c: char| c.is_ascii_digit()) && word != "usd" {
            return Err(format!("write a figure in digits before `{word}`"));
        }
        before = word;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::shapes::samples;
    use serde_json::json;

    fn holds(text: &str) -> bool {
        check(text, &[&samples::analysis(), &samples::savings()]).is_ok()
    }

    #[test]
    fn figures_of_the_results_hold_as_they_are_and_rounded() {
        for text in [
            "nothing to count",
            "in the second half of the period it rose",
            "1200 requests cost $12.345678",
            "1,200 requests cost $12.35, or about 12 USD",
            "m1 took 81.00% (81 percent) from 2026-10-01 to 2026-10-30",
            "there are 3 strategies; batching saves 8.1 percent",
            "2026-10-17 costs 3.4 times the median day",
            "It saves 3.21. It saves 5.",
        ] {
            assert_eq!(
                check(text, &[&samples::analysis(), &samples::savings()]),
                Ok(()),
                "{text}"
            );
        }
    }

    #[test]
    fn invented_figures_do_not_hold_however_they_are_written() {
        for text in [
            "it cost $99",
            "it cost 12.36",
            "it cost 12.3456789",
            "it saves 1 million dollars",
            "it saves a million",
            "it saves half of it",
            "it saves fifty percent",
            "it saves seven dollars",
            "it saves ７７",
            "it saves ½",
            "it saves 1,234.57",
            "it saves 12.35.99",
            "it saves 3k5",
            "it saves $3k",
            "it saves 3 k",
            "it saves 3e6",
            "it is x3 cheaper",
            "2026-11-17 was dear",
            "m7 is dearest",
        ] {
            assert!(!holds(text), "{text}");
        }
    }

    #[test]
    fn a_name_with_digits_is_no_figure_but_only_where_a_result_has_it() {
        let catalogue = json!({"models": [{"model": "gpt-5.5", "provider": "openai"}]});
        assert_eq!(check("Use GPT-5.5.", &[&catalogue]), Ok(()));
        assert!(check("Use gpt-5.6.", &[&catalogue]).is_err());
    }

    #[test]
    fn the_fault_names_the_figure() {
        let fault = check("it cost $99", &[]).unwrap_err();
        assert_eq!(fault, "the figure 99 stands in no result of a tool");
    }
}
