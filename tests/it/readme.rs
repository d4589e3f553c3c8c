//! The README says what is so: its commands can be given, its tests exist, its keys, frames and paths are those of the code.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::Path;

use clap::Parser;
use sessile::cli::{self, Cli, Command, ConfigCommand};
use sessile::config::{Config, Sources};

const README: &str = include_str!("../../README.md");

#[test]
fn every_test_that_the_readme_names_exists() {
    let sources = ["tests", "actors/src", "src"].map(rust_below).concat();
    let missing = |named: BTreeSet<String>| -> Vec<String> {
        let is_missing = |name: &String| !sources.contains(&format!("fn {name}("));
        named.into_iter().filter(is_missing).collect()
    };
    let named = backticked(section("What it promises"));
    assert!(named.len() > 20, "the table of promises was found: {named:?}");
    assert_eq!(missing(named), Vec::<String>::new());
    // The check can fail.
    assert_eq!(missing(backticked("`a_test_that_nobody_wrote`")).len(), 1);
}

#[test]
fn every_command_of_the_readme_can_be_given() {
    let commands: Vec<&str> = blocks("sh").into_iter().flat_map(str::lines).collect();
    assert!(commands.len() > 8, "{commands:?}");
    for command in commands {
        check(command).unwrap_or_else(|why| panic!("{command}: {why}"));
    }
    for wrong in [
        "cargo run --release -- --lisen 127.0.0.1:9",
        "cargo run --release -- --set limits.runtime=2m",
        "SESSILE__LIMITS__RUNTIME=2m cargo run --release",
        "cargo run --release -- --config config/nowhere.toml",
        "cargo run --example nobody",
        "cargo run --example ws_client -- --twice",
        "cargo run --release -- chat --twice",
        "npm start",
    ] {
        assert!(check(wrong).is_err(), "{wrong} was taken");
    }
}

#[test]
fn the_settings_in_the_readme_are_taken() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("sessile.toml");
    let settings = blocks("toml");
    assert_eq!(settings.len(), 2, "the models and the users");
    for settings in settings {
        fs::write(&file, settings).unwrap();
        let loaded = Config::load(&Sources {
            file: Some(file.clone()),
            ..Sources::default()
        });
        loaded.unwrap_or_else(|fault| panic!("{fault}: {settings}"));
    }
}

#[test]
fn every_key_in_the_readme_is_one() {
    let defaults: toml::Table = include_str!("../../config/default.toml").parse().unwrap();
    let keys = backticked(section("Configuration"));
    let keys: Vec<_> = keys
        .iter()
        .filter(|key| !key.contains('/') && key.contains(['.', '_']))
        .collect();
    assert!(keys.len() > 15, "{keys:?}");
    for key in keys {
        let value = match key.split_once('.') {
            Some((section, key)) => defaults[section].get(key),
            None => defaults.get(key.as_str()),
        };
        assert!(value.is_some(), "{key} is no key");
    }
}

#[test]
fn every_frame_in_the_readme_is_one() {
    let protocol = rust_below("actors/src/protocol");
    let frames: Vec<_> = backticked(section("Protocol"))
        .into_iter()
        .filter(|name| name.contains('_') && name.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_'))
        .filter(|name| {
            ![
                "session_id",
                "last_seq",
                "head_seq",
                "on_busy",
                "message_id",
                "run_id",
                "expires_at",
                "parent_run_id",
            ]
            .contains(&&**name)
        })
        .collect();
    assert!(frames.len() > 20, "{frames:?}");
    for frame in frames {
        assert!(protocol.contains(&format!("\"{frame}\"")), "{frame} is no frame");
    }
}

#[test]
fn every_path_in_the_readme_is_there() {
    let paths = backticked(section("What is inside"));
    assert!(paths.len() > 10, "{paths:?}");
    for path in paths.iter().filter(|path| path.contains('/') && path.len() > 1) {
        assert!(root().join(path).exists(), "{path} is not there");
    }
}

#[test]
fn every_link_of_the_readme_leads_somewhere() {
    let links: Vec<_> = README
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
        .collect();
    assert!(links.len() > 5, "{links:?}");
    for link in links {
        assert!(root().join(link).is_file(), "{link} is not there");
    }
}

#[test]
fn the_rust_of_the_readme_is_compiled_and_fits_where_it_says() {
    let lib = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    assert!(lib.contains("#[cfg(doctest)]\n#[doc = include_str!(\"../README.md\")]"));
    assert_eq!(blocks("rust").len(), 2);
    for line in [".agent(shout::class())", ".tool(reverse::Reverse)"] {
        assert!(README.contains(line));
    }
}

/// What the README shows of a conversation, for the test that holds it.
pub fn conversation() -> &'static str {
    blocks("text")
        .into_iter()
        .find(|block| block.starts_with("assistant:"))
        .unwrap()
}

/// Whether a line of a shell could be given here.
fn check(line: &str) -> Result<(), String> {
    let words = split(line);
    let mut words = words.iter().map(String::as_str).peekable();
    let mut env: Vec<(OsString, OsString)> = Vec::new();
    while let Some((name, value)) = words.peek().and_then(|word| word.split_once('=')) {
        env.push((name.into(), value.into()));
        words.next();
    }
    // Where its output goes is the shell's to know.
    let words: Vec<&str> = words.take_while(|word| *word != ">").collect();
    match words[..] {
        ["tests/run"] if is_executable("tests/run") => Ok(()),
        ["mkdir", "-p", _] | ["openssl", "rand", ..] => Ok(()),
        // What they say is tested where the routes and the figures are; here the files must be there.
        ["curl" | "python3", ref rest @ ..] => {
            let files = rest.iter().map(|word| word.trim_start_matches('@'));
            let missing = files.filter(|word| word.starts_with("examples/") && !root().join(word).is_file());
            missing
                .map(|file| format!("{file} is not there"))
                .next()
                .map_or(Ok(()), Err)
        }
        [
            "cargo",
            "doc",
            "--no-deps",
            "--package",
            "sessile-actors",
            "--features",
            "testing",
            "--open",
        ] => Ok(()),
        ["cargo", "run", "--release"] => serves(&[], env),
        ["cargo", "run", "--release", "--", ref flags @ ..] => serves(flags, env),
        ["cargo", "run", "--example", name] => example(name, &[]),
        ["cargo", "run", "--example", name, "--", ref flags @ ..] => example(name, flags),
        _ => Err("no known program".to_owned()),
    }
}

/// The flags are flags of ours, and what they say can be configured.
fn serves(flags: &[&str], env: Vec<(OsString, OsString)>) -> Result<(), String> {
    let read = Cli::try_parse_from(["sessile"].iter().chain(flags)).map_err(|fault| fault.to_string())?;
    let mut sources = match read.command() {
        Command::Serve(args) => cli::sources(&args),
        Command::Token(args) => cli::settings(&args.settings),
        Command::Config(ConfigCommand::Show(args)) => cli::sources(&args.serve),
        Command::Config(ConfigCommand::Check(args)) => cli::sources(&args.serve),
        Command::Completions(_) => return Ok(()),
        // Its flags were read; it has no settings.
        Command::Chat(_) => return Ok(()),
    };
    sources.env = env;
    if sources.file.as_ref().is_some_and(|file| file.starts_with("data")) {
        // The one that the README lets its reader write.
        sources.file = None;
    }
    sources.file = sources.file.map(|file| root().join(file));
    Config::load(&sources).map(drop).map_err(|fault| fault.to_string())
}

/// The example is there and knows each flag.
fn example(name: &str, flags: &[&str]) -> Result<(), String> {
    let (file, folder) = (format!("examples/{name}.rs"), format!("examples/{name}/main.rs"));
    let text = [file, folder]
        .iter()
        .find_map(|path| fs::read_to_string(root().join(path)).ok());
    let text = text.ok_or("no such example")?;
    let unknown = flags.iter().find(|flag| {
        let field = flag.strip_prefix("--").map(|name| format!("    {name}: "));
        field.is_some_and(|field| !text.contains(&field))
    });
    unknown.map_or(Ok(()), |flag| Err(format!("the example has no {flag}")))
}

/// The words of a line, quoted ones whole.
fn split(line: &str) -> Vec<String> {
    let parts = line.split('"').enumerate();
    let words = parts.flat_map(|(at, part)| match at % 2 {
        0 => part.split_whitespace().map(str::to_owned).collect(),
        _ => vec![part.to_owned()],
    });
    words.collect()
}

#[cfg(unix)]
fn is_executable(path: &str) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(root().join(path)).is_ok_and(|file| file.permissions().mode() & 0o111 != 0)
}

/// The fenced blocks of this language.
fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}\n");
    let begins = README.match_indices(&fence).map(|(at, _)| at + fence.len());
    begins.map(|at| README[at..].split("```").next().unwrap()).collect()
}

/// What stands below this heading.
fn section(heading: &str) -> &'static str {
    let (_, below) = README.split_once(&format!("\n## {heading}\n")).unwrap();
    below.split("\n## ").next().unwrap()
}

/// What stands in backticks, outside fenced blocks.
fn backticked(text: &str) -> BTreeSet<String> {
    let prose: String = text.split("```").step_by(2).collect();
    prose.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn rust_below(folder: &str) -> String {
    let mut text = String::new();
    let mut waiting = vec![root().join(folder)];
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else if path.extension().is_some_and(|kind| kind == "rs") {
                text.push_str(&fs::read_to_string(path).unwrap());
            }
        }
    }
    text
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
