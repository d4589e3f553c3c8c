//! A person at a terminal: a prompt while nothing goes on, the answer as it comes, and the terminal as it was in the end.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};

use nix::pty::openpty;
use nix::sys::termios::{LocalFlags, tcgetattr};

use super::{Home, PATIENCE};
use crate::server::{House, Server};

/// The program at a terminal of its own.
struct Terminal {
    child: Child,
    keys: File,
    screen: Receiver<Vec<u8>>,
    seen: String,
    slave: OwnedFd,
}

impl Terminal {
    fn at(server: &Server) -> Self {
        let pty = openpty(None, None).unwrap();
        let stream = || Stdio::from(pty.slave.try_clone().unwrap());
        let child = Home::at(server)
            .command(&[])
            .env("TERM", "xterm")
            .env_remove("NO_COLOR")
            .stdin(stream())
            .stdout(stream())
            .stderr(stream())
            .spawn()
            .unwrap();
        let keys = File::from(pty.master);
        let mut from = keys.try_clone().unwrap();
        let (sender, screen) = channel();
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(length @ 1..) = from.read(&mut piece) {
                if sender.send(piece[..length].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self {
            child,
            keys,
            screen,
            seen: String::new(),
            slave: pty.slave,
        }
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Reads on until this is seen, and forgets what came up to it.
    fn until(&mut self, text: &str) -> String {
        loop {
            if let Some(at) = self.seen.find(text) {
                let rest = self.seen.split_off(at + text.len());
                return std::mem::replace(&mut self.seen, rest);
            }
            let piece = self.screen.recv_timeout(PATIENCE);
            let piece = piece.unwrap_or_else(|fault| panic!("{fault} before {text:?}; so far {:?}", self.seen));
            self.seen.push_str(&String::from_utf8_lossy(&piece));
        }
    }

    /// Waits for the prompt.
    fn prompt(&mut self) -> String {
        self.until("> \r\x1b[2C")
    }

    /// Whether the terminal gathers lines by itself, as a shell wants to find it.
    fn is_as_before(&self) -> bool {
        let flags = tcgetattr(&self.slave).unwrap().local_flags;
        flags.contains(LocalFlags::ICANON | LocalFlags::ECHO)
    }

    fn end(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It has ended already where the test went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn a_person_writes_at_a_prompt_and_edits_what_they_wrote_before() {
    let server = House::scripted().start().await;
    let mut terminal = Terminal::at(&server);
    assert!(terminal.prompt().contains("you are guest-"));
    terminal.press("hellp\x7fo\r");
    terminal.until("You said: hello\r\n");
    terminal.prompt();
    assert!(!terminal.is_as_before(), "the line editor has it");
    // Up: the line before, in the history.
    terminal.press("\x1b[A!\r");
    terminal.until("You said: hello!\r\n");
    terminal.prompt();
    terminal.press("\x04");
    assert_eq!(terminal.end(), Some(0));
    assert!(terminal.is_as_before());
}

#[tokio::test]
async fn a_line_that_is_typed_during_a_run_acts_at_once() {
    let server = House::scripted().start().await;
    let mut terminal = Terminal::at(&server);
    terminal.prompt();
    terminal.press("hang\r");
    terminal.until("This much was said ");
    assert!(terminal.is_as_before(), "no line editor during a run");
    terminal.press("/stop\n");
    terminal.until("! stopped: from the terminal");
    terminal.prompt();
    terminal.press("/quit\r");
    assert_eq!(
        terminal.end(),
        Some(0),
        "who ends it at a terminal has seen how it went"
    );
}

#[tokio::test]
async fn a_call_that_needs_approval_waits_until_its_person_decides() {
    let script = r#"
[[turn]]
steps = [{ call = { name = "corpus_delete", arguments = { document_id = "${message}" } } }]
then = [{ text = "So be it." }]
"#;
    let server = House::playing(script).start().await;
    let mut terminal = Terminal::at(&server);
    for (command, outcome) in [
        ("/deny not that one", "? denied: not that one"),
        ("/approve", "? approved"),
    ] {
        terminal.prompt();
        terminal.press("00000000-0000-4000-8000-000000000007\r");
        let asked = terminal.until("/deny [NOTE] does not; it waits ");
        assert!(
            asked.contains("corpus_delete {\"document_id\":\"00000000-0000-4000-8000-000000000007\"}"),
            "{asked}"
        );
        terminal.press(&format!("{command}\n"));
        terminal.until(outcome);
        terminal.until("So be it.\r\n");
    }
    terminal.prompt();
    terminal.press("\x04");
    assert_eq!(terminal.end(), Some(0));
}

#[tokio::test]
async fn what_happens_meanwhile_stands_above_the_prompt_and_takes_nothing_from_it() {
    let server = House::scripted().start().await;
    let mut terminal = Terminal::at(&server);
    terminal.prompt();
    terminal.press("half ");
    terminal.until("half ");
    let server = server.crash_in_place().await;
    terminal.until("- the line is cut; connecting again");
    terminal.until("- connected again");
    terminal.press("and whole\r");
    terminal.until("You said: half and whole\r\n");
    terminal.prompt();
    terminal.press("\x03");
    assert_eq!(terminal.end(), Some(130));
    drop(server);
}

#[tokio::test]
async fn what_is_written_while_the_line_is_down_is_kept_and_sent() {
    let mut server = House::scripted().start().await;
    let mut terminal = Terminal::at(&server);
    terminal.prompt();
    server.signal("KILL");
    server.exit().await;
    terminal.until("connecting again");
    terminal.press("kept words\r");
    terminal.until("this is kept and sent later");
    let _server = server.start_in_place().await;
    terminal.until("You said: kept words\r\n");
}

#[tokio::test]
async fn a_signal_at_the_prompt_leaves_the_terminal_as_it_was() {
    let server = House::scripted().start().await;
    let mut terminal = Terminal::at(&server);
    terminal.prompt();
    terminal.press("half a line");
    terminal.until("half a line");
    let sent = std::process::Command::new("sh")
        .args(["-c", &format!("kill -TERM {}", terminal.child.id())])
        .status();
    assert!(sent.unwrap().success());
    assert_eq!(terminal.end(), Some(143));
    assert!(terminal.is_as_before());
}
