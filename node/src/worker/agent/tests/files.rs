//! Secrets and configs, from the assignment to files that are gone in time.

use std::path::Path;
use std::{fs, io};

use services::file::FileKind;

use super::*;
use crate::runtime::FileMount;
use crate::worker::testing::give;

const PLAIN: &[u8] = b"correct horse battery staple";

fn with_secret(number: u128, desired: TaskState) -> Assignment {
    let mut assignment = assignment(number, desired);
    let wanted = TaskState::Running;
    assignment.desired = wanted;
    give(&mut assignment, FileKind::Secret, "password", PLAIN);
    assignment.desired = desired;
    if desired > wanted {
        assignment.files.clear();
    }
    assignment
}

/// What the container of the task reads, as long as there is anything.
fn read(node: &Node, number: u128) -> Option<Vec<u8>> {
    let files = node.runtime.files(id(number));
    let [FileMount { source, target }] = files.as_slice() else {
        panic!("{files:?}");
    };
    assert_eq!(target, "/run/secrets/password");
    fs::read(source).ok()
}

/// The agent writes and removes files meanwhile: one that is gone by then holds nothing.
fn holds(dir: &Path, needle: &[u8]) -> bool {
    let entries = there(fs::read_dir(dir)).into_iter().flatten().flatten();
    let mut paths = entries.map(|entry| entry.path());
    paths.any(|path| match path.is_dir() {
        true => holds(&path, needle),
        false => {
            let bytes = there(fs::read(&path)).unwrap_or_default();
            bytes.windows(needle.len()).any(|it| it == needle)
        }
    })
}

fn there<T>(read: io::Result<T>) -> Option<T> {
    match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        read => Some(read.unwrap()),
    }
}

async fn until(condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap();
}

async fn boot_with_secret() -> Node {
    let mut node = Node::boot().await;
    node.agent
        .assign_all(set([with_secret(1, TaskState::Running)]));
    node.reaches(1, TaskState::Running).await;
    assert_eq!(read(&node, 1).unwrap(), PLAIN);
    node
}

/// The file system in memory is empty afterwards.
fn lose_memory(node: &Node) {
    fs::remove_dir_all(node.dir.path().join("tasks")).unwrap();
}

#[tokio::test]
async fn a_task_has_its_files_until_it_ends() {
    let mut node = boot_with_secret().await;
    let stop = with_secret(1, TaskState::Shutdown);
    node.agent.assign_delta(vec![stop], Vec::new());
    node.reaches(1, TaskState::Shutdown).await;
    until(|| read(&node, 1).is_none()).await;
    assert!(node.runtime.container(id(1)).is_some(), "it is history");
    assert!(!holds(&node.dir.path().join("tasks"), PLAIN));
}

#[tokio::test]
async fn a_task_that_fails_leaves_no_file() {
    let mut node = boot_with_secret().await;
    node.runtime.exit(id(1), 1);
    node.reaches(1, TaskState::Failed).await;
    until(|| read(&node, 1).is_none()).await;
}

#[tokio::test]
async fn a_task_that_is_assigned_no_more_leaves_no_file() {
    let mut node = boot_with_secret().await;
    node.agent
        .assign_all(set([with_secret(2, TaskState::Running)]));
    node.reaches(2, TaskState::Running).await;
    let left = node.dir.path().join("tasks").join(id(1).to_string());
    until(|| !left.exists()).await;
    assert_eq!(read(&node, 2).unwrap(), PLAIN);
}

#[tokio::test]
async fn the_disk_holds_what_a_reboot_needs_and_nobody_can_read() {
    let mut node = boot_with_secret().await;
    node.agent.shutdown().await;
    node.runtime.go_down(255);
    lose_memory(&node);
    assert!(!holds(node.dir.path(), PLAIN), "in plain on disk");
    node.runtime.come_up();
    node.restart_daemon().await;
    node.reaches(1, TaskState::Running).await;
    assert_eq!(read(&node, 1).unwrap(), PLAIN, "with no manager in reach");
    assert_eq!(node.count(&Call::Create(id(1))), 1, "the same container");
}

#[tokio::test]
async fn what_a_crash_left_goes_at_the_next_start() {
    let mut node = boot_with_secret().await;
    node.agent.shutdown().await;
    let stray = node.dir.path().join("tasks").join(id(77).to_string());
    fs::create_dir_all(&stray).unwrap();
    fs::write(stray.join("0"), PLAIN).unwrap();
    node.restart_daemon().await;
    until(|| !stray.exists()).await;
    node.reaches(1, TaskState::Running).await;
    assert_eq!(read(&node, 1).unwrap(), PLAIN, "it runs on");
}

#[tokio::test]
async fn a_task_without_its_secret_is_rejected_and_says_so() {
    let mut node = Node::boot().await;
    let mut assignment = with_secret(1, TaskState::Running);
    assignment.files.clear();
    node.agent.assign_all(set([assignment]));
    let status = node.reaches(1, TaskState::Rejected).await;
    assert_eq!(
        error(&status),
        "secret password is not in the swarm any more"
    );
    assert_eq!(node.count(&Call::Create(id(1))), 0);
}

#[tokio::test]
async fn a_node_that_leaves_keeps_no_file() {
    let node = boot_with_secret().await;
    node.agent.remove_all().await.unwrap();
    assert!(!holds(node.dir.path(), PLAIN));
}

#[tokio::test]
async fn a_template_is_filled_in_on_the_node() {
    let mut node = Node::boot().await;
    let mut assignment = assignment(1, TaskState::Running);
    let text = b"{{.Service.Name}} on {{.Node.Hostname}}, slot {{.Task.Slot}}";
    give(&mut assignment, FileKind::Secret, "password", text);
    for content in assignment.files.values_mut() {
        let golang = services::spec::Driver {
            name: "golang".to_owned(),
            ..Default::default()
        };
        Arc::make_mut(content).templating = Some(golang);
    }
    node.agent.assign_all(set([assignment]));
    node.reaches(1, TaskState::Running).await;
    assert_eq!(read(&node, 1).unwrap(), b"web on fake, slot 1");
}

#[tokio::test]
async fn a_placeholder_that_means_nothing_rejects_its_task() {
    let mut node = Node::boot().await;
    let mut assignment = assignment(1, TaskState::Running);
    let spec = Arc::make_mut(&mut assignment.spec);
    spec.task.container.env = vec!["A={{.Task.Nope}}".to_owned()];
    node.agent.assign_all(set([assignment]));
    let status = node.reaches(1, TaskState::Rejected).await;
    assert_eq!(
        error(&status),
        "expanding env \"A={{.Task.Nope}}\" failed: template: expansion:1: can't evaluate field Nope"
    );
}
