//! The agent for documents over a real socket: what it deletes waits for its user.

use serde_json::{Value, json};

use super::http::send_bytes;
use super::{Client, House, Server, User, message_id};

const PLAN: &str = "# Plan\nMove the summaries.\n";

/// Uploads a document; its id.
async fn kept(server: &Server, user: &User, name: &str) -> String {
    let path = format!("/v1/documents?name={name}");
    let headers = [user.header(), ("content-type", "text/plain; charset=utf-8")];
    let answer = send_bytes(server.address, "POST", &path, &headers, PLAN.as_bytes()).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json()["document_id"].as_str().unwrap().to_owned()
}

/// The names of a user's documents, newest first.
async fn names(server: &Server, user: &User) -> Vec<String> {
    let listed = server.ask(user, "GET", "/v1/documents", None).await.json();
    let documents = listed["documents"].as_array().unwrap().iter();
    documents
        .map(|info| info["name"].as_str().unwrap().to_owned())
        .collect()
}

/// Asks for the deletion of `plan.md`, and decides when asked; the end of the run.
async fn delete(client: &mut Client, id: &str, decision: &str) -> Value {
    let payload = json!({"content": "delete document plan.md", "agent": "corpus_admin"});
    client.message(payload).await;
    let request = client.until("tool_approval_requested").await["payload"].take();
    assert_eq!(request["tool_name"], "corpus_delete");
    assert_eq!(request["parameters"], json!({"document_id": id}));
    let payload = json!({"call_id": request["call_id"], "decision": decision, "note": "I looked"});
    client
        .send(json!({"type": "tool_decision", "message_id": message_id(), "payload": payload}))
        .await;
    let end = client.run_to_end().await.pop().unwrap();
    assert_eq!(end["type"], "agent_completed", "{end}");
    end["payload"]["result"].clone()
}

#[tokio::test]
async fn a_deletion_happens_once_its_user_has_approved_it_and_not_where_they_denied_it() {
    let server = House::new().start().await;
    let (ada, eve) = (server.guest().await, server.guest().await);
    let id = kept(&server, &ada, "plan.md").await;
    kept(&server, &ada, "other.md").await;
    kept(&server, &eve, "plan.md").await;
    let mut client = server.connect(&ada).await;
    let told = delete(&mut client, &id, "deny").await;
    let told = told.as_str().unwrap();
    assert!(
        told.starts_with(&format!("To delete for good: plan.md (id {id}, 27 bytes, of ")),
        "{told}"
    );
    assert!(
        told.contains("It is kept: the user denied this call") && told.contains("I looked"),
        "{told}"
    );
    assert_eq!(names(&server, &ada).await, ["other.md", "plan.md"]);
    let told = delete(&mut client, &id, "approve").await;
    assert!(told.as_str().unwrap().ends_with("It is deleted."), "{told}");
    assert_eq!(names(&server, &ada).await, ["other.md"]);
    assert_eq!(
        names(&server, &eve).await,
        ["plan.md"],
        "the same name of somebody else"
    );
}

#[tokio::test]
async fn documents_are_added_found_updated_and_shown_in_plain_words() {
    let server = House::new().start().await;
    let ada = server.guest().await;
    let mut client = server.connect(&ada).await;
    for (message, answer) in [
        ("list my documents", "You have no documents yet."),
        (
            "add document plan.md:\n```\nMove the summaries.\n```",
            "Added plan.md (id ",
        ),
        ("add document plan b.md: Wait.", "Added plan b.md (id "),
        (
            "search my documents for SUMMARIES",
            "Documents that have these words:\n\n- plan.md (id ",
        ),
        ("update plan with: Keep `them`.", "Updated plan.md (id "),
        ("show plan.md", "plan.md:\n\n```text\nKeep `them`.\n```\n"),
        (
            "search my documents for summaries",
            "No document of yours has all of these words: summaries.",
        ),
        (
            "delete document pla",
            "More than one document fits pla:\n\n- plan b.md (id ",
        ),
        ("delete document wait", "You have no document called wait."),
        ("don't delete plan.md", "Nothing was changed: "),
    ] {
        client
            .message(json!({"content": message, "agent": "corpus_admin"}))
            .await;
        let frames = client.run_to_end().await;
        let asked = frames.iter().any(|frame| frame["type"] == "tool_approval_requested");
        let told = frames.last().unwrap()["payload"]["result"].as_str().unwrap();
        assert!(told.starts_with(answer) && !asked, "{message}: {told}");
    }
    assert_eq!(names(&server, &ada).await, ["plan b.md", "plan.md"]);
    assert!(!server.log().contains("summaries"), "a user's text is in the log");
}

#[tokio::test]
async fn a_document_that_the_message_refers_to_is_the_one() {
    let server = House::new().start().await;
    let ada = server.guest().await;
    kept(&server, &ada, "plan.md").await;
    let second = kept(&server, &ada, "plan.md").await;
    let mut client = server.connect(&ada).await;
    let ask = json!({"content": "delete plan.md", "agent": "corpus_admin"});
    client.message(ask).await;
    let frames = client.run_to_end().await;
    let told = frames.last().unwrap()["payload"]["result"].as_str().unwrap();
    assert!(told.starts_with("More than one document fits plan.md:"), "{told}");
    assert!(
        told.contains(&second) && told.ends_with("`delete document ID`."),
        "{told}"
    );
    let payload = json!({"content": "delete this document", "agent": "corpus_admin", "references": [second]});
    client.message(payload).await;
    let request = client.until("tool_approval_requested").await;
    assert_eq!(request["payload"]["parameters"], json!({"document_id": second}));
}
