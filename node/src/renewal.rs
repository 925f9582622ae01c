//! Certificates end; this gets the next one in good time, from any manager.
//!
//! A node that was off for longer than its certificate's life asks without one:
//! its key is still that of a node, if nobody removed it meanwhile.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use certs::NodeId;

use crate::control::frame;
use crate::control::message::{Open, Renewal};
use crate::join;
use crate::membership::Membership;

const CHECK: Duration = Duration::from_secs(3600);
const RETRY: Duration = Duration::from_secs(5);

impl Membership {
    /// Runs until it is dropped.
    pub async fn renew_in_time(self: Arc<Self>) {
        loop {
            let at = self
                .credentials
                .identity()
                .certificate()
                .renew_at(rand::random());
            // The clock may be set meanwhile: sleeping for weeks would miss it.
            while let Ok(left) = at.duration_since(SystemTime::now()) {
                tokio::time::sleep(left.min(CHECK)).await;
            }
            match self
                .renewed()
                .await
                .and_then(|certificate| self.install(certificate))
            {
                Ok(()) => tracing::info!("the certificate was renewed"),
                Err(error) => {
                    tracing::warn!(%error, "the certificate could not be renewed");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    pub fn install(&self, certificate: certs::Certificate) -> anyhow::Result<()> {
        let identity = self.credentials.identity();
        let identity = identity.with_certificate(certificate.clone())?;
        // A full disk must not cost the node its place: it is used all the same.
        let saved = identity.save_certificate(&self.data.identity());
        let role = self.credentials.install(certificate)?.role();
        self.gossip.certificate_changed();
        self.gossip.publish(|facts| facts.role = role);
        Ok(saved?)
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
