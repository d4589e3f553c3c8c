//! What the server says once its port is open.
//!
//! Scripts read one line of it, and get that line alone; a person at a terminal is also told what was configured and how
//! to begin.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use crate::config::{AuthMode, Config, JournalKind, KeyAlgorithm};
use crate::paint::Paint;
use crate::telemetry::escaped;

/// The server that `sessile chat` talks to where it is not told of another.
const CHAT_KNOWS: &str = "http://127.0.0.1:8080";

/// What there is to tell.
#[derive(Debug, Clone)]
pub struct Facts<'a> {
    /// The address that the listener really got.
    pub address: SocketAddr,
    /// What was configured.
    pub config: &'a Config,
    /// Which layers the configuration was made of, in words.
    pub settings: &'a str,
}

/// The line that scripts read. Its form is a promise.
#[must_use]
pub fn line(address: SocketAddr) -> String {
    format!("sessile listens on http://{address}\n")
}

/// The same line with what a person wants to know around it.
#[must_use]
pub fn banner(facts: &Facts<'_>, paint: Paint) -> String {
    let page = page(facts);
    let config = facts.config;
    let rows = [
        ("settings", facts.settings.to_owned()),
        ("journal", journal(config)),
        ("users", users(config)),
        ("chat", chat(config, &page)),
        ("stop", stop(config.limits.drain_timeout)),
    ];
    let rows = rows.map(|(name, text)| format!("  {}  {}\n", paint.dim(format!("{name:<8}")), escaped(&text)));
    let version = paint.dim(format!("sessile {}", env!("CARGO_PKG_VERSION")));
    let line = line(facts.address);
    let line = paint.bold(line.trim_end());
    format!("{version}\n{line}\n{}", rows.concat())
}

/// Where a browser finds the page.
fn page(facts: &Facts<'_>) -> String {
    if let Some(url) = &facts.config.server.public_url {
        return url.clone();
    }
    let mut address = facts.address;
    // "Every interface" is no place to go to.
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    format!("http://{address}")
}

fn journal(config: &Config) -> String {
    match config.journal.kind {
        JournalKind::Sqlite => format!("SQLite in {}", config.data_dir.display()),
        JournalKind::Memory => "in memory: lost with the process".to_owned(),
    }
}

fn users(config: &Config) -> String {
    let signs = config.auth.keys.iter().any(|key| key.algorithm == KeyAlgorithm::HS256);
    match config.auth.mode {
        AuthMode::Guest => "guests, known by a cookie".to_owned(),
        AuthMode::Jwt if signs => "by token; `sessile token --user NAME` makes one for trying out".to_owned(),
        AuthMode::Jwt => format!("by token of {}", config.auth.issuer.as_deref().unwrap_or("its issuer")),
    }
}

fn chat(config: &Config, page: &str) -> String {
    let client = match page {
        CHAT_KNOWS => "sessile chat".to_owned(),
        elsewhere => format!("sessile chat --url {elsewhere}"),
    };
    match config.auth.mode {
        AuthMode::Guest => format!("open {page}, or run `{client}` in another terminal"),
        AuthMode::Jwt => {
            format!("open {page} with a token, or put it into SESSILE_TOKEN and run `{client}` in another terminal")
        }
    }
}

fn stop(drain: Duration) -> String {
    format!(
        "Ctrl-C drains: runs have {} to end; a second one ends at once",
        humantime::format_duration(drain)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Flag, Sources};

    fn configured(settings: &[(&str, &str)]) -> Config {
        let flag = |(key, value): &(&str, &str)| Flag {
            name: "--set",
            key: (*key).to_owned(),
            value: (*value).to_owned(),
        };
        Config::load(&Sources {
            flags: settings.iter().map(flag).collect(),
            ..Sources::default()
        })
        .unwrap()
    }

    fn told(address: &str, settings: &[(&str, &str)], paint: Paint) -> String {
        let facts = Facts {
            address: address.parse().unwrap(),
            config: &configured(settings),
            settings: "the defaults, 2 flags",
        };
        banner(&facts, paint)
    }

    const JWT: [(&str, &str); 4] = [
        ("auth.mode", "jwt"),
        ("auth.issuer", "https://login.example.org"),
        ("auth.audience", "sessile"),
        (
            "auth.keys",
            "[{ algorithm = \"HS256\", secret = \"a secret of at least thirty-two bytes\" }]",
        ),
    ];

    #[test]
    fn a_guests_server_tells_where_to_chat_and_what_it_keeps() {
        let version = env!("CARGO_PKG_VERSION");
        let expected = format!(
            "\
sessile {version}
sessile listens on http://127.0.0.1:8080
  settings  the defaults, 2 flags
  journal   SQLite in ./data
  users     guests, known by a cookie
  chat      open http://127.0.0.1:8080, or run `sessile chat` in another terminal
  stop      Ctrl-C drains: runs have 30s to end; a second one ends at once
"
        );
        assert_eq!(told("127.0.0.1:8080", &[], Paint::Plain), expected);
    }

    #[test]
    fn a_journal_in_memory_is_told_to_be_lost() {
        let told = told("127.0.0.1:8080", &[("journal.kind", "memory")], Paint::Plain);
        assert!(told.contains("lost with the process"), "{told}");
        assert!(!told.contains("./data"), "{told}");
    }

    #[test]
    fn a_server_of_tokens_tells_how_to_get_one_and_shows_no_secret() {
        let told = told("127.0.0.1:8080", &JWT, Paint::Plain);
        assert!(told.contains("sessile token --user NAME"), "{told}");
        assert!(told.contains("SESSILE_TOKEN"), "{told}");
        assert!(!told.contains("thirty-two"), "{told}");
        let foreign = [
            &JWT[..3],
            &[(
                "auth.keys",
                "[{ algorithm = \"RS256\", public_key_file = \"issuer.pem\" }]",
            )],
        ];
        let told = self::told("127.0.0.1:8080", &foreign.concat(), Paint::Plain);
        assert!(told.contains("by token of https://login.example.org"), "{told}");
        assert!(!told.contains("sessile token"), "{told}");
    }

    #[test]
    fn the_page_is_where_a_browser_can_go() {
        let public = [("server.public_url", "https://chat.example.org")];
        for (address, settings, page) in [
            ("127.0.0.1:9000", &[][..], "http://127.0.0.1:9000"),
            ("0.0.0.0:80", &[], "http://127.0.0.1:80"),
            ("[::]:80", &[], "http://[::1]:80"),
            ("127.0.0.1:8080", &public, "https://chat.example.org"),
        ] {
            let told = told(address, settings, Paint::Plain);
            let expected = format!("open {page}, or run `sessile chat --url {page}` in");
            assert!(told.contains(&expected), "{told}");
        }
    }

    #[test]
    fn the_line_for_scripts_stands_whole_in_it_and_paint_changes_no_word() {
        let address = "127.0.0.1:8080";
        let plain = told(address, &[], Paint::Plain);
        assert!(plain.contains(&format!("\n{}", line(address.parse().unwrap()))));
        let mut painted = told(address, &[], Paint::Ansi);
        assert_ne!(painted, plain);
        for code in ["\x1b[0m", "\x1b[1m", "\x1b[2m"] {
            painted = painted.replace(code, "");
        }
        assert_eq!(painted, plain);
    }

    #[test]
    fn a_path_cannot_steer_the_terminal() {
        let told = told("127.0.0.1:8080", &[("data_dir", "d\n\u{1b}[31m")], Paint::Plain);
        assert_eq!(told.lines().count(), 7, "{told}");
        assert!(!told.contains('\u{1b}'), "{told}");
    }
}
