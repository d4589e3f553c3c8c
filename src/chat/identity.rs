//! Who the client is: a guest that stays the same, or the user of a token.
//!
//! A guest's identity is a cookie of the server. It is kept per server in a file that only its owner reads, so that the next
//! `sessile chat` is the same guest with the same threads. Who reads the file can be that guest.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use secrecy::{ExposeSecret as _, SecretString};

use super::address::Address;
use crate::private_file;

/// The environment's name for a token.
pub const TOKEN_ENV: &str = "SESSILE_TOKEN";

/// Cookies that are kept of one address: a server that began anew gives another name. Beyond: the oldest goes.
const COOKIES_KEPT: usize = 8;

/// Largest file that is read as a token or as cookies, in bytes. Beyond: it is neither.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// What a token looks like, for who gave something else.
const TOKEN_FORM: &str = "it is one line of letters, digits and punctuation";

/// Who the client says it is.
pub enum Identity {
    /// A guest; none where nothing can be kept.
    Guest(Guest),
    /// The user of a token in a file, read anew for each connection.
    TokenFile(PathBuf),
    /// The user of a token of the environment.
    Token(SecretString),
}

/// A guest's cookies, and where they are kept.
pub struct Guest {
    file: Option<PathBuf>,
    cookies: Vec<String>,
}

impl Identity {
    /// Finds out who this client is at `address`.
    ///
    /// # Errors
    /// The token can't be read, or would cross the network in the open.
    pub fn find(address: &Address, token_file: Option<&Path>, allow_plain_text: bool) -> anyhow::Result<Self> {
        let from_env = std::env::var(TOKEN_ENV).ok().filter(|token| !token.trim().is_empty());
        let identity = match (token_file, from_env) {
            (Some(file), _) => Self::TokenFile(file.to_owned()),
            (None, Some(token)) => {
                Self::Token(one_token(&token).with_context(|| format!("{TOKEN_ENV} holds no token: {TOKEN_FORM}"))?)
            }
            (None, None) => return Ok(Self::Guest(Guest::at(address, state_dir().as_deref()))),
        };
        ensure!(
            allow_plain_text || !address.is_in_the_open(),
            "the token would cross the network in the open: write https:// in --url, or add --allow-plain-text on a \
            network that you trust"
        );
        // Read once now: a file that is not there is told before anything is connected.
        identity.headers()?;
        Ok(identity)
    }

    /// The headers that prove it, as they are now.
    ///
    /// # Errors
    /// The token's file can't be read.
    pub fn headers(&self) -> anyhow::Result<Vec<(&'static str, SecretString)>> {
        let token = match self {
            Self::Guest(guest) if guest.cookies.is_empty() => return Ok(Vec::new()),
            Self::Guest(guest) => return Ok(vec![("cookie", SecretString::from(guest.cookies.join("; ")))]),
            Self::TokenFile(file) => read_token(file)?,
            Self::Token(token) => token.clone(),
        };
        let bearer = format!("Bearer {}", token.expose_secret());
        Ok(vec![("authorization", SecretString::from(bearer))])
    }

    /// The token alone, for `refresh_token`; none for a guest, or where it can't be read.
    #[must_use]
    pub fn token(&self) -> Option<SecretString> {
        match self {
            Self::Guest(_) => None,
            Self::TokenFile(file) => read_token(file).ok(),
            Self::Token(token) => Some(token.clone()),
        }
    }

    /// Keeps the cookie that a server has just given.
    ///
    /// # Errors
    /// It can't be written: the client goes on, and the next one is another guest.
    pub fn keep(&mut self, set_cookie: &str) -> anyhow::Result<()> {
        match self {
            Self::Guest(guest) => guest.keep(set_cookie),
            Self::TokenFile(_) | Self::Token(_) => Ok(()),
        }
    }

    /// What to do where the credential is refused.
    #[must_use]
    pub fn advice(&self) -> String {
        match self {
            Self::Guest(_) => format!("the server wants a token: give one by --token-file or {TOKEN_ENV}"),
            Self::TokenFile(file) => format!("put another token into {}, or leave --token-file out", file.display()),
            Self::Token(_) => format!("put another token into {TOKEN_ENV}, or unset it"),
        }
    }
}

impl Guest {
    /// The guest that is kept for this address in `dir`, if there is one.
    fn at(address: &Address, dir: Option<&Path>) -> Self {
        let file = dir.map(|dir| dir.join(file_name(address)));
        let text = file.as_deref().and_then(|file| {
            // A copy or a restore may have given others the right to read it; an error is told when it is written.
            let _ = private_file::close_to_others(file);
            read_small(file).ok()
        });
        let lines = text.iter().flat_map(|text| text.lines()).map(str::trim);
        let cookies = lines.filter(|line| is_pair(line)).take(COOKIES_KEPT);
        Self {
            cookies: cookies.map(str::to_owned).collect(),
            file,
        }
    }

    fn keep(&mut self, set_cookie: &str) -> anyhow::Result<()> {
        let pair = set_cookie.split(';').next().unwrap_or_default().trim();
        if !is_pair(pair) {
            return Ok(());
        }
        let name = pair.split('=').next().unwrap_or_default();
        self.cookies.retain(|kept| kept.split('=').next() != Some(name));
        self.cookies.insert(0, pair.to_owned());
        self.cookies.truncate(COOKIES_KEPT);
        let Some(file) = &self.file else {
            bail!("there is no home directory to keep the guest in: set XDG_STATE_HOME");
        };
        write(file, &(self.cookies.join("\n") + "\n"))
            .with_context(|| format!("the guest can't be kept in {}", file.display()))
    }
}

/// `$XDG_STATE_HOME/sessile`, else `~/.local/state/sessile`. A relative path in the variable counts as none, as its
/// specification demands.
fn state_dir() -> Option<PathBuf> {
    let absolute = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let state = absolute("XDG_STATE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/state")));
    state.map(|state| state.join("sessile"))
}

/// The address as a file's name: each address has its own, so that clients of two servers write no common file.
fn file_name(address: &Address) -> String {
    let plain = |letter: char| {
        if letter.is_ascii_alphanumeric() || letter == '.' {
            letter
        } else {
            '_'
        }
    };
    format!("guest-{}", address.origin().chars().map(plain).collect::<String>())
}

fn is_pair(text: &str) -> bool {
    text.contains('=') && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b';')
}

fn read_token(file: &Path) -> anyhow::Result<SecretString> {
    let text = read_small(file).with_context(|| format!("no token can be read from {}", file.display()))?;
    one_token(&text).with_context(|| format!("{} holds no token: {TOKEN_FORM}", file.display()))
}

fn one_token(text: &str) -> Option<SecretString> {
    let token = text.trim();
    let is_one = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    is_one.then(|| SecretString::from(token))
}

fn read_small(file: &Path) -> io::Result<String> {
    use std::io::Read as _;
    let mut text = String::new();
    let read = std::fs::File::open(file)?
        .take(FILE_BYTES_MAX + 1)
        .read_to_string(&mut text)?;
    if read as u64 > FILE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is too large"));
    }
    Ok(text)
}

/// Writes beside the file and moves it into place: another client reads the old one or the new one.
fn write(file: &Path, text: &str) -> io::Result<()> {
    if let Some(dir) = file.parent() {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(dir)?;
    }
    let beside = file.with_file_name(format!("new-{}", uuid::Uuid::new_v4().simple()));
    let written = private_file::create(&beside)
        .and_then(|mut made| made.write_all(text.as_bytes()).and_then(|()| made.sync_all()))
        .and_then(|()| std::fs::rename(&beside, file));
    if written.is_err() {
        // It holds a guest's secret, whole or in part.
        let _ = std::fs::remove_file(&beside);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address() -> Address {
        "http://127.0.0.1:8080".parse().unwrap()
    }

    fn cookies(guest: &Guest) -> Vec<&str> {
        guest.cookies.iter().map(String::as_str).collect()
    }

    #[test]
    fn a_guest_is_found_again_at_its_own_address_alone() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("deep/sessile");
        let mut guest = Guest::at(&address(), Some(&state));
        assert!(guest.cookies.is_empty());
        guest.keep("guest_a=one; Path=/; HttpOnly").unwrap();
        guest.keep("guest_b=two; Path=/").unwrap();
        guest.keep("guest_a=three; Path=/").unwrap();
        let again = Guest::at(&address(), Some(&state));
        assert_eq!(cookies(&again), ["guest_a=three", "guest_b=two"]);
        let elsewhere = "http://127.0.0.1:8081".parse().unwrap();
        assert!(Guest::at(&elsewhere, Some(&state)).cookies.is_empty());
        // Nothing of the writing is left behind.
        assert_eq!(std::fs::read_dir(&state).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_can_read_a_guest() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("sessile");
        Guest::at(&address(), Some(&state)).keep("a=b").unwrap();
        let file = state.join(file_name(&address()));
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&state), mode(&file)), (0o700, 0o600));
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        Guest::at(&address(), Some(&state));
        assert_eq!(mode(&file), 0o600);
    }

    #[test]
    fn a_guest_that_cannot_be_kept_is_still_one() {
        let dir = tempfile::tempdir().unwrap();
        let no_dir = dir.path().join("file");
        std::fs::write(&no_dir, "").unwrap();
        let mut guest = Guest::at(&address(), Some(&no_dir));
        assert!(guest.keep("a=b").is_err());
        assert_eq!(cookies(&guest), ["a=b"]);
        let mut homeless = Guest::at(&address(), None);
        assert!(homeless.keep("a=b").unwrap_err().to_string().contains("XDG_STATE_HOME"));
    }

    #[test]
    fn what_is_no_cookie_is_not_kept() {
        let dir = tempfile::tempdir().unwrap();
        let mut guest = Guest::at(&address(), Some(dir.path()));
        for broken in ["", "novalue", "a=b\r\nevil: yes", "a=\u{1b}[0m"] {
            guest.keep(broken).unwrap();
        }
        assert!(guest.cookies.is_empty());
        std::fs::write(dir.path().join(file_name(&address())), "a=b\nnoise\n\u{1b}=x\n").unwrap();
        assert_eq!(cookies(&Guest::at(&address(), Some(dir.path()))), ["a=b"]);
    }

    #[test]
    fn a_token_is_read_from_its_file_each_time_and_never_sent_in_the_open() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        let find = |url: &str, allow| Identity::find(&url.parse().unwrap(), Some(&file), allow);
        assert!(find("http://127.0.0.1:1", false).is_err(), "it is not there");
        std::fs::write(&file, " first\n").unwrap();
        let identity = find("http://127.0.0.1:1", false).unwrap();
        let bearer = |identity: &Identity| identity.headers().unwrap()[0].1.expose_secret().to_owned();
        assert_eq!(bearer(&identity), "Bearer first");
        std::fs::write(&file, "second").unwrap();
        assert_eq!(bearer(&identity), "Bearer second");
        let refused = find("http://chat.example.org", false).err().unwrap().to_string();
        assert!(
            refused.contains("https://") && refused.contains("--allow-plain-text"),
            "{refused}"
        );
        assert!(find("http://chat.example.org", true).is_ok());
        assert!(find("https://chat.example.org", false).is_ok());
        std::fs::write(&file, "two lines\n of text").unwrap();
        assert!(identity.headers().unwrap_err().to_string().contains("holds no token"));
    }
}
