//! The bytes of every message, pinned; and any bytes at all, into every decoder.

use std::fmt::Debug;
use std::time::Duration;

use super::*;
use crate::machine::tests::kit::{FakeKeys, facts};
use crate::record::{Body, Head};

fn id(n: u128) -> NodeId {
    NodeId::from(n)
}

fn head() -> Arc<Head> {
    Arc::new(Head::sign(&FakeKeys(1), 300, 2, [0xdd; 32], false))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn body() -> Body {
    Body {
        certificate: vec![0xce, 1].into(),
        facts: Arc::new(facts(1)),
    }
}

/// The text that stands for a head in the pinned bytes.
fn pinned<M: Message>(message: &M) -> String {
    let head = hex(&codec::encode(&*head()));
    let body = hex(&codec::encode(&body()));
    (hex(&encode(message)).replace(&head, "<head>")).replace(&body, "<body>")
}

fn entry() -> Entry {
    Entry {
        id: id(5),
        incarnation: 300,
        version: 2,
        claim: Claim::Dead(Verdict {
            by: id(6),
            witnesses: 2,
        }),
    }
}

fn datagrams() -> Vec<(Datagram, &'static str)> {
    let (subject, incarnation, by) = (id(5), 300, id(6));
    let news = vec![
        News::Head {
            head: head(),
            delta: None,
        },
        News::Record {
            head: head(),
            body: Arc::new(body()),
        },
        News::Dead {
            subject,
            incarnation,
            by,
            witnesses: 2,
        },
        News::Accused {
            subject,
            incarnation,
        },
    ];
    vec![
        (Datagram::Watch { lease_ms: 10_000 }, "0000fb1027"),
        (
            Datagram::Beat {
                incarnation,
                living: 6,
                root: 7,
            },
            "0001fb2c010607",
        ),
        (
            Datagram::Doubt {
                subject,
                incarnation,
            },
            "000205fb2c01",
        ),
        (
            Datagram::Opinion {
                subject,
                incarnation,
                opinion: Opinion::Heard { age_ms: 9 },
            },
            "000305fb2c010009",
        ),
        (
            Datagram::News(news),
            "00040400<head>0001<head><body>0205fb2c0106020305fb2c01",
        ),
    ]
}

fn requests() -> Vec<(Request, &'static str)> {
    let summary = Summary {
        head: head(),
        you: Some(entry()),
        root: 7,
        members: 3,
    };
    let mut buckets = Buckets::NONE;
    buckets.insert(9);
    let wanted = vec![
        Want {
            id: id(5),
            have: None,
        },
        Want {
            id: id(6),
            have: Some([0xaa; 8]),
        },
    ];
    vec![
        (Request::Sync(summary), "0000<head>0105fb2c010201060207 03"),
        (
            Request::List {
                buckets,
                entries: vec![entry()],
            },
            "0001 0002000000000000000000000000000000000000000000000000000000000000 0105fb2c0102010602",
        ),
        (
            Request::Records { wanted },
            "0002020500 0601aaaaaaaaaaaaaaaa",
        ),
    ]
}

fn responses() -> Vec<(Response, &'static str)> {
    let summary = Summary {
        head: head(),
        you: None,
        root: 7,
        members: 3,
    };
    let parcel = Parcel {
        head: head(),
        body: None,
        claim: Claim::Unheard,
    };
    vec![
        (
            Response::Sync {
                summary,
                buckets: vec![1, 2],
            },
            "0000<head>0007030201 02",
        ),
        (
            Response::List {
                entries: vec![entry()],
            },
            "00010105fb2c0102010602",
        ),
        (
            Response::Records {
                parcels: vec![parcel],
            },
            "000201<head>0002",
        ),
    ]
}

#[track_caller]
fn check<M: Message + PartialEq + Debug>(
    messages: Vec<(M, &str)>,
    decode: impl Fn(&[u8]) -> Result<M, WireError>,
) {
    for (message, bytes) in messages {
        assert_eq!(pinned(&message), bytes.replace(' ', ""), "{message:?}");
        let encoded = encode(&message);
        assert_eq!(encoded.len(), encoded_len(&message));
        for cut in 0..encoded.len() {
            assert!(decode(&encoded[..cut]).is_err(), "{message:?} cut at {cut}");
        }
        let longer = [&encoded[..], &[0]].concat();
        assert!(decode(&longer).is_err());
        assert_eq!(decode(&encoded), Ok(message));
    }
}

#[test]
fn the_bytes_of_messages_never_change_and_a_part_is_no_message() {
    check(datagrams(), decode_datagram);
    check(requests(), decode_request);
    check(responses(), decode_response);
}

#[test]
fn a_head_is_small_and_its_bytes_are_pinned() {
    let bytes = codec::encode(&*head());
    assert_eq!(bytes.len(), 32 + 3 + 1 + 32 + 1 + 64);
    assert_eq!(hex(&bytes[30..38]), "0707fb2c0102dddd");
}

#[test]
fn what_is_too_much_is_refused() {
    let long = vec![0; MAX_DATAGRAM + 1];
    assert!(decode_datagram(&long).is_err());
    assert!(decode_request(&vec![0; MAX_EXCHANGE + 1]).is_err());
    let accused = News::Accused {
        subject: id(1),
        incarnation: 1,
    };
    let most = Datagram::News(vec![accused.clone(); MAX_NEWS]);
    assert!(decode_datagram(&encode(&most)).is_ok());
    let more = Datagram::News(vec![accused; MAX_NEWS + 1]);
    assert!(decode_datagram(&encode(&more)).is_err());
    let entries = vec![entry(); MAX_ENTRIES + 1];
    assert!(decode_response(&encode(&Response::List { entries })).is_err());
}

#[test]
fn a_length_that_lies_reserves_nothing() {
    // News, 2^63 of them.
    let mut bytes = vec![0, 4, 0xfd];
    bytes.extend_from_slice(&(1u64 << 63).to_le_bytes());
    assert!(decode_datagram(&bytes).is_err());
    bytes[1] = 1;
    assert!(decode_response(&bytes).is_err());
}

#[test]
fn a_version_of_tomorrow_is_refused() {
    let mut bytes = encode(&Datagram::Watch { lease_ms: 1 });
    bytes[0] = 1;
    assert!(decode_datagram(&bytes).is_err());
}

/// For how long each target is fed here; `cargo bolero` goes on for as long as one
/// likes.
const FUZZED: Duration = Duration::from_secs(1);

#[track_caller]
fn fuzz<M: Message + PartialEq + Debug>(
    decode: impl Fn(&[u8]) -> Result<M, WireError>,
    bytes: &[u8],
) {
    if let Ok(message) = decode(bytes) {
        assert_eq!(decode(&encode(&message)), Ok(message));
    }
}

#[test]
fn any_bytes_are_a_datagram_or_an_error() {
    bolero::check!()
        .with_test_time(FUZZED)
        .for_each(|bytes| fuzz(decode_datagram, bytes));
}

#[test]
fn any_bytes_are_a_request_or_an_error() {
    bolero::check!()
        .with_test_time(FUZZED)
        .for_each(|bytes| fuzz(decode_request, bytes));
}

#[test]
fn any_bytes_are_a_response_or_an_error() {
    bolero::check!()
        .with_test_time(FUZZED)
        .for_each(|bytes| fuzz(decode_response, bytes));
}
