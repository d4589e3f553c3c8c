//! Finds out what a message wishes for, by fixed rules and in English.

use super::arithmetic;
use super::rules::{self, NOTING};

/// One thing that a message asks for or says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// Work this out.
    Calculate(String),
    /// Tell the time, at this offset from UTC in minutes.
    Time(Option<i32>),
    /// Keep this note.
    WriteNote(String),
    /// Read the notes.
    ListNotes,
    /// Read the notes about this.
    SearchNotes(String),
    /// Count what is in this text.
    CountText(String),
    /// The user tells a name.
    TellName(String),
    /// The user asks for the name told before.
    AskName,
    /// What are you?
    AskIdentity,
    /// What can you do?
    AskHelp,
    /// A greeting.
    Greet,
    /// Thanks.
    Thank,
    /// There is more than is looked at.
    TooMuch,
}

/// How a request begins beside what it asks for; taken away before the rules look.
const POLITE: [&str; 18] = [
    "please ",
    "can you ",
    "could you ",
    "would you ",
    "will you ",
    "i want you to ",
    "i'd like you to ",
    "i would like you to ",
    "and then ",
    "and ",
    "then ",
    "also ",
    "now ",
    "ok ",
    "okay ",
    "so ",
    "tell me ",
    "just ",
];

/// How much of a message is looked at clause by clause, in bytes. Nothing is understood of a longer one, but a text to
/// note or count that follows a colon: the rules try many cuts, and a model must not hold up its shard.
const READ_BYTES: usize = 2048;

/// How many clauses of a message are looked at. Beyond it comes [`Wish::TooMuch`].
const CLAUSES: usize = 16;

/// How many places to cut a sentence are tried. Beyond it the sentence stays whole.
const JOINTS: usize = 8;

/// Everything that a message wishes for, in order.
pub fn wishes(message: &str) -> Vec<Wish> {
    let mut wishes = Vec::new();
    let mut rest = message.trim();
    if rest.len() > READ_BYTES && !takes_the_rest(rest) {
        return wishes;
    }
    for _ in 0..CLAUSES {
        let (clause, remaining) = rest.split_at(clause_end(rest));
        wishes.extend(wish(clause));
        rest = remaining.trim_start_matches(is_separator);
        if rest.is_empty() {
            return wishes;
        }
    }
    wishes.push(Wish::TooMuch);
    wishes
}

/// The last name that a message tells.
pub fn told_name(message: &str) -> Option<String> {
    let mut rest = message;
    let mut last = None;
    while !rest.is_empty() {
        let (sentence, remaining) = rest.split_at(sentence_end(rest));
        if let Some(Wish::TellName(name)) = rules::name(sentence, &sentence.to_ascii_lowercase()) {
            last = Some(name);
        }
        rest = remaining;
    }
    last
}

/// Whether a character only separates words.
pub fn is_separator(character: char) -> bool {
    character.is_whitespace() || matches!(character, '.' | '!' | '?' | ',' | ';')
}

/// Where the first clause ends: at the end of its sentence, or earlier at an "and" behind which something is wished for
/// that makes sense by itself. A text that is given after a colon, or in quotes, is never cut.
fn clause_end(text: &str) -> usize {
    if takes_the_rest(text) {
        return text.len();
    }
    let sentence = sentence_end(text);
    let lower = text[..sentence].to_ascii_lowercase();
    let mut joints: Vec<_> = [" and ", ", ", " then "]
        .iter()
        .flat_map(|joint| lower.match_indices(joint))
        .filter(|(at, _)| !is_quoted(text, *at))
        .take(JOINTS)
        .collect();
    joints.sort_unstable();
    joints
        .into_iter()
        .find(|(at, joint)| wish(&text[..*at]).is_some() && begins_a_wish(&text[at + joint.len()..sentence]))
        .map_or(sentence, |(at, _)| at)
}

/// Whether the text is a command whose object follows a colon.
fn takes_the_rest(text: &str) -> bool {
    let Some((command, _)) = text.split_once(':') else {
        return false;
    };
    let command = without_politeness(command).to_ascii_lowercase();
    let is_one_clause = sentence_end(&command) == command.len();
    is_one_clause
        && (rules::is_counting(&command)
            || NOTING
                .iter()
                .any(|noting| command.starts_with(noting.trim_end_matches([':', ' ']))))
}

/// Whether what stands behind an "and" is a wish of its own, and not the rest of a list: in "remember milk and the
/// time table" it is not.
fn begins_a_wish(text: &str) -> bool {
    const BEGINNINGS: [&str; 14] = [
        "what",
        "how",
        "calculate",
        "compute",
        "list",
        "show",
        "find",
        "search",
        "remember",
        "note",
        "take a note",
        "count",
        "who",
        "my name is",
    ];
    let lower = without_politeness(text).to_ascii_lowercase();
    let begins = BEGINNINGS.iter().any(|beginning| lower.starts_with(beginning))
        || lower.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '(' | '-'));
    begins && wish(text).is_some()
}

/// The end of the first sentence, its mark included. A point between digits ends nothing, and no mark within quotes does.
fn sentence_end(text: &str) -> usize {
    let mut characters = text.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        let ends = match character {
            '\n' => true,
            '.' | '!' | '?' | ';' => characters.peek().is_none_or(|(_, next)| next.is_whitespace()),
            '"' | '“' => {
                let closing = if character == '"' { '"' } else { '”' };
                if let Some(length) = text[at + character.len_utf8()..].find(closing) {
                    let end = at + character.len_utf8() + length + closing.len_utf8();
                    while characters.next_if(|(next, _)| *next < end).is_some() {}
                }
                false
            }
            _ => false,
        };
        if ends {
            return at + character.len_utf8();
        }
    }
    text.len()
}

/// Whether the place `at` stands between quotes.
fn is_quoted(text: &str, at: usize) -> bool {
    let (before, behind) = text.split_at(at);
    let straight = before.matches('"').count() % 2 == 1 && behind.contains('"');
    let curly = before.matches('“').count() > before.matches('”').count() && behind.contains('”');
    straight || curly
}

/// What one clause wishes for. The order of the rules matters: what is to be noted or counted may hold anything.
fn wish(clause: &str) -> Option<Wish> {
    let clause = without_politeness(clause);
    // Only ASCII letters change, so a place in one is the same place in the other.
    let lower = clause.to_ascii_lowercase();
    // For the rules that take nothing over word for word: phones write "what’s".
    let plain = lower.replace('’', "'");
    rules::note(clause, &lower)
        .or_else(|| rules::counted(clause, &lower))
        .or_else(|| rules::notes_read(clause, &lower))
        .or_else(|| rules::name(clause, &lower))
        .or_else(|| rules::about_the_model(&plain))
        .or_else(|| rules::time(&plain))
        .or_else(|| arithmetic::find(&plain).map(Wish::Calculate))
        .or_else(|| rules::small_talk(&plain))
}

fn without_politeness(clause: &str) -> &str {
    let mut clause = clause.trim();
    while let Some(polite) = POLITE.iter().find(|polite| starts_with(clause, polite)) {
        clause = clause[polite.len()..].trim_start();
    }
    clause
}

fn starts_with(text: &str, beginning: &str) -> bool {
    text.get(..beginning.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(beginning))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calculate(expression: &str) -> Wish {
        Wish::Calculate(expression.to_owned())
    }

    fn write(text: &str) -> Wish {
        Wish::WriteNote(text.to_owned())
    }

    fn search(query: &str) -> Wish {
        Wish::SearchNotes(query.to_owned())
    }

    fn count(text: &str) -> Wish {
        Wish::CountText(text.to_owned())
    }

    #[test]
    fn a_message_with_one_wish_is_understood() {
        for (message, wish) in [
            ("what is 12 * (3+4)?", calculate("12 * (3 + 4)")),
            ("calculate 2^10", calculate("2^10")),
            ("What’s 17% of 250?", calculate("17 / 100 * 250")),
            ("17% of 250", calculate("17 / 100 * 250")),
            ("What is 1.5 + 2.5?", calculate("1.5 + 2.5")),
            ("Can you please compute 6*7", calculate("6 * 7")),
            ("what time is it?", Wish::Time(None)),
            ("What's the date today?", Wish::Time(None)),
            ("Which day is it", Wish::Time(None)),
            ("what time is it in UTC?", Wish::Time(Some(0))),
            ("what time is it in UTC+2?", Wish::Time(Some(120))),
            ("tell me the current time at GMT -03:30", Wish::Time(Some(-210))),
            ("what time is it in utc+0530", Wish::Time(Some(330))),
            ("Remember that the door code is 1234.", write("the door code is 1234")),
            ("please remember to buy milk and eggs", write("to buy milk and eggs")),
            (
                "Take a note: call Ada at 5. And bring cake!",
                write("call Ada at 5. And bring cake"),
            ),
            ("note that what is 2+2 was asked", write("what is 2+2 was asked")),
            ("note: \"quoted\"", write("quoted")),
            ("list my notes", Wish::ListNotes),
            ("What notes do I have?", Wish::ListNotes),
            ("show me my notes", Wish::ListNotes),
            ("find notes about milk", search("milk")),
            ("Search my notes for \"door code\"", search("door code")),
            ("What did I note about Ada?", search("Ada")),
            ("how many words in: one two three", count("one two three")),
            ("How many characters are in \"Hello, world\"?", count("Hello, world")),
            (
                "count the words in: What time is it? I ask.",
                count("What time is it? I ask."),
            ),
            ("My name is Ada Lovelace.", Wish::TellName("Ada Lovelace".to_owned())),
            ("Hi, my name is Ada", Wish::TellName("Ada".to_owned())),
            ("what is my name?", Wish::AskName),
            ("Do you remember my name?", Wish::AskName),
            ("Who are you?", Wish::AskIdentity),
            ("are you a real person?", Wish::AskIdentity),
            ("what can you do?", Wish::AskHelp),
            ("help", Wish::AskHelp),
            ("Hello!", Wish::Greet),
            ("thanks a lot", Wish::Thank),
        ] {
            let found: Vec<_> = wishes(message)
                .into_iter()
                .filter(|wish| *wish != Wish::Greet || message == "Hello!")
                .collect();
            assert_eq!(found, [wish], "{message}");
        }
    }

    #[test]
    fn several_wishes_are_understood_in_order() {
        for (message, expected) in [
            (
                "What is 12*7 and what time is it?",
                vec![calculate("12 * 7"), Wish::Time(None)],
            ),
            (
                "what is 2+2, and what is 3+3?",
                vec![calculate("2 + 2"), calculate("3 + 3")],
            ),
            (
                "Hello! My name is Ada and what is 2+2?",
                vec![Wish::Greet, Wish::TellName("Ada".to_owned()), calculate("2 + 2")],
            ),
            (
                "Remember that I like tea and what time is it?",
                vec![write("I like tea"), Wish::Time(None)],
            ),
            ("Remember milk. List my notes.", vec![write("milk"), Wish::ListNotes]),
            (
                "what time is it in UTC+2 and how many words in: a b and c. d",
                vec![Wish::Time(Some(120)), count("a b and c. d")],
            ),
        ] {
            assert_eq!(wishes(message), expected, "{message}");
        }
    }

    #[test]
    fn what_no_rule_matches_is_no_wish() {
        for message in [
            "",
            "   ",
            "?!",
            "why is the sky blue?",
            "write a poem about the sea",
            "notebooks are nice",
            "history is long",
            "remember?",
            "take a note",
            "I remember the time",
            "how many planets are there?",
            "日本語で話せますか",
        ] {
            assert_eq!(wishes(message), [], "{message}");
        }
    }

    #[test]
    fn a_name_is_the_one_that_was_told_last() {
        assert_eq!(
            told_name("my name is Ada. No, call me Grace!").as_deref(),
            Some("Grace")
        );
        assert_eq!(told_name("my name is a long story that I tell another time"), None);
        assert_eq!(told_name("what is my name?"), None);
    }

    #[test]
    fn what_is_too_long_is_not_read_but_for_a_text_behind_a_colon() {
        let long = "and then what is 2+2, ".repeat(1000);
        assert_eq!(wishes(&long), []);
        assert_eq!(wishes(&format!("how many words in: {long}")), [count(long.trim())]);
        let many = wishes(&"Hello. ".repeat(CLAUSES + 1));
        assert_eq!((many.len(), many.last()), (CLAUSES + 1, Some(&Wish::TooMuch)));
    }

    #[test]
    fn letters_that_change_length_with_their_case_cut_nothing_in_two() {
        for message in [
            "İ remember that İİİ",
            "remember that İstanbul",
            "my name is İpek",
            "how many words in İ ẞ",
        ] {
            wishes(message);
        }
        assert_eq!(wishes("remember that İstanbul is big"), [write("İstanbul is big")]);
    }
}
