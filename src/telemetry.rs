//! How the process tells what it does: one line an event, to standard error.
//!
//! Whatever a field holds, it can't forge a line: JSON escapes it, and the pretty form has a formatter of its own.

use std::fmt;
use std::io::{self, IsTerminal};

use tracing::field::Field;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::filter::{EnvFilter, filter_fn};
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::{Log, LogFormat};
use crate::paint::Paint;

/// Crates that write what they send and receive: genai quotes events of a model's stream at warn and bodies at trace (0.7.2), h2
/// the values of headers at trace.
const INDISCREET: [&str; 2] = ["genai", "h2"];

/// The log can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The directives can't be read.
    #[error("log.filter {filter:?} is no list of directives such as \"info,sessile=debug\"")]
    Filter {
        /// What was configured.
        filter: String,
        /// What the parser said.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
}

/// Starts logging. A second call changes nothing: tests start many servers in one process.
///
/// # Errors
/// [`TelemetryError::Filter`] where `log.filter` can't be read.
pub fn init(log: &Log) -> Result<(), TelemetryError> {
    let filter = filter(&log.filter)?;
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter);
    let discreet = filter_fn(|line| is_discreet(line.target()));
    // The only error is that a subscriber is already there.
    let _already = if is_pretty(log.format) {
        subscriber
            .with_ansi(Paint::of(&io::stderr()) == Paint::Ansi)
            .fmt_fields(fields())
            .with_writer(io::stderr)
            .finish()
            .with(discreet)
            .try_init()
    } else {
        let json = subscriber.json().flatten_event(true).with_writer(io::stderr);
        json.finish().with(discreet).try_init()
    };
    Ok(())
}

/// Whether what writes to this target keeps what users say, and keys, to itself. What doesn't is never written, whatever the
/// filter says.
fn is_discreet(target: &str) -> bool {
    !INDISCREET.iter().any(|name| {
        target
            .strip_prefix(name)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    })
}

/// Says whether lines of this format are for a person, in this process.
#[must_use]
pub fn is_pretty(format: LogFormat) -> bool {
    match format {
        LogFormat::Auto => io::stderr().is_terminal(),
        LogFormat::Pretty => true,
        LogFormat::Json => false,
    }
}

/// Says whether `log.filter` can be read.
///
/// # Errors
/// [`TelemetryError::Filter`] where it can't.
pub fn check_filter(directives: &str) -> Result<(), TelemetryError> {
    filter(directives).map(drop)
}

fn filter(directives: &str) -> Result<EnvFilter, TelemetryError> {
    EnvFilter::try_new(directives).map_err(|source| TelemetryError::Filter {
        filter: directives.to_owned(),
        source,
    })
}

/// Writes fields as `name=value`, with whatever could begin a line, steer a terminal or turn the text around as an escape.
///
/// The formatter that comes with tracing-subscriber escapes control characters in messages, not in fields given with `%`
/// (0.3.23, seen in the test below).
fn fields() -> impl for<'w> FormatFields<'w> + Send + Sync + 'static {
    let write = |out: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug| {
        let value = escaped(&format!("{value:?}"));
        if field.name() == "message" {
            write!(out, "{value}")
        } else {
            write!(out, "{field}={value}")
        }
    };
    debug_fn(write).delimited(" ")
}

/// A text in which nothing begins a line, steers a terminal or turns the text around.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_control() || breaks_or_turns(letter) {
            out.extend(letter.escape_default());
        } else {
            out.push(letter);
        }
    }
    out
}

/// The line and paragraph separators, and the marks that reorder text (Unicode TR 36, "Trojan Source").
const fn breaks_or_turns(letter: char) -> bool {
    matches!(letter, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::mpsc::{Sender, channel};

    use super::*;

    const FORGED: &str = "bob\n2026-11-20 INFO forged\r\x1b[31mred\u{2028}next\u{202e}back";

    struct Pipe(Sender<Vec<u8>>);

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.send(bytes.to_vec());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_field_cannot_forge_a_line_in_either_form() {
        for ansi in [true, false] {
            let (sender, lines) = channel();
            let subscriber = tracing_subscriber::fmt()
                .with_ansi(ansi)
                .fmt_fields(fields())
                .with_writer(move || Pipe(sender.clone()))
                .finish();
            tracing::subscriber::with_default(subscriber, || tracing::info!(user = %FORGED, "said {FORGED}"));
            let written = String::from_utf8(lines.try_iter().flatten().collect()).unwrap();
            assert_eq!(written.matches('\n').count(), 1, "{written:?}");
            assert!(written.ends_with('\n') && written.contains("forged"));
            assert!(!written.contains(['\r', '\u{2028}', '\u{202e}']), "{written:?}");
            assert!(!written.contains("\x1b[31m"), "{written:?}");
        }
        let (sender, lines) = channel();
        let subscriber = tracing_subscriber::fmt()
            .json()
            .with_writer(move || Pipe(sender.clone()))
            .finish();
        tracing::subscriber::with_default(subscriber, || tracing::info!(user = %FORGED, "said {FORGED}"));
        let written = String::from_utf8(lines.try_iter().flatten().collect()).unwrap();
        assert_eq!(written.matches('\n').count(), 1, "{written:?}");
        assert!(!written.contains(['\r', '\x1b']), "{written:?}");
    }

    #[test]
    fn crates_that_quote_users_are_silent_and_others_are_not() {
        for silent in ["genai", "genai::adapter::adapters::anthropic::streamer", "h2::codec"] {
            assert!(!is_discreet(silent), "{silent}");
        }
        for heard in ["sessile::models", "genai_of_another_name", "h2o", ""] {
            assert!(is_discreet(heard), "{heard}");
        }
    }

    #[test]
    fn starting_twice_is_harmless() {
        let log = Log {
            format: LogFormat::Auto,
            filter: "warn".into(),
        };
        assert!(init(&log).is_ok());
        assert!(init(&log).is_ok());
    }

    #[test]
    fn directives_that_cannot_be_read_are_refused() {
        assert!(check_filter("info,sessile=debug").is_ok());
        let refused = check_filter("sessile=loud").unwrap_err().to_string();
        assert!(refused.contains("sessile=loud"), "{refused}");
    }
}
