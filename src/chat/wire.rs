//! The way to the server: TLS, the handshake, one socket.

use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use futures_util::{SinkExt as _, StreamExt as _};
use rustls::{ClientConfig, RootCertStore};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use sessile_actors::protocol::SUBPROTOCOL;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::{HeaderMap, HeaderValue, StatusCode};
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, connect_async_tls_with_config};

use super::address::Address;

/// How long a connection with its handshake may take. Beyond: it counts as failed.
pub(super) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(15);

/// The server pings as often as it says. Where three in a row are missing, the line is dead, whatever the kernel says.
const PINGS_MISSED: u32 = 3;

/// How often a server pings that has not said so yet.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Largest message that is taken from a server, in bytes: an answer has at most 1 MiB, and JSON may write each byte as six.
/// Beyond: the socket is given up.
const MESSAGE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// How long a close may take before the process ends without it.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Where a server is, and how it is spoken to.
#[derive(Clone)]
pub struct Wire {
    pub(super) address: Address,
    /// None where no TLS is spoken.
    pub(super) tls: Option<Arc<ClientConfig>>,
}

/// How an attempt to connect failed.
#[derive(Debug)]
pub enum Refusal {
    /// Nobody answered, or not in HTTP.
    Unreachable(String),
    /// The server said no.
    Refused {
        /// Its status.
        status: u16,
        /// When it wants to be asked again.
        retry_after: Option<Duration>,
        /// Its reason.
        why: String,
    },
}

/// What happened on a socket.
#[derive(Debug)]
pub enum Heard {
    /// A text frame.
    Text(String),
    /// The server closed, with this code and reason.
    Closed(u16, String),
    /// The line is gone, or silent for too long.
    Cut,
    /// A sign of life.
    Alive,
}

/// An open socket.
pub struct Socket {
    stream: WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>>,
    heard_at: Instant,
    patience: Duration,
    frame_bytes: usize,
    has_greeted: bool,
}

impl Wire {
    /// Prepares the way; for TLS, reads which authorities this machine trusts.
    ///
    /// # Errors
    /// This machine trusts no authority at all.
    pub fn to(address: Address) -> anyhow::Result<Self> {
        let tls = address.is_tls.then(trust).transpose()?;
        Ok(Self {
            address,
            tls: tls.map(Arc::new),
        })
    }

    /// Where it leads.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Opens a socket. Gives back the cookie that came with it, if any.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn open(
        &self,
        query: &str,
        headers: Vec<(&'static str, SecretString)>,
    ) -> Result<(Socket, Option<String>), Refusal> {
        let unreachable = |why: String| Refusal::Unreachable(why);
        let mut request = format!("{}{query}", self.address.socket())
            .into_client_request()
            .map_err(|fault| unreachable(fault.to_string()))?;
        let mine = request.headers_mut();
        mine.insert("sec-websocket-protocol", HeaderValue::from_static(SUBPROTOCOL));
        for (name, secret) in headers {
            let mut value = HeaderValue::from_str(secret.expose_secret())
                .map_err(|_| unreachable("the credential holds what no header may hold".to_owned()))?;
            value.set_sensitive(true);
            mine.insert(name, value);
        }
        let config = WebSocketConfig::default().max_message_size(Some(MESSAGE_BYTES_MAX));
        let connector = self.tls.clone().map_or(Connector::Plain, Connector::Rustls);
        let opening = connect_async_tls_with_config(request, Some(config), true, Some(connector));
        match timeout(HANDSHAKE_TIMEOUT, opening).await {
            Ok(Ok((stream, answer))) => {
                let cookie = header(answer.headers(), "set-cookie");
                let socket = Socket {
                    stream,
                    heard_at: Instant::now(),
                    patience: HEARTBEAT * PINGS_MISSED,
                    frame_bytes: usize::MAX,
                    has_greeted: false,
                };
                Ok((socket, cookie))
            }
            Ok(Err(Error::Http(answer))) => Err(refusal(
                answer.status(),
                answer.headers(),
                answer.body().as_deref().unwrap_or_default(),
            )),
            Ok(Err(fault)) => Err(unreachable(fault.to_string())),
            Err(_) => Err(unreachable(format!("no answer within {HANDSHAKE_TIMEOUT:?}"))),
        }
    }
}

impl Socket {
    /// Takes over what `connection_established`, the first frame on every socket, says of limits and heartbeats.
    fn agree(&mut self, frame: &str) {
        let Ok(frame) = serde_json::from_str::<Value>(frame) else {
            return;
        };
        let payload = &frame["payload"];
        if let Some(millis @ 1..) = payload["heartbeat_interval_ms"].as_u64() {
            self.patience = Duration::from_millis(millis).saturating_mul(PINGS_MISSED);
        }
        if let Some(bytes @ 1..) = payload["limits"]["frame_bytes"].as_u64() {
            self.frame_bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        }
    }

    /// What comes next. Whoever drops the wait loses nothing.
    pub async fn next(&mut self) -> Heard {
        let heard = timeout_at(self.heard_at + self.patience, self.stream.next()).await;
        self.heard_at = Instant::now();
        match heard {
            Ok(Some(Ok(Message::Text(text)))) => {
                if !std::mem::replace(&mut self.has_greeted, true) {
                    self.agree(&text);
                }
                Heard::Text(text.as_str().to_owned())
            }
            Ok(Some(Ok(Message::Close(close)))) => {
                let close = close.map(|close| (u16::from(close.code), close.reason.as_str().to_owned()));
                close.map_or(Heard::Cut, |(code, reason)| Heard::Closed(code, reason))
            }
            Ok(Some(Ok(_))) => Heard::Alive,
            Ok(Some(Err(_)) | None) | Err(_) => Heard::Cut,
        }
    }

    /// Sends a text, in as many fragments as its length needs. `false` where the line is gone.
    pub async fn send(&mut self, text: &str) -> bool {
        let patience = self.patience;
        let sending = async {
            for message in fragments(text, self.frame_bytes) {
                self.stream.feed(message).await?;
            }
            self.stream.flush().await
        };
        matches!(timeout(patience, sending).await, Ok(Ok(())))
    }

    /// Says goodbye, and waits a moment for the answer.
    pub async fn close(mut self) {
        let goodbye = CloseFrame {
            code: CloseCode::Normal,
            reason: "".into(),
        };
        let closing = async {
            self.stream.close(Some(goodbye)).await?;
            while let Some(Ok(_)) = self.stream.next().await {}
            Ok::<(), Error>(())
        };
        // The process ends anyway.
        let _ = timeout(CLOSE_TIMEOUT, closing).await;
    }
}

/// The whole text in one frame where it fits, else in several.
fn fragments(text: &str, frame_bytes: usize) -> Vec<Message> {
    if text.len() <= frame_bytes {
        return vec![Message::text(text)];
    }
    let pieces = text.as_bytes().chunks(frame_bytes);
    let last = pieces.len() - 1;
    let fragment = |(at, piece): (usize, &[u8])| {
        let kind = if at == 0 { Data::Text } else { Data::Continue };
        Message::Frame(Frame::message(piece.to_vec(), OpCode::Data(kind), at == last))
    };
    pieces.enumerate().map(fragment).collect()
}

fn trust() -> anyhow::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    ensure!(
        added > 0,
        "this machine trusts no certificate authority: install its ca-certificates, or name a file of them in SSL_CERT_FILE"
    );
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

fn refusal(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Refusal {
    let problem: Value = serde_json::from_slice(body).unwrap_or_default();
    let detail = problem["detail"].as_str().map(str::to_owned);
    let seconds = header(headers, "retry-after").and_then(|text| text.parse().ok());
    Refusal::Refused {
        status: status.as_u16(),
        retry_after: seconds.map(Duration::from_secs),
        why: detail.unwrap_or_else(|| "it is no Sessile server, or something stands before it".to_owned()),
    }
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_travels_in_fragments_and_a_short_one_whole() {
        assert_eq!(fragments("short", 5), [Message::text("short")]);
        let long = "grün".repeat(5);
        let sent = fragments(&long, 10);
        let frames: Vec<_> = sent
            .iter()
            .map(|message| match message {
                Message::Frame(frame) => frame,
                other => panic!("{other:?}"),
            })
            .collect();
        let kinds: Vec<_> = frames.iter().map(|frame| frame.header().opcode).collect();
        assert_eq!(kinds[0], OpCode::Data(Data::Text));
        assert!(kinds[1..].iter().all(|kind| *kind == OpCode::Data(Data::Continue)));
        let ends: Vec<_> = frames.iter().map(|frame| frame.header().is_final).collect();
        assert_eq!(ends, [false, false, true]);
        let whole: Vec<u8> = frames.iter().flat_map(|frame| frame.payload().to_vec()).collect();
        assert_eq!(whole, long.as_bytes());
    }
}
