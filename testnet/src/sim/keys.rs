//! Keys that cost nothing: the signature is a constant, the hash a fast one.

use certs::{NodeId, Role};
use gossip::machine::{Author, Keys, Refused};

/// The key of the member with this number.
#[derive(Debug, Clone, Copy)]
pub struct SimKeys(pub u32);

const SIGNATURE: [u8; 64] = [0x5a; 64];
/// About as long as a member's certificate, so that records weigh what they do.
const CERTIFICATE_BYTES: usize = 480;

pub fn mix(number: u64) -> u64 {
    let z = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Spread evenly, and in no order that the numbers are in.
pub fn id_of(number: u32) -> NodeId {
    let half = mix(u64::from(number) + 1);
    let other = mix(half ^ 0x9e37_79b9_7f4a_7c15);
    NodeId::from(u128::from(half) << 64 | u128::from(other))
}

fn public_key(number: u32) -> [u8; 32] {
    let mut key = [0x6b; 32];
    key[..4].copy_from_slice(&number.to_le_bytes());
    key
}

fn number_of(public_key: &[u8; 32]) -> u32 {
    u32::from_le_bytes([public_key[0], public_key[1], public_key[2], public_key[3]])
}

impl Keys for SimKeys {
    fn sign(&self, _: &[u8]) -> [u8; 64] {
        SIGNATURE
    }

    fn public_key(&self) -> [u8; 32] {
        public_key(self.0)
    }

    fn certificate(&self) -> Vec<u8> {
        let mut certificate = vec![0xce; CERTIFICATE_BYTES];
        certificate[..4].copy_from_slice(&self.0.to_le_bytes());
        certificate
    }

    fn admit(&self, certificate: &[u8], _: u64) -> Result<Author, Refused> {
        let number = match certificate {
            [a, b, c, d, ..] => u32::from_le_bytes([*a, *b, *c, *d]),
            _ => return Err(Refused::Certificate),
        };
        Ok(Author {
            id: id_of(number),
            role: Role::Worker,
            public_key: public_key(number),
            expires_ms: u64::MAX,
        })
    }

    fn verify(&self, _: &[u8; 32], _: &[u8], signature: &[u8; 64]) -> bool {
        *signature == SIGNATURE
    }

    fn node_of(&self, public_key: &[u8; 32]) -> NodeId {
        id_of(number_of(public_key))
    }

    fn digest(&self, bytes: &[u8]) -> [u8; 32] {
        let mut hash = bytes.len() as u64;
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            hash = mix(hash ^ u64::from_le_bytes(word)).wrapping_add(0x9e37_79b9_7f4a_7c15);
        }
        let mut digest = [0; 32];
        for (lane, out) in digest.chunks_mut(8).enumerate() {
            out.copy_from_slice(&mix(hash ^ lane as u64).to_le_bytes());
        }
        digest
    }
}
