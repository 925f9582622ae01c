//! What signs for the whole swarm. While the CA is on its way to be another one,
//! certificates are of the next CA, and lead to the present one by an intermediate;
//! tickets have a signature of each.

use std::sync::Arc;

use certs::CertificateAuthority;
use services::object::{Cluster, ClusterCa, RootRotation};

use super::Manager;
use crate::control::message::TrustNews;

/// The CAs of the swarm.
struct Authorities {
    cluster: Arc<Cluster>,
    rotation: Option<Arc<RootRotation>>,
}

/// Signs what every node shall believe, whichever of the swarm's CAs it knows.
pub struct Signer(Vec<CertificateAuthority>);

impl Signer {
    /// Of bytes that begin as [`CertificateAuthority::sign`] says: one signature of
    /// each CA, one after the other.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, certs::Error> {
        let signatures = self.0.iter().map(|authority| authority.sign(message));
        let signatures = signatures.collect::<Result<Vec<_>, _>>()?;
        Ok(signatures.concat())
    }
}

impl Manager {
    /// What issues certificates.
    pub fn authority(&self) -> Result<CertificateAuthority, String> {
        let found = self.authorities()?;
        let issuer = match &found.rotation {
            None => read(&found.cluster.ca),
            Some(rotation) => {
                read(&rotation.next).and_then(|next| next.with_cross_signed(&rotation.cross_signed))
            }
        };
        issuer.map_err(|error| error.to_string())
    }

    /// What signs tickets, by [`gossip::endpoints::Grant::signed_bytes`].
    pub fn signer(&self) -> Result<Signer, String> {
        let found = self.authorities()?;
        let next = found.rotation.as_ref().map(|rotation| &rotation.next);
        let authorities = [&found.cluster.ca].into_iter().chain(next).map(read);
        let authorities = authorities.collect::<Result<Vec<_>, _>>();
        authorities.map(Signer).map_err(|error| error.to_string())
    }

    /// Which CAs a node is to trust.
    pub fn trust_news(&self) -> Result<TrustNews, String> {
        // Before the state is read, which may be further by then.
        let at = self.raft.watch().borrow().applied;
        let found = self.authorities()?;
        let next = found.rotation.as_ref().map(|rotation| &rotation.next);
        let roots = [&found.cluster.ca].into_iter().chain(next);
        Ok(TrustNews {
            at,
            roots: roots.map(|ca| ca.certificate.clone()).collect(),
        })
    }

    fn authorities(&self) -> Result<Authorities, String> {
        self.read_state(|state| {
            Some(Authorities {
                cluster: state.cluster()?.clone(),
                rotation: state.rotation().cloned(),
            })
        })
        .ok_or_else(|| "this manager does not have the swarm's state yet".into())
    }
}

fn read(ca: &ClusterCa) -> Result<CertificateAuthority, certs::Error> {
    CertificateAuthority::from_pem(&ca.certificate, &ca.key)
}
