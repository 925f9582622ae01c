//! A cluster made on the spot: a CA, an id, and members in any role and of any age.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use certs::{Certificate, CertificateAuthority, ClusterId, Credentials, Identity, NodeKey, Role};
use rcgen::{CertificateParams, Issuer, KeyPair};
use rustls::{
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivatePkcs8KeyDer},
};

pub const HOUR: Duration = Duration::from_secs(3600);

pub struct Cluster {
    pub ca: CertificateAuthority,
    pub id: ClusterId,
}

impl Cluster {
    pub fn new() -> Self {
        Self {
            ca: CertificateAuthority::create(SystemTime::now()).unwrap(),
            id: ClusterId::generate().unwrap(),
        }
    }

    pub fn certificate(&self, key: &NodeKey, role: Role) -> Certificate {
        self.certificate_at(key, role, SystemTime::now())
    }

    /// A certificate that was issued at `now` for one hour.
    pub fn certificate_at(&self, key: &NodeKey, role: Role, now: SystemTime) -> Certificate {
        self.ca
            .issue(&key.csr().unwrap(), role, &self.id, HOUR, now)
            .unwrap()
    }

    pub fn identity(&self, role: Role) -> Identity {
        let key = NodeKey::generate().unwrap();
        let certificate = self.certificate(&key, role);
        Identity::new(key, certificate, self.ca.root().clone()).unwrap()
    }

    pub fn member(&self, role: Role) -> Credentials {
        Credentials::new(self.identity(role)).unwrap()
    }

    pub fn expired_member(&self, role: Role) -> Credentials {
        let key = NodeKey::generate().unwrap();
        let certificate = self.certificate_at(&key, role, SystemTime::now() - 2 * HOUR);
        let identity = Identity::new(key, certificate, self.ca.root().clone()).unwrap();
        Credentials::new(identity).unwrap()
    }

    /// Signs whatever the parameters say, as `issue` never would.
    pub fn sign_anything(&self, params: &CertificateParams, key: &NodeKey) -> Vec<u8> {
        let ca_key = KeyPair::from_pem(&self.ca.key_pem()).unwrap();
        let issuer = Issuer::from_ca_cert_pem(&self.ca.cert_pem(), ca_key).unwrap();
        params.signed_by(key, &issuer).unwrap().der().to_vec()
    }
}

pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// A bare rustls chain and key, for peers that do not keep our rules.
pub fn bare(
    leaf: &[u8],
    cluster: &Cluster,
    key: &NodeKey,
) -> (Vec<CertificateDer<'static>>, PrivatePkcs8KeyDer<'static>) {
    let chain = [leaf, cluster.ca.root().der()]
        .map(|der| CertificateDer::from(der.to_vec()))
        .to_vec();
    (chain, key.to_pkcs8_der().unwrap().to_vec().into())
}
