//! OpenAI's chat completions, as OpenAI and many other servers speak them.
//!
//! This stream is read here, and not by genai as those of the other providers (0.7.2): genai holds an event of any size in
//! memory, loses calls without an `index`, has no end for a stream without `[DONE]`, and reads error bodies without a bound.
//! Whoever runs a server of this kind runs it in a way of its own.

use std::time::Duration;

use futures_util::StreamExt;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use sessile_actors::infra::model::ModelRequest;
use tokio::time::{Instant, timeout, timeout_at};

use super::answer::Answer;
use super::fault::Fault;
use super::patience::Patience;
use super::teller::Teller;

mod chunk;
mod events;
mod request;

use chunk::Chunk;
use events::Events;

/// OpenAI's own address.
const BASE_URL: &str = "https://api.openai.com/v1";

/// How long the usage may come after the answer where the stream is not ended. Beyond: the answer is whole without it.
const TRAILER: Duration = Duration::from_secs(2);

/// How long the stream may take to end after it has said so. Beyond: its connection is closed.
const CLOSING: Duration = Duration::from_millis(100);

/// One model of one server.
pub(super) struct OpenAi {
    client: reqwest::Client,
    url: String,
    model: String,
    key: Option<SecretString>,
}

impl OpenAi {
    pub(super) fn new(
        client: reqwest::Client,
        model: String,
        base_url: Option<&str>,
        key: Option<SecretString>,
    ) -> Self {
        let base_url = base_url.unwrap_or(BASE_URL).trim_end_matches('/');
        Self {
            client,
            url: format!("{base_url}/chat/completions"),
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
        let of_transport = |error: reqwest::Error| Fault::of_transport(&error, patience.connect());
        let response = patience.wait(self.post(request).send()).await?.map_err(of_transport)?;
        if !response.status().is_success() {
            // Unread: it is of any size, and nobody may be told what it says.
            return Err(Fault::of_status(response.status(), response.headers()));
        }
        let mut events = Events::new(is_json(&response));
        let mut bytes = response.bytes_stream();
        let mut answer = Answer::default();
        // One moment for all that comes after the answer: a server may go on for ever, a little at a time.
        let mut finished: Option<Instant> = None;
        loop {
            let next = match finished {
                Some(at) => timeout_at(at + TRAILER, bytes.next()).await.unwrap_or(None),
                None => patience.wait(bytes.next()).await?,
            };
            let told = match next {
                Some(Ok(bytes)) => events.push(&bytes)?,
                // What comes after the answer is of no use but for the usage.
                Some(Err(_)) | None if finished.is_some() => return Ok(answer),
                Some(Err(error)) => return Err(Fault::of_transport(&error, patience.connect())),
                None => {
                    let told = events.end()?;
                    if told.is_empty() {
                        return Err(Fault::cut());
                    }
                    told
                }
            };
            for data in told {
                match Chunk::read(&data)? {
                    Chunk::Done => {
                        // Read to its end, the connection can serve the next request.
                        let _ = timeout(CLOSING, bytes.next()).await;
                        return Ok(answer);
                    }
                    Chunk::Said(said) => {
                        if said.tell(&mut answer, teller, patience).await? {
                            finished.get_or_insert_with(Instant::now);
                        }
                    }
                }
            }
        }
    }

    fn post(&self, request: &ModelRequest) -> reqwest::RequestBuilder {
        let post = self.client.post(&self.url).header(CONTENT_TYPE, "application/json");
        let post = match self.key.as_ref().map(bearer) {
            Some(Ok(key)) => post.header(AUTHORIZATION, key),
            // Visible ASCII, as a key was checked to be, is a header's value.
            Some(Err(_)) | None => post,
        };
        post.body(request::body(&self.model, request).to_string())
    }
}

fn bearer(key: &SecretString) -> Result<HeaderValue, reqwest::header::InvalidHeaderValue> {
    let mut value = HeaderValue::try_from(format!("Bearer {}", key.expose_secret()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Whether the server answers in one piece, whatever it was asked.
fn is_json(response: &reqwest::Response) -> bool {
    let kind = response.headers().get(CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"))
}
