//! A tool call that waits for a person: approved, denied, still there after a reload, and seen from another tab.

use serde_json::Value;

use super::axe::assert_open_to_all;
use super::looks::assert_fits;
use super::page::Page;
use super::workflow::USAGE;
use super::{Desk, SCRIPT, browse};
use crate::server::House;

/// The part of the newest card that asks.
const ASKS: &str = "[...document.querySelectorAll('.approval')].at(-1)";

#[tokio::test]
async fn a_call_is_made_once_it_is_approved_and_never_where_it_is_denied() {
    browse(House::playing(SCRIPT), async |desk| {
        let page = desk.visitor("ada").await;
        let document = kept(&page).await;
        for (decision, note, says, remains) in [
            ("deny", "not that one", "Denied: not that one", 1),
            ("approve", "", "Approved", 0),
        ] {
            page.say(&document).await;
            is_asked(&page).await;
            let shown = page.value(&format!("{ASKS}.closest('details').innerText")).await;
            let shown = shown.as_str().unwrap();
            assert!(shown.contains("corpus_delete") && shown.contains(&document), "{shown}");
            page.find(".message:last-child .approval input")
                .await
                .send_keys(note)
                .await
                .unwrap();
            page.click(&format!(".message:last-child .approval button.{decision}"))
                .await;
            page.sees(says, &format!("{ASKS}.innerText.trim() === '{says}'")).await;
            let answers = page.count("#messages > li[data-role=assistant]").await;
            assert_eq!(page.answer(answers).await, "So be it.");
            assert_eq!(documents(desk, &page).await, remains, "after {decision}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_call_that_waits_is_there_after_a_reload_and_can_be_decided() {
    browse(House::playing(SCRIPT), async |desk| {
        let page = desk.visitor("ada").await;
        let document = kept(&page).await;
        page.say(&document).await;
        is_asked(&page).await;
        for _ in 0..2 {
            page.reload().await;
            page.is_live().await;
            is_asked(&page).await;
        }
        page.click(".approval button.approve").await;
        assert_eq!(page.answer(1).await, "So be it.");
        assert_eq!(
            page.count(".approval").await,
            1,
            "one card, however often it was loaded"
        );
        assert_eq!(documents(desk, &page).await, 0);
        // What was decided is still told, and asks nobody any more.
        page.reload().await;
        page.is_live().await;
        page.sees("the decision", &format!("{ASKS}.textContent === 'Approved'"))
            .await;
        assert_eq!(page.count(".approval button").await, 0);
    })
    .await;
}

#[tokio::test]
async fn another_tab_shows_what_waits_and_leaves_it_to_the_tab_that_asked() {
    browse(House::playing(SCRIPT), async |desk| {
        let page = desk.visitor("ada").await;
        let first = page.tab().await;
        let document = kept(&page).await;
        page.say(&document).await;
        is_asked(&page).await;
        let thread = page.thread().await;
        let second = page.second_tab().await;
        page.open("/").await;
        page.is_live().await;
        page.go_to(&thread).await;
        page.sees(
            "what waits",
            &format!("{ASKS}.innerText.includes('approve or deny it there')"),
        )
        .await;
        assert_eq!(page.count(".approval button").await, 0, "nothing that would be refused");
        let shown = page.text("#messages details.tool .arguments").await;
        assert!(shown.contains(&document), "{shown}");
        page.look_at(&first).await;
        page.click(".approval button.deny").await;
        assert_eq!(page.answer(1).await, "So be it.");
        page.look_at(&second).await;
        page.sees(
            "no question any more",
            &format!("{ASKS}.textContent === 'Decided where it was asked'"),
        )
        .await;
        assert_eq!(page.answer(1).await, "So be it.");
        assert_eq!(documents(desk, &page).await, 1);
    })
    .await;
}

#[tokio::test]
async fn a_question_keeps_nobody_out_and_fits_a_phone() {
    browse(House::playing(SCRIPT), async |desk| {
        let page = desk.phone("ada").await;
        let document = kept(&page).await;
        page.say(&document).await;
        is_asked(&page).await;
        assert_fits(&page, 390).await;
        assert_open_to_all(&page, "a call that waits").await;
        page.click(".approval button.deny").await;
        page.answer(1).await;
        assert_fits(&page, 390).await;
    })
    .await;
}

/// Brings a file to the server, and leaves it out of the message; its id.
async fn kept(page: &Page) -> String {
    page.attach(USAGE, "usage.csv").await;
    let id = page
        .value("JSON.parse(sessionStorage.getItem('files'))[0].document_id")
        .await;
    page.click("#files li button").await;
    page.sees("no chip", "!document.querySelector('#files li')").await;
    id.as_str().unwrap().to_owned()
}

async fn is_asked(page: &Page) {
    page.sees(
        "the question",
        &format!("{ASKS}.querySelector('button.approve:enabled')"),
    )
    .await;
}

/// How many documents the server has of this page's user.
async fn documents(desk: &Desk, page: &Page) -> usize {
    let listed = desk
        .server()
        .ask(&page.user().await, "GET", "/v1/documents", None)
        .await;
    let listed: Value = listed.json();
    listed["documents"].as_array().unwrap().len()
}
