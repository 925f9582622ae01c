//! A member that says nonsense: a broken or hostile one with a good
//! certificate. It may lose its own connection and nothing else.

use std::time::Duration;

use quinn::Connection;

use crate::common::{Cluster, Device, Port};

/// Of multistream-select, which libp2p begins every stream with.
const HEADER: &[u8] = b"\x13/multistream/1.0.0\n\x0f/swl-gossip/1\n";
const TOO_MUCH: usize = 8 << 20;

async fn request(connection: &Connection, bytes: &[u8]) -> Option<Vec<u8>> {
    let (mut send, mut recv) = connection.open_bi().await.ok()?;
    // It may not want to hear it all.
    let _ = send.write_all(HEADER).await;
    let _ = send.write_all(bytes).await;
    let _ = send.finish();
    let answer = recv.read_to_end(TOO_MUCH);
    let answer = tokio::time::timeout(Duration::from_secs(10), answer).await;
    Some(answer.expect("an answer or an end").unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nonsense_is_not_answered_and_changes_nothing() {
    let cluster = Cluster::new();
    let one = Device::start(&cluster, &[]);
    let other = Device::start(&cluster, &[&one]);
    one.until_all_live(2).await;

    let fool = Port::open(&cluster.credentials(Duration::ZERO));
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = |len: usize| -> Vec<u8> {
        std::iter::repeat_with(|| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 56) as u8
        })
        .take(len)
        .collect()
    };
    let nonsense = [
        Vec::new(),
        vec![0],
        vec![0xff; 64],
        random(100),
        random(70_000),
        vec![0; gossip::wire::MAX_EXCHANGE + 1],
        vec![0xfd; 2 * gossip::wire::MAX_EXCHANGE],
    ];
    for bytes in &nonsense {
        let connection = fool.connect(one.id, one.port.addr()).await.unwrap();
        for bytes in [&bytes[..bytes.len() / 2], bytes] {
            let answer = request(&connection, bytes).await.unwrap_or_default();
            // At most libp2p's own words, and no frame of ours.
            assert!(answer.len() <= HEADER.len(), "{} bytes", answer.len());
        }
        for len in [0, 1, 7, 1_000] {
            let _ = connection.send_datagram(random(len).into());
        }
        connection.close(0u32.into(), b"");
    }
    one.until_all_live(2).await;
    other.until_all_live(2).await;
    assert_eq!(one.gossip.members().len(), 2);
}
