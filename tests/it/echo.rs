//! The edge keeps RFC 6455: what a conformance tool would find, asked of `examples/echo_server.rs`, which is made of the
//! edge of the sessions. The groups and their order are those of the Autobahn testsuite; compression, which is never
//! agreed to, is left out.

mod manners;
mod wire;

use self::wire::{
    BINARY, BINARY_BEGINS, CLOSE, ENDS, Echo, Frame, GOES_ON, PING, PONG, TEXT, TEXT_BEGINS, close, frame, masked,
    pieces,
};

/// How a conversation ends.
enum End {
    /// The client closes with 1000 behind all else, and the server answers with the same.
    Well,
    /// The server closes, with this code and a sentence.
    Fails(u16),
}

/// What is sent, what comes back, and the end.
type Case = (&'static str, Vec<Frame>, Vec<Frame>, End);

/// Holds the server to each case, sent at once and octet by octet.
async fn hold(cases: Vec<Case>) {
    let echo = Echo::start(&[]);
    for (what, sent, expected, end) in cases {
        hold_to(&echo, what, &sent, &expected, &end, &[usize::MAX, 1]).await;
    }
}

async fn hold_to(echo: &Echo, what: &str, sent: &[Frame], expected: &[Frame], end: &End, chunks: &[usize]) {
    let mut bytes: Vec<u8> = sent.iter().flat_map(masked).collect();
    if matches!(end, End::Well) {
        bytes.extend(masked(&close(1000, "")));
    }
    for &chunk in chunks {
        let mut heard = echo.hear(&bytes, chunk.min(bytes.len())).await;
        let last = heard.pop();
        assert!(heard == expected, "{what}, by {chunk}: {}", brief(&heard));
        match (end, last) {
            (End::Well, last) => assert_eq!(last, Some(close(1000, "")), "{what}, by {chunk}"),
            (End::Fails(code), Some((CLOSE, payload))) => {
                let (found, reason) = payload.split_at(2);
                assert_eq!(found, code.to_be_bytes(), "{what}, by {chunk}");
                assert!(!reason.is_empty(), "{what}, by {chunk}: no sentence");
            }
            (End::Fails(code), last) => panic!("{what}, by {chunk}: {last:?} instead of {code}"),
        }
    }
}

/// Frames as a failure shows them: payloads may have megabytes.
fn brief(frames: &[Frame]) -> String {
    let brief = |(first, payload): &Frame| {
        let shown = String::from_utf8_lossy(&payload[..payload.len().min(40)]).into_owned();
        format!("{first:#x} of {} bytes {shown:?}", payload.len())
    };
    frames.iter().map(brief).collect::<Vec<_>>().join(", ")
}

#[tokio::test]
async fn group_1_text_and_binary_of_every_kind_of_length_come_back() {
    let echo = Echo::start(&[]);
    for length in [0, 125, 126, 127, 128, 65535, 65536] {
        let chunks = if length > 128 {
            [usize::MAX, 997]
        } else {
            [usize::MAX, 1]
        };
        for (kind, payload) in [(TEXT, vec![b'*'; length]), (BINARY, vec![0xfe; length])] {
            let message = [frame(kind, payload)];
            let what = format!("{kind:#x} of {length}");
            hold_to(&echo, &what, &message, &message, &End::Well, &chunks).await;
        }
    }
}

#[tokio::test]
async fn group_2_pings_are_answered_and_pongs_are_not() {
    let ping = |payload: &[u8]| vec![frame(PING, payload)];
    let pong = |payload: &[u8]| vec![frame(PONG, payload)];
    let ten = |kind| (0..10).map(|at| frame(kind, format!("payload-{at}"))).collect();
    let not_text = [0x00, 0xff, 0xfe, 0xfd, 0xfc, 0xfb, 0x00, 0xff];
    hold(vec![
        ("an empty ping", ping(b""), pong(b""), End::Well),
        ("a ping with text", ping(b"Hello"), pong(b"Hello"), End::Well),
        ("a ping without text", ping(&not_text), pong(&not_text), End::Well),
        ("the longest ping", ping(&[0xfe; 125]), pong(&[0xfe; 125]), End::Well),
        ("a ping too long", ping(&[0xfe; 126]), vec![], End::Fails(1002)),
        ("an unasked pong", pong(b""), vec![], End::Well),
        ("an unasked pong with text", pong(b"Hello"), vec![], End::Well),
        (
            "an unasked pong, then a ping",
            [pong(b"unasked"), ping(b"asked")].concat(),
            pong(b"asked"),
            End::Well,
        ),
        ("ten pings at once", ten(PING), ten(PONG), End::Well),
    ])
    .await;
}

#[tokio::test]
async fn group_3_a_reserved_bit_fails_the_connection_behind_what_was_good() {
    let hello = frame(TEXT, "Hello");
    let mut cases = Vec::new();
    for bits in 1..=7 {
        for kind in [TEXT, BINARY, PING, CLOSE, TEXT_BEGINS] {
            let bad = frame(kind | bits << 4, "");
            cases.push(("a reserved bit", vec![bad.clone()], vec![], End::Fails(1002)));
            let sent = vec![hello.clone(), bad, frame(PING, "")];
            cases.push((
                "a reserved bit behind text",
                sent,
                vec![hello.clone()],
                End::Fails(1002),
            ));
        }
    }
    hold(cases).await;
}

#[tokio::test]
async fn group_4_a_reserved_opcode_fails_the_connection_behind_what_was_good() {
    let hello = frame(TEXT, "Hello");
    let mut cases = Vec::new();
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        for payload in ["", "reserved"] {
            let bad = frame(0x80 | opcode, payload);
            cases.push(("a reserved opcode", vec![bad.clone()], vec![], End::Fails(1002)));
            let sent = vec![hello.clone(), bad, frame(PING, "")];
            cases.push((
                "a reserved opcode behind text",
                sent,
                vec![hello.clone()],
                End::Fails(1002),
            ));
        }
    }
    hold(cases).await;
}

#[tokio::test]
async fn group_5_pieces_become_one_message_and_control_frames_may_stand_between() {
    let begins = || frame(TEXT_BEGINS, "fragment1");
    let goes_on = || frame(GOES_ON, "fragment2");
    let ends = || frame(ENDS, "fragment2");
    let whole = || frame(TEXT, "fragment1fragment2");
    let (ping, pong) = (|| frame(PING, "ping"), || frame(PONG, "ping"));
    let stray = "a continuation without a start";
    hold(vec![
        (
            "a ping in pieces",
            vec![frame(PING & 0x0f, "a"), frame(ENDS, "b")],
            vec![],
            End::Fails(1002),
        ),
        (
            "a pong in pieces",
            vec![frame(PONG & 0x0f, "a"), frame(ENDS, "b")],
            vec![],
            End::Fails(1002),
        ),
        (
            "a close in pieces",
            vec![frame(CLOSE & 0x0f, "")],
            vec![],
            End::Fails(1002),
        ),
        ("text in two pieces", vec![begins(), ends()], vec![whole()], End::Well),
        (
            "a ping between",
            vec![begins(), ping(), ends()],
            vec![pong(), whole()],
            End::Well,
        ),
        (
            "a pong between",
            vec![begins(), pong(), ends()],
            vec![whole()],
            End::Well,
        ),
        (
            "binary in three pieces",
            vec![
                frame(BINARY_BEGINS, [0xff]),
                frame(GOES_ON, [0xfe]),
                frame(ENDS, [0xfd]),
            ],
            vec![frame(BINARY, [0xff, 0xfe, 0xfd])],
            End::Well,
        ),
        (
            "pieces of nothing",
            vec![frame(TEXT_BEGINS, ""), frame(GOES_ON, ""), frame(ENDS, "")],
            vec![frame(TEXT, "")],
            End::Well,
        ),
        (
            "nothing but one piece",
            vec![frame(TEXT_BEGINS, ""), frame(GOES_ON, "middle"), frame(ENDS, "")],
            vec![frame(TEXT, "middle")],
            End::Well,
        ),
        (stray, vec![goes_on()], vec![], End::Fails(1002)),
        (stray, vec![ends()], vec![], End::Fails(1002)),
        (stray, vec![ends(), whole()], vec![], End::Fails(1002)),
        (stray, vec![whole(), ends()], vec![whole()], End::Fails(1002)),
        (stray, vec![begins(), ends(), ends()], vec![whole()], End::Fails(1002)),
        (
            "text inside a message",
            vec![begins(), whole()],
            vec![],
            End::Fails(1002),
        ),
        (
            "binary inside a message",
            vec![begins(), frame(BINARY, "")],
            vec![],
            End::Fails(1002),
        ),
        (
            "another message begun inside one",
            vec![begins(), begins()],
            vec![],
            End::Fails(1002),
        ),
        (
            "a message in pieces, twice",
            vec![
                begins(),
                ping(),
                goes_on(),
                ping(),
                frame(ENDS, ""),
                frame(BINARY_BEGINS, "b"),
                ping(),
                frame(ENDS, ""),
            ],
            vec![pong(), pong(), whole(), pong(), frame(BINARY, "b")],
            End::Well,
        ),
    ])
    .await;
}

#[tokio::test]
async fn group_6_text_is_utf8_wherever_it_is_cut() {
    let good = [
        "Hello-µ@ßöäüàá-UTF-8!!",
        "κόσμε",
        "\u{0}\u{7f}\u{80}\u{7ff}\u{800}\u{fffd}\u{ffff}\u{10000}\u{10ffff}",
        "\u{d7ff}\u{e000}\u{fffe}\u{1fffe}\u{fdd0}",
        "👩‍🚀 and a combining a\u{301}",
    ];
    let bad: [&[u8]; 16] = [
        b"\x80",
        b"\xbf\xbf",
        b"\xc3",
        b"\xe2\x82",
        b"\xf0\x9f\x98",
        b"\xc3\x28",
        b"\xc0\xaf",
        b"\xc1\xbf",
        b"\xe0\x80\xaf",
        b"\xf0\x80\x80\xaf",
        b"\xed\xa0\x80",
        b"\xed\xbf\xbf",
        b"\xed\xa0\x80\xed\xb0\x80",
        b"\xf4\x90\x80\x80",
        b"\xf8\x88\x80\x80\x80",
        b"\xfe\xff",
    ];
    let echo = Echo::start(&[]);
    for text in good {
        let whole = [frame(TEXT, text)];
        hold_to(&echo, text, &whole, &whole, &End::Well, &[usize::MAX, 1]).await;
        for size in [1, 2, 3, 5] {
            let sent = pieces(TEXT_BEGINS, text.as_bytes(), size);
            hold_to(&echo, text, &sent, &whole, &End::Well, &[usize::MAX, 1]).await;
        }
    }
    for bytes in bad {
        let (what, fails) = (format!("{bytes:x?}"), End::Fails(1007));
        let behind = [b"\xce\xba\xe1\xbd\xb9", bytes].concat();
        for payload in [bytes, &behind] {
            let whole = [frame(TEXT, payload)];
            hold_to(&echo, &what, &whole, &[], &fails, &[usize::MAX, 1]).await;
            let sent = pieces(TEXT_BEGINS, payload, 1);
            hold_to(&echo, &what, &sent, &[], &fails, &[usize::MAX, 1]).await;
        }
        // The very same bytes are nothing wrong where they are no text.
        let whole = [frame(BINARY, bytes)];
        let sent = pieces(BINARY_BEGINS, bytes, 1);
        hold_to(&echo, &what, &sent, &whole, &End::Well, &[usize::MAX]).await;
    }
}

#[tokio::test]
async fn group_6_bad_text_fails_before_its_message_ends() {
    let bad = |payload: &[u8]| vec![frame(TEXT_BEGINS, "κόσμε"), frame(GOES_ON, payload)];
    hold(vec![
        ("a surrogate", bad(b"\xed\xa0\x80edited"), vec![], End::Fails(1007)),
        ("half of what is too high", bad(b"\xf4\x90"), vec![], End::Fails(1007)),
    ])
    .await;
}

#[tokio::test]
async fn group_7_a_good_close_is_answered_with_its_own_words() {
    let echo = Echo::start(&[]);
    let mut closes = vec![frame(CLOSE, ""), close(1000, "Hello World!"), close(1000, [b'*'; 123])];
    let codes = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014];
    closes.extend(codes.map(|code| close(code, "")));
    closes.extend([3000, 3999, 4000, 4999].map(|code| close(code, "bye, κόσμε")));
    for close in closes {
        for chunk in [usize::MAX, 1] {
            let bytes = masked(&close);
            let heard = echo.hear(&bytes, chunk.min(bytes.len())).await;
            assert_eq!(heard, std::slice::from_ref(&close));
        }
    }
}

#[tokio::test]
async fn group_7_a_bad_close_fails_the_connection() {
    let mut cases: Vec<Case> = vec![
        ("a close of one byte", vec![frame(CLOSE, "a")], vec![], End::Fails(1002)),
        (
            "a close too long",
            vec![close(1000, [b'*'; 124])],
            vec![],
            End::Fails(1002),
        ),
        // The codec doesn't say what is wrong with a close frame: 1002 for this too.
        (
            "a reason that is no text",
            vec![close(1000, b"\xce\xba\xed\xa0\x80")],
            vec![],
            End::Fails(1002),
        ),
    ];
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535] {
        cases.push((
            "a code that nobody may send",
            vec![close(code, "")],
            vec![],
            End::Fails(1002),
        ));
    }
    hold(cases).await;
}

#[tokio::test]
async fn group_7_nothing_behind_a_close_counts_and_all_before_it_does() {
    let (hello, bye) = (frame(TEXT, "Hello"), close(1000, ""));
    let echo = Echo::start(&[]);
    let big = frame(TEXT, vec![b'*'; 256 * 1024]);
    for (sent, expected) in [
        (vec![hello.clone(), bye.clone()], vec![hello.clone(), bye.clone()]),
        (vec![big.clone(), bye.clone(), hello.clone()], vec![big, bye.clone()]),
        (vec![bye.clone(), hello.clone()], vec![bye.clone()]),
        (vec![bye.clone(), frame(PING, "")], vec![bye.clone()]),
        (vec![bye.clone(), bye.clone()], vec![bye.clone()]),
        (vec![bye.clone(), frame(0xff, "nonsense")], vec![bye.clone()]),
        (
            vec![frame(TEXT_BEGINS, "fragment1"), bye.clone(), frame(ENDS, "fragment2")],
            vec![bye],
        ),
    ] {
        let bytes: Vec<u8> = sent.iter().flat_map(masked).collect();
        let heard = echo.hear(&bytes, bytes.len()).await;
        assert!(heard == expected, "{}", brief(&heard));
    }
}

#[tokio::test]
async fn group_9_and_10_large_messages_come_back_in_whatever_pieces_they_came() {
    const MIB: usize = 1024 * 1024;
    let echo = Echo::start(&[]);
    for (begins, length, size) in [
        (TEXT_BEGINS, MIB, MIB),
        (BINARY_BEGINS, MIB, 64),
        (TEXT_BEGINS, 4 * MIB, 1300),
        (BINARY_BEGINS, 16 * MIB, 16 * MIB),
        (TEXT_BEGINS, 16 * MIB, 64 * 1024),
        (BINARY_BEGINS, 65536, 1300),
    ] {
        // A prime number of letters: a piece that is lost or stands elsewhere shows.
        let mut payload = b"abcdefghijklmnopqrstuvw".repeat(length / 23 + 1);
        payload.truncate(length);
        let whole = [frame(ENDS | begins, &payload)];
        let sent = if size == length {
            whole.to_vec()
        } else {
            pieces(begins, &payload, size)
        };
        let what = format!("{length} bytes in pieces of {size}");
        hold_to(&echo, &what, &sent, &whole, &End::Well, &[64 * 1024]).await;
    }
}

#[tokio::test]
async fn group_9_a_byte_too_many_is_refused_at_its_header() {
    let echo = Echo::start(&[]);
    let mut too_big = vec![BINARY, 0xff];
    too_big.extend((16_u64 * 1024 * 1024 + 1).to_be_bytes());
    too_big.extend([0; 4]);
    let heard = echo.hear(&too_big, usize::MAX).await;
    assert!(matches!(&heard[..], [(CLOSE, payload)] if payload.starts_with(&1009_u16.to_be_bytes())));
}
