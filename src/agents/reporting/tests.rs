//! What reports say, from the outputs of the steps before.

use serde_json::{Value, json};

use super::facts::Facts;
use super::report;
use crate::agents::actions;
use crate::agents::given::Given;
use crate::agents::shapes::{Savings, samples};

fn whole() -> Value {
    let savings: Savings = serde_json::from_value(samples::savings()).unwrap();
    json!({
        "triage": {"category": "cost", "suspicious": false},
        "data": {"analysis": samples::analysis(), "data_sufficiency": "sufficient", "source": null},
        "optimization": samples::savings(),
        "actions": {"plan": actions::written(&actions::plan(&savings.strategies))},
    })
}

fn written(results: Value) -> String {
    let input = json!({"results": results});
    let facts = Facts::of_workflow(Given::of(&input));
    report::write(&facts, &report::summary(&facts))
}

#[test]
fn a_report_has_every_section_with_amounts_to_the_cent() {
    let report = written(whole());
    for line in [
        "There are 1200 requests from 2026-10-01 to 2026-10-30 (30 days); they cost $12.35. m1 has the largest part: 81.00%. \
         Up to $5.00 can be saved, 40.50% of it, where every assumption holds. The first step: Cache the prompts that come again.",
        "## Cost by model",
        "| m1 | 700 | 8000000 | 600000 | $10.00 | 81.00% |",
        "| **all** | 1200 | 9000000 | 700000 | $12.35 | 100.00% |",
        "## Cost by feature",
        "| Move \\`summaries\\` from m1 to m2 | $3.21 | 26.00% | $3.21 | high | high |",
        "| Cache the prompts that come again | $2.01 | 16.24% | $2.01 | low | low |",
        "| 3 | Send \\`summaries\\` in batches | platform engineer | medium | $1.00 | 2 |",
        "| Spent | $12.35 |",
        "| All strategies together save | $5.00 |",
        "| What then remains | $7.35 |",
        "## What is missing",
        "- The data does not have latency_ms.",
        "- Cache the prompts that come again: A prompt is still in the cache.",
    ] {
        assert!(report.lines().any(|told| told == line), "{line}\nis not in\n{report}");
    }
}

#[test]
fn the_same_results_give_the_same_report() {
    assert_eq!(written(whole()), written(whole()));
}

#[test]
fn a_report_of_nothing_says_what_is_known_and_what_is_needed() {
    let report = written(json!({}));
    assert!(report.starts_with("# Report on the use of language models\n\nNothing is known yet of what was spent."));
    assert!(report.contains("- Needed: usage data with timestamp, model, feature, input_tokens and output_tokens"));
    assert!(!report.contains('$'), "{report}");
}

#[test]
fn whatever_is_left_out_or_makes_no_sense_the_rest_is_reported() {
    let whole = whole();
    let steps: Vec<String> = whole.as_object().unwrap().keys().cloned().collect();
    for step in &steps {
        for odd in [
            Value::Null,
            json!(7),
            json!("x"),
            json!([]),
            json!({}),
            json!({"analysis": [], "plan": 3}),
        ] {
            let mut results = whole.clone();
            results[step] = odd.clone();
            let report = written(results);
            assert!(report.contains("## What is missing"), "{step} {odd}");
            let spent = report.contains("| Spent | $12.35 |");
            assert_eq!(spent, step != "data", "{step} {odd}: {report}");
        }
    }
    assert!(written(json!({"data": {"analysis": {"rows": -1}}})).contains("has not the shape"));
}

#[test]
fn what_failed_and_what_is_asked_for_is_named() {
    let report = written(json!({
        "data": {"analysis": null, "problem": "The tool usage_analysis gave no result: it took too long."},
        "data_helper": {
            "requests": [{"field": "model", "why": "to find the price", "example": "m|1"}], "questions": ["Which period?"],
        },
    }));
    assert!(report.contains("- data: The tool usage_analysis gave no result: it took too long."));
    assert!(report.contains("- Needed: model, to find the price. For example: m\\|1"));
    assert!(report.contains("- Asked: Which period?"));
}

#[test]
fn what_data_that_is_enough_could_still_have_is_not_called_needed() {
    let mut results = whole();
    results["data_helper"] = json!({"requests": [{"field": "latency_ms", "why": "to see more", "example": "950"}]});
    assert!(written(results.clone()).contains("- Would help: latency_ms, to see more. For example: 950"));
    results["data"]["analysis"]["sufficiency"] = json!("partial");
    assert!(written(results).contains("- Needed: latency_ms, to see more. For example: 950"));
}

#[test]
fn names_end_no_cell_and_are_no_markup() {
    let mut results = whole();
    results["data"]["analysis"]["by_feature"][0]["feature"] = json!("a|b\n<script>alert(1)</script>");
    results["optimization"]["strategies"][0]["title"] = json!("Move `|` to [x](http://y)");
    let report = written(results);
    assert!(
        report.contains("| a\\|b &lt;script&gt;alert(1)&lt;/script&gt; | 1200 |"),
        "{report}"
    );
    assert!(
        report.contains("| Move \\`\\|\\` to \\[x\\](http://y) | $3.21 |"),
        "{report}"
    );
    assert!(!report.contains("<script"));
    assert!(
        report
            .lines()
            .filter(|line| line.starts_with("| a\\|b"))
            .all(|line| line.replace("\\|", "").matches('|').count() == 7)
    );
}

#[test]
fn many_models_are_summed_up_so_that_the_rows_make_the_total() {
    let mut results = whole();
    let model = |n: usize| {
        json!({"model": format!("m{n}"), "requests": 10, "input_tokens": 5, "output_tokens": 3,
                                  "cost_usd": "0.105000", "share_percent": "1.00"})
    };
    results["data"]["analysis"]["by_model"] = (0..30).map(model).collect();
    let report = written(results);
    // 1200 - 20 * 10 requests, 12.345678 - 20 * 0.105 dollars.
    assert!(
        report.contains("| all others | 1000 | 8999900 | 699940 | $10.25 | 82.99% |"),
        "{report}"
    );
    assert!(report.contains("| m19 | 10 | 5 | 3 | $0.11 | 1.00% |") && !report.contains("| m20 |"));
}

#[test]
fn savings_of_nothing_divide_by_nothing() {
    let mut results = whole();
    results["optimization"] = json!({"baseline_usd": "0.000000", "strategies": [], "combined_saves_usd": "0.000000"});
    results["data"]["analysis"]["totals"]["cost_usd"] = json!("0.000000");
    let report = written(results);
    assert!(report.contains("No known strategy saves anything."));
    assert!(report.contains("| What then remains | $0.00 |"));
}
