//! The newest status of every task, for whoever reports them.
//!
//! A board instead of a queue: a reader that was away for an hour gets each
//! task once, as it is now, and the board never holds more than one entry per
//! task however often a task changes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use services::Id;
use services::object::TaskStatus;
use tokio::sync::watch;

#[derive(Debug, Clone)]
pub(super) struct Board {
    tasks: Arc<Mutex<BTreeMap<Id, Entry>>>,
    /// Counts publications.
    version: Arc<watch::Sender<u64>>,
}

#[derive(Debug)]
struct Entry {
    version: u64,
    status: TaskStatus,
}

impl Default for Board {
    fn default() -> Self {
        Self {
            tasks: Arc::default(),
            version: Arc::new(watch::Sender::new(0)),
        }
    }
}

impl Board {
    /// `None` is a task that is known no more.
    pub fn publish(&self, changes: impl IntoIterator<Item = (Id, Option<TaskStatus>)>) {
        let mut changes = changes.into_iter().peekable();
        if changes.peek().is_none() {
            return;
        }
        let version = *self.version.borrow() + 1;
        {
            let mut tasks = self.lock();
            for (id, status) in changes {
                match status {
                    Some(status) => tasks.insert(id, Entry { version, status }),
                    None => tasks.remove(&id),
                };
            }
        }
        self.version.send_replace(version);
    }

    pub fn get(&self, task: Id) -> Option<TaskStatus> {
        self.lock().get(&task).map(|entry| entry.status.clone())
    }

    pub fn subscribe(&self) -> Statuses {
        Statuses {
            board: self.clone(),
            version: self.version.subscribe(),
            seen: 0,
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Id, Entry>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One reader's place. Before its first [`snapshot`](Self::snapshot) every
/// status counts as changed.
#[derive(Debug)]
pub struct Statuses {
    board: Board,
    version: watch::Receiver<u64>,
    seen: u64,
}

impl Statuses {
    /// Every task as it is now. What changes later comes from
    /// [`changed`](Self::changed), without a gap.
    pub fn snapshot(&mut self) -> BTreeMap<Id, TaskStatus> {
        self.seen = 0;
        self.take().into_iter().collect()
    }

    /// Waits for the next change and returns all there are, each task once.
    /// Cancel safe. Never returns once the agent is gone.
    pub async fn changed(&mut self) -> Vec<(Id, TaskStatus)> {
        loop {
            let batch = self.take();
            if !batch.is_empty() {
                return batch;
            }
            if self.version.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    fn take(&mut self) -> Vec<(Id, TaskStatus)> {
        self.version.mark_unchanged();
        let tasks = self.board.lock();
        let fresh = tasks.iter().filter(|(_, entry)| entry.version > self.seen);
        let batch: Vec<_> = fresh
            .map(|(&id, entry)| (id, entry.version, entry.status.clone()))
            .collect();
        let newest = batch.iter().map(|(_, version, _)| *version).max();
        self.seen = newest.unwrap_or(0).max(self.seen);
        let batch = batch.into_iter();
        batch.map(|(id, _, status)| (id, status)).collect()
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use services::Timestamp;
    use services::object::TaskState;

    use super::*;

    fn status(state: TaskState) -> TaskStatus {
        TaskStatus {
            state,
            at: Timestamp(1),
            message: String::new(),
            error: None,
            container: None,
            ports: Vec::new(),
            started: None,
        }
    }

    const A: Id = Id::from_u128(1);
    const B: Id = Id::from_u128(2);

    #[test]
    fn a_slow_reader_gets_each_task_once_and_as_it_is_now() {
        let board = Board::default();
        let mut reader = board.subscribe();
        for state in [TaskState::Accepted, TaskState::Ready, TaskState::Running] {
            board.publish([(A, Some(status(state)))]);
        }
        board.publish([(B, Some(status(TaskState::Failed)))]);
        assert_eq!(
            reader.changed().now_or_never().unwrap(),
            [
                (A, status(TaskState::Running)),
                (B, status(TaskState::Failed))
            ]
        );
        assert!(reader.changed().now_or_never().is_none());
    }

    #[test]
    fn changes_follow_a_snapshot_without_a_gap_or_an_echo() {
        let board = Board::default();
        board.publish([(A, Some(status(TaskState::Running)))]);
        let mut reader = board.subscribe();
        assert_eq!(reader.snapshot().len(), 1);
        assert!(reader.changed().now_or_never().is_none());
        board.publish([(B, Some(status(TaskState::Running)))]);
        board.publish([(A, None)]);
        assert_eq!(
            reader.changed().now_or_never().unwrap(),
            [(B, status(TaskState::Running))]
        );
        assert_eq!(reader.snapshot().len(), 1);
    }

    #[tokio::test]
    async fn a_waiting_reader_is_woken() {
        let board = Board::default();
        let mut reader = board.subscribe();
        let mut waiting = Box::pin(reader.changed());
        assert!((&mut waiting).now_or_never().is_none());
        board.publish([(A, Some(status(TaskState::Running)))]);
        assert_eq!(waiting.await.len(), 1);
    }
}
