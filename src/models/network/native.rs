//! Providers with protocols of their own, by way of genai: Anthropic, Gemini, Ollama.
//!
//! genai writes the request and reads the stream. What it does not do is done here: time, bounds, and what an end without a
//! reason means. An event is judged after genai has put it together; until then only the time bounds it.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures_util::{Stream, StreamExt};
use genai::adapter::AdapterKind;
use genai::chat::{ChatFrameSink, ChatOptions, ChatStreamEvent, FrameCtx, RawFrameRef, StopReason, StreamEnd};
use genai::resolver::{AuthData, Endpoint};
use genai::{Client, ModelIden, ServiceTarget};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use sessile_actors::infra::model::{ModelError, ModelPiece, ModelRequest};

use super::answer::{Answer, CallPart};
use super::fault::Fault;
use super::patience::Patience;
use super::teller::Teller;

mod request;

/// The largest event of a stream, in bytes. Beyond: the stream is broken.
const EVENT_BYTES: usize = 1024 * 1024;

/// The largest stream, in bytes, its form included. Beyond: it is broken.
const STREAM_BYTES: usize = 32 * 1024 * 1024;

/// One model of one provider.
pub(super) struct Native {
    client: Client,
    kind: AdapterKind,
    base_url: String,
    model: String,
    key: Option<SecretString>,
}

impl Native {
    pub(super) fn anthropic(
        client: reqwest::Client,
        model: String,
        base_url: Option<&str>,
        key: Option<SecretString>,
    ) -> Self {
        let base_url = base_url.unwrap_or("https://api.anthropic.com/v1");
        Self::new(client, AdapterKind::Anthropic, model, base_url, key)
    }

    pub(super) fn gemini(
        client: reqwest::Client,
        model: String,
        base_url: Option<&str>,
        key: Option<SecretString>,
    ) -> Self {
        let base_url = base_url.unwrap_or("https://generativelanguage.googleapis.com/v1beta");
        Self::new(client, AdapterKind::Gemini, model, base_url, key)
    }

    pub(super) fn ollama(client: reqwest::Client, model: String, base_url: Option<&str>) -> Self {
        let base_url = base_url.unwrap_or("http://localhost:11434");
        Self::new(client, AdapterKind::Ollama, model, base_url, None)
    }

    fn new(
        client: reqwest::Client,
        kind: AdapterKind,
        model: String,
        base_url: &str,
        key: Option<SecretString>,
    ) -> Self {
        let client = Client::builder().with_reqwest(client).build();
        Self {
            client: client.expect("genai builds nothing where the HTTP client is given"),
            kind,
            // genai puts its paths right behind it.
            base_url: format!("{}/", base_url.trim_end_matches('/')),
            model,
            key,
        }
    }

    /// Asks once, and passes on what is said as it is said.
    pub(super) async fn ask(
        &self,
        request: &ModelRequest,
        teller: &mut Teller,
        patience: &mut Patience,
    ) -> Result<Answer, Fault> {
        let gauge = Arc::new(Gauge::default());
        let options = ChatOptions::default()
            .with_capture_usage(true)
            .with_capture_tool_calls(true)
            .with_raw_frame_sink_arc(Arc::clone(&gauge) as Arc<dyn ChatFrameSink>);
        let asked = self
            .client
            .exec_chat_stream(self.target(), request::chat(request), Some(&options));
        let of_genai = |error: genai::Error| judged(&error, patience);
        let mut events = asked.await.map_err(of_genai)?.stream;
        let mut answer = Answer::default();
        loop {
            let event = patience.wait(within(&mut events, &gauge)).await??;
            match event.transpose().map_err(|error| judged(&error, patience))? {
                Some(ChatStreamEvent::Chunk(said)) => {
                    answer.count(&said.content)?;
                    patience.renew();
                    if !said.content.is_empty() {
                        teller.tell(ModelPiece::Text(said.content)).await?;
                    }
                }
                Some(ChatStreamEvent::ReasoningChunk(thought)) => {
                    answer.count(&thought.content)?;
                    patience.renew();
                    if !thought.content.is_empty() {
                        teller.tell(ModelPiece::Reasoning(thought.content)).await?;
                    }
                }
                // A call is taken whole from the end; its parts only show that the model goes on.
                Some(ChatStreamEvent::ToolCallChunk(_) | ChatStreamEvent::ThoughtSignatureChunk(_)) => patience.renew(),
                Some(ChatStreamEvent::Start | ChatStreamEvent::Heartbeat) => {}
                Some(ChatStreamEvent::End(end)) if self.is_cut(&end) => return Err(Fault::cut()),
                Some(ChatStreamEvent::End(end)) => return ended(answer, end, teller),
                None => return Err(Fault::cut()),
            }
        }
    }

    /// Whether an end is none: genai ends a stream of Gemini or Ollama that was cut just as one that was not.
    fn is_cut(&self, end: &StreamEnd) -> bool {
        match self.kind {
            // Its last event says why it ends.
            AdapterKind::Gemini => end.captured_stop_reason.is_none(),
            // An older server does not say why, but counts.
            AdapterKind::Ollama => end.captured_stop_reason.is_none() && end.captured_usage.is_none(),
            _ => false,
        }
    }

    fn target(&self) -> ServiceTarget {
        let key = self.key.as_ref().map(|key| key.expose_secret().to_owned());
        ServiceTarget {
            endpoint: Endpoint::from_owned(self.base_url.as_str()),
            // genai asks for a key, though a server of one's own may not.
            auth: AuthData::from_single(key.unwrap_or_default()),
            model: ModelIden::new(self.kind, self.model.as_str()),
        }
    }
}

/// The next event, unless the stream has grown beyond its bounds on the way to it.
async fn within<S>(events: &mut S, gauge: &Gauge) -> Result<Option<S::Item>, Fault>
where
    S: Stream + Unpin,
{
    poll_fn(|context| {
        let next = events.poll_next_unpin(context);
        if gauge.is_over() {
            return std::task::Poll::Ready(Err(Fault::nonsense(
                "an event of its stream, or all of it, is too large",
            )));
        }
        next.map(Ok)
    })
    .await
}

/// Measures a stream as genai reads it.
#[derive(Default)]
struct Gauge {
    bytes: AtomicUsize,
    has_giant: AtomicBool,
}

impl ChatFrameSink for Gauge {
    fn on_frame(&self, _: &FrameCtx, frame: RawFrameRef<'_>) {
        self.bytes.fetch_add(frame.data.len(), Ordering::Relaxed);
        if frame.data.len() > EVENT_BYTES {
            self.has_giant.store(true, Ordering::Relaxed);
        }
    }
}

impl Gauge {
    fn is_over(&self) -> bool {
        self.has_giant.load(Ordering::Relaxed) || self.bytes.load(Ordering::Relaxed) > STREAM_BYTES
    }
}

/// The answer with what its end brings.
fn ended(mut answer: Answer, end: StreamEnd, teller: &Teller) -> Result<Answer, Fault> {
    if matches!(end.captured_stop_reason, Some(StopReason::ContentFilter(_))) && !teller.has_told() {
        let why = "its provider's filter stopped the answer";
        return Err(Fault::last(ModelError::Refused(why.to_owned())));
    }
    if let Some(usage) = &end.captured_usage {
        let tokens = |count: Option<i32>| count.and_then(|count| u64::try_from(count).ok()).unwrap_or_default();
        answer.input_tokens = tokens(usage.prompt_tokens);
        answer.output_tokens = tokens(usage.completion_tokens);
    }
    for (index, call) in (0..).zip(end.captured_into_tool_calls().unwrap_or_default()) {
        let arguments = match call.fn_arguments {
            Value::String(text) => text,
            whole => whole.to_string(),
        };
        answer.call_part(&CallPart {
            index: Some(index),
            id: &call.call_id,
            name: &call.fn_name,
            arguments: &arguments,
        })?;
    }
    Ok(answer)
}

/// What an error of genai's means. Its text is not passed on: it quotes what the provider said.
fn judged(error: &genai::Error, patience: &Patience) -> Fault {
    match error {
        genai::Error::HttpError { status, headers, .. } => Fault::of_status(*status, headers),
        // What failed on the way is wrapped in here: an answer other than 200 too.
        genai::Error::WebStream { error, .. } => {
            if let Some(inner) = error.downcast_ref::<genai::Error>() {
                judged(inner, patience)
            } else if let Some(inner) = error.downcast_ref::<reqwest::Error>() {
                Fault::of_transport(inner, patience.connect())
            } else {
                Fault::nonsense("its stream can't be read")
            }
        }
        genai::Error::ChatResponse { body, .. } => {
            let kind = body
                .pointer("/error/type")
                .or_else(|| body.get("type"))
                .and_then(Value::as_str);
            if kind == Some("rate_limit_error") {
                Fault::passing(ModelError::RateLimited { retry_after: None })
            } else {
                Fault::reported()
            }
        }
        genai::Error::StreamParse { .. } => Fault::nonsense("an event of its stream is no JSON"),
        _ => Fault::last(ModelError::Refused(
            "the request can't be written for its provider".to_owned(),
        )),
    }
}
