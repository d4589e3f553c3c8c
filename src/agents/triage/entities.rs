//! Finds what a message names: models, features, metrics, and the time it asks about.

use serde_json::Value;

use super::judgement::Entities;
use super::lexicon::METRICS;
use crate::agents::markdown::cut;
use crate::agents::words::Words;

/// Names of a kind that are kept. Beyond them the rest is left out.
const NAMES_MAX: usize = 20;

/// Characters of a name. Beyond them it is cut.
const NAME_CHARS: usize = 100;

/// How names of models begin where no catalogue has them. Such a name has a digit too.
const FAMILIES: [&str; 16] = [
    "gpt",
    "o1",
    "o3",
    "o4",
    "claude",
    "gemini",
    "gemma",
    "llama",
    "mistral",
    "mixtral",
    "magistral",
    "command",
    "deepseek",
    "qwen",
    "grok",
    "nova",
];

/// What stands before `feature` and is no name.
const NO_NAMES: [&str; 26] = [
    "a", "an", "the", "this", "that", "these", "those", "each", "every", "any", "all", "our", "my", "your", "their",
    "per", "by", "one", "which", "what", "new", "other", "and", "or", "of", "no",
];

/// What stands between `feature` and its name.
const NAMED: [&str; 3] = ["called", "named", "is"];

/// What a time consists of, after `last`, `this` or `past`.
const UNITS: [&str; 10] = [
    "day", "days", "week", "weeks", "month", "months", "quarter", "quarters", "year", "years",
];

/// What a month is called.
const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// Finds what a message names. `known` are the models of the catalogue.
pub fn named(message: &str, words: &Words, known: &[String]) -> Entities {
    let models = models(words, known);
    Entities {
        features: features(message, words, &models),
        metrics: METRICS
            .iter()
            .filter(|(_, phrases)| words.have_any(phrases))
            .map(|(name, _)| (*name).to_owned())
            .collect(),
        period: period(words),
        models,
    }
}

/// The names in what the catalogue lists, in whatever shape it lists them.
pub fn models_listed(listed: &Value) -> Vec<String> {
    match listed {
        Value::Array(entries) => entries.iter().flat_map(models_listed).collect(),
        Value::Object(fields) => {
            let name = fields.get("model").and_then(Value::as_str).map(str::to_owned);
            let inner = fields.values().filter(|field| field.is_array() || field.is_object());
            name.into_iter().chain(inner.flat_map(models_listed)).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}

fn models(words: &Words, known: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    for word in words.iter() {
        let is_known = known.iter().any(|model| model.to_lowercase() == word);
        let looks_like_one = FAMILIES.iter().any(|family| word.starts_with(family))
            && word.contains(|c: char| c.is_ascii_digit())
            && word.len() > 1;
        if is_known || looks_like_one {
            add(&mut found, word);
        }
    }
    found
}

/// What stands in backticks and is no model, and what stands beside the word `feature`.
fn features(message: &str, words: &Words, models: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    for quoted in message.split('`').skip(1).step_by(2) {
        let quoted = quoted.trim();
        let is_model = models.iter().any(|model| model.eq_ignore_ascii_case(quoted));
        if !quoted.is_empty() && !is_model && !quoted.contains('\n') {
            add(&mut found, quoted);
        }
    }
    for (at, word) in words.iter().enumerate() {
        let beside = match word {
            "feature" => {
                let before = at.checked_sub(1).and_then(|at| words.get(at));
                let before = before.filter(|word| !NO_NAMES.contains(word));
                let named = words.get(at + 1).filter(|word| NAMED.contains(word));
                before.or_else(|| named.and_then(|_| words.get(at + 2)))
            }
            _ => None,
        };
        if let Some(name) = beside.filter(|name| !models.iter().any(|model| model == name)) {
            add(&mut found, name);
        }
    }
    found
}

fn add(found: &mut Vec<String>, name: &str) {
    let name = cut(name, NAME_CHARS);
    if found.len() < NAMES_MAX && !found.iter().any(|known| known.eq_ignore_ascii_case(&name)) {
        found.push(name);
    }
}

/// The first time that is named, in the message's own words.
fn period(words: &Words) -> Option<String> {
    (0..words.len()).find_map(|at| {
        let (word, next, after) = (words.get(at)?, words.get(at + 1), words.get(at + 2));
        let is_unit = |word: &str| UNITS.contains(&word);
        match (word, next, after) {
            ("last" | "past" | "previous", Some(count), Some(unit)) if is_number(count) && is_unit(unit) => {
                Some(format!("{word} {count} {unit}"))
            }
            ("last" | "past" | "this" | "previous", Some(unit), _) if is_unit(unit) => Some(format!("{word} {unit}")),
            (day, Some("to" | "until"), Some(end)) if is_date(day) && is_date(end) => {
                Some(format!("{day} {} {end}", next.unwrap_or("to")))
            }
            (month, Some(year), _) if MONTHS.contains(&month) && year.len() == 4 && is_number(year) => {
                Some(format!("{month} {year}"))
            }
            ("yesterday" | "today", ..) => Some(word.to_owned()),
            // `may` and `march` are no months unless a word says so.
            ("in" | "since" | "during", Some(month), _) if MONTHS.contains(&month) => Some(month.to_owned()),
            (day, ..) if is_date(day) => Some(day.to_owned()),
            _ => None,
        }
    })
}

fn is_number(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether a word is a day or a month: `2026-10-17`, `2026-10`.
fn is_date(word: &str) -> bool {
    let parts: Vec<&str> = word.split('-').collect();
    let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
    matches!(lengths.as_slice(), [4, 2] | [4, 2, 2]) && parts.iter().all(|part| is_number(part))
}
