//! The sink over a real loopback connection.

use futures_util::{SinkExt as _, StreamExt as _};
use sessile_actors::ids::{AttachGen, SessionId};
use sessile_actors::testing::lone_session;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{Message as ClientMessage, Role};

use super::*;

const WINDOW: Window = Window {
    frames: 4,
    bytes: 1000,
    inbound: 2,
};

#[actix_rt::test]
async fn pushed_frames_arrive_in_order_and_room_comes_back() {
    let (mut sink, tag, mut client) = open(&[]).await;
    sink.push(vec![frame(tag, "one"), frame(tag, "two")]).unwrap();
    sink.push(vec![frame(tag, &"x".repeat(900))]).unwrap();
    assert_eq!(sink.push(vec![frame(tag, &"x".repeat(200))]), Err(PushError::Full));
    for expected in ["one", "two", &"x".repeat(900)] {
        let text = client.next().await.unwrap().unwrap();
        assert_eq!(text.into_text().unwrap().as_str(), expected);
    }
    assert_eq!(sink.room(), (4, 1000));
}

#[actix_rt::test]
async fn a_frame_of_another_session_is_refused_and_nothing_of_its_turn_is_sent() {
    let (mut sink, tag, mut client) = open(&[]).await;
    let turn = vec![frame(tag, "mine"), frame(SessionId::mint(), "yours")];
    assert_eq!(sink.push(turn), Err(PushError::ForeignTag));
    sink.close(CloseCode::Normal);
    assert_eq!(close_code(&mut client).await, 1000);
}

#[actix_rt::test]
async fn close_comes_after_what_was_pushed_and_a_dropped_sink_closes_with_4000() {
    let (mut sink, tag, mut client) = open(&[]).await;
    sink.push(vec![frame(tag, "last words")]).unwrap();
    drop(sink);
    let text = client.next().await.unwrap().unwrap();
    assert_eq!(text.into_text().unwrap().as_str(), "last words");
    assert_eq!(close_code(&mut client).await, 4000);
}

#[actix_rt::test]
async fn pings_are_answered_in_both_directions() {
    let (mut sink, _tag, mut client) = open(&[]).await;
    client.send(ClientMessage::Ping("?".into())).await.unwrap();
    assert_eq!(client.next().await.unwrap().unwrap(), ClientMessage::Pong("?".into()));
    sink.ping();
    assert_eq!(client.next().await.unwrap().unwrap(), ClientMessage::Ping("".into()));
}

#[actix_rt::test]
async fn what_breaks_a_rule_is_closed_with_its_code() {
    let too_big = [&[0x81, 0xff][..], &(4_u64 << 30).to_be_bytes(), &[0; 4]].concat();
    let faults = [
        (too_big, 1009),
        (fake_wire::client_frame(0x82, b"binary"), 1002),
        (fake_wire::client_frame(0x81, b"\xff"), 1007),
        (fake_wire::client_frame(0x89, b"").repeat(21), 1008),
    ];
    for (bytes, code) in faults {
        let (sink, _tag, mut client) = open(&bytes).await;
        assert_eq!(close_code(&mut client).await, code);
        assert_eq!(sink.room(), (0, 0));
    }
}

#[actix_rt::test]
async fn a_client_that_streams_behind_a_refused_header_is_cut() {
    let (_sink, _tag, client) = open(&[&[0x81, 0xff][..], &(4_u64 << 30).to_be_bytes(), &[0; 4]].concat()).await;
    let mut raw = client.into_inner();
    let chunk = vec![0; 1024 * 1024];
    let mut taken = 0;
    while taken < 400 {
        if raw.write_all(&chunk).await.is_err() {
            break;
        }
        taken += 1;
    }
    assert!(taken < 400, "all of it was taken");
}

#[actix_rt::test]
async fn a_client_that_closes_gets_its_code_back_and_the_end() {
    let (sink, _tag, client) = open(&[]).await;
    let mut raw = client.into_inner();
    raw.write_all(&fake_wire::client_frame(0x88, &1001_u16.to_be_bytes()))
        .await
        .unwrap();
    raw.shutdown().await.unwrap();
    let mut answer = Vec::new();
    raw.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, [0x88, 2, 0x03, 0xe9]);
    assert_eq!(sink.room(), (0, 0));
}

#[actix_rt::test]
async fn beyond_its_grants_a_client_is_held_back_by_tcp() {
    let (mut sink, _tag, client) = open(&[]).await;
    let mut raw = client.into_inner();
    let message = fake_wire::client_frame(0x81, &[b'x'; 60_000]);
    let (mut taken, stall) = (0, Duration::from_millis(300));
    while taken < HELD_BACK_AFTER && tokio::time::timeout(stall, raw.write_all(&message)).await.is_ok() {
        taken += message.len();
    }
    assert!(taken < HELD_BACK_AFTER, "the client was never held back");
    sink.grant(1000);
    let rest = tokio::time::timeout(Duration::from_secs(5), raw.write_all(&message)).await;
    assert!(matches!(rest, Ok(Ok(()))), "a grant lets it go on");
}

/// More than the kernel buffers of a connection hold.
const HELD_BACK_AFTER: usize = 64 * 1024 * 1024;

type Client = WebSocketStream<TcpStream>;

/// A socket whose client has sent `bytes` already, opened for a session that takes everything and does nothing.
async fn open(bytes: &[u8]) -> (Box<dyn Sink>, SessionId, Client) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (served, _) = listener.accept().await.unwrap();
    client.write_all(bytes).await.unwrap();
    let tag = SessionId::mint();
    let uplink = Uplink {
        session: lone_session("ada").await,
        tag,
        generation: AttachGen(1),
    };
    let socket = TcpSocket {
        stream: served.into_std().unwrap(),
        leftover: Bytes::new(),
        limits: SocketLimits::from(&Limits::default()),
        open: OpenSockets::default(),
    };
    let sink = Box::new(socket).open(uplink, WINDOW).unwrap();
    let client = WebSocketStream::from_raw_socket(client, Role::Client, None).await;
    (sink, tag, client)
}

fn frame(tag: SessionId, text: &str) -> OutFrame {
    OutFrame {
        tag,
        text: Bytes::copy_from_slice(text.as_bytes()),
    }
}

async fn close_code(client: &mut Client) -> u16 {
    while let Some(message) = client.next().await {
        if let ClientMessage::Close(close) = message.unwrap() {
            return close.unwrap().code.into();
        }
    }
    panic!("the socket ended without a close frame");
}
