//! The agent that looks up prices, over a real socket: with what its user brings, where the server fetches no pages.

use serde_json::{Value, json};

use super::http::send_bytes;
use super::{Client, House};

const PAGE: &str =
    "Prices per 1K tokens\n| Model | Input | Output | Context window |\n| GPT-5 | $0.0011 | $0.01 | 400K |\n";

async fn asked(client: &mut Client, content: &str, references: Value) -> (String, Vec<String>) {
    let payload = json!({"content": content, "agent": "supply_researcher", "references": references});
    client.message(payload).await;
    let frames = client.run_to_end().await;
    let end = frames.last().unwrap();
    assert_eq!(end["type"], "agent_completed", "{end}");
    let kinds = frames.iter().map(|frame| frame["type"].as_str().unwrap().to_owned());
    (end["payload"]["result"].as_str().unwrap().to_owned(), kinds.collect())
}

#[tokio::test]
async fn a_page_that_a_user_brings_is_read_and_weighed_and_nothing_is_written_without_a_source() {
    let server = House::new().start().await;
    let ada = server.guest().await;
    let headers = [ada.header(), ("content-type", "text/plain; charset=utf-8")];
    let kept = send_bytes(
        server.address,
        "POST",
        "/v1/documents?name=prices.md",
        &headers,
        PAGE.as_bytes(),
    )
    .await;
    let id = kept.json()["document_id"].clone();
    let mut client = server.connect(&ada).await;
    let (told, kinds) = asked(&mut client, "What does gpt-5 cost now?", json!([id])).await;
    for part in [
        "- input_usd_per_million: 1.25 -> 1.1 [1]",
        "- output_usd_per_million: 10, as before [1]",
        "- context_window: 400000, as before [1]",
        "Confidence 0.70",
        "Not written: what you brought has no address",
        "`tools.http_fetch.enabled = true`",
        "- [1] prices.md (from you)",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    for kind in ["agent_thinking", "tool_executing", "tool_completed"] {
        assert!(kinds.iter().any(|told| told == kind), "{kind}: {kinds:?}");
    }
    let (pasted, _) = asked(&mut client, &format!("price of gpt-5?\n```\n{PAGE}```"), json!([])).await;
    assert!(pasted.contains("- input_usd_per_million: 1.25 -> 1.1 [1]"), "{pasted}");
    assert!(!server.log().contains("0.0011"), "a user's text is in the log");
}
