//! The two that answer devices of their site: a manager of its swarm, and a
//! device that still waits.

use std::net::SocketAddr;
use std::sync::Arc;

use certs::{RootCertificate, SiteSecret};
use futures::FutureExt;
use futures::future::BoxFuture;
use services::managing::CANDIDATE;
use services::spec::{Labels, Role};

use super::form::Forming;
use super::proof::{Admission, Host, SiteAnswer, SiteRequest};
use super::view::{Says, SwarmDigest, View};
use crate::join::{About, Entrant};
use crate::manager::Manager;

/// A manager of the swarm of a site.
pub struct Founded {
    pub manager: Arc<Manager>,
}

impl Founded {
    /// The secret of this manager's swarm, and what it says of itself.
    pub fn site(&self) -> Option<(SiteSecret, View)> {
        let cluster = self.manager.cluster().ok()?;
        let secret = SiteSecret::from_bytes(cluster.site.as_ref()?.0);
        let root = RootCertificate::from_pem(&cluster.ca.certificate).ok()?;
        let view = View {
            id: self.manager.me,
            sequence: 0,
            says: Says::Formed {
                swarm: SwarmDigest(root.digest()),
                cluster: self.manager.cluster,
            },
            knows: Vec::new(),
        };
        Some((secret, view))
    }

    async fn admit(&self, entrant: Entrant, from: SocketAddr) -> Result<Admission, String> {
        let grant = self.manager.admit(entrant, from).await?;
        let cluster = self.manager.cluster()?;
        Ok(Admission {
            grant,
            root: cluster.ca.certificate.clone(),
            hostname: About::me(None).hostname,
        })
    }
}

impl Host for Founded {
    fn secret(&self) -> Option<SiteSecret> {
        self.site().map(|(secret, _)| secret)
    }

    fn answer(&self, request: SiteRequest, from: SocketAddr) -> BoxFuture<'_, SiteAnswer> {
        async move {
            match request {
                SiteRequest::Exchange { .. } => match self.site() {
                    Some((_, view)) => SiteAnswer::View(view),
                    None => refused("this swarm has no site key"),
                },
                SiteRequest::Admit {
                    csr,
                    addr,
                    availability,
                    labels,
                } => {
                    let entrant = Entrant {
                        csr,
                        addr,
                        availability,
                        role: Role::Worker,
                        labels: candidate(labels),
                    };
                    match self.admit(entrant, from).await {
                        Ok(admission) => {
                            tracing::info!(%from, "let a device of the site in");
                            SiteAnswer::Admitted(Box::new(admission))
                        }
                        Err(reason) => refused(reason),
                    }
                }
            }
        }
        .boxed()
    }
}

/// A device that knows the site key may become a manager.
pub fn candidate(mut labels: Labels) -> Labels {
    labels.insert(CANDIDATE.to_owned(), "true".to_owned());
    labels
}

impl Host for Forming {
    fn secret(&self) -> Option<SiteSecret> {
        Some(self.options().secret.clone())
    }

    fn answer(&self, request: SiteRequest, from: SocketAddr) -> BoxFuture<'_, SiteAnswer> {
        async move {
            match request {
                SiteRequest::Exchange { port, view } => {
                    self.heard(SocketAddr::new(from.ip(), port), &view);
                    SiteAnswer::View(self.view())
                }
                SiteRequest::Admit { .. } => refused("this device is in no swarm yet"),
            }
        }
        .boxed()
    }
}

fn refused(reason: impl Into<String>) -> SiteAnswer {
    SiteAnswer::Refused {
        reason: reason.into(),
    }
}
