//! What the core needs of cryptography, so that it can be given a fake.

use certs::{NodeId, Role};

/// This node's key and its judgement of others' certificates.
pub trait Keys: Send {
    /// Ed25519 over `message`, with this node's key.
    fn sign(&self, message: &[u8]) -> [u8; 64];

    /// This node's, raw.
    fn public_key(&self) -> [u8; 32];

    /// This node's current one, DER.
    fn certificate(&self) -> Vec<u8>;

    /// Whether a certificate makes its holder a member at this time: of this
    /// cluster's CA, neither expired nor revoked.
    fn admit(&self, certificate_der: &[u8], wall_ms: u64) -> Result<Author, Refused>;

    /// Ed25519.
    fn verify(&self, public_key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool;

    /// The id of the node that holds this key.
    fn node_of(&self, public_key: &[u8; 32]) -> NodeId;

    /// SHA-256.
    fn digest(&self, bytes: &[u8]) -> [u8; 32];
}

/// Whom a certificate speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Author {
    pub id: NodeId,
    pub role: Role,
    pub public_key: [u8; 32],
    /// Unix milliseconds of the certificate's end.
    pub expires_ms: u64,
}

/// Why a record does not count. Nothing was changed by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("not a certificate of this swarm")]
    Certificate,
    #[error("the certificate has expired")]
    Expired,
    #[error("the node was removed from the swarm")]
    Revoked,
    #[error("signed by another than its author")]
    Signature,
    #[error("from the future")]
    Future,
    #[error("the body is not the one that was signed")]
    Digest,
    #[error("facts beyond the limits")]
    Facts,
    #[error("the roster is full")]
    Full,
}
