//! Whole managers over real connections: what a user of the log can rely on.

#[cfg(test)]
mod group;

use std::time::{Duration, Instant};

use group::{Group, Host, WAIT, files};
use raft::{MemberError, OpenError, ProposeError, Raft, Role};

fn number(answer: &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(answer.try_into().ok()?))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_manager_applies_commands_in_order_and_answers_each() {
    let mut group = Group::new(1);
    group.start().await;
    let raft = group.hosts[0].raft();
    let mut last = 0;
    for i in 0..10_u8 {
        let applied = raft.propose(vec![i]).await.unwrap();
        assert_eq!(number(&applied.answer), Some(u64::from(i)));
        assert!(applied.index > last);
        last = applied.index;
    }
    assert_eq!(group.hosts[0].status().role, Role::Leader);
    group.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn any_manager_takes_a_command_and_all_apply_it() {
    let mut group = Group::new(3);
    group.start().await;
    for (i, host) in group.hosts.iter().enumerate() {
        let applied = host.raft().propose(vec![i as u8]).await.unwrap();
        assert_eq!(number(&applied.answer), Some(i as u64));
    }
    group.converge(3).await;
    group.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_barrier_on_any_manager_sees_the_last_acknowledged_write() {
    let mut group = Group::new(3);
    group.start().await;
    for i in 0..30_usize {
        let (writer, reader) = (&group.hosts[i % 3], &group.hosts[(i + 1) % 3]);
        let applied = writer.raft().propose(vec![i as u8]).await.unwrap();
        let barrier = reader.raft().read_barrier().await.unwrap();
        assert!(barrier >= applied.index);
        assert_eq!(reader.journal().commands.len(), i + 1);
    }
    group.stop_all().await;
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
        let begun = Instant::now();
        group.stop(leader).await;
        for host in group.hosts.iter().filter(|host| host.raft.is_some()) {
            host.until_another_leads(lost).await;
        }
        times.push(begun.elapsed());
        group.open(leader).await;
        group.converge(written).await;
    }
    // The median, since this machine may be busy with other tests.
    times.sort();
    assert!(times[2] < Duration::from_secs(2), "{times:?}");
    group.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_proposed_while_there_is_no_leader_waits_for_the_next_one() {
    let mut group = Group::new(3);
    group.start().await;
    let leader = group.leader().await;
    let (alone, other) = ((leader + 1) % 3, (leader + 2) % 3);
    group.stop(leader).await;
    group.stop(other).await;
    let raft = group.hosts[alone].raft().clone();
    group.hosts[alone]
        .until("no leader", |status| status.leader.is_none())
        .await;
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
    group.start().await;
    let leader = group.leader().await;
    let lost = [(leader + 1) % 4, (leader + 2) % 4];
    for number in lost {
        group.hosts[number].plug.pull();
    }
    let left = &group.hosts[(leader + 3) % 4];
    left.until("no leader", |status| status.leader.is_none())
        .await;
    for number in lost {
        group.hosts[number].plug.put_back();
    }
    group.leader().await;
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
async fn all_managers_stopped_and_opened_again_go_on() {
    let mut group = Group::new(3);
    group.start().await;
    for i in 0..20 {
        group.hosts[i % 3]
            .raft()
            .propose(vec![i as u8; 100])
            .await
            .unwrap();
    }
    group.stop_all().await;
    for number in 0..3 {
        group.open(number).await;
    }
    group.hosts[1].raft().propose(vec![255]).await.unwrap();
    group.converge(21).await;
    group.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_learner_that_is_far_behind_gets_a_snapshot() {
    let mut group = Group::new(2);
    group.tune = |config| config.snapshot_after_entries = 100;
    group.create(0).await;
    let leader = group.hosts[0].raft().clone();
    for i in 0..40_u32 {
        let batch = (0..25).map(|j| leader.propose(vec![(i ^ j) as u8; 2000]));
        futures::future::try_join_all(batch).await.unwrap();
    }
    let snapshots = group.hosts[0].dir.join("snapshot");
    let whole = || {
        files(&snapshots)
            .keys()
            .any(|path| path.extension().is_some_and(|e| e == "snap"))
    };
    let made = async {
        while !whole() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(WAIT, made)
        .await
        .expect("a snapshot is made");

    group.open(1).await;
    leader.add_learner(group.hosts[1].me).await.unwrap();
    group.converge(1000).await;
    assert!(!files(&group.hosts[1].dir.join("snapshot")).is_empty());
    leader.promote(group.hosts[1].id()).await.unwrap();
    leader.propose(vec![1]).await.unwrap();
    group.converge(1001).await;

    group.stop_all().await;
    group.open(0).await;
    group.open(1).await;
    group.converge(1001).await;
    group.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_managers_write_nothing() {
    let mut group = Group::new(3);
    group.start().await;
    group.hosts[0].raft().propose(vec![1]).await.unwrap();
    group.converge(1).await;
    let snapshot = || -> Vec<_> { group.hosts.iter().map(|host| files(&host.dir)).collect() };
    // A follower may still be writing what the two others have committed.
    let begun = Instant::now();
    let mut before = snapshot();
    loop {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let now = snapshot();
        if now == before {
            break;
        }
        before = now;
        assert!(begun.elapsed() < WAIT, "it never came to rest");
    }
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(before, snapshot());
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

#[tokio::test(flavor = "multi_thread")]
async fn the_last_manager_and_a_stranger_are_refused_changes() {
    let mut group = Group::new(2);
    group.create(0).await;
    let raft = group.hosts[0].raft();
    let refused = |result| matches!(result, Err(MemberError::Refused(_)));
    assert!(refused(raft.remove(group.hosts[0].id()).await));
    assert!(refused(raft.promote(group.hosts[1].id()).await));
    assert!(refused(raft.transfer_leadership(None).await));
    raft.remove(group.hosts[1].id()).await.unwrap();
    group.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_learner_that_was_never_heard_gets_no_vote() {
    let mut group = Group::new(2);
    group.create(0).await;
    let raft = group.hosts[0].raft();
    raft.add_learner(group.hosts[1].me).await.unwrap();
    let promoted = raft.promote(group.hosts[1].id()).await;
    assert!(matches!(promoted, Err(MemberError::Refused(_))));
    raft.propose(vec![1]).await.unwrap();
    group.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_moved_is_found_at_its_new_address() {
    let mut group = Group::new(3);
    group.start().await;
    let leader = group.leader().await;
    let away = (leader + 1) % 3;
    group.stop(away).await;
    group.rebind(away);
    let moved = group.hosts[away].me;
    let raft = group.hosts[leader].raft().clone();
    raft.add_learner(moved).await.unwrap();
    raft.propose(vec![1]).await.unwrap();
    group.open(away).await;
    group.converge(1).await;
    let status = group.hosts[away]
        .until("its address", |status| {
            let me = status.members.get(&moved.id);
            me.is_some_and(|me| me.addr == moved.addr)
        })
        .await;
    assert!(status.members[&moved.id].voter, "it keeps its vote");
    group.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_leader_knows_how_far_each_member_is() {
    let mut group = Group::new(3);
    group.start().await;
    let leader = group.leader().await;
    let applied = group.hosts[leader].raft().propose(vec![1]).await.unwrap();
    let raft = group.hosts[leader].raft();
    let known = async {
        loop {
            let progress = raft.replication();
            let others = progress
                .iter()
                .filter(|(id, _)| **id != group.hosts[leader].id());
            if others
                .filter(|(_, p)| p.matched >= Some(applied.index) && p.heard.is_some())
                .count()
                == 2
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(WAIT, known)
        .await
        .expect("both have matched");
    assert!(
        group.hosts[(leader + 1) % 3]
            .raft()
            .replication()
            .is_empty()
    );
    group.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_group_in_the_same_directory_is_refused() {
    let mut group = Group::new(1);
    group.start().await;
    group.hosts[0].raft().propose(vec![1]).await.unwrap();
    group.stop_all().await;
    let (config, dialer) = (group.config(0), group.dialer(0));
    let refused = Raft::create(config, dialer, group::Journal::default()).await;
    assert!(matches!(refused, Err(OpenError::NotEmpty { .. })));
    group.open(0).await;
    group.converge(1).await;
    group.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_directory_of_another_cluster_is_refused() {
    let mut group = Group::new(1);
    group.start().await;
    group.stop_all().await;
    group.cluster = certs::ClusterId::from(7);
    let refused = group.try_open(0).await;
    assert!(matches!(refused, Err(OpenError::OtherCluster { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_is_too_long_is_refused_and_nothing_else_suffers() {
    let mut group = Group::new(3);
    group.start().await;
    let refused = group.hosts[0]
        .raft()
        .propose(vec![0; raft::MAX_COMMAND + 1])
        .await;
    assert!(matches!(refused, Err(ProposeError::TooLarge { .. })));
    for host in &group.hosts {
        host.raft()
            .propose(vec![1; raft::MAX_COMMAND])
            .await
            .unwrap();
    }
    group.converge(3).await;
    group.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manager_that_was_shut_down_says_so() {
    let mut group = Group::new(1);
    group.start().await;
    let raft = group.hosts[0].raft().clone();
    group.stop_all().await;
    assert_eq!(raft.propose(vec![1]).await, Err(ProposeError::ShutDown));
    assert_eq!(raft.watch().borrow().role, Role::Stopped);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_three_goes_on_alone_with_all_it_holds_and_takes_new_members() {
    let mut group = Group::new(4);
    for number in 0..3 {
        match number {
            0 => group.create(0).await,
            _ => {
                group.open(number).await;
                let me = group.hosts[number].me;
                group.hosts[0].raft().add_learner(me).await.unwrap();
                group.hosts[0].raft().promote(me.id).await.unwrap();
            }
        }
    }
    for command in 0..20 {
        let raft = group.hosts[0].raft();
        raft.propose(vec![command]).await.unwrap();
    }
    group.converge(20).await;
    for number in 0..3 {
        group.stop(number).await;
    }

    // Not the one that led.
    group.take_over(2).await.unwrap();
    let me = group.hosts[2].id();
    let alone =
        |status: &raft::Status| status.leader == Some(me) && status.members.keys().eq([&me]);
    group.hosts[2].until("itself alone", alone).await;
    let applied = group.hosts[2].raft().propose(vec![20]).await.unwrap();
    assert_eq!(number(&applied.answer), Some(20));

    group.stop(2).await;
    group.open(2).await;
    group.hosts[2].until("itself alone again", alone).await;
    group.open(3).await;
    let new = group.hosts[3].me;
    group.hosts[2].raft().add_learner(new).await.unwrap();
    group.hosts[2].raft().promote(new.id).await.unwrap();
    group.converge(21).await;
    group.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manager_that_received_nothing_yet_cannot_go_on_alone() {
    let mut group = Group::new(1);
    let refused = group.take_over(0).await;
    assert!(
        matches!(refused, Err(OpenError::NoLog { .. })),
        "{refused:?}"
    );
    // Nothing was begun: it can still be added to a group.
    group.create(0).await;
    group.stop_all().await;
}
