//! What devices of one site say to each other, once each has proven to the
//! other that it knows the site key.
//!
//! On a `swl-join/1` stream the client's first frame is its proof, bound to
//! this very TLS connection. The server says nothing before it has checked it,
//! and answers with its own; so whoever does not know the key, or sits between
//! two who do, learns only that there is a site, which the announcement says.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use certs::{ChannelBinding, SITE_BYTES, Side, SiteSecret};
use futures::future::BoxFuture;
use quinn::{Connection, RecvStream, SendStream};
use serde::{Deserialize, Serialize};
use services::spec::{Availability, Labels};
use tokio::time::timeout;

use super::view::View;
use crate::control::{ALPN_JOIN, frame};
use crate::join::{self, Answer, Grant, MAX_REQUEST, Request};

/// Answers carry a list of managers and two certificates.
const MAX_ANSWER: usize = 256 << 10;
/// For a next request on a stream: devices ask every second.
const NEXT_WITHIN: Duration = Duration::from_secs(5);
/// Between a wrong proof and the refusal.
const WRONG_PROOF: Duration = Duration::from_secs(1);

#[derive(Debug, Serialize, Deserialize)]
pub enum SiteRequest {
    /// What the sender does, and the port that it answers at.
    Exchange { port: u16, view: View },
    /// To be made a node of the swarm.
    Admit {
        csr: Vec<u8>,
        /// As in [`Request::Join`].
        addr: SocketAddr,
        availability: Availability,
        labels: Labels,
    },
}

#[derive(Debug, Serialize, Deserialize)]
pub enum SiteAnswer {
    View(View),
    Admitted(Box<Admission>),
    Refused { reason: String },
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Admission {
    pub grant: Grant,
    /// PEM, of the swarm's CA.
    pub root: String,
    /// Of the manager that let the device in.
    pub hostname: String,
}

/// A device that answers others of its site.
pub trait Host: Send + Sync {
    /// `None`: it is of no site.
    fn secret(&self) -> Option<SiteSecret>;
    /// Answers a device that has proven itself.
    fn answer(&self, request: SiteRequest, from: SocketAddr) -> BoxFuture<'_, SiteAnswer>;
}

/// Goes on with a stream that began with `proof`, until the peer ends it.
pub async fn serve(
    host: &impl Host,
    connection: &Connection,
    proof: &[u8; SITE_BYTES],
    (mut out, mut from): (SendStream, RecvStream),
) -> io::Result<()> {
    let channel = ChannelBinding::of(connection).map_err(io::Error::other)?;
    let known = host
        .secret()
        .filter(|s| s.proves(Side::Client, &channel, proof));
    let Some(secret) = known else {
        // The stranger keeps its place among the few that are served meanwhile.
        tokio::time::sleep(WRONG_PROOF).await;
        let reason = "the site key is another one".to_owned();
        frame::send(&mut out, &Answer::Refused { reason }).await?;
        return out.finish().map_err(io::Error::other);
    };
    let proof = secret.prove(Side::Server, &channel);
    frame::send(&mut out, &Answer::Site { proof }).await?;
    loop {
        let next = frame::recv_at_most::<SiteRequest>(&mut from, MAX_REQUEST);
        let Ok(next) = timeout(NEXT_WITHIN, next).await else {
            return Ok(());
        };
        let Some(request) = next? else {
            return out.finish().map_err(io::Error::other);
        };
        let answer = host.answer(request, connection.remote_address()).await;
        frame::send(&mut out, &answer).await?;
    }
}

/// A stream to a device that has proven that it knows the site key.
pub struct Link {
    // Ends when it is dropped.
    _connection: Connection,
    out: SendStream,
    back: RecvStream,
}

impl Link {
    /// # Errors
    /// Nobody answers there, or somebody who does not know the key: then
    /// nothing was said but a proof that is of no use elsewhere.
    pub async fn open(secret: &SiteSecret, addr: SocketAddr) -> io::Result<Self> {
        let client = certs::stranger_client_config(&[ALPN_JOIN]).map_err(io::Error::other)?;
        let connection = join::connect(client, addr).await?;
        let channel = ChannelBinding::of(&connection).map_err(io::Error::other)?;
        let (mut out, mut back) = connection.open_bi().await?;
        let proof = secret.prove(Side::Client, &channel);
        frame::send(&mut out, &Request::Site { proof }).await?;
        match frame::recv_at_most::<Answer>(&mut back, MAX_REQUEST).await? {
            Some(Answer::Site { proof }) if secret.proves(Side::Server, &channel, &proof) => {
                Ok(Self {
                    _connection: connection,
                    out,
                    back,
                })
            }
            Some(Answer::Refused { reason }) => Err(io::Error::other(reason)),
            _ => Err(io::Error::other("it does not know the site key")),
        }
    }

    pub async fn ask(&mut self, request: &SiteRequest) -> io::Result<SiteAnswer> {
        frame::send(&mut self.out, request).await?;
        frame::recv_at_most(&mut self.back, MAX_ANSWER)
            .await?
            .ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))
    }
}
