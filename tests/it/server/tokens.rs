//! Users with tokens: how a token comes in, what happens at its end, and how it is prolonged.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::http::UPGRADE;
use super::{Door, Ending, House, Server, User, spoken};

/// A server that knows tokens only.
async fn strict() -> Server {
    House::scripted().with_tokens().set("auth.leeway=0s").start().await
}

/// Prints a token as an operator does.
fn token(server: &Server, user: &str, ttl: &str) -> String {
    let (succeeded, out, err) = server.house().run(&["token", "--user", user, "--ttl", ttl]);
    assert!(succeeded, "{err}");
    out.trim().to_owned()
}

#[tokio::test]
async fn a_token_comes_in_a_header_or_a_subprotocol_or_by_way_of_a_ticket() {
    let server = strict().await;
    let token = token(&server, "ada", "1h");
    let ada = User::with_token("ada", &token);
    assert_eq!(server.connect(&ada).await.established()["user_id"], "ada");
    for (name, prefix) in [("sessile.v1", "bearer"), ("jwt-auth", "jwt")] {
        let list = format!("{name}, {prefix}.{}", URL_SAFE_NO_PAD.encode(&token));
        let client = server.open(Door::plain().header("sec-websocket-protocol", &list)).await;
        assert_eq!(client.protocol.as_deref(), Some(name), "the name, never the token");
        assert_eq!(client.established()["user_id"], "ada");
    }
    let ticket = server.ask(&ada, "POST", "/v1/tickets", None).await;
    assert_eq!(ticket.header("set-cookie"), None);
    let ticket = format!("ticket={}", ticket.json()["ticket"].as_str().unwrap());
    assert_eq!(
        server.open(Door::plain().query(&ticket)).await.established()["user_id"],
        "ada"
    );
    server
        .call("GET", "/v1/session", &UPGRADE, None)
        .await
        .assert_problem(401);
    server.call("POST", "/v1/tickets", &[], None).await.assert_problem(401);
    let forged = User::with_token("ada", &format!("{}x", &token[..token.len() - 1]));
    server
        .ask(&forged, "GET", "/v1/threads", None)
        .await
        .assert_problem(401);
}

#[tokio::test]
async fn a_session_of_someone_else_opens_to_no_token_of_ones_own() {
    let server = strict().await;
    let (ada, eve) = (token(&server, "ada", "1h"), token(&server, "eve", "1h"));
    let mut client = server.connect(&User::with_token("ada", &ada)).await;
    client.say("hello").await;
    client.until("agent_completed").await;
    let place = client.cut().await;
    let mut stranger = server
        .knock(Door::of(&User::with_token("eve", &eve)).back_to(&place))
        .await;
    assert_eq!(stranger.closed().await.0, 4410);
    server
        .call("GET", "/v1/session", &UPGRADE, None)
        .await
        .assert_problem(401);
    server
        .resume(&User::with_token("ada", &ada), &place)
        .await
        .settle()
        .await;
}

#[tokio::test]
async fn at_its_tokens_end_a_socket_is_warned_then_closed_and_the_run_goes_on() {
    let server = strict().await;
    let (short, bobs) = (token(&server, "ada", "6s"), token(&server, "bob", "6s"));
    let mut client = server.connect(&User::with_token("ada", &short)).await;
    let mut renewed = server.connect(&User::with_token("bob", &bobs)).await;
    client.say("patience").await;
    renewed.until("reauth_required").await;
    refuses_bad_renewals(&server, &mut renewed).await;
    let fresh = token(&server, "bob", "1h");
    renewed
        .send(json!({"type": "refresh_token", "payload": {"token": fresh}}))
        .await;
    let refreshed = renewed.until("token_refreshed").await;
    assert!(refreshed["payload"]["expires_at"].as_str().unwrap().ends_with('Z'));
    let mut heard = client
        .collect("a warning", |frame| frame["type"] == "reauth_required")
        .await;
    let (frames, ending) = client.until_it_ends().await;
    assert!(matches!(ending, Ending::Closed(4401, _)), "{ending:?}");
    heard.extend(frames);
    assert!(
        heard.iter().all(|frame| frame["type"] != "agent_completed"),
        "it ended too early to tell"
    );
    let late = Door::of(&User::with_token("ada", &short)).open(server.address).await;
    assert_eq!(late.err(), Some(401), "an id opens nothing");
    let again = token(&server, "ada", "1h");
    let mut client = server.resume(&User::with_token("ada", &again), &client.place()).await;
    heard.extend(client.run_to_end().await);
    assert_eq!(heard.last().unwrap()["payload"]["result"], spoken(&heard));
    // Sockets are looked at every five seconds: by now the other one had its turn too, and lives.
    renewed.say("hello").await;
    renewed.until("agent_completed").await;
}

async fn refuses_bad_renewals(server: &Server, renewed: &mut super::Client) {
    let others = token(server, "eve", "1h");
    for payload in [
        json!({"token": others}),
        json!({"token": "made.up.token"}),
        json!({"ticket": "made-up"}),
    ] {
        renewed.send(json!({"type": "refresh_token", "payload": payload})).await;
        let error = renewed.until("error").await;
        assert_eq!(error["payload"]["code"], "forbidden", "{error}");
    }
}

#[tokio::test]
async fn a_ticket_prolongs_as_well_as_a_token() {
    let server = strict().await;
    let ada = User::with_token("ada", &token(&server, "ada", "1h"));
    let mut client = server.connect(&ada).await;
    let ticket = server.ask(&ada, "POST", "/v1/tickets", None).await.json()["ticket"].take();
    client
        .send(json!({"type": "refresh_token", "payload": {"ticket": ticket}}))
        .await;
    assert!(client.until("token_refreshed").await["payload"]["expires_at"].is_string());
    client
        .send(json!({"type": "refresh_token", "payload": {"ticket": ticket}}))
        .await;
    assert_eq!(
        client.until("error").await["payload"]["code"],
        "forbidden",
        "it was used"
    );
}
