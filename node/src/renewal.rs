//! Certificates end; this gets the next one in good time, from any manager.
//!
//! A node that was off for longer than its certificate's life asks without one:
//! its key is still that of a node, if nobody removed it meanwhile.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use certs::NodeId;
use tokio::sync::watch;

use crate::control::frame;
use crate::control::message::{Open, Renewal};
use crate::join;
use crate::membership::Membership;

const CHECK: Duration = Duration::from_secs(3600);
const RETRY: Duration = Duration::from_secs(5);
const ASK_AGAIN: Duration = Duration::from_millis(500);
/// In which all nodes renew their certificates when the swarm has another CA.
const SPREAD: Duration = Duration::from_secs(1);

impl Membership {
    /// Runs until it is dropped.
    pub async fn renew_in_time(self: Arc<Self>) {
        let mut changes = self.identity.changes();
        loop {
            changes.mark_unchanged();
            self.until_outdated(&mut changes).await;
            match self
                .renewed()
                .await
                .and_then(|certificate| self.identity.install(certificate))
            {
                Ok(()) if self.identity.is_outdated() => {
                    // The manager that was asked has not heard of the new CA yet.
                    tokio::time::sleep(ASK_AGAIN).await;
                }
                Ok(()) => tracing::info!("the certificate was renewed"),
                Err(error) => {
                    tracing::warn!(%error, "the certificate could not be renewed");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    /// Waits until the certificate is old enough, or of a CA that issues no more.
    async fn until_outdated(&self, changes: &mut watch::Receiver<()>) {
        loop {
            if self.identity.is_outdated() {
                // All nodes have heard of it now. One that has just joined with a
                // certificate of the next CA is about to hear of that.
                tokio::time::sleep(SPREAD.mul_f64(rand::random())).await;
                if self.identity.is_outdated() {
                    return;
                }
            }
            let identity = self.identity.identity();
            let at = identity.certificate().renew_at(rand::random());
            // The clock may be set meanwhile: sleeping for weeks would miss it.
            let in_time = async {
                while let Ok(left) = at.duration_since(SystemTime::now()) {
                    tokio::time::sleep(left.min(CHECK)).await;
                }
            };
            tokio::select! {
                () = in_time => return,
                Ok(()) = changes.changed() => {}
            }
        }
    }

    /// A new certificate from whichever manager answers, this node included.
    pub async fn renewed(&self) -> anyhow::Result<certs::Certificate> {
        let identity = self.credentials.identity();
        let csr = identity.key().csr()?;
        // One that was away too long does not know what this node should be.
        if let Some(manager) = self.manager()
            && self.has_caught_up()
            && let Ok(grant) = manager.grant(&csr, self.addr())
        {
            return Ok(certs::Certificate::from_pem(&grant.certificate)?);
        }
        let managers = self.news.borrow().managers.clone();
        if identity.certificate().not_after() <= SystemTime::now() {
            let addrs: Vec<SocketAddr> = managers.iter().map(|(_, addr)| *addr).collect();
            return Ok(join::renew_expired(&identity, &addrs).await?);
        }
        let mut last = anyhow::anyhow!("no manager is known");
        for (id, addr) in managers.iter().filter(|(id, _)| *id != self.me) {
            match self.renewed_by(*id, *addr, &csr).await {
                Ok(certificate) => return Ok(certificate),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn renewed_by(
        &self,
        manager: NodeId,
        addr: SocketAddr,
        csr: &[u8],
    ) -> anyhow::Result<certs::Certificate> {
        let connection = self.control.node(manager, addr).await?;
        let (mut out, mut back) = connection.open_bi().await?;
        frame::send(&mut out, &Open::Renew { csr: csr.to_vec() }).await?;
        match frame::recv::<Renewal>(&mut back)
            .await?
            .context("no answer")?
        {
            Renewal::Granted { certificate } => Ok(certs::Certificate::from_pem(&certificate)?),
            Renewal::Refused { reason } => anyhow::bail!("{reason}"),
        }
    }
}
