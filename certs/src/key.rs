//! A node's key pair and the signing request that it makes.
//!
//! The request proves one thing, that its sender holds the key, and that is all that the CA takes
//! from it: names, roles and dates come from the cluster.

use std::{fmt, sync::Arc};

use aws_lc_rs::signature::{self, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use rcgen::{CertificateParams, PublicKeyData};
use rustls::pki_types::PrivatePkcs8KeyDer;
use x509_parser::{
    certification_request::X509CertificationRequest, oid_registry::OID_SIG_ED25519,
    prelude::FromDer, x509::SubjectPublicKeyInfo,
};
use zeroize::Zeroizing;

use crate::{error::Error, id::NodeId, pem};

const PEM_LABEL: &str = "PRIVATE KEY";

/// Largest signing request that is looked at; ours have about 200 bytes.
pub const MAX_REQUEST_BYTES: usize = 4096;

/// A node's Ed25519 key pair. The node id is derived from it and from nothing else.
pub struct NodeKey(Ed25519KeyPair);

impl NodeKey {
    /// Makes the key of a new node.
    pub fn generate() -> Result<Self, Error> {
        Ok(Self(Ed25519KeyPair::generate()?))
    }

    /// Reads a PKCS#8 private key (RFC 8410, version 1 or 2).
    pub fn from_pkcs8_der(der: &[u8]) -> Result<Self, Error> {
        Ed25519KeyPair::from_pkcs8(der)
            .map(Self)
            .map_err(|_| Error::InvalidKey("it is not an Ed25519 key in PKCS#8"))
    }

    /// Reads what [`to_pem`](Self::to_pem) wrote.
    pub fn from_pem(text: &str) -> Result<Self, Error> {
        Self::from_pkcs8_der(&pem::decode(PEM_LABEL, text).map_err(Error::InvalidKey)?)
    }

    /// The private key in PKCS#8 version 1, wiped when dropped.
    pub fn to_pkcs8_der(&self) -> Result<Zeroizing<Vec<u8>>, Error> {
        let document = self.0.to_pkcs8v1()?;
        Ok(Zeroizing::new(document.as_ref().to_vec()))
    }

    /// The private key as PEM, wiped when dropped.
    pub fn to_pem(&self) -> Result<Zeroizing<String>, Error> {
        Ok(pem::encode(PEM_LABEL, &self.to_pkcs8_der()?))
    }

    /// The raw public key, 32 bytes.
    pub fn public_key(&self) -> &[u8] {
        self.0.public_key().as_ref()
    }

    /// The node that this key makes.
    pub fn node_id(&self) -> NodeId {
        NodeId::of_public_key(self.public_key())
    }

    /// The Ed25519 signature (RFC 8032) of a message.
    pub fn sign(&self, message: &[u8]) -> Result<[u8; 64], Error> {
        let signature = self.0.try_sign(message)?;
        signature.as_ref().try_into().map_err(|_| Error::Crypto)
    }

    /// A signing request (PKCS#10, RFC 2986, DER) that proves possession of the key.
    pub fn csr(&self) -> Result<Vec<u8>, Error> {
        let request = CertificateParams::default()
            .serialize_request(self)
            .map_err(|error| Error::Signing(error.to_string()))?;
        Ok(request.der().to_vec())
    }

    pub(crate) fn to_rustls(&self) -> Result<Arc<dyn rustls::sign::SigningKey>, Error> {
        let der = self.to_pkcs8_der()?;
        let key = PrivatePkcs8KeyDer::from(der.as_slice());
        Ok(rustls::crypto::aws_lc_rs::sign::any_eddsa_type(&key)?)
    }
}

impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("NodeKey").field(&self.node_id()).finish()
    }
}

impl PublicKeyData for NodeKey {
    fn der_bytes(&self) -> &[u8] {
        self.public_key()
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ED25519
    }
}

impl rcgen::SigningKey for NodeKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let signature = NodeKey::sign(self, message);
        let signature = signature.map_err(|_| rcgen::Error::RemoteKeyError)?;
        Ok(signature.to_vec())
    }
}

/// The public key of a node, taken from a request or a certificate.
pub(crate) struct NodePublicKey([u8; 32]);

impl NodePublicKey {
    /// Takes the key out of a signing request after checking that its sender holds it.
    pub(crate) fn from_csr(der: &[u8]) -> Result<Self, Error> {
        if der.len() > MAX_REQUEST_BYTES {
            return Err(Error::InvalidRequest("it is too large"));
        }
        let (rest, request) = X509CertificationRequest::from_der(der)
            .map_err(|_| Error::InvalidRequest("it is not PKCS#10"))?;
        if !rest.is_empty() {
            return Err(Error::InvalidRequest("something follows it"));
        }
        let info = &request.certification_request_info;
        let key = Self::from_spki(&info.subject_pki)
            .ok_or(Error::InvalidRequest("its key is not Ed25519"))?;
        if !verify_signature(&key.0, info.raw, &request.signature_value.data) {
            return Err(Error::InvalidRequest("its signature does not fit its key"));
        }
        Ok(key)
    }

    pub(crate) fn from_spki(spki: &SubjectPublicKeyInfo<'_>) -> Option<Self> {
        if spki.algorithm.algorithm != OID_SIG_ED25519 {
            return None;
        }
        spki.subject_public_key
            .data
            .as_ref()
            .try_into()
            .ok()
            .map(Self)
    }

    pub(crate) fn node_id(&self) -> NodeId {
        NodeId::of_public_key(&self.0)
    }

    pub(crate) fn to_bytes(&self) -> [u8; 32] {
        self.0
    }
}

impl PublicKeyData for NodePublicKey {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ED25519
    }
}

/// Whether the holder of this raw Ed25519 public key made the signature (RFC 8032) of this message.
/// Bytes that are no key or no signature verify nothing.
pub fn verify_signature(public_key: &[u8; 32], message: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&signature::ED25519, public_key)
        .verify(message, signature)
        .is_ok()
}

/// The node that made this signing request (DER), after checking that it holds the key.
///
/// This is all that a manager needs to renew the certificate of a member whose own has expired:
/// the request shows the key, the key is the node, and a replayed request yields a certificate
/// that only the holder of the key can use.
pub fn node_of_csr(der: &[u8]) -> Result<NodeId, Error> {
    Ok(NodePublicKey::from_csr(der)?.node_id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_of_one_key_and_one_message() {
        let (key, other) = (NodeKey::generate().unwrap(), NodeKey::generate().unwrap());
        let public = |key: &NodeKey| key.public_key().try_into().unwrap();
        let signature = key.sign(b"alive").unwrap();
        assert!(verify_signature(&public(&key), b"alive", &signature));
        assert!(!verify_signature(&public(&key), b"dead", &signature));
        assert!(!verify_signature(&public(&other), b"alive", &signature));
        assert!(!verify_signature(&public(&key), b"alive", &signature[..63]));
        assert!(!verify_signature(&[0xff; 32], b"alive", &signature));
    }

    #[test]
    fn a_signature_of_rfc_8032_verifies() {
        // Its second test vector.
        let bytes = |hex: &str| -> Vec<u8> {
            (0..hex.len())
                .step_by(2)
                .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
                .collect()
        };
        let key = bytes("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
        let signature = bytes(
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
             085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        );
        assert!(verify_signature(
            &key.try_into().unwrap(),
            &[0x72],
            &signature
        ));
    }
}
