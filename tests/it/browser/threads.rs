//! The list of threads, and what is shown of each.

use fantoccini::key::Key;
use serde_json::{Value, json};

use super::page::Page;
use super::{SCRIPT, browse};
use crate::server::House;

#[tokio::test]
async fn threads_are_made_renamed_left_and_deleted_and_each_keeps_its_own_words() {
    browse(House::playing(SCRIPT), async |desk| {
        let page = desk.visitor("ada").await;
        page.say("apples").await;
        page.answer(1).await;
        let apples = page.thread().await;
        page.click("#new-thread").await;
        page.sees(
            "an empty conversation",
            "!document.querySelector('#messages li.message')",
        )
        .await;
        page.say("pears").await;
        assert_eq!(page.answer(1).await, "You said: pears");
        let pears = page.thread().await;
        assert_ne!(apples, pears);

        page.go_to(&apples).await;
        assert_eq!(page.answer(1).await, "You said: apples");
        assert_eq!(page.thread().await, apples);
        let shown = page.text("#messages").await;
        assert!(!shown.contains("pears"), "{shown}");

        page.click(&entry(&apples, "button.rename")).await;
        rename(&page, "Fruit <b>& more</b>", Key::Enter).await;
        named(&page, &apples, "Fruit <b>& more</b>").await;
        page.click(&entry(&apples, "button.rename")).await;
        rename(&page, "not this", Key::Escape).await;
        named(&page, &apples, "Fruit <b>& more</b>").await;

        page.click(&entry(&pears, "button.delete")).await;
        page.click("#confirm-no").await;
        page.sees("no dialog", "!document.getElementById('confirm').open").await;
        assert_eq!(page.count(&entry(&pears, "button.thread")).await, 1);
        page.click(&entry(&pears, "button.delete")).await;
        page.click("#confirm-yes").await;
        page.sees("one thread", "document.querySelectorAll('#threads li').length === 1")
            .await;

        page.reload().await;
        page.is_live().await;
        named(&page, &apples, "Fruit <b>& more</b>").await;
        assert_eq!(page.answer(1).await, "You said: apples");
        let kept = desk
            .server()
            .ask(&page.user().await, "GET", "/v1/threads", None)
            .await
            .json();
        let kept: Vec<&Value> = kept["threads"]
            .as_array()
            .unwrap()
            .iter()
            .map(|thread| &thread["thread_id"])
            .collect();
        assert_eq!(kept, [&json!(apples)]);
    })
    .await;
}

#[tokio::test]
async fn deleting_the_thread_that_is_shown_leaves_a_place_to_write_in() {
    browse(House::playing(SCRIPT), async |desk| {
        let page = desk.visitor("ada").await;
        page.say("hang").await;
        page.reads(1, "This much was said").await;
        let thread = page.thread().await;
        page.click(&entry(&thread, "button.delete")).await;
        page.click("#confirm-yes").await;
        let gone = format!("!document.querySelector(`{}`)", entry(&thread, "*"));
        page.sees("that the thread is gone", &gone).await;
        page.sees(
            "an empty conversation",
            "!document.querySelector('#messages li.message')",
        )
        .await;
        page.say("somewhere else").await;
        assert_eq!(page.answer(1).await, "You said: somewhere else");
        assert_ne!(page.thread().await, thread);
    })
    .await;
}

#[tokio::test]
async fn a_run_in_a_thread_that_is_not_shown_is_marked_until_it_ends() {
    browse(House::playing(SCRIPT), async |desk| {
        let page = desk.visitor("ada").await;
        page.say("linger").await;
        page.reads(1, "Nearly").await;
        let first = page.thread().await;
        page.click("#new-thread").await;
        page.sees(
            "an empty conversation",
            "!document.querySelector('#messages li.message')",
        )
        .await;
        let marked = format!("document.querySelector('#threads li[data-thread=\"{first}\"][data-running]')");
        page.sees("the mark", &marked).await;
        page.say("meanwhile").await;
        assert_eq!(page.answer(1).await, "You said: meanwhile");
        page.sees("no mark", &format!("!{marked}")).await;
        let shown = page.text("#messages").await;
        assert!(!shown.contains("Nearly"), "{shown}");
        page.go_to(&first).await;
        assert_eq!(page.answer(1).await, "Nearly done.");
        assert_eq!(page.count("#messages li.message").await, 2);
    })
    .await;
}

#[tokio::test]
async fn earlier_messages_are_shown_on_demand_in_order_and_once() {
    let house = House::playing(SCRIPT)
        .set("limits.history_page=3")
        .set("limits.history_page_max=3");
    browse(house, async |desk| {
        let page = desk.visitor("ada").await;
        for number in 1..=5 {
            page.say(&format!("number {number}")).await;
            page.answer(number).await;
        }
        page.reload().await;
        page.is_live().await;
        page.sees(
            "the newest",
            "document.getElementById('messages').textContent.includes('You said: number 5')",
        )
        .await;
        // Pages of three cut between a message and its answer.
        let said: Vec<String> = (1..=5)
            .flat_map(|number| [format!("number {number}"), format!("You said: number {number}")])
            .collect();
        for shown in [3, 6, 9, 10] {
            let count = format!("document.querySelectorAll('#messages li.message .text').length === {shown}");
            page.sees(&format!("{shown} messages"), &count).await;
            let texts =
                "[...document.querySelectorAll('#messages li.message .text')].map(text => text.innerText.trim())";
            assert_eq!(page.value(texts).await, json!(said[10 - shown..]));
            if shown < 10 {
                page.click("#earlier").await;
            }
        }
        page.sees("that there is no more", "document.getElementById('earlier').hidden")
            .await;
    })
    .await;
}

/// A part of a thread's entry, as a selector.
fn entry(thread: &str, part: &str) -> String {
    format!("#threads li[data-thread=\"{thread}\"] {part}")
}

/// Writes a name over the old one.
async fn rename(page: &Page, name: &str, then: Key) {
    page.gets_focus("#threads input").await;
    page.run("document.activeElement.select()", Vec::new()).await;
    page.type_text(name).await;
    page.press(then).await;
    page.sees("no field for the name", "!document.querySelector('#threads input')")
        .await;
}

async fn named(page: &Page, thread: &str, name: &str) {
    let shown = format!(
        "document.querySelector(`{}`).innerText.trim() === `{name}`",
        entry(thread, "button.thread")
    );
    page.sees(name, &shown).await;
}
