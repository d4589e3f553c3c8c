//! The house's rules that no compiler checks: who may name what, and what must not be there at all.

use std::fs;
use std::path::{Path, PathBuf};

/// A file of the project, as text without comments and tests.
struct Source {
    path: String,
    whole: String,
    code: String,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &str) -> Vec<Source> {
    let mut found = Vec::new();
    collect(&root().join(folder), &mut found);
    assert!(!found.is_empty(), "no sources in {folder}");
    found
}

fn collect(folder: &Path, found: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            let whole = fs::read_to_string(&path).unwrap();
            let path = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
            let code = without_tests_and_comments(&whole);
            found.push(Source { path, whole, code });
        }
    }
}

fn without_tests_and_comments(text: &str) -> String {
    let body = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or(text);
    body.lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect::<Vec<_>>()
        .join("\n")
}

/// Fails with every place where one of `words` stands in code under `folder`, but for files whose path holds `allowed`.
fn nobody_names(folder: &str, words: &[&str], allowed: &[&str], why: &str) {
    let offenders: Vec<String> = sources(folder)
        .into_iter()
        .filter(|source| !allowed.iter().any(|part| source.path.contains(part)))
        .flat_map(|source| {
            words
                .iter()
                .filter(|word| source.code.contains(**word))
                .map(|word| format!("{} names {word}", source.path))
                .collect::<Vec<_>>()
        })
        .collect();
    assert!(offenders.is_empty(), "{why}:\n{}", offenders.join("\n"));
}

#[test]
fn the_top_level_is_what_the_user_fixed() {
    let fixed = [
        "Cargo.toml",
        "Cargo.lock",
        "src",
        "actors",
        "tests",
        "config",
        "examples",
        "README.md",
    ];
    // What builds and runs leave behind, as .gitignore has it.
    let left_behind = ["target", "data"];
    for entry in fs::read_dir(root()).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        let known = name.starts_with('.') || fixed.contains(&&*name) || left_behind.contains(&&*name);
        assert!(known, "{name} stands at the top level");
    }
}

#[test]
fn the_runtime_knows_no_http_sql_files_or_environment() {
    let outside = [
        "sqlx",
        "actix_web",
        "actix_http",
        "std::fs",
        "std::env",
        "std::net",
        "tokio::net",
        "anyhow",
    ];
    nobody_names("actors/src", &outside, &[], "the runtime has no edges");
}

#[test]
fn the_engine_has_no_actors_no_clock_and_no_dice() {
    let impure = [
        "actix",
        "tokio",
        "Instant::now",
        "SystemTime::now",
        "::mint(",
        "rand",
        "async ",
        "session::actor",
        "session::outbox",
        "session::run",
        "session::sink",
        "infra::agents",
        "infra::model",
        "infra::tools",
        "metrics",
    ];
    nobody_names("actors/src/session/engine", &impure, &["/tests"], "the engine is pure");
}

#[test]
fn what_is_shared_holds_no_lock_and_what_is_owned_is_not_shared() {
    let shared = [
        "Mutex",
        "RwLock",
        "OnceLock",
        "LazyLock",
        "lazy_static",
        "thread_local!",
        "static mut",
        "static ",
        "OnceCell",
    ];
    // `'static` is a lifetime; a `static` item begins a line.
    let offenders: Vec<String> = sources("actors/src")
        .into_iter()
        .filter(|source| !source.path.contains("/testing"))
        .flat_map(|source| {
            let lines = source.code.lines().map(str::trim);
            lines
                .filter(|line| {
                    let item = line.strip_prefix("pub ").unwrap_or(line);
                    shared.iter().any(|word| match *word {
                        "static " | "static mut" => item.starts_with(word),
                        word => line.contains(word),
                    })
                })
                .map(|line| format!("{}: {line}", source.path))
                .collect::<Vec<_>>()
        })
        .collect();
    assert!(
        offenders.is_empty(),
        "global or locked state:\n{}",
        offenders.join("\n")
    );
}

#[test]
fn imports_point_inwards_only() {
    // From the inner rooms to the outer ones: a room names none that stands after it.
    let inner = ["protocol", "context.rs", "ids.rs", "limits.rs"];
    let outer = ["crate::session", "crate::supervisor", "crate::infra", "crate::shard"];
    for source in sources("actors/src") {
        let is_inner = inner
            .iter()
            .any(|room| source.path.starts_with(&format!("actors/src/{room}")));
        for word in outer {
            assert!(!is_inner || !source.code.contains(word), "{} names {word}", source.path);
        }
    }
    // The one arrow outwards: an agent is given its run.
    let allowed = ["infra/agents.rs"];
    nobody_names(
        "actors/src/infra",
        &["crate::session", "crate::supervisor"],
        &allowed,
        "infra owns no session",
    );
    let sessions = ["session/actor", "shard.rs", "session/run.rs", "testing"];
    nobody_names(
        "actors/src/session",
        &["crate::supervisor"],
        &sessions,
        "only the actor knows its supervisor",
    );
}

#[test]
fn one_folder_names_sqlx_and_one_names_the_deprecated_websocket_actors() {
    nobody_names("src", &["sqlx"], &["src/store/"], "only the store speaks SQL");
    nobody_names(
        "src",
        &["actix_web_actors"],
        &["src/http/socket/mod.rs"],
        "replacing it is one file's work",
    );
}

#[test]
fn no_file_is_longer_than_a_reader_has_patience_for() {
    for folder in ["src", "actors/src", "tests/it", "examples"] {
        for source in sources(folder) {
            let lines = source.whole.lines().count();
            assert!(
                lines <= 500,
                "{} has {lines} lines; give part of it a file of its own",
                source.path
            );
        }
    }
}

#[test]
fn unsafe_code_is_forbidden_and_panics_unwind() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    assert!(manifest.contains("unsafe_code = \"forbid\""));
    assert!(
        !manifest.contains("panic = \"abort\""),
        "a panic must end one run, never the process"
    );
    let runtime = fs::read_to_string(root().join("actors/Cargo.toml")).unwrap();
    assert!(runtime.contains("[lints]\nworkspace = true"));
}
