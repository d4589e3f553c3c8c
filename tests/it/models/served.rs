//! The real binary with a model over the network, as its users see it.

use serde_json::{Value, json};
use tokio::time::Instant;

use super::server::{Play, Scripted, Step, events, head, raw, status, stream};
use super::{CLOSED_WITHIN, KEY, TRIES, answer, delta, finish};
use crate::server::{Client, House, Server};

/// Settings with the scripted server's model as the default.
fn settings(provider: &Scripted) -> String {
    format!(
        "[models]\ndefault = \"fast\"\nretries = 0\n[models.named.fast]\nprovider = \"openai\"\nmodel = \"m-1\"\n\
         base_url = {:?}\napi_key_env = \"A_KEY\"\ninput_usd_per_million = \"0.15\"\noutput_usd_per_million = \"0.60\"\n",
        provider.url()
    )
}

fn house(provider: &Scripted) -> House {
    House::new().env("A_KEY", KEY).config(&settings(provider))
}

/// An answer that asks for a tool.
fn call(arguments: &str) -> Play {
    let call = json!([{"index": 0, "id": "a", "function": {"name": "calculator", "arguments": arguments}}]);
    stream(&[
        delta(json!({"tool_calls": call})).to_string(),
        finish("tool_calls").to_string(),
        "[DONE]".to_owned(),
    ])
}

async fn guest_at(server: &Server) -> Client {
    server.connect(&server.guest().await).await
}

/// The end of the run that answers this.
async fn end_of(client: &mut Client, message: &str) -> Value {
    client.say(message).await;
    client.run_to_end().await.pop().unwrap()
}

#[tokio::test]
async fn a_model_calls_a_tool_and_answers_with_its_result() {
    let calls = call("{\"expression\": \"12 * 7\"}");
    let mut provider = Scripted::start([calls, stream(&answer(&["It is ", "84."]))]).await;
    let server = house(&provider).set("log.filter=debug").start().await;
    let mut ada = guest_at(&server).await;
    let end = end_of(&mut ada, "geheimwort 12 * 7?").await;
    assert_eq!(end["payload"]["result"], "It is 84.", "{end}");
    let usage =
        json!({"input_tokens": 7, "output_tokens": 5, "model_calls": 2, "tool_calls": 1, "steps": 2, "cost_micros": 4});
    assert_eq!(end["payload"]["usage"], usage);
    let (first, second) = (provider.asked().await, provider.asked().await);
    assert!(
        first.body.contains("geheimwort") && first.body.contains("\"calculator\""),
        "{}",
        first.body
    );
    assert!(first.head.contains(&KEY.to_lowercase()), "{}", first.head);
    let body: Value = serde_json::from_str(&second.body).unwrap();
    let result = body["messages"].as_array().unwrap().last().unwrap();
    assert_eq!(
        (&result["role"], &result["tool_call_id"]),
        (&json!("tool"), &json!("a"))
    );
    assert!(result["content"].as_str().unwrap().contains("84"), "{result}");
    let log = server.restart().await.log();
    assert!(log.lines().count() > 10, "{log}");
    for secret in ["canary", "geheimwort"] {
        assert!(!log.contains(secret), "{secret} in {log}");
    }
}

#[tokio::test]
async fn a_model_is_told_that_its_arguments_are_no_json() {
    let mut provider = Scripted::start([call("{\"expression\": "), stream(&answer(&["Sorry."]))]).await;
    let server = house(&provider).start().await;
    let end = end_of(&mut guest_at(&server).await, "hello").await;
    assert_eq!(end["payload"]["result"], "Sorry.", "{end}");
    provider.asked().await;
    let told = provider.asked().await.body;
    assert!(told.contains("no JSON object"), "{told}");
}

#[tokio::test]
async fn a_key_may_stand_in_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    std::fs::write(&path, format!("{KEY}\n")).unwrap();
    let path = path.display().to_string();
    let by_variable = |provider: &Scripted| House::new().env("A_KEY_FILE", &path).config(&settings(provider));
    let by_key = |provider: &Scripted| {
        let file = format!("api_key_file = {path:?}");
        House::new().config(&settings(provider).replace("api_key_env = \"A_KEY\"", &file))
    };
    for by_file in [&by_variable as &dyn Fn(&Scripted) -> House, &by_key] {
        let mut provider = Scripted::start([stream(&answer(&["Hello"]))]).await;
        let server = by_file(&provider).start().await;
        assert_eq!(
            end_of(&mut guest_at(&server).await, "hello").await["payload"]["result"],
            "Hello"
        );
        let asked = provider.asked().await;
        assert!(
            asked.head.contains(&format!("authorization: bearer {KEY}\r\n")),
            "{}",
            asked.head
        );
    }
}

#[tokio::test]
async fn a_missing_key_is_told_at_the_start_and_by_a_check() {
    let provider = Scripted::start([]).await;
    let house = House::new().config(&settings(&provider));
    let (is_valid, _, checked) = house.run(&["config", "check"]);
    assert!(!is_valid);
    for told in [house.refusal(), checked] {
        assert!(
            told.contains("`fast`") && told.contains("A_KEY") && told.contains("api_key_file"),
            "{told}"
        );
    }
}

#[tokio::test]
async fn the_configuration_shows_the_models_and_no_key() {
    let provider = Scripted::start([]).await;
    let (shown, out, err) = house(&provider).run(&["config", "show", "--changed"]);
    assert!(shown, "{err}");
    for line in [
        "[models.named.fast]",
        "provider = \"openai\"",
        "model = \"m-1\"",
        "api_key_env = \"A_KEY\"",
    ] {
        assert!(out.contains(line), "{line} is missing in {out}");
    }
    assert!(!out.contains("canary"), "{out}");
    let in_the_environment = House::new().env("SESSILE__MODELS__NAMED__FAST__MODEL", "m-2");
    let (is_valid, _, err) = in_the_environment.config("").run(&["config", "check"]);
    assert!(
        !is_valid && err.contains("SESSILE__MODELS__NAMED__FAST__MODEL"),
        "{err}"
    );
    assert!(
        err.contains("models.named.fast.provider") && err.contains("\"openai\""),
        "{err}"
    );
}

#[tokio::test]
async fn no_words_of_a_provider_reach_the_log_whatever_the_filter() {
    let echo = format!("geheimwort {KEY}");
    let events = format!(
        "event: unknown\ndata: {{\"x\": \"{echo}\"}}\n\nevent: error\ndata: {{\"error\": {{\"type\": \"{echo}\"}}}}\n\n"
    );
    let plays = [raw("text/event-stream", &events), status(401, &[], &echo)];
    let provider = Scripted::start(plays).await;
    let settings = settings(&provider).replace("\"openai\"", "\"anthropic\"");
    let house = House::new().env("A_KEY", KEY).config(&settings);
    let server = house.set("log.filter=debug,genai=trace,h2=trace").start().await;
    let mut ada = guest_at(&server).await;
    for _ in 0..2 {
        let end = end_of(&mut ada, "geheimwort").await;
        assert_eq!(end["payload"]["code"], "model_failed", "{end}");
    }
    server.logged("it does not accept the key").await;
    let log = server.log();
    for secret in ["canary", "geheimwort"] {
        assert!(!log.contains(secret), "{secret} in {log}");
    }
}

#[tokio::test]
async fn stopping_a_run_closes_its_providers_connection() {
    let half = vec![
        head("text/event-stream"),
        events(&[delta(json!({"content": "Half"})).to_string()]),
        Step::Wait,
    ];
    let mut provider = Scripted::start(vec![half; TRIES]).await;
    let server = house(&provider).start().await;
    let mut ada = guest_at(&server).await;
    let mut times = Vec::new();
    for _ in 0..TRIES {
        ada.say("go on").await;
        ada.until("partial_result").await;
        let stopped = Instant::now();
        ada.send(json!({"type": "stop_agent", "payload": {}})).await;
        times.push(provider.closed().await - stopped);
        let end = ada.run_to_end().await.pop().unwrap();
        assert_eq!(
            (&end["type"], &end["payload"]["stopped_by"]),
            (&json!("agent_stopped"), &json!("user"))
        );
    }
    assert!(times.iter().min() < Some(&CLOSED_WITHIN), "{times:?}");
}

#[tokio::test]
async fn where_a_model_is_unavailable_the_next_one_answers_and_where_it_refuses_nobody() {
    let mut provider = Scripted::start([status(503, &[], ""), status(503, &[], ""), status(400, &[], "")]).await;
    let chain = "[agents.models]\nassistant = [\"fast\", \"offline\"]\n";
    let house = House::new().env("A_KEY", KEY).config(&(settings(&provider) + chain));
    let server = house.start().await;
    let mut ada = guest_at(&server).await;
    // Two steps, the second with the tool's result: each asks anew.
    let end = end_of(&mut ada, "What is 12 * 7?").await;
    assert!(
        end["payload"]["result"]
            .as_str()
            .is_some_and(|said| said.contains("84")),
        "{end}"
    );
    let end = end_of(&mut ada, "What is 12 * 7?").await;
    assert_eq!(
        (&end["type"], &end["payload"]["code"]),
        (&json!("agent_error"), &json!("model_failed"))
    );
    assert_eq!(provider.asked_more(), 3);
    server.logged("the next is asked").await;
}

#[tokio::test]
async fn a_model_of_no_name_and_an_agent_of_no_name_are_told() {
    for (setting, word) in [
        ("models.default=fats", "no model is named \\\"fats\\\""),
        ("agents.models.assistant=fats", "no model is named \\\"fats\\\""),
        ("agents.models.nobody=offline", "`nobody`"),
        ("models.named.fast.modle=x", "models.named.fast.model"),
    ] {
        let refused = House::new().set(setting).refusal();
        assert!(
            refused.replace("\\\"", "\"").contains(&word.replace("\\\"", "\"")),
            "{setting}: {refused}"
        );
    }
}
