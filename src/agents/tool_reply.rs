//! What a tool brought an agent: its result, or why there is none, in words that may be shown.

use serde_json::Value;
use sessile_actors::infra::AgentError;
use sessile_actors::protocol::server::ToolStatus;
use sessile_actors::session::run::{RunContext, RunOver, ToolReply};

use super::markdown;

/// Characters of a tool's own reason that are passed on. Beyond it the reason is cut.
const REASON_CHARS: usize = 300;

/// A call that brought no result that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoResult {
    tool: &'static str,
    /// Why, without the tool's name and without a full stop.
    why: String,
    retryable: bool,
}

impl NoResult {
    /// Says why `reply` is no result, if it is none.
    pub fn of(tool: &'static str, reply: ToolReply) -> Result<Value, Self> {
        let (why, retryable) = match reply.status {
            ToolStatus::Ok => return Ok(reply.result),
            ToolStatus::Error => (reason(&reply.result), false),
            ToolStatus::Timeout => ("it took too long".to_owned(), true),
            ToolStatus::Denied => (format!("it was denied: {}", reason(&reply.result)), false),
            ToolStatus::Cancelled => ("it was stopped".to_owned(), true),
            ToolStatus::Panicked => ("it crashed".to_owned(), true),
            ToolStatus::Unknown => ("nobody knows how it ended".to_owned(), true),
        };
        Err(Self { tool, why, retryable })
    }

    /// A result that has not the shape that the tool promises.
    pub fn misshapen(tool: &'static str) -> Self {
        Self {
            tool,
            why: "its result has not the shape that it promises".to_owned(),
            retryable: false,
        }
    }

    /// The whole sentence.
    pub fn sentence(&self) -> String {
        format!("The tool {} gave no result: {}.", self.tool, self.why)
    }

    /// The failure of the run whose work this was.
    pub fn failure(&self, code: &'static str) -> AgentError {
        let advice = if self.retryable {
            "Send the message again."
        } else {
            "Mend the data, or ask whoever runs this server."
        };
        AgentError::Failed {
            code,
            message: format!("{} {advice}", self.sentence()),
            retryable: self.retryable,
        }
    }
}

/// A tool's own reason. It may repeat a user's words: nothing in it is markup.
fn reason(result: &Value) -> String {
    let text = result.as_str().unwrap_or("it failed without a reason");
    markdown::cut(text.trim().trim_end_matches('.'), REASON_CHARS)
}

/// Calls a tool.
///
/// # Errors
/// [`RunOver`] where the run has ended. That the tool failed is an answer.
pub async fn call(
    run: &mut RunContext,
    tool: &'static str,
    arguments: Value,
) -> Result<Result<Value, NoResult>, RunOver> {
    let reply = run.call_tool(tool, arguments).await?;
    Ok(NoResult::of(tool, reply))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(status: ToolStatus, result: Value) -> Result<Value, NoResult> {
        NoResult::of("usage_analysis", ToolReply { status, result })
    }

    #[test]
    fn a_result_is_passed_on_as_it_is() {
        assert_eq!(of(ToolStatus::Ok, json!({"rows": 1})), Ok(json!({"rows": 1})));
    }

    #[test]
    fn each_way_to_fail_is_said_and_says_whether_trying_again_helps() {
        for (status, result, sentence, again) in [
            (ToolStatus::Error, json!("no such document."), "no such document", false),
            (
                ToolStatus::Error,
                json!({"odd": 1}),
                "it failed without a reason",
                false,
            ),
            (ToolStatus::Timeout, Value::Null, "it took too long", true),
            (
                ToolStatus::Denied,
                json!("nobody approved it"),
                "it was denied: nobody approved it",
                false,
            ),
            (ToolStatus::Cancelled, Value::Null, "it was stopped", true),
            (ToolStatus::Panicked, Value::Null, "it crashed", true),
            (ToolStatus::Unknown, Value::Null, "nobody knows how it ended", true),
        ] {
            let fault = of(status, result).unwrap_err();
            let whole = format!("The tool usage_analysis gave no result: {sentence}.");
            assert_eq!(fault.sentence(), whole);
            let failure = fault.failure("analysis_failed");
            assert!(matches!(failure, AgentError::Failed { retryable, .. } if retryable == again));
            assert!(failure.to_string().starts_with(&whole));
        }
    }

    #[test]
    fn a_long_reason_is_cut() {
        let fault = of(ToolStatus::Error, json!("x".repeat(10_000))).unwrap_err();
        assert!(fault.sentence().chars().count() < REASON_CHARS + 60);
    }
}
