//! Providers with protocols of their own: the same promises, by way of genai.

use serde_json::{Value, json};
use sessile::config::Provider;
use sessile_actors::infra::model::{ChatMessage, ModelCall, ModelError, ModelPiece, ModelRequest, ModelTimeout};
use sessile_actors::infra::tools::ToolSpec;

use super::server::{Play, Scripted, Step, head, raw, status, stream};
use super::{KEY, SHORT, calls, fault, model, named, said, said_to, usage, words};

const ALL: [Provider; 3] = [Provider::Anthropic, Provider::Gemini, Provider::Ollama];

/// A thought of "Hm", the words "Hel" and "lo", a call of `calculator`, 7 tokens read and 5 written.
fn answer(provider: Provider) -> Play {
    let lines = |lines: &[Value]| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
    match provider {
        Provider::Anthropic => {
            let block = |index: u32, block: Value| json!({"type": "content_block_start", "index": index, "content_block": block});
            let part =
                |index: u32, delta: Value| json!({"type": "content_block_delta", "index": index, "delta": delta});
            let all = [
                json!({"type": "message_start", "message": {"usage": {"input_tokens": 7, "output_tokens": 1}}}),
                block(0, json!({"type": "text", "text": ""})),
                json!({"type": "ping"}),
                part(0, json!({"type": "text_delta", "text": "Hel"})),
                part(0, json!({"type": "text_delta", "text": "lo"})),
                json!({"type": "content_block_stop", "index": 0}),
                block(
                    1,
                    json!({"type": "tool_use", "id": "a", "name": "calculator", "input": {}}),
                ),
                part(
                    1,
                    json!({"type": "input_json_delta", "partial_json": "{\"expression\":"}),
                ),
                part(1, json!({"type": "input_json_delta", "partial_json": " \"1+1\"}"})),
                json!({"type": "content_block_stop", "index": 1}),
                json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 5}}),
                json!({"type": "message_stop"}),
            ];
            let text: String = all
                .iter()
                .map(|event| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap()))
                .collect();
            raw("text/event-stream", &text)
        }
        Provider::Gemini => {
            let part = |part: Value| json!({"candidates": [{"content": {"role": "model", "parts": [part]}}]});
            let call = json!({"functionCall": {"name": "calculator", "args": {"expression": "1+1"}}});
            let mut last = part(call);
            last["candidates"][0]["finishReason"] = json!("STOP");
            last["usageMetadata"] = json!({"promptTokenCount": 7, "candidatesTokenCount": 5, "totalTokenCount": 12});
            let all = [part(json!({"text": "Hel"})), part(json!({"text": "lo"})), last];
            stream(&all.map(|event| event.to_string()))
        }
        _ => {
            let call = json!({"function": {"name": "calculator", "arguments": {"expression": "1+1"}}});
            let all = [
                json!({"message": {"role": "assistant", "content": "Hel"}, "done": false}),
                json!({"message": {"role": "assistant", "content": "lo", "tool_calls": [call]}, "done": false}),
                json!({"message": {"role": "assistant", "content": ""}, "done": true, "done_reason": "stop",
                       "prompt_eval_count": 7, "eval_count": 5}),
            ];
            raw("application/x-ndjson", &lines(&all))
        }
    }
}

/// The beginning of the same answer, after which the connection is closed.
fn cut(provider: Provider) -> Play {
    let Some(Step::Write(whole)) = answer(provider).pop() else {
        panic!("an answer ends with what it writes");
    };
    let text = String::from_utf8(whole).unwrap();
    let (half, _) = text.split_at(text.find("lo\"").unwrap());
    let end = half
        .rfind(if provider == Provider::Ollama { "\n" } else { "\n\n" })
        .unwrap();
    raw("text/event-stream", &format!("{}\n\n", &half[..end]))
}

#[tokio::test]
async fn words_calls_and_usage_come_from_every_provider() {
    for provider in ALL {
        let server = Scripted::start([answer(provider)]).await;
        let pieces = said(&model(&named(&server, provider))).await;
        assert_eq!(words(&pieces), "Hello", "{provider:?}: {pieces:?}");
        let [call] = calls(&pieces).try_into().unwrap();
        assert_eq!(
            (call.name.as_str(), &call.arguments),
            ("calculator", &json!({"expression": "1+1"})),
            "{provider:?}"
        );
        assert!(!call.id.is_empty());
        let used = usage(&pieces);
        assert_eq!((used.input_tokens, used.output_tokens), (7, 5), "{provider:?}");
    }
}

#[tokio::test]
async fn every_provider_is_asked_in_its_own_words() {
    let request = || ModelRequest {
        system: "be brief".to_owned(),
        messages: vec![
            ChatMessage::User("1+1?".to_owned()),
            ChatMessage::Assistant {
                text: String::new(),
                calls: vec![ModelCall {
                    id: "a".to_owned(),
                    name: "calculator".to_owned(),
                    arguments: json!({"expression": "1+1"}),
                }],
            },
            ChatMessage::Tool {
                id: "a".to_owned(),
                name: "calculator".to_owned(),
                content: json!({"result": "2"}),
                is_error: false,
            },
        ],
        tools: vec![std::sync::Arc::new(ToolSpec::new(
            "calculator",
            "calculates",
            json!({"type": "object"}),
        ))],
    };
    for (provider, path, key, texts) in [
        (
            Provider::Anthropic,
            "/v1/messages ",
            "x-api-key",
            ["\"tool_use_id\":\"a\"", "\"input_schema\"", "be brief"],
        ),
        (
            Provider::Gemini,
            "/v1/models/m-1:streamgeneratecontent?alt=sse ",
            "x-goog-api-key",
            ["\"functionResponse\"", "\"functionDeclarations\"", "be brief"],
        ),
        (
            Provider::Ollama,
            "/v1/api/chat ",
            "",
            ["\"tool_calls\"", "\"role\":\"tool\"", "be brief"],
        ),
    ] {
        let mut server = Scripted::start([answer(provider)]).await;
        let pieces = said_to(&model(&named(&server, provider)), request()).await;
        usage(&pieces);
        let asked = server.asked().await;
        assert!(asked.head.starts_with(&format!("post {path}")), "{}", asked.head);
        assert!(
            key.is_empty() || asked.head.contains(&format!("{key}: {KEY}\r\n")),
            "{}",
            asked.head
        );
        for text in texts {
            assert!(asked.body.contains(text), "{text} is missing in {}", asked.body);
        }
    }
}

#[tokio::test]
async fn an_answer_that_is_cut_is_never_taken_for_a_whole_one() {
    for provider in ALL {
        let server = Scripted::start([cut(provider)]).await;
        let pieces = said(&model(&named(&server, provider))).await;
        assert_eq!(pieces[0], Ok(ModelPiece::Text("Hel".to_owned())), "{provider:?}");
        assert!(
            matches!(fault(&pieces), ModelError::Broken(_)),
            "{provider:?}: {pieces:?}"
        );
    }
}

/// An event that is no JSON.
fn nonsense(provider: Provider) -> &'static str {
    match provider {
        Provider::Ollama => "{nonsense\n",
        _ => "event: message_start\ndata: {nonsense\n\n",
    }
}

#[tokio::test]
async fn failures_are_judged_alike() {
    let echo = format!("{{\"error\": {{\"message\": \"{KEY} geheimwort\"}}}}");
    for provider in ALL {
        let plays = [
            status(500, &[], &echo),
            status(429, &[("retry-after-ms", "1")], &echo),
            answer(provider),
        ];
        let mut server = Scripted::start(plays).await;
        assert_eq!(
            words(&said(&model(&named(&server, provider))).await),
            "Hello",
            "{provider:?}"
        );
        assert_eq!(server.asked_more(), 3, "{provider:?}");

        let server = Scripted::start([status(401, &[], &echo)]).await;
        let pieces = said(&model(&named(&server, provider))).await;
        let told = format!("{pieces:?}");
        assert!(matches!(fault(&pieces), ModelError::Refused(_)), "{told}");
        assert!(!told.contains("canary") && !told.contains("geheimwort"), "{told}");

        let server = Scripted::start([raw("text/event-stream", nonsense(provider))]).await;
        let pieces = said(&model(&named(&server, provider))).await;
        assert!(
            matches!(fault(&pieces), ModelError::Broken(_)),
            "{provider:?}: {pieces:?}"
        );

        let server = Scripted::start([vec![head("text/event-stream"), Step::Wait]]).await;
        let mut named = named(&server, provider);
        named.first_token_timeout = Some(SHORT);
        let pieces = said(&model(&named)).await;
        assert_eq!(
            pieces,
            [Err(ModelError::TimedOut(ModelTimeout::FirstPiece(SHORT)))],
            "{provider:?}"
        );
    }
}

#[tokio::test]
async fn a_giant_event_is_refused() {
    for provider in ALL {
        let giant = "x".repeat(2 * 1024 * 1024);
        let text = match provider {
            Provider::Ollama => json!({"message": {"content": giant}}).to_string() + "\n",
            _ => format!("event: ping\ndata: {{\"type\": \"ping\", \"x\": \"{giant}\"}}\n\n"),
        };
        let server = Scripted::start([raw("text/event-stream", &text)]).await;
        let pieces = said(&model(&named(&server, provider))).await;
        let expected = "an event of its stream, or all of it, is too large";
        assert_eq!(pieces, [Err(ModelError::Broken(expected.to_owned()))], "{provider:?}");
    }
}
