//! The page in one browser, as a test handles it: looks, waits, clicks, writes.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;

use fantoccini::elements::Element;
use fantoccini::key::Key;
use fantoccini::wd::WindowHandle;
use fantoccini::{Client, Locator};
use serde_json::{Value, json};

use super::driver::Extension;
use crate::server::{User, eventually};

/// How much of a page's text a failure prints, in characters.
const TEXT_PRINTED: usize = 3_000;

/// What an agent said, as a list of elements.
const ANSWERS: &str = "document.querySelectorAll('#messages li.message[data-role=assistant]')";

/// One browser with the page.
#[derive(Clone)]
pub struct Page {
    pub(super) name: String,
    pub(super) client: Client,
    pub(super) server: SocketAddr,
    /// What went over the network: ChromeDriver tells it once.
    pub(super) traffic: Rc<RefCell<Vec<Value>>>,
}

impl Page {
    pub fn new(name: &str, client: Client, server: SocketAddr) -> Self {
        Self {
            name: name.to_owned(),
            client,
            server,
            traffic: Rc::default(),
        }
    }

    /// Loads an address of our server.
    pub async fn open(&self, path: &str) {
        let url = format!("http://{}{path}", self.server);
        self.client.goto(&url).await.unwrap();
    }

    pub async fn reload(&self) {
        self.client.refresh().await.unwrap();
    }

    /// The tab that is looked at.
    pub async fn tab(&self) -> WindowHandle {
        self.client.window().await.unwrap()
    }

    /// Looks at another tab.
    pub async fn look_at(&self, tab: &WindowHandle) {
        self.client.switch_to_window(tab.clone()).await.unwrap();
    }

    /// Opens one more tab of the same browser and looks at it.
    pub async fn second_tab(&self) -> WindowHandle {
        let made = self.client.new_window(true).await.unwrap();
        self.look_at(&made.handle).await;
        made.handle
    }

    /// Ends the browser; whether that went as it should.
    pub async fn close(self) -> bool {
        self.client.close().await.is_ok()
    }

    /// Who the server takes this browser for.
    pub async fn user(&self) -> User {
        let cookies = self.client.get_all_cookies().await.unwrap();
        let pairs: Vec<String> = cookies
            .iter()
            .map(|cookie| format!("{}={}", cookie.name(), cookie.value()))
            .collect();
        User::guest(&self.text("#user").await, pairs.join("; "))
    }

    /// Runs statements in the page, past its content security policy; what they return.
    pub async fn run(&self, script: &str, arguments: Vec<Value>) -> Value {
        let ran = self.client.execute(script, arguments).await;
        ran.unwrap_or_else(|error| panic!("{script}: {error}"))
    }

    /// The value of an expression.
    pub async fn value(&self, expression: &str) -> Value {
        self.run(&format!("return ({expression});"), Vec::new()).await
    }

    /// Sends a command of the DevTools protocol.
    pub async fn devtools(&self, command: &str, parameters: Value) -> Value {
        let sent = self.client.issue_cmd(Extension::devtools(command, &parameters)).await;
        sent.unwrap_or_else(|error| panic!("{command}: {error}"))
    }

    /// Waits until an expression is truthy; its value.
    pub async fn sees(&self, what: &str, expression: &str) -> Value {
        // An expression over what is not there yet is no answer, and no failure.
        let script = format!("try {{ return ({expression}); }} catch (error) {{ return null; }}");
        let what = format!("{} sees {what}", self.name);
        eventually(&what, async || {
            let value = self.run(&script, Vec::new()).await;
            if is_truthy(&value) {
                return Ok(value);
            }
            Err(format!("`{expression}` is {value}\n{}", self.shown().await))
        })
        .await
    }

    /// Waits until the page is connected.
    pub async fn is_live(&self) {
        self.is("live").await;
    }

    /// Waits until the page says this of its connection.
    pub async fn is(&self, state: &str) {
        let expression = format!("document.getElementById('state').dataset.state === '{state}'");
        self.sees(&format!("that it is {state}"), &expression).await;
    }

    /// What a person could read on the page, and its state.
    async fn shown(&self) -> String {
        let text = self
            .value("`${document.getElementById('state')?.dataset.state}: ${document.body?.innerText}`")
            .await;
        text.as_str().unwrap_or_default().chars().take(TEXT_PRINTED).collect()
    }

    /// The first element that is there now.
    pub async fn find(&self, css: &str) -> Element {
        match self.client.find(Locator::Css(css)).await {
            Ok(element) => element,
            Err(error) => panic!("{} finds no `{css}` ({error})\n{}", self.name, self.shown().await),
        }
    }

    /// Clicks on what a person could click on: it is in view, and nothing lies over it.
    pub async fn click(&self, css: &str) {
        let what = format!("`{css}`, clicks on it");
        // Lists are drawn anew now and then: an element that was found may be gone when it is clicked on.
        eventually(&what, async || {
            let element = self.client.find(Locator::Css(css)).await;
            let clicked = match element {
                Ok(element) => element.click().await,
                Err(error) => Err(error),
            };
            match clicked {
                Ok(()) => Ok(()),
                Err(error) => Err(format!("{error}\n{}", self.shown().await)),
            }
        })
        .await;
    }

    /// Writes into the composer and sends it.
    pub async fn say(&self, text: &str) {
        self.write(text).await;
        self.write(&char::from(Key::Enter).to_string()).await;
    }

    /// Writes into the composer.
    pub async fn write(&self, text: &str) {
        self.find("#content").await.send_keys(text).await.unwrap();
    }

    /// What is written and not sent.
    pub async fn draft(&self) -> String {
        let draft = self.value("document.getElementById('content').value").await;
        draft.as_str().unwrap().to_owned()
    }

    /// Waits until the `nth` answer, from 1, is whole; its text.
    pub async fn answer(&self, nth: usize) -> String {
        let expression = format!("{ANSWERS}[{nth} - 1].querySelector('.text[data-rendered]').textContent");
        let text = self.sees(&format!("answer {nth}"), &expression).await;
        text.as_str().unwrap().trim().to_owned()
    }

    /// Waits until the `nth` answer, from 1, has these words.
    pub async fn reads(&self, nth: usize, words: &str) {
        let expression = format!("{ANSWERS}[{nth} - 1].textContent.includes({})", json!(words));
        self.sees(&format!("{words:?} in answer {nth}"), &expression).await;
    }

    /// Waits until the `nth` answer, from 1, is told to have ended badly; what is said of that.
    pub async fn bad_end(&self, nth: usize) -> String {
        let expression = format!("{ANSWERS}[{nth} - 1].querySelector('.end').textContent");
        let end = self.sees(&format!("the bad end of answer {nth}"), &expression).await;
        end.as_str().unwrap().to_owned()
    }

    /// What is shown of an element.
    pub async fn text(&self, css: &str) -> String {
        self.find(css).await.text().await.unwrap()
    }

    /// How many there are.
    pub async fn count(&self, css: &str) -> usize {
        let expression = format!("document.querySelectorAll({}).length", json!(css));
        let count = self.value(&expression).await.as_u64().unwrap();
        usize::try_from(count).unwrap()
    }

    /// The thread that is shown.
    pub async fn thread(&self) -> String {
        let current = "document.querySelector('#threads [aria-current=true]').closest('li').dataset.thread";
        self.sees("its thread", current).await.as_str().unwrap().to_owned()
    }

    /// Shows another thread.
    pub async fn go_to(&self, thread: &str) {
        self.click(&format!("#threads li[data-thread=\"{thread}\"] button.thread"))
            .await;
        let current = "document.querySelector('#threads [aria-current=true]').closest('li').dataset.thread";
        self.sees("the thread", &format!("{current} === '{thread}'")).await;
    }

    /// Opens the pane with the events, where it is closed.
    pub async fn open_timeline(&self) {
        if self.value("document.getElementById('timeline').hidden").await == json!(true) {
            self.click("#toggle-timeline").await;
        }
        self.sees("the timeline", "!document.getElementById('timeline').hidden")
            .await;
    }

    /// Keeps each state that the page says from now on, until it is loaded anew.
    pub async fn watch_states(&self) {
        let watch = "const state = document.getElementById('state');
            window.statesSeen = [];
            new MutationObserver(() => window.statesSeen.push(state.dataset.state))
                .observe(state, { attributes: true, attributeFilter: ['data-state'] });";
        self.run(watch, Vec::new()).await;
    }

    /// Waits until the page was without its connection and is live again, by itself.
    pub async fn has_come_back(&self) {
        let back = "window.statesSeen.includes('waiting') && window.statesSeen.at(-1) === 'live'";
        self.sees("the connection come back", back).await;
    }
}

fn is_truthy(value: &Value) -> bool {
    !matches!(value, Value::Null | Value::Bool(false)) && *value != json!(0) && *value != json!("")
}
