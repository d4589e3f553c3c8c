//! A request in genai's words.

use genai::chat::{ChatMessage as Message, ChatRequest, ContentPart, MessageContent, Tool, ToolCall, ToolResponse};
use sessile_actors::infra::model::{ChatMessage, ModelRequest};

/// What genai is asked.
pub(super) fn chat(request: &ModelRequest) -> ChatRequest {
    let messages = request.messages.iter().filter_map(message).collect();
    let mut chat = ChatRequest::new(messages);
    if !request.system.is_empty() {
        chat = chat.with_system(request.system.as_str());
    }
    if request.tools.is_empty() {
        return chat;
    }
    chat.with_tools(request.tools.iter().map(|tool| {
        Tool::new(tool.name.as_str())
            .with_description(tool.description.as_str())
            .with_schema(tool.parameters.clone())
    }))
}

/// One turn; none where it says nothing, for providers refuse empty ones.
fn message(message: &ChatMessage) -> Option<Message> {
    match message {
        ChatMessage::User(text) => Some(Message::user(text.as_str())),
        ChatMessage::Assistant { text, calls } => {
            let text = (!text.is_empty()).then(|| ContentPart::Text(text.clone()));
            let calls = calls.iter().map(|call| {
                ContentPart::ToolCall(ToolCall {
                    call_id: call.id.clone(),
                    fn_name: call.name.clone(),
                    fn_arguments: call.arguments.clone(),
                    thought_signatures: None,
                })
            });
            let parts: Vec<_> = text.into_iter().chain(calls).collect();
            (!parts.is_empty()).then(|| Message::assistant(MessageContent::from_parts(parts)))
        }
        ChatMessage::Tool {
            id,
            name,
            content,
            is_error,
        } => {
            let result = super::super::result(content, *is_error);
            Some(Message::from(
                ToolResponse::new(id.as_str(), result).with_fn_name(name.as_str()),
            ))
        }
    }
}
