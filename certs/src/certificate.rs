//! The two kinds of certificate: a node's, and the root that signed it.
//!
//! A [`Certificate`] is parsed once, at the door. Having one means: its common name is the id of
//! its key, its organisation is a cluster, its organisational unit is a role, its dates are dates.
//! Whether the cluster's CA signed it, and whether it is valid *now*, is asked in `verify`.

use std::{
    iter,
    time::{Duration, SystemTime},
};

use aws_lc_rs::{digest, signature};
use rustls::pki_types::CertificateDer;
use x509_parser::{
    certificate::X509Certificate, prelude::FromDer, time::ASN1Time, x509::AttributeTypeAndValue,
};

use crate::{
    der,
    error::Error,
    id::{ClusterId, NodeId, Role},
    key::NodePublicKey,
    pem,
};

pub(crate) const PEM_LABEL: &str = "CERTIFICATE";

/// How far a certificate's validity begins before it was issued, for nodes whose clock is late.
pub const BACKDATE: Duration = Duration::from_secs(3600);

/// Largest certificate that is parsed; ours have about 500 bytes.
const MAX_CERTIFICATE_BYTES: usize = 8192;

/// Longest way from a node's certificate to a root that is taken; ours is one, or none.
const MAX_INTERMEDIATES: usize = 2;

/// Most roots that a node trusts at a time; two while the CA is being rotated.
pub const MAX_ROOTS: usize = 4;

/// A node's certificate, consistent in itself: it names the node of its key. While the CA is being
/// rotated it comes with the intermediate by which those accept it who know only the old root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    der: CertificateDer<'static>,
    intermediates: Vec<CertificateDer<'static>>,
    node_id: NodeId,
    public_key: [u8; 32],
    role: Role,
    cluster_id: ClusterId,
    not_before: SystemTime,
    not_after: SystemTime,
}

impl Certificate {
    /// Parses a DER certificate, which its intermediates may follow; issuer and dates are not
    /// judged.
    pub fn from_der(chain: &[u8]) -> Result<Self, Error> {
        let (der, rest) =
            der::split_first(chain).ok_or(Error::InvalidCertificate("it is not X.509"))?;
        let rest = der::elements(rest).ok_or(Error::InvalidCertificate("something follows it"))?;
        if rest.len() > MAX_INTERMEDIATES {
            return Err(Error::InvalidCertificate("too many others follow it"));
        }
        let mut intermediates = Vec::new();
        for der in rest {
            intermediates.push(RootCertificate::from_der(der)?.to_rustls());
        }
        let parsed = parse(der)?;
        let subject = parsed.subject();
        let node_id: NodeId = only(subject.iter_common_name())
            .and_then(|name| name.parse().ok())
            .ok_or(Error::InvalidCertificate("its CN is not a node id"))?;
        let key = NodePublicKey::from_spki(parsed.public_key())
            .ok_or(Error::InvalidCertificate("its key is not Ed25519"))?;
        if key.node_id() != node_id {
            return Err(Error::InvalidCertificate(
                "its CN is not the node of its key",
            ));
        }
        Ok(Self {
            node_id,
            public_key: key.to_bytes(),
            role: only(subject.iter_organizational_unit())
                .and_then(Role::from_organizational_unit)
                .ok_or(Error::InvalidCertificate("its OU is not a role"))?,
            cluster_id: only(subject.iter_organization())
                .and_then(|name| name.parse().ok())
                .ok_or(Error::InvalidCertificate("its O is not a cluster id"))?,
            not_before: system_time(parsed.validity().not_before)?,
            not_after: system_time(parsed.validity().not_after)?,
            der: CertificateDer::from(der.to_vec()),
            intermediates,
        })
    }

    /// Parses a PEM text: the certificate, and its intermediates where it has any.
    pub fn from_pem(text: &str) -> Result<Self, Error> {
        let blocks = pem::decode_all(PEM_LABEL, text).map_err(Error::InvalidCertificate)?;
        let blocks: Vec<&[u8]> = blocks.iter().map(|block| block.as_slice()).collect();
        Self::from_der(&blocks.concat())
    }

    /// The certificate and its intermediates as PEM.
    pub fn to_pem(&self) -> String {
        let chain = self.chain();
        let blocks = chain.iter().map(|der| pem::encode(PEM_LABEL, der));
        blocks.map(|block| block.to_string()).collect()
    }

    /// The certificate and its intermediates as DER, one after the other.
    pub fn to_der(&self) -> Vec<u8> {
        self.chain().concat()
    }

    /// The certificate alone as DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// With the intermediate `der` to lead to another root.
    pub(crate) fn with_intermediate(mut self, der: CertificateDer<'static>) -> Self {
        self.intermediates = vec![der];
        self
    }

    pub(crate) fn intermediates(&self) -> &[CertificateDer<'static>] {
        &self.intermediates
    }

    /// When it was issued, by the clock of who did that.
    pub(crate) fn issued(&self) -> SystemTime {
        self.not_before + BACKDATE.min(self.validity())
    }

    fn chain(&self) -> Vec<&[u8]> {
        let intermediates = self.intermediates.iter().map(|der| der.as_ref());
        iter::once(self.der()).chain(intermediates).collect()
    }

    /// The node that holds the key.
    pub fn node_id(&self) -> NodeId {
        self.node_id
    }

    /// The raw Ed25519 public key.
    pub fn public_key(&self) -> [u8; 32] {
        self.public_key
    }

    /// What the node may do.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The cluster that the node belongs to.
    pub fn cluster_id(&self) -> ClusterId {
        self.cluster_id
    }

    /// When it becomes valid: [`BACKDATE`] before it was issued.
    pub fn not_before(&self) -> SystemTime {
        self.not_before
    }

    /// When it stops being valid.
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }

    /// When to renew it: at a point of 50–80 % of its life after issue, chosen by `random01`
    /// (0.0 to 1.0, clamped), so that nodes which joined together do not renew together.
    pub fn renew_at(&self, random01: f64) -> SystemTime {
        let issued = self.issued();
        let life = self.not_after.duration_since(issued).unwrap_or_default();
        let share = 0.5
            + 0.3
                * if random01.is_nan() {
                    0.0
                } else {
                    random01.clamp(0.0, 1.0)
                };
        issued + life.mul_f64(share)
    }

    pub(crate) fn to_rustls(&self) -> CertificateDer<'static> {
        self.der.clone()
    }

    fn validity(&self) -> Duration {
        self.not_after
            .duration_since(self.not_before)
            .unwrap_or_default()
    }
}

/// The certificate of a cluster's CA. Its digest is what join tokens pin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootCertificate {
    der: CertificateDer<'static>,
    subject_der: Vec<u8>,
    public_key_der: Vec<u8>,
    /// The bare key, as the signature's algorithm wants it.
    public_key: Vec<u8>,
}

impl RootCertificate {
    /// Parses a DER certificate that is marked as a CA.
    pub fn from_der(der: &[u8]) -> Result<Self, Error> {
        let parsed = parse(der)?;
        if !parsed.is_ca() {
            return Err(Error::InvalidCertificate("it is not a CA"));
        }
        Ok(Self {
            subject_der: parsed.subject().as_raw().to_vec(),
            public_key_der: parsed.public_key().raw.to_vec(),
            public_key: parsed.public_key().subject_public_key.data.to_vec(),
            der: CertificateDer::from(der.to_vec()),
        })
    }

    /// Parses the first certificate of a PEM text.
    pub fn from_pem(text: &str) -> Result<Self, Error> {
        Self::from_der(&pem::decode(PEM_LABEL, text).map_err(Error::InvalidCertificate)?)
    }

    /// Parses all certificates of a PEM text, of which there is at least one.
    pub fn all_from_pem(text: &str) -> Result<Vec<Self>, Error> {
        let blocks = pem::decode_all(PEM_LABEL, text).map_err(Error::InvalidCertificate)?;
        if blocks.len() > MAX_ROOTS {
            return Err(Error::InvalidCertificate("there are too many"));
        }
        blocks.iter().map(|der| Self::from_der(der)).collect()
    }

    /// The certificate as PEM; Docker's `TLSInfo.TrustRoot`.
    pub fn to_pem(&self) -> String {
        pem::encode(PEM_LABEL, &self.der).to_string()
    }

    /// The certificate as DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The SHA-256 of the DER form, which a join token carries.
    pub fn digest(&self) -> [u8; 32] {
        sha256(&self.der)
    }

    /// The subject's name as DER; Docker's `TLSInfo.CertIssuerSubject`.
    pub fn subject_der(&self) -> &[u8] {
        &self.subject_der
    }

    /// The SubjectPublicKeyInfo as DER; Docker's `TLSInfo.CertIssuerPublicKey`.
    pub fn public_key_der(&self) -> &[u8] {
        &self.public_key_der
    }

    /// Whether the CA made one of these signatures of this message; see
    /// [`CertificateAuthority::sign`](crate::CertificateAuthority::sign). While the CA is being
    /// rotated, those of several follow each other. A key or a signature of another kind verifies
    /// nothing.
    pub fn verifies(&self, message: &[u8], signatures: &[u8]) -> bool {
        let algorithm = &signature::ECDSA_P256_SHA256_ASN1;
        let key = signature::UnparsedPublicKey::new(algorithm, &self.public_key);
        let signatures = der::elements(signatures).unwrap_or_default();
        let mut signatures = signatures.into_iter().take(MAX_ROOTS);
        signatures.any(|signature| key.verify(message, signature).is_ok())
    }

    pub(crate) fn to_rustls(&self) -> CertificateDer<'static> {
        self.der.clone()
    }
}

/// The SHA-256 of some bytes.
pub fn sha256(der: &[u8]) -> [u8; 32] {
    let mut digest = [0; 32];
    digest.copy_from_slice(digest::digest(&digest::SHA256, der).as_ref());
    digest
}

fn parse(der: &[u8]) -> Result<X509Certificate<'_>, Error> {
    if der.len() > MAX_CERTIFICATE_BYTES {
        return Err(Error::InvalidCertificate("it is too large"));
    }
    match X509Certificate::from_der(der) {
        Ok(([], parsed)) => Ok(parsed),
        Ok(_) => Err(Error::InvalidCertificate("something follows it")),
        Err(_) => Err(Error::InvalidCertificate("it is not X.509")),
    }
}

/// The value of an attribute that occurs exactly once.
fn only<'a>(mut values: impl Iterator<Item = &'a AttributeTypeAndValue<'a>>) -> Option<&'a str> {
    let value = values.next()?.as_str().ok()?;
    values.next().is_none().then_some(value)
}

fn system_time(time: ASN1Time) -> Result<SystemTime, Error> {
    u64::try_from(time.timestamp())
        .ok()
        .and_then(|seconds| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds)))
        .ok_or(Error::InvalidCertificate("its dates are out of range"))
}
