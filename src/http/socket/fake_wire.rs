//! A socket that a test plays the client of: it takes as many bytes as the test says, and reads what the test wrote.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::task::{Context, Poll, Waker};

use bytes::{Buf as _, BytesMut};

use super::wire::Wire;

#[derive(Default)]
pub(super) struct FakeWire {
    /// What was written.
    pub(super) written: RefCell<Vec<u8>>,
    /// How many more bytes the client takes.
    pub(super) takes: Cell<usize>,
    /// What the client sent and was not read yet.
    pub(super) sent: RefCell<BytesMut>,
    /// Whether the client has closed its side.
    pub(super) is_ended: Cell<bool>,
    /// How the socket was shut, in order.
    pub(super) shut: RefCell<Vec<Shutdown>>,
    /// How often it was read.
    pub(super) reads: Cell<usize>,
    wakers: RefCell<Vec<Waker>>,
}

impl FakeWire {
    pub(super) fn client_takes(&self, bytes: usize) {
        self.takes.set(bytes);
        self.wake();
    }

    pub(super) fn client_sends(&self, bytes: &[u8]) {
        self.sent.borrow_mut().extend_from_slice(bytes);
        self.wake();
    }

    pub(super) fn client_ends(&self) {
        self.is_ended.set(true);
        self.wake();
    }

    fn wake(&self) {
        self.wakers.borrow_mut().drain(..).for_each(Waker::wake);
    }

    fn poll_if(&self, is_ready: bool, cx: &Context<'_>) -> Poll<io::Result<()>> {
        if is_ready {
            return Poll::Ready(Ok(()));
        }
        self.wakers.borrow_mut().push(cx.waker().clone());
        Poll::Pending
    }
}

impl Wire for FakeWire {
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_if(self.is_ended.get() || !self.sent.borrow().is_empty(), cx)
    }

    fn try_read(&self, buffer: &mut BytesMut) -> io::Result<usize> {
        let mut sent = self.sent.borrow_mut();
        let bytes = sent.len().min(buffer.capacity() - buffer.len());
        buffer.extend_from_slice(&sent[..bytes]);
        sent.advance(bytes);
        self.reads.set(self.reads.get() + 1);
        Ok(bytes)
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_if(self.takes.get() > 0, cx)
    }

    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut written = 0;
        for slice in slices {
            let bytes = slice.len().min(self.takes.get());
            self.written.borrow_mut().extend_from_slice(&slice[..bytes]);
            self.takes.set(self.takes.get() - bytes);
            written += bytes;
        }
        Ok(written)
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.shut.borrow_mut().push(how);
        Ok(())
    }
}

/// A client's frame, masked with zeros so that its payload reads as it is.
pub(super) fn client_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..126 => frame.push(0x80 | length as u8),
        length => {
            frame.push(0x80 | 126);
            frame.extend((length as u16).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}
