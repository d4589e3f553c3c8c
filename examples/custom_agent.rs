//! An agent of one's own: it shares a bill, and leaves the sum to the calculator.
//!
//! Run it by `cargo run --example custom_agent`. In the server an agent is a file in `src/agents/` and a line in its `mod.rs`.

use async_trait::async_trait;
use serde_json::json;
use sessile::tools::calculator::Calculator;
use sessile_actors::infra::{Agent, AgentClass, AgentError, Answer};
use sessile_actors::protocol::server::ToolStatus;
use sessile_actors::session::run::RunContext;
use sessile_actors::testing::world;

/// Made afresh for each run: what it holds is that run's alone.
struct Split;

fn class() -> AgentClass {
    AgentClass::new("split", "Shares a bill, such as: 84 by 4.", |_| Split)
}

#[async_trait(?Send)]
impl Agent for Split {
    async fn run(&mut self, run: &mut RunContext) -> Result<Answer, AgentError> {
        let (amount, people) = run.message().split_once(" by ").ok_or_else(refusal)?;
        let (expression, start) = (format!("({amount}) / ({people})"), format!("Each of {people} pays "));
        // Each of these is an event that the client sees at once. A `?` here means that the run was stopped.
        run.think("Sums are the calculator's work.").await?;
        run.say(&start).await?;
        let share = run.call_tool("calculator", json!({ "expression": expression })).await?;
        // A call that failed is a reply, no error: the agent decides what comes of it.
        match share.status {
            ToolStatus::Ok => run.say(&format!("{}.", share.result["result"])).await?,
            _ => return Err(refusal()),
        }
        Ok(Answer::Said)
    }
}

/// The code is for programs, the sentence for the user.
fn refusal() -> AgentError {
    AgentError::Failed {
        code: "no_bill",
        message: "Write an amount and a number of people, such as: 84 by 4.".to_owned(),
        retryable: false,
    }
}

#[actix::main]
async fn main() {
    let world = world().agent(class()).tool(Calculator).start();
    let mut ada = world.connect("ada").await;
    for message in ["84 by 4", "the usual"] {
        println!("ada says: {message}");
        ada.say(message).await;
        for frame in ada.run_to_end().await {
            let fields = ["reasoning", "content", "parameters", "result", "error_message"];
            if let Some(told) = fields.iter().find_map(|field| frame["payload"].get(field)) {
                println!("  {}: {told}", frame["type"].as_str().unwrap_or_default());
            }
        }
    }
    world.finish().await;
}

#[cfg(test)]
#[actix::test]
async fn the_calculator_does_the_sum_and_what_is_no_bill_is_refused_with_what_to_write() {
    // In the calculator's place, a stand-in of the kit.
    let calculator = sessile_actors::testing::FakeTool::new("calculator").returns(json!({ "result": 21 }));
    let world = world().agent(class()).tool(calculator).start();
    let mut ada = world.connect("ada").await;
    ada.say("84 by 4").await;
    let call = ada.until("tool_executing").await;
    assert_eq!(call["payload"]["parameters"]["expression"], "(84) / (4)");
    let end = ada.until("agent_completed").await;
    assert_eq!(end["payload"]["result"], "Each of 4 pays 21.");
    ada.say("the usual").await;
    assert_eq!(ada.until("agent_error").await["payload"]["code"], "no_bill");
    world.finish().await;
}
