//! Decides what to call and what to say.

use serde_json::{Value, json};
use sessile_actors::infra::model::{ChatMessage, ModelCall, ModelRequest};

use super::understand::{Wish, wishes};
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
    let wishes = wishes(message);
    let made = calls_made(&request.messages);
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
        Wish::TellName(_) | Wish::AskName | Wish::AskIdentity | Wish::AskHelp | Wish::Greet | Wish::Thank => {
            return None;
        }
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
        Wish::Calculate(_)
        | Wish::Time(_)
        | Wish::WriteNote(_)
        | Wish::ListNotes
        | Wish::SearchNotes(_)
        | Wish::CountText(_) => None,
    }
}

/// What it can do with the tools of this request.
fn abilities(request: &ModelRequest) -> String {
    let abilities: Vec<_> = [
        (
            calculator::NAME,
            "work out arithmetic (“what is 12 * (3+4)?”, “17% of 250”)",
        ),
        (
            current_time::NAME,
            "tell the time and date (“what time is it in UTC+2?”)",
        ),
        (
            notes::NAME,
            "keep your notes (“remember that ...”, “list my notes”, “find notes about ...”)",
        ),
        (text_stats::NAME, "count what is in a text (“how many words in: ...”)"),
    ]
    .into_iter()
    .filter(|(tool, _)| has_tool(request, tool))
    .map(|(tool, ability)| format!("\n- `{tool}`: {ability}"))
    .collect();
    if abilities.is_empty() {
        return "Here I have no tools, so I can do no more than say so.".to_owned();
    }
    format!("With my tools I can:{}", abilities.concat())
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

fn has_tool(request: &ModelRequest, name: &str) -> bool {
    request.tools.iter().any(|tool| tool.name == name)
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
        ChatMessage::User(text) => wishes(text).into_iter().rev().find_map(|wish| match wish {
            Wish::TellName(name) => Some(name),
            _ => None,
        }),
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
        return Some(format!("Noted as number {}: “{text}”.", result["id"].as_i64()?));
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
