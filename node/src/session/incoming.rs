//! What a manager sends in several frames and what counts only as a whole.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use services::codec::{CodecError, MAX_FILE};
use services::codec::{decode_assignments, decode_directory, decode_file};
use services::directory::{Directory, DirectoryDelta};
use services::file::FileContent;
use services::{Assignment, Id};

use crate::control::message::{AssignmentBatch, DirectoryBatch, FileBatch};
use crate::worker::MAX_FILES;

/// Of all the pieces of a directory, in bytes: far above ten thousand services.
const MAX_DIRECTORY: usize = 64 << 20;

/// A set of assignments that is still arriving.
#[derive(Debug, Default)]
pub struct Assignments {
    /// Nothing else is assigned.
    pub reset: bool,
    pub changed: BTreeMap<Id, Assignment>,
    pub removed: Vec<Id>,
    /// Secrets and configs of theirs that this node did not have; no more
    /// than [`MAX_FILES`].
    files: BTreeMap<Id, Arc<FileContent>>,
    file_bytes: usize,
    /// Those beyond.
    dropped: BTreeSet<Id>,
    /// The one of which a part is still missing, with what is there.
    arriving: Option<(Id, Vec<u8>)>,
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
        let begun = self.arriving.take();
        let (id, mut content) = begun.unwrap_or((batch.id, Vec::new()));
        if id != batch.id {
            let mixed = "a file began before the one before it was complete";
            return Err(io::Error::new(io::ErrorKind::InvalidData, mixed));
        }
        check_size(content.len() + batch.content.len(), MAX_FILE)?;
        content.extend(batch.content);
        if !batch.complete {
            self.arriving = Some((id, content));
            return Ok(());
        }
        if self.file_bytes + content.len() > MAX_FILES {
            self.dropped.insert(id);
            return Ok(());
        }
        self.file_bytes += content.len();
        let content = decode_file(&content).map_err(invalid)?;
        self.files.insert(id, Arc::new(content));
        Ok(())
    }

    /// Gives each what it refers to, of what came with it and of what this node
    /// `held` before: a file that some task needs is sent once. Of more than
    /// [`MAX_FILES`] in all, some are `left_out`: new ones rather than others.
    pub fn provide(&mut self, held: &BTreeMap<Id, Assignment>, left_out: &mut BTreeSet<Id>) {
        self.provide_at_most(MAX_FILES, held, left_out);
    }

    fn provide_at_most(
        &mut self,
        limit: usize,
        held: &BTreeMap<Id, Assignment>,
        left_out: &mut BTreeSet<Id>,
    ) {
        let ends = |task: &Id| self.changed.contains_key(task) || self.removed.contains(task);
        let as_before = held.values().filter(|it| !self.reset && !ends(&it.task));
        let tasks = as_before.chain(self.changed.values());
        let references = tasks.flat_map(Assignment::references);
        let needed: BTreeSet<Id> = references.map(|(_, it)| it.id).collect();

        let before = held.values().flat_map(|it| &it.files);
        let before = before.map(|(&id, it)| (id, Arc::clone(it))).collect();
        let mut known: BTreeMap<Id, Arc<FileContent>> = BTreeMap::new();
        let mut dropped = std::mem::take(&mut self.dropped);
        let mut bytes = 0;
        for files in [before, std::mem::take(&mut self.files)] {
            for (id, content) in files {
                if !needed.contains(&id) || known.contains_key(&id) {
                    continue;
                }
                if bytes + content.size() > limit {
                    dropped.insert(id);
                    continue;
                }
                bytes += content.size();
                known.insert(id, content);
            }
        }
        for assignment in self.changed.values_mut() {
            assignment.provide(|_, id| known.get(&id).cloned());
        }
        if !self.reset {
            dropped.extend(left_out.iter());
        }
        dropped.retain(|id| needed.contains(id) && !known.contains_key(id));
        for file in dropped.difference(left_out) {
            tracing::warn!(%file, limit, "too many secrets and configs: one is left out");
        }
        *left_out = dropped;
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
        check_size(self.bytes, MAX_DIRECTORY)?;
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

fn check_size(size: usize, limit: usize) -> io::Result<()> {
    match size > limit {
        true => Err(invalid(CodecError::TooLarge { size, limit })),
        false => Ok(()),
    }
}

fn invalid(error: CodecError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use services::codec::{encode_assignments, encode_directory};
    use services::directory::DirectoryService;
    use services::file::FileReference;
    use services::object::TaskState;
    use services::spec::ServiceSpec;

    use super::*;
    use crate::session::server::file_batches;
    use crate::worker::testing;

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
            desired,
            ..testing::assignment(Id::from_u128(task), spec)
        }
    }

    fn content(bytes: usize) -> FileContent {
        FileContent {
            data: vec![7; bytes].into(),
            ..FileContent::default()
        }
    }

    fn parts(id: u128, bytes: usize) -> Vec<FileBatch> {
        file_batches(Id::from_u128(id), &content(bytes)).unwrap()
    }

    fn file(id: u128) -> FileBatch {
        let [part]: [FileBatch; 1] = parts(id, 1000).try_into().unwrap();
        part
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
        first.provide(&BTreeMap::new(), &mut BTreeSet::new());
        assert_eq!(
            (needed(&first, 10), needed(&first, 11)),
            (vec![1, 2], vec![1])
        );

        let then = [
            with_files(10, Shutdown, &[1, 2]),
            with_files(12, Running, &[2, 3]),
        ];
        let mut then = incoming.take(set(&then)).unwrap().unwrap();
        then.provide(&first.changed, &mut BTreeSet::new());
        assert_eq!(needed(&then, 10), [], "it is to stop");
        assert_eq!(needed(&then, 12), [2], "what nobody sent is not there");
    }

    #[test]
    fn a_large_file_comes_in_parts_that_a_slow_link_carries() {
        let mut incoming = Assignments::default();
        let parts = parts(1, 1_023_999);
        assert!(parts.len() > 1);
        for part in parts {
            assert!(part.content.len() <= 64 << 10);
            assert!(incoming.files.is_empty(), "it is there when it is complete");
            incoming.take_file(part).unwrap();
        }
        assert_eq!(*incoming.files[&Id::from_u128(1)], content(1_023_999));
    }

    #[test]
    fn parts_of_two_files_are_not_mixed() {
        let mut incoming = Assignments::default();
        incoming.take_file(parts(1, 100_000).remove(0)).unwrap();
        assert!(incoming.take_file(file(2)).is_err());
    }

    #[test]
    fn files_without_end_are_refused() {
        let mut incoming = Assignments::default();
        let part = FileBatch {
            complete: false,
            ..parts(1, 100_000).remove(0)
        };
        let times = MAX_FILE / part.content.len();
        for _ in 0..times {
            incoming.take_file(part.clone()).unwrap();
        }
        assert!(incoming.take_file(part).is_err(), "one too large");
    }

    fn ids(ids: impl IntoIterator<Item = u128>) -> BTreeSet<Id> {
        ids.into_iter().map(Id::from_u128).collect()
    }

    #[test]
    fn a_file_that_there_is_no_memory_for_ends_no_session() {
        let mut incoming = Assignments {
            file_bytes: MAX_FILES,
            ..Assignments::default()
        };
        incoming.take_file(file(1)).unwrap();
        let needs = [with_files(10, TaskState::Running, &[1])];
        let mut set = incoming.take(set(&needs)).unwrap().unwrap();
        let mut left_out = BTreeSet::new();
        set.provide(&BTreeMap::new(), &mut left_out);
        assert_eq!(left_out, ids([1]));
    }

    #[test]
    fn beyond_the_limit_new_tasks_have_no_files_and_others_keep_theirs() {
        use TaskState::{Running, Shutdown};
        let mut left_out = BTreeSet::new();
        let mut held = BTreeMap::new();
        let mut told = |reset, files: &[u128], tasks: &[Assignment]| {
            let mut incoming = Assignments::default();
            for id in files {
                incoming.take_file(file(*id)).unwrap();
            }
            let batch = AssignmentBatch {
                reset,
                ..set(tasks)
            };
            let mut set = incoming.take(batch).unwrap().unwrap();
            set.provide_at_most(2500, &held, &mut left_out);
            if reset {
                held.clear();
            }
            held.extend(set.changed);
            let has = held.values().flat_map(|it| it.files.keys().copied());
            (has.collect::<BTreeSet<Id>>(), left_out.clone())
        };
        let (first, second) = (
            with_files(11, Running, &[1, 2]),
            with_files(10, Running, &[2, 3]),
        );
        let both = [first.clone(), second.clone()];
        let (all, none) = ([1, 2, 3], ids([]));
        assert_eq!(told(true, &[1, 2], &both[..1]), (ids([1, 2]), none.clone()));
        assert_eq!(told(false, &[3], &both[1..]), (ids([1, 2]), ids([3])));
        assert_eq!(told(true, &all, &both), (ids([1, 2]), ids([3])));

        let stopped = with_files(11, Shutdown, &[1, 2]);
        assert_eq!(told(true, &[2, 3], &[stopped, second]), (ids([2, 3]), none));
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
