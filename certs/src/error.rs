//! The errors of this crate. None of them leaves anything changed, on disk or in memory, unless
//! its text says so.

use std::path::PathBuf;

use crate::{refusal::Refusal, token::TokenError};

/// What can go wrong with identities, certificates and sealed data.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A private key could not be read. Nothing was changed.
    #[error("not a usable private key: {0}")]
    InvalidKey(&'static str),
    /// A signing request was refused. Nothing was signed.
    #[error("not a usable certificate signing request: {0}")]
    InvalidRequest(&'static str),
    /// A certificate could not be read. It was not installed.
    #[error("not a usable certificate: {0}")]
    InvalidCertificate(&'static str),
    /// A certificate does not belong to this node or this cluster. It was not installed.
    #[error("the certificate is refused: {0}")]
    Refused(#[from] Refusal),
    /// A join token could not be read.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The CA could not sign. No certificate exists.
    #[error("cannot sign the certificate: {0}")]
    Signing(String),
    /// A TLS configuration could not be made. Those made earlier keep working.
    #[error("cannot configure TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// The crypto library gave up, which it does only without randomness or memory.
    #[error("the crypto library failed")]
    Crypto,
    /// A file is there but is not what was written. It was left as it is.
    #[error("{} is damaged ({problem}): {remedy}", path.display())]
    Damaged {
        /// The damaged file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
        /// What the operator can do.
        remedy: &'static str,
    },
    /// The disk refused. The file holds its previous content, or all of the new one.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried: "create", "read", "write", "remove".
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
}

impl From<aws_lc_rs::error::Unspecified> for Error {
    fn from(_: aws_lc_rs::error::Unspecified) -> Self {
        Self::Crypto
    }
}
