//! The machine's keys: the live identity of this node, and what it trusts.

use std::time::{Duration, SystemTime};

use certs::{Credentials, NodeId, Refusal};

use crate::machine::{Author, Keys, Refused};

pub struct LiveKeys {
    credentials: Credentials,
    /// Of the key, which no renewal changes.
    public_key: [u8; 32],
}

impl LiveKeys {
    pub fn new(credentials: Credentials) -> Self {
        let public_key = credentials.identity().certificate().public_key();
        Self {
            credentials,
            public_key,
        }
    }
}

impl Keys for LiveKeys {
    fn sign(&self, message: &[u8]) -> [u8; 64] {
        let signature = self.credentials.identity().key().sign(message);
        // The crypto library fails only without memory; nobody believes zeros.
        signature.unwrap_or([0; 64])
    }

    fn public_key(&self) -> [u8; 32] {
        self.public_key
    }

    fn certificate(&self) -> Vec<u8> {
        self.credentials.identity().certificate().to_der()
    }

    fn admit(&self, certificate_der: &[u8], wall_ms: u64) -> Result<Author, Refused> {
        let now = SystemTime::UNIX_EPOCH + Duration::from_millis(wall_ms);
        let certificate = self.credentials.check_member(certificate_der, now);
        let certificate = certificate.map_err(|refusal| match refusal {
            Refusal::Revoked => Refused::Revoked,
            Refusal::OutsideValidity => Refused::Expired,
            _ => Refused::Certificate,
        })?;
        let expires = certificate
            .not_after()
            .duration_since(SystemTime::UNIX_EPOCH);
        let expires = expires.unwrap_or_default().as_millis();
        Ok(Author {
            id: certificate.node_id(),
            role: certificate.role(),
            public_key: certificate.public_key(),
            expires_ms: expires.try_into().unwrap_or(u64::MAX),
        })
    }

    fn verify(&self, public_key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
        certs::verify_signature(public_key, message, signature)
    }

    fn node_of(&self, public_key: &[u8; 32]) -> NodeId {
        NodeId::of_public_key(public_key)
    }

    fn digest(&self, bytes: &[u8]) -> [u8; 32] {
        certs::sha256(bytes)
    }
}
