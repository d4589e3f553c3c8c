//! The examples do what they say: they are what newcomers read first.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

#[test]
fn in_process_shows_two_users_who_do_not_see_each_other() {
    let output = example("in_process").output().unwrap();
    let told = succeeded(&output);
    assert!(told.contains("ada is told:") && told.contains("bob is told:"), "{told}");
    assert!(told.contains("tool_completed"), "{told}");
    assert!(told.ends_with("Neither saw the other's words.\n"), "{told}");
}

#[test]
fn ws_client_says_one_thing_and_prints_its_events() {
    let server = Server::start(&[]);
    let output = client(&server.address).arg("what is 12 * (3 + 4)?").output().unwrap();
    let told = succeeded(&output);
    let kinds: Vec<&str> = told.lines().filter_map(|line| line.split(' ').nth(1)).collect();
    assert_eq!(
        kinds[..3],
        ["agent_started", "agent_thinking", "tool_executing"],
        "{told}"
    );
    assert_eq!(kinds.last(), Some(&"agent_completed"), "{told}");
}

#[test]
fn ws_client_survives_a_cut() {
    let mut server = Server::start(SCRIPTED);
    let mut child = client(&server.address)
        .arg("stream")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let begun = lines.by_ref().find(|line| line.contains(" partial_result ")).unwrap();
    assert!(begun.contains("lorem ipsum"), "{begun}");
    server.kill_and_start_again();
    let rest: Vec<String> = lines.collect();
    let numbers = rest
        .iter()
        .map(|line| line.split(' ').next().unwrap().parse::<u64>().unwrap());
    assert!(
        numbers.is_sorted_by(|one, next| one + 1 == *next),
        "each event once: {rest:#?}"
    );
    assert!(rest.last().unwrap().contains(" agent_death "), "{rest:#?}");
    let output = child.wait_with_output().unwrap();
    let why = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && why.contains("agent_death"), "{why}");
}

#[test]
fn ws_client_says_that_there_is_no_server() {
    // The port of the discard service, where nobody listens.
    let output = client("127.0.0.1:9").arg("hello").output().unwrap();
    let why = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && why.contains("no server there"), "{why}");
}

#[test]
fn own_server_answers_with_its_own_agent_and_tool_and_has_what_comes_along() {
    let data = tempfile::tempdir().unwrap();
    build("own_server");
    let mut child = example("own_server")
        .arg("127.0.0.1:0")
        .env("SESSILE__DATA_DIR", data.path())
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let address = listens_at(&mut child);
    let own = client(&address).arg("stressed").output().unwrap();
    let mut chat = quiet(Command::new(env!("CARGO_BIN_EXE_sessile")));
    chat.args([
        "chat",
        "--url",
        &format!("http://{address}"),
        "--agent",
        "assistant",
        "--once",
        "hello",
    ]);
    let shared = chat
        .env("XDG_STATE_HOME", data.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let stopped = Command::new("sh")
        .args(["-c", &format!("kill -TERM {}", child.id())])
        .status();
    assert!(stopped.unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(0), "it drains as `sessile` does");
    let own = succeeded(&own);
    assert!(own.contains("backwards") && own.contains("desserts"), "{own}");
    let shared = succeeded(&shared);
    assert!(
        shared.contains("`backwards`"),
        "the assistant has the tool too: {shared}"
    );
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
    let address = listens_at(&mut child);
    (child, address)
}

/// Reads from a server's first line where it listens.
fn listens_at(child: &mut Child) -> String {
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let address = line.trim().strip_prefix("sessile listens on http://");
    address.unwrap_or_else(|| panic!("the server said {line:?}")).to_owned()
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
        if name.to_string_lossy().starts_with("SESSILE_") || name == "RUST_BACKTRACE" {
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
