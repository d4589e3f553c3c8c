//! What the operator may set, in one value, made once at start and frozen.
//!
//! `config/default.toml` is the only place where a default stands; it is embedded in the binary. Above it, each layer over the
//! one before: the file of `--config`, the environment (`SESSILE__SECTION__KEY`), the flags. A key that nobody knows is refused,
//! whichever layer brought it: a misspelt limit must not be a limit that is silently absent.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use secrecy::SecretString;
use serde::Deserialize;
use sessile_actors::budgets::Budgets;
use sessile_actors::limits::Limits;

mod effective;
mod error;
mod kind;
mod layers;
mod models;
mod open;
mod text;
mod tools;
mod validate;

pub use effective::Effective;
pub use error::ConfigError;
pub use models::{Models, NamedModel, Provider};
pub use tools::{HttpFetch, Tools};

/// Where the settings come from, lowest layer first. The defaults lie below all of them.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The file of `--config`.
    pub file: Option<PathBuf>,
    /// The environment; variables that don't begin with `SESSILE__` are ignored.
    pub env: Vec<(OsString, OsString)>,
    /// The flags, in the order in which they were given: the last one wins.
    pub flags: Vec<Flag>,
}

impl Sources {
    /// This process's environment, and nothing else.
    #[must_use]
    pub fn environment() -> Self {
        Self {
            env: std::env::vars_os().collect(),
            ..Self::default()
        }
    }

    /// Sets a key, dotted as in `server.listen`, over all that lies below.
    #[must_use]
    pub fn set(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.flags.push(Flag {
            name: "a setting of the program",
            key: key.into(),
            value: value.into(),
        });
        self
    }

    /// Says which layers there are, for people: "the defaults, the file sessile.toml, 1 environment variable, 2 flags".
    #[must_use]
    pub fn summary(&self) -> String {
        let ours = |(name, _): &&(OsString, OsString)| name.to_string_lossy().starts_with(layers::ENV_PREFIX);
        let many = |count: usize, what: &str| match count {
            0 => None,
            1 => Some(format!("1 {what}")),
            _ => Some(format!("{count} {what}s")),
        };
        let parts = [
            Some(layers::DEFAULTS_NAME.to_owned()),
            self.file.as_ref().map(|file| format!("the file {}", file.display())),
            many(self.env.iter().filter(ours).count(), "environment variable"),
            many(self.flags.len(), "flag"),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

/// One setting of the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flag {
    /// How the operator wrote it, for messages: `--listen`.
    pub name: &'static str,
    /// The key it sets, dotted: `server.listen`.
    pub key: String,
    /// The value as text.
    pub value: String,
}

/// The whole configuration. `config/default.toml` explains each key.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The listener and who may talk to it.
    pub server: Server,
    /// Where everything that outlives the process is kept.
    pub data_dir: PathBuf,
    /// The event journal.
    pub journal: Journal,
    /// Who users are.
    pub auth: Auth,
    /// Which agents answer, and how long they may go on.
    pub agents: Agents,
    /// The language models.
    pub models: Models,
    /// What models cost and can do.
    pub supply: Supply,
    /// Tools that reach out of the process.
    pub tools: Tools,
    /// What is logged, and how.
    pub log: Log,
    /// The runtime's bounds.
    pub limits: Limits,
    /// What runs, sessions and users may use in all.
    pub budgets: Budgets,
}

/// The listener and who may talk to it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// The address to listen on.
    #[serde(deserialize_with = "text::address")]
    pub listen: SocketAddr,
    /// Host names that clients use, besides loopback names and the listen address.
    pub public_hosts: Vec<String>,
    /// The address that browsers see, where a proxy ends TLS in front of us.
    #[serde(deserialize_with = "text::optional")]
    pub public_url: Option<String>,
    /// Origins of pages, besides our own, that may open sessions.
    pub allowed_origins: Vec<String>,
    /// Whether credentials may cross the network without TLS.
    pub allow_plain_text: bool,
    /// Threads that run sessions; none: one per core.
    #[serde(deserialize_with = "text::count_or_auto")]
    pub shards: Option<usize>,
    /// HTTP connections at once; sockets of sessions count no more.
    pub max_connections: usize,
    /// How long a client may take to send the head of a request.
    #[serde(with = "humantime_serde")]
    pub request_timeout: Duration,
    /// The directory of the page to serve; none: the page that is built in.
    #[serde(deserialize_with = "text::optional_path")]
    pub web_dir: Option<PathBuf>,
}

/// The event journal.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Journal {
    /// Where events are kept.
    #[serde(deserialize_with = "text::choice")]
    pub kind: JournalKind,
}

/// Where events are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum JournalKind {
    /// In memory: lost with the process.
    Memory,
    /// In a SQLite file in the data directory.
    Sqlite,
}

/// Who users are.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    /// How a user proves who they are.
    #[serde(deserialize_with = "text::choice")]
    pub mode: AuthMode,
    /// What `iss` of a token must be.
    #[serde(deserialize_with = "text::optional")]
    pub issuer: Option<String>,
    /// What `aud` of a token must contain.
    #[serde(deserialize_with = "text::optional")]
    pub audience: Option<String>,
    /// The keys that tokens may be signed with.
    pub keys: Vec<Key>,
    /// How far the token issuer's clock may be off.
    #[serde(with = "humantime_serde")]
    pub leeway: Duration,
    /// How long a guest is remembered.
    #[serde(with = "humantime_serde")]
    pub guest_ttl: Duration,
    /// The claim of a token that holds its user's roles; none: tokens give none.
    #[serde(deserialize_with = "text::optional")]
    pub roles_claim: Option<String>,
    /// The roles of every guest.
    pub guest_roles: Vec<String>,
    /// How long a ticket can be redeemed.
    #[serde(with = "humantime_serde")]
    pub ticket_ttl: Duration,
    /// Tickets that wait to be redeemed, over all users.
    pub tickets: usize,
}

/// How a user proves who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AuthMode {
    /// They don't: everybody is a guest, known by a cookie.
    Guest,
    /// By a JWT that one of `auth.keys` signed.
    Jwt,
}

/// A key that tokens may be signed with. It is good for its own algorithm only.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// The name by which a token's header picks it.
    pub kid: Option<String>,
    /// What it signs with.
    #[serde(deserialize_with = "text::choice")]
    pub algorithm: KeyAlgorithm,
    /// The shared secret itself (HS256).
    pub secret: Option<SecretString>,
    /// A file that holds the shared secret (HS256).
    pub secret_file: Option<PathBuf>,
    /// A PEM file that holds the public key (RS256, ES256).
    pub public_key_file: Option<PathBuf>,
}

/// The algorithms that a token may be signed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "verbatim")]
pub enum KeyAlgorithm {
    /// HMAC with SHA-256 and a shared secret.
    HS256,
    /// RSA PKCS#1 v1.5 with SHA-256.
    RS256,
    /// ECDSA on P-256 with SHA-256.
    ES256,
}

/// Which agents answer, and how long they may go on.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agents {
    /// The agent that answers where a message names none.
    pub default: String,
    /// Model calls of one run.
    pub step_limit: u32,
    /// A file with the workflows that agents follow; none: those that are built in.
    #[serde(deserialize_with = "text::optional_path")]
    pub workflows_file: Option<PathBuf>,
    /// The models of agents that don't ask the default one: the first, and what is asked where it is unavailable.
    #[serde(default)]
    pub models: BTreeMap<String, Vec<String>>,
}

/// What models cost and can do.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Supply {
    /// A file with the catalogue; none: the one that is built in.
    #[serde(deserialize_with = "text::optional_path")]
    pub file: Option<PathBuf>,
}

/// What is logged, and how.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// The shape of a line.
    #[serde(deserialize_with = "text::choice")]
    pub format: LogFormat,
    /// Which lines: directives of tracing's `EnvFilter`.
    pub filter: String,
}

/// The shape of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Pretty on a terminal, else JSON.
    Auto,
    /// For a person.
    Pretty,
    /// For a machine.
    Json,
}

impl Config {
    /// Puts the layers together and checks the result.
    ///
    /// # Errors
    /// Each [`ConfigError`] names the layer and the key, and says what to set instead.
    pub fn load(sources: &Sources) -> Result<Self, ConfigError> {
        let loaded = Self::load_with_origins(sources);
        loaded.map(|(config, _)| config).map_err(|mut faults| faults.remove(0))
    }

    /// The same, with every key's value and where it came from.
    ///
    /// # Errors
    /// Everything that is wrong, in the order in which it was found: at least one.
    pub fn load_with_origins(sources: &Sources) -> Result<(Self, Vec<Effective>), Vec<ConfigError>> {
        let mut faults = Vec::new();
        let mut layers = layers::gather(sources, &mut faults);
        let config = layers.merge(&mut faults);
        if let Some(config) = &config {
            validate::check(config, &layers, &mut faults);
        }
        match config {
            Some(config) if faults.is_empty() => Ok((config, effective::list(&layers))),
            _ => Err(faults),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::load(&Sources::default()).expect("the embedded defaults load: a test of this file proves it")
    }
}

#[cfg(test)]
mod tests;
