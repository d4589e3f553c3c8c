//! What a page makes of being cut off: reloaded, without a server, without a network.

use serde_json::json;

use super::page::Page;
use super::wire::Wire;
use super::{Desk, SCRIPT, browse};
use crate::server::House;

#[tokio::test]
async fn a_page_that_is_reloaded_in_mid_answer_has_the_whole_answer_once() {
    browse(House::playing(SCRIPT), async |desk| {
        let page = desk.visitor("ada").await;
        page.say("tooled").await;
        page.reads(1, "lorem ipsum lorem").await;
        let thread = page.thread().await;
        page.write("half a sentence").await;
        page.reload().await;
        page.run(COUNT_BEGINNINGS, Vec::new()).await;
        page.is_live().await;
        let shown = page.answer(1).await;
        assert_eq!(
            page.value("window.mostBeginnings").await,
            1,
            "its beginning was shown more than once"
        );
        assert_eq!(page.thread().await, thread);
        assert_eq!(page.draft().await, "half a sentence");
        assert_eq!([shown], answers_kept(desk, &page).await[..]);
        assert_eq!(conversation(&page).await, (1, 1, 1));
        page.sees(
            "the card's status",
            "document.querySelector('#messages details.tool[data-status=ok]')",
        )
        .await;
        // And once it has ended.
        page.reload().await;
        page.answer(1).await;
        assert_eq!(conversation(&page).await, (1, 1, 1));
        page.say(" and the rest").await;
        assert_eq!(page.answer(2).await, "You said: half a sentence and the rest");
        assert_eq!(page.draft().await, "");
    })
    .await;
}

#[tokio::test]
async fn an_answer_of_more_events_than_are_asked_for_again_goes_on_after_a_reload() {
    // Each piece of text is an event of its own.
    let house = House::playing(SCRIPT).set("limits.text_flush_bytes=1");
    browse(house, async |desk| {
        let page = desk.visitor("ada").await;
        page.open_timeline().await;
        page.say("endless").await;
        page.sees("many events", "document.querySelector('#events li[data-seq=\"230\"]')")
            .await;
        page.reload().await;
        page.is_live().await;
        // Neither its beginning nor what comes now is missing while it is being written.
        page.reads(1, "It begins. ").await;
        let words = "document.querySelector('#messages [data-role=assistant] .text').textContent.length";
        let before = page.value(words).await;
        page.sees("the text grow", &format!("{words} > {before}")).await;
        page.click("#stop").await;
        page.bad_end(1).await;
        let shown = page.answer(1).await;
        assert_eq!([shown], answers_kept(desk, &page).await[..]);
        // Its end is among the events that are asked for again, its beginning is not.
        page.reload().await;
        page.is_live().await;
        page.bad_end(1).await;
        let shown = page.answer(1).await;
        assert_eq!([shown], answers_kept(desk, &page).await[..]);
    })
    .await;
}

#[tokio::test]
async fn messages_that_wait_are_shown_after_a_reload_and_answered_where_they_stand() {
    browse(House::playing(SCRIPT), async |desk| {
        let page = desk.visitor("ada").await;
        page.say("hang").await;
        page.reads(1, "This much was said").await;
        page.say("the first that waits").await;
        page.say("linger").await;
        let waiting = "document.querySelectorAll('#messages li[data-role=user][data-state=queued]').length === 2";
        page.sees("two messages that wait", waiting).await;
        page.reload().await;
        page.is_live().await;
        page.reads(1, "This much was said").await;
        page.sees("two messages that wait", waiting).await;
        // Its queue goes with it: each message keeps its place, and is told what became of it.
        page.click("#stop").await;
        page.bad_end(3).await;
        let said = "[...document.querySelectorAll('#messages li.message')].map((said) => said.dataset.role)";
        let turn = ["user", "assistant"];
        assert_eq!(page.value(said).await, serde_json::json!([turn, turn, turn].concat()));
    })
    .await;
}

#[tokio::test]
async fn a_run_that_was_cut_with_its_server_is_told_and_can_be_asked_for_again() {
    browse(House::playing(SCRIPT), async |desk| {
        let page = desk.visitor("ada").await;
        page.say("linger").await;
        page.reads(1, "Nearly").await;
        page.watch_states().await;
        desk.kill_server().await;
        page.is("waiting").await;
        // What is written in the meantime is sent later.
        page.say("are you back?").await;
        desk.start_server().await;
        page.has_come_back().await;
        let end = page.bad_end(1).await;
        assert!(end.contains("the server went down during this run"), "{end}");
        assert_eq!(page.answer(2).await, "You said: are you back?");
        page.click("#messages li[data-role=assistant] button.retry").await;
        assert_eq!(page.answer(3).await, "Nearly done.");
        assert_eq!(conversation(&page).await, (3, 3, 0));
        let kept = answers_kept(desk, &page).await;
        assert_eq!(kept, ["Nearly", "You said: are you back?", "Nearly done."]);
    })
    .await;
}

#[tokio::test]
async fn a_server_that_restarts_in_good_order_ends_its_answers_first() {
    browse(House::playing(SCRIPT), async |desk| {
        let page = desk.visitor("ada").await;
        page.say("linger").await;
        page.reads(1, "Nearly").await;
        page.watch_states().await;
        desk.restart_server().await;
        page.has_come_back().await;
        assert_eq!(page.answer(1).await, "Nearly done.");
        page.say("and now?").await;
        assert_eq!(page.answer(2).await, "You said: and now?");
        assert_eq!(conversation(&page).await, (2, 2, 0));
    })
    .await;
}

#[tokio::test]
async fn a_page_that_finds_its_server_away_says_so_and_connects_by_itself_later() {
    browse(House::new(), async |desk| {
        let page = desk.browser("ada").await;
        // The page itself comes from the server: it was there for a moment.
        desk.expect_console("/v1/tickets");
        page.devtools("Network.enable", json!({})).await;
        block(&page, &["*/v1/tickets*"]).await;
        page.open("/").await;
        page.is("waiting").await;
        let told = page.text("#state").await;
        assert!(told.contains("away"), "{told}");
        block(&page, &[]).await;
        page.is_live().await;
        page.say("what is 2 + 3?").await;
        assert_eq!(page.answer(1).await, "2 + 3 = 5.");
    })
    .await;
}

#[tokio::test]
async fn a_page_whose_server_has_lost_everything_begins_anew() {
    browse(House::playing(SCRIPT).set("journal.kind=memory"), async |desk| {
        let page = desk.visitor("ada").await;
        page.say("hello").await;
        page.answer(1).await;
        page.watch_states().await;
        desk.kill_server().await;
        page.is("waiting").await;
        desk.start_server().await;
        page.has_come_back().await;
        page.sees(
            "an empty conversation",
            "!document.querySelector('#messages li.message')",
        )
        .await;
        page.say("who are you?").await;
        assert_eq!(page.answer(1).await, "You said: who are you?");
        assert_eq!(conversation(&page).await, (1, 1, 0));
    })
    .await;
}

#[tokio::test]
async fn a_page_whose_line_is_cut_in_mid_answer_goes_on_where_it_was() {
    browse(House::playing(SCRIPT), async |desk| {
        let wire = Wire::to(desk.server().address).await;
        let page = desk.browser_of("ada", wire.address).await;
        page.open("/").await;
        page.is_live().await;
        page.say("tooled").await;
        page.reads(1, "lorem ipsum lorem").await;
        page.watch_states().await;
        page.run(COUNT_BEGINNINGS, Vec::new()).await;
        desk.expect_cuts();
        for _ in 0..2 {
            wire.cut();
            page.is("waiting").await;
            wire.mend();
            page.has_come_back().await;
        }
        let shown = page.answer(1).await;
        assert_eq!(shown, format!("It is 84. {}", "lorem ipsum ".repeat(100)).trim());
        assert_eq!(
            page.value("window.mostBeginnings").await,
            1,
            "its beginning was shown more than once"
        );
        assert_eq!([shown], answers_kept(desk, &page).await[..]);
        // What is written while the line is cut is sent once.
        wire.cut();
        page.is("waiting").await;
        page.say("are you there?").await;
        wire.mend();
        assert_eq!(page.answer(2).await, "You said: are you there?");
        assert_eq!(conversation(&page).await, (2, 2, 1));
    })
    .await;
}

/// Counts, from now on, how often the beginning of the answer is shown at once, at most.
const COUNT_BEGINNINGS: &str = "
    const messages = document.getElementById('messages');
    window.mostBeginnings = 0;
    const count = () => {
        const found = messages.textContent.split('It is 84.').length - 1;
        window.mostBeginnings = Math.max(window.mostBeginnings, found);
    };
    new MutationObserver(count).observe(messages, { childList: true, characterData: true, subtree: true });
    count();";

/// How many messages of the user, answers, and tool cards are shown.
async fn conversation(page: &Page) -> (usize, usize, usize) {
    let messages = |role| format!("#messages li.message[data-role={role}]");
    (
        page.count(&messages("user")).await,
        page.count(&messages("assistant")).await,
        page.count("#messages details.tool").await,
    )
}

/// What the server has kept of the answers in the shown thread, in their order.
async fn answers_kept(desk: &Desk, page: &Page) -> Vec<String> {
    let path = format!("/v1/threads/{}/messages", page.thread().await);
    let history = desk.server().ask(&page.user().await, "GET", &path, None).await.json();
    let messages = history["messages"].as_array().unwrap().iter().rev();
    messages
        .filter(|message| message["role"] == "assistant")
        .map(|message| message["content"].as_str().unwrap().trim().to_owned())
        .collect()
}

/// Lets requests to these addresses fail, and no others.
async fn block(page: &Page, addresses: &[&str]) {
    page.devtools("Network.setBlockedURLs", json!({ "urls": addresses }))
        .await;
}
