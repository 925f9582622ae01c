//! Docker's multiplexing of stdout and stderr over one stream: frames of an
//! 8-byte header (the stream, three zeros, the length in big endian) and
//! their bytes. Source: Engine API, "Attach to a container", stream format.

use bytes::{BufMut, Bytes, BytesMut};

use crate::runtime::LogStream;

const STDOUT: u8 = 1;
const STDERR: u8 = 2;
/// An error of the daemon, in the middle of a stream.
const SYSTEM_ERROR: u8 = 3;

/// `text`, framed where the answer is multiplexed.
pub(super) fn frame(stream: LogStream, text: &[u8], multiplexed: bool) -> Bytes {
    let kind = match stream {
        LogStream::Stdout => STDOUT,
        LogStream::Stderr => STDERR,
    };
    if multiplexed {
        framed(kind, text)
    } else {
        Bytes::copy_from_slice(text)
    }
}

/// What the client should print as the daemon's error.
pub(super) fn error(text: &str, multiplexed: bool) -> Bytes {
    if multiplexed {
        framed(SYSTEM_ERROR, text.as_bytes())
    } else {
        Bytes::copy_from_slice(text.as_bytes())
    }
}

fn framed(kind: u8, text: &[u8]) -> Bytes {
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
    let text = &text[..length as usize];
    let mut frame = BytesMut::with_capacity(8 + text.len());
    frame.put_slice(&[kind, 0, 0, 0]);
    frame.put_u32(length);
    frame.put_slice(text);
    frame.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_starts_with_its_stream_and_length() {
        assert_eq!(
            frame(LogStream::Stderr, b"oh\n", true).as_ref(),
            b"\x02\0\0\0\0\0\0\x03oh\n"
        );
        assert_eq!(frame(LogStream::Stderr, b"oh\n", false).as_ref(), b"oh\n");
    }
}
