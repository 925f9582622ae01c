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
    der,
    error::Error,
    id::{ClusterId, Role},
    key::NodePublicKey,
    pem,
};

const COMMON_NAME: &str = "swarm-ca";
pub(crate) const KEY_LABEL: &str = "PRIVATE KEY";
/// The AlgorithmIdentifier of RFC 5758 3.2.
const ECDSA_WITH_SHA256: &[u8] = &[
    0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02,
];
/// Places in what is signed of a certificate.
const ALGORITHM: usize = 2;
const ISSUER: usize = 3;
const VALIDITY: usize = 4;
const SUBJECT: usize = 5;
const LIFETIME: Duration = Duration::from_secs(20 * 365 * 24 * 3600);

/// The certificate authority of a cluster: ECDSA P-256, named `swarm-ca`, valid for 20 years.
pub struct CertificateAuthority {
    root: RootCertificate,
    issuer: Issuer<'static, KeyPair>,
    /// Goes with every certificate that is issued.
    cross_signed: Option<RootCertificate>,
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
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(1));
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
        let certificate = Certificate::from_der(certificate.der())?;
        Ok(match &self.cross_signed {
            Some(cross_signed) => certificate.with_intermediate(cross_signed.to_rustls()),
            None => certificate,
        })
    }

    /// The certificate of `other` signed by this CA (PEM), so that whoever trusts this one accepts
    /// what that one issues. It is that certificate but for the issuer, the signature, and the
    /// beginning of its validity, which is this CA's: it must not be later than that of the
    /// certificates, which are dated back.
    pub fn cross_sign(&self, other: &RootCertificate) -> Result<String, Error> {
        let own = fields(&self.root)?;
        let mut fields = fields(other)?;
        let dates = |field| {
            let dates = der::content(field).and_then(der::elements);
            let dates = dates.filter(|dates| dates.len() == 2);
            dates.ok_or(Error::InvalidCertificate("its dates are not two"))
        };
        let (begin, end) = (dates(own[VALIDITY])?[0], dates(fields[VALIDITY])?[1]);
        let validity = der::sequence(&[begin, end]);
        fields[ALGORITHM] = ECDSA_WITH_SHA256;
        fields[ISSUER] = own[SUBJECT];
        fields[VALIDITY] = &validity;
        let signed = der::sequence(&fields);
        let signature = self.issuer.key().sign(&signed).map_err(signing)?;
        let signature = der::bit_string(&signature);
        let certificate = der::sequence(&[&signed, ECDSA_WITH_SHA256, &signature]);
        Ok(RootCertificate::from_der(&certificate)?.to_pem())
    }

    /// This CA, adding to what it issues its own certificate as another CA has
    /// [signed](Self::cross_sign) it (PEM).
    pub fn with_cross_signed(mut self, cross_signed: &str) -> Result<Self, Error> {
        let cross_signed = RootCertificate::from_pem(cross_signed)?;
        if cross_signed.public_key_der() != self.root.public_key_der() {
            return Err(Error::InvalidCertificate("it is not for the key of the CA"));
        }
        self.cross_signed = Some(cross_signed);
        Ok(self)
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
        Ok(Self {
            root,
            issuer,
            cross_signed: None,
        })
    }
}

impl fmt::Debug for CertificateAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateAuthority")
            .field("root", &self.root)
            .finish_non_exhaustive()
    }
}

/// The fields of what is signed of a certificate (RFC 5280 4.1) of version 3.
fn fields(certificate: &RootCertificate) -> Result<Vec<&[u8]>, Error> {
    let signed = der::content(certificate.der()).and_then(der::split_first);
    signed
        .and_then(|(signed, _)| der::elements(der::content(signed)?))
        .filter(|fields| fields.len() > SUBJECT)
        .ok_or(Error::InvalidCertificate("it is not X.509"))
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
