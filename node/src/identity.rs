//! This node's identity, in use and on disk: its certificate and the CAs that it
//! trusts change one at a time, and both places change together.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use certs::{Certificate, Credentials, Identity, RootCertificate};
use gossip::Gossip;
use tokio::sync::watch;

use crate::control::lock;
use crate::control::message::TrustNews;

pub struct Keeper {
    credentials: Credentials,
    gossip: Gossip,
    dir: PathBuf,
    /// Up to which index of the log the CAs are known to be so.
    known: Mutex<u64>,
    changes: watch::Sender<()>,
}

impl Keeper {
    /// `dir` is where the identity of `credentials` was loaded from.
    pub fn new(credentials: Credentials, gossip: Gossip, dir: PathBuf) -> Self {
        Self {
            credentials,
            gossip,
            dir,
            known: Mutex::default(),
            changes: watch::Sender::default(),
        }
    }

    pub fn identity(&self) -> Arc<Identity> {
        self.credentials.identity()
    }

    /// Tells of every change.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// What the identity is compared with has changed.
    pub fn review(&self) {
        if self.identity().roots().len() > 1 {
            self.changes.send_replace(());
        }
    }

    /// Whether the certificate is not of the CA that issues them now.
    pub fn is_outdated(&self) -> bool {
        let identity = self.identity();
        identity.issuer() != identity.roots().last()
    }

    /// Uses a renewed certificate, perhaps of another role.
    ///
    /// # Errors
    /// Nothing was changed, or only the disk was not; then it is used all the same:
    /// a full disk must not cost the node its place.
    pub fn install(&self, certificate: Certificate) -> anyhow::Result<()> {
        let known = lock(&self.known);
        let identity = self.credentials.install(certificate)?;
        let saved = identity.save_certificate(&self.dir);
        drop(known);
        let role = identity.role();
        self.gossip.certificate_changed();
        self.gossip.publish(|facts| facts.role = role);
        self.changes.send_replace(());
        Ok(saved?)
    }

    /// Trusts the CAs that a manager names, unless it is behind what is known:
    /// managers are not equally far.
    ///
    /// # Errors
    /// As [`install`](Self::install).
    pub fn trust(&self, news: &TrustNews) -> anyhow::Result<()> {
        let roots = news.roots.iter().map(|pem| RootCertificate::from_pem(pem));
        let roots = roots.collect::<Result<Vec<_>, _>>()?;
        let mut known = lock(&self.known);
        let before = self.identity();
        if news.at < *known || before.roots() == roots {
            *known = news.at.max(*known);
            return Ok(());
        }
        let identity = self.credentials.trust(roots)?;
        *known = news.at;
        let saved = identity.save_certificate(&self.dir);
        drop(known);
        let is_new = |root: &RootCertificate| !before.roots().contains(root);
        if identity.roots().iter().any(is_new) {
            self.gossip.root_added();
        }
        tracing::info!(
            roots = identity.roots().len(),
            "trusts other certificate authorities of the swarm than before"
        );
        self.changes.send_replace(());
        Ok(saved?)
    }
}
