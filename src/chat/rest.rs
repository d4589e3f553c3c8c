//! What goes over HTTP beside the socket: the list of agents, and files on their way to the server.
//!
//! It blocks: the client has no HTTP client besides, and asks for nothing else.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use super::address::Address;
use super::client::{AgentInfo, Uploaded};
use super::wire::{HANDSHAKE_TIMEOUT, Wire};

/// Largest answer to a request, in bytes. Beyond: it is refused.
const ANSWER_BYTES_MAX: u64 = 256 * 1024;

/// Headers that prove who asks.
type Proof = [(&'static str, SecretString)];

impl Wire {
    /// Fetches the list of agents.
    ///
    /// # Errors
    /// The server can't be reached, or refuses.
    pub fn agents(&self, proof: &Proof) -> anyhow::Result<Vec<AgentInfo>> {
        let list = self.ask("GET /v1/agents", proof, &[], b"")?;
        serde_json::from_str(&list).context("the server's list can't be read")
    }

    /// Brings a file of at most so many bytes to the server.
    ///
    /// # Errors
    /// It can't be read, is too long, or the server refuses it.
    pub fn upload(&self, file: &Path, at_most: usize, proof: &Proof) -> anyhow::Result<Uploaded> {
        let shown = file.display();
        let content = read(file, at_most)?;
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let target = format!("POST /v1/documents?name={}", encoded(&name));
        let taken = self
            .ask(&target, proof, &[("content-type", media_type(file))], &content)
            .with_context(|| format!("{shown} was not taken"))?;
        serde_json::from_str(&taken).with_context(|| format!("what the server said of {shown} can't be read"))
    }

    /// Asks, and gives back the body of a good answer.
    fn ask(&self, target: &str, proof: &Proof, headers: &[(&str, &str)], body: &[u8]) -> anyhow::Result<String> {
        let Address { host, port, .. } = &self.address;
        // HTTP/1.0: the answer's end is the connection's, whatever stands between.
        let mut head = format!(
            "{target} HTTP/1.0\r\nhost: {}\r\naccept: application/json\r\n",
            self.address.authority()
        );
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        for (name, secret) in proof {
            head.push_str(&format!("{name}: {}\r\n", secret.expose_secret()));
        }
        if !body.is_empty() {
            head.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        let address = (host.as_str(), *port).to_socket_addrs()?.next();
        let stream = TcpStream::connect_timeout(&address.context("the host has no address")?, HANDSHAKE_TIMEOUT)?;
        stream.set_read_timeout(Some(HANDSHAKE_TIMEOUT))?;
        stream.set_write_timeout(Some(HANDSHAKE_TIMEOUT))?;
        let answer = match &self.tls {
            None => talk(stream, head.as_bytes(), body)?,
            Some(tls) => {
                let name = ServerName::try_from(host.clone())?;
                let connection = ClientConnection::new(Arc::clone(tls), name)?;
                talk(StreamOwned::new(connection, stream), head.as_bytes(), body)?
            }
        };
        good(&answer).map(str::to_owned)
    }
}

fn talk(mut stream: impl Read + Write, head: &[u8], body: &[u8]) -> io::Result<String> {
    stream.write_all(head)?;
    // A server that refuses a body early has said why: that is worth more than how the writing ended.
    let written = stream.write_all(body).and_then(|()| stream.flush());
    let mut answer = Vec::new();
    // A server that ends the connection without a word of TLS has said all that its length promised.
    match stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer) {
        Err(fault) if answer.is_empty() && fault.kind() != io::ErrorKind::UnexpectedEof => {
            return Err(written.err().unwrap_or(fault));
        }
        _ => {}
    }
    String::from_utf8(answer).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "the answer is not UTF-8"))
}

/// The body of an answer that is no refusal.
fn good(answer: &str) -> anyhow::Result<&str> {
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .context("the server did not answer in HTTP")?;
    let status = head.split(' ').nth(1).unwrap_or_default();
    if !["200", "201"].contains(&status) {
        let problem: Value = serde_json::from_str(body).unwrap_or_default();
        bail!("{status}: {}", problem["detail"].as_str().unwrap_or_default());
    }
    Ok(body)
}

fn read(file: &Path, at_most: usize) -> anyhow::Result<Vec<u8>> {
    let shown = file.display();
    let mut content = Vec::new();
    let opened = File::open(file).with_context(|| format!("{shown} can't be read"))?;
    // One byte more tells that it is too long, and a file without an end is not read to it.
    let mut piece = opened.take(at_most as u64 + 1);
    piece
        .read_to_end(&mut content)
        .with_context(|| format!("{shown} can't be read"))?;
    ensure!(
        content.len() <= at_most,
        "{shown} has more than the {at_most} bytes that a document may have; bring a part of it"
    );
    ensure!(!content.is_empty(), "{shown} is empty");
    Ok(content)
}

/// By the name's ending: what a file is called is all that is known of it.
fn media_type(file: &Path) -> &'static str {
    let ending = file
        .extension()
        .unwrap_or_default()
        .to_string_lossy()
        .to_ascii_lowercase();
    match ending.as_str() {
        "csv" => "text/csv",
        "json" => "application/json",
        "md" => "text/markdown",
        _ => "text/plain",
    }
}

/// As a query has it.
fn encoded(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_of_a_good_answer_is_taken_and_a_refusal_told() {
        let list = r#"[{"name":"echo","description":"Says it again.","default":false}]"#;
        let answer = format!("HTTP/1.1 200 OK\r\na: b\r\n\r\n{list}");
        let agents: Vec<AgentInfo> = serde_json::from_str(good(&answer).unwrap()).unwrap();
        assert_eq!(agents[0].name, "echo");
        assert_eq!(good("HTTP/1.1 201 Created\r\n\r\n{}").unwrap(), "{}");
        for (answer, word) in [
            (
                "HTTP/1.0 401 No\r\n\r\n{\"detail\":\"send a token\"}",
                "401: send a token",
            ),
            ("SSH-2.0", "not answer in HTTP"),
        ] {
            let refused = good(answer).unwrap_err().to_string();
            assert!(refused.contains(word), "{refused}");
        }
    }

    #[test]
    fn a_file_is_read_whole_or_refused_with_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("use.csv");
        let refusal = |at_most| format!("{:#}", read(&file, at_most).unwrap_err());
        assert!(refusal(9).contains("use.csv can't be read"));
        std::fs::write(&file, "123456789").unwrap();
        assert_eq!(read(&file, 9).unwrap(), b"123456789");
        assert!(refusal(8).contains("more than the 8 bytes"));
        std::fs::write(&file, "").unwrap();
        assert!(refusal(8).contains("is empty"));
        assert!(format!("{:#}", read(dir.path(), 9).unwrap_err()).contains("can't be read"));
    }

    #[test]
    fn a_name_is_written_as_a_query_has_it_and_its_ending_says_what_it_is() {
        assert_eq!(encoded("grün & 100%.csv"), "gr%C3%BCn%20%26%20100%25.csv");
        for (name, kind) in [
            ("a.CSV", "text/csv"),
            ("a.json", "application/json"),
            ("a.md", "text/markdown"),
            ("a.log", "text/plain"),
            ("a", "text/plain"),
        ] {
            assert_eq!(media_type(Path::new(name)), kind);
        }
    }
}
