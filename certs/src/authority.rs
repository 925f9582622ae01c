//! The cluster's certificate authority: a key that only managers hold, and what it signs.
//!
//! It decides nothing by itself. Who asks for a certificate, and in which role, was settled before
//! (by a join token or by the cluster's state); here the answer becomes a signature.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType, SerialNumber, SigningKey,
};
use rustls::pki_types::PrivatePkcs8KeyDer;
use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::{
    certificate::{BACKDATE, Certificate, RootCertificate},
    error::Error,
    id::{ClusterId, Role},
    key::NodePublicKey,
    pem,
};

const COMMON_NAME: &str = "swarm-ca";
const KEY_LABEL: &str = "PRIVATE KEY";
const LIFETIME: Duration = Duration::from_secs(20 * 365 * 24 * 3600);

/// The certificate authority of a cluster: ECDSA P-256, named `swarm-ca`, valid for 20 years.
pub struct CertificateAuthority {
    root: RootCertificate,
    issuer: Issuer<'static, KeyPair>,
}

impl CertificateAuthority {
    /// Makes the CA of a new cluster.
    pub fn create(now: SystemTime) -> Result<Self, Error> {
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(signing)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, COMMON_NAME);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        (params.not_before, params.not_after) = validity(now, LIFETIME)?;
        params.serial_number = Some(random_serial()?);
        let certificate = params.self_signed(&key).map_err(signing)?;
        Self::from_parts(RootCertificate::from_der(certificate.der())?, key)
    }

    /// Reads what [`cert_pem`](Self::cert_pem) and [`key_pem`](Self::key_pem) wrote, and checks
    /// that the two belong together.
    pub fn from_pem(cert: &str, key: &str) -> Result<Self, Error> {
        let der = pem::decode(KEY_LABEL, key).map_err(Error::InvalidKey)?;
        let key = KeyPair::from_pkcs8_der_and_sign_algo(
            &PrivatePkcs8KeyDer::from(der.as_slice()),
            &rcgen::PKCS_ECDSA_P256_SHA256,
        )
        .map_err(|_| Error::InvalidKey("it is not an ECDSA P-256 key in PKCS#8"))?;
        Self::from_parts(RootCertificate::from_pem(cert)?, key)
    }

    /// The CA's certificate.
    pub fn root(&self) -> &RootCertificate {
        &self.root
    }

    /// The CA's certificate as PEM.
    pub fn cert_pem(&self) -> String {
        self.root.to_pem()
    }

    /// The CA's private key as PEM (PKCS#8), wiped when dropped. Whoever has it is the cluster.
    pub fn key_pem(&self) -> Zeroizing<String> {
        pem::encode(KEY_LABEL, self.issuer.key().serialized_der())
    }

    /// Signs the key of a request (PKCS#10, DER) after checking that the sender holds it.
    ///
    /// Nothing else is taken from the request. The certificate says CN = node id, OU = role,
    /// O = cluster, SAN = node id, for TLS servers and clients; it is valid from [`BACKDATE`]
    /// before `now` until `now + lifetime`.
    pub fn issue(
        &self,
        csr_der: &[u8],
        role: Role,
        cluster: &ClusterId,
        lifetime: Duration,
        now: SystemTime,
    ) -> Result<Certificate, Error> {
        let key = NodePublicKey::from_csr(csr_der)?;
        let node = key.node_id().to_string();
        let mut params = CertificateParams::default();
        let mut name = DistinguishedName::new();
        name.push(DnType::OrganizationName, cluster.to_string());
        name.push(
            DnType::OrganizationalUnitName,
            role.as_organizational_unit(),
        );
        name.push(DnType::CommonName, node.as_str());
        params.distinguished_name = name;
        params.subject_alt_names = vec![SanType::DnsName(node.try_into().map_err(signing)?)];
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        params.use_authority_key_identifier_extension = true;
        (params.not_before, params.not_after) = validity(now, lifetime)?;
        params.serial_number = Some(random_serial()?);
        let certificate = params.signed_by(&key, &self.issuer).map_err(signing)?;
        Certificate::from_der(certificate.der())
    }

    /// Signs a message with the CA's key (ECDSA P-256 over SHA-256, ASN.1 as in RFC 3279), for
    /// [`RootCertificate::verifies`]. The message must begin with a context of its own and never
    /// like a certificate (0x30), so that nothing that is signed here is one. No two signatures of
    /// one message are the same.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        self.issuer.key().sign(message).map_err(signing)
    }

    fn from_parts(root: RootCertificate, key: KeyPair) -> Result<Self, Error> {
        if rcgen::PublicKeyData::subject_public_key_info(&key) != root.public_key_der() {
            return Err(Error::InvalidKey(
                "it is not the key of the CA's certificate",
            ));
        }
        let issuer = Issuer::from_ca_cert_der(&root.to_rustls(), key).map_err(signing)?;
        Ok(Self { root, issuer })
    }
}

impl fmt::Debug for CertificateAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateAuthority")
            .field("root", &self.root)
            .finish_non_exhaustive()
    }
}

fn signing(error: rcgen::Error) -> Error {
    Error::Signing(error.to_string())
}

/// Not before and not after. X.509 has no year after 9999, and a clock can be set to anything.
fn validity(
    now: SystemTime,
    lifetime: Duration,
) -> Result<(OffsetDateTime, OffsetDateTime), Error> {
    let out_of_range = || Error::Signing("the date is out of range".to_owned());
    let now = now
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_err(|_| out_of_range())?;
    let at = |since_epoch: Duration| {
        i64::try_from(since_epoch.as_secs())
            .ok()
            .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
            .ok_or_else(out_of_range)
    };
    let end = now.checked_add(lifetime).ok_or_else(out_of_range)?;
    Ok((at(now.saturating_sub(BACKDATE))?, at(end)?))
}

fn random_serial() -> Result<SerialNumber, Error> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes)?;
    // RFC 5280: positive and not zero.
    bytes[0] = bytes[0] & 0x7f | 0x01;
    Ok(SerialNumber::from_slice(&bytes))
}
