//! Whole managers over real connections: what a user of the log can rely on.

#[cfg(test)]
mod group;
#[cfg(test)]
mod leadership;

use std::time::{Duration, Instant};

use group::{Group, WAIT, files};
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
