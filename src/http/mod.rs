//! The edge: the whole route table, and the two front doors that share one port.
//!
//! | path | method | answers |
//! | --- | --- | --- |
//! | `/v1/session`, `/ws`, `/websocket` | GET, upgrade | `upgrade`: 101, the socket goes to its session; all else there is 426 |
//! | `/healthz`, `/readyz` | GET | `health` |
//! | `/v1/tickets` | POST | `tickets`: a single-use ticket |
//! | `/v1/agents`, `/v1/tools` | GET | `catalogue` |
//! | `/v1/threads`, `/v1/threads/{id}`, `/v1/threads/{id}/messages` | GET POST PATCH DELETE | `threads` |
//! | `/v1/agents/{name}/runs` | POST | `runs`: a run without a socket, as events or answered once |
//! | `/v1/sessions/{id}/events` | GET | `events`: resumes a session as server-sent events |
//! | `/v1/documents`, `/v1/documents/{id}`, `/v1/documents/{id}/content` | GET POST DELETE | `documents` |
//! | `/v1/usage` | GET | `usage`: what the caller has used of their budget |
//! | `/v1/sessions/{id}/stop` | POST | `sessions`: stops runs past a wedged socket |
//! | `/v1/markdown` | POST | `markdown`: safe HTML for a page |
//! | `/` and assets | GET | `page` |
//!
//! Requests that upgrade (and every CONNECT) never reach `App` nor its middleware: actix hands them to the upgrade service.

pub mod auth;
pub mod doorkeeper;
pub mod error;
pub mod frame_guard;
pub mod handshake;
pub mod socket;

mod catalogue;
mod documents;
mod events;
mod health;
mod markdown;
mod page;
mod response;
mod runs;
mod sessions;
mod threads;
mod tickets;
mod trail;
mod transfers;
mod upgrade;
mod usage;

#[cfg(test)]
mod testing;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix::Addr;
use actix_http::HttpService;
use actix_server::Server;
use actix_service::{fn_service, map_config};
use actix_web::dev::AppConfig;
use actix_web::middleware::from_fn;
use actix_web::{App, HttpRequest, Route, web};
use sessile_actors::infra::Infra;
use sessile_actors::supervisor::RootSupervisor;

pub use self::doorkeeper::{Caller, Doorkeeper, Ticket, Visitor};
pub use self::error::Problem;
use self::page::PageSource;
use self::socket::OpenSockets;
use self::transfers::Transfers;
use crate::config;
use crate::store::DocumentStore;

/// Connections that the kernel keeps for us. Beyond: it refuses them.
const BACKLOG: i32 = 1024;
/// The kernel's send buffer of each socket. Left alone it grows to megabytes for each client that reads slowly.
const SEND_BUFFER_BYTES: usize = 64 * 1024;
/// Largest body of a request. Beyond: 413.
const BODY_BYTES: usize = 64 * 1024;
/// How long the supervisor or a session may take to answer. Beyond: 503.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// When to come back after a 503 or 429 that names no time of its own.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What every route is given. Made once the journal is open: a server that has one can serve.
#[derive(Clone)]
pub struct State {
    /// Admits sockets, finds sessions.
    pub supervisor: Addr<RootSupervisor>,
    /// The frozen bundle.
    pub infra: Arc<Infra>,
    /// Who may enter, and who they are.
    pub doorkeeper: Arc<dyn Doorkeeper>,
    /// Where users' documents are kept.
    pub documents: Arc<dyn DocumentStore>,
    /// Counts the sockets that were let in.
    pub sockets: OpenSockets,
}

/// Binds an address with the send buffer that each of its sockets inherits.
///
/// # Errors
/// What the operating system said.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    // Before `listen`: sockets take it over from their listener.
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Starts the HTTP worker on these listeners. Awaiting the server runs it; its handle pauses and stops it.
///
/// # Errors
/// What the operating system said.
pub fn serve(listeners: Vec<TcpListener>, state: State, settings: &config::Server) -> io::Result<Server> {
    let request_timeout = settings.request_timeout;
    let page = PageSource(settings.web_dir.clone());
    let mut server = Server::build()
        // One: it does handshakes and small requests only. Sessions and sockets live on the shards.
        .workers(1)
        // A socket that was upgraded counts no more.
        .max_concurrent_connections(settings.max_connections)
        // Signals are the binary's: it drains before it stops the server.
        .disable_signals();
    for listener in listeners {
        let (state, page) = (state.clone(), page.clone());
        server = server.listen("http", listener, move || {
            let for_upgrades = state.clone();
            let for_routes = state.clone();
            let app = App::new()
                .wrap(from_fn(trail::leave_trail))
                .app_data(web::Data::new(for_routes))
                .app_data(web::Data::new(page.clone()))
                .configure(routes);
            HttpService::build()
                .client_request_timeout(request_timeout)
                .tcp_nodelay(true)
                .on_connect_ext(response::Cutter::keep)
                .upgrade(fn_service(move |(request, framed)| {
                    upgrade::upgrade(for_upgrades.clone(), request, framed)
                }))
                .finish(map_config(app, |()| AppConfig::default()))
                .tcp()
        })?;
    }
    Ok(server.run())
}

/// The routes. Everything refuses with problem details; what is not here is 404.
pub fn routes(config: &mut web::ServiceConfig) {
    let bad_request = |problem: String| Problem::bad_request(problem);
    config
        .app_data(web::PayloadConfig::new(BODY_BYTES))
        .app_data(json_up_to(BODY_BYTES))
        .app_data(web::QueryConfig::default().error_handler(move |error, _| bad_request(error.to_string()).into()))
        // A malformed id names nothing.
        .app_data(web::PathConfig::default().error_handler(|_, _| nowhere().into()))
        .service(at("/healthz", "GET", [web::get().to(health::alive)]))
        .service(at("/readyz", "GET", [web::get().to(health::ready)]))
        .service(at("/v1/tickets", "POST", [web::post().to(tickets::issue)]))
        .service(at("/v1/agents", "GET", [web::get().to(catalogue::agents)]))
        .service(at("/v1/tools", "GET", [web::get().to(catalogue::tools)]))
        .service(at(
            "/v1/threads",
            "GET, POST",
            [web::get().to(threads::list), web::post().to(threads::create)],
        ))
        .service(at(
            "/v1/threads/{id}",
            "PATCH, DELETE",
            [web::patch().to(threads::rename), web::delete().to(threads::delete)],
        ))
        .service(at(
            "/v1/threads/{id}/messages",
            "GET",
            [web::get().to(threads::messages)],
        ))
        .service(
            at("/v1/agents/{name}/runs", "POST", [web::post().to(runs::start)]).app_data(json_up_to(runs::BODY_BYTES)),
        )
        .service(at("/v1/sessions/{id}/events", "GET", [web::get().to(events::follow)]))
        .app_data(web::Data::new(Transfers::default()))
        .service(at(
            "/v1/documents",
            "GET, POST",
            [web::get().to(documents::list), web::post().to(documents::upload)],
        ))
        .service(at(
            "/v1/documents/{id}",
            "GET, DELETE",
            [web::get().to(documents::info), web::delete().to(documents::delete)],
        ))
        .service(at(
            "/v1/documents/{id}/content",
            "GET",
            [web::get().to(documents::content)],
        ))
        .service(at("/v1/usage", "GET", [web::get().to(usage::used)]))
        .service(at("/v1/sessions/{id}/stop", "POST", [web::post().to(sessions::stop)]))
        .service(at("/v1/session", "GET", [web::get().to(upgrade::required)]))
        .service(at("/ws", "GET", [web::get().to(upgrade::required)]))
        .service(at("/websocket", "GET", [web::get().to(upgrade::required)]))
        .service(
            at("/v1/markdown", "POST", [web::post().to(markdown::render)])
                .app_data(json_up_to(markdown::BODY_BYTES))
                .app_data(web::Data::new(markdown::Renderers::new())),
        )
        .service(at("/{asset:[a-z.-]*}", "GET", [web::get().to(page::asset)]))
        .default_service(web::to(|| async { Err::<&str, _>(nowhere()) }));
}

/// A path with its methods; another method is 405 and is told which there are.
fn at<const N: usize>(path: &str, allow: &'static str, routes: [Route; N]) -> actix_web::Resource {
    routes
        .into_iter()
        .fold(web::resource(path), actix_web::Resource::route)
        .default_service(web::to(move || async move {
            Err::<&str, _>(Problem::method_not_allowed(allow))
        }))
}

/// Bodies of JSON, up to this many bytes.
fn json_up_to(bytes: usize) -> web::JsonConfig {
    web::JsonConfig::default()
        .limit(bytes)
        .error_handler(move |error, _| refuse_body(&error, bytes).into())
}

fn nowhere() -> Problem {
    Problem::not_found("there is nothing at this path")
}

fn refuse_body(error: &actix_web::error::JsonPayloadError, most: usize) -> Problem {
    use actix_web::error::JsonPayloadError as Error;
    match error {
        Error::Overflow { .. } | Error::OverflowKnownLength { .. } => {
            Problem::too_large(format!("a body has at most {most} bytes"))
        }
        Error::ContentType => Problem::bad_request("send the body as application/json"),
        Error::Deserialize(error) => Problem::bad_request(format!("the body is not what this path takes: {error}")),
        _ => Problem::bad_request("the body can't be read"),
    }
}

/// The state, for handlers.
fn state(request: &HttpRequest) -> Option<&State> {
    request.app_data::<web::Data<State>>().map(|state| state.get_ref())
}

#[cfg(test)]
mod tests {
    use actix_web::body::MessageBody as _;
    use actix_web::http::{Method, StatusCode, header};
    use actix_web::test::{TestRequest, call_service, init_service};
    use serde_json::{Value, json};

    use super::testing::{HOST, STRANGER, state};
    use super::*;

    const THREAD: &str = "/v1/threads/0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b";
    const DOCUMENT: &str = "/v1/documents/0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b";
    const MARKDOWN: &str = "/v1/markdown";
    const RUNS: &str = "/v1/agents/mute/runs";
    const EVENTS: &str = "/v1/sessions/4bf92f35-77b3-4da6-a3ce-929d0e0e4736/events";
    const STOP: &str = "/v1/sessions/4bf92f35-77b3-4da6-a3ce-929d0e0e4736/stop";

    #[actix_rt::test]
    async fn the_route_table_answers_as_it_says() {
        let [long, longer, longest] =
            [BODY_BYTES, markdown::BODY_BYTES, runs::BODY_BYTES].map(|bytes| "x".repeat(bytes + 1));
        let (get, post) = (Method::GET, Method::POST);
        let cases = [
            (&get, "/healthz", None, "ada", 200),
            (&get, "/readyz", None, "ada", 200),
            (&get, "/v1/agents", None, "ada", 200),
            (&get, "/v1/tools", None, "ada", 200),
            (&get, "/v1/threads", None, "ada", 200),
            (&get, "/v1/threads?limit=x", None, "ada", 400),
            (&post, "/v1/threads", Some(json!({"name": "new"})), "ada", 201),
            (&post, "/v1/threads", Some(json!({"name": " "})), "ada", 400),
            (&post, "/v1/threads", Some(json!({"title": "new"})), "ada", 400),
            (&post, "/v1/threads", Some(json!({ "name": long })), "ada", 413),
            (&post, STOP, Some(json!({"reason": long})), "ada", 413),
            (&Method::PATCH, THREAD, Some(json!({"name": "other"})), "ada", 200),
            (&Method::PATCH, THREAD, Some(json!({"name": "other"})), STRANGER, 404),
            (&get, "/v1/threads/default/messages", None, "ada", 404),
            (&get, "/v1/documents", None, "ada", 200),
            (&get, "/v1/documents?limit=x", None, "ada", 400),
            (&post, "/v1/documents?name=a.json", Some(json!({"a": 1})), "ada", 201),
            (&post, "/v1/documents?name=a.json", None, "ada", 415),
            (&post, "/v1/documents", Some(json!({})), "ada", 400),
            (&post, "/v1/documents?name=a%0ab", Some(json!({})), "ada", 400),
            (&get, DOCUMENT, None, "ada", 404),
            (&get, &format!("{DOCUMENT}/content"), None, "ada", 404),
            (&get, "/v1/documents/usage.csv", None, "ada", 404),
            (&Method::DELETE, DOCUMENT, None, "ada", 404),
            (&get, "/v1/documents", None, "", 401),
            (&get, "/v1/usage", None, "ada", 200),
            (&get, "/v1/usage", None, "", 401),
            (&post, "/v1/usage", None, "ada", 405),
            (&get, "/v1/session", None, "ada", 426),
            (&get, "/ws", None, "ada", 426),
            (&post, STOP, None, "ada", 404),
            (&post, STOP, Some(json!({"run_id": "registry"})), "ada", 400),
            // The journal of the doubles opens no session.
            (&post, RUNS, Some(json!({"content": "hello"})), "ada", 503),
            (&post, RUNS, Some(json!({"content": longest})), "ada", 413),
            (&post, RUNS, Some(json!({"content": ""})), "ada", 400),
            (
                &post,
                RUNS,
                Some(json!({"content": "hello", "agent": "other"})),
                "ada",
                400,
            ),
            (&post, RUNS, Some(json!(["hello"])), "ada", 400),
            (&post, RUNS, None, "ada", 400),
            (&post, RUNS, Some(json!({"content": "hello"})), "", 401),
            (
                &post,
                "/v1/agents/nobody/runs",
                Some(json!({"content": "hello"})),
                "ada",
                404,
            ),
            (&get, RUNS, None, "ada", 405),
            (&get, EVENTS, None, "ada", 404),
            (&get, "/v1/sessions/registry/events", None, "ada", 404),
            (&get, &format!("{EVENTS}?last_seq=x"), None, "ada", 400),
            (&get, &format!("{EVENTS}?since=1"), None, "ada", 400),
            (&get, EVENTS, None, "", 401),
            (&post, EVENTS, None, "ada", 405),
            (&post, MARKDOWN, Some(json!({"texts": ["**b**"]})), "ada", 200),
            (&post, MARKDOWN, Some(json!({"texts": vec![""; 257]})), "ada", 400),
            (&post, MARKDOWN, Some(json!({"text": "**b**"})), "ada", 400),
            (&post, MARKDOWN, Some(json!({"texts": [long]})), "ada", 200),
            (&post, MARKDOWN, Some(json!({"texts": [longer]})), "ada", 413),
            (&post, MARKDOWN, Some(json!({"texts": []})), "", 401),
            (&get, "/v1/threads", None, "", 401),
            (&get, "/v1/nothing", None, "ada", 404),
            (&get, "/nothing.js", None, "ada", 404),
            (&Method::PUT, "/v1/threads", None, "ada", 405),
            (&Method::DELETE, "/healthz", None, "ada", 405),
        ];
        for (method, path, body, user, status) in cases {
            let (found, headers, body) = answer(method, path, body, user).await;
            assert_eq!(found.as_u16(), status, "{method} {path}: {body}");
            assert!(headers.contains_key(trail::REQUEST_ID), "{method} {path}");
            if status >= 400 {
                assert_eq!(
                    text(&headers, header::CONTENT_TYPE),
                    "application/problem+json",
                    "{method} {path}"
                );
                let body: Value = serde_json::from_str(&body).unwrap();
                assert_eq!(body["status"], status, "{method} {path}");
            }
            assert_eq!(headers.contains_key(header::ALLOW), status == 405, "{method} {path}");
        }
    }

    #[actix_rt::test]
    async fn a_ticket_names_its_user_and_a_new_guest_gets_a_cookie() {
        let (_, headers, body) = answer(&Method::POST, "/v1/tickets", None, "guest").await;
        let expected = json!({"ticket": "guest", "expires_at": "1970-01-01T00:00:30.000Z", "user_id": "guest"});
        assert_eq!(serde_json::from_str::<Value>(&body).unwrap(), expected);
        assert_eq!(text(&headers, header::SET_COOKIE), "guest=1; HttpOnly");
        assert_eq!(text(&headers, header::CACHE_CONTROL), "no-store");
    }

    #[actix_rt::test]
    async fn pages_are_clamped() {
        for (query, limit) in [("", 50), ("?limit=7", 7), ("?limit=0", 1), ("?limit=100000", 200)] {
            let (_, _, body) = answer(&Method::GET, &format!("/v1/threads{query}"), None, "ada").await;
            assert_eq!(
                serde_json::from_str::<Value>(&body).unwrap()["next_before"],
                limit,
                "{query}"
            );
            let (_, _, body) = answer(&Method::GET, &format!("{THREAD}/messages{query}"), None, "ada").await;
            assert_eq!(
                serde_json::from_str::<Value>(&body).unwrap()["next_before"],
                limit,
                "{query}"
            );
        }
    }

    #[actix_rt::test]
    async fn a_deletion_waits_for_the_runs_that_it_stopped() {
        tokio::time::pause();
        let (status, _, body) = answer(&Method::DELETE, THREAD, None, "ada").await;
        assert_eq!((status, body.as_str()), (StatusCode::NO_CONTENT, ""));
        let (status, _, _) = answer(&Method::DELETE, THREAD, None, STRANGER).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
    }

    #[actix_rt::test]
    async fn each_text_comes_back_as_html_in_its_place() {
        let texts = json!({"texts": ["**b**", "", "<b>"]});
        let (_, _, body) = answer(&Method::POST, MARKDOWN, Some(texts), "ada").await;
        let expected = json!({"html": ["<p><strong>b</strong></p>\n", "", "<p>&lt;b&gt;</p>\n"]});
        assert_eq!(serde_json::from_str::<Value>(&body).unwrap(), expected);
    }

    #[actix_rt::test]
    async fn the_page_comes_with_a_policy_that_allows_nothing_inline() {
        for (path, kind) in [
            ("/", "text/html"),
            ("/app.js", "text/javascript"),
            ("/style.css", "text/css"),
            ("/favicon.svg", "image/svg+xml"),
        ] {
            let (status, headers, body) = answer(&Method::GET, path, None, "").await;
            assert_eq!(status, StatusCode::OK, "{path}");
            assert!(text(&headers, header::CONTENT_TYPE).starts_with(kind), "{path}");
            let policy = text(&headers, header::CONTENT_SECURITY_POLICY);
            assert!(policy.contains("default-src 'self'") && policy.contains("frame-ancestors 'none'"));
            assert_eq!(text(&headers, header::X_CONTENT_TYPE_OPTIONS), "nosniff");
            assert_eq!(text(&headers, header::REFERRER_POLICY), "no-referrer");
            for inline in ["<style", "style=\"", "onclick=", "<script>"] {
                assert!(path != "/" || !body.contains(inline), "the page has {inline}");
            }
        }
    }

    fn text(headers: &header::HeaderMap, name: header::HeaderName) -> &str {
        headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Asks the routes, over doubles, as `user` (empty: nobody).
    async fn answer(
        method: &Method,
        path: &str,
        body: Option<Value>,
        user: &str,
    ) -> (StatusCode, header::HeaderMap, String) {
        let app = App::new()
            .wrap(from_fn(trail::leave_trail))
            .app_data(web::Data::new(state()))
            .app_data(web::Data::new(PageSource::default()))
            .configure(routes);
        let app = init_service(app).await;
        let mut request = TestRequest::with_uri(path)
            .method(method.clone())
            .insert_header((header::HOST, HOST));
        if !user.is_empty() {
            request = request.insert_header((header::AUTHORIZATION, format!("Bearer {user}")));
        }
        if let Some(body) = body {
            request = request.set_json(body);
        }
        let response = call_service(&app, request.to_request()).await;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = actix_web::body::to_bytes(response.into_body().boxed()).await.unwrap();
        (status, headers, String::from_utf8(body.to_vec()).unwrap())
    }
}
