//! `sessile chat`, the real program against a real server: what it prints where, how it ends, and how it goes on by itself.

mod identity;
mod line;
mod meanwhile;
mod once;
mod pipe;
mod terminal;

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use tempfile::TempDir;

use crate::server::Server;

/// How long a program may stay silent. Generous: the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// A person's home, in which a guest is kept, and the server that they talk to.
struct Home {
    state: TempDir,
    url: String,
}

/// How a program ended.
#[derive(Debug)]
struct Ended {
    code: i32,
    out: String,
    err: String,
}

impl Home {
    fn at(server: &Server) -> Self {
        Self::at_url(&format!("http://{}", server.address))
    }

    fn at_url(url: &str) -> Self {
        Self {
            state: tempfile::tempdir().unwrap(),
            url: url.to_owned(),
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sessile"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("SESSILE_") || name == "RUST_BACKTRACE" {
                command.env_remove(name);
            }
        }
        command
            .arg("chat")
            .args(arguments)
            .env("SESSILE_URL", &self.url)
            .env("XDG_STATE_HOME", self.state.path());
        command
    }

    /// Says one thing.
    fn once(&self, arguments: &[&str], text: &str) -> Ended {
        let arguments = [arguments, &["--once", text]].concat();
        self.piped(&arguments, b"")
    }

    /// Gives it all of its input at once.
    fn piped(&self, arguments: &[&str], input: &[u8]) -> Ended {
        let mut talk = Talk::begin(self.command(arguments));
        // It may end before it has read all: then there is nobody to write to.
        let _ = talk.input.as_mut().unwrap().write_all(input);
        talk.end()
    }
}

/// The program with its input and output in pipes.
struct Talk {
    child: Child,
    input: Option<ChildStdin>,
    pieces: Receiver<(Stream, Vec<u8>)>,
    out: Vec<u8>,
    err: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
enum Stream {
    Out,
    Err,
}

impl Talk {
    fn begin(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, pieces) = channel();
        gather(child.stdout.take().unwrap(), Stream::Out, sender.clone());
        gather(child.stderr.take().unwrap(), Stream::Err, sender);
        Self {
            input: child.stdin.take(),
            child,
            pieces,
            out: Vec::new(),
            err: Vec::new(),
        }
    }

    fn write(&mut self, line: &str) {
        writeln!(self.input.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Reads on until this was said on standard output.
    fn until_out(&mut self, text: &str) {
        while !String::from_utf8_lossy(&self.out).contains(text) {
            self.take(text);
        }
    }

    /// Reads on until this was said on standard error.
    fn until_err(&mut self, text: &str) {
        while !String::from_utf8_lossy(&self.err).contains(text) {
            self.take(text);
        }
    }

    fn take(&mut self, awaited: &str) {
        let piece = self.pieces.recv_timeout(PATIENCE);
        let so_far = || format!("{:?}", [&self.out, &self.err].map(|text| String::from_utf8_lossy(text)));
        match piece.unwrap_or_else(|fault| panic!("{fault} before {awaited:?}; so far {}", so_far())) {
            (Stream::Out, piece) => self.out.extend(piece),
            (Stream::Err, piece) => self.err.extend(piece),
        }
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("sh")
            .args(["-c", &format!("kill -{name} {}", self.child.id())])
            .status();
        assert!(sent.is_ok_and(|status| status.success()), "no {name} to the client");
    }

    /// Ends the input, and waits for the end of the program.
    fn end(mut self) -> Ended {
        drop(self.input.take());
        while let Ok((stream, piece)) = self.pieces.recv_timeout(PATIENCE) {
            match stream {
                Stream::Out => self.out.extend(piece),
                Stream::Err => self.err.extend(piece),
            }
        }
        // A client that hangs is ended here, and its test fails by its code.
        let _ = self.child.kill();
        let code = self.child.wait().unwrap().code().unwrap_or(-1);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Ended {
            code,
            out: text(&self.out),
            err: text(&self.err),
        }
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        // It has ended already where the test went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn gather(mut from: impl Read + Send + 'static, stream: Stream, to: Sender<(Stream, Vec<u8>)>) {
    std::thread::spawn(move || {
        let mut piece = [0; 4096];
        while let Ok(length @ 1..) = from.read(&mut piece) {
            if to.send((stream, piece[..length].to_vec())).is_err() {
                return;
            }
        }
    });
}
