//! Reads a client's frames: the guard first, then the codec, then messages put together and judged as UTF-8.
//!
//! It reads only while its [`Gate`] is open: a client that sends more than its session takes is held back by TCP. An idle
//! reader keeps no buffer. Owned by the sink actor, as a stream.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use actix_http::ws::{CloseReason, Codec, Frame, Item};
use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use sessile_actors::protocol::CloseCode;
use tokio::time::Instant;
use tokio_util::codec::Decoder;

use super::peer::DataMessage;
use super::wire::Wire;
use crate::http::frame_guard::{FrameGuard, FrameLimits};

/// How much is read at once: most messages come whole, and it is given back when they are taken.
const READ_BYTES: usize = 4 * 1024;
/// Pongs and pings that may be unsent. Beyond: the socket is not read, so that a client which pings and does not read
/// makes us keep no more than these.
const OWN_FRAMES_UNSENT: usize = 8;

/// A text message, or the part of one that has come, is not UTF-8.
const BAD_UTF8: Inbound = Inbound::Fault(CloseCode::BadUtf8, None);

/// Whether the client is read: the session's grants, and what holds them up.
#[derive(Debug, Default)]
pub(super) struct Gate {
    /// Messages that the session still takes.
    credit: Cell<usize>,
    /// Whether a message waits for the session's mailbox.
    is_held: Cell<bool>,
    /// The sink's own frames that are not finished.
    own_unsent: Cell<usize>,
    waker: RefCell<Option<Waker>>,
}

impl Gate {
    pub(super) fn new(credit: usize) -> Self {
        Self {
            credit: Cell::new(credit),
            ..Self::default()
        }
    }

    /// Lets `messages` more through.
    pub(super) fn grant(&self, messages: usize) {
        self.credit.set(self.credit.get().saturating_add(messages));
        self.wake();
    }

    /// Stops reading until [`Gate::release`].
    pub(super) fn hold(&self) {
        self.is_held.set(true);
    }

    pub(super) fn release(&self) {
        self.is_held.set(false);
        self.wake();
    }

    /// Notes a frame of the sink's own.
    pub(super) fn own_queued(&self) {
        self.own_unsent.set(self.own_unsent.get() + 1);
    }

    /// Notes that frames of the sink's own are finished.
    pub(super) fn own_finished(&self, frames: usize) {
        if frames > 0 {
            self.own_unsent.set(self.own_unsent.get().saturating_sub(frames));
            self.wake();
        }
    }

    fn spend(&self) {
        self.credit.set(self.credit.get().saturating_sub(1));
    }

    fn poll_open(&self, cx: &Context<'_>) -> Poll<()> {
        if self.credit.get() > 0 && !self.is_held.get() && self.own_unsent.get() < OWN_FRAMES_UNSENT {
            return Poll::Ready(());
        }
        *self.waker.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }
}

/// What came from the client.
#[derive(Debug, PartialEq)]
pub(super) enum Inbound {
    /// A whole message. It cost one grant.
    Data(DataMessage),
    /// A ping, to be answered.
    Ping(Bytes),
    /// The answer to a ping of ours.
    Pong,
    /// The client closes. The last item.
    Close(Option<CloseReason>),
    /// The client broke a rule. The last item.
    Fault(CloseCode, Option<&'static str>),
    /// The connection ended without a close frame. The last item.
    Gone,
}

/// The client's frames as a stream that ends after `Close`, `Fault` or `Gone`.
pub(super) struct FrameReader<W> {
    wire: Rc<W>,
    gate: Rc<Gate>,
    guard: FrameGuard,
    codec: Codec,
    buffer: BytesMut,
    /// The message under way.
    message: BytesMut,
    /// Whether that is text.
    is_text: bool,
    /// Bytes at its end that begin a character: the next fragment ends it.
    half_character: u8,
    takes_binary: bool,
    /// What the guard found behind the frames that are still in `buffer`.
    verdict: Option<CloseCode>,
    is_over: bool,
}

impl<W: Wire> FrameReader<W> {
    /// Begins with `leftover`, which came together with the handshake.
    pub(super) fn new(wire: Rc<W>, gate: Rc<Gate>, limits: FrameLimits, leftover: &Bytes) -> Self {
        let mut reader = Self {
            wire,
            gate,
            guard: FrameGuard::new(limits),
            codec: Codec::new().max_size(limits.frame_bytes),
            buffer: BytesMut::from(leftover.as_ref()),
            message: BytesMut::new(),
            is_text: false,
            half_character: 0,
            takes_binary: limits.binary,
            verdict: None,
            is_over: false,
        };
        reader.judge_from(0);
        reader
    }

    /// Shows the guard what was added behind the first `judged` bytes, and cuts off what it refuses.
    fn judge_from(&mut self, judged: usize) {
        if let Err(verdict) = self.guard.judge(&self.buffer[judged..], Instant::now()) {
            self.buffer.truncate(judged + verdict.clean);
            self.verdict = Some(verdict.code);
        }
    }

    /// Decodes what is buffered. None: more bytes are needed.
    fn decode(&mut self) -> Option<Inbound> {
        loop {
            match self.codec.decode(&mut self.buffer) {
                Ok(Some(frame)) => {
                    if let Some(inbound) = self.take(frame) {
                        return Some(inbound);
                    }
                }
                Ok(None) => return self.verdict.take().map(|code| Inbound::Fault(code, None)),
                // What the guard found stands behind this: it is cut off.
                Err(_) => return Some(Inbound::Fault(CloseCode::Protocol, None)),
            }
        }
    }

    /// Takes one frame. None: it is part of a message that is not whole yet.
    fn take(&mut self, frame: Frame) -> Option<Inbound> {
        match frame {
            Frame::Text(text) => Some(if std::str::from_utf8(&text).is_ok() {
                self.whole(DataMessage::Text(text))
            } else {
                BAD_UTF8
            }),
            Frame::Binary(_) | Frame::Continuation(Item::FirstBinary(_)) if !self.takes_binary => Some(Inbound::Fault(
                CloseCode::Protocol,
                Some("the protocol knows text messages only"),
            )),
            Frame::Binary(payload) => Some(self.whole(DataMessage::Binary(payload))),
            Frame::Continuation(Item::FirstText(part)) => {
                self.is_text = true;
                self.add(&part, false).err()
            }
            Frame::Continuation(Item::FirstBinary(part)) => {
                self.is_text = false;
                self.add(&part, false).err()
            }
            Frame::Continuation(Item::Continue(part)) => self.add(&part, false).err(),
            Frame::Continuation(Item::Last(part)) => {
                let added = self.add(&part, true);
                let payload = std::mem::take(&mut self.message).freeze();
                Some(match added {
                    Err(fault) => fault,
                    Ok(()) if self.is_text => self.whole(DataMessage::Text(payload)),
                    Ok(()) => self.whole(DataMessage::Binary(payload)),
                })
            }
            Frame::Ping(payload) => Some(Inbound::Ping(payload)),
            Frame::Pong(_) => Some(Inbound::Pong),
            Frame::Close(reason) => Some(Inbound::Close(reason)),
        }
    }

    fn whole(&self, message: DataMessage) -> Inbound {
        self.gate.spend();
        Inbound::Data(message)
    }

    /// Adds a fragment to the message under way, and judges text by its fragments: a bad one is refused when it comes, and
    /// no byte is judged twice but those of a character that two fragments share.
    ///
    /// UTF-8 is judged here, on raw bytes: the codec's own check reports an I/O error, and 1007 would be a guess.
    fn add(&mut self, part: &[u8], is_last: bool) -> Result<(), Inbound> {
        let from = self.message.len() - usize::from(std::mem::take(&mut self.half_character));
        self.message.extend_from_slice(part);
        if !self.is_text {
            return Ok(());
        }
        let unjudged = &self.message[from..];
        match std::str::from_utf8(unjudged) {
            Ok(_) => Ok(()),
            Err(error) if error.error_len().is_none() && !is_last => {
                // At most 3 bytes: with the fourth a character is whole.
                self.half_character = (unjudged.len() - error.valid_up_to()) as u8;
                Ok(())
            }
            Err(_) => Err(BAD_UTF8),
        }
    }

    /// Reads once. `Ok(false)`: the client is gone.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<bool>> {
        ready!(self.wire.poll_read_ready(cx))?;
        if self.buffer.capacity() == self.buffer.len() {
            self.buffer.reserve(READ_BYTES);
        }
        let judged = self.buffer.len();
        match self.wire.try_read(&mut self.buffer) {
            Ok(0) => Poll::Ready(Ok(false)),
            Ok(_) => {
                self.judge_from(judged);
                Poll::Ready(Ok(true))
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Poll::Ready(Ok(true)),
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

impl<W: Wire> Stream for FrameReader<W> {
    type Item = Inbound;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Inbound>> {
        let this = self.get_mut();
        while !this.is_over {
            ready!(this.gate.poll_open(cx));
            if let Some(inbound) = this.decode() {
                this.is_over = matches!(inbound, Inbound::Close(_) | Inbound::Fault(..) | Inbound::Gone);
                return Poll::Ready(Some(inbound));
            }
            if this.buffer.is_empty() {
                // Dropped, not cleared: a cleared buffer keeps the size of the largest message until the socket ends.
                this.buffer = BytesMut::new();
            }
            match this.poll_read(cx) {
                Poll::Ready(Ok(true)) => {}
                Poll::Ready(Ok(false) | Err(_)) => {
                    this.is_over = true;
                    return Poll::Ready(Some(Inbound::Gone));
                }
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(None)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt as _, StreamExt as _};

    use super::*;
    use crate::http::socket::fake_wire::{FakeWire, client_frame};

    const LIMITS: FrameLimits = FrameLimits {
        frame_bytes: 1000,
        message_bytes: 1500,
        fragments: 4,
        control_frames_per_second: 20,
        binary: false,
    };
    const TEXT: u8 = 0x81;
    const PING: u8 = 0x89;

    #[test]
    fn a_message_in_pieces_and_behind_the_handshake_comes_whole() {
        let bytes = [
            client_frame(0x01, b"he"),
            client_frame(PING, b"?"),
            client_frame(0x00, b""),
            client_frame(0x80, b"llo"),
        ]
        .concat();
        for split in 0..bytes.len() {
            let (wire, _gate, mut reader) = reader(9, &bytes[..split]);
            wire.client_sends(&bytes[split..]);
            assert_eq!(next(&mut reader), Some(Inbound::Ping(Bytes::from_static(b"?"))));
            assert_eq!(next(&mut reader), Some(text(b"hello")));
            assert_eq!(next(&mut reader), None);
        }
    }

    #[test]
    fn without_credit_the_socket_is_not_read() {
        let (wire, gate, mut reader) = reader(1, b"");
        wire.client_sends(&[client_frame(TEXT, b"1"), client_frame(TEXT, b"2")].concat());
        assert_eq!(next(&mut reader), Some(text(b"1")));
        wire.client_sends(&client_frame(TEXT, b"3"));
        assert_eq!(next(&mut reader), None);
        assert_eq!(wire.reads.get(), 1);
        gate.grant(2);
        assert_eq!(next(&mut reader), Some(text(b"2")));
        assert_eq!(next(&mut reader), Some(text(b"3")));
    }

    #[test]
    fn a_client_that_pings_and_reads_nothing_is_not_read_either() {
        let (wire, gate, mut reader) = reader(1, b"");
        for _ in 0..OWN_FRAMES_UNSENT {
            gate.own_queued();
        }
        wire.client_sends(&client_frame(PING, b""));
        assert_eq!(next(&mut reader), None);
        gate.own_finished(1);
        assert_eq!(next(&mut reader), Some(Inbound::Ping(Bytes::new())));
    }

    #[test]
    fn what_came_before_a_fault_is_handed_over_first() {
        let (wire, _gate, mut reader) = reader(9, b"");
        wire.client_sends(&[client_frame(TEXT, b"fine"), vec![0xc1, 0x80]].concat());
        assert_eq!(next(&mut reader), Some(text(b"fine")));
        assert_eq!(next(&mut reader), Some(Inbound::Fault(CloseCode::Protocol, None)));
        assert_eq!(reader.next().now_or_never(), Some(None));
    }

    #[test]
    fn bad_utf8_is_1007_and_a_binary_message_is_1002() {
        let faults = [
            (vec![(TEXT, &b"\xff"[..])], CloseCode::BadUtf8),
            (vec![(0x01, &b"\xe2\x82"[..]), (0x80, &b"x"[..])], CloseCode::BadUtf8),
            (vec![(0x82, &b"x"[..])], CloseCode::Protocol),
            (vec![(0x02, &b"x"[..])], CloseCode::Protocol),
        ];
        for (frames, code) in faults {
            let (wire, _gate, mut reader) = reader(9, b"");
            for (first, payload) in &frames {
                wire.client_sends(&client_frame(*first, payload));
            }
            let Some(Inbound::Fault(found, _)) = next(&mut reader) else {
                panic!("{frames:?} is no fault");
            };
            assert_eq!(found, code, "{frames:?}");
        }
        let (wire, _gate, mut reader) = reader(9, b"");
        wire.client_sends(&[client_frame(0x01, b"\xe2"), client_frame(0x80, b"\x82\xac")].concat());
        assert_eq!(next(&mut reader), Some(text("€".as_bytes())));
    }

    #[test]
    fn bad_utf8_is_refused_with_the_fragment_that_holds_it() {
        let euro_and_more = "a€😀".as_bytes();
        for split in 0..euro_and_more.len() {
            let (wire, _gate, mut reader) = reader(9, b"");
            wire.client_sends(&client_frame(0x01, &euro_and_more[..split]));
            assert_eq!(next(&mut reader), None, "good so far");
            wire.client_sends(&client_frame(0x00, &euro_and_more[split..]));
            wire.client_sends(&client_frame(0x00, b"\xf4"));
            assert_eq!(next(&mut reader), None, "good so far");
            wire.client_sends(&client_frame(0x00, b"\x90"));
            assert_eq!(next(&mut reader), Some(BAD_UTF8), "beyond the last character");
        }
    }

    #[test]
    fn binary_messages_are_taken_where_the_limits_say_so() {
        let limits = FrameLimits { binary: true, ..LIMITS };
        let (wire, _gate, mut reader) = reader_within(limits, 9, b"");
        wire.client_sends(&client_frame(0x82, b"\xff"));
        wire.client_sends(&[client_frame(0x02, b"\xe2"), client_frame(0x80, b"\x82")].concat());
        wire.client_sends(&[client_frame(0x01, b"\xe2"), client_frame(0x80, b"\x82\xac")].concat());
        for expected in [
            DataMessage::Binary(Bytes::from_static(b"\xff")),
            DataMessage::Binary(Bytes::from_static(b"\xe2\x82")),
            DataMessage::Text(Bytes::from_static("€".as_bytes())),
        ] {
            assert_eq!(next(&mut reader), Some(Inbound::Data(expected)));
        }
    }

    #[test]
    fn of_two_faults_the_first_is_told() {
        let (wire, _gate, mut reader) = reader(9, b"");
        let (one_byte_close, too_big) = (client_frame(0x88, b"x"), client_frame(TEXT, &[b'x'; 1001]));
        wire.client_sends(&[one_byte_close, too_big].concat());
        assert_eq!(next(&mut reader), Some(Inbound::Fault(CloseCode::Protocol, None)));
    }

    #[test]
    fn a_refused_header_buffers_nothing_of_its_payload() {
        let (wire, _gate, mut reader) = reader(9, b"");
        wire.client_sends(&[&[TEXT, 0xff][..], &(4_u64 << 30).to_be_bytes(), &[0; 4], &[0; 100_000]].concat());
        assert_eq!(next(&mut reader), Some(Inbound::Fault(CloseCode::TooBig, None)));
        assert_eq!(next(&mut reader), None);
        assert_eq!(wire.reads.get(), 1);
        assert!(reader.buffer.capacity() <= READ_BYTES);
    }

    #[test]
    fn an_idle_reader_keeps_no_buffer() {
        let (wire, _gate, mut reader) = reader(9, b"");
        wire.client_sends(&client_frame(TEXT, &[b'x'; 900]));
        assert!(next(&mut reader).is_some());
        assert_eq!(next(&mut reader), None);
        assert_eq!((reader.buffer.capacity(), reader.message.capacity()), (0, 0));
    }

    #[test]
    fn a_close_frame_and_an_end_without_one_are_told_apart() {
        let (wire, _gate, mut reader) = reader(9, b"");
        wire.client_sends(&client_frame(0x88, &1000_u16.to_be_bytes()));
        assert!(matches!(next(&mut reader), Some(Inbound::Close(Some(_)))));
        let (wire, _gate, mut reader) = self::reader(9, b"");
        wire.client_ends();
        assert_eq!(next(&mut reader), Some(Inbound::Gone));
    }

    fn text(text: &'static [u8]) -> Inbound {
        Inbound::Data(DataMessage::Text(Bytes::from_static(text)))
    }

    fn reader(credit: usize, leftover: &[u8]) -> (Rc<FakeWire>, Rc<Gate>, FrameReader<FakeWire>) {
        reader_within(LIMITS, credit, leftover)
    }

    fn reader_within(
        limits: FrameLimits,
        credit: usize,
        leftover: &[u8],
    ) -> (Rc<FakeWire>, Rc<Gate>, FrameReader<FakeWire>) {
        let (wire, gate) = (Rc::new(FakeWire::default()), Rc::new(Gate::new(credit)));
        let reader = FrameReader::new(
            Rc::clone(&wire),
            Rc::clone(&gate),
            limits,
            &Bytes::copy_from_slice(leftover),
        );
        (wire, gate, reader)
    }

    /// What the reader has now. None: it waits, or is over.
    fn next(reader: &mut FrameReader<FakeWire>) -> Option<Inbound> {
        reader.next().now_or_never().flatten()
    }
}
