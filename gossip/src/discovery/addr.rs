//! An announcement as the multiaddress that mDNS carries:
//! `/ip4/A/udp/PORT/quic-v1/certhash/SWARM/certhash/SITE/p2p/KEY`.
//!
//! The swarm is the SHA-256 of its root certificate, which is what a
//! `certhash` is for; the site's tag is told from it by a hash code of the
//! range for private use. The peer id contains the key.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use certs::NodeId;
use libp2p::identity::{PublicKey, ed25519};
use libp2p::multiaddr::Protocol;
use libp2p::multihash::Multihash;
use libp2p::{Multiaddr, PeerId};

use super::{Announcement, Found};

/// Of the table of multihash codes.
const SHA2_256: u64 = 0x12;
/// In its range for private use, 0x300000 to 0x3fffff.
const SITE_TAG: u64 = 0x30_5754;

/// The name under which the announcement is made; `None` for 32 bytes that
/// are no key.
pub fn peer_of(key: &[u8; 32]) -> Option<PeerId> {
    let key = ed25519::PublicKey::try_from_bytes(key).ok()?;
    Some(PublicKey::from(key).to_peer_id())
}

/// What is announced on the interface that has this address.
pub fn multiaddr(announcement: &Announcement, ip: IpAddr) -> Multiaddr {
    let hashes = [
        (SHA2_256, announcement.swarm),
        (SITE_TAG, announcement.site),
    ];
    let mut addr = Multiaddr::empty()
        .with(ip.into())
        .with(Protocol::Udp(announcement.port))
        .with(Protocol::QuicV1);
    for (code, digest) in hashes {
        // 32 bytes always fit.
        if let Some(hash) = digest.and_then(|digest| Multihash::wrap(code, &digest).ok()) {
            addr.push(Protocol::Certhash(hash));
        }
    }
    addr
}

/// What a stranger has announced; `None` where it is not one of ours.
pub fn found(addr: &Multiaddr, now: Instant) -> Option<Found> {
    let mut parts = addr.iter();
    let ip = match parts.next()? {
        Protocol::Ip4(ip) => IpAddr::V4(ip),
        Protocol::Ip6(ip) => IpAddr::V6(ip),
        _ => return None,
    };
    let Protocol::Udp(port) = parts.next()? else {
        return None;
    };
    if parts.next()? != Protocol::QuicV1 {
        return None;
    }
    let (mut swarm, mut site) = (None, None);
    for part in parts {
        match part {
            Protocol::Certhash(hash) => {
                let digest = Some(hash.digest().try_into().ok()?);
                match hash.code() {
                    SHA2_256 if swarm.is_none() => swarm = digest,
                    SITE_TAG if site.is_none() => site = digest,
                    _ => return None,
                }
            }
            Protocol::P2p(peer) if swarm.is_some() || site.is_some() => {
                return Some(Found {
                    id: node_of(&peer)?,
                    addr: SocketAddr::new(ip, port),
                    swarm,
                    site,
                    first_seen: now,
                });
            }
            _ => return None,
        }
    }
    None
}

/// The peer id of a small key is the key itself, behind a hash that is none.
pub fn node_of(peer: &PeerId) -> Option<NodeId> {
    let key = PublicKey::try_decode_protobuf(peer.as_ref().digest()).ok()?;
    let key = key.try_into_ed25519().ok()?;
    Some(NodeId::of_public_key(&key.to_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn announcement() -> Announcement {
        let key = certs::NodeKey::generate().unwrap();
        Announcement {
            key: key.public_key().try_into().unwrap(),
            port: 2377,
            swarm: Some([7; 32]),
            site: Some([9; 32]),
        }
    }

    fn heard(announcement: &Announcement, ip: &str) -> Option<Found> {
        let peer = peer_of(&announcement.key).unwrap();
        let addr = multiaddr(announcement, ip.parse().unwrap()).with(Protocol::P2p(peer));
        found(&addr, Instant::now())
    }

    #[test]
    fn what_is_announced_is_what_is_found() {
        for (swarm, site) in [(true, true), (true, false), (false, true)] {
            let said = Announcement {
                swarm: swarm.then_some([7; 32]),
                site: site.then_some([9; 32]),
                ..announcement()
            };
            let found = heard(&said, "10.0.0.7").unwrap();
            assert_eq!(found.addr, "10.0.0.7:2377".parse().unwrap());
            assert_eq!((found.swarm, found.site), (said.swarm, said.site));
            assert_eq!(found.id, NodeId::of_public_key(&said.key));
        }
    }

    #[test]
    fn the_longest_announcement_fits_into_a_text_record() {
        let said = Announcement {
            port: u16::MAX,
            ..announcement()
        };
        for ip in ["255.255.255.255", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"] {
            let addr = multiaddr(&said, ip.parse().unwrap());
            let peer = peer_of(&said.key).unwrap();
            let text = format!("dnsaddr={addr}/p2p/{peer}");
            assert!(text.len() <= 255, "{} bytes", text.len());
        }
    }

    #[test]
    fn other_users_of_mdns_are_not_found() {
        let peer = peer_of(&announcement().key).unwrap();
        for text in [
            "/ip4/10.0.0.7/tcp/4001",
            "/ip4/10.0.0.7/udp/4001/quic-v1",
            "/dns4/example.org/udp/4001/quic-v1",
            "",
        ] {
            let addr: Multiaddr = text.parse().unwrap();
            assert_eq!(found(&addr, Instant::now()), None, "{text}");
            let addr = addr.with(Protocol::P2p(peer));
            assert_eq!(found(&addr, Instant::now()), None, "{text}");
        }
    }

    #[test]
    fn a_hash_of_another_length_or_twice_is_refused() {
        let peer = peer_of(&announcement().key).unwrap();
        let start: Multiaddr = "/ip4/10.0.0.7/udp/2377/quic-v1".parse().unwrap();
        let hash = |code, digest: &[u8]| Protocol::Certhash(Multihash::wrap(code, digest).unwrap());
        for hashes in [
            vec![hash(SHA2_256, &[7; 31])],
            vec![hash(SHA2_256, &[7; 32]), hash(SHA2_256, &[8; 32])],
            vec![hash(0x13, &[7; 32])],
        ] {
            let addr = hashes.into_iter().fold(start.clone(), Multiaddr::with);
            let addr = addr.with(Protocol::P2p(peer));
            assert_eq!(found(&addr, Instant::now()), None, "{addr}");
        }
    }

    #[test]
    fn a_peer_that_is_not_an_ed25519_key_is_no_node() {
        assert_eq!(node_of(&PeerId::random()), None);
    }

    #[test]
    fn no_bytes_of_an_address_panic() {
        bolero::check!().for_each(|bytes| {
            if let Ok(addr) = Multiaddr::try_from(bytes.to_vec()) {
                found(&addr, Instant::now());
            }
        });
    }
}
