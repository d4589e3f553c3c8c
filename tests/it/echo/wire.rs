//! The echo server in a process of its own, and a client that says exactly the bytes of a test.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

/// How long a conversation may take. Generous: the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(60);

pub const TEXT: u8 = 0x81;
pub const BINARY: u8 = 0x82;
pub const CLOSE: u8 = 0x88;
pub const PING: u8 = 0x89;
pub const PONG: u8 = 0x8a;
/// The first, a middle and the last piece of a message.
pub const TEXT_BEGINS: u8 = 0x01;
pub const BINARY_BEGINS: u8 = 0x02;
pub const GOES_ON: u8 = 0x00;
pub const ENDS: u8 = 0x80;

/// A frame: its first byte, and its payload.
pub type Frame = (u8, Vec<u8>);

pub fn frame(first: u8, payload: impl AsRef<[u8]>) -> Frame {
    (first, payload.as_ref().to_vec())
}

/// A message in pieces of this size.
pub fn pieces(begins: u8, payload: &[u8], size: usize) -> Vec<Frame> {
    let mut frames: Vec<Frame> = payload.chunks(size).map(|piece| frame(GOES_ON, piece)).collect();
    frames[0].0 = begins;
    frames.push(frame(ENDS, ""));
    frames
}

/// A close frame's payload.
pub fn close(code: u16, reason: impl AsRef<[u8]>) -> Frame {
    frame(CLOSE, [&code.to_be_bytes(), reason.as_ref()].concat())
}

/// A client's frame as bytes.
pub fn masked((first, payload): &Frame) -> Vec<u8> {
    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let mut bytes = vec![*first];
    match payload.len() {
        length @ 0..126 => bytes.push(0x80 | length as u8),
        length @ 126..0x1_0000 => {
            bytes.push(0x80 | 126);
            bytes.extend((length as u16).to_be_bytes());
        }
        length => {
            bytes.push(0x80 | 127);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    bytes.extend(MASK);
    let begin = bytes.len();
    bytes.extend(payload);
    for (at, byte) in bytes[begin..].iter_mut().enumerate() {
        *byte ^= MASK[at % 4];
    }
    bytes
}

/// A running echo server, which ends with its test.
pub struct Echo {
    child: Child,
    _output: BufReader<ChildStdout>,
    pub address: String,
}

impl Echo {
    pub fn start(flags: &[&str]) -> Self {
        let mut child = crate::examples::example("echo_server")
            .args(["--listen", "127.0.0.1:0"])
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("echo server listens on ws://");
        let address = address.unwrap_or_else(|| panic!("it said {line:?}")).to_owned();
        Self {
            child,
            _output: output,
            address,
        }
    }

    /// Interrupts it, as Ctrl-C does; whether it ended well.
    pub fn interrupt(mut self) -> bool {
        let sent = Command::new("sh")
            .args(["-c", &format!("kill -INT {}", self.child.id())])
            .status();
        assert!(sent.is_ok_and(|status| status.success()), "no INT to the server");
        self.child.wait().unwrap().success()
    }

    /// Sends bytes right behind a handshake, in chunks of this size, and hears what comes until the server has closed.
    pub async fn hear(&self, bytes: &[u8], chunk: usize) -> Vec<Frame> {
        let (mut reader, mut writer) = self.open().await;
        let speak = async {
            for chunk in bytes.chunks(chunk) {
                // The server may have closed before it has read everything.
                if writer.write_all(chunk).await.is_err() {
                    break;
                }
            }
        };
        let hear = async {
            let mut heard = Vec::new();
            while let Some(frame) = reader.next().await {
                heard.push(frame);
            }
            heard
        };
        let talk = timeout(PATIENCE, async { tokio::join!(speak, hear) });
        let (_, heard) = talk.await.expect("the server closes in the end");
        heard
    }

    /// Opens a socket.
    pub async fn open(&self) -> (Hearer, OwnedWriteHalf) {
        let stream = TcpStream::connect(&self.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (reader, mut writer) = stream.into_split();
        let handshake = format!(
            "GET / HTTP/1.1\r\nhost: {}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            self.address
        );
        writer.write_all(handshake.as_bytes()).await.unwrap();
        let mut reader = Hearer(reader);
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(reader.0.read_u8().await.expect("an answer to the handshake"));
        }
        let head = String::from_utf8(head).unwrap();
        // The example of RFC 6455, section 1.3.
        let accept = "sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
        assert!(head.starts_with("HTTP/1.1 101 ") && head.contains(accept), "{head}");
        (reader, writer)
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        // It has ended already: then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Takes the server's frames apart, by the rules for a server's: none masked, none in pieces, no longer header than needed.
pub struct Hearer(OwnedReadHalf);

impl Hearer {
    /// The next frame; none at the end of the connection.
    pub async fn next(&mut self) -> Option<Frame> {
        let first = self.0.read_u8().await.ok()?;
        let length = match self.0.read_u8().await.unwrap() {
            short @ 0..126 => usize::from(short),
            126 => {
                let length = self.0.read_u16().await.unwrap();
                assert!(length >= 126, "{length} needs no longer header");
                usize::from(length)
            }
            127 => {
                let length = self.0.read_u64().await.unwrap();
                assert!(length > 0xffff, "{length} needs no longer header");
                usize::try_from(length).unwrap()
            }
            masked => panic!("a server's frame is masked: {masked:#x}"),
        };
        let mut payload = vec![0; length];
        self.0.read_exact(&mut payload).await.unwrap();
        Some((first, payload))
    }
}
