//! Bold, dim and red text: for a person at a terminal, never for a file or a pipe.

use std::ffi::OsStr;
use std::fmt::Display;
use std::io::IsTerminal;

/// Whether text may be bold, dim and red.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paint {
    /// Text as it is.
    Plain,
    /// Text for a terminal.
    Ansi,
}

impl Paint {
    /// What suits this stream: a terminal's text is painted, unless NO_COLOR is set (https://no-color.org) or the terminal
    /// is one that can't.
    #[must_use]
    pub fn of(stream: &impl IsTerminal) -> Self {
        let (no_color, term) = (std::env::var_os("NO_COLOR"), std::env::var_os("TERM"));
        if stream.is_terminal() && is_wanted(no_color.as_deref(), term.as_deref()) {
            Self::Ansi
        } else {
            Self::Plain
        }
    }

    /// What stands out.
    #[must_use]
    pub fn bold(self, text: impl Display) -> String {
        self.with("1", text)
    }

    /// What may be passed over.
    #[must_use]
    pub fn dim(self, text: impl Display) -> String {
        self.with("2", text)
    }

    /// What went wrong.
    #[must_use]
    pub fn red(self, text: impl Display) -> String {
        self.with("31", text)
    }

    fn with(self, code: &str, text: impl Display) -> String {
        match self {
            Self::Plain => text.to_string(),
            Self::Ansi => format!("\x1b[{code}m{text}\x1b[0m"),
        }
    }
}

fn is_wanted(no_color: Option<&OsStr>, term: Option<&OsStr>) -> bool {
    no_color.is_none_or(OsStr::is_empty) && term != Some(OsStr::new("dumb"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paint_is_for_terminals_that_want_it() {
        let wants =
            |no_color: Option<&str>, term: Option<&str>| is_wanted(no_color.map(OsStr::new), term.map(OsStr::new));
        assert!(wants(None, None) && wants(Some(""), Some("xterm")));
        assert!(!wants(Some("1"), Some("xterm")) && !wants(None, Some("dumb")));
    }

    #[test]
    fn plain_text_is_left_as_it_is() {
        assert_eq!(Paint::Plain.bold("a") + &Paint::Plain.dim("b"), "ab");
        assert_eq!(Paint::Ansi.bold("a"), "\x1b[1ma\x1b[0m");
        assert_eq!(Paint::Ansi.dim("a"), "\x1b[2ma\x1b[0m");
        assert_eq!(Paint::Ansi.red("a"), "\x1b[31ma\x1b[0m");
    }
}
