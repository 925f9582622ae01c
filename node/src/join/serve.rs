//! The manager's end of joining, and what any node tells a stranger.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use certs::JoinToken;
use quinn::{Connection, RecvStream, SendStream};
use services::Command;
use services::object::Cluster;
use services::spec::{Availability, Labels, NodeSpec, Role};
use tokio::time::timeout;

use super::{About, Answer, Grant, MAX_REQUEST, Request, certificate_role};
use crate::control::frame;
use crate::manager::{Manager, node_id, node_key};
use crate::membership::Membership;
use crate::site;

/// For a stranger to ask and to be answered.
const SERVE_WITHIN: Duration = Duration::from_secs(10);

/// Serves one request of a stranger, on one stream.
pub async fn serve(membership: &Membership, connection: Connection) {
    let answered = timeout(SERVE_WITHIN, async {
        let (out, mut from) = connection.accept_bi().await?;
        let request = frame::recv_at_most::<Request>(&mut from, MAX_REQUEST)
            .await?
            .ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        serve_one(membership, request, &connection, (out, from)).await?;
        // The peer closes; until then the answer may still be on its way.
        connection.closed().await;
        io::Result::Ok(())
    });
    if let Ok(Err(error)) = answered.await {
        tracing::debug!(%error, "a join was cut off");
    }
}

async fn serve_one(
    membership: &Membership,
    request: Request,
    connection: &Connection,
    (mut out, from): (SendStream, RecvStream),
) -> io::Result<()> {
    let answer = match (request, membership.manager()) {
        (Request::About, _) => Answer::About(About::me(Some(membership.credentials.cluster_id()))),
        (_, None) => {
            // Not a refusal: another node of the swarm may answer.
            connection.close(1u32.into(), b"not a manager");
            return Ok(());
        }
        (Request::Site { proof }, Some(manager)) => {
            let host = site::host::Founded { manager };
            return site::proof::serve(&host, connection, &proof, (out, from)).await;
        }
        (request, Some(manager)) => {
            let from = connection.remote_address();
            match decide(&manager, request, from).await {
                Ok(grant) => Answer::Granted(grant),
                Err(reason) => {
                    tracing::warn!(%from, reason, "refused a device");
                    Answer::Refused { reason }
                }
            }
        }
    };
    frame::send(&mut out, &answer).await?;
    out.finish().map_err(io::Error::other)
}

async fn decide(manager: &Manager, request: Request, from: SocketAddr) -> Result<Grant, String> {
    // A token that was rotated a moment ago must not be accepted here.
    catch_up(manager).await?;
    match request {
        Request::Join {
            token,
            csr,
            addr,
            availability,
        } => {
            let entrant = Entrant {
                csr,
                addr,
                availability,
                role: manager.role_of_token(&token)?,
                labels: Labels::new(),
            };
            manager.admit(entrant, from).await
        }
        Request::Renew { csr } => manager.grant(&csr, from),
        Request::About | Request::Site { .. } => Err("this is answered elsewhere".into()),
    }
}

/// A device that has shown that it may join.
#[derive(Debug)]
pub struct Entrant {
    pub csr: Vec<u8>,
    /// Unspecified: where it is seen to come from.
    pub addr: SocketAddr,
    pub availability: Availability,
    pub role: Role,
    pub labels: Labels,
}

/// Waits until this manager knows all that the swarm had agreed on.
async fn catch_up(manager: &Manager) -> Result<(), String> {
    match manager.raft.read_barrier().await {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("this manager cannot reach the others: {error}")),
    }
}

impl Manager {
    /// Makes a node of a device, in agreement with the others.
    pub async fn admit(&self, entrant: Entrant, from: SocketAddr) -> Result<Grant, String> {
        let node = certs::node_of_csr(&entrant.csr).map_err(|error| error.to_string())?;
        let mut addr = entrant.addr;
        if addr.ip().is_unspecified() {
            addr.set_ip(from.ip());
        }
        let id = node_key(node);
        let spec = NodeSpec {
            name: None,
            labels: entrant.labels,
            role: entrant.role,
            availability: entrant.availability,
        };
        self.propose(Command::AddNode { id, spec, addr })
            .await
            .map_err(|error| error.to_string())?;
        // The leader has applied it; this manager may be behind.
        catch_up(self).await?;
        self.grant(&entrant.csr, addr)
    }

    /// A certificate of the role that the swarm wants of the node, which must
    /// be one of its nodes. The request proves that the sender has the key.
    pub fn grant(&self, csr: &[u8], addr: SocketAddr) -> Result<Grant, String> {
        let node = certs::node_of_csr(csr).map_err(|error| error.to_string())?;
        let role = self
            .role_of(node)
            .ok_or("this node is not, or no longer, part of the swarm")?;
        let cluster = self.cluster()?;
        let authority = self.authority()?;
        let certificate = authority
            .issue(
                csr,
                certificate_role(role),
                &self.cluster,
                cluster.spec.certificate_lifetime,
                SystemTime::now(),
            )
            .map_err(|error| error.to_string())?;
        let managers = self.read_state(|state| {
            state
                .nodes()
                .filter(|node| node.spec.role == Role::Manager)
                .map(|node| (node_id(node.id), node.addr))
                .collect()
        });
        Ok(Grant {
            certificate: certificate.to_pem(),
            addr,
            managers,
        })
    }

    fn role_of_token(&self, token: &str) -> Result<Role, String> {
        let refused = || "invalid join token".to_string();
        let token: JoinToken = token.parse().map_err(|_| refused())?;
        let tokens = &self.cluster()?.join_tokens;
        let is = |ours: &str| {
            ours.parse::<JoinToken>()
                .is_ok_and(|ours| ours.secret() == token.secret())
        };
        match (is(&tokens.manager), is(&tokens.worker)) {
            (true, _) => Ok(Role::Manager),
            (_, true) => Ok(Role::Worker),
            _ => Err(refused()),
        }
    }

    pub fn cluster(&self) -> Result<Arc<Cluster>, String> {
        self.read_state(|state| state.cluster().cloned())
            .ok_or_else(|| "this manager does not have the swarm's state yet".into())
    }
}
