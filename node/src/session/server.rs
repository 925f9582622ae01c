//! The manager's end of a session.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use certs::{NodeId, Peer};
use quinn::{Connection, RecvStream, SendStream};
use services::codec::{encode_assignments, encode_directory, encode_file};
use services::directory::{Directory, Follower};
use services::file::FileContent;
use services::object::TaskState;
use services::{Assignment, Id};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::{BEAT, PATIENCE, tickets};
use crate::attach;
use crate::control::REMOVED;
use crate::control::frame;
use crate::control::message::{
    AssignmentBatch, DirectoryBatch, Down, FileBatch, Hello, SwarmNews, TrustNews, Up,
};
use crate::manager::{Manager, node_key};

/// What a slow link carries well within [`PATIENCE`], in which a worker wants to
/// have heard a whole frame.
const BYTES_PER_FRAME: usize = 64 << 10;

/// Serves one session until it breaks, is superseded, or this manager has lost
/// its leader: then another manager may know more.
pub async fn serve(
    manager: Arc<Manager>,
    peer: &Peer,
    hello: Hello,
    connection: Connection,
    streams: (SendStream, RecvStream),
) -> io::Result<()> {
    let (down, up) = streams;
    // What this manager has is what it would have run: it must be current,
    // or a lagging manager would stop what another one has just placed.
    manager
        .raft
        .read_barrier()
        .await
        .map_err(io::Error::other)?;
    if manager.role_of(peer.id).is_none() {
        if manager.read_state(|state| state.is_removed(node_key(peer.id))) {
            connection.close(REMOVED, b"removed from the swarm");
            return Ok(());
        }
        // It founds the swarm just now.
        if timeout(PATIENCE, until_known(&manager, peer.id))
            .await
            .is_err()
        {
            return Ok(());
        }
    }
    let number = manager.hub.begin(peer.id, hello.addr, connection);
    let ended = tokio::select! {
        ended = listen(&manager, peer.id, number, up) => ended,
        ended = tell(&manager, peer.id, number, down) => ended,
    };
    manager.hub.end(peer.id, number);
    ended
}

/// Returns when the node is in the state.
async fn until_known(manager: &Manager, node: NodeId) {
    let mut raft = manager.raft.watch();
    while manager.role_of(node).is_none() {
        if raft.changed().await.is_err() {
            return std::future::pending().await;
        }
    }
}

async fn listen(
    manager: &Manager,
    node: NodeId,
    number: u64,
    mut up: RecvStream,
) -> io::Result<()> {
    loop {
        let heard = timeout(PATIENCE, frame::recv::<Up>(&mut up)).await;
        let heard = heard.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?;
        let Some(up) = heard? else {
            return Ok(());
        };
        if !manager.hub.report(node, number, up) {
            return Ok(());
        }
    }
}

async fn tell(
    manager: &Manager,
    node: NodeId,
    number: u64,
    mut down: SendStream,
) -> io::Result<()> {
    let mut raft = manager.raft.watch();
    let mut beat = interval(BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = Told::default();
    let mut led = Instant::now();
    loop {
        raft.borrow_and_update();
        if let Some(trust) = told.trust(manager)? {
            frame::send(&mut down, &Down::Trust(trust)).await?;
            let tickets = attach::tickets(manager, node).map_err(io::Error::other)?;
            if !tickets.is_empty() {
                frame::send(&mut down, &Down::Tickets(tickets)).await?;
            }
        }
        let update = told.update(manager, node)?;
        for batch in update.directory {
            frame::send(&mut down, &Down::Directory(batch)).await?;
        }
        // One after the other: all of them may be more than memory has room for.
        for (id, content) in update.files {
            for batch in file_batches(id, &content)? {
                frame::send(&mut down, &Down::File(batch)).await?;
            }
        }
        for batch in update.assignments {
            frame::send(&mut down, &Down::Assign(batch)).await?;
        }
        manager.hub.forget_tasks(node, number, &update.removed);
        if let Some(news) = told.news(manager, node) {
            frame::send(&mut down, &Down::Swarm(news)).await?;
        }
        tokio::select! {
            changed = raft.changed() => changed.map_err(io::Error::other)?,
            _ = beat.tick() => {
                if manager.has_leader() {
                    led = Instant::now();
                } else if led.elapsed() > PATIENCE {
                    return Err(io::Error::other("this manager has no leader"));
                }
                frame::send(&mut down, &Down::Beat).await?;
            }
        }
    }
}

/// What this session has sent so far. A task's spec never changes, so its
/// desired state tells whether it must be sent again.
#[derive(Default)]
struct Told {
    begun: bool,
    applied: u64,
    assignments: BTreeMap<Id, TaskState>,
    /// Those that the node has, as long as its tasks need them.
    files: BTreeSet<Id>,
    following: Follower,
    directory: Directory,
    news: Option<SwarmNews>,
    /// PEM, see [`TrustNews`]; and up to which index of the log they were looked at.
    roots: Vec<String>,
    roots_at: Option<u64>,
    /// Tickets have to be sent again, for a CA that was not among the `roots`.
    sign_again: bool,
}

/// What is to be sent now.
#[derive(Default)]
struct Update {
    directory: Vec<DirectoryBatch>,
    files: Vec<(Id, Arc<FileContent>)>,
    assignments: Vec<AssignmentBatch>,
    /// Tasks that are assigned no more.
    removed: Vec<Id>,
}

impl Told {
    fn update(&mut self, manager: &Manager, node: NodeId) -> io::Result<Update> {
        let id = node_key(node);
        let applied = manager.raft.watch().borrow().applied;
        if self.begun && applied == self.applied && !self.sign_again {
            return Ok(Update::default());
        }
        self.applied = applied;
        let (told, sign_again) = (&self.assignments, self.sign_again);
        let (wanted, mut changed, files, directory) = manager.read_state(|state| {
            let desired = state.assigned(id).map(|task| (task.id, task.ordered()));
            let wanted: BTreeMap<Id, TaskState> = desired.collect();
            let news = state
                .assigned(id)
                .filter(|task| sign_again || told.get(&task.id) != Some(&task.ordered()));
            let changed: Vec<_> = news.map(|task| Assignment::of(task, state)).collect();
            let files = state.files_of(id);
            (wanted, changed, files, self.following.look(state, id))
        });
        let removed: Vec<Id> = self
            .assignments
            .keys()
            .filter(|id| !wanted.contains_key(id))
            .copied()
            .collect();
        if changed.iter().any(|it| !it.networks.is_empty()) {
            let signer = manager.signer().map_err(io::Error::other)?;
            tickets::issue(&mut changed, node, |bytes| signer.sign(bytes))
                .map_err(io::Error::other)?;
        }
        self.sign_again = false;
        self.assignments = wanted;
        let reset = !std::mem::replace(&mut self.begun, true);
        let mut update = Update::default();
        if let Some(directory) = directory {
            let before = std::mem::replace(&mut self.directory, directory);
            update.directory = directory_batches(reset, &before, &self.directory)?;
        }
        let new = files.iter().filter(|(id, _)| !self.files.contains(id));
        update.files = new.map(|(id, it)| (*id, Arc::clone(it))).collect();
        self.files = files.into_keys().collect();
        if reset || !changed.is_empty() || !removed.is_empty() {
            update.assignments = batches(reset, &changed, &removed)?;
        }
        update.removed = removed;
        Ok(update)
    }

    fn trust(&mut self, manager: &Manager) -> io::Result<Option<TrustNews>> {
        if self.roots_at == Some(manager.raft.watch().borrow().applied) {
            return Ok(None);
        }
        let news = manager.trust_news().map_err(io::Error::other)?;
        self.roots_at = Some(news.at);
        if news.roots == self.roots {
            return Ok(None);
        }
        self.sign_again = news.roots.iter().any(|root| !self.roots.contains(root));
        self.roots.clone_from(&news.roots);
        Ok(Some(news))
    }

    fn news(&mut self, manager: &Manager, node: NodeId) -> Option<SwarmNews> {
        let news = manager.news_for(node)?;
        if self
            .news
            .as_ref()
            .is_some_and(|told| told.says_the_same(&news))
        {
            return None;
        }
        self.news = Some(news.clone());
        Some(news)
    }
}

pub(super) fn file_batches(id: Id, content: &FileContent) -> io::Result<Vec<FileBatch>> {
    let bytes = encode_file(content).map_err(io::Error::other)?;
    let count = bytes.len().div_ceil(BYTES_PER_FRAME);
    let parts = (1..).zip(bytes.chunks(BYTES_PER_FRAME));
    let batches = parts.map(|(number, part)| FileBatch {
        id,
        content: part.to_vec(),
        complete: number == count,
    });
    Ok(batches.collect())
}

fn directory_batches(
    reset: bool,
    before: &Directory,
    now: &Directory,
) -> io::Result<Vec<DirectoryBatch>> {
    let delta = now.since(before);
    if !reset && delta.is_empty() {
        return Ok(Vec::new());
    }
    let pieces = encode_directory(&delta).map_err(io::Error::other)?;
    let count = pieces.len();
    let pieces = (1..).zip(pieces).map(|(number, delta)| DirectoryBatch {
        reset: reset && number == 1,
        delta,
        complete: number == count,
    });
    Ok(pieces.collect())
}

fn batches(
    reset: bool,
    changed: &[Assignment],
    removed: &[Id],
) -> io::Result<Vec<AssignmentBatch>> {
    let mut pieces = Vec::new();
    encode_in_pieces(changed, &mut pieces)?;
    let count = pieces.len();
    let batches = (1..).zip(pieces).map(|(number, changed)| AssignmentBatch {
        reset: reset && number == 1,
        changed,
        removed: match number {
            1 => removed.to_vec(),
            _ => Vec::new(),
        },
        complete: number == count,
    });
    Ok(batches.collect())
}

/// Halves what is more than a frame is to hold. One assignment is never cut: what
/// managers agree on at once is less than the most that a frame may hold.
fn encode_in_pieces(assignments: &[Assignment], pieces: &mut Vec<Vec<u8>>) -> io::Result<()> {
    let encoded = encode_assignments(assignments);
    let fits = |bytes: &Vec<u8>| bytes.len() <= BYTES_PER_FRAME;
    if assignments.len() < 2 || encoded.as_ref().is_ok_and(fits) {
        pieces.push(encoded.map_err(io::Error::other)?);
        return Ok(());
    }
    let (first, second) = assignments.split_at(assignments.len() / 2);
    encode_in_pieces(first, pieces)?;
    encode_in_pieces(second, pieces)
}

#[cfg(test)]
mod tests {
    use services::spec::ServiceSpec;

    use super::*;
    use crate::session::incoming::Assignments;
    use crate::worker::testing;

    fn assigned(task: u128, label: usize) -> Assignment {
        let spec = ServiceSpec {
            labels: [("big".into(), "x".repeat(label))].into(),
            ..ServiceSpec::default()
        };
        testing::assignment(Id::from_u128(task), spec)
    }

    fn sent(assignments: &[Assignment]) -> (usize, Assignments) {
        let removed = [Id::from_u128(99)];
        let batches = batches(true, assignments, &removed).unwrap();
        let count = batches.len();
        let mut arriving = Assignments::default();
        for (number, batch) in (1..).zip(batches) {
            frame::encode(&Down::Assign(batch.clone())).unwrap();
            let set = arriving.take(batch).unwrap();
            assert_eq!(set.is_some(), number == count);
            if let Some(set) = set {
                assert_eq!(set.removed, removed);
                return (count, set);
            }
        }
        panic!("the set is never complete");
    }

    #[test]
    fn assignments_go_in_one_frame_as_long_as_they_are_small() {
        assert_eq!(sent(&[]).0, 1);
        let small: Vec<_> = (0..20).map(|task| assigned(task, 10)).collect();
        let (count, set) = sent(&small);
        assert_eq!((count, set.changed.len()), (1, 20));
    }

    #[test]
    fn no_size_of_specs_keeps_a_session_from_beginning() {
        let large: Vec<_> = (0..20).map(|task| assigned(task, 1_500_000)).collect();
        let (count, set) = sent(&large);
        assert_eq!(count, 20);
        assert!(set.reset);
        let by_task = large.into_iter().map(|it| (it.task, it));
        assert!(set.changed == by_task.collect());
    }
}
