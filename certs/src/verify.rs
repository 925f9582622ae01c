//! Whether to talk to the holder of a certificate: a pure function of the certificate, of what
//! this node trusts, and of the time.
//!
//! The same rules hold in both directions. The chain must end in a root of our cluster, the dates
//! must include now, the organisation must be our cluster, the name must be the hash of the key,
//! the node must not have been removed, and a caller may demand one node or a manager. Names are
//! node ids; an address never matters.

use std::{collections::BTreeSet, sync::Arc};

use rustls::{
    RootCertStore,
    client::verify_server_cert_signed_by_trust_anchor,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, UnixTime},
    server::{ParsedCertificate, WebPkiClientVerifier, danger::ClientCertVerifier},
};

use crate::{
    certificate::{Certificate, RootCertificate},
    error::Error,
    id::{ClusterId, NodeId, Role},
    refusal::Refusal,
};

/// Whom a client wants to reach.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Expect {
    node: Option<NodeId>,
    role: Option<Role>,
}

impl Expect {
    /// Any member of the cluster.
    pub const fn member() -> Self {
        Self {
            node: None,
            role: None,
        }
    }

    /// Any manager of the cluster.
    pub const fn manager() -> Self {
        Self {
            node: None,
            role: Some(Role::Manager),
        }
    }

    /// This node only.
    pub const fn node(id: NodeId) -> Self {
        Self {
            node: Some(id),
            role: None,
        }
    }

    /// This node, and only while it is a manager.
    pub const fn manager_node(id: NodeId) -> Self {
        Self {
            node: Some(id),
            role: Some(Role::Manager),
        }
    }

    pub(crate) fn check(self, certificate: &Certificate) -> Result<(), Refusal> {
        if self.node.is_some_and(|id| id != certificate.node_id()) {
            return Err(Refusal::WrongNode);
        }
        if self.role.is_some_and(|role| role != certificate.role()) {
            // The only role that can be asked for is the manager's.
            return Err(Refusal::NotManager);
        }
        Ok(())
    }
}

impl From<Option<NodeId>> for Expect {
    fn from(node: Option<NodeId>) -> Self {
        Self { node, role: None }
    }
}

impl From<NodeId> for Expect {
    fn from(node: NodeId) -> Self {
        Self::node(node)
    }
}

/// The use that a certificate is presented for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Usage {
    Server,
    Client,
}

/// The roots of a cluster, ready for checking chains. More than one while a CA is being rotated.
#[derive(Debug)]
pub(crate) struct Trust {
    roots: Arc<RootCertStore>,
    clients: Arc<dyn ClientCertVerifier>,
    provider: Arc<CryptoProvider>,
}

impl Trust {
    pub(crate) fn new(
        roots: &[RootCertificate],
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, Error> {
        let mut store = RootCertStore::empty();
        for root in roots {
            store.add(root.to_rustls())?;
        }
        let roots = Arc::new(store);
        let clients = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone())
            .build()
            .map_err(|error| Error::Tls(rustls::Error::General(error.to_string())))?;
        Ok(Self {
            roots,
            clients,
            provider,
        })
    }

    /// Checks signatures, dates and usage up to a root, then that the certificate is one of ours.
    pub(crate) fn check_chain(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        usage: Usage,
        now: UnixTime,
    ) -> Result<Certificate, Refusal> {
        match usage {
            Usage::Server => verify_server_cert_signed_by_trust_anchor(
                &ParsedCertificate::try_from(leaf)?,
                &self.roots,
                intermediates,
                now,
                self.provider.signature_verification_algorithms.all,
            )?,
            Usage::Client => self
                .clients
                .verify_client_cert(leaf, intermediates, now)
                .map(drop)?,
        }
        Certificate::from_der(leaf).map_err(|_| Refusal::Invalid)
    }
}

/// Checks that a certificate of a proven chain is that of a current member of this cluster.
pub(crate) fn check_member(
    certificate: &Certificate,
    cluster: ClusterId,
    revoked: &BTreeSet<NodeId>,
) -> Result<(), Refusal> {
    if certificate.cluster_id() != cluster {
        return Err(Refusal::Untrusted);
    }
    if revoked.contains(&certificate.node_id()) {
        return Err(Refusal::Revoked);
    }
    Ok(())
}
