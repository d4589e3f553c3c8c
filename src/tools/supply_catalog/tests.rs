use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::tools::cost_calculator::CostCalculator;
use crate::tools::doubles::{call_as, frozen, ports};

fn at() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000)
}

fn tool() -> SupplyCatalog {
    SupplyCatalog::new(ports(), at)
}

fn update(changes: Value) -> Value {
    json!({
        "action": "update", "model": "gpt-4.1", "provider": "openai", "changes": changes, "confidence": 0.85,
        "sources": [{"url": "https://example.org/prices", "title": "Prices"}], "reason": "the list changed",
    })
}

/// The update with one field set to another value; to null: without it.
fn but(field: &str, value: Value) -> Value {
    let mut arguments = update(json!({"input_usd_per_million": "1.00"}));
    match value {
        Value::Null => drop(arguments.as_object_mut().unwrap().remove(field)),
        value => arguments[field] = value,
    }
    arguments
}

#[tokio::test]
async fn the_catalogue_is_listed_shown_and_searched() {
    let tool = tool();
    let listed = call_as("ada", &tool, json!({"action": "list"})).await.unwrap();
    assert_eq!(
        listed["models"].as_array().unwrap().len(),
        tool.ports.catalogue.models().len()
    );
    assert_eq!(listed["left_out"], 0);
    let shown = call_as("ada", &tool, json!({"action": "get", "model": "GPT-4.1"}))
        .await
        .unwrap();
    assert_eq!(
        (&shown["input_usd_per_million"], &shown["updated"]),
        (&json!("2.000000"), &json!([]))
    );
    assert!(shown["source"].as_str().unwrap().starts_with("https://") && shown["as_of"].is_string());
    let found = json!({"action": "find", "capability": "vision", "min_context": 1_000_000, "max_input_price": "0.10", "limit": 1});
    let found = call_as("ada", &tool, found).await.unwrap();
    assert_eq!(found["models"].as_array().unwrap().len(), 1);
    assert_eq!(found["models"][0]["input_usd_per_million"], "0.100000");
    assert_eq!(found["left_out"], 1);
}

#[tokio::test]
async fn an_update_is_seen_and_reckoned_with_by_its_user_alone() {
    let ports = ports();
    let tool = SupplyCatalog::new(ports.clone(), at);
    let changes = json!({"input_usd_per_million": "1", "context_window": 1_047_576, "capabilities": ["tools"]});
    let updated = call_as("ada", &tool, update(changes.clone())).await.unwrap();
    // The window is what it was: no change.
    let fields: Vec<_> = updated["changed"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| &change["field"])
        .collect();
    assert_eq!(fields, ["input_usd_per_million", "capabilities"]);
    assert_eq!(
        updated["entry"]["updated"],
        json!(["capabilities", "input_usd_per_million"])
    );
    let price = json!({"action": "price", "model": "gpt-4.1", "input_tokens": 1_000_000, "output_tokens": 0});
    let calculator = CostCalculator::new(ports);
    for (user, input, cost) in [("ada", "1.000000", "1.000000"), ("bob", "2.000000", "2.000000")] {
        let shown = call_as(user, &tool, json!({"action": "get", "model": "gpt-4.1"}))
            .await
            .unwrap();
        assert_eq!(shown["input_usd_per_million"], input, "{user}");
        assert_eq!(
            call_as(user, &calculator, price.clone()).await.unwrap()["cost_usd"],
            cost,
            "{user}"
        );
    }
    let log = call_as("ada", &tool, json!({"action": "log", "model": "gpt-4.1-2025-04-14"}))
        .await
        .unwrap();
    assert_eq!(
        log["log"][1],
        json!({
            "model": "gpt-4.1", "field": "input_usd_per_million", "old": "2.000000", "new": "1.000000", "confidence": 0.85,
            "reason": "the list changed", "sources": [{"url": "https://example.org/prices", "title": "Prices"}],
            "at": "2026-09-21T14:13:20.000Z",
        })
    );
    assert_eq!(
        call_as("bob", &tool, json!({"action": "log"})).await.unwrap(),
        json!({"log": []})
    );
    // Once more is no change.
    let again = call_as("ada", &tool, update(changes)).await.unwrap();
    assert_eq!(again["changed"], json!([]));
}

#[tokio::test]
async fn an_update_that_nobody_should_trust_is_refused_and_says_why() {
    let tool = tool();
    for (arguments, part) in [
        (but("confidence", json!(0.69)), "confidence of 0.7"),
        (but("confidence", Value::Null), "needs `confidence`"),
        (but("sources", json!([])), "at least one"),
        (
            but("sources", json!([{"url": "file:///etc/passwd", "title": "x"}])),
            "begins with https://",
        ),
        (but("reason", json!("  ")), "needs `reason`"),
        (but("provider", json!("azure")), "sold by openai"),
        (but("model", json!("gpt-17")), "no such model"),
        (but("changes", json!({})), "at least one value"),
        (
            update(json!({"input_usd_per_million": "-1"})),
            "input_usd_per_million is \"-1\"",
        ),
        (
            update(json!({"input_usd_per_million": "0.10"})),
            "above input_usd_per_million",
        ),
        (update(json!({"context_window": 0})), "context_window takes"),
        (update(json!({"capabilities": ["flying"]})), "unknown word"),
        (json!({"action": "get"}), "`get` needs `model`"),
        (
            json!({"action": "find", "max_input_price": "cheap"}),
            "write it as \"1.00\"",
        ),
    ] {
        let fault = call_as("ada", &tool, arguments.clone()).await;
        assert!(
            matches!(&fault, Err(ToolError::BadArguments(why)) if why.contains(part)),
            "{arguments}: {fault:?}"
        );
    }
    assert_eq!(
        call_as("ada", &tool, json!({"action": "log"})).await.unwrap(),
        json!({"log": []})
    );
}

#[tokio::test]
async fn prices_that_fit_only_together_are_updated_together() {
    let changes = json!({"input_usd_per_million": "0.10", "cached_input_usd_per_million": "0.01"});
    let updated = call_as("ada", &tool(), update(changes)).await.unwrap();
    assert_eq!(updated["entry"]["cached_input_usd_per_million"], "0.010000");
}

#[tokio::test]
async fn the_longest_answers_fit_into_a_tools_output() {
    let text: String = (0..120)
        .map(|n| {
            format!(
                "[[model]]\nprovider = \"somebody\"\nmodel = \"a-model-of-a-rather-long-name-{n}\"\ninput_usd_per_million = \"1\"\n\
                output_usd_per_million = \"1\"\ncontext_window = 1000000\ncapabilities = [\"json\", \"reasoning\", \"tools\", \
                \"vision\"]\ntier = \"small\"\nsource = \"https://example.org/docs/models/pricing/and/more\"\nas_of = \"2026-01-01\"\n"
            )
        })
        .collect();
    let ports = ToolPorts {
        catalogue: Arc::new(Catalogue::parse(&text).unwrap()),
        ..ports()
    };
    let listed = call_as("ada", &SupplyCatalog::new(ports, at), json!({"action": "list"}))
        .await
        .unwrap();
    assert_eq!(listed["left_out"], 20);
    assert!(listed.to_string().len() < sessile_actors::limits::Limits::default().tool_output_bytes);
}

#[tokio::test]
async fn the_schema_rejects_a_user_and_other_actions() {
    let tools = frozen(tool());
    let class = tools.get(NAME).unwrap();
    assert_eq!(class.validate(&update(json!({"input_usd_per_million": "1"}))), Ok(()));
    for bad in [
        but("user", json!("bob")),
        but("confidence", json!(1.5)),
        update(json!({"tier": "large"})),
        json!({"action": "delete"}),
        json!({"action": "find", "limit": 1000}),
    ] {
        assert!(class.validate(&bad).is_err(), "{bad}");
    }
}
