//! What users have used, as they are told over the wire: it outlives the process, and what is used up is refused.

use serde_json::{Value, json};

use super::{Door, House, Server, User};

/// A turn that calls a tool, and then one that never ends.
const CALL_AND_HANG: &str = r#"
[[turn]]
when = "work"
steps = [{ call = { name = "notes", arguments = { action = "list" } } }]
then = [{ hang = true }]
"#;

async fn usage(server: &Server, user: &User) -> Value {
    let answer = server.ask(user, "GET", "/v1/usage", None).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

#[tokio::test]
async fn what_was_used_outlives_a_killed_process_and_what_is_used_up_is_refused() {
    let house = House::playing(CALL_AND_HANG).set("budgets.user.tool_calls=1");
    let server = house.start().await;
    let (ada, eve) = (server.guest().await, server.guest().await);
    let mut client = server.connect(&ada).await;
    let told = &client.established()["limits"]["budgets"];
    assert_eq!(
        (&told["user"], &told["run"]["steps"]),
        (&json!({"tool_calls": 1}), &json!(64))
    );
    client.say("work").await;
    client
        .collect("the tool's end", |frame| frame["type"] == "tool_completed")
        .await;
    let before = usage(&server, &ada).await;
    assert_eq!(
        (&before["used"]["steps"], &before["used"]["tool_calls"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(before["limits"], json!({"tool_calls": 1}));
    let place = client.cut().await;

    let server = server.crash().await;
    assert_eq!(usage(&server, &ada).await["used"], before["used"]);
    let mut client = server.open(Door::of(&ada).back_to(&place)).await;
    let asked = client.say("work").await;
    let refused = client.collect("the refusal", |frame| frame["type"] == "error").await;
    let refusal = &refused.last().unwrap()["payload"];
    assert_eq!(
        (&refusal["code"], &refusal["reply_to"]),
        (&json!("budget_exhausted"), &json!(asked))
    );
    assert_eq!(refusal["details"]["resets_at"], before["resets_at"]);
    let runs = "/v1/agents/assistant/runs";
    let answer = server.ask(&ada, "POST", runs, Some(json!({"content": "work"}))).await;
    assert_eq!(answer.status, 429, "{answer:?}");
    let none = usage(&server, &eve).await;
    assert!(
        none["used"].as_object().unwrap().values().all(|used| used == 0),
        "{none}"
    );
}
