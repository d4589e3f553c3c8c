//! Users talk to the server, and each hears their own answers, in the protocol's words.

use serde_json::{Value, json};

use super::{Client, Door, House, PATIENCE, message_id, spoken, whole_stream};

#[tokio::test]
async fn of_two_users_at_once_nobody_ever_hears_a_word_of_the_other() {
    let server = House::scripted().start().await;
    let (ada, bob) = (server.guest().await, server.guest().await);
    let (mut ada, mut bob) = (server.connect(&ada).await, server.connect(&bob).await);
    for round in 0..6 {
        ada.say(&format!("note canary-of-ada-{round}")).await;
        bob.say(&format!("note canary-of-bob-{round}")).await;
        let (told_ada, told_bob) = tokio::join!(ada.run_to_end(), bob.run_to_end());
        for (told, own, foreign) in [(told_ada, "ada", "bob"), (told_bob, "bob", "ada")] {
            let text = Value::from(told).to_string();
            // In the thought, the tool's arguments, and the answer.
            let own = format!("canary-of-{own}-{round}");
            assert!(text.matches(&own).count() >= 3, "{own} is missing in {text}");
            assert!(!text.contains(&format!("canary-of-{foreign}")), "{foreign} in {text}");
        }
    }
}

#[tokio::test]
async fn the_offline_assistant_calls_a_tool_and_streams_its_answer() {
    let server = House::new().start().await;
    let mut ada = server.connect(&server.guest().await).await;
    ada.say("What is 12 * (3 + 4)?").await;
    let frames = ada.run_to_end().await;
    let of = |kind: &str| frames.iter().filter(|frame| frame["type"] == kind).collect::<Vec<_>>();
    let (executing, completed) = (of("tool_executing"), of("tool_completed"));
    assert_eq!(executing[0]["payload"]["tool_name"], "calculator");
    assert_eq!(executing[0]["payload"]["call_id"], completed[0]["payload"]["call_id"]);
    assert_eq!(completed[0]["payload"]["status"], "ok");
    assert!(of("partial_result").len() > 1, "it streams: {frames:#?}");
    let end = &frames.last().unwrap()["payload"];
    assert!(end["result"].as_str().unwrap().contains("84"), "{end}");
    assert_eq!(end["result"], spoken(&frames), "what was streamed is the answer");
}

#[tokio::test]
async fn a_message_is_accepted_before_the_first_event_and_every_line_is_as_the_protocol_says() {
    let server = House::scripted().start().await;
    let mut ada = server.connect(&server.guest().await).await;
    let (first, second) = (ada.say("linger").await, ada.say("two").await);
    let mut frames = ada.run_to_end().await;
    frames.extend(ada.run_to_end().await);
    let place = |kind: &str, nth: usize| {
        let mut places = (0..frames.len()).filter(|at| frames[*at]["type"] == kind);
        places
            .nth(nth)
            .unwrap_or_else(|| panic!("no {kind} {nth} in {frames:#?}"))
    };
    for (nth, id, status, state) in [(0, &first, "started", "running"), (1, &second, "queued", "queued")] {
        let accepted = &frames[place("message_accepted", nth)];
        let payload = &accepted["payload"];
        assert_eq!(
            (&payload["message_id"], &payload["status"]),
            (&json!(id), &json!(status))
        );
        assert_eq!(payload["run_state"], state);
        assert_eq!(payload["thread_id"], ada.thread());
        assert!(accepted.get("seq").is_none(), "a control frame has no seq");
        let started = place("agent_started", nth);
        assert!(place("message_accepted", nth) < started);
        assert_eq!(frames[started]["payload"]["message_id"], json!(id));
        assert_eq!(frames[started]["payload"]["status"], "started");
        assert_eq!(frames[started]["run_id"], payload["run_id"]);
    }
    assert!(
        place("agent_completed", 0) < place("agent_started", 1),
        "one run at a time"
    );
    for event in frames.iter().filter(|frame| frame.get("seq").is_some()) {
        assert_eq!(event["session_id"], ada.established()["session_id"]);
        assert_eq!(event["thread_id"], ada.thread());
        assert_eq!(event["agent_name"], "assistant");
        let timestamp = event["timestamp"].as_str().unwrap();
        assert!(timestamp.len() >= 20 && timestamp.ends_with('Z'), "{timestamp}");
    }
}

#[tokio::test]
async fn a_bare_client_without_a_subprotocol_works_and_a_page_gets_the_name_that_it_offered() {
    let server = House::new().start().await;
    let mut bare = server.open(Door::plain()).await;
    assert_eq!(bare.protocol, None);
    assert_eq!(bare.established()["protocol"], "sessile.v1");
    assert!(bare.cookie.is_some(), "a guest is known again");
    bare.message(json!({"content": "hi", "agent": "echo"})).await;
    assert_eq!(bare.until("agent_completed").await["payload"]["result"], "hi");
    for offered in ["sessile.v1", "jwt-auth"] {
        let door = Door::plain().header("sec-websocket-protocol", offered);
        assert_eq!(server.open(door).await.protocol.as_deref(), Some(offered));
    }
}

#[tokio::test]
async fn a_seed_client_gets_the_frame_that_it_waits_for_after_every_end() {
    let server = House::scripted().start().await;
    for path in ["/ws", "/websocket"] {
        let guest = server.guest().await;
        let mut client = server.open(Door::of(&guest).path(path)).await;
        client.say("hello").await;
        let end = client.until("agent_completed").await;
        let report = client.next().await.unwrap();
        assert_eq!(report["type"], "final_report");
        assert_eq!(report["payload"]["report"], "You said: hello");
        assert_eq!(report["thread_id"], end["thread_id"]);
        assert!(report.get("seq").is_none(), "outside seq");
        client.say("break").await;
        client.until("agent_error").await;
        let error = client.next().await.unwrap();
        assert_eq!((&error["type"], error.get("seq")), (&json!("error"), None));
        client.say("hang").await;
        client.until("partial_result").await;
        client.send(json!({"type": "stop_agent", "payload": {}})).await;
        client.until("agent_stopped").await;
        assert_eq!(client.next().await.unwrap()["type"], "error");
    }
}

#[tokio::test]
async fn a_seed_client_that_comes_back_gets_every_report_of_a_long_line_of_events() {
    let server = House::scripted()
        .set("limits.messages_per_second=1000")
        .set("limits.message_burst=1000")
        .start()
        .await;
    let guest = server.guest().await;
    let mut client = server.open(Door::of(&guest).path("/ws")).await;
    for n in 0..40 {
        client.message(json!({"content": n.to_string(), "agent": "echo"})).await;
        client.until("final_report").await;
    }
    let mut place = client.cut().await;
    let head = std::mem::take(&mut place.last_seq);
    let mut client = server.open(Door::of(&guest).path("/ws").back_to(&place)).await;
    let frames = replayed(&mut client, head).await;
    let reports: Vec<_> = frames.iter().filter(|frame| frame["type"] == "final_report").collect();
    let expected: Vec<_> = (0..40).map(|n| n.to_string()).collect();
    let told: Vec<_> = reports
        .iter()
        .map(|frame| frame["payload"]["report"].as_str().unwrap())
        .collect();
    assert_eq!(told, expected);
}

/// Everything up to `head`, and what follows the last event at once.
async fn replayed(client: &mut Client, head: u64) -> Vec<Value> {
    let mut frames = client.collect("the head", |frame| frame["seq"] == head).await;
    frames.extend(client.settle().await);
    frames
}

#[tokio::test]
async fn a_stop_ends_the_run_and_the_queue_and_the_session_goes_on() {
    let server = House::scripted().start().await;
    let mut ada = server.connect(&server.guest().await).await;
    ada.say("hang").await;
    ada.until("partial_result").await;
    ada.say("never").await;
    ada.until("message_accepted").await;
    let id = message_id();
    ada.send(json!({"type": "stop_agent", "message_id": id, "payload": {"reason": "enough"}}))
        .await;
    let accepted = ada.until("stop_accepted").await;
    assert_eq!(accepted["payload"]["message_id"], json!(id));
    assert_eq!(accepted["payload"]["run_ids"].as_array().unwrap().len(), 2);
    let ends = [ada.until("agent_stopped").await, ada.until("agent_stopped").await];
    assert!(ends.iter().all(|end| end["payload"]["reason"] == "enough"), "{ends:#?}");
    assert!(
        ends.iter()
            .any(|end| end["payload"]["partial"] == "This much was said "),
        "{ends:#?}"
    );
    ada.say("still there?").await;
    assert_eq!(
        ada.until("agent_completed").await["payload"]["result"],
        "You said: still there?"
    );
}

#[tokio::test]
async fn a_long_answer_arrives_whole_with_its_hash() {
    let server = House::scripted().start().await;
    let mut ada = server.connect(&server.guest().await).await;
    ada.say("stream").await;
    let frames = tokio::time::timeout(PATIENCE, ada.run_to_end()).await.unwrap();
    let end = &frames.last().unwrap()["payload"];
    assert_eq!(end["result"], whole_stream());
    assert_eq!(spoken(&frames), whole_stream());
    // printf 'lorem ipsum %.0s' {1..200} | sha256sum
    assert_eq!(
        end["result_sha256"],
        "2bfd4f5a6933ee9752993350d182c0ed1c1a79f9124f64da2ebefac0122ea01e"
    );
}
