//! A node's record: what it says of itself, so that all can check it.
//!
//! A record has two halves. The [`Head`] is small and signed: it says that its
//! author lives (or leaves), in which incarnation, and which [`Body`] is current,
//! by number and digest. The body has the certificate and the facts. So a sign of
//! life, a refutation and the notice of a change are one thing of some 150 bytes
//! that anyone may pass on, and a body may come from anyone who has it. When
//! little of a body changes, a [`Delta`] travels beside the head; what it makes
//! of the old body must have the digest that the author signed.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use certs::NodeId;
use serde::{Deserialize, Serialize};

use crate::codec;
use crate::facts::{Endpoint, Facts, Load};
use crate::machine::Keys;

/// An Ed25519 signature.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature([[u8; 32]; 2]);

/// What an author signs: alive, in this incarnation, with this body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Ed25519, raw; the node's id is its hash.
    pub public_key: [u8; 32],
    /// Unix milliseconds when the process started, or higher by refutation.
    pub incarnation: u64,
    /// Raised with every change of the body; it never goes back within a process.
    pub version: u64,
    /// SHA-256 of the body.
    pub digest: [u8; 32],
    /// The author goes, and takes this incarnation with it.
    pub left: bool,
    pub signature: Signature,
}

/// What a head stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Body {
    /// The author's, DER.
    pub certificate: Arc<[u8]>,
    pub facts: Arc<Facts>,
}

/// What makes a body of the one before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delta {
    /// The first bytes of the digest of the body that it applies to.
    pub base: [u8; 8],
    addrs: Option<Vec<SocketAddr>>,
    load: Option<Load>,
    changed: Vec<((u128, u128), Endpoint)>,
    removed: Vec<(u128, u128)>,
}

/// Bytes of certificate and facts together, encoded.
pub const MAX_BODY: usize = 256 << 10;

/// What is signed, apart from everything else that a node's key may sign.
const CONTEXT: &[u8] = b"swarmlet gossip head 1\0";

impl Head {
    /// Signs a head with the key of this node.
    pub fn sign(
        keys: &dyn Keys,
        incarnation: u64,
        version: u64,
        digest: [u8; 32],
        left: bool,
    ) -> Self {
        let mut head = Self {
            public_key: keys.public_key(),
            incarnation,
            version,
            digest,
            left,
            signature: Signature([[0; 32]; 2]),
        };
        head.signature = Signature::new(keys.sign(&head.signed_bytes()));
        head
    }

    /// Whether the holder of `public_key` signed it.
    pub fn verifies(&self, keys: &dyn Keys) -> bool {
        keys.verify(
            &self.public_key,
            &self.signed_bytes(),
            &self.signature.bytes(),
        )
    }

    /// The later of two heads of one author has the larger one.
    pub fn order(&self) -> (u64, u64) {
        (self.incarnation, self.version)
    }

    fn signed_bytes(&self) -> Vec<u8> {
        let mut bytes = CONTEXT.to_vec();
        bytes.extend_from_slice(&self.public_key);
        bytes.extend_from_slice(&self.incarnation.to_be_bytes());
        bytes.extend_from_slice(&self.version.to_be_bytes());
        bytes.extend_from_slice(&self.digest);
        bytes.push(u8::from(self.left));
        bytes
    }
}

impl Body {
    /// What a head's `digest` is the hash of.
    pub fn digest(&self, keys: &dyn Keys) -> [u8; 32] {
        keys.digest(&codec::encode(self))
    }

    /// What makes `new` of this body, whose digest is `digest`; `None` when only
    /// a whole body can say it.
    pub fn delta(&self, digest: &[u8; 32], new: &Self) -> Option<Delta> {
        let (old, new_facts) = (&*self.facts, &*new.facts);
        let rest_is_equal = self.certificate == new.certificate
            && old.hostname == new_facts.hostname
            && old.role == new_facts.role
            && old.version == new_facts.version
            && old.platform == new_facts.platform
            && old.resources == new_facts.resources;
        rest_is_equal.then(|| Delta {
            base: base_of(digest),
            addrs: (old.addrs != new_facts.addrs).then(|| new_facts.addrs.clone()),
            load: (old.load != new_facts.load).then_some(new_facts.load),
            changed: (new_facts.endpoints.iter())
                .filter(|(key, endpoint)| old.endpoints.get(key) != Some(endpoint))
                .map(|(key, endpoint)| (*key, endpoint.clone()))
                .collect(),
            removed: (old.endpoints.keys())
                .filter(|key| !new_facts.endpoints.contains_key(key))
                .copied()
                .collect(),
        })
    }

    /// The body that the delta makes of this one; its digest is to be compared
    /// with the signed one.
    pub fn with(&self, delta: &Delta) -> Self {
        let mut facts = Facts::clone(&self.facts);
        if let Some(addrs) = &delta.addrs {
            facts.addrs.clone_from(addrs);
        }
        if let Some(load) = delta.load {
            facts.load = load;
        }
        for key in &delta.removed {
            facts.endpoints.remove(key);
        }
        facts.endpoints.extend(delta.changed.iter().cloned());
        Self {
            certificate: self.certificate.clone(),
            facts: Arc::new(facts),
        }
    }
}

impl Delta {
    /// Whether nothing but the load changed, which nobody waits for.
    pub fn is_load_only(&self) -> bool {
        self.addrs.is_none() && self.changed.is_empty() && self.removed.is_empty()
    }

    /// Whether it was made for the body with this digest.
    pub fn applies_to(&self, digest: &[u8; 32]) -> bool {
        self.base == base_of(digest)
    }
}

/// The id of whoever holds the head's key.
pub fn author(head: &Head, keys: &dyn Keys) -> NodeId {
    keys.node_of(&head.public_key)
}

pub(crate) fn base_of(digest: &[u8; 32]) -> [u8; 8] {
    let mut base = [0; 8];
    base.copy_from_slice(&digest[..8]);
    base
}

impl Signature {
    pub fn new(bytes: [u8; 64]) -> Self {
        let mut halves = [[0; 32]; 2];
        halves[0].copy_from_slice(&bytes[..32]);
        halves[1].copy_from_slice(&bytes[32..]);
        Self(halves)
    }

    pub fn bytes(&self) -> [u8; 64] {
        let mut bytes = [0; 64];
        bytes[..32].copy_from_slice(&self.0[0]);
        bytes[32..].copy_from_slice(&self.0[1]);
        bytes
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({:02x}{:02x}..)", self.0[0][0], self.0[0][1])
    }
}
