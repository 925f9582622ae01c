//! Who is at the other end of a connection, once the handshake has accepted them.

use std::{any::Any, time::SystemTime};

use rustls::pki_types::CertificateDer;

use crate::{
    certificate::{Certificate, RootCertificate, sha256},
    id::{ClusterId, NodeId, Role},
};

/// The peer of a connection, as its certificate said during the handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// The node that holds the key.
    pub id: NodeId,
    /// Its role when the handshake was made; a promotion shows on the next connection.
    pub role: Role,
    /// Its cluster.
    pub cluster: ClusterId,
    /// When its certificate ends; a connection should not outlive it.
    pub not_after: SystemTime,
}

/// The peer of a connection made with a configuration of this crate; `None` if it came without a
/// certificate.
pub fn peer_of(connection: &quinn::Connection) -> Option<Peer> {
    peer_of_identity(connection.peer_identity()?)
}

/// The same, from what the session of a connection says of its peer.
pub fn peer_of_identity(identity: Box<dyn Any>) -> Option<Peer> {
    let chain: Vec<CertificateDer<'static>> = *identity.downcast().ok()?;
    let certificate = Certificate::from_der(chain.first()?).ok()?;
    Some(Peer {
        id: certificate.node_id(),
        role: certificate.role(),
        cluster: certificate.cluster_id(),
        not_after: certificate.not_after(),
    })
}

/// The root with this SHA-256 that the server of a pinned connection sent along.
pub fn pinned_root_of(
    connection: &quinn::Connection,
    ca_digest: [u8; 32],
) -> Option<RootCertificate> {
    chain_of(connection)?
        .iter()
        .find(|der| sha256(der) == ca_digest)
        .and_then(|der| RootCertificate::from_der(der).ok())
}

fn chain_of(connection: &quinn::Connection) -> Option<Vec<CertificateDer<'static>>> {
    connection
        .peer_identity()?
        .downcast()
        .ok()
        .map(|chain| *chain)
}
