//! The body of a request for a chat completion.

use serde_json::{Value, json};
use sessile_actors::infra::model::{ChatMessage, INVALID_JSON, ModelCall, ModelRequest};
use sessile_actors::infra::tools::ToolSpec;

/// What is sent.
pub(super) fn body(model: &str, request: &ModelRequest) -> Value {
    let system = (!request.system.is_empty()).then(|| json!({"role": "system", "content": request.system}));
    let messages: Vec<_> = system.into_iter().chain(request.messages.iter().map(message)).collect();
    let mut body = json!({
        "model": model,
        "stream": true,
        // Without it no usage is told.
        "stream_options": {"include_usage": true},
        "messages": messages,
    });
    if !request.tools.is_empty() {
        body["tools"] = request.tools.iter().map(|tool| declared(tool)).collect();
    }
    body
}

fn message(message: &ChatMessage) -> Value {
    match message {
        ChatMessage::User(text) => json!({"role": "user", "content": text}),
        ChatMessage::Assistant { text, calls } if calls.is_empty() => json!({"role": "assistant", "content": text}),
        ChatMessage::Assistant { text, calls } => {
            let content = if text.is_empty() { Value::Null } else { json!(text) };
            let calls: Vec<_> = calls.iter().map(called).collect();
            json!({"role": "assistant", "content": content, "tool_calls": calls})
        }
        ChatMessage::Tool {
            id, content, is_error, ..
        } => json!({"role": "tool", "tool_call_id": id, "content": super::super::result(content, *is_error)}),
    }
}

fn called(call: &ModelCall) -> Value {
    // What was no JSON goes back as it came: the model sees its own mistake.
    let arguments = match call.arguments.get(INVALID_JSON).and_then(Value::as_str) {
        Some(text) => text.to_owned(),
        None => call.arguments.to_string(),
    };
    json!({"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}})
}

fn declared(tool: &ToolSpec) -> Value {
    json!({
        "type": "function",
        "function": {"name": tool.name, "description": tool.description, "parameters": tool.parameters},
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn a_conversation_with_tools_is_written_as_the_protocol_has_it() {
        let parameters = json!({"type": "object"});
        let request = ModelRequest {
            system: "be brief".to_owned(),
            messages: vec![
                ChatMessage::User("what is 1+1?".to_owned()),
                ChatMessage::Assistant {
                    text: String::new(),
                    calls: vec![
                        ModelCall {
                            id: "a".to_owned(),
                            name: "calculator".to_owned(),
                            arguments: json!({"expression": "1+1"}),
                        },
                        ModelCall {
                            id: "b".to_owned(),
                            name: "calculator".to_owned(),
                            arguments: json!({INVALID_JSON: "{1+"}),
                        },
                    ],
                },
                ChatMessage::Tool {
                    id: "a".to_owned(),
                    name: "calculator".to_owned(),
                    content: json!("2"),
                    is_error: false,
                },
                ChatMessage::Tool {
                    id: "b".to_owned(),
                    name: "calculator".to_owned(),
                    content: json!("no object"),
                    is_error: true,
                },
                ChatMessage::Assistant {
                    text: "2".to_owned(),
                    calls: Vec::new(),
                },
            ],
            tools: vec![Arc::new(ToolSpec::new("calculator", "calculates", parameters.clone()))],
        };
        let expected = json!({
            "model": "m", "stream": true, "stream_options": {"include_usage": true},
            "messages": [
                {"role": "system", "content": "be brief"},
                {"role": "user", "content": "what is 1+1?"},
                {"role": "assistant", "content": null, "tool_calls": [
                    {"id": "a", "type": "function",
                     "function": {"name": "calculator", "arguments": "{\"expression\":\"1+1\"}"}},
                    {"id": "b", "type": "function", "function": {"name": "calculator", "arguments": "{1+"}},
                ]},
                {"role": "tool", "tool_call_id": "a", "content": "2"},
                {"role": "tool", "tool_call_id": "b", "content": "{\"error\":\"no object\"}"},
                {"role": "assistant", "content": "2"},
            ],
            "tools": [{"type": "function",
                "function": {"name": "calculator", "description": "calculates", "parameters": parameters}}],
        });
        assert_eq!(body("m", &request), expected);
    }

    #[test]
    fn without_tools_none_are_named() {
        let bare = body("m", &ModelRequest::default());
        assert_eq!(bare["messages"], json!([]));
        assert!(bare.get("tools").is_none(), "{bare}");
    }
}
