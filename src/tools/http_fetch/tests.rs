//! What is refused, and what a page becomes; against a server of the test's own, on this machine.

use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::*;
use crate::config::Config;
use crate::tools::doubles::call_as;

/// How the tool is set where it is turned on and nothing else is said.
fn strict() -> Settings {
    Settings {
        enabled: true,
        ..Config::default().tools.http_fetch
    }
}

/// As strict, but for plain HTTP from one address and port of this machine.
fn local(port: u16) -> Settings {
    Settings {
        allow_http: true,
        allow_addresses: vec!["127.0.0.1/32".parse().unwrap()],
        ports: vec![port],
        ..strict()
    }
}

/// A lookup that gives these answers, one after the other, and counts.
fn answers(answers: &'static [&'static [&'static str]]) -> (guard::Lookup, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let lookup: guard::Lookup = Arc::new(move |_| {
        let answer = answers[count.fetch_add(1, Ordering::SeqCst).min(answers.len() - 1)];
        let found: Vec<IpAddr> = answer.iter().map(|text| text.parse().unwrap()).collect();
        Box::pin(async move { Ok(found) })
    });
    (lookup, asked)
}

/// Serves these answers, one connection each, and tells each request.
async fn serve(answers: Vec<String>) -> (u16, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (heard, requests) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        for answer in answers {
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let byte = connection.read_u8().await.unwrap();
                request.push(byte);
            }
            let answer = answer.replace("PORT", &port.to_string());
            connection.write_all(answer.as_bytes()).await.unwrap();
            heard.send(String::from_utf8(request).unwrap()).unwrap();
            if answer.contains("x-hang: 1") {
                std::future::pending::<()>().await;
            }
        }
    });
    (port, requests)
}

fn page(headers: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\n{headers}connection: close\r\ncontent-length: {length}\r\n\r\n{body}")
}

fn redirect(to: &str) -> String {
    format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
}

async fn fetched(settings: &Settings, url: &str) -> Result<Value, String> {
    fetched_by(settings, guard::system(), url).await
}

async fn fetched_by(settings: &Settings, lookup: guard::Lookup, url: &str) -> Result<Value, String> {
    let tool = HttpFetch::with_lookup(settings, &Handle::current(), lookup).unwrap();
    let fetched = call_as("ada", &tool, json!({ "url": url })).await;
    fetched.map_err(|fault| fault.to_string())
}

#[tokio::test]
async fn addresses_that_are_not_public_are_refused_however_they_are_spelt() {
    let spellings = [
        "https://127.0.0.1/",
        "https://127.1/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0x7f.0.0.1/",
        "https://0177.0.0.1/",
        "https://017700000001/",
        "https://127.0.0.1./",
        "https://%31%32%37.0.0.1/",
        "https://１２７.0.0.1/",
        "https://127。0。0。1/",
        "https://①②⑦.0.0.1/",
        "https://0/",
        "https://169.254.169.254/latest/meta-data/",
        "https://0xA9FEA9FE/",
        "https://2852039166/",
        "https://[::1]/",
        "https://[::]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[::ffff:7f00:1]/",
        "https://[::127.0.0.1]/",
        "https://[64:ff9b::7f00:1]/",
        "https://[2002:7f00:1::]/",
        "https://[fd00:ec2::254]/",
        "https://[fe80::1]/",
        "https:\\\\127.0.0.1\\",
        "https:127.0.0.1",
        " https://127.0.0.1/ ",
        "HTTPS://127.0.0.1/",
    ];
    for spelling in spellings {
        let refused = fetched(&strict(), spelling).await.unwrap_err();
        assert!(refused.contains("not on the public internet"), "{spelling}: {refused}");
    }
}

#[tokio::test]
async fn other_schemes_ports_and_addresses_with_a_password_are_refused() {
    let cases = [
        ("http://example.org/", "only https"),
        ("file:///etc/passwd", "only https"),
        ("ftp://example.org/", "only https"),
        ("data:text/plain,x", "only https"),
        ("gopher://example.org/", "only https"),
        ("https://example.org:22/", "port 22"),
        ("https://example.org:8443/", "port 8443"),
        ("https://ada@example.org/", "password"),
        ("https://ada:secret@example.org/", "password"),
        ("https://example.org@127.0.0.1/", "password"),
        ("example.org", "write it whole"),
        ("https://", "write it whole"),
        ("https://[::1", "write it whole"),
        ("https://256.0.0.1/", "write it whole"),
        ("https://[fe80::1%25eth0]/", "write it whole"),
    ];
    for (url, word) in cases {
        let refused = fetched(&strict(), url).await.unwrap_err();
        assert!(refused.contains(word), "{url}: {refused}");
    }
}

#[tokio::test]
async fn a_name_is_refused_where_any_of_its_addresses_is_not_public() {
    for name in [
        "inner.example",
        "inner.example.",
        "ｉｎｎｅｒ.example",
        "xn--bcher-kva.example",
    ] {
        let (lookup, asked) = answers(&[&["93.184.215.14", "10.0.0.1"]]);
        let refused = fetched_by(&strict(), lookup, &format!("https://{name}/"))
            .await
            .unwrap_err();
        assert!(refused.contains("its address is private"), "{name}: {refused}");
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }
    let (lookup, _) = answers(&[&[]]);
    let unknown = fetched_by(&strict(), lookup, "https://nowhere.example/")
        .await
        .unwrap_err();
    assert!(unknown.contains("has no address"), "{unknown}");
}

#[tokio::test]
async fn a_name_that_means_something_else_a_moment_later_changes_nothing() {
    let (port, mut requests) = serve(vec![page("content-type: text/plain\r\n", "hello")]).await;
    let (lookup, asked) = answers(&[&["127.0.0.1"], &["10.0.0.1"]]);
    let url = format!("http://rebinding.example:{port}/");
    let fetched = fetched_by(&local(port), lookup, &url).await.unwrap();
    assert_eq!(fetched["text"], "hello");
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    // It went to the checked address, and still asked for the name.
    let request = requests.recv().await.unwrap();
    assert!(
        request.contains(&format!("host: rebinding.example:{port}")),
        "{request}"
    );
}

#[tokio::test]
async fn a_name_that_turned_private_between_two_pages_of_a_chain_is_refused() {
    let (port, _requests) = serve(vec![redirect("/next")]).await;
    let (lookup, asked) = answers(&[&["127.0.0.1"], &["127.0.0.2"]]);
    let refused = fetched_by(&local(port), lookup, &format!("http://a.example:{port}/")).await;
    assert!(refused.unwrap_err().contains("this machine's own"));
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn redirects_are_followed_and_each_is_judged() {
    let body = "<title>T</title><p>Hi <a href='/x'>there</a>";
    let html = page("content-type: text/html; charset=utf-8\r\n", body);
    let (port, mut requests) = serve(vec![
        redirect("/two#part"),
        redirect("http://127.0.0.1:PORT/three"),
        html,
    ])
    .await;
    let base = format!("http://127.0.0.1:{port}");
    let fetched = fetched(&local(port), &format!("{base}/one")).await.unwrap();
    let expected = json!({
        "url": format!("{base}/three"), "status": 200, "content_type": "text/html", "title": "T", "text": "Hi there",
        "links": [{"text": "there", "url": format!("{base}/x")}], "truncated": false, "next_start": null,
    });
    assert_eq!(fetched, expected);
    for path in ["/one", "/two", "/three"] {
        let request = requests.recv().await.unwrap().to_lowercase();
        assert!(request.starts_with(&format!("get {path} http/1.1")), "{request}");
        assert!(request.contains("user-agent: sessile/") && request.contains("accept-encoding: identity"));
        assert!(!request.contains("referer") && !request.contains("cookie"), "{request}");
    }
}

#[tokio::test]
async fn a_chain_that_ends_at_a_private_address_ends_there() {
    for target in [
        "http://127.0.0.2:PORT/",
        "http://[::1]:PORT/",
        "http://127.0.0.1:22/",
        "file:///etc/passwd",
        "//0:PORT/",
    ] {
        let (port, _requests) = serve(vec![redirect("/on"), redirect(target)]).await;
        let refused = fetched(&local(port), &format!("http://127.0.0.1:{port}/"))
            .await
            .unwrap_err();
        assert!(
            refused.contains("leads on to where nothing is fetched"),
            "{target}: {refused}"
        );
    }
}

#[tokio::test]
async fn a_chain_without_end_is_left() {
    let (port, _requests) = serve(vec![redirect("/"), redirect("/"), redirect("/"), redirect("/")]).await;
    let refused = fetched(&local(port), &format!("http://127.0.0.1:{port}/"))
        .await
        .unwrap_err();
    assert_eq!(refused, "the page leads on more than 3 times");
}

#[tokio::test]
async fn a_page_that_is_too_large_is_cut_and_one_without_end_too() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nx-hang: 1\r\n\r\n";
    let (port, _requests) = serve(vec![format!("{head}{}", "x".repeat(2000))]).await;
    let settings = Settings {
        bytes: 1000,
        ..local(port)
    };
    let fetched = fetched(&settings, &format!("http://127.0.0.1:{port}/")).await.unwrap();
    assert_eq!(fetched["text"], "x".repeat(1000));
    assert_eq!(fetched["truncated"], true);
}

#[tokio::test]
async fn a_long_text_is_read_on_where_it_was_left() {
    let text = "ä".repeat(TEXT_BYTES / 2 + 10);
    let answer = page("content-type: text/plain\r\n", &text);
    let (port, _requests) = serve(vec![answer.clone(), answer]).await;
    let tool = HttpFetch::open(&local(port), &Handle::current()).unwrap();
    let url = format!("http://127.0.0.1:{port}/");
    let first = call_as("ada", &tool, json!({ "url": url })).await.unwrap();
    assert_eq!(
        (&first["truncated"], &first["next_start"]),
        (&json!(true), &json!(TEXT_BYTES))
    );
    let second = call_as("ada", &tool, json!({ "url": url, "start": TEXT_BYTES }))
        .await
        .unwrap();
    assert_eq!(second["text"], "ä".repeat(10));
    assert_eq!(second["truncated"], false);
}

#[tokio::test]
async fn a_page_that_stops_in_mid_word_ends_with_its_time() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nx-hang: 1\r\ncontent-length: 9\r\n\r\nhel";
    let (port, mut requests) = serve(vec![head.to_owned()]).await;
    let url = format!("http://127.0.0.1:{port}/");
    let settings = local(port);
    let fetching = fetched(&settings, &url);
    let heard = async {
        requests.recv().await.unwrap();
        // From here on nothing comes: time passes by itself.
        tokio::time::pause();
    };
    let (fetched, ()) = tokio::join!(fetching, heard);
    assert_eq!(
        fetched.unwrap_err(),
        format!("the page took longer than {:?}", Duration::from_secs(10))
    );
}

#[tokio::test]
async fn what_is_no_text_or_compressed_or_no_http_is_refused() {
    let cases = [
        (
            page("content-type: image/png\r\n", "x"),
            "only text is read, and this is \"image/png\"",
        ),
        (page("", "x"), "only text is read"),
        (
            page("content-type: text/plain\r\ncontent-encoding: gzip\r\n", "x"),
            "came compressed (\"gzip\")",
        ),
        (
            page("content-type: text/plain; charset=Shift_JIS\r\n", "x"),
            "\"shift_jis\" is not read",
        ),
        ("SSH-2.0-OpenSSH_9.6\r\n\r\n".to_owned(), "what came was no HTTP"),
    ];
    for (answer, word) in cases {
        let (port, _requests) = serve(vec![answer]).await;
        let refused = fetched(&local(port), &format!("http://127.0.0.1:{port}/"))
            .await
            .unwrap_err();
        assert!(refused.contains(word), "{refused}");
    }
}

#[tokio::test]
async fn an_allowed_name_is_read_whatever_its_address_is() {
    let (port, _requests) = serve(vec![page("content-type: text/plain; charset=latin1\r\n", "hello")]).await;
    let settings = Settings {
        allow_addresses: Vec::new(),
        allow_hosts: vec!["wiki.example".to_owned()],
        ..local(port)
    };
    let (lookup, _) = answers(&[&["127.0.0.1"]]);
    let read = fetched_by(&settings, Arc::clone(&lookup), &format!("http://wiki.example:{port}/")).await;
    assert_eq!(read.unwrap()["text"], "hello");
    let other = fetched_by(&settings, lookup, &format!("http://wiki.example.evil.example:{port}/")).await;
    assert!(other.unwrap_err().contains("not on the public internet"));
}
