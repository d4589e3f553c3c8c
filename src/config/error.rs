//! Why a configuration is refused. Each message names the layer and the key, and says what to do; none shows a secret.

use std::net::SocketAddr;
use std::path::PathBuf;

/// Why the configuration can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file of `--config` can't be read.
    #[error("cannot read the file {}: check --config", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The file of `--config` is no TOML. The offending line is not quoted: it may hold a secret.
    #[error("the file {}, line {line}, is no valid TOML: {problem}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What the parser expected.
        problem: String,
    },
    /// Nobody knows this key.
    #[error("{layer} sets the unknown key {key}: did you mean {nearest}? config/default.toml lists every key")]
    UnknownKey {
        /// Where it stands.
        layer: String,
        /// The key as it was written.
        key: String,
        /// The known key that is most like it.
        nearest: String,
    },
    /// The value is of another type.
    #[error("{layer} sets {key} to {found}: write {expected}")]
    WrongType {
        /// Where it stands.
        layer: String,
        /// The key.
        key: String,
        /// What kind of value was found; never the value.
        found: &'static str,
        /// What it should be, with an example.
        expected: &'static str,
    },
    /// The value is of the right type and yet can't be used.
    #[error("{layer} sets {key} to a value that can't be used: {problem}")]
    Invalid {
        /// Where it stands.
        layer: String,
        /// The key.
        key: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A bound of zero would let nothing through.
    #[error("{layer} sets {key} to zero, which lets nothing through: set it above zero")]
    Zero {
        /// Where it stands.
        layer: String,
        /// The key.
        key: String,
    },
    /// Guests have no credential, so the network must not reach them.
    #[error(
        "server.listen is {listen}, which the network can reach, but auth.mode is \"guest\", where nobody proves who they are: \
         set auth.mode = \"jwt\" with auth.issuer, auth.audience and auth.keys, or listen on loopback (server.listen = \"127.0.0.1:{}\")",
        listen.port()
    )]
    GuestsOnTheNetwork {
        /// The address.
        listen: SocketAddr,
    },
    /// Credentials would cross the network in the open.
    #[error(
        "server.listen is {listen}, which the network can reach, and nothing says that TLS protects it: set server.public_url to the \
         https:// address of the proxy in front, or server.allow_plain_text = true where the network itself is trusted"
    )]
    PlainTextOnTheNetwork {
        /// The address.
        listen: SocketAddr,
    },
    /// A token can't be checked without these.
    #[error("auth.mode is \"jwt\" but {missing} is not set: {hint}")]
    JwtIncomplete {
        /// The key that is missing.
        missing: &'static str,
        /// What to write.
        hint: &'static str,
    },
    /// A key of `auth.keys` can't verify a token.
    #[error("auth.keys[{index}], set by {layer}, can't be used: {problem}")]
    BadKey {
        /// Its place, from 0.
        index: usize,
        /// Where it stands.
        layer: String,
        /// What is wrong, and what to write.
        problem: &'static str,
    },
}
