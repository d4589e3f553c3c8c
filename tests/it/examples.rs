//! The examples do what they say: they are what newcomers read first.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use tempfile::TempDir;

/// How long a program may stay silent. Generous: the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn in_process_shows_two_users_who_do_not_see_each_other() {
    let output = example("in_process").output().unwrap();
    let told = succeeded(&output);
    assert!(told.contains("ada is told:") && told.contains("bob is told:"), "{told}");
    assert!(told.contains("tool_completed"), "{told}");
    assert!(told.ends_with("Neither saw the other's words.\n"), "{told}");
}

#[test]
fn ws_client_says_one_thing_and_is_told_what_the_readme_shows() {
    let server = Server::start(&[]);
    let output = client(&server.address)
        .args(["--once", "what is 12 * (3 + 4)?"])
        .output()
        .unwrap();
    assert_eq!(succeeded(&output), crate::readme::conversation());
}

#[test]
fn ws_client_answers_a_pipe_line_by_line() {
    let server = Server::start(&[]);
    let mut talk = Talk::begin(&server);
    talk.write("what is 2 + 3?\n\nwhat is 4 + 5?");
    let (told, is_well) = talk.end();
    assert!(
        is_well && told.contains("2 + 3 = 5.") && told.contains("4 + 5 = 9."),
        "{told}"
    );
}

#[test]
fn ws_client_stops_a_run_in_mid_answer() {
    let server = Server::start(SCRIPTED);
    let mut talk = Talk::begin(&server);
    talk.write("stream");
    talk.until("lorem ipsum lorem ipsum");
    talk.write("/stop");
    talk.until("! stopped:");
    talk.write("/quit");
    let (told, is_well) = talk.end();
    assert!(is_well, "{told}");
}

#[test]
fn ws_client_goes_on_by_itself_after_the_server_was_killed() {
    let mut server = Server::start(SCRIPTED);
    let mut talk = Talk::begin(&server);
    talk.write("stream");
    talk.until("lorem ipsum lorem ipsum");
    server.kill_and_start_again();
    talk.until("! the server went down during this run");
    talk.write("say this after the cut");
    talk.until("You said: say this after the cut");
    let (told, is_well) = talk.end();
    assert!(!is_well, "a run had no answer: {told}");
}

#[test]
fn ws_client_says_that_there_is_no_server() {
    // The port of the discard service, where nobody listens.
    let output = client("127.0.0.1:9").args(["--once", "hello"]).output().unwrap();
    let why = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && why.contains("no server there"), "{why}");
}

/// The model of the tests that need a long answer: it plays `config/scripted.toml`.
const SCRIPTED: &[&str] = &[
    "--set",
    concat!(
        "models.scripted_file=",
        env!("CARGO_MANIFEST_DIR"),
        "/config/scripted.toml"
    ),
];

/// A real server in a process of its own, which ends with it.
struct Server {
    child: Child,
    address: String,
    settings: &'static [&'static str],
    data: TempDir,
}

impl Server {
    fn start(settings: &'static [&'static str]) -> Self {
        let data = tempfile::tempdir().unwrap();
        let (child, address) = serve("127.0.0.1:0", settings, data.path());
        Self {
            child,
            address,
            settings,
            data,
        }
    }

    fn kill_and_start_again(&mut self) {
        self.kill();
        (self.child, self.address) = serve(&self.address, self.settings, self.data.path());
    }

    fn kill(&mut self) {
        // It has ended already: then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Starts the server and reads from its first line where it listens.
fn serve(listen: &str, settings: &[&str], data: &Path) -> (Child, String) {
    let mut child = quiet(Command::new(env!("CARGO_BIN_EXE_sessile")))
        .args(["--listen", listen, "--data"])
        .arg(data)
        .args(settings)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let address = line.trim().strip_prefix("sessile listens on http://");
    let address = address.unwrap_or_else(|| panic!("the server said {line:?}")).to_owned();
    (child, address)
}

/// `ws_client` with its input and output in a pipe.
struct Talk {
    child: Child,
    input: ChildStdin,
    pieces: Receiver<Vec<u8>>,
    told: String,
}

impl Talk {
    fn begin(server: &Server) -> Self {
        let mut child = client(&server.address)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (input, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (sender, pieces) = channel();
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(length @ 1..) = output.read(&mut piece) {
                if sender.send(piece[..length].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self {
            child,
            input,
            pieces,
            told: String::new(),
        }
    }

    fn write(&mut self, line: &str) {
        writeln!(self.input, "{line}").unwrap();
    }

    /// Reads on until this was said.
    fn until(&mut self, text: &str) {
        while !self.told.contains(text) {
            let piece = self.pieces.recv_timeout(PATIENCE);
            let piece = piece.unwrap_or_else(|fault| panic!("{fault} before {text:?}; so far {:?}", self.told));
            self.told.push_str(&String::from_utf8_lossy(&piece));
        }
    }

    /// Ends the input; gives back all that was said, and whether all of it was well.
    fn end(self) -> (String, bool) {
        let Self {
            mut child,
            input,
            pieces,
            mut told,
        } = self;
        drop(input);
        while let Ok(piece) = pieces.recv_timeout(PATIENCE) {
            told.push_str(&String::from_utf8_lossy(&piece));
        }
        // A client that hangs is ended here, and its test fails by what it did not say.
        let _ = child.kill();
        let is_well = child.wait().unwrap().success();
        (told, is_well)
    }
}

fn client(address: &str) -> Command {
    let mut client = example("ws_client");
    client.args(["--url", &format!("ws://{address}/v1/session")]);
    client
}

/// An example, as `cargo test` builds it beside this test; built here where `cargo test --test it` did not.
pub fn example(name: &str) -> Command {
    let built = target().join("examples").join(name);
    if is_stale(&built) {
        build(name);
    }
    quiet(Command::new(built))
}

/// Builds an example, or sees that it is built.
pub fn build(name: &str) {
    let mut build = quiet(Command::new(env!("CARGO")));
    build
        .args(["build", "--quiet", "--example", name])
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    if target().ends_with("release") {
        build.arg("--release");
    }
    assert!(build.status().unwrap().success(), "{name} can't be built");
}

/// Where this test was built.
fn target() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    tests.parent().and_then(Path::parent).unwrap().to_owned()
}

/// Whether an example is not there, or older than this very test.
fn is_stale(built: &Path) -> bool {
    let newest = |path: &Path| fs::metadata(path).and_then(|file| file.modified()).ok();
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    newest(built).is_none_or(|built| newest_in(&sources).is_some_and(|source| source > built))
}

fn newest_in(folder: &Path) -> Option<std::time::SystemTime> {
    let entries = fs::read_dir(folder).ok()?.flatten();
    let times = entries.filter_map(|entry| match entry.path() {
        path if path.is_dir() => newest_in(&path),
        path => fs::metadata(path).and_then(|file| file.modified()).ok(),
    });
    times.max()
}

/// Without what the caller's environment says of Sessile or of backtraces.
fn quiet(mut command: Command) -> Command {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SESSILE__") || name == "RUST_BACKTRACE" {
            command.env_remove(name);
        }
    }
    command
}

pub fn succeeded(output: &Output) -> String {
    let (told, faults) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{told}\n{faults}");
    told.into_owned()
}
