//! A server that wants to know who one is.

use fantoccini::key::Key;

use super::{SCRIPT, browse};
use crate::server::House;

#[tokio::test]
async fn a_page_of_a_server_that_wants_tokens_asks_for_one_and_keeps_it_in_its_tab() {
    browse(House::playing(SCRIPT).with_tokens(), async |desk| {
        // A page can't ask for a ticket without the browser telling of the refusal.
        desk.expect_console("status of 401");
        let (succeeded, token, err) = desk.server().house().run(&["token", "--user", "ada", "--ttl", "1h"]);
        assert!(succeeded, "{err}");
        let page = desk.browser("ada").await;
        page.open("/").await;
        page.gets_focus("#token").await;
        page.type_text("no token at all").await;
        page.press(Key::Enter).await;
        page.sees(
            "the question again",
            "document.getElementById('sign-in').open && document.getElementById('token').value === ''",
        )
        .await;
        page.gets_focus("#token").await;
        page.type_text(token.trim()).await;
        page.press(Key::Enter).await;
        page.is_live().await;
        assert_eq!(page.text("#user").await, "ada");
        page.say("hello").await;
        assert_eq!(page.answer(1).await, "You said: hello");
        page.reload().await;
        page.is_live().await;
        assert_eq!(page.answer(1).await, "You said: hello");
        // Not on the disk, where it would outlive the tab.
        let kept = "JSON.stringify({ ...localStorage }) + document.cookie + document.documentElement.outerHTML";
        assert!(!page.value(kept).await.to_string().contains(token.trim()));
    })
    .await;
}
