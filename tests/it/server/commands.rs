//! The commands beside `serve`, and what a person at a terminal is shown.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use tempfile::TempDir;

use super::process::{command, output};
use super::{House, PATIENCE};

/// In each layer another secret. None may ever be printed.
const CANARIES: [&str; 3] = ["canary-of-the-file", "canary-of-the-environment", "canary-of-the-flag"];

fn keys(canary: &str) -> String {
    format!("[{{ algorithm = \"HS256\", secret = \"{canary}, thirty-two bytes of it\" }}]")
}

/// `sessile` in a directory of its own, where a file says who users are, with a secret in it.
fn sessile(dir: &TempDir, arguments: &[&str]) -> Command {
    let file = format!(
        "[auth]\nmode = \"jwt\"\nissuer = \"https://issuer.test\"\naudience = \"sessile\"\nkeys = {}\n",
        keys(CANARIES[0])
    );
    fs::write(dir.path().join("sessile.toml"), file).unwrap();
    let mut command = command();
    command
        .args(arguments)
        .args(["--config", "sessile.toml"])
        .current_dir(dir.path());
    command
}

fn line<'a>(text: &'a str, start: &str) -> &'a str {
    let found = text.lines().find(|line| line.starts_with(start));
    found.unwrap_or_else(|| panic!("{start:?} is missing in {text}"))
}

fn entries(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect()
}

#[test]
fn config_show_tells_what_the_server_would_use_and_where_it_was_set() {
    let dir = TempDir::new().unwrap();
    let flags = [
        "config",
        "show",
        "--listen",
        "127.0.0.1:9",
        "--set",
        "limits.restarts=4",
    ];
    let mut command = sessile(&dir, &flags);
    command.env("SESSILE__LIMITS__RUN_TIME", "2m");
    let (succeeded, out, err) = output(&mut command);
    assert!(succeeded && err.is_empty(), "{err}");
    assert!(!out.contains('\x1b'), "a pipe is no terminal: {out}");
    for (start, end) in [
        ("listen = \"127.0.0.1:9\" ", "# the flag --listen"),
        ("restarts = 4 ", "# the flag --set"),
        (
            "run_time = \"2m\" ",
            "# the environment variable SESSILE__LIMITS__RUN_TIME",
        ),
        ("mode = \"jwt\" ", "# the file sessile.toml"),
        ("json_depth = 32 ", "# the defaults"),
    ] {
        let line = line(&out, start);
        assert!(line.ends_with(end), "{line}");
    }
    let (_, changed, _) = output(command.arg("--changed"));
    assert!(
        changed.contains("run_time") && !changed.contains("json_depth"),
        "{changed}"
    );
    assert_eq!(entries(dir.path()), ["sessile.toml"], "nothing else was made");
}

#[test]
fn no_command_about_the_configuration_prints_a_secret_of_any_layer() {
    let dir = TempDir::new().unwrap();
    let flag = format!("auth.keys={}", keys(CANARIES[2]));
    for arguments in [
        &["config", "show"][..],
        &["config", "show", "--changed"],
        &["config", "show", "--json"],
        &["config", "check"],
        // Refused, and still no reason to tell.
        &["config", "show", "--set", "auth.leeway=1h"],
        &["config", "check", "--set", "agents.default=nobody"],
    ] {
        // One more layer each time: each secret is the one that counts once.
        for layers in 1..=3 {
            let mut command = sessile(&dir, arguments);
            if layers > 1 {
                command.env("SESSILE__AUTH__KEYS", keys(CANARIES[1]));
            }
            if layers > 2 {
                command.args(["--set", &flag]);
            }
            let (_, out, err) = output(&mut command);
            assert!(!(out.is_empty() && err.is_empty()));
            for canary in CANARIES {
                assert!(
                    !out.contains(canary) && !err.contains(canary),
                    "{arguments:?}: {out}{err}"
                );
            }
        }
    }
    // The canaries are what the configuration really holds.
    let (signed, token, err) = output(&mut sessile(&dir, &["token", "--user", "ada"]));
    assert!(signed && token.starts_with("ey"), "{err}");
}

#[test]
fn a_configuration_that_the_server_refuses_is_refused_alike_by_show_and_check() {
    let dir = TempDir::new().unwrap();
    for setting in ["limits.run_tme=1m", "limits.frame_bytes=0", "journal.kind=file"] {
        let mut said = ["config show", "config check", "serve"].map(|words| {
            let words: Vec<_> = words.split(' ').chain(["--set", setting]).collect();
            let (succeeded, out, err) = output(&mut sessile(&dir, &words));
            assert!(!succeeded && out.is_empty() && !err.is_empty(), "{out}{err}");
            err
        });
        said.sort();
        assert_eq!(said[0], said[2], "{setting}");
    }
    let (_, _, err) = output(&mut sessile(
        &dir,
        &[
            "config",
            "check",
            "--set",
            "limits.run_tme=1m",
            "--set",
            "limits.frame_bytes=0",
        ],
    ));
    assert_eq!(err.lines().count(), 2, "every fault at once: {err}");
}

#[test]
fn config_check_reads_what_the_server_would_read_and_makes_nothing() {
    let dir = TempDir::new().unwrap();
    let (succeeded, out, err) = output(&mut sessile(&dir, &["config", "check", "--data", "data"]));
    assert!(succeeded && err.is_empty(), "{err}");
    assert!(
        out.starts_with("configuration is valid: ") && out.lines().count() == 1,
        "{out}"
    );
    let key = "auth.keys=[{ algorithm = \"HS256\", secret_file = \"no.key\" }]";
    for (setting, word) in [
        (key, "no.key"),
        ("agents.default=nobody", "agents.default"),
        ("models.scripted_file=no.toml", "no.toml"),
        ("supply.file=no-supply.toml", "no-supply.toml"),
        ("server.web_dir=nowhere", "index.html"),
    ] {
        let (checked, out, said) = output(&mut sessile(&dir, &["config", "check", "--set", setting]));
        assert!(
            !checked && out.is_empty() && said.contains(word),
            "{setting}: {out}{said}"
        );
        let serve = [
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--journal",
            "memory",
            "--set",
            setting,
        ];
        let (_, _, refused) = output(&mut sessile(&dir, &serve));
        assert_eq!(said, refused, "the server says the same");
    }
    assert_eq!(entries(dir.path()), ["sessile.toml"], "nothing else was made");
}

#[test]
fn completions_are_printed_for_a_shell_and_the_shells_are_told() {
    let (succeeded, out, err) = output(command().args(["completions", "bash"]));
    assert!(
        succeeded && err.is_empty() && out.contains("complete -F _sessile"),
        "{err}"
    );
    let (succeeded, out, err) = output(command().args(["completions", "cmd"]));
    assert!(!succeeded && out.is_empty() && err.contains("fish"), "{err}");
}

#[test]
fn a_command_line_with_a_slip_is_refused_with_what_was_meant() {
    for (slip, meant) in [
        ("confg", "'config'"),
        ("--lisen=127.0.0.1:9", "'--listen'"),
        ("config chek", "'check'"),
        ("completions bsh", "'bash'"),
    ] {
        let ended = command().args(slip.split(' ')).output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.code() == Some(2) && said.contains(meant), "{slip}: {said}");
    }
}

#[test]
fn a_reader_who_has_read_enough_is_no_failure() {
    let mut child = command()
        .args(["config", "show"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let ended = child.wait_with_output().unwrap();
    assert!(ended.status.success() && ended.stderr.is_empty(), "{ended:?}");
}

#[tokio::test]
async fn a_script_is_told_the_address_and_nothing_else() {
    let mut server = House::new().start().await;
    server.signal("TERM");
    assert!(server.exit().await.success());
    assert_eq!(server.said(), format!("sessile listens on http://{}\n", server.address));
}

#[test]
fn a_person_at_a_terminal_is_greeted_before_the_log_begins_and_ctrl_c_drains() {
    let Some(mut terminal) = Terminal::start(&[]) else {
        return;
    };
    terminal.until("serving");
    let told = terminal.told.clone();
    let listens = told.find("\x1b[1msessile listens on http://127.0.0.1:").unwrap();
    assert!(listens < told.find("INFO").unwrap(), "{told}");
    for word in [
        "settings",
        "journal",
        "users",
        "sessile chat",
        "Ctrl-C",
        env!("CARGO_PKG_VERSION"),
    ] {
        assert!(told.contains(word), "{word} is missing in {told}");
    }
    terminal.press("\x03");
    terminal.until("stopped");
    assert!(terminal.end(), "it did not end well");
}

#[test]
fn at_a_terminal_without_colours_nothing_is_painted_neither_banner_nor_log() {
    let Some(mut terminal) = Terminal::start(&[("NO_COLOR", "1")]) else {
        return;
    };
    terminal.until("serving");
    assert!(!terminal.told.contains('\x1b'), "{}", terminal.told);
    assert!(
        terminal.told.contains("\nsessile listens on http://127.0.0.1:"),
        "{}",
        terminal.told
    );
    terminal.press("\x03");
    assert!(terminal.end(), "it did not end well");
}

/// A server at a terminal, which `script` (of Debian's bsdutils) plays.
struct Terminal {
    child: Child,
    pieces: Receiver<Vec<u8>>,
    told: String,
}

impl Terminal {
    /// None where there is no such program: what is shown at a terminal is then tested elsewhere.
    fn start(env: &[(&str, &str)]) -> Option<Self> {
        // `script` asks a shell to run it. One that waits for the server gets Ctrl-C too, and may tell an end of its own.
        let sessile = format!(
            "exec '{}' --listen 127.0.0.1:0 --journal memory",
            env!("CARGO_BIN_EXE_sessile")
        );
        let mut script = Command::new("script");
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("SESSILE__")) {
            script.env_remove(name);
        }
        let script = script
            .args(["-qec", &sessile, "/dev/null"])
            .env("SHELL", "/bin/sh")
            .env("TERM", "xterm")
            .env_remove("NO_COLOR")
            .envs(env.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let mut child = match script {
            Err(fault) if fault.kind() == std::io::ErrorKind::NotFound => return None,
            started => started.unwrap(),
        };
        let mut output = child.stdout.take().unwrap();
        let (sender, pieces) = channel();
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(length @ 1..) = output.read(&mut piece) {
                if sender.send(piece[..length].to_vec()).is_err() {
                    return;
                }
            }
        });
        Some(Self {
            child,
            pieces,
            told: String::new(),
        })
    }

    /// Reads on until this was shown.
    fn until(&mut self, text: &str) {
        while !self.told.contains(text) {
            let piece = self.pieces.recv_timeout(PATIENCE);
            let piece = piece.unwrap_or_else(|fault| panic!("{fault} before {text:?}; so far {:?}", self.told));
            self.told.push_str(&String::from_utf8_lossy(&piece));
        }
    }

    fn press(&mut self, keys: &str) {
        self.child.stdin.as_mut().unwrap().write_all(keys.as_bytes()).unwrap();
    }

    /// Waits for the end: whether the server ended well.
    fn end(&mut self) -> bool {
        while self.pieces.recv_timeout(PATIENCE).is_ok() {}
        self.child.wait().unwrap().success()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // An error means that it has ended already. The server's terminal goes away with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
