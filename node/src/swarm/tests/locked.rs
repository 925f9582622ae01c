//! Managers whose keys wait for an operator.

use certs::lock::UnlockKey as Key;

use super::*;

fn key() -> UnlockKey {
    UnlockKey(*Key::generate().unwrap().to_bytes())
}

fn typed(key: &UnlockKey) -> Key {
    Key::from_bytes(key.0)
}

impl Node {
    async fn locked_founder(key: &UnlockKey) -> Self {
        let node = Self::new();
        node.swarm.resume().await;
        let options = InitOptions {
            listen: node.addr,
            advertise: None,
            data_addr: None,
            availability: Availability::Active,
            spec: ClusterSpec::default(),
            unlock_key: Some(key.clone()),
        };
        node.swarm.init(options).await.unwrap();
        node
    }

    async fn set_key(&self, key: Option<UnlockKey>) {
        let command = Command::SetUnlockKey { key };
        self.manager().propose(command).await.unwrap();
    }

    fn is_locked(&self) -> bool {
        matches!(self.swarm.phase(), Phase::Locked(_))
    }

    fn on_disk(&self, name: &str) -> String {
        let path = self.dir.path().join("identity").join(name);
        std::fs::read_to_string(path).unwrap()
    }

    /// Whether `key` alone opens this disk.
    fn opens(&self, key: &UnlockKey) -> bool {
        match keys::load(&self.dir.path().join("identity")).unwrap() {
            Found::Locked(locked) => locked.unlock(typed(key)).is_ok(),
            Found::Open(_) => false,
        }
    }

    fn is_open(&self) -> bool {
        !self.on_disk("data.key").contains("LOCKED") && !self.on_disk("node.key").contains("SEALED")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_manager_goes_on_when_it_is_unlocked() {
    let (right, wrong) = (key(), key());
    let mut founder = Node::locked_founder(&right).await;
    let worker = Node::joined(&founder, Role::Worker).await;
    founder.run_service(2).await;
    until("two tasks run", || founder.running() == 2).await;
    let id = founder.id();
    assert!(founder.opens(&right) && worker.is_open());
    let refused = founder.swarm.unlock(typed(&right)).await;
    assert!(matches!(refused, Err(SwarmError::NotLocked)));

    founder.restart().await;
    assert!(founder.is_locked());
    let refused = founder.swarm.unlock(typed(&wrong)).await;
    assert!(matches!(refused, Err(SwarmError::WrongUnlockKey)));
    let refused = founder.swarm.take_over(None, None).await;
    assert!(matches!(refused, Err(SwarmError::Locked)));
    assert!(founder.is_locked());
    founder.swarm.unlock(typed(&right)).await.unwrap();
    assert_eq!(founder.id(), id);
    until("its worker is back", || founder.running() == 2).await;
    // What it took over says that its keys are locked with the same key: nothing changes.
    assert!(founder.opens(&right));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_manager_locks_itself_with_the_key_of_the_swarm() {
    let founder = Node::founder(ClusterSpec::default()).await;
    let mut joined = Node::joined(&founder, Role::Manager).await;
    let promoted = Node::joined(&founder, Role::Worker).await;
    assert!(founder.is_open() && joined.is_open());
    let (first, second) = (key(), key());
    founder.set_key(Some(first.clone())).await;
    until("both managers are locked with it", || {
        founder.opens(&first) && joined.opens(&first)
    })
    .await;
    assert!(promoted.is_open(), "a worker needs no operator");
    founder.set_role(promoted.id(), Role::Manager).await;
    until("the promoted one is locked, too", || promoted.opens(&first)).await;

    founder.set_key(Some(second.clone())).await;
    until("all have the new key", || {
        [&founder, &joined, &promoted]
            .iter()
            .all(|node| node.opens(&second) && !node.opens(&first))
    })
    .await;
    joined.restart().await;
    assert!(joined.is_locked());
    // What it misses meanwhile it makes up for.
    founder.set_key(Some(first.clone())).await;
    joined.swarm.unlock(typed(&second)).await.unwrap();
    until("it has the newest key", || joined.opens(&first)).await;

    founder.set_role(promoted.id(), Role::Worker).await;
    until("a worker again, it is open", || promoted.is_open()).await;
    founder.set_key(None).await;
    until("all are open", || founder.is_open() && joined.is_open()).await;
    joined.restart().await;
    until("it came back by itself", || {
        joined.membership().manager().is_some()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_node_that_is_forced_to_leaves_nothing_behind() {
    let mut founder = Node::locked_founder(&key()).await;
    founder.run_service(2).await;
    until("two tasks run", || founder.running() == 2).await;
    founder.restart().await;
    let error = founder.swarm.leave(false).await.unwrap_err();
    assert!(
        error.to_string().contains("encrypted and locked"),
        "{error}"
    );
    assert!(founder.is_locked());
    founder.swarm.leave(true).await.unwrap();
    assert!(matches!(founder.swarm.phase(), Phase::Inactive));
    let listed = founder.engine.list().await.unwrap();
    assert!(listed.is_empty(), "{listed:?}");
    let left = std::fs::read_dir(founder.dir.path().join("identity"));
    assert!(left.is_err(), "its keys are gone");
}
