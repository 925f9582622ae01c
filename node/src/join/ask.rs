//! The stranger's end of joining.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use certs::{Certificate, Identity, JoinToken, NodeKey};
use quinn::Connection;
use services::spec::Availability;
use tokio::time::timeout;

use super::{About, Answer, Grant, JoinError, Request};
use crate::control::{ALPN_JOIN, frame, port};

/// For one manager to answer in; a new leader may have to be elected meanwhile.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
const CONNECT_WITHIN: Duration = Duration::from_secs(3);

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
    let mut tried = JoinError::Unreachable("no manager is known".into());
    // Where the swarm's CA became another one meanwhile, it was told of both.
    for root in identity.roots() {
        match ask(&request, root.digest(), managers).await {
            Ok((_, grant)) => return Ok(Certificate::from_pem(&grant.certificate)?),
            Err(JoinError::Unreachable(why)) => tried = JoinError::Unreachable(why),
            Err(error) => return Err(error),
        }
    }
    Err(tried)
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
            Ok(_) => tried.push(format!("{remote}: its answer makes no sense")),
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
    let client = certs::pinned_client_config(ca_digest, &[ALPN_JOIN]).map_err(io::Error::other)?;
    let connection = connect(client, remote).await?;
    let answer = exchange(&connection, request).await?;
    Ok((connection, answer))
}

/// What a device says of itself to anyone.
pub async fn about(remote: SocketAddr) -> io::Result<About> {
    let client = certs::stranger_client_config(&[ALPN_JOIN]).map_err(io::Error::other)?;
    let connection = connect(client, remote).await?;
    match exchange(&connection, &Request::About).await? {
        Answer::About(about) => Ok(about),
        _ => Err(io::Error::from(io::ErrorKind::InvalidData)),
    }
}

/// A connection of somebody without a certificate, from a port of its own.
pub async fn connect(
    mut client: quinn::ClientConfig,
    remote: SocketAddr,
) -> io::Result<Connection> {
    let any = match remote {
        SocketAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
    };
    let endpoint = quinn::Endpoint::client(SocketAddr::new(any, 0))?;
    client.transport_config(Arc::new(port::dialling()));
    let connecting = endpoint
        .connect_with(client, remote, certs::SERVER_NAME)
        .map_err(io::Error::other)?;
    timeout(CONNECT_WITHIN, connecting)
        .await
        .map_err(|_| no_answer(CONNECT_WITHIN))?
        .map_err(explain)
}

async fn exchange(connection: &Connection, request: &Request) -> io::Result<Answer> {
    let exchange = async {
        let (mut out, mut back) = connection.open_bi().await?;
        frame::send(&mut out, request).await?;
        out.finish().map_err(io::Error::other)?;
        frame::recv::<Answer>(&mut back)
            .await?
            .ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))
    };
    timeout(ANSWER_WITHIN, exchange)
        .await
        .map_err(|_| no_answer(ANSWER_WITHIN))?
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
