use std::collections::BTreeMap;
use std::sync::{Arc, Barrier};
use std::thread;

use rustix::mount::{MountPropagationFlags, mount_change};
use rustix::thread::UnshareFlags;
use services::file::FileContent;
use services::spec::ServiceSpec;
use tempfile::TempDir;

use super::*;
use crate::worker::testing;

fn on_disk() -> (TempDir, TaskFiles) {
    let dir = tempfile::tempdir().unwrap();
    let files = TaskFiles::in_directory(&dir.path().join("tasks"));
    (dir, files)
}

/// Of one secret and one config, which it has.
fn assignment(task: u128) -> Assignment {
    let mut assignment = testing::assignment(Id::from_u128(task), ServiceSpec::default());
    testing::give(&mut assignment, FileKind::Secret, "s1", b"hunter2");
    testing::give(&mut assignment, FileKind::Config, "etc/c1", b"#!/bin/sh");
    assignment
}

fn names(dir: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(dir).unwrap();
    let names = entries.map(|it| it.unwrap().file_name().into_string().unwrap());
    names.collect()
}

fn set_mode(assignment: &mut Assignment, mode: u32) {
    let spec = Arc::make_mut(&mut assignment.spec);
    spec.task.container.secrets[0].mode = mode;
}

#[test]
fn a_task_has_its_files_and_nobody_else_may_look() {
    let (_dir, files) = on_disk();
    let mut assignment = assignment(1);
    set_mode(&mut assignment, 0o100_440);
    let placed = files.place(&assignment).unwrap();
    let targets: Vec<_> = placed.iter().map(|it| it.target.as_str()).collect();
    assert_eq!(targets, ["/run/secrets/s1", "/etc/c1"]);
    assert_eq!(fs::read(&placed[0].source).unwrap(), b"hunter2");
    assert_eq!(fs::read(&placed[1].source).unwrap(), b"#!/bin/sh");
    let mode = |path: &Path| path.metadata().unwrap().mode() & 0o7777;
    assert_eq!(mode(&placed[0].source), 0o440);
    assert_eq!(mode(&placed[1].source), 0o444);
    let dir = placed[0].source.parent().unwrap();
    assert_eq!(mode(dir), 0o700);
    assert_eq!(mode(dir.parent().unwrap()), 0o700);
}

#[test]
fn files_are_made_anew_whatever_a_crash_left() {
    let (_dir, files) = on_disk();
    let assignment = assignment(1);
    let placed = files.place(&assignment).unwrap();
    fs::write(&placed[0].source, "half").unwrap();
    fs::remove_file(&placed[1].source).unwrap();
    assert_eq!(files.place(&assignment).unwrap(), placed);
    assert_eq!(fs::read(&placed[0].source).unwrap(), b"hunter2");
    assert_eq!(fs::read(&placed[1].source).unwrap(), b"#!/bin/sh");
}

#[test]
fn what_is_of_no_task_goes() {
    let (dir, files) = on_disk();
    files.keep(&BTreeSet::new()).unwrap();
    files.place(&assignment(1)).unwrap();
    files.place(&assignment(2)).unwrap();
    fs::create_dir(files.root.join("stray")).unwrap();
    fs::write(files.root.join("file"), "").unwrap();
    let kept = Id::from_u128(2);
    files.keep(&BTreeSet::from([kept])).unwrap();
    assert_eq!(names(&files.root), BTreeSet::from([kept.to_string()]));
    files.clear().unwrap();
    assert_eq!(names(dir.path()), BTreeSet::new());
    files.clear().unwrap();
}

#[test]
fn a_task_without_files_leaves_no_trace() {
    let (dir, files) = on_disk();
    let mut assignment = assignment(1);
    assignment.spec = Arc::default();
    assert_eq!(files.place(&assignment).unwrap(), []);
    assert_eq!(names(dir.path()), BTreeSet::new());
}

#[test]
fn a_secret_that_is_gone_is_named_and_no_bytes_are_told() {
    let (_dir, files) = on_disk();
    let mut assignment = assignment(1);
    assignment.files = BTreeMap::<Id, Arc<FileContent>>::new();
    let error = files.place(&assignment).unwrap_err().to_string();
    assert_eq!(error, "secret s1 is not in the swarm any more");
}

#[test]
fn a_secret_that_the_node_did_not_take_is_named() {
    let (_dir, files) = on_disk();
    let mut assignment = assignment(1);
    let (id, _) = assignment.files.pop_first().unwrap();
    files.left_out().insert(id);
    let error = files.place(&assignment).unwrap_err().to_string();
    let text = "secret s1 is left out: a node has no more than 128 MiB of secrets and configs";
    assert_eq!(error, text);
}

#[test]
fn what_cannot_be_removed_keeps_nothing_else() {
    with_own_mounts(|| {
        let (_dir, files) = on_disk();
        for task in 1..=9 {
            files.place(&assignment(task)).unwrap();
        }
        let stuck = Id::from_u128(5).to_string();
        mount_tmpfs(&files.root.join(&stuck)).unwrap();
        files.keep(&BTreeSet::new()).unwrap_err();
        assert_eq!(names(&files.root), BTreeSet::from([stuck]));
    });
}

#[test]
fn what_lies_where_nothing_of_ours_is_mounted_stays() {
    with_own_mounts(|| {
        let dir = tempfile::tempdir().unwrap();
        let files = TaskFiles::of(dir.path());
        let theirs = files.root.join("theirs");
        fs::create_dir_all(&theirs).unwrap();
        files.keep(&BTreeSet::new()).unwrap();
        assert!(theirs.exists());
        files.place(&assignment(1)).unwrap();
        files.keep(&BTreeSet::new()).unwrap();
        assert_eq!(names(&files.root), BTreeSet::new());
        unmount(&files.root, UnmountFlags::DETACH).unwrap();
        assert!(theirs.exists(), "below the mount");
        files.clear().unwrap_err();
        assert!(theirs.exists());
    });
}

/// On a thread with mounts of its own, which end with it.
fn with_own_mounts(test: impl FnOnce() + Send + 'static) {
    let run = || {
        #[expect(
            deprecated,
            reason = "the new one is unsafe for the sake of file descriptors"
        )]
        let entered = rustix::thread::unshare(UnshareFlags::NEWNS);
        entered.expect("mount namespaces need root: run as root");
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        mount_change("/", private).unwrap();
        test();
    };
    if let Err(panic) = thread::spawn(run).join() {
        std::panic::resume_unwind(panic);
    }
}

fn mounted(root: &Path) -> usize {
    let mounts = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
    let at = |line: &&str| line.split(' ').nth(4) == root.to_str();
    mounts.lines().filter(at).count()
}

#[test]
fn tasks_that_begin_at_once_have_one_file_system() {
    with_own_mounts(|| {
        const TASKS: u128 = 16;
        let dir = tempfile::tempdir().unwrap();
        let files = TaskFiles::of(dir.path());
        let start = Barrier::new(TASKS as usize);
        thread::scope(|scope| {
            for task in 1..=TASKS {
                let (files, start) = (&files, &start);
                scope.spawn(move || {
                    let assignment = assignment(task);
                    start.wait();
                    files.place(&assignment).unwrap();
                });
            }
        });
        assert_eq!(mounted(&files.root), 1);
        assert_eq!(names(&files.root).len(), TASKS as usize);
        files.clear().unwrap();
        assert_eq!(names(dir.path()), BTreeSet::new());
    });
}

#[test]
fn what_another_file_system_hides_goes_too() {
    with_own_mounts(|| {
        let dir = tempfile::tempdir().unwrap();
        let files = TaskFiles::of(dir.path());
        files.place(&assignment(1)).unwrap();
        mount_tmpfs(&files.root).unwrap();
        files.place(&assignment(2)).unwrap();
        assert_eq!(mounted(&files.root), 2);
        files.clear().unwrap();
        assert_eq!(mounted(&files.root), 0);
        assert_eq!(names(dir.path()), BTreeSet::new());
    });
}
