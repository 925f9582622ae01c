//! What makes this device a member: its key, its certificate, and the roots that it trusts.
//!
//! In `identity/` they are `node.key`, `ca.crt` and `node.crt`. The certificate is written last,
//! so its presence means that the rest is there: a join that was cut off leaves no half identity,
//! only a key, with which the same node asks again.
//!
//! Who has the key is the node: where the disk is [locked](crate::lock), it lies under the data key.

use std::{path::Path, slice, sync::Arc, time::SystemTime};

use rustls::pki_types::{CertificateDer, UnixTime};

use crate::{
    certificate::{Certificate, MAX_ROOTS, RootCertificate},
    cipher,
    error::Error,
    files,
    id::{ClusterId, NodeId, Role},
    key::NodeKey,
    pem,
    refusal::Refusal,
    seal::DataKey,
    verify::{Trust, Usage},
};

const KEY_FILE: &str = "node.key";
const ROOT_FILE: &str = "ca.crt";
const CERTIFICATE_FILE: &str = "node.crt";

const SEALED_LABEL: &str = "SWARMLET SEALED NODE KEY";
const SEALED_CONTEXT: &[u8] = b"node key";

const REMEDY: &str = "restore it from a backup, or run `swarmlet leave --force` and join again";

/// The key, the certificate and the roots of one node, proven to belong together.
///
/// The certificate may have expired: a node that was off for long still has its identity, and can
/// renew it.
#[derive(Debug, Clone)]
pub struct Identity {
    key: Arc<NodeKey>,
    certificate: Certificate,
    /// Never empty.
    roots: Vec<RootCertificate>,
    /// Of `roots`.
    issuer: Option<usize>,
}

impl Identity {
    /// Puts an identity together, if the certificate is for this key and signed by this root.
    pub fn new(
        key: NodeKey,
        certificate: Certificate,
        root: RootCertificate,
    ) -> Result<Self, Error> {
        Self::from_parts(Arc::new(key), certificate, vec![root])
    }

    /// This identity with a newer certificate, perhaps of another role, for the same key.
    pub fn with_certificate(&self, certificate: Certificate) -> Result<Self, Error> {
        if certificate.cluster_id() != self.cluster_id() {
            return Err(Refusal::Untrusted.into());
        }
        Self::from_parts(self.key.clone(), certificate, self.roots.clone())
    }

    /// This identity with other roots to trust, the one that join tokens name first. They must be
    /// such that the certificate leads to one of them.
    pub fn with_roots(&self, roots: Vec<RootCertificate>) -> Result<Self, Error> {
        Self::from_parts(self.key.clone(), self.certificate.clone(), roots)
    }

    /// Reads the identity in `directory`; `None` if the node is not a member of a cluster. Without
    /// the data key only a private key in the open is read.
    pub fn load(directory: &Path, data_key: Option<&DataKey>) -> Result<Option<Self>, Error> {
        Self::load_with(directory, || {
            Ok(Self::load_key(directory, data_key)?.map(Arc::new))
        })
    }

    /// The identity in `directory`, with a key that the caller has.
    fn load_with(
        directory: &Path,
        key: impl FnOnce() -> Result<Option<Arc<NodeKey>>, Error>,
    ) -> Result<Option<Self>, Error> {
        let path = directory.join(CERTIFICATE_FILE);
        let Some(certificate) = load(&path, Certificate::from_pem)? else {
            return Ok(None);
        };
        let root_path = directory.join(ROOT_FILE);
        let roots = load(&root_path, RootCertificate::all_from_pem)?
            .ok_or_else(|| damaged(&root_path, "it is missing"))?;
        let key = key()?.ok_or_else(|| damaged(&directory.join(KEY_FILE), "it is missing"))?;
        Self::from_parts(key, certificate, roots)
            .map(Some)
            .map_err(|error| damaged(&path, error))
    }

    /// The certificate in `directory` alone, which is never sealed.
    pub fn load_certificate(directory: &Path) -> Result<Option<Certificate>, Error> {
        load(&directory.join(CERTIFICATE_FILE), Certificate::from_pem)
    }

    /// Writes the identity of a new member to `directory`, its private key sealed where there is a
    /// data key. After a crash it is the old one, none, or the new one.
    pub fn save(&self, directory: &Path, seal: Option<&DataKey>) -> Result<(), Error> {
        match seal {
            None => self.key.save(directory)?,
            Some(_) => {
                files::create_dir(directory)?;
                files::remove(&directory.join(CERTIFICATE_FILE))?;
                self.key.rewrite(directory, seal)?;
            }
        }
        self.save_certificate(directory)
    }

    /// Writes what changes when a certificate is renewed or the CA rotated; the private key stays
    /// as it lies there. After a crash the roots may be of the one and the certificate of the other
    /// identity, where these fit. None is only where another identity was.
    pub fn save_certificate(&self, directory: &Path) -> Result<(), Error> {
        let certificate = directory.join(CERTIFICATE_FILE);
        let pem = self.certificate.to_pem();
        if let Ok(Some(before)) = Self::load_with(directory, || Ok(Some(self.key.clone()))) {
            if before.with_roots(self.roots.clone()).is_ok() {
                files::write(&directory.join(ROOT_FILE), &self.roots_pem())?;
            } else if before.with_certificate(self.certificate.clone()).is_ok() {
                files::write(&certificate, &pem)?;
                files::write(&directory.join(ROOT_FILE), &self.roots_pem())?;
            }
        }
        write_basis(directory, ROOT_FILE, &self.roots_pem())?;
        files::write(&certificate, &pem)
    }

    /// Removes the identity, certificate first. What is missing already is fine.
    pub fn remove(directory: &Path) -> Result<(), Error> {
        [CERTIFICATE_FILE, KEY_FILE, ROOT_FILE]
            .iter()
            .try_for_each(|name| files::remove(&directory.join(name)))
    }

    /// Reads only the key in `directory`, which a node has before it is a member.
    pub fn load_key(
        directory: &Path,
        data_key: Option<&DataKey>,
    ) -> Result<Option<NodeKey>, Error> {
        load(&directory.join(KEY_FILE), |text| {
            let sealed = pem::decode(SEALED_LABEL, text);
            match (sealed, data_key) {
                (Err(_), _) => NodeKey::from_pem(text),
                (Ok(_), None) => Err(Error::InvalidKey("it is sealed, and there is no data key")),
                (Ok(sealed), Some(data_key)) => {
                    let der = data_key.open(SEALED_CONTEXT, &sealed);
                    let damaged = |_| Error::InvalidKey("it is not sealed with this data key");
                    NodeKey::from_pkcs8_der(&der.map_err(damaged)?)
                }
            }
        })
    }

    /// The node that this identity makes.
    pub fn node_id(&self) -> NodeId {
        self.certificate.node_id()
    }

    /// The role that the certificate gives.
    pub fn role(&self) -> Role {
        self.certificate.role()
    }

    /// The cluster that the node belongs to.
    pub fn cluster_id(&self) -> ClusterId {
        self.certificate.cluster_id()
    }

    /// The key pair.
    pub fn key(&self) -> &NodeKey {
        &self.key
    }

    /// The current certificate.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The root that join tokens name, and that announcements on the LAN tell the swarm by.
    pub fn root(&self) -> &RootCertificate {
        &self.roots[0]
    }

    /// All roots that this node trusts; more than one while the CA is being rotated.
    pub fn roots(&self) -> &[RootCertificate] {
        &self.roots
    }

    /// The one of the [roots](Self::roots) that issued the certificate; `None` if that is led to
    /// one of them by an intermediate only.
    pub fn issuer(&self) -> Option<&RootCertificate> {
        self.issuer.map(|at| &self.roots[at])
    }

    fn roots_pem(&self) -> String {
        self.roots.iter().map(RootCertificate::to_pem).collect()
    }

    fn from_parts(
        key: Arc<NodeKey>,
        certificate: Certificate,
        roots: Vec<RootCertificate>,
    ) -> Result<Self, Error> {
        if certificate.node_id() != key.node_id() {
            return Err(Refusal::WrongNode.into());
        }
        if roots.is_empty() || roots.len() > MAX_ROOTS {
            return Err(Error::InvalidCertificate("the roots are none or too many"));
        }
        // When it was issued: an expired certificate is still this node's.
        let issued = certificate
            .issued()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let check = |roots: &[RootCertificate], intermediates: &[CertificateDer<'static>]| {
            Trust::new(roots, cipher::provider())?
                .check_chain(
                    &certificate.to_rustls(),
                    intermediates,
                    Usage::Client,
                    UnixTime::since_unix_epoch(issued),
                )
                .map_err(Error::from)
        };
        check(&roots, certificate.intermediates())?;
        let is_issuer = |root| check(slice::from_ref(root), &[]).is_ok();
        let issuer = roots.iter().position(is_issuer);
        Ok(Self {
            key,
            certificate,
            roots,
            issuer,
        })
    }
}

impl NodeKey {
    /// Writes the key to `directory` before a join, so that a join that is cut off and tried again
    /// is the same node. A certificate that is there for another key is removed first.
    pub fn save(&self, directory: &Path) -> Result<(), Error> {
        files::create_dir(directory)?;
        write_basis(directory, KEY_FILE, &self.to_pem()?)
    }

    /// Writes the key that is in `directory` already in another form: sealed, or in the open.
    pub fn rewrite(&self, directory: &Path, seal: Option<&DataKey>) -> Result<(), Error> {
        let text = match seal {
            None => self.to_pem()?,
            Some(data_key) => {
                let sealed = data_key.seal(SEALED_CONTEXT, &self.to_pkcs8_der()?);
                pem::encode(SEALED_LABEL, &sealed.map_err(|_| Error::Crypto)?)
            }
        };
        files::write(&directory.join(KEY_FILE), &text)
    }
}

/// Writes what the certificate rests on. One that rests on something else goes first, so that a
/// crash in between does not leave parts of two identities.
fn write_basis(directory: &Path, name: &str, content: &str) -> Result<(), Error> {
    let path = directory.join(name);
    if files::read(&path)?.is_some_and(|present| *present != content) {
        files::remove(&directory.join(CERTIFICATE_FILE))?;
    }
    files::write(&path, content)
}

fn load<T>(path: &Path, parse: impl FnOnce(&str) -> Result<T, Error>) -> Result<Option<T>, Error> {
    files::read(path)?
        .map(|text| parse(&text).map_err(|error| damaged(path, error)))
        .transpose()
}

fn damaged(path: &Path, problem: impl ToString) -> Error {
    Error::Damaged {
        path: path.to_owned(),
        problem: problem.to_string(),
        remedy: REMEDY,
    }
}
