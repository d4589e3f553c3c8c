//! Guests: users who prove nothing but that they are the same as before.
//!
//! A guest's cookie is a token that this instance signed, with a key of its own that no configured token shares. Who keeps
//! the cookie keeps the identity; who forges one is a new guest. Cookies don't tell ports apart, so the cookie's name carries
//! the instance: two servers on one machine don't take each other's guests away.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use actix_http::header::{COOKIE, HeaderMap};
use actix_web::cookie::{Cookie, SameSite, time};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sessile_actors::context::{Roles, RolesError};
use sessile_actors::ids::UserId;
use tracing::warn;
use uuid::Uuid;

use super::jwt::{NewClaims, Rules, TOKEN_MAX_BYTES, unix_seconds};
use super::{AuthError, Identity};
use crate::config::{Config, JournalKind};
use crate::private_file;

/// The file in the data directory that says which instance this is.
const INSTANCE_FILE: &str = "instance.json";

/// Bytes of the signing key: as long as the hash (RFC 7518, section 3.2).
const KEY_BYTES: usize = 32;

/// What every guest's name begins with.
const GUEST_PREFIX: &str = "guest-";

/// The audience of a guest's cookie.
const AUDIENCE: &str = "sessile-guest";

/// This instance's identity can't be read or made.
#[derive(Debug, thiserror::Error)]
pub enum InstanceError {
    /// The file can't be read or written.
    #[error("cannot read or write {}: check data_dir and its rights", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file is damaged.
    #[error("{} is damaged: restore it, or delete it to begin anew, and every guest with it", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// The configured roles are none.
    #[error("auth.guest_roles can't be taken: {0}")]
    Roles(#[from] RolesError),
    /// The system gave no random bytes.
    #[error("the system gives no random bytes: a signing key can't be made")]
    NoRandomness,
}

/// What the instance file holds.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    instance_id: Uuid,
    guest_key: String,
}

/// Which instance this is, and its signing key. Made at the first start.
pub struct Instance {
    id: Uuid,
    key: SecretString,
}

impl Instance {
    /// Makes a new one, kept nowhere.
    ///
    /// # Errors
    /// [`InstanceError::NoRandomness`].
    pub fn in_memory() -> Result<Self, InstanceError> {
        let mut key = [0; KEY_BYTES];
        getrandom::fill(&mut key).map_err(|_| InstanceError::NoRandomness)?;
        Ok(Self {
            id: Uuid::new_v4(),
            key: SecretString::from(URL_SAFE_NO_PAD.encode(key)),
        })
    }

    /// Reads the one of this data directory; makes it at the first start, directory included.
    ///
    /// # Errors
    /// [`InstanceError`] names the file and says what to do.
    pub fn open(data_dir: &Path) -> Result<Self, InstanceError> {
        let path = data_dir.join(INSTANCE_FILE);
        let failed = |source| InstanceError::File {
            path: path.clone(),
            source,
        };
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                if private_file::close_to_others(&path).map_err(failed)? {
                    warn!(path = %path.display(), "others could read the guests' signing key; its rights are 0600 again");
                }
                Self::read(&SecretString::from(text)).ok_or(InstanceError::Damaged { path })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let made = Self::in_memory()?;
                std::fs::create_dir_all(data_dir)
                    .and_then(|()| made.write(&path))
                    .map_err(failed)?;
                Ok(made)
            }
            Err(error) => Err(failed(error)),
        }
    }

    fn read(text: &SecretString) -> Option<Self> {
        let stored: Stored = serde_json::from_str(text.expose_secret()).ok()?;
        let key = URL_SAFE_NO_PAD.decode(&stored.guest_key).ok()?;
        let sound = key.len() == KEY_BYTES && !stored.instance_id.is_nil();
        sound.then(|| Self {
            id: stored.instance_id,
            key: SecretString::from(stored.guest_key),
        })
    }

    /// Writes it aside and renames it, so that a crash leaves the whole file or none.
    fn write(&self, path: &Path) -> io::Result<()> {
        let stored = Stored {
            instance_id: self.id,
            guest_key: self.key.expose_secret().to_owned(),
        };
        let aside = path.with_extension("json.new");
        // What a crash left there may be open to others: the rights are given at creation only.
        match std::fs::remove_file(&aside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = private_file::create(&aside)?;
        file.write_all(&serde_json::to_vec_pretty(&stored)?)?;
        file.sync_all()?;
        std::fs::rename(&aside, path)
    }
}

/// Greets guests and knows them again.
pub struct Guests {
    issuer: String,
    cookie_name: String,
    signing: EncodingKey,
    verifying: DecodingKey,
    rules: Rules,
    ttl: Duration,
    secure: bool,
    /// What every guest may do.
    roles: Roles,
}

impl Guests {
    /// Opens the instance that the configuration names: with a journal in memory there is nothing to come back to.
    ///
    /// # Errors
    /// As [`Instance::open`].
    pub fn open(config: &Config) -> Result<Self, InstanceError> {
        let instance = match config.journal.kind {
            JournalKind::Memory => Instance::in_memory()?,
            JournalKind::Sqlite => Instance::open(&config.data_dir)?,
        };
        let https = config
            .server
            .public_url
            .as_ref()
            .is_some_and(|url| url.to_lowercase().starts_with("https://"));
        let roles = config.auth.guest_roles.iter().map(String::as_str);
        Ok(Self {
            roles: Roles::freeze(roles)?,
            ..Self::new(&instance, config.auth.guest_ttl, https)
        })
    }

    /// Greets for `instance`. `secure` keeps the cookie from plain connections.
    #[must_use]
    pub fn new(instance: &Instance, ttl: Duration, secure: bool) -> Self {
        let (key, issuer) = (instance.key.expose_secret().as_bytes(), instance.id.to_string());
        Self {
            cookie_name: format!("sessile_guest_{}", &issuer[..8]),
            signing: EncodingKey::from_secret(key),
            verifying: DecodingKey::from_secret(key),
            // Our own clock signed it: no leeway.
            rules: Rules::new(&issuer, AUDIENCE, Duration::ZERO),
            issuer,
            ttl,
            secure,
            roles: Roles::none(),
        }
    }

    /// Knows a guest again by the cookie, or greets a new one. A cookie in its second half is renewed.
    ///
    /// # Errors
    /// `Unauthorized` where the cookie can't be signed.
    pub fn identify(&self, headers: &HeaderMap) -> Result<Identity, AuthError> {
        let Some((user, expires_at)) = self.recognise(headers) else {
            return self.greet(guest()?);
        };
        let left = expires_at.duration_since(SystemTime::now()).unwrap_or_default();
        if left < self.ttl / 2 {
            return self.greet(user);
        }
        Ok(Identity {
            user,
            expires_at: Some(expires_at),
            roles: self.roles.clone(),
            fresh_guest_cookie: None,
        })
    }

    /// The guest of a cookie that we signed. A header may carry several of this name: the first good one counts.
    fn recognise(&self, headers: &HeaderMap) -> Option<(UserId, SystemTime)> {
        let texts = headers.get_all(COOKIE).filter_map(|value| value.to_str().ok());
        let pairs = texts
            .flat_map(|text| text.split(';'))
            .filter_map(|pair| pair.trim().split_once('='));
        let mut ours = pairs.filter(|(name, value)| *name == self.cookie_name && value.len() <= TOKEN_MAX_BYTES);
        ours.find_map(|(_, value)| {
            let verified = self.rules.verify(value, Algorithm::HS256, &self.verifying).ok()?;
            let name = verified.user.as_str().strip_prefix(GUEST_PREFIX)?;
            Uuid::try_parse(name).ok()?;
            Some((verified.user, verified.expires_at))
        })
    }

    fn greet(&self, user: UserId) -> Result<Identity, AuthError> {
        let cannot = || AuthError::Unauthorized("no guest can be greeted now: try again later".to_owned());
        let now = unix_seconds(SystemTime::now());
        let exp = now.saturating_add(self.ttl.as_secs());
        let claims = NewClaims {
            sub: user.as_str(),
            exp,
            iat: now,
            iss: &self.issuer,
            aud: AUDIENCE,
            // What guests may do stands in the configuration, not in a cookie that outlives it.
            roles: BTreeMap::new(),
        };
        let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.signing);
        let token = token.map_err(|_| cannot())?;
        let max_age = time::Duration::try_from(self.ttl).map_err(|_| cannot())?;
        let expires_at = SystemTime::UNIX_EPOCH
            .checked_add(Duration::from_secs(exp))
            .ok_or_else(cannot)?;
        let cookie = Cookie::build(&self.cookie_name, token)
            .path("/")
            .http_only(true)
            .same_site(SameSite::Strict);
        let cookie = cookie.secure(self.secure).max_age(max_age).finish();
        Ok(Identity {
            user,
            expires_at: Some(expires_at),
            roles: self.roles.clone(),
            fresh_guest_cookie: Some(cookie.to_string()),
        })
    }
}

fn guest() -> Result<UserId, AuthError> {
    let name = format!("{GUEST_PREFIX}{}", Uuid::new_v4());
    UserId::parse(&name).map_err(|error| AuthError::Unauthorized(error.to_string()))
}

#[cfg(test)]
mod tests;
