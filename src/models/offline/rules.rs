//! The rules: what a clause wishes for. Each takes the clause, or the clause in lower case, or both; a place in one is the
//! same place in the other.

use super::understand::{Wish, is_separator};

/// How a note to keep begins; what follows is the note. Longer ones first.
pub const NOTING: [&str; 18] = [
    "take a note that ",
    "make a note that ",
    "take a note of ",
    "make a note of ",
    "take a note",
    "make a note",
    "save a note",
    "write a note",
    "add a note",
    "new note",
    "note down that ",
    "note down",
    "write down that ",
    "write down",
    "note that ",
    "note:",
    "remember that ",
    "remember",
];

/// What stands before the topic in a search for notes.
const TOPIC: [&str; 8] = [
    "about ",
    "mentioning ",
    "containing ",
    " with ",
    " for ",
    " on ",
    "regarding ",
    "say of ",
];

/// The longest name that is taken for one, in words.
const NAME_MAX_WORDS: usize = 4;

/// A note to keep.
pub fn note(clause: &str, lower: &str) -> Option<Wish> {
    let noting = NOTING.iter().find(|noting| lower.starts_with(**noting))?;
    let behind = &clause[noting.len()..];
    let runs_on = noting.ends_with(|c: char| c.is_alphabetic()) && behind.starts_with(|c: char| c.is_alphanumeric());
    let is_question = lower.ends_with('?') && !behind.trim_start().starts_with(':');
    if runs_on || is_question {
        return None;
    }
    let text = behind
        .trim_start_matches(|c: char| c.is_whitespace() || c == ':')
        .trim_end();
    let text = if text.ends_with(['"', '”', '\'']) {
        bare(text)
    } else {
        text.trim_end_matches(['.', '!'])
    };
    (!text.is_empty()).then(|| Wish::WriteNote(text.to_owned()))
}

/// Whether a clause asks to count what is in a text.
pub fn is_counting(lower: &str) -> bool {
    const UNITS: [&str; 6] = ["words", "characters", "letters", "sentences", "lines", "bytes"];
    let asks = lower.starts_with("how many ") || lower.starts_with("count ");
    asks && contains_any(lower, &UNITS)
        || contains_any(
            lower,
            &["text stats", "text statistics", "word count of", "word count:"],
        )
        || lower.starts_with("word count")
}

/// A text to count.
pub fn counted(clause: &str, lower: &str) -> Option<Wish> {
    let head = lower.split_once(':').map_or(lower, |(head, _)| head);
    if !is_counting(head) {
        return None;
    }
    let text = match clause.split_once(':') {
        Some((_, text)) => text.trim(),
        None => {
            let begin = [" in ", " of ", " are there in ", " for "]
                .iter()
                .filter_map(|part| Some(lower.find(part)? + part.len()))
                .min()?;
            clause[begin..].trim().trim_end_matches('?')
        }
    };
    let quoted = text.starts_with(['"', '“']) && text.trim_end_matches(['?', '.']).ends_with(['"', '”']);
    let text = if quoted { bare(text) } else { text };
    (!text.is_empty()).then(|| Wish::CountText(text.to_owned()))
}

/// Notes to list or to search.
pub fn notes_read(clause: &str, lower: &str) -> Option<Wish> {
    let mentions = contains_any(lower, &["notes", "my note", "a note", "i note", "i noted"]);
    let asks = lower.ends_with('?')
        || [
            "list",
            "show",
            "read",
            "find",
            "search",
            "look",
            "what",
            "which",
            "do i have",
            "get",
            "my notes",
        ]
        .iter()
        .any(|beginning| lower.starts_with(beginning));
    if !mentions || !asks {
        return None;
    }
    let topic = TOPIC
        .iter()
        .filter_map(|part| Some(lower.find(part)? + part.len()))
        .min()
        .map(|begin| bare(&clause[begin..]))
        .filter(|topic| !topic.is_empty());
    Some(topic.map_or(Wish::ListNotes, |topic| Wish::SearchNotes(topic.to_owned())))
}

/// The user's name, told or asked for.
pub fn name(clause: &str, lower: &str) -> Option<Wish> {
    if contains_any(
        lower,
        &[
            "what is my name",
            "what's my name",
            "whats my name",
            "who am i",
            "know my name",
            "remember my name",
            "what my name is",
        ],
    ) {
        return Some(Wish::AskName);
    }
    let told = ["my name is ", "my name's ", "call me ", "i am called "];
    let begin = told.iter().find_map(|part| Some(lower.find(part)? + part.len()))?;
    let until = clause[begin..]
        .find([',', '.', '!', '?', ';', '\n'])
        .map_or(clause.len(), |end| begin + end);
    let name = bare(clause[begin..until].split(" and ").next().unwrap_or_default());
    let is_name = !name.is_empty() && name.split_whitespace().count() <= NAME_MAX_WORDS;
    is_name.then(|| Wish::TellName(name.to_owned()))
}

/// A question about this model.
pub fn about_the_model(lower: &str) -> Option<Wish> {
    const IDENTITY: [&str; 11] = [
        "who are you",
        "what are you",
        "are you a ",
        "are you an ",
        "are you chatgpt",
        "are you real",
        "are you human",
        "which model",
        "what model",
        "your name",
        "who made you",
    ];
    const HELP: [&str; 8] = [
        "what can you do",
        "what can i ask",
        "what tools",
        "which tools",
        "how do you work",
        "how can you help",
        "what do you do",
        "help me",
    ];
    if contains_any(lower, &IDENTITY) {
        return Some(Wish::AskIdentity);
    }
    let asks_help = contains_any(lower, &HELP) || matches!(bare(lower), "help" | "/help");
    asks_help.then_some(Wish::AskHelp)
}

/// The time or the date.
pub fn time(lower: &str) -> Option<Wish> {
    const ASKING: [&str; 14] = [
        "what time",
        "time is it",
        "current time",
        "the time in",
        "what's the time",
        "what is the time",
        "time now",
        "current date",
        "today's date",
        "what date",
        "what's the date",
        "what is the date",
        "what day",
        "which day",
    ];
    let asks = contains_any(lower, &ASKING)
        || matches!(
            bare(lower),
            "time" | "date" | "the time" | "the date" | "the time and date"
        );
    asks.then(|| Wish::Time(offset_minutes(lower)))
}

/// The offset in "UTC+2", "GMT -03:30" or "+0530", in minutes.
fn offset_minutes(lower: &str) -> Option<i32> {
    let behind = ["utc", "gmt"]
        .iter()
        .find_map(|zone| Some(&lower[lower.find(zone)? + zone.len()..]))?;
    let behind = behind.trim_start().replace('−', "-");
    let sign = match behind.chars().next() {
        Some('+') => 1,
        Some('-') => -1,
        _ => return Some(0),
    };
    let offset: String = behind[1..]
        .trim_start()
        .chars()
        .take_while(|c| c.is_ascii_digit() || *c == ':')
        .collect();
    let (hours, minutes) = match offset.split_once(':') {
        Some((hours, minutes)) => (hours.parse().ok()?, minutes.parse().ok()?),
        None if offset.len() == 4 => (offset[..2].parse().ok()?, offset[2..].parse().ok()?),
        None => (offset.parse().ok()?, 0),
    };
    let total: i32 = i32::checked_add(i32::checked_mul(hours, 60)?, minutes)?;
    Some(sign * total)
}

/// A greeting or thanks.
pub fn small_talk(lower: &str) -> Option<Wish> {
    const GREETINGS: [&str; 9] = [
        "hello",
        "hi",
        "hey",
        "good morning",
        "good afternoon",
        "good evening",
        "greetings",
        "howdy",
        "hallo",
    ];
    const THANKS: [&str; 3] = ["thanks", "thank you", "thx"];
    let begins = |words: &[&str]| {
        words.iter().any(|word| {
            lower
                .strip_prefix(word)
                .is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric()))
        })
    };
    if begins(&THANKS) {
        return Some(Wish::Thank);
    }
    begins(&GREETINGS).then_some(Wish::Greet)
}

fn contains_any(text: &str, parts: &[&str]) -> bool {
    parts.iter().any(|part| text.contains(part))
}

/// Without spaces, quotes and marks around it.
fn bare(text: &str) -> &str {
    text.trim_matches(|c: char| is_separator(c) || matches!(c, ':' | '"' | '\'' | '“' | '”' | '‘' | '’' | '`'))
}
