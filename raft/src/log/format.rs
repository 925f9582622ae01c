//! The bytes of a log segment, and what a damaged one means.
//!
//! A segment is a header and records, only ever appended to, in batches that
//! one fdatasync makes durable together. A record says how much of its file was
//! already durable when it was written. So a reader that meets a bad record can
//! tell two cases apart: if a later record was written after the bad one had
//! become durable, the disk has lost something that others were promised;
//! otherwise power failed during the last batch, which nobody was promised.

use certs::{ClusterId, seal};

const MAGIC: &[u8; 8] = b"SWLRLOG1";
pub(crate) const HEADER_LEN: usize = 8 + 8 + 16 + seal::HEADER_BYTES + 4;
/// checksum, length of the payload, number within the file, durable bytes.
pub(crate) const RECORD_HEAD: usize = 16;

/// The head of a segment file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// The log index of the first record.
    pub first_index: u64,
    pub cluster: ClusterId,
    /// What the records of this file are opened with, and no other file's.
    pub seal: [u8; seal::HEADER_BYTES],
}

impl Header {
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..16].copy_from_slice(&self.first_index.to_le_bytes());
        bytes[16..32].copy_from_slice(&self.cluster.as_u128().to_le_bytes());
        bytes[32..HEADER_LEN - 4].copy_from_slice(&self.seal);
        let crc = crc32c::crc32c(&bytes[..HEADER_LEN - 4]);
        bytes[HEADER_LEN - 4..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// `None` if these are not the first bytes of a whole, undamaged header.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; HEADER_LEN] = bytes.first_chunk()?;
        let (body, crc) = bytes.split_last_chunk()?;
        if u32::from_le_bytes(*crc) != crc32c::crc32c(body) {
            return None;
        }
        let body = body.strip_prefix(MAGIC)?;
        let (first_index, body) = body.split_first_chunk()?;
        let (cluster, seal) = body.split_first_chunk()?;
        Some(Self {
            first_index: u64::from_le_bytes(*first_index),
            cluster: ClusterId::from(u128::from_le_bytes(*cluster)),
            seal: seal.try_into().ok()?,
        })
    }
}

/// Appends the record whose payload `put_payload` appends. `number` counts the
/// records of the file, `durable` is the length that the file is known to have
/// on disk. On an error the buffer holds nothing of use after its old end.
pub(crate) fn push_record<E>(
    buffer: &mut Vec<u8>,
    number: u32,
    durable: u32,
    put_payload: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
) -> Result<(), E> {
    let start = buffer.len();
    buffer.extend_from_slice(&[0; RECORD_HEAD]);
    put_payload(buffer)?;
    let len = (buffer.len() - start - RECORD_HEAD) as u32;
    for (at, value) in [(4, len), (8, number), (12, durable)] {
        put_u32(buffer, start + at, value);
    }
    let crc = crc32c::crc32c(&buffer[start + 4..]);
    put_u32(buffer, start, crc);
    Ok(())
}

fn put_u32(buffer: &mut [u8], at: usize, value: u32) {
    buffer[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

/// Where a record's payload is in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    /// Where the record, with its head, begins.
    pub offset: u32,
    /// The length of the payload.
    pub len: u32,
}

impl Span {
    pub fn payload(self) -> std::ops::Range<usize> {
        let start = self.offset as usize + RECORD_HEAD;
        start..start + self.len as usize
    }
}

/// How the records of a file end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// With the file.
    Clean,
    /// With a batch that was being written when power failed.
    Torn { at: usize },
    /// With a record that was durable and is damaged.
    Corrupt { at: usize },
}

/// Finds the records of a whole segment file, its header included.
pub(crate) fn scan(file: &[u8]) -> (Vec<Span>, End) {
    let mut spans = Vec::new();
    let mut at = HEADER_LEN.min(file.len());
    while at < file.len() {
        match Record::at(file, at) {
            Some(record) if record.number as usize == spans.len() => {
                spans.push(record.span);
                at = record.span.payload().end;
            }
            _ => return (spans, judge(file, at)),
        }
    }
    (spans, End::Clean)
}

/// Whether the bad record at `at` had been durable.
fn judge(file: &[u8], at: usize) -> End {
    let proof = (at + 1..file.len()).any(|later| {
        let durable = u32_at(file, later + 12);
        durable.is_some_and(|durable| (at + 1..=later).contains(&(durable as usize)))
            && Record::at(file, later).is_some()
    });
    if proof {
        End::Corrupt { at }
    } else {
        End::Torn { at }
    }
}

struct Record {
    number: u32,
    span: Span,
}

impl Record {
    /// The record at `offset`, if it is whole and its checksum is right.
    fn at(file: &[u8], offset: usize) -> Option<Self> {
        let len = u32_at(file, offset + 4)?;
        let span = Span {
            offset: u32::try_from(offset).ok()?,
            len,
        };
        let body = file.get(offset + 4..span.payload().end)?;
        (u32_at(file, offset)? == crc32c::crc32c(body)).then_some(Self {
            number: u32_at(file, offset + 8)?,
            span,
        })
    }
}

/// Checks one record that was read back alone, and gives its payload.
pub(crate) fn payload_of(record: &[u8]) -> Option<&[u8]> {
    let found = Record::at(record, 0)?;
    record.get(found.span.payload())
}

fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    let bytes = bytes.get(offset..offset + 4)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header() -> Header {
        Header {
            first_index: 7,
            cluster: ClusterId::from(5),
            seal: [9; seal::HEADER_BYTES],
        }
    }

    fn push(file: &mut Vec<u8>, number: u32, durable: u32, payload: &[u8]) {
        let put = |buffer: &mut Vec<u8>| {
            buffer.extend_from_slice(payload);
            Ok::<_, ()>(())
        };
        push_record(file, number, durable, put).unwrap();
    }

    /// A file of batches of records, and the offset at which each batch begins.
    fn file(batches: &[Vec<Vec<u8>>]) -> (Vec<u8>, Vec<usize>) {
        let mut file = header().encode().to_vec();
        let mut number = 0;
        let mut starts = Vec::new();
        for batch in batches {
            let durable = file.len() as u32;
            starts.push(file.len());
            for payload in batch {
                push(&mut file, number, durable, payload);
                number += 1;
            }
        }
        (file, starts)
    }

    fn batches() -> Vec<Vec<Vec<u8>>> {
        vec![
            vec![b"one".to_vec(), b"two".to_vec()],
            vec![b"three".to_vec()],
            vec![b"four".to_vec(), Vec::new(), b"six".to_vec()],
        ]
    }

    #[test]
    fn the_header_keeps_its_bytes() {
        let bytes = header().encode();
        assert_eq!(&bytes[..8], b"SWLRLOG1");
        assert_eq!(bytes[8..32], {
            let mut middle = [0; 24];
            (middle[0], middle[8]) = (7, 5);
            middle
        });
        assert_eq!(bytes[65..], [225, 175, 13, 89]);
        assert_eq!(Header::decode(&bytes), Some(header()));
    }

    #[test]
    fn a_record_keeps_its_bytes() {
        let mut bytes = Vec::new();
        push(&mut bytes, 1, 69, b"ab");
        assert_eq!(
            bytes,
            [
                185, 191, 49, 85, 2, 0, 0, 0, 1, 0, 0, 0, 69, 0, 0, 0, b'a', b'b'
            ]
        );
        assert_eq!(payload_of(&bytes), Some(&b"ab"[..]));
    }

    #[test]
    fn records_are_found_again() {
        let (file, _) = file(&batches());
        let (spans, end) = scan(&file);
        let payloads: Vec<_> = spans.iter().map(|span| &file[span.payload()]).collect();
        assert_eq!(
            payloads,
            [&b"one"[..], b"two", b"three", b"four", b"", b"six"]
        );
        assert_eq!(end, End::Clean);
    }

    #[test]
    fn a_file_cut_anywhere_ends_clean_or_torn() {
        let (file, _) = file(&batches());
        for len in HEADER_LEN..file.len() {
            let (spans, end) = scan(&file[..len]);
            let whole = spans.last().map_or(HEADER_LEN, |last| last.payload().end);
            let wanted = if whole == len {
                End::Clean
            } else {
                End::Torn { at: whole }
            };
            assert_eq!(end, wanted, "cut at {len}");
        }
    }

    #[test]
    fn a_flipped_bit_in_a_durable_record_is_corruption_and_in_the_last_batch_a_torn_tail() {
        let (good, starts) = file(&batches());
        let last_batch = starts[2];
        for byte in HEADER_LEN..good.len() {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[byte] ^= 1 << bit;
                match scan(&bad).1 {
                    End::Corrupt { at } => assert!(at <= byte && byte < last_batch),
                    End::Torn { at } => assert!(at <= byte && last_batch <= at, "byte {byte}"),
                    End::Clean => panic!("byte {byte} bit {bit} was not noticed"),
                }
            }
        }
    }

    #[test]
    fn a_flipped_bit_in_the_header_is_noticed() {
        let good = header().encode();
        for byte in 0..HEADER_LEN {
            let mut bad = good;
            bad[byte] ^= 4;
            assert_eq!(Header::decode(&bad), None, "byte {byte}");
        }
    }

    #[test]
    fn pages_of_one_batch_that_arrived_out_of_order_are_a_torn_tail() {
        let (mut bytes, starts) = file(&batches());
        let hole = starts[2] + RECORD_HEAD;
        bytes[starts[2]..hole].fill(0);
        assert_eq!(scan(&bytes).1, End::Torn { at: starts[2] });
    }

    proptest! {
        #[test]
        fn random_bytes_are_never_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = Header::decode(&bytes);
            let _ = scan(&bytes);
            let _ = payload_of(&bytes);
        }
    }
}
