//! A client on a real socket. It fails on the first hole, repeat or swap in `seq`, whatever a test is about.

use std::net::SocketAddr;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use sessile_actors::protocol::server::is_terminal_kind;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::{Error, Message};
use uuid::Uuid;

use super::PATIENCE;

/// Who somebody is, and how they prove it.
#[derive(Debug, Clone)]
pub struct User {
    pub id: String,
    credential: (&'static str, String),
}

impl User {
    pub fn guest(id: &str, cookie: String) -> Self {
        Self {
            id: id.to_owned(),
            credential: ("cookie", cookie),
        }
    }

    pub fn with_token(id: &str, token: &str) -> Self {
        Self {
            id: id.to_owned(),
            credential: ("authorization", format!("Bearer {token}")),
        }
    }

    pub fn header(&self) -> (&str, &str) {
        (self.credential.0, &self.credential.1)
    }
}

/// Where a client stood.
#[derive(Debug, Clone)]
pub struct Place {
    pub session_id: String,
    pub epoch: String,
    pub last_seq: u64,
}

/// How a socket is asked for.
#[derive(Debug, Clone)]
pub struct Door {
    path: String,
    query: Vec<String>,
    headers: Vec<(String, String)>,
    receive_buffer: Option<u32>,
    last_seq: u64,
}

impl Door {
    /// Without any credential.
    pub fn plain() -> Self {
        Self {
            path: "/v1/session".to_owned(),
            query: Vec::new(),
            headers: Vec::new(),
            receive_buffer: None,
            last_seq: 0,
        }
    }

    /// With the user's credential in a header.
    pub fn of(user: &User) -> Self {
        let (name, value) = user.header();
        Self::plain().header(name, value)
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn query(mut self, pair: &str) -> Self {
        self.query.push(pair.to_owned());
        self
    }

    pub fn path(mut self, path: &str) -> Self {
        path.clone_into(&mut self.path);
        self
    }

    pub fn back_to(mut self, place: &Place) -> Self {
        self.last_seq = place.last_seq;
        self.query(&format!("session_id={}", place.session_id))
            .query(&format!("last_seq={}", place.last_seq))
            .query(&format!("epoch={}", place.epoch))
    }

    /// Lets the kernel keep little for this client, so that it is slow soon.
    pub fn receive_buffer(mut self, bytes: u32) -> Self {
        self.receive_buffer = Some(bytes);
        self
    }

    /// Asks for the socket; the error is the status of the refusal.
    pub async fn open(self, address: SocketAddr) -> Result<Client, u16> {
        let query = self.query.join("&");
        let mut request = format!("ws://{address}{}?{query}", self.path)
            .into_client_request()
            .unwrap();
        for (name, value) in &self.headers {
            let name: HeaderName = name.parse().unwrap();
            request
                .headers_mut()
                .append(name, HeaderValue::from_str(value).unwrap());
        }
        let socket = TcpSocket::new_v4().unwrap();
        if let Some(bytes) = self.receive_buffer {
            // Before connecting: the window that is offered first is never taken back.
            socket.set_recv_buffer_size(bytes).unwrap();
        }
        let stream = socket.connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let opening = timeout(PATIENCE, tokio_tungstenite::client_async(request, stream));
        match opening.await.expect("an answer to the handshake") {
            Ok((socket, answer)) => {
                let protocol = answer.headers().get("sec-websocket-protocol");
                Ok(Client {
                    socket,
                    protocol: protocol.map(|name| name.to_str().unwrap().to_owned()),
                    cookie: answer
                        .headers()
                        .get("set-cookie")
                        .map(|value| value.to_str().unwrap().to_owned()),
                    established: Value::Null,
                    last_seq: self.last_seq,
                    ending: None,
                    seen: Vec::new(),
                })
            }
            Err(Error::Http(answer)) => Err(answer.status().as_u16()),
            Err(other) => panic!("the handshake failed: {other}"),
        }
    }
}

/// How a socket ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    Closed(u16, String),
    Cut,
}

/// One socket.
pub struct Client {
    socket: WebSocketStream<TcpStream>,
    /// The subprotocol that the server chose.
    pub protocol: Option<String>,
    /// What the server had kept by a browser.
    pub cookie: Option<String>,
    established: Value,
    /// The last event taken.
    pub last_seq: u64,
    ending: Option<Ending>,
    /// What came, in short, for the message of a failure.
    seen: Vec<String>,
}

impl Client {
    pub async fn establish(&mut self) {
        self.established = self.until("connection_established").await["payload"].take();
    }

    /// What `connection_established` said.
    pub fn established(&self) -> &Value {
        &self.established
    }

    /// Where this client stands: what it needs to go on.
    pub fn place(&self) -> Place {
        let text = |field: &str| self.established[field].as_str().unwrap().to_owned();
        Place {
            session_id: text("session_id"),
            epoch: text("epoch"),
            last_seq: self.last_seq,
        }
    }

    /// The session's current thread at the beginning.
    pub fn thread(&self) -> String {
        self.established["thread_id"].as_str().unwrap().to_owned()
    }

    pub async fn send(&mut self, frame: Value) {
        self.send_text(&frame.to_string()).await;
    }

    pub async fn send_text(&mut self, text: &str) {
        let sent = timeout(PATIENCE, self.socket.send(Message::text(text))).await;
        sent.expect("the server reads").unwrap();
    }

    /// Says something to the default agent; returns the message's id.
    pub async fn say(&mut self, content: &str) -> String {
        self.message(json!({ "content": content })).await
    }

    /// Sends a `user_message` with this payload; returns its id.
    pub async fn message(&mut self, payload: Value) -> String {
        let id = message_id();
        self.send(json!({"type": "user_message", "message_id": id, "payload": payload}))
            .await;
        id
    }

    /// Sends bytes past the WebSocket layer.
    pub async fn raw(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        let written = timeout(PATIENCE, self.socket.get_mut().write_all(bytes)).await;
        written.expect("the server reads")
    }

    /// The next frame; none when the socket has ended.
    pub async fn next(&mut self) -> Option<Value> {
        // Pings are not what anybody waits for.
        let deadline = Instant::now() + PATIENCE;
        while self.ending.is_none() {
            let Ok(heard) = timeout_at(deadline, self.socket.next()).await else {
                panic!("nothing came after seq {}; {}", self.last_seq, self.story());
            };
            match heard {
                Some(Ok(Message::Text(text))) => return Some(self.take(&text)),
                Some(Ok(Message::Close(close))) => {
                    let close = close.map(|close| (u16::from(close.code), close.reason.to_string()));
                    let (code, reason) = close.unwrap_or((1005, String::new()));
                    self.ending = Some(Ending::Closed(code, reason));
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(other)) => panic!("{other:?} is no frame of the protocol"),
                Some(Err(_)) | None => self.ending = Some(Ending::Cut),
            }
        }
        None
    }

    fn take(&mut self, text: &str) -> Value {
        let frame: Value = serde_json::from_str(text).expect("the server sends JSON");
        self.seen.push(format!("{} {}", frame["type"], frame["seq"]));
        if let Some(seq) = frame["seq"].as_u64() {
            assert_eq!(seq, self.last_seq + 1, "a hole, a repeat or a swap; {}", self.story());
            self.last_seq = seq;
        }
        if frame["type"] == "resync" {
            self.last_seq = frame["payload"]["as_of_seq"].as_u64().expect("a snapshot has a place");
        }
        frame
    }

    /// Reads up to and with the frame for which `last` holds.
    pub async fn collect(&mut self, what: &str, mut last: impl FnMut(&Value) -> bool) -> Vec<Value> {
        let mut frames = Vec::new();
        loop {
            let Some(frame) = self.next().await else {
                panic!("{:?} before {what}; {}", self.ending, self.story());
            };
            let found = last(&frame);
            frames.push(frame);
            if found {
                return frames;
            }
        }
    }

    /// Reads until a frame of this type.
    pub async fn until(&mut self, kind: &str) -> Value {
        let mut frames = self.collect(kind, |frame| frame["type"] == kind).await;
        frames.pop().expect("it ends with that frame")
    }

    /// Reads up to and with the end of a run.
    pub async fn run_to_end(&mut self) -> Vec<Value> {
        self.collect("a run's end", |frame| {
            frame["type"].as_str().is_some_and(is_terminal_kind)
        })
        .await
    }

    /// Says something and waits for the answer; the run.
    pub async fn next_run_of(&mut self, content: &str) -> Value {
        self.say(content).await;
        self.run_to_end().await.pop().expect("a run's end")["run_id"].take()
    }

    /// Reads as long as the socket lives; what came, and how it ended.
    pub async fn until_it_ends(&mut self) -> (Vec<Value>, Ending) {
        let mut frames = Vec::new();
        while let Some(frame) = self.next().await {
            frames.push(frame);
        }
        (frames, self.ending.clone().expect("it has ended"))
    }

    /// Waits for the socket's close; its code and reason.
    pub async fn closed(&mut self) -> (u16, String) {
        match self.until_it_ends().await {
            (_, Ending::Closed(code, reason)) => (code, reason),
            (_, Ending::Cut) => panic!("cut without a close frame; {}", self.story()),
        }
    }

    /// Asks for a pong, so that all that was sent before has been answered.
    pub async fn settle(&mut self) -> Vec<Value> {
        self.send(json!({"type": "ping"})).await;
        self.collect("pong", |frame| frame["type"] == "pong").await
    }

    /// Drops the connection in the middle of a frame, in both directions and without a close frame.
    pub async fn cut(mut self) -> Place {
        let place = self.place();
        // Half of a frame of ours, and a few bytes into one of theirs, where there is one.
        let half = &client_frame(0x81, br#"{"type": "ping"}"#)[..9];
        let _ = self.raw(half).await;
        let mut some = [0; 5];
        let _ = timeout(super::POLL, self.socket.get_mut().read(&mut some)).await;
        drop(self);
        place
    }

    /// The bare connection.
    pub fn into_stream(self) -> TcpStream {
        self.socket.into_inner()
    }

    fn story(&self) -> String {
        let from = self.seen.len().saturating_sub(40);
        format!("the last that came: {:#?}", &self.seen[from..])
    }
}

/// A fresh id for a frame.
pub fn message_id() -> String {
    Uuid::new_v4().to_string()
}

/// What the runs in these frames said, put together by offset as a page would.
pub fn spoken(frames: &[Value]) -> String {
    let mut text = String::new();
    for frame in frames.iter().filter(|frame| frame["type"] == "partial_result") {
        let payload = &frame["payload"];
        assert_eq!(payload["offset"], text.len(), "the text has no holes");
        text.push_str(payload["content"].as_str().unwrap());
    }
    text
}

/// A frame as a client sends it, masked with zeros. `head` is its first byte: the fin bit and the opcode.
pub fn client_frame(head: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = client_header(head, payload.len() as u64);
    frame.extend_from_slice(payload);
    frame
}

/// The header of such a frame.
pub fn client_header(head: u8, length: u64) -> Vec<u8> {
    let mut header = vec![head];
    match length {
        0..126 => header.push(0x80 | u8::try_from(length).unwrap()),
        126..65_536 => {
            header.push(0x80 | 126);
            header.extend_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
        }
        _ => {
            header.push(0x80 | 127);
            header.extend_from_slice(&length.to_be_bytes());
        }
    }
    header.extend_from_slice(&[0; 4]);
    header
}
