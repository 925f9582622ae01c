//! A CA that an operator brings along: what it must be, so that nodes can live by it.

use std::time::{Duration, SystemTime};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use x509_parser::{
    certificate::X509Certificate,
    oid_registry::{OID_KEY_TYPE_EC_PUBLIC_KEY, OID_SIG_ECDSA_WITH_SHA256},
    prelude::FromDer,
};
use zeroize::Zeroizing;

use crate::{
    authority::{CertificateAuthority, KEY_LABEL},
    certificate::RootCertificate,
    error::Error,
    pem,
};

/// As openssl writes keys of elliptic curves (RFC 5915).
const SEC1_LABEL: &str = "EC PRIVATE KEY";
/// What must be left of it, as in swarmkit.
const MIN_LEFT: Duration = Duration::from_secs(365 * 24 * 3600);

impl CertificateAuthority {
    /// The CA of this certificate and its key, both PEM: a root (issued by itself) of ECDSA P-256
    /// that may sign certificates, and for a year yet. The key is PKCS#8 or as openssl writes it.
    pub fn given(certificate: &str, key: &str, now: SystemTime) -> Result<Self, Error> {
        let invalid = |why| Err(Error::InvalidCertificate(why));
        let roots = RootCertificate::all_from_pem(certificate)?;
        let [root] = roots.as_slice() else {
            return invalid("there must be one, without intermediates");
        };
        let Ok((_, parsed)) = X509Certificate::from_der(root.der()) else {
            return invalid("it is not X.509");
        };
        let key_kind = &parsed.public_key().algorithm.algorithm;
        let signature_kind = &parsed.signature_algorithm.algorithm;
        if *key_kind != OID_KEY_TYPE_EC_PUBLIC_KEY || *signature_kind != OID_SIG_ECDSA_WITH_SHA256 {
            return invalid("its key must be ECDSA P-256, and its signature with SHA-256");
        }
        let signed = parsed.tbs_certificate.as_ref();
        if parsed.issuer() != parsed.subject()
            || !root.verifies(signed, &parsed.signature_value.data)
        {
            return invalid("it is no root: it was issued by another CA");
        }
        let usage = parsed.key_usage().ok().flatten();
        if usage.is_some_and(|usage| !usage.value.key_cert_sign()) {
            return invalid("it may not sign certificates");
        }
        let validity = parsed.validity();
        let at = |time: SystemTime| {
            let since = time.duration_since(SystemTime::UNIX_EPOCH);
            i64::try_from(since.unwrap_or_default().as_secs()).unwrap_or(i64::MAX)
        };
        if validity.not_before.timestamp() > at(now) {
            return invalid("it is not valid yet");
        }
        if validity.not_after.timestamp() < at(now + MIN_LEFT) {
            return invalid("it expires too soon: within a year");
        }
        let key = pkcs8(key)?;
        Self::from_pem(&root.to_pem(), &pem::encode(KEY_LABEL, &key))
    }
}

fn pkcs8(key: &str) -> Result<Zeroizing<Vec<u8>>, Error> {
    if !key.contains(SEC1_LABEL) {
        return pem::decode(KEY_LABEL, key).map_err(Error::InvalidKey);
    }
    let sec1 = pem::decode(SEC1_LABEL, key).map_err(Error::InvalidKey)?;
    let key = EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_ASN1_SIGNING, &sec1)
        .map_err(|_| Error::InvalidKey("it is not an ECDSA P-256 key"))?;
    let key = key.to_pkcs8v1()?;
    Ok(Zeroizing::new(key.as_ref().to_vec()))
}
