//! The identities of the system, each a type of its own.
//!
//! A user, a thread and a run can't be mixed up, and an id that names nobody (nil, `"registry"`, `"default"`) is refused
//! where it enters: the compiler and the parser keep apart what a string would let through.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

/// The longest user id, in bytes. It is the `sub` of a token: opaque to us, bounded because rows and logs carry it.
pub const USER_ID_MAX_BYTES: usize = 255;

/// Says why a string is no id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The text is not a UUID; placeholders such as `registry` or `default` end here.
    #[error("{what} must be a UUID")]
    NotAUuid {
        /// Which kind of id was read.
        what: &'static str,
    },
    /// The nil or the all-ones UUID: it names nobody.
    #[error("{what} is a placeholder and names nobody")]
    Placeholder {
        /// Which kind of id was read.
        what: &'static str,
    },
    /// A user id is 1 to [`USER_ID_MAX_BYTES`] bytes.
    #[error("a user id has 1 to {USER_ID_MAX_BYTES} bytes, not {bytes}")]
    UserIdLength {
        /// The length that was found.
        bytes: usize,
    },
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $mint:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// Makes a new id that no one else has.
            #[must_use]
            pub fn mint() -> Self {
                Self(Uuid::$mint())
            }

            /// The id as a UUID.
            #[must_use]
            pub const fn as_uuid(&self) -> Uuid {
                self.0
            }
        }

        impl TryFrom<Uuid> for $name {
            type Error = IdError;

            fn try_from(id: Uuid) -> Result<Self, IdError> {
                if id.is_nil() || id.is_max() {
                    return Err(IdError::Placeholder { what: $what });
                }
                Ok(Self(id))
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let id = Uuid::try_parse(text).map_err(|_| IdError::NotAUuid { what: $what })?;
                Self::try_from(id)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                self.0.serialize(serializer)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

uuid_id!(
    /// One session: one user's line of events. Random (version 4), so that it can't be guessed; it opens nothing by itself.
    SessionId, "session_id", new_v4
);
uuid_id!(
    /// One conversation.
    ThreadId, "thread_id", now_v7
);
uuid_id!(
    /// One run of an agent.
    RunId, "run_id", now_v7
);
uuid_id!(
    /// One tool call of a run.
    CallId, "call_id", now_v7
);
uuid_id!(
    /// One request, as it stands in every log line that the request caused.
    RequestId, "request_id", now_v7
);
uuid_id!(
    /// One message of a conversation; a client chooses it for what it sends, so that sending again is safe.
    MessageId, "message_id", now_v7
);
uuid_id!(
    /// One document that a user uploaded, or had an agent write.
    DocumentId, "document_id", now_v7
);
uuid_id!(
    /// The lineage of an event log. Opaque to clients; it changes only when the log was lost or restored.
    Epoch, "epoch", new_v4
);

/// The user, as the verified token names them: an opaque string of 1 to 255 bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId(Arc<str>);

impl UserId {
    /// Takes the subject of a verified token.
    ///
    /// # Errors
    /// [`IdError::UserIdLength`] where it is empty or longer than 255 bytes.
    pub fn parse(subject: &str) -> Result<Self, IdError> {
        if subject.is_empty() || subject.len() > USER_ID_MAX_BYTES {
            return Err(IdError::UserIdLength { bytes: subject.len() });
        }
        Ok(Self(subject.into()))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UserId({:?})", self.0)
    }
}

impl Serialize for UserId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

macro_rules! counter {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl $name {
            /// Before the first one.
            pub const ZERO: Self = Self(0);

            /// The one after this.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0 + 1)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

counter!(
    /// An event's place in its session: 1, 2, 3 ... without a hole. Zero stands before the first.
    Seq
);
counter!(
    /// Which incarnation of a session may write its log. It grows with each revival; an older one is refused.
    Fence
);
counter!(
    /// Which socket of a session is the attached one. What arrives from an older socket is ignored.
    AttachGen
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_no_ids() {
        for text in [
            "registry",
            "placeholder",
            "default",
            "temp",
            "none",
            "null",
            "undefined",
            "0",
            "1",
            "xxx",
            "example",
            "",
            "temp_1234",
            "00000000-0000-0000-0000-000000000000",
            "ffffffff-ffff-ffff-ffff-ffffffffffff",
        ] {
            assert!(text.parse::<RunId>().is_err(), "{text:?} became a run id");
            assert!(text.parse::<ThreadId>().is_err(), "{text:?} became a thread id");
            assert!(text.parse::<SessionId>().is_err(), "{text:?} became a session id");
        }
    }

    #[test]
    fn a_minted_id_reads_back_as_itself() {
        let id = RunId::mint();
        assert_eq!(id.to_string().parse::<RunId>(), Ok(id));
    }

    #[test]
    fn a_session_id_is_random_and_not_ordered_by_time() {
        assert_eq!(SessionId::mint().as_uuid().get_version_num(), 4);
    }

    #[test]
    fn a_user_id_has_1_to_255_bytes() {
        assert_eq!(UserId::parse(""), Err(IdError::UserIdLength { bytes: 0 }));
        assert!(UserId::parse(&"x".repeat(255)).is_ok());
        assert_eq!(
            UserId::parse(&"x".repeat(256)),
            Err(IdError::UserIdLength { bytes: 256 })
        );
    }
}
