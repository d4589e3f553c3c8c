//! The smallest client that survives a cut, for those who write their own: says one thing, prints what comes, ends with the run.
//!
//! With a server running: `cargo run --example ws_client -- "what is 12 * (3 + 4)?"`. Kill the server in mid-answer and start it
//! again: the client goes on. Who wants to talk rather than to program uses `sessile chat`.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use clap::Parser;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use sessile_actors::protocol::server::is_terminal_kind;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::{Message, client::IntoClientRequest};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// Three of the server's pings: where none comes, the line is dead, whatever the kernel says.
const PATIENCE: Duration = Duration::from_secs(45);

/// Attempts to come back before it gives up: some minutes.
const ATTEMPTS: u32 = 60;

#[derive(Parser)]
struct Args {
    /// What to say
    text: String,
    /// Where the server listens
    #[arg(long, default_value = "ws://127.0.0.1:8080/v1/session")]
    url: String,
}

/// What goes on over any number of sockets.
#[derive(Default)]
struct Client {
    /// A guest's identity: a resume needs a credential of the same user. With a token, that is sent instead.
    cookie: Option<String>,
    /// Session, epoch and last event taken: what a resume needs.
    place: Option<(String, String, u64)>,
    /// The run that answers the message, once the server has said so.
    run: Option<String>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let mut client = Client::default();
    // One id however often it is sent: the server knows it, and what it has already is not done again.
    let id = uuid::Uuid::new_v4().to_string();
    let message = json!({ "type": "user_message", "message_id": id, "payload": { "content": args.text } }).to_string();
    for attempt in 0..ATTEMPTS {
        match client.connect(&args.url).await {
            Ok(mut socket) => {
                if let Some(end) = client.talk(&mut socket, &message).await? {
                    socket.close(None).await.ok();
                    ensure!(end == "agent_completed", "the message was not answered: {end}");
                    return Ok(());
                }
            }
            Err(fault) if client.place.is_none() => {
                bail!("no server there ({fault:#}); start one by `cargo run --release`")
            }
            Err(_) => {}
        }
        // Full jitter: clients that were cut together don't come back together.
        let most = (250 << attempt.min(10)).min(5_000);
        sleep(Duration::from_millis(
            u64::from(getrandom::u32().unwrap_or(u32::MAX)) % most,
        ))
        .await;
    }
    bail!("the server does not come back")
}

impl Client {
    async fn connect(&mut self, url: &str) -> anyhow::Result<WebSocketStream<MaybeTlsStream<TcpStream>>> {
        let query = self
            .place
            .as_ref()
            .map_or_else(String::new, |(session, epoch, last_seq)| {
                format!("?session_id={session}&epoch={epoch}&last_seq={last_seq}")
            });
        let mut request = format!("{url}{query}").into_client_request()?;
        if let Ok(token) = std::env::var("SESSILE_TOKEN") {
            request
                .headers_mut()
                .insert("authorization", format!("Bearer {token}").parse()?);
        } else if let Some(cookie) = &self.cookie {
            request.headers_mut().insert("cookie", cookie.parse()?);
        }
        let (socket, answer) = connect_async(request).await?;
        if let Some(cookie) = answer.headers().get("set-cookie") {
            self.cookie = cookie.to_str()?.split(';').next().map(str::to_owned);
        }
        Ok(socket)
    }

    /// Talks over one socket: gives back how the run ended, or nothing where the socket ended first.
    async fn talk<S>(&mut self, socket: &mut S, message: &str) -> anyhow::Result<Option<String>>
    where
        S: StreamExt<Item = Result<Message, tokio_tungstenite::tungstenite::Error>> + SinkExt<Message> + Unpin,
    {
        while let Ok(Some(Ok(arrived))) = timeout(PATIENCE, socket.next()).await {
            let frame: Value = match &arrived {
                Message::Text(text) => serde_json::from_str(text)?,
                // 1012, 1013 and 4000 and up to 4008 but for 4001 mean: resume. The rest means: not with this session.
                Message::Close(Some(close)) if !matches!(close.code.into(), 1012 | 1013 | 4000 | 4002 | 4008) => {
                    bail!("closed with {}: {}", close.code, close.reason)
                }
                _ => continue,
            };
            let (kind, payload) = (frame["type"].as_str().unwrap_or_default(), &frame["payload"]);
            if let (Some(seq), Some((_, _, last_seq))) = (frame["seq"].as_u64(), &mut self.place) {
                *last_seq = seq;
                println!("{seq} {kind} {payload}");
                if is_terminal_kind(kind) {
                    return Ok(Some(kind.to_owned()));
                }
            }
            match kind {
                "connection_established" => {
                    let [session, epoch] =
                        ["session_id", "epoch"].map(|field| payload[field].as_str().map(str::to_owned));
                    let last_seq = self.place.as_ref().map_or(0, |place| place.2);
                    self.place = Some((session.context("no session")?, epoch.context("no epoch")?, last_seq));
                    if self.run.is_none() && socket.send(Message::text(message)).await.is_err() {
                        return Ok(None);
                    }
                }
                "message_accepted" => self.run = payload["run_id"].as_str().map(str::to_owned),
                // What was missed is gone. Another client would show the snapshot, and go on after its `as_of_seq`.
                "resync" => bail!("the events of the answer are gone: {}", payload["messages"]),
                "error" => bail!("refused: {}", payload["message"]),
                _ => {}
            }
        }
        Ok(None)
    }
}
