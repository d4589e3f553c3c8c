//! The keyboard, and where the focus is.

use fantoccini::actions::{InputSource as _, KeyAction, KeyActions};
use fantoccini::key::Key;
use serde_json::json;

use super::page::Page;

/// How many times Tab is pressed on the way to something: more than the page has stations.
const STATIONS: usize = 80;

/// What has the focus, in short.
const FOCUS: &str = "(() => { const at = document.activeElement;
    return at.tagName.toLowerCase() + (at.id ? '#' + at.id : '') + (at.className ? '.' + at.className : ''); })()";

/// Whether what has the focus, or what it stands in, looks otherwise than without it.
const FOCUS_SHOWS: &str = "
    const at = document.activeElement;
    const parts = ['outline', 'boxShadow', 'border', 'background'];
    const looks = () => {
        let found = '';
        for (let one = at; one && one !== document.body; one = one.parentElement) {
            const style = getComputedStyle(one);
            found += parts.map((part) => style[part]).join() + ';';
        }
        return found;
    };
    const focused = looks();
    at.blur();
    const plain = looks();
    at.focus();
    return focused !== plain;";

impl Page {
    /// Presses a key, wherever the focus is.
    pub async fn press(&self, key: Key) {
        self.strike(&[char::from(key)]).await;
    }

    /// Writes with the keyboard, wherever the focus is.
    pub async fn type_text(&self, text: &str) {
        self.strike(&text.chars().collect::<Vec<_>>()).await;
    }

    /// Presses Shift and Enter.
    pub async fn new_line(&self) {
        let (shift, enter) = (char::from(Key::Shift), char::from(Key::Enter));
        let actions = KeyActions::new("keyboard".to_owned())
            .then(KeyAction::Down { value: shift })
            .then(KeyAction::Down { value: enter })
            .then(KeyAction::Up { value: enter })
            .then(KeyAction::Up { value: shift });
        self.client.perform_actions(actions).await.unwrap();
    }

    async fn strike(&self, keys: &[char]) {
        let mut actions = KeyActions::new("keyboard".to_owned());
        for &value in keys {
            actions = actions.then(KeyAction::Down { value }).then(KeyAction::Up { value });
        }
        self.client.perform_actions(actions).await.unwrap();
    }

    /// Presses Tab until this has the focus.
    pub async fn tab_to(&self, css: &str) {
        let mut passed = Vec::new();
        while !self.has_focus(css).await {
            passed.push(self.focus().await);
            assert!(
                passed.len() <= STATIONS,
                "Tab never comes to `{css}`, but to {passed:#?}"
            );
            self.press(Key::Tab).await;
        }
        // Who can't see where the focus is can't use it.
        let shows = self.run(FOCUS_SHOWS, Vec::new()).await;
        assert_eq!(shows, json!(true), "`{css}` does not show that it has the focus");
    }

    /// Whether this has the focus.
    pub async fn has_focus(&self, css: &str) -> bool {
        self.value(&format!("document.activeElement.matches({})", json!(css)))
            .await
            == json!(true)
    }

    /// Waits until this has the focus.
    pub async fn gets_focus(&self, css: &str) {
        let expression = format!("document.activeElement.matches({})", json!(css));
        self.sees(&format!("the focus on `{css}`"), &expression).await;
    }

    /// What has the focus.
    pub async fn focus(&self) -> String {
        self.value(FOCUS).await.as_str().unwrap().to_owned()
    }
}
