//! What a manager sends in several frames and what counts only as a whole.

use std::collections::BTreeMap;
use std::io;

use services::codec::{CodecError, decode_assignments, decode_directory};
use services::directory::{Directory, DirectoryDelta};
use services::{Assignment, Id};

use crate::control::message::{AssignmentBatch, DirectoryBatch};

/// Of all the pieces of a directory, in bytes: far above ten thousand services.
const MAX_DIRECTORY: usize = 64 << 20;

/// A set of assignments that is still arriving.
#[derive(Debug, Default)]
pub struct Assignments {
    /// Nothing else is assigned.
    pub reset: bool,
    pub changed: BTreeMap<Id, Assignment>,
    pub removed: Vec<Id>,
}

impl Assignments {
    /// The set, once it is complete.
    pub fn take(&mut self, batch: AssignmentBatch) -> io::Result<Option<Self>> {
        let changed = decode_assignments(&batch.changed).map_err(invalid)?;
        self.reset |= batch.reset;
        let changed = changed.into_iter().map(|it| (it.task, it));
        self.changed.extend(changed);
        self.removed.extend(batch.removed);
        Ok(batch.complete.then(|| std::mem::take(self)))
    }
}

/// A change of the directory that is still arriving.
#[derive(Debug, Default)]
pub struct DirectoryChange {
    reset: bool,
    delta: DirectoryDelta,
    bytes: usize,
}

impl DirectoryChange {
    /// What is known after it, once it is complete.
    pub fn take(
        &mut self,
        batch: DirectoryBatch,
        known: impl FnOnce() -> Directory,
    ) -> io::Result<Option<Directory>> {
        self.bytes += batch.delta.len();
        if self.bytes > MAX_DIRECTORY {
            return Err(invalid(CodecError::TooLarge {
                size: self.bytes,
                limit: MAX_DIRECTORY,
            }));
        }
        self.reset |= batch.reset;
        self.delta
            .extend(decode_directory(&batch.delta).map_err(invalid)?);
        if !batch.complete {
            return Ok(None);
        }
        let change = std::mem::take(self);
        let mut directory = match change.reset {
            true => Directory::default(),
            false => known(),
        };
        directory.apply(change.delta);
        Ok(Some(directory))
    }
}

fn invalid(error: CodecError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use services::codec::encode_directory;
    use services::directory::DirectoryService;

    use super::*;

    fn directory(names: &[&str]) -> Directory {
        let services = names.iter().zip(1..).map(|(name, id)| {
            let service = DirectoryService {
                name: (*name).to_owned(),
                networks: BTreeMap::new(),
                ports: Default::default(),
            };
            (Id::from_u128(id), service)
        });
        Directory {
            data_port: 4789,
            services: services.collect(),
            ..Directory::default()
        }
    }

    fn batch(reset: bool, complete: bool, delta: &DirectoryDelta) -> DirectoryBatch {
        DirectoryBatch {
            reset,
            delta: encode_directory(delta).unwrap().remove(0),
            complete,
        }
    }

    #[test]
    fn a_directory_counts_when_it_is_complete() {
        let (first, all) = (directory(&["a"]), directory(&["a", "b"]));
        let mut incoming = DirectoryChange::default();
        let part = batch(true, false, &first.since(&Directory::default()));
        let unasked = || unreachable!("it begins anew");
        assert_eq!(incoming.take(part, unasked).unwrap(), None);
        let rest = batch(false, true, &all.since(&first));
        assert_eq!(incoming.take(rest, unasked).unwrap(), Some(all.clone()));

        let gone = batch(false, true, &first.since(&all));
        let after = incoming.take(gone, || all.clone()).unwrap();
        assert_eq!(after, Some(first));
    }

    #[test]
    fn a_directory_without_end_is_refused() {
        let mut incoming = DirectoryChange::default();
        let name = "n".repeat(1 << 20);
        let change = directory(&[name.as_str()]).since(&Directory::default());
        let part = batch(true, false, &change);
        let mut refused = false;
        for _ in 0..2 * MAX_DIRECTORY / name.len() {
            refused |= incoming.take(part.clone(), Directory::default).is_err();
        }
        assert!(refused);
    }
}
