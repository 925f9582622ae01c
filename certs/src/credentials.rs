//! The identity in use, behind one pointer that can be swapped.
//!
//! Every TLS configuration made here looks at the pointer at each handshake. So a renewed
//! certificate, a new role or a removed node takes effect at the next handshake, while connections
//! that are up stay up; closing those of a removed node is for whoever holds them.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use arc_swap::ArcSwap;
use rustls::{
    pki_types::{CertificateDer, UnixTime},
    sign::CertifiedKey,
};

use crate::{
    certificate::{Certificate, RootCertificate},
    cipher,
    error::Error,
    id::{ClusterId, NodeId},
    identity::Identity,
    refusal::Refusal,
    tls,
    verify::{self, Expect, Trust, Usage},
};

/// This node's live identity and the set of removed nodes. Clones share both.
#[derive(Debug, Clone)]
pub struct Credentials(Arc<Live>);

#[derive(Debug)]
pub(crate) struct Live {
    current: ArcSwap<Current>,
    /// One change of `current` at a time.
    changing: Mutex<()>,
    revoked: ArcSwap<BTreeSet<NodeId>>,
}

#[derive(Debug)]
struct Current {
    identity: Arc<Identity>,
    certified: Arc<CertifiedKey>,
    trust: Trust,
}

impl Credentials {
    /// Starts with this identity and nobody removed.
    pub fn new(identity: Identity) -> Result<Self, Error> {
        Ok(Self(Arc::new(Live {
            current: ArcSwap::from_pointee(Current::new(identity)?),
            changing: Mutex::default(),
            revoked: ArcSwap::default(),
        })))
    }

    /// The identity in use.
    pub fn identity(&self) -> Arc<Identity> {
        self.0.current.load().identity.clone()
    }

    /// This node.
    pub fn node_id(&self) -> NodeId {
        self.0.current.load().identity.node_id()
    }

    /// The cluster of this node.
    pub fn cluster_id(&self) -> ClusterId {
        self.0.cluster_id()
    }

    /// Uses a renewed certificate, perhaps of another role, from the next handshake on. It must be
    /// for the same key, of the same cluster, and lead to a root that is trusted. Returns the
    /// identity to save.
    pub fn install(&self, certificate: Certificate) -> Result<Arc<Identity>, Error> {
        self.change(|identity| identity.with_certificate(certificate))
    }

    /// Trusts these roots from the next handshake on, the one that join tokens name first; see
    /// [`Identity::with_roots`]. Returns the identity to save.
    pub fn trust(&self, roots: Vec<RootCertificate>) -> Result<Arc<Identity>, Error> {
        self.change(|identity| identity.with_roots(roots))
    }

    fn change(
        &self,
        to: impl FnOnce(&Identity) -> Result<Identity, Error>,
    ) -> Result<Arc<Identity>, Error> {
        let changing = self.0.changing.lock();
        let _changing = changing.unwrap_or_else(PoisonError::into_inner);
        let current = Current::new(to(&self.identity())?)?;
        let identity = current.identity.clone();
        self.0.current.store(Arc::new(current));
        Ok(identity)
    }

    /// Replaces the set of removed nodes, which the cluster's state holds, by this one.
    pub fn set_revoked(&self, nodes: BTreeSet<NodeId>) {
        self.0.revoked.store(Arc::new(nodes));
    }

    /// Whether the node was removed from the cluster.
    pub fn is_revoked(&self, node: NodeId) -> bool {
        self.0.revoked.load().contains(&node)
    }

    /// Judges a certificate ([`Certificate::to_der`]) that came by another way than a handshake,
    /// as a handshake at this time would: it must be that of a current member of this cluster.
    pub fn check_member(&self, der: &[u8], now: SystemTime) -> Result<Certificate, Refusal> {
        let now = now.duration_since(SystemTime::UNIX_EPOCH);
        let now = UnixTime::since_unix_epoch(now.map_err(|_| Refusal::OutsideValidity)?);
        let certificate = Certificate::from_der(der).map_err(|_| Refusal::Invalid)?;
        let (leaf, intermediates) = (certificate.to_rustls(), certificate.intermediates());
        self.0.check(&leaf, intermediates, Usage::Client, now)
    }

    /// Whether a root that is trusted [made](RootCertificate::verifies) one of these signatures
    /// of this message.
    pub fn root_verifies(&self, message: &[u8], signatures: &[u8]) -> bool {
        self.roots_verifying(message, signatures) > 0
    }

    /// How many of the roots that are trusted made one of these signatures.
    pub fn roots_verifying(&self, message: &[u8], signatures: &[u8]) -> usize {
        let current = self.0.current.load();
        let roots = current.identity.roots().iter();
        roots
            .filter(|root| root.verifies(message, signatures))
            .count()
    }

    /// For accepting connections of these protocols (ALPN, preferred first).
    ///
    /// A client may come without a certificate, as a joining node does, and then
    /// [`peer_of`](crate::peer_of) says `None`: the caller must close it unless its protocol is
    /// the join. A certificate that is presented must be that of a current member.
    pub fn server_config(&self, alpn: &[&[u8]]) -> Result<quinn::ServerConfig, Error> {
        tls::server_config(self.0.clone(), alpn)
    }

    /// For connecting with these protocols (ALPN) to a current member: anyone (`None`), one node
    /// (its id), or what an [`Expect`] says. Connect with [`SERVER_NAME`](crate::SERVER_NAME).
    pub fn client_config(
        &self,
        expect: impl Into<Expect>,
        alpn: &[&[u8]],
    ) -> Result<quinn::ClientConfig, Error> {
        tls::client_config(self.0.clone(), expect.into(), alpn)
    }
}

impl Live {
    pub(crate) fn certified(&self) -> Arc<CertifiedKey> {
        self.current.load().certified.clone()
    }

    pub(crate) fn cluster_id(&self) -> ClusterId {
        self.current.load().identity.cluster_id()
    }

    /// Judges the certificate that a peer presents, by what is trusted at this moment.
    pub(crate) fn check(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        usage: Usage,
        now: UnixTime,
    ) -> Result<Certificate, Refusal> {
        let current = self.current.load();
        let certificate = current.trust.check_chain(leaf, intermediates, usage, now)?;
        verify::check_member(
            &certificate,
            current.identity.cluster_id(),
            &self.revoked.load(),
        )?;
        Ok(certificate)
    }
}

impl Current {
    fn new(identity: Identity) -> Result<Self, Error> {
        let certificate = identity.certificate();
        let mut chain = vec![certificate.to_rustls()];
        chain.extend_from_slice(certificate.intermediates());
        // A joining node knows only a root's digest, and finds the root itself here.
        chain.extend(identity.roots().iter().map(RootCertificate::to_rustls));
        Ok(Self {
            certified: Arc::new(CertifiedKey::new(chain, identity.key().to_rustls()?)),
            trust: Trust::new(identity.roots(), cipher::provider())?,
            identity: Arc::new(identity),
        })
    }
}
