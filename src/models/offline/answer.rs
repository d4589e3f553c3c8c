//! Decides what to call and what to say.

use serde_json::{Value, json};
use sessile_actors::infra::model::{ChatMessage, ModelCall, ModelRequest};

use super::abilities::{abilities, asked_for, has_tool};
use super::understand::{Wish, told_name, wishes};
use crate::tools::{calculator, current_time, notes, text_stats};

/// How much of a topic that it can't help with is echoed, in characters: enough to show what was read.
const TOPIC_CHARS: usize = 60;

/// How much of a result is told that no rule knows how to put in words, in characters.
const RAW_RESULT_CHARS: usize = 400;

/// What it says that it is, whenever that matters.
const WHAT_I_AM: &str = "I am Sessile's offline model: a rule-based stand-in, not a language model.";

/// One turn of the model.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// For the thinking line.
    pub thought: String,
    /// What it says.
    pub text: String,
    /// What it calls.
    pub calls: Vec<ModelCall>,
}

/// The answer to a request.
pub fn to(request: &ModelRequest) -> Answer {
    match request.messages.last() {
        Some(ChatMessage::Tool { .. }) => from_results(&request.messages),
        Some(ChatMessage::User(message)) => to_message(message, request),
        Some(ChatMessage::Assistant { .. }) | None => Answer {
            thought: "There is no message to answer.".to_owned(),
            text: format!("{WHAT_I_AM} There is no message that I could answer."),
            calls: Vec::new(),
        },
    }
}

fn to_message(message: &str, request: &ModelRequest) -> Answer {
    let made = calls_made(&request.messages);
    if let Some(asked) = asked_for(message, &request.tools) {
        return by_name(asked, made);
    }
    let wishes = wishes(message);
    let (mut calls, mut said) = (Vec::new(), Vec::new());
    for wish in &wishes {
        match call_for(wish) {
            Some((tool, arguments)) if has_tool(request, tool) => calls.push(ModelCall {
                id: format!("call_{}", made + calls.len() + 1),
                name: tool.to_owned(),
                arguments,
            }),
            Some((tool, _)) => said.push(format!(
                "For that I would need the tool `{tool}`, which I may not use here."
            )),
            None => said.extend(spoken(wish, wishes.len() == 1, request)),
        }
    }
    if wishes.is_empty() {
        said.push(cannot_help(message, request));
    }
    Answer {
        thought: thought(&calls, wishes.is_empty()),
        text: said.join(" "),
        calls,
    }
}

/// Calls the tool that the message names, or says how to.
fn by_name(asked: Result<(String, Value), String>, made: usize) -> Answer {
    let (calls, text) = match asked {
        Ok((name, arguments)) => {
            let id = format!("call_{}", made + 1);
            (vec![ModelCall { id, name, arguments }], String::new())
        }
        Err(how) => (Vec::new(), how),
    };
    Answer {
        thought: thought(&calls, false),
        text,
        calls,
    }
}

fn thought(calls: &[ModelCall], lost: bool) -> String {
    if !calls.is_empty() {
        let names: Vec<_> = calls.iter().map(|call| call.name.as_str()).collect();
        return format!("My rules match this message: I call {}.", names.join(", then "));
    }
    if lost {
        "None of my rules matches this message; I say so.".to_owned()
    } else {
        "My rules answer this message without a tool.".to_owned()
    }
}

/// The tool that a wish needs, and its arguments.
fn call_for(wish: &Wish) -> Option<(&'static str, Value)> {
    Some(match wish {
        Wish::Calculate(expression) => (calculator::NAME, json!({ "expression": expression })),
        Wish::Time(None) => (current_time::NAME, json!({})),
        Wish::Time(Some(minutes)) => (current_time::NAME, json!({ "utc_offset_minutes": minutes })),
        Wish::WriteNote(text) => (notes::NAME, json!({ "action": "write", "text": text })),
        Wish::ListNotes => (notes::NAME, json!({ "action": "list" })),
        Wish::SearchNotes(query) => (notes::NAME, json!({ "action": "search", "query": query })),
        Wish::CountText(text) => (text_stats::NAME, json!({ "text": text })),
        Wish::TellName(_)
        | Wish::AskName
        | Wish::AskIdentity
        | Wish::AskHelp
        | Wish::Greet
        | Wish::Thank
        | Wish::TooMuch => return None,
    })
}

/// What is said to a wish that needs no tool. A greeting or thanks beside something else is left out.
fn spoken(wish: &Wish, alone: bool, request: &ModelRequest) -> Option<String> {
    match wish {
        Wish::TellName(name) => Some(format!("Nice to meet you, {name}.")),
        Wish::AskName => Some(match name_told(&request.messages) {
            Some(name) => format!("Your name is {name}: you told me in this conversation."),
            None => "You have not told me your name in this conversation.".to_owned(),
        }),
        Wish::AskIdentity => Some(format!(
            "{WHAT_I_AM} I match your words against fixed rules and call tools; I don't understand language. {}",
            abilities(request)
        )),
        Wish::AskHelp => Some(format!("{WHAT_I_AM} {}", abilities(request))),
        Wish::Greet if alone => {
            let name = name_told(&request.messages).map_or_else(String::new, |name| format!(", {name}"));
            Some(format!("Hello{name}! {WHAT_I_AM} {}", abilities(request)))
        }
        Wish::Thank if alone => Some("You are welcome.".to_owned()),
        Wish::Greet | Wish::Thank => None,
        Wish::TooMuch => Some("Your message goes on, but I read no more than its beginning.".to_owned()),
        Wish::Calculate(_)
        | Wish::Time(_)
        | Wish::WriteNote(_)
        | Wish::ListNotes
        | Wish::SearchNotes(_)
        | Wish::CountText(_) => None,
    }
}

fn cannot_help(message: &str, request: &ModelRequest) -> String {
    let topic = shortened(message.trim(), TOPIC_CHARS);
    let about = if topic.is_empty() {
        String::new()
    } else {
        format!(" on “{topic}”")
    };
    format!(
        "{WHAT_I_AM} I have no rule for your message{about}, so I can't answer it. {}",
        abilities(request)
    )
}

/// The text, cut where it is longer than `most` characters.
fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", text[..end].trim_end()),
        None => text.to_owned(),
    }
}

/// How many calls the conversation holds: so that each gets an id of its own.
fn calls_made(messages: &[ChatMessage]) -> usize {
    let calls = messages.iter().map(|message| match message {
        ChatMessage::Assistant { calls, .. } => calls.len(),
        ChatMessage::User(_) | ChatMessage::Tool { .. } => 0,
    });
    calls.sum()
}

/// The name that the user told last.
fn name_told(messages: &[ChatMessage]) -> Option<String> {
    messages.iter().rev().find_map(|message| match message {
        ChatMessage::User(text) => told_name(text),
        ChatMessage::Assistant { .. } | ChatMessage::Tool { .. } => None,
    })
}

/// The answer from what the last calls brought.
fn from_results(messages: &[ChatMessage]) -> Answer {
    let mut told = Vec::new();
    for message in messages.iter().rev() {
        match message {
            ChatMessage::Tool {
                name,
                content,
                is_error: false,
                ..
            } => told.push(in_words(name, content)),
            ChatMessage::Tool { name, content, .. } => {
                let reason = in_short(content);
                told.push(format!("The tool `{name}` failed: {}.", reason.trim_end_matches('.')));
            }
            ChatMessage::User(_) | ChatMessage::Assistant { .. } => break,
        }
    }
    told.reverse();
    Answer {
        thought: "The tools have answered; I put their results in words.".to_owned(),
        text: told.join("\n"),
        calls: Vec::new(),
    }
}

/// A result as a sentence; as JSON where it is not as its tool makes it.
fn in_words(tool: &str, result: &Value) -> String {
    let sentence = match tool {
        calculator::NAME => calculated(result),
        current_time::NAME => told_time(result),
        notes::NAME => noted(result),
        text_stats::NAME => counted(result),
        _ => None,
    };
    sentence.unwrap_or_else(|| format!("The tool `{tool}` says: {}", in_short(result)))
}

/// A text as it is, anything else as JSON; cut where it is long.
fn in_short(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    shortened(&text, RAW_RESULT_CHARS)
}

fn calculated(result: &Value) -> Option<String> {
    let expression = result["expression"].as_str()?;
    let value = result.get("result")?;
    Some(format!("{expression} = {value}."))
}

fn told_time(result: &Value) -> Option<String> {
    let (date, clock) = result["time"].as_str()?.split_once('T')?;
    let weekday = result["weekday"].as_str()?;
    let (shown, zone) = clock.split_at_checked(8)?;
    if zone == "Z" {
        return Some(format!(
            "It is {weekday}, {date}, {shown} in UTC. Name an offset such as UTC+2 for another clock."
        ));
    }
    Some(format!("It is {weekday}, {date}, {shown} at UTC{zone}."))
}

fn noted(result: &Value) -> Option<String> {
    if let Some(text) = result["text"].as_str() {
        return Some(format!("Noted: “{text}”."));
    }
    let notes = result["notes"].as_array()?;
    let about = result["query"]
        .as_str()
        .map_or_else(String::new, |query| format!(" about “{query}”"));
    if notes.is_empty() {
        return Some(format!("You have no notes{about}."));
    }
    let lines: Vec<_> = notes
        .iter()
        .map(|note| format!("\n- {}", note["text"].as_str().unwrap_or("?")))
        .collect();
    Some(format!("Your notes{about}, newest first:{}", lines.concat()))
}

fn counted(result: &Value) -> Option<String> {
    let figure = |name: &str, one: &str| {
        let count = result[name].as_u64()?;
        Some(format!("{count} {}", if count == 1 { one } else { name }))
    };
    Some(format!(
        "The text has {}, {}, {} and {}.",
        figure("words", "word")?,
        figure("characters", "character")?,
        figure("sentences", "sentence")?,
        figure("lines", "line")?
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked_after(mut messages: Vec<ChatMessage>, message: &str) -> ModelRequest {
        messages.push(ChatMessage::User(message.to_owned()));
        let tools = crate::tools::all(crate::tools::doubles::ports(), &crate::tools::ToolSettings::default())
            .freeze()
            .unwrap();
        ModelRequest {
            system: String::new(),
            messages,
            tools: tools.specs().cloned().collect(),
        }
    }

    fn asked(message: &str) -> ModelRequest {
        asked_after(Vec::new(), message)
    }

    fn user(text: &str) -> ChatMessage {
        ChatMessage::User(text.to_owned())
    }

    fn result(name: &str, content: Value, is_error: bool) -> ChatMessage {
        ChatMessage::Tool {
            id: "call_1".to_owned(),
            name: name.to_owned(),
            content,
            is_error,
        }
    }

    #[tokio::test]
    async fn each_wish_calls_its_tool_with_arguments_that_the_schema_takes() {
        let tools = crate::tools::all(crate::tools::doubles::ports(), &crate::tools::ToolSettings::default())
            .freeze()
            .unwrap();
        for (message, tool, arguments) in [
            (
                "what is 12 * (3+4)?",
                "calculator",
                json!({"expression": "12 * (3 + 4)"}),
            ),
            ("what time is it?", "current_time", json!({})),
            (
                "what time is it in UTC-3?",
                "current_time",
                json!({"utc_offset_minutes": -180}),
            ),
            (
                "note that it rains",
                "notes",
                json!({"action": "write", "text": "it rains"}),
            ),
            ("list my notes", "notes", json!({"action": "list"})),
            (
                "find notes about rain",
                "notes",
                json!({"action": "search", "query": "rain"}),
            ),
            ("how many words in: a b", "text_stats", json!({"text": "a b"})),
        ] {
            let answer = to(&asked(message));
            let [call] = answer.calls.as_slice() else {
                panic!("{message}: {answer:?}");
            };
            assert_eq!((call.name.as_str(), &call.arguments), (tool, &arguments), "{message}");
            assert_eq!(tools.get(tool).unwrap().validate(&arguments), Ok(()), "{message}");
            assert_eq!(answer.text, "", "{message}");
        }
    }

    #[tokio::test]
    async fn several_wishes_make_several_calls_each_with_an_id_of_its_own() {
        let earlier = to(&asked("what is 1+1?")).calls;
        let earlier = ChatMessage::Assistant {
            text: String::new(),
            calls: earlier,
        };
        let answer = to(&asked_after(vec![earlier], "what is 2+2 and what time is it?"));
        let calls: Vec<_> = answer
            .calls
            .iter()
            .map(|call| (call.id.as_str(), call.name.as_str()))
            .collect();
        assert_eq!(calls, [("call_2", "calculator"), ("call_3", "current_time")]);
    }

    #[tokio::test]
    async fn a_tool_that_is_not_in_the_request_is_not_called_and_that_is_said() {
        let mut request = asked("what time is it?");
        request.tools.retain(|tool| tool.name != current_time::NAME);
        let answer = to(&request);
        assert_eq!(answer.calls, []);
        assert!(answer.text.contains("`current_time`"), "{}", answer.text);
        request.tools.clear();
        request.messages = vec![user("help")];
        assert!(to(&request).text.contains("no tools"));
    }

    #[tokio::test]
    async fn it_says_that_it_is_a_stand_in_when_asked_and_when_it_cannot_help() {
        for message in [
            "who are you?",
            "are you an AI?",
            "hello",
            "help",
            "why is the sky blue?",
            "",
        ] {
            let answer = to(&asked(message));
            assert!(
                answer.text.contains("rule-based stand-in"),
                "{message}: {}",
                answer.text
            );
            assert!(answer.text.contains("`calculator`"), "{message}: {}", answer.text);
        }
    }

    #[tokio::test]
    async fn a_topic_that_it_has_no_rule_for_is_echoed_briefly() {
        let short = to(&asked("why is the sky blue?"));
        assert!(short.text.contains("“why is the sky blue?”"), "{}", short.text);
        let long = to(&asked(&"ö".repeat(10_000)));
        assert!(
            long.text.contains(&format!("“{}…”", "ö".repeat(TOPIC_CHARS))),
            "{}",
            long.text
        );
    }

    #[tokio::test]
    async fn it_knows_the_name_that_was_told_last_and_none_that_was_not() {
        let told = vec![user("hi, my name is Ada"), user("No: call me Grace.")];
        assert!(to(&asked_after(told, "what is my name?")).text.contains("Grace"));
        assert!(to(&asked("what is my name?")).text.contains("have not told me"));
    }

    #[tokio::test]
    async fn results_are_told_in_words() {
        let note = |text: &str| json!({"id": 1, "text": text, "created_at": "2026-11-20T12:00:00Z"});
        for (tool, content, told) in [
            (
                "calculator",
                json!({"expression": "6 * 7", "result": 42}),
                "6 * 7 = 42.",
            ),
            (
                "current_time",
                json!({"time": "2026-11-21T00:30:05+02:00", "weekday": "Saturday", "unix": 0}),
                "It is Saturday, 2026-11-21, 00:30:05 at UTC+02:00.",
            ),
            (
                "current_time",
                json!({"time": "2026-11-20T22:30:05Z", "weekday": "Friday", "unix": 0}),
                "It is Friday, 2026-11-20, 22:30:05 in UTC. Name an offset such as UTC+2 for another clock.",
            ),
            ("notes", json!({"id": 3, "text": "milk"}), "Noted: “milk”."),
            ("notes", json!({"notes": []}), "You have no notes."),
            (
                "notes",
                json!({"query": "milk", "notes": [note("milk"), note("more milk")]}),
                "Your notes about “milk”, newest first:\n- milk\n- more milk",
            ),
            (
                "text_stats",
                json!({"words": 1, "characters": 5, "sentences": 1, "lines": 1}),
                "The text has 1 word, 5 characters, 1 sentence and 1 line.",
            ),
            (
                "calculator",
                json!({"odd": true}),
                "The tool `calculator` says: {\"odd\":true}",
            ),
            ("weather", json!("rain"), "The tool `weather` says: rain"),
        ] {
            let mut request = asked("?");
            request.messages.push(result(tool, content, false));
            let answer = to(&request);
            assert_eq!((answer.text.as_str(), answer.calls.len()), (told, 0));
        }
    }

    #[tokio::test]
    async fn a_failure_is_told_plainly_beside_what_worked() {
        let mut request = asked("what is 1/0 and what is 6*7?");
        request
            .messages
            .push(result("calculator", json!("it divides by zero"), true));
        request.messages.push(result(
            "calculator",
            json!({"expression": "6 * 7", "result": 42}),
            false,
        ));
        assert_eq!(
            to(&request).text,
            "The tool `calculator` failed: it divides by zero.\n6 * 7 = 42."
        );
    }
}
