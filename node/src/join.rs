//! Joining: how a stranger with a token becomes a node, and how a node whose
//! certificate has run out gets a new one.
//!
//! The stranger trusts whoever presents the CA that its token pins, and proves
//! itself by the token's secret. It makes its own key and sends a signing
//! request; the key never leaves it. Any manager can answer, because each
//! holds the CA in its state; what the swarm gains by it, a new node, is
//! agreed on before the certificate is handed out.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use certs::{Certificate, CertificateAuthority, Identity, JoinToken, NodeId, NodeKey};
use quinn::Connection;
use serde::{Deserialize, Serialize};
use services::Command;
use services::object::Cluster;
use services::spec::{Availability, Labels, NodeSpec, Role};
use tokio::time::timeout;

use crate::control::{self, ALPN_JOIN, frame};
use crate::manager::{Manager, node_id, node_key};

/// For one manager to answer in; a new leader may have to be elected meanwhile.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
const CONNECT_WITHIN: Duration = Duration::from_secs(3);

#[derive(Debug, Serialize, Deserialize)]
enum Request {
    Join {
        /// The whole token; only its secret is looked at.
        token: String,
        csr: Vec<u8>,
        /// Where the node will answer; an unspecified address stands for the
        /// one that it is seen to come from.
        addr: SocketAddr,
        availability: Availability,
    },
    /// From a node whose certificate has run out.
    Renew { csr: Vec<u8> },
}

#[derive(Debug, Serialize, Deserialize)]
enum Answer {
    Granted(Grant),
    Refused { reason: String },
}

/// What a new node needs to take part.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Grant {
    /// PEM.
    pub certificate: String,
    pub addr: SocketAddr,
    pub managers: Vec<(NodeId, SocketAddr)>,
}

#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The swarm heard the request and said no. Nothing was changed.
    #[error("{0}")]
    Refused(String),
    /// No manager could be asked. `0` says, for each, what was tried.
    #[error("no manager could be reached: {0}")]
    Unreachable(String),
    #[error(transparent)]
    Certificate(#[from] certs::Error),
}

/// What a node asks to join as.
#[derive(Debug, Clone)]
pub struct Applicant<'a> {
    pub key: &'a NodeKey,
    pub token: &'a JoinToken,
    pub addr: SocketAddr,
    pub availability: Availability,
}

/// Asks the managers at `remotes` in turn until one answers.
pub async fn join(
    applicant: &Applicant<'_>,
    remotes: &[SocketAddr],
) -> Result<(Identity, Grant), JoinError> {
    let request = Request::Join {
        token: applicant.token.to_string(),
        csr: applicant.key.csr()?,
        addr: applicant.addr,
        availability: applicant.availability,
    };
    let digest = applicant.token.ca_digest();
    let (connection, grant) = ask(&request, digest, remotes).await?;
    let root = certs::pinned_root_of(&connection, digest)
        .ok_or_else(|| JoinError::Refused("remote CA does not match fingerprint".into()))?;
    let key = NodeKey::from_pkcs8_der(&applicant.key.to_pkcs8_der()?)?;
    let identity = Identity::new(key, Certificate::from_pem(&grant.certificate)?, root)?;
    Ok((identity, grant))
}

/// Asks for a new certificate with nothing but the key that the swarm knows.
pub async fn renew_expired(
    identity: &Identity,
    managers: &[SocketAddr],
) -> Result<Certificate, JoinError> {
    let request = Request::Renew {
        csr: identity.key().csr()?,
    };
    let (_, grant) = ask(&request, identity.root().digest(), managers).await?;
    Ok(Certificate::from_pem(&grant.certificate)?)
}

async fn ask(
    request: &Request,
    ca_digest: [u8; 32],
    remotes: &[SocketAddr],
) -> Result<(Connection, Grant), JoinError> {
    let mut tried = Vec::new();
    for remote in remotes {
        match ask_one(request, ca_digest, *remote).await {
            Ok((connection, Answer::Granted(grant))) => return Ok((connection, grant)),
            Ok((_, Answer::Refused { reason })) => return Err(JoinError::Refused(reason)),
            Err(error) => tried.push(format!("{remote}: {error}")),
        }
    }
    Err(JoinError::Unreachable(tried.join("; ")))
}

async fn ask_one(
    request: &Request,
    ca_digest: [u8; 32],
    remote: SocketAddr,
) -> io::Result<(Connection, Answer)> {
    let any = SocketAddr::new(
        match remote {
            SocketAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
        },
        0,
    );
    let endpoint = quinn::Endpoint::client(any)?;
    let mut client =
        certs::pinned_client_config(ca_digest, &[ALPN_JOIN]).map_err(io::Error::other)?;
    client.transport_config(control::transport());
    let connecting = endpoint
        .connect_with(client, remote, certs::SERVER_NAME)
        .map_err(io::Error::other)?;
    let connection = timeout(CONNECT_WITHIN, connecting)
        .await
        .map_err(|_| no_answer(CONNECT_WITHIN))?
        .map_err(explain)?;
    let exchange = async {
        let (mut out, mut back) = connection.open_bi().await?;
        frame::send(&mut out, request).await?;
        out.finish().map_err(io::Error::other)?;
        frame::recv::<Answer>(&mut back)
            .await?
            .ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))
    };
    let answer = timeout(ANSWER_WITHIN, exchange)
        .await
        .map_err(|_| no_answer(ANSWER_WITHIN))??;
    Ok((connection, answer))
}

fn no_answer(waited: Duration) -> io::Error {
    io::Error::new(
        io::ErrorKind::TimedOut,
        format!("no answer within {} s", waited.as_secs()),
    )
}

fn explain(error: quinn::ConnectionError) -> io::Error {
    match certs::Refusal::of(&error) {
        Some(certs::Refusal::Untrusted) => io::Error::other(
            "it presents another CA than the token names; is the token of this swarm?",
        ),
        Some(refusal) => io::Error::other(format!("its certificate is refused: {refusal}")),
        None => error.into(),
    }
}

/// The manager's end: one request on one stream.
pub async fn serve(manager: &Manager, connection: Connection) {
    let answered = timeout(ANSWER_WITHIN, async {
        let (mut out, mut from) = connection.accept_bi().await?;
        let request = frame::recv::<Request>(&mut from)
            .await?
            .ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        let from = connection.remote_address();
        let answer = match decide(manager, request, from).await {
            Ok(grant) => Answer::Granted(grant),
            Err(reason) => {
                tracing::warn!(%from, reason, "refused a device");
                Answer::Refused { reason }
            }
        };
        frame::send(&mut out, &answer).await?;
        out.finish().map_err(io::Error::other)?;
        // The peer closes; until then the answer may still be on its way.
        connection.closed().await;
        io::Result::Ok(())
    });
    if let Ok(Err(error)) = answered.await {
        tracing::debug!(%error, "a join was cut off");
    }
}

async fn decide(manager: &Manager, request: Request, from: SocketAddr) -> Result<Grant, String> {
    // A token that was rotated a moment ago must not be accepted here.
    catch_up(manager).await?;
    match request {
        Request::Join {
            token,
            csr,
            mut addr,
            availability,
        } => {
            let role = manager.role_of_token(&token)?;
            let node = certs::node_of_csr(&csr).map_err(|error| error.to_string())?;
            if addr.ip().is_unspecified() {
                addr.set_ip(from.ip());
            }
            let spec = NodeSpec {
                name: None,
                labels: Labels::new(),
                role,
                availability,
            };
            manager
                .propose(Command::AddNode {
                    id: node_key(node),
                    spec,
                    addr,
                })
                .await
                .map_err(|error| error.to_string())?;
            // The leader has applied it; this manager may be behind.
            catch_up(manager).await?;
            manager.grant(&csr, addr)
        }
        Request::Renew { csr } => manager.grant(&csr, from),
    }
}

async fn catch_up(manager: &Manager) -> Result<(), String> {
    match manager.raft.read_barrier().await {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("this manager cannot reach the others: {error}")),
    }
}

impl Manager {
    /// A certificate of the role that the swarm wants of the node, which must
    /// be one of its nodes. The request proves that the sender has the key.
    pub fn grant(&self, csr: &[u8], addr: SocketAddr) -> Result<Grant, String> {
        let node = certs::node_of_csr(csr).map_err(|error| error.to_string())?;
        let role = self
            .role_of(node)
            .ok_or("this node is not, or no longer, part of the swarm")?;
        let cluster = self.cluster()?;
        let authority = CertificateAuthority::from_pem(&cluster.ca.certificate, &cluster.ca.key)
            .map_err(|error| error.to_string())?;
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

pub fn certificate_role(role: Role) -> certs::Role {
    match role {
        Role::Manager => certs::Role::Manager,
        Role::Worker => certs::Role::Worker,
    }
}
