//! ChromeDriver as a child process, the browsers that it starts, and the commands beyond WebDriver's own.

use std::fs::{self, File};
use std::process::{Child, Command, Stdio};

use fantoccini::wd::{Capabilities, WebDriverCompatibleCommand};
use fantoccini::{Client, ClientBuilder};
use http::Method;
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;
use url::{ParseError, Url};

use crate::server::eventually;

/// What to do where a browser can't be had.
const ADVICE: &str = "tests/run installs Chromium and ChromeDriver where they are missing: run that once";

/// How Chromium is started: without a screen, without anything that calls home, and blind to every host but this machine.
const FLAGS: [&str; 14] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--disable-breakpad",
    "--disable-dev-shm-usage",
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
    "--window-size=1280,800",
];

/// A running ChromeDriver. Its drop ends it and all its browsers.
pub struct Driver {
    child: Child,
    /// The processes of its browsers. They would outlive it.
    browsers: Vec<u64>,
    url: String,
    dir: TempDir,
}

impl Driver {
    /// Starts it on a free port.
    pub async fn start() -> Self {
        let dir = TempDir::new().unwrap();
        let (out, err) = (dir.path().join("out"), dir.path().join("err"));
        let child = Command::new("chromedriver")
            .arg("--port=0")
            // What it and its browsers leave behind goes with the test.
            .env("HOME", dir.path())
            .env("TMPDIR", dir.path())
            .stdin(Stdio::null())
            .stdout(File::create(&out).unwrap())
            .stderr(File::create(&err).unwrap())
            .spawn()
            .unwrap_or_else(|error| panic!("chromedriver can't be started ({error}); {ADVICE}"));
        let mut driver = Self {
            child,
            browsers: Vec::new(),
            url: String::new(),
            dir,
        };
        let port = eventually("ChromeDriver says where it listens", async || {
            let said = fs::read_to_string(&out).unwrap();
            let port = said.split("started successfully on port ").nth(1);
            match port.and_then(|rest| rest.split_once('.')) {
                Some((port, _)) => Ok(port.to_owned()),
                None => Err(format!("{said:?}, {:?}", fs::read_to_string(&err))),
            }
        })
        .await;
        driver.url = format!("http://127.0.0.1:{port}");
        driver
    }

    /// Starts a browser that knows nothing yet: no cookie, no history.
    pub async fn browser(&mut self) -> Client {
        let profile = self.dir.path().join(format!("profile-{}", self.browsers.len()));
        let mut flags: Vec<String> = FLAGS.map(str::to_owned).to_vec();
        flags.push(format!("--user-data-dir={}", profile.display()));
        let capabilities: Capabilities = serde_json::from_value(json!({
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
            "goog:chromeOptions": { "args": flags, "perfLoggingPrefs": { "enableNetwork": true, "enablePage": false } },
        }))
        .unwrap();
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities)
            .connect(&self.url)
            .await
            .unwrap_or_else(|error| panic!("Chromium can't be started ({error}); {ADVICE}"));
        let process = client.capabilities().and_then(|told| told["goog:processID"].as_u64());
        self.browsers
            .push(process.expect("ChromeDriver tells the browser's process"));
        client
    }

    /// Knows that its browsers have ended: their sessions were closed.
    pub fn all_closed(&mut self) {
        self.browsers.clear();
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // An error means that it has ended already.
        for browser in &self.browsers {
            let _ = Command::new("sh")
                .args(["-c", &format!("kill -KILL {browser}")])
                .stderr(Stdio::null())
                .status();
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A command that only ChromeDriver knows.
#[derive(Debug)]
pub struct Extension {
    endpoint: &'static str,
    body: Value,
}

impl Extension {
    /// One of the DevTools protocol.
    pub fn devtools(command: &str, parameters: &Value) -> Self {
        Self {
            endpoint: "goog/cdp/execute",
            body: json!({ "cmd": command, "params": parameters }),
        }
    }

    /// What a log holds since it was last asked for: `browser`, the console, or `performance`, what went over the network.
    pub fn log(kind: &str) -> Self {
        Self {
            endpoint: "se/log",
            body: json!({ "type": kind }),
        }
    }

    /// Lets the page do what a person would be asked about.
    pub fn permission(name: &str) -> Self {
        Self {
            endpoint: "permissions",
            body: json!({ "descriptor": { "name": name }, "state": "granted" }),
        }
    }
}

impl WebDriverCompatibleCommand for Extension {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        base.join(&format!("session/{}/{}", session.unwrap_or_default(), self.endpoint))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.body.to_string()))
    }
}
