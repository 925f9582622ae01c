//! The names of nodes and clusters, and the two roles.
//!
//! A node *is* its key: the id is the first 128 bits of the SHA-256 of the raw Ed25519 public key,
//! so nobody can present a certificate for an id whose key they do not hold, whatever the CA
//! signed. Written, it is 25 base36 digits, as Docker's ids are.

use std::{fmt, str::FromStr};

use aws_lc_rs::digest;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{
    base36::{self, Base36Error},
    error::Error,
};

const DIGITS: usize = 25;

/// A text that is not an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an id: {0}")]
pub struct ParseIdError(#[from] Base36Error);

macro_rules! base36_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        ///
        /// `Display` and `FromStr` use 25 lower-case base36 digits; serde uses that string in
        /// human-readable formats and a `u128` in the others.
        #[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Default)]
        pub struct $name(u128);

        impl $name {
            /// The id as a number.
            pub const fn as_u128(self) -> u128 {
                self.0
            }
        }

        impl From<u128> for $name {
            fn from(number: u128) -> Self {
                Self(number)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&base36::encode(&self.0.to_be_bytes(), DIGITS))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Ok(Self(u128::from_be_bytes(base36::decode(text, DIGITS)?)))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    serializer.serialize_u128(self.0)
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    let text = String::deserialize(deserializer)?;
                    text.parse().map_err(de::Error::custom)
                } else {
                    u128::deserialize(deserializer).map(Self)
                }
            }
        }
    };
}

base36_id! {
    /// A node: the first 128 bits of the SHA-256 of its raw Ed25519 public key.
    NodeId
}

base36_id! {
    /// A cluster: a random number drawn at `init`.
    ClusterId
}

impl NodeId {
    /// The node that holds this raw Ed25519 public key (32 bytes).
    pub fn of_public_key(public_key: &[u8]) -> Self {
        let hash = digest::digest(&digest::SHA256, public_key);
        let mut head = [0; 16];
        head.copy_from_slice(&hash.as_ref()[..16]);
        Self(u128::from_be_bytes(head))
    }
}

impl ClusterId {
    /// Draws the id of a new cluster.
    pub fn generate() -> Result<Self, Error> {
        let mut bytes = [0; 16];
        aws_lc_rs::rand::fill(&mut bytes)?;
        Ok(Self(u128::from_be_bytes(bytes)))
    }
}

/// What a certificate allows its node to do. A change of role is a new certificate.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Ord, PartialOrd, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Runs tasks.
    Worker,
    /// Runs tasks and takes part in the cluster's decisions.
    Manager,
}

impl Role {
    /// The organisational unit that stands for the role in a certificate, as Docker writes it.
    pub const fn as_organizational_unit(self) -> &'static str {
        match self {
            Self::Manager => "swarm-manager",
            Self::Worker => "swarm-worker",
        }
    }

    pub(crate) fn from_organizational_unit(text: &str) -> Option<Self> {
        [Self::Manager, Self::Worker]
            .into_iter()
            .find(|role| role.as_organizational_unit() == text)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_organizational_unit())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_string_in_json_also_as_a_key() {
        let id = NodeId::from(36);
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(json, "\"0000000000000000000000010\"");
        assert_eq!(serde_json::from_str::<NodeId>(&json).unwrap(), id);
        let map = std::collections::BTreeMap::from([(id, 1)]);
        assert_eq!(
            serde_json::to_string(&map).unwrap(),
            "{\"0000000000000000000000010\":1}"
        );
    }

    #[test]
    fn an_id_is_a_number_in_bincode() {
        let config = bincode::config::standard();
        let bytes = bincode::serde::encode_to_vec(NodeId::from(36), config).unwrap();
        assert_eq!(bytes, [36]);
        let (id, _): (NodeId, _) = bincode::serde::decode_from_slice(&bytes, config).unwrap();
        assert_eq!(id, NodeId::from(36));
    }

    #[test]
    fn the_id_of_a_key_never_changes() {
        assert_eq!(
            NodeId::of_public_key(&[7; 32]).to_string(),
            "4hbcscie2f2pmmn9uj64ejc53"
        );
    }
}
