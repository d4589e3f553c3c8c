//! What goes wrong at a provider: what is asked again, what the run is told, and what nobody is told.

use std::time::Duration;

use serde_json::json;
use sessile::config::Provider;
use sessile_actors::infra::model::{ModelError, ModelTimeout};

use super::server::{Play, Scripted, Step, events, head, raw, status, stream};
use super::{KEY, SHORT, answer, delta, fault, model, named, openai, said, usage, words};

fn good() -> Play {
    stream(&answer(&["Hello"]))
}

fn half() -> String {
    delta(json!({"content": "Half"})).to_string()
}

#[tokio::test]
async fn what_passes_is_asked_again_and_the_run_hears_nothing_of_it() {
    let silent_start = delta(json!({"role": "assistant", "content": ""})).to_string();
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffff\r\ndata: {\"cho";
    for (what, first) in [
        ("500", status(500, &[], "{}")),
        ("503 with a wish", status(503, &[("retry-after", "0")], "")),
        (
            "429 with a wish",
            status(429, &[("retry-after-ms", "20")], "{\"error\": {}}"),
        ),
        ("429 without", status(429, &[], "")),
        ("closed at once", Vec::new()),
        ("closed within the head", vec![Step::Write(b"HTTP/1.1 200 O".to_vec())]),
        ("cut before a word", stream(&[silent_start])),
        ("cut within a chunk", vec![Step::Write(chunked.as_bytes().to_vec())]),
        (
            "an error for an answer",
            stream(&[json!({"error": {"type": "server_error"}}).to_string()]),
        ),
    ] {
        let mut server = Scripted::start([first, good()]).await;
        let pieces = said(&openai(&server)).await;
        assert_eq!(words(&pieces), "Hello", "{what}: {pieces:?}");
        assert_eq!(server.asked_more(), 2, "{what}");
    }
}

#[tokio::test]
async fn it_is_asked_as_often_as_configured_and_no_more() {
    let mut server = Scripted::start([status(500, &[], ""), status(502, &[], ""), good()]).await;
    let mut named = named(&server, Provider::OpenAi);
    named.retries = Some(1);
    let pieces = said(&model(&named)).await;
    assert_eq!(
        fault(&pieces),
        ModelError::Unavailable("it answered with status 502".to_owned())
    );
    assert_eq!(server.asked_more(), 2);
}

#[tokio::test]
async fn nothing_is_asked_again_once_a_word_was_shown() {
    let cut_chunk = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffff\r\n";
    let event = format!("data: {}\n\n", half());
    let malformed = format!("{event}data: {{\"choices\": [\n\n");
    let huge = format!("{event}data: {}", "x".repeat(2 * 1024 * 1024));
    let reported = format!("{event}data: {{\"error\": {{\"message\": \"{KEY} geheimwort\"}}}}\n\n");
    for (what, play) in [
        ("a stream that just ends", stream(&[half()])),
        (
            "a chunk that is cut",
            vec![Step::Write(format!("{cut_chunk}{event}").into_bytes())],
        ),
        ("an event that is no JSON", raw("text/event-stream", &malformed)),
        ("an event that never ends", raw("text/event-stream", &huge)),
        ("an error in mid-stream", raw("text/event-stream", &reported)),
    ] {
        let mut server = Scripted::start([play, good()]).await;
        let pieces = said(&openai(&server)).await;
        assert_eq!(words(&pieces), "Half", "{what}");
        let fault = fault(&pieces);
        assert!(
            matches!(fault, ModelError::Broken(_) | ModelError::Unavailable(_)),
            "{what}: {fault}"
        );
        assert!(
            !format!("{fault:?}").contains("canary") && !format!("{fault:?}").contains("geheim"),
            "{fault:?}"
        );
        assert_eq!(server.asked_more(), 1, "{what}");
    }
}

#[tokio::test]
async fn a_long_wait_is_told_and_not_waited() {
    let mut server = Scripted::start([status(429, &[("retry-after", "60")], ""), good()]).await;
    let pieces = said(&openai(&server)).await;
    let retry_after = Some(Duration::from_secs(60));
    assert_eq!(pieces, [Err(ModelError::RateLimited { retry_after })]);
    assert_eq!(server.asked_more(), 1);
}

#[tokio::test]
async fn a_refusal_says_what_to_check_and_neither_the_key_nor_a_word_of_the_user() {
    let echo = format!("{{\"error\": {{\"message\": \"bad key {KEY} for geheimwort\"}}}}");
    for (code, word) in [
        (401, "api_key_env"),
        (403, "api_key_file"),
        (404, "base_url"),
        (400, "request"),
        (307, "base_url"),
    ] {
        let mut server = Scripted::start([status(code, &[("location", "http://127.0.0.1:1/")], &echo), good()]).await;
        let pieces = said(&openai(&server)).await;
        let told = format!("{pieces:?} {}", fault(&pieces));
        assert!(matches!(fault(&pieces), ModelError::Refused(_)), "{told}");
        assert!(told.contains(word) && told.contains(&code.to_string()), "{told}");
        assert!(!told.contains("canary") && !told.contains("geheimwort"), "{told}");
        assert_eq!(server.asked_more(), 1);
    }
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up() {
    let plays = [vec![Step::Wait], vec![head("text/event-stream"), Step::Wait]];
    // Silence before the head of the answer, and after it.
    for play in plays {
        let mut server = Scripted::start([play]).await;
        let mut named = named(&server, Provider::OpenAi);
        named.first_token_timeout = Some(SHORT);
        let pieces = said(&model(&named)).await;
        assert_eq!(pieces, [Err(ModelError::TimedOut(ModelTimeout::FirstPiece(SHORT)))]);
        server.closed().await;
        assert_eq!(server.asked_more(), 1);
    }
}

#[tokio::test]
async fn what_only_keeps_the_connection_open_is_no_answer() {
    let beat = [Step::Write(b": keep-alive\n\n".to_vec()), Step::Pause(SHORT / 10)];
    let beats = beat.iter().cycle().take(2000).cloned();
    let play = [head("text/event-stream"), events(&[half()])]
        .into_iter()
        .chain(beats)
        .collect();
    let server = Scripted::start([play]).await;
    let mut named = named(&server, Provider::OpenAi);
    named.stall_timeout = Some(SHORT);
    let pieces = said(&model(&named)).await;
    assert_eq!(words(&pieces), "Half");
    assert_eq!(fault(&pieces), ModelError::TimedOut(ModelTimeout::Stall(SHORT)));
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable() {
    // The port was ours a moment ago, and nobody listens on it now.
    let gone = Scripted::start([]).await;
    let mut named = named(&gone, Provider::OpenAi);
    drop(gone);
    named.retries = Some(0);
    let pieces = said(&model(&named)).await;
    assert_eq!(
        fault(&pieces),
        ModelError::Unavailable("it can't be connected to: connection refused".to_owned())
    );
}

#[tokio::test]
async fn too_much_of_anything_is_refused() {
    let word = delta(json!({"content": "x".repeat(64 * 1024)})).to_string();
    let call = json!([{"function": {"name": "one", "arguments": ""}}]);
    let calls = delta(json!({"tool_calls": call})).to_string();
    let long =
        delta(json!({"tool_calls": [{"index": 0, "function": {"name": "one", "arguments": "x".repeat(64 * 1024)}}]}));
    for (what, event) in [("words", word), ("calls", calls), ("arguments", long.to_string())] {
        let endless: Play = [head("text/event-stream")]
            .into_iter()
            .chain(std::iter::repeat_n(events(&[event]), 1000))
            .collect();
        let mut server = Scripted::start([endless]).await;
        let pieces = said(&openai(&server)).await;
        assert!(matches!(fault(&pieces), ModelError::Broken(_)), "{what}");
        assert_eq!(server.asked_more(), 1, "{what}");
    }
}

#[tokio::test]
async fn an_answer_larger_than_the_channel_arrives_whole() {
    let words_said: Vec<_> = (0..5000).map(|n| format!("{n} ")).collect();
    let parts: Vec<_> = words_said.iter().map(String::as_str).collect();
    let server = Scripted::start([stream(&answer(&parts))]).await;
    let pieces = said(&openai(&server)).await;
    assert_eq!(words(&pieces), words_said.concat());
    usage(&pieces);
}
