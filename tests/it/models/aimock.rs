//! The whole against `@copilotkit/aimock`, a stand-in for the providers that others wrote: it reads our requests as they do.
//!
//! Needs Node and npm, and at its first run npm's registry; without npm there is nothing to run, and it says so.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::json;

use super::KEY;
use crate::server::{House, eventually};

/// The release that this was written against.
const PACKAGE: &str = "@copilotkit/aimock@1.43.0";

/// What it answers: a call first, and words once there is a result.
const FIXTURES: &str = r#"{"fixtures": [
    {"match": {"userMessage": "12 * 7", "hasToolResult": true}, "response": {"content": "It is 84."}},
    {"match": {"userMessage": "12 * 7"},
     "response": {"toolCalls": [{"name": "calculator", "arguments": "{\"expression\": \"12 * 7\"}"}]}}
]}"#;

/// The stand-in at work, killed when the test lets it go.
struct Stand {
    child: Child,
    url: String,
    log: PathBuf,
}

impl Stand {
    async fn start(program: &Path, directory: &Path) -> Self {
        let (fixtures, log) = (directory.join("fixtures.json"), directory.join("aimock.log"));
        fs::write(&fixtures, FIXTURES).unwrap();
        let out = File::create(&log).unwrap();
        let child = Command::new("node")
            .arg(program)
            .args(["--port", "0", "--strict", "--fixtures"])
            .arg(&fixtures)
            .stdin(Stdio::null())
            .stderr(out.try_clone().unwrap())
            .stdout(out)
            .spawn()
            .unwrap();
        let mut stand = Self {
            child,
            url: String::new(),
            log,
        };
        stand.url = eventually("aimock says where it listens", async || {
            let said = fs::read_to_string(&stand.log).unwrap();
            let url = said.split("listening on ").nth(1);
            match url.and_then(|rest| rest.split_once('\n')) {
                Some((url, _)) => Ok(url.trim().to_owned()),
                None => Err(said),
            }
        })
        .await;
        stand
    }
}

impl Drop for Stand {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("aimock's log:\n{}", fs::read_to_string(&self.log).unwrap_or_default());
        }
    }
}

/// The stand-in's program, installed where builds leave what tests need; none without npm or its registry.
fn installed() -> Option<PathBuf> {
    let npm = Command::new("npm").arg("--version").stdin(Stdio::null()).output();
    if !npm.is_ok_and(|output| output.status.success()) {
        return None;
    }
    let prefix = Path::new(env!("CARGO_TARGET_TMPDIR")).join("aimock");
    let program = prefix.join("node_modules/@copilotkit/aimock/dist/cli.js");
    if program.is_file() {
        return Some(program);
    }
    fs::create_dir_all(&prefix).unwrap();
    // A registry that can't be reached must not hold the other tests up.
    let install = Command::new("timeout")
        .args([
            "60",
            "npm",
            "install",
            "--no-audit",
            "--no-fund",
            "--ignore-scripts",
            PACKAGE,
            "--prefix",
        ])
        .arg(&prefix)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    if !(install.status.success() && program.is_file()) {
        let said = String::from_utf8_lossy(&install.stderr).into_owned();
        eprintln!("npm can't install {PACKAGE} here within a minute: {said}");
        return None;
    }
    Some(program)
}

#[tokio::test]
async fn an_agent_calls_a_tool_and_answers_with_every_provider() {
    let Some(program) = installed() else {
        eprintln!("without aimock nothing was tested here");
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let stand = Stand::start(&program, directory.path()).await;
    for (provider, path) in [
        ("openai", "/v1"),
        ("anthropic", "/v1"),
        ("gemini", "/v1beta"),
        ("ollama", ""),
    ] {
        let server = House::new()
            .env("A_KEY", KEY)
            .set("models.default=fast")
            .set(&format!("models.named.fast.provider={provider}"))
            .set("models.named.fast.model=m-1")
            .set(&format!("models.named.fast.base_url={}{path}", stand.url))
            .set("models.named.fast.api_key_env=A_KEY")
            .start()
            .await;
        let mut ada = server.connect(&server.guest().await).await;
        ada.say("12 * 7?").await;
        let frames = ada.run_to_end().await;
        let end = frames.last().unwrap();
        assert_eq!(end["payload"]["result"], "It is 84.", "{provider}: {frames:#?}");
        let tool = frames.iter().find(|frame| frame["type"] == "tool_completed").unwrap();
        assert_eq!(tool["payload"]["status"], "ok", "{provider}: {tool}");
        let usage = &end["payload"]["usage"];
        assert_eq!(
            (&usage["model_calls"], &usage["tool_calls"]),
            (&json!(2), &json!(1)),
            "{provider}"
        );
        // It counts for OpenAI's protocol alone.
        assert!(
            provider != "openai" || usage["output_tokens"].as_u64() > Some(0),
            "{usage}"
        );
    }
}
