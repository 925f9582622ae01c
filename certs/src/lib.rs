//! Who a node is.
//!
//! A node is its Ed25519 key; [`NodeId`] is the hash of it. At `init` a [`CertificateAuthority`]
//! is made, and from then on it turns signing requests into [`Certificate`]s that say which node
//! of which cluster may do what. A [`JoinToken`] carries the CA's digest and a secret to a new
//! device, so both sides can trust each other at first sight.
//!
//! Running nodes hold their [`Identity`] in [`Credentials`], which make the QUIC configurations of
//! every connection between nodes and let a renewed certificate or a removed node take effect
//! without a restart. After the handshake, [`peer_of`] says who is there.
//!
//! [`seal`] keeps what is on disk secret from whoever takes the disk, and [`lock`] the key to it.

mod authority;
mod base36;
mod certificate;
mod cipher;
mod credentials;
mod der;
mod error;
mod files;
mod given;
mod id;
mod identity;
mod key;
pub mod lock;
mod peer;
mod pem;
mod refusal;
mod reset;
pub mod seal;
mod site;
mod stranger;
mod tls;
mod token;
mod verify;

pub use authority::CertificateAuthority;
pub use base36::Base36Error;
pub use certificate::{BACKDATE, Certificate, MAX_ROOTS, RootCertificate, sha256};
pub use credentials::Credentials;
pub use error::Error;
pub use id::{ClusterId, NodeId, ParseIdError, Role};
pub use identity::Identity;
pub use key::{MAX_REQUEST_BYTES, NodeKey, node_of_csr, verify_signature};
pub use peer::{Peer, peer_of, peer_of_identity, pinned_root_of};
pub use refusal::Refusal;
pub use site::{ChannelBinding, MIN_SITE_KEY, SITE_BYTES, Side, SiteKeyError, SiteSecret};
pub use stranger::{stranger_client_config, stranger_server_config};
pub use tls::{SERVER_NAME, pinned_client_config};
pub use token::{JoinSecret, JoinToken, TokenError};
pub use verify::Expect;
