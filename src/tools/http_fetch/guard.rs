//! Who may be reached: judges addresses before a request, and the names' addresses at the moment of connecting.
//!
//! A name is resolved once per connection, and the connection goes to what was checked: a name that means something else
//! a moment later changes nothing.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::address::why_not_public;
use crate::config::HttpFetch as Settings;

/// Addresses of one name that are looked at. A name with more is refused: nobody needs them, and each is checked.
const ADDRESSES: usize = 64;

/// Finds the addresses of a name.
pub(super) type Lookup = Arc<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> + Send + Sync>;

/// Asks the system.
pub(super) fn system() -> Lookup {
    Arc::new(|name| {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name, 0)).await?;
            Ok(found.take(ADDRESSES + 1).map(|address| address.ip()).collect())
        })
    })
}

/// Why something may not be fetched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error("it is no address such as https://example.org/page: write it whole")]
    NoAddress,
    #[error("only https:// is fetched")]
    Scheme,
    #[error("an address with a user name or a password is not fetched: leave out what stands before the @")]
    Credentials,
    #[error("port {port} is not fetched from: use one of {allowed:?}")]
    Port { port: u16, allowed: Vec<u16> },
    #[error("`{host}` is not on the public internet: its address is {what}")]
    NotPublic { host: String, what: &'static str },
    #[error("`{host}` has no address: check how it is written")]
    Unknown { host: String },
    #[error("`{host}` has more than {ADDRESSES} addresses: ask for another")]
    TooMany { host: String },
}

/// What the operator allows.
#[derive(Clone)]
pub(super) struct Guard {
    settings: Arc<Settings>,
    lookup: Lookup,
}

impl Guard {
    pub(super) fn new(settings: Arc<Settings>, lookup: Lookup) -> Self {
        Self { settings, lookup }
    }

    /// Reads an address and judges all of it but what its name means.
    pub(super) fn admit(&self, text: &str) -> Result<Url, Refused> {
        let mut url = text.trim().parse::<Url>().map_err(|_| Refused::NoAddress)?;
        self.judge(&url)?;
        url.set_fragment(None);
        Ok(url)
    }

    /// The same for where an answer leads on to.
    pub(super) fn follow(&self, from: &Url, location: &str) -> Result<Url, Refused> {
        let url = from.join(location).map_err(|_| Refused::NoAddress)?;
        self.admit(url.as_str())
    }

    fn judge(&self, url: &Url) -> Result<(), Refused> {
        match url.scheme() {
            "https" => {}
            "http" if self.settings.allow_http => {}
            _ => return Err(Refused::Scheme),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refused::Credentials);
        }
        let host = url
            .host_str()
            .filter(|host| !host.is_empty())
            .ok_or(Refused::NoAddress)?;
        let port = url.port_or_known_default().ok_or(Refused::NoAddress)?;
        if !self.settings.ports.contains(&port) {
            let allowed = self.settings.ports.clone();
            return Err(Refused::Port { port, allowed });
        }
        // However it was written, decimal, octal or in parts: the parser has made it one form.
        let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        match literal {
            Ok(address) => self.check(host, address),
            Err(_) => Ok(()),
        }
    }

    fn check(&self, host: &str, address: IpAddr) -> Result<(), Refused> {
        let bare = host.trim_end_matches('.');
        let is_excepted = self.settings.allow_hosts.iter().any(|allowed| allowed == bare)
            || self.settings.allow_addresses.iter().any(|net| net.contains(&address));
        match why_not_public(address).filter(|_| !is_excepted) {
            Some(what) => Err(Refused::NotPublic {
                host: host.to_owned(),
                what,
            }),
            None => Ok(()),
        }
    }

    /// All addresses of a name, if all of them may be reached: one that may not makes the name suspect.
    async fn addresses(self, host: String) -> Result<Vec<SocketAddr>, Refused> {
        let found = (self.lookup)(host.clone()).await.unwrap_or_default();
        if found.is_empty() {
            return Err(Refused::Unknown { host });
        }
        if found.len() > ADDRESSES {
            return Err(Refused::TooMany { host });
        }
        for address in &found {
            self.check(&host, *address)?;
        }
        // Port 0: the one of the address that is fetched.
        Ok(found.into_iter().map(|address| SocketAddr::new(address, 0)).collect())
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let found = self.clone().addresses(name.as_str().to_owned());
        Box::pin(async move {
            let found = found.await?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}
