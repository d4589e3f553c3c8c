//! What is said and answered.

use serde_json::json;

use super::page::Page;
use super::{SCRIPT, browse};
use crate::server::House;

/// Everything that a page holds, shown or not, fields and attributes included.
const ALL: &str = "document.documentElement.outerHTML
    + [...document.querySelectorAll('input, textarea')].map(field => field.value).join()
    + JSON.stringify({ ...sessionStorage, ...localStorage })";

#[tokio::test]
async fn two_guests_chat_at_once_and_neither_sees_anything_of_the_other() {
    browse(House::new(), async |desk| {
        let ada = desk.visitor("ada").await;
        let bob = desk.visitor("bob").await;
        ada.write("my name is Adacanary").await;
        bob.say("my name is Bobcanary").await;
        ada.say("").await;
        assert!(ada.answer(1).await.contains("Nice to meet you, Adacanary"));
        assert!(bob.answer(1).await.contains("Nice to meet you, Bobcanary"));
        ada.say("remember that Adasecret").await;
        bob.say("list my notes").await;
        ada.answer(2).await;
        bob.answer(2).await;
        for (page, own, other) in [(&ada, "Adacanary", "Bobcanary"), (&bob, "Bobcanary", "Ada")] {
            open_every_event(page).await;
            let all = page.value(ALL).await.to_string();
            assert!(all.contains(own) && !all.contains(other), "{} has {all}", page.name);
        }
    })
    .await;
}

#[tokio::test]
async fn a_stopped_answer_keeps_what_was_said_and_the_next_message_is_answered() {
    browse(House::playing(SCRIPT), async |desk| {
        let page = desk.visitor("ada").await;
        page.say("hang").await;
        page.reads(1, "This much was said").await;
        page.click("#stop").await;
        let end = page.bad_end(1).await;
        assert!(end.to_lowercase().contains("stopped"), "{end}");
        page.reads(1, "This much was said").await;
        page.sees(
            "that nothing is to be stopped",
            "document.getElementById('stop').matches(':disabled, [hidden]')",
        )
        .await;
        page.say("and now?").await;
        assert_eq!(page.answer(2).await, "You said: and now?");
        // What the agent has written so far grows while it writes: a person can read along.
        page.say("linger").await;
        page.reads(3, "Nearly").await;
        assert_eq!(
            page.value("document.getElementById('stop').disabled").await,
            json!(false)
        );
        assert_eq!(page.answer(3).await, "Nearly done.");
    })
    .await;
}

#[tokio::test]
async fn messages_that_wait_are_answered_in_their_order_or_stopped_with_the_run_before_them() {
    browse(House::playing(SCRIPT), async |desk| {
        let page = desk.visitor("ada").await;
        for said in ["linger", "second", "third"] {
            page.say(said).await;
        }
        for (place, answer) in ["Nearly done.", "You said: second", "You said: third"]
            .iter()
            .enumerate()
        {
            assert_eq!(page.answer(place + 1).await, *answer);
        }
        page.say("hang").await;
        page.reads(4, "This much was said").await;
        page.say("fifth").await;
        page.sees(
            "the message that waits",
            "document.querySelectorAll('#messages li[data-role=user]').length === 5",
        )
        .await;
        page.sees(
            "that it was taken",
            "document.querySelector('#messages li[data-role=user]:last-child').dataset.run",
        )
        .await;
        page.click("#stop").await;
        for place in [4, 5] {
            let end = page.bad_end(place).await;
            assert!(end.to_lowercase().contains("stopped"), "{end}");
        }
        let order = "[...document.querySelectorAll('#messages li.message')].map(({ dataset }) => dataset.role).join()";
        assert_eq!(page.value(order).await, ["user,assistant"; 5].join(","));
    })
    .await;
}

#[tokio::test]
async fn the_end_is_followed_but_whoever_reads_further_up_is_not_pulled_down() {
    browse(House::playing(SCRIPT), async |desk| {
        let page = desk.visitor("ada").await;
        for answered in 1..=3 {
            page.say("markdown").await;
            page.answer(answered).await;
        }
        let scroll = "document.getElementById('scroll')";
        let from_end = format!("{scroll}.scrollHeight - {scroll}.scrollTop - {scroll}.clientHeight");
        page.sees("the end", &format!("{from_end} < 5 && {scroll}.scrollTop > 200"))
            .await;
        page.say("long").await;
        page.reads(4, "lorem ipsum").await;
        page.sees("the end", &format!("{from_end} < 5")).await;
        page.run(&format!("{scroll}.scrollTop = 0"), Vec::new()).await;
        page.answer(4).await;
        assert_eq!(page.value(&format!("{scroll}.scrollTop")).await, json!(0));
        // Whoever writes wants to see the answer.
        page.say("and now?").await;
        page.answer(5).await;
        page.sees("the end", &format!("{from_end} < 5")).await;
    })
    .await;
}

#[tokio::test]
async fn a_tool_call_is_a_card_with_its_arguments_result_status_and_time() {
    browse(House::playing(SCRIPT), async |desk| {
        let page = desk.visitor("ada").await;
        page.say("sum").await;
        assert_eq!(page.answer(1).await, "It is 84.");
        page.reads(1, "I need the calculator.").await;
        let (summary, arguments, result) = card(&page, 1, "ok").await;
        assert!(summary.contains("calculator") && says_a_time(&summary), "{summary}");
        assert!(
            arguments.contains("expression") && arguments.contains("12 * (3 + 4)"),
            "{arguments}"
        );
        assert!(result.contains("84"), "{result}");

        page.say("divide").await;
        assert_eq!(page.answer(2).await, "That did not work.");
        let (summary, arguments, result) = card(&page, 2, "error").await;
        assert!(summary.contains("calculator") && says_a_time(&summary), "{summary}");
        assert!(arguments.contains("1 / 0"), "{arguments}");
        assert!(result.contains("it divides by zero"), "{result}");
    })
    .await;
}

#[tokio::test]
async fn an_answer_that_breaks_off_says_why_and_can_be_asked_for_again() {
    browse(House::playing(SCRIPT), async |desk| {
        let page = desk.visitor("ada").await;
        page.say("break").await;
        let first = page.bad_end(1).await;
        page.reads(1, "This much was said").await;
        page.click("#messages li[data-role=assistant] button.retry").await;
        assert_eq!(page.bad_end(2).await, first);
        assert_eq!(page.count("#messages li.message[data-role=user]").await, 2);
    })
    .await;
}

/// The card in the `nth` answer, opened: its summary, arguments and result.
async fn card(page: &Page, nth: usize, status: &str) -> (String, String, String) {
    let answer = format!("document.querySelectorAll('#messages li.message[data-role=assistant]')[{nth} - 1]");
    let card = format!("{answer}.querySelector('details.tool[data-status={status}]')");
    page.sees(&format!("a card with status {status}"), &card).await;
    page.run(&format!("{card}.querySelector('summary').click()"), Vec::new())
        .await;
    page.sees("the open card", &format!("{card}.querySelector('.result').innerText"))
        .await;
    let parts = format!("['summary', '.arguments', '.result'].map(part => {card}.querySelector(part).innerText)");
    let parts: [String; 3] = serde_json::from_value(page.value(&parts).await).unwrap();
    parts.into()
}

/// Whether a duration stands in the text.
fn says_a_time(text: &str) -> bool {
    let mut words = text.split_whitespace().rev();
    words.any(|word| word == "ms" || word == "s" || word.trim_end_matches(['m', 's']).parse::<f64>().is_ok())
}

/// Lets the timeline show all that it has of each event.
async fn open_every_event(page: &Page) {
    page.open_timeline().await;
    let open = "document.querySelectorAll('#events details').forEach(event => event.open = true)";
    page.run(open, Vec::new()).await;
    let all_open = "[...document.querySelectorAll('#events details')].every(event => event.querySelector('pre'))";
    page.sees("every event whole", all_open).await;
}
