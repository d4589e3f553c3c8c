//! The upgrade service: the second front door, through which sockets come.
//!
//! actix hands every request with `Upgrade: websocket`, on any path, and every CONNECT past `App` and its middleware to it.
//! So it does for itself what middleware does elsewhere: host, origin, path, method, credentials, request id, access log, and
//! its own refusals (`handshake`). A socket that is let in leaves this thread for its session's shard.

use std::convert::Infallible;
use std::time::Duration;

use actix_codec::Framed;
use actix_http::{HttpMessage as _, Method, Request, h1};
use actix_web::web::Query;
use serde::Deserialize;
use sessile_actors::ids::{RequestId, Seq, SessionId};
use sessile_actors::session::actor::Resume;
use sessile_actors::supervisor::{Admit, AttachSocket, Refusal, Reservation};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tracing::debug;

use super::handshake::{self, AcceptKey, Arrival};
use super::socket::TcpSocket;
use super::{ANSWER_TIMEOUT, Problem, RETRY_AFTER, State, Visitor, trail};

/// How long host, credentials and a place may take together. Beyond: 503.
const ADMISSION_TIMEOUT: Duration = Duration::from_secs(10);

/// A socket that may enter.
struct Welcome {
    visitor: Visitor,
    key: AcceptKey,
    reservation: Reservation,
    resume: Option<Resume>,
    is_legacy: bool,
}

/// What a resuming client adds to the query. Read as text, so that each fault has its own sentence.
#[derive(Debug, Default, Deserialize)]
struct ResumeQuery {
    session_id: Option<String>,
    last_seq: Option<String>,
    epoch: Option<String>,
}

/// Lets one request's socket in, or refuses it. It has then answered, in every case.
pub(super) async fn upgrade(
    state: State,
    request: Request,
    framed: Framed<TcpStream, h1::Codec>,
) -> Result<(), Infallible> {
    let (id, started) = (RequestId::mint(), Instant::now());
    let mut arrival = Arrival::new(framed);
    let peer = arrival.peer();

    let outcome = timeout(ADMISSION_TIMEOUT, admit(&state, &request))
        .await
        .unwrap_or_else(|_| {
            Err(Problem::unavailable(
                "the server is too busy to let you in",
                RETRY_AFTER,
            ))
        });
    let status = outcome
        .as_ref()
        .map_or_else(|problem| problem.status().as_u16(), |_| 101);
    let is_written = match &outcome {
        Ok(welcome) => arrival.accept(&welcome.key, &headers(welcome, &id.to_string())).await,
        Err(problem) => arrival.tell(problem, id).await,
    };
    trail::log(id, request.method().as_str(), request.path(), status, peer, started);
    match outcome {
        Ok(welcome) if is_written => hand_over(&state, arrival, welcome).await,
        // The client is gone; dropping the welcome gives its place back.
        Ok(_) => {}
        Err(_) => arrival.dismiss().await,
    }
    Ok(())
}

/// What `App` answers on the socket's paths: the request did not ask for an upgrade.
pub(super) async fn required() -> Result<&'static str, Problem> {
    Err(Problem::upgrade_required(
        "this path speaks WebSocket; ask for the upgrade",
    ))
}

/// Checks all that can be checked before the 101, in the protocol's order.
async fn admit(state: &State, request: &Request) -> Result<Welcome, Problem> {
    let headers = request.headers();
    state.doorkeeper.check_host_and_origin(headers)?;
    if request.method() == Method::CONNECT {
        return Err(Problem::method_not_allowed("GET"));
    }
    let is_legacy = match request.path() {
        "/v1/session" => false,
        "/ws" | "/websocket" => true,
        _ => return Err(super::nowhere()),
    };
    let key = handshake::verify(request.head())?;
    let query = request.uri().query().unwrap_or_default();
    let resume = resume(query)?;
    let visitor = state.doorkeeper.identify_socket(headers, query).await?;
    let reservation = reserve(state, &visitor, resume.map(|(session, _)| session)).await?;
    Ok(Welcome {
        key,
        visitor,
        reservation,
        resume: resume.map(|(_, resume)| resume),
        is_legacy,
    })
}

/// Asks the supervisor for a place for this visitor: for a new session, or for one to go on with.
pub(super) async fn reserve(
    state: &State,
    visitor: &Visitor,
    resume: Option<SessionId>,
) -> Result<Reservation, Problem> {
    let admit = Admit {
        user: visitor.user.clone(),
        resume,
    };
    match timeout(ANSWER_TIMEOUT, state.supervisor.send(admit)).await {
        Ok(Ok(Ok(reservation))) => Ok(reservation),
        Ok(Ok(Err(Refusal::UserLimit))) => Err(Problem::too_many(
            "the user has as many sessions as are allowed; close one",
            RETRY_AFTER,
        )),
        Ok(Ok(Err(Refusal::Overloaded { retry_after }))) => {
            Err(Problem::unavailable("the server has no room now", retry_after))
        }
        Ok(Err(_)) | Err(_) => Err(Problem::unavailable("the server does not answer itself", RETRY_AFTER)),
    }
}

/// Reads what a resuming client knows. None where it begins a new session.
fn resume(query: &str) -> Result<Option<(SessionId, Resume)>, Problem> {
    let Query(query) = Query::<ResumeQuery>::from_query(query)
        .map_err(|_| Problem::bad_request("the query can't be read; each parameter may stand there once"))?;
    let Some(session) = query.session_id else {
        if query.last_seq.is_some() || query.epoch.is_some() {
            return Err(Problem::bad_request("last_seq and epoch go with session_id"));
        }
        return Ok(None);
    };
    let session = session.parse().map_err(|_| malformed("session_id"))?;
    let last_seq = query
        .last_seq
        .ok_or_else(|| Problem::bad_request("a resume names last_seq, the last event that was taken"))?;
    Ok(Some((session, place(&last_seq, query.epoch.as_deref())?)))
}

/// Reads where a resuming client stands.
pub(super) fn place(last_seq: &str, epoch: Option<&str>) -> Result<Resume, Problem> {
    let last_seq = last_seq.parse().map_err(|_| malformed("last_seq"))?;
    let epoch = epoch.map(str::parse).transpose();
    Ok(Resume {
        last_seq: Seq(last_seq),
        epoch: epoch.map_err(|_| malformed("epoch"))?,
    })
}

fn malformed(what: &str) -> Problem {
    Problem::bad_request(format!("{what} is malformed"))
}

/// What the 101 says besides the handshake itself.
fn headers<'a>(welcome: &'a Welcome, id: &'a str) -> Vec<(&'static str, &'a [u8])> {
    let mut headers = vec![("x-request-id", id.as_bytes())];
    let visitor = &welcome.visitor;
    headers.extend(
        visitor
            .protocol
            .iter()
            .map(|name| ("sec-websocket-protocol", name.as_bytes())),
    );
    headers.extend(
        visitor
            .set_cookie
            .iter()
            .map(|cookie| ("set-cookie", cookie.as_bytes())),
    );
    headers
}

async fn hand_over(state: &State, arrival: Arrival, welcome: Welcome) {
    let (stream, leftover) = match arrival.into_raw() {
        Ok(raw) => raw,
        Err(error) => return debug!(%error, "a socket broke before it was handed over"),
    };
    let socket = TcpSocket {
        stream,
        leftover,
        limits: (&state.infra.limits).into(),
        open: state.sockets.clone(),
    };
    let attach = AttachSocket {
        reservation: welcome.reservation,
        socket: Box::new(socket),
        resume: welcome.resume,
        legacy: welcome.is_legacy,
        expires_at: welcome.visitor.expires_at,
        roles: welcome.visitor.roles,
    };
    // Waits where the mailbox is full. An error means that the process ends: the socket is dropped with the message.
    if state.supervisor.send(attach).await.is_err() {
        debug!("the supervisor is gone; a socket was dropped");
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{HOST, serve_doubles, talk};

    const UPGRADE: &str = "connection: Upgrade\r\nupgrade: websocket\r\n";
    const KEY: &str = "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    const VERSION: &str = "sec-websocket-version: 13\r\n";
    const ADA: &str = "authorization: Bearer ada\r\n";

    #[actix_rt::test]
    async fn a_handshake_is_answered_with_its_key_and_the_first_subprotocol() {
        let address = serve_doubles();
        for path in [
            "/v1/session",
            "/ws",
            "/websocket",
            "/v1/session?session_id=4bf92f35-77b3-4da6-a3ce-929d0e0e4736&last_seq=7",
        ] {
            let offered = "sec-websocket-protocol: sessile.v1, bearer.c2VjcmV0\r\n";
            let request = request("GET", path, &[UPGRADE, KEY, VERSION, ADA, offered]);
            let answer = talk(address, &request, "\r\n\r\n").await;
            assert!(
                answer.starts_with("HTTP/1.1 101 Switching Protocols\r\n"),
                "{path}: {answer}"
            );
            // The example of RFC 6455, section 1.3.
            assert!(
                answer.contains("sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"),
                "{answer}"
            );
            assert!(answer.contains("sec-websocket-protocol: sessile.v1\r\n"), "{answer}");
            assert!(!answer.contains("c2VjcmV0"), "{answer}");
        }
    }

    #[actix_rt::test]
    async fn every_refusal_is_problem_details_and_closes() {
        let address = serve_doubles();
        let whole = [UPGRADE, KEY, VERSION, ADA];
        let session = "session_id=4bf92f35-77b3-4da6-a3ce-929d0e0e4736";
        let cases = [
            (request("GET", "/elsewhere", &whole), 404, ""),
            (request("GET", "/", &whole), 404, ""),
            (request("POST", "/v1/session", &whole), 405, "allow: GET"),
            (
                format!("CONNECT {HOST}:80 HTTP/1.1\r\nhost: {HOST}\r\n\r\n"),
                405,
                "allow: GET",
            ),
            (
                request("GET", "/v1/session", &[UPGRADE, KEY, ADA]),
                426,
                "sec-websocket-version: 13",
            ),
            (
                request(
                    "GET",
                    "/v1/session",
                    &[UPGRADE, KEY, ADA, "sec-websocket-version: 8\r\n"],
                ),
                426,
                "sec-websocket-version: 13",
            ),
            (request("GET", "/v1/session", &[UPGRADE, VERSION, ADA]), 400, ""),
            (
                request(
                    "GET",
                    "/v1/session",
                    &[UPGRADE, VERSION, ADA, "sec-websocket-key: short\r\n"],
                ),
                400,
                "",
            ),
            (
                request("GET", "/v1/session", &[UPGRADE, KEY, VERSION]),
                401,
                "www-authenticate: Bearer",
            ),
            (
                request(
                    "GET",
                    "/v1/session",
                    &[UPGRADE, KEY, VERSION, ADA, "origin: https://evil.test\r\n"],
                ),
                403,
                "",
            ),
            (
                request("GET", "/v1/session", &whole).replace(HOST, "rebound.test"),
                403,
                "",
            ),
            (request("GET", &format!("/v1/session?{session}"), &whole), 400, ""),
            (request("GET", "/v1/session?last_seq=1", &whole), 400, ""),
            (
                request("GET", "/v1/session?session_id=default&last_seq=1", &whole),
                400,
                "",
            ),
            (
                request("GET", &format!("/v1/session?{session}&last_seq=-1"), &whole),
                400,
                "",
            ),
            (
                request("GET", &format!("/v1/session?{session}&last_seq=1&last_seq=2"), &whole),
                400,
                "",
            ),
            (
                request("GET", &format!("/v1/session?{session}&last_seq=1&epoch=x"), &whole),
                400,
                "",
            ),
        ];
        for (request, status, header) in cases {
            let answer = talk(address, &request, "").await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request}{answer}");
            assert!(
                answer.contains("content-type: application/problem+json\r\n"),
                "{answer}"
            );
            assert!(answer.contains("connection: close\r\n"), "{answer}");
            assert!(answer.contains(header), "{request}{answer}");
        }
    }

    #[actix_rt::test]
    async fn the_answer_to_a_pipelined_request_is_not_lost() {
        let address = serve_doubles();
        let first = format!("GET /healthz HTTP/1.1\r\nhost: {HOST}\r\n\r\n");
        let both = first + &request("GET", "/v1/session", &[UPGRADE, KEY, VERSION, ADA]);
        let answer = talk(address, &both, "sec-websocket-accept").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.contains("HTTP/1.1 101 Switching Protocols\r\n"), "{answer}");
    }

    fn request(method: &str, target: &str, headers: &[&str]) -> String {
        format!("{method} {target} HTTP/1.1\r\nhost: {HOST}\r\n{}\r\n", headers.concat())
    }
}
