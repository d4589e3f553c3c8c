//! Keeps secrets out of events: values under telling keys are replaced before anything is numbered or journalled.

use serde_json::Value;

/// What stands where a secret was.
const REDACTED: &str = "[REDACTED]";

/// Parts of a key that tell a secret. Compared without case, `-` and `_`.
const TELLING: [&str; 9] = [
    "password",
    "passwd",
    "secret",
    "apikey",
    "accesstoken",
    "refreshtoken",
    "authorization",
    "credential",
    "privatekey",
];

/// Replaces what stands under telling keys, at any depth, in lists too.
#[must_use]
pub fn redacted(value: Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .into_iter()
            .map(|(key, value)| {
                let value = if tells_a_secret(&key) {
                    Value::String(REDACTED.to_owned())
                } else {
                    redacted(value)
                };
                (key, value)
            })
            .collect(),
        Value::Array(items) => items.into_iter().map(redacted).collect(),
        other => other,
    }
}

fn tells_a_secret(key: &str) -> bool {
    let plain: String = key
        .chars()
        .filter(|c| !matches!(c, '-' | '_'))
        .flat_map(char::to_lowercase)
        .collect();
    plain == "token" || TELLING.iter().any(|telling| plain.contains(telling))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn secrets_are_replaced_under_any_spelling_of_their_key_at_any_depth() {
        let told = redacted(json!({
            "Api-Key": "k", "nested": [{"client_secret": {"deep": 1}}], "token": "t",
            "tokens_used": 7, "query": "my password is in the text, which is the user's own"
        }));
        assert_eq!(
            told,
            json!({
                "Api-Key": "[REDACTED]", "nested": [{"client_secret": "[REDACTED]"}], "token": "[REDACTED]",
                "tokens_used": 7, "query": "my password is in the text, which is the user's own"
            })
        );
    }
}
