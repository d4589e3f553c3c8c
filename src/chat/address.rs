//! Where the server is: reads `--url`, and refuses what would give a secret away.

use std::net::IpAddr;

use tokio_tungstenite::tungstenite::http::Uri;

/// The path of the session's socket.
const SESSION_PATH: &str = "/v1/session";

/// A server's address, read from any of its four forms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Whether TLS is spoken.
    pub is_tls: bool,
    /// The host, without brackets.
    pub host: String,
    /// The port; the scheme's own where none was written.
    pub port: u16,
    /// Host and port as the address had them, for `Host` and for people.
    authority: String,
}

/// Says why a text is no address of a server.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It can't be read.
    #[error("{0:?} is no address: write it as http://127.0.0.1:8080 or https://chat.example.org")]
    Unreadable(String),
    /// It holds a name or a password before the host.
    #[error("the address holds a name or a password: leave out what stands before the @")]
    Userinfo,
    /// It holds a query, and perhaps a token in it.
    #[error(
        "the address ends in a query: leave it out. A token never stands in an address; use --token-file or SESSILE_TOKEN"
    )]
    Query,
    /// Another path.
    #[error("the path {0:?} is not the server's: leave it out, or write {SESSION_PATH}")]
    Path(String),
}

impl std::str::FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let unreadable = || AddressError::Unreadable(text.to_owned());
        let uri: Uri = text.trim().parse().map_err(|_| unreadable())?;
        let is_tls = match uri.scheme_str() {
            Some("http" | "ws") => false,
            Some("https" | "wss") => true,
            _ => return Err(unreadable()),
        };
        let authority = uri.authority().ok_or_else(unreadable)?;
        if authority.as_str().contains('@') {
            return Err(AddressError::Userinfo);
        }
        if uri.query().is_some() {
            return Err(AddressError::Query);
        }
        if !["", "/", SESSION_PATH].contains(&uri.path()) {
            return Err(AddressError::Path(uri.path().to_owned()));
        }
        let host = authority.host().trim_matches(['[', ']']).to_ascii_lowercase();
        if host.is_empty() {
            return Err(unreadable());
        }
        // Not what the parser calls the port: it takes one that there can't be for none.
        let port = match authority.as_str().strip_prefix(authority.host()) {
            Some("") if is_tls => 443,
            Some("") => 80,
            rest => {
                let port = rest.and_then(|rest| rest.strip_prefix(':')?.parse().ok());
                port.filter(|port| *port > 0).ok_or_else(unreadable)?
            }
        };
        Ok(Self {
            is_tls,
            host,
            port,
            authority: authority.as_str().to_ascii_lowercase(),
        })
    }
}

impl Address {
    /// The address of the session's socket.
    #[must_use]
    pub fn socket(&self) -> String {
        let scheme = if self.is_tls { "wss" } else { "ws" };
        format!("{scheme}://{}{SESSION_PATH}", self.authority)
    }

    /// As a browser would name it: scheme, host and port.
    #[must_use]
    pub fn origin(&self) -> String {
        let scheme = if self.is_tls { "https" } else { "http" };
        format!("{scheme}://{}", self.authority)
    }

    /// Host and port, for a `Host` header.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Whether what is sent can be read by others on the way.
    #[must_use]
    pub fn is_in_the_open(&self) -> bool {
        let is_loopback = match self.host.parse::<IpAddr>() {
            Ok(ip) => ip.is_loopback(),
            Err(_) => self.host == "localhost",
        };
        !self.is_tls && !is_loopback
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_in_any_of_its_forms() {
        for (text, socket, origin) in [
            (
                "http://127.0.0.1:8080",
                "ws://127.0.0.1:8080/v1/session",
                "http://127.0.0.1:8080",
            ),
            (
                "ws://localhost:9/v1/session",
                "ws://localhost:9/v1/session",
                "http://localhost:9",
            ),
            (
                "https://Chat.example.org/",
                "wss://chat.example.org/v1/session",
                "https://chat.example.org",
            ),
            (
                " wss://[::1]:7443 ",
                "wss://[::1]:7443/v1/session",
                "https://[::1]:7443",
            ),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(
                (address.socket().as_str(), address.origin().as_str()),
                (socket, origin),
                "{text}"
            );
        }
        let address: Address = "https://[::1]".parse().unwrap();
        assert_eq!((address.host.as_str(), address.port), ("::1", 443));
        assert_eq!("http://h".parse::<Address>().unwrap().port, 80);
    }

    #[test]
    fn what_is_no_address_is_refused_with_the_mend() {
        for (text, word) in [
            ("", "write it as"),
            ("127.0.0.1:8080", "write it as"),
            ("ftp://host", "write it as"),
            ("http://", "write it as"),
            ("http://host:99999", "write it as"),
            ("http://ada:geheim@host", "leave out"),
            ("http://host?token=geheim", "--token-file"),
            ("wss://host/v1/session?ticket=geheim", "--token-file"),
            ("http://host/chat", "/v1/session"),
        ] {
            let refused = text.parse::<Address>().unwrap_err().to_string();
            assert!(refused.contains(word), "{text}: {refused}");
            assert!(!refused.contains("geheim"), "{refused}");
        }
    }

    #[test]
    fn only_plain_text_to_another_machine_is_in_the_open() {
        for (text, open) in [
            ("http://127.0.0.1:8080", false),
            ("http://127.9.9.9", false),
            ("http://localhost", false),
            ("http://[::1]", false),
            ("https://chat.example.org", false),
            ("http://chat.example.org", true),
            ("http://10.0.0.7", true),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().is_in_the_open(), open, "{text}");
        }
    }
}
