//! The site key: one phrase that all devices of a site are given, so that they form a swarm
//! without being told more.
//!
//! The phrase is stretched once to a secret, which alone is kept. Who announces a site on the LAN
//! shows its [`tag`](SiteSecret::tag), which anyone can hear and repeat. Who claims to know the
//! secret proves it over the channel at hand: each side sends a MAC of the TLS exporter
//! (RFC 9266's idea), which no two connections share, so a proof can neither be replayed nor be
//! passed on by somebody in the middle.

use std::fmt;
use std::num::NonZeroU32;

use aws_lc_rs::{constant_time, hmac, pbkdf2};
use zeroize::Zeroizing;

use crate::error::Error;

/// Bytes of a secret, a tag and a proof.
pub const SITE_BYTES: usize = 32;
/// Characters of the shortest site key.
pub const MIN_SITE_KEY: usize = 16;
/// Bytes of the longest.
pub const MAX_SITE_KEY: usize = 1024;

/// OWASP's figure for PBKDF2-HMAC-SHA256: about a second on a small board. The tag is public, so
/// that guessing phrases takes nobody's help.
const ROUNDS: NonZeroU32 = match NonZeroU32::new(600_000) {
    Some(rounds) => rounds,
    None => NonZeroU32::MIN,
};
/// Devices know nothing of each other yet, so it is the same for all.
const SALT: &[u8] = b"swarmlet site key 1";
const EXPORTER_LABEL: &[u8] = b"EXPORTER-swarmlet-site-1";

/// Why a phrase is no site key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SiteKeyError {
    /// It can be guessed.
    #[error(
        "the site key has {0} characters, at least {MIN_SITE_KEY} are needed; make one with \
         `swarmlet site-key`"
    )]
    TooShort(usize),
    /// It is no phrase.
    #[error("the site key is longer than {MAX_SITE_KEY} bytes")]
    TooLong,
}

/// Which end of a connection proves; one side's proof is of no use to the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Who dialled.
    Client,
    /// Who was dialled.
    Server,
}

/// What the exporter of one connection gave; equal at both of its ends and nowhere else.
#[derive(Clone, PartialEq, Eq)]
pub struct ChannelBinding([u8; SITE_BYTES]);

impl ChannelBinding {
    /// Of a connection whose handshake is complete.
    ///
    /// # Errors
    /// The TLS library did not export.
    pub fn of(connection: &quinn::Connection) -> Result<Self, Error> {
        let mut bytes = [0; SITE_BYTES];
        connection
            .export_keying_material(&mut bytes, EXPORTER_LABEL, b"")
            .map_err(|_| Error::Crypto)?;
        Ok(Self(bytes))
    }
}

impl fmt::Debug for ChannelBinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChannelBinding")
    }
}

/// What a site key was stretched to; wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct SiteSecret(Zeroizing<[u8; SITE_BYTES]>);

impl SiteSecret {
    /// Stretches a phrase. Takes about a second on a small device: not for an async thread.
    ///
    /// # Errors
    /// The phrase is too short or too long.
    pub fn of_key(key: &str) -> Result<Self, SiteKeyError> {
        let key = key.trim();
        let length = key.chars().count();
        if length < MIN_SITE_KEY {
            return Err(SiteKeyError::TooShort(length));
        }
        if key.len() > MAX_SITE_KEY {
            return Err(SiteKeyError::TooLong);
        }
        let mut secret = Zeroizing::new([0; SITE_BYTES]);
        pbkdf2::derive(
            pbkdf2::PBKDF2_HMAC_SHA256,
            ROUNDS,
            SALT,
            key.as_bytes(),
            secret.as_mut(),
        );
        Ok(Self(secret))
    }

    /// The secret as it was kept.
    pub fn from_bytes(bytes: [u8; SITE_BYTES]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// For keeping it where only this device, or only the managers, can read it.
    pub fn as_bytes(&self) -> &[u8; SITE_BYTES] {
        &self.0
    }

    /// What tells one site from another. Public; says nothing of the secret.
    pub fn tag(&self) -> [u8; SITE_BYTES] {
        self.mac(&[b"tag"])
    }

    /// Proves, over one channel and as one side of it, that the secret is known.
    pub fn prove(&self, side: Side, channel: &ChannelBinding) -> [u8; SITE_BYTES] {
        let side: &[u8] = match side {
            Side::Client => b"client",
            Side::Server => b"server",
        };
        self.mac(&[side, &channel.0])
    }

    /// Whether the peer, as this side of the channel, knows the secret too.
    pub fn proves(&self, side: Side, channel: &ChannelBinding, proof: &[u8; SITE_BYTES]) -> bool {
        constant_time::verify_slices_are_equal(&self.prove(side, channel), proof).is_ok()
    }

    fn mac(&self, parts: &[&[u8]]) -> [u8; SITE_BYTES] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.0.as_ref());
        let mut context = hmac::Context::with_key(&key);
        for part in parts {
            context.update(part);
        }
        let mut mac = [0; SITE_BYTES];
        mac.copy_from_slice(context.sign().as_ref());
        mac
    }
}

impl fmt::Debug for SiteSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SiteSecret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channel(byte: u8) -> ChannelBinding {
        ChannelBinding([byte; SITE_BYTES])
    }

    #[test]
    fn a_short_key_is_refused_and_told_how_to_make_one() {
        let error = SiteSecret::of_key("  fifteen-charact \n").unwrap_err();
        assert_eq!(error, SiteKeyError::TooShort(15));
        assert!(error.to_string().contains("swarmlet site-key"));
        let long = "x".repeat(MAX_SITE_KEY + 1);
        assert_eq!(SiteSecret::of_key(&long), Err(SiteKeyError::TooLong));
    }

    /// The bytes are on the disks of running sites.
    #[test]
    fn a_key_is_stretched_the_same_way_for_ever() {
        let secret = SiteSecret::of_key("correct horse battery staple").unwrap();
        let hex = |bytes: &[u8]| -> String { bytes.iter().map(|b| format!("{b:02x}")).collect() };
        assert_eq!(
            hex(secret.as_bytes()),
            "561bc3c86c9b6896cb531f37b0a3036a03a5be535b8645c8b93a3f1a75d9262d"
        );
        assert_eq!(
            hex(&secret.tag()),
            "56ad097a685173ee540dc44f9368f44ef8cc2541939f7860e59685fd6abbb26b"
        );
        let again = SiteSecret::of_key(" correct horse battery staple\n").unwrap();
        assert_eq!(
            again, secret,
            "space around it is of the file, not of the key"
        );
    }

    #[test]
    fn a_proof_holds_for_its_channel_its_side_and_its_secret_only() {
        let secret = SiteSecret::from_bytes([7; SITE_BYTES]);
        let proof = secret.prove(Side::Client, &channel(1));
        assert!(secret.proves(Side::Client, &channel(1), &proof));
        assert!(
            !secret.proves(Side::Client, &channel(2), &proof),
            "replayed"
        );
        assert!(
            !secret.proves(Side::Server, &channel(1), &proof),
            "reflected"
        );
        let other = SiteSecret::from_bytes([8; SITE_BYTES]);
        assert!(!other.proves(Side::Client, &channel(1), &proof));
        assert_ne!(secret.tag(), proof);
    }

    #[test]
    fn a_secret_does_not_show_in_logs() {
        let secret = SiteSecret::from_bytes([7; SITE_BYTES]);
        assert_eq!(format!("{secret:?}"), "SiteSecret");
    }
}
