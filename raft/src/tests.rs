//! A single manager whose disk fails.

use std::{io, sync::Arc, time::Duration};

use certs::{ClusterId, NodeId, seal::DataKey};
use futures::future::BoxFuture;

use crate::{
    Config, Dial, Freeze, Member, ProposeError, Raft, Role, StateMachine, log::faulty::FaultyDisk,
};

const WAIT: Duration = Duration::from_secs(10);

/// Counts the commands.
#[derive(Debug, Default)]
struct Counter(u64);

impl StateMachine for Counter {
    fn apply(&mut self, _index: u64, _command: &[u8]) -> Vec<u8> {
        self.0 += 1;
        Vec::new()
    }

    fn freeze(&self) -> Freeze {
        let count = self.0;
        Box::new(move |out| out.write_all(&count.to_le_bytes()))
    }

    fn restore(&mut self, snapshot: &mut dyn io::Read) -> io::Result<()> {
        let mut count = [0; 8];
        snapshot.read_exact(&mut count)?;
        self.0 = u64::from_le_bytes(count);
        Ok(())
    }
}

struct Nobody;

impl Dial for Nobody {
    fn dial(
        &self,
        _id: NodeId,
        _addr: std::net::SocketAddr,
    ) -> BoxFuture<'static, io::Result<quinn::Connection>> {
        Box::pin(async { Err(io::ErrorKind::HostUnreachable.into()) })
    }
}

fn config(dir: &tempfile::TempDir) -> Config {
    let me = Member {
        id: NodeId::from(1),
        addr: ([127, 0, 0, 1], 2377).into(),
    };
    let key = DataKey::generate().unwrap();
    Config::new(dir.path().join("raft"), me, ClusterId::from(5), key)
}

async fn start(config: Config, disk: &FaultyDisk) -> Raft<Counter> {
    let disk = Arc::new(disk.clone());
    Raft::create_on(config, Arc::new(Nobody), Counter::default(), disk)
        .await
        .unwrap()
}

async fn until(raft: &Raft<Counter>, role: Role) {
    let mut watch = raft.watch();
    let waited = tokio::time::timeout(WAIT, watch.wait_for(|status| status.role == role)).await;
    waited.expect("the role is reached").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_an_error_until_there_is_room_and_costs_nothing_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::new();
    let raft = start(config(&dir), &disk).await;
    until(&raft, Role::Leader).await;
    disk.set_free(3000);
    let mut acknowledged = 0;
    let error = loop {
        match raft.propose(vec![7; 500]).await {
            Ok(_) => acknowledged += 1,
            Err(error) => break error,
        }
    };
    assert!(acknowledged > 0);
    assert!(matches!(error, ProposeError::Storage(_)), "{error:?}");
    assert!(error.to_string().contains("no storage space"), "{error}");
    until(&raft, Role::Stopped).await;
    let status = raft.watch().borrow().clone();
    assert!(status.storage_error.is_some());
    assert!(matches!(
        raft.propose(vec![1]).await,
        Err(ProposeError::Storage(_))
    ));

    disk.set_free(usize::MAX);
    until(&raft, Role::Leader).await;
    raft.read_barrier().await.unwrap();
    assert_eq!(raft.read(|counter| counter.0), acknowledged);
    raft.propose(vec![1]).await.unwrap();
    assert_eq!(raft.read(|counter| counter.0), acknowledged + 1);
    assert_eq!(raft.watch().borrow().storage_error, None);
    raft.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_is_made_by_size_and_the_log_before_it_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(&dir);
    config.snapshot_after_bytes = 1 << 20;
    let raft = start(config.clone(), &FaultyDisk::new()).await;
    until(&raft, Role::Leader).await;
    for _ in 0..40 {
        raft.propose(vec![7; 500_000]).await.unwrap();
    }
    let log_bytes = || -> u64 {
        let files = std::fs::read_dir(config.dir.join("log")).unwrap();
        files
            .map(|file| file.unwrap().metadata().unwrap().len())
            .sum()
    };
    let shrunk = async {
        while log_bytes() > 9_000_000 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(WAIT, shrunk)
        .await
        .expect("20 MB are purged");
    raft.shutdown().await;

    let again = Raft::open(config, Arc::new(Nobody), Counter::default());
    let again = again.await.unwrap();
    again.read_barrier().await.unwrap();
    assert_eq!(again.read(|counter| counter.0), 40);
    again.shutdown().await;
}
