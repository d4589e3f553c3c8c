//! The agents with the tools that ship: their figures are the tools', from the data to the report.

use std::fmt::Write;
use std::sync::Arc;
use std::time::SystemTime;

use sessile::store::{MemoryDocuments, MemoryNotes, MemorySupply};
use sessile::tools::{ToolPorts, cost_calculator, supply_catalog, usage_analysis};
use sessile::usage::Catalogue;
use sessile_actors::testing::World;

use super::doubles::{agents_alone, asked};

fn world() -> World {
    let ports = ToolPorts {
        notes: Arc::new(MemoryNotes::start()),
        documents: Arc::new(MemoryDocuments::start()),
        supply: Arc::new(MemorySupply::start()),
        catalogue: Arc::new(Catalogue::shipped()),
    };
    agents_alone()
        .tool(usage_analysis::UsageAnalysis::new(ports.clone()))
        .tool(cost_calculator::CostCalculator::new(ports.clone()))
        .tool(supply_catalog::SupplyCatalog::new(ports, SystemTime::now))
        .start()
}

/// A question with ten requests a day for twenty days, each of which cost 1.23 cents.
fn question() -> String {
    let mut message = "How can we save money on `a|b`?\n```csv\n".to_owned();
    message += "timestamp,model,feature,input_tokens,output_tokens,cost_usd,prompt_hash\n";
    for n in 0..200 {
        let (day, prompt) = (n / 10 + 1, n % 7);
        writeln!(message, "2026-10-{day:02},gpt-5,a|b,9000,200,0.0123,p{prompt}").unwrap();
    }
    message + "```"
}

#[actix::test]
async fn triage_sees_by_the_tool_that_the_data_is_enough() {
    let ended = asked(world(), "triage", &question()).await;
    let told = ended.answer();
    assert!(
        told.contains("200 rows, enough to work on. Next: data, optimization, actions, reporting."),
        "{told}"
    );
    assert!(told.contains("Features: a\\|b."), "{told}");
}

#[actix::test]
async fn the_agents_tell_what_the_tools_reckoned() {
    for (agent, words) in [
        (
            "data",
            "There are 200 requests from 2026-10-01 to 2026-10-20 (20 days); they cost $2.46.",
        ),
        ("data_helper", "The usage data is enough to work on."),
        ("optimization", "Of $2.46 up to $"),
        ("actions", "1. **"),
    ] {
        let ended = asked(world(), agent, &question()).await;
        assert!(ended.answer().starts_with(words), "{agent}: {}", ended.answer());
    }
}

#[actix::test]
async fn the_report_adds_up_to_the_cent() {
    let ended = asked(world(), "reporting", &question()).await;
    let report = ended.answer();
    for line in [
        "| gpt-5 | 200 | 1800000 | 40000 | $2.46 | 100.00% |",
        "| Spent | $2.46 |",
    ] {
        assert!(report.lines().any(|told| told == line), "{line}: {report}");
    }
    let cents = |what: &str| -> u32 {
        let row = report
            .lines()
            .find(|line| line.starts_with(&format!("| {what} | $")))
            .unwrap();
        let digits: String = row.chars().filter(char::is_ascii_digit).collect();
        digits.parse().unwrap()
    };
    let (saves, remains) = (cents("All strategies together save"), cents("What then remains"));
    assert!(saves > 0, "{report}");
    assert!((245..=247).contains(&(saves + remains)), "{report}");
    assert!(report.contains("a\\|b") && !report.contains("a|b"), "{report}");
}

#[actix::test]
async fn a_table_that_is_no_usage_data_is_told_with_the_tools_reason() {
    let message = "What did we spend?\n```csv\nname,colour\nAda,blue\n```";
    let reporting = asked(world(), "reporting", message).await;
    assert!(reporting.answer().contains("## What is missing"));
    assert!(!reporting.answer().contains("| Spent |"));
    let helper = asked(world(), "data_helper", message).await;
    assert!(
        helper
            .answer()
            .contains("- **model**: to find the price of each request."),
        "{}",
        helper.answer()
    );
}
