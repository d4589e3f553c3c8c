//! Which host a request may be for, and which page it may come from.
//!
//! The host is judged first: a page of an attacker whose name resolves to our address (DNS rebinding) is "same origin" by
//! every other measure. Then the `Origin`, which browsers set and pages can't: a WebSocket has no other protection against
//! foreign pages (RFC 6455, section 10.2). A missing `Origin` is no browser's socket, and passes.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use actix_http::header::{HOST, HeaderMap, HeaderName, ORIGIN};

use super::AuthError;
use crate::config::Server;

/// Says why a text is no host or no origin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OriginError {
    /// Not a host with or without a port.
    #[error("{text:?} is no host: write \"name\" or \"name:port\", without scheme and path")]
    NotAHost {
        /// What was found.
        text: String,
    },
    /// Not a scheme, a host and perhaps a port.
    #[error("{text:?} is no origin: write \"https://name\" or \"https://name:port\", without path and user")]
    NotAnOrigin {
        /// What was found.
        text: String,
    },
}

/// A host with or without a port, as it stands in a `Host` header: lower case, IPv6 in its shortest form.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostName {
    name: String,
    port: Option<u16>,
}

impl FromStr for HostName {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        host(text).ok_or_else(|| OriginError::NotAHost { text: text.to_owned() })
    }
}

impl HostName {
    /// Whether it is a name of this very machine, which no resolver decides about.
    fn is_loopback(&self) -> bool {
        matches!(self.name.as_str(), "localhost" | "127.0.0.1" | "[::1]")
    }

    /// Whether a host of the list means this one: without a port it means every port.
    fn is_meant_by(&self, listed: &Self) -> bool {
        self.name == listed.name && (listed.port.is_none() || listed.port == self.port)
    }
}

/// Where a page comes from: scheme, host and port, with the scheme's own port left out.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    scheme: String,
    host: HostName,
}

impl FromStr for Origin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        origin(text).ok_or_else(|| OriginError::NotAnOrigin { text: text.to_owned() })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host.name)?;
        self.host.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl Origin {
    /// The scheme, in lower case.
    #[must_use]
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// Whether a request to this host, from a page of this origin, goes home.
    fn is_at(&self, host: &HostName) -> bool {
        let default = default_port(&self.scheme);
        default.is_some() && self.host.name == host.name && self.host.port.or(default) == host.port.or(default)
    }
}

/// Which hosts are ours and which pages may talk to us. Frozen at start.
#[derive(Debug, Clone)]
pub struct OriginPolicy {
    hosts: Vec<HostName>,
    origins: Vec<Origin>,
    public: Option<Origin>,
}

impl OriginPolicy {
    /// Reads the lists of the configuration. `bound` is the address that the listener really got.
    ///
    /// # Errors
    /// An entry of a list that can't be read; a loaded configuration has none.
    pub fn new(server: &Server, bound: SocketAddr) -> Result<Self, OriginError> {
        let mut hosts = server
            .public_hosts
            .iter()
            .map(|host| host.parse())
            .collect::<Result<Vec<_>, _>>()?;
        if !bound.ip().is_unspecified() {
            hosts.push(bound.to_string().parse()?);
        }
        let mut origins = server
            .allowed_origins
            .iter()
            .map(|origin| origin.parse())
            .collect::<Result<Vec<_>, _>>()?;
        let public = server.public_url.as_deref().map(str::parse::<Origin>).transpose()?;
        if let Some(public) = &public {
            hosts.push(public.host.clone());
            origins.push(public.clone());
        }
        Ok(Self { hosts, origins, public })
    }

    /// Checks `Host`, then `Origin`, and says where the request comes from (none: no browser's page).
    ///
    /// # Errors
    /// `BadRequest` where a header is missing, twice or can't be read, `Forbidden` where it isn't on the list.
    pub fn check(&self, headers: &HeaderMap) -> Result<Option<Origin>, AuthError> {
        let Some(host) = only(headers, &HOST)? else {
            return Err(AuthError::BadRequest("the request has no Host header: send one".into()));
        };
        self.check_parts(host, only(headers, &ORIGIN)?)
    }

    /// The same for the two headers' texts.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn check_parts(&self, host: &str, from: Option<&str>) -> Result<Option<Origin>, AuthError> {
        let unreadable = |error: OriginError| AuthError::BadRequest(error.to_string());
        let host: HostName = host.parse().map_err(unreadable)?;
        if !host.is_loopback() && !self.hosts.iter().any(|listed| host.is_meant_by(listed)) {
            let name = &host.name;
            return Err(AuthError::Forbidden(format!(
                "this server does not answer for the host {name:?}: use a listed one, or add it to server.public_hosts"
            )));
        }
        let Some(from) = from else { return Ok(None) };
        match from.parse::<Origin>() {
            Ok(origin) if self.may_enter(&origin, &host) => Ok(Some(origin)),
            _ => Err(AuthError::Forbidden(format!(
                "pages of the origin {from:?} may not talk to this server: open its own page, or add the origin to \
                 server.allowed_origins"
            ))),
        }
    }

    fn may_enter(&self, origin: &Origin, host: &HostName) -> bool {
        // Where the public address is https, a page that the network could have altered on its way (http) is not ours.
        let downgraded = |public: &Origin| {
            public.host.name == origin.host.name && public.scheme == "https" && origin.scheme != "https"
        };
        let listed = self.origins.contains(origin);
        listed || (origin.is_at(host) && !self.public.as_ref().is_some_and(downgraded))
    }
}

/// A header that may stand there once: a second one could be read by a proxy while we read the first.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, AuthError> {
    let mut all = headers.get_all(name);
    let (first, second) = (all.next(), all.next());
    if second.is_some() {
        return Err(AuthError::BadRequest(format!(
            "the header {name} stands twice: send it once"
        )));
    }
    let text = first.map(|value| value.to_str()).transpose();
    text.map_err(|_| AuthError::BadRequest(format!("the header {name} is not ASCII: send plain ASCII")))
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

fn origin(text: &str) -> Option<Origin> {
    let (scheme, rest) = text.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    let letters = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte);
    if !scheme.starts_with(|first: char| first.is_ascii_lowercase()) || !scheme.bytes().all(letters) {
        return None;
    }
    let mut host = host(rest)?;
    if host.port == default_port(&scheme) {
        host.port = None;
    }
    Some(Origin { scheme, host })
}

fn host(text: &str) -> Option<HostName> {
    let name_ends = if text.starts_with('[') {
        text.find(']')? + 1
    } else {
        text.find(':').unwrap_or(text.len())
    };
    let (name, port) = text.split_at(name_ends);
    let port = match port.strip_prefix(':') {
        Some(digits) => Some(canonical_port(digits)?),
        None if port.is_empty() => None,
        None => return None,
    };
    let name = match name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => format!("[{}]", address.parse::<Ipv6Addr>().ok()?),
        None => dns_name(name)?,
    };
    Some(HostName { name, port })
}

/// A port as a browser writes it: no sign, no leading zero.
fn canonical_port(digits: &str) -> Option<u16> {
    let port: u16 = digits.parse().ok()?;
    (port.to_string() == digits).then_some(port)
}

/// Letters, digits, hyphen, underscore and inner dots. A name with a dot at its end is another name, and not on any list.
fn dns_name(name: &str) -> Option<String> {
    let name = name.to_ascii_lowercase();
    let label = |label: &str| {
        !label.is_empty()
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    // What ends in a number is an IPv4 address, and has one spelling: 127.1 and 0x7f.1 don't pass as names.
    let last = name.rsplit('.').next()?;
    let numeric = last.bytes().all(|byte| byte.is_ascii_digit()) || last.starts_with("0x");
    (name.split('.').all(label) && (!numeric || name.parse::<Ipv4Addr>().is_ok())).then_some(name)
}

#[cfg(test)]
mod tests;
