//! What the agents hand back to a workflow, and what they make of what it hands them.

use serde_json::{Value, json};
use sessile_actors::infra::Answer;
use sessile_actors::session::run::ChildTask;
use sessile_actors::testing::{FakeTool, WorldBuilder, agent};

use super::doubles::{Says, WITH_DATA, agents_alone, agents_with_tools, analysis, asked, savings};

/// Lets `child` work as a step of a workflow: how it ended, its words, what it handed back, and why it failed.
async fn handed_back(world: WorldBuilder, child: &'static str, content: &str, input: Value) -> Value {
    let content = content.to_owned();
    let parent = agent("parent", async move |run| {
        let task = ChildTask {
            content: content.clone(),
            input: input.clone(),
        };
        let end = run.child(child, task).await?;
        let error = end.error.map(|error| error.code.clone());
        let told = json!({"state": end.state, "words": end.result, "output": end.output, "error": error});
        Ok(Answer::Text(told.to_string()))
    });
    let ended = asked(world.agent(parent).start(), "parent", "go").await;
    serde_json::from_str(ended.answer()).unwrap()
}

async fn output(world: WorldBuilder, child: &'static str, content: &str, input: Value) -> Value {
    let mut told = handed_back(world, child, content, input).await;
    assert_eq!(told["state"], "completed", "{child}: {told}");
    told["output"].take()
}

/// What the steps before hand on.
fn results() -> Value {
    let source = json!({"text": "model,feature\nm1,summaries\n", "format": "csv"});
    json!({"results": {
        "triage": {"category": "cost", "data_sufficiency": "sufficient", "source": source},
        "data": {"analysis": analysis(), "data_sufficiency": "sufficient", "source": source},
        "optimization": savings(),
    }})
}

#[actix::test]
async fn triage_hands_back_what_workflows_go_by() {
    tokio::time::pause();
    let output = output(agents_with_tools(), "triage", WITH_DATA, Value::Null).await;
    let expected = json!({
        "category": "cost", "sub_category": "savings", "priority": "medium", "complexity": "simple", "confidence": 0.6,
        "entities": {"models": [], "features": [], "metrics": [], "period": null},
        "intent": {"primary": "optimise", "secondary": [], "action_required": true},
        "next_agents": ["data", "optimization", "actions", "reporting"], "suspicious": false,
        "data_sufficiency": "sufficient", "source": {"text": "model,feature\nm1,summaries\n", "format": "csv"},
        "missing": ["latency_ms"], "reasons": [], "decided_by": "rules",
    });
    assert_eq!(output, expected);
}

#[actix::test]
async fn data_hands_back_the_tools_result_as_it_came() {
    tokio::time::pause();
    let output = output(agents_with_tools(), "data", WITH_DATA, Value::Null).await;
    assert_eq!(output["analysis"], analysis());
    assert_eq!(output["data_sufficiency"], "sufficient");
    assert_eq!(output["source"]["format"], "csv");
    assert_eq!(output["decided_by"], "rules");
}

#[actix::test]
async fn data_helper_hands_back_what_it_asks_for() {
    tokio::time::pause();
    let input = json!({"results": {"triage": {"data_sufficiency": "insufficient", "source": null}}});
    let output = output(agents_with_tools(), "data_helper", "Cut costs", input).await;
    let fields: Vec<&str> = output["requests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|request| request["field"].as_str().unwrap())
        .collect();
    assert_eq!(
        fields,
        ["timestamp", "model", "feature", "input_tokens", "output_tokens"]
    );
    assert!(output["requests"][0]["why"].is_string() && output["requests"][0]["example"].is_string());
    assert_eq!(output["questions"].as_array().unwrap().len(), 2);
}

#[actix::test]
async fn optimization_hands_back_the_tools_amounts_in_the_order_of_who_decided() {
    tokio::time::pause();
    let mut expected = savings();
    expected["decided_by"] = json!("rules");
    assert_eq!(
        output(agents_with_tools(), "optimization", "Cut costs", results()).await,
        expected
    );
    let model = Says::words(&[r#"{"order": [2], "words": "Caching is easiest."}"#]);
    let chosen = output(agents_with_tools().model(model), "optimization", "Cut costs", results()).await;
    expected["strategies"].as_array_mut().unwrap().reverse();
    expected["decided_by"] = json!("model");
    assert_eq!(chosen, expected);
}

#[actix::test]
async fn actions_hand_back_a_plan_of_the_strategies_that_they_were_handed() {
    tokio::time::pause();
    // No tool: what there is to plan was reckoned before.
    let output = output(agents_alone(), "actions", "Cut costs", results()).await;
    let plan = output["plan"].as_array().unwrap();
    let told: Vec<_> = plan
        .iter()
        .map(|action| {
            json!([
                action["order"],
                action["title"],
                action["effort"],
                action["saves_usd"],
                action["depends_on"]
            ])
        })
        .collect();
    let expected = [
        json!([1, "Cache the prompts that come again", "low", "2.005000", []]),
        json!([2, "Move `summaries` from m1 to m2", "high", "3.210000", []]),
    ];
    assert_eq!(told, expected);
    assert!(
        plan.iter()
            .all(|action| action["owner"].is_string() && action["steps"][0].is_string())
    );
}

#[actix::test]
async fn a_report_is_said_and_handed_back() {
    tokio::time::pause();
    let told = handed_back(agents_alone(), "reporting", "Cut costs", results()).await;
    assert_eq!(told["words"], told["output"]["report"]);
    let report = told["words"].as_str().unwrap();
    assert!(report.contains("| What then remains | $7.35 |"));
    assert!(report.contains("- There is no plan for the strategies.\n"));
}

#[actix::test]
async fn a_report_of_a_workflow_in_which_all_failed_is_still_a_report() {
    tokio::time::pause();
    for input in [
        json!({"results": {}}),
        json!({"results": {"triage": null, "data": 7, "optimization": "x", "actions": []}}),
        json!({"results": {"data": {"analysis": null, "problem": "The tool usage_analysis gave no result: it crashed."}}}),
    ] {
        let output = output(agents_alone(), "reporting", "Cut costs", input).await;
        let report = output["report"].as_str().unwrap();
        assert!(report.contains("Nothing is known yet of what was spent."));
        assert!(report.contains("- Needed: usage data with timestamp, model"));
    }
}

#[actix::test]
async fn a_step_that_fails_hands_back_why() {
    tokio::time::pause();
    for child in ["data", "optimization"] {
        let world = agents_alone().tool(FakeTool::new("usage_analysis").panics());
        let told = handed_back(world, child, WITH_DATA, Value::Null).await;
        assert_eq!(told["state"], "failed", "{child}");
        assert_eq!(
            told["output"]["problem"], "The tool usage_analysis gave no result: it crashed.",
            "{child}"
        );
        assert!(told["error"].as_str().unwrap().ends_with("_failed"), "{child}: {told}");
    }
}

#[actix::test]
async fn a_decision_of_the_rules_says_why_not_of_the_model() {
    tokio::time::pause();
    let lie = r#"{"words": "You spent $999999."}"#;
    let output = output(
        agents_with_tools().model(Says::words(&[lie])),
        "data",
        WITH_DATA,
        Value::Null,
    )
    .await;
    assert_eq!(output["decided_by"], "rules");
    let why = "the model's answer can't be used: the figure 999999 stands in no result of a tool";
    assert_eq!(output["decision_note"], why);
}

#[actix::test]
async fn a_models_judgement_is_used_but_not_what_it_says_of_data_it_does_not_have() {
    tokio::time::pause();
    let judgement = json!({
        "category": "cost", "sub_category": "contracts", "priority": "urgent", "complexity": "complex", "confidence": 0.9,
        "entities": {"models": ["invented-9"], "features": [], "metrics": ["cost"], "period": null},
        "intent": {"primary": "negotiate", "secondary": [], "action_required": true},
        "next_agents": ["actions", "optimization"], "suspicious": false,
    });
    let world = agents_with_tools().model(Says::words(&[&judgement.to_string()]));
    let output = output(world, "triage", "Cut what we pay", Value::Null).await;
    assert_eq!(output["sub_category"], "contracts");
    assert_eq!(output["decided_by"], "model");
    assert_eq!(output["entities"]["models"], json!([]));
    assert_eq!(output["data_sufficiency"], "insufficient");
    assert_eq!(output["next_agents"], json!(["data_helper", "reporting"]));
}
