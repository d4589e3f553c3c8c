//! One socket a session, and only for whoever owns it: takeovers, and verdicts on a resume.

use super::{Door, House, Place, message_id};

#[tokio::test]
async fn a_second_socket_takes_over_and_the_first_is_closed_with_4001() {
    let server = House::scripted().start().await;
    let ada = server.guest().await;
    let mut older = server.connect(&ada).await;
    older.say("stream").await;
    let mut heard = older.collect("some of it", |frame| frame["seq"] == 5).await;
    let mut newer = server.resume(&ada, &older.place()).await;
    heard.extend(newer.run_to_end().await);
    assert_eq!(super::spoken(&heard), super::whole_stream());
    let (frames, ending) = older.until_it_ends().await;
    let reason = "another socket took this session over".to_owned();
    assert_eq!(ending, super::Ending::Closed(4001, reason));
    assert!(
        frames.iter().all(|frame| frame["type"] != "agent_completed"),
        "{frames:#?}"
    );
    // What the older one still sends is ignored, if it can send at all.
    let _ = older
        .raw(&super::client::client_frame(0x81, br#"{"type":"ping"}"#))
        .await;
    let frames = newer.settle().await;
    assert_eq!(frames.len(), 1, "one ping, one pong: {frames:#?}");
}

#[tokio::test]
async fn a_client_that_claims_to_have_seen_the_future_is_closed_with_4409() {
    let server = House::scripted().start().await;
    let ada = server.guest().await;
    let mut client = server.connect(&ada).await;
    client.say("hello").await;
    client.run_to_end().await;
    let future = Place {
        last_seq: client.last_seq + 1,
        ..client.place()
    };
    let mut liar = server.knock(Door::of(&ada).back_to(&future)).await;
    assert_eq!(liar.closed().await.0, 4409);
    // The attached socket is left alone, also where the liar comes when the session is not in memory.
    client.settle().await;
    let server = server.restart().await;
    let mut liar = server.knock(Door::of(&ada).back_to(&future)).await;
    assert_eq!(liar.closed().await.0, 4409);
    let mut honest = server.resume(&ada, &client.place()).await;
    honest.settle().await;
}

#[tokio::test]
async fn an_unknown_session_and_someone_elses_are_closed_in_the_same_words() {
    let server = House::scripted().start().await;
    let (ada, eve) = (server.guest().await, server.guest().await);
    let mut client = server.connect(&ada).await;
    client.say("hello").await;
    client.run_to_end().await;
    let unknown = Place {
        session_id: message_id(),
        ..client.place()
    };
    let begin = |place: &Place| Place {
        last_seq: 0,
        ..place.clone()
    };
    let mut verdicts = Vec::new();
    for place in [begin(&client.place()), client.place(), begin(&unknown), unknown] {
        let mut stranger = server.knock(Door::of(&eve).back_to(&place)).await;
        let (frames, ending) = stranger.until_it_ends().await;
        assert!(frames.is_empty(), "nothing is told: {frames:#?}");
        verdicts.push(ending);
    }
    let one = super::Ending::Closed(4410, "no such session; start a new one".to_owned());
    assert!(verdicts.iter().all(|verdict| *verdict == one), "{verdicts:?}");
    client.say("still mine?").await;
    client.run_to_end().await;
    // Nor does it open anything where the session is on the disk only.
    let server = server.restart().await;
    let mut stranger = server.knock(Door::of(&eve).back_to(&begin(&client.place()))).await;
    assert_eq!(stranger.closed().await.0, 4410);
    let mut owner = server.resume(&ada, &begin(&client.place())).await;
    owner.run_to_end().await;
}

#[tokio::test]
async fn many_resumes_at_once_leave_one_socket_and_a_whole_line() {
    let server = House::scripted().start().await;
    let ada = server.guest().await;
    let mut client = server.connect(&ada).await;
    client.say("stream").await;
    client.collect("some of it", |frame| frame["seq"] == 5).await;
    let place = client.cut().await;
    let begin = Place { last_seq: 0, ..place };
    let doors = (0..6).map(|_| server.knock(Door::of(&ada).back_to(&begin)));
    let clients = futures_util::future::join_all(doors).await;
    let ends = clients
        .into_iter()
        .map(|mut client| async move { client_end(&mut client).await });
    let ends = futures_util::future::join_all(ends).await;
    assert_eq!(ends.iter().filter(|whole| **whole).count(), 1, "{ends:?}");
}

/// Whether this socket lived to the run's end; else it was taken over.
async fn client_end(client: &mut super::Client) -> bool {
    let mut heard = Vec::new();
    while let Some(frame) = client.next().await {
        let ended = frame["type"] == "agent_completed";
        heard.push(frame);
        if ended {
            assert_eq!(super::spoken(&heard), super::whole_stream());
            return true;
        }
    }
    assert_eq!(client.closed().await.0, 4001);
    false
}
