//! The list of events.

use serde_json::{Value, json};

use super::page::Page;
use super::{SCRIPT, browse};
use crate::server::{House, Place};

#[tokio::test]
async fn the_timeline_lists_every_event_of_the_session_without_a_hole() {
    browse(House::playing(SCRIPT), async |desk| {
        let page = desk.visitor("ada").await;
        page.open_timeline().await;
        page.say("sum").await;
        page.answer(1).await;
        page.say("hang").await;
        page.reads(2, "This much was said").await;
        page.click("#stop").await;
        page.bad_end(2).await;

        let sent: Vec<(u64, String)> = page.frames().await.iter().filter_map(numbered).collect();
        assert_eq!(sent.last().unwrap().1, "agent_stopped");
        assert!(sent.iter().map(|(seq, _)| *seq).eq(1..=sent.len() as u64), "{sent:?}");
        assert_eq!(listed(&page).await, sent, "the list against the socket");
        page.reload().await;
        page.is_live().await;
        let whole = format!("document.querySelectorAll('#events li').length >= {}", sent.len());
        page.sees("the events of before the reload", &whole).await;
        assert_eq!(listed(&page).await, sent, "the list after a reload");

        // What the journal has: it is read through the same session by another client, which takes it over.
        let user = page.user().await;
        let kept = page.value("JSON.parse(sessionStorage.getItem('session'))").await;
        let place = Place {
            session_id: kept["id"].as_str().unwrap().to_owned(),
            epoch: kept["epoch"].as_str().unwrap().to_owned(),
            last_seq: 0,
        };
        let mut client = desk.server().resume(&user, &place).await;
        let journal = client.collect("all events", |frame| frame["seq"] == sent.len()).await;
        let journal: Vec<(u64, String)> = journal.iter().filter_map(numbered).collect();
        assert_eq!(journal, sent, "the journal against the socket");
        page.is("stopped").await;
        assert!(page.text("#state").await.contains("taken over"));
    })
    .await;
}

#[tokio::test]
async fn the_timeline_is_closed_and_opened_by_its_button_and_stays_so() {
    browse(House::new(), async |desk| {
        let page = desk.visitor("ada").await;
        let toggle = "document.getElementById('toggle-timeline').getAttribute('aria-expanded') === 'true'";
        let is_open = "!document.getElementById('timeline').hidden";
        for _ in 0..2 {
            let before = page.value(is_open).await;
            assert_eq!(page.value(toggle).await, before);
            page.click("#toggle-timeline").await;
            let after = page.value(is_open).await;
            assert_ne!(before, after);
            assert_eq!(page.value(toggle).await, after);
            page.reload().await;
            page.is_live().await;
            assert_eq!(page.value(is_open).await, after);
        }
    })
    .await;
}

/// The events that the page lists, oldest first.
async fn listed(page: &Page) -> Vec<(u64, String)> {
    let list = "[...document.querySelectorAll('#events li')]
        .map(({ dataset }) => ({ seq: Number(dataset.seq), type: dataset.type }))";
    let list = page.value(list).await;
    let mut listed: Vec<_> = list.as_array().unwrap().iter().filter_map(numbered).collect();
    let order: Vec<u64> = listed.iter().map(|(seq, _)| *seq).collect();
    assert!(
        order.is_sorted_by(|newer, older| newer > older),
        "newest first: {order:?}"
    );
    listed.reverse();
    listed
}

/// The number and type of an event; none of a frame that is no event.
fn numbered(frame: &Value) -> Option<(u64, String)> {
    if frame.get("seq") == Some(&json!(null)) {
        return None;
    }
    Some((frame["seq"].as_u64()?, frame["type"].as_str()?.to_owned()))
}
