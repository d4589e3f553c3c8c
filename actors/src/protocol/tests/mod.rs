//! The wire, letter by letter: what clients depend on changes only together with a line here.

mod controls;
mod events;
mod frames;

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::ids::{CallId, Epoch, MessageId, RunId, Seq, SessionId, ThreadId, UserId};

const SESSION: &str = "00000000-0000-4000-8000-000000000001";
const THREAD: &str = "00000000-0000-4000-8000-000000000002";
const RUN: &str = "00000000-0000-4000-8000-000000000003";
const CALL: &str = "00000000-0000-4000-8000-000000000004";
const MESSAGE: &str = "00000000-0000-4000-8000-000000000005";
const EPOCH: &str = "00000000-0000-4000-8000-000000000006";

fn id<T: TryFrom<Uuid, Error = crate::ids::IdError>>(text: &str) -> T {
    T::try_from(text.parse::<Uuid>().expect("a UUID")).expect("an id")
}

fn session() -> SessionId {
    id(SESSION)
}

fn thread() -> ThreadId {
    id(THREAD)
}

fn run() -> RunId {
    id(RUN)
}

fn call() -> CallId {
    id(CALL)
}

fn message() -> MessageId {
    id(MESSAGE)
}

fn epoch() -> Epoch {
    id(EPOCH)
}

/// 2026-11-20T10:00:00.007Z.
fn at() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_168_800_007)
}
