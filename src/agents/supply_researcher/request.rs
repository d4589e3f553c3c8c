//! Finds out what is to be researched: of which models and providers, what of them, and where.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::names::Names;
use crate::agents::words::Words;

/// Addresses of a message that are looked at. Beyond them the rest is left alone.
const ADDRESSES: usize = 3;

/// Bytes of an address at most: a longer one is none.
const ADDRESS_BYTES: usize = 500;

/// What is researched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// What models cost.
    Pricing,
    /// What they can do.
    Capabilities,
    /// Which of them end.
    Deprecation,
    /// Which are new.
    NewModel,
    /// Whether they can be had.
    Availability,
    /// All of it, over all providers.
    MarketOverview,
}

/// Of which time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Timeframe {
    /// Now.
    Current,
    /// Whatever is newest.
    Latest,
    /// Of the last week.
    Weekly,
    /// Of the last month.
    Monthly,
}

/// The words that tell a kind. Of several with as many, the first.
const KINDS: [(Kind, &[&str]); 6] = [
    (
        Kind::Pricing,
        &[
            "price*",
            "pricing",
            "cost*",
            "expensive",
            "cheap*",
            "per million",
            "dollar*",
        ],
    ),
    (
        Kind::Capabilities,
        &[
            "capabilit*",
            "context window*",
            "vision",
            "can do",
            "support*",
            "tool calling",
            "abilit*",
        ],
    ),
    (
        Kind::Deprecation,
        &[
            "deprecat*",
            "retire*",
            "retiring",
            "sunset*",
            "shut down",
            "end of life",
            "discontinu*",
        ],
    ),
    (
        Kind::NewModel,
        &[
            "new model*",
            "newest model*",
            "latest model*",
            "just released",
            "released",
            "model updates",
        ],
    ),
    (Kind::Availability, &["availab*", "region*", "still there"]),
    (
        Kind::MarketOverview,
        &[
            "market*",
            "overview",
            "all providers",
            "every provider",
            "landscape",
            "provider comparison",
        ],
    ),
];

/// What providers are called beside their names.
const ALSO_CALLED: [(&str, &[&str]); 3] = [
    ("openai", &["open ai", "chatgpt"]),
    ("anthropic", &["claude"]),
    ("google", &["gemini"]),
];

/// An entry of the catalogue, as its tool lists it for this user.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Entry {
    /// Who sells it.
    pub provider: String,
    /// Its name.
    pub model: String,
    /// Prices of a million tokens.
    pub input_usd_per_million: String,
    pub output_usd_per_million: String,
    #[serde(default)]
    pub cached_input_usd_per_million: Option<String>,
    /// Tokens of prompt and answer together.
    pub context_window: u64,
    /// What it can do.
    pub capabilities: BTreeSet<String>,
    /// Where the price stands, and when it stood there.
    pub source: String,
    pub as_of: String,
}

impl Entry {
    /// All that the tool listed.
    pub fn all_in(listed: &Value) -> Vec<Self> {
        let models = listed["models"].as_array().into_iter().flatten();
        models.filter_map(|model| Self::deserialize(model).ok()).collect()
    }
}

/// What is to be researched.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// What of the models.
    pub research_type: Kind,
    /// Of which time.
    pub timeframe: Timeframe,
    /// Providers, in the catalogue's words.
    #[schemars(length(max = 20), inner(length(min = 1, max = 100)))]
    pub providers: Vec<String>,
    /// Models, in the catalogue's words.
    #[schemars(length(max = 20), inner(length(min = 1, max = 100)))]
    pub models: Vec<String>,
}

impl Request {
    /// Reads a message by its words.
    pub fn by_rules(message: &str, entries: &[Entry]) -> Self {
        let words = Words::of(message);
        let mut kind = (Kind::Pricing, 0);
        for (candidate, phrases) in KINDS {
            let count = words.count(phrases);
            if count > kind.1 {
                kind = (candidate, count);
            }
        }
        let names = Names::of(entries.iter().map(|entry| entry.model.as_str()));
        let mut models: Vec<String> = Vec::new();
        for line in message.lines() {
            let new = names.in_line(line).into_iter().filter(|model| !models.contains(model));
            let new: Vec<String> = new.collect();
            models.extend(new);
        }
        let mut providers: Vec<String> = Vec::new();
        for entry in entries {
            let also = ALSO_CALLED.iter().find(|(name, _)| *name == entry.provider);
            let is_named = words.have_any(&[&entry.provider.to_lowercase()])
                || (models.is_empty() && also.is_some_and(|(_, names)| words.have_any(names)));
            if is_named && !providers.contains(&entry.provider) {
                providers.push(entry.provider.clone());
            }
        }
        let timeframe = if words.have_any(&["month*", "30 days"]) {
            Timeframe::Monthly
        } else if words.have_any(&["week*", "7 days"]) {
            Timeframe::Weekly
        } else if words.have_any(&["latest", "newest", "recent*"]) {
            Timeframe::Latest
        } else {
            Timeframe::Current
        };
        Self {
            research_type: kind.0,
            timeframe,
            providers,
            models,
        }
    }

    /// Whether the catalogue has all that it names.
    ///
    /// # Errors
    /// What it does not have, for a model to mend.
    pub fn check(&self, entries: &[Entry]) -> Result<(), String> {
        let unknown_model = self
            .models
            .iter()
            .find(|name| !entries.iter().any(|entry| entry.model == **name));
        let unknown_provider = self
            .providers
            .iter()
            .find(|name| !entries.iter().any(|entry| entry.provider == **name));
        match (unknown_model, unknown_provider) {
            (Some(_), _) => Err("the catalogue has no such model; take names as it writes them".to_owned()),
            (None, Some(_)) => Err("the catalogue has no such provider; take names as it writes them".to_owned()),
            (None, None) => Ok(()),
        }
    }

    /// The entries that it is about; none where it names nothing.
    pub fn targets<'a>(&self, entries: &'a [Entry]) -> Vec<&'a Entry> {
        let is_over_all = matches!(self.research_type, Kind::MarketOverview | Kind::NewModel);
        let all = self.models.is_empty() && self.providers.is_empty() && is_over_all;
        let wanted = entries.iter().filter(|entry| {
            if self.models.is_empty() {
                all || self.providers.contains(&entry.provider)
            } else {
                self.models.contains(&entry.model)
            }
        });
        wanted.collect()
    }
}

/// The addresses in a message: only the user's own words name where to look.
pub fn addresses(message: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for word in message.split(|c: char| c.is_whitespace() || matches!(c, '<' | '>' | '"' | '`' | '(' | ')')) {
        let word = word.trim_end_matches(['.', ',', ';', ':', '!', '?', '\'']);
        let is_address = word.starts_with("https://") || word.starts_with("http://");
        let is_new = !found.iter().any(|known| known == word);
        if is_address && is_new && (9..=ADDRESS_BYTES).contains(&word.len()) && found.len() < ADDRESSES {
            found.push(word.to_owned());
        }
    }
    found
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// An entry of a provider.
    pub fn entry(provider: &str, model: &str) -> Entry {
        Entry {
            provider: provider.to_owned(),
            model: model.to_owned(),
            input_usd_per_million: "1.250000".to_owned(),
            output_usd_per_million: "10.000000".to_owned(),
            cached_input_usd_per_million: None,
            context_window: 400_000,
            capabilities: ["tools".to_owned()].into(),
            source: format!("https://{provider}.com/pricing"),
            as_of: "2026-03-21".to_owned(),
        }
    }

    fn entries() -> Vec<Entry> {
        vec![
            entry("openai", "gpt-5"),
            entry("openai", "gpt-5-mini"),
            entry("anthropic", "claude-opus-5"),
        ]
    }

    #[test]
    fn a_message_is_read_by_its_words() {
        for (message, kind, timeframe, providers, models) in [
            (
                "What does GPT-5 cost now?",
                Kind::Pricing,
                Timeframe::Current,
                vec![],
                vec!["gpt-5"],
            ),
            (
                "latest prices of openai",
                Kind::Pricing,
                Timeframe::Latest,
                vec!["openai"],
                vec![],
            ),
            (
                "Has the context window of Claude Opus 5 changed?",
                Kind::Capabilities,
                Timeframe::Current,
                vec![],
                vec!["claude-opus-5"],
            ),
            (
                "which claude models were retired this month",
                Kind::Deprecation,
                Timeframe::Monthly,
                vec!["anthropic"],
                vec![],
            ),
            (
                "any new models this week?",
                Kind::NewModel,
                Timeframe::Weekly,
                vec![],
                vec![],
            ),
            (
                "is gpt-5-mini available",
                Kind::Availability,
                Timeframe::Current,
                vec![],
                vec!["gpt-5-mini"],
            ),
            (
                "market overview",
                Kind::MarketOverview,
                Timeframe::Current,
                vec![],
                vec![],
            ),
            ("hello", Kind::Pricing, Timeframe::Current, vec![], vec![]),
        ] {
            let read = Request::by_rules(message, &entries());
            assert_eq!((read.research_type, read.timeframe), (kind, timeframe), "{message}");
            assert_eq!(
                (read.providers, read.models),
                (
                    providers.into_iter().map(str::to_owned).collect(),
                    models.into_iter().map(str::to_owned).collect()
                ),
                "{message}"
            );
        }
    }

    #[test]
    fn targets_are_the_models_that_are_named_or_all_of_the_providers() {
        let entries = entries();
        let targets = |message: &str| -> Vec<String> {
            let request = Request::by_rules(message, &entries);
            request
                .targets(&entries)
                .iter()
                .map(|entry| entry.model.clone())
                .collect()
        };
        assert_eq!(targets("price of openai gpt-5"), ["gpt-5"]);
        assert_eq!(targets("prices of openai"), ["gpt-5", "gpt-5-mini"]);
        assert_eq!(targets("market overview").len(), 3);
        assert_eq!(targets("prices please"), Vec::<String>::new());
    }

    #[test]
    fn addresses_are_taken_out_of_words() {
        let message = "see (https://a.test/x), <http://b.test/?q=1> and `https://a.test/x`. ftp://c.test https://";
        assert_eq!(addresses(message), ["https://a.test/x", "http://b.test/?q=1"]);
        assert_eq!(
            addresses(&"https://a.test/1 https://a.test/2 https://a.test/3 https://a.test/4 ".repeat(2)).len(),
            ADDRESSES
        );
    }

    #[test]
    fn a_model_may_only_name_what_the_catalogue_has() {
        let mut request = Request::by_rules("price of gpt-5", &entries());
        assert_eq!(request.check(&entries()), Ok(()));
        request.models.push("gpt-99".to_owned());
        assert!(request.check(&entries()).is_err());
    }
}
