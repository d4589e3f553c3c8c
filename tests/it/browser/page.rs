//! The page in one browser, as a test handles it: looks, waits, clicks, writes.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use fantoccini::elements::Element;
use fantoccini::key::Key;
use fantoccini::{Client, Locator};
use serde_json::{Value, json};

use super::driver::Extension;
use crate::server::eventually;

/// How much of a page's text a failure prints, in characters.
const TEXT_PRINTED: usize = 3_000;

/// One browser with the page.
#[derive(Clone)]
pub struct Page {
    name: String,
    client: Client,
    server: SocketAddr,
}

impl Page {
    pub fn new(name: &str, client: Client, server: SocketAddr) -> Self {
        Self {
            name: name.to_owned(),
            client,
            server,
        }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The WebDriver client, for what this type has no word for.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Loads an address of our server.
    pub async fn open(&self, path: &str) {
        let url = format!("http://{}{path}", self.server);
        self.client.goto(&url).await.unwrap();
    }

    pub async fn reload(&self) {
        self.client.refresh().await.unwrap();
    }

    /// Ends the browser.
    pub async fn close(self) {
        self.client.close().await.unwrap();
    }

    /// Runs statements in the page, past its content security policy; what they return.
    pub async fn run(&self, script: &str, arguments: Vec<Value>) -> Value {
        let ran = self.client.execute(script, arguments).await;
        ran.unwrap_or_else(|error| panic!("{script}: {error}"))
    }

    /// The value of an expression.
    pub async fn value(&self, expression: &str) -> Value {
        self.run(&format!("return ({expression});"), Vec::new()).await
    }

    /// Sends a command of the DevTools protocol.
    pub async fn devtools(&self, command: &str, parameters: Value) -> Value {
        let sent = self.client.issue_cmd(Extension::devtools(command, &parameters)).await;
        sent.unwrap_or_else(|error| panic!("{command}: {error}"))
    }

    /// Waits until an expression is truthy; its value.
    pub async fn sees(&self, what: &str, expression: &str) -> Value {
        // An expression over what is not there yet is no answer, and no failure.
        let script = format!("try {{ return ({expression}); }} catch (error) {{ return null; }}");
        let what = format!("{} sees {what}", self.name);
        eventually(&what, async || {
            let value = self.run(&script, Vec::new()).await;
            let truthy = !matches!(&value, Value::Null | Value::Bool(false)) && value != json!(0) && value != json!("");
            if truthy {
                return Ok(value);
            }
            Err(format!("`{expression}` is {value}\n{}", self.shown().await))
        })
        .await
    }

    /// Waits until the page is connected.
    pub async fn is_live(&self) {
        self.is("live").await;
    }

    /// Waits until the page says this of its connection.
    pub async fn is(&self, state: &str) {
        let expression = format!("document.getElementById('state').dataset.state === '{state}'");
        self.sees(&format!("that it is {state}"), &expression).await;
    }

    /// What a person could read on the page, and its state.
    async fn shown(&self) -> String {
        let text = self
            .value("`${document.getElementById('state')?.dataset.state}: ${document.body?.innerText}`")
            .await;
        text.as_str().unwrap_or_default().chars().take(TEXT_PRINTED).collect()
    }

    pub async fn find(&self, css: &str) -> Element {
        let found = self.client.find(Locator::Css(css)).await;
        match found {
            Ok(element) => element,
            Err(error) => panic!("{} finds no `{css}` ({error})\n{}", self.name, self.shown().await),
        }
    }

    /// Clicks on what can be clicked on by a person: it is shown, and nothing lies over it.
    pub async fn click(&self, css: &str) {
        self.sees(css, &format!("document.querySelector({})", json!(css))).await;
        if let Err(error) = self.find(css).await.click().await {
            panic!("{} can't click on `{css}` ({error})\n{}", self.name, self.shown().await);
        }
    }

    /// Writes into the composer and sends it.
    pub async fn say(&self, text: &str) {
        self.write(text).await;
        let composer = self.find("#content").await;
        composer.send_keys(&char::from(Key::Enter).to_string()).await.unwrap();
    }

    /// Writes into the composer.
    pub async fn write(&self, text: &str) {
        self.find("#content").await.send_keys(text).await.unwrap();
    }

    /// The shown text of the first element.
    pub async fn text(&self, css: &str) -> String {
        self.find(css).await.text().await.unwrap()
    }

    /// How many there are.
    pub async fn count(&self, css: &str) -> u64 {
        let expression = format!("document.querySelectorAll({}).length", json!(css));
        self.value(&expression).await.as_u64().unwrap()
    }

    /// Checks that the console holds no error but those with one of these words.
    pub async fn assert_clean_console(&self, allowed: &[&str]) {
        let faults: Vec<String> = self
            .log("browser")
            .await
            .iter()
            .filter(|entry| entry["level"] == "SEVERE")
            .map(|entry| entry["message"].as_str().unwrap_or_default().to_owned())
            .filter(|message| !allowed.iter().any(|words| message.contains(words)))
            .collect();
        assert!(
            faults.is_empty(),
            "errors in the console of {}:\n{}",
            self.name,
            faults.join("\n")
        );
    }

    /// Checks that every request went to our own server.
    pub async fn assert_own_origin_alone(&self) {
        let own = [format!("http://{}/", self.server), format!("ws://{}/", self.server)];
        // What has no host goes nowhere.
        let local = ["data:", "blob:", "about:"];
        for message in self.network().await {
            let parameters = &message["params"];
            let url = match message["method"].as_str() {
                Some("Network.requestWillBeSent") => &parameters["request"]["url"],
                Some("Network.webSocketCreated") => &parameters["url"],
                _ => continue,
            };
            let url = url.as_str().unwrap();
            let at_home =
                own.iter().any(|origin| url.starts_with(origin)) || local.iter().any(|kind| url.starts_with(kind));
            assert!(at_home, "{} asked for {url}", self.name);
        }
    }

    /// What went over the network since this was last asked, as messages of the DevTools protocol.
    pub async fn network(&self) -> Vec<Value> {
        let entries = self.log("performance").await.into_iter();
        entries
            .map(|entry| {
                let mut told: Value = serde_json::from_str(entry["message"].as_str().unwrap()).unwrap();
                told["message"].take()
            })
            .collect()
    }

    async fn log(&self, kind: &str) -> Vec<Value> {
        let told = self.client.issue_cmd(Extension::log(kind)).await.unwrap();
        told.as_array().unwrap().clone()
    }

    /// Saves a picture and what the console holds beside it; says where.
    pub async fn save(&self, path: &Path) -> String {
        let (picture, console) = (path.with_extension("png"), path.with_extension("log"));
        let shot = match self.client.screenshot().await {
            Ok(shot) => shot,
            Err(error) => return format!("it can't be pictured: {error}"),
        };
        fs::write(&picture, shot).unwrap();
        let lines: Vec<String> = self.log("browser").await.iter().map(Value::to_string).collect();
        fs::write(&console, lines.join("\n")).unwrap();
        format!("{} and {}", picture.display(), console.display())
    }
}
