//! Sockets come and go: where the client stands, what it missed, and what a close means.

use std::time::Duration;

use serde_json::Value;

use super::requests::{Kind, Request};
use super::{Client, Effect, Now, Outcome, Place, Show, fault, note, text};

/// What follows a close.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Connect again, after this at the earliest.
    Again(Duration),
    /// Connect again if there is a newer credential.
    Renew,
    /// Stop: [`Client::over`] says how.
    Stop,
}

impl Client {
    /// The socket is gone. What was not answered is sent again on the next one.
    pub fn cut(&mut self) {
        self.is_up = false;
        self.runs.forget_stops();
        self.unsend_told();
        if let Some(request) = self.requests.front_mut() {
            request.unsend();
        }
    }

    /// The server closed the socket.
    pub fn closed(&mut self, code: u16, reason: &str) -> (Next, Vec<Effect>) {
        let mut fx = Vec::new();
        let next = match code {
            4409 | 4410 => {
                self.lose_session(&mut fx);
                Next::Again(Duration::ZERO)
            }
            4401 => Next::Renew,
            4001 => self.stop_for("another window took this session over", &mut fx),
            1000 | 1002 | 1007 | 1008 | 1009 | 4400 | 4403 => self.stop_for(
                &format!("the server closed the connection with {code}: {reason}"),
                &mut fx,
            ),
            _ => {
                let (_, wait) = reason.split_once("retry_after_ms=").unwrap_or_default();
                Next::Again(Duration::from_millis(wait.trim().parse().unwrap_or(0)))
            }
        };
        (next, fx)
    }

    pub(super) fn established(&mut self, payload: &Value, fx: &mut Vec<Effect>) {
        let [session, epoch, thread] =
            ["session_id", "epoch", "thread_id"].map(|field| text(payload, field).to_owned());
        let left = std::mem::replace(&mut self.thread, thread);
        if let Some(place) = &mut self.place {
            (place.session, place.epoch) = (session, epoch);
        } else {
            let last_seq = payload["head_seq"].as_u64().unwrap_or(0);
            self.acked = last_seq;
            self.place = Some(Place {
                session,
                epoch,
                last_seq,
            });
            if !self.takes_turns {
                let user = text(payload, "user_id");
                note(&format!("you are {user}; /help lists the commands"), fx);
            }
            if std::mem::take(&mut self.thread_is_kept) {
                // A new session begins in a new thread: what was said goes on where it was.
                self.requests.push_front(Request::switch(Kind::Return, &left));
            }
        }
        if let Some(bytes) = payload["limits"]["message_bytes"].as_u64() {
            self.message_bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        }
        if let Some(bytes) = payload["limits"]["document_bytes"].as_u64() {
            self.document_bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        }
        self.is_up = true;
        self.send_stops(fx);
    }

    /// The server knows this session no more.
    fn lose_session(&mut self, fx: &mut Vec<Effect>) {
        self.place = None;
        self.told.clear();
        self.asked.clear();
        note("the server no longer has this session; a new one begins", fx);
        if self.runs.lose_all() {
            fx.push(Effect::Show(Show::AnswerEnd));
            fault(
                "how the run ended can't be told any more; /history shows what was said",
                fx,
            );
            self.settled(Outcome::Death);
        }
    }

    /// Some events are gone: a snapshot of the thread instead.
    pub(super) fn resync(&mut self, payload: &Value, now: Now, fx: &mut Vec<Effect>) {
        if let Some(place) = &mut self.place {
            place.last_seq = payload["as_of_seq"].as_u64().unwrap_or(place.last_seq);
            place.epoch = text(payload, "epoch").to_owned();
            self.acked = place.last_seq;
        }
        note("some events are gone; /history shows what was said", fx);
        // A message whose answer was lost with a socket: its run may have ended among what is gone.
        if let Some((run, stops)) = self.taken_before(payload) {
            self.requests.pop_front();
            self.thread_is_kept = true;
            if let Some(outcome) = self.runs.accepted(&run, stops) {
                self.settled(outcome);
            }
        }
        let session = self.place.as_ref().map_or("", |place| place.session.as_str());
        let is_ours = |run: &Value| text(run, "session_id") == session;
        let has_ours = payload["active_runs"]
            .as_array()
            .is_some_and(|runs| runs.iter().any(is_ours));
        for outcome in self.runs.resync(payload, session, fx) {
            self.settled(outcome);
        }
        // A thread has one run at work: where that is ours, so is what waits there.
        self.asked.clear();
        let pending = payload["pending_approvals"].as_array().filter(|_| has_ours);
        for request in pending.into_iter().flatten() {
            self.ask(text(request, "run_id"), request, now, fx);
        }
    }

    /// The run of the message that waits for its answer, where the snapshot holds it, and whether it is to be stopped.
    fn taken_before(&self, snapshot: &Value) -> Option<(String, bool)> {
        let waits = self.requests.front().filter(|request| request.was_sent())?;
        let said = snapshot["messages"].as_array()?.iter();
        let mut taken = said.filter(|said| waits.is(text(said, "message_id")));
        Some((text(taken.next()?, "run_id").to_owned(), waits.stops))
    }

    fn stop_for(&mut self, why: &str, fx: &mut Vec<Effect>) -> Next {
        fault(why, fx);
        self.end(Outcome::NoConnection);
        Next::Stop
    }
}
