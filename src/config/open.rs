//! Keys whose names the operator chooses: `models.named.NAME.FIELD` and `agents.models.AGENT`. The defaults can't list them.

use super::kind::Kind;

/// What a table of `models.named` may hold. [`super::NamedModel`] refuses what is not in it; a test keeps the two alike.
pub(super) const MODEL_FIELDS: [(&str, Kind); 12] = [
    ("provider", Kind::Text),
    ("model", Kind::Text),
    ("base_url", Kind::Text),
    ("api_key_env", Kind::Text),
    ("api_key_file", Kind::Text),
    ("connect_timeout", Kind::Duration),
    ("first_token_timeout", Kind::Duration),
    ("stall_timeout", Kind::Duration),
    ("retries", Kind::Count),
    ("concurrency", Kind::Count),
    ("input_usd_per_million", Kind::Text),
    ("output_usd_per_million", Kind::Text),
];

const NAMED: &str = "models.named";
const OF_AGENTS: &str = "agents.models";

/// What a key takes; none where it is no such key.
pub(super) fn kind(key: &str) -> Option<Kind> {
    if below(key, OF_AGENTS).is_some_and(|agent| !agent.is_empty() && !agent.contains('.')) {
        return Some(Kind::Texts);
    }
    let (name, field) = below(key, NAMED)?.split_once('.')?;
    let known = MODEL_FIELDS.iter().find(|(known, _)| *known == field)?;
    (!name.is_empty()).then_some(known.1)
}

/// Whether there may be such keys below this one.
pub(super) fn is_section(key: &str) -> bool {
    key == OF_AGENTS || key == NAMED || below(key, NAMED).is_some_and(|name| !name.is_empty() && !name.contains('.'))
}

/// The keys that this one may have been meant as.
pub(super) fn like(key: &str) -> Vec<String> {
    let name = below(key, NAMED).and_then(|rest| rest.split('.').next());
    let name = name.filter(|name| !name.is_empty()).unwrap_or("NAME");
    let fields = MODEL_FIELDS.iter().map(|(field, _)| format!("{NAMED}.{name}.{field}"));
    fields.chain([format!("{OF_AGENTS}.AGENT")]).collect()
}

fn below<'a>(key: &'a str, section: &str) -> Option<&'a str> {
    key.strip_prefix(section)?.strip_prefix('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_of_a_model_are_the_ones_that_it_reads() {
        let values = MODEL_FIELDS.map(|(field, kind)| match (field, kind) {
            ("provider", _) => format!("{field} = \"openai\""),
            (_, Kind::Duration) => format!("{field} = \"1s\""),
            (_, Kind::Count) => format!("{field} = 1"),
            _ => format!("{field} = \"1\""),
        });
        let read = toml::from_str::<super::super::NamedModel>(&values.join("\n")).unwrap();
        assert!(!format!("{read:?}").contains("None"), "{read:?}");
    }

    #[test]
    fn only_whole_keys_take_something() {
        assert_eq!(kind("models.named.fast.retries"), Some(Kind::Count));
        assert_eq!(kind("agents.models.triage"), Some(Kind::Texts));
        for key in [
            "models.named.fast",
            "models.named",
            "agents.models",
            "models.named..model",
            "agents.models.a.b",
        ] {
            assert_eq!(kind(key), None, "{key}");
        }
        assert!(is_section("models.named.fast") && is_section("models.named") && is_section("agents.models"));
        assert!(!is_section("models.named.fast.model") && !is_section("agents.models.triage"));
    }
}
