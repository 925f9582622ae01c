//! Members see each other, and see who has gone.

use std::time::Duration;

use gossip::{Liveness, Member};
use stopwatch::MachineInstant;

use crate::common::{Cluster, Device};

async fn swarm(cluster: &Cluster, count: usize) -> Vec<Device> {
    let mut devices = vec![Device::start(cluster, &[])];
    for _ in 1..count {
        let device = Device::start(cluster, &[&devices[0]]);
        devices.push(device);
    }
    for device in &devices {
        device.until_all_live(count).await;
    }
    devices
}

fn find(members: &[Member], id: certs::NodeId) -> Option<&Member> {
    members.iter().find(|member| member.id == id)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_devices_see_each_other_and_what_they_say() {
    let cluster = Cluster::new();
    let devices = swarm(&cluster, 2).await;
    let (one, other) = (&devices[0], &devices[1]);
    one.gossip.publish(|facts| facts.version = "0.2.0".into());
    let said = |members: &[Member]| {
        let facts = find(members, one.id).and_then(|member| member.facts.clone());
        facts.is_some_and(|facts| facts.version == "0.2.0")
    };
    let members = other.until("the new version", said).await;
    let member = find(&members, one.id).unwrap();
    assert_eq!(member.addr, Some(one.port.addr()));
    assert!(member.round_trip.is_some());
    assert_eq!(other.gossip.addrs(one.id).first(), Some(&one.port.addr()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_five_that_stops_is_dead_for_all_within_1_5_s() {
    let cluster = Cluster::new();
    let mut devices = swarm(&cluster, 5).await;
    let gone = devices.pop().unwrap();
    let id = gone.id;
    let stopped = MachineInstant::now();
    gone.power_off();
    for device in &devices {
        let dead = |members: &[Member]| {
            matches!(find(members, id).unwrap().liveness, Liveness::Dead { .. })
        };
        device.until("its death", dead).await;
    }
    let took = stopped.elapsed();
    assert!(took.had() < Duration::from_millis(1_500), "{took}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_leaves_has_left_and_is_not_dead() {
    let cluster = Cluster::new();
    let mut devices = swarm(&cluster, 3).await;
    let leaver = devices.pop().unwrap();
    leaver.gossip.leave().await;
    leaver.gossip.shutdown().await;
    for device in &devices {
        let left = |members: &[Member]| {
            find(members, leaver.id).is_none_or(|member| member.liveness == Liveness::Left)
        };
        device.until("its leave", left).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_one_disappears_and_does_not_come_back() {
    let cluster = Cluster::new();
    let devices = swarm(&cluster, 3).await;
    let removed = devices[2].id;
    for device in &devices[..2] {
        device.port.credentials.set_revoked([removed].into());
        device.gossip.set_revoked([removed].into());
        device
            .until("it gone", |members| find(members, removed).is_none())
            .await;
    }
    // It calls again: TLS refuses it, and the others still see each other.
    let id = devices[0].id;
    let called = devices[2].port.connect(id, devices[0].port.addr()).await;
    if let Ok(connection) = called {
        connection.closed().await;
    }
    devices[0]
        .gossip
        .hint(removed, vec![devices[2].port.addr()]);
    devices[2]
        .until("the others lost", |members| {
            let lives = |member: &&Member| member.liveness == Liveness::Alive;
            members.iter().filter(lives).all(|it| it.id == removed)
        })
        .await;
    for device in &devices[..2] {
        assert_eq!(device.sees(removed), None);
        device.until_all_live(2).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_was_away_is_seen_again() {
    let cluster = Cluster::new();
    let mut devices = swarm(&cluster, 3).await;
    let gone = devices.pop().unwrap();
    gone.power_off();
    for device in &devices {
        device
            .until("a death", |members| {
                let dead = |member: &Member| matches!(member.liveness, Liveness::Dead { .. });
                members.iter().any(dead)
            })
            .await;
    }
    let _again = Device::start(&cluster, &[&devices[0]]);
    for device in &devices {
        device.until_all_live(3).await;
    }
}
