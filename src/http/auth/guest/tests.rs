use actix_http::header::HeaderValue;

use super::*;

const DAY: Duration = Duration::from_secs(86_400);

fn guests() -> Guests {
    Guests::new(&Instance::in_memory().unwrap(), DAY, false)
}

fn with_cookie(cookie: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(COOKIE, HeaderValue::from_str(cookie).unwrap());
    headers
}

/// A new guest and what their browser sends from then on.
fn arrive(guests: &Guests) -> (UserId, String) {
    let identity = guests.identify(&HeaderMap::new()).unwrap();
    let cookie = identity.fresh_guest_cookie.unwrap();
    (identity.user, cookie.split(';').next().unwrap().to_owned())
}

#[test]
fn who_keeps_the_cookie_keeps_the_identity() {
    let guests = guests();
    let (user, cookie) = arrive(&guests);
    assert!(user.as_str().starts_with("guest-"));
    for sent in [
        cookie.clone(),
        format!("theme=dark; {cookie}; x=\"y\""),
        format!("{}=bad; {cookie}", guests.cookie_name),
    ] {
        let again = guests.identify(&with_cookie(&sent)).unwrap();
        assert_eq!(again.user, user);
        assert_eq!(again.fresh_guest_cookie, None);
        assert!(again.expires_at > Some(SystemTime::now() + DAY / 2));
    }
}

#[test]
fn the_cookie_is_out_of_reach_for_scripts_and_foreign_pages() {
    let instance = Instance::in_memory().unwrap();
    for secure in [true, false] {
        let cookie = Guests::new(&instance, DAY, secure)
            .identify(&HeaderMap::new())
            .unwrap()
            .fresh_guest_cookie
            .unwrap();
        assert!(
            cookie.starts_with(&format!("sessile_guest_{}=", &instance.id.to_string()[..8])),
            "{cookie}"
        );
        for attribute in ["; HttpOnly", "; SameSite=Strict", "; Path=/", "; Max-Age=86400"] {
            assert!(cookie.contains(attribute), "{attribute} is missing in {cookie}");
        }
        assert_eq!(cookie.contains("; Secure"), secure, "{cookie}");
        assert!(!cookie.contains("Domain"), "{cookie}");
    }
}

#[test]
fn two_guests_are_never_the_same() {
    let guests = guests();
    assert_ne!(arrive(&guests).0, arrive(&guests).0);
}

#[test]
fn a_cookie_that_was_tampered_with_makes_a_new_guest() {
    let guests = guests();
    let (user, cookie) = arrive(&guests);
    let (name, value) = cookie.split_once('=').unwrap();
    let parts: Vec<_> = value.split('.').collect();
    let claims = String::from_utf8(URL_SAFE_NO_PAD.decode(parts[1]).unwrap()).unwrap();
    let other = URL_SAFE_NO_PAD.encode(claims.replace("guest-", "admin-"));
    let none = URL_SAFE_NO_PAD.encode("{\"alg\":\"none\"}");
    for forged in [
        String::new(),
        "x".into(),
        user.to_string(),
        format!("{}.{}.", parts[0], parts[1]),
        format!("{}.{other}.{}", parts[0], parts[2]),
        format!("{none}.{}.", parts[1]),
        format!("{none}.{}.{}", parts[1], parts[2]),
    ] {
        let met = guests.identify(&with_cookie(&format!("{name}={forged}"))).unwrap();
        assert_ne!(met.user, user, "{forged}");
        assert!(met.fresh_guest_cookie.is_some());
    }
}

#[test]
fn another_instances_cookie_makes_a_new_guest() {
    let (here, there) = (guests(), guests());
    let (user, cookie) = arrive(&there);
    let value = cookie.split_once('=').unwrap().1;
    for sent in [cookie.clone(), format!("{}={value}", here.cookie_name)] {
        assert_ne!(here.identify(&with_cookie(&sent)).unwrap().user, user);
    }
}

#[test]
fn a_cookie_names_a_guest_and_nobody_else() {
    let guests = guests();
    for name in ["alice", "guest-", "guest-alice"] {
        let signed = guests
            .greet(UserId::parse(name).unwrap())
            .unwrap()
            .fresh_guest_cookie
            .unwrap();
        let met = guests
            .identify(&with_cookie(signed.split(';').next().unwrap()))
            .unwrap();
        assert_ne!(met.user.as_str(), name);
    }
}

#[test]
fn a_cookie_in_its_second_half_is_renewed_for_the_same_guest_and_an_old_one_is_not() {
    let instance = Instance::in_memory().unwrap();
    let (short, long) = (
        Guests::new(&instance, DAY / 4, false),
        Guests::new(&instance, DAY, false),
    );
    let (user, cookie) = arrive(&short);
    let renewed = long.identify(&with_cookie(&cookie)).unwrap();
    assert_eq!(renewed.user, user);
    assert!(renewed.fresh_guest_cookie.is_some());
    let claims = NewClaims {
        sub: user.as_str(),
        exp: 1,
        iat: 0,
        iss: &long.issuer,
        aud: AUDIENCE,
        roles: BTreeMap::new(),
    };
    let old = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &long.signing).unwrap();
    assert_ne!(
        long.identify(&with_cookie(&format!("{}={old}", long.cookie_name)))
            .unwrap()
            .user,
        user
    );
}

#[test]
fn the_instance_stays_the_same_over_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("deep").join("data");
    let (user, cookie) = arrive(&Guests::new(&Instance::open(&data).unwrap(), DAY, false));
    let restarted = Guests::new(&Instance::open(&data).unwrap(), DAY, false);
    assert_eq!(restarted.identify(&with_cookie(&cookie)).unwrap().user, user);
    let left: Vec<_> = std::fs::read_dir(&data)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["instance.json"]);
}

#[cfg(unix)]
#[test]
fn only_the_owner_may_read_the_signing_key() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(INSTANCE_FILE);
    let mode = || std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    std::fs::write(path.with_extension("json.new"), "left by a crash").unwrap();
    Instance::open(dir.path()).unwrap();
    assert_eq!(mode(), 0o600);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    Instance::open(dir.path()).unwrap();
    assert_eq!(mode(), 0o600);
}

#[test]
fn a_damaged_instance_file_is_named_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(INSTANCE_FILE);
    let short = format!("{{\"instance_id\":\"{}\",\"guest_key\":\"AAAA\"}}", Uuid::new_v4());
    for text in ["", "{}", "not json", short.as_str()] {
        std::fs::write(&path, text).unwrap();
        let error = Instance::open(dir.path()).err().unwrap().to_string();
        assert!(error.contains("instance.json") && error.contains("damaged"), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }
}
