//! Agents whose tasks are on networks.

use std::collections::BTreeSet;

use services::directory::DirectoryNetwork;

use super::*;
use crate::worker::links::Endpoints;
use crate::worker::testing::network;

impl Node {
    /// Managers say that these networks are attachable.
    fn learns(&self, attachable: impl IntoIterator<Item = u128>) {
        let networks = attachable.into_iter().map(|number| {
            let network = DirectoryNetwork {
                name: format!("net{number}"),
                subnets: Vec::new(),
                internal: false,
                ingress: false,
                attachable: true,
                mtu: None,
            };
            (id(number), network)
        });
        self.directory.send_replace(Arc::new(Directory {
            data_port: 4789,
            networks: networks.collect(),
            ..Directory::default()
        }));
    }

    /// Waits until the engine has these of the swarm's networks.
    async fn has_networks(&self, numbers: impl IntoIterator<Item = u128>) {
        let wanted: BTreeSet<Id> = numbers.into_iter().map(id).collect();
        let wait = async {
            while self.runtime.networks() != wanted {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let there = tokio::time::timeout(PATIENCE, wait).await;
        there.unwrap_or_else(|_| panic!("it has {:?}", self.runtime.networks()));
    }
}

fn on_network(number: u128, desired: TaskState) -> Assignment {
    Assignment {
        networks: vec![network(id(11), &["10.0.1.7/24"])],
        ..assignment(number, desired)
    }
}

#[tokio::test]
async fn a_container_is_expected_before_it_is_made_and_ready_when_it_runs() {
    let mut node = Node::boot().await;
    node.runtime.hold(Kind::Create);
    node.agent
        .assign_all(set([on_network(1, TaskState::Running)]));
    node.runtime.called(&Call::Create(id(1))).await;
    let told = node.links.told();
    assert_eq!(told.expected, [(id(11), [10, 0, 1, 7].into())].into());
    assert!(told.endpoints.is_empty());
    node.runtime.release(Kind::Create);
    node.reaches(1, TaskState::Running).await;
    let endpoints = node.links.told().endpoints;
    assert!(endpoints[&(id(1), id(11))].ready);
    node.runtime.exit(id(1), 1);
    node.reaches(1, TaskState::Failed).await;
    let told = node.links.told();
    assert!(told.expected.is_empty() && told.endpoints.is_empty());
}

#[tokio::test]
async fn a_task_waits_for_the_overlay_and_says_so() {
    let mut node = Node::boot().await;
    node.links.break_with("no /dev/net/tun");
    node.agent.assign_all(set([
        on_network(1, TaskState::Running),
        assignment(2, TaskState::Running),
    ]));
    let status = node.reaches(1, TaskState::Preparing).await;
    node.reaches(2, TaskState::Running).await;
    node.explains(1, "no /dev/net/tun").await;
    assert_eq!(node.count(&Call::Create(id(1))), 0);
    assert_eq!(status.container, None);
    node.links.mend();
    let status = node.reaches(1, TaskState::Running).await;
    assert_eq!(error(&status), "");
}

#[tokio::test]
async fn others_hear_nothing_new_of_a_restarted_daemon_until_it_has_looked() {
    let mut node = Node::boot().await;
    node.agent
        .assign_all(set([on_network(1, TaskState::Running)]));
    node.reaches(1, TaskState::Running).await;
    let before = node.links.told();
    node.restart_daemon().await;
    node.reaches(1, TaskState::Running).await;
    let told = node.links.told();
    // The first thing said of the endpoint is that it is ready.
    assert_eq!(told.heard, [before.heard, vec![told.endpoints]].concat());
}

#[tokio::test]
async fn a_node_without_an_engine_has_nothing_to_announce_and_says_so() {
    let mut node = Node::boot().await;
    node.runtime.go_down(255);
    node.links.forget();
    node.restart_daemon().await;
    node.engine_is(false).await;
    let heard = async {
        while node.links.told().heard != [Endpoints::new()] {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, heard).await.unwrap();
}

#[tokio::test]
async fn what_ran_is_still_announced_by_a_daemon_that_finds_no_engine() {
    let mut node = Node::boot().await;
    let mut ending = on_network(2, TaskState::Shutdown);
    ending.networks = vec![network(id(11), &["10.0.1.8/24"])];
    node.agent
        .assign_all(set([on_network(1, TaskState::Running)]));
    node.reaches(1, TaskState::Running).await;
    let before = node.links.told().endpoints;
    node.agent.assign_delta(vec![ending], Vec::new());
    node.reaches(2, TaskState::Shutdown).await;
    node.runtime.go_down(255);
    node.links.forget();
    node.restart_daemon().await;
    node.engine_is(false).await;
    let heard = async {
        while node.links.told().heard.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, heard).await.unwrap();
    assert_eq!(node.links.told().endpoints, before);
}

#[tokio::test]
async fn tickets_are_known_to_the_next_daemon() {
    let mut node = Node::boot().await;
    assert!(node.agent.take_inherited().is_empty());
    let assigned = set([on_network(1, TaskState::Running)]);
    node.agent.assign_all(assigned.clone());
    node.reaches(1, TaskState::Running).await;
    node.restart_daemon().await;
    assert_eq!(node.agent.take_inherited(), assigned);
    assert!(node.agent.take_inherited().is_empty(), "nobody keeps it");
}

#[tokio::test]
async fn attachable_networks_are_there_as_long_as_the_swarm_has_them() {
    let mut node = Node::boot().await;
    node.agent.assign_all(BTreeMap::new());
    node.learns([11, 12]);
    node.has_networks([11, 12]).await;
    node.learns([12]);
    node.has_networks([12]).await;
    // An engine that comes back is looked at again.
    node.engine_is(true).await;
    node.runtime.go_down(255);
    node.engine_is(false).await;
    node.runtime.remove_network_by_hand(id(12));
    node.runtime.come_up();
    node.has_networks([12]).await;
    node.agent.shutdown().await;
    node.runtime.remove_network_by_hand(id(12));
    node.restart_daemon().await;
    node.has_networks([12]).await;
}

#[tokio::test]
async fn the_network_of_a_task_goes_with_its_last_container() {
    let mut node = Node::boot().await;
    node.learns([]);
    let running = [1, 2].map(|number| on_network(number, TaskState::Running));
    node.agent.assign_all(set(running.clone()));
    node.reaches(1, TaskState::Running).await;
    node.reaches(2, TaskState::Running).await;
    node.has_networks([11]).await;
    node.agent.assign_delta(Vec::new(), vec![id(1)]);
    node.runtime.called(&Call::Remove(id(1))).await;
    node.agent
        .assign_delta(vec![on_network(2, TaskState::Shutdown)], Vec::new());
    node.reaches(2, TaskState::Shutdown).await;
    node.has_networks([11]).await;
    node.agent.assign_delta(Vec::new(), vec![id(2)]);
    node.has_networks([]).await;
}

#[tokio::test]
async fn networks_of_a_node_that_leaves_go_with_users_on_them() {
    let mut node = Node::boot().await;
    node.learns([12]);
    node.agent
        .assign_all(set([on_network(1, TaskState::Running)]));
    node.reaches(1, TaskState::Running).await;
    node.has_networks([11, 12]).await;
    node.agent.remove_all().await.unwrap();
    assert_eq!(node.runtime.networks(), BTreeSet::new());
}

#[tokio::test]
async fn who_leaves_does_not_wait_for_a_driver_that_is_absent() {
    let node = Node::boot().await;
    node.agent.assign_all(BTreeMap::new());
    node.learns([12]);
    node.has_networks([12]).await;
    node.links
        .break_with("the network driver is about to start");
    node.agent.remove_all().await.unwrap();
    assert_eq!(node.runtime.networks(), [id(12)].into());
}
