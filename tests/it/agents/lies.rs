//! Models that lie: what they choose, order and explain is used where it holds, and no figure of theirs reaches anybody.

use serde_json::json;
use sessile_actors::infra::model::{ModelPiece, ModelUsage};
use sessile_actors::testing::ScriptedModel;

use super::doubles::{Ended, Says, Turn, WITH_DATA, agents_with_tools, asked};

const AGENTS: [&str; 6] = ["triage", "data", "data_helper", "optimization", "actions", "reporting"];

async fn with(model: Says, agent: &str) -> Ended {
    asked(agents_with_tools().model(model).start(), agent, WITH_DATA).await
}

/// What the agent says without a model.
async fn by_rules(agent: &str) -> String {
    asked(agents_with_tools().start(), agent, WITH_DATA)
        .await
        .answer()
        .to_owned()
}

#[actix::test]
async fn whatever_nonsense_a_model_says_the_rules_answer() {
    tokio::time::pause();
    for agent in AGENTS {
        let expected = by_rules(agent).await;
        for nonsense in [
            "I would rather talk about the weather.",
            "{\"words\": ",
            "{}",
            "{\"words\": 7, \"summary\": [], \"plan\": null}",
            "{\"words\": \"fine\", \"order\": [], \"saves_usd\": \"999999.00\", \"combined_saves_usd\": \"999999.00\"}",
        ] {
            let ended = with(Says::words(&[nonsense]), agent).await;
            assert_eq!(ended.answer(), expected, "{agent}: {nonsense}");
            // Once for the answer, once for its repair, and no more.
            assert_eq!(ended.end["usage"]["model_calls"], 2, "{agent}: {nonsense}");
        }
    }
}

#[actix::test]
async fn a_scripted_model_is_asked_like_any_other() {
    tokio::time::pause();
    let script = vec![vec![
        ModelPiece::Text("{not json".to_owned()),
        ModelPiece::End {
            usage: ModelUsage::default(),
        },
    ]];
    let world = agents_with_tools().model(ScriptedModel::new(script)).start();
    let ended = asked(world, "reporting", WITH_DATA).await;
    assert_eq!(ended.answer(), by_rules("reporting").await);
}

#[actix::test]
async fn a_model_that_hangs_or_has_nothing_to_say_leaves_the_answer_to_the_rules() {
    tokio::time::pause();
    for agent in AGENTS {
        let expected = by_rules(agent).await;
        for turns in [vec![Turn::Hangs], vec![], vec![Turn::Words(String::new())]] {
            assert_eq!(with(Says::turns(turns), agent).await.answer(), expected, "{agent}");
        }
    }
}

#[actix::test]
async fn a_model_that_never_stops_calling_tools_is_stopped() {
    tokio::time::pause();
    let turns = vec![Turn::Calls("supply_catalog", json!({"action": "list"}))];
    let ended = with(Says::turns(turns), "data").await;
    assert_eq!(ended.answer(), by_rules("data").await);
    assert_eq!(ended.end["usage"]["model_calls"], u64::from(super::doubles::STEP_LIMIT));
}

#[actix::test]
async fn invented_figures_reach_nobody_however_often_they_are_said() {
    tokio::time::pause();
    for (agent, lie) in [
        ("data", r#"{"words": "You spent $999999 on m1."}"#),
        ("data", r#"{"words": "You spent a million dollars."}"#),
        (
            "optimization",
            r#"{"order": [2, 1], "words": "You will save 999999 dollars."}"#,
        ),
        (
            "actions",
            r#"{"plan": [{"strategy": 1, "owner": "team", "steps": ["Save $999999."], "depends_on": []}], "words": "Go."}"#,
        ),
        ("reporting", r#"{"summary": "All in all $999999 can be saved."}"#),
        (
            "data_helper",
            r#"{"opening": "It cost $999999. Please add:", "questions": []}"#,
        ),
    ] {
        let ended = with(Says::words(&[lie]), agent).await;
        assert_eq!(ended.answer(), by_rules(agent).await, "{agent}");
    }
}

#[actix::test]
async fn choices_that_do_not_exist_are_objected_to() {
    tokio::time::pause();
    for (agent, choice) in [
        ("optimization", r#"{"order": [3], "words": "Take the third."}"#),
        ("optimization", r#"{"order": [1, 1], "words": "Take it and take it."}"#),
        (
            "actions",
            r#"{"plan": [{"strategy": 1, "owner": "team", "steps": ["Go."], "depends_on": [2]}], "words": "Go."}"#,
        ),
    ] {
        assert_eq!(
            with(Says::words(&[choice]), agent).await.answer(),
            by_rules(agent).await,
            "{choice}"
        );
    }
}

#[actix::test]
async fn an_answer_that_was_mended_is_used() {
    tokio::time::pause();
    let mended = r#"{"words": "m1 takes all of the $12.35."}"#;
    let ended = with(
        Says::words(&[r#"{"words": "m1 takes all of the $99."}"#, mended]),
        "data",
    )
    .await;
    assert_eq!(ended.answer(), "m1 takes all of the $12.35.");
}

#[actix::test]
async fn a_model_orders_and_explains_and_the_amounts_stay_the_tools() {
    tokio::time::pause();
    let order = r#"{"order": [2], "words": "Caching is easiest."}"#;
    let told = with(Says::words(&[order]), "optimization").await;
    let lines: Vec<&str> = told.answer().lines().filter(|line| line.starts_with("- ")).collect();
    assert!(
        told.answer()
            .starts_with("Caching is easiest.\n\nOf $12.35 up to $5.00 can be saved")
    );
    assert!(lines[0].starts_with("- Cache the prompts that come again: saves $2.01"));
    assert!(lines[1].starts_with("- Move \\`summaries\\` from m1 to m2: saves $3.21"));
    let plan = r#"{"plan": [{"strategy": 1, "owner": "Ada", "steps": ["Try m2."], "depends_on": []}], "words": "The move first."}"#;
    let told = with(Says::words(&[plan]), "actions").await;
    let expected = "The move first.\n\n1. **Move \\`summaries\\` from m1 to m2**: saves $3.21, effort high, by the Ada.\n   - Try m2.\n\
                    2. **Cache the prompts that come again**: saves $2.01";
    assert!(told.answer().starts_with(expected), "{}", told.answer());
}

#[actix::test]
async fn a_summary_of_a_model_opens_the_report_as_text_and_the_tables_stay() {
    tokio::time::pause();
    let summary = r##"{"summary": "# Spent: $12.35.\n<b>m1</b> | all"}"##;
    let ended = with(Says::words(&[summary]), "reporting").await;
    let opening = "# Report on the use of language models\n\n\\# Spent: $12.35. &lt;b&gt;m1&lt;/b&gt; \\| all\n\n## Cost by model\n";
    assert!(ended.answer().starts_with(opening), "{}", ended.answer());
    let tables = |report: &str| {
        report
            .split_once("## Cost by model")
            .map(|(_, tables)| tables.to_owned())
    };
    assert_eq!(tables(ended.answer()), tables(&by_rules("reporting").await));
}

#[actix::test]
async fn a_model_calls_what_it_is_offered_and_nothing_else() {
    tokio::time::pause();
    let words = Turn::Words(r#"{"words": "m1 is dearest."}"#.to_owned());
    for (tool, arguments, reaches) in [
        ("supply_catalog", json!({"action": "get", "model": "m1"}), true),
        ("supply_catalog", json!({"action": "update", "model": "m1"}), false),
        ("cost_calculator", json!({"action": "savings"}), false),
        ("corpus_delete", json!({"document_id": "x"}), false),
    ] {
        let ended = with(Says::turns(vec![Turn::Calls(tool, arguments), words.clone()]), "data").await;
        assert_eq!(ended.answer(), "m1 is dearest.");
        let reached = ended.calls().iter().any(|(called, _)| *called == tool);
        assert_eq!(reached, reaches, "{tool}");
    }
}
