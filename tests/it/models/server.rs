//! A provider that plays what it is told to, byte by byte: one script a request, in order.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

/// How long anything may take. Beyond: the test fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// Requests and closings that a test has not looked at yet.
const UNSEEN: usize = 256;

/// What is done on a connection, in order; then it is closed.
#[derive(Debug, Clone)]
pub enum Step {
    Write(Vec<u8>),
    Pause(Duration),
    /// Nothing, until the client closes.
    Wait,
    /// Nothing, until the test says so.
    WaitForTest,
    /// Nothing, until another request comes on the same connection.
    NextRequest,
}

/// What is done for one request.
pub type Play = Vec<Step>;

/// What a client asked.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Request line and headers, in small letters.
    pub head: String,
    pub body: String,
}

/// A running server.
pub struct Scripted {
    address: SocketAddr,
    asked: mpsc::Receiver<Asked>,
    closed: mpsc::Receiver<Instant>,
    go_on: mpsc::Sender<()>,
    _task: AbortOnDropHandle<()>,
}

impl Scripted {
    /// Plays these, one a request. What is asked beyond is answered 418.
    pub async fn start(plays: impl IntoIterator<Item = Play>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (ask, asked) = mpsc::channel(UNSEEN);
        let (close, closed) = mpsc::channel(UNSEEN);
        let (go_on, mut gone_on) = mpsc::channel(UNSEEN);
        let mut plays: Vec<_> = plays.into_iter().collect();
        plays.reverse();
        let task = tokio::spawn(async move {
            // Connections that wait are played in tasks of their own.
            let mut playing = tokio::task::JoinSet::new();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let Some(request) = read_request(&mut stream).await else {
                    continue;
                };
                ask.send(request).await.unwrap();
                let play = plays.pop().unwrap_or_else(|| status(418, &[], ""));
                if play.iter().any(|step| matches!(step, Step::WaitForTest)) {
                    perform(stream, play, &ask, &close, Some(&mut gone_on)).await;
                } else {
                    let (ask, close) = (ask.clone(), close.clone());
                    playing.spawn(async move { perform(stream, play, &ask, &close, None).await });
                }
            }
        });
        Self {
            address,
            asked,
            closed,
            go_on,
            _task: AbortOnDropHandle::new(task),
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// The next request.
    pub async fn asked(&mut self) -> Asked {
        timeout(PATIENCE, self.asked.recv()).await.expect("a request").unwrap()
    }

    /// How many requests came that nobody has looked at.
    pub fn asked_more(&mut self) -> usize {
        std::iter::from_fn(|| self.asked.try_recv().ok()).count()
    }

    /// When the client closed the next connection on which the script waited for that.
    pub async fn closed(&mut self) -> Instant {
        timeout(PATIENCE, self.closed.recv()).await.expect("a close").unwrap()
    }

    /// Ends a wait for the test.
    pub async fn go_on(&self) {
        self.go_on.send(()).await.unwrap();
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<Asked> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&bytes[..head_end]).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.map_or(0, |length| length.parse().unwrap());
    while bytes.len() < head_end + length {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    let body = String::from_utf8_lossy(&bytes[head_end..]).into_owned();
    Some(Asked { head, body })
}

async fn perform(
    mut stream: TcpStream,
    play: Play,
    ask: &mpsc::Sender<Asked>,
    close: &mpsc::Sender<Instant>,
    mut gone_on: Option<&mut mpsc::Receiver<()>>,
) {
    stream.set_nodelay(true).unwrap();
    for step in play {
        match step {
            // A client that has gone hears no more.
            Step::Write(bytes) if stream.write_all(&bytes).await.is_err() => return,
            Step::Write(_) => {}
            Step::Pause(time) => sleep(time).await,
            Step::Wait => {
                let mut rest = [0; 64];
                while stream.read(&mut rest).await.is_ok_and(|read| read > 0) {}
                close.send(Instant::now()).await.unwrap();
            }
            Step::NextRequest => match read_request(&mut stream).await {
                Some(request) => ask.send(request).await.unwrap(),
                None => return,
            },
            Step::WaitForTest => {
                if let Some(gone_on) = gone_on.as_mut() {
                    gone_on.recv().await;
                }
            }
        }
    }
}

/// The head of a stream that ends with its connection.
pub fn head(kind: &str) -> Step {
    Step::Write(format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\nconnection: close\r\n\r\n").into_bytes())
}

/// Events, one after the other, each with its data alone.
pub fn events(events: &[String]) -> Step {
    Step::Write(
        events
            .iter()
            .map(|event| format!("data: {event}\n\n"))
            .collect::<String>()
            .into_bytes(),
    )
}

/// A whole stream of events.
pub fn stream(all: &[String]) -> Play {
    vec![head("text/event-stream"), events(all)]
}

/// A body as it is.
pub fn raw(kind: &str, body: &str) -> Play {
    vec![head(kind), Step::Write(body.as_bytes().to_vec())]
}

/// An answer without a stream.
pub fn status(code: u16, headers: &[(&str, &str)], body: &str) -> Play {
    let headers: String = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let length = body.len();
    let answer =
        format!("HTTP/1.1 {code} Whatever\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}");
    vec![Step::Write(answer.into_bytes())]
}
