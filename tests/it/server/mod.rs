//! The promises over the wire: the real binary as a child process, real sockets, real files.
//!
//! The rest of this suite drives parts in one process and in paused time. Here nothing is paused or doubled but the model,
//! which plays a script: what holds here holds for a client.

mod client;
mod event_source;
mod http;
mod process;

mod backpressure;
mod commands;
mod conversation;
mod corpus_admin;
mod documents;
mod drain;
mod floods;
mod handover;
mod http_runs;
mod idempotency;
mod identity;
mod limits;
mod logs;
mod people;
mod research;
mod resume;
mod start;
mod threads;
mod tokens;
mod usage;

use std::time::Duration;

use tokio::time::{Instant, sleep};

pub use client::{Client, Door, Ending, Place, User, message_id, spoken};
pub use process::{House, Server};

/// How long anything may take. Beyond: the test fails and prints what it saw last. Long, because a busy machine is no defect.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(20);

/// What the scripted model plays. A word in the message picks the turn.
const SCRIPT: &str = r#"
[[turn]] # some time and many events: two seconds, 200 pieces
when = "stream"
steps = [{ repeat = { times = 200, steps = [{ delay = "10ms" }, { text = "lorem ipsum " }] } }]

[[turn]] # more than all buffers between the model and a client that reads nothing hold
when = "deluge"
steps = [{ repeat = { times = 12000, steps = [{ text = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef" }] } }]

[[turn]] # never ends by itself
when = "pour"
steps = [{ repeat = { times = 4000000, steps = [{ delay = "1ms" }, { text = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef" }] } }]

[[turn]] # longer than the shortest token
when = "patience"
steps = [{ text = "Patience " }, { delay = "12s" }, { text = "pays." }]

[[turn]]
when = "hang"
steps = [{ text = "This much was said " }, { hang = true }]

[[turn]] # ends by itself, but not at once
when = "linger"
steps = [{ text = "Nearly " }, { delay = "1s" }, { text = "done." }]

[[turn]]
when = "break"
steps = [{ text = "This much was said " }, { error = "broken" }]

[[turn]] # what the user said passes through thought, tool and answer
when = "note"
steps = [
    { reasoning = "Noting: ${message}" },
    { call = { name = "notes", arguments = { action = "write", text = "${message}" } } },
]
then = [{ text = "Noted: ${message}" }]

[[turn]]
steps = [{ text = "You said: ${message}" }]
"#;

/// What `stream` says in the end.
fn whole_stream() -> String {
    "lorem ipsum ".repeat(200)
}

/// Looks again and again until there is an answer; fails with the last reason why there is none.
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Result<T, String>) -> T {
    let begun = Instant::now();
    loop {
        match look().await {
            Ok(found) => return found,
            Err(state) if begun.elapsed() > PATIENCE => panic!("{what}: not within {PATIENCE:?}; last: {state}"),
            Err(_) => sleep(POLL).await,
        }
    }
}
