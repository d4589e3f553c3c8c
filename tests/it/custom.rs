//! An agent and a tool of one's own, as the examples show them: what they print, and that they are short.

use std::fs;
use std::path::Path;

use crate::examples::{build, example, succeeded};

/// Lines that an example may have. Beyond, it is read by fewer.
const LINES: usize = 80;

#[test]
fn custom_agent_shows_what_a_client_is_told_of_a_run_and_of_a_refusal() {
    let told = printed("custom_agent");
    let expected = r#"ada says: 84 by 4
  agent_thinking: "Sums are the calculator's work."
  tool_executing: {"expression":"(84) / (4)"}
  tool_completed: {"expression":"(84) / (4)","result":21,"exact":true}
  agent_completed: "Each of 4 pays 21."
ada says: the usual
  agent_error: "Write an amount and a number of people, such as: 84 by 4."
"#;
    // Into how many pieces an answer falls is a matter of time.
    let (pieces, rest): (Vec<_>, Vec<_>) = told
        .split_inclusive('\n')
        .partition(|line| line.starts_with("  partial_result: "));
    assert_eq!(rest.concat(), expected);
    assert!(pieces.len() > 1, "it was streamed: {told}");
    let said = pieces
        .iter()
        .map(|piece| piece.trim_start_matches("  partial_result: "));
    let said: String = said.map(|text| serde_json::from_str::<String>(text).unwrap()).collect();
    assert_eq!(said, "Each of 4 pays 21.");
    // What was said before the tool was called came before it.
    assert!(
        told.find("Each of 4 pays ").unwrap() < told.find("tool_executing").unwrap(),
        "{told}"
    );
}

#[test]
fn custom_tool_shows_results_and_what_the_schema_and_the_tool_refuse() {
    let told = printed("custom_tool");
    let expected = r#"9780306406157: "ok" {"isbn":"9780306406157","valid":true}
9780306406158: "ok" {"isbn":"9780306406158","valid":false}
978-0306406157: "error" "the arguments do not fit the tool: value does not match \"^[0-9]{13}$\" at `/isbn`"
1234567890123: "error" "an ISBN-13 begins with 978 or 979"
"#;
    assert_eq!(told, expected);
}

#[test]
fn an_agent_and_a_tool_of_ones_own_are_short_and_tested_with_all_others() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest: toml::Table = fs::read_to_string(root.join("Cargo.toml")).unwrap().parse().unwrap();
    let declared = manifest["example"].as_array().unwrap();
    for name in ["custom_agent", "custom_tool", "own_server"] {
        let text = fs::read_to_string(root.join(format!("examples/{name}.rs"))).unwrap();
        let lines = text.lines().count();
        assert!(lines < LINES, "{name} has {lines} lines");
        let kinds = ["#[actix::test]", "#[test]"].map(|kind| format!("#[cfg(test)]\n{kind}\n"));
        assert!(kinds.iter().any(|kind| text.contains(kind)), "{name} has no test");
        // Without this word neither `cargo test` nor `cargo nextest run` would run it.
        let tested = |example: &toml::Value| {
            example["name"].as_str() == Some(name) && example.get("test").and_then(toml::Value::as_bool) == Some(true)
        };
        assert!(declared.iter().any(tested), "{name} is not tested");
    }
}

/// What an example prints. `cargo test` builds one that has tests of its own as a test alone: the program is built here.
fn printed(name: &str) -> String {
    build(name);
    succeeded(&example(name).output().unwrap())
}
