//! The bytes of a snapshot file: a header, then sealed chunks.
//!
//! The first chunk says what the snapshot covers, the last one how many bytes
//! of state were in between. So a file that was cut, mixed up or changed is
//! noticed at the latest when its end is read, and a reader gets either all the
//! bytes or an error.

use std::{
    fs::File,
    io::{self, Read, Write},
    os::unix::fs::FileExt,
    path::Path,
    sync::Arc,
};

use certs::{
    ClusterId,
    seal::{DataKey, FileOpener, FileSealer, HEADER_BYTES, TAG_BYTES},
};

use crate::{
    codec::{self, SnapshotRecord},
    types::SnapshotMeta,
};

const MAGIC: &[u8; 8] = b"SWLRSNP1";
const SEAL_CONTEXT: &[u8] = b"raft snapshot";
const HEADER_LEN: usize = 8 + 16 + HEADER_BYTES + 4;
/// checksum and length of the sealed chunk
const CHUNK_HEAD: usize = 8;
/// Bytes of state in one chunk.
pub(crate) const CHUNK_BYTES: usize = 64 << 10;
/// A chunk is not longer: the one that lists the members may be.
const MAX_CHUNK: usize = 1 << 20;

/// The first byte of an opened chunk.
const META: u8 = 0;
const DATA: u8 = 1;
const END: u8 = 2;

/// Writes a snapshot; what is written to it is the state.
#[derive(Debug)]
pub(crate) struct SnapshotWriter {
    file: File,
    sealer: FileSealer,
    chunk: Vec<u8>,
    total: u64,
}

impl SnapshotWriter {
    pub fn new(
        mut file: File,
        key: &DataKey,
        cluster: ClusterId,
        meta: &SnapshotMeta,
    ) -> io::Result<Self> {
        let sealer = FileSealer::new(key, SEAL_CONTEXT).map_err(io::Error::other)?;
        let mut header = Vec::with_capacity(HEADER_LEN);
        header.extend_from_slice(MAGIC);
        header.extend_from_slice(&cluster.as_u128().to_le_bytes());
        header.extend_from_slice(sealer.header());
        header.extend_from_slice(&crc32c::crc32c(&header).to_le_bytes());
        file.write_all(&header)?;
        let mut writer = Self {
            file,
            sealer,
            chunk: Vec::new(),
            total: 0,
        };
        writer.put(META, &codec::encode(&SnapshotRecord::V1(meta.into()))?)?;
        Ok(writer)
    }

    /// Writes the end and makes the file durable.
    pub fn finish(mut self) -> io::Result<File> {
        self.flush()?;
        self.put(END, &self.total.to_le_bytes())?;
        self.file.sync_all()?;
        Ok(self.file)
    }

    fn put(&mut self, kind: u8, bytes: &[u8]) -> io::Result<()> {
        let mut plain = Vec::with_capacity(1 + bytes.len());
        plain.push(kind);
        plain.extend_from_slice(bytes);
        let mut chunk = vec![0; CHUNK_HEAD];
        self.sealer
            .seal_into(&plain, &mut chunk)
            .map_err(io::Error::other)?;
        let len = (chunk.len() - CHUNK_HEAD) as u32;
        chunk[4..8].copy_from_slice(&len.to_le_bytes());
        let crc = crc32c::crc32c(&chunk[4..]);
        chunk[..4].copy_from_slice(&crc.to_le_bytes());
        self.file.write_all(&chunk)
    }
}

impl Write for SnapshotWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = CHUNK_BYTES - self.chunk.len();
        let taken = &bytes[..room.min(bytes.len())];
        self.chunk.extend_from_slice(taken);
        if self.chunk.len() == CHUNK_BYTES {
            self.flush()?;
        }
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let chunk = std::mem::take(&mut self.chunk);
        if !chunk.is_empty() {
            self.total += chunk.len() as u64;
            self.put(DATA, &chunk)?;
        }
        Ok(())
    }
}

/// Reads a snapshot: first what it covers, then the state.
#[derive(Debug)]
pub(crate) struct SnapshotReader {
    chunks: Chunks,
    chunk: Vec<u8>,
    position: usize,
    total: u64,
    ended: bool,
}

#[derive(Debug)]
struct Chunks {
    file: Arc<File>,
    opener: FileOpener,
    offset: u64,
    number: u64,
}

impl SnapshotReader {
    /// Begins at the start of the file; several readers may share it.
    ///
    /// # Errors
    ///
    /// `InvalidData` if the file is damaged or of another cluster.
    pub fn new(
        file: Arc<File>,
        key: &DataKey,
        cluster: ClusterId,
    ) -> io::Result<(SnapshotMeta, Self)> {
        let mut chunks = Chunks::open(file, key, cluster)?;
        let first = chunks.next()?;
        let Some((&META, record)) = first.split_first() else {
            return Err(chunks.damage("the first chunk does not say what it covers"));
        };
        let SnapshotRecord::V1(record) = codec::decode(record)?;
        let reader = Self {
            chunks,
            chunk: Vec::new(),
            position: 0,
            total: 0,
            ended: false,
        };
        Ok((record.try_into()?, reader))
    }

    /// Where in the file the next chunk begins.
    pub fn offset(&self) -> u64 {
        self.chunks.offset
    }

    fn next_chunk(&mut self) -> io::Result<()> {
        self.chunk = self.chunks.next()?;
        self.position = 1;
        match self.chunk.first() {
            Some(&DATA) => {
                self.total += self.chunk.len() as u64 - 1;
                Ok(())
            }
            Some(&END) if self.chunk[1..] == self.total.to_le_bytes() => {
                self.ended = true;
                self.chunks.expect_end()
            }
            _ => Err(self.chunks.damage("a chunk is out of place")),
        }
    }
}

impl Read for SnapshotReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while !self.ended && self.position >= self.chunk.len() {
            self.next_chunk()?;
        }
        if self.ended {
            return Ok(0);
        }
        let rest = &self.chunk[self.position..];
        let len = rest.len().min(buffer.len());
        buffer[..len].copy_from_slice(&rest[..len]);
        self.position += len;
        Ok(len)
    }
}

impl Chunks {
    fn open(file: Arc<File>, key: &DataKey, cluster: ClusterId) -> io::Result<Self> {
        let mut header = [0; HEADER_LEN];
        let seal = match file.read_exact_at(&mut header, 0) {
            Ok(()) => seal_of(&header, cluster),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => None,
            Err(error) => return Err(error),
        };
        let seal = seal.ok_or_else(|| invalid("its header is damaged, or of another cluster"))?;
        Ok(Self {
            file,
            opener: FileOpener::new(key, SEAL_CONTEXT, seal).map_err(invalid)?,
            offset: HEADER_LEN as u64,
            number: 0,
        })
    }

    fn next(&mut self) -> io::Result<Vec<u8>> {
        let mut head = [0; CHUNK_HEAD];
        self.read_exact(&mut head, 0)?;
        let [c0, c1, c2, c3, l0, l1, l2, l3] = head;
        let len = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        if !(TAG_BYTES..=MAX_CHUNK).contains(&len) {
            return Err(self.damage("a chunk is damaged"));
        }
        let mut chunk = vec![0; 4 + len];
        chunk[..4].copy_from_slice(&head[4..]);
        self.read_exact(&mut chunk[4..], CHUNK_HEAD as u64)?;
        if crc32c::crc32c(&chunk) != u32::from_le_bytes([c0, c1, c2, c3]) {
            return Err(self.damage("a chunk is damaged"));
        }
        let opened = self.opener.open_in_place(self.number, &mut chunk[4..]);
        let plain = opened.map(|plain| plain.to_vec()).map_err(invalid)?;
        self.number += 1;
        self.offset += (CHUNK_HEAD + len) as u64;
        Ok(plain)
    }

    fn read_exact(&self, buffer: &mut [u8], after: u64) -> io::Result<()> {
        self.file
            .read_exact_at(buffer, self.offset + after)
            .map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => self.damage("it was cut off"),
                _ => error,
            })
    }

    fn expect_end(&self) -> io::Result<()> {
        match self.file.metadata()?.len() == self.offset {
            true => Ok(()),
            false => Err(self.damage("something follows its end")),
        }
    }

    fn damage(&self, problem: &str) -> io::Error {
        invalid(problem)
    }
}

fn seal_of(header: &[u8; HEADER_LEN], cluster: ClusterId) -> Option<&[u8]> {
    let (body, crc) = header.split_last_chunk()?;
    let (id, seal) = body.strip_prefix(MAGIC)?.split_first_chunk()?;
    let whole = u32::from_le_bytes(*crc) == crc32c::crc32c(body);
    (whole && u128::from_le_bytes(*id) == cluster.as_u128()).then_some(seal)
}

fn invalid(problem: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem)
}

/// Adds the file's name to an error.
pub(crate) fn in_file(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
