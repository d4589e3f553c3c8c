//! The log names every run by all its ids, and never says what its user said.

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{House, eventually};

/// The ids that a line about a run carries.
const IDS: [&str; 4] = ["request", "session", "thread", "run"];

/// A line as its fields and those of its spans.
fn fields(line: &str) -> Vec<(String, Value)> {
    let line: Value = serde_json::from_str(line).unwrap_or_else(|fault| panic!("{fault} in {line}"));
    let spans = line["spans"].as_array().cloned().unwrap_or_default();
    // `span` too: a line with a parent of its own, outside of any task, has no `spans`.
    let all = spans.iter().chain([&line, &line["span"]]).filter_map(Value::as_object);
    all.flat_map(|fields| fields.iter().map(|(name, value)| (name.clone(), value.clone())))
        .collect()
}

#[tokio::test]
async fn each_line_of_a_run_carries_the_ids_of_its_request_session_thread_and_run() {
    let server = House::scripted()
        .set("log.filter=info,sessile=debug,sessile_actors=debug")
        .start()
        .await;
    let mut client = server.connect(&server.guest().await).await;
    for message in ["note it", "break"] {
        client.say(message).await;
        client.run_to_end().await;
    }
    let run = client.next_run_of("hello").await;
    let lines = eventually("the run's lines", async || {
        let log = server.log();
        let of_runs: Vec<_> = log
            .lines()
            .map(fields)
            .filter(|line| has(line, "run") || has(line, "call"))
            .collect();
        if of_runs
            .iter()
            .flatten()
            .any(|(name, value)| name == "run" && *value == run)
        {
            return Ok(of_runs);
        }
        Err(log)
    })
    .await;
    assert!(lines.len() >= 6, "{lines:#?}");
    for line in lines {
        for id in IDS {
            assert!(has(&line, id), "no {id} in {line:#?}");
        }
    }
}

fn has(line: &[(String, Value)], field: &str) -> bool {
    line.iter().any(|(name, _)| name == field)
}

#[tokio::test]
async fn a_request_that_is_no_http_is_no_error_of_ours() {
    let server = House::new().start().await;
    for request in ["GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", "\u{0}\r\n\r\n"] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 "), "{request:?}: {answer}");
    }
    let log = server.log();
    assert!(!log.contains("ERROR"), "{log}");
}

#[tokio::test]
async fn no_word_of_a_user_is_in_the_log_at_any_level_that_is_used() {
    let server = House::scripted().set("log.filter=debug").start().await;
    let ada = server.guest().await;
    let mut client = server.connect(&ada).await;
    let thread = client.thread();
    for message in ["note geheimwort", "geheimwort", "geheimwort break"] {
        client.say(message).await;
        client.run_to_end().await;
    }
    client
        .send_text(r#"{"type": "geheimwort", "payload": {"geheimwort": "geheimwort"}}"#)
        .await;
    client.send_text("geheimwort").await;
    client.settle().await;
    let path = format!("/v1/threads/{thread}");
    let name = serde_json::json!({"name": "geheimwort"});
    assert_eq!(server.ask(&ada, "PATCH", &path, Some(name)).await.status, 200);
    assert_eq!(server.ask(&ada, "DELETE", &path, None).await.status, 204);
    let server = server.restart().await;
    let log = server.log();
    assert!(log.lines().count() > 20, "{log}");
    let telling: Vec<_> = log
        .lines()
        .filter(|line| line.to_lowercase().contains("geheimwort"))
        .collect();
    assert!(telling.is_empty(), "{telling:#?}");
}
