//! Connections end with the streams that they serve, and there are never more than configured.

use std::time::Duration;

use futures_util::StreamExt as _;
use serde_json::json;
use sessile::config::Provider;
use sessile_actors::infra::Model as _;
use sessile_actors::infra::model::{ModelError, ModelPiece};
use tokio::time::Instant;

use super::server::{Scripted, Step, events, head, stream};
use super::{CLOSED_WITHIN, SHORT, TRIES, answer, delta, fault, model, named, openai, question, said, words};

/// The beginning of an answer, and then silence.
fn half(provider: Provider) -> Vec<Step> {
    let words = match provider {
        Provider::Ollama => Step::Write((json!({"message": {"content": "Half"}}).to_string() + "\n").into_bytes()),
        _ => events(&[delta(json!({"content": "Half"})).to_string()]),
    };
    vec![head("text/event-stream"), words, Step::Wait]
}

#[tokio::test]
async fn dropping_a_stream_closes_its_connection() {
    for provider in [Provider::OpenAi, Provider::Ollama] {
        let mut server = Scripted::start(vec![half(provider); TRIES]).await;
        let model = model(&named(&server, provider));
        let mut times = Vec::new();
        for _ in 0..TRIES {
            let mut pieces = model.stream(question()).await.unwrap();
            assert_eq!(pieces.next().await, Some(Ok(ModelPiece::Text("Half".to_owned()))));
            let dropped = Instant::now();
            drop(pieces);
            times.push(server.closed().await - dropped);
        }
        assert!(times.iter().min() < Some(&CLOSED_WITHIN), "{times:?}");
    }
}

#[tokio::test]
async fn dropping_a_stream_before_anything_came_closes_its_connection_too() {
    let mut server = Scripted::start(vec![vec![Step::Wait]; TRIES]).await;
    let mut times: Vec<Duration> = Vec::new();
    for _ in 0..TRIES {
        let pieces = openai(&server).stream(question()).await.unwrap();
        server.asked().await;
        let dropped = Instant::now();
        drop(pieces);
        times.push(server.closed().await - dropped);
    }
    assert!(times.iter().min() < Some(&CLOSED_WITHIN), "{times:?}");
}

#[tokio::test]
async fn a_connection_serves_one_request_after_the_other() {
    let whole: String = answer(&["Hello"])
        .iter()
        .map(|event| format!("data: {event}\n\n"))
        .collect();
    let length = whole.len();
    let chunked = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n\
         {length:x}\r\n{whole}\r\n"
    );
    // The end of the stream comes a moment after the event that says so.
    let whole = [
        Step::Write(chunked.into_bytes()),
        Step::Pause(Duration::from_millis(1)),
        Step::Write(b"0\r\n\r\n".to_vec()),
    ];
    let play = whole
        .iter()
        .cloned()
        .chain([Step::NextRequest])
        .chain(whole.clone())
        .collect();
    // Whoever came on another connection would find nothing to be played.
    let server = Scripted::start([play]).await;
    let model = openai(&server);
    for _ in 0..2 {
        assert_eq!(words(&said(&model).await), "Hello");
    }
}

#[tokio::test]
async fn a_request_beyond_the_configured_ones_waits_for_its_place() {
    let held = vec![
        head("text/event-stream"),
        Step::WaitForTest,
        events(&answer(&["first"])),
    ];
    let mut server = Scripted::start([held, stream(&answer(&["second"]))]).await;
    let mut named = named(&server, Provider::OpenAi);
    named.concurrency = Some(1);
    let model = model(&named);
    let first = model.stream(question()).await.unwrap();
    server.asked().await;
    let second = model.stream(question()).await.unwrap();
    server.go_on().await;
    // Were it asked at the same time, it would be the one to wait.
    let first: Vec<_> = first.collect().await;
    assert_eq!(words(&first), "first");
    let second: Vec<_> = second.collect().await;
    assert_eq!(words(&second), "second");
}

#[tokio::test]
async fn who_waits_too_long_for_a_place_is_told() {
    let mut server = Scripted::start([half(Provider::OpenAi), stream(&answer(&["second"]))]).await;
    let mut named = named(&server, Provider::OpenAi);
    named.concurrency = Some(1);
    named.first_token_timeout = Some(SHORT);
    let model = model(&named);
    let mut first = model.stream(question()).await.unwrap();
    assert_eq!(first.next().await, Some(Ok(ModelPiece::Text("Half".to_owned()))));
    let second = said(&model).await;
    assert!(
        matches!(fault(&second), ModelError::Unavailable(why) if why.contains("models.concurrency")),
        "{second:?}"
    );
    assert_eq!(server.asked_more(), 1);
    // A place is free again when its stream is dropped.
    drop(first);
    assert_eq!(words(&said(&model).await), "second");
}
