//! Who leads: leaders that are lost, cut off, deaf or stand still, and that hand over.

use std::time::{Duration, Instant};

use raft::{ProposeError, Role};
use stopwatch::{MachineInstant, computed};

use crate::group::{Group, Host, WAIT};

impl Group {
    /// Starts three and stops two, the leader among them. Returns the one that is
    /// left, when it says that nobody leads, and the other follower.
    async fn start_and_leave_one(&mut self) -> (usize, usize) {
        self.start().await;
        let leader = self.leader().await;
        let (alone, other) = ((leader + 1) % 3, (leader + 2) % 3);
        self.stop(leader).await;
        self.stop(other).await;
        self.hosts[alone]
            .until("no leader", |status| status.leader.is_none())
            .await;
        (alone, other)
    }

    /// Starts four and cuts off two, not the leader. Returns the follower that is
    /// left, and those.
    async fn start_and_leave_half(&mut self) -> (&Host, [usize; 2]) {
        self.start().await;
        let leader = self.leader().await;
        let lost = [(leader + 1) % 4, (leader + 2) % 4];
        for number in lost {
            self.hosts[number].plug.pull();
        }
        (&self.hosts[(leader + 3) % 4], lost)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_leader_is_replaced_within_two_seconds_and_nothing_acknowledged_is_lost() {
    let mut group = Group::new(3);
    group.start().await;
    let mut written = 0;
    let mut times = Vec::new();
    for round in 0..5_u8 {
        let leader = group.leader().await;
        group.hosts[leader]
            .raft()
            .propose(vec![round])
            .await
            .unwrap();
        written += 1;
        let lost = group.hosts[leader].id();
        let begun = MachineInstant::now();
        group.stop(leader).await;
        for host in group.hosts.iter().filter(|host| host.raft.is_some()) {
            host.until_another_leads(lost).await;
        }
        times.push(begun.elapsed());
        group.open(leader).await;
        group.converge(written).await;
    }
    // The median, since this machine may be busy with other tests.
    times.sort_by_key(|took| took.had());
    let median = times[2];
    assert!(median.had() < Duration::from_secs(2), "{median}");
    group.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_proposed_while_there_is_no_leader_waits_for_the_next_one() {
    let mut group = Group::new(3);
    let (alone, other) = group.start_and_leave_one().await;
    let raft = group.hosts[alone].raft().clone();
    let proposed = tokio::spawn(async move { raft.propose(vec![1]).await });
    group.open(other).await;
    proposed.await.unwrap().unwrap();
    group.converge(1).await;
    group.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whose_followers_are_gone_says_that_nobody_leads() {
    let mut group = Group::new(3);
    group.start().await;
    let leader = group.leader().await;
    group.cut(leader);
    let alone = &group.hosts[leader];
    alone
        .until("no leader", |status| status.leader.is_none())
        .await;
    group.heal();
    alone
        .until("a leader", |status| status.leader.is_some())
        .await;
    group.stop_all().await;
}

#[tokio::test]
async fn a_manager_without_a_majority_is_idle() {
    let mut group = Group::new(3);
    group.start_and_leave_one().await;
    // All tasks of the test are on this thread.
    let before = computed().unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let took = computed().unwrap() - before;
    assert!(took < Duration::from_millis(600), "{took:?}");
    group.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_was_cut_off_loses_its_place_and_commits_nothing() {
    let mut group = Group::new(3);
    group.tune = |config| config.patience = Duration::from_millis(1500);
    group.start().await;
    let old = group.leader().await;
    group.hosts[old].raft().propose(vec![0]).await.unwrap();
    group.cut(old);

    let refused = group.hosts[old].raft().propose(vec![99]).await;
    assert!(
        matches!(
            refused,
            Err(ProposeError::Unknown(_) | ProposeError::NoLeader(_))
        ),
        "{refused:?}"
    );
    assert!(group.hosts[old].raft().read_barrier().await.is_err());
    let rest: Vec<&Host> = (0..3)
        .filter(|i| *i != old)
        .map(|i| &group.hosts[i])
        .collect();
    let new = group.leader_among(&rest).await;
    group.hosts[new].raft().propose(vec![1]).await.unwrap();

    group.heal();
    let me = group.hosts[old].id();
    group.hosts[old].until_another_leads(me).await;
    group.hosts[old].raft().propose(vec![2]).await.unwrap();
    group.converge(3).await;
    assert_eq!(group.hosts[old].journal().commands, [[0], [1], [2]]);
    group.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_heard_but_hears_nobody_is_replaced() {
    let mut group = Group::new(3);
    group.start().await;
    let old = group.leader().await;
    let deaf = group.hosts[old].id();
    group.hosts[old].plug.deafen();
    for host in group.hosts.iter().filter(|host| host.id() != deaf) {
        host.until_another_leads(deaf).await;
        host.raft().propose(vec![1]).await.unwrap();
    }
    group.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_follows_a_leader_without_a_majority_says_that_nobody_leads() {
    let mut group = Group::new(4);
    let (left, lost) = group.start_and_leave_half().await;
    left.until("no leader", |status| status.leader.is_none())
        .await;
    for number in lost {
        group.hosts[number].plug.put_back();
    }
    group.leader().await;
    group.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_without_a_majority_is_not_kept_in_its_place_by_those_who_ask_it() {
    let mut group = Group::new(4);
    group.tune = |config| config.patience = Duration::from_secs(60);
    let (left, _) = group.start_and_leave_half().await;
    let (asks, proposes) = (left.raft().clone(), left.raft().clone());
    let asked = tokio::spawn(async move { asks.read_barrier().await });
    let proposed = tokio::spawn(async move { proposes.propose(vec![1]).await });
    left.until("no leader", |status| status.leader.is_none())
        .await;
    asked.abort();
    proposed.abort();
    group.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_pauses_for_less_than_an_election_keeps_its_place() {
    let mut group = Group::new(3);
    group.tune = |config| {
        config.heartbeat = Duration::from_millis(100);
        config.election = Duration::from_millis(1600)..Duration::from_millis(1800);
    };
    group.start().await;
    let leader = group.leader().await;
    let before = group.hosts[leader].status();
    group.hosts[leader].plug.pull();
    // Longer than openraft's lease, which is nine twentieths of the longest.
    tokio::time::sleep(Duration::from_millis(840)).await;
    group.hosts[leader].plug.put_back();
    // Long enough for any of them to stand and win.
    tokio::time::sleep(Duration::from_secs(2)).await;
    for host in &group.hosts {
        assert_eq!(host.status().term, before.term, "{:?}", host.status());
    }
    assert_eq!(group.hosts[leader].status().role, Role::Leader);
    group.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_that_comes_back_does_not_depose_the_leader() {
    let mut group = Group::new(3);
    group.start().await;
    let leader = group.leader().await;
    let away = (leader + 1) % 3;
    group.cut(away);
    // Longer than any election timeout, with writes that the absent one misses.
    let begun = Instant::now();
    let mut written = 0;
    while begun.elapsed() < Duration::from_millis(2500) {
        group.hosts[leader].raft().propose(vec![1]).await.unwrap();
        written += 1;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let before = group.hosts[leader].status();
    assert!(
        group.hosts[away].status().term <= before.term,
        "it stood for no election that it could not win"
    );
    group.heal();
    group.converge(written).await;
    let after = group.hosts[leader].status();
    assert_eq!((after.role, after.term), (Role::Leader, before.term));
    group.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pulled_cable_and_putting_it_back_cost_seconds_and_no_quic_timeout() {
    let mut group = Group::new(3);
    group.start().await;
    let old = group.leader().await;
    let lost = group.hosts[old].id();
    group.hosts[old].raft().propose(vec![0]).await.unwrap();

    let begun = Instant::now();
    group.hosts[old].plug.pull();
    let rest: Vec<&Host> = group.hosts.iter().filter(|h| h.id() != lost).collect();
    for host in &rest {
        host.until_another_leads(lost).await;
        host.raft().propose(vec![1]).await.unwrap();
    }
    let took = begun.elapsed();
    assert!(took < WAIT / 2, "replacing took {took:?}");
    // Long enough for every connection to have backed off.
    tokio::time::sleep(Duration::from_secs(2)).await;

    let begun = Instant::now();
    group.hosts[old].plug.put_back();
    group.converge(3).await;
    let took = begun.elapsed();
    assert!(took < WAIT / 2, "catching up took {took:?}");
    group.hosts[old].raft().propose(vec![2]).await.unwrap();
    group.converge(4).await;
    group.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leadership_moves_when_asked() {
    let mut group = Group::new(3);
    group.start().await;
    let leader = group.leader().await;
    let next = (leader + 1) % 3;
    let asked = &group.hosts[(leader + 2) % 3];
    let id = group.hosts[next].id();
    asked.raft().transfer_leadership(Some(id)).await.unwrap();
    for host in &group.hosts {
        let wanted = |status: &raft::Status| status.leader == Some(id);
        host.until("the wanted leader", wanted).await;
    }
    let raft = group.hosts[next].raft();
    raft.transfer_leadership(None).await.unwrap();
    for host in &group.hosts {
        host.until_another_leads(id).await;
    }
    group.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_hands_over_before_it_is_removed() {
    let mut group = Group::new(3);
    group.start().await;
    let leader = group.leader().await;
    let id = group.hosts[leader].id();
    group.hosts[leader].raft().remove(id).await.unwrap();
    for host in group.hosts.iter().filter(|host| host.id() != id) {
        let status = host
            .until("two members", |status| status.members.len() == 2)
            .await;
        assert!(!status.members.contains_key(&id));
    }
    group.stop(leader).await;
    let rest = group.hosts.iter().find(|host| host.raft.is_some()).unwrap();
    rest.raft().propose(vec![1]).await.unwrap();
    group.stop_all().await;
}
