//! Refusals over HTTP: RFC 9457 problem details, the same body from `App` and from the upgrade service.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::{HttpResponse, ResponseError};
use problem_details::ProblemDetails;
use serde::Serialize;

/// The media type of problem details.
pub(super) const PROBLEM_JSON: &str = "application/problem+json";

/// A refusal: its status, a sentence that says what to do, and the headers that the status calls for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    status: StatusCode,
    detail: Cow<'static, str>,
    header: Option<(HeaderName, HeaderValue)>,
    /// Boxed: most refusals have none, and every handler returns one.
    members: Option<Box<Members>>,
}

/// What a refusal says beyond what all say.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
struct Members {
    /// The protocol's code, where a session refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<Cow<'static, str>>,
    /// Where in the body: a JSON pointer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pointer: Option<String>,
}

impl Problem {
    fn new(status: StatusCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            detail: detail.into(),
            header: None,
            members: None,
        }
    }

    fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.header = Some((name, value));
        self
    }

    /// Adds the protocol's code for it, such as `empty_message`.
    #[must_use]
    pub fn with_code(mut self, code: impl Into<Cow<'static, str>>) -> Self {
        self.members.get_or_insert_default().code = Some(code.into());
        self
    }

    /// Says where in the body, by a JSON pointer.
    #[must_use]
    pub fn at(mut self, pointer: Option<String>) -> Self {
        self.members.get_or_insert_default().pointer = pointer;
        self
    }

    /// 400: the request makes no sense.
    pub fn bad_request(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// 401: no credential, or a bad one.
    pub fn unauthorized(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, detail)
            .with_header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
    }

    /// 403: a foreign origin, or a host that is not ours.
    pub fn forbidden(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::FORBIDDEN, detail)
    }

    /// 404: no such thing, or someone else's.
    pub fn not_found(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// 405: the path exists, with other methods.
    #[must_use]
    pub fn method_not_allowed(allow: &'static str) -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "this path does not know the method; see Allow",
        )
        .with_header(header::ALLOW, HeaderValue::from_static(allow))
    }

    /// 408: it took too long to arrive.
    pub fn timed_out(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, detail)
    }

    /// 409: not in the state that it is in now.
    pub fn conflict(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::CONFLICT, detail)
    }

    /// 413: the body is beyond its limit.
    pub fn too_large(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
    }

    /// 413 with the code `quota_exceeded`: the body is within its limit, but beyond what the user may keep.
    pub fn quota_exceeded(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::too_large(detail).with_code("quota_exceeded")
    }

    /// 415: not of a kind that is taken here.
    pub fn unsupported(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail)
    }

    /// 426: not a WebSocket handshake of version 13.
    pub fn upgrade_required(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::UPGRADE_REQUIRED, detail)
            .with_header(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"))
    }

    /// 429: as much as this user may have; come back after `retry_after`.
    pub fn too_many(detail: impl Into<Cow<'static, str>>, retry_after: Duration) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, detail).with_header(header::RETRY_AFTER, whole_seconds(retry_after))
    }

    /// 503: not now; come back after `retry_after`.
    pub fn unavailable(detail: impl Into<Cow<'static, str>>, retry_after: Duration) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail).with_header(header::RETRY_AFTER, whole_seconds(retry_after))
    }

    /// 500: a fault of ours. The cause goes to the log, never to the client.
    #[must_use]
    pub fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "a fault of ours; the log has it under this request's id",
        )
    }

    /// Another status of the 4xx range, as a library judged it.
    #[must_use]
    pub fn from_status(status: StatusCode) -> Self {
        Self::new(
            status,
            status
                .canonical_reason()
                .unwrap_or("the request was refused")
                .to_lowercase(),
        )
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The sentence.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The body: `{status, title, detail, code?, pointer?}`.
    #[must_use]
    pub fn body(&self) -> String {
        let status = self
            .status
            .as_u16()
            .try_into()
            .expect("the status codes of two versions of one crate are the same numbers");
        let problem = ProblemDetails::from_status_code(status)
            .with_detail(self.detail.clone())
            .with_extensions(self.members.clone().unwrap_or_default());
        serde_json::to_string(&problem).expect("problem details are a number and strings")
    }

    /// The whole answer as bytes, for where there is no `App`. Its socket is closed afterwards.
    #[must_use]
    pub fn to_http(&self, request_id: &str) -> String {
        let body = self.body();
        let reason = self.status.canonical_reason().unwrap_or("Refused");
        let mut answer = format!("HTTP/1.1 {} {reason}\r\n", self.status.as_u16());
        let mut line = |name: &str, value: &str| {
            write!(answer, "{name}: {value}\r\n").expect("writing to a string never fails");
        };
        if let Some((name, value)) = &self.header {
            line(name.as_str(), value.to_str().unwrap_or_default());
        }
        line("content-type", PROBLEM_JSON);
        line("content-length", &body.len().to_string());
        line("x-content-type-options", "nosniff");
        line("x-request-id", request_id);
        line("connection", "close");
        answer.push_str("\r\n");
        answer.push_str(&body);
        answer
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.status, self.detail)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status);
        response.insert_header((header::CONTENT_TYPE, PROBLEM_JSON));
        if let Some((name, value)) = &self.header {
            response.insert_header((name.clone(), value.clone()));
        }
        response.body(self.body())
    }
}

/// `Retry-After` knows whole seconds; a fraction is rounded up, so that nobody comes early.
fn whole_seconds(wait: Duration) -> HeaderValue {
    HeaderValue::from(wait.as_secs() + u64::from(wait.subsec_nanos() > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_told_from_a_body_that_is_too_large_by_its_code() {
        let code = |problem: Problem| {
            let body: serde_json::Value = serde_json::from_str(&problem.body()).unwrap();
            (body["status"].clone(), body.get("code").cloned())
        };
        assert_eq!(code(Problem::too_large("too large")), (413.into(), None));
        assert_eq!(
            code(Problem::quota_exceeded("no room")),
            (413.into(), Some("quota_exceeded".into()))
        );
    }

    #[test]
    fn a_refusal_is_problem_details_and_says_when_to_come_back() {
        let problem = Problem::unavailable("the server drains", Duration::from_millis(1500));
        let answer = problem.to_http("r-1");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{head}");
        assert!(head.contains("retry-after: 2\r\n"), "{head}");
        assert!(head.contains("content-type: application/problem+json\r\n"), "{head}");
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{head}");
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(
            body,
            serde_json::json!({"status": 503, "title": "Service Unavailable", "detail": "the server drains"})
        );
    }
}
