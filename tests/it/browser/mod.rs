//! The page in a real browser: headless Chromium, driven over WebDriver, against the real binary as a child process.
//!
//! The other modules hold the server to its protocol; these hold the page to what a person sees. At the end of each test the
//! console must be without errors but those that the test expects, and no request may have gone anywhere but to our server.

mod driver;
mod evidence;
mod keys;
mod page;
mod wire;

mod approval;
mod axe;
mod cuts;
mod files;
mod keyboard;
mod looks;
mod markdown;
mod pictures;
mod refusals;
mod sign_in;
mod steering;
mod tabs;
mod talk;
mod threads;
mod timeline;
mod workflow;

use std::any::type_name;
use std::fs;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::path::PathBuf;

use futures_util::FutureExt as _;

use self::driver::Driver;
use self::page::Page;
use crate::server::{House, Server};

/// What the model plays. A word in the message picks the turn.
const SCRIPT: &str = include_str!("script.toml");

/// Why a test always has its server: it is taken only to be started again.
const SERVER_IS_HERE: &str = "the server is here between restarts";

/// What a test works with: a server and browsers.
pub struct Desk {
    name: String,
    driver: Driver,
    server: Option<Server>,
    pages: Vec<Page>,
    allowed: Vec<&'static str>,
}

/// Runs a test with a server in this house. Where it fails, each of its pages is pictured as it was then.
async fn browse<T: AsyncFnOnce(&mut Desk)>(house: House, test: T) {
    // A closure's type is named after the function that it stands in.
    let name = type_name::<T>().split("::{{closure}}").next().unwrap();
    let name = name.rsplit("::").next().unwrap().to_owned();
    let mut desk = Desk {
        name,
        driver: Driver::start().await,
        server: Some(house.start().await),
        pages: Vec::new(),
        allowed: Vec::new(),
    };
    let outcome = AssertUnwindSafe(async {
        test(&mut desk).await;
        desk.check().await;
    })
    .catch_unwind()
    .await;
    if outcome.is_err() {
        desk.picture_the_failure().await;
    }
    desk.close().await;
    if let Err(failure) = outcome {
        resume_unwind(failure);
    }
}

impl Desk {
    /// A browser of a guest who was never here, with the page open and live.
    async fn visitor(&mut self, name: &str) -> Page {
        let page = self.browser(name).await;
        page.open("/").await;
        page.is_live().await;
        page
    }

    /// The same on a phone.
    async fn phone(&mut self, name: &str) -> Page {
        let page = self.browser(name).await;
        page.be_a_phone().await;
        page.open("/").await;
        page.is_live().await;
        page
    }

    /// A browser that shows nothing yet.
    async fn browser(&mut self, name: &str) -> Page {
        self.browser_of(name, self.server().address).await
    }

    /// The same, for a server that answers at this address.
    async fn browser_of(&mut self, name: &str, server: SocketAddr) -> Page {
        let page = Page::new(name, self.driver.browser().await, server);
        self.pages.push(page.clone());
        page
    }

    fn server(&self) -> &Server {
        self.server.as_ref().expect(SERVER_IS_HERE)
    }

    /// Kills the server without a warning.
    async fn kill_server(&mut self) {
        self.expect_cuts();
        self.server.as_mut().expect(SERVER_IS_HERE).die().await;
    }

    /// Starts the server again, where the page came from.
    async fn start_server(&mut self) {
        let server = self.server.take().expect(SERVER_IS_HERE);
        self.server = Some(server.start_in_place().await);
    }

    /// Stops the server in good order and starts it again.
    async fn restart_server(&mut self) {
        self.expect_cuts();
        let server = self.server.as_mut().expect(SERVER_IS_HERE);
        server.signal("TERM");
        let status = server.exit().await;
        assert!(status.success(), "{status}: {}", server.log());
        self.start_server().await;
    }

    /// Lets the console hold what a browser says of a server that is away, or of a line that is cut.
    fn expect_cuts(&mut self) {
        self.expect_console("net::ERR_");
        self.expect_console("WebSocket connection to");
    }

    /// Lets the console hold errors with these words.
    fn expect_console(&mut self, words: &'static str) {
        self.allowed.push(words);
    }

    /// Checks what no test may leave behind.
    async fn check(&self) {
        for page in &self.pages {
            page.assert_clean_console(&self.allowed).await;
            let elsewhere = page.asked_elsewhere().await;
            assert!(elsewhere.is_empty(), "{} asked for {elsewhere:?}", page.name);
        }
    }

    async fn picture_the_failure(&self) {
        for page in &self.pages {
            let path = pictures().join(format!("{}-{}", self.name, page.name));
            let saved = page.save(&path).await;
            eprintln!("the page of {}: {saved}", page.name);
        }
    }

    /// Ends the browsers.
    async fn close(&mut self) {
        let mut all = true;
        for page in self.pages.drain(..) {
            all &= page.close().await;
        }
        // One that is still there ends with the driver's drop.
        if all {
            self.driver.all_closed();
        }
    }
}

/// Where pictures of failures are saved.
fn pictures() -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).with_file_name("browser");
    fs::create_dir_all(&path).unwrap();
    path
}
