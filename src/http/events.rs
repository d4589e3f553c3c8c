//! A session's events as server-sent events: what a socket is told, over plain HTTP, one way.
//!
//! Each event has its frame as `data`, its `type` as `event`, and `<session_id>:<epoch>:<seq>` as `id`, by which a client that
//! was cut resumes. Control frames have no `id`. Where the session ends the stream, the last event is `close` with the code
//! and the reason that a socket's close frame has.

use std::borrow::Cow;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::Stream;
use serde::Deserialize;
use sessile_actors::ids::{Epoch, RunId, Seq, SessionId};
use sessile_actors::protocol::CloseCode;
use sessile_actors::protocol::server::is_terminal_kind;
use sessile_actors::session::actor::Resume;
use sessile_actors::supervisor::AttachSocket;
use tokio::time::timeout;

use super::response::{Cutter, Frames, Told, response};
use super::{ANSWER_TIMEOUT, Caller, Problem, RETRY_AFTER, State, Visitor, upgrade};

/// What a body hands over at once, about. More would wait in the worker's buffer instead of in the session.
const CHUNK_BYTES: usize = 16 * 1024;
/// A comment, by which a proxy and a client see that the stream lives.
const KEEP_ALIVE: &[u8] = b":\n\n";
/// The header by which a client of server-sent events says what it took last.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Keeps nginx from gathering a stream before it passes it on.
const BUFFERING: (HeaderName, HeaderValue) = (
    HeaderName::from_static("x-accel-buffering"),
    HeaderValue::from_static("no"),
);

/// What a resuming client adds to the query. Read as text, so that each fault has its own sentence.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PlaceQuery {
    last_seq: Option<String>,
    epoch: Option<String>,
}

/// `GET /v1/sessions/{id}/events?last_seq&epoch`: the session's events after `last_seq`, else after the `Last-Event-ID`
/// header, else from the first. It takes the session over as a socket does, and stays open as one does.
pub(super) async fn follow(
    caller: Caller,
    state: web::Data<State>,
    session: web::Path<SessionId>,
    query: web::Query<PlaceQuery>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let session = session.into_inner();
    let resume = place(session, &query, &request)?;
    let mut joined = join(&state, &caller.0, Some((session, resume)), None, &request).await?;
    let first = std::mem::take(&mut joined.established);
    Ok(stream(&caller.0, joined, &first, None))
}

/// Reads where the client stands. The query goes before the header.
fn place(session: SessionId, query: &PlaceQuery, request: &HttpRequest) -> Result<Resume, Problem> {
    match (&query.last_seq, request.headers().get(LAST_EVENT_ID)) {
        (Some(last_seq), _) => upgrade::place(last_seq, query.epoch.as_deref()),
        (None, _) if query.epoch.is_some() => Err(Problem::bad_request("epoch goes with last_seq")),
        (None, Some(id)) => last_event_id(session, id.to_str().unwrap_or_default()),
        (None, None) => Ok(Resume {
            last_seq: Seq::ZERO,
            epoch: None,
        }),
    }
}

/// Reads an `id` that a stream of this session gave.
fn last_event_id(session: SessionId, id: &str) -> Result<Resume, Problem> {
    let bad = || Problem::bad_request("Last-Event-ID is no id of this session's events: <session_id>:<epoch>:<seq>");
    let mut parts = id.split(':');
    let (Some(named), Some(epoch), Some(seq), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return Err(bad());
    };
    if named.parse() != Ok(session) {
        return Err(bad());
    }
    upgrade::place(seq, Some(epoch)).map_err(|_| bad())
}

/// A request that has joined a session, as a socket does.
pub(super) struct Joined {
    pub(super) frames: Frames,
    pub(super) session: SessionId,
    epoch: Epoch,
    /// The frame that says so.
    established: Bytes,
}

/// What is read of a frame.
#[derive(Debug, Deserialize)]
pub(super) struct Head<'a> {
    #[serde(rename = "type", borrow)]
    pub(super) kind: Cow<'a, str>,
    pub(super) seq: Option<Seq>,
    pub(super) run_id: Option<RunId>,
}

impl<'a> Head<'a> {
    pub(super) fn of(frame: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(frame).ok()
    }

    /// Whether it is the end of this run.
    pub(super) fn ends(&self, run: RunId) -> bool {
        self.run_id == Some(run) && is_terminal_kind(&self.kind)
    }
}

/// Joins a session: a new one, or the one to go on with. `message` is the frame that is said there.
///
/// # Errors
/// The refusals of the upgrade, and the verdicts that a socket is closed with.
pub(super) async fn join(
    state: &State,
    visitor: &Visitor,
    resume: Option<(SessionId, Resume)>,
    message: Option<Bytes>,
    request: &HttpRequest,
) -> Result<Joined, Problem> {
    let reservation = upgrade::reserve(state, visitor, resume.map(|(session, _)| session)).await?;
    let cutter = request.conn_data::<Cutter>().cloned();
    let (socket, mut frames) = response(&state.infra.limits, &state.sockets, cutter, message);
    let attach = AttachSocket {
        reservation,
        socket: Box::new(socket),
        resume: resume.map(|(_, resume)| resume),
        legacy: false,
        roles: visitor.roles.clone(),
        expires_at: visitor.expires_at,
    };
    let busy = || Problem::unavailable("the session does not answer; try again", RETRY_AFTER);
    timeout(ANSWER_TIMEOUT, state.supervisor.send(attach))
        .await
        .map_err(|_| busy())?
        .map_err(|_| busy())?;
    match timeout(ANSWER_TIMEOUT, frames.next()).await {
        Ok(Told::Frame(established)) => {
            let (session, epoch) = established_as(&established).ok_or_else(Problem::internal)?;
            Ok(Joined {
                frames,
                session,
                epoch,
                established,
            })
        }
        Ok(Told::Close(code)) => Err(refused_with(&code)),
        // A session says who it is before all else.
        Ok(Told::Ping) | Err(_) => Err(busy()),
    }
}

fn established_as(frame: &[u8]) -> Option<(SessionId, Epoch)> {
    #[derive(Deserialize)]
    struct Frame {
        payload: Payload,
    }
    #[derive(Deserialize)]
    struct Payload {
        session_id: SessionId,
        epoch: Epoch,
    }
    let Frame { payload } = serde_json::from_slice(frame).ok()?;
    Some((payload.session_id, payload.epoch))
}

/// A close code where no stream has begun: a refusal.
pub(super) fn refused_with(code: &CloseCode) -> Problem {
    let reason = code.reason();
    match code {
        CloseCode::NoSuchSession => Problem::not_found(reason),
        CloseCode::ImpossibleResume | CloseCode::TakenOver => Problem::conflict(reason),
        CloseCode::CredentialExpired => Problem::unauthorized(reason),
        CloseCode::Revoked => Problem::forbidden(reason),
        CloseCode::RateLimit => Problem::too_many(reason, RETRY_AFTER),
        CloseCode::Draining { retry_after_ms } => {
            Problem::unavailable("the server drains", std::time::Duration::from_millis(*retry_after_ms))
        }
        CloseCode::Normal
        | CloseCode::Protocol
        | CloseCode::BadUtf8
        | CloseCode::Flood
        | CloseCode::TooBig
        | CloseCode::Overloaded
        | CloseCode::Resumable
        | CloseCode::SlowClient
        | CloseCode::FaultyFrames => Problem::unavailable("the session can't go on now; try again", RETRY_AFTER),
    }
}

/// The answer: `first`, then what the session says, until it closes or `run` has ended.
pub(super) fn stream(visitor: &Visitor, joined: Joined, first: &[u8], run: Option<RunId>) -> HttpResponse {
    let mut body = Body {
        frames: joined.frames,
        session: joined.session,
        epoch: joined.epoch,
        run,
        ready: BytesMut::new(),
        is_over: false,
    };
    body.write_frame(first);
    events(visitor).streaming(body)
}

/// The answer where the whole of it is known: these frames.
pub(super) fn told(visitor: &Visitor, session: SessionId, epoch: Epoch, frames: &[&[u8]]) -> HttpResponse {
    let mut body = BytesMut::new();
    for frame in frames {
        write_event(&mut body, session, epoch, frame);
    }
    events(visitor).body(body.freeze())
}

impl Joined {
    pub(super) fn epoch(&self) -> Epoch {
        self.epoch
    }
}

fn events(visitor: &Visitor) -> actix_web::HttpResponseBuilder {
    let mut response = HttpResponse::Ok();
    response
        .insert_header((header::CONTENT_TYPE, "text/event-stream"))
        .insert_header(BUFFERING);
    if let Some(cookie) = &visitor.set_cookie {
        response.insert_header((header::SET_COOKIE, cookie.as_str()));
    }
    response
}

/// The body of a stream. The worker polls it when the client takes more; while it does not, frames wait in the session.
struct Body {
    frames: Frames,
    session: SessionId,
    epoch: Epoch,
    /// The run that it ends after; none: it ends with the session's close.
    run: Option<RunId>,
    ready: BytesMut,
    is_over: bool,
}

impl Body {
    fn write(&mut self, told: &Told) {
        match told {
            Told::Frame(frame) => self.write_frame(frame),
            Told::Ping => self.ready.put_slice(KEEP_ALIVE),
            Told::Close(code) => {
                let close = serde_json::json!({"code": code.code(), "reason": code.reason()});
                self.ready
                    .put_slice(format!("event: close\ndata: {close}\n\n").as_bytes());
                self.is_over = true;
            }
        }
    }

    fn write_frame(&mut self, frame: &[u8]) {
        write_event(&mut self.ready, self.session, self.epoch, frame);
        // After an end by a drain comes the session's goodbye.
        self.is_over = self
            .run
            .is_some_and(|run| Head::of(frame).is_some_and(|head| head.ends(run)) && !is_stopped_by_drain(frame));
    }
}

impl Stream for Body {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        while !self.is_over && self.ready.len() < CHUNK_BYTES {
            let Poll::Ready(told) = self.frames.poll_next(context) else {
                break;
            };
            self.write(&told);
        }
        self.frames.report();
        match (self.ready.is_empty(), self.is_over) {
            (false, _) => Poll::Ready(Some(Ok(self.ready.split().freeze()))),
            (true, true) => Poll::Ready(None),
            (true, false) => Poll::Pending,
        }
    }
}

fn is_stopped_by_drain(frame: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Frame<'a> {
        #[serde(borrow)]
        payload: Payload<'a>,
    }
    #[derive(Deserialize)]
    struct Payload<'a> {
        #[serde(borrow)]
        stopped_by: Option<Cow<'a, str>>,
    }
    serde_json::from_slice::<Frame<'_>>(frame).is_ok_and(|frame| frame.payload.stopped_by.as_deref() == Some("drain"))
}

/// A frame of ours is one line: JSON without white space.
fn write_event(to: &mut BytesMut, session: SessionId, epoch: Epoch, frame: &[u8]) {
    let Some(head) = Head::of(frame) else { return };
    if let Some(seq) = head.seq {
        to.put_slice(format!("id: {session}:{epoch}:{seq}\n").as_bytes());
    }
    to.put_slice(format!("event: {}\ndata: ", head.kind).as_bytes());
    to.put_slice(frame);
    to.put_slice(b"\n\n");
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    const SESSION: &str = "4bf92f35-77b3-4da6-a3ce-929d0e0e4736";
    const EPOCH: &str = "0190a1b2-c3d4-4e5f-8a9b-0c1d2e3f4a5b";

    #[test]
    fn an_event_has_its_place_as_id_and_a_control_frame_has_none() {
        let (session, epoch) = (SESSION.parse().unwrap(), EPOCH.parse().unwrap());
        let mut written = BytesMut::new();
        write_event(
            &mut written,
            session,
            epoch,
            br#"{"type":"agent_thinking","seq":7,"payload":{}}"#,
        );
        write_event(&mut written, session, epoch, br#"{"type":"resync","payload":{}}"#);
        let expected = format!(
            "id: {SESSION}:{EPOCH}:7\nevent: agent_thinking\ndata: {}\n\nevent: resync\ndata: {}\n\n",
            r#"{"type":"agent_thinking","seq":7,"payload":{}}"#, r#"{"type":"resync","payload":{}}"#,
        );
        assert_eq!(written, expected.as_bytes());
    }

    #[test]
    fn a_stream_goes_on_after_the_query_else_after_the_header_else_from_the_first() {
        let id = format!("{SESSION}:{EPOCH}:7");
        let known = |last_seq, epoch: Option<&str>| {
            Ok(Resume {
                last_seq: Seq(last_seq),
                epoch: epoch.map(|epoch| epoch.parse().unwrap()),
            })
        };
        let cases = [
            (None, None, None, known(0, None)),
            (None, None, Some(&*id), known(7, Some(EPOCH))),
            (Some("3"), None, Some(&*id), known(3, None)),
            (Some("3"), Some(EPOCH), None, known(3, Some(EPOCH))),
        ];
        for (last_seq, epoch, header, expected) in cases {
            assert_eq!(
                placed(last_seq, epoch, header),
                expected,
                "{last_seq:?} {epoch:?} {header:?}"
            );
        }
    }

    #[test]
    fn a_place_that_is_not_of_this_session_is_refused() {
        let other = format!("{EPOCH}:{EPOCH}:7");
        let short = format!("{SESSION}:7");
        let long = format!("{SESSION}:{EPOCH}:7:8");
        for header in [other.as_str(), &short, &long, "", "7"] {
            assert_eq!(placed(None, None, Some(header)).unwrap_err().status(), 400, "{header}");
        }
        for (last_seq, epoch) in [
            (Some("-1"), None),
            (Some("x"), None),
            (Some("1"), Some("x")),
            (None, Some(EPOCH)),
        ] {
            assert_eq!(placed(last_seq, epoch, None).unwrap_err().status(), 400, "{last_seq:?}");
        }
    }

    fn placed(last_seq: Option<&str>, epoch: Option<&str>, header: Option<&str>) -> Result<Resume, Problem> {
        let mut request = TestRequest::default();
        if let Some(header) = header {
            request = request.insert_header((LAST_EVENT_ID, header));
        }
        let query = PlaceQuery {
            last_seq: last_seq.map(str::to_owned),
            epoch: epoch.map(str::to_owned),
        };
        place(SESSION.parse().unwrap(), &query, &request.to_http_request())
    }

    #[test]
    fn a_run_that_a_drain_ended_is_followed_by_the_goodbye() {
        let end = |by: &str| format!(r#"{{"type":"agent_stopped","payload":{{"stopped_by":"{by}"}}}}"#);
        assert!(is_stopped_by_drain(end("drain").as_bytes()));
        assert!(!is_stopped_by_drain(end("user").as_bytes()));
    }
}
