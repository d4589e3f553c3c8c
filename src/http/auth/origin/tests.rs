use actix_http::header::HeaderValue;

use super::*;
use crate::config::Config;

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Pass,
    Forbidden,
    Bad,
}
use Verdict::{Bad, Forbidden, Pass};

fn policy(listen: &str, public_hosts: &[&str], origins: &[&str], public_url: Option<&str>) -> OriginPolicy {
    let mut server = Config::default().server;
    server.public_hosts = public_hosts.iter().map(ToString::to_string).collect();
    server.allowed_origins = origins.iter().map(ToString::to_string).collect();
    server.public_url = public_url.map(str::to_owned);
    OriginPolicy::new(&server, listen.parse().unwrap()).unwrap()
}

fn verdict(policy: &OriginPolicy, host: &str, origin: Option<&str>) -> Verdict {
    match policy.check_parts(host, origin) {
        Ok(from) => {
            assert_eq!(from.is_some(), origin.is_some());
            Pass
        }
        Err(AuthError::Forbidden(_)) => Forbidden,
        Err(AuthError::BadRequest(_)) => Bad,
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn only_hosts_that_are_ours_are_answered() {
    let policy = policy(
        "192.0.2.7:8080",
        &["chat.example.org", "admin.example.org:8443"],
        &[],
        None,
    );
    let table = [
        ("localhost", Pass),
        ("localhost:8080", Pass),
        ("LocalHost:1", Pass),
        ("127.0.0.1:9", Pass),
        ("[::1]:9", Pass),
        ("[0:0:0:0:0:0:0:1]", Pass),
        ("192.0.2.7:8080", Pass),
        ("chat.example.org", Pass),
        ("CHAT.example.ORG:99", Pass),
        ("admin.example.org:8443", Pass),
        ("admin.example.org", Forbidden),
        ("192.0.2.7:8081", Forbidden),
        ("192.0.2.7", Forbidden),
        ("127.0.0.2", Forbidden),
        ("0.0.0.0:8080", Forbidden),
        ("[::ffff:127.0.0.1]:8080", Forbidden),
        ("rebound.attacker.example:8080", Forbidden),
        ("localhost.attacker.example", Forbidden),
        ("attacker-localhost", Forbidden),
        ("evilchat.example.org", Forbidden),
        ("chat.example.org.attacker.example", Forbidden),
        ("localhost.", Bad),
        ("chat.example.org.", Bad),
        ("user@localhost", Bad),
        ("localhost:80:80", Bad),
        ("localhost:", Bad),
        ("localhost:+80", Bad),
        ("localhost:080", Bad),
        ("localhost:65536", Bad),
        ("[::1", Bad),
        ("[::1]8080", Bad),
        ("::1", Bad),
        ("127.1", Bad),
        ("0x7f.0.0.1", Bad),
        ("2130706433", Bad),
        ("localhost/path", Bad),
        ("localhost evil", Bad),
        ("", Bad),
    ];
    for (host, expected) in table {
        assert_eq!(verdict(&policy, host, None), expected, "{host:?}");
    }
}

#[test]
fn only_our_own_page_and_listed_ones_may_enter() {
    let origins = ["https://app.example.org", "http://localhost:3000", "tauri://localhost"];
    let policy = policy("127.0.0.1:8080", &["chat.example.org"], &origins, None);
    let table = [
        ("localhost:8080", "http://localhost:8080", Pass),
        ("localhost:8080", "HTTP://LOCALHOST:8080", Pass),
        ("127.0.0.1:8080", "http://127.0.0.1:8080", Pass),
        ("[::1]:8080", "http://[::1]:8080", Pass),
        ("[::1]:8080", "http://[0::1]:8080", Pass),
        ("localhost", "http://localhost", Pass),
        ("localhost:80", "http://localhost", Pass),
        ("localhost", "http://localhost:80", Pass),
        ("chat.example.org", "https://chat.example.org", Pass),
        ("chat.example.org:443", "https://chat.example.org", Pass),
        ("localhost:8080", "https://app.example.org", Pass),
        ("localhost:8080", "https://APP.example.org:443", Pass),
        ("localhost:8080", "http://localhost:3000", Pass),
        ("localhost:8080", "tauri://localhost", Pass),
        ("localhost:8080", "null", Forbidden),
        ("localhost:8080", "", Forbidden),
        ("localhost:8080", "*", Forbidden),
        ("localhost:8080", "http://localhost", Forbidden),
        ("localhost:8080", "http://localhost:8081", Forbidden),
        ("localhost:8080", "http://127.0.0.1:8080", Forbidden),
        ("localhost:443", "http://localhost", Forbidden),
        ("localhost:8080", "ws://localhost:8080", Forbidden),
        ("localhost:8080", "file://", Forbidden),
        ("localhost:8080", "http://app.example.org", Forbidden),
        ("localhost:8080", "https://app.example.org:8443", Forbidden),
        ("localhost:8080", "https://app.example.org.attacker.example", Forbidden),
        ("localhost:8080", "https://evilapp.example.org", Forbidden),
        ("localhost:8080", "https://sub.app.example.org", Forbidden),
        ("localhost:8080", "https://app.example.org@attacker.example", Forbidden),
        (
            "localhost:8080",
            "https://attacker.example\\@app.example.org",
            Forbidden,
        ),
        ("localhost:8080", "https://app.example.org/", Forbidden),
        ("localhost:8080", "https://app.example.org.", Forbidden),
        ("localhost:8080", "https://app.example.org#", Forbidden),
        (
            "localhost:8080",
            "https://app.example.org https://attacker.example",
            Forbidden,
        ),
        ("localhost:8080", "https://app\u{ff0e}example.org", Forbidden),
        ("localhost:8080", "tauri://localhost:80", Forbidden),
        ("localhost:8080", "chrome-extension://abcdef", Forbidden),
        ("attacker.example:8080", "http://attacker.example:8080", Forbidden),
        ("attacker.example:8080", "https://app.example.org", Forbidden),
    ];
    for (host, origin, expected) in table {
        assert_eq!(verdict(&policy, host, Some(origin)), expected, "{origin:?} to {host:?}");
    }
}

#[test]
fn the_public_address_is_a_host_and_an_origin_of_its_own() {
    let policy = policy("0.0.0.0:8080", &[], &[], Some("https://chat.example.org"));
    assert_eq!(
        verdict(&policy, "chat.example.org", Some("https://chat.example.org")),
        Pass
    );
    assert_eq!(
        verdict(&policy, "chat.example.org", Some("http://chat.example.org")),
        Forbidden
    );
    assert_eq!(verdict(&policy, "0.0.0.0:8080", None), Forbidden);
    assert_eq!(verdict(&policy, "localhost:8080", Some("http://localhost:8080")), Pass);
}

#[test]
fn a_header_that_stands_twice_or_not_at_all_is_refused() {
    let policy = policy("127.0.0.1:8080", &[], &[], None);
    let mut headers = HeaderMap::new();
    assert!(matches!(policy.check(&headers), Err(AuthError::BadRequest(_))));
    headers.append(HOST, HeaderValue::from_static("localhost"));
    assert_eq!(policy.check(&headers).unwrap(), None);
    headers.append(ORIGIN, HeaderValue::from_static("http://localhost"));
    assert_eq!(policy.check(&headers).unwrap().unwrap().to_string(), "http://localhost");
    headers.append(ORIGIN, HeaderValue::from_static("http://localhost"));
    assert!(matches!(policy.check(&headers), Err(AuthError::BadRequest(_))));
}
