use std::sync::Arc;

use serde_json::{Value, json};

use super::super::results::Known;
use super::*;

mod properties;

/// A course of the workflow `w` in `text`.
pub(super) fn course(text: &str) -> Course {
    let workflows = Workflows::from_toml("test.toml", text).unwrap();
    Arc::new(workflows).course("w").unwrap()
}

/// The effects in short: what a reader needs to see their order.
fn short(effects: &[Effect]) -> Vec<String> {
    let one = |effect: &Effect| match effect {
        Effect::WorkflowStarted { workflow, .. } => format!("[{workflow}"),
        Effect::StepStarted { step, step_number } => format!("{step_number} {step} starts"),
        Effect::Begin { agent, .. } => format!("run {agent}"),
        Effect::Pause { step, most, retry, .. } => format!("{step} waits {most:?} for retry {retry}"),
        Effect::StepCompleted { step, status, .. } => format!("{step} {status:?}"),
        Effect::WorkflowCompleted { workflow, status } => format!("{workflow}] {status:?}"),
    };
    effects.iter().map(one).collect()
}

/// The places of the tries that begin, by agent.
fn begun(effects: &[Effect]) -> Vec<(String, At)> {
    let begun = effects.iter().filter_map(|effect| match effect {
        Effect::Begin { agent, at, .. } => Some((agent.clone(), *at)),
        _ => None,
    });
    begun.collect()
}

fn done(output: Value) -> StepEnd {
    StepEnd::Completed {
        output,
        words: Some("words".to_owned()),
    }
}

fn failed(retryable: bool) -> StepEnd {
    StepEnd::Failed {
        code: "broken".to_owned(),
        message: "It broke.".to_owned(),
        retryable,
    }
}

/// Plays a course one try after the other; `fate` says what comes of a try of an agent. Pauses pass at once.
fn played(text: &str, fate: impl Fn(&str) -> StepEnd) -> (Course, Vec<String>) {
    let mut course = course(text);
    let mut open = course.begin();
    let mut told = short(&open);
    while let Some(effect) = open
        .iter()
        .position(|e| matches!(e, Effect::Begin { .. } | Effect::Pause { .. }))
    {
        let more = match open.remove(effect) {
            Effect::Begin { at, agent, .. } => course.ended(at, fate(&agent)),
            Effect::Pause { at, .. } => course.pause_over(at),
            _ => Vec::new(),
        };
        told.extend(short(&more));
        open.extend(more);
    }
    (course, told)
}

const THREE: &str = "[workflows.w]\nsteps = [{ agent = \"a\" }, { agent = \"b\" }, { agent = \"c\" }]";

#[test]
fn steps_run_one_after_the_other() {
    let (course, told) = played(THREE, |_| done(Value::Null));
    assert_eq!(
        told,
        [
            "[w",
            "1 a starts",
            "run a",
            "a Completed",
            "2 b starts",
            "run b",
            "b Completed",
            "3 c starts",
            "run c",
            "c Completed",
            "w] Completed",
        ]
    );
    assert_eq!(course.last_words(), Some("words"));
}

#[test]
fn a_step_that_must_not_fail_ends_the_workflow_but_for_what_always_runs() {
    let text = "[workflows.w]\nsteps = [{ agent = \"a\" }, { agent = \"b\" }, { agent = \"c\", always = true }]";
    let (course, told) = played(
        text,
        |agent| if agent == "a" { failed(true) } else { done(Value::Null) },
    );
    assert_eq!(
        told[2..],
        [
            "run a",
            "a Failed",
            "b Skipped",
            "3 c starts",
            "run c",
            "c Completed",
            "w] Failed"
        ]
    );
    assert_eq!(course.status(), Some(WorkflowStatus::Failed));
}

#[test]
fn a_step_that_may_fail_leaves_a_workflow_that_is_partial() {
    let text = THREE.replace("\"b\"", "\"b\", may_fail = true");
    let (_, told) = played(
        &text,
        |agent| if agent == "b" { failed(false) } else { done(Value::Null) },
    );
    assert_eq!(
        told[4..],
        [
            "2 b starts",
            "run b",
            "b Failed",
            "3 c starts",
            "run c",
            "c Completed",
            "w] Partial"
        ]
    );
}

#[test]
fn only_a_fault_that_may_pass_is_tried_again_and_only_as_often_as_said() {
    let text = "[workflows.w]\nsteps = [{ agent = \"a\", retries = 2 }]";
    let (_, told) = played(text, |_| failed(true));
    assert_eq!(
        told,
        [
            "[w",
            "1 a starts",
            "run a",
            "a waits 1s for retry 1",
            "run a",
            "a waits 2s for retry 2",
            "run a",
            "a Failed",
            "w] Failed",
        ]
    );
    let (_, told) = played(text, |_| failed(false));
    assert_eq!(told[2..], ["run a", "a Failed", "w] Failed"]);
}

#[test]
fn a_condition_asks_what_an_earlier_step_found() {
    let text = "[workflows.w]\nsteps = [{ agent = \"a\", may_fail = true }, \
                { agent = \"b\", when = { step = \"a\", is = [\"partial\", \"unknown\"] } }]";
    for (end, runs) in [
        (done(json!({"data_sufficiency": "partial"})), true),
        (done(json!({"data_sufficiency": "unknown"})), true),
        (done(json!({"data_sufficiency": "sufficient"})), false),
        // What says nothing, and what failed, is unknown.
        (done(json!({"data_sufficiency": null})), true),
        (done(json!({})), true),
        (done(Value::Null), true),
        (failed(false), true),
    ] {
        let (_, told) = played(text, |agent| if agent == "a" { end.clone() } else { done(Value::Null) });
        assert_eq!(told.contains(&"run b".to_owned()), runs, "{end:?}");
        assert_eq!(told.contains(&"b Skipped".to_owned()), !runs, "{end:?}");
    }
}

#[test]
fn a_condition_may_ask_for_another_field_and_for_truth_and_numbers() {
    let text = "[workflows.w]\nsteps = [{ agent = \"a\" }, { agent = \"b\", when = { step = \"a\", field = \"f\", is = [\"true\", \"7\"] } }]";
    for (value, runs) in [
        (json!(true), true),
        (json!(7), true),
        (json!("7"), true),
        (json!(false), false),
    ] {
        let (_, told) = played(text, |_| done(json!({ "f": value })));
        assert_eq!(told.contains(&"run b".to_owned()), runs, "{value}");
    }
}

#[test]
fn steps_after_the_same_one_run_at_once_and_what_comes_after_all_of_them_waits() {
    let text = "[workflows.w]\nsteps = [{ agent = \"a\" }, { agent = \"b\", after = [\"a\"] }, { agent = \"c\", after = [\"a\"] }, \
                { agent = \"d\", after = [\"b\", \"c\"] }]";
    let mut course = course(text);
    let a = begun(&course.begin())[0].1;
    let effects = course.ended(a, done(Value::Null));
    assert_eq!(
        short(&effects),
        ["a Completed", "2 b starts", "run b", "3 c starts", "run c"]
    );
    let (b, c) = (begun(&effects)[0].1, begun(&effects)[1].1);
    assert_eq!(short(&course.ended(c, done(Value::Null))), ["c Completed"]);
    assert_eq!(
        short(&course.ended(b, done(Value::Null))),
        ["b Completed", "4 d starts", "run d"]
    );
}

#[test]
fn no_more_than_four_steps_run_at_once_and_the_next_takes_the_place_that_is_left() {
    let steps: String = (0..6).map(|n| format!("{{ agent = \"a{n}\", after = [] }},")).collect();
    let mut course = course(&format!("[workflows.w]\nsteps = [{steps}]"));
    let first = begun(&course.begin());
    assert_eq!(first.len(), STEPS_AT_ONCE);
    let next = course.ended(first[2].1, done(Value::Null));
    assert_eq!(short(&next), ["a2 Completed", "5 a4 starts", "run a4"]);
}

const NESTED: &str = r#"
[workflows.w]
steps = [
    { agent = "triage", may_fail = true },
    { name = "sequence", choose = { step = "triage", is = { sufficient = "much", unknown = "little" } } },
    { agent = "reporting", always = true },
]
[workflows.much]
steps = [{ agent = "data", may_fail = true }, { agent = "actions" }]
[workflows.little]
steps = [{ agent = "data_helper" }]
"#;

#[test]
fn a_choice_runs_the_workflow_that_a_result_picks() {
    let found = |value: &'static str| {
        move |agent: &str| match agent {
            "triage" => done(json!({ "data_sufficiency": value })),
            _ => done(Value::Null),
        }
    };
    let (course, told) = played(NESTED, found("sufficient"));
    assert_eq!(
        told[4..],
        [
            "2 sequence starts",
            "[much",
            "1 data starts",
            "run data",
            "data Completed",
            "2 actions starts",
            "run actions",
            "actions Completed",
            "much] Completed",
            "sequence Completed",
            "3 reporting starts",
            "run reporting",
            "reporting Completed",
            "w] Completed",
        ]
    );
    let agents: Vec<_> = course.summary().into_iter().map(|step| step.agent).collect();
    assert_eq!(agents, ["triage", "data", "actions", "reporting"]);
    for other in ["partial", "unknown", "anything"] {
        let (_, told) = played(NESTED, found(other));
        assert!(told.contains(&"run data_helper".to_owned()), "{other}");
    }
}

#[test]
fn how_a_workflow_within_another_ends_is_how_its_step_ends() {
    let sufficient = |fails: &'static str| {
        move |agent: &str| match agent {
            "triage" => done(json!({"data_sufficiency": "sufficient"})),
            agent if agent == fails => failed(false),
            _ => done(Value::Null),
        }
    };
    let (_, told) = played(NESTED, sufficient("data"));
    assert!(told.ends_with(&["w] Partial".to_owned()]), "{told:?}");
    assert!(told.contains(&"sequence Completed".to_owned()), "{told:?}");
    let (_, told) = played(NESTED, sufficient("actions"));
    assert!(told.contains(&"sequence Failed".to_owned()), "{told:?}");
    assert!(told.contains(&"run reporting".to_owned()), "it always runs: {told:?}");
    assert!(told.ends_with(&["w] Failed".to_owned()]), "{told:?}");
}

#[test]
fn a_step_is_handed_what_it_comes_after_within_its_workflow_and_before_it() {
    let mut course = course(NESTED);
    let triage = begun(&course.begin())[0].1;
    let mut effects = course.ended(triage, done(json!({"data_sufficiency": "sufficient"})));
    let mut handed = Vec::new();
    while let Some((agent, at)) = begun(&effects).pop() {
        let known = effects.iter().find_map(|effect| match effect {
            Effect::Begin { known, .. } => Some(known.clone()),
            _ => None,
        });
        let Known {
            results,
            failed: faults,
        } = known.unwrap();
        handed.push((
            agent.clone(),
            results.into_keys().collect::<Vec<_>>().join(" "),
            faults.into_keys().collect::<Vec<_>>().join(" "),
        ));
        let end = if agent == "data" {
            failed(false)
        } else {
            done(Value::Null)
        };
        effects = course.ended(at, end);
    }
    let expected = [
        ("data", "triage", ""),
        ("actions", "triage", "data"),
        ("reporting", "actions triage", "data"),
    ];
    assert_eq!(
        handed,
        expected.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned()))
    );
    // An agent that hands on nothing hands on its words.
    assert_eq!(course.known().results["actions"], "words");
}

#[test]
fn a_step_beside_another_is_not_handed_its_result() {
    let text =
        "[workflows.w]\nsteps = [{ agent = \"a\", after = [] }, { agent = \"b\", after = [] }, { agent = \"c\" }]";
    let mut course = course(text);
    let first = begun(&course.begin());
    course.ended(first[0].1, done(json!(1)));
    let effects = course.ended(first[1].1, done(json!(2)));
    let [_, _, Effect::Begin { known, .. }] = effects.as_slice() else {
        panic!("{effects:?}");
    };
    assert_eq!(json!(known.results), json!({"b": 2}));
}

#[test]
fn news_that_nobody_waits_for_changes_nothing() {
    let mut course = course(THREE);
    let a = begun(&course.begin())[0].1;
    assert_eq!(course.pause_over(a), []);
    course.ended(a, done(Value::Null));
    assert_eq!(course.ended(a, failed(false)), []);
    assert_eq!(course.pause_over(a), []);
    assert_eq!(course.known().results.len(), 1);
}
