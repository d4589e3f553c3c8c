//! A tool of one's own: it checks the number of a book (ISBN-13), and refuses what is none.
//!
//! Run it by `cargo run --example custom_tool`. In the server a tool is a file in `src/tools/` and a line in its `mod.rs`.

use async_trait::async_trait;
use serde_json::{Value, json};
use sessile_actors::infra::{AgentClass, Answer, Tool, ToolContext, ToolError, ToolSpec};
use sessile_actors::testing::{agent, world};

/// One instance serves all users: it holds no user's data. Who calls stands in the context, never in the arguments.
struct CheckIsbn;

#[async_trait]
impl Tool for CheckIsbn {
    fn spec(&self) -> ToolSpec {
        // What this says is checked before `call`, and told to the model that writes the arguments.
        let parameters = json!({
            "type": "object",
            "properties": { "isbn": { "type": "string", "pattern": "^[0-9]{13}$" } },
            "required": ["isbn"],
            "additionalProperties": false,
        });
        ToolSpec::new(
            "check_isbn",
            "Says whether a book's ISBN-13 is one: 13 digits, without hyphens.",
            parameters,
        )
        .idempotent()
    }

    async fn call(&self, _context: ToolContext, arguments: Value) -> Result<Value, ToolError> {
        let isbn = arguments["isbn"].as_str().unwrap_or_default();
        // What the schema can't say, or not as clearly.
        if !isbn.starts_with("978") && !isbn.starts_with("979") {
            return Err(ToolError::BadArguments("an ISBN-13 begins with 978 or 979".to_owned()));
        }
        // ISO 2108: digits count once and thrice in turn, and their sum ends in 0.
        let weighted = isbn.bytes().zip([1, 3].into_iter().cycle());
        let sum: u32 = weighted.map(|(digit, weight)| weight * u32::from(digit - b'0')).sum();
        Ok(json!({ "isbn": isbn, "valid": sum.is_multiple_of(10) }))
    }
}

/// Any agent may call it; this one does nothing else.
fn librarian() -> AgentClass {
    agent("librarian", async |run| {
        let isbn = run.message().to_owned();
        let reply = run.call_tool("check_isbn", json!({ "isbn": isbn })).await?;
        Ok(Answer::Text(reply.result.to_string()))
    })
}

#[actix::main]
async fn main() {
    let world = world().agent(librarian()).tool(CheckIsbn).start();
    let mut ada = world.connect("ada").await;
    for isbn in ["9780306406157", "9780306406158", "978-0306406157", "1234567890123"] {
        ada.say(isbn).await;
        let told = &ada.until("tool_completed").await["payload"];
        println!("{isbn}: {} {}", told["status"], told["result"]);
    }
    world.finish().await;
}

#[cfg(test)]
#[actix::test]
async fn a_number_is_checked_and_arguments_that_break_the_schema_never_reach_the_tool() {
    let world = world().agent(librarian()).tool(CheckIsbn).start();
    let mut ada = world.connect("ada").await;
    for (isbn, valid) in [("9780306406157", true), ("9780306406158", false)] {
        ada.say(isbn).await;
        assert_eq!(ada.until("tool_completed").await["payload"]["result"]["valid"], valid);
    }
    ada.say("978-0306406157").await;
    let refused = &ada.until("tool_completed").await["payload"]["result"];
    assert!(refused.as_str().unwrap().contains("do not fit the tool"), "{refused}");
    world.finish().await;
}
