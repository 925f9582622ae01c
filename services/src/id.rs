//! Identifiers: 128 random bits shown as 25 base36 digits, as Docker shows them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
/// Base36 digits that 128 bits need.
pub const ID_LEN: usize = 25;
/// Base36 digits that 64 bits can hold.
const PIECE_LEN: usize = 12;
const PIECE: u128 = 36u128.pow(PIECE_LEN as u32);

/// The identifier of a cluster, node, service or task.
///
/// A string of 25 base36 digits where people read it, a `u128` in bincode.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Id(u128);

impl Id {
    pub const fn from_u128(value: u128) -> Self {
        Self(value)
    }

    pub const fn as_u128(self) -> u128 {
        self.0
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [b'0'; ID_LEN];
        let mut rest = self.0;
        // As many at once as 64 bits hold: lists show thousands of ids, and to
        // divide 128 bits takes nine times as long.
        for digits in text.rchunks_mut(PIECE_LEN) {
            let mut piece = (rest % PIECE) as u64;
            rest /= PIECE;
            for digit in digits.iter_mut().rev() {
                *digit = DIGITS[(piece % 36) as usize];
                piece /= 36;
            }
        }
        f.write_str(&String::from_utf8_lossy(&text))
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not 25 lower-case base36 digits of at most 128 bits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an id (25 characters of 0-9 and a-z)")]
pub struct ParseIdError(String);

impl FromStr for Id {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || ParseIdError(text.chars().take(64).collect());
        if text.len() != ID_LEN {
            return Err(refused());
        }
        text.bytes()
            .try_fold(0u128, |value, byte| {
                let digit = match byte {
                    b'0'..=b'9' => byte - b'0',
                    b'a'..=b'z' => byte - b'a' + 10,
                    _ => return None,
                };
                value.checked_mul(36)?.checked_add(u128::from(digit))
            })
            .map(Self)
            .ok_or_else(refused)
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            text.parse().map_err(serde::de::Error::custom)
        } else {
            u128::deserialize(deserializer).map(Self)
        }
    }
}

/// Where new ids come from: randomness is an argument of every decision.
pub trait IdSource {
    fn next_id(&mut self) -> Id;
}

impl<F: FnMut() -> Id> IdSource for F {
    fn next_id(&mut self) -> Id {
        self()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_id_survives_its_text(value: u128) {
            let id = Id::from_u128(value);
            prop_assert_eq!(id.to_string().len(), ID_LEN);
            prop_assert_eq!(id.to_string().parse::<Id>(), Ok(id));
        }

        #[test]
        fn any_text_is_an_id_or_refused(text: String) {
            if let Ok(id) = text.parse::<Id>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }

    #[test]
    fn a_text_above_128_bits_is_refused() {
        assert!("zzzzzzzzzzzzzzzzzzzzzzzzz".parse::<Id>().is_err());
    }
}
