//! What the values must satisfy together: bounds above zero, and no user reachable from the network without proof of who
//! they are or without TLS.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::ExposeSecret;
use sessile_actors::budgets::LONGEST_WINDOW;
use sessile_actors::context::Roles;

use super::layers::Layers;
use super::{AuthMode, Config, ConfigError, Key, KeyAlgorithm};
use crate::http::auth::jwt::SECRET_MIN_BYTES;
use crate::http::auth::origin::{HostName, Origin};
use crate::telemetry;

/// The largest `auth.leeway`: clocks that are kept at all differ by less.
const LEEWAY_MAX: Duration = Duration::from_secs(300);

/// Claims that say something else than roles (RFC 7519, section 4.1).
const TAKEN_CLAIMS: [&str; 7] = ["iss", "sub", "aud", "exp", "nbf", "iat", "jti"];

/// What a page's directory must hold.
const PAGE: &str = "index.html";

/// Checks what single values can't say, and adds what is wrong to `faults`.
pub(super) fn check(config: &Config, layers: &Layers, faults: &mut Vec<ConfigError>) {
    // Where a value was refused before, its default stands in for it: what values must satisfy together can't be said.
    let is_whole = faults.is_empty();
    above_zero(config, layers, faults);
    readable(config, layers, faults);
    keys(config, layers, faults);
    models(config, layers, faults);
    if is_whole {
        in_step(config, layers, faults);
        tokens(config, faults);
        network(config, faults);
    }
}

/// A bound of zero lets nothing through; only the leeway may be zero.
fn above_zero(config: &Config, layers: &Layers, faults: &mut Vec<ConfigError>) {
    let mut zero = |key: &str| {
        faults.push(ConfigError::Zero {
            layer: layers.origin(key),
            key: key.to_owned(),
        });
    };
    let counts = [
        ("server.max_connections", config.server.max_connections),
        ("auth.tickets", config.auth.tickets),
        ("agents.step_limit", config.agents.step_limit as usize),
        ("models.concurrency", config.models.concurrency),
        ("tools.http_fetch.bytes", config.tools.http_fetch.bytes),
    ];
    for (key, _) in counts.into_iter().filter(|(_, count)| *count == 0) {
        zero(key);
    }
    let times = [
        ("server.request_timeout", config.server.request_timeout),
        ("auth.guest_ttl", config.auth.guest_ttl),
        ("auth.ticket_ttl", config.auth.ticket_ttl),
        ("budgets.user_window", config.budgets.user_window),
        ("models.connect_timeout", config.models.connect_timeout),
        ("models.first_token_timeout", config.models.first_token_timeout),
        ("models.stall_timeout", config.models.stall_timeout),
        ("tools.http_fetch.time", config.tools.http_fetch.time),
    ];
    for (key, _) in times.into_iter().filter(|(_, time)| *time == Duration::ZERO) {
        zero(key);
    }
    for (name, model) in &config.models.named {
        for field in model.zeros() {
            zero(&format!("models.named.{name}.{field}"));
        }
    }
    // By way of their serialized form, so that a limit which is added tomorrow is checked too.
    let limits = serde_json::to_value(&config.limits).unwrap_or_default();
    let is_zero = |value: &serde_json::Value| value.as_u64() == Some(0) || value.as_str() == Some("0s");
    let limits = limits.as_object().into_iter().flatten();
    for (name, _) in limits.filter(|(_, value)| is_zero(value)) {
        zero(&format!("limits.{name}"));
    }
}

/// A bound that lies within another one must not be the larger; the leeway lies within a token's life.
fn in_step(config: &Config, layers: &Layers, faults: &mut Vec<ConfigError>) {
    let mut invalid = |key: &str, problem: String| {
        faults.push(ConfigError::Invalid {
            layer: layers.origin(key),
            key: key.to_owned(),
            problem,
        });
    };
    if config.auth.leeway > LEEWAY_MAX {
        let problem = "it is above 5m, and expired tokens would live on: mend the clocks instead".to_owned();
        invalid("auth.leeway", problem);
    }
    if config.budgets.user_window > LONGEST_WINDOW {
        let problem = "it is above 366days: name a shorter one, such as \"30days\"".to_owned();
        invalid("budgets.user_window", problem);
    }
    let limits = &config.limits;
    let pairs = [
        (
            "limits.frame_bytes",
            limits.frame_bytes,
            "limits.message_bytes",
            limits.message_bytes,
        ),
        (
            "limits.history_page",
            limits.history_page,
            "limits.history_page_max",
            limits.history_page_max,
        ),
        (
            "limits.custom_event_bytes",
            limits.custom_event_bytes,
            "limits.outbox_bytes",
            limits.outbox_bytes,
        ),
        (
            "limits.text_flush_bytes",
            limits.text_flush_bytes,
            "limits.outbox_bytes",
            limits.outbox_bytes,
        ),
        (
            "limits.document_bytes",
            limits.document_bytes,
            "limits.document_bytes_per_user",
            usize::try_from(limits.document_bytes_per_user).unwrap_or(usize::MAX),
        ),
        (
            "limits.document_transfers_per_user",
            limits.document_transfers_per_user,
            "limits.document_transfers",
            limits.document_transfers,
        ),
    ];
    for (key, inner, outer_key, outer) in pairs {
        if inner > outer {
            let problem = format!("{inner} is above {outer_key}, which is {outer}: lower it or raise {outer_key}");
            invalid(key, problem);
        }
    }
}

/// Texts that are read again where they are used: hosts, origins, paths, log directives.
fn readable(config: &Config, layers: &Layers, faults: &mut Vec<ConfigError>) {
    let mut invalid = |key: &str, problem: String| {
        faults.push(ConfigError::Invalid {
            layer: layers.origin(key),
            key: key.to_owned(),
            problem,
        });
    };
    for host in &config.server.public_hosts {
        if let Err(error) = host.parse::<HostName>() {
            invalid("server.public_hosts", error.to_string());
        }
    }
    for origin in &config.server.allowed_origins {
        if let Err(error) = origin.parse::<Origin>() {
            invalid("server.allowed_origins", error.to_string());
        }
    }
    if let Some(url) = &config.server.public_url {
        match url.parse::<Origin>() {
            Err(error) => invalid("server.public_url", error.to_string()),
            Ok(origin) if !matches!(origin.scheme(), "http" | "https") => {
                let problem = format!("{url:?} must begin with https:// or http://");
                invalid("server.public_url", problem);
            }
            Ok(_) => {}
        }
    }
    if let Some(dir) = &config.server.web_dir
        && !dir.join(PAGE).is_file()
    {
        let problem = format!(
            "{} is no directory that holds an {PAGE}: name the one of your page, or nothing for the page that is built in",
            dir.display()
        );
        invalid("server.web_dir", problem);
    }
    if config.data_dir.as_os_str().is_empty() {
        let problem = "it is empty: name a directory such as \"./data\"".into();
        invalid("data_dir", problem);
    }
    if let Err(error) = Roles::freeze(config.auth.guest_roles.iter().map(String::as_str)) {
        invalid("auth.guest_roles", error.to_string());
    }
    if let Some(claim) = config
        .auth
        .roles_claim
        .as_deref()
        .filter(|claim| TAKEN_CLAIMS.contains(claim))
    {
        let problem = format!("the claim {claim} means something else: name another, such as \"roles\"");
        invalid("auth.roles_claim", problem);
    }
    if config.agents.default.is_empty() {
        let problem = "it is empty: name an agent such as \"assistant\"".into();
        invalid("agents.default", problem);
    }
    for (key, problem) in config.tools.http_fetch.faults() {
        invalid(key, problem);
    }
    if let Err(error) = telemetry::check_filter(&config.log.filter) {
        invalid("log.filter", error.to_string());
    }
}

fn keys(config: &Config, layers: &Layers, faults: &mut Vec<ConfigError>) {
    let keys = &config.auth.keys;
    for (index, key) in keys.iter().enumerate() {
        let twice = key.kid.is_some() && keys[..index].iter().any(|other| other.kid == key.kid);
        let problem = if twice {
            Some("another key has the same kid: name each differently")
        } else {
            fault(key)
        };
        if let Some(problem) = problem {
            faults.push(ConfigError::BadKey {
                index,
                layer: layers.origin("auth.keys"),
                problem,
            });
        }
    }
}

/// What is wrong with a key by itself. Its files are read when the server starts.
fn fault(key: &Key) -> Option<&'static str> {
    let set = |path: &Option<PathBuf>| path.is_some();
    match key.algorithm {
        KeyAlgorithm::HS256 if set(&key.public_key_file) => {
            Some("HS256 takes no public_key_file: set secret_file, or algorithm = \"RS256\" or \"ES256\"")
        }
        KeyAlgorithm::HS256 if key.secret.is_some() == set(&key.secret_file) => {
            Some("HS256 takes one of secret_file and secret: set exactly one")
        }
        KeyAlgorithm::HS256 => {
            let short = |text: &str| text.len() < SECRET_MIN_BYTES;
            let secret = key.secret.as_ref().is_some_and(|secret| short(secret.expose_secret()));
            secret.then_some("its secret is shorter than 32 bytes: make one with `openssl rand -base64 32`")
        }
        KeyAlgorithm::RS256 | KeyAlgorithm::ES256 if key.secret.is_some() || set(&key.secret_file) => {
            Some("RS256 and ES256 take no secret: set public_key_file alone")
        }
        KeyAlgorithm::RS256 | KeyAlgorithm::ES256 => (!set(&key.public_key_file))
            .then_some("RS256 and ES256 need the public key: set public_key_file to a PEM file"),
    }
}

/// What each named model says by itself, and that every model which is named somewhere is there.
fn models(config: &Config, layers: &Layers, faults: &mut Vec<ConfigError>) {
    let mut invalid = |key: String, problem: String| {
        faults.push(ConfigError::Invalid {
            layer: layers.origin_below(&key),
            key,
            problem,
        });
    };
    let models = &config.models;
    for (name, model) in &models.named {
        for (field, problem) in model.faults(name) {
            invalid(format!("models.named.{name}.{field}"), problem);
        }
    }
    let fault = |name: &str| match name {
        "offline" => None,
        "scripted" if models.scripted_file.is_some() => None,
        name if models.named.contains_key(name) => None,
        _ => Some(format!(
            "no model is named {name:?}: write \"offline\", or add [models.named.NAME] with that name"
        )),
    };
    if let Some(problem) = fault(&models.default) {
        invalid("models.default".to_owned(), problem);
    }
    for (agent, names) in &config.agents.models {
        let key = format!("agents.models.{agent}");
        if names.is_empty() {
            invalid(key, "it names no model: name one, or leave the key out".to_owned());
        } else if let Some(problem) = names.iter().find_map(|name| fault(name)) {
            invalid(key, problem);
        }
    }
}

fn tokens(config: &Config, faults: &mut Vec<ConfigError>) {
    let auth = &config.auth;
    if auth.mode != AuthMode::Jwt {
        return;
    }
    let needed = [
        (
            auth.keys.is_empty(),
            "auth.keys",
            "add a key such as { algorithm = \"HS256\", secret_file = \"jwt.key\" }",
        ),
        (
            auth.issuer.is_none(),
            "auth.issuer",
            "set it to the iss claim of your tokens",
        ),
        (
            auth.audience.is_none(),
            "auth.audience",
            "set it to the aud claim of your tokens",
        ),
    ];
    let missing = needed.into_iter().filter(|(is_missing, ..)| *is_missing);
    faults.extend(missing.map(|(_, missing, hint)| ConfigError::JwtIncomplete { missing, hint }));
}

/// What the network can reach needs proof of identity, and TLS for that proof.
fn network(config: &Config, faults: &mut Vec<ConfigError>) {
    let listen = config.server.listen;
    if listen.ip().to_canonical().is_loopback() {
        return;
    }
    let https = config
        .server
        .public_url
        .as_ref()
        .is_some_and(|url| url.to_lowercase().starts_with("https://"));
    if config.auth.mode == AuthMode::Guest {
        faults.push(ConfigError::GuestsOnTheNetwork { listen });
    } else if !https && !config.server.allow_plain_text {
        faults.push(ConfigError::PlainTextOnTheNetwork { listen });
    }
}
