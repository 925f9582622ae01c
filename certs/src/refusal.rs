//! Why a peer's certificate is not accepted, and how that travels.
//!
//! A TLS handshake can tell the other side only one alert number. Every refusal here has a number
//! of its own, so both sides can name the reason: the node that was removed learns that it was
//! removed, and need not guess it from a closed connection.

use std::sync::Arc;

use quinn::{ConnectionError, TransportErrorCode};
use rustls::{AlertDescription, CertificateError, OtherError};

/// Why a certificate was refused, by us or by the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It was not issued by the CA of this cluster (alert 48, `unknown_ca`).
    #[error("it was not issued by the CA of this cluster")]
    Untrusted,
    /// It is expired or not valid yet (alert 45, `certificate_expired`).
    #[error("it is expired or not valid yet; are the clocks of both devices right?")]
    OutsideValidity,
    /// Its node was removed from the cluster (alert 44, `certificate_revoked`).
    #[error("the node was removed from the cluster")]
    Revoked,
    /// It belongs to another node than the one that was called (alert 42, `bad_certificate`).
    #[error("it belongs to another node than the expected one")]
    WrongNode,
    /// A manager was called and a worker answered (alert 49, `access_denied`).
    #[error("the node is not a manager")]
    NotManager,
    /// It is malformed, or names a node that is not its key (alert 46, `certificate_unknown`).
    #[error("it is malformed or does not name the node of its key")]
    Invalid,
}

impl Refusal {
    /// The refusal that ended a handshake or a young connection, whichever side refused.
    ///
    /// With TLS 1.3 the client's handshake is complete before the server has judged the client's
    /// certificate, so the client meets this on its first use of the connection and not on
    /// connecting. `None` if the connection ended for another reason.
    pub fn of(error: &ConnectionError) -> Option<Self> {
        let code = match error {
            ConnectionError::TransportError(error) => error.code,
            ConnectionError::ConnectionClosed(close) => close.error_code,
            _ => return None,
        };
        ALL.into_iter()
            .find(|refusal| TransportErrorCode::crypto(refusal.alert().into()) == code)
    }

    fn alert(self) -> AlertDescription {
        AlertDescription::from(CertificateError::from(self))
    }
}

const ALL: [Refusal; 6] = [
    Refusal::Untrusted,
    Refusal::OutsideValidity,
    Refusal::Revoked,
    Refusal::WrongNode,
    Refusal::NotManager,
    Refusal::Invalid,
];

impl From<Refusal> for CertificateError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Untrusted => Self::UnknownIssuer,
            Refusal::OutsideValidity => Self::Expired,
            Refusal::Revoked => Self::Revoked,
            Refusal::WrongNode => Self::NotValidForName,
            Refusal::NotManager => Self::ApplicationVerificationFailure,
            Refusal::Invalid => Self::Other(OtherError(Arc::new(refusal))),
        }
    }
}

impl From<Refusal> for rustls::Error {
    fn from(refusal: Refusal) -> Self {
        Self::InvalidCertificate(refusal.into())
    }
}

/// Sorts what the chain check of webpki found into our reasons.
impl From<rustls::Error> for Refusal {
    fn from(error: rustls::Error) -> Self {
        use CertificateError::{
            BadSignature, Expired, ExpiredContext, NotValidYet, NotValidYetContext, UnknownIssuer,
        };
        match error {
            rustls::Error::InvalidCertificate(error) => match error {
                Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. } => {
                    Self::OutsideValidity
                }
                // Every cluster's CA has the same name, so a foreign one is told by its signature.
                UnknownIssuer | BadSignature => Self::Untrusted,
                _ => Self::Invalid,
            },
            _ => Self::Invalid,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_refusal_has_an_alert_of_its_own() {
        let alerts: BTreeSet<u8> = ALL.iter().map(|refusal| refusal.alert().into()).collect();
        assert_eq!(alerts.len(), ALL.len());
    }

    #[test]
    fn a_connection_that_timed_out_was_not_refused() {
        assert_eq!(Refusal::of(&ConnectionError::TimedOut), None);
    }
}
