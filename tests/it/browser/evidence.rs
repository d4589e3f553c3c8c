//! What a browser keeps of a test beside the page: its console, its traffic, its picture.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::driver::Extension;
use super::page::Page;

impl Page {
    /// Checks that the console holds no error but those with one of these words.
    pub async fn assert_clean_console(&self, allowed: &[&str]) {
        let console = self.log("browser").await;
        let faults: Vec<&str> = console
            .iter()
            .filter(|entry| entry["level"] == "SEVERE")
            .filter_map(|entry| entry["message"].as_str())
            .filter(|message| !allowed.iter().any(|words| message.contains(words)))
            .collect();
        let name = &self.name;
        assert!(
            faults.is_empty(),
            "errors in the console of {name}:\n{}",
            faults.join("\n")
        );
    }

    /// What was asked for elsewhere than at our own server, since the beginning.
    pub async fn asked_elsewhere(&self) -> Vec<String> {
        let own = [format!("http://{}/", self.server), format!("ws://{}/", self.server)];
        // What has no host goes nowhere; `chrome:` is the tab that a browser begins with.
        let local = ["data:", "blob:", "about:", "chrome:"];
        let traffic = self.traffic().await;
        let asked = traffic.iter().filter_map(|message| {
            let parameters = &message["params"];
            match message["method"].as_str() {
                Some("Network.requestWillBeSent") => parameters["request"]["url"].as_str(),
                Some("Network.webSocketCreated") => parameters["url"].as_str(),
                _ => None,
            }
        });
        asked
            .filter(|url| {
                let mut known = own.iter().map(String::as_str).chain(local);
                !known.any(|origin| url.starts_with(origin))
            })
            .map(str::to_owned)
            .collect()
    }

    /// The frames of our protocol that the browser was sent, since the beginning.
    pub async fn frames(&self) -> Vec<Value> {
        let traffic = self.traffic().await;
        traffic
            .iter()
            .filter(|message| message["method"] == "Network.webSocketFrameReceived")
            .filter_map(|message| message["params"]["response"]["payloadData"].as_str())
            .filter_map(|data| serde_json::from_str(data).ok())
            .collect()
    }

    /// What went over the network since the beginning, as messages of the DevTools protocol.
    async fn traffic(&self) -> Vec<Value> {
        let news = self.log("performance").await;
        let mut traffic = self.traffic.borrow_mut();
        traffic.extend(news.iter().map(|entry| {
            let mut told: Value = serde_json::from_str(entry["message"].as_str().unwrap()).unwrap();
            told["message"].take()
        }));
        traffic.clone()
    }

    /// What a log holds since it was last asked for.
    async fn log(&self, kind: &str) -> Vec<Value> {
        let told = self.client.issue_cmd(Extension::log(kind)).await.unwrap();
        told.as_array().unwrap().clone()
    }

    /// Saves a picture of the page.
    pub async fn picture(&self, path: &Path) {
        fs::write(path, self.client.screenshot().await.unwrap()).unwrap();
    }

    /// Saves a picture, and what the console holds beside it; says where.
    pub async fn save(&self, path: &Path) -> String {
        let (picture, console) = (path.with_extension("png"), path.with_extension("log"));
        match self.client.screenshot().await {
            Ok(shot) => fs::write(&picture, shot).unwrap(),
            Err(error) => return format!("it can't be pictured: {error}"),
        }
        let lines: Vec<String> = self.log("browser").await.iter().map(Value::to_string).collect();
        fs::write(&console, lines.join("\n")).unwrap();
        format!("{} and {}", picture.display(), console.display())
    }
}
