//! Documents over HTTP, in messages and by tools: a user's own, and nobody else's.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::http::{Answer, send_bytes};
use super::{House, PATIENCE, Server, User};

/// Looks for what the user said, or reads what they name.
const SCRIPT: &str = r#"
[[turn]]
when = "canary"
steps = [{ call = { name = "corpus", arguments = { action = "search", query = "${message}" } } }]
then = [{ text = "Looked." }]

[[turn]]
when = "-"
steps = [{ call = { name = "corpus", arguments = { action = "get", document_id = "${message}" } } }]
then = [{ text = "Read." }]

[[turn]]
steps = [{ text = "You said: ${message}" }]
"#;

async fn upload(server: &Server, user: &User, name: &str, kind: &str, text: &[u8]) -> Answer {
    let path = format!("/v1/documents?name={name}");
    let headers = [user.header(), ("content-type", kind)];
    send_bytes(server.address, "POST", &path, &headers, text).await
}

/// Uploads a text; its id.
async fn kept(server: &Server, user: &User, name: &str, text: &str) -> String {
    let answer = upload(server, user, name, "text/plain; charset=UTF-8", text.as_bytes()).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json()["document_id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_document_is_uploaded_listed_fetched_and_deleted_by_its_user_and_outlives_a_restart() {
    let server = House::new().start().await;
    let ada = server.guest().await;
    let text = "day,cost\n2026-10-01,1.50€\n";
    let answer = upload(
        &server,
        &ada,
        "a%2Fusage%202026.csv",
        "text/csv; charset=utf-8",
        text.as_bytes(),
    )
    .await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let info = answer.json();
    assert_eq!(
        (&info["name"], &info["media_type"]),
        (&json!("usage 2026.csv"), &json!("text/csv"))
    );
    assert_eq!(info["bytes"], text.len());
    let other = kept(&server, &ada, "other.txt", "other").await;
    let server = server.restart().await;
    let listed = server.ask(&ada, "GET", "/v1/documents", None).await.json();
    let ids: Vec<_> = listed["documents"]
        .as_array()
        .unwrap()
        .iter()
        .map(|info| &info["document_id"])
        .collect();
    assert_eq!(ids, [&json!(other), &info["document_id"]], "newest first");
    let newest = server.ask(&ada, "GET", "/v1/documents?limit=1", None).await.json();
    assert_eq!(newest["documents"].as_array().unwrap().len(), 1);
    let path = format!("/v1/documents/{}", info["document_id"].as_str().unwrap());
    assert_eq!(server.ask(&ada, "GET", &path, None).await.json(), info);
    let fetched = server.ask(&ada, "GET", &format!("{path}/content"), None).await;
    assert_eq!(fetched.body, text);
    assert_eq!(fetched.header("content-type"), Some("text/csv; charset=utf-8"));
    assert_eq!(
        fetched.header("content-disposition"),
        Some("attachment; filename*=UTF-8''usage%202026.csv")
    );
    assert_eq!(fetched.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(server.ask(&ada, "DELETE", &path, None).await.status, 204);
    for method in ["GET", "DELETE"] {
        server.ask(&ada, method, &path, None).await.assert_problem(404);
    }
}

#[tokio::test]
async fn nobody_lists_reads_deletes_or_names_a_document_of_somebody_else() {
    let server = House::playing(SCRIPT).start().await;
    let (ada, eve) = (server.guest().await, server.guest().await);
    let id = kept(&server, &ada, "diary.txt", "the canary sings of Ada's secret").await;
    let path = format!("/v1/documents/{id}");
    let mut seen = server.ask(&eve, "GET", "/v1/documents", None).await.body;
    for (method, path) in [("GET", &path), ("GET", &format!("{path}/content")), ("DELETE", &path)] {
        let answer = server.ask(&eve, method, path, None).await;
        answer.assert_problem(404);
        seen.push_str(&answer.body);
    }
    // In a message, and by the tools of a run of hers.
    let mut client = server.connect(&eve).await;
    client.message(json!({"content": "look", "references": [id]})).await;
    let error = client.until("error").await;
    assert_eq!(error["payload"]["code"], "not_found", "{error}");
    let unknown = "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b";
    client
        .message(json!({"content": "look", "references": [unknown]}))
        .await;
    let same = client.until("error").await;
    assert_eq!(
        error["payload"]["message"], same["payload"]["message"],
        "not told apart"
    );
    for message in ["the canary sings", id.as_str()] {
        client.say(message).await;
        let frames = client.run_to_end().await;
        let result = &result_of_tool(&frames)["payload"];
        seen.push_str(&result.to_string());
    }
    assert!(!seen.contains("secret") && !seen.contains("diary"), "{seen}");
    // Hers is still there, for her and her runs.
    let mut client = server.connect(&ada).await;
    client
        .message(json!({"content": "the canary sings", "references": [id]}))
        .await;
    let frames = client.run_to_end().await;
    let result = result_of_tool(&frames)["payload"]["result"].clone();
    assert_eq!(result["found"][0]["document_id"], id, "{result}");
    client.say(&id).await;
    let frames = client.run_to_end().await;
    let result = result_of_tool(&frames)["payload"]["result"].clone();
    assert_eq!(result["text"], "the canary sings of Ada's secret", "{result}");
    assert!(!server.log().contains("secret"), "a user's text is in the log");
}

fn result_of_tool(frames: &[Value]) -> &Value {
    let mut completed = frames.iter().filter(|frame| frame["type"] == "tool_completed");
    completed
        .next()
        .unwrap_or_else(|| panic!("no tool ended in {frames:#?}"))
}

#[tokio::test]
async fn a_reference_that_is_no_id_is_named_by_a_pointer() {
    let server = House::playing(SCRIPT).start().await;
    let mut client = server.connect(&server.guest().await).await;
    client
        .message(json!({"content": "look", "references": ["usage.csv"]}))
        .await;
    let error = client.until("error").await["payload"].take();
    assert_eq!(error["code"], "invalid_payload", "{error}");
    assert_eq!(error["details"]["pointer"], "/references/0", "{error}");
}

#[tokio::test]
async fn what_is_no_text_or_too_much_is_refused_with_what_to_do() {
    let server = House::new()
        .set("limits.document_bytes=1000")
        .set("limits.document_bytes_per_user=1500")
        .start()
        .await;
    let ada = server.guest().await;
    for (name, kind, text, status) in [
        ("a.png", "image/png", &b"\x89PNG"[..], 415),
        ("a.csv", "text/csv", &b"\x89PNG\0"[..], 415),
        ("a.csv", "text/csv; charset=latin1", b"a", 415),
        ("a.csv", "application/x-www-form-urlencoded", b"a", 415),
        ("a%0a.csv", "text/csv", b"a", 400),
        ("", "text/csv", b"a", 400),
        ("a.csv", "text/csv", b"", 400),
        ("a.csv", "text/csv", &[b'x'; 1001], 413),
    ] {
        let answer = upload(&server, &ada, name, kind, text).await;
        answer.assert_problem(status);
        assert_eq!(answer.json().get("code"), None, "{answer:?}");
    }
    let long = format!("{:x}\r\n{}\r\n0\r\n\r\n", 1001, "x".repeat(1001));
    let head = request(&server, &ada, "transfer-encoding: chunked\r\n");
    let refused = exchange(&server, &format!("{head}{long}")).await;
    assert!(refused.starts_with("HTTP/1.1 413"), "{refused}");
    assert_eq!(
        upload(&server, &ada, "a.csv", "text/csv", &[b'x'; 1000]).await.status,
        201
    );
    let full = upload(&server, &ada, "b.csv", "text/csv", &[b'x'; 501]).await;
    full.assert_problem(413);
    assert_eq!(full.json()["code"], "quota_exceeded", "{full:?}");
    assert_eq!(
        upload(&server, &ada, "b.csv", "text/csv", &[b'x'; 500]).await.status,
        201
    );
    let listed = server.ask(&ada, "GET", "/v1/documents", None).await.json();
    assert_eq!(listed["documents"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn uploads_on_their_way_are_bounded_for_one_user_and_end_in_time() {
    let server = House::new().set("limits.document_transfer_time=2s").start().await;
    let (ada, bob) = (server.guest().await, server.guest().await);
    let mut waiting = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let begun = request(&server, &ada, "content-length: 10\r\n");
        stream.write_all(format!("{begun}half").as_bytes()).await.unwrap();
        waiting.push(stream);
    }
    // One worker and one supervisor take them in their order: who came before is in when this is answered.
    kept(&server, &bob, "his.txt", "others are not refused").await;
    assert_eq!(upload(&server, &ada, "c.csv", "text/csv", b"a").await.status, 429);
    for mut stream in waiting {
        let mut answer = String::new();
        let read = timeout(PATIENCE, stream.read_to_string(&mut answer)).await;
        read.expect("an answer in time").unwrap();
        assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    }
    kept(&server, &ada, "d.txt", "and then there is room").await;
}

#[tokio::test]
async fn the_largest_document_is_held_in_memory_once() {
    const BYTES: u64 = 10 * 1024 * 1024;
    let server = House::new().start().await;
    let ada = server.guest().await;
    let line = "2026-10-01,gpt-4o-mini,summaries,1200,340\n";
    let mut text = line
        .repeat(usize::try_from(BYTES).unwrap() / line.len() + 1)
        .into_bytes();
    text.truncate(usize::try_from(BYTES).unwrap());
    kept(&server, &ada, "small.txt", "the server is warm").await;
    let before = server.resident_bytes();
    let mut peak = before;
    let mut uploading = Box::pin(upload(&server, &ada, "big.csv", "text/csv", &text));
    let answer = loop {
        match timeout(super::POLL, &mut uploading).await {
            Ok(answer) => break answer,
            Err(_) => peak = peak.max(server.resident_bytes()),
        }
    };
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(answer.json()["bytes"], BYTES);
    // One copy, and room for what the store works with: less than a second copy.
    let grown = peak - before;
    assert!(grown > BYTES / 2 && grown < 2 * BYTES, "{grown} bytes more for {BYTES}");
}

/// The head of an upload, with what says how long it is.
fn request(server: &Server, user: &User, length: &str) -> String {
    let (name, value) = user.header();
    format!(
        "POST /v1/documents?name=a.csv HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n{name}: {value}\r\n\
         content-type: text/csv\r\n{length}\r\n",
        server.address
    )
}

async fn exchange(server: &Server, request: &str) -> String {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let read = timeout(PATIENCE, stream.read_to_string(&mut answer)).await;
    read.expect("an answer").unwrap();
    answer
}
