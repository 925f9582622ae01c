//! Which cipher a connection uses: one that is fast on both of its ends.
//!
//! A processor with instructions for AES does AES-128-GCM several times as fast as
//! ChaCha20-Poly1305; one without them, as on many small boards, the other way round.
//! The dialling side names what suits it first and the answering side follows, unless it
//! is the one without the instructions: then it chooses.

use std::sync::Arc;

use rustls::{CipherSuite, SupportedCipherSuite, crypto::CryptoProvider};

/// aws-lc-rs, with the ciphers in the order that suits this processor.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    order(&mut provider.cipher_suites, has_aes());
    Arc::new(provider)
}

/// Whether this processor has instructions for AES.
pub(crate) fn has_aes() -> bool {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    let has_aes = std::arch::is_x86_feature_detected!("aes");
    #[cfg(target_arch = "aarch64")]
    let has_aes = std::arch::is_aarch64_feature_detected!("aes");
    #[cfg(not(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64")))]
    let has_aes = false;
    has_aes
}

fn order(suites: &mut [SupportedCipherSuite], has_aes: bool) {
    suites.sort_by_key(|suite| match suite.suite() {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => u8::from(!has_aes),
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => u8::from(has_aes),
        _ => 2,
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(has_aes: bool) -> CipherSuite {
        let mut suites = rustls::crypto::aws_lc_rs::default_provider().cipher_suites;
        order(&mut suites, has_aes);
        suites[0].suite()
    }

    #[test]
    fn aes_comes_first_where_the_processor_has_instructions_for_it() {
        assert_eq!(first(true), CipherSuite::TLS13_AES_128_GCM_SHA256);
        assert_eq!(first(false), CipherSuite::TLS13_CHACHA20_POLY1305_SHA256);
    }
}
