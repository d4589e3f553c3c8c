//! The WebSocket handshake beyond `App`: judges the request, answers it, and yields the raw stream.
//!
//! The session's upgrade is made of it, and so is whatever else is to speak over this edge (`examples/echo_server.rs`).

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use actix_codec::{Framed, FramedParts};
use actix_http::header::{self, HeaderValue};
use actix_http::ws::{HandshakeError, hash_key, verify_handshake};
use actix_http::{RequestHead, h1};
use bytes::{Bytes, BytesMut};
use sessile_actors::ids::RequestId;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Problem;

/// How long an answer may take to be written: it fits the kernel's buffer unless the client has filled that.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a refused client may take to close, so that it reads the refusal instead of a reset.
const LINGER: Duration = Duration::from_secs(1);
/// What is read and thrown away meanwhile. Beyond: cut.
const LINGER_BYTES: u64 = 64 * 1024;

/// What proves to the client that its handshake was understood: its key, hashed.
#[derive(Debug)]
pub struct AcceptKey([u8; 28]);

/// Judges a request as a handshake (RFC 6455, section 4.2.1).
///
/// # Errors
/// 400 for a bad key, 405 for another method than GET, 426 for what is no upgrade or another version.
pub fn verify(request: &RequestHead) -> Result<AcceptKey, Problem> {
    verify_handshake(request).map_err(|error| not_a_handshake(&error))?;
    let key = request
        .headers()
        .get(header::SEC_WEBSOCKET_KEY)
        .ok_or_else(|| not_a_handshake(&HandshakeError::BadWebsocketKey))?;
    Ok(AcceptKey(hash_key(key.as_bytes())))
}

fn not_a_handshake(error: &HandshakeError) -> Problem {
    match error {
        HandshakeError::GetMethodRequired => Problem::method_not_allowed("GET"),
        HandshakeError::NoVersionHeader | HandshakeError::UnsupportedVersion => {
            Problem::upgrade_required("only Sec-WebSocket-Version 13 is spoken here")
        }
        HandshakeError::NoWebsocketUpgrade | HandshakeError::NoConnectionUpgrade => {
            Problem::upgrade_required("this path speaks WebSocket; ask for the upgrade")
        }
        HandshakeError::BadWebsocketKey => Problem::bad_request("Sec-WebSocket-Key must be 16 bytes in base64"),
    }
}

/// A connection whose request has no answer yet. Give it one: an `Err` of the service would only close it.
pub struct Arrival {
    io: TcpStream,
    /// What the client sent right behind its request.
    early: BytesMut,
    /// The answers to requests that were pipelined before this one: they go in front of ours, else they would be lost.
    unwritten: Vec<u8>,
}

impl Arrival {
    /// Takes the connection over from actix.
    #[must_use]
    pub fn new(framed: Framed<TcpStream, h1::Codec>) -> Self {
        let FramedParts {
            io,
            read_buf,
            write_buf,
            ..
        } = framed.into_parts();
        Self {
            io,
            early: read_buf,
            unwritten: Vec::from(&write_buf[..]),
        }
    }

    /// Who asks.
    #[must_use]
    pub fn peer(&self) -> Option<SocketAddr> {
        self.io.peer_addr().ok()
    }

    /// Answers with the 101 and these headers. False: the client is gone.
    pub async fn accept(&mut self, key: &AcceptKey, headers: &[(&str, &[u8])]) -> bool {
        self.write(&switching_protocols(key, headers)).await
    }

    /// Answers with a refusal, and parts so that the client can read it.
    pub async fn refuse(mut self, problem: &Problem, id: RequestId) {
        self.tell(problem, id).await;
        self.dismiss().await;
    }

    /// Answers with a refusal.
    pub(super) async fn tell(&mut self, problem: &Problem, id: RequestId) -> bool {
        self.write(problem.to_http(&id.to_string()).as_bytes()).await
    }

    /// Closes a refused connection so that its client reads why.
    pub(super) async fn dismiss(mut self) {
        if self.io.shutdown().await.is_err() {
            return;
        }
        let mut rest = self.io.take(LINGER_BYTES);
        let mut sink = tokio::io::sink();
        // Its end, its error and its time running out are the same here: the socket is dropped.
        let _ = timeout(LINGER, tokio::io::copy(&mut rest, &mut sink)).await;
    }

    /// The raw stream, and what the client sent right behind its request.
    ///
    /// # Errors
    /// The socket broke.
    pub fn into_raw(self) -> io::Result<(std::net::TcpStream, Bytes)> {
        // Copied: freezing the buffer would keep all of its 8 KiB for as long as somebody has the bytes.
        Ok((self.io.into_std()?, Bytes::copy_from_slice(&self.early)))
    }

    async fn write(&mut self, answer: &[u8]) -> bool {
        let mut bytes = std::mem::take(&mut self.unwritten);
        bytes.extend_from_slice(answer);
        matches!(timeout(WRITE_TIMEOUT, self.io.write_all(&bytes)).await, Ok(Ok(())))
    }
}

fn switching_protocols(key: &AcceptKey, headers: &[(&str, &[u8])]) -> Vec<u8> {
    let mut answer = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n".to_vec();
    let accept = ("sec-websocket-accept", &key.0[..]);
    for (name, value) in [accept].iter().chain(headers) {
        // A value that no header may carry, a line break above all, is left out.
        if let Ok(value) = HeaderValue::from_bytes(value) {
            answer.extend_from_slice(name.as_bytes());
            answer.extend_from_slice(b": ");
            answer.extend_from_slice(value.as_bytes());
            answer.extend_from_slice(b"\r\n");
        }
    }
    answer.extend_from_slice(b"\r\n");
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_101_holds_what_it_is_given_but_no_line_break() {
        let key = AcceptKey(hash_key(b"dGhlIHNhbXBsZSBub25jZQ=="));
        let answer = switching_protocols(&key, &[("x-good", b"1"), ("x-bad", b"1\r\nx-smuggled: 1")]);
        // The key of RFC 6455, section 1.3.
        let expected = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
                        sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nx-good: 1\r\n\r\n";
        assert_eq!(String::from_utf8(answer).unwrap(), expected);
    }
}
