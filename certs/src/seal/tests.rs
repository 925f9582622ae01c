use proptest::prelude::*;

use super::*;

const CONTEXT: &[u8] = b"test log";

/// "golden" as record 0.
const GOLDEN: [u8; 22] = [
    0x72, 0xaf, 0xea, 0x44, 0x9b, 0x00, 0x1c, 0x8c, 0x25, 0x6b, 0x4b, 0x2c, 0x4c, 0xb7, 0xc7, 0x86,
    0x59, 0xbc, 0xd5, 0xcb, 0x96, 0x6b,
];

fn key() -> DataKey {
    DataKey(Zeroizing::new([0x42; KEY_BYTES]))
}

/// A file of these records: its header and the sealed records.
fn file(records: &[&[u8]]) -> ([u8; HEADER_BYTES], Vec<Vec<u8>>) {
    let mut sealer = FileSealer::new(&key(), CONTEXT).unwrap();
    let sealed = records.iter().enumerate().map(|(number, record)| {
        let mut out = Vec::new();
        assert_eq!(sealer.seal_into(record, &mut out), Ok(number as u64));
        out
    });
    let sealed = sealed.collect();
    (*sealer.header(), sealed)
}

fn opener(header: &[u8]) -> FileOpener {
    FileOpener::new(&key(), CONTEXT, header).unwrap()
}

#[test]
fn records_open_in_any_order() {
    let (header, sealed) = file(&[b"zero", b"", b"two"]);
    let opener = opener(&header);
    assert_eq!(*opener.open(2, &sealed[2]).unwrap(), b"two");
    assert_eq!(*opener.open(0, &sealed[0]).unwrap(), b"zero");
    assert_eq!(*opener.open(1, &sealed[1]).unwrap(), b"");
}

#[test]
fn a_record_in_another_place_is_refused() {
    let (header, sealed) = file(&[b"zero", b"one"]);
    assert_eq!(opener(&header).open(0, &sealed[1]), Err(SealError::Forged));
}

#[test]
fn a_record_of_another_file_is_refused() {
    let ((_, ours), (theirs, _)) = (file(&[b"x"]), file(&[b"x"]));
    assert_eq!(opener(&theirs).open(0, &ours[0]), Err(SealError::Forged));
}

#[test]
fn two_files_of_the_same_records_share_no_bytes() {
    let ((header_a, a), (header_b, b)) = (file(&[b"same text"]), file(&[b"same text"]));
    assert_ne!(header_a, header_b);
    assert_ne!(a, b);
}

#[test]
fn the_same_record_twice_looks_different() {
    let (_, sealed) = file(&[b"same text", b"same text"]);
    assert_ne!(sealed[0], sealed[1]);
}

#[test]
fn another_key_or_another_context_opens_nothing() {
    let sealed = key().seal(b"vote", b"secret").unwrap();
    assert_eq!(*key().open(b"vote", &sealed).unwrap(), b"secret");
    assert_eq!(key().open(b"snapshot", &sealed), Err(SealError::Forged));
    let other = DataKey::generate().unwrap();
    assert_eq!(other.open(b"vote", &sealed), Err(SealError::Forged));
}

#[test]
fn every_flipped_bit_and_every_cut_is_noticed() {
    let sealed = key().seal(CONTEXT, b"secret").unwrap();
    assert_eq!(sealed.len(), b"secret".len() + OVERHEAD_BYTES);
    for bit in 0..sealed.len() * 8 {
        let mut bad = sealed.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(key().open(CONTEXT, &bad).is_err(), "bit {bit}");
    }
    for length in 0..sealed.len() {
        assert!(key().open(CONTEXT, &sealed[..length]).is_err());
    }
}

#[test]
fn what_an_earlier_release_sealed_opens() {
    // Made with another implementation (Python's cryptography): salt 00 01 .. 1f.
    let mut sealed = vec![VERSION];
    sealed.extend(0..32);
    sealed.extend(GOLDEN);
    assert_eq!(*key().open(CONTEXT, &sealed).unwrap(), b"golden");
}

#[test]
fn a_full_file_takes_nothing_more() {
    let mut sealer = FileSealer::new(&key(), CONTEXT).unwrap();
    sealer.next = MAX_RECORDS;
    let mut out = vec![7];
    assert_eq!(sealer.seal_into(b"x", &mut out), Err(SealError::Full));
    assert_eq!(out, [7]);
}

#[test]
fn debug_hides_the_key() {
    assert_eq!(format!("{:?}", key()), "DataKey(..)");
}

proptest! {
    #[test]
    fn what_was_sealed_opens(plain: Vec<u8>, context: Vec<u8>) {
        let sealed = key().seal(&context, &plain).unwrap();
        prop_assert_eq!(&*key().open(&context, &sealed).unwrap(), &plain);
    }

    #[test]
    fn no_bytes_panic_or_open(sealed: Vec<u8>, sequence: u64) {
        prop_assert!(key().open(CONTEXT, &sealed).is_err());
        let _ = FileOpener::new(&key(), CONTEXT, &sealed);
        let header = [VERSION; HEADER_BYTES];
        prop_assert!(opener(&header).open(sequence, &sealed).is_err());
    }
}
