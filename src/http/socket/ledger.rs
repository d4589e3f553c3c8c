//! Counts what is on its way to one client: which frames the unsent bytes are, and how much room is left.
//!
//! Pushed frames take room when the session hands them over and give it back when their last byte is written, not before:
//! so that the session's window bounds the sink's memory. The sink's own frames (pongs, pings) take none. Pure.

use std::collections::VecDeque;

use sessile_actors::session::sink::{PushError, Window};

/// A frame among the unsent bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) struct Queued {
    /// Header and payload, in bytes.
    encoded: usize,
    /// The payload's bytes where the session pushed it; none for the sink's own frames.
    pushed: Option<usize>,
}

impl Queued {
    /// A frame of the session.
    pub(in crate::http) fn pushed(payload: usize) -> Self {
        Self {
            encoded: encoded_len(payload),
            pushed: Some(payload),
        }
    }

    /// A frame of the sink's own.
    pub(in crate::http) fn own(payload: usize) -> Self {
        Self {
            encoded: encoded_len(payload),
            pushed: None,
        }
    }
}

/// How many frames a write has finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::http) struct Finished {
    /// Frames of the session.
    pub(in crate::http) pushed: usize,
    /// The sink's own.
    pub(in crate::http) own: usize,
}

/// What is on its way to one client.
#[derive(Debug)]
pub(in crate::http) struct Ledger {
    window: Window,
    /// Pushed and not finished, encoded or not.
    frames: usize,
    /// Payload bytes of those.
    bytes: usize,
    /// Encoded and not finished, in order. Freed when empty: an idle socket keeps nothing.
    queue: VecDeque<Queued>,
    /// Bytes of the first of `queue` that are written.
    written: usize,
    /// Whether less than half of the window was left at the last push.
    is_low: bool,
    /// Whether the session found a frame under way when it asked for room: it may be waiting for more than there is.
    is_asked: bool,
    is_closed: bool,
}

impl Ledger {
    /// Begins with the whole window free.
    pub(in crate::http) fn new(window: Window) -> Self {
        Self {
            window,
            frames: 0,
            bytes: 0,
            queue: VecDeque::new(),
            written: 0,
            is_low: false,
            is_asked: false,
            is_closed: false,
        }
    }

    /// Frames and bytes that may be pushed. Beyond that an empty sink takes one frame of any size: an answer larger than the
    /// window could never be sent otherwise.
    pub(in crate::http) fn room(&mut self) -> (usize, usize) {
        if self.is_closed {
            return (0, 0);
        }
        self.is_asked = self.frames > 0;
        self.left()
    }

    /// Takes the room for one turn of frames with these payloads.
    pub(in crate::http) fn take(&mut self, frames: usize, bytes: usize) -> Result<(), PushError> {
        if self.is_closed {
            return Err(PushError::Closed);
        }
        let (frames_left, bytes_left) = self.left();
        let is_lone_giant = self.frames == 0 && frames == 1;
        if frames > frames_left || (bytes > bytes_left && !is_lone_giant) {
            return Err(PushError::Full);
        }
        self.frames += frames;
        self.bytes += bytes;
        self.is_low = !self.has_half();
        Ok(())
    }

    /// Notes a frame that was handed to the encoder. Call it in the encoder's order.
    pub(in crate::http) fn queued(&mut self, frame: Queued) {
        self.queue.push_back(frame);
    }

    /// Notes that the first `bytes` of what was unsent are written.
    pub(super) fn wrote(&mut self, bytes: usize) -> Finished {
        let mut finished = Finished::default();
        self.written += bytes;
        while let Some(first) = self.queue.front() {
            if self.written < first.encoded {
                break;
            }
            self.written -= first.encoded;
            match first.pushed {
                Some(payload) => {
                    self.frames -= 1;
                    self.bytes -= payload;
                    finished.pushed += 1;
                }
                None => finished.own += 1,
            }
            self.queue.pop_front();
        }
        if self.queue.is_empty() {
            self.queue = VecDeque::new();
        }
        finished
    }

    /// Notes that the first `frames` of what was unsent are taken, whole.
    pub(in crate::http) fn finished(&mut self, frames: u64) -> Finished {
        let count = usize::try_from(frames).unwrap_or(usize::MAX);
        let bytes: usize = self.queue.iter().take(count).map(|frame| frame.encoded).sum();
        self.wrote(bytes)
    }

    /// Whether the session is to be told of room; true once for each time that it ran low or had to wait.
    pub(in crate::http) fn take_ready(&mut self) -> bool {
        let is_ready = (self.is_low && self.has_half()) || (self.is_asked && self.frames == 0);
        if is_ready {
            self.is_low = false;
            self.is_asked = false;
        }
        is_ready
    }

    /// The bytes that end the frame under way; zero between two frames.
    pub(super) fn rest_of_frame(&self) -> usize {
        match self.queue.front() {
            Some(first) if self.written > 0 => first.encoded - self.written,
            _ => 0,
        }
    }

    /// Whether nothing is under way.
    pub(in crate::http) fn is_idle(&self) -> bool {
        self.frames == 0 && self.queue.is_empty()
    }

    /// Takes nothing more.
    pub(in crate::http) fn close(&mut self) {
        self.is_closed = true;
    }

    fn left(&self) -> (usize, usize) {
        (
            self.window.frames.saturating_sub(self.frames),
            self.window.bytes.saturating_sub(self.bytes),
        )
    }

    fn has_half(&self) -> bool {
        let (frames, bytes) = self.left();
        frames * 2 >= self.window.frames && bytes * 2 >= self.window.bytes
    }
}

/// A frame's length on the wire: servers do not mask (RFC 6455, section 5.2).
fn encoded_len(payload: usize) -> usize {
    let header = match payload {
        0..126 => 2,
        126..0x1_0000 => 4,
        _ => 10,
    };
    header + payload
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Window = Window {
        frames: 4,
        bytes: 1000,
        inbound: 1,
    };

    #[test]
    fn frames_that_are_taken_whole_give_their_room_back_in_order() {
        let mut ledger = pushed(&[100, 200]);
        ledger.queued(Queued::own(0));
        assert_eq!(ledger.finished(1), Finished { pushed: 1, own: 0 });
        assert_eq!(ledger.room(), (3, 800));
        // More than there are is all of them.
        assert_eq!(ledger.finished(5), Finished { pushed: 1, own: 1 });
        assert!(ledger.is_idle());
    }

    #[test]
    fn room_comes_back_when_a_frame_is_finished_and_not_before() {
        let mut ledger = pushed(&[100, 200]);
        assert_eq!(ledger.room(), (2, 700));
        assert_eq!(ledger.wrote(101).pushed, 0);
        assert_eq!(ledger.room(), (2, 700));
        assert_eq!(ledger.rest_of_frame(), 1);
        assert_eq!(ledger.wrote(1).pushed, 1);
        assert_eq!(ledger.room(), (3, 800));
        assert_eq!(ledger.rest_of_frame(), 0);
        assert_eq!(ledger.wrote(204).pushed, 1);
        assert!(ledger.is_idle());
    }

    #[test]
    fn more_than_the_room_is_refused_and_takes_nothing() {
        let mut ledger = pushed(&[1, 1, 1]);
        assert_eq!(ledger.take(2, 2), Err(PushError::Full));
        assert_eq!(ledger.take(1, 998), Err(PushError::Full));
        assert_eq!(ledger.take(1, 997), Ok(()));
    }

    #[test]
    fn a_frame_beyond_the_window_goes_alone() {
        let mut ledger = Ledger::new(WINDOW);
        assert_eq!(ledger.take(2, 5000), Err(PushError::Full));
        assert_eq!(ledger.take(1, 5000), Ok(()));
        assert_eq!(ledger.room(), (3, 0));
        ledger.queued(Queued::pushed(5000));
        assert_eq!(ledger.wrote(5004), Finished { pushed: 1, own: 0 });
        assert_eq!(ledger.room(), (4, 1000));
    }

    #[test]
    fn the_session_hears_once_of_room_after_it_ran_low() {
        let mut ledger = pushed(&[10, 10, 10]);
        assert!(!ledger.take_ready());
        ledger.wrote(12);
        assert!(ledger.take_ready());
        ledger.wrote(12);
        assert!(!ledger.take_ready());
    }

    #[test]
    fn a_session_that_waits_for_more_than_is_left_hears_when_all_is_sent() {
        let mut ledger = pushed(&[300]);
        assert_eq!(ledger.room(), (3, 700));
        assert!(!ledger.take_ready());
        ledger.wrote(304);
        assert!(ledger.take_ready());
        assert!(!ledger.take_ready());
    }

    #[test]
    fn own_frames_take_no_room() {
        let mut ledger = Ledger::new(WINDOW);
        ledger.queued(Queued::own(125));
        assert_eq!(ledger.room(), (4, 1000));
        assert_eq!(ledger.wrote(127), Finished { pushed: 0, own: 1 });
    }

    fn pushed(payloads: &[usize]) -> Ledger {
        let mut ledger = Ledger::new(WINDOW);
        ledger
            .take(payloads.len(), payloads.iter().sum())
            .expect("the turn fits the window");
        for payload in payloads {
            ledger.queued(Queued::pushed(*payload));
        }
        ledger
    }
}
