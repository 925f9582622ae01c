//! Docker's multiplexed stream: frames of an eight-byte header (the stream,
//! three zeros, the length in big-endian order) and so many bytes.

use bytes::{Buf, Bytes, BytesMut};

const HEADER: usize = 8;
/// A frame is one line of a log, which engines cut at 16 KiB; the rest is
/// for details.
const MAX_FRAME: usize = 1 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    Stdout,
    Stderr,
    /// The frame is an error of the daemon, the last thing it says.
    Error,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub stream: Stream,
    pub bytes: Bytes,
}

/// The stream is not what it should be; nothing more can be read from it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("unrecognized stream: {0}")]
    Stream(u8),
    #[error("a frame of {0} bytes is too large")]
    TooLarge(usize),
    #[error("the stream ends within a frame")]
    Truncated,
}

/// Cuts a stream of bytes into frames. Holds one frame at most, and what came
/// with its last piece.
#[derive(Debug, Default)]
pub struct Demux {
    buffer: BytesMut,
}

impl Demux {
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next frame, if all of it is here.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, Malformed> {
        let Some(header) = self.buffer.first_chunk::<HEADER>() else {
            return Ok(None);
        };
        let [kind, _, _, _, a, b, c, d] = *header;
        let stream = match kind {
            0 | 1 => Stream::Stdout,
            2 => Stream::Stderr,
            3 => Stream::Error,
            other => return Err(Malformed::Stream(other)),
        };
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        if length > MAX_FRAME {
            return Err(Malformed::TooLarge(length));
        }
        if self.buffer.len() < HEADER + length {
            return Ok(None);
        }
        self.buffer.advance(HEADER);
        Ok(Some(Frame {
            stream,
            bytes: self.buffer.split_to(length).freeze(),
        }))
    }

    /// That the stream ended between two frames.
    pub fn finish(&self) -> Result<(), Malformed> {
        match self.buffer.is_empty() {
            true => Ok(()),
            false => Err(Malformed::Truncated),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(stream: u8, text: &str) -> Vec<u8> {
        let length = u32::try_from(text.len()).unwrap().to_be_bytes();
        [&[stream, 0, 0, 0], &length[..], text.as_bytes()].concat()
    }

    #[test]
    fn frames_are_found_wherever_the_stream_is_cut() {
        let bytes = [frame(1, "out\n"), frame(2, ""), frame(2, "err\n")].concat();
        for piece in 1..=bytes.len() {
            let mut demux = Demux::default();
            let mut seen = Vec::new();
            for part in bytes.chunks(piece) {
                demux.push(part);
                while let Some(frame) = demux.next_frame().unwrap() {
                    seen.push((frame.stream, frame.bytes));
                }
            }
            let wanted = [
                (Stream::Stdout, Bytes::from("out\n")),
                (Stream::Stderr, Bytes::new()),
                (Stream::Stderr, Bytes::from("err\n")),
            ];
            assert_eq!(seen, wanted, "in pieces of {piece}");
            assert_eq!(demux.finish(), Ok(()));
        }
    }

    #[test]
    fn a_frame_without_end_is_refused_before_it_is_read() {
        let mut demux = Demux::default();
        demux.push(&[1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]);
        assert_eq!(demux.next_frame(), Err(Malformed::TooLarge(0xffff_ffff)));
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        let mut demux = Demux::default();
        demux.push(b"plain text");
        assert_eq!(demux.next_frame(), Err(Malformed::Stream(b'p')));
    }

    #[test]
    fn a_stream_that_breaks_off_is_noticed() {
        let mut demux = Demux::default();
        demux.push(&frame(1, "line")[..9]);
        assert_eq!(demux.next_frame(), Ok(None));
        assert_eq!(demux.finish(), Err(Malformed::Truncated));
    }
}
