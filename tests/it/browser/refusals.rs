//! What the server or the page refuses, and how that is said.

use serde_json::json;

use super::{SCRIPT, browse};
use crate::server::House;

#[tokio::test]
async fn a_refused_message_shows_the_servers_sentence_and_can_be_sent_again() {
    let house = House::playing(SCRIPT).set("limits.queued_per_thread=1");
    browse(house, async |desk| {
        let page = desk.visitor("ada").await;
        page.say("hang").await;
        page.reads(1, "This much was said").await;
        page.say("the first that waits").await;
        page.sees(
            "the message that waits",
            "document.querySelectorAll('#messages li[data-role=user]').length === 2",
        )
        .await;
        page.say("one too many").await;
        page.sees("a toast", "document.querySelector('#toasts .toast')").await;
        let frames = page.frames().await;
        let refusal = frames.iter().rfind(|frame| frame["type"] == "error").unwrap();
        assert_eq!(refusal["payload"]["code"], "queue_full");
        let sentence = refusal["payload"]["message"].as_str().unwrap();
        let toast = page.text("#toasts .toast").await;
        assert!(toast.contains(sentence), "{toast:?} for {sentence:?}");
        page.click("#toasts .toast button").await;
        page.sees("no toast", "!document.querySelector('#toasts .toast')").await;
        // The words stand where they were said, and are sent once more when asked to.
        page.click("#stop").await;
        page.bad_end(1).await;
        page.click("#messages li[data-role=user] button.retry").await;
        let answered = "document.getElementById('messages').textContent.includes('You said: one too many')";
        page.sees("the answer", answered).await;
        let said = "[...document.querySelectorAll('#messages li[data-role=user] .text')].map((said) => said.innerText)";
        assert_eq!(
            page.value(said).await,
            json!(["hang", "the first that waits", "one too many"])
        );
    })
    .await;
}

#[tokio::test]
async fn a_flood_of_messages_is_slowed_down_and_each_is_answered_once() {
    let house = House::playing(SCRIPT)
        .set("limits.messages_per_second=1")
        .set("limits.message_burst=1");
    browse(house, async |desk| {
        let page = desk.visitor("ada").await;
        // All in one breath, faster than any keyboard.
        let flood = "for (let number = 1; number <= 5; number += 1) {
            document.getElementById('content').value = `number ${number}`;
            document.getElementById('composer').requestSubmit();
        }";
        page.run(flood, Vec::new()).await;
        page.sees(
            "all answers",
            "document.querySelectorAll('#messages .text[data-rendered]').length === 5",
        )
        .await;
        let texts = "[...document.querySelectorAll('#messages li.message .text')].map((text) => text.innerText.trim())";
        let mut expected = Vec::new();
        for number in 1..=5 {
            expected.extend([format!("number {number}"), format!("You said: number {number}")]);
        }
        assert_eq!(page.value(texts).await, json!(expected));
        let frames = page.frames().await;
        let refused = frames.iter().any(|frame| frame["payload"]["code"] == "rate_limited");
        assert!(refused, "no message was beyond the rate");
    })
    .await;
}

#[tokio::test]
async fn a_message_that_is_too_long_is_refused_with_a_sentence_and_stays_in_the_field() {
    browse(House::playing(SCRIPT), async |desk| {
        let page = desk.visitor("ada").await;
        let write = "const field = document.getElementById('content');
            field.value = 'long words '.repeat(arguments[0]);
            field.dispatchEvent(new InputEvent('input', { bubbles: true }));
            field.focus();";
        page.run(write, vec![json!(10_000)]).await;
        page.click("#send").await;
        page.sees("a toast", "document.querySelector('#toasts .toast')").await;
        let toast = page.text("#toasts .toast").await;
        assert!(toast.contains("64 KiB"), "{toast}");
        let kept = page.value("document.getElementById('content').value.length").await;
        assert_eq!(kept, json!(110_000), "the draft");
        assert_eq!(page.count("#messages li.message").await, 0);
        page.run(write, vec![json!(0)]).await;
        page.say("a shorter one").await;
        assert_eq!(page.answer(1).await, "You said: a shorter one");
    })
    .await;
}

#[tokio::test]
async fn an_empty_message_is_not_sent_and_shift_with_enter_breaks_the_line() {
    browse(House::playing(SCRIPT), async |desk| {
        let page = desk.visitor("ada").await;
        page.say("").await;
        page.say("   ").await;
        page.run("document.getElementById('content').value = ''", Vec::new())
            .await;
        page.write("one").await;
        page.new_line().await;
        page.say("two").await;
        assert_eq!(page.answer(1).await, "You said: one\ntwo");
        assert_eq!(page.count("#messages li.message").await, 2);
    })
    .await;
}
