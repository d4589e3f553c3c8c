//! What is shown, and where: answers on standard output, all else on standard error.
//!
//! Text from the server can't steer a terminal: control characters become a mark. While the prompt is open, lines are given to
//! the line editor, which prints them above it.

use std::io::{self, IsTerminal as _, Write};
use std::sync::mpsc::{SyncSender, sync_channel};

use rustyline::ExternalPrinter;

use super::client::Show;
use crate::paint::Paint;

/// What stands for a control character.
const MARK: char = '\u{fffd}';

/// Texts on their way above the prompt. Beyond: the client waits, as it does before a terminal that reads nothing.
const ABOVE_MAX: usize = 64;

/// A stream, and what it is.
struct Stream<W> {
    to: W,
    is_terminal: bool,
}

/// Both streams.
pub struct Screen<O, E> {
    out: Stream<O>,
    err: Stream<E>,
    /// What suits standard error.
    paint: Paint,
    /// Whether the last line of the answer goes on.
    line_is_open: bool,
    /// Whether something else was shown since, on a line of its own.
    line_is_broken: bool,
    /// Takes lines while the prompt is open.
    above: Option<SyncSender<String>>,
    prompt_is_open: bool,
    /// Whether what happens in a run besides its answer is left out.
    hides_asides: bool,
    /// The piece of a line that waits for its end, while the prompt is open.
    piece: String,
}

/// The process's own streams.
pub type Terminal = Screen<io::Stdout, io::Stderr>;

impl Terminal {
    /// Shows on standard output and standard error.
    #[must_use]
    pub fn standard() -> Self {
        let (out, err) = (io::stdout(), io::stderr());
        let (out_is, err_is, paint) = (out.is_terminal(), err.is_terminal(), Paint::of(&err));
        Self::new((out, out_is), (err, err_is), paint)
    }
}

impl<O: Write, E: Write> Screen<O, E> {
    fn new(out: (O, bool), err: (E, bool), paint: Paint) -> Self {
        Self {
            out: Stream {
                to: out.0,
                is_terminal: out.1,
            },
            err: Stream {
                to: err.0,
                is_terminal: err.1,
            },
            paint,
            line_is_open: false,
            line_is_broken: false,
            above: None,
            prompt_is_open: false,
            hides_asides: false,
            piece: String::new(),
        }
    }

    /// Leaves out, from now on, what happens in a run besides its answer.
    pub fn hide_asides(&mut self) {
        self.hides_asides = true;
    }

    /// Gives lines to the line editor from now on, whenever the prompt is open.
    ///
    /// A thread of its own hands them over: the editor takes one at a time, and one that it takes too late must not hold up
    /// the client.
    pub fn print_above(&mut self, mut printer: impl ExternalPrinter + Send + 'static) {
        let (above, lines) = sync_channel::<String>(ABOVE_MAX);
        std::thread::spawn(move || lines.into_iter().all(|lines| printer.print(lines).is_ok()));
        self.above = Some(above);
    }

    /// The prompt opens.
    ///
    /// # Errors
    /// A stream can't be written to.
    pub fn prompt_opens(&mut self) -> io::Result<()> {
        self.end_line()?;
        self.prompt_is_open = true;
        Ok(())
    }

    /// The prompt has closed: its line was read.
    ///
    /// # Errors
    /// A stream can't be written to.
    pub fn prompt_closed(&mut self) -> io::Result<()> {
        self.prompt_is_open = false;
        let piece = std::mem::take(&mut self.piece);
        self.line_is_open |= !piece.is_empty();
        self.put_out(&piece)
    }

    /// Shows something.
    ///
    /// # Errors
    /// Standard output can't be written to. Where standard error can't, the answer is still worth having.
    pub fn show(&mut self, show: &Show) -> io::Result<()> {
        match show {
            Show::Answer(text) => {
                let text = harmless(text);
                if let Some(last) = text.chars().last() {
                    (self.line_is_open, self.line_is_broken) = (last != '\n', false);
                }
                self.put_out(&text)?;
            }
            Show::AnswerEnd => self.end_line()?,
            Show::Listing(text) => {
                self.end_line()?;
                self.put_out(&(harmless(text) + "\n"))?;
            }
            Show::Aside(_) if self.hides_asides => {}
            Show::Aside(text) => self.put_err(self.paint.dim(harmless(text))),
            Show::Note(text) => self.put_err(self.paint.dim(harmless(&format!("- {text}")))),
            Show::Fault(text) => self.put_err(self.paint.red(harmless(&format!("! {text}")))),
        }
        Ok(())
    }

    /// The answer's line ends, and standard output ends in a line end.
    fn end_line(&mut self) -> io::Result<()> {
        let is_broken = std::mem::take(&mut self.line_is_broken);
        // A person sees an end already where something else was shown; a file holds the answer alone.
        if std::mem::take(&mut self.line_is_open) && !(is_broken && self.out.is_terminal) {
            self.put_out("\n")?;
        }
        Ok(())
    }

    fn put_out(&mut self, text: &str) -> io::Result<()> {
        if !(self.prompt_is_open && self.out.is_terminal) {
            self.out.to.write_all(text.as_bytes())?;
            return self.out.to.flush();
        }
        self.piece.push_str(text);
        // Above the prompt there are whole lines only.
        if let Some(end) = self.piece.rfind('\n') {
            let rest = self.piece.split_off(end + 1);
            let lines = std::mem::replace(&mut self.piece, rest);
            self.put_above(lines);
        }
        Ok(())
    }

    fn put_err(&mut self, text: String) {
        let mut line = text + "\n";
        if self.prompt_is_open && self.err.is_terminal {
            return self.put_above(line);
        }
        if self.line_is_open && !self.prompt_is_open && !std::mem::replace(&mut self.line_is_broken, true) {
            // On standard error: standard output holds the answer alone, wherever the two meet.
            line.insert(0, '\n');
        }
        self.write_err(&line);
    }

    fn put_above(&mut self, lines: String) {
        let lines = match &self.above {
            Some(above) => match above.send(lines) {
                Ok(()) => return,
                Err(unsent) => unsent.0,
            },
            None => lines,
        };
        // No line editor that could make room: better beside the prompt than not at all.
        self.write_err(&lines);
    }

    fn write_err(&mut self, lines: &str) {
        let _ = self
            .err
            .to
            .write_all(lines.as_bytes())
            .and_then(|()| self.err.to.flush());
    }
}

/// The text without what steers a terminal (C0, DEL and C1, but for line ends and tabs) or turns what is read around (the
/// overrides and isolates of bidirectional text).
fn harmless(text: &str) -> String {
    let text = text.replace("\r\n", "\n");
    let steers = |letter: char| match letter {
        '\n' | '\t' => false,
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        _ => letter.is_control(),
    };
    text.chars()
        .map(|letter| if steers(letter) { MARK } else { letter })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(text: &str) -> Show {
        Show::Answer(text.to_owned())
    }

    fn aside(text: &str) -> Show {
        Show::Aside(text.to_owned())
    }

    fn shown(shows: &[Show], is_terminal: bool) -> (String, String) {
        let paint = if is_terminal { Paint::Ansi } else { Paint::Plain };
        let mut screen = Screen::new((Vec::new(), is_terminal), (Vec::new(), is_terminal), paint);
        shows.iter().for_each(|show| screen.show(show).unwrap());
        (
            String::from_utf8(screen.out.to).unwrap(),
            String::from_utf8(screen.err.to).unwrap(),
        )
    }

    fn unpainted(text: &str) -> String {
        ["\x1b[2m", "\x1b[31m", "\x1b[0m"]
            .iter()
            .fold(text.to_owned(), |text, code| text.replace(code, ""))
    }

    #[test]
    fn standard_output_holds_the_answer_alone_and_nothing_is_glued_to_it() {
        let talk = [
            aside("assistant:"),
            answer("Half "),
            aside("  > tool"),
            answer("done."),
            Show::AnswerEnd,
            Show::AnswerEnd,
            Show::Note("bye".into()),
        ];
        let (out, err) = shown(&talk, false);
        assert_eq!(out, "Half done.\n");
        assert_eq!(err, "assistant:\n\n  > tool\n- bye\n");
    }

    #[test]
    fn an_answer_that_breaks_off_leaves_no_empty_lines_on_a_terminal() {
        let talk = [
            answer("Half"),
            Show::Note("cut".into()),
            Show::Note("again".into()),
            Show::AnswerEnd,
            Show::Fault("gone".into()),
        ];
        let (out, err) = shown(&talk, true);
        let err = unpainted(&err);
        assert_eq!((out.as_str(), err.as_str()), ("Half", "\n- cut\n- again\n! gone\n"));
        assert_eq!(shown(&talk, false).0, "Half\n");
    }

    #[test]
    fn an_answer_that_ends_its_line_gets_no_second_line_end() {
        assert_eq!(shown(&[answer("a\n"), Show::AnswerEnd], false).0, "a\n");
        assert_eq!(shown(&[answer("a\n"), answer(""), Show::AnswerEnd], false).0, "a\n");
        assert_eq!(shown(&[answer(""), Show::AnswerEnd], false).0, "");
        assert_eq!(shown(&[answer("a"), Show::Listing("b".into())], false).0, "a\nb\n");
    }

    #[test]
    fn an_answer_is_shown_whole_where_standard_error_is_gone() {
        struct Gone;
        impl Write for Gone {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut screen = Screen::new((Vec::new(), false), (Gone, false), Paint::Plain);
        for show in [
            aside("assistant:"),
            answer("all "),
            Show::Note("cut".into()),
            answer("of it"),
        ] {
            screen.show(&show).unwrap();
        }
        screen.show(&Show::AnswerEnd).unwrap();
        assert_eq!(String::from_utf8(screen.out.to).unwrap(), "all of it\n");
        let mut nobody = Screen::new((Gone, false), (Vec::new(), false), Paint::Plain);
        assert!(nobody.show(&answer("all")).is_err(), "nobody reads the answer");
    }

    #[test]
    fn where_asides_are_hidden_all_else_is_shown() {
        let mut screen = Screen::new((Vec::new(), false), (Vec::new(), false), Paint::Plain);
        screen.hide_asides();
        for show in [
            aside("dim"),
            answer("all"),
            Show::Note("note".into()),
            Show::Fault("no".into()),
        ] {
            screen.show(&show).unwrap();
        }
        assert_eq!(screen.out.to, b"all");
        assert_eq!(String::from_utf8(screen.err.to).unwrap(), "\n- note\n! no\n");
    }

    #[test]
    fn what_went_wrong_is_red_and_what_happens_beside_the_answer_is_dim() {
        let fault = [Show::Fault("no".into()), aside("dim")];
        assert_eq!(shown(&fault, false).1, "! no\ndim\n");
        assert_eq!(shown(&fault, true).1, "\x1b[31m! no\x1b[0m\n\x1b[2mdim\x1b[0m\n");
    }

    #[test]
    fn nothing_that_a_server_says_steers_a_terminal() {
        let evil = "a\x1b]0;title\x07b\x1b[2Jc\u{9b}31md\x08\x7f\r\n\te\rf";
        let (out, err) = shown(&[answer(evil), aside(evil), Show::Listing(evil.into())], true);
        assert!(out.starts_with("a\u{fffd}]0;title\u{fffd}b\u{fffd}[2Jc\u{fffd}31md\u{fffd}\u{fffd}\n\te\u{fffd}f"));
        let err = unpainted(&err);
        for text in [out, err] {
            let steers = text
                .chars()
                .find(|letter| letter.is_control() && !"\n\t".contains(*letter));
            assert_eq!(steers, None, "{text:?}");
        }
    }

    #[test]
    fn while_the_prompt_is_open_whole_lines_go_above_it() {
        struct Above(SyncSender<String>);
        impl ExternalPrinter for Above {
            fn print(&mut self, lines: String) -> rustyline::Result<()> {
                self.0.send(lines).unwrap();
                Ok(())
            }
        }
        let (sender, printed) = sync_channel(9);
        let mut screen = Screen::new((Vec::new(), true), (Vec::new(), true), Paint::Plain);
        screen.print_above(Above(sender));
        screen.prompt_opens().unwrap();
        for show in [answer("one\ntw"), Show::Note("note".into()), answer("o\nthr")] {
            screen.show(&show).unwrap();
        }
        let lines: Vec<String> = printed.iter().take(3).collect();
        assert_eq!(lines, ["one\n", "- note\n", "two\n"]);
        screen.prompt_closed().unwrap();
        screen.show(&answer("ee")).unwrap();
        screen.show(&Show::AnswerEnd).unwrap();
        assert_eq!(String::from_utf8(screen.out.to).unwrap(), "three\n");
    }
}
