//! A server of one's own: all that `sessile` has, with an agent and a tool of one's own, which is asked where none is named.
//!
//! Run it by `cargo run --example own_server -- 127.0.0.1:8080`, and write on the page at that address: hello.

use std::process::ExitCode;

use async_trait::async_trait;
use serde_json::{Value, json};
use sessile::Sessile;
use sessile::builder::Builder;
use sessile::config::Sources;
use sessile_actors::infra::{Agent, AgentClass, AgentError, Answer, Tool, ToolContext, ToolError, ToolSpec};
use sessile_actors::session::run::RunContext;

struct Backwards;

#[async_trait]
impl Tool for Backwards {
    fn spec(&self) -> ToolSpec {
        let parameters = json!({
            "type": "object",
            "properties": { "text": { "type": "string" } },
            "required": ["text"],
            "additionalProperties": false,
        });
        ToolSpec::new("backwards", "Turns a text around.", parameters).idempotent()
    }

    async fn call(&self, _context: ToolContext, arguments: Value) -> Result<Value, ToolError> {
        let text = arguments["text"].as_str().unwrap_or_default();
        Ok(text.chars().rev().collect::<String>().into())
    }
}

struct Mirror;

#[async_trait(?Send)]
impl Agent for Mirror {
    async fn run(&mut self, run: &mut RunContext) -> Result<Answer, AgentError> {
        let text = run.message().to_owned();
        let turned = run.call_tool("backwards", json!({ "text": text })).await?;
        Ok(Answer::Text(turned.result.as_str().unwrap_or_default().to_owned()))
    }
}

fn server(settings: Sources) -> Builder {
    Sessile::builder()
        .config_from(settings)
        .agent(AgentClass::new("mirror", "Says it backwards.", |_| Mirror))
        .tool(Backwards)
        .default_agent("mirror")
}

fn main() -> anyhow::Result<ExitCode> {
    // What is not set here or in the environment is as in `config/default.toml`.
    let listen = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    server(Sources::environment().set("server.listen", listen)).serve()
}

#[cfg(test)]
#[test]
fn a_run_over_http_is_answered_by_the_agent_and_its_tool() {
    use std::io::{Read as _, Write as _};
    let settings = Sources::default().set("server.listen", "127.0.0.1:0");
    let running = server(settings.set("journal.kind", "memory")).start().unwrap();
    let mut socket = std::net::TcpStream::connect(running.address()).unwrap();
    let (host, body) = (running.address(), r#"{"content": "stressed"}"#);
    let head = format!("POST /v1/agents/mirror/runs HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n");
    let kind = format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len());
    write!(socket, "{head}{kind}\r\n{body}").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    assert!(answer.contains(r#""result":"desserts""#), "{answer}");
    running.stop().unwrap();
}
