//! What goes wrong at a provider: what the run is told, and whether asking again may help.
//!
//! A provider's own words are never passed on: they may quote the key, or what a user said.

use std::error::Error as _;
use std::io;
use std::time::{Duration, SystemTime};

use actix_http::header::HttpDate;
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use sessile_actors::infra::model::{ModelError, ModelTimeout};

/// How long a provider may have us wait before we ask again. Beyond: the run is told, and nobody waits.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// About how long the first attempt waits where nobody says how long; each further one twice as long.
const BACK_OFF: Duration = Duration::from_millis(500);

/// Why an attempt failed.
#[derive(Debug)]
pub(super) struct Fault {
    /// What the run is told.
    pub(super) error: ModelError,
    again: Again,
}

/// Whether to ask again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Again {
    Never,
    BackOff,
    After(Duration),
}

impl Fault {
    /// One that asking again does not help.
    pub(super) fn last(error: ModelError) -> Self {
        let again = Again::Never;
        Self { error, again }
    }

    /// One that may be over soon.
    pub(super) fn passing(error: ModelError) -> Self {
        let again = Again::BackOff;
        Self { error, again }
    }

    /// Nobody listens any more.
    pub(super) fn unheard() -> Self {
        Self::last(ModelError::Broken("nobody listens".to_owned()))
    }

    /// The stream ended before the answer did.
    pub(super) fn cut() -> Self {
        Self::passing(ModelError::Broken("it was cut off before its end".to_owned()))
    }

    /// The stream says what no provider should.
    pub(super) fn nonsense(what: &str) -> Self {
        Self::last(ModelError::Broken(what.to_owned()))
    }

    /// The provider told of an error of its own in mid-stream.
    pub(super) fn reported() -> Self {
        Self::passing(ModelError::Unavailable("it reported an error in its answer".to_owned()))
    }

    /// What an answer other than 200 means.
    pub(super) fn of_status(status: StatusCode, headers: &HeaderMap) -> Self {
        let code = status.as_u16();
        let refused = |why: &str| Self::last(ModelError::Refused(format!("{why} (status {code})")));
        match code {
            429 => {
                let retry_after = retry_after(headers, SystemTime::now());
                Self::waiting(ModelError::RateLimited { retry_after }, retry_after)
            }
            408 | 425 | 500.. => {
                let error = ModelError::Unavailable(format!("it answered with status {code}"));
                Self::waiting(error, retry_after(headers, SystemTime::now()))
            }
            401 | 403 => refused("it does not accept the key: check api_key_env or api_key_file"),
            404 => refused("it knows no such model or path: check model and base_url"),
            413 => refused("the conversation is too long for it"),
            300..=399 => refused("it is elsewhere: set base_url to its address"),
            _ => refused("it does not accept the request"),
        }
    }

    /// What a failed transport means: before the answer, or within it.
    pub(super) fn of_transport(error: &reqwest::Error, connect_limit: Duration) -> Self {
        if error.is_connect() && error.is_timeout() {
            return Self::passing(ModelError::TimedOut(ModelTimeout::Connect(connect_limit)));
        }
        if error.is_connect() {
            let why = match io_kind(error) {
                Some(kind) => format!("it can't be connected to: {kind}"),
                None => "it can't be connected to: check base_url, the network and its certificate".to_owned(),
            };
            return Self::passing(ModelError::Unavailable(why));
        }
        if error.is_builder() {
            return Self::last(ModelError::Refused(
                "the request can't be written; check base_url".to_owned(),
            ));
        }
        Self::cut()
    }

    fn waiting(error: ModelError, wait: Option<Duration>) -> Self {
        let again = match wait {
            None => Again::BackOff,
            Some(wait) if wait <= WAIT_MAX => Again::After(wait),
            Some(_) => Again::Never,
        };
        Self { error, again }
    }

    /// How long to wait before the attempt after this one, the first being 0; none: it helps nobody.
    pub(super) fn wait(&self, attempt: u32) -> Option<Duration> {
        match self.again {
            Again::Never => None,
            Again::BackOff => {
                let whole = BACK_OFF.saturating_mul(1 << attempt.min(6)).min(WAIT_MAX);
                Some(whole / 2 + jitter(whole / 2))
            }
            // Whoever was told the same second must not come back in the same instant.
            Again::After(wait) => Some(wait + jitter(BACK_OFF)),
        }
    }
}

/// Any share of `most`: who failed together must not come back together.
fn jitter(most: Duration) -> Duration {
    let mut random = [0; 4];
    if getrandom::fill(&mut random).is_err() {
        return most;
    }
    most.mul_f64(f64::from(u32::from_le_bytes(random)) / f64::from(u32::MAX))
}

/// What the system said, without an address.
fn io_kind(error: &reqwest::Error) -> Option<io::ErrorKind> {
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(fault) = inner.downcast_ref::<io::Error>() {
            // An error of TLS is `Other`, and says nothing.
            return Some(fault.kind()).filter(|kind| *kind != io::ErrorKind::Other);
        }
        cause = inner.source();
    }
    None
}

/// How long the provider wants us to wait: `Retry-After` in seconds or as a date (RFC 9110, section 10.2.3), or OpenAI's
/// `retry-after-ms`.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    if let Some(millis) = text("retry-after-ms").and_then(|text| text.parse().ok()) {
        return Some(Duration::from_millis(millis));
    }
    let text = text(RETRY_AFTER.as_str())?;
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let at = SystemTime::from(text.parse::<HttpDate>().ok()?);
    // A date that is past means: now.
    Some(at.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pairs = pairs.iter().map(|(name, value)| {
            (
                reqwest::header::HeaderName::from_static(name),
                value.parse::<reqwest::header::HeaderValue>().unwrap(),
            )
        });
        pairs.collect()
    }

    fn status(code: u16, pairs: &[(&'static str, &str)]) -> Fault {
        Fault::of_status(StatusCode::from_u16(code).unwrap(), &headers(pairs))
    }

    #[test]
    fn retry_after_is_read_as_seconds_as_milliseconds_and_as_a_date() {
        // 2026-11-20T10:00:00Z.
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_168_800);
        let read = |name, value| retry_after(&headers(&[(name, value)]), now);
        assert_eq!(read("retry-after", "7"), Some(Duration::from_secs(7)));
        assert_eq!(read("retry-after", "0.5"), Some(Duration::from_millis(500)));
        assert_eq!(read("retry-after-ms", "250"), Some(Duration::from_millis(250)));
        let date = read("retry-after", "Fri, 20 Nov 2026 10:00:09 GMT");
        assert_eq!(date, Some(Duration::from_secs(9)));
        assert_eq!(
            read("retry-after", "Fri, 20 Nov 2026 09:00:00 GMT"),
            Some(Duration::ZERO)
        );
        for nonsense in ["soon", "-1", "NaN", ""] {
            assert_eq!(read("retry-after", nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn a_wait_that_is_too_long_is_told_instead_of_waited() {
        let fault = status(429, &[("retry-after", "31")]);
        assert_eq!(fault.wait(0), None);
        let retry_after = Some(Duration::from_secs(31));
        assert_eq!(fault.error, ModelError::RateLimited { retry_after });
        let wait = status(503, &[("retry-after", "30")]).wait(0).unwrap();
        assert!(wait >= WAIT_MAX && wait <= WAIT_MAX + BACK_OFF, "{wait:?}");
    }

    #[test]
    fn back_off_grows_with_each_attempt_and_has_an_end() {
        for attempt in [0, 1, 5, 40] {
            let wait = status(500, &[]).wait(attempt).unwrap();
            let whole = BACK_OFF.saturating_mul(1 << attempt.min(6)).min(WAIT_MAX);
            assert!(wait >= whole / 2 && wait <= whole, "{attempt}: {wait:?}");
        }
    }

    #[test]
    fn every_other_refusal_is_final() {
        for code in [301, 400, 401, 403, 404, 413, 422] {
            let fault = status(code, &[]);
            assert!(
                matches!(fault.error, ModelError::Refused(_)) && fault.wait(0).is_none(),
                "{code}"
            );
        }
    }
}
