//! Which tools there are: those that rules know, and any other by its name.

use std::sync::Arc;

use serde_json::{Value, json};
use sessile_actors::infra::ToolSpec;
use sessile_actors::infra::model::ModelRequest;

use crate::tools::{calculator, current_time, notes, text_stats};

/// What a message begins with that calls a tool by its name: `call NAME {"argument": "value"}`.
const CALL: &str = "call ";

/// The tools that rules know, and what to say to them.
const KNOWN: [(&str, &str); 4] = [
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
];

/// Whether the tool may be called.
pub fn has_tool(request: &ModelRequest, name: &str) -> bool {
    request.tools.iter().any(|tool| tool.name == name)
}

/// What it can do, as a list.
pub fn abilities(request: &ModelRequest) -> String {
    let known = KNOWN.iter().filter(|(tool, _)| has_tool(request, tool));
    let known = known.map(|(tool, ability)| format!("\n- `{tool}`: {ability}"));
    let others = request.tools.iter().filter(|tool| !is_known(&tool.name));
    let others = others.map(|tool| {
        format!(
            "\n- `{}`: {} (`call {} {{...}}`, with its arguments as JSON)",
            tool.name, tool.description, tool.name
        )
    });
    let abilities: Vec<_> = known.chain(others).collect();
    if abilities.is_empty() {
        return "Here I have no tools, so I can do no more than say so.".to_owned();
    }
    format!("With my tools I can:{}", abilities.concat())
}

fn is_known(name: &str) -> bool {
    KNOWN.iter().any(|(tool, _)| *tool == name)
}

/// The tool that a message names, with its arguments; how to name them where they can't be read. None where it names no tool.
pub fn asked_for(message: &str, tools: &[Arc<ToolSpec>]) -> Option<Result<(String, Value), String>> {
    let message = message.trim();
    let (call, rest) = message.split_at_checked(CALL.len())?;
    let rest = rest.trim();
    let (name, arguments) = rest.split_at(rest.find([' ', '{', '\n']).unwrap_or(rest.len()));
    let name = name.trim_matches('`');
    if !call.eq_ignore_ascii_case(CALL) || !tools.iter().any(|tool| tool.name == name) {
        return None;
    }
    let arguments = match arguments.trim() {
        "" => Ok(json!({})),
        text => serde_json::from_str::<Value>(text),
    };
    Some(match arguments {
        Ok(arguments @ Value::Object(_)) => Ok((name.to_owned(), arguments)),
        Ok(_) | Err(_) => Err(format!(
            "I can call `{name}`, but not with these arguments: write them as a JSON object, such as \
             `call {name} {{\"argument\": \"value\"}}`."
        )),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tools() -> Vec<Arc<ToolSpec>> {
        let named = |name: &str| Arc::new(ToolSpec::new(name, "Turns a text around.", json!({ "type": "object" })));
        vec![named("reverse"), named(calculator::NAME)]
    }

    #[test]
    fn any_tool_can_be_called_by_its_name() {
        let called = |message: &str| asked_for(message, &tools()).map(Result::ok);
        let reverse = |arguments: Value| Some(Some(("reverse".to_owned(), arguments)));
        for (message, expected) in [
            ("call reverse {\"text\": \"a b\"}", reverse(json!({ "text": "a b" }))),
            ("Call reverse{\"text\":\"a\"} ", reverse(json!({ "text": "a" }))),
            ("call `reverse`", reverse(json!({}))),
            ("call reverse a b", Some(None)),
            ("call reverse [1]", Some(None)),
            ("call me Ada", None),
            ("call", None),
            ("reverse this", None),
            ("call nobody {}", None),
        ] {
            assert_eq!(called(message), expected, "{message}");
        }
    }

    #[test]
    fn a_tool_that_no_rule_knows_is_listed_with_the_way_to_call_it() {
        let request = ModelRequest {
            tools: tools(),
            ..ModelRequest::default()
        };
        let told = abilities(&request);
        assert!(
            told.contains("- `reverse`: Turns a text around. (`call reverse {...}`"),
            "{told}"
        );
        assert!(
            told.contains("- `calculator`: work out arithmetic") && !told.contains("notes"),
            "{told}"
        );
    }
}
