//! Locking a node: its data key under an unlock key, which the operator has and the disk has not.
//!
//! Whatever else is secret on a disk is sealed with the data key, so one small file decides: to
//! lock, to unlock for good and to rotate is to replace the file of the data key, as a whole.

use std::{fmt, path::Path, str::FromStr};

use aws_lc_rs::constant_time;
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use zeroize::Zeroizing;

use crate::{
    error::Error,
    files, pem,
    seal::{DataKey, KEY_BYTES, SealError},
};

const PREFIX: &str = "SWMKEY-1-";
const OPEN_LABEL: &str = "SWARMLET DATA KEY";
const LOCKED_LABEL: &str = "SWARMLET LOCKED DATA KEY";
const CONTEXT: &[u8] = b"data key";
const REMEDY: &str = "without it the data of this node cannot be read: restore the file from a \
                      backup, or run `swarmlet leave --force` and join again";

/// The text is not of the form `SWMKEY-1-<43 characters>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("invalid key string")]
pub struct UnlockKeyError;

/// What an operator types to unlock a manager: 256 bits, wiped when dropped, compared in constant
/// time.
///
/// There is no `Display`, so that it gets into no message by accident.
#[derive(Clone)]
pub struct UnlockKey(DataKey);

impl UnlockKey {
    /// Draws a key.
    pub fn generate() -> Result<Self, Error> {
        DataKey::generate().map(Self)
    }

    /// The key of known bytes.
    pub fn from_bytes(bytes: [u8; KEY_BYTES]) -> Self {
        Self(DataKey::from_bytes(bytes))
    }

    /// For whoever keeps it sealed.
    pub fn to_bytes(&self) -> Zeroizing<[u8; KEY_BYTES]> {
        Zeroizing::new(*self.0.as_bytes())
    }

    /// `SWMKEY-1-` and base64 without padding, as Docker writes it; wiped when dropped.
    pub fn to_text(&self) -> Zeroizing<String> {
        let body = Zeroizing::new(STANDARD_NO_PAD.encode(self.0.as_bytes()));
        Zeroizing::new([PREFIX, body.as_str()].concat())
    }
}

impl FromStr for UnlockKey {
    type Err = UnlockKeyError;

    fn from_str(text: &str) -> Result<Self, UnlockKeyError> {
        let body = text.strip_prefix(PREFIX).ok_or(UnlockKeyError)?;
        let bytes = STANDARD_NO_PAD.decode(body).map_err(|_| UnlockKeyError)?;
        let bytes = Zeroizing::new(bytes);
        let bytes = <[u8; KEY_BYTES]>::try_from(bytes.as_slice()).map_err(|_| UnlockKeyError)?;
        Ok(Self::from_bytes(bytes))
    }
}

impl PartialEq for UnlockKey {
    fn eq(&self, other: &Self) -> bool {
        constant_time::verify_slices_are_equal(self.0.as_bytes(), other.0.as_bytes()).is_ok()
    }
}

impl Eq for UnlockKey {}

impl fmt::Debug for UnlockKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UnlockKey(..)")
    }
}

/// What the file of a data key holds.
#[derive(Debug)]
pub enum KeyFile {
    /// The key itself.
    Open(DataKey),
    /// The key under an unlock key.
    Locked(LockedKey),
}

impl KeyFile {
    /// Reads the file at `path`; `None` if there is none.
    pub fn load(path: &Path) -> Result<Option<Self>, Error> {
        let Some(text) = files::read(path)? else {
            return Ok(None);
        };
        Self::parse(&text)
            .map(Some)
            .map_err(|problem| Error::Damaged {
                path: path.to_owned(),
                problem: problem.to_owned(),
                remedy: REMEDY,
            })
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        if let Ok(sealed) = pem::decode(LOCKED_LABEL, text) {
            return Ok(Self::Locked(LockedKey(sealed.to_vec())));
        }
        data_key(&pem::decode(OPEN_LABEL, text)?).map(Self::Open)
    }
}

/// A data key that only the unlock key opens.
#[derive(Debug)]
pub struct LockedKey(Vec<u8>);

impl LockedKey {
    /// # Errors
    /// `Forged` for another key than that with which it was locked last, or where the file is
    /// damaged: the two look alike.
    pub fn unlock(&self, key: &UnlockKey) -> Result<DataKey, SealError> {
        let plain = key.0.open(CONTEXT, &self.0)?;
        data_key(&plain).map_err(|_| SealError::Format)
    }
}

impl DataKey {
    /// Writes the key file at `path` (0600, its directory 0700 if it has to be made), under a lock
    /// or in the open. After a crash the file is the old one or the new one.
    pub fn save(&self, path: &Path, lock: Option<&UnlockKey>) -> Result<(), Error> {
        if let Some(directory) = path.parent() {
            files::create_dir(directory)?;
        }
        let text = match lock {
            None => pem::encode(OPEN_LABEL, self.as_bytes()),
            Some(lock) => {
                let sealed = lock.0.seal(CONTEXT, self.as_bytes());
                pem::encode(LOCKED_LABEL, &sealed.map_err(|_| Error::Crypto)?)
            }
        };
        files::write(path, &text)
    }
}

fn data_key(bytes: &[u8]) -> Result<DataKey, &'static str> {
    let bytes = <[u8; KEY_BYTES]>::try_from(bytes).map_err(|_| "it has not 32 bytes")?;
    Ok(DataKey::from_bytes(bytes))
}

#[cfg(test)]
mod tests;
