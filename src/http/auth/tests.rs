use std::time::Duration;

use actix_http::header::{AUTHORIZATION, COOKIE, HOST, HeaderName, HeaderValue, ORIGIN, SEC_WEBSOCKET_PROTOCOL};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::*;
use crate::config::{Flag, Sources};

const PAGE: (HeaderName, &str) = (ORIGIN, "http://localhost:8080");

type Headers<'a> = &'a [(HeaderName, &'a str)];

fn config(pairs: &[(&str, &str)]) -> Config {
    let pairs = [&[("journal.kind", "memory")], pairs].concat();
    let flags = pairs.into_iter().map(|(key, value)| Flag {
        name: "--set",
        key: key.into(),
        value: value.into(),
    });
    Config::load(&Sources {
        flags: flags.collect(),
        ..Sources::default()
    })
    .unwrap()
}

fn jwt_config() -> Config {
    config(&[
        ("auth.mode", "jwt"),
        ("auth.issuer", "issuer"),
        ("auth.audience", "sessile"),
        (
            "auth.keys",
            "[{ algorithm = \"HS256\", secret = \"0123456789abcdef0123456789abcdef\" }]",
        ),
    ])
}

fn gate(config: &Config) -> Gate {
    Gate::start(config, config.server.listen).unwrap()
}

fn buyer() -> Roles {
    Roles::freeze(["buyer"]).unwrap()
}

fn token(config: &Config, user: &str) -> String {
    let user = UserId::parse(user).unwrap();
    jwt::mint(&config.auth, &user, &buyer(), Duration::from_secs(600))
        .unwrap()
        .expose_secret()
        .to_owned()
}

fn headers(pairs: Headers<'_>) -> HeaderMap {
    let mut map = HeaderMap::new();
    map.append(HOST, HeaderValue::from_static("localhost:8080"));
    for (name, value) in pairs {
        map.append(name.clone(), HeaderValue::from_str(value).unwrap());
    }
    map
}

async fn ticket(gate: &Gate, pairs: Headers<'_>) -> String {
    let admitted = gate.request(&headers(pairs), "").await.unwrap();
    ticket_for(gate, &admitted)
        .await
        .unwrap()
        .ticket
        .expose_secret()
        .to_owned()
}

#[tokio::test]
async fn the_user_is_the_subject_of_the_token_whichever_way_it_comes() {
    let config = jwt_config();
    let gate = gate(&config);
    let token = token(&config, "alice");
    let bearer = format!("Bearer {token}");
    let listed = format!("sessile.v1, bearer.{}", URL_SAFE_NO_PAD.encode(&token));
    let by_ticket = format!("ticket={}", ticket(&gate, &[PAGE, (AUTHORIZATION, &bearer)]).await);
    let table: [(Headers, &str, Option<&str>); 3] = [
        (&[(AUTHORIZATION, &bearer)], "", None),
        (&[PAGE, (SEC_WEBSOCKET_PROTOCOL, &listed)], "", Some("sessile.v1")),
        (
            &[PAGE, (SEC_WEBSOCKET_PROTOCOL, "sessile.v1")],
            &by_ticket,
            Some("sessile.v1"),
        ),
    ];
    for (pairs, query, protocol) in table {
        let admitted = gate.session(&headers(pairs), query).await.unwrap();
        assert_eq!(admitted.identity.user.as_str(), "alice");
        assert!(admitted.identity.expires_at.is_some());
        assert_eq!(admitted.identity.fresh_guest_cookie, None);
        assert_eq!(admitted.protocol, protocol);
    }
}

#[tokio::test]
async fn without_a_valid_credential_nobody_enters() {
    let gate = gate(&jwt_config());
    let table: [(Headers, &str); 5] = [
        (&[], ""),
        (&[PAGE], ""),
        (&[(AUTHORIZATION, "Bearer")], ""),
        (&[(AUTHORIZATION, "Bearer a.b.c")], ""),
        (&[], "ticket=AAAA"),
    ];
    for (pairs, query) in table {
        let refused = gate.session(&headers(pairs), query).await;
        assert!(
            matches!(refused, Err(AuthError::Unauthorized(_))),
            "{pairs:?} {query}: {refused:?}"
        );
    }
}

#[tokio::test]
async fn host_and_origin_are_judged_before_the_credential() {
    let config = jwt_config();
    let gate = gate(&config);
    let bearer = format!("Bearer {}", token(&config, "alice"));
    let foreign = headers(&[(ORIGIN, "https://attacker.example"), (AUTHORIZATION, &bearer)]);
    assert!(matches!(gate.session(&foreign, "").await, Err(AuthError::Forbidden(_))));
    let mut rebound = headers(&[(AUTHORIZATION, &bearer)]);
    rebound.insert(HOST, HeaderValue::from_static("attacker.example:8080"));
    assert!(matches!(
        gate.session(&rebound, "token=x").await,
        Err(AuthError::Forbidden(_))
    ));
    assert!(matches!(gate.origin(&rebound), Err(AuthError::Forbidden(_))));
}

#[tokio::test]
async fn a_ticket_made_on_one_page_opens_nothing_on_another() {
    let config = jwt_config();
    let gate = gate(&config);
    let bearer = format!("Bearer {}", token(&config, "alice"));
    let query = format!("ticket={}", ticket(&gate, &[PAGE, (AUTHORIZATION, &bearer)]).await);
    assert!(matches!(
        gate.session(&headers(&[]), &query).await,
        Err(AuthError::Unauthorized(_))
    ));
    assert!(matches!(
        gate.session(&headers(&[PAGE]), &query).await,
        Err(AuthError::Unauthorized(_))
    ));
}

#[tokio::test]
async fn a_guest_is_known_again_by_the_cookie_and_by_a_ticket() {
    let gate = gate(&config(&[]));
    let first = gate.session(&headers(&[PAGE]), "").await.unwrap().identity;
    let cookie = first.fresh_guest_cookie.unwrap().split(';').next().unwrap().to_owned();
    let again = gate
        .session(&headers(&[PAGE, (COOKIE, &cookie)]), "")
        .await
        .unwrap()
        .identity;
    assert_eq!(again.user, first.user);
    let query = format!("ticket={}", ticket(&gate, &[PAGE, (COOKIE, &cookie)]).await);
    assert_eq!(
        gate.session(&headers(&[PAGE]), &query).await.unwrap().identity.user,
        first.user
    );
    let foreign = headers(&[(ORIGIN, "http://localhost:8081"), (COOKIE, &cookie)]);
    assert!(matches!(gate.session(&foreign, "").await, Err(AuthError::Forbidden(_))));
}

#[tokio::test]
async fn without_origin_and_credential_each_is_a_guest_of_its_own() {
    let gate = gate(&config(&[]));
    let one = gate.session(&headers(&[]), "").await.unwrap().identity;
    let two = gate
        .session(&headers(&[(COOKIE, "sessile_guest_00000000=x")]), "")
        .await
        .unwrap()
        .identity;
    assert_ne!(one.user, two.user);
    assert!(one.fresh_guest_cookie.is_some() && two.fresh_guest_cookie.is_some());
}

#[tokio::test]
async fn where_there_are_only_guests_a_token_is_refused_and_not_ignored() {
    let gate = gate(&config(&[]));
    let refused = gate
        .session(&headers(&[(AUTHORIZATION, "Bearer a.b.c")]), "")
        .await
        .unwrap_err();
    assert!(matches!(refused, AuthError::Unauthorized(text) if text.contains("auth.mode")));
}

#[tokio::test]
async fn a_live_session_is_prolonged_by_a_token_or_a_ticket_of_its_own_user() {
    let config = jwt_config();
    let gate = gate(&config);
    let (alice, mallory) = (UserId::parse("alice").unwrap(), UserId::parse("mallory").unwrap());
    let token = token(&config, "alice");
    let bearer = format!("Bearer {token}");
    let pairs = [PAGE, (AUTHORIZATION, bearer.as_str())];
    let fresh = || ticket(&gate, &pairs);
    for (token, ticket) in [(Some(token.clone()), None), (None, Some(fresh().await))] {
        let renewed = gate.refresh(alice.clone(), token, ticket).await.unwrap();
        assert!(renewed.expires_at.is_some());
        // The roles are those of the credential that is shown now.
        assert_eq!(renewed.roles, buyer());
    }
    let bad = [
        (&mallory, Some(token.clone()), None),
        (&mallory, None, Some(fresh().await)),
        (&alice, None, None),
        (&alice, Some("a.b.c".to_owned()), None),
        (&alice, None, Some("AAAA".to_owned())),
        (&alice, Some(token), Some(fresh().await)),
    ];
    for (user, token, ticket) in bad {
        assert_eq!(gate.refresh(user.clone(), token, ticket).await, Err(BadCredential));
    }
}

#[tokio::test]
async fn a_guest_is_prolonged_by_a_ticket_and_never_by_a_token() {
    let config = config(&[]);
    let gate = gate(&config);
    let guest = gate.session(&headers(&[PAGE]), "").await.unwrap();
    let user = guest.identity.user.clone();
    let ticket = ticket_for(&gate, &guest)
        .await
        .unwrap()
        .ticket
        .expose_secret()
        .to_owned();
    let renewed = gate.refresh(user.clone(), None, Some(ticket)).await.unwrap();
    assert!(renewed.expires_at.is_some() && renewed.roles.is_empty());
    assert_eq!(
        gate.refresh(user, Some("a.b.c".to_owned()), None).await,
        Err(BadCredential)
    );
}

async fn ticket_for(gate: &Gate, admitted: &Admitted) -> Result<Ticket, TicketError> {
    let Identity {
        user,
        expires_at,
        roles,
        ..
    } = &admitted.identity;
    gate.ticket(user, admitted.origin.clone(), *expires_at, roles.clone())
        .await
}

#[tokio::test]
async fn roles_come_from_the_token_or_the_ticket_that_was_made_with_it() {
    let config = jwt_config();
    let gate = gate(&config);
    let bearer = format!("Bearer {}", token(&config, "alice"));
    let pairs = [PAGE, (AUTHORIZATION, bearer.as_str())];
    let admitted = gate.session(&headers(&pairs), "").await.unwrap();
    assert_eq!(admitted.identity.roles, buyer());
    let query = format!("ticket={}", ticket(&gate, &pairs).await);
    let admitted = gate.session(&headers(&[PAGE]), &query).await.unwrap();
    assert_eq!(admitted.identity.roles, buyer());
}

#[tokio::test]
async fn guests_have_the_roles_that_the_configuration_gives_them_and_else_none() {
    let plain = gate(&config(&[])).session(&headers(&[PAGE]), "").await.unwrap();
    assert!(plain.identity.roles.is_empty());
    let trusting = config(&[("auth.guest_roles", "[\"buyer\"]")]);
    let trusted = gate(&trusting).session(&headers(&[PAGE]), "").await.unwrap();
    assert_eq!(trusted.identity.roles, buyer());
}
