//! Two tabs of one user: two sessions, one list of threads.

use super::{SCRIPT, browse};
use crate::server::House;

#[tokio::test]
async fn a_run_in_one_tab_is_told_in_the_other_and_its_answer_comes_by_itself() {
    browse(House::playing(SCRIPT), async |desk| {
        let page = desk.visitor("ada").await;
        let first = page.tab().await;
        page.say("hello").await;
        page.answer(1).await;
        let thread = page.thread().await;
        let entry = format!("#threads li[data-thread=\"{thread}\"]");

        let second = page.second_tab().await;
        page.open("/").await;
        page.is_live().await;
        page.click(&format!("{entry} button.thread")).await;
        assert_eq!(page.answer(1).await, "You said: hello");

        page.look_at(&first).await;
        page.say("linger").await;
        page.reads(2, "Nearly").await;
        page.look_at(&second).await;
        page.sees(
            "that something goes on elsewhere",
            "document.querySelector('.elsewhere')",
        )
        .await;
        page.sees("the mark", &format!("document.querySelector('{entry}[data-running]')"))
            .await;
        assert_eq!(page.answer(2).await, "Nearly done.");
        page.sees("that it is over", "!document.querySelector('.elsewhere')")
            .await;
        page.sees("no mark", &format!("!document.querySelector('{entry}[data-running]')"))
            .await;
        assert_eq!(page.count("#messages li.message").await, 4);

        // And the other way round.
        page.say("thanks").await;
        assert_eq!(page.answer(3).await, "You said: thanks");
        page.look_at(&first).await;
        assert_eq!(page.answer(3).await, "You said: thanks");
        assert_eq!(page.count("#messages li.message").await, 6);
        assert_eq!(
            page.value("document.getElementById('state').dataset.state").await,
            "live"
        );
    })
    .await;
}

#[tokio::test]
async fn a_run_that_ends_without_a_word_in_one_tab_is_over_in_the_other() {
    browse(House::playing(SCRIPT), async |desk| {
        let page = desk.visitor("ada").await;
        let first = page.tab().await;
        page.say("mute").await;
        page.sees("the run", "document.querySelector('#threads li[data-running]')")
            .await;
        let thread = page.thread().await;

        let second = page.second_tab().await;
        page.open("/").await;
        page.is_live().await;
        page.go_to(&thread).await;
        page.sees(
            "that something goes on elsewhere",
            "document.querySelector('.elsewhere')",
        )
        .await;
        page.look_at(&first).await;
        page.click("#stop").await;
        page.bad_end(1).await;
        page.look_at(&second).await;
        page.sees("that it is over", "!document.querySelector('.elsewhere')")
            .await;
        page.bad_end(1).await;
        page.sees("no mark", "!document.querySelector('#threads li[data-running]')")
            .await;
    })
    .await;
}

#[tokio::test]
async fn a_thread_that_one_tab_deletes_is_not_shown_on_in_the_other() {
    browse(House::playing(SCRIPT), async |desk| {
        let page = desk.visitor("ada").await;
        let first = page.tab().await;
        let empty = "!document.querySelector('#messages li.message')";
        let mut second = None;
        // At work, then at rest.
        for words in ["hang", "hello"] {
            page.say(words).await;
            page.sees("words", "document.querySelector('#messages .text:not(:empty)')")
                .await;
            if words == "hello" {
                page.answer(1).await;
            }
            let thread = page.thread().await;
            let entry = format!("#threads li[data-thread=\"{thread}\"]");
            let other = match second.take() {
                Some(other) => other,
                None => {
                    let other = page.second_tab().await;
                    page.open("/").await;
                    page.is_live().await;
                    other
                }
            };
            page.look_at(&other).await;
            page.run("dispatchEvent(new Event('focus'))", Vec::new()).await;
            page.click(&format!("{entry} button.delete")).await;
            page.click("#confirm-yes").await;
            page.sees("that it is gone", &format!("!document.querySelector('{entry}')"))
                .await;
            second = Some(other);
            page.look_at(&first).await;
            page.run("dispatchEvent(new Event('focus'))", Vec::new()).await;
            page.sees("an empty conversation", empty).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_tab_goes_on_in_its_own_session_after_a_reload_and_another_tab_has_another() {
    browse(House::new(), async |desk| {
        let page = desk.visitor("ada").await;
        let session = "JSON.parse(sessionStorage.getItem('session')).id";
        let first = page.sees("its session", session).await;
        page.reload().await;
        page.is_live().await;
        assert_eq!(page.sees("its session", session).await, first);
        page.second_tab().await;
        page.open("/").await;
        page.is_live().await;
        let second = page.sees("its session", session).await;
        assert_ne!(second, first);
        // A tab that is opened by a page begins with a copy of that page's storage.
        let before = page.client.windows().await.unwrap();
        page.run("window.open('/')", Vec::new()).await;
        let now = page.client.windows().await.unwrap();
        let copy = now.iter().find(|tab| !before.contains(tab)).unwrap();
        page.look_at(copy).await;
        page.is_live().await;
        page.sees(
            "a session of its own",
            &format!("![{first}, {second}].includes({session})"),
        )
        .await;
        page.look_at(&before[1]).await;
        page.is_live().await;
        assert_eq!(page.sees("its session", session).await, second);
    })
    .await;
}
