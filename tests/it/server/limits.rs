//! Bounds of frames: beyond each the client is told which one it met, and the server holds no more for it.

use serde_json::json;
use tokio::io::AsyncWriteExt as _;

use super::client::{client_frame, client_header};
use super::{Client, House, Server};

const TEXT: u8 = 0x81;
const FIRST_TEXT: u8 = 0x01;
const MORE: u8 = 0x00;
const LAST: u8 = 0x80;
const PING: u8 = 0x89;

async fn connected() -> (Server, Client) {
    let server = House::scripted().start().await;
    let client = server.connect(&server.guest().await).await;
    (server, client)
}

#[tokio::test]
async fn an_oversized_frame_is_refused_at_its_header_and_what_follows_is_not_held() {
    let (server, mut client) = connected().await;
    let before = server.resident_bytes();
    client.raw(&client_header(TEXT, 128 * 1024 * 1024)).await.unwrap();
    assert_eq!(client.closed().await.0, 1009);
    let chunk = vec![b'x'; 1024 * 1024];
    let mut taken = 0;
    while taken < 80 && client.raw(&chunk).await.is_ok() {
        taken += 1;
    }
    assert!(taken < 80, "80 MiB were taken after the verdict");
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown < 8 * 1024 * 1024, "the server grew by {grown} bytes");
}

#[tokio::test]
async fn a_client_that_streams_on_behind_an_oversized_header_makes_nothing_grow() {
    let (server, client) = connected().await;
    let before = server.resident_bytes();
    let mut stream = client.into_stream();
    // All at once, without waiting for the verdict.
    let header = client_header(TEXT, 1024 * 1024 * 1024);
    let _ = stream.write_all(&header).await;
    let (chunk, mut most) = (vec![b'x'; 1024 * 1024], 0);
    for _ in 0..80 {
        let cut = stream.write_all(&chunk).await.is_err();
        most = most.max(server.resident_bytes());
        if cut {
            break;
        }
    }
    let grown = most.saturating_sub(before);
    assert!(grown < 8 * 1024 * 1024, "the server grew by {grown} bytes");
}

#[tokio::test]
async fn a_message_in_fragments_is_one_message() {
    let (_server, mut client) = connected().await;
    let text = json!({"type": "user_message", "payload": {"content": "in Stücken", "agent": "echo"}}).to_string();
    // Cut in the middle of a letter too.
    let (first, rest) = text.as_bytes().split_at(text.find('ü').unwrap() + 1);
    let mut bytes = client_frame(FIRST_TEXT, first);
    bytes.extend(client_frame(MORE, b""));
    bytes.extend(client_frame(PING, b"in between"));
    bytes.extend(client_frame(LAST, rest));
    client.raw(&bytes).await.unwrap();
    assert_eq!(client.until("agent_completed").await["payload"]["result"], "in Stücken");
}

#[tokio::test]
async fn too_many_fragments_and_too_much_in_them_are_closed_with_1009() {
    let (server, mut client) = connected().await;
    let mut bytes = client_frame(FIRST_TEXT, b"{");
    bytes.extend(client_frame(MORE, b" ").repeat(64));
    let _ = client.raw(&bytes).await;
    assert_eq!(client.closed().await.0, 1009, "a 65th fragment");
    let mut client = server.connect(&server.guest().await).await;
    let _ = client.raw(&client_frame(FIRST_TEXT, &[b' '; 60_000])).await;
    for _ in 0..4 {
        let _ = client.raw(&client_frame(MORE, &[b' '; 60_000])).await;
    }
    assert_eq!(client.closed().await.0, 1009, "300,000 bytes");
}

#[tokio::test]
async fn what_is_no_text_of_the_protocol_is_closed_with_its_code() {
    let (server, _) = connected().await;
    let cases = [
        (client_frame(TEXT, b"\xff\xfe"), 1007, "bad UTF-8"),
        (client_frame(0x82, b"{}"), 1002, "binary"),
        (client_frame(LAST, b"{}"), 1002, "an end without a beginning"),
        (client_frame(0xc1, b"{}"), 1002, "a reserved bit"),
        (client_frame(PING, &[0; 126]), 1002, "a long ping"),
        (client_frame(PING, b"").repeat(40), 1008, "a flood of pings"),
    ];
    for (bytes, code, what) in cases {
        let mut client = server.connect(&server.guest().await).await;
        client.raw(&bytes).await.unwrap();
        assert_eq!(client.closed().await.0, code, "{what}");
    }
}

#[tokio::test]
async fn faulty_frames_are_answered_one_by_one_and_the_tenth_in_a_row_closes_with_4400() {
    let (_server, mut client) = connected().await;
    let faults = [
        ("{", "bad_json"),
        ("[1]", "bad_json"),
        (r#"{"type": "fly"}"#, "unknown_type"),
        (
            r#"{"type": "user_message", "payload": {"content": 7}}"#,
            "invalid_payload",
        ),
        (
            r#"{"type": "user_message", "payload": {"content": " "}}"#,
            "empty_message",
        ),
        (
            r#"{"type": "user_message", "message_id": "1", "payload": {"content": "x"}}"#,
            "invalid_payload",
        ),
    ];
    for (text, code) in faults {
        client.send_text(text).await;
        let error = client.until("error").await;
        assert_eq!(error["payload"]["code"], code, "{text}: {error}");
        assert!(error["payload"]["message"].is_string());
    }
    client
        .send_text(r#"{"type": "user_message", "payload": {"content": 7}}"#)
        .await;
    let error = client.until("error").await;
    assert_eq!(error["payload"]["details"]["pointer"], "/content", "{error}");
    // A good one begins the count anew.
    client.settle().await;
    for _ in 0..10 {
        client.send_text("{").await;
    }
    let (frames, ending) = client.until_it_ends().await;
    assert_eq!(frames.len(), 10, "{frames:#?}");
    assert!(matches!(ending, super::Ending::Closed(4400, _)), "{ending:?}");
}

#[tokio::test]
async fn json_that_nests_too_deeply_is_refused_and_the_session_goes_on() {
    let (_server, mut client) = connected().await;
    let nested = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
    let frame = |levels| format!(r#"{{"type":"ping","payload":{{"timestamp":{}}}}}"#, nested(levels));
    client.send_text(&frame(30)).await;
    client.until("pong").await;
    for levels in [31, 20_000] {
        client.send_text(&frame(levels)).await;
        let error = client.until("error").await;
        assert_eq!(error["payload"]["code"], "bad_json", "{levels} levels: {error}");
    }
    client.settle().await;
}
