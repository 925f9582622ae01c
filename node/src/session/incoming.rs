//! What a manager sends in several frames and what counts only as a whole.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use services::codec::{CodecError, decode_assignments, decode_directory, decode_file};
use services::directory::{Directory, DirectoryDelta};
use services::file::FileContent;
use services::{Assignment, Id};

use crate::control::message::{AssignmentBatch, DirectoryBatch, FileBatch};

/// Of all the pieces of a directory, in bytes: far above ten thousand services.
const MAX_DIRECTORY: usize = 64 << 20;

/// Of the files that come before one set of assignments, in bytes.
const MAX_FILES: usize = 256 << 20;

/// A set of assignments that is still arriving.
#[derive(Debug, Default)]
pub struct Assignments {
    /// Nothing else is assigned.
    pub reset: bool,
    pub changed: BTreeMap<Id, Assignment>,
    pub removed: Vec<Id>,
    /// Secrets and configs of theirs that this node did not have.
    files: BTreeMap<Id, Arc<FileContent>>,
    file_bytes: usize,
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

    pub fn take_file(&mut self, batch: FileBatch) -> io::Result<()> {
        self.file_bytes += batch.content.len();
        if self.file_bytes > MAX_FILES {
            return Err(invalid(CodecError::TooLarge {
                size: self.file_bytes,
                limit: MAX_FILES,
            }));
        }
        let content = decode_file(&batch.content).map_err(invalid)?;
        self.files.insert(batch.id, Arc::new(content));
        Ok(())
    }

    /// Gives each what it refers to, of what came with it and of what this node
    /// `held` before: a file that some task needs is sent once.
    pub fn provide(&mut self, held: &BTreeMap<Id, Assignment>) {
        let mut known = std::mem::take(&mut self.files);
        for (id, content) in held.values().flat_map(|it| &it.files) {
            known.entry(*id).or_insert_with(|| Arc::clone(content));
        }
        for assignment in self.changed.values_mut() {
            assignment.provide(|_, id| known.get(&id).cloned());
        }
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
    use services::codec::{encode_assignments, encode_directory, encode_file};
    use services::directory::DirectoryService;
    use services::file::FileReference;
    use services::object::TaskState;
    use services::spec::ServiceSpec;

    use super::*;

    fn directory(names: &[&str]) -> Directory {
        let services = names.iter().zip(1..).map(|(name, id)| {
            let service = DirectoryService {
                name: (*name).to_owned(),
                networks: BTreeMap::new(),
                ports: Default::default(),
                outdated: Vec::new(),
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

    fn with_files(task: u128, desired: TaskState, files: &[u128]) -> Assignment {
        let mut spec = ServiceSpec::default();
        let reference = |id: &u128| FileReference {
            id: Id::from_u128(*id),
            ..FileReference::default()
        };
        spec.task.container.secrets = files.iter().map(reference).collect();
        Assignment {
            task: Id::from_u128(task),
            service: Id::from_u128(9),
            slot: 1,
            spec: spec.into(),
            desired,
            networks: Vec::new(),
            files: BTreeMap::new(),
        }
    }

    fn file(id: u128) -> FileBatch {
        let content = FileContent {
            data: vec![7; 1000].into(),
            ..FileContent::default()
        };
        FileBatch {
            id: Id::from_u128(id),
            content: encode_file(&content).unwrap(),
        }
    }

    fn set(assignments: &[Assignment]) -> AssignmentBatch {
        AssignmentBatch {
            reset: false,
            changed: encode_assignments(assignments).unwrap(),
            removed: Vec::new(),
            complete: true,
        }
    }

    #[test]
    fn a_file_is_sent_once_for_all_tasks_that_need_it() {
        use TaskState::{Running, Shutdown};
        let mut incoming = Assignments::default();
        let needed = |set: &Assignments, task| {
            let files = set.changed[&Id::from_u128(task)].files.keys();
            files.map(|id| id.as_u128()).collect::<Vec<_>>()
        };
        incoming.take_file(file(1)).unwrap();
        incoming.take_file(file(2)).unwrap();
        let first = [
            with_files(10, Running, &[1, 2]),
            with_files(11, Running, &[1]),
        ];
        let mut first = incoming.take(set(&first)).unwrap().unwrap();
        first.provide(&BTreeMap::new());
        assert_eq!(
            (needed(&first, 10), needed(&first, 11)),
            (vec![1, 2], vec![1])
        );

        let then = [
            with_files(10, Shutdown, &[1, 2]),
            with_files(12, Running, &[2, 3]),
        ];
        let mut then = incoming.take(set(&then)).unwrap().unwrap();
        then.provide(&first.changed);
        assert_eq!(needed(&then, 10), [], "it is to stop");
        assert_eq!(needed(&then, 12), [2], "what nobody sent is not there");
    }

    #[test]
    fn files_without_end_are_refused() {
        let mut incoming = Assignments::default();
        let mut batch = file(1);
        batch.content = vec![0xff; 3 << 20];
        assert!(incoming.take_file(batch).is_err(), "one too large");
        incoming.file_bytes = MAX_FILES;
        assert!(incoming.take_file(file(1)).is_err());
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
