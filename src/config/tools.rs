//! What the operator says about tools that reach out of the process.

use std::time::Duration;

use ipnet::IpNet;
use reqwest::Url;
use serde::Deserialize;

use super::text;

/// Tools that are off until they are turned on.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tools {
    /// Reads public pages.
    pub http_fetch: HttpFetch,
}

/// The tool `http_fetch`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpFetch {
    /// Whether there is such a tool.
    pub enabled: bool,
    /// Whether pages are read without TLS too.
    pub allow_http: bool,
    /// Names whose addresses are not checked.
    pub allow_hosts: Vec<String>,
    /// Addresses that are read from although they are not public.
    #[serde(deserialize_with = "text::networks")]
    pub allow_addresses: Vec<IpNet>,
    /// Ports that are read from.
    pub ports: Vec<u16>,
    /// Redirects that are followed.
    pub redirects: usize,
    /// Bytes of a page that are read.
    pub bytes: usize,
    /// How long a page may take in all.
    #[serde(with = "humantime_serde")]
    pub time: Duration,
}

impl HttpFetch {
    /// What can't be used, each with the key at fault and what to write instead.
    pub(super) fn faults(&self) -> Vec<(&'static str, String)> {
        let mut faults = Vec::new();
        for host in &self.allow_hosts {
            let url = format!("https://{host}/").parse::<Url>().ok();
            if url.as_ref().and_then(Url::host_str) != Some(host) || host.ends_with('.') {
                let problem = format!("{host:?} is no name of a host in small letters such as \"wiki.example.org\"");
                faults.push(("tools.http_fetch.allow_hosts", problem));
            }
        }
        if self.ports.is_empty() || self.ports.contains(&0) {
            let problem = "it must name the ports to read from, such as [443]".to_owned();
            faults.push(("tools.http_fetch.ports", problem));
        }
        faults
    }
}
