//! A run without a socket: a message comes as a request, and what comes of it goes back as server-sent events or at once.
//!
//! The request joins a session as a socket does (`response`), so admission, limits and isolation are the same. A client that
//! goes away stops nothing: the session goes on without it, and `events` resumes it.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sessile_actors::ids::{MessageId, RunId, Seq, SessionId, ThreadId};
use sessile_actors::infra::journal::StoreError;
use sessile_actors::protocol::client::{ClientFrame, FrameError};
use sessile_actors::protocol::server::ErrorCode;
use sessile_actors::session::actor::Resume;
use tokio::time::timeout;
use tracing::warn;

use super::events::{self, Head, Joined};
use super::response::Told;
use super::{ANSWER_TIMEOUT, Caller, Problem, RETRY_AFTER, State, Visitor};

/// Largest body: what a message of a socket may have by default. Beyond: 413.
pub(super) const BODY_BYTES: usize = 256 * 1024;

/// What a request may say of its message: as in the payload of a `user_message`.
const PAYLOAD: [&str; 5] = ["content", "thread_id", "references", "metadata", "on_busy"];

/// `POST /v1/agents/{name}/runs {content, thread_id?, message_id?, references?, metadata?, on_busy?, session_id?}`: the run's
/// events where the client accepts `text/event-stream`, else its end.
pub(super) async fn start(
    caller: Caller,
    state: web::Data<State>,
    agent: web::Path<String>,
    body: web::Json<Map<String, Value>>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let agent = agent.into_inner();
    if state.infra.agents.get(&agent).is_none() {
        return Err(Problem::not_found("there is no such agent; GET /v1/agents lists them"));
    }
    let asked = Asked::read(body.into_inner(), &agent, state.infra.limits.json_depth)?;
    let from_now = Resume {
        last_seq: Seq::ZERO,
        epoch: None,
    };
    let resume = asked.session.map(|session| (session, from_now));
    let mut joined = events::join(&state, &caller.0, resume, Some(asked.frame), &request).await?;
    // A message may wait until another run has yielded its thread.
    let patience = state.infra.limits.yield_timeout + ANSWER_TIMEOUT;
    let accepted = timeout(patience, accepted(&mut joined, &asked.message))
        .await
        .unwrap_or_else(|_| Err(unheard()))?;
    let to_client = ToClient {
        visitor: &caller.0,
        wants_events: wants_events(&request),
    };
    if accepted.status != "duplicate" {
        return to_client.tell(joined, accepted).await;
    }
    // It was taken before: by the session that has its run, which may be this one.
    let taken = state.infra.threads.run(caller.0.user.clone(), accepted.run_id).await;
    let taken = taken.map_err(unreadable)?;
    match taken.end {
        Some(end) => to_client.repeat(&joined, &accepted, &end),
        None if taken.session_id == joined.session => to_client.tell(joined, accepted).await,
        None => {
            drop(joined);
            let resume = Some((taken.session_id, from_now));
            let joined = events::join(&state, &caller.0, resume, None, &request).await?;
            to_client.tell(joined, accepted).await
        }
    }
}

/// A request, read.
#[derive(Debug)]
struct Asked {
    session: Option<SessionId>,
    /// The message's id: ours where the client names none, so that its answer is known from others of the session.
    message: String,
    /// The frame that a socket would bring.
    frame: Bytes,
}

impl Asked {
    /// Makes the frame, and has it judged as a frame is: a fault is refused before there is a session.
    fn read(mut body: Map<String, Value>, agent: &str, depth: usize) -> Result<Self, Problem> {
        let mut take_id = |name: &str| match body.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(id)) => Ok(Some(id)),
            Some(_) => Err(invalid(format!("{name} is a string"), name)),
        };
        let (message_id, session) = (take_id("message_id")?, take_id("session_id")?);
        let session = session.map(|id| id.parse()).transpose();
        let session =
            session.map_err(|fault: sessile_actors::ids::IdError| invalid(fault.to_string(), "session_id"))?;
        if let Some(unknown) = body.keys().find(|key| !PAYLOAD.contains(&key.as_str())) {
            let known = PAYLOAD.join(", ");
            let detail = format!("a run takes {known}, message_id and session_id, and no other field");
            return Err(invalid(detail, unknown));
        }
        body.insert("agent".to_owned(), agent.into());
        let message = message_id.unwrap_or_else(|| MessageId::mint().to_string());
        let frame = json!({"type": "user_message", "message_id": message, "payload": body}).to_string();
        ClientFrame::read(&frame, depth).map_err(|fault| refused(&fault))?;
        Ok(Self {
            session,
            message,
            frame: frame.into(),
        })
    }
}

fn invalid(detail: String, field: &str) -> Problem {
    let pointer = format!("/{}", field.replace('~', "~0").replace('/', "~1"));
    Problem::bad_request(detail)
        .with_code("invalid_payload")
        .at(Some(pointer))
}

fn refused(fault: &FrameError) -> Problem {
    let pointer = match fault.code {
        ErrorCode::EmptyMessage => Some("/content".to_owned()),
        _ => fault.pointer.clone(),
    };
    let code = serde_json::to_value(fault.code).ok();
    let code = code.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned();
    Problem::bad_request(fault.message.clone()).with_code(code).at(pointer)
}

/// What `message_accepted` says, and the frame itself.
#[derive(Debug)]
struct Accepted {
    frame: Bytes,
    thread_id: ThreadId,
    run_id: RunId,
    status: String,
}

/// Waits for the session's answer to the message. What comes before it is of other runs, and of other messages: one of a
/// response that this one took the session over from is answered here.
async fn accepted(joined: &mut Joined, message: &str) -> Result<Accepted, Problem> {
    #[derive(Deserialize)]
    struct Frame<T> {
        payload: T,
    }
    #[derive(Deserialize)]
    struct Payload {
        message_id: String,
        thread_id: ThreadId,
        run_id: RunId,
        status: String,
    }
    loop {
        let frame = match joined.frames.next().await {
            Told::Frame(frame) => frame,
            Told::Ping => continue,
            Told::Close(code) => return Err(events::refused_with(&code)),
        };
        match Head::of(&frame).as_ref().map(|head| &*head.kind) {
            Some("message_accepted") => {
                let read: Frame<Payload> = serde_json::from_slice(&frame).map_err(|_| Problem::internal())?;
                if !read.payload.message_id.eq_ignore_ascii_case(message) {
                    continue;
                }
                return Ok(Accepted {
                    thread_id: read.payload.thread_id,
                    run_id: read.payload.run_id,
                    status: read.payload.status,
                    frame,
                });
            }
            Some("error") => {
                let read: Frame<Refusal> = serde_json::from_slice(&frame).map_err(|_| Problem::internal())?;
                let reply_to = read.payload.reply_to.as_deref();
                if reply_to.is_some_and(|id| !id.eq_ignore_ascii_case(message)) {
                    continue;
                }
                return Err(read.payload.into());
            }
            _ => {}
        }
    }
}

/// What a session refuses with.
#[derive(Debug, Deserialize)]
struct Refusal {
    reply_to: Option<String>,
    code: String,
    message: String,
    retry_after_ms: Option<u64>,
    details: Option<Value>,
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let wait = refusal
            .retry_after_ms
            .map_or(RETRY_AFTER, std::time::Duration::from_millis);
        let pointer = refusal.details.as_ref().and_then(|details| details["pointer"].as_str());
        let pointer = pointer.map(str::to_owned);
        let message = refusal.message;
        let problem = match &*refusal.code {
            "not_found" => Self::not_found(message),
            "conflict" | "run_active" => Self::conflict(message),
            "forbidden" => Self::forbidden(message),
            "run_limit" | "queue_full" | "rate_limited" | "quota_exceeded" | "budget_exhausted" => {
                Self::too_many(message, wait)
            }
            "overloaded" => Self::unavailable(message, wait),
            "internal" => Self::internal(),
            _ => Self::bad_request(message),
        };
        problem.with_code(refusal.code).at(pointer)
    }
}

/// How the client wants to be answered.
struct ToClient<'a> {
    visitor: &'a Visitor,
    wants_events: bool,
}

impl ToClient<'_> {
    /// Tells the run to its end.
    async fn tell(&self, mut joined: Joined, accepted: Accepted) -> Result<HttpResponse, Problem> {
        if self.wants_events {
            return Ok(events::stream(
                self.visitor,
                joined,
                &accepted.frame,
                Some(accepted.run_id),
            ));
        }
        // Nothing is kept but the end: at most `limits.result_bytes` of answer.
        loop {
            match joined.frames.next().await {
                Told::Frame(frame) if Head::of(&frame).is_some_and(|head| head.ends(accepted.run_id)) => {
                    return self.once(joined.session, &accepted, &frame);
                }
                Told::Frame(_) | Told::Ping => {}
                Told::Close(code) => return Err(events::refused_with(&code)),
            }
        }
    }

    /// Tells the end of a run that ended before.
    fn repeat(&self, joined: &Joined, accepted: &Accepted, end: &[u8]) -> Result<HttpResponse, Problem> {
        #[derive(Deserialize)]
        struct Frame {
            session_id: SessionId,
        }
        let Ok(Frame { session_id }) = serde_json::from_slice(end) else {
            // Its body was erased with its thread.
            return Err(Problem::not_found(
                "the message was answered before, and its thread is deleted",
            ));
        };
        if self.wants_events {
            let frames = [&accepted.frame[..], end];
            return Ok(events::told(self.visitor, session_id, joined.epoch(), &frames));
        }
        self.once(session_id, accepted, end)
    }

    fn once(&self, session: SessionId, accepted: &Accepted, end: &[u8]) -> Result<HttpResponse, Problem> {
        let end: Value = serde_json::from_slice(end).map_err(|_| Problem::internal())?;
        let mut answer = outcome(&end);
        answer["session_id"] = json!(session);
        answer["thread_id"] = json!(accepted.thread_id);
        answer["run_id"] = json!(accepted.run_id);
        let mut response = HttpResponse::Ok();
        if let Some(cookie) = &self.visitor.set_cookie {
            response.insert_header((header::SET_COOKIE, cookie.as_str()));
        }
        Ok(response.json(answer))
    }
}

/// What the end of a run comes to: `{state, result?, error?, usage, execution_time_ms}`. What a run used is known only of one
/// that completed.
fn outcome(end: &Value) -> Value {
    let payload = &end["payload"];
    let mut outcome = json!({
        "usage": payload["usage"],
        "execution_time_ms": payload["execution_time_ms"],
    });
    let (state, error) = match end["type"].as_str().unwrap_or_default() {
        "agent_completed" => ("completed", None),
        "agent_error" => {
            let error = json!({
                "code": payload["code"],
                "message": payload["error_message"],
                "retryable": payload["error_context"]["retryable"],
            });
            ("failed", Some(error))
        }
        "agent_stopped" => {
            let error = json!({
                "code": "stopped",
                "message": payload["reason"],
                "stopped_by": payload["stopped_by"],
                "retryable": true,
            });
            ("stopped", Some(error))
        }
        _ => {
            let error = json!({
                "code": payload["death_cause"],
                "message": payload["message"],
                "retryable": true,
            });
            ("died", Some(error))
        }
    };
    outcome["state"] = state.into();
    // Of a run that ended before its time: what it had said.
    if let Some(result) = payload.get("result").or_else(|| payload.get("partial")) {
        outcome["result"] = result.clone();
    }
    if let Some(error) = error {
        outcome["error"] = error;
    }
    outcome
}

/// Whether the client accepts server-sent events by name. `*/*` is what clients send who think of nothing.
fn wants_events(request: &HttpRequest) -> bool {
    let accepted = request.headers().get_all(header::ACCEPT);
    let mut kinds = accepted
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    kinds.any(|kind| {
        let name = kind.split(';').next().unwrap_or_default().trim();
        name.eq_ignore_ascii_case("text/event-stream")
    })
}

fn unheard() -> Problem {
    Problem::unavailable(
        "the session does not answer; send it again, with the same message_id to be safe",
        RETRY_AFTER,
    )
}

fn unreadable(fault: StoreError) -> Problem {
    match fault {
        StoreError::NotFound => Problem::not_found("the message was answered before, and its run is gone"),
        StoreError::RunActive(_) | StoreError::Unavailable(_) => {
            warn!(%fault, "a run can't be found");
            Problem::unavailable("the store can't say now; try again", RETRY_AFTER)
        }
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn a_request_becomes_the_frame_that_a_socket_would_bring() {
        let asked = read(json!({
            "content": "hello",
            "message_id": "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b",
            "metadata": {"a": 1},
            "on_busy": "reject",
        }));
        let frame: Value = serde_json::from_slice(&asked.unwrap().frame).unwrap();
        let expected = json!({
            "type": "user_message",
            "message_id": "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b",
            "payload": {"content": "hello", "metadata": {"a": 1}, "on_busy": "reject", "agent": "echo"},
        });
        assert_eq!(frame, expected);
    }

    #[test]
    fn a_fault_is_told_with_its_place_in_the_body() {
        let mut deep = json!(1);
        for _ in 0..40 {
            deep = json!([deep]);
        }
        let cases = [
            (json!({"content": "x", "agent": "other"}), "/agent"),
            (json!({"content": "x", "a/b": 1}), "/a~1b"),
            (json!({"content": "x", "text": "y"}), "/text"),
            (json!({"content": 7}), "/content"),
            (json!({"content": "  "}), "/content"),
            (json!({}), "/content"),
            (json!({"content": "x", "thread_id": "default"}), "/thread_id"),
            (json!({"content": "x", "message_id": 7}), "/message_id"),
            (json!({"content": "x", "message_id": "registry"}), "/message_id"),
            (json!({"content": "x", "session_id": "registry"}), "/session_id"),
            (json!({"content": "x", "on_busy": "wait"}), "/on_busy"),
            (json!({"content": "x", "references": "all"}), "/references"),
            (json!({"content": "x", "metadata": deep}), ""),
        ];
        for (body, pointer) in cases {
            let problem = read(body.clone()).unwrap_err();
            let told: Value = serde_json::from_str(&problem.body()).unwrap();
            assert_eq!(told["status"], 400, "{body}");
            assert_eq!(told["pointer"].as_str().unwrap_or_default(), pointer, "{body}: {told}");
            assert!(told["code"].is_string(), "{told}");
        }
    }

    #[test]
    fn each_end_of_a_run_is_a_state_with_what_there_is_to_tell() {
        let cases = [
            (
                json!({"type": "agent_completed", "payload": {"result": "42", "usage": {"tool_calls": 1}, "execution_time_ms": 7}}),
                json!({"state": "completed", "result": "42", "usage": {"tool_calls": 1}, "execution_time_ms": 7}),
            ),
            (
                json!({"type": "agent_error", "payload": {"code": "no_bill", "error_message": "Write one.",
                    "error_context": {"retryable": false}, "partial": "Each"}}),
                json!({"state": "failed", "result": "Each", "usage": null, "execution_time_ms": null,
                    "error": {"code": "no_bill", "message": "Write one.", "retryable": false}}),
            ),
            (
                json!({"type": "agent_stopped", "payload": {"stopped_by": "user", "reason": "enough"}}),
                json!({"state": "stopped", "usage": null, "execution_time_ms": null,
                    "error": {"code": "stopped", "message": "enough", "stopped_by": "user", "retryable": true}}),
            ),
            (
                json!({"type": "agent_death", "payload": {"death_cause": "panic", "message": "a crash"}}),
                json!({"state": "died", "usage": null, "execution_time_ms": null,
                    "error": {"code": "panic", "message": "a crash", "retryable": true}}),
            ),
        ];
        for (end, expected) in cases {
            assert_eq!(outcome(&end), expected);
        }
    }

    #[test]
    fn a_refusal_of_the_session_has_its_status_its_code_and_its_time() {
        for (code, status) in [
            ("not_found", 404),
            ("conflict", 409),
            ("run_active", 409),
            ("run_limit", 429),
            ("queue_full", 429),
            ("rate_limited", 429),
            ("forbidden", 403),
            ("overloaded", 503),
            ("internal", 500),
            ("invalid_payload", 400),
        ] {
            let refusal: Refusal =
                serde_json::from_value(json!({"code": code, "message": "m", "retry_after_ms": 1200})).unwrap();
            let problem = Problem::from(refusal);
            assert_eq!(problem.status(), status, "{code}");
            assert!(
                problem.body().contains(&format!("\"code\":\"{code}\"")),
                "{}",
                problem.body()
            );
            let waits = problem.to_http("r").contains("retry-after: 2\r\n");
            assert_eq!(waits, status == 429 || status == 503, "{code}");
        }
    }

    #[test]
    fn events_are_told_to_who_names_them() {
        for (accept, expected) in [
            ("text/event-stream", true),
            ("application/json, Text/Event-Stream;q=0.9", true),
            ("*/*", false),
            ("application/json", false),
        ] {
            let request = TestRequest::default().insert_header((header::ACCEPT, accept));
            assert_eq!(wants_events(&request.to_http_request()), expected, "{accept}");
        }
    }

    fn read(body: Value) -> Result<Asked, Problem> {
        let Value::Object(body) = body else { unreachable!() };
        Asked::read(body, "echo", 32)
    }
}
