//! Whole swarms in one process: real sockets, certificates and disks, engines
//! in memory.

mod site;

use std::net::UdpSocket;
use std::time::{Duration, SystemTime};

use services::object::{Task, TaskState};
use services::spec::{ContainerSpec, Mode, Role, ServiceSpec, TaskSpec};
use services::{Command, NodeHealth, State};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use super::*;
use crate::manager::Manager;
use crate::runtime::fake::FakeRuntime;
use crate::site::lan::Deaf;

mod attaching;
mod directory;
mod failures;
mod locked;
mod take_over;

const IMAGE: &str = "busybox:latest";
const SOON: Duration = Duration::from_secs(60);

struct Node {
    swarm: Swarm,
    engine: FakeRuntime,
    addr: SocketAddr,
    dir: TempDir,
    lan: Arc<dyn Lan>,
}

impl Node {
    fn new() -> Self {
        Self::on(|_| Arc::new(Deaf::default()))
    }

    fn on(lan: impl FnOnce(SocketAddr) -> Arc<dyn Lan>) -> Self {
        let free = UdpSocket::bind("127.0.0.1:0").unwrap();
        let addr = free.local_addr().unwrap();
        drop(free);
        let engine = FakeRuntime::default();
        engine.add_image(IMAGE);
        let dir = tempfile::tempdir().unwrap();
        let lan = lan(addr);
        Self {
            swarm: daemon(&dir, &engine, &lan, addr),
            engine,
            addr,
            dir,
            lan,
        }
    }

    async fn founder(spec: ClusterSpec) -> Self {
        let node = Self::new();
        node.swarm.resume().await;
        let options = InitOptions {
            listen: node.addr,
            advertise: None,
            data_addr: None,
            availability: Availability::Active,
            spec,
            unlock_key: None,
        };
        node.swarm.init(options).await.unwrap();
        node
    }

    async fn joined(founder: &Self, role: Role) -> Self {
        let node = Self::new();
        node.swarm.resume().await;
        node.join(founder, &founder.token(role)).await.unwrap();
        node
    }

    async fn join(&self, at: &Self, token: &str) -> Result<(), SwarmError> {
        let options = JoinOptions {
            listen: self.addr,
            remotes: vec![at.addr],
            token: token.parse().unwrap(),
            advertise: None,
            data_addr: None,
            availability: Availability::Active,
        };
        self.swarm.join(options).await.map(drop)
    }

    /// The daemon is stopped, and another one started on the same disk.
    async fn restart(&mut self) {
        self.swarm.stop().await;
        let unused = tempfile::tempdir().unwrap();
        self.swarm = daemon(&unused, &self.engine, &self.lan, self.addr);
        self.swarm = daemon(&self.dir, &self.engine, &self.lan, self.addr);
        self.swarm.resume().await;
    }

    fn membership(&self) -> Arc<Membership> {
        match self.swarm.phase() {
            Phase::Active(membership) => membership,
            _ => panic!("not part of a swarm"),
        }
    }

    fn manager(&self) -> Arc<Manager> {
        self.membership().manager().unwrap()
    }

    fn id(&self) -> Id {
        node_key(self.membership().me)
    }

    fn token(&self, role: Role) -> String {
        let tokens = self.manager().cluster().unwrap().join_tokens.clone();
        match role {
            Role::Manager => tokens.manager,
            Role::Worker => tokens.worker,
        }
    }

    fn state<R>(&self, look: impl FnOnce(&State) -> R) -> R {
        self.manager().read_state(look)
    }

    fn sees_ready(&self, node: Id) -> bool {
        self.manager().observer.read(|observed| {
            let seen = observed.nodes.get(&node);
            seen.is_some_and(|seen| seen.health == NodeHealth::Ready)
        })
    }

    fn sees_all_ready(&self, nodes: &[&Self]) -> bool {
        nodes.iter().all(|node| self.sees_ready(node.id()))
    }

    fn running(&self) -> usize {
        let manager = self.manager();
        manager.read_state(|state| {
            manager.observer.read(|observed| {
                let runs = |task: &&Arc<Task>| {
                    State::effective(task, observed).state == TaskState::Running
                };
                state.tasks().filter(runs).count()
            })
        })
    }

    fn voters(&self) -> usize {
        let status = self.manager().raft.watch().borrow().clone();
        status
            .members
            .values()
            .filter(|member| member.voter)
            .count()
    }

    async fn run_service(&self, replicas: u64) {
        let spec = ServiceSpec {
            name: "web".into(),
            task: TaskSpec {
                container: ContainerSpec {
                    image: IMAGE.into(),
                    ..ContainerSpec::default()
                },
                ..TaskSpec::default()
            },
            mode: Mode::Replicated {
                replicas: Some(replicas),
            },
            ..ServiceSpec::default()
        };
        let id = crate::clock::random_id();
        let spec = Arc::new(spec);
        let create = Command::CreateService { id, spec };
        self.manager().propose(create).await.unwrap();
    }

    async fn set_role(&self, id: Id, role: Role) {
        // The node may be described anew between the look and the update.
        loop {
            let (version, mut spec) = self.state(|state| {
                let node = state.node(id).unwrap();
                (node.meta.version, node.spec.clone())
            });
            spec.role = role;
            let update = Command::UpdateNode { id, version, spec };
            match self.manager().propose(update).await {
                Ok(_) => return,
                Err(error) => assert_eq!(error.to_string(), "update out of sequence"),
            }
        }
    }
}

fn daemon(dir: &TempDir, engine: &FakeRuntime, lan: &Arc<dyn Lan>, addr: SocketAddr) -> Swarm {
    let engine = engine.clone();
    let engine = Box::new(move |_| Arc::new(engine.clone()) as Arc<dyn Runtime>);
    Swarm::new(
        DataDir::open(dir.path()).unwrap(),
        engine,
        TaskFiles::in_directory(&dir.path().join("tasks")),
        Arc::clone(lan),
        None,
        addr,
    )
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + SOON;
    while !condition() {
        assert!(Instant::now() < deadline, "never: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_runs_what_is_asked_of_the_swarm() {
    let founder = Node::founder(ClusterSpec::default()).await;
    let worker = Node::joined(&founder, Role::Worker).await;
    until("both are ready", || {
        founder.sees_all_ready(&[&founder, &worker])
    })
    .await;
    founder.run_service(4).await;
    until("four tasks run", || founder.running() == 4).await;
    let on_worker = founder.state(|state| state.tasks_of_node(worker.id()).count());
    assert_eq!(on_worker, 2, "half of them on each node");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_token_gets_nobody_in() {
    let founder = Node::founder(ClusterSpec::default()).await;
    let other = Node::founder(ClusterSpec::default()).await;
    let stranger = Node::new();
    stranger.swarm.resume().await;

    let right = founder.token(Role::Worker);
    let digest = right.rsplit_once('-').unwrap().0;
    let guess = format!("{digest}-{}", "0".repeat(25));
    let error = stranger.join(&founder, &guess).await.unwrap_err();
    assert_eq!(error.to_string(), "invalid join token");

    let theirs = other.token(Role::Worker);
    let error = stranger.join(&founder, &theirs).await.unwrap_err();
    assert!(error.to_string().contains("another CA"), "{error}");

    assert!(matches!(stranger.swarm.phase(), Phase::Inactive));
    assert_eq!(founder.state(|state| state.nodes().len()), 1);
    stranger.join(&founder, &right).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_renewed_under_a_running_service() {
    let spec = ClusterSpec {
        certificate_lifetime: Duration::from_secs(8),
        ..ClusterSpec::default()
    };
    let founder = Node::founder(spec).await;
    let worker = Node::joined(&founder, Role::Worker).await;
    let ends = |node: &Node| {
        node.membership()
            .credentials
            .identity()
            .certificate()
            .not_after()
    };
    let first = (ends(&founder), ends(&worker));
    until("both have another certificate", || {
        ends(&founder) > first.0 && ends(&worker) > first.1
    })
    .await;
    // It is written after it is in use: what is lost with the power is asked for again.
    until("it is on the disk", || {
        let saved = Identity::load(&worker.swarm.0.data.identity(), None).unwrap();
        saved.unwrap().certificate().not_after() > first.1
    })
    .await;
    founder.run_service(2).await;
    until("both nodes run a task", || founder.running() == 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_certificate_ran_out_while_it_was_off_comes_back() {
    let spec = ClusterSpec {
        certificate_lifetime: Duration::from_secs(3),
        ..ClusterSpec::default()
    };
    let founder = Node::founder(spec).await;
    let mut worker = Node::joined(&founder, Role::Worker).await;
    let id = worker.id();
    worker.swarm.stop().await;
    let ends = worker
        .membership()
        .credentials
        .identity()
        .certificate()
        .not_after();
    until("its certificate has run out", || SystemTime::now() > ends).await;
    until("the leader gave it up", || !founder.sees_ready(id)).await;
    worker.restart().await;
    until("it is back", || founder.sees_ready(id)).await;
    assert_eq!(worker.id(), id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_node_is_refused_and_stops_its_tasks() {
    let founder = Node::founder(ClusterSpec::default()).await;
    let worker = Node::joined(&founder, Role::Worker).await;
    until("both are ready", || {
        founder.sees_all_ready(&[&founder, &worker])
    })
    .await;
    founder.run_service(2).await;
    until("both run a task", || founder.running() == 2).await;
    let id = worker.id();
    founder
        .manager()
        .propose(Command::RemoveNode { id })
        .await
        .unwrap();
    until("it knows", || *worker.membership().removed.borrow()).await;
    until("both tasks run on the founder", || {
        let state = founder.state(|state| state.tasks_of_node(founder.id()).count());
        state == 2 && founder.running() == 2
    })
    .await;
    worker.swarm.leave(true).await.unwrap();
    assert!(matches!(worker.swarm.phase(), Phase::Inactive));
}

#[tokio::test(flavor = "multi_thread")]
async fn three_managers_bear_the_loss_of_the_leader() {
    let first = Node::founder(ClusterSpec::default()).await;
    let second = Node::joined(&first, Role::Manager).await;
    let third = Node::joined(&first, Role::Manager).await;
    until("three vote", || first.voters() == 3).await;
    first.run_service(3).await;
    until("three tasks run", || first.running() == 3).await;
    first.membership().stop().await;
    let lost = Instant::now();
    until("another leads", || {
        second.manager().leads() || third.manager().leads()
    })
    .await;
    assert!(
        lost.elapsed() < Duration::from_secs(2),
        "{:?}",
        lost.elapsed()
    );
    let leader = if second.manager().leads() {
        &second
    } else {
        &third
    };
    until("it sees the tasks of those who are left", || {
        leader.running() >= 2
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_becomes_a_manager_and_a_worker_again() {
    let founder = Node::founder(ClusterSpec::default()).await;
    let node = Node::joined(&founder, Role::Worker).await;
    until("it is ready", || founder.sees_ready(node.id())).await;
    founder.set_role(node.id(), Role::Manager).await;
    until("it votes", || founder.voters() == 2).await;
    until("it has the state", || {
        let manager = node.membership().manager();
        manager.is_some_and(|manager| manager.read_state(|state| state.nodes().len()) == 2)
    })
    .await;
    founder.set_role(node.id(), Role::Worker).await;
    until("it votes no more", || founder.voters() == 1).await;
    until("it is no manager", || node.membership().manager().is_none()).await;
    founder.run_service(2).await;
    until("both run a task", || founder.running() == 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_swarm_is_the_same_swarm() {
    let mut founder = Node::founder(ClusterSpec::default()).await;
    let cluster = founder.manager().cluster().unwrap().id;
    founder.run_service(3).await;
    until("three tasks run", || founder.running() == 3).await;
    let tasks: Vec<Id> = founder.state(|state| state.tasks().map(|task| task.id).collect());
    founder.restart().await;
    until("the same tasks run", || founder.running() == 3).await;
    assert_eq!(founder.manager().cluster().unwrap().id, cluster);
    let after: Vec<Id> = founder.state(|state| state.tasks().map(|task| task.id).collect());
    assert_eq!(after, tasks);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manager_that_leaves_is_let_go_first() {
    let first = Node::founder(ClusterSpec::default()).await;
    let second = Node::joined(&first, Role::Manager).await;
    until("two vote", || first.voters() == 2).await;
    let error = second.swarm.leave(false).await.unwrap_err();
    assert!(matches!(error, SwarmError::Needed(_)), "{error}");
    second.swarm.leave(true).await.unwrap();
    assert_eq!(first.voters(), 1);
    assert!(second.swarm.0.data.leftover().is_none());
    first.run_service(1).await;
    until("the one that is left works", || first.running() == 1).await;
}
