//! Scripts as TOML: read, checked, and turned into turns. A fault names its line.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use serde_json::Value;
use toml::Spanned;

use super::script::{Failure, Step, Turn};

/// Why a script can't be played.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// The file can't be read.
    #[error("the script {} can't be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// It is no script.
    #[error("{}line {line}: {fault}", file.as_ref().map(|file| format!("{}, ", file.display())).unwrap_or_default())]
    Bad {
        /// The file, where it came from one.
        file: Option<PathBuf>,
        /// The line of the fault, from 1.
        line: usize,
        /// What is wrong.
        fault: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawScript {
    #[serde(rename = "turn", default)]
    turns: Vec<Spanned<RawTurn>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTurn {
    when: Option<Spanned<String>>,
    steps: Spanned<Vec<RawStep>>,
    #[serde(default)]
    then: Vec<RawStep>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawStep {
    Text(String),
    Reasoning(String),
    #[serde(with = "humantime_serde")]
    Delay(Duration),
    Call(RawCall),
    Error(Failure),
    Panic(String),
    Hang(True),
    Repeat(RawRepeat),
}

/// Reads `true` and nothing else.
struct True;

impl<'de> Deserialize<'de> for True {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if bool::deserialize(deserializer)? {
            return Ok(Self);
        }
        Err(serde::de::Error::custom(
            "only `hang = true` means something; leave the step out",
        ))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCall {
    name: String,
    #[serde(default)]
    arguments: serde_json::Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRepeat {
    times: u32,
    steps: Vec<RawStep>,
}

/// Reads the script in the file at `path`.
pub(super) fn load(path: &Path) -> Result<Vec<Turn>, ScriptError> {
    let text = std::fs::read_to_string(path).map_err(|source| ScriptError::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    parse(&text).map_err(|error| match error {
        ScriptError::Bad { line, fault, .. } => ScriptError::Bad {
            file: Some(path.to_owned()),
            line,
            fault,
        },
        unreadable @ ScriptError::Unreadable { .. } => unreadable,
    })
}

/// Reads a script.
pub(super) fn parse(text: &str) -> Result<Vec<Turn>, ScriptError> {
    let bad = |at: usize, fault: String| ScriptError::Bad {
        file: None,
        line: line_of(text, at),
        fault,
    };
    let script: RawScript = toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        bad(at, error.message().to_owned())
    })?;
    if script.turns.is_empty() {
        return Err(bad(0, "a script needs at least one [[turn]]".to_owned()));
    }
    let mut matches_all_at = None;
    for turn in &script.turns {
        if let Some(line) = matches_all_at {
            let fault =
                format!("this turn is never played: the one in line {line} has no `when` and matches everything");
            return Err(bad(turn.span().start, fault));
        }
        let (at, turn) = (turn.span().start, turn.get_ref());
        match &turn.when {
            None => matches_all_at = Some(line_of(text, at)),
            Some(when) if when.get_ref().is_empty() => {
                return Err(bad(
                    when.span().start,
                    "an empty `when` matches everything; leave it out".to_owned(),
                ));
            }
            Some(_) => {}
        }
        if turn.steps.get_ref().is_empty() {
            return Err(bad(
                turn.steps.span().start,
                "a turn needs at least one step".to_owned(),
            ));
        }
    }
    Ok(script.turns.into_iter().map(|turn| built(turn.into_inner())).collect())
}

/// The line of the byte `at`, from 1.
fn line_of(text: &str, at: usize) -> usize {
    let before = text.as_bytes().iter().take(at);
    before.filter(|byte| **byte == b'\n').count() + 1
}

fn built(raw: RawTurn) -> Turn {
    let turn = Turn::new(steps(raw.steps.into_inner())).then_say(steps(raw.then));
    match raw.when {
        Some(when) => turn.when(when.into_inner()),
        None => turn,
    }
}

fn steps(raw: Vec<RawStep>) -> Vec<Step> {
    raw.into_iter()
        .map(|step| match step {
            RawStep::Text(text) => Step::Text(text),
            RawStep::Reasoning(text) => Step::Reasoning(text),
            RawStep::Delay(delay) => Step::Delay(delay),
            RawStep::Call(call) => Step::call(call.name, Value::Object(call.arguments)),
            RawStep::Error(failure) => Step::Error(failure),
            RawStep::Panic(reason) => Step::Panic(reason),
            RawStep::Hang(True) => Step::Hang,
            RawStep::Repeat(repeat) => Step::repeat(repeat.times, steps(repeat.steps)),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The line and the sentence of the fault in `text`.
    fn fault(text: &str) -> (usize, String) {
        match parse(text) {
            Err(ScriptError::Bad { line, fault, .. }) => (line, fault),
            other => panic!("{other:?} for {text:?}"),
        }
    }

    #[test]
    fn every_step_can_be_written() {
        let turns = parse(
            r#"
            [[turn]]
            when = "go"
            steps = [
                { text = "a" },
                { reasoning = "b" },
                { delay = "20ms" },
                { call = { name = "notes", arguments = { action = "list" } } },
                { call = { name = "current_time" } },
                { error = "broken" },
                { panic = "boom" },
                { hang = true },
                { repeat = { times = 2, steps = [{ text = "c" }] } },
            ]
            then = [{ text = "d" }]
            "#,
        )
        .unwrap();
        let written = format!("{:?}", turns[0].steps());
        for part in [
            r#"Text("a")"#,
            r#"Reasoning("b")"#,
            "Delay(20ms)",
            r#"Call { name: "notes", arguments: Object {"action": String("list")} }"#,
            r#"Call { name: "current_time", arguments: Object {} }"#,
            "Error(Broken)",
            r#"Panic("boom")"#,
            "Hang",
            r#"Repeat { times: 2, steps: [Text("c")] }"#,
        ] {
            assert!(written.contains(part), "{part} in {written}");
        }
        assert!(turns[0].matches("let's go") && !turns[0].matches("stay"));
        assert_eq!(turns[0].then().len(), 1);
    }

    #[test]
    fn a_fault_names_its_line_and_what_is_wrong() {
        for (script, line, part) in [
            ("", 1, "at least one [[turn]]"),
            ("[[turn]]\nsteps = [{ text = 1 }]", 2, "expected a string"),
            (
                "[[turn]]\nsteps = [\n  { text = \"a\" },\n  { txet = \"b\" },\n]",
                4,
                "unknown variant `txet`",
            ),
            ("[[turn]]\nsteps = [{ delay = \"soon\" }]", 2, "duration"),
            ("[[turn]]\nsteps = [{ error = \"late\" }]", 2, "unknown variant `late`"),
            ("[[turn]]\nsteps = [{ hang = false }]", 2, "only `hang = true`"),
            ("[[turn]]\nsteps = []", 2, "at least one step"),
            ("\n\n[[turn]]\nwhen = \"x\"", 3, "missing field `steps`"),
            ("[[turn]]\nwhen = \"\"\nsteps = [{ text = \"a\" }]", 2, "leave it out"),
            (
                "[[turn]]\nsteps = [{ text = \"a\" }]\nwhere = 1",
                3,
                "unknown field `where`",
            ),
            ("[[turns]]\nsteps = []", 1, "unknown field `turns`"),
            ("[[turn]\nsteps = []", 1, ""),
            (
                "[[turn]]\nsteps = [{ text = \"a\" }]\n\n[[turn]]\nsteps = [{ text = \"b\" }]",
                4,
                "never played: the one in line 1",
            ),
        ] {
            let (found, sentence) = fault(script);
            assert!(sentence.contains(part), "{sentence:?} for {script:?}");
            assert_eq!(found, line, "{sentence:?} for {script:?}");
        }
    }

    #[test]
    fn a_fault_in_a_file_names_the_file() {
        let path = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(path.path(), "turn = 1").unwrap();
        let told = load(path.path()).unwrap_err().to_string();
        assert!(
            told.starts_with(&format!("{}, line 1: ", path.path().display())),
            "{told}"
        );
    }

    #[test]
    fn a_missing_file_is_named() {
        let told = load(Path::new("/no/such/script.toml")).unwrap_err().to_string();
        assert_eq!(told, "the script /no/such/script.toml can't be read");
    }

    #[test]
    fn the_example_script_can_be_played() {
        let example = include_str!("../../../config/scripted.toml");
        assert!(parse(example).unwrap().len() > 5);
    }
}
