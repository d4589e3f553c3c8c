use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::*;
use crate::config::{Config, Flag, Sources};

const SECRET: &str = "0123456789abcdef0123456789abcdef";
// Made for these tests, and used nowhere else.
const RSA_PRIVATE: &[u8] = include_bytes!("fixtures/rsa_private.pem");
const RSA_PUBLIC: &[u8] = include_bytes!("fixtures/rsa_public.pem");
const EC_PRIVATE: &[u8] = include_bytes!("fixtures/ec_private.pem");

fn auth(keys: &str) -> Auth {
    let pairs = [
        ("auth.mode", "jwt"),
        ("auth.issuer", "issuer"),
        ("auth.audience", "sessile"),
        ("auth.keys", keys),
    ];
    let flags = pairs.map(|(key, value)| Flag {
        name: "--set",
        key: key.into(),
        value: value.into(),
    });
    Config::load(&Sources {
        flags: flags.into(),
        ..Sources::default()
    })
    .unwrap()
    .auth
}

fn all_keys() -> Auth {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/src/http/auth/jwt/fixtures");
    auth(&format!(
        "[{{ algorithm = \"HS256\", secret = \"{SECRET}\", kid = \"hs\" }},
          {{ algorithm = \"HS256\", secret = \"another secret of more than 32 bytes\" }},
          {{ algorithm = \"RS256\", public_key_file = \"{dir}/rsa_public.pem\", kid = \"rs\" }},
          {{ algorithm = \"ES256\", public_key_file = \"{dir}/ec_public.pem\" }}]"
    ))
}

fn now() -> u64 {
    unix_seconds(SystemTime::now())
}

fn good() -> Value {
    json!({ "sub": "alice", "iss": "issuer", "aud": "sessile", "exp": now() + 600 })
}

fn but(claim: &str, value: Value) -> Value {
    let mut claims = good();
    claims[claim] = value;
    claims
}

fn without(claim: &str) -> Value {
    let mut claims = good();
    claims.as_object_mut().unwrap().remove(claim);
    claims
}

fn header(algorithm: Algorithm, kid: Option<&str>) -> Header {
    Header {
        kid: kid.map(str::to_owned),
        ..Header::new(algorithm)
    }
}

fn hs256(claims: &Value) -> String {
    sign(
        &header(Algorithm::HS256, None),
        claims,
        &EncodingKey::from_secret(SECRET.as_bytes()),
    )
}

fn sign(header: &Header, claims: &Value, key: &EncodingKey) -> String {
    jsonwebtoken::encode(header, claims, key).unwrap()
}

fn unsigned(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.", part(header), part(claims))
}

/// Signs a header that the library would not write.
fn hand_signed(header: &Value, claims: &str) -> String {
    let message = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header.to_string()),
        URL_SAFE_NO_PAD.encode(claims)
    );
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
    format!("{message}.{signature}")
}

#[test]
fn a_token_of_each_key_is_taken_with_and_without_its_name() {
    let verifier = JwtVerifier::new(&all_keys()).unwrap();
    let secret = EncodingKey::from_secret(SECRET.as_bytes());
    let other = EncodingKey::from_secret(b"another secret of more than 32 bytes");
    let rsa = EncodingKey::from_rsa_pem(RSA_PRIVATE).unwrap();
    let ec = EncodingKey::from_ec_pem(EC_PRIVATE).unwrap();
    let table = [
        (Algorithm::HS256, Some("hs"), &secret),
        (Algorithm::HS256, None, &secret),
        (Algorithm::HS256, None, &other),
        (Algorithm::HS256, Some("a name that we gave to none"), &other),
        (Algorithm::RS256, Some("rs"), &rsa),
        (Algorithm::RS256, None, &rsa),
        (Algorithm::ES256, None, &ec),
        (Algorithm::ES256, Some("2026"), &ec),
    ];
    for (algorithm, kid, key) in table {
        let verified = verifier.verify(&sign(&header(algorithm, kid), &good(), key));
        assert_eq!(verified.unwrap().user.as_str(), "alice", "{algorithm:?} {kid:?}");
    }
}

#[test]
fn a_token_holds_until_its_end_and_the_leeway() {
    let verifier = JwtVerifier::new(&all_keys()).unwrap();
    for (claim, value) in [
        ("exp", json!(now() - 20)),
        ("nbf", json!(now() + 20)),
        ("exp", json!(now() as f64 + 0.5)),
        ("aud", json!(["other", "sessile"])),
        ("email", json!({ "ignored": true })),
    ] {
        assert!(
            verifier.verify(&hs256(&but(claim, value.clone()))).is_ok(),
            "{claim} {value}"
        );
    }
    let exp = now() + 600;
    let verified = verifier.verify(&hs256(&but("exp", json!(exp)))).unwrap();
    assert_eq!(unix_seconds(verified.expires_at), exp + 30);
}

#[test]
fn forged_tokens_are_refused() {
    let verifier = JwtVerifier::new(&all_keys()).unwrap();
    let secret = EncodingKey::from_secret(SECRET.as_bytes());
    let rsa = EncodingKey::from_rsa_pem(RSA_PRIVATE).unwrap();
    let valid = hs256(&good());
    let parts: Vec<_> = valid.split('.').collect();
    let swapped = URL_SAFE_NO_PAD.encode(but("sub", json!("mallory")).to_string());
    // Those that are signed by hand are refused for what they say, not for how they are signed.
    assert!(
        verifier
            .verify(&hand_signed(&json!({ "alg": "HS256" }), &good().to_string()))
            .is_ok()
    );
    let mut forged = vec![
        ("nothing", String::new()),
        ("no token", "token".into()),
        ("two parts", format!("{}.{}", parts[0], parts[1])),
        ("four parts", format!("{valid}.x")),
        ("no signature", format!("{}.{}.", parts[0], parts[1])),
        ("cut signature", valid[..valid.len() - 4].to_owned()),
        (
            "other claims under its signature",
            format!("{}.{swapped}.{}", parts[0], parts[2]),
        ),
        ("space around", format!(" {valid}")),
        ("alg none", unsigned(&json!({ "alg": "none" }), &good())),
        ("alg None", unsigned(&json!({ "alg": "None", "typ": "JWT" }), &good())),
        (
            "alg none with a signature",
            format!("{}{}", unsigned(&json!({ "alg": "none" }), &good()), parts[2]),
        ),
        ("alg missing", unsigned(&json!({ "typ": "JWT" }), &good())),
        ("alg of a wrong type", unsigned(&json!({ "alg": ["HS256"] }), &good())),
        ("unknown alg", unsigned(&json!({ "alg": "XX999" }), &good())),
        (
            "critical extension",
            hand_signed(
                &json!({ "alg": "HS256", "crit": ["b64"], "b64": false }),
                &good().to_string(),
            ),
        ),
        ("claims are a list", hand_signed(&json!({ "alg": "HS256" }), "[]")),
        ("claims are no JSON", hand_signed(&json!({ "alg": "HS256" }), "{")),
        (
            "sub twice",
            hand_signed(
                &json!({ "alg": "HS256" }),
                &good().to_string().replacen('{', "{\"sub\":\"mallory\",", 1),
            ),
        ),
        (
            "the public key as a shared secret",
            sign(
                &header(Algorithm::HS256, None),
                &good(),
                &EncodingKey::from_secret(RSA_PUBLIC),
            ),
        ),
        (
            "the public key as a shared secret, by name",
            sign(
                &header(Algorithm::HS256, Some("rs")),
                &good(),
                &EncodingKey::from_secret(RSA_PUBLIC),
            ),
        ),
        (
            "an RSA token that names the HS key",
            sign(&header(Algorithm::RS256, Some("hs")), &good(), &rsa),
        ),
        (
            "another key's name",
            sign(&header(Algorithm::HS256, Some("rs")), &good(), &secret),
        ),
        ("a key without a name, by the name of another", {
            let other = EncodingKey::from_secret(b"another secret of more than 32 bytes");
            sign(&header(Algorithm::HS256, Some("hs")), &good(), &other)
        }),
        ("a secret that is not ours", {
            sign(
                &header(Algorithm::HS256, None),
                &good(),
                &EncodingKey::from_secret(&[7; 32]),
            )
        }),
        (
            "HS384 with our secret",
            sign(&header(Algorithm::HS384, None), &good(), &secret),
        ),
        (
            "PS256 with the RSA key",
            sign(&header(Algorithm::PS256, None), &good(), &rsa),
        ),
        (
            "RS384 with the RSA key",
            sign(&header(Algorithm::RS384, None), &good(), &rsa),
        ),
        (
            "longer than any",
            hs256(&but("pad", json!("x".repeat(TOKEN_MAX_BYTES)))),
        ),
    ];
    for claim in ["sub", "iss", "aud", "exp"] {
        forged.push(("a claim is missing", hs256(&without(claim))));
        for value in [json!(null), json!(true), json!({}), json!([]), json!([1])] {
            forged.push(("a claim of a wrong type", hs256(&but(claim, value))));
        }
    }
    for (claim, value) in [
        ("exp", json!((now() + 600).to_string())),
        ("exp", json!([now() + 600])),
        ("exp", json!(-1)),
        ("exp", json!(0)),
        ("exp", json!(now() - 31)),
        ("exp", json!(1e300)),
        ("exp", json!(u64::MAX)),
        ("nbf", json!(now() + 60)),
        ("nbf", json!("now")),
        ("nbf", json!([])),
        ("nbf", Value::Null),
        ("sub", json!(7)),
        ("sub", json!("")),
        ("sub", json!("x".repeat(256))),
        ("sub", json!(["alice"])),
        ("iss", json!("another")),
        ("iss", json!("issuer ")),
        ("iss", json!(["issuer"])),
        ("iss", json!("")),
        ("aud", json!("another")),
        ("aud", json!(["another"])),
        ("aud", json!({ "sessile": true })),
        ("aud", json!("")),
    ] {
        forged.push(("a claim of a wrong value", hs256(&but(claim, value))));
    }
    for (what, token) in forged {
        match verifier.verify(&token) {
            Err(AuthError::Unauthorized(text)) => assert!(!text.contains("alice"), "{text}"),
            other => panic!("{what}: {token} gave {other:?}"),
        }
    }
}

#[test]
fn a_refusal_says_what_to_do() {
    let verifier = JwtVerifier::new(&all_keys()).unwrap();
    for (claims, word) in [
        (but("exp", json!(now() - 31)), "expired"),
        (but("nbf", json!(now() + 60)), "not valid yet"),
        (but("aud", json!("other")), "for its audience"),
    ] {
        let text = verifier.verify(&hs256(&claims)).unwrap_err().to_string();
        assert!(text.contains(word), "{text}");
    }
}

#[test]
fn a_minted_token_is_taken() {
    let auth = all_keys();
    let token = mint(
        &auth,
        &UserId::parse("bob").unwrap(),
        &Roles::none(),
        Duration::from_secs(60),
    )
    .unwrap();
    let verified = JwtVerifier::new(&auth).unwrap().verify(token.expose_secret()).unwrap();
    assert_eq!(verified.user.as_str(), "bob");
}

#[test]
fn minting_without_an_hs256_key_says_what_to_configure() {
    let text = mint(
        &Config::default().auth,
        &UserId::parse("bob").unwrap(),
        &Roles::none(),
        Duration::from_secs(60),
    );
    let text = text.unwrap_err().to_string();
    for word in [
        "mode = \"jwt\"",
        "keys = [{ algorithm = \"HS256\", secret_file",
        "openssl rand",
    ] {
        assert!(text.contains(word), "{word} is missing in: {text}");
    }
}

#[test]
fn a_key_file_that_cannot_be_used_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    let file = path.display();
    let secret = auth(&format!("[{{ algorithm = \"HS256\", secret_file = \"{file}\" }}]"));
    let public = auth(&format!("[{{ algorithm = \"ES256\", public_key_file = \"{file}\" }}]"));
    assert!(matches!(
        JwtVerifier::new(&secret),
        Err(KeyError::Unreadable { index: 0, .. })
    ));
    std::fs::write(&path, "short\n").unwrap();
    assert!(matches!(
        JwtVerifier::new(&secret),
        Err(KeyError::ShortSecret { index: 0 })
    ));
    assert!(matches!(
        JwtVerifier::new(&public),
        Err(KeyError::NotAKey { index: 0, .. })
    ));
    std::fs::write(&path, format!("{SECRET}\n")).unwrap();
    assert!(JwtVerifier::new(&secret).unwrap().verify(&hs256(&good())).is_ok());
}

#[test]
fn roles_are_what_the_configured_claim_lists_and_nothing_where_it_is_missing() {
    let roles_of = |auth: &Auth, claims: &Value| JwtVerifier::new(auth).unwrap().verify(&hs256(claims)).unwrap().roles;
    let told = but("roles", json!(["buyer", "admin"]));
    assert_eq!(roles_of(&all_keys(), &told), Roles::freeze(["admin", "buyer"]).unwrap());
    assert!(roles_of(&all_keys(), &good()).is_empty());
    let elsewhere = |claim: Option<&str>| Auth {
        roles_claim: claim.map(str::to_owned),
        ..all_keys()
    };
    assert!(roles_of(&elsewhere(Some("groups")), &told).is_empty());
    assert!(roles_of(&elsewhere(None), &told).is_empty());
}

#[test]
fn a_token_whose_roles_are_no_roles_is_refused_by_a_sentence_of_its_own() {
    let verifier = JwtVerifier::new(&all_keys()).unwrap();
    let too_many: Vec<String> = (0..33).map(|number| number.to_string()).collect();
    for roles in [
        json!("buyer"),
        json!(["buyer", 7]),
        json!({"buyer": true}),
        json!(null),
        json!([""]),
        json!(too_many),
    ] {
        let refused = verifier.verify(&hs256(&but("roles", roles.clone()))).unwrap_err();
        assert!(refused.to_string().contains("roles are no list"), "{roles}: {refused}");
    }
}

#[test]
fn a_minted_token_carries_its_roles_where_a_claim_is_configured_for_them() {
    let mut auth = all_keys();
    let (bob, roles) = (UserId::parse("bob").unwrap(), Roles::freeze(["buyer"]).unwrap());
    let token = mint(&auth, &bob, &roles, Duration::from_secs(60)).unwrap();
    let verified = JwtVerifier::new(&auth).unwrap().verify(token.expose_secret()).unwrap();
    assert_eq!(verified.roles, roles);
    auth.roles_claim = None;
    let refused = mint(&auth, &bob, &roles, Duration::from_secs(60)).unwrap_err();
    assert!(refused.to_string().contains("auth.roles_claim"));
}
