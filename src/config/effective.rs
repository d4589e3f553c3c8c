//! What the layers come to: every key with the value that counts and where that came from, fit to be shown.

use toml::Value;

use super::layers::{Layers, Setting};

/// What stands where a secret is.
const HIDDEN: &str = "[hidden]";

/// One key and the value that counts.
#[derive(Debug, Clone, PartialEq)]
pub struct Effective {
    /// The key, dotted: `server.listen`.
    pub key: String,
    /// Its value; `[hidden]` stands where a secret is.
    pub value: Value,
    /// Where it came from: "the flag --listen".
    pub origin: String,
    /// Whether it says the same as the default.
    pub is_default: bool,
}

/// Every key, in the order of `config/default.toml`; what the operator has named stands behind its section.
pub(super) fn list(layers: &Layers) -> Vec<Effective> {
    let show = |(default, counts): (Option<&Setting>, &Setting)| Effective {
        key: counts.key.clone(),
        is_default: default.is_some_and(|default| says_the_same(&default.value, &counts.value)),
        value: without_secrets(&counts.value),
        origin: counts.origin.clone(),
    };
    layers.effective().into_iter().map(show).collect()
}

/// Whether two values mean one thing: "1m" is "60s".
fn says_the_same(one: &Value, other: &Value) -> bool {
    let time = |value: &Value| value.as_str().and_then(|text| humantime::parse_duration(text).ok());
    one == other || time(one).is_some_and(|time_of_one| time(other) == Some(time_of_one))
}

/// Hides what a key of `auth.keys` holds as its `secret`. No other key holds one: others name files and
/// variables.
fn without_secrets(value: &Value) -> Value {
    match value {
        Value::Array(items) => Value::Array(items.iter().map(without_secrets).collect()),
        Value::Table(table) => {
            let hide = |(name, value): (&String, &Value)| match name.as_str() {
                "secret" => (name.clone(), HIDDEN.into()),
                _ => (name.clone(), without_secrets(value)),
            };
            Value::Table(table.iter().map(hide).collect())
        }
        plain => plain.clone(),
    }
}
