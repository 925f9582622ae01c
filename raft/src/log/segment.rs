//! Reading the segments that are on disk: all of each at start, single entries
//! later.
//!
//! At start every record is checked, opened and decoded. Anything that is not
//! as it was written is an error that names the file, but for the torn tail of
//! the very last segment, which is cut off.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use certs::{
    ClusterId,
    seal::{DataKey, FileOpener},
};

use super::format::{self, End, HEADER_LEN, Header, RECORD_HEAD, Span};
use crate::{
    codec,
    error::{OpenError, damaged},
    types::Entry,
};

/// Binds the key of a segment to what it is.
pub(crate) const SEAL_CONTEXT: &[u8] = b"raft log segment";

/// One segment file, open for reading even after it was removed.
#[derive(Debug)]
pub(crate) struct SegmentReader {
    pub path: PathBuf,
    pub first_index: u64,
    file: File,
    opener: FileOpener,
}

impl SegmentReader {
    pub fn open(path: &Path, header: &Header, key: &DataKey) -> io::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            first_index: header.first_index,
            file: File::open(path)?,
            opener: FileOpener::new(key, SEAL_CONTEXT, &header.seal).map_err(io::Error::other)?,
        })
    }

    /// Reads and checks the entry at `index`.
    pub fn read(&self, index: u64, span: Span) -> io::Result<Entry> {
        let mut record = vec![0; RECORD_HEAD + span.len as usize];
        self.file
            .read_exact_at(&mut record, u64::from(span.offset))?;
        let entry = format::payload_of(&record)
            .ok_or("its checksum is wrong".to_owned())
            .and_then(|payload| self.decode(index, &mut payload.to_vec()));
        entry.map_err(|problem| {
            let at = format!("{} at byte {}", self.path.display(), span.offset);
            io::Error::new(io::ErrorKind::InvalidData, format!("{at}: {problem}"))
        })
    }

    fn decode(&self, index: u64, sealed: &mut [u8]) -> Result<Entry, String> {
        let plain = self
            .opener
            .open_in_place(index - self.first_index, sealed)
            .map_err(|error| error.to_string())?;
        let entry = codec::decode_entry(plain).map_err(|error| error.to_string())?;
        if entry.log_id.index != index {
            return Err(format!("it holds entry {}", entry.log_id.index));
        }
        Ok(entry)
    }
}

/// A segment as it was found at start.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub reader: SegmentReader,
    pub entries: Vec<(Entry, Span)>,
}

pub(crate) fn file_name(first_index: u64) -> String {
    format!("{first_index:020}.log")
}

/// The segment files of `dir`, in the order of their entries.
pub(crate) fn list(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for file in fs::read_dir(dir)? {
        let path = file?.path();
        if path.extension().is_some_and(|extension| extension == "log") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// Loads a segment. Of the `last` one a torn tail is cut off, and the file is
/// removed if nothing remains: then the answer is `None`.
pub(crate) fn recover(
    path: &Path,
    last: bool,
    cluster: ClusterId,
    key: &DataKey,
) -> Result<Option<Recovered>, OpenError> {
    let io = |source| OpenError::io("read", path, source);
    let bytes = fs::read(path).map_err(io)?;
    let Some(header) = Header::decode(&bytes) else {
        if last && bytes.len() <= HEADER_LEN {
            tracing::warn!(file = %path.display(), "removed a log segment that was being created");
            remove(path)?;
            return Ok(None);
        }
        return Err(damaged(path, 0, "its header is damaged"));
    };
    if header.cluster != cluster {
        return Err(OpenError::OtherCluster {
            path: path.to_owned(),
            found: header.cluster,
            expected: cluster,
        });
    }
    let (spans, end) = format::scan(&bytes);
    match end {
        End::Clean => {}
        End::Torn { at } if last => cut_tail(path, at, bytes.len())?,
        End::Torn { at } | End::Corrupt { at } => {
            return Err(damaged(path, at, "a record is damaged"));
        }
    }
    let reader = SegmentReader::open(path, &header, key).map_err(io)?;
    let entries = decode_all(&reader, &spans, bytes)?;
    if entries.is_empty() {
        remove(path)?;
        return Ok(None);
    }
    Ok(Some(Recovered { reader, entries }))
}

fn decode_all(
    reader: &SegmentReader,
    spans: &[Span],
    mut bytes: Vec<u8>,
) -> Result<Vec<(Entry, Span)>, OpenError> {
    let mut entries = Vec::with_capacity(spans.len());
    for (index, span) in (reader.first_index..).zip(spans) {
        let entry = reader
            .decode(index, &mut bytes[span.payload()])
            .map_err(|problem| damaged(&reader.path, span.offset as usize, &problem))?;
        entries.push((entry, *span));
    }
    Ok(entries)
}

/// The bytes after `at` were never acknowledged: the disk did not confirm them.
fn cut_tail(path: &Path, at: usize, len: usize) -> Result<(), OpenError> {
    tracing::warn!(
        file = %path.display(),
        at,
        bytes = len - at,
        "cut off the end of the log, which was being written when the node stopped",
    );
    super::disk::truncate(path, at as u64).map_err(|error| OpenError::io("cut", path, error))
}

fn remove(path: &Path) -> Result<(), OpenError> {
    fs::remove_file(path).map_err(|error| OpenError::io("remove", path, error))
}
