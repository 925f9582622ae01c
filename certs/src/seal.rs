//! Sealing what is on disk: AES-256-GCM under a key that only this node has.
//!
//! The one rule of GCM is never to use a nonce twice under one key. Here no nonce is chosen or
//! stored: every file draws a random 32-byte salt, HKDF makes it a key of its own, and its records
//! are numbered 0, 1, 2… So the only way to repeat a nonce would be to number a record of the same
//! file twice, as one does when appending to a file whose torn tail was cut off. [`FileSealer`]
//! makes that impossible: it cannot be reopened. After a restart, a truncation or a failed write,
//! what follows goes into a new file with a new salt, and the old one is only read.

use std::fmt;

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    hkdf::{HKDF_SHA256, Salt},
};
use zeroize::Zeroizing;

use crate::error::Error;

/// Bytes of a file's header: a version and the salt.
pub const HEADER_BYTES: usize = 1 + SALT_BYTES;

/// Bytes that sealing adds to each record.
pub const TAG_BYTES: usize = 16;

/// Bytes that the one-shot [`DataKey::seal`] adds.
pub const OVERHEAD_BYTES: usize = HEADER_BYTES + TAG_BYTES;

const VERSION: u8 = 1;
const SALT_BYTES: usize = 32;
pub(crate) const KEY_BYTES: usize = 32;

/// Records that one file may hold; NIST SP 800-38D allows one key no more than 2^32 uses.
const MAX_RECORDS: u64 = 1 << 32;

/// Why sealed data was not made or not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The data is shorter than any sealed data, or its header is of an unknown version.
    #[error("not sealed data of a known version")]
    Format,
    /// The data was changed, moved, or sealed with another key or for another context.
    #[error("the data was damaged, or sealed with another key")]
    Forged,
    /// The file holds as many records as one key may seal. Nothing was sealed: start a new file.
    #[error("the file is full; a new one must be started")]
    Full,
    /// The crypto library gave up. Nothing was sealed.
    #[error("the crypto library failed")]
    Crypto,
}

/// The key under which a node seals its files: 256 bits, wiped when dropped. How it is kept itself
/// is in [`lock`](crate::lock).
#[derive(Clone)]
pub struct DataKey(Zeroizing<[u8; KEY_BYTES]>);

impl DataKey {
    /// Draws a key.
    pub fn generate() -> Result<Self, Error> {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        aws_lc_rs::rand::fill(bytes.as_mut())?;
        Ok(Self(bytes))
    }

    /// The key of known bytes.
    pub(crate) fn from_bytes(bytes: [u8; KEY_BYTES]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    pub(crate) fn as_bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }

    /// Seals a small file in one piece, [`OVERHEAD_BYTES`] longer. `context` says what the file is
    /// ("raft vote"); it must be given again to open it, so no file can stand in for another.
    pub fn seal(&self, context: &[u8], plain: &[u8]) -> Result<Vec<u8>, SealError> {
        let mut sealer = FileSealer::new(self, context)?;
        let mut sealed = Vec::with_capacity(plain.len() + OVERHEAD_BYTES);
        sealed.extend_from_slice(sealer.header());
        sealer.seal_into(plain, &mut sealed)?;
        Ok(sealed)
    }

    /// Opens what [`seal`](Self::seal) made.
    pub fn open(&self, context: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let (header, record) = sealed
            .split_at_checked(HEADER_BYTES)
            .ok_or(SealError::Format)?;
        FileOpener::new(self, context, header)?.open(0, record)
    }

    /// The key of one file. The salt makes it unique, the context binds it to its purpose.
    fn file_key(&self, context: &[u8], salt: &[u8]) -> Result<LessSafeKey, SealError> {
        let extracted = Salt::new(HKDF_SHA256, salt).extract(self.0.as_ref());
        let info = [b"swarmlet sealed file v1".as_slice(), context];
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        extracted
            .expand(&info, HKDF_SHA256)
            .and_then(|okm| okm.fill(key.as_mut()))
            .and_then(|()| UnboundKey::new(&AES_256_GCM, key.as_ref()))
            .map(LessSafeKey::new)
            .map_err(|_| SealError::Crypto)
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataKey(..)")
    }
}

/// Seals the records of one new append-only file, numbered from 0.
///
/// Write [`header`](Self::header) first, then the sealed records in order. There is no way to
/// continue a file: after a restart, after cutting off its tail, or after a write that failed,
/// begin a new file with a new sealer. Otherwise a second record with the same number could be
/// sealed, and two records under one nonce reveal each other and let the key be forged.
pub struct FileSealer {
    header: [u8; HEADER_BYTES],
    key: LessSafeKey,
    next: u64,
}

impl FileSealer {
    /// A sealer for a new file with a salt of its own. `context` says what kind of file it is.
    pub fn new(data_key: &DataKey, context: &[u8]) -> Result<Self, SealError> {
        let mut header = [VERSION; HEADER_BYTES];
        aws_lc_rs::rand::fill(&mut header[1..]).map_err(|_| SealError::Crypto)?;
        Ok(Self {
            key: data_key.file_key(context, &header[1..])?,
            header,
            next: 0,
        })
    }

    /// What the file begins with. It is not secret.
    pub fn header(&self) -> &[u8; HEADER_BYTES] {
        &self.header
    }

    /// Appends the sealed record, [`TAG_BYTES`] longer than `plain`, to `out`, and returns its
    /// number in the file. On an error `out` is as it was, and the file must be ended.
    pub fn seal_into(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<u64, SealError> {
        let sequence = self.next;
        if sequence >= MAX_RECORDS {
            return Err(SealError::Full);
        }
        self.next += 1;
        let start = out.len();
        out.reserve(plain.len() + TAG_BYTES);
        out.extend_from_slice(plain);
        let sealed =
            self.key
                .seal_in_place_separate_tag(nonce(sequence), Aad::empty(), &mut out[start..]);
        match sealed {
            Ok(tag) => out.extend_from_slice(tag.as_ref()),
            Err(_) => {
                out.truncate(start);
                return Err(SealError::Crypto);
            }
        }
        Ok(sequence)
    }
}

impl fmt::Debug for FileSealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileSealer")
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

/// Opens the records of one file, in any order, by their numbers.
pub struct FileOpener(LessSafeKey);

impl FileOpener {
    /// An opener for the file that begins with `header`; `context` as for its sealer.
    pub fn new(data_key: &DataKey, context: &[u8], header: &[u8]) -> Result<Self, SealError> {
        match header.split_first() {
            Some((&VERSION, salt)) if salt.len() == SALT_BYTES => {
                data_key.file_key(context, salt).map(Self)
            }
            _ => Err(SealError::Format),
        }
    }

    /// Opens the record with this number. A record in another place than its own is refused.
    pub fn open(&self, sequence: u64, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let mut buffer = Zeroizing::new(sealed.to_vec());
        let length = self.open_in_place(sequence, &mut buffer)?.len();
        buffer.truncate(length);
        Ok(buffer)
    }

    /// Like [`open`](Self::open), in the buffer itself, whose head becomes the plain text. On an
    /// error the buffer holds nothing of use.
    pub fn open_in_place<'a>(
        &self,
        sequence: u64,
        sealed: &'a mut [u8],
    ) -> Result<&'a mut [u8], SealError> {
        if sealed.len() < TAG_BYTES {
            return Err(SealError::Format);
        }
        self.0
            .open_in_place(nonce(sequence), Aad::empty(), sealed)
            .map_err(|_| SealError::Forged)
    }
}

impl fmt::Debug for FileOpener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FileOpener(..)")
    }
}

fn nonce(sequence: u64) -> Nonce {
    let mut bytes = [0; 12];
    bytes[4..].copy_from_slice(&sequence.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}

#[cfg(test)]
mod tests;
