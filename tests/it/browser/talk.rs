//! What is said and answered.

use super::browse;
use crate::server::House;

#[tokio::test]
async fn two_guests_chat_at_once_and_neither_sees_anything_of_the_other() {
    browse(House::new(), async |desk| {
        let ada = desk.visitor("ada").await;
        let bob = desk.visitor("bob").await;
        ada.say("my name is Adacanary").await;
        bob.say("my name is Bobcanary").await;
        ada.sees(
            "her answer",
            "document.body.innerText.includes('Nice to meet you, Adacanary')",
        )
        .await;
        bob.sees(
            "his answer",
            "document.body.innerText.includes('Nice to meet you, Bobcanary')",
        )
        .await;
        for (page, other) in [(&ada, "Bobcanary"), (&bob, "Adacanary")] {
            let seen = page.value("document.documentElement.outerHTML").await.to_string();
            assert!(!seen.contains(other), "{seen}");
        }
    })
    .await;
}
