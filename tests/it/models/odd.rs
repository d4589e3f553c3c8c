//! Servers that speak OpenAI's protocol each in a way of their own: what they mean is what the run gets.

use std::time::Duration;

use serde_json::json;
use sessile::config::Provider;
use sessile_actors::infra::model::{INVALID_JSON, ModelPiece};

use super::server::{Play, Scripted, Step, head, raw, stream};
use super::{KEY, answer, calls, counted, delta, finish, model, named, openai, said, usage, words};

/// A stream as text.
fn text(events: &[String]) -> String {
    events.iter().map(|event| format!("data: {event}\n\n")).collect()
}

#[tokio::test]
async fn a_request_carries_the_key_the_model_and_the_wish_to_be_counted() {
    let mut server = Scripted::start([stream(&answer(&["Hel", "lo"]))]).await;
    let mut named = named(&server, Provider::OpenAi);
    named.input_usd_per_million = Some("0.15".parse().unwrap());
    named.output_usd_per_million = Some("0.60".parse().unwrap());
    let pieces = said(&model(&named)).await;
    let asked = server.asked().await;
    assert!(
        asked.head.starts_with("post /v1/chat/completions http/1.1\r\n"),
        "{}",
        asked.head
    );
    assert!(
        asked.head.contains(&format!("authorization: bearer {KEY}\r\n")),
        "{}",
        asked.head
    );
    let body: serde_json::Value = serde_json::from_str(&asked.body).unwrap();
    assert_eq!(body["model"], "m-1");
    assert_eq!(body["stream_options"], json!({"include_usage": true}));
    assert_eq!(body["messages"], json!([{"role": "user", "content": "geheimwort"}]));
    let texts: Vec<_> = pieces[..2].iter().map(|piece| piece.clone().unwrap()).collect();
    let expected = ["Hel", "lo"].map(|text| ModelPiece::Text(text.to_owned()));
    assert_eq!(texts, expected, "each piece is passed on as it comes");
    let used = usage(&pieces);
    // 7 times 0.15 and 5 times 0.60 are 4.05.
    assert_eq!((used.input_tokens, used.output_tokens, used.cost_micros), (7, 5, 4));
}

#[tokio::test]
async fn however_a_server_writes_its_stream_the_answer_is_the_same() {
    let well_formed = text(&answer(&["Hel", "lo"]));
    let bare = json!({"choices": [{"delta": {"content": "Hello"}}]}).to_string();
    let trickle: Play = [head("text/event-stream")]
        .into_iter()
        .chain(
            well_formed
                .bytes()
                .flat_map(|byte| [Step::Write(vec![byte]), Step::Pause(Duration::from_micros(10))]),
        )
        .collect();
    let plays: Vec<(&str, Play)> = vec![
        ("no [DONE]", raw("text/event-stream", &well_formed.replace("data: [DONE]\n\n", ""))),
        ("CRLF", raw("text/event-stream", &well_formed.replace('\n', "\r\n"))),
        ("another content type", raw("application/octet-stream", &well_formed)),
        (
            "comments that keep the connection open",
            raw("text/event-stream", &well_formed.replace("data: ", ": keep-alive\n\n:\n\nevent: x\nid: 7\ndata: ")),
        ),
        ("neither created nor id nor index", stream(&[bare.clone(), finish("stop").to_string(), counted(7, 5).to_string()])),
        (
            "a reason that nobody knows",
            stream(&[bare.clone(), finish("because").to_string(), counted(7, 5).to_string(), "[DONE]".to_owned()]),
        ),
        (
            "empty choices between",
            stream(&[json!({"choices": []}).to_string(), bare.clone(), json!({}).to_string(), finish("stop").to_string(), counted(7, 5).to_string()]),
        ),
        (
            "usage in every event, and null",
            stream(&[
                json!({"choices": [{"delta": {"content": "Hello"}}], "usage": null}).to_string(),
                json!({"choices": [{"delta": {}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 7, "completion_tokens": 5}}).to_string(),
            ]),
        ),
        ("[DONE] without a reason before it", stream(&[bare, counted(7, 5).to_string(), "[DONE]".to_owned()])),
        (
            "no stream at all",
            raw(
                "application/json",
                &json!({"choices": [{"message": {"content": "Hello"}, "finish_reason": "stop"}],
                        "usage": {"prompt_tokens": 7, "completion_tokens": 5}}).to_string(),
            ),
        ),
        ("byte by byte", trickle),
    ];
    for (what, play) in plays {
        let server = Scripted::start([play]).await;
        let pieces = said(&openai(&server)).await;
        assert_eq!(words(&pieces), "Hello", "{what}: {pieces:?}");
        let used = usage(&pieces);
        assert_eq!((used.input_tokens, used.output_tokens), (7, 5), "{what}");
    }
}

#[tokio::test]
async fn a_server_that_counts_nothing_costs_nothing() {
    let server = Scripted::start([stream(&[
        delta(json!({"content": "Hello"})).to_string(),
        finish("stop").to_string(),
    ])])
    .await;
    let pieces = said(&openai(&server)).await;
    assert_eq!((words(&pieces).as_str(), usage(&pieces)), ("Hello", Default::default()));
}

#[tokio::test]
async fn an_answer_that_is_whole_is_not_waited_for_longer() {
    let play = vec![
        head("text/event-stream"),
        super::server::events(&[
            delta(json!({"content": "Hello"})).to_string(),
            finish("stop").to_string(),
        ]),
        Step::Wait,
    ];
    let mut server = Scripted::start([play]).await;
    let pieces = said(&openai(&server)).await;
    assert_eq!((words(&pieces).as_str(), usage(&pieces)), ("Hello", Default::default()));
    server.closed().await;
}

#[tokio::test]
async fn an_answer_that_is_whole_is_not_held_by_what_only_keeps_the_connection_open() {
    let told = [
        delta(json!({"content": "Hello"})).to_string(),
        finish("stop").to_string(),
    ];
    // For longer than any test may take.
    let alive = [
        Step::Write(b": alive\n\n".to_vec()),
        Step::Pause(Duration::from_millis(100)),
    ];
    let trailer = std::iter::repeat_n(alive, 10_000).flatten();
    let begin = [head("text/event-stream"), super::server::events(&told)];
    let server = Scripted::start([begin.into_iter().chain(trailer).collect::<Play>()]).await;
    assert_eq!(words(&said(&openai(&server)).await), "Hello");
}

#[tokio::test]
async fn thoughts_come_under_any_of_their_names() {
    let parts =
        json!([{"type": "thinking", "thinking": [{"type": "text", "text": "three"}]}, {"type": "text", "text": "Hi"}]);
    let server = Scripted::start([stream(&[
        delta(json!({"reasoning_content": "one"})).to_string(),
        delta(json!({"reasoning": "two", "content": ""})).to_string(),
        delta(json!({"content": parts})).to_string(),
        "[DONE]".to_owned(),
    ])])
    .await;
    let pieces = said(&openai(&server)).await;
    let thought = |text: &str| Ok(ModelPiece::Reasoning(text.to_owned()));
    assert_eq!(pieces[..3], [thought("one"), thought("two"), thought("three")]);
    assert_eq!(words(&pieces), "Hi");
}

/// The calls of a stream with these deltas, each without its id.
async fn called(deltas: &[serde_json::Value]) -> Vec<(String, serde_json::Value)> {
    let mut all: Vec<_> = deltas
        .iter()
        .map(|calls| delta(json!({"tool_calls": calls})).to_string())
        .collect();
    all.extend([finish("tool_calls").to_string(), "[DONE]".to_owned()]);
    let server = Scripted::start([stream(&all)]).await;
    let pieces = said(&openai(&server)).await;
    usage(&pieces);
    let calls = calls(&pieces);
    let mut ids: Vec<_> = calls.iter().map(|call| call.id.clone()).collect();
    ids.sort();
    ids.dedup();
    assert!(ids.len() == calls.len() && !ids.contains(&String::new()), "{calls:?}");
    calls.into_iter().map(|call| (call.name, call.arguments)).collect()
}

#[tokio::test]
async fn calls_are_the_same_whatever_a_server_leaves_out() {
    let forms = [
        // As the protocol has it.
        vec![
            json!([{"index": 0, "id": "a", "type": "function", "function": {"name": "one", "arguments": ""}}]),
            json!([{"index": 0, "function": {"arguments": "{\"x\":"}}]),
            json!([{"index": 1, "id": "b", "type": "function", "function": {"name": "two", "arguments": "{}"}}]),
            json!([{"index": 0, "function": {"arguments": "1}"}}]),
        ],
        // Without an index.
        vec![
            json!([{"id": "a", "function": {"name": "one", "arguments": "{\"x\":"}}]),
            json!([{"id": "a", "function": {"arguments": "1}"}}]),
            json!([{"id": "b", "function": {"name": "two", "arguments": "{}"}}]),
        ],
        // Without an id, and with null in its place.
        vec![
            json!([{"index": 0, "function": {"name": "one", "arguments": "{\"x\":1}"}}]),
            json!([{"index": 1, "id": null, "function": {"name": "two", "arguments": null}}]),
        ],
        // With neither, both at once, the arguments as an object.
        vec![json!([{"function": {"name": "one", "arguments": {"x": 1}}}, {"function": {"name": "two"}}])],
    ];
    for form in forms {
        let expected = [("one".to_owned(), json!({"x": 1})), ("two".to_owned(), json!({}))];
        assert_eq!(called(&form).await, expected, "{form:?}");
    }
}

#[tokio::test]
async fn arguments_that_are_no_json_reach_the_run_as_such() {
    let form = [json!([{"index": 0, "id": "a", "function": {"name": "one", "arguments": "{\"x\": "}}])];
    assert_eq!(
        called(&form).await,
        [("one".to_owned(), json!({INVALID_JSON: "{\"x\": "}))]
    );
}
