//! The socket's two directions: what is needed of a TCP stream, and the bytes that wait to be written to it.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::net::TcpStream;

/// Slices of one write. The codec coalesces a turn into one, so more than a few means that a client is slow.
const SLICES: usize = 8;

/// What the sink needs of a TCP stream.
pub(super) trait Wire {
    /// Whether reading would bring something.
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
    /// Reads into the spare room of `buffer`.
    fn try_read(&self, buffer: &mut BytesMut) -> io::Result<usize>;
    /// Whether writing would take something.
    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
    /// Writes what it takes.
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize>;
    /// Shuts one side, or both.
    fn shutdown(&self, how: Shutdown) -> io::Result<()>;
}

impl Wire for TcpStream {
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::poll_read_ready(self, cx)
    }
    fn try_read(&self, buffer: &mut BytesMut) -> io::Result<usize> {
        self.try_read_buf(buffer)
    }
    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::poll_write_ready(self, cx)
    }
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.try_write_vectored(slices)
    }
    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        socket2::SockRef::from(self).shutdown(how)
    }
}

/// Bytes that the socket has not taken. The session's window bounds them.
#[derive(Default)]
pub(super) struct Unsent(VecDeque<Bytes>);

impl Unsent {
    /// Adds a chunk of the actor's.
    pub(super) fn push(&mut self, chunk: Bytes) {
        self.0.push_back(chunk);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Keeps the first `bytes`.
    pub(super) fn truncate(&mut self, bytes: usize) {
        let mut left = bytes;
        for chunk in &mut self.0 {
            chunk.truncate(left);
            left -= chunk.len();
        }
        self.0.retain(|chunk| !chunk.is_empty());
    }

    /// Writes once, and says how much.
    pub(super) fn poll_write<W: Wire>(&mut self, wire: &W, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        loop {
            ready!(wire.poll_write_ready(cx))?;
            let mut slices = [IoSlice::new(&[]); SLICES];
            for (slice, chunk) in slices.iter_mut().zip(&self.0) {
                *slice = IoSlice::new(chunk);
            }
            match wire.try_write(&slices[..self.0.len().min(SLICES)]) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(written) => {
                    self.advance(written);
                    return Poll::Ready(Ok(written));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Writes everything.
    pub(super) fn poll_flush<W: Wire>(&mut self, wire: &W, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.is_empty() {
            ready!(self.poll_write(wire, cx))?;
        }
        Poll::Ready(Ok(()))
    }

    fn advance(&mut self, mut written: usize) {
        while let Some(first) = self.0.front_mut() {
            if written < first.len() {
                first.advance(written);
                return;
            }
            written -= first.len();
            self.0.pop_front();
        }
        // Freed when empty: an idle socket keeps nothing.
        self.0 = VecDeque::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_truncated_queue_keeps_the_first_bytes() {
        let mut unsent = Unsent::default();
        unsent.push(Bytes::from_static(b"abc"));
        unsent.push(Bytes::from_static(b"def"));
        unsent.truncate(4);
        assert_eq!(unsent.0, [&b"abc"[..], b"d"]);
        unsent.truncate(0);
        assert!(unsent.is_empty());
    }
}
