//! Small screens and dark rooms.

use serde_json::json;

use super::page::Page;
use super::{SCRIPT, browse};
use crate::server::House;

#[tokio::test]
async fn on_a_phone_nothing_is_wider_than_the_screen_and_one_can_write() {
    browse(House::playing(SCRIPT), async |desk| {
        let page = desk.phone("ada").await;
        assert_fits(&page, 390).await;
        page.say("wide: the first message names its thread, and this one gives it a long name")
            .await;
        page.answer(1).await;
        page.sees(
            "the thread's name",
            "document.getElementById('title').textContent.startsWith('wide')",
        )
        .await;
        page.say("sum").await;
        page.answer(2).await;
        page.click("#messages details.tool summary").await;
        assert_fits(&page, 390).await;
        page.open_timeline().await;
        assert_fits(&page, 390).await;
        page.click("#toggle-timeline").await;
        // The narrowest that WCAG asks for, and a phone laid on its side.
        for (width, height) in [(320, 640), (844, 390), (390, 844)] {
            page.be_a_phone_of(width, height).await;
            assert_fits(&page, width).await;
        }
        page.click("#content").await;
        page.say("and now?").await;
        assert_eq!(page.answer(3).await, "You said: and now?");
        page.sees("the newest words", &in_view("#messages li.message:last-child .text"))
            .await;
    })
    .await;
}

#[tokio::test]
async fn on_a_phone_the_threads_are_a_drawer() {
    browse(House::playing(SCRIPT), async |desk| {
        let page = desk.phone("ada").await;
        page.say("apples").await;
        page.answer(1).await;
        let apples = page.thread().await;
        let out_of_reach = format!(
            "!({}) && !document.querySelector('#new-thread').checkVisibility({{
            visibilityProperty: true }})",
            in_view("#new-thread")
        );
        page.sees("no drawer", &out_of_reach).await;
        open_drawer(&page).await;
        page.press(fantoccini::key::Key::Escape).await;
        page.sees("no drawer", &out_of_reach).await;
        page.gets_focus("#toggle-threads").await;
        assert_eq!(expanded(&page).await, "false");
        open_drawer(&page).await;
        page.click("#new-thread").await;
        page.sees("no drawer", &out_of_reach).await;
        page.say("pears").await;
        page.answer(1).await;
        open_drawer(&page).await;
        assert_fits(&page, 390).await;
        page.go_to(&apples).await;
        page.sees("no drawer", &out_of_reach).await;
        assert_eq!(page.answer(1).await, "You said: apples");
    })
    .await;
}

#[tokio::test]
async fn the_page_is_dark_where_its_reader_wants_it_dark() {
    browse(House::playing(SCRIPT), async |desk| {
        let page = desk.visitor("ada").await;
        page.say("markdown").await;
        page.answer(1).await;
        for (scheme, is_dark) in [("light", false), ("dark", true), ("light", false)] {
            page.prefer(scheme).await;
            for place in [
                "body",
                "#threads-panel",
                "#composer textarea",
                "#messages pre",
                "#state",
            ] {
                let (paper, ink) = (
                    luminance(&page, place, "paper").await,
                    luminance(&page, place, "ink").await,
                );
                assert_eq!(paper < 0.2, is_dark, "{place} in {scheme}: paper {paper}");
                assert_eq!(paper > 0.6, !is_dark, "{place} in {scheme}: paper {paper}");
                let contrast = (paper.max(ink) + 0.05) / (paper.min(ink) + 0.05);
                assert!(contrast >= 4.5, "{place} in {scheme}: contrast {contrast}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn whoever_wants_no_motion_gets_none() {
    browse(House::playing(SCRIPT), async |desk| {
        let page = desk.visitor("ada").await;
        page.prefer("light").await;
        page.say("hang").await;
        page.reads(1, "This much was said").await;
        page.sees("the mark", "document.querySelector('#threads li[data-running]')")
            .await;
        let moving = "document.getAnimations().map(({ animationName, effect }) =>
            `${animationName} of ${effect.target.className} ${effect.pseudoElement ?? ''}`)";
        assert_eq!(page.value(moving).await, json!([]));
    })
    .await;
}

impl Page {
    /// Takes on a phone's screen, with touch.
    pub async fn be_a_phone(&self) {
        self.be_a_phone_of(390, 844).await;
    }

    /// Takes on the screen of a phone of this size, with touch.
    async fn be_a_phone_of(&self, width: u32, height: u32) {
        let screen = json!({ "width": width, "height": height, "deviceScaleFactor": 2, "mobile": true });
        self.devtools("Emulation.setDeviceMetricsOverride", screen).await;
        self.devtools("Emulation.setTouchEmulationEnabled", json!({ "enabled": true }))
            .await;
    }

    /// Prefers light or dark, and no motion: what is measured stands still.
    pub async fn prefer(&self, scheme: &str) {
        let features = json!({ "features": [
            { "name": "prefers-color-scheme", "value": scheme },
            { "name": "prefers-reduced-motion", "value": "reduce" },
        ] });
        self.devtools("Emulation.setEmulatedMedia", features).await;
        let settled = format!(
            "matchMedia('(prefers-color-scheme: {scheme})').matches
             && document.getAnimations().every(one => one.effect.getComputedTiming().endTime === Infinity)"
        );
        self.sees(scheme, &settled).await;
    }
}

async fn open_drawer(page: &Page) {
    page.click("#toggle-threads").await;
    page.sees("the drawer", &in_view("#new-thread")).await;
    assert_eq!(expanded(page).await, "true");
}

async fn expanded(page: &Page) -> String {
    let expanded = page
        .value("document.getElementById('toggle-threads').getAttribute('aria-expanded')")
        .await;
    expanded.as_str().unwrap().to_owned()
}

/// Checks that nothing is cut off at the side, and that the composer is in view.
pub async fn assert_fits(page: &Page, width: u32) {
    let widths = page
        .value("[document.documentElement.scrollWidth, document.body.scrollWidth, innerWidth, visualViewport.width]")
        .await;
    let [root, body, window, seen]: [f64; 4] = serde_json::from_value(widths).unwrap();
    assert!(
        root <= window && body <= window && window == f64::from(width) && seen == window,
        "wider than the screen: {root}, {body}, {window}, {seen}"
    );
    // Code and tables may be wider: they are scrolled in a frame of their own. Nothing else is scrolled or cut off.
    let scrolled = "[...document.querySelectorAll('body *')].filter((one) => {
        const { overflowX, textOverflow } = getComputedStyle(one);
        return one.scrollWidth > one.clientWidth + 1 && overflowX !== 'visible' && textOverflow !== 'ellipsis'
            && !(overflowX === 'auto' && (one.matches('pre') || one.querySelector(':scope > table')));
    }).map((one) => one.outerHTML.slice(0, 200))";
    assert_eq!(page.value(scrolled).await, json!([]), "wider than the screen");
    for part in ["#content", "#send"] {
        assert_eq!(page.value(&in_view(part)).await, json!(true), "{part} is out of view");
    }
}

/// Whether all of an element lies on the screen, as an expression.
fn in_view(css: &str) -> String {
    format!(
        "(() => {{ const box = document.querySelector('{css}').getBoundingClientRect();
            return box.width > 0 && box.left >= 0 && box.top >= 0
                && box.right <= innerWidth + 0.5 && box.bottom <= innerHeight + 0.5; }})()"
    )
}

/// The luminance of what is written on, or written with, at a place: 0 is black, 1 white.
async fn luminance(page: &Page, css: &str, what: &str) -> f64 {
    let script = "
        const [css, what] = arguments;
        const rgba = (colour) => {
            const canvas = new OffscreenCanvas(1, 1).getContext('2d');
            canvas.fillStyle = colour;
            canvas.fillRect(0, 0, 1, 1);
            return [...canvas.getImageData(0, 0, 1, 1).data].map((part) => part / 255);
        };
        let at = document.querySelector(css);
        let colour = rgba(what === 'ink' ? getComputedStyle(at).color : getComputedStyle(at).backgroundColor);
        while (colour[3] === 0 && at.parentElement) {
            at = at.parentElement;
            colour = rgba(getComputedStyle(at).backgroundColor);
        }
        const linear = (part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
        const [red, green, blue] = colour.map(linear);
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue;";
    page.run(script, vec![json!(css), json!(what)]).await.as_f64().unwrap()
}
