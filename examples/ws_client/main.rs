//! A client for the terminal: `cargo run --example ws_client`, then write; `/stop` stops the run, `/quit` ends.
//!
//! It shows what a client of `sessile.v1` has to do: go on after any cut with the last `seq` that it took, send again what was
//! not answered under the same id, tell the server what it took, and back off with full jitter. What it prints is made in
//! `screen.rs`.

mod screen;

use std::collections::HashSet;
use std::io::BufRead;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use clap::Parser;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use sessile_actors::protocol::server::is_terminal_kind;
use tokio::net::TcpStream;
use tokio::sync::mpsc::{Receiver, channel};
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::tungstenite::{Error, Message, client::IntoClientRequest, http::Response, protocol::CloseFrame};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use screen::{Screen, text};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;
type Input = Receiver<String>;

/// Three of the server's pings: where none comes, the line is dead, whatever the kernel says.
const PATIENCE: Duration = Duration::from_secs(45);

#[derive(Parser, Default)]
#[command(about = "Talks to a Sessile server. /stop stops the run, /quit ends.")]
struct Args {
    /// Where the server listens
    #[arg(long, default_value = "ws://127.0.0.1:8080/v1/session")]
    url: String,
    /// A token, where the server wants one; else a guest
    #[arg(long)]
    token: Option<String>,
    /// Say this, wait for the answer, end
    #[arg(long, value_name = "TEXT")]
    once: Option<String>,
}

/// What goes on over any number of sockets.
#[derive(Default)]
struct Client {
    args: Args,
    input_over: bool,
    /// A guest's identity: who shows it again is the same guest.
    cookie: Option<String>,
    /// Session, epoch and last event taken: what a resume needs.
    place: Option<(String, String, u64)>,
    /// Messages that were sent and not answered: id and frame.
    unanswered: Vec<(String, String)>,
    /// Runs whose acceptance or whose end is still to come.
    unsettled: HashSet<String>,
    screen: Screen,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let (lines, mut input) = channel(16);
    let once = args.once.clone();
    // A thread of its own: reading the terminal blocks. It ends with the process.
    std::thread::spawn(move || {
        let stdin = std::io::stdin().lock().lines().map_while(Result::ok);
        let typed = stdin.take(if once.is_some() { 0 } else { usize::MAX });
        once.into_iter()
            .chain(typed)
            .all(|line| lines.blocking_send(line).is_ok())
    });
    let mut client = Client {
        args,
        ..Client::default()
    };
    client.talk(&mut input).await?;
    ensure!(!client.screen.failed, "not every message was answered");
    Ok(())
}

impl Client {
    async fn talk(&mut self, input: &mut Input) -> anyhow::Result<()> {
        let (mut attempt, mut cut_since) = (0, Instant::now());
        loop {
            let wait = match self.connect().await? {
                Ok(mut socket) => {
                    let Some(wait) = self.converse(&mut socket, input).await? else {
                        return socket.close(None).await.or(Ok(()));
                    };
                    (attempt, cut_since) = (0, Instant::now());
                    wait
                }
                Err(wait) => wait,
            };
            // Full jitter from 0.25 s, capped at 5 s for the first minute and at 30 s after.
            let is_young = cut_since.elapsed() < Duration::from_secs(60);
            let most = (250 << attempt.min(10)).min(if is_young { 5_000 } else { 30_000 });
            attempt += 1;
            let jitter = u64::from(getrandom::u32().unwrap_or(u32::MAX)) % most;
            let wait = wait.max(Duration::from_millis(jitter));
            eprintln!("- connecting again in {wait:?}");
            sleep(wait).await;
        }
    }

    /// A socket, or how long to wait at least. An error ends the client: trying again would not help.
    async fn connect(&mut self) -> anyhow::Result<Result<Socket, Duration>> {
        let mut url = self.args.url.clone();
        if let Some((session, epoch, last_seq)) = &self.place {
            url += &format!("?session_id={session}&last_seq={last_seq}&epoch={epoch}");
        }
        let mut request = url.into_client_request().context("--url is no address")?;
        let headers = request.headers_mut();
        headers.insert("sec-websocket-protocol", "sessile.v1".parse()?);
        if let Some(token) = &self.args.token {
            headers.insert("authorization", format!("Bearer {token}").parse()?);
        }
        if let Some(cookie) = &self.cookie {
            headers.insert("cookie", cookie.parse()?);
        }
        match connect_async(request).await {
            Ok((socket, answer)) => {
                let fresh = header(&answer, "set-cookie").and_then(|cookie| cookie.split(';').next());
                self.cookie = fresh.map(str::to_owned).or(self.cookie.take());
                Ok(Ok(socket))
            }
            Err(Error::Http(refusal)) => {
                let wait = header(&refusal, "retry-after").and_then(|wait| wait.parse().ok());
                let why = String::from_utf8_lossy(refusal.body().as_deref().unwrap_or_default()).into_owned();
                let wait = wait.with_context(|| format!("refused with {}: {why}", refusal.status()))?;
                Ok(Err(Duration::from_secs(wait)))
            }
            Err(fault) if self.place.is_none() => {
                bail!("no server there ({fault}); start one by `cargo run --release`")
            }
            Err(_) => Ok(Err(Duration::ZERO)),
        }
    }

    /// Talks over one socket until it ends: then how long to wait, or nothing where all is done.
    async fn converse(&mut self, socket: &mut Socket, input: &mut Input) -> anyhow::Result<Option<Duration>> {
        while !(self.input_over && self.unanswered.is_empty() && self.unsettled.is_empty()) {
            let frames = tokio::select! {
                arrived = timeout(PATIENCE, socket.next()) => match arrived {
                    Ok(Some(Ok(Message::Text(text)))) => self.take(&serde_json::from_str(&text)?),
                    Ok(Some(Ok(Message::Close(Some(close))))) => return self.closed(&close),
                    Ok(Some(Ok(_))) => Vec::new(),
                    Ok(Some(Err(_)) | None) | Err(_) => return Ok(Some(Duration::ZERO)),
                },
                line = input.recv(), if !self.input_over => match line.as_deref().map(str::trim) {
                    None => { self.input_over = true; Vec::new() }
                    Some("") => Vec::new(),
                    Some("/quit") => return Ok(None),
                    Some("/stop") => vec![frame("stop_agent", json!({})).1],
                    Some(text) => {
                        let (id, message) = frame("user_message", json!({ "content": text }));
                        self.unanswered.push((id, message.clone()));
                        vec![message]
                    }
                },
            };
            for text in frames {
                if socket.send(Message::text(text)).await.is_err() {
                    return Ok(Some(Duration::ZERO));
                }
            }
        }
        Ok(None)
    }

    fn closed(&mut self, close: &CloseFrame) -> anyhow::Result<Option<Duration>> {
        match u16::from(close.code) {
            1012 | 1013 | 4000 | 4002 | 4008 => {}
            // The session is of no use any more: begin anew.
            4409 | 4410 => (self.place, self.unsettled) = (None, HashSet::new()),
            code => bail!("closed with {code}: {}", close.reason),
        }
        let (_, wait) = close.reason.split_once("retry_after_ms=").unwrap_or_default();
        Ok(Some(Duration::from_millis(wait.parse().unwrap_or(0))))
    }

    /// Takes a frame; gives back what is to be sent.
    fn take(&mut self, arrived: &Value) -> Vec<String> {
        let (kind, payload) = (text(arrived, "type"), &arrived["payload"]);
        if let (Some(seq), Some((_, _, last_seq))) = (arrived["seq"].as_u64(), &mut self.place) {
            *last_seq = seq;
            self.screen.show(kind, text(arrived, "agent_name"), payload);
            if is_terminal_kind(kind) {
                self.settle(text(arrived, "run_id"));
                // The server need not keep what was taken.
                return vec![frame("ack", json!({ "seq": seq })).1];
            }
            return Vec::new();
        }
        match kind {
            "connection_established" => {
                let last_seq = self.place.as_ref().map_or(0, |place| place.2);
                let [user, session, epoch] =
                    ["user_id", "session_id", "epoch"].map(|key| text(payload, key).to_owned());
                eprintln!("- {user} in session {session}, after seq {last_seq}");
                self.place = Some((session, epoch, last_seq));
                // The server knows each id: what it has already is answered and not done again.
                return self.unanswered.iter().map(|(_, text)| text.clone()).collect();
            }
            "message_accepted" if self.answered(text(payload, "message_id")) => self.settle(text(payload, "run_id")),
            "resync" => {
                let (active, head) = (payload["active_runs"].to_string(), payload["as_of_seq"].as_u64());
                self.unsettled.retain(|run| active.contains(run));
                self.place.iter_mut().for_each(|place| place.2 = head.unwrap_or(0));
                self.screen.line("! some events are gone; going on from here");
            }
            "error" => {
                self.answered(text(payload, "reply_to"));
                self.screen.fault(text(payload, "message"));
            }
            _ => {}
        }
        Vec::new()
    }

    /// Whether this message waited for its answer.
    fn answered(&mut self, id: &str) -> bool {
        let place = self.unanswered.iter().position(|(waiting, _)| waiting == id);
        place.map(|place| self.unanswered.remove(place)).is_some()
    }

    /// A run is settled once it was both accepted and ended; after a cut its end may come first.
    fn settle(&mut self, run: &str) {
        if !self.unsettled.remove(run) {
            self.unsettled.insert(run.to_owned());
        }
    }
}

/// A frame to send, after its id.
fn frame(kind: &str, payload: Value) -> (String, String) {
    let id = uuid::Uuid::new_v4().to_string();
    let text = json!({"type": kind, "message_id": id, "payload": payload}).to_string();
    (id, text)
}

fn header<'a>(answer: &'a Response<Option<Vec<u8>>>, name: &str) -> Option<&'a str> {
    answer.headers().get(name)?.to_str().ok()
}
