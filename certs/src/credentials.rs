//! The identity in use, behind one pointer that can be swapped.
//!
//! Every TLS configuration made here looks at the pointer at each handshake. So a renewed
//! certificate, a new role or a removed node takes effect at the next handshake, while connections
//! that are up stay up; closing those of a removed node is for whoever holds them.

use std::{collections::BTreeSet, slice, sync::Arc, time::SystemTime};

use arc_swap::ArcSwap;
use rustls::{
    pki_types::{CertificateDer, UnixTime},
    sign::CertifiedKey,
};

use crate::{
    certificate::Certificate,
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
    /// for the same key, of the same cluster and CA. Returns the identity to save.
    pub fn install(&self, certificate: Certificate) -> Result<Arc<Identity>, Error> {
        let identity = self.identity().with_certificate(certificate)?;
        let current = Current::new(identity)?;
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

    /// Judges a certificate (DER) that came by another way than a handshake, as a handshake at
    /// this time would: it must be that of a current member of this cluster.
    pub fn check_member(&self, der: &[u8], now: SystemTime) -> Result<Certificate, Refusal> {
        let now = now.duration_since(SystemTime::UNIX_EPOCH);
        let now = UnixTime::since_unix_epoch(now.map_err(|_| Refusal::OutsideValidity)?);
        self.0
            .check(&CertificateDer::from(der), &[], Usage::Client, now)
    }

    /// Whether the cluster's CA made this signature of this message.
    pub fn root_verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let current = self.0.current.load();
        current.identity.root().verifies(message, signature)
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
        let chain = vec![
            identity.certificate().to_rustls(),
            // A joining node knows only the root's digest, and finds the root itself here.
            identity.root().to_rustls(),
        ];
        Ok(Self {
            certified: Arc::new(CertifiedKey::new(chain, identity.key().to_rustls()?)),
            trust: Trust::new(slice::from_ref(identity.root()), cipher::provider())?,
            identity: Arc::new(identity),
        })
    }
}
