//! Connections on which TLS says nothing of who is there: for asking a device what it is, and for
//! those who prove over the channel that they know a site key.
//!
//! Nothing may be said on them that is not for everybody's ears, until such a proof was given.

use std::sync::Arc;

use quinn::crypto::rustls::QuicServerConfig;
use rcgen::{CertificateParams, DistinguishedName, DnType};
use rustls::{
    DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime},
    server::NoServerSessionStorage,
    version::TLS13,
};

use crate::{
    cipher,
    error::Error,
    key::NodeKey,
    tls::{self, SERVER_NAME},
};

/// For dialling a device of which nothing is known: shows no certificate and accepts any, as long
/// as the other side has its key.
pub fn stranger_client_config(alpn: &[&[u8]]) -> Result<quinn::ClientConfig, Error> {
    let provider = cipher::provider();
    let config = rustls::ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyServer { provider }))
        .with_no_client_auth();
    tls::finish_client(config, alpn)
}

/// For a device that is in no swarm yet: shows a certificate that it made itself for `key`, and
/// asks for none.
pub fn stranger_server_config(key: &NodeKey, alpn: &[&[u8]]) -> Result<quinn::ServerConfig, Error> {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, key.node_id().to_string());
    let mut params = CertificateParams::new(vec![SERVER_NAME.to_owned()])
        .map_err(|error| Error::Signing(error.to_string()))?;
    params.distinguished_name = name;
    let certificate = params
        .self_signed(key)
        .map_err(|error| Error::Signing(error.to_string()))?;
    let private = PrivateKeyDer::Pkcs8(key.to_pkcs8_der()?.to_vec().into());
    let mut config = rustls::ServerConfig::builder_with_provider(cipher::provider())
        .with_protocol_versions(&[&TLS13])?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], private)?;
    config.alpn_protocols = tls::protocols(alpn);
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    let config = QuicServerConfig::try_from(config).map_err(tls::no_initial_suite)?;
    Ok(quinn::ServerConfig::with_crypto(Arc::new(config)))
}

#[derive(Debug)]
struct AnyServer {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    tls::ed25519_signatures!();
}
