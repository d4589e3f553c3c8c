use std::fs;
use std::path::Path;

use super::*;
use crate::cli::SettingsArgs;

/// In each layer another secret. None may ever be shown.
const CANARIES: [&str; 3] = ["canary-of-the-file", "canary-of-the-environment", "canary-of-the-flag"];

fn key(canary: &str) -> String {
    format!(
        "[{{ kid = \"{canary}-is-no-secret\", algorithm = \"HS256\", secret = \"{canary} 0123456789abcdef0123\" }}]"
    )
}

/// A file with a key of its own and settings of several kinds.
fn file(dir: &Path) -> std::path::PathBuf {
    let path = dir.join("a b.toml");
    let text = format!(
        "data_dir = \"elsewhere\"\n[auth]\nmode = \"jwt\"\nissuer = \"https://issuer.test\"\naudience = \"a\\\"b\"\n\
         keys = {}\n[limits]\nrun_time = \"600s\"\nfragments = 7",
        key(CANARIES[0])
    );
    fs::write(&path, text).unwrap();
    path
}

fn args(config: Option<&Path>, set: &[(&str, &str)]) -> ServeArgs {
    let set = set.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    ServeArgs {
        settings: SettingsArgs {
            config: config.map(Path::to_owned),
            set: set.collect(),
        },
        ..ServeArgs::default()
    }
}

/// What is shown of these layers: all of it, and what differs.
fn shown(sources: &Sources, paint: Paint) -> (String, String) {
    let (config, mut settings) = Config::load_with_origins(sources).unwrap();
    let all = as_toml(sources, &config, &settings, paint);
    settings.retain(|setting| !setting.is_default);
    (all, as_toml(sources, &config, &settings, paint))
}

/// Everything that a configuration says, but for its secrets.
fn meaning(sources: &Sources) -> String {
    format!("{:?}", Config::load(sources).unwrap())
}

#[test]
fn every_key_is_shown_once_in_the_order_of_the_defaults() {
    let (all, changed) = shown(&Sources::default(), Paint::Plain);
    let read: toml::Table = all.parse().unwrap();
    let defaults: toml::Table = include_str!("../../../config/default.toml").parse().unwrap();
    assert_eq!(read, defaults);
    let names = |table: &toml::Table| table.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&read), names(&defaults));
    for line in all.lines().filter(|line| line.contains(" = ")) {
        assert!(line.contains("  # the defaults"), "{line}");
    }
    assert!(changed.contains("# Nothing differs from the defaults."), "{changed}");
}

#[test]
fn a_value_is_shown_with_the_layer_that_set_it_last() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(dir.path());
    let mut sources = sources(&ServeArgs {
        listen: Some("127.0.0.1:9".to_owned()),
        ..args(Some(&path), &[("limits.fragments", "9")])
    });
    sources.env = vec![
        ("SESSILE__LIMITS__FRAGMENTS".into(), "8".into()),
        ("SESSILE__LIMITS__RESTARTS".into(), "8".into()),
    ];
    let (all, _) = shown(&sources, Paint::Plain);
    for (start, end) in [
        ("fragments = 9 ", "# the flag --set"),
        ("restarts = 8 ", "# the environment variable SESSILE__LIMITS__RESTARTS"),
        ("mode = \"jwt\" ", "a b.toml"),
        ("listen = \"127.0.0.1:9\" ", "# the flag --listen"),
        ("json_depth = 32 ", "# the defaults"),
    ] {
        let found = all.lines().any(|line| line.starts_with(start) && line.ends_with(end));
        assert!(found, "{start} .. {end} is missing in {all}");
    }
}

#[test]
fn what_is_shown_is_a_file_that_says_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(dir.path());
    let shards = [("server.shards", "3"), ("server.public_hosts", "a.test, b.test:1")];
    let mut sources = sources(&args(Some(&path), &shards));
    sources.env = Vec::new();
    let (all, changed) = shown(&sources, Paint::Plain);
    for (name, text) in [("all.toml", all), ("changed.toml", changed)] {
        let saved = dir.path().join(name);
        fs::write(&saved, &text).unwrap();
        let refused = Config::load(&Sources {
            file: Some(saved.clone()),
            ..Sources::default()
        });
        let refused = refused.unwrap_err().to_string();
        assert!(
            refused.contains("auth.keys[0]") && refused.contains("32 bytes"),
            "{refused}"
        );
        // With the secret in its place again, nothing is lost.
        fs::write(&saved, text.replace("[hidden]", "0123456789abcdef0123456789abcdef")).unwrap();
        let again = Sources {
            file: Some(saved),
            ..Sources::default()
        };
        assert_eq!(meaning(&again), meaning(&sources), "{name}");
    }
}

#[test]
fn what_only_looks_different_from_a_default_is_not_changed() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(dir.path());
    let (_, changed) = shown(
        &Sources {
            file: Some(path),
            ..Sources::default()
        },
        Paint::Plain,
    );
    assert!(!changed.contains("run_time"), "600s is 10m: {changed}");
    assert!(changed.contains("fragments = 7") && changed.contains("data_dir = \"elsewhere\""));
    assert!(!changed.contains("[journal]"), "no section stands empty: {changed}");
}

#[test]
fn what_is_derived_is_told() {
    let (all, _) = shown(&Sources::default(), Paint::Plain);
    let line = |start: &str| all.lines().find(|line| line.starts_with(start)).unwrap();
    assert!(line("shards").ends_with(&format!("here {}", server::cores())));
    assert!(line("format").ends_with("here json") || line("format").ends_with("here pretty"));
    let data = std::env::current_dir().unwrap().join("data");
    assert!(line("data_dir").ends_with(&format!("here {}", data.display())));
}

#[test]
fn no_secret_of_any_layer_is_shown_in_any_form() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(dir.path());
    let mut sources = sources(&args(Some(&path), &[]));
    // One more layer each time: each of the keys counts once.
    for (layer, counts) in CANARIES.into_iter().enumerate() {
        sources.env = Vec::new();
        sources.flags.clear();
        if layer >= 1 {
            sources
                .env
                .push(("SESSILE__AUTH__KEYS".into(), key(CANARIES[1]).into()));
        }
        if layer >= 2 {
            sources.flags.push(crate::config::Flag {
                name: "--set",
                key: "auth.keys".into(),
                value: key(CANARIES[2]),
            });
        }
        let (config, settings) = Config::load_with_origins(&sources).unwrap();
        let forms = [
            as_toml(&sources, &config, &settings, Paint::Plain),
            as_toml(&sources, &config, &settings, Paint::Ansi),
            as_json(&settings),
            format!("{settings:?}"),
        ];
        for form in forms {
            assert!(form.contains("[hidden]") && form.contains(&format!("{}-is-no-secret", counts)));
            for canary in CANARIES {
                assert!(!form.contains(&format!("{canary} ")), "{form}");
            }
        }
    }
}

#[test]
fn a_path_cannot_end_its_remark() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a\nmode = \"x\".toml");
    fs::write(&path, "[agents]\nstep_limit = 1").unwrap();
    let sources = Sources {
        file: Some(path),
        ..Sources::default()
    };
    let (_, changed) = shown(&sources, Paint::Plain);
    let read: toml::Table = changed.parse().unwrap();
    assert_eq!(read.to_string().trim(), "[agents]\nstep_limit = 1");
}

#[test]
fn defaults_are_dim_and_what_was_set_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(dir.path());
    let sources = Sources {
        file: Some(path),
        ..Sources::default()
    };
    let (all, _) = shown(&sources, Paint::Ansi);
    let line = |name: &str| all.lines().find(|line| line.contains(&format!("{name} = "))).unwrap();
    assert!(line("json_depth").starts_with("\x1b[2m"));
    assert!(line("fragments").starts_with("fragments = 7"));
}

#[test]
fn json_has_key_value_and_origin() {
    let (_, settings) = Config::load_with_origins(&Sources::default()).unwrap();
    let read: serde_json::Value = serde_json::from_str(&as_json(&settings)).unwrap();
    let expected = json!({"key": "limits.json_depth", "value": 32, "origin": "the defaults"});
    assert!(read.as_array().unwrap().contains(&expected), "{read}");
}

#[test]
fn a_check_finds_every_fault_of_the_files_that_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(dir.path());
    let nowhere = |name: &str| dir.path().join(name).display().to_string();
    let keys = format!(
        "[{{ algorithm = \"HS256\", secret_file = {:?} }}, {{ algorithm = \"ES256\", public_key_file = {:?} }}]",
        nowhere("no.key"),
        path.display().to_string()
    );
    let set = [
        ("auth.keys", keys.as_str()),
        ("agents.default", "nobody"),
        ("models.scripted_file", &nowhere("no.toml")),
    ];
    let faults = check(&CheckArgs {
        serve: args(Some(&path), &set),
    });
    let faults: Vec<_> = faults.unwrap_err().iter().map(|fault| format!("{fault:#}")).collect();
    let words = ["no.key", "P-256", "agents.default", "no.toml"];
    assert_eq!(faults.len(), words.len(), "{faults:#?}");
    for (fault, word) in faults.iter().zip(words) {
        assert!(fault.contains(word), "{fault}");
    }
}

#[test]
fn a_sound_configuration_is_said_to_be_valid() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(dir.path());
    let said = check(&CheckArgs {
        serve: args(Some(&path), &[("limits.restarts", "9")]),
    });
    let said = said.unwrap();
    assert!(
        said.starts_with("configuration is valid: 7 keys differ from the defaults"),
        "{said}"
    );
    assert!(
        said.contains("a b.toml, ") && said.ends_with("1 flag)\n") && said.lines().count() == 1,
        "{said}"
    );
}
