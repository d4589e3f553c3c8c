//! The language models' part of the configuration: what holds for all of them, and what each named one says for itself.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use reqwest::Url;
use rust_decimal::Decimal;
use serde::Deserialize;

use super::text;

/// Names that the models which are built in have.
const TAKEN: [&str; 2] = ["offline", "scripted"];

/// The longest name of a model, in bytes: it stands in every line of the log that tells of it.
const NAME_BYTES: usize = 64;

/// The language models.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Models {
    /// The model that agents ask which have none of their own.
    pub default: String,
    /// How long a connection may take to be made.
    #[serde(with = "humantime_serde")]
    pub connect_timeout: Duration,
    /// How long a model may take to begin its answer.
    #[serde(with = "humantime_serde")]
    pub first_token_timeout: Duration,
    /// How long a model may pause within its answer.
    #[serde(with = "humantime_serde")]
    pub stall_timeout: Duration,
    /// How often a model is asked again that was unavailable.
    pub retries: u32,
    /// Requests to one model at once.
    pub concurrency: usize,
    /// A file with the scripted model's answers; none: those that are built in.
    #[serde(deserialize_with = "text::optional_path")]
    pub scripted_file: Option<PathBuf>,
    /// The models over the network, by name.
    #[serde(default)]
    pub named: BTreeMap<String, NamedModel>,
}

/// One model over the network. What it leaves out, [`Models`] says for it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NamedModel {
    /// Whose protocol it speaks. Always there after the configuration was checked.
    #[serde(deserialize_with = "text::optional_choice")]
    pub provider: Option<Provider>,
    /// Its name at the provider. Always there after the configuration was checked.
    #[serde(deserialize_with = "text::optional")]
    pub model: Option<String>,
    /// Where it is; none: the provider's own address.
    #[serde(deserialize_with = "text::optional")]
    pub base_url: Option<String>,
    /// The environment variable that holds the key.
    #[serde(deserialize_with = "text::optional")]
    pub api_key_env: Option<String>,
    /// The file that holds the key.
    #[serde(deserialize_with = "text::optional_path")]
    pub api_key_file: Option<PathBuf>,
    /// Instead of [`Models::connect_timeout`].
    #[serde(with = "humantime_serde")]
    pub connect_timeout: Option<Duration>,
    /// Instead of [`Models::first_token_timeout`].
    #[serde(with = "humantime_serde")]
    pub first_token_timeout: Option<Duration>,
    /// Instead of [`Models::stall_timeout`].
    #[serde(with = "humantime_serde")]
    pub stall_timeout: Option<Duration>,
    /// Instead of [`Models::retries`].
    pub retries: Option<u32>,
    /// Instead of [`Models::concurrency`].
    pub concurrency: Option<usize>,
    /// What a million tokens cost that it reads, in US dollars; none: nothing is counted.
    #[serde(deserialize_with = "text::optional_price")]
    pub input_usd_per_million: Option<Decimal>,
    /// What a million tokens cost that it writes, in US dollars; none: nothing is counted.
    #[serde(deserialize_with = "text::optional_price")]
    pub output_usd_per_million: Option<Decimal>,
}

/// Whose protocol a model speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Provider {
    /// OpenAI's chat completions, which many servers speak.
    #[value(name = "openai")]
    OpenAi,
    /// Anthropic's messages.
    Anthropic,
    /// Google's Gemini.
    Gemini,
    /// Ollama's own protocol.
    Ollama,
}

impl Provider {
    /// The environment variable in which a key for the provider's own address usually stands; none where it wants no key.
    #[must_use]
    pub const fn usual_key(self) -> Option<&'static str> {
        match self {
            Self::OpenAi => Some("OPENAI_API_KEY"),
            Self::Anthropic => Some("ANTHROPIC_API_KEY"),
            Self::Gemini => Some("GEMINI_API_KEY"),
            Self::Ollama => None,
        }
    }
}

impl NamedModel {
    /// What can't be used, each with the field at fault and what to write instead.
    pub(super) fn faults(&self, name: &str) -> Vec<(&'static str, String)> {
        let mut faults = Vec::new();
        if !is_name(name) {
            let problem = format!(
                "a model's name begins with a letter and has small letters, digits, - and _ only, at most {NAME_BYTES}: rename it"
            );
            faults.push(("provider", problem));
        } else if TAKEN.contains(&name) {
            faults.push((
                "provider",
                "a model that is built in has this name: choose another".to_owned(),
            ));
        }
        if self.provider.is_none() {
            let problem = "it is missing: write \"openai\", \"anthropic\", \"gemini\" or \"ollama\"";
            faults.push(("provider", problem.to_owned()));
        }
        if self.model.is_none() {
            let problem = "it is missing: write the name that the provider has for the model";
            faults.push(("model", problem.to_owned()));
        }
        if let Some(fault) = self.base_url.as_deref().and_then(address_fault) {
            faults.push(("base_url", fault.to_owned()));
        }
        if self
            .api_key_env
            .as_deref()
            .is_some_and(|variable| !is_variable(variable))
        {
            // Not quoted: it may be the key itself, in the wrong place.
            let problem = "it is no name of an environment variable such as \"OPENAI_API_KEY\": name the variable that holds \
                           the key, in capital letters, digits and _; never write the key itself here";
            faults.push(("api_key_env", problem.to_owned()));
        }
        if self.api_key_env.is_some() && self.api_key_file.is_some() {
            faults.push(("api_key_file", "api_key_env is set too: set one of the two".to_owned()));
        }
        faults
    }

    /// The fields that are zero and must not be.
    pub(super) fn zeros(&self) -> impl Iterator<Item = &'static str> {
        let is_zero = |time: Option<Duration>| time == Some(Duration::ZERO);
        let fields = [
            ("connect_timeout", is_zero(self.connect_timeout)),
            ("first_token_timeout", is_zero(self.first_token_timeout)),
            ("stall_timeout", is_zero(self.stall_timeout)),
            ("concurrency", self.concurrency == Some(0)),
        ];
        fields.into_iter().filter_map(|(field, zero)| zero.then_some(field))
    }
}

/// What is wrong with an address. It is not quoted: it may hold a password.
fn address_fault(text: &str) -> Option<&'static str> {
    let Ok(url) = text.parse::<Url>() else {
        return Some("it is no address such as \"https://models.example.org/v1\"");
    };
    if !matches!(url.scheme(), "http" | "https") {
        return Some("it must begin with https:// or http://");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Some("it holds a password: put the key where api_key_env or api_key_file says");
    }
    (url.query().is_some() || url.fragment().is_some())
        .then_some("it has a query or a fragment: leave out what follows ? and #")
}

fn is_name(name: &str) -> bool {
    name.len() <= NAME_BYTES
        && name.starts_with(|letter: char| letter.is_ascii_lowercase())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_'))
}

fn is_variable(name: &str) -> bool {
    name.starts_with(|letter: char| letter.is_ascii_uppercase() || letter == '_')
        && name
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
}

#[cfg(test)]
mod tests;
