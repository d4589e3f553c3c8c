//! The pictures in README.md, and whether these tests can fail.

use std::path::Path;

use serde_json::json;

use super::page::Page;
use super::{SCRIPT, browse};
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
    browse(House::playing(SCRIPT), async |desk| {
        let page = desk.visitor("you").await;
        page.devtools(
            "Emulation.setDeviceMetricsOverride",
            json!({
                "width": 1280, "height": 800, "deviceScaleFactor": 1, "mobile": false,
            }),
        )
        .await;
        for said in ["sum", "markdown"] {
            page.say(said).await;
        }
        page.answer(2).await;
        page.open_timeline().await;
        for scheme in ["light", "dark"] {
            page.prefer(scheme).await;
            picture(&page, scheme).await;
        }
        page.be_a_phone().await;
        page.prefer("light").await;
        picture(&page, "phone").await;
    })
    .await;
}

async fn picture(page: &Page, name: &str) {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    page.picture(&examples.join(format!("page-{name}.png"))).await;
}
