//! What axe-core finds that keeps people out, in each state of the page, light and dark.

use serde::Deserialize;
use serde_json::json;

use super::page::Page;
use super::{SCRIPT, browse};
use crate::server::House;

/// axe-core by Deque Systems, under the Mozilla Public License 2.0; as published, its notice included.
const AXE: &str = include_str!("axe.min.js");

/// One rule that is broken, and where.
#[derive(Debug, Deserialize)]
struct Violation {
    id: String,
    impact: String,
    #[expect(dead_code, reason = "for whoever reads the failure")]
    places: Vec<String>,
}

impl Violation {
    /// Whether it makes something hard or impossible for somebody.
    fn is_grave(&self) -> bool {
        matches!(self.impact.as_str(), "serious" | "critical")
    }
}

#[tokio::test]
async fn nothing_on_the_page_keeps_anybody_out() {
    browse(House::playing(SCRIPT).set("limits.queued_per_thread=1"), async |desk| {
        let page = desk.visitor("ada").await;
        let mut found = Vec::new();
        examine(&page, "empty", &mut found).await;

        page.say("sum").await;
        page.answer(1).await;
        page.click("#messages details.tool summary").await;
        page.say("markdown").await;
        page.answer(2).await;
        page.say("break").await;
        page.bad_end(3).await;
        if page.value("!document.getElementById('timeline').hidden").await == json!(true) {
            page.click("#toggle-timeline").await;
        }
        examine(&page, "a conversation", &mut found).await;

        page.open_timeline().await;
        page.click("#events summary").await;
        examine(&page, "the timeline", &mut found).await;

        page.click("#threads button.delete").await;
        page.sees("the dialog", "document.getElementById('confirm').open").await;
        examine(&page, "a dialog", &mut found).await;
        page.click("#confirm-no").await;

        page.say("hang").await;
        page.reads(4, "This much was said").await;
        let too_long = "const field = document.getElementById('content');
            field.value = 'long words '.repeat(10000);
            field.dispatchEvent(new InputEvent('input', { bubbles: true }));";
        page.run(too_long, Vec::new()).await;
        page.click("#send").await;
        page.sees("a toast", "document.querySelector('#toasts .toast')").await;
        examine(&page, "a toast beside a run", &mut found).await;

        page.be_a_phone().await;
        page.click("#toggle-threads").await;
        examine(&page, "the drawer of a phone", &mut found).await;

        let grave = found.iter().any(|(_, violation)| violation.is_grave());
        assert!(!grave, "{found:#?}");
        // Lesser ones are no failure, but whoever reads on may want to know.
        found
            .iter()
            .for_each(|(state, violation)| println!("{state}: {violation:?}"));
    })
    .await;
}

#[tokio::test]
async fn axe_finds_what_is_broken() {
    browse(House::new(), async |desk| {
        let page = desk.visitor("ada").await;
        page.run("document.getElementById('content').removeAttribute('aria-label'); document.getElementById('content').removeAttribute('placeholder')", Vec::new())
            .await;
        let mut found = Vec::new();
        examine(&page, "broken", &mut found).await;
        assert!(found.iter().any(|(_, violation)| violation.id == "label" && violation.is_grave()), "{found:#?}");
    })
    .await;
}

/// Checks that nothing keeps anybody out in this state.
pub async fn assert_open_to_all(page: &Page, state: &str) {
    let mut found = Vec::new();
    examine(page, state, &mut found).await;
    assert!(!found.iter().any(|(_, violation)| violation.is_grave()), "{found:#?}");
}

/// Adds what axe finds in this state, in both colour schemes.
async fn examine(page: &Page, state: &str, found: &mut Vec<(String, Violation)>) {
    page.run(&format!("if (!window.axe) {{ {AXE} }}"), Vec::new()).await;
    let ask = "
        const done = arguments[0];
        const place = ({ target, any, all, none, failureSummary }) => `${target.join(' ')}: ${failureSummary}`;
        axe.run(document, { resultTypes: ['violations'] }).then(
            ({ violations }) => done(violations.map(({ id, impact, nodes }) => ({ id, impact, places: nodes.map(place) }))),
            (error) => done(String(error)),
        );";
    for scheme in ["light", "dark"] {
        page.prefer(scheme).await;
        let answer = page.client.execute_async(ask, Vec::new()).await.unwrap();
        let violations: Vec<Violation> = serde_json::from_value(answer.clone()).unwrap_or_else(|_| panic!("{answer}"));
        found.extend(violations.into_iter().map(|one| (format!("{state}, {scheme}"), one)));
    }
}
