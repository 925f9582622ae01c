//! A container's output: `GET /containers/<id>/logs`.
//!
//! Read over a connection of our own, because what a container writes is the
//! least trusted thing that reaches a node: bollard takes the length of a frame
//! for granted, and mistakes the raw output of a terminal for frame headers.
//! Here the caller says which of the two it is, and a frame or line that is too
//! long is cut into pieces.

use std::collections::VecDeque;
use std::fmt::Write;
use std::path::Path;

use bytes::{Buf, Bytes, BytesMut};
use futures::StreamExt;
use futures::stream::BoxStream;
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::body::Incoming;
use services::Timestamp;

use super::{CALL_TIMEOUT, wire};
use crate::runtime::{LogFrame, LogOptions, LogStream, Result, RuntimeError};

/// Longest piece handed on, bytes. The engine's own log entries are 16 KiB.
pub const MAX_LOG_FRAME: usize = 64 << 10;
const HEADER: usize = 8;

pub(super) async fn read(
    socket: &Path,
    container: &str,
    tty: bool,
    options: &LogOptions,
) -> Result<BoxStream<'static, Result<LogFrame>>> {
    let request = Request::get(path(container, options))
        .body(Empty::<Bytes>::new())
        .map_err(|error| RuntimeError::Refused(error.to_string()))?;
    let body = wire::ask(socket, request, CALL_TIMEOUT).await?;
    Ok(frames(body, Decoder::new(tty, options.details)))
}

fn path(container: &str, options: &LogOptions) -> String {
    let mut path = format!(
        "/containers/{container}/logs?timestamps=1&follow={}&stdout={}&stderr={}",
        u8::from(options.follow),
        u8::from(options.stdout),
        u8::from(options.stderr),
    );
    if options.details {
        path.push_str("&details=1");
    }
    let times = [("since", options.since), ("until", options.until)];
    for (name, Timestamp(nanos)) in times.iter().filter_map(|(name, at)| Some((name, (*at)?))) {
        // Writing into a string cannot fail.
        let _ = write!(
            path,
            "&{name}={}.{:09}",
            nanos / 1_000_000_000,
            nanos % 1_000_000_000
        );
    }
    match options.tail {
        Some(lines) => path + &format!("&tail={lines}"),
        None => path + "&tail=all",
    }
}

fn frames(body: Incoming, decoder: Decoder) -> BoxStream<'static, Result<LogFrame>> {
    let state = (body, decoder, VecDeque::new());
    futures::stream::unfold(state, |(mut body, mut decoder, mut ready)| async move {
        loop {
            if let Some(frame) = ready.pop_front() {
                return Some((Ok(frame), (body, decoder, ready)));
            }
            match body.frame().await {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        decoder.feed(data, &mut ready);
                    }
                }
                Some(Err(error)) => {
                    let error = RuntimeError::Unavailable(error.to_string());
                    return Some((Err(error), (body, decoder, ready)));
                }
                None => {
                    decoder.finish(&mut ready);
                    let frame = ready.pop_front()?;
                    return Some((Ok(frame), (body, decoder, ready)));
                }
            }
        }
    })
    .boxed()
}

/// Engine API, "Stream format": without a terminal each entry has a header
/// `[stream, 0, 0, 0, length: u32 BE]`; with one the output is raw lines.
/// Holds at most one piece.
#[derive(Debug)]
struct Decoder {
    tty: bool,
    /// Details stand before each line.
    details: bool,
    buffer: BytesMut,
    /// How much of the buffer is known to hold no line break.
    scanned: usize,
    /// Of the entry that is being read: its stream and bytes still to come.
    entry: Option<(LogStream, usize)>,
    /// Of the line of which a first piece was handed on already.
    line: Option<Head>,
}

/// What the engine writes before a line.
#[derive(Debug, Clone, Default)]
struct Head {
    at: Option<Timestamp>,
    details: String,
}

impl Decoder {
    fn new(tty: bool, details: bool) -> Self {
        Self {
            tty,
            details,
            buffer: BytesMut::new(),
            scanned: 0,
            entry: None,
            line: None,
        }
    }

    fn feed(&mut self, mut data: Bytes, out: &mut VecDeque<LogFrame>) {
        while data.has_remaining() {
            let room = MAX_LOG_FRAME.saturating_sub(self.buffer.len()).max(HEADER);
            let part = data.split_to(room.min(data.len()));
            self.buffer.extend_from_slice(&part);
            while self.step(out) {}
        }
    }

    /// Takes one piece off the buffer, if there is a whole one.
    fn step(&mut self, out: &mut VecDeque<LogFrame>) -> bool {
        if self.tty {
            let window = &self.buffer[..self.buffer.len().min(MAX_LOG_FRAME)];
            let fresh = window.iter().skip(self.scanned);
            let end = fresh.enumerate().find(|&(_, &byte)| byte == b'\n');
            let (length, whole) = match end {
                Some((at, _)) => (self.scanned + at + 1, true),
                None if window.len() == MAX_LOG_FRAME => (MAX_LOG_FRAME, false),
                None => {
                    self.scanned = window.len();
                    return false;
                }
            };
            self.emit(LogStream::Stdout, length, whole, out);
            return true;
        }
        let Some((stream, left)) = self.entry else {
            return self.header();
        };
        let length = left.min(MAX_LOG_FRAME);
        if self.buffer.len() < length {
            return false;
        }
        self.entry = (left > length).then_some((stream, left - length));
        self.emit(stream, length, self.entry.is_none(), out);
        true
    }

    fn header(&mut self) -> bool {
        if self.buffer.len() < HEADER {
            return false;
        }
        let header = self.buffer.split_to(HEADER);
        let stream = match header[0] {
            2 => LogStream::Stderr,
            _ => LogStream::Stdout,
        };
        let length = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
        self.entry = (length > 0).then_some((stream, length as usize));
        true
    }

    fn emit(
        &mut self,
        stream: LogStream,
        length: usize,
        whole: bool,
        out: &mut VecDeque<LogFrame>,
    ) {
        let piece = self.buffer.split_to(length).freeze();
        self.scanned = 0;
        let (head, data) = match self.line.take() {
            Some(head) => (head, piece),
            None => {
                let (at, piece) = split_timestamp(piece);
                let (details, data) = match self.details {
                    true => split_details(piece),
                    false => (String::new(), piece),
                };
                (Head { at, details }, data)
            }
        };
        self.line = (!whole).then(|| head.clone());
        out.push_back(LogFrame {
            stream,
            at: head.at,
            details: head.details,
            data,
        });
    }

    /// What an interrupted stream left behind.
    fn finish(&mut self, out: &mut VecDeque<LogFrame>) {
        let stream = self.entry.map_or(LogStream::Stdout, |(stream, _)| stream);
        if !self.buffer.is_empty() && (self.tty || self.entry.is_some()) {
            self.emit(stream, self.buffer.len(), true, out);
        }
    }
}

/// `2026-11-21T02:38:33.573548950Z text`. Without one the piece stays whole.
fn split_timestamp(mut piece: Bytes) -> (Option<Timestamp>, Bytes) {
    let at = piece.iter().take(40).position(|&byte| byte == b' ');
    let stamp = at
        .and_then(|at| std::str::from_utf8(&piece[..at]).ok())
        .and_then(|text| {
            let at = text.parse::<jiff::Timestamp>().ok()?;
            u64::try_from(at.as_nanosecond()).ok().map(Timestamp)
        });
    match (stamp, at) {
        (Some(stamp), Some(at)) => {
            piece.advance(at + 1);
            (Some(stamp), piece)
        }
        _ => (None, piece),
    }
}

/// `tier=front,zone=a text`; ` text` where there are none.
fn split_details(mut piece: Bytes) -> (String, Bytes) {
    let end = piece.iter().position(|&byte| byte == b' ');
    match end.and_then(|end| Some((end, std::str::from_utf8(&piece[..end]).ok()?.to_owned()))) {
        Some((end, details)) => {
            piece.advance(end + 1);
            (details, piece)
        }
        None => (String::new(), piece),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: &str = "1970-01-01T00:00:01.000000002Z ";
    const AT: Option<Timestamp> = Some(Timestamp(1_000_000_002));

    fn entry(stream: u8, text: &str) -> Vec<u8> {
        let mut bytes = vec![stream, 0, 0, 0];
        bytes.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
        bytes.extend(text.as_bytes());
        bytes
    }

    /// What comes out when the bytes arrive in chunks of every size.
    fn decode(tty: bool, bytes: &[u8]) -> Vec<(LogStream, Option<Timestamp>, Vec<u8>)> {
        let mut results = [1, 3, 7, 4096, usize::MAX].map(|size| {
            let mut decoder = Decoder::new(tty, false);
            let mut out = VecDeque::new();
            for chunk in bytes.chunks(size) {
                decoder.feed(Bytes::copy_from_slice(chunk), &mut out);
                assert!(decoder.buffer.len() <= MAX_LOG_FRAME + HEADER);
            }
            decoder.finish(&mut out);
            out.into_iter()
                .map(|frame| (frame.stream, frame.at, frame.data.to_vec()))
                .collect::<Vec<_>>()
        });
        let first = std::mem::take(&mut results[0]);
        assert!(results[1..].iter().all(|other| *other == first));
        first
    }

    #[test]
    fn both_streams_are_told_apart_and_timed() {
        let mut bytes = entry(1, &format!("{STAMP}out\n"));
        bytes.extend(entry(2, &format!("{STAMP}err")));
        bytes.extend(entry(1, "no stamp\n"));
        assert_eq!(
            decode(false, &bytes),
            [
                (LogStream::Stdout, AT, b"out\n".to_vec()),
                (LogStream::Stderr, AT, b"err".to_vec()),
                (LogStream::Stdout, None, b"no stamp\n".to_vec()),
            ]
        );
    }

    #[test]
    fn a_terminals_output_is_never_taken_for_headers() {
        let text = format!("{STAMP}\u{1}\0\0\0\u{7f}\u{7f}\u{7f}\u{7f}\n{STAMP}end");
        assert_eq!(
            decode(true, text.as_bytes()),
            [
                (
                    LogStream::Stdout,
                    AT,
                    b"\x01\0\0\0\x7f\x7f\x7f\x7f\n".to_vec()
                ),
                (LogStream::Stdout, AT, b"end".to_vec()),
            ]
        );
    }

    #[test]
    fn the_details_of_the_log_driver_are_told_apart() {
        let mut bytes = entry(1, &format!("{STAMP}a=b+c,tier=front some text\n"));
        bytes.extend(entry(2, &format!("{STAMP} none here\n")));
        let long = "x".repeat(MAX_LOG_FRAME);
        bytes.extend(entry(1, &format!("{STAMP}a=b {long}")));
        let mut decoder = Decoder::new(false, true);
        let mut out = VecDeque::new();
        decoder.feed(bytes.into(), &mut out);
        let read: Vec<(&str, &[u8])> = out
            .iter()
            .map(|frame| {
                (
                    frame.details.as_str(),
                    &frame.data[..frame.data.len().min(10)],
                )
            })
            .collect();
        assert_eq!(
            read,
            [
                ("a=b+c,tier=front", &b"some text\n"[..]),
                ("", b"none here\n"),
                ("a=b", b"xxxxxxxxxx"),
                // The rest of the same line.
                ("a=b", b"xxxxxxxxxx"),
            ]
        );
    }

    #[test]
    fn an_endless_entry_is_cut_into_pieces_of_one_time() {
        let long = "x".repeat(2 * MAX_LOG_FRAME);
        for (tty, bytes) in [
            (false, entry(2, &format!("{STAMP}{long}"))),
            (true, format!("{STAMP}{long}").into_bytes()),
        ] {
            let pieces = decode(tty, &bytes);
            assert!(
                pieces
                    .iter()
                    .all(|(_, at, data)| *at == AT && data.len() <= MAX_LOG_FRAME)
            );
            let whole: Vec<u8> = pieces.into_iter().flat_map(|(_, _, data)| data).collect();
            assert_eq!(whole, long.as_bytes());
        }
    }

    #[test]
    fn an_entry_that_claims_four_gigabytes_is_not_waited_for() {
        let mut bytes = vec![1, 0, 0, 0, 255, 255, 255, 255];
        bytes.extend(STAMP.as_bytes());
        bytes.extend(vec![b'x'; MAX_LOG_FRAME]);
        let pieces = decode(false, &bytes);
        assert_eq!(pieces.len(), 2);
        assert_eq!(pieces[0].1, AT);
    }

    #[test]
    fn the_request_names_what_is_wanted() {
        assert_eq!(
            path("abc", &LogOptions::default()),
            "/containers/abc/logs?timestamps=1&follow=0&stdout=1&stderr=1&tail=all"
        );
        let options = LogOptions {
            follow: true,
            stdout: false,
            since: AT,
            tail: Some(5),
            details: true,
            ..LogOptions::default()
        };
        assert_eq!(
            path("abc", &options),
            "/containers/abc/logs?timestamps=1&follow=1&stdout=0&stderr=1&details=1\
             &since=1.000000002&tail=5"
        );
    }
}
