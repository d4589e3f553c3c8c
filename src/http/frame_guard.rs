//! Judges a client's bytes ahead of the WebSocket codec, from the headers of its frames alone.
//!
//! The codec buffers a frame up to its declared length before it compares that with any limit: one socket could make it
//! hold hundreds of megabytes. The guard sees the same bytes first, keeps at most one header, and refuses at the header.
//! Each reader owns one. Pure: the clock is passed in.

use std::time::Duration;

use sessile_actors::protocol::CloseCode;
use tokio::time::Instant;

/// Every frame of a client is masked (RFC 6455, section 5.3).
const MASK_BYTES: usize = 4;
/// The longest header of a client's frame: 2 bytes, 8 of length, and the mask.
const HEADER_MAX: usize = 10 + MASK_BYTES;
/// The longest payload of a control frame (RFC 6455, section 5.5).
const CONTROL_PAYLOAD_MAX: u64 = 125;
/// What [`FrameLimits::control_frames_per_second`] counts in.
const FLOOD_WINDOW: Duration = Duration::from_secs(1);

/// What a client may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameLimits {
    /// Largest frame, in bytes. Beyond: 1009.
    pub frame_bytes: usize,
    /// Largest message put together from fragments, in bytes. Beyond: 1009.
    pub message_bytes: usize,
    /// Fragments of one message, empty ones included. Beyond: 1009.
    pub fragments: usize,
    /// Control frames per second. Beyond: 1008.
    pub control_frames_per_second: u32,
    /// Whether binary messages are taken. Else: 1002, from the reader: the guard lets both kinds pass.
    pub binary: bool,
}

/// Why the stream ends here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// What the client is told: 1002, 1008 or 1009.
    pub code: CloseCode,
    /// How many bytes of the judged chunk stand before the faulty frame.
    pub clean: usize,
}

/// The state between two chunks: a partial header or the rest of a payload, and the message under way.
#[derive(Debug)]
pub struct FrameGuard {
    limits: FrameLimits,
    header: [u8; HEADER_MAX],
    /// Bytes of `header` that are filled.
    filled: usize,
    /// The payload's length, once the header says it.
    declared: u64,
    /// Payload that is still to come before the next header.
    payload_left: u64,
    /// Fragments and bytes of the fragmented message under way.
    message: Option<(usize, u64)>,
    /// When the current second of control frames began, and how many it has.
    control: Option<(Instant, u32)>,
}

impl FrameGuard {
    /// Begins at a frame's first byte.
    #[must_use]
    pub fn new(limits: FrameLimits) -> Self {
        Self {
            limits,
            header: [0; HEADER_MAX],
            filled: 0,
            declared: 0,
            payload_left: 0,
            message: None,
            control: None,
        }
    }

    /// Judges the next bytes of the stream. After a verdict the guard is spent.
    ///
    /// # Errors
    /// The [`Verdict`] on the first frame that breaks the protocol or a limit.
    pub fn judge(&mut self, chunk: &[u8], now: Instant) -> Result<(), Verdict> {
        let mut at = 0;
        let mut frame_start = 0;
        while at < chunk.len() {
            if self.payload_left > 0 {
                let skip =
                    usize::try_from(self.payload_left).map_or(chunk.len() - at, |left| left.min(chunk.len() - at));
                self.payload_left -= skip as u64;
                at += skip;
                continue;
            }
            if self.filled == 0 {
                frame_start = at;
            }
            self.header[self.filled] = chunk[at];
            self.filled += 1;
            at += 1;
            self.judge_header(now).map_err(|code| Verdict {
                code,
                clean: frame_start,
            })?;
        }
        Ok(())
    }

    /// Judges what there is of the header. Called after each of its bytes, so that chunk borders change nothing.
    fn judge_header(&mut self, now: Instant) -> Result<(), CloseCode> {
        if self.filled < 2 {
            return Ok(());
        }
        if self.filled == 2 {
            self.judge_first_two(now)?;
        }
        let short = self.header[1] & 0x7f;
        let with_length = match short {
            126 => 4,
            127 => 10,
            _ => 2,
        };
        if self.filled == with_length {
            self.declared = match with_length {
                2 => u64::from(short),
                _ => self.header[2..with_length]
                    .iter()
                    .fold(0, |length, byte| length << 8 | u64::from(*byte)),
            };
            self.judge_length()?;
        }
        if self.filled == with_length + MASK_BYTES {
            self.filled = 0;
            self.payload_left = self.declared;
        }
        Ok(())
    }

    fn judge_first_two(&mut self, now: Instant) -> Result<(), CloseCode> {
        let (first, second) = (self.header[0], self.header[1]);
        let (fin, reserved, opcode) = (first & 0x80 != 0, first & 0x70, first & 0x0f);
        let masked = second & 0x80 != 0;
        if reserved != 0 || !masked {
            return Err(CloseCode::Protocol);
        }
        match opcode {
            0x0 => {
                let Some((fragments, _)) = &mut self.message else {
                    return Err(CloseCode::Protocol);
                };
                *fragments += 1;
            }
            0x1 | 0x2 => {
                if self.message.is_some() {
                    return Err(CloseCode::Protocol);
                }
                self.message = Some((1, 0));
            }
            0x8..=0xa => {
                if !fin || u64::from(second & 0x7f) > CONTROL_PAYLOAD_MAX {
                    return Err(CloseCode::Protocol);
                }
                return self.count_control(now);
            }
            _ => return Err(CloseCode::Protocol),
        }
        Ok(())
    }

    fn count_control(&mut self, now: Instant) -> Result<(), CloseCode> {
        let (since, count) = match self.control {
            Some((since, count)) if now.duration_since(since) < FLOOD_WINDOW => (since, count + 1),
            _ => (now, 1),
        };
        self.control = Some((since, count));
        if count > self.limits.control_frames_per_second {
            return Err(CloseCode::Flood);
        }
        Ok(())
    }

    fn judge_length(&mut self) -> Result<(), CloseCode> {
        let length = self.declared;
        let (fin, is_control) = (self.header[0] & 0x80 != 0, self.header[0] & 0x08 != 0);
        if is_control {
            return Ok(());
        }
        let Some((fragments, bytes)) = &mut self.message else {
            return Err(CloseCode::Protocol);
        };
        *bytes = bytes.saturating_add(length);
        if length > self.limits.frame_bytes as u64
            || *bytes > self.limits.message_bytes as u64
            || *fragments > self.limits.fragments
        {
            return Err(CloseCode::TooBig);
        }
        if fin {
            self.message = None;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: FrameLimits = FrameLimits {
        frame_bytes: 1000,
        message_bytes: 1500,
        fragments: 4,
        control_frames_per_second: 3,
        binary: false,
    };

    #[test]
    fn whole_fragmented_and_control_frames_pass() {
        let mut bytes = frame(true, 0x1, 5);
        bytes.extend(frame(false, 0x1, 700));
        bytes.extend(frame(true, 0x9, 125));
        bytes.extend(frame(false, 0x0, 0));
        bytes.extend(frame(true, 0x0, 800));
        bytes.extend(frame(true, 0x1, 1000));
        bytes.extend(frame(true, 0x8, 2));
        assert_eq!(judged(&bytes), None);
    }

    #[test]
    fn a_frame_beyond_the_limit_is_refused_at_its_header() {
        assert_eq!(judged(&header(true, 0x1, 1001)[..4]), Some((CloseCode::TooBig, 0)));
        assert_eq!(judged(&header(true, 0x2, 1 << 32)[..10]), Some((CloseCode::TooBig, 0)));
        assert_eq!(judged(&header(true, 0x1, u64::MAX)[..10]), Some((CloseCode::TooBig, 0)));
    }

    #[test]
    fn a_message_beyond_the_limit_is_refused_at_the_header_of_its_last_straw() {
        let mut bytes = frame(false, 0x1, 1000);
        let clean = bytes.len();
        bytes.extend(header(true, 0x0, 501));
        assert_eq!(judged(&bytes), Some((CloseCode::TooBig, clean)));
    }

    #[test]
    fn empty_fragments_count() {
        let mut bytes = frame(false, 0x1, 0);
        for _ in 0..3 {
            bytes.extend(frame(false, 0x0, 0));
        }
        assert_eq!(judged(&bytes), None);
        let clean = bytes.len();
        bytes.extend(frame(false, 0x0, 0));
        assert_eq!(judged(&bytes), Some((CloseCode::TooBig, clean)));
    }

    #[test]
    fn what_breaks_the_protocol_is_1002() {
        let inside = frame(false, 0x1, 1);
        let after = |more: Vec<u8>| [inside.clone(), more].concat();
        let cases: [(&str, Vec<u8>, usize); 12] = [
            ("control frame over 125 bytes", header(true, 0x9, 126), 0),
            ("fragmented control frame", frame(false, 0x9, 1), 0),
            ("fragmented close frame", frame(false, 0x8, 2), 0),
            ("first reserved bit", vec![0xc1, 0x80], 0),
            ("second reserved bit", vec![0xa1, 0x80], 0),
            ("third reserved bit", vec![0x91, 0x80], 0),
            ("unmasked frame", vec![0x81, 0x01], 0),
            ("reserved data opcode", frame(true, 0x3, 0), 0),
            ("reserved control opcode", frame(true, 0xb, 0), 0),
            ("continuation without a start", frame(true, 0x0, 1), 0),
            ("text inside a message", after(frame(true, 0x1, 1)), inside.len()),
            ("binary inside a message", after(frame(false, 0x2, 1)), inside.len()),
        ];
        for (what, bytes, clean) in cases {
            assert_eq!(judged(&bytes), Some((CloseCode::Protocol, clean)), "{what}");
        }
    }

    #[test]
    fn control_frames_beyond_the_rate_are_a_flood() {
        let start = Instant::now();
        let mut guard = FrameGuard::new(LIMITS);
        let ping = frame(true, 0x9, 0);
        for at in [0, 10, 999] {
            assert_eq!(guard.judge(&ping, start + Duration::from_millis(at)), Ok(()));
        }
        for at in [1000, 1001, 1002] {
            assert_eq!(
                guard.judge(&ping, start + Duration::from_millis(at)),
                Ok(()),
                "a new second"
            );
        }
        let verdict = guard.judge(&ping, start + Duration::from_millis(1003)).unwrap_err();
        assert_eq!(verdict.code, CloseCode::Flood);
    }

    /// Judges the bytes at once, then one by one and in chunks of three: each must judge alike.
    fn judged(bytes: &[u8]) -> Option<(CloseCode, usize)> {
        let at_once = in_chunks(bytes, bytes.len());
        for size in [1, 3] {
            let pieces = in_chunks(bytes, size).map(|(code, _)| code);
            assert_eq!(pieces, at_once.clone().map(|(code, _)| code), "in chunks of {size}");
        }
        at_once
    }

    fn in_chunks(bytes: &[u8], size: usize) -> Option<(CloseCode, usize)> {
        let mut guard = FrameGuard::new(LIMITS);
        bytes
            .chunks(size)
            .find_map(|chunk| guard.judge(chunk, Instant::now()).err())
            .map(|verdict| (verdict.code, verdict.clean))
    }

    fn frame(fin: bool, opcode: u8, length: usize) -> Vec<u8> {
        let mut bytes = header(fin, opcode, length as u64);
        bytes.resize(bytes.len() + length, b'x');
        bytes
    }

    fn header(fin: bool, opcode: u8, length: u64) -> Vec<u8> {
        let mut bytes = vec![u8::from(fin) << 7 | opcode];
        match length {
            0..126 => bytes.push(0x80 | length as u8),
            126..0x1_0000 => {
                bytes.push(0x80 | 126);
                bytes.extend((length as u16).to_be_bytes());
            }
            _ => {
                bytes.push(0x80 | 127);
                bytes.extend(length.to_be_bytes());
            }
        }
        bytes.extend([0; MASK_BYTES]);
        bytes
    }
}
