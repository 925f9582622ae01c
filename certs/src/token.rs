//! Join tokens: what an operator carries to a new device.
//!
//! `SWMTKN-1-<50 digits>-<25 digits>`, both parts base36. The first names the cluster's CA by its
//! SHA-256, so the new device trusts nobody else; the second is the secret by which the cluster
//! trusts the device, and it says for which role. Rotating replaces the secret only.

use std::{fmt, str::FromStr};

use aws_lc_rs::constant_time;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use zeroize::ZeroizeOnDrop;

use crate::{
    base36::{self, Base36Error},
    error::Error,
};

const PREFIX: &str = "SWMTKN";
const VERSION: &str = "1";
const DIGEST_DIGITS: usize = 50;
const SECRET_DIGITS: usize = 25;

/// Why a text is not a join token. Every text begins with Docker's "invalid join token".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It has not the four parts of a token.
    #[error(
        "invalid join token: it must look like SWMTKN-1-<50 characters>-<25 characters>; was it copied whole?"
    )]
    Form,
    /// It is of a version that this release does not know.
    #[error("invalid join token: version {0:?} is not known; this release knows version 1")]
    Version(String),
    /// The part that names the CA is damaged.
    #[error("invalid join token: the CA digest is damaged: {0}")]
    Digest(Base36Error),
    /// The secret part is damaged.
    #[error("invalid join token: the secret is damaged: {0}")]
    Secret(Base36Error),
}

/// The secret half of a join token: 128 bits, compared in constant time, wiped when dropped.
///
/// serde: a base36 string in human-readable formats, 16 bytes in the others.
#[derive(Clone, ZeroizeOnDrop)]
pub struct JoinSecret([u8; 16]);

impl JoinSecret {
    /// Draws a secret.
    pub fn generate() -> Result<Self, Error> {
        let mut bytes = [0; 16];
        aws_lc_rs::rand::fill(&mut bytes)?;
        Ok(Self(bytes))
    }
}

impl PartialEq for JoinSecret {
    fn eq(&self, other: &Self) -> bool {
        constant_time::verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

impl Eq for JoinSecret {}

impl fmt::Debug for JoinSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JoinSecret(..)")
    }
}

impl Serialize for JoinSecret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(&base36::encode(&self.0, SECRET_DIGITS))
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for JoinSecret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            base36::decode(&text, SECRET_DIGITS)
                .map(Self)
                .map_err(|error| de::Error::custom(TokenError::Secret(error)))
        } else {
            <[u8; 16]>::deserialize(deserializer).map(Self)
        }
    }
}

/// A join token. `Display` shows it whole, secret included; `Debug` hides the secret.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken {
    ca_digest: [u8; 32],
    secret: JoinSecret,
}

impl JoinToken {
    /// A token with a new secret for the CA with this digest.
    pub fn generate(ca_digest: [u8; 32]) -> Result<Self, Error> {
        Ok(Self::new(ca_digest, JoinSecret::generate()?))
    }

    /// The token of a known secret.
    pub fn new(ca_digest: [u8; 32], secret: JoinSecret) -> Self {
        Self { ca_digest, secret }
    }

    /// The SHA-256 of the CA's certificate (DER), the only CA to trust while joining.
    pub fn ca_digest(&self) -> [u8; 32] {
        self.ca_digest
    }

    /// What the cluster compares.
    pub fn secret(&self) -> &JoinSecret {
        &self.secret
    }
}

impl fmt::Display for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{PREFIX}-{VERSION}-{}-{}",
            base36::encode(&self.ca_digest, DIGEST_DIGITS),
            base36::encode(&self.secret.0, SECRET_DIGITS),
        )
    }
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digest = base36::encode(&self.ca_digest, DIGEST_DIGITS);
        write!(f, "JoinToken({PREFIX}-{VERSION}-{digest}-..)")
    }
}

impl FromStr for JoinToken {
    type Err = TokenError;

    /// Surrounding white space, which copying adds, is ignored.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.trim().split('-');
        let mut next = || parts.next().ok_or(TokenError::Form);
        if next()? != PREFIX {
            return Err(TokenError::Form);
        }
        let version = next()?;
        if version != VERSION {
            return Err(TokenError::Version(version.chars().take(16).collect()));
        }
        let (digest, secret) = (next()?, next()?);
        if parts.next().is_some() {
            return Err(TokenError::Form);
        }
        Ok(Self {
            ca_digest: base36::decode(digest, DIGEST_DIGITS).map_err(TokenError::Digest)?,
            secret: JoinSecret(base36::decode(secret, SECRET_DIGITS).map_err(TokenError::Secret)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn token() -> JoinToken {
        JoinToken::new([0xab; 32], JoinSecret([0xcd; 16]))
    }

    fn refused(text: &str) -> TokenError {
        let error = text.parse::<JoinToken>().unwrap_err();
        assert!(
            error.to_string().starts_with("invalid join token"),
            "{error}"
        );
        error
    }

    #[test]
    fn a_token_has_dockers_form() {
        let text = token().to_string();
        let parts: Vec<&str> = text.split('-').collect();
        assert_eq!(parts[..2], ["SWMTKN", "1"]);
        assert_eq!((parts[2].len(), parts[3].len(), parts.len()), (50, 25, 4));
    }

    #[test]
    fn copied_white_space_is_ignored() {
        assert_eq!(format!(" {}\n", token()).parse(), Ok(token()));
    }

    #[test]
    fn a_text_of_another_form_is_refused() {
        for text in ["", "SWMTKN", "SWMTKN-1", "SWMKEY-1-a-b", "hello"] {
            assert_eq!(refused(text), TokenError::Form, "{text}");
        }
        assert_eq!(refused(&format!("{}-x", token())), TokenError::Form);
    }

    #[test]
    fn an_unknown_version_is_named() {
        let text = token().to_string().replace("SWMTKN-1", "SWMTKN-2");
        assert_eq!(refused(&text), TokenError::Version("2".to_owned()));
    }

    #[test]
    fn a_shortened_token_says_which_part_is_damaged() {
        let text = token().to_string();
        assert!(matches!(
            refused(&text[..text.len() - 1]),
            TokenError::Secret(Base36Error::Length { found: 24, .. })
        ));
        assert!(matches!(
            refused(&text.replacen("-1-", "-1-0", 1)),
            TokenError::Digest(Base36Error::Length { found: 51, .. })
        ));
    }

    #[test]
    fn a_rotated_token_has_the_same_ca_and_another_secret() {
        let (old, new) = (token(), JoinToken::generate([0xab; 32]).unwrap());
        assert_eq!(old.ca_digest(), new.ca_digest());
        assert_ne!(old.secret(), new.secret());
    }

    #[test]
    fn debug_hides_the_secret() {
        let secret = base36::encode(&[0xcd; 16], SECRET_DIGITS);
        assert!(token().to_string().contains(&secret));
        assert!(!format!("{:?} {:?}", token(), token().secret()).contains(&secret));
    }

    #[test]
    fn a_secret_survives_json_and_bincode() {
        let secret = token().secret().clone();
        let json = serde_json::to_string(&secret).unwrap();
        assert_eq!(serde_json::from_str::<JoinSecret>(&json).unwrap(), secret);
        let config = bincode::config::standard();
        let bytes = bincode::serde::encode_to_vec(&secret, config).unwrap();
        assert_eq!(bytes, [0xcd; 16]);
        let (read, _): (JoinSecret, _) = bincode::serde::decode_from_slice(&bytes, config).unwrap();
        assert_eq!(read, secret);
    }

    proptest! {
        #[test]
        fn what_was_written_reads_back(digest: [u8; 32], secret: [u8; 16]) {
            let token = JoinToken::new(digest, JoinSecret(secret));
            prop_assert_eq!(token.to_string().parse(), Ok(token));
        }

        #[test]
        fn no_text_panics(text: String, tail in "[-0-9a-z]{0,100}") {
            let _ = text.parse::<JoinToken>();
            let _ = format!("SWMTKN-1-{tail}").parse::<JoinToken>();
        }
    }
}
