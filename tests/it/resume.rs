//! Nothing is lost and nothing comes twice, through cut sockets, slow readers and sessions that left memory.

use std::io;
use std::time::Duration;

use serde_json::{Value, json};
use sessile_actors::context::Roles;
use sessile_actors::ids::Seq;
use sessile_actors::infra::Answer;
use sessile_actors::protocol::CloseCode;
use sessile_actors::session::actor::Resume;
use sessile_actors::session::sink::{Sink, Socket, Uplink, Window};
use sessile_actors::supervisor::{Admit, AttachSocket};
use sessile_actors::testing::{Ending, Probe, World, WorldBuilder, agent, user, world};

/// Says `n` numbered words, one every 20 ms, where the message is `n`.
fn counters() -> WorldBuilder {
    world().agent(agent("counter", async |run| {
        let words: usize = run.message().parse().unwrap_or(3);
        for word in 0..words {
            tokio::time::sleep(Duration::from_millis(20)).await;
            run.say(&format!("word-{word} ")).await?;
            run.progress(None, format!("{word}")).await?;
        }
        Ok(Answer::Said)
    }))
}

/// What a client that was cut after each frame in turn has taken in all.
async fn taken_through_cuts(world: &World, mut probe: Probe) -> Vec<Value> {
    let mut taken = Vec::new();
    loop {
        let frame = probe.next().await.unwrap();
        let ended = frame["type"] == "agent_completed";
        if frame["seq"].is_u64() {
            taken.push(frame);
            if ended {
                return taken;
            }
            probe.cut().await;
            probe = world.resume(&probe).await;
        }
    }
}

#[actix::test]
async fn a_client_that_is_cut_after_every_event_gets_each_once_in_order() {
    tokio::time::pause();
    let world = counters().start();
    let mut ada = world.connect("ada").await;
    ada.say("30").await;
    let taken = taken_through_cuts(&world, ada).await;
    let text: String = taken
        .iter()
        .filter(|frame| frame["type"] == "partial_result")
        .map(|frame| frame["payload"]["content"].as_str().unwrap())
        .collect();
    assert_eq!(text, taken.last().unwrap()["payload"]["result"]);
    assert!(text.starts_with("word-0 ") && text.ends_with("word-29 "));
    world.finish().await;
}

#[actix::test]
async fn a_client_that_reads_nothing_for_long_gets_everything_from_the_journal() {
    tokio::time::pause();
    let world = counters()
        .limits(|limits| {
            limits.outbox_events = 8;
            limits.sink_frames = 4;
        })
        .start();
    let mut ada = world.connect("ada").await;
    ada.say("200").await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(ada.waiting() <= 4, "no more waits in the sink than its window");
    let told = ada.run_to_end().await;
    let events = told.iter().filter(|frame| frame["seq"].is_u64()).count();
    assert!(events > 200, "the probe saw {events} events without a hole");
    world.finish().await;
}

#[actix::test]
async fn a_session_that_left_memory_comes_back_on_the_same_line() {
    tokio::time::pause();
    let world = counters().start();
    let mut ada = world.connect("ada").await;
    ada.say("3").await;
    ada.run_to_end().await;
    ada.cut().await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(
        world.census().await.sessions,
        0,
        "an idle session without a socket leaves"
    );

    let mut from_the_start = world.resume_from(&ada, 0).await;
    let replayed = from_the_start.collect_until("agent_completed").await;
    assert_eq!(replayed.last().unwrap()["seq"], ada.last_seq());
    let mut ada = world.resume(&from_the_start).await;
    ada.say("2").await;
    assert_eq!(
        ada.until("agent_completed").await["payload"]["result"],
        "word-0 word-1 "
    );
    world.finish().await;
}

#[actix::test]
async fn a_run_goes_on_without_a_socket_until_the_grace_time_is_over() {
    tokio::time::pause();
    let world = world()
        .agent(agent("slow", async |_| {
            tokio::time::sleep(Duration::from_secs(500)).await;
            Ok(Answer::Text("done".to_owned()))
        }))
        .limits(|limits| limits.grace = Duration::from_secs(100))
        .start();
    let mut ada = world.connect("ada").await;
    ada.say("go").await;
    ada.until("agent_started").await;
    ada.cut().await;
    tokio::time::sleep(Duration::from_secs(300)).await;
    let mut ada = world.resume(&ada).await;
    assert_eq!(ada.until("agent_stopped").await["payload"]["stopped_by"], "abandoned");

    ada.say("again").await;
    ada.until("agent_started").await;
    ada.cut().await;
    tokio::time::sleep(Duration::from_secs(50)).await;
    let mut ada = world.resume(&ada).await;
    for _ in 0..9 {
        tokio::time::sleep(Duration::from_secs(50)).await;
    }
    assert_eq!(ada.until("agent_completed").await["payload"]["result"], "done");
    world.finish().await;
}

#[actix::test]
async fn a_resume_takes_over_and_the_older_socket_is_closed_and_ignored() {
    tokio::time::pause();
    let world = counters().start();
    let mut older = world.connect("ada").await;
    let mut newer = world.resume(&older).await;
    assert_eq!(older.closed().await, Ending::Closed(CloseCode::TakenOver));
    older
        .send(json!({"type": "user_message", "payload": {"content": "5"}}))
        .await;
    newer.say("1").await;
    let told = newer.run_to_end().await;
    assert_eq!(
        told.last().unwrap()["payload"]["result"],
        "word-0 ",
        "only the newer one's message is taken"
    );
    world.finish().await;
}

#[actix::test]
async fn a_client_that_claims_to_be_ahead_is_refused_and_the_attached_one_stays() {
    tokio::time::pause();
    let world = counters().start();
    let mut ada = world.connect("ada").await;
    let mut liar = world.resume_from(&ada, 7).await;
    assert!(liar.next().await.is_none());
    assert_eq!(liar.ending(), Some(&Ending::Closed(CloseCode::ImpossibleResume)));
    ada.say("1").await;
    ada.until("agent_completed").await;
    world.finish().await;
}

#[actix::test]
async fn a_page_that_was_reloaded_in_mid_answer_shows_it_whole() {
    tokio::time::pause();
    let world = counters().start();
    let mut ada = world.connect("ada").await;
    ada.say("40").await;
    for _ in 0..20 {
        ada.next().await;
    }
    ada.cut().await;
    // A reloaded page knows its session and its place, but none of the text.
    let mut ada = world.resume(&ada).await;
    ada.send(json!({"type": "get_thread_history", "payload": {}})).await;
    let mut frames = ada.collect_until("thread_history").await;
    let history = frames.pop().unwrap()["payload"].clone();
    let run = &history["active_runs"][0];
    let mut text = run["text_so_far"].as_str().unwrap().to_owned();
    let place = history["as_of_seq"].as_u64().unwrap();
    assert!(!text.is_empty() && place >= 10, "the snapshot is of the middle");
    frames.extend(ada.collect_until("agent_completed").await);
    for frame in &frames {
        if frame["seq"].as_u64().is_some_and(|seq| seq > place) && frame["type"] == "partial_result" {
            text.push_str(frame["payload"]["content"].as_str().unwrap());
        }
    }
    assert_eq!(text, frames.last().unwrap()["payload"]["result"]);
    world.finish().await;
}

/// A socket that broke on its way.
struct Broken;

impl Socket for Broken {
    fn open(self: Box<Self>, _: Uplink, _: Window) -> io::Result<Box<dyn Sink>> {
        Err(io::ErrorKind::ConnectionReset.into())
    }
}

#[actix::test]
async fn a_resume_whose_socket_breaks_on_its_way_leaves_the_attached_one_heard() {
    tokio::time::pause();
    let world = counters().start();
    let mut ada = world.connect("ada").await;
    let admit = Admit {
        user: user("ada"),
        resume: Some(ada.session_id()),
    };
    let reservation = world.supervisor().send(admit).await.unwrap().unwrap();
    let attach = AttachSocket {
        reservation,
        socket: Box::new(Broken),
        resume: Some(Resume {
            last_seq: Seq(0),
            epoch: None,
        }),
        legacy: false,
        expires_at: None,
        roles: Roles::none(),
    };
    world.supervisor().send(attach).await.unwrap();
    ada.say("1").await;
    ada.until("agent_completed").await;
    world.finish().await;
}
