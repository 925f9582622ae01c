//! The TLS configurations of QUIC: TLS 1.3 only, aws-lc-rs only, no resumption.
//!
//! Resumption would let a peer in on the strength of an earlier handshake, without showing a
//! certificate; a removed node could come back for as long as its ticket lives. A full handshake
//! costs a millisecond, so there are no tickets and no early data.

use std::sync::Arc;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::{
    DigitallySignedStruct, DistinguishedName, SignatureScheme,
    client::{
        ResolvesClientCert, Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::{
        ClientHello, NoServerSessionStorage, ResolvesServerCert,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    sign::CertifiedKey,
    version::TLS13,
};

use crate::{
    certificate::{RootCertificate, sha256},
    cipher::{has_aes, provider},
    credentials::Live,
    error::Error,
    refusal::Refusal,
    verify::{Expect, Trust, Usage},
};

/// The server name to connect with. It is sent but not looked at: peers are told by node id.
pub const SERVER_NAME: &str = "swarmlet";

pub(crate) fn server_config(live: Arc<Live>, alpn: &[&[u8]]) -> Result<quinn::ServerConfig, Error> {
    let mut config = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(Arc::new(ClientCheck {
            live: live.clone(),
            provider: provider(),
        }))
        .with_cert_resolver(Arc::new(LiveCertificate(live)));
    config.alpn_protocols = protocols(alpn);
    config.ignore_client_order = !has_aes();
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    let config = QuicServerConfig::try_from(config).map_err(no_initial_suite)?;
    Ok(quinn::ServerConfig::with_crypto(Arc::new(config)))
}

pub(crate) fn client_config(
    live: Arc<Live>,
    expect: Expect,
    alpn: &[&[u8]],
) -> Result<quinn::ClientConfig, Error> {
    let verifier = ServerCheck {
        rule: ServerRule::Member(live.clone(), expect),
        provider: provider(),
    };
    let config =
        client_builder(verifier)?.with_client_cert_resolver(Arc::new(LiveCertificate(live)));
    finish_client(config, alpn)
}

/// For a node without a usable certificate: it shows none, and trusts only a manager whose chain
/// holds the root with this SHA-256.
///
/// A joining node takes the digest from its token; a member whose certificate has expired takes it
/// from the root that it has kept. Connect with [`SERVER_NAME`].
pub fn pinned_client_config(
    ca_digest: [u8; 32],
    alpn: &[&[u8]],
) -> Result<quinn::ClientConfig, Error> {
    let verifier = ServerCheck {
        rule: ServerRule::PinnedManager(ca_digest),
        provider: provider(),
    };
    finish_client(client_builder(verifier)?.with_no_client_auth(), alpn)
}

fn client_builder(
    verifier: ServerCheck,
) -> Result<rustls::ConfigBuilder<rustls::ClientConfig, rustls::client::WantsClientCert>, Error> {
    Ok(rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier)))
}

pub(crate) fn finish_client(
    mut config: rustls::ClientConfig,
    alpn: &[&[u8]],
) -> Result<quinn::ClientConfig, Error> {
    config.alpn_protocols = protocols(alpn);
    config.resumption = Resumption::disabled();
    let config = QuicClientConfig::try_from(config).map_err(no_initial_suite)?;
    Ok(quinn::ClientConfig::new(Arc::new(config)))
}

pub(crate) fn protocols(alpn: &[&[u8]]) -> Vec<Vec<u8>> {
    alpn.iter().map(|protocol| protocol.to_vec()).collect()
}

pub(crate) fn no_initial_suite(error: quinn::crypto::rustls::NoInitialCipherSuite) -> Error {
    Error::Tls(rustls::Error::General(error.to_string()))
}

/// The part that the verifiers of both sides have in common: that the handshake is signed by the
/// key of the certificate. There is no TLS 1.2 in QUIC.
macro_rules! ed25519_signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            Err(rustls::PeerIncompatible::Tls12NotOffered.into())
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            let algorithms = &self.provider.signature_verification_algorithms;
            verify_tls13_signature(message, cert, dss, algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            vec![SignatureScheme::ED25519]
        }
    };
}
pub(crate) use ed25519_signatures;

/// Presents the certificate that is current at the moment of the handshake.
#[derive(Debug)]
struct LiveCertificate(Arc<Live>);

impl ResolvesServerCert for LiveCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.certified())
    }
}

impl ResolvesClientCert for LiveCertificate {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.0.certified())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

#[derive(Debug)]
struct ServerCheck {
    rule: ServerRule,
    provider: Arc<CryptoProvider>,
}

#[derive(Debug)]
enum ServerRule {
    Member(Arc<Live>, Expect),
    PinnedManager([u8; 32]),
}

impl ServerCheck {
    fn check(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Refusal> {
        match &self.rule {
            ServerRule::Member(live, expect) => {
                let certificate = live.check(leaf, intermediates, Usage::Server, now)?;
                expect.check(&certificate)
            }
            ServerRule::PinnedManager(digest) => {
                let root = intermediates
                    .iter()
                    .find(|der| sha256(der) == *digest)
                    .ok_or(Refusal::Untrusted)?;
                let root = RootCertificate::from_der(root).map_err(|_| Refusal::Invalid)?;
                let certificate = Trust::new(&[root], self.provider.clone())
                    .map_err(|_| Refusal::Invalid)?
                    .check_chain(leaf, intermediates, Usage::Server, now)?;
                Expect::manager().check(&certificate)
            }
        }
    }
}

impl ServerCertVerifier for ServerCheck {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.check(end_entity, intermediates, now)?;
        Ok(ServerCertVerified::assertion())
    }

    ed25519_signatures!();
}

#[derive(Debug)]
struct ClientCheck {
    live: Arc<Live>,
    provider: Arc<CryptoProvider>,
}

impl ClientCertVerifier for ClientCheck {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.live
            .check(end_entity, intermediates, Usage::Client, now)?;
        Ok(ClientCertVerified::assertion())
    }

    ed25519_signatures!();
}
