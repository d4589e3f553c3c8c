//! What a person approves: one call with its exact arguments, named by their fingerprint.

use std::collections::BTreeMap;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::infra::tools::ToolSpec;
use crate::protocol::server::ApprovalDecision;

/// How a call that waited was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// How.
    pub decision: ApprovalDecision,
    /// Why, in the user's words.
    pub note: Option<String>,
}

impl Verdict {
    /// What the agent is told of a call that may not start; none where it may.
    pub(crate) fn refusal(&self, spec: &ToolSpec) -> Option<String> {
        let tool = &spec.name;
        match (self.decision, &self.note) {
            (ApprovalDecision::Approve, _) => None,
            (ApprovalDecision::Deny, None) => Some(format!("the user denied this call of `{tool}`; it did not start")),
            (ApprovalDecision::Deny, Some(note)) => Some(format!(
                "the user denied this call of `{tool}`; it did not start: {note}"
            )),
            (ApprovalDecision::Expired, _) => Some(format!(
                "nobody approved this call of `{tool}` in time; it did not start"
            )),
        }
    }
}

/// SHA-256, in hexadecimal, of the arguments as canonical JSON: no spaces, and the keys of each object in the order of
/// their bytes.
pub(crate) fn fingerprint(arguments: &Value) -> String {
    use std::fmt::Write;
    let mut text = String::new();
    write_canonical(arguments, &mut text);
    let digest = Sha256::digest(text);
    digest.iter().fold(String::with_capacity(64), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string can't fail");
        text
    })
}

fn write_canonical(value: &Value, text: &mut String) {
    let mut separator = "";
    match value {
        Value::Object(fields) => {
            text.push('{');
            for (key, value) in fields.iter().collect::<BTreeMap<_, _>>() {
                text.push_str(separator);
                text.push_str(&Value::from(key.as_str()).to_string());
                text.push(':');
                write_canonical(value, text);
                separator = ",";
            }
            text.push('}');
        }
        Value::Array(items) => {
            text.push('[');
            for item in items {
                text.push_str(separator);
                write_canonical(item, text);
                separator = ",";
            }
            text.push(']');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => text.push_str(&value.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn arguments_have_one_fingerprint_whatever_the_order_of_their_keys() {
        let text = r#"{"a":[1,{"c":null,"d":"\n"}],"b":true}"#;
        let told: Value = serde_json::from_str(r#"{ "b": true, "a": [1, {"d": "\n", "c": null}] }"#).expect("json");
        let mut canonical = String::new();
        write_canonical(&told, &mut canonical);
        assert_eq!(canonical, text);
        // Of `printf '{}' | sha256sum`.
        let nothing = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
        assert_eq!(fingerprint(&json!({})), nothing);
        assert_ne!(fingerprint(&json!({"a": 1})), fingerprint(&json!({"a": "1"})));
    }
}
