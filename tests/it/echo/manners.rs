//! What the echo server does around the frames: its flags, its handshake, a client that does not read, its end.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::wire::{BINARY, ENDS, Echo, TEXT, TEXT_BEGINS, close, frame, masked};
use super::{End, hold_to};

#[tokio::test]
async fn what_is_beyond_the_flags_is_refused_with_1009() {
    let echo = Echo::start(&["--message-bytes", "1000", "--frame-bytes", "600"]);
    let begins = || frame(TEXT_BEGINS, [b'x'; 600]);
    let whole = [frame(TEXT, [b'x'; 1000])];
    let fitting = [begins(), frame(ENDS, [b'x'; 400])];
    let fails = End::Fails(1009);
    hold_to(&echo, "a message that fits", &fitting, &whole, &End::Well, &[1]).await;
    hold_to(&echo, "a long frame", &[frame(TEXT, [b'x'; 601])], &[], &fails, &[1]).await;
    let long = [begins(), frame(ENDS, [b'x'; 401])];
    hold_to(&echo, "a long message", &long, &[], &fails, &[1]).await;
}

#[tokio::test]
async fn a_client_of_another_make_gets_its_messages_back() {
    let echo = Echo::start(&[]);
    let (mut client, _) = tokio_tungstenite::connect_async(format!("ws://{}/any/path", echo.address))
        .await
        .unwrap();
    let messages = [
        Message::text("κόσμε"),
        Message::binary(vec![0xff; 70_000]),
        Message::text(""),
        Message::text("x".repeat(1024 * 1024)),
    ];
    for message in &messages {
        client.feed(message.clone()).await.unwrap();
    }
    client.send(Message::Ping("?".into())).await.unwrap();
    for message in messages {
        assert!(client.next().await.unwrap().unwrap() == message);
    }
    assert_eq!(client.next().await.unwrap().unwrap(), Message::Pong("?".into()));
    let bye = CloseFrame {
        code: CloseCode::Iana(3000),
        reason: "bye".into(),
    };
    client.close(Some(bye.clone())).await.unwrap();
    assert_eq!(client.next().await.unwrap().unwrap(), Message::Close(Some(bye)));
    assert!(client.next().await.is_none());
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_held_back_and_gets_everything_when_it_reads() {
    /// More than the kernel buffers of a connection hold.
    const MESSAGES: usize = 64;
    const MESSAGE_BYTES: usize = 1024 * 1024;
    let echo = Echo::start(&["--message-bytes", &MESSAGE_BYTES.to_string()]);
    let (mut reader, mut writer) = echo.open().await;
    let (progress, mut taken) = watch::channel(0);
    let speaking = tokio::spawn(async move {
        for at in 0..MESSAGES {
            let message = masked(&frame(BINARY, vec![at as u8; MESSAGE_BYTES]));
            writer.write_all(&message).await.unwrap();
            progress.send_replace(at + 1);
        }
        writer.write_all(&masked(&close(1000, ""))).await.unwrap();
        writer
    });
    // It is held back where nothing goes on for so long.
    let stall = Duration::from_millis(300);
    while let Ok(Ok(())) = tokio::time::timeout(stall, taken.changed()).await {}
    let held_at = *taken.borrow();
    assert!(held_at < MESSAGES, "the client was never held back");
    for at in 0..MESSAGES {
        let (kind, payload) = reader.next().await.unwrap();
        assert!(kind == BINARY && payload == [at as u8; MESSAGE_BYTES], "message {at}");
    }
    assert_eq!(reader.next().await, Some(close(1000, "")));
    speaking.await.unwrap();
}

#[tokio::test]
async fn what_is_no_handshake_is_answered_as_a_session_would() {
    let echo = Echo::start(&[]);
    let upgrade = "connection: Upgrade\r\nupgrade: websocket\r\n";
    let version = "sec-websocket-version: 13\r\n";
    let key = "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    for (method, headers, status) in [
        ("GET", String::new(), "426"),
        ("POST", format!("{upgrade}{version}{key}"), "405"),
        ("GET", format!("{upgrade}{key}"), "426"),
        ("GET", format!("{upgrade}sec-websocket-version: 8\r\n{key}"), "426"),
        ("GET", format!("{upgrade}{version}sec-websocket-key: short\r\n"), "400"),
    ] {
        let mut stream = TcpStream::connect(&echo.address).await.unwrap();
        let request = format!("{method} / HTTP/1.1\r\nhost: x\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        let answer = String::from_utf8_lossy(&answer);
        assert_eq!(answer, format!("HTTP/1.1 {status}"), "{request}");
    }
}

#[tokio::test]
async fn ctrl_c_ends_it_well_also_with_a_socket_open() {
    let echo = Echo::start(&[]);
    let (mut reader, mut writer) = echo.open().await;
    let hello = frame(TEXT, "Hello");
    writer.write_all(&masked(&hello)).await.unwrap();
    assert_eq!(reader.next().await, Some(hello));
    assert!(echo.interrupt());
}

#[test]
fn a_port_that_is_taken_is_named_with_what_to_do() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = crate::examples::example("echo_server")
        .args(["--listen", &address])
        .output()
        .unwrap();
    let why = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && why.contains(&address) && why.contains("choose another by --listen"),
        "{why}"
    );
}
