//! Joining: how a stranger with a token becomes a node, and how a node whose
//! certificate has run out gets a new one.
//!
//! The stranger trusts whoever presents the CA that its token pins, and proves
//! itself by the token's secret. It makes its own key and sends a signing
//! request; the key never leaves it. Any manager can answer, because each
//! holds the CA in its state; what the swarm gains by it, a new node, is
//! agreed on before the certificate is handed out.
//!
//! `ask` is the stranger's end, `serve` the manager's. What devices say that
//! share a site key begins here too ([`Request::Site`]) and goes on in
//! [`crate::site`].

mod ask;
mod serve;

use std::net::SocketAddr;

use certs::{ClusterId, NodeId, SITE_BYTES};
use serde::{Deserialize, Serialize};
use services::spec::{Availability, Role};

pub use ask::{Applicant, about, connect, join, renew_expired};
pub use serve::{Entrant, serve};

/// Bytes of a stranger's frame.
pub const MAX_REQUEST: usize = 16 << 10;

#[derive(Debug, Serialize, Deserialize)]
pub enum Request {
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
    /// What anyone may know of this device.
    About,
    /// The sender proves that it knows the site key; what follows on the
    /// stream is [`crate::site`]'s.
    Site { proof: [u8; SITE_BYTES] },
}

#[derive(Debug, Serialize, Deserialize)]
pub enum Answer {
    Granted(Grant),
    Refused {
        reason: String,
    },
    About(About),
    /// The receiver of a right proof knows the key too.
    Site {
        proof: [u8; SITE_BYTES],
    },
}

/// What a new node needs to take part.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Grant {
    /// PEM.
    pub certificate: String,
    pub addr: SocketAddr,
    pub managers: Vec<(NodeId, SocketAddr)>,
}

/// What a device tells everybody.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct About {
    pub hostname: String,
    /// Of swarmlet.
    pub version: String,
    /// `None`: it waits for the others of its site.
    pub cluster: Option<ClusterId>,
}

impl About {
    /// This device, as part of `cluster`.
    pub fn me(cluster: Option<ClusterId>) -> Self {
        Self {
            hostname: hostname(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            cluster,
        }
    }
}

fn hostname() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
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

pub fn certificate_role(role: Role) -> certs::Role {
    match role {
        Role::Manager => certs::Role::Manager,
        Role::Worker => certs::Role::Worker,
    }
}
