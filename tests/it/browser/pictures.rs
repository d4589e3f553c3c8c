//! The pictures in README.md, and whether these tests can fail.

use std::path::Path;

use serde_json::json;

use super::browse;
use super::page::Page;
use crate::server::House;

#[tokio::test]
async fn a_request_to_another_host_is_seen_and_goes_nowhere() {
    browse(House::new(), async |desk| {
        let page = desk.visitor("ada").await;
        let away = page.client.goto("http://example.org/").await;
        assert!(away.is_err_and(|error| error.to_string().contains("ERR_NAME_NOT_RESOLVED")));
        let asked = page.asked_elsewhere().await;
        assert!(asked.contains(&"http://example.org/".to_owned()), "{asked:?}");
        page.traffic.borrow_mut().clear();
    })
    .await;
}

#[tokio::test]
#[ignore = "writes pictures into examples/"]
async fn pictures_of_the_page() {
    browse(House::new(), async |desk| {
        let page = desk.visitor("you").await;
        let screen = json!({ "width": 1280, "height": 800, "deviceScaleFactor": 1, "mobile": false });
        page.devtools("Emulation.setDeviceMetricsOverride", screen).await;
        page.say("Remember that the key is under the mat").await;
        page.answer(1).await;
        page.click("#new-thread").await;
        page.sees(
            "an empty conversation",
            "!document.querySelector('#messages li.message')",
        )
        .await;
        page.attach(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/usage.csv"), "usage.csv")
            .await;
        page.choose("supervisor").await;
        page.say("Where does the money go, and what can we save?").await;
        page.answer(1).await;
        page.open_timeline().await;
        for scheme in ["dark", "light"] {
            page.prefer(scheme).await;
            page.value("document.getElementById('scroll').scrollTop = 0").await;
            picture(&page, scheme).await;
        }
        page.click("#toggle-timeline").await;
        // Loaded anew, as a phone would: what was fitted to the larger screen is fitted again.
        page.be_a_phone().await;
        page.reload().await;
        page.is_live().await;
        page.answer(1).await;
        page.sees(
            "its name",
            "document.getElementById('title').textContent.startsWith('Where')",
        )
        .await;
        page.value("document.getElementById('scroll').scrollTop = 0").await;
        picture(&page, "phone").await;
    })
    .await;
}

async fn picture(page: &Page, name: &str) {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    page.picture(&examples.join(format!("page-{name}.png"))).await;
}
