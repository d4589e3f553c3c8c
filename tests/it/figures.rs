//! The figures of the usage tools, against those of a program that was written by itself from the same rules.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use serde_json::{Value, json};
use sessile::store::{MemoryDocuments, MemoryNotes, MemorySupply};
use sessile::tools::{self, ToolPorts, ToolSettings};
use sessile::usage::Catalogue;
use sessile_actors::ids::CallId;
use sessile_actors::infra::ToolContext;
use sessile_actors::testing::user;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sample() -> String {
    std::fs::read_to_string(root().join("examples/usage.csv")).unwrap()
}

/// What the program in Python says of the sample, or of another file.
fn reckoned_again(usage: &Path) -> Value {
    let output = Command::new("python3")
        .arg(root().join("examples/usage_figures.py"))
        .args([root().join("config/supply.toml").as_path(), usage])
        .output()
        .expect("python3 is there: tests/run installs it");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What a tool says, called as agents call it.
async fn told(name: &str, document: &str, mut arguments: Value) -> Value {
    let ports = ToolPorts {
        notes: Arc::new(MemoryNotes::start()),
        documents: Arc::new(MemoryDocuments::start()),
        supply: Arc::new(MemorySupply::start()),
        catalogue: Arc::new(Catalogue::shipped()),
    };
    let put = (ports.documents).put(
        &user("ada"),
        "usage.csv".to_owned(),
        "text/csv".to_owned(),
        document.to_owned().into(),
    );
    arguments["document_id"] = json!(put.await.unwrap().document_id);
    let tools = tools::all(ports, &ToolSettings::default()).freeze().unwrap();
    let class = tools.get(name).unwrap();
    class.validate(&arguments).unwrap();
    let context = ToolContext {
        user: sessile_actors::testing::context("ada"),
        call: CallId::mint(),
        cancelled: tokio_util::sync::CancellationToken::new(),
    };
    class.tool().call(context, arguments).await.unwrap()
}

/// Those fields of a strategy that both programs name.
fn strategy(told: &Value) -> Value {
    let detail = |name: &str| told["detail"].get(name).cloned().unwrap_or_default();
    json!({
        "id": told["id"], "feature": detail("feature"), "from": detail("from"), "to": detail("to"),
        "saves_usd": told["saves_usd"], "saves_usd_rounded": told["saves_usd_rounded"],
        "saves_percent": told["saves_percent"], "in_combined": told["in_combined"],
        "counts_usd": told["counts_usd"],
    })
}

async fn agree(text: &str, again: &Value) {
    let analysis = told("usage_analysis", text, json!({})).await;
    for figure in ["rows", "totals", "by_model", "by_feature", "by_day", "percentiles"] {
        assert_eq!(analysis[figure], again[figure], "{figure}");
    }
    let skipped: Vec<_> = analysis["skipped"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| &row["line"])
        .collect();
    assert_eq!(json!(skipped), again["skipped_lines"]);
    let savings = told("cost_calculator", text, json!({"action": "savings"})).await;
    for figure in ["baseline_usd", "combined_saves_usd", "combined_saves_usd_rounded"] {
        assert_eq!(savings[figure], again[figure], "{figure}");
    }
    let strategies: Vec<_> = savings["strategies"].as_array().unwrap().iter().map(strategy).collect();
    assert_eq!(json!(strategies), again["strategies"]);
}

#[tokio::test]
async fn a_program_in_another_language_comes_to_the_same_figures() {
    let again = reckoned_again(&root().join("examples/usage.csv"));
    agree(&sample(), &again).await;
    assert!(again["strategies"].as_array().unwrap().len() > 10, "{again:#}");
}

#[tokio::test]
async fn it_does_so_for_other_data_too() {
    // Every third row, with twice the output: other totals, other percentiles, other measures.
    let sample = sample();
    let mut lines = sample.lines();
    let mut other = format!("{}\n", lines.next().unwrap());
    for line in lines.step_by(3) {
        let mut cells: Vec<String> = line.split(',').map(str::to_owned).collect();
        if let Some(output) = cells.get(4).and_then(|cell| cell.parse::<u64>().ok()) {
            cells[4] = (output * 2).to_string();
        }
        other.push_str(&format!("{}\n", cells.join(",")));
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("usage.csv");
    std::fs::write(&file, &other).unwrap();
    agree(&other, &reckoned_again(&file)).await;
}

#[tokio::test]
async fn the_sample_shows_what_the_tools_are_for() {
    let analysis = told("usage_analysis", &sample(), json!({})).await;
    assert_eq!(analysis["sufficiency"], "sufficient", "{}", analysis["reasons"]);
    assert_eq!(analysis["period"]["days"], 30);
    assert_eq!(
        analysis["outliers"][0]["name"], "2026-10-17",
        "{}",
        analysis["outliers"]
    );
    assert_eq!(analysis["repeated_prompts"]["known"], true);
    let savings = told("cost_calculator", &sample(), json!({"action": "savings"})).await;
    for id in ["other_model", "caching", "batching", "shorter_context"] {
        let strategies = savings["strategies"].as_array().unwrap();
        assert!(strategies.iter().any(|strategy| strategy["id"] == id), "{id}");
    }
}
