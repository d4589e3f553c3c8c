//! Models over the network: OpenAI-compatible servers, Anthropic, Gemini, Ollama.
//!
//! A request and its stream live in a task of the io runtime; the pieces reach the run, on its shard, through a bounded channel.
//! Whoever drops the stream ends the task, and with it the connection. `answer` gathers what a model says, within bounds;
//! `fault` judges what goes wrong; `patience` keeps the time; `openai` and `native` speak to the providers.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use sessile_actors::infra::Model;
use sessile_actors::infra::model::{ModelError, ModelRequest, ModelStream};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;
use tracing::debug;

use crate::config::{Models, NamedModel, Provider};

mod answer;
mod fault;
pub mod key;
mod native;
mod openai;
mod patience;
mod price;
mod teller;

use fault::Fault;
use key::KeyError;
use native::Native;
use openai::OpenAi;
use patience::Patience;
use price::Price;
use teller::Teller;

/// Pieces of an answer on their way to the run. Beyond: the provider is not read.
const PIECES_WAITING: usize = 32;

/// Connections to one model that are kept for the next request, though nobody uses them now.
const IDLE_CONNECTIONS: usize = 8;

/// A model over the network can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// Its key can't be had.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// No client for HTTP can be built.
    #[error("the model `{name}` can't be set up, for TLS can't be: check the certificates of this machine")]
    Client {
        /// The model.
        name: String,
        /// What the client said.
        #[source]
        source: reqwest::Error,
    },
}

/// One model at one provider.
pub struct NetworkModel {
    asker: Arc<Asker>,
    io: Handle,
}

/// What a request needs, shared by all of them.
struct Asker {
    name: String,
    wire: Wire,
    timeouts: Timeouts,
    retries: u32,
    price: Price,
    places: Semaphore,
}

/// How long things may take.
#[derive(Debug, Clone, Copy)]
struct Timeouts {
    connect: Duration,
    first_piece: Duration,
    stall: Duration,
}

/// How a provider is spoken to.
enum Wire {
    OpenAi(OpenAi),
    Native(Native),
}

impl NetworkModel {
    /// Sets a model up; nothing is asked yet. `variable` reads the environment.
    ///
    /// # Errors
    /// [`NetworkError`]: its key can't be had, or TLS can't be set up.
    pub fn new(
        name: &str,
        named: &NamedModel,
        all: &Models,
        io: &Handle,
        variable: key::Variables<'_>,
    ) -> Result<Self, NetworkError> {
        let key = key::find(name, named, variable)?;
        let timeouts = Timeouts {
            connect: named.connect_timeout.unwrap_or(all.connect_timeout),
            first_piece: named.first_token_timeout.unwrap_or(all.first_token_timeout),
            stall: named.stall_timeout.unwrap_or(all.stall_timeout),
        };
        let base_url = named.base_url.as_deref();
        let client = client(timeouts, base_url).map_err(|source| NetworkError::Client {
            name: name.to_owned(),
            source,
        })?;
        let model = named.model.clone().unwrap_or_default();
        let wire = match named.provider {
            Some(Provider::Anthropic) => Wire::Native(Native::anthropic(client, model, base_url, key)),
            Some(Provider::Gemini) => Wire::Native(Native::gemini(client, model, base_url, key)),
            Some(Provider::Ollama) => Wire::Native(Native::ollama(client, model, base_url)),
            // A configuration without a provider was refused before.
            Some(Provider::OpenAi) | None => Wire::OpenAi(OpenAi::new(client, model, base_url, key)),
        };
        Ok(Self {
            asker: Arc::new(Asker {
                name: name.to_owned(),
                wire,
                timeouts,
                retries: named.retries.unwrap_or(all.retries),
                price: Price::of(named),
                places: Semaphore::new(named.concurrency.unwrap_or(all.concurrency).min(Semaphore::MAX_PERMITS)),
            }),
            io: io.clone(),
        })
    }
}

fn client(timeouts: Timeouts, base_url: Option<&str>) -> reqwest::Result<reqwest::Client> {
    let builder = reqwest::Client::builder()
        .user_agent(concat!("sessile/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(timeouts.connect)
        .pool_max_idle_per_host(IDLE_CONNECTIONS)
        // A redirect would carry the conversation to an address that nobody configured.
        .redirect(reqwest::redirect::Policy::none());
    // What runs on this machine is not behind the proxy of its network.
    let builder = if base_url.is_some_and(is_loopback) {
        builder.no_proxy()
    } else {
        builder
    };
    builder.build()
}

fn is_loopback(url: &str) -> bool {
    let url = url.parse::<reqwest::Url>().ok();
    let host = url.as_ref().and_then(reqwest::Url::host_str);
    host.is_some_and(|host| {
        let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    })
}

#[async_trait]
impl Model for NetworkModel {
    fn name(&self) -> &str {
        &self.asker.name
    }

    async fn stream(&self, request: ModelRequest) -> Result<ModelStream, ModelError> {
        let (pieces, told) = mpsc::channel(PIECES_WAITING);
        let asker = Arc::clone(&self.asker);
        let task = AbortOnDropHandle::new(self.io.spawn(async move { asker.answer(&request, pieces).await }));
        // The task goes with the stream: whoever drops the one ends the other.
        let stream = stream::unfold((told, task), |(mut told, task)| async move {
            let piece = told.recv().await?;
            Some((piece, (told, task)))
        });
        Ok(stream.boxed())
    }
}

impl Asker {
    /// Asks until there is an answer, or no hope of one.
    async fn answer(&self, request: &ModelRequest, pieces: teller::Pieces) {
        let mut teller = Teller::new(pieces);
        let Ok(place) = timeout(self.timeouts.first_piece, self.places.acquire()).await else {
            let fault = "too many requests to it are under way; raise models.concurrency";
            return teller.fail(ModelError::Unavailable(fault.to_owned())).await;
        };
        let mut attempt = 0;
        let fault = loop {
            let Err(fault) = self.ask(request, &mut teller).await else {
                return;
            };
            let wait = fault
                .wait(attempt)
                .filter(|_| attempt < self.retries && !teller.has_told());
            let Some(wait) = wait else {
                break fault;
            };
            attempt += 1;
            debug!(model = self.name, fault = %fault.error, ?wait, attempt, "a model is asked again");
            sleep(wait).await;
        };
        drop(place);
        teller.fail(fault.error).await;
    }

    async fn ask(&self, request: &ModelRequest, teller: &mut Teller) -> Result<(), Fault> {
        let mut patience = Patience::begin(self.timeouts);
        let answer = match &self.wire {
            Wire::OpenAi(wire) => wire.ask(request, teller, &mut patience).await?,
            Wire::Native(wire) => wire.ask(request, teller, &mut patience).await?,
        };
        teller.end(answer, &self.price).await
    }
}

/// A tool's result as a model reads it.
fn result(content: &Value, is_error: bool) -> String {
    match content {
        content if is_error => json!({"error": content}).to_string(),
        Value::String(text) => text.clone(),
        content => content.to_string(),
    }
}
