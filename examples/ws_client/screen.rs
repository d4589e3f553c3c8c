//! What the client prints: thoughts, tool calls, and the answer as it comes.

use std::io::Write;

use serde_json::Value;

/// Where it is printed: standard output.
#[derive(Default)]
pub struct Screen {
    /// Whether the last line goes on: a piece of an answer.
    line_is_open: bool,
    /// Whether anything was refused or went wrong.
    pub failed: bool,
}

impl Screen {
    /// Prints an event. Whoever calls it has seen to it that each comes once and in order.
    pub fn show(&mut self, kind: &str, agent: &str, payload: &Value) {
        match kind {
            "agent_started" => self.line(&format!("{agent}:")),
            "agent_thinking" => self.line(&format!("  ~ {}", text(payload, "reasoning"))),
            "tool_executing" => self.line(&format!("  > {} {}", text(payload, "tool_name"), payload["parameters"])),
            "tool_completed" => self.line(&format!("  < {} {}", text(payload, "status"), payload["result"])),
            "partial_result" => self.piece(text(payload, "content")),
            "agent_stopped" => self.line(&format!("! stopped: {}", text(payload, "reason"))),
            "agent_error" => self.fault(text(payload, "error_message")),
            "agent_death" => self.fault(text(payload, "message")),
            // What an agent answers at once was not said in pieces.
            "agent_completed" if !self.line_is_open => self.line(text(payload, "result")),
            "agent_completed" => self.line(""),
            _ => {}
        }
    }

    /// Prints what went wrong.
    pub fn fault(&mut self, why: &str) {
        self.failed = true;
        self.line(&format!("! {why}"));
    }

    /// Prints a line of its own.
    pub fn line(&mut self, line: &str) {
        if std::mem::take(&mut self.line_is_open) {
            put("\n");
        }
        if !line.is_empty() {
            put(&format!("{line}\n"));
        }
    }

    fn piece(&mut self, content: &str) {
        put(content);
        self.line_is_open = true;
    }
}

fn put(text: &str) {
    let mut out = std::io::stdout();
    if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
        // Nobody reads any more, as behind `| head`: that is no fault.
        std::process::exit(0);
    }
}

/// A text field; empty where there is none.
pub fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}
