//! Models over the network, against a server that plays what a provider might send, and against a stand-in that others wrote.
#![cfg(feature = "llm")]

mod aimock;
mod connections;
mod failures;
mod native;
mod odd;
mod served;
mod server;

use std::ffi::OsString;
use std::time::Duration;

use futures_util::StreamExt as _;
use serde_json::{Value, json};
use sessile::config::{Config, NamedModel, Provider};
use sessile::models::network::NetworkModel;
use sessile_actors::infra::Model;
use sessile_actors::infra::model::{ChatMessage, ModelCall, ModelError, ModelPiece, ModelRequest, ModelUsage};
use tokio::runtime::Handle;

use server::Scripted;

/// The key that every model here has. It must never be seen.
const KEY: &str = "sk-canary-0123456789";

/// The time that a model has where a test waits for the end of it.
const SHORT: Duration = Duration::from_millis(150);

/// How long a provider may go on working for nobody.
const CLOSED_WITHIN: Duration = Duration::from_millis(200);

/// How often that is measured; the quickest time counts, for a busy machine is no defect.
const TRIES: usize = 5;

/// What anybody is asked, where a test is not about that.
fn question() -> ModelRequest {
    ModelRequest {
        messages: vec![ChatMessage::User("geheimwort".to_owned())],
        ..ModelRequest::default()
    }
}

/// A model at the scripted server.
fn named(server: &Scripted, provider: Provider) -> NamedModel {
    NamedModel {
        provider: Some(provider),
        model: Some("m-1".to_owned()),
        base_url: Some(server.url()),
        api_key_env: Some("A_KEY".to_owned()),
        ..NamedModel::default()
    }
}

fn model(named: &NamedModel) -> NetworkModel {
    let variable = |name: &str| (name == "A_KEY").then(|| OsString::from(KEY));
    let all = Config::default().models;
    NetworkModel::new("fast", named, &all, &Handle::current(), &variable).unwrap()
}

/// An OpenAI-compatible model at the scripted server.
fn openai(server: &Scripted) -> NetworkModel {
    model(&named(server, Provider::OpenAi))
}

/// Everything that a model says.
async fn said(model: &NetworkModel) -> Vec<Result<ModelPiece, ModelError>> {
    said_to(model, question()).await
}

async fn said_to(model: &NetworkModel, request: ModelRequest) -> Vec<Result<ModelPiece, ModelError>> {
    let stream = model.stream(request).await.unwrap();
    stream.collect().await
}

/// The words of an answer, put together.
fn words(pieces: &[Result<ModelPiece, ModelError>]) -> String {
    let texts = pieces.iter().filter_map(|piece| match piece {
        Ok(ModelPiece::Text(text)) => Some(text.as_str()),
        _ => None,
    });
    texts.collect()
}

fn calls(pieces: &[Result<ModelPiece, ModelError>]) -> Vec<ModelCall> {
    let calls = pieces.iter().filter_map(|piece| match piece {
        Ok(ModelPiece::Call(call)) => Some(call.clone()),
        _ => None,
    });
    calls.collect()
}

/// What the answer used; it must be whole.
#[track_caller]
fn usage(pieces: &[Result<ModelPiece, ModelError>]) -> ModelUsage {
    match pieces.last() {
        Some(Ok(ModelPiece::End { usage })) => *usage,
        _ => panic!("no end: {pieces:?}"),
    }
}

/// Why there is no answer, or no more of it.
#[track_caller]
fn fault(pieces: &[Result<ModelPiece, ModelError>]) -> ModelError {
    match pieces.last() {
        Some(Err(fault)) => fault.clone(),
        _ => panic!("no fault: {pieces:?}"),
    }
}

/// An event of a chat completion with this delta.
fn delta(delta: Value) -> Value {
    json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m-1",
           "choices": [{"index": 0, "delta": delta, "finish_reason": null}]})
}

/// The event that ends an answer.
fn finish(reason: &str) -> Value {
    json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m-1",
           "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
}

/// The event that counts.
fn counted(input: u64, output: u64) -> Value {
    json!({"choices": [], "usage": {"prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output}})
}

/// A whole and well-formed answer of these words.
fn answer(words: &[&str]) -> Vec<String> {
    let mut events = vec![delta(json!({"role": "assistant", "content": ""})).to_string()];
    events.extend(words.iter().map(|word| delta(json!({"content": word})).to_string()));
    events.extend([
        finish("stop").to_string(),
        counted(7, 5).to_string(),
        "[DONE]".to_owned(),
    ]);
    events
}
