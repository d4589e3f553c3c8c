//! Answers in Markdown: what is meant is shown, and what is written as markup does nothing.

use serde_json::{Value, json};

use super::driver::Extension;
use super::page::Page;
use super::{SCRIPT, browse};
use crate::server::House;

/// The text of the first answer.
const TEXT: &str = "#messages li.message[data-role=assistant] .text";

#[tokio::test]
async fn an_answer_in_markdown_is_shown_as_it_is_meant() {
    browse(House::playing(SCRIPT), async |desk| {
        let page = desk.visitor("ada").await;
        page.say("markdown").await;
        for _ in 0..2 {
            page.answer(1).await;
            let found = |css: &str| format!("{TEXT} {css}");
            assert_eq!(page.text(&found(":is(h1, h2, h3)")).await, "Plan");
            assert_eq!(page.text(&found("strong")).await, "this");
            assert_eq!(page.count(&found("ul li")).await, 2);
            assert_eq!(page.text(&found("th")).await, "city");
            assert_eq!(page.text(&found("td:last-child")).await, "126000");
            assert_eq!(
                page.text(&found("pre code")).await,
                "fn main() { println!(\"1 < 2\"); }"
            );
            let link = "(({ href, target, rel }) => ({ href, target, rel }))";
            let link = page
                .value(&format!("{link}(document.querySelector('{}'))", found("a")))
                .await;
            assert_eq!(link["href"], "https://example.org/more");
            assert_eq!(link["target"], "_blank");
            assert!(link["rel"].as_str().unwrap().contains("noopener"), "{link}");
            // The same once it comes from the history.
            page.reload().await;
            page.is_live().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_code_block_is_copied_by_its_button() {
    browse(House::playing(SCRIPT), async |desk| {
        let page = desk.visitor("ada").await;
        for permission in ["clipboard-read", "clipboard-write"] {
            page.client.issue_cmd(Extension::permission(permission)).await.unwrap();
        }
        page.say("markdown").await;
        page.answer(1).await;
        let copy = format!("{TEXT} button.copy");
        let label =
            format!("(({{ ariaLabel, innerText }}) => ariaLabel || innerText)(document.querySelector('{copy}'))");
        assert_eq!(page.value(&label).await, "Copy code");
        page.click(&copy).await;
        let read =
            "const done = arguments[0]; navigator.clipboard.readText().then(done, (error) => done(String(error)));";
        let copied = page.client.execute_async(read, Vec::new()).await.unwrap();
        assert_eq!(
            copied.as_str().unwrap().trim_end(),
            "fn main() { println!(\"1 < 2\"); }"
        );
    })
    .await;
}

#[tokio::test]
async fn what_a_model_writes_as_markup_does_nothing() {
    browse(House::playing(SCRIPT), async |desk| {
        let page = desk.visitor("ada").await;
        // What the user writes is no markup either.
        page.say("evil <img src=x onerror=\"window.hacked = 'mine'\"> <script>window.hacked = 'mine'</script>")
            .await;
        page.reads(1, "a picture").await;
        assert_harmless(&page).await;
        page.answer(1).await;
        assert_harmless(&page).await;
        let shown = page.text("#messages").await;
        assert!(
            shown.contains("window.hacked = 'mine'"),
            "the user's words are shown as they are: {shown}"
        );
        assert!(shown.contains("That was all."), "{shown}");
        // Whatever can still be clicked on.
        let click =
            "document.querySelectorAll('#messages .text *').forEach(one => one.matches('a[href]') || one.click())";
        page.run(click, Vec::new()).await;
        assert_harmless(&page).await;
        page.open_timeline().await;
        let open = "document.querySelectorAll('#events details').forEach(event => event.open = true)";
        page.run(open, Vec::new()).await;
        page.reload().await;
        page.is_live().await;
        page.answer(1).await;
        assert_harmless(&page).await;
        let name = "document.querySelector('#threads [aria-current=true]').innerText.includes('evil <img')";
        page.sees("the thread's name as it is", name).await;
    })
    .await;
}

/// Checks that no words of a conversation became something that acts.
async fn assert_harmless(page: &Page) {
    assert_eq!(page.value("window.hacked ?? null").await, Value::Null);
    let acting = "[...document.querySelectorAll('#messages *, #threads *, #events *, #title *')].filter((one) =>
        one.matches('script, img, iframe, svg, style, link, form, meta, base, object, embed, audio, video')
        || (one.matches('input') && one.type !== 'checkbox')
        || [...one.attributes].some(({ name }) => name.startsWith('on') || name === 'style' || name === 'ping')
        || (one.matches('a') && one.hasAttribute('href') && !/^(https?|mailto):/.test(one.href))
    ).map((one) => one.outerHTML)";
    assert_eq!(page.value(acting).await, json!([]));
    let foreign = page.asked_elsewhere().await;
    assert!(foreign.is_empty(), "{foreign:?}");
}
