//! Server-sent events, as far as chat completions use them: their data, put together from bytes however they come.

use super::super::fault::Fault;

/// The largest event, in bytes. Beyond: the stream is broken.
const EVENT_BYTES: usize = 1024 * 1024;

/// Reads events. Names, ids and comments are of no use here, and left out.
#[derive(Debug)]
pub(super) struct Events {
    /// The line that has not ended.
    line: Vec<u8>,
    /// The data of the event that has not ended.
    data: Vec<u8>,
    after_return: bool,
    is_first: bool,
    /// The whole body is one event, without any form.
    is_plain: bool,
}

impl Events {
    /// Reads a stream of events; with `is_plain` one that is a single JSON text instead.
    pub(super) fn new(is_plain: bool) -> Self {
        Self {
            line: Vec::new(),
            data: Vec::new(),
            after_return: false,
            is_first: true,
            is_plain,
        }
    }

    /// Takes bytes; gives the events that they end.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Vec<String>, Fault> {
        let mut ended = Vec::new();
        for byte in bytes {
            let after_return = std::mem::replace(&mut self.after_return, *byte == b'\r');
            match byte {
                _ if self.is_plain => self.data.push(*byte),
                // CRLF is one end of a line.
                b'\n' if after_return => {}
                b'\n' | b'\r' => ended.extend(self.end_line()?),
                byte => self.line.push(*byte),
            }
            if self.line.len() + self.data.len() > EVENT_BYTES {
                return Err(Fault::nonsense("an event of its stream is too large"));
            }
        }
        Ok(ended)
    }

    /// The stream has ended: gives what it ends. Some servers leave out the last empty line.
    pub(super) fn end(&mut self) -> Result<Vec<String>, Fault> {
        let mut ended: Vec<_> = self.end_line()?.into_iter().collect();
        ended.extend(self.end_event()?);
        Ok(ended)
    }

    fn end_line(&mut self) -> Result<Option<String>, Fault> {
        let line = std::mem::take(&mut self.line);
        let line = match std::mem::replace(&mut self.is_first, false) {
            true => line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&line),
            false => &line,
        };
        if line.is_empty() {
            return self.end_event();
        }
        if let Some(value) = line.strip_prefix(b"data:") {
            if !self.data.is_empty() {
                self.data.push(b'\n');
            }
            self.data.extend_from_slice(value.strip_prefix(b" ").unwrap_or(value));
        }
        Ok(None)
    }

    fn end_event(&mut self) -> Result<Option<String>, Fault> {
        if self.data.is_empty() {
            return Ok(None);
        }
        let data = String::from_utf8(std::mem::take(&mut self.data));
        data.map(Some)
            .map_err(|_| Fault::nonsense("an event of its stream is no UTF-8"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The events of a stream that comes in pieces of this size.
    fn read(stream: &str, piece: usize) -> Vec<String> {
        let mut events = Events::new(false);
        let mut read = Vec::new();
        for bytes in stream.as_bytes().chunks(piece) {
            read.extend(events.push(bytes).unwrap());
        }
        read.extend(events.end().unwrap());
        read
    }

    #[test]
    fn events_are_the_same_however_their_bytes_come() {
        let stream = ": ping\n\nevent: x\ndata: one\n\ndata:two\nid: 7\n\n:\n\ndata: th\ndata: ré\n\n\n";
        for end in ["\n", "\r\n", "\r"] {
            let stream = stream.replace('\n', end);
            for piece in [1, 2, 3, 7, 1000] {
                assert_eq!(read(&stream, piece), ["one", "two", "th\nré"], "{end:?}, {piece}");
            }
        }
    }

    #[test]
    fn a_mark_of_byte_order_is_no_part_of_the_first_line() {
        assert_eq!(read("\u{feff}data: one\n\n", 1), ["one"]);
    }

    #[test]
    fn the_last_event_may_lack_its_empty_line() {
        assert_eq!(read("data: one\n\ndata: two", 5), ["one", "two"]);
    }

    #[test]
    fn an_event_that_never_ends_is_refused() {
        for stream in ["data: ", ": "] {
            let mut events = Events::new(false);
            events.push(stream.as_bytes()).unwrap();
            let mebibyte = vec![b'x'; EVENT_BYTES];
            assert!(events.push(&mebibyte).is_err(), "{stream}");
        }
    }

    #[test]
    fn a_body_without_a_form_is_one_event() {
        let mut events = Events::new(true);
        assert_eq!(events.push(b"{\n\n}").unwrap(), Vec::<String>::new());
        assert_eq!(events.end().unwrap(), ["{\n\n}"]);
    }
}
