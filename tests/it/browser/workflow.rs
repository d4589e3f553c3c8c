//! A question about a file, worked on in steps by several agents.

use serde_json::json;

use super::axe::assert_open_to_all;
use super::browse;
use super::looks::assert_fits;
use super::page::Page;
use crate::server::House;

/// The example that comes with the project, and what is asked of it.
pub const USAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/usage.csv");
const QUESTION: &str = "where does the money go, and what can we save?";

/// The report of the first turn: its own words, not those of an agent within.
const REPORT: &str = "document.querySelector('#messages > li[data-role=assistant] > .text[data-rendered]')";

#[tokio::test]
async fn a_question_about_a_file_is_worked_on_in_steps_and_answered_by_a_report_with_the_tools_figures() {
    browse(House::new(), async |desk| {
        let page = desk.visitor("ada").await;
        page.attach(USAGE, "usage.csv").await;
        page.choose("supervisor").await;
        page.say(QUESTION).await;
        page.sees("that the chip is used up", "!document.querySelector('#files li')")
            .await;
        page.sees("the report", REPORT).await;
        page.sees(
            "the file in the message",
            "document.querySelector('#messages li[data-role=user] .files').textContent.includes('usage.csv')",
        )
        .await;
        assert_eq!(
            steps(&page).await,
            ["triage", "sequence", "data", "optimization", "actions", "reporting"].map(|step| format!("{step} done")),
        );
        // The child that works for a step stands in it, closed by now, with its tool's card.
        let child = "[...document.querySelectorAll('.parts > li')]
            .findLast((part) => part.querySelector('b').textContent === 'data').querySelector('details.child')";
        assert_eq!(page.value(&format!("{child}.open")).await, json!(false));
        let figure = format!(
            "/\"totals\":[^}}]*\"cost_usd_rounded\": \"([0-9.]+)\"/.exec({child}.querySelector('.tool .result').textContent)[1]"
        );
        let figure = page.value(&figure).await;
        let figure = figure.as_str().unwrap();
        let report = page.value(&format!("{REPORT}.innerText")).await;
        let report = report.as_str().unwrap();
        assert!(report.contains(&format!("they cost ${figure}")), "{figure} in {report}");
        assert!(report.contains("What could be saved"), "{report}");
        page.sees("what it took", "document.querySelector('.took').textContent.includes('s')")
            .await;

        // A reload loses nothing of it.
        page.reload().await;
        page.is_live().await;
        page.sees("the report again", &format!("{REPORT}.innerText.includes('they cost ${figure}')"))
            .await;
        assert_eq!(page.count("#messages > li[data-role=assistant]").await, 1);
        assert_eq!(steps(&page).await.len(), 6);
    })
    .await;
}

#[tokio::test]
async fn a_question_without_a_file_is_answered_by_what_is_missing() {
    browse(House::new(), async |desk| {
        let page = desk.visitor("ada").await;
        page.choose("supervisor").await;
        page.say(QUESTION).await;
        page.sees("the report", REPORT).await;
        let report = page.value(&format!("{REPORT}.innerText")).await;
        let report = report.as_str().unwrap();
        assert!(
            report.contains("What is missing") && report.contains("Needed: model"),
            "{report}"
        );
        assert!(!report.contains('$'), "no figure without data: {report}");
    })
    .await;
}

#[tokio::test]
async fn steps_keep_nobody_out_and_fit_a_phone() {
    browse(House::new(), async |desk| {
        let page = desk.phone("ada").await;
        page.attach(USAGE, "usage.csv").await;
        assert_fits(&page, 390).await;
        page.choose("supervisor").await;
        page.say(QUESTION).await;
        page.sees("the report", REPORT).await;
        let open = "document.querySelectorAll('details.child, details.child details.tool').forEach((one) => (one.open = true))";
        page.run(open, Vec::new()).await;
        assert_fits(&page, 390).await;
        assert_open_to_all(&page, "steps, opened").await;
    })
    .await;
}

/// Each step with its state, in the order in which they are shown.
async fn steps(page: &Page) -> Vec<String> {
    let shown = "[...document.querySelectorAll('.parts > li')].map((part) => part.querySelector('p').innerText.trim())";
    serde_json::from_value(page.value(shown).await).unwrap()
}

impl Page {
    /// Brings a file to the server by its button, and waits until its chip is there.
    pub async fn attach(&self, file: &str, name: &str) {
        self.find("#choose-files").await.send_keys(file).await.unwrap();
        let chip = format!(
            "document.querySelector('#files li:last-child:not(.coming)').innerText.includes({})",
            json!(name)
        );
        self.sees("the chip", &chip).await;
    }

    /// Picks who answers.
    pub async fn choose(&self, agent: &str) {
        self.sees("the agents", "document.querySelector('#agent option')").await;
        let chosen = self.find("#agent").await.select_by_value(agent).await;
        chosen.unwrap();
    }
}
