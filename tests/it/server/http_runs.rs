//! A run without a socket is the same run: what a socket would see comes as server-sent events, or its end at once.

use std::process::Command;

use serde_json::{Value, json};

use super::event_source::{EventSource, Request, frames};
use super::http::Answer;
use super::{House, Place, Server, User, eventually, message_id, spoken, whole_stream};

/// Less than this may a client that reads nothing make the server grow, as on a socket.
const GROWTH_MAX: u64 = 16 * 1024 * 1024;

async fn stream(server: &Server, user: &User, content: &str) -> EventSource {
    let request = Request::run(user, "assistant", json!({ "content": content }));
    request.open(server.address).await
}

async fn once(server: &Server, user: &User, body: Value) -> Answer {
    server.ask(user, "POST", "/v1/agents/assistant/runs", Some(body)).await
}

fn session_of(frame: &Value) -> String {
    frame["session_id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_events_of_a_run_are_those_that_a_socket_sees() {
    let server = House::scripted().start().await;
    let ada = server.guest().await;
    let mut source = stream(&server, &ada, "note the canary").await;
    let told = source.rest().await;
    assert_eq!(
        (told[0].kind.as_str(), &told[0].id),
        ("message_accepted", &None),
        "{told:#?}"
    );
    assert_eq!(told.last().unwrap().kind, "agent_completed");
    let heard = frames(&told);
    assert_eq!(heard[0]["seq"], 1);
    // A socket that goes on with the session from its beginning is told the same, byte for byte.
    let id = told[1].id.clone().unwrap();
    let mut parts = id.split(':').map(str::to_owned);
    let place = Place {
        session_id: parts.next().unwrap(),
        epoch: parts.next().unwrap(),
        last_seq: 0,
    };
    assert_eq!(place.session_id, session_of(&told[0].data));
    let mut client = server.resume(&ada, &place).await;
    assert_eq!(client.run_to_end().await, heard);
}

#[tokio::test]
async fn a_client_that_asks_for_no_events_is_answered_once_with_the_end() {
    let server = House::scripted().start().await;
    let ada = server.guest().await;
    let answer = once(&server, &ada, json!({"content": "hello"})).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let told = answer.json();
    assert_eq!(
        (&told["state"], &told["result"]),
        (&json!("completed"), &json!("You said: hello"))
    );
    assert_eq!(told["usage"]["model_calls"], 1, "{told}");
    assert!(
        told["execution_time_ms"].is_u64() && told["run_id"].is_string(),
        "{told}"
    );
    assert!(told.get("error").is_none(), "{told}");
    let thread = told["thread_id"].as_str().unwrap();
    let history = server
        .ask(&ada, "GET", &format!("/v1/threads/{thread}/messages"), None)
        .await;
    assert_eq!(history.json()["messages"][0]["content"], "You said: hello");
    let failed = once(&server, &ada, json!({"content": "break"})).await.json();
    assert_eq!(failed["state"], "failed", "{failed}");
    assert_eq!(failed["result"], "This much was said ");
    assert!(
        failed["error"]["code"].is_string() && failed["error"]["message"].is_string(),
        "{failed}"
    );
}

#[tokio::test]
async fn a_client_that_was_cut_resumes_by_its_last_event_id_without_a_gap() {
    let server = House::scripted().start().await;
    let ada = server.guest().await;
    let mut source = stream(&server, &ada, "stream").await;
    let mut heard = source.until("partial_result").await;
    let (session, last_id) = (session_of(&heard[0].data), source.last_id.clone().unwrap());
    drop(source);
    let mut source = Request::resume(&ada, &session, Some(&last_id))
        .open(server.address)
        .await;
    source.last_id = Some(last_id);
    heard.extend(source.until("agent_completed").await);
    let frames = frames(&heard);
    assert_eq!(spoken(&frames), whole_stream());
    assert_eq!(frames.last().unwrap()["payload"]["result"], whole_stream());
    assert_eq!(frames.last().unwrap()["seq"], frames.len());
}

#[tokio::test]
async fn a_run_is_stopped_over_http_and_both_kinds_of_answers_say_so() {
    let server = House::scripted().start().await;
    let ada = server.guest().await;
    let mut source = stream(&server, &ada, "hang").await;
    let session = session_of(&source.until("partial_result").await[0].data);
    let stop = format!("/v1/sessions/{session}/stop");
    assert_eq!(server.ask(&ada, "POST", &stop, None).await.status, 200);
    let end = source.rest().await.pop().unwrap();
    assert_eq!(
        (end.kind.as_str(), &end.data["payload"]["stopped_by"]),
        ("agent_stopped", &json!("user"))
    );

    let body = json!({"content": "hang", "session_id": session});
    let (answer, ()) = tokio::join!(once(&server, &ada, body), async {
        eventually("the run can be stopped", async || {
            let stopped = server.ask(&ada, "POST", &stop, Some(json!({"reason": "enough"}))).await;
            match stopped.json()["run_ids"].as_array() {
                Some(runs) if !runs.is_empty() => Ok(()),
                _ => Err(format!("{stopped:?}")),
            }
        })
        .await;
    });
    let told = answer.json();
    assert_eq!((answer.status, &told["state"]), (200, &json!("stopped")), "{told}");
    assert_eq!(told["error"]["message"], "enough");
    assert_eq!(told["session_id"], session, "it went on with the session that it named");
}

#[tokio::test]
async fn a_client_that_stops_reading_is_bounded_cut_off_alone_and_resumes_without_a_gap() {
    let server = House::scripted()
        .set("limits.slow_client_timeout=1s")
        .set("limits.result_bytes=16000000")
        .start()
        .await;
    let (ada, bob) = (server.guest().await, server.guest().await);
    // What any such run costs the server is no growth by who does not read.
    assert_eq!(once(&server, &bob, json!({"content": "deluge"})).await.status, 200);
    let mut request = Request::run(&ada, "assistant", json!({"content": "deluge"}));
    request.receive_buffer = Some(4096);
    let mut source = request.open(server.address).await;
    let before = server.resident_bytes();
    let mut heard = source.until("partial_result").await;
    server.logged("client reads too slowly").await;
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown < GROWTH_MAX, "the server grew by {grown} bytes");
    // Nobody else waits for it.
    assert_eq!(once(&server, &bob, json!({"content": "hello"})).await.status, 200);
    let (session, last_id) = (session_of(&heard[0].data), source.last_id.clone().unwrap());
    // The connection is cut: it ends behind what was on its way, and nobody could say goodbye.
    let on_its_way = source.rest().await;
    assert!(
        on_its_way.iter().all(|told| told.kind != "close"),
        "{:?}",
        on_its_way.last()
    );
    let mut source = Request::resume(&ada, &session, Some(&last_id))
        .open(server.address)
        .await;
    source.last_id = Some(last_id);
    heard.extend(source.until("agent_completed").await);
    assert_eq!(spoken(&frames(&heard)).len(), 12_000 * 256);
}

#[tokio::test]
async fn two_users_see_their_own_words_alone() {
    let server = House::scripted().start().await;
    let (ada, bob) = (server.guest().await, server.guest().await);
    let mut sources = [
        stream(&server, &ada, "note canary-of-ada").await,
        stream(&server, &bob, "note canary-of-bob").await,
    ];
    let [first, second] = &mut sources;
    let (first, second) = tokio::join!(first.rest(), second.rest());
    let text = |events: &[_]| frames(events).iter().map(Value::to_string).collect::<String>();
    assert!(text(&first).contains("canary-of-ada") && !text(&first).contains("canary-of-bob"));
    assert!(text(&second).contains("canary-of-bob") && !text(&second).contains("canary-of-ada"));
    // An id opens nothing: not to read, not to go on, not to stop.
    let session = session_of(&first[0].data);
    let path = format!("/v1/sessions/{session}/events");
    server.ask(&bob, "GET", &path, None).await.assert_problem(404);
    let body = json!({"content": "hello", "session_id": session});
    once(&server, &bob, body).await.assert_problem(404);
    let thread = first[0].data["payload"]["thread_id"].clone();
    once(&server, &bob, json!({"content": "hello", "thread_id": thread}))
        .await
        .assert_problem(404);
}

#[tokio::test]
async fn what_can_not_be_run_is_refused_before_there_is_a_session() {
    let server = House::scripted().start().await;
    let ada = server.guest().await;
    let nobody = server
        .ask(&ada, "POST", "/v1/agents/nobody/runs", Some(json!({"content": "x"})))
        .await;
    nobody.assert_problem(404);
    for (body, pointer) in [
        (json!({"content": "x", "agent": "echo"}), "/agent"),
        (json!({"content": ""}), "/content"),
        (json!({"content": "x", "thread_id": "default"}), "/thread_id"),
    ] {
        let refused = once(&server, &ada, body).await;
        refused.assert_problem(400);
        assert_eq!(refused.json()["pointer"], pointer, "{refused:?}");
    }
    server.settles_at(0).await;
}

#[tokio::test]
async fn the_limits_of_a_socket_hold_here() {
    let server = House::scripted()
        .set("limits.message_burst=2")
        .set("limits.messages_per_second=1")
        .set("limits.detached_idle=1s")
        .start()
        .await;
    let ada = server.guest().await;
    let mut refused = None;
    for _ in 0..10 {
        let answer = once(&server, &ada, json!({"content": "hello"})).await;
        if answer.status != 200 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("a refusal");
    refused.assert_problem(429);
    assert_eq!(refused.json()["code"], "rate_limited");
    assert!(refused.header("retry-after").is_some(), "{refused:?}");
    // Sessions of runs that have ended leave memory.
    server.settles_at(0).await;
}

#[tokio::test]
async fn a_message_that_is_sent_again_is_answered_with_its_first_run() {
    let server = House::scripted().start().await;
    let ada = server.guest().await;
    let body = json!({"content": "hello", "message_id": message_id()});
    let first = once(&server, &ada, body.clone()).await.json();
    assert_eq!(first["state"], "completed");
    assert_eq!(
        once(&server, &ada, body.clone()).await.json(),
        first,
        "the same, to the word"
    );
    let mut source = Request::run(&ada, "assistant", body.clone()).open(server.address).await;
    let told = source.rest().await;
    assert_eq!(told[0].data["payload"]["status"], "duplicate");
    assert_eq!((told.len(), told[1].kind.as_str()), (2, "agent_completed"));
    assert_eq!(told[1].data["payload"]["result"], first["result"]);
    let id = told[1].id.clone().unwrap();
    assert!(
        id.starts_with(first["session_id"].as_str().unwrap()),
        "{id} is no id of the first session"
    );
    let other = json!({"content": "something else", "message_id": body["message_id"]});
    once(&server, &ada, other).await.assert_problem(409);
}

#[tokio::test]
async fn a_message_that_is_sent_again_while_its_run_goes_on_takes_that_run_over() {
    let server = House::scripted().start().await;
    let ada = server.guest().await;
    let body = json!({"content": "stream", "message_id": message_id()});
    let mut first = Request::run(&ada, "assistant", body.clone()).open(server.address).await;
    first.until("partial_result").await;
    let mut second = Request::run(&ada, "assistant", body.clone()).open(server.address).await;
    let taken_over = first.rest().await.pop().unwrap();
    assert_eq!(
        (taken_over.kind.as_str(), &taken_over.data["code"]),
        ("close", &json!(4001))
    );
    let told = second.rest().await;
    assert_eq!(told[0].data["payload"]["status"], "duplicate");
    assert_eq!(spoken(&frames(&told)), whole_stream(), "from its beginning");
    assert_eq!(told.last().unwrap().kind, "agent_completed");
}

#[tokio::test]
async fn a_stream_is_taken_over_as_a_socket_is_and_an_impossible_place_is_refused() {
    let server = House::scripted().start().await;
    let ada = server.guest().await;
    let client = server.connect(&ada).await;
    let place = client.place();
    let mut source = Request::resume(&ada, &place.session_id, None)
        .open(server.address)
        .await;
    let established = source.next().await.unwrap();
    assert_eq!(established.kind, "connection_established");
    assert_eq!(established.data["payload"]["resumed"], true);
    let (code, _) = { client }.closed().await;
    assert_eq!(code, 4001);
    let mut client = server.resume(&ada, &place).await;
    let close = source.rest().await.pop().unwrap();
    assert_eq!((close.kind.as_str(), &close.data["code"]), ("close", &json!(4001)));
    client.say("hello").await;
    client.until("agent_completed").await;
    let path = format!("/v1/sessions/{}/events?last_seq=1000", place.session_id);
    server.ask(&ada, "GET", &path, None).await.assert_problem(409);
    let path = format!("/v1/sessions/{}/events?last_seq=0", message_id());
    server.ask(&ada, "GET", &path, None).await.assert_problem(404);
}

#[tokio::test]
async fn a_drain_ends_streams_with_a_goodbye_and_answers_who_waits() {
    let mut server = House::scripted().set("limits.drain_timeout=1s").start().await;
    let (ada, bob, cem) = (server.guest().await, server.guest().await, server.guest().await);
    let place = server.connect(&bob).await.place();
    let mut idle = Request::resume(&bob, &place.session_id, None)
        .open(server.address)
        .await;
    idle.next().await.unwrap();
    let mut busy = stream(&server, &ada, "hang").await;
    busy.until("partial_result").await;
    let waiting = once(&server, &cem, json!({"content": "hang"}));
    let (answer, ()) = tokio::join!(waiting, async {
        eventually("the third run is at work too", async || {
            let threads = server.ask(&cem, "GET", "/v1/threads", None).await.json();
            // A thread is there once something was said in it.
            let begun = threads["threads"].as_array().is_some_and(|threads| !threads.is_empty());
            if begun { Ok(()) } else { Err(threads.to_string()) }
        })
        .await;
        server.signal("TERM");
        for told in [idle.rest().await, busy.rest().await] {
            let [.., shutdown, close] = &told[..] else {
                panic!("{told:#?}")
            };
            assert_eq!(shutdown.kind, "server_shutdown", "{told:#?}");
            assert_eq!((close.kind.as_str(), &close.data["code"]), ("close", &json!(1012)));
        }
    });
    assert_eq!(
        (answer.status, &answer.json()["state"]),
        (200, &json!("stopped")),
        "{answer:?}"
    );
    assert_eq!(answer.json()["error"]["stopped_by"], "drain");
    assert_eq!(server.exit().await.code(), Some(0));
}

#[tokio::test]
async fn a_quiet_stream_is_kept_alive_and_its_session_does_not_die() {
    let server = House::scripted().set("limits.heartbeat_interval=3s").start().await;
    let ada = server.guest().await;
    // 12 seconds of silence in the middle: more than the nine that a dead socket is given.
    let mut source = stream(&server, &ada, "patience").await;
    let told = source.rest().await;
    assert_eq!(
        told.last().unwrap().data["payload"]["result"],
        "Patience pays.",
        "{told:#?}"
    );
    assert!(source.comments >= 2, "{} comments", source.comments);
}

#[tokio::test]
async fn curl_is_client_enough() {
    let server = House::scripted().start().await;
    let ada = server.guest().await;
    let (name, value) = ada.header();
    let curl = |arguments: &[&str]| {
        let url = format!("http://{}/v1/agents/assistant/runs", server.address);
        let mut command = Command::new("curl");
        command
            .args(["--silent", "--show-error", "--no-buffer", "--max-time", "30"])
            .args([
                "--header",
                &format!("{name}: {value}"),
                "--header",
                "content-type: application/json",
            ])
            .args(["--data", r#"{"content": "hello"}"#])
            .args(arguments)
            .arg(url);
        command.output()
    };
    let answered = match curl(&[]) {
        Ok(output) => String::from_utf8(output.stdout).unwrap(),
        Err(fault) if fault.kind() == std::io::ErrorKind::NotFound => {
            return eprintln!("skipped: there is no curl on this machine");
        }
        Err(fault) => panic!("{fault}"),
    };
    let answered: Value = serde_json::from_str(&answered).unwrap_or_else(|fault| panic!("{fault}: {answered}"));
    assert_eq!(answered["result"], "You said: hello");
    let streamed = curl(&["--header", "accept: text/event-stream"]).unwrap();
    let streamed = String::from_utf8(streamed.stdout).unwrap();
    assert!(streamed.starts_with("event: message_accepted\ndata: {"), "{streamed}");
    assert!(streamed.contains("\nevent: agent_completed\ndata: {"), "{streamed}");
}
