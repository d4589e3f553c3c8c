//! Why a socket is closed: the codes that a client acts on.

use std::borrow::Cow;

/// A close code with its reason, as sent in the close frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CloseCode {
    /// 1000: ended on purpose. The client stops.
    Normal,
    /// 1002: the WebSocket protocol was broken.
    Protocol,
    /// 1007: a text message was not UTF-8.
    BadUtf8,
    /// 1008: a flood of control frames.
    Flood,
    /// 1009: a frame, message or fragment count beyond the limit.
    TooBig,
    /// 1012: the server drains; the client resumes after this many milliseconds.
    Draining {
        /// When to come back, jittered per client.
        retry_after_ms: u64,
    },
    /// 1013: overloaded; the client resumes with back-off.
    Overloaded,
    /// 4000: cut, can be resumed.
    Resumable,
    /// 4001: another socket took the session over.
    TakenOver,
    /// 4002: the client finished no frame for too long.
    SlowClient,
    /// 4008: far beyond the message rate.
    RateLimit,
    /// 4400: too many faulty frames in a row.
    FaultyFrames,
    /// 4401: the credential is bad or expired.
    CredentialExpired,
    /// 4403: the credential was revoked.
    Revoked,
    /// 4409: the client claims to have seen what was never sent.
    ImpossibleResume,
    /// 4410: gone, unknown, or someone else's: one text for all three.
    NoSuchSession,
}

impl CloseCode {
    /// The number on the wire.
    #[must_use]
    pub const fn code(&self) -> u16 {
        match self {
            Self::Normal => 1000,
            Self::Protocol => 1002,
            Self::BadUtf8 => 1007,
            Self::Flood => 1008,
            Self::TooBig => 1009,
            Self::Draining { .. } => 1012,
            Self::Overloaded => 1013,
            Self::Resumable => 4000,
            Self::TakenOver => 4001,
            Self::SlowClient => 4002,
            Self::RateLimit => 4008,
            Self::FaultyFrames => 4400,
            Self::CredentialExpired => 4401,
            Self::Revoked => 4403,
            Self::ImpossibleResume => 4409,
            Self::NoSuchSession => 4410,
        }
    }

    /// The sentence on the wire; at most 123 bytes, as a close frame demands.
    #[must_use]
    pub fn reason(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Normal => "ended",
            Self::Protocol => "the WebSocket protocol was broken",
            Self::BadUtf8 => "a text message was not valid UTF-8",
            Self::Flood => "too many control frames",
            Self::TooBig => "the message is beyond the size limit",
            Self::Draining { retry_after_ms } => {
                return Cow::Owned(format!("draining; retry_after_ms={retry_after_ms}"));
            }
            Self::Overloaded => "overloaded; resume with back-off",
            Self::Resumable => "cut; resume with last_seq",
            Self::TakenOver => "another socket took this session over",
            Self::SlowClient => "the client reads too slowly; resume with last_seq",
            Self::RateLimit => "far beyond the message rate; resume later",
            Self::FaultyFrames => "too many faulty frames in a row",
            Self::CredentialExpired => "the credential is bad or expired; get a new one",
            Self::Revoked => "the credential was revoked",
            Self::ImpossibleResume => "last_seq is beyond what was sent; start a new session",
            Self::NoSuchSession => "no such session; start a new one",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_fits_a_close_frame() {
        for close in [
            CloseCode::Normal,
            CloseCode::Draining {
                retry_after_ms: u64::MAX,
            },
            CloseCode::ImpossibleResume,
            CloseCode::SlowClient,
        ] {
            assert!(close.reason().len() <= 123, "{close:?}");
        }
    }
}
