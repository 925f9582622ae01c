//! The log as openraft uses it, on real files.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    thread::JoinHandle,
};

use certs::{ClusterId, NodeId, seal::DataKey};
use openraft::{
    RaftLogReader, StorageError,
    storage::{IOFlushed, RaftLogStorage},
    testing::log::{StoreBuilder, Suite},
    type_config::TypeConfigExt,
};
use proptest::prelude::*;
use tempfile::TempDir;

use super::{faulty::FaultyDisk, format::HEADER_LEN, store::LogStore, *};
use crate::{
    error::OpenError,
    machine::{Freeze, Machine, Shared, StateMachine},
    snapshot::Snapshots,
    types::{Blob, Entry, Id, LogId, Payload, Types, Vote, log_id},
};

/// Small, so that a few entries fill several.
const SEGMENT: usize = 600;

fn settings(dir: &Path, key: &DataKey, disk: FaultyDisk) -> Settings {
    Settings {
        dir: dir.to_owned(),
        cluster: ClusterId::from(5),
        node: NodeId::from(1),
        key: key.clone(),
        disk: Arc::new(disk),
        segment_bytes: SEGMENT,
    }
}

/// A log in a directory of its own, that can be closed and opened.
struct Bench {
    dir: TempDir,
    key: DataKey,
    disk: FaultyDisk,
    open: Option<(LogStore, JoinHandle<()>)>,
}

impl Bench {
    fn new() -> Self {
        let mut bench = Self {
            dir: tempfile::tempdir().unwrap(),
            key: DataKey::generate().unwrap(),
            disk: FaultyDisk::new(),
            open: None,
        };
        bench.open().unwrap();
        bench
    }

    fn open(&mut self) -> Result<(), OpenError> {
        let settings = settings(self.dir.path(), &self.key, self.disk.clone());
        self.open = Some(LogStore::open(&settings)?);
        Ok(())
    }

    async fn close(&mut self) {
        let (store, writer) = self.open.take().unwrap();
        store.close().await;
        writer.join().unwrap();
    }

    /// Stops as a crash does: nothing is noted at the end.
    fn crash(&mut self) {
        let (store, writer) = self.open.take().unwrap();
        drop(store);
        writer.join().unwrap();
    }

    fn store(&mut self) -> &mut LogStore {
        &mut self.open.as_mut().unwrap().0
    }

    async fn append(&mut self, entries: Vec<Entry>) -> std::io::Result<()> {
        let (done, flushed) = Types::oneshot();
        self.store()
            .append(entries, IOFlushed::signal(done))
            .await?;
        flushed.await.unwrap()
    }

    async fn entries(&mut self) -> Vec<Entry> {
        let mut reader = self.store().get_log_reader().await;
        reader.try_get_log_entries(..).await.unwrap()
    }

    fn segments(&self) -> Vec<PathBuf> {
        segment::list(&self.dir.path().join("log")).unwrap()
    }
}

fn entry(term: u64, index: u64, len: usize) -> Entry {
    Entry {
        log_id: log_id(term, index),
        payload: Payload::Normal(Blob::from(vec![index as u8; len])),
    }
}

fn entries(range: std::ops::Range<u64>) -> Vec<Entry> {
    range.map(|index| entry(1, index, 50)).collect()
}

#[derive(Debug, Default)]
struct Nothing;

impl StateMachine for Nothing {
    fn apply(&mut self, _index: u64, _command: &[u8]) -> Vec<u8> {
        Vec::new()
    }

    fn freeze(&self) -> Freeze {
        Box::new(|_| Ok(()))
    }

    fn restore(&mut self, _snapshot: &mut dyn std::io::Read) -> std::io::Result<()> {
        Ok(())
    }
}

/// One key for all, since the suite hands a snapshot from one store to another.
struct Builder(DataKey);

impl StoreBuilder<Types, LogStore, Machine<Nothing>, TempDir> for Builder {
    async fn build(&self) -> Result<(TempDir, LogStore, Machine<Nothing>), StorageError<Types>> {
        let dir = tempfile::tempdir().unwrap();
        let settings = settings(dir.path(), &self.0, FaultyDisk::new());
        let (store, _) = LogStore::open(&settings).unwrap();
        let snapshots = dir.path().join("snapshot");
        let snapshots = Snapshots::open(snapshots, ClusterId::from(5), self.0.clone()).unwrap();
        let machine = Machine::new(Shared::new(Nothing), snapshots);
        Ok((dir, store, machine))
    }
}

#[tokio::test]
async fn the_log_and_the_state_machine_pass_the_suite_of_openraft() {
    let builder = Builder(DataKey::generate().unwrap());
    Suite::test_all(builder).await.unwrap();
}

#[tokio::test]
async fn entries_votes_and_the_committed_index_survive_a_restart() {
    let mut bench = Bench::new();
    bench.append(entries(0..30)).await.unwrap();
    let vote = Vote::new_committed(1, Id::from(1));
    bench.store().save_vote(&vote).await.unwrap();
    bench
        .store()
        .save_committed(Some(log_id(1, 20)))
        .await
        .unwrap();
    bench.close().await;

    bench.open().unwrap();
    assert_eq!(bench.entries().await, entries(0..30));
    assert!(bench.segments().len() > 3, "the log is in several files");
    let committed = bench.store().read_committed().await.unwrap();
    assert_eq!(committed, Some(log_id(1, 20)));
    let mut reader = bench.store().get_log_reader().await;
    assert_eq!(reader.read_vote().await.unwrap(), Some(vote));
}

#[tokio::test]
async fn appends_that_wait_share_one_sync() {
    let mut bench = Bench::new();
    bench.append(entries(0..1)).await.unwrap();
    let before = bench.disk.syncs();
    bench.disk.set_busy(true);
    let mut flushed = Vec::new();
    for index in 1..50 {
        let (done, wait) = Types::oneshot();
        let append = bench
            .store()
            .append(entries(index..index + 1), IOFlushed::signal(done));
        append.await.unwrap();
        flushed.push(wait);
    }
    assert_eq!(bench.entries().await, entries(0..50), "they can be read");
    assert_eq!(bench.disk.syncs(), before);
    bench.disk.set_busy(false);
    for wait in flushed {
        wait.await.unwrap().unwrap();
    }
    // Two for each file that was filled on the way, and one or two batches.
    let files = bench.segments().len();
    assert!(bench.disk.syncs() - before <= 2 * files + 2);
}

#[tokio::test]
async fn what_is_sealed_is_not_readable_in_the_files() {
    let mut bench = Bench::new();
    let mut secret = entry(1, 0, 0);
    secret.payload = Payload::Normal(Blob::from(b"a very secret word".to_vec()));
    bench.append(vec![secret]).await.unwrap();
    for path in bench.segments() {
        let bytes = fs::read(path).unwrap();
        assert!(!bytes.windows(6).any(|window| window == b"secret"));
    }
}

#[tokio::test]
async fn a_file_is_never_continued_after_a_truncation_or_a_restart() {
    let mut bench = Bench::new();
    bench.append(entries(0..3)).await.unwrap();
    bench
        .store()
        .truncate_after(Some(log_id(1, 1)))
        .await
        .unwrap();
    bench.append(vec![entry(2, 2, 50)]).await.unwrap();
    bench.close().await;
    bench.open().unwrap();
    bench.append(vec![entry(2, 3, 50)]).await.unwrap();

    let header = |path: &PathBuf| format::Header::decode(&fs::read(path).unwrap()).unwrap();
    let headers: Vec<_> = bench.segments().iter().map(header).collect();
    let firsts: Vec<_> = headers.iter().map(|header| header.first_index).collect();
    assert_eq!(firsts, [0, 2, 3]);
    assert_ne!(headers[0].seal, headers[1].seal);
    assert_ne!(headers[1].seal, headers[2].seal);
    assert_eq!(
        bench.entries().await,
        [
            entry(1, 0, 50),
            entry(1, 1, 50),
            entry(2, 2, 50),
            entry(2, 3, 50)
        ]
    );
}

#[tokio::test]
async fn a_torn_tail_is_cut_off() {
    let mut bench = Bench::new();
    bench.append(entries(0..2)).await.unwrap();
    bench.crash();
    let path = bench.segments().pop().unwrap();
    let whole = fs::read(&path).unwrap();
    for torn in [
        &[0][..],
        &[9; 15],
        &[0; 500],
        &whole[HEADER_LEN..whole.len() - 1],
    ] {
        fs::write(&path, [&whole[..], torn].concat()).unwrap();
        bench.open().unwrap();
        assert_eq!(bench.entries().await, entries(0..2));
        bench.crash();
        assert_eq!(fs::read(&path).unwrap(), whole);
    }
}

/// Opens the log with one file changed, and puts the file back.
async fn with_damage(
    bench: &mut Bench,
    path: &Path,
    bytes: &[u8],
) -> Result<Vec<Entry>, OpenError> {
    let good: BTreeMap<_, _> = bench
        .segments()
        .into_iter()
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    fs::write(path, bytes).unwrap();
    let opened = bench.open();
    let found = match opened {
        Ok(()) => {
            let entries = bench.entries().await;
            bench.crash();
            Ok(entries)
        }
        Err(error) => Err(error),
    };
    for (path, bytes) in good {
        fs::write(path, bytes).unwrap();
    }
    found
}

#[tokio::test]
async fn a_flipped_bit_anywhere_is_an_error_or_costs_only_the_last_batch() {
    let mut bench = Bench::new();
    bench.append(entries(0..9)).await.unwrap();
    bench.append(entries(9..10)).await.unwrap();
    bench.crash();
    let segments = bench.segments();
    let (last, others) = segments.split_last().unwrap();
    assert!(!others.is_empty());
    for path in &segments {
        let good = fs::read(path).unwrap();
        for at in (0..good.len()).step_by(3) {
            let mut bad = good.clone();
            bad[at] ^= 1 << (at % 8);
            match with_damage(&mut bench, path, &bad).await {
                Err(OpenError::Damaged { path: named, .. }) => assert_eq!(&named, path),
                Err(other) => panic!("byte {at} of {}: {other}", path.display()),
                Ok(found) => {
                    assert_eq!(path, last, "byte {at}");
                    assert_eq!(found, entries(0..9), "byte {at}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_missing_file_is_an_error() {
    let mut bench = Bench::new();
    bench.append(entries(0..30)).await.unwrap();
    bench.crash();
    for path in bench.segments().split_last().unwrap().1 {
        let bytes = fs::read(path).unwrap();
        fs::remove_file(path).unwrap();
        assert!(matches!(bench.open(), Err(OpenError::Damaged { .. })));
        fs::write(path, bytes).unwrap();
    }
    bench.open().unwrap();
}

#[tokio::test]
async fn a_log_that_ends_before_what_was_committed_is_an_error() {
    let mut bench = Bench::new();
    bench.append(entries(0..30)).await.unwrap();
    let committed = Some(log_id(1, 29));
    bench.store().save_committed(committed).await.unwrap();
    bench.close().await;
    fs::remove_file(bench.segments().pop().unwrap()).unwrap();
    let error = bench.open().unwrap_err().to_string();
    assert!(error.contains("join again"), "{error}");
}

#[tokio::test]
async fn another_key_opens_nothing() {
    let mut bench = Bench::new();
    bench.append(entries(0..2)).await.unwrap();
    bench.crash();
    bench.key = DataKey::generate().unwrap();
    assert!(matches!(bench.open(), Err(OpenError::Damaged { .. })));
}

#[tokio::test]
async fn a_full_disk_fails_what_does_not_fit_and_keeps_what_does() {
    let mut bench = Bench::new();
    bench.append(entries(0..3)).await.unwrap();
    bench.disk.set_free(120);
    bench.append(entries(3..4)).await.unwrap();
    let error = bench.append(entries(4..5)).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    assert!(bench.append(entries(5..6)).await.is_err(), "it stays ended");
    let vote = Vote::new(9, Id::from(1));
    assert!(bench.store().save_vote(&vote).await.is_err());

    bench.crash();
    bench.disk.set_free(usize::MAX);
    bench.open().unwrap();
    assert_eq!(bench.entries().await, entries(0..4));
    bench.append(entries(4..9)).await.unwrap();
    assert_eq!(bench.entries().await, entries(0..9));
}

/// What a random run does to the log.
#[derive(Debug, Clone)]
enum Step {
    Append {
        count: u64,
        len: usize,
    },
    Truncate {
        part: u8,
    },
    Purge {
        part: u8,
    },
    Restart,
    LosePower {
        unflushed: u64,
        kept: u8,
        flipped: u8,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..12_u64, 0..200_usize).prop_map(|(count, len)| Step::Append { count, len }),
        2 => any::<u8>().prop_map(|part| Step::Truncate { part }),
        1 => any::<u8>().prop_map(|part| Step::Purge { part }),
        1 => Just(Step::Restart),
        1 => (0..5_u64, any::<u8>(), any::<u8>())
            .prop_map(|(unflushed, kept, flipped)| Step::LosePower { unflushed, kept, flipped }),
    ]
}

/// The log as it should be.
#[derive(Debug, Default)]
struct Model {
    purged: Option<LogId>,
    entries: Vec<Entry>,
    term: u64,
}

impl Model {
    fn first(&self) -> u64 {
        self.purged.map_or(0, |id| id.index + 1)
    }

    fn next(&self) -> u64 {
        self.first() + self.entries.len() as u64
    }

    fn new_entries(&mut self, count: u64, len: usize) -> Vec<Entry> {
        let range = self.next()..self.next() + count;
        range.map(|index| entry(self.term, index, len)).collect()
    }

    /// A position between the first entry and the end.
    fn position(&self, part: u8) -> usize {
        self.entries.len() * usize::from(part) / 256
    }
}

async fn perform(bench: &mut Bench, model: &mut Model, step: Step) {
    match step {
        Step::Append { count, len } => {
            let entries = model.new_entries(count, len);
            bench.append(entries.clone()).await.unwrap();
            model.entries.extend(entries);
        }
        Step::Truncate { part } => {
            model.entries.truncate(model.position(part));
            let last = model.entries.last().map(|entry| entry.log_id);
            let after = last.or(model.purged);
            bench.store().truncate_after(after).await.unwrap();
            model.term += 1;
        }
        Step::Purge { part } => {
            let Some(upto) = model.entries.get(model.position(part)) else {
                return;
            };
            let upto = upto.log_id;
            bench.store().purge(upto).await.unwrap();
            model.entries.drain(..=model.position(part));
            model.purged = Some(upto);
        }
        Step::Restart => {
            bench.close().await;
            bench.open().unwrap();
        }
        Step::LosePower {
            unflushed,
            kept,
            flipped,
        } => {
            bench.disk.fail();
            let lost = model.new_entries(unflushed, 90);
            if unflushed > 0 {
                bench.append(lost.clone()).await.unwrap_err();
            }
            bench.crash();
            bench.disk.lose_power(kept, flipped);
            bench.open().unwrap();
            // Nobody was told that these are stored, yet the first may be.
            let found = bench.entries().await;
            let more = found.strip_prefix(&model.entries[..]).unwrap();
            assert!(lost.starts_with(more));
            model.entries = found;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn the_log_is_what_was_acknowledged_whatever_happens(
        steps in prop::collection::vec(step(), 1..25),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut bench = Bench::new();
            let mut model = Model::default();
            for step in steps {
                perform(&mut bench, &mut model, step).await;
                assert_eq!(bench.entries().await, model.entries);
                let state = bench.store().get_log_state().await.unwrap();
                assert_eq!(state.last_purged_log_id, model.purged);
                let last = model.entries.last().map(|entry| entry.log_id);
                assert_eq!(state.last_log_id, last.or(model.purged));
            }
        });
    }
}
