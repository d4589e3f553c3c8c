//! What an agent knows of one run's conversation with its model: pure, so that every turn of it can be tested.

use std::mem;

use serde_json::Value;
use sessile_actors::infra::AgentError;
use sessile_actors::infra::model::{ChatMessage, ModelCall, ModelPiece, ModelUsage};
use sessile_actors::protocol::server::ToolStatus;
use sessile_actors::session::run::ToolReply;

/// How many earlier messages a model reads. Beyond it the oldest are left out: what is older rarely matters, and every
/// message is paid for again with each step.
pub const HISTORY_MESSAGES: usize = 40;

/// How many tools a model may call in one step. Beyond it the run fails as `too_many_calls`: a model that asks for more
/// has lost its way, and the calls run one after the other.
pub const CALLS_PER_STEP: usize = 16;

/// What stands between what was said before a tool call and what is said after it.
const BLANK_LINE: &str = "\n\n";

/// The messages so far, and the step that is under way.
#[derive(Debug)]
pub struct Conversation {
    messages: Vec<ChatMessage>,
    text: String,
    calls: Vec<ModelCall>,
    said_before: bool,
}

/// What a piece of the model means for the run.
#[derive(Debug, PartialEq)]
pub enum Heard {
    /// Nothing to pass on.
    Nothing,
    /// To be passed on as a thought.
    Thought(String),
    /// To be said.
    Text(String),
    /// The step is over.
    End {
        /// What it used.
        usage: ModelUsage,
    },
}

impl Conversation {
    /// Begins with what was said in the thread, and the message to answer.
    pub fn new(history: Vec<ChatMessage>, message: &str) -> Self {
        let mut messages = newest(history);
        messages.push(ChatMessage::User(message.to_owned()));
        Self {
            messages,
            text: String::new(),
            calls: Vec::new(),
            said_before: false,
        }
    }

    /// What the model is to read next.
    pub fn messages(&self) -> &[ChatMessage] {
        &self.messages
    }

    /// Takes a piece of the step under way.
    ///
    /// # Errors
    /// `too_many_calls` beyond [`CALLS_PER_STEP`].
    pub fn hear(&mut self, piece: ModelPiece) -> Result<Heard, AgentError> {
        match piece {
            ModelPiece::Reasoning(reasoning) if reasoning.is_empty() => Ok(Heard::Nothing),
            ModelPiece::Reasoning(reasoning) => Ok(Heard::Thought(reasoning)),
            ModelPiece::Text(text) if text.is_empty() => Ok(Heard::Nothing),
            ModelPiece::Text(text) => {
                let begins = self.text.is_empty() && self.said_before;
                self.text.push_str(&text);
                Ok(Heard::Text(if begins { format!("{BLANK_LINE}{text}") } else { text }))
            }
            ModelPiece::Call(_) if self.calls.len() >= CALLS_PER_STEP => Err(too_many_calls()),
            ModelPiece::Call(call) => {
                self.calls.push(call);
                Ok(Heard::Nothing)
            }
            ModelPiece::End { usage } => Ok(Heard::End { usage }),
        }
    }

    /// Ends the step and returns the calls to make, in order; none ends the run.
    ///
    /// # Errors
    /// `empty_answer` where the model neither said nor called anything, in this step and before.
    pub fn end_step(&mut self) -> Result<Vec<ModelCall>, AgentError> {
        let (text, calls) = (mem::take(&mut self.text), mem::take(&mut self.calls));
        self.said_before |= !text.is_empty();
        if calls.is_empty() && !self.said_before {
            return Err(empty_answer());
        }
        self.messages.push(ChatMessage::Assistant {
            text,
            calls: calls.clone(),
        });
        Ok(calls)
    }

    /// Tells the model what was wrong with its answer.
    pub fn object(&mut self, fault: String) {
        self.messages.push(ChatMessage::User(fault));
    }

    /// What the model said last.
    pub fn last_words(&self) -> &str {
        match self.messages.last() {
            Some(ChatMessage::Assistant { text, .. }) => text,
            _ => "",
        }
    }

    /// The results of all calls that succeeded.
    pub fn results(&self) -> impl Iterator<Item = &Value> {
        self.messages.iter().filter_map(|message| match message {
            ChatMessage::Tool {
                content,
                is_error: false,
                ..
            } => Some(content),
            _ => None,
        })
    }

    /// Takes what the user told the run meanwhile, oldest first: the model reads it next. Says whether there was anything.
    pub fn steered(&mut self, told: Vec<String>) -> bool {
        let any = !told.is_empty();
        self.messages.extend(told.into_iter().map(ChatMessage::User));
        any
    }

    /// Takes what a call brought.
    pub fn tool_replied(&mut self, id: String, name: String, reply: ToolReply) {
        self.messages.push(ChatMessage::Tool {
            id,
            name,
            content: reply.result,
            is_error: reply.status != ToolStatus::Ok,
        });
    }
}

/// The newest messages, from one of the user on: a conversation that begins with a reply or a tool's result makes no
/// sense to a model.
fn newest(mut history: Vec<ChatMessage>) -> Vec<ChatMessage> {
    let earliest = history.len().saturating_sub(HISTORY_MESSAGES);
    let from_user = history[earliest..]
        .iter()
        .position(|message| matches!(message, ChatMessage::User(_)));
    match from_user {
        Some(position) => history.split_off(earliest + position),
        None => Vec::new(),
    }
}

fn too_many_calls() -> AgentError {
    AgentError::Failed {
        code: "too_many_calls",
        message: format!("The model asked for more than {CALLS_PER_STEP} tools at once. Ask for less at once."),
        retryable: false,
    }
}

fn empty_answer() -> AgentError {
    AgentError::Failed {
        code: "empty_answer",
        message: "The model gave no answer. Send the message again.".to_owned(),
        retryable: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn user(text: &str) -> ChatMessage {
        ChatMessage::User(text.to_owned())
    }

    fn said(text: &str) -> ModelPiece {
        ModelPiece::Text(text.to_owned())
    }

    fn call(id: &str) -> ModelCall {
        ModelCall {
            id: id.to_owned(),
            name: "calculator".to_owned(),
            arguments: json!({"expression": "1+1"}),
        }
    }

    fn reply(status: ToolStatus) -> ToolReply {
        ToolReply {
            status,
            result: json!("?"),
        }
    }

    fn code(error: AgentError) -> &'static str {
        match error {
            AgentError::Failed { code, .. } => code,
            AgentError::Over | AgentError::Model(_) => panic!("{error:?} has no code"),
        }
    }

    #[test]
    fn the_model_reads_the_history_and_then_the_message() {
        let conversation = Conversation::new(vec![user("a")], "b");
        assert_eq!(conversation.messages(), [user("a"), user("b")]);
    }

    #[test]
    fn a_step_without_calls_ends_the_run() {
        let mut conversation = Conversation::new(Vec::new(), "hi");
        assert_eq!(conversation.hear(said("hello")), Ok(Heard::Text("hello".to_owned())));
        assert_eq!(conversation.end_step(), Ok(Vec::new()));
    }

    #[test]
    fn calls_keep_their_order_and_their_results_follow_them() {
        let mut conversation = Conversation::new(Vec::new(), "hi");
        for id in ["1", "2"] {
            assert_eq!(conversation.hear(ModelPiece::Call(call(id))), Ok(Heard::Nothing));
        }
        assert_eq!(conversation.end_step(), Ok(vec![call("1"), call("2")]));
        conversation.tool_replied("1".to_owned(), "calculator".to_owned(), reply(ToolStatus::Ok));
        conversation.tool_replied("2".to_owned(), "calculator".to_owned(), reply(ToolStatus::Denied));
        let errors: Vec<_> = conversation.messages()[2..]
            .iter()
            .map(|message| match message {
                ChatMessage::Tool { id, is_error, .. } => (id.as_str(), *is_error),
                other => panic!("{other:?} is no result"),
            })
            .collect();
        assert_eq!(errors, [("1", false), ("2", true)]);
    }

    #[test]
    fn what_the_user_tells_meanwhile_is_what_the_model_reads_next() {
        let mut conversation = Conversation::new(Vec::new(), "hi");
        conversation.hear(said("hello")).unwrap();
        conversation.end_step().unwrap();
        assert!(conversation.steered(vec!["shorter".to_owned(), "in French".to_owned()]));
        assert_eq!(conversation.messages()[2..], [user("shorter"), user("in French")]);
        assert!(!conversation.steered(Vec::new()));
    }

    #[test]
    fn text_after_tools_is_a_paragraph_of_its_own() {
        let mut conversation = Conversation::new(Vec::new(), "hi");
        conversation.hear(said("Let me see.")).unwrap();
        conversation.hear(ModelPiece::Call(call("1"))).unwrap();
        conversation.end_step().unwrap();
        assert_eq!(
            conversation.hear(said("It is")),
            Ok(Heard::Text("\n\nIt is".to_owned()))
        );
        assert_eq!(conversation.hear(said(" 2.")), Ok(Heard::Text(" 2.".to_owned())));
        // What the model reads of itself stays as it said it.
        conversation.end_step().unwrap();
        let last = ChatMessage::Assistant {
            text: "It is 2.".to_owned(),
            calls: Vec::new(),
        };
        assert_eq!(conversation.messages().last(), Some(&last));
    }

    #[test]
    fn the_first_words_of_a_run_have_no_blank_line_before_them_even_after_tools() {
        let mut conversation = Conversation::new(Vec::new(), "hi");
        conversation.hear(ModelPiece::Call(call("1"))).unwrap();
        conversation.end_step().unwrap();
        assert_eq!(conversation.hear(said("Two.")), Ok(Heard::Text("Two.".to_owned())));
    }

    #[test]
    fn a_model_that_says_nothing_is_an_error_and_not_an_empty_answer() {
        let mut conversation = Conversation::new(Vec::new(), "hi");
        assert_eq!(conversation.hear(said("")), Ok(Heard::Nothing));
        assert_eq!(code(conversation.end_step().unwrap_err()), "empty_answer");
    }

    #[test]
    fn a_model_may_call_sixteen_tools_in_a_step_and_no_more() {
        let mut conversation = Conversation::new(Vec::new(), "hi");
        for _ in 0..CALLS_PER_STEP {
            conversation.hear(ModelPiece::Call(call("1"))).unwrap();
        }
        let refused = conversation.hear(ModelPiece::Call(call("1"))).unwrap_err();
        assert_eq!(code(refused), "too_many_calls");
    }

    #[test]
    fn a_long_history_is_cut_to_its_newest_part_from_a_user_message_on() {
        let mut history: Vec<_> = (0..HISTORY_MESSAGES).map(|n| user(&n.to_string())).collect();
        history[1] = ChatMessage::Assistant {
            text: "reply".to_owned(),
            calls: Vec::new(),
        };
        history.push(user("newest"));
        let conversation = Conversation::new(history, "now");
        assert_eq!(conversation.messages().len(), HISTORY_MESSAGES);
        assert_eq!(conversation.messages()[0], user("2"));
    }
}
