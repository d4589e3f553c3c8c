//! Tokens (JWT, RFC 7519): who signed one decides who the user is.
//!
//! Each key is good for its own algorithm only, and the algorithm comes from the configuration, never from the token: so a
//! public key can't be turned into a shared secret, and `none` is no algorithm. `exp`, `sub`, `iss` and `aud` must be there
//! with their right JSON types.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sessile_actors::context::{Roles, RolesError};
use sessile_actors::ids::UserId;

use super::AuthError;
use crate::config::{Auth, AuthMode, Key, KeyAlgorithm};

/// The shortest shared secret, in bytes: as long as the hash (RFC 7518, section 3.2). A shorter one is refused at start.
pub const SECRET_MIN_BYTES: usize = 32;

/// The longest token, in bytes: those of identity providers stay below 4 KiB. A longer one is refused unread.
pub const TOKEN_MAX_BYTES: usize = 8 * 1024;

/// What refusals call the claim that holds roles, whatever its name.
const ROLES: &str = "roles";

/// A key of the configuration can't be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Its file can't be read.
    #[error("cannot read {}, named in auth.keys[{index}]: check the path and its rights", path.display())]
    Unreadable {
        /// The key's place.
        index: usize,
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Its file holds something else.
    #[error("auth.keys[{index}] is no {expected}: put one into its file")]
    NotAKey {
        /// The key's place.
        index: usize,
        /// What its algorithm needs.
        expected: &'static str,
    },
    /// The shared secret can be guessed.
    #[error(
        "the secret of auth.keys[{index}] is shorter than {SECRET_MIN_BYTES} bytes: make one with `openssl rand -base64 32`"
    )]
    ShortSecret {
        /// The key's place.
        index: usize,
    },
}

/// A token can't be made.
#[derive(Debug, thiserror::Error)]
pub enum MintError {
    /// Nothing to sign with, or nobody would accept the token.
    #[error(
        "tokens can be made only where auth.mode is \"jwt\" and auth.keys has an HS256 key: put this into the file of --config\n\
         \n[auth]\nmode = \"jwt\"\nissuer = \"sessile-dev\"\naudience = \"sessile\"\n\
         keys = [{{ algorithm = \"HS256\", secret_file = \"jwt.key\" }}]\n\
         \nand make the secret with: openssl rand -base64 32 > jwt.key"
    )]
    NoHs256Key,
    /// The key can't be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The time to live reaches beyond what a date can say.
    #[error("the token would live too long: choose a shorter time, such as 1h")]
    TooLong,
    /// Roles were asked for, and no claim holds them.
    #[error("no claim holds roles: set auth.roles_claim to its name, such as \"roles\"")]
    NoRolesClaim,
    /// The signature failed.
    #[error("the token can't be signed with the HS256 key of auth.keys: check the key")]
    Signing(#[source] jsonwebtoken::errors::Error),
}

/// What a token says that we rely on. Other claims are ignored.
#[derive(Deserialize)]
struct Claims {
    sub: String,
    exp: f64,
    // Read for its type alone: the library compares its value, but takes a list of issuers too.
    #[serde(rename = "iss")]
    _iss: String,
    /// Claims whose names the configuration says.
    #[serde(flatten)]
    others: Map<String, Value>,
}

/// What we write into a token.
#[derive(Serialize)]
pub(super) struct NewClaims<'a> {
    pub(super) sub: &'a str,
    pub(super) exp: u64,
    pub(super) iat: u64,
    pub(super) iss: &'a str,
    pub(super) aud: &'a str,
    /// Under the configured claim; none for guests.
    #[serde(flatten)]
    pub(super) roles: BTreeMap<&'a str, Vec<&'a str>>,
}

/// Whom a token names, and until when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The token's `sub`.
    pub user: UserId,
    /// What the token says that its user may do.
    pub roles: Roles,
    /// When this server stops taking the token: its `exp` and the leeway.
    pub expires_at: SystemTime,
}

struct VerifyingKey {
    kid: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

/// Checks tokens against the configured keys.
pub struct JwtVerifier {
    keys: Vec<VerifyingKey>,
    rules: Rules,
}

impl JwtVerifier {
    /// Reads the keys.
    ///
    /// # Errors
    /// [`KeyError`] names the key that can't be used.
    pub fn new(auth: &Auth) -> Result<Self, KeyError> {
        let keys = auth
            .keys
            .iter()
            .enumerate()
            .map(|(index, key)| VerifyingKey::read(index, key));
        let (issuer, audience) = (auth.issuer.as_deref(), auth.audience.as_deref());
        let rules = Rules {
            roles_claim: auth.roles_claim.clone(),
            ..Rules::new(issuer.unwrap_or_default(), audience.unwrap_or_default(), auth.leeway)
        };
        Ok(Self {
            keys: keys.collect::<Result<_, _>>()?,
            rules,
        })
    }

    /// Says whom a token names.
    ///
    /// # Errors
    /// `Unauthorized`, with what to do; why exactly stands in the log at debug.
    pub fn verify(&self, token: &str) -> Result<Verified, AuthError> {
        if token.len() > TOKEN_MAX_BYTES {
            return Err(AuthError::Unauthorized(format!(
                "the token is longer than {TOKEN_MAX_BYTES} bytes: get a shorter one"
            )));
        }
        let header = jsonwebtoken::decode_header(token).map_err(|error| refusal(&error))?;
        // An extension that a token calls critical is one that we don't know (RFC 7515, section 4.1.11).
        if header.crit.is_some() {
            return Err(refusal(&ErrorKind::InvalidToken.into()));
        }
        let mut refused = refusal(&ErrorKind::InvalidAlgorithm.into());
        for key in self.candidates(&header) {
            match self.rules.verify(token, key.algorithm, &key.key) {
                Ok(verified) => return Ok(verified),
                Err(error) if *error.kind() == ErrorKind::InvalidSignature => refused = refusal(&error),
                // Signed by this key: no other key makes it better.
                Err(error) => return Err(refusal(&error)),
            }
        }
        Err(refused)
    }

    /// The keys that may have signed a token: the one that it names; else those without a name, of its algorithm.
    fn candidates(&self, header: &Header) -> impl Iterator<Item = &VerifyingKey> {
        let (kid, algorithm) = (header.kid.clone(), header.alg);
        let known = kid.is_some() && self.keys.iter().any(|key| key.kid == kid);
        let named = move |key: &VerifyingKey| match (&kid, known) {
            (Some(_), true) => key.kid == kid,
            (Some(_), false) => key.kid.is_none(),
            (None, _) => true,
        };
        self.keys
            .iter()
            .filter(move |key| named(key) && key.algorithm == algorithm)
    }
}

/// What is wrong with the keys, each tried by itself.
pub fn faults(auth: &Auth) -> impl Iterator<Item = KeyError> {
    let tried = auth.keys.iter().enumerate();
    tried.filter_map(|(index, key)| VerifyingKey::read(index, key).err())
}

/// Makes a token for trying out, signed with the first HS256 key of the configuration.
///
/// # Errors
/// [`MintError::NoHs256Key`] says what to put into the configuration.
pub fn mint(auth: &Auth, user: &UserId, roles: &Roles, ttl: Duration) -> Result<SecretString, MintError> {
    let hs256 = |(_, key): &(usize, &Key)| key.algorithm == KeyAlgorithm::HS256;
    let (AuthMode::Jwt, Some(iss), Some(aud), Some((index, key))) = (
        auth.mode,
        &auth.issuer,
        &auth.audience,
        auth.keys.iter().enumerate().find(hs256),
    ) else {
        return Err(MintError::NoHs256Key);
    };
    let secret = secret(index, key)?;
    let now = unix_seconds(SystemTime::now());
    let exp = now.checked_add(ttl.as_secs()).ok_or(MintError::TooLong)?;
    let claim = match &auth.roles_claim {
        _ if roles.is_empty() => None,
        Some(claim) => Some((claim.as_str(), roles.iter().collect())),
        None => return Err(MintError::NoRolesClaim),
    };
    let claims = NewClaims {
        sub: user.as_str(),
        exp,
        iat: now,
        iss,
        aud,
        roles: claim.into_iter().collect(),
    };
    let header = Header {
        kid: key.kid.clone(),
        ..Header::new(Algorithm::HS256)
    };
    let signing = EncodingKey::from_secret(secret.expose_secret().as_bytes());
    jsonwebtoken::encode(&header, &claims, &signing)
        .map(SecretString::from)
        .map_err(MintError::Signing)
}

/// What a token must say, whoever signed it.
pub(super) struct Rules {
    issuer: String,
    audience: String,
    leeway: Duration,
    /// The claim that holds roles; none: no token has any.
    roles_claim: Option<String>,
}

impl Rules {
    pub(super) fn new(issuer: &str, audience: &str, leeway: Duration) -> Self {
        Self {
            issuer: issuer.to_owned(),
            audience: audience.to_owned(),
            leeway,
            roles_claim: None,
        }
    }

    pub(super) fn verify(
        &self,
        token: &str,
        algorithm: Algorithm,
        key: &DecodingKey,
    ) -> Result<Verified, jsonwebtoken::errors::Error> {
        let mut validation = Validation::new(algorithm);
        validation.leeway = self.leeway.as_secs();
        validation.validate_nbf = true;
        validation.set_issuer(&[&self.issuer]);
        validation.set_audience(&[&self.audience]);
        // Required with their right type: a claim of a wrong type counts as absent (CVE-2026-25537).
        validation.set_required_spec_claims(&["exp", "sub", "iss", "aud"]);
        let claims = jsonwebtoken::decode::<Claims>(token, key, &validation)?.claims;
        let user = UserId::parse(&claims.sub).map_err(|_| ErrorKind::InvalidSubject)?;
        let lifetime = Duration::try_from_secs_f64(claims.exp)
            .ok()
            .and_then(|exp| exp.checked_add(self.leeway));
        let expires_at = lifetime.and_then(|lifetime| UNIX_EPOCH.checked_add(lifetime));
        let roles = self.roles_claim.as_ref().and_then(|claim| claims.others.get(claim));
        Ok(Verified {
            user,
            // Signed, but not what we take for roles: no roles would be a guess too.
            roles: roles
                .map_or(Ok(Roles::none()), roles_of)
                .map_err(|_| ErrorKind::InvalidClaimFormat(ROLES.to_owned()))?,
            expires_at: expires_at.ok_or(ErrorKind::InvalidToken)?,
        })
    }
}

/// The roles of a claim: a list of texts.
fn roles_of(claim: &Value) -> Result<Roles, RolesError> {
    let names = claim.as_array().into_iter().flatten();
    let names: Option<Vec<&str>> = names.map(Value::as_str).collect();
    match (claim.is_array(), names) {
        (true, Some(names)) => Roles::freeze(names),
        // What is no text has no length of a role either.
        _ => Err(RolesError::BadLength),
    }
}

impl VerifyingKey {
    fn read(index: usize, config: &Key) -> Result<Self, KeyError> {
        let pem = || read(index, config.public_key_file.as_deref().unwrap_or(Path::new("")));
        let not_a_key = |expected| move |_| KeyError::NotAKey { index, expected };
        let (algorithm, key) = match config.algorithm {
            KeyAlgorithm::HS256 => (
                Algorithm::HS256,
                DecodingKey::from_secret(secret(index, config)?.expose_secret().as_bytes()),
            ),
            KeyAlgorithm::RS256 => {
                let key = DecodingKey::from_rsa_pem(pem()?.expose_secret().as_bytes());
                (Algorithm::RS256, key.map_err(not_a_key("RSA public key in PEM"))?)
            }
            KeyAlgorithm::ES256 => {
                let key = DecodingKey::from_ec_pem(pem()?.expose_secret().as_bytes());
                (Algorithm::ES256, key.map_err(not_a_key("P-256 public key in PEM"))?)
            }
        };
        Ok(Self {
            kid: config.kid.clone(),
            algorithm,
            key,
        })
    }
}

/// A key's shared secret; white space around it is no part of it, for editors end files with a line break.
fn secret(index: usize, key: &Key) -> Result<SecretString, KeyError> {
    let secret = match (&key.secret, &key.secret_file) {
        (Some(secret), _) => secret.clone(),
        (None, file) => SecretString::from(
            read(index, file.as_deref().unwrap_or(Path::new("")))?
                .expose_secret()
                .trim(),
        ),
    };
    if secret.expose_secret().len() < SECRET_MIN_BYTES {
        return Err(KeyError::ShortSecret { index });
    }
    Ok(secret)
}

fn read(index: usize, path: &Path) -> Result<SecretString, KeyError> {
    let unreadable = |source| KeyError::Unreadable {
        index,
        path: path.to_owned(),
        source,
    };
    std::fs::read_to_string(path)
        .map(SecretString::from)
        .map_err(unreadable)
}

/// Seconds since 1970; a clock that stands before it says 0, and nothing is valid then.
pub(super) fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn refusal(error: &jsonwebtoken::errors::Error) -> AuthError {
    tracing::debug!(%error, "token refused");
    let text = match error.kind() {
        ErrorKind::InvalidClaimFormat(claim) if claim == ROLES => {
            "the token's roles are no list of at most 32 texts of 1 to 64 bytes: have its issuer mend that"
        }
        ErrorKind::ExpiredSignature => "the token has expired: get a new one",
        ErrorKind::ImmatureSignature => "the token is not valid yet: try again later, or check the clocks",
        _ => "the token is not one that this server takes: get one from its issuer, for its audience",
    };
    AuthError::Unauthorized(text.to_owned())
}

#[cfg(test)]
mod tests;
