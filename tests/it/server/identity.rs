//! Who somebody is comes from their credential alone, and where they come from is judged before it.

use serde_json::json;

use super::http::UPGRADE;
use super::{Door, House};

#[tokio::test]
async fn a_guest_stays_the_same_by_their_cookie_also_after_a_restart() {
    let server = House::new().start().await;
    let ada = server.guest().await;
    let again = server.ask(&ada, "POST", "/v1/tickets", None).await;
    assert_eq!(again.json()["user_id"], ada.id);
    assert_eq!(
        again.header("set-cookie"),
        None,
        "a cookie in its first half is not renewed"
    );
    assert_eq!(server.connect(&ada).await.established()["user_id"], ada.id);
    assert_ne!(server.guest().await.id, ada.id);
    let server = server.restart().await;
    assert_eq!(server.connect(&ada).await.established()["user_id"], ada.id);
    // A cookie that is not ours is a new guest's.
    let (name, value) = ada.header();
    let forged = Door::plain().header(name, &value.replace("eyJ", "eyK"));
    assert_ne!(server.open(forged).await.established()["user_id"], ada.id);
}

#[tokio::test]
async fn a_ticket_opens_one_socket_of_its_user_from_its_own_origin() {
    let server = House::new().start().await;
    let ada = server.guest().await;
    let issue = async |origin: Option<&str>| {
        let mut headers = vec![ada.header()];
        headers.extend(origin.map(|origin| ("origin", origin)));
        let answer = server.call("POST", "/v1/tickets", &headers, None).await;
        format!("ticket={}", answer.json()["ticket"].as_str().unwrap())
    };
    let ticket = issue(None).await;
    let client = server.open(Door::plain().query(&ticket)).await;
    assert_eq!(client.established()["user_id"], ada.id);
    assert_eq!(
        Door::plain().query(&ticket).open(server.address).await.err(),
        Some(401),
        "used"
    );
    assert_eq!(
        Door::plain().query("ticket=made-up").open(server.address).await.err(),
        Some(401)
    );
    let home = format!("http://{}", server.address);
    let ticket = issue(Some(&home)).await;
    let elsewhere = Door::plain().query(&ticket).open(server.address).await;
    assert_eq!(elsewhere.err(), Some(401), "bound to the page's origin");
    let ticket = issue(Some(&home)).await;
    server.open(Door::plain().query(&ticket).header("origin", &home)).await;
}

#[tokio::test]
async fn a_token_in_the_query_is_refused_and_not_logged() {
    let server = House::new().set("log.filter=debug").start().await;
    for name in ["token", "access_token", "jwt"] {
        let path = format!("/v1/session?{name}=geheim-geheim");
        server.call("GET", &path, &UPGRADE, None).await.assert_problem(400);
    }
    server
        .call("GET", "/v1/threads?token=geheim-geheim", &[], None)
        .await
        .assert_problem(400);
    assert!(!server.log().contains("geheim"), "{}", server.log());
}

#[tokio::test]
async fn a_foreign_host_and_a_foreign_page_are_refused_with_403() {
    let server = House::new().start().await;
    let home = format!("http://{}", server.address);
    let cases = [
        ("host", "rebound.test", 403),
        ("origin", "https://evil.test", 403),
        ("origin", "null", 403),
        ("origin", "http://127.0.0.1:1", 403),
        ("origin", home.as_str(), 200),
        ("host", "localhost", 200),
    ];
    for (name, value, status) in cases {
        let answer = server.call("POST", "/v1/tickets", &[(name, value)], None).await;
        assert_eq!(answer.status, status, "{name}: {value}: {answer:?}");
        if status == 403 {
            answer.assert_problem(403);
            let mut headers = UPGRADE.to_vec();
            headers.push((name, value));
            server
                .call("GET", "/v1/session", &headers, None)
                .await
                .assert_problem(403);
        }
    }
}

#[tokio::test]
async fn a_payload_cannot_say_who_one_is() {
    let server = House::scripted().start().await;
    let (ada, eve) = (server.guest().await, server.guest().await);
    let mut client = server.connect(&ada).await;
    client.say("a secret of ada").await;
    client.until("agent_completed").await;
    let thread = client.thread();
    let mut stranger = server.connect(&eve).await;
    for frame in [
        json!({"type": "user_message", "user_id": ada.id, "thread_id": thread,
            "payload": {"content": "hi", "user_id": ada.id}}),
        json!({"type": "get_thread_history", "user_id": ada.id, "thread_id": thread, "payload": {"user_id": ada.id}}),
        json!({"type": "delete_thread", "payload": {"thread_id": thread, "user_id": ada.id}}),
    ] {
        stranger.send(frame.clone()).await;
        assert_eq!(stranger.until("error").await["payload"]["code"], "not_found", "{frame}");
    }
    client.say("still here").await;
    client.until("agent_completed").await;
}
