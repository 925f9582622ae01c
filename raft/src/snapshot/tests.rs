use std::io::{Read, Write};

use super::*;
use crate::types::{StoredMembership, log_id};

fn open(dir: &Path, key: &DataKey) -> Snapshots {
    Snapshots::open(dir.to_owned(), ClusterId::from(5), key.clone()).unwrap()
}

fn write(snapshots: &Snapshots, index: u64, state: &[u8]) -> SnapshotFile {
    let meta = SnapshotMeta {
        last_log_id: Some(log_id(1, index)),
        last_membership: StoredMembership::default(),
    };
    let mut incoming = snapshots.begin(meta).unwrap();
    incoming.writer.write_all(state).unwrap();
    snapshots.adopt(&incoming.finish().unwrap()).unwrap()
}

fn read(snapshots: &Snapshots, snapshot: &SnapshotFile) -> Vec<u8> {
    let mut state = Vec::new();
    let mut reader = snapshots.reader(snapshot).unwrap();
    reader.read_to_end(&mut state).unwrap();
    state
}

fn state() -> Vec<u8> {
    (0..200_000_u32).map(|i| (i / 7) as u8).collect()
}

#[test]
fn a_snapshot_is_read_back_and_the_newest_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let key = DataKey::generate().unwrap();
    let snapshots = open(dir.path(), &key);
    let old = write(&snapshots, 3, b"old");
    write(&snapshots, 12, &state());

    let snapshots = open(dir.path(), &key);
    let current = snapshots.current().unwrap().unwrap();
    assert_eq!(current.meta.last_log_id, Some(log_id(1, 12)));
    assert_eq!(read(&snapshots, &current), state());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    assert_eq!(read(&snapshots, &old), b"old", "it is still open");
}

#[test]
fn an_unfinished_snapshot_is_removed_at_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let key = DataKey::generate().unwrap();
    let snapshots = open(dir.path(), &key);
    write(&snapshots, 3, b"good");
    let mut incoming = snapshots.begin(SnapshotMeta::default()).unwrap();
    incoming.writer.write_all(&state()).unwrap();
    std::mem::forget(incoming);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);

    let snapshots = open(dir.path(), &key);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    let current = snapshots.current().unwrap().unwrap();
    assert_eq!(read(&snapshots, &current), b"good");
}

#[test]
fn a_snapshot_that_is_given_up_leaves_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let snapshots = open(dir.path(), &DataKey::generate().unwrap());
    drop(snapshots.begin(SnapshotMeta::default()).unwrap());
    let unused = snapshots.begin(SnapshotMeta::default()).unwrap();
    drop(unused.finish().unwrap());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_snapshot_needs_twice_its_size_and_room_for_the_log() {
    const MB: u64 = 1 << 20;
    assert!(is_enough(16 * MB, 0));
    assert!(!is_enough(15 * MB, 0));
    assert!(is_enough(116 * MB, 50 * MB));
    assert!(!is_enough(115 * MB, 50 * MB));
}

#[test]
fn the_state_is_not_readable_in_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let key = DataKey::generate().unwrap();
    write(&open(dir.path(), &key), 3, b"a very secret word");
    let path = files(dir.path(), "snap").unwrap().pop().unwrap();
    let bytes = fs::read(path).unwrap();
    assert!(!bytes.windows(6).any(|window| window == b"secret"));
}

#[test]
fn damage_anywhere_is_noticed_and_names_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let key = DataKey::generate().unwrap();
    let snapshots = open(dir.path(), &key);
    write(&snapshots, 3, &state());
    let path = files(dir.path(), "snap").unwrap().pop().unwrap();
    let good = fs::read(&path).unwrap();

    let check = |bytes: &[u8], what: &str| {
        fs::write(&path, bytes).unwrap();
        match snapshots.verify() {
            Err(OpenError::Damaged { path: named, .. }) => assert_eq!(named, path),
            other => panic!("{what}: {other:?}"),
        }
    };
    for at in (0..good.len()).step_by(997).chain(0..200) {
        let mut bad = good.clone();
        bad[at] ^= 1;
        check(&bad, &format!("bit flip at {at}"));
        check(&good[..at], &format!("cut at {at}"));
    }
    check(&[&good[..], &[0]].concat(), "a byte too many");
    fs::write(&path, &good).unwrap();
    snapshots.verify().unwrap();
}

#[test]
fn the_snapshot_of_another_cluster_or_key_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let key = DataKey::generate().unwrap();
    write(&open(dir.path(), &key), 3, b"state");
    let other = ClusterId::from(6);
    let other = Snapshots::open(dir.path().to_owned(), other, key).unwrap();
    assert!(other.verify().is_err());
    let other = open(dir.path(), &DataKey::generate().unwrap());
    assert!(other.verify().is_err());
}
