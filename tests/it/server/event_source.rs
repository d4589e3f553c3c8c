//! A client of server-sent events on a bare connection. It fails on the first hole, repeat or swap in the ids.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use super::{PATIENCE, User};

/// One event.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    pub id: Option<String>,
    pub kind: String,
    pub data: Value,
}

/// An open stream.
pub struct EventSource {
    connection: BufReader<TcpStream>,
    head: String,
    chunked: bool,
    text: String,
    /// The last id taken.
    pub last_id: Option<String>,
    /// Comments that came.
    pub comments: usize,
}

/// How a stream is asked for.
pub struct Request {
    pub method: &'static str,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Option<Value>,
    pub receive_buffer: Option<u32>,
}

impl Request {
    pub fn run(user: &User, agent: &str, body: Value) -> Self {
        Self {
            method: "POST",
            path: format!("/v1/agents/{agent}/runs"),
            headers: Self::headers(user),
            body: Some(body),
            receive_buffer: None,
        }
    }

    pub fn resume(user: &User, session: &str, last_id: Option<&str>) -> Self {
        let mut headers = Self::headers(user);
        headers.extend(last_id.map(|id| ("last-event-id".to_owned(), id.to_owned())));
        Self {
            method: "GET",
            path: format!("/v1/sessions/{session}/events"),
            headers,
            body: None,
            receive_buffer: None,
        }
    }

    fn headers(user: &User) -> Vec<(String, String)> {
        let (name, value) = user.header();
        [(name, value), ("accept", "text/event-stream")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into()
    }

    /// Asks, and reads the head of the answer.
    pub async fn open(self, address: SocketAddr) -> EventSource {
        let socket = TcpSocket::new_v4().unwrap();
        if let Some(bytes) = self.receive_buffer {
            socket.set_recv_buffer_size(bytes).unwrap();
        }
        let mut connection = BufReader::with_capacity(1024, socket.connect(address).await.unwrap());
        let body = self.body.map(|body| body.to_string()).unwrap_or_default();
        let mut request = format!("{} {} HTTP/1.1\r\nhost: {address}\r\n", self.method, self.path);
        for (name, value) in &self.headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() {
            request.push_str("content-type: application/json\r\n");
        }
        request.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
        connection.write_all(request.as_bytes()).await.unwrap();
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let read = timeout(PATIENCE, connection.read_line(&mut head)).await;
            assert!(read.expect("an answer").unwrap() > 0, "cut in the head: {head}");
        }
        EventSource {
            connection,
            chunked: head.contains("transfer-encoding: chunked"),
            head,
            text: String::new(),
            last_id: None,
            comments: 0,
        }
    }
}

impl EventSource {
    pub fn status(&self) -> u16 {
        self.head.split(' ').nth(1).unwrap().parse().unwrap()
    }

    /// The next event; none at the end of the stream.
    pub async fn next(&mut self) -> Option<Told> {
        assert_eq!(self.status(), 200, "{}", self.head);
        loop {
            let Some((block, rest)) = self.text.split_once("\n\n") else {
                if !self.more().await {
                    assert_eq!(self.text, "", "cut in the middle of an event");
                    return None;
                }
                continue;
            };
            let (block, rest) = (block.to_owned(), rest.to_owned());
            self.text = rest;
            if block == ":" {
                self.comments += 1;
                continue;
            }
            return Some(self.take(&block));
        }
    }

    fn take(&mut self, block: &str) -> Told {
        let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
        let told = Told {
            id: field("id").map(str::to_owned),
            kind: field("event").unwrap().to_owned(),
            data: serde_json::from_str(field("data").unwrap()).unwrap(),
        };
        if let Some(id) = &told.id {
            assert_eq!(told.data["type"], told.kind);
            let seq = told.data["seq"].as_u64().unwrap();
            assert!(id.ends_with(&format!(":{seq}")), "{id} is not the id of {seq}");
            if let Some(last) = &self.last_id {
                let last: u64 = last.rsplit(':').next().unwrap().parse().unwrap();
                assert_eq!(seq, last + 1, "a hole, a repeat or a swap");
            }
            self.last_id = Some(id.clone());
        }
        told
    }

    /// Reads on; false at the end of the answer.
    async fn more(&mut self) -> bool {
        let reading = timeout(PATIENCE, self.read_some()).await;
        reading.unwrap_or_else(|_| panic!("nothing came after {:?}", self.last_id))
    }

    async fn read_some(&mut self) -> bool {
        if !self.chunked {
            let mut some = vec![0; self.length()];
            self.head.clear();
            self.head.push_str("HTTP/1.1 200 ");
            self.connection.read_exact(&mut some).await.unwrap();
            self.text.push_str(std::str::from_utf8(&some).unwrap());
            return !some.is_empty();
        }
        let mut size = String::new();
        if self.connection.read_line(&mut size).await.unwrap_or(0) == 0 {
            // Cut: what a client sees of a server that gave it up.
            return false;
        }
        let size = usize::from_str_radix(size.trim(), 16).unwrap();
        let mut chunk = vec![0; size + 2];
        if self.connection.read_exact(&mut chunk).await.is_err() {
            self.text.clear();
            return false;
        }
        self.text.push_str(std::str::from_utf8(&chunk[..size]).unwrap());
        size > 0
    }

    /// The length of an answer that is known whole; zero once it has been read.
    fn length(&self) -> usize {
        let line = self.head.lines().find_map(|line| line.strip_prefix("content-length: "));
        line.map_or(0, |length| length.parse().unwrap())
    }

    /// Reads up to and with the event of this type.
    pub async fn until(&mut self, kind: &str) -> Vec<Told> {
        let mut events = Vec::new();
        while let Some(told) = self.next().await {
            let found = told.kind == kind;
            events.push(told);
            if found {
                return events;
            }
        }
        panic!("the stream ended before {kind}: {events:#?}");
    }

    /// Reads to the end of the stream.
    pub async fn rest(&mut self) -> Vec<Told> {
        let mut events = Vec::new();
        while let Some(told) = self.next().await {
            events.push(told);
        }
        events
    }
}

/// The frames of events, as on a socket.
pub fn frames(events: &[Told]) -> Vec<Value> {
    let numbered = events.iter().filter(|told| told.id.is_some());
    numbered.map(|told| told.data.clone()).collect()
}
