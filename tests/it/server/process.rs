//! A server as a child process, in a directory of its own, killed when the test lets it go.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::client::{Client, Door, Place, User};
use super::eventually;
use super::http::{Answer, ask};

/// The settings of a server that wants tokens.
const JWT: &str = r#"
[auth]
mode = "jwt"
issuer = "https://issuer.test"
audience = "sessile"
keys = [{ algorithm = "HS256", secret = "a secret of at least thirty-two bytes" }]
"#;

/// Where a server lives: its settings, its data, and what it prints. Outlives its process.
pub struct House {
    dir: TempDir,
    listen: String,
    data: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
}

/// A running server.
pub struct Server {
    pub address: SocketAddr,
    house: House,
    child: Child,
}

impl House {
    /// A house with an empty data directory and the offline model.
    pub fn new() -> Self {
        let dir = TempDir::new().unwrap();
        Self {
            listen: "127.0.0.1:0".to_owned(),
            data: dir.path().join("data"),
            dir,
            arguments: Vec::new(),
            environment: Vec::new(),
        }
    }

    /// A house whose assistant plays [`SCRIPT`](super::SCRIPT).
    pub fn scripted() -> Self {
        Self::playing(super::SCRIPT)
    }

    /// A house whose assistant plays this script.
    pub fn playing(script: &str) -> Self {
        let mut house = Self::new();
        let script = house.file("script.toml", script);
        house.arguments.push("--set".to_owned());
        house.arguments.push(format!("models.scripted_file={script}"));
        house
    }

    /// Knows its users by their tokens, which `sessile token` signs in this house.
    pub fn with_tokens(self) -> Self {
        self.config(JWT)
    }

    /// Sets a key, as in `limits.run_time=2m`.
    pub fn set(mut self, setting: &str) -> Self {
        self.arguments.extend(["--set", setting].map(str::to_owned));
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Reads settings from a file with this text.
    pub fn config(mut self, text: &str) -> Self {
        let path = self.file("sessile.toml", text);
        self.arguments.extend(["--config".to_owned(), path]);
        self
    }

    /// Listens elsewhere.
    pub fn listen(mut self, address: &str) -> Self {
        address.clone_into(&mut self.listen);
        self
    }

    /// Keeps its data elsewhere.
    pub fn data_in(mut self, directory: &Path) -> Self {
        directory.clone_into(&mut self.data);
        self
    }

    /// Where its data is.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Runs `sessile` with other arguments in this house's configuration, to its end.
    pub fn run(&self, arguments: &[&str]) -> (bool, String, String) {
        let mut command = command();
        command
            .args(arguments)
            .arg("--config")
            .arg(self.dir.path().join("sessile.toml"))
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        output(&mut command)
    }

    /// Starts a server that must refuse to; what it says.
    pub fn refusal(&self) -> String {
        let (succeeded, out, err) = output(&mut self.command());
        assert!(!succeeded && out.is_empty(), "it started: {out}{err}");
        err
    }

    /// Starts the server and waits until it takes sockets.
    pub async fn start(self) -> Server {
        let (out, err) = (self.dir.path().join("out"), self.dir.path().join("err"));
        let log = File::options().create(true).append(true).open(&err).unwrap();
        let child = self
            .command()
            .stdin(Stdio::null())
            .stdout(File::create(&out).unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        // From here on its drop kills the child, whatever fails.
        let mut server = Server {
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            house: self,
            child,
        };
        server.address = eventually("the server says where it listens", async || {
            let said = fs::read_to_string(&out).unwrap();
            let address = said.split("sessile listens on http://").nth(1);
            match address.filter(|rest| rest.ends_with('\n')) {
                Some(address) => Ok(address.trim().parse().unwrap()),
                None => Err(format!("{said:?}, {:?}", fs::read_to_string(&err))),
            }
        })
        .await;
        server
    }

    fn command(&self) -> Command {
        let mut command = command();
        command
            .args(["--listen", &self.listen])
            .arg("--data")
            .arg(&self.data)
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.dir.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    }
}

impl Server {
    /// A guest that the server has just made.
    pub async fn guest(&self) -> User {
        let answer = self.call("POST", "/v1/tickets", &[], None).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let cookie = answer
            .header("set-cookie")
            .unwrap()
            .split(';')
            .next()
            .unwrap()
            .to_owned();
        User::guest(answer.json()["user_id"].as_str().unwrap(), cookie)
    }

    /// Opens a new session.
    pub async fn connect(&self, user: &User) -> Client {
        self.open(Door::of(user)).await
    }

    /// Goes on with a session.
    pub async fn resume(&self, user: &User, place: &Place) -> Client {
        self.open(Door::of(user).back_to(place)).await
    }

    /// Opens a socket and takes its first frame.
    pub async fn open(&self, door: Door) -> Client {
        let mut client = self.knock(door).await;
        client.establish().await;
        client
    }

    /// Opens a socket. What comes first on it, a verdict perhaps, is the test's to read.
    pub async fn knock(&self, door: Door) -> Client {
        door.open(self.address)
            .await
            .unwrap_or_else(|status| panic!("refused with {status}"))
    }

    /// Asks as a user.
    pub async fn ask(&self, user: &User, method: &str, path: &str, body: Option<Value>) -> Answer {
        self.call(method, path, &[user.header()], body).await
    }

    /// Asks with these headers.
    pub async fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<Value>) -> Answer {
        ask(self.address, method, path, headers, body).await
    }

    /// Waits until this many sessions are in memory.
    pub async fn settles_at(&self, sessions: u64) {
        eventually("sessions leave memory", async || {
            let answer = self.call("GET", "/readyz", &[], None).await;
            match answer.json()["sessions"].as_u64() {
                Some(counted) if counted == sessions => Ok(()),
                _ => Err(format!("{answer:?}")),
            }
        })
        .await;
    }

    /// Sends a signal, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("sh")
            .args(["-c", &format!("kill -{name} {}", self.child.id())])
            .status();
        assert!(sent.is_ok_and(|status| status.success()), "no {name} to the server");
    }

    /// Waits for the end of the process.
    pub async fn exit(&mut self) -> ExitStatus {
        let child = &mut self.child;
        let log = self.house.dir.path().join("err");
        eventually("the server ends", async || match child.try_wait().unwrap() {
            Some(status) => Ok(status),
            None => Err(fs::read_to_string(&log).unwrap()),
        })
        .await
    }

    /// Stops it in good order and starts it again on the same data.
    pub async fn restart(mut self) -> Self {
        self.signal("TERM");
        let status = self.exit().await;
        assert!(status.success(), "{status}: {}", self.log());
        self.start_again().await
    }

    /// Kills it without a warning and starts it again on the same data.
    pub async fn crash(mut self) -> Self {
        self.die().await;
        self.start_again().await
    }

    /// Kills it without a warning. Its house stands empty until it is started again.
    pub async fn die(&mut self) {
        self.child.kill().unwrap();
        self.exit().await;
    }

    /// Kills it without a warning and starts it again on the same data, at the same address.
    pub async fn crash_in_place(mut self) -> Self {
        self.die().await;
        self.start_in_place().await
    }

    /// Starts a server anew where one has ended, at the same address.
    pub async fn start_in_place(mut self) -> Self {
        self.house.listen = self.address.to_string();
        self.start_again().await
    }

    /// Starts a server anew where one has ended.
    pub async fn start_again(mut self) -> Self {
        assert!(self.child.try_wait().unwrap().is_some(), "the server still runs");
        let house = std::mem::replace(&mut self.house, House::new());
        house.start().await
    }

    /// What it has logged, over all its starts.
    pub fn log(&self) -> String {
        fs::read_to_string(self.house.dir.path().join("err")).unwrap()
    }

    /// Waits for a line in the log.
    pub async fn logged(&self, text: &str) {
        eventually(text, async || {
            let log = self.log();
            if log.contains(text) { Ok(()) } else { Err(log) }
        })
        .await;
    }

    /// What it has said on standard output since its start.
    pub fn said(&self) -> String {
        fs::read_to_string(self.house.dir.path().join("out")).unwrap()
    }

    /// The house, for what can be asked of it while the server runs.
    pub fn house(&self) -> &House {
        &self.house
    }

    /// Its resident memory, in bytes.
    pub fn resident_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the server's log:\n{}", self.log());
        }
    }
}

/// `sessile`, not yet started.
pub fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sessile"));
    // The settings of whoever runs the tests are not the tests'.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("SESSILE__")) {
        command.env_remove(name);
    }
    command
}

/// Runs a command to its end: whether it succeeded, and what it said.
pub fn output(command: &mut Command) -> (bool, String, String) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.success(), text(output.stdout), text(output.stderr))
}
