//! What kind of value a key takes: as its default shows, but for the few that say more than a type.

use toml::Table;

/// What a key takes, as its default shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Bool,
    Count,
    CountOrAuto,
    Duration,
    Text,
    Texts,
    Counts,
    Keys,
}

impl Kind {
    pub(super) fn of(key: &str, default: &toml::Value) -> Self {
        match (key, default) {
            ("server.shards", _) => Self::CountOrAuto,
            ("auth.keys", _) => Self::Keys,
            (_, toml::Value::Boolean(_)) => Self::Bool,
            (_, toml::Value::Integer(_)) => Self::Count,
            (_, toml::Value::Array(items)) if items.iter().any(toml::Value::is_integer) => Self::Counts,
            (_, toml::Value::Array(_)) => Self::Texts,
            (_, toml::Value::String(text)) if humantime::parse_duration(text).is_ok() => Self::Duration,
            _ => Self::Text,
        }
    }

    pub(super) const fn expected(self) -> &'static str {
        match self {
            Self::Bool => "true or false",
            Self::Count => "a whole number",
            Self::CountOrAuto => "\"auto\" or a count above zero",
            Self::Duration => "a duration such as \"30s\" or \"10m\"",
            Self::Text => "a text in quotes",
            Self::Texts => "a list of texts such as [\"a\", \"b\"]",
            Self::Counts => "a list of whole numbers such as [1, 2]",
            Self::Keys => "a list of tables of texts such as [{ algorithm = \"HS256\", secret_file = \"key\" }]",
        }
    }

    /// Whether a value is of this kind.
    pub(super) fn takes(self, value: &toml::Value) -> bool {
        use toml::Value::{Array, Boolean, Integer, String, Table};
        match (self, value) {
            (Self::Bool, Boolean(_)) | (Self::Text | Self::CountOrAuto, String(_)) => true,
            (Self::Count | Self::CountOrAuto, Integer(count)) => *count >= 0,
            (Self::Duration, String(text)) => humantime::parse_duration(text).is_ok(),
            (Self::Texts, Array(items)) => items.iter().all(toml::Value::is_str),
            (Self::Counts, Array(items)) => {
                (items.iter()).all(|item| item.as_integer().is_some_and(|count| count >= 0))
            }
            (Self::Keys, Array(items)) => items
                .iter()
                .all(|item| matches!(item, Table(table) if table.values().all(toml::Value::is_str))),
            _ => false,
        }
    }

    /// Reads a value that came as bare text, from the environment or a flag.
    pub(super) fn read(self, text: &str) -> toml::Value {
        let as_text = || toml::Value::String(text.to_owned());
        match self {
            Self::Text | Self::Duration | Self::CountOrAuto => as_text(),
            Self::Bool => text.parse().map_or_else(|_| as_text(), toml::Value::Boolean),
            Self::Count => text.parse().map_or_else(|_| as_text(), toml::Value::Integer),
            Self::Texts if !text.trim_start().starts_with('[') => {
                let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
                toml::Value::Array(items.map(|item| toml::Value::String(item.to_owned())).collect())
            }
            Self::Counts if !text.trim_start().starts_with('[') => {
                let items: Result<Vec<i64>, _> = text.split(',').map(|item| item.trim().parse()).collect();
                items.map_or_else(|_| as_text(), toml::Value::from)
            }
            Self::Texts | Self::Counts | Self::Keys => {
                let document = format!("value = {text}").parse::<Table>();
                document
                    .ok()
                    .and_then(|mut table| table.remove("value"))
                    .unwrap_or_else(as_text)
            }
        }
    }
}
