use std::ffi::OsString;

use super::*;
use crate::config::{Config, ConfigError, Flag, Sources};

const FAST: [(&str, &str); 2] = [
    ("models.named.fast.provider", "openai"),
    ("models.named.fast.model", "m-1"),
];

fn sources(flags: &[(&str, &str)]) -> Sources {
    let flag = |(key, value): &(&str, &str)| Flag {
        name: "--set",
        key: (*key).to_owned(),
        value: (*value).to_owned(),
    };
    Sources {
        flags: flags.iter().map(flag).collect(),
        ..Sources::default()
    }
}

fn with(more: &[(&str, &str)]) -> Result<Config, ConfigError> {
    Config::load(&sources(&[&FAST, more].concat()))
}

fn refusal(more: &[(&str, &str)]) -> String {
    with(more).unwrap_err().to_string()
}

#[test]
fn a_named_model_says_what_it_says_and_leaves_the_rest_to_all() {
    let config = with(&[
        ("models.named.fast.stall_timeout", "1m"),
        ("models.named.fast.retries", "0"),
        ("models.named.fast.output_usd_per_million", "0.60"),
        ("models.default", "fast"),
    ])
    .unwrap();
    let fast = &config.models.named["fast"];
    assert_eq!(
        (fast.provider, fast.model.as_deref()),
        (Some(Provider::OpenAi), Some("m-1"))
    );
    assert_eq!(
        (fast.stall_timeout, fast.connect_timeout),
        (Some(Duration::from_secs(60)), None)
    );
    assert_eq!((fast.retries, fast.concurrency), (Some(0), None));
    assert_eq!(fast.output_usd_per_million, Some("0.60".parse().unwrap()));
    assert_eq!(config.models.default, "fast");
}

#[test]
fn a_model_may_be_named_by_any_layer_and_each_lies_over_the_one_below() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sessile.toml");
    let text = "[models.named.fast]\nprovider = \"openai\"\nmodel = \"of the file\"\nretries = 7\n\
                [agents.models]\nassistant = [\"fast\", \"offline\"]";
    std::fs::write(&path, text).unwrap();
    let variable = |name: &str, value: &str| (OsString::from(name), OsString::from(value));
    let config = Config::load(&Sources {
        file: Some(path),
        env: vec![
            variable("SESSILE__MODELS__NAMED__FAST__MODEL", "of the environment"),
            variable("SESSILE__MODELS__NAMED__LOCAL__PROVIDER", "ollama"),
            variable("SESSILE__MODELS__NAMED__LOCAL__MODEL", "m-2"),
            variable("SESSILE__AGENTS__MODELS__DATA_HELPER", "local, fast"),
        ],
        ..sources(&[("models.named.fast.base_url", "http://127.0.0.1:1/v1")])
    })
    .unwrap();
    let fast = &config.models.named["fast"];
    assert_eq!(
        (fast.model.as_deref(), fast.retries),
        (Some("of the environment"), Some(7))
    );
    assert_eq!(fast.base_url.as_deref(), Some("http://127.0.0.1:1/v1"));
    assert_eq!(config.models.named["local"].provider, Some(Provider::Ollama));
    assert_eq!(config.agents.models["assistant"], ["fast", "offline"]);
    assert_eq!(config.agents.models["data_helper"], ["local", "fast"]);
}

#[test]
fn what_is_wrong_with_a_model_is_said_with_its_key_and_what_to_write() {
    for (key, value, word) in [
        (
            "models.named.fast.provider",
            "opnai",
            "it is none of \"openai\", \"anthropic\", \"gemini\", \"ollama\"",
        ),
        ("models.named.fast.model", "", "the name that the provider has"),
        ("models.named.fast.base_url", "127.0.0.1:1", "address"),
        ("models.named.fast.base_url", "ftp://a.test", "https://"),
        ("models.named.fast.base_url", "http://a:canary@a.test", "password"),
        ("models.named.fast.base_url", "http://a.test/?key=canary", "query"),
        (
            "models.named.fast.api_key_env",
            "sk-canary",
            "never write the key itself",
        ),
        ("models.named.fast.api_key_env", "canary", "capital letters"),
        ("models.named.fast.input_usd_per_million", "-1", "no price"),
        ("models.named.fast.input_usd_per_million", "cheap", "no price"),
        ("models.named.fast.stall_timeout", "soon", "a duration"),
        ("models.named.fast.stall_timeout", "0s", "above zero"),
        ("models.named.fast.concurrency", "0", "above zero"),
        ("models.concurrency", "0", "above zero"),
        ("models.default", "fats", "no model is named \"fats\""),
        ("agents.models.assistant", "fats", "no model is named \"fats\""),
        ("agents.models.assistant", "", "names no model"),
    ] {
        let refused = refusal(&[(key, value)]);
        assert!(refused.contains(key) && refused.contains(word), "{key}: {refused}");
        assert!(refused.contains("the flag --set"), "{refused}");
        assert!(!refused.contains("canary"), "{refused}");
    }
    let both = [
        ("models.named.fast.api_key_env", "A"),
        ("models.named.fast.api_key_file", "a"),
    ];
    assert!(refusal(&both).contains("set one of the two"));
}

#[test]
fn a_model_without_a_provider_belongs_to_the_layer_that_named_it() {
    let refused = Config::load(&sources(&[("models.named.fast.model", "m-1")]))
        .unwrap_err()
        .to_string();
    assert!(
        refused.starts_with("the flag --set sets models.named.fast.provider"),
        "{refused}"
    );
    assert!(refused.contains("it is missing: write \"openai\""), "{refused}");
}

#[test]
fn a_name_that_is_taken_or_none_is_refused() {
    for name in ["offline", "scripted", "Fast", "9", "fast lane"] {
        let refused = refusal(&[(&format!("models.named.{name}.model"), "m-1")]);
        assert!(refused.contains("name"), "{name}: {refused}");
    }
}

#[test]
fn a_misspelt_key_is_told_with_the_one_that_is_meant() {
    for (wrong, meant) in [
        ("models.named.fast.modle", "models.named.fast.model"),
        ("models.named.fast.api_key", "models.named.fast.api_key_env"),
        ("models.namd.fast.model", "models.named."),
        ("models.named.fast", "its keys one by one"),
        ("agents.models", "its keys one by one"),
    ] {
        let refused = refusal(&[(wrong, "canary")]);
        assert!(
            refused.contains(meant) && !refused.contains("canary"),
            "{wrong}: {refused}"
        );
    }
}

#[test]
fn what_the_operator_named_is_shown_behind_its_section() {
    let flags = [
        &FAST[..],
        &[("agents.models.assistant", "fast"), ("models.default", "fast")],
    ]
    .concat();
    let (_, shown) = Config::load_with_origins(&sources(&flags)).unwrap();
    let keys: Vec<_> = shown.iter().map(|setting| setting.key.as_str()).collect();
    let place = |key: &str| keys.iter().position(|known| *known == key).unwrap();
    assert_eq!(
        place("models.named.fast.model") + 1,
        place("models.named.fast.provider")
    );
    for (last, section) in [
        ("agents.models.assistant", "agents."),
        ("models.named.fast.provider", "models."),
    ] {
        let (before, behind) = (keys[place(last) - 1], keys[place(last) + 1]);
        assert!(before.starts_with(section) && !behind.starts_with(section), "{keys:?}");
    }
    let named = &shown[place("models.named.fast.model")];
    assert!(!named.is_default && named.origin == "the flag --set", "{named:?}");
}
