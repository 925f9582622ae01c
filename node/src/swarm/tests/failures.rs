//! Nodes that go, come back and move, and what the leader makes of it.

use gossip::Liveness;
use services::managing::CANDIDATE;
use stopwatch::MachineInstant;

use super::*;

impl Node {
    /// Ends the node without a word.
    pub(super) async fn power_off(&self) {
        self.membership().stop().await;
    }

    fn role_of(&self, node: Id) -> Role {
        self.state(|state| state.node(node).unwrap().spec.role)
    }

    fn addr_of(&self, node: Id) -> SocketAddr {
        self.state(|state| state.node(node).unwrap().addr)
    }

    fn votes(&self, node: Id) -> bool {
        let status = self.manager().raft.watch().borrow().clone();
        let member = status.members.get(&crate::manager::node_id(node)).copied();
        member.is_some_and(|member| member.voter)
    }

    pub(super) fn believes_dead(&self, node: Id) -> bool {
        let member = self
            .membership()
            .gossip
            .member(crate::manager::node_id(node));
        member.is_some_and(|member| matches!(member.liveness, Liveness::Dead { .. }))
    }

    pub(super) fn believes_alive(&self, nodes: &[&Node]) -> bool {
        let gossip = self.membership().gossip.clone();
        nodes.iter().all(|node| {
            let member = gossip.member(node.membership().me);
            member.is_some_and(|member| member.liveness == Liveness::Alive)
        })
    }

    /// Those that should run and do, on other nodes than `lost`.
    fn running_without(&self, lost: Id) -> usize {
        let manager = self.manager();
        manager.read_state(|state| {
            manager.observer.read(|observed| {
                let runs = |task: &&Arc<Task>| {
                    task.node != Some(lost)
                        && task.desired == TaskState::Running
                        && State::effective(task, observed).state == TaskState::Running
                };
                state.tasks().filter(runs).count()
            })
        })
    }

    async fn make_candidate(&self, id: Id) {
        loop {
            let (version, mut spec) = self.state(|state| {
                let node = state.node(id).unwrap();
                (node.meta.version, node.spec.clone())
            });
            spec.labels.insert(CANDIDATE.into(), "true".into());
            let update = Command::UpdateNode { id, version, spec };
            match self.manager().propose(update).await {
                Ok(_) => return,
                Err(error) => assert_eq!(error.to_string(), "update out of sequence"),
            }
        }
    }

    fn leads(&self) -> bool {
        let manager = self.membership().manager();
        manager.is_some_and(|manager| manager.leads())
    }

    /// What this node noted while it led.
    fn told(&self) -> Vec<String> {
        let manager = self.membership().manager();
        let events = manager.map(|manager| manager.events.after(0).0);
        let line = |event: crate::manager::events::Event| format!("{}: {}", event.node, event.text);
        events.into_iter().flatten().map(line).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tasks_of_a_dead_worker_are_replaced_as_soon_as_gossip_knows() {
    let founder = Node::founder(ClusterSpec::default()).await;
    let first = Node::joined(&founder, Role::Worker).await;
    let second = Node::joined(&founder, Role::Worker).await;
    // One that is not gets no task, which could be lost with it.
    until("all are ready", || {
        founder.sees_all_ready(&[&founder, &first, &second])
    })
    .await;
    founder.run_service(3).await;
    until("three tasks run", || founder.running() == 3).await;
    until("they know each other", || {
        founder.believes_alive(&[&first, &second]) && second.believes_alive(&[&founder, &first])
    })
    .await;
    first.power_off().await;
    let lost = MachineInstant::now();
    let id = first.id();
    until("all run elsewhere", || founder.running_without(id) == 3).await;
    let took = lost.elapsed();
    assert!(took.had() < crate::manager::tracker::SILENCE, "{took}");
    let told = founder.told();
    let down = format!("{id}: is down: not heard by ");
    assert!(told.iter().any(|line| line.starts_with(&down)), "{told:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_leader_replaces_the_tasks_of_the_old_ones_host() {
    let first = Node::founder(ClusterSpec::default()).await;
    let second = Node::joined(&first, Role::Manager).await;
    let third = Node::joined(&first, Role::Manager).await;
    until("three vote", || first.voters() == 3).await;
    let nodes = [&first, &second, &third];
    // Not the founder for certain: a busy machine elects anew.
    let leader = || nodes.iter().find(|node| node.leads());
    until("all are ready", || {
        leader().is_some_and(|leader| leader.sees_all_ready(&nodes))
    })
    .await;
    first.run_service(3).await;
    until("three tasks run", || {
        leader().is_some_and(|leader| leader.running() == 3)
    })
    .await;
    let (left, dead): (Vec<&Node>, Vec<&Node>) = nodes.iter().partition(|node| !node.leads());
    until("they know each other", || {
        left.iter().all(|node| node.believes_alive(&nodes))
    })
    .await;
    let id = dead[0].id();
    dead[0].power_off().await;
    let lost = MachineInstant::now();
    until("all run elsewhere", || {
        let leader = left.iter().find(|node| node.leads());
        leader.is_some_and(|leader| leader.running_without(id) == 3)
    })
    .await;
    let took = lost.elapsed();
    assert!(took.had() < crate::manager::tracker::SILENCE, "{took}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_daemon_is_restarted_keeps_its_tasks() {
    let founder = Node::founder(ClusterSpec::default()).await;
    let mut worker = Node::joined(&founder, Role::Worker).await;
    until("both are ready", || {
        founder.sees_all_ready(&[&founder, &worker])
    })
    .await;
    founder.run_service(2).await;
    until("two tasks run", || founder.running() == 2).await;
    until("they know each other", || {
        founder.believes_alive(&[&worker])
    })
    .await;
    let id = worker.id();
    let before: Vec<Id> = founder.state(|state| state.tasks().map(|task| task.id).collect());
    worker.swarm.stop().await;
    until("gossip misses it", || founder.believes_dead(id)).await;
    assert!(founder.sees_ready(id));
    worker.restart().await;
    until("gossip has it back", || founder.believes_alive(&[&worker])).await;
    until("two tasks run", || founder.running() == 2).await;
    let after: Vec<Id> = founder.state(|state| state.tasks().map(|task| task.id).collect());
    assert_eq!(after, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_autopilot_puts_a_candidate_in_the_place_of_a_dead_manager() {
    let founder = Node::founder(ClusterSpec::default()).await;
    let mut nodes = Vec::new();
    for _ in 0..3 {
        let node = Node::joined(&founder, Role::Worker).await;
        founder.make_candidate(node.id()).await;
        nodes.push(node);
    }
    until("three vote", || founder.voters() == 3).await;
    let dead = nodes.iter().position(|node| founder.votes(node.id()));
    let mut dead = nodes.remove(dead.unwrap());
    let id = dead.id();
    dead.power_off().await;
    until("the other two candidates vote", || {
        nodes.iter().all(|node| founder.votes(node.id())) && !founder.votes(id)
    })
    .await;
    assert_eq!(founder.voters(), 3);
    // A busy machine elects anew: the founder may not have led all the time.
    let mut told = founder.told();
    told.extend(nodes.iter().flat_map(Node::told));
    for step in [
        "is made a manager: 1 of 3 managers",
        "is made a manager: 2 of 3 managers",
        "is made a worker: gone for ",
    ] {
        assert!(told.iter().any(|line| line.contains(step)), "{told:#?}");
    }

    dead.restart().await;
    until("it is back", || {
        let mut others = nodes.iter().chain([&founder]);
        let leader = others.find(|node| node.leads());
        leader.is_some_and(|leader| leader.sees_ready(id))
    })
    .await;
    until("it is a worker", || dead.membership().manager().is_none()).await;
    assert_eq!(founder.role_of(id), Role::Worker);
    let label = founder.state(|state| state.node(id).unwrap().spec.labels.get(CANDIDATE).cloned());
    assert_eq!(label.as_deref(), Some("true"), "it may be one again");
}

#[tokio::test(flavor = "multi_thread")]
async fn everyone_learns_where_a_manager_and_a_worker_have_moved() {
    let founder = Node::founder(ClusterSpec::default()).await;
    let everywhere = |port| SocketAddr::from(([0, 0, 0, 0], port));
    let join = |role| {
        let node = Node::new();
        let (port, token) = (node.addr.port(), founder.token(role));
        let remote = founder.addr;
        async move {
            node.swarm.resume().await;
            let options = JoinOptions {
                listen: everywhere(port),
                remotes: vec![remote],
                token: token.parse().unwrap(),
                advertise: Some(node.addr),
                data_addr: None,
                availability: Availability::Active,
            };
            node.swarm.join(options).await.unwrap();
            node
        }
    };
    let manager = join(Role::Manager).await;
    let worker = join(Role::Worker).await;
    until("two vote", || founder.voters() == 2).await;
    until("all are ready", || {
        founder.sees_all_ready(&[&founder, &manager, &worker])
    })
    .await;
    for node in [&manager, &worker] {
        let addr = SocketAddr::from(([127, 0, 0, 2], node.addr.port()));
        node.membership().move_to(addr);
        until("the state knows", || founder.addr_of(node.id()) == addr).await;
        until("gossip knows", || {
            let addrs = founder.membership().gossip.addrs(node.membership().me);
            addrs.first() == Some(&addr)
        })
        .await;
    }
    let me = manager.membership().me;
    until("the managers know", || {
        let known = worker.membership().news.borrow().managers.clone();
        known.contains(&(me, manager.membership().addr()))
    })
    .await;
}
