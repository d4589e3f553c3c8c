//! What the agent is told while it works.

use serde_json::json;

use super::axe::assert_open_to_all;
use super::looks::assert_fits;
use super::page::Page;
use super::{SCRIPT, browse};
use crate::server::House;

/// What is said of the newest thing that the agent was told.
const TOLD: &str = "[...document.querySelectorAll('#messages .told')].at(-1).innerText";

#[tokio::test]
async fn an_agent_at_work_takes_into_account_what_it_is_told() {
    browse(House::playing(SCRIPT), async |desk| {
        let page = desk.visitor("ada").await;
        is_offered(&page, false).await;
        page.say("long").await;
        page.reads(1, "lorem ipsum").await;
        is_offered(&page, true).await;
        page.write("with milk").await;
        page.click("#steer").await;
        page.sees(
            "that it waits",
            &format!("{TOLD}.includes('with milk') && {TOLD}.includes('waits')"),
        )
        .await;
        assert_eq!(page.draft().await, "", "its words have left their field");
        page.sees("that it was taken", &format!("{TOLD}.includes('taken into account')"))
            .await;
        assert!(page.answer(1).await.ends_with("You said: with milk"));
        is_offered(&page, false).await;
        assert_eq!(page.count("#messages .told").await, 1);
        assert_eq!(
            page.count("#messages > li[data-role=user]").await,
            1,
            "it is no message"
        );
        page.sees(
            "what it took",
            "document.querySelector('.took').textContent.includes('2 model calls')",
        )
        .await;
        page.reload().await;
        page.is_live().await;
        page.sees("it again", &format!("{TOLD}.includes('taken into account')"))
            .await;
    })
    .await;
}

#[tokio::test]
async fn an_agent_that_takes_nothing_on_the_way_is_offered_nothing() {
    browse(House::playing(SCRIPT), async |desk| {
        let page = desk.visitor("ada").await;
        page.choose("echo").await;
        page.say("hello").await;
        assert_eq!(page.answer(1).await, "hello");
        is_offered(&page, false).await;
        page.choose("assistant").await;
        page.say("hang").await;
        page.reads(2, "This much was said").await;
        is_offered(&page, true).await;
        page.click("#stop").await;
        page.bad_end(2).await;
        is_offered(&page, false).await;
    })
    .await;
}

#[tokio::test]
async fn what_is_told_keeps_nobody_out_and_fits_a_phone() {
    browse(House::playing(SCRIPT), async |desk| {
        let page = desk.phone("ada").await;
        page.say("hang").await;
        page.reads(1, "This much was said").await;
        page.write("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef")
            .await;
        page.click("#steer").await;
        page.sees("that it waits", &format!("{TOLD}.includes('waits')")).await;
        assert_fits(&page, 390).await;
        assert_open_to_all(&page, "a run that was told something").await;
    })
    .await;
}

async fn is_offered(page: &Page, is_offered: bool) {
    let shown = "document.getElementById('steer').checkVisibility()";
    page.sees("the offer, or none", &format!("{shown} === {}", json!(is_offered)))
        .await;
}
