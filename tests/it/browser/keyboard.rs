//! Everything by keyboard, and the focus where a person expects it.

use fantoccini::key::Key;
use serde_json::json;

use super::page::Page;
use super::{SCRIPT, browse};
use crate::server::House;

/// What deletes the thread that is shown.
const DELETE: &str = "#threads li:has([aria-current=true]) button.delete";

#[tokio::test]
async fn everything_can_be_done_with_the_keyboard() {
    browse(House::playing(SCRIPT), async |desk| {
        let page = desk.visitor("ada").await;
        // Nothing moves, so that what is looked at stands still.
        page.prefer("light").await;
        page.gets_focus("#content").await;
        page.type_text("sum").await;
        page.press(Key::Enter).await;
        assert_eq!(page.answer(1).await, "It is 84.");

        page.tab_to("#messages details.tool summary").await;
        page.press(Key::Enter).await;
        page.sees("the open card", "document.querySelector('#messages details.tool').open")
            .await;
        page.tab_to("#toggle-timeline").await;
        let open = "!document.getElementById('timeline').hidden";
        let before = page.value(open).await;
        page.press(Key::Enter).await;
        assert_ne!(page.value(open).await, before);

        choose_an_agent(&page).await;
        stop_a_run(&page).await;
        change_threads(&page).await;
    })
    .await;
}

async fn choose_an_agent(page: &Page) {
    page.tab_to("#agent").await;
    page.type_text("echo").await;
    assert_eq!(page.value("document.getElementById('agent').value").await, "echo");
    page.tab_to("#content").await;
    page.type_text("sum again").await;
    page.press(Key::Enter).await;
    assert!(page.answer(2).await.contains("sum again"), "the other agent answers");
    page.tab_to("#agent").await;
    page.type_text("assist").await;
    assert_eq!(page.value("document.getElementById('agent').value").await, "assistant");
}

async fn stop_a_run(page: &Page) {
    page.tab_to("#content").await;
    page.type_text("hang").await;
    page.press(Key::Enter).await;
    page.reads(3, "This much was said").await;
    page.tab_to("#stop").await;
    page.press(Key::Enter).await;
    page.bad_end(3).await;
    // The button that was pressed can't be pressed any more: the focus must not be lost with it.
    page.tab_to("#content").await;
}

async fn change_threads(page: &Page) {
    let first = page.thread().await;
    page.tab_to("#new-thread").await;
    page.press(Key::Enter).await;
    page.sees(
        "an empty conversation",
        "!document.querySelector('#messages li.message')",
    )
    .await;
    page.gets_focus("#content").await;
    page.type_text("a second thread").await;
    page.press(Key::Enter).await;
    page.answer(1).await;
    assert_ne!(page.thread().await, first);

    page.tab_to("#threads li:has([aria-current=true]) button.rename").await;
    page.press(Key::Enter).await;
    page.gets_focus("#threads input").await;
    page.run("document.activeElement.select()", Vec::new()).await;
    page.type_text("Named by hand").await;
    page.press(Key::Enter).await;
    page.sees(
        "the name",
        "document.querySelector('#threads [aria-current=true]').innerText === 'Named by hand'",
    )
    .await;
    page.gets_focus("#threads li:has([aria-current=true]) button.rename")
        .await;

    page.tab_to(DELETE).await;
    page.press(Key::Enter).await;
    page.sees("the dialog", "document.getElementById('confirm').open").await;
    page.gets_focus("#confirm button").await;
    page.press(Key::Escape).await;
    page.sees("no dialog", "!document.getElementById('confirm').open").await;
    page.gets_focus(DELETE).await;
    page.press(Key::Enter).await;
    page.gets_focus("#confirm button").await;
    page.tab_to("#confirm-yes").await;
    page.press(Key::Enter).await;
    page.sees("one thread less", "!document.body.innerText.includes('Named by hand')")
        .await;
    page.sees("the focus somewhere", "document.activeElement !== document.body")
        .await;

    page.tab_to(&format!("#threads li[data-thread=\"{first}\"] button.thread"))
        .await;
    page.press(Key::Enter).await;
    assert_eq!(page.answer(1).await, "It is 84.");
    assert_eq!(
        page.value("document.getElementById('state').dataset.state").await,
        json!("live")
    );
}
