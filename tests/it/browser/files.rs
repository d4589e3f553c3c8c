//! Files for the next message: brought by the button or dropped, kept over a reload, refused with a reason, deleted.

use std::fs;

use serde_json::{Value, json};

use super::axe::assert_open_to_all;
use super::looks::assert_fits;
use super::page::Page;
use super::{SCRIPT, browse};
use crate::server::House;

#[tokio::test]
async fn a_file_waits_for_its_message_over_a_reload_and_can_be_left_out() {
    browse(House::playing(SCRIPT), async |desk| {
        let page = desk.visitor("ada").await;
        let files = tempfile::tempdir().unwrap();
        for name in ["one.csv", "two.json"] {
            let file = files.path().join(name);
            fs::write(&file, "[1]").unwrap();
            page.attach(file.to_str().unwrap(), name).await;
        }
        page.reload().await;
        page.is_live().await;
        assert_eq!(chips(&page).await, ["one.csv", "two.json"]);
        page.click("#files li:first-child button").await;
        assert_eq!(chips(&page).await, ["two.json"]);
        page.say("look").await;
        page.answer(1).await;
        assert_eq!(chips(&page).await, [""; 0]);
        assert_eq!(page.text("#messages li[data-role=user] .files").await, "with two.json");
        page.say("again").await;
        page.answer(2).await;
        assert_eq!(page.count("#messages .files").await, 1, "the next message names none");
    })
    .await;
}

#[tokio::test]
async fn a_file_that_is_dropped_is_taken_and_one_that_is_too_large_is_refused_before_it_is_sent() {
    browse(House::playing(SCRIPT).set("limits.document_bytes=1000"), async |desk| {
        let page = desk.visitor("ada").await;
        drop_file(&page, "dropped.csv", 1000).await;
        page.sees("the chip", "document.querySelector('#files li:not(.coming)')")
            .await;
        assert_eq!(chips(&page).await, ["dropped.csv"]);
        drop_file(&page, "large.csv", 1001).await;
        page.sees(
            "why not",
            "document.querySelector('#toasts').innerText.includes('large.csv')",
        )
        .await;
        assert_eq!(chips(&page).await, ["dropped.csv"]);
        let listed = desk
            .server()
            .ask(&page.user().await, "GET", "/v1/documents", None)
            .await
            .json();
        assert_eq!(listed["documents"].as_array().unwrap().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_file_that_is_no_text_is_refused_by_the_server_and_the_reason_shown() {
    browse(House::playing(SCRIPT), async |desk| {
        desk.expect_console("status of 415");
        let page = desk.visitor("ada").await;
        let files = tempfile::tempdir().unwrap();
        let file = files.path().join("binary.csv");
        fs::write(&file, [0xff, 0xfe, 0]).unwrap();
        page.find("#choose-files")
            .await
            .send_keys(file.to_str().unwrap())
            .await
            .unwrap();
        page.sees(
            "why not",
            "document.querySelector('#toasts').innerText.includes('binary.csv was not taken')",
        )
        .await;
        assert_eq!(chips(&page).await, [""; 0]);
    })
    .await;
}

#[tokio::test]
async fn ones_files_are_listed_used_again_and_deleted() {
    browse(House::playing(SCRIPT), async |desk| {
        let page = desk.phone("ada").await;
        let files = tempfile::tempdir().unwrap();
        let name = "a name that is far longer than any phone is wide, and has no end at all.csv";
        let file = files.path().join(name);
        fs::write(&file, "a,b\n1,2\n").unwrap();
        page.attach(file.to_str().unwrap(), name).await;
        assert_fits(&page, 390).await;
        page.say("look").await;
        page.answer(1).await;
        page.click("#toggle-threads").await;
        page.click("#show-files").await;
        page.sees(
            "the list",
            "document.querySelector('#all-files[open] #documents button')",
        )
        .await;
        assert_open_to_all(&page, "the list of files").await;
        assert_fits_in_dialog(&page).await;
        page.click("#documents button").await;
        assert_eq!(chips(&page).await, [name], "it is used again");
        page.press(fantoccini::key::Key::Escape).await;
        page.click("#toggle-threads").await;
        page.click("#show-files").await;
        page.click("#documents button:last-child").await;
        page.sees(
            "none",
            "document.getElementById('documents').innerText.includes('none')",
        )
        .await;
        assert_eq!(chips(&page).await, [""; 0], "what is gone can't be named");
        let listed = desk
            .server()
            .ask(&page.user().await, "GET", "/v1/documents", None)
            .await
            .json();
        assert_eq!(listed, json!({ "documents": [] }));
    })
    .await;
}

/// The names on the chips.
async fn chips(page: &Page) -> Vec<String> {
    let names = "[...document.querySelectorAll('#files li')].map((chip) => chip.firstChild.textContent)";
    serde_json::from_value(page.value(names).await).unwrap()
}

/// Drops a file of so many bytes on the conversation, as a person's mouse would.
async fn drop_file(page: &Page, name: &str, bytes: usize) {
    let script = "
        const [name, bytes] = arguments;
        const dataTransfer = new DataTransfer();
        dataTransfer.items.add(new File(['x'.repeat(bytes)], name, { type: 'text/csv' }));
        for (const type of ['dragover', 'drop']) {
            const event = new DragEvent(type, { dataTransfer, bubbles: true, cancelable: true });
            document.getElementById('scroll').dispatchEvent(event);
        }";
    page.run(script, vec![Value::from(name), Value::from(bytes)]).await;
}

async fn assert_fits_in_dialog(page: &Page) {
    let fits = "(() => { const dialog = document.getElementById('all-files');
        return dialog.scrollWidth <= dialog.clientWidth && dialog.getBoundingClientRect().right <= innerWidth; })()";
    assert_eq!(page.value(fits).await, json!(true), "the dialog is scrolled sideways");
}
