//! Where lines come from: a pipe, or a person at a terminal.
//!
//! At a terminal there is a prompt with line editing while nothing goes on; during a run the terminal is left as it is, and a
//! line that is typed whole is taken too. The editor blocks, so it has a thread of its own.

use std::fs::File;
use std::io::{self, BufRead, Read as _};
use std::os::fd::AsFd as _;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use rustyline::error::ReadlineError;
use rustyline::{Config, DefaultEditor, ExternalPrinter};
use tokio::net::unix::pipe;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::timeout;

use super::client::WAITING_MAX;

/// Longest line, and longest message from standard input, in bytes. Beyond: it is refused before anything is sent.
pub const INPUT_BYTES_MAX: usize = 1024 * 1024;

/// How long the line editor may take to give the terminal back.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// What stands before the line that is being written.
const PROMPT: &str = "> ";

/// What came in.
#[derive(Debug, PartialEq, Eq)]
pub enum Typed {
    /// A line.
    Line(String),
    /// A line that can't be taken, and why.
    Unreadable(&'static str),
    /// No more lines come.
    End,
    /// Ctrl-C at the prompt.
    Interrupt,
}

/// Reads standard input line by line, in a thread of its own that ends with the process.
#[must_use]
pub fn lines() -> Receiver<Typed> {
    let (sender, lines) = channel(WAITING_MAX);
    std::thread::spawn(move || {
        let mut input = io::stdin().lock();
        loop {
            let typed = next_line(&mut input);
            let is_end = typed == Typed::End;
            if sender.blocking_send(typed).is_err() || is_end {
                return;
            }
        }
    });
    lines
}

/// Reads standard input to its end, as one message.
///
/// # Errors
/// It can't be read, is not UTF-8, or is too long.
pub fn whole() -> Result<String, &'static str> {
    let mut bytes = Vec::new();
    let mut input = io::stdin().lock().take(INPUT_BYTES_MAX as u64 + 1);
    input
        .read_to_end(&mut bytes)
        .map_err(|_| "standard input can't be read")?;
    text(bytes)
}

fn next_line(input: &mut impl BufRead) -> Typed {
    let mut bytes = Vec::new();
    let read = input
        .by_ref()
        .take(INPUT_BYTES_MAX as u64 + 1)
        .read_until(b'\n', &mut bytes);
    match read {
        Ok(0) | Err(_) => Typed::End,
        Ok(_) => {
            if bytes.len() > INPUT_BYTES_MAX && input.skip_until(b'\n').is_err() {
                return Typed::End;
            }
            text(bytes).map_or_else(Typed::Unreadable, Typed::Line)
        }
    }
}

fn text(bytes: Vec<u8>) -> Result<String, &'static str> {
    if bytes.len() > INPUT_BYTES_MAX {
        return Err("a message has at most 1 MiB; send less at once");
    }
    String::from_utf8(bytes).map_err(|_| "a message is text in UTF-8; this is not")
}

/// A person's terminal.
pub struct Prompt {
    ask: SyncSender<()>,
    typed: Receiver<Typed>,
    is_open: bool,
}

impl Prompt {
    /// Prepares the line editor. Gives back what prints above its prompt, where the terminal can do that.
    ///
    /// # Errors
    /// The terminal can't be used.
    pub fn new() -> rustyline::Result<(Self, Option<impl ExternalPrinter + Send + 'static>)> {
        let config = Config::builder().auto_add_history(true).build();
        let mut editor = DefaultEditor::with_config(config)?;
        let printer = editor.create_external_printer().ok();
        let ((ask, asked), (answer, typed)) = (sync_channel(1), channel(1));
        std::thread::spawn(move || edit(&mut editor, &asked, &answer));
        let prompt = Self {
            ask,
            typed,
            is_open: false,
        };
        Ok((prompt, printer))
    }

    /// Whether a line is being written.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.is_open
    }

    /// Opens the prompt.
    pub fn open(&mut self) {
        self.is_open = self.ask.try_send(()).is_ok();
    }

    /// The line that is being written, or one that is typed whole where there is no prompt. Whoever drops the wait loses
    /// nothing.
    pub async fn next(&mut self) -> Typed {
        if !self.is_open {
            return during_a_run().await;
        }
        let typed = self.typed.recv().await.unwrap_or(Typed::End);
        self.is_open = false;
        typed
    }

    /// Takes the prompt away, so that the terminal is as it was before.
    pub async fn close(&mut self) {
        if self.is_open {
            // The editor has the signal's handler while it edits; it gives up the line and restores the terminal.
            let _ = nix::sys::signal::raise(nix::sys::signal::Signal::SIGINT);
            // A terminal without line editing was left as it is, and its reader hears no signal.
            let _ = timeout(CLOSE_TIMEOUT, self.typed.recv()).await;
            self.is_open = false;
        }
    }
}

fn edit(editor: &mut DefaultEditor, asked: &std::sync::mpsc::Receiver<()>, answer: &Sender<Typed>) {
    while asked.recv().is_ok() {
        let typed = match editor.readline(PROMPT) {
            Ok(line) if line.len() > INPUT_BYTES_MAX => Typed::Unreadable("a line has at most 1 MiB"),
            Ok(line) => Typed::Line(line),
            Err(ReadlineError::Interrupted | ReadlineError::Signal(_)) => Typed::Interrupt,
            Err(_) => Typed::End,
        };
        if answer.blocking_send(typed).is_err() {
            return;
        }
    }
}

/// A line that is typed while there is no prompt. The terminal itself gathers it.
async fn during_a_run() -> Typed {
    match whole_line().await {
        Ok(line) if line.is_empty() => Typed::End,
        Ok(line) => Typed::Line(line),
        // No line can be read now; the prompt comes back with the run's end.
        Err(_) => std::future::pending().await,
    }
}

async fn whole_line() -> io::Result<String> {
    let input = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    // Not a pipe, but the way to wait for a file without `unsafe`. Opened anew for each line: that tells at once where one is
    // there already.
    let input = pipe::Receiver::from_file_unchecked(input)?;
    input.readable().await?;
    // What is ready is one whole line: this doesn't block. The standard library's own reader would read ahead, and keep from
    // the line editor what is typed next.
    let mut bytes = [0; 4096];
    let length = input.try_read(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes[..length]).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(mut input: &[u8]) -> Vec<Typed> {
        let mut typed = Vec::new();
        while typed.last() != Some(&Typed::End) {
            typed.push(next_line(&mut input));
        }
        typed
    }

    #[test]
    fn lines_are_read_to_the_end_also_without_a_last_line_end() {
        let line = |text: &str| Typed::Line(text.to_owned());
        assert_eq!(
            read(b"one\n\ntwo"),
            [line("one\n"), line("\n"), line("two"), Typed::End]
        );
        assert_eq!(read(b""), [Typed::End]);
    }

    #[test]
    fn a_line_that_is_too_long_or_no_text_is_refused_and_the_next_one_is_whole() {
        let mut input = vec![b'x'; INPUT_BYTES_MAX + 100];
        input.extend_from_slice(b"\n\xff\nnext\n");
        let typed = read(&input);
        assert!(matches!(typed[0], Typed::Unreadable(why) if why.contains("1 MiB")));
        assert!(matches!(typed[1], Typed::Unreadable(why) if why.contains("UTF-8")));
        assert_eq!(typed[2..], [Typed::Line("next\n".to_owned()), Typed::End]);
        let fits = vec![b'x'; INPUT_BYTES_MAX];
        assert!(matches!(&read(&fits)[0], Typed::Line(line) if line.len() == INPUT_BYTES_MAX));
    }
}
