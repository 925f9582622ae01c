use super::*;

const NODE: Id = Id::from_u128(1);
const TASK: Id = Id::from_u128(2);

fn at(seconds: u64) -> Moment {
    Moment::from_secs(seconds)
}

fn ms(millis: u64) -> Moment {
    Moment::from_millis(millis)
}

/// A node that has said all that it has to say.
fn introduced(now: Moment) -> Tracker {
    let mut tracker = Tracker::new(at(0));
    tracker.heard(NODE, now);
    tracker.engine(NODE, None);
    tracker.told_all(NODE);
    tracker
}

fn settle(tracker: &mut Tracker, now: Moment) -> (NodeHealth, Option<Moment>) {
    let date = Timestamp(0) + now;
    let next = tracker.settle(&BTreeSet::from([NODE]), |_| true, now, date);
    (tracker.observed().nodes[&NODE].health.clone(), next)
}

fn dead(since: Moment) -> Option<Rumour> {
    Some(Rumour::Dead {
        since,
        why: "not heard by n2 and n3 for 0.9 s".into(),
    })
}

fn down(reason: &str) -> NodeHealth {
    NodeHealth::Down {
        reason: reason.into(),
    }
}

fn status(state: TaskState, now: Moment) -> TaskStatus {
    TaskStatus::at(state, Timestamp(0) + now, "")
}

#[test]
fn a_new_leader_gives_up_nobody_before_the_silence_has_passed() {
    let mut tracker = Tracker::new(at(100));
    assert_eq!(
        settle(&mut tracker, at(104)),
        (NodeHealth::Unknown, Some(at(105)))
    );
    assert_eq!(
        settle(&mut tracker, at(105)).0,
        down("no word from it for 5 s")
    );
}

#[test]
fn a_new_leader_is_briefed_once_every_node_has_told_or_is_given_up() {
    let other = Id::from_u128(3);
    let both = BTreeSet::from([NODE, other]);
    let mut tracker = Tracker::new(at(100));
    let mut settled = |tell: &dyn Fn(&mut Tracker), now| {
        tell(&mut tracker);
        tracker.settle(&both, |_| true, now, Timestamp(0) + now);
        tracker.is_briefed()
    };
    assert!(!settled(&|_| {}, at(100)));
    let ready = |tracker: &mut Tracker| {
        tracker.heard(NODE, at(101));
        tracker.engine(NODE, None);
    };
    assert!(!settled(&ready, at(101)), "its tasks are not known");
    assert!(!settled(&|tracker| tracker.told_all(NODE), at(101)));
    let lost = |tracker: &mut Tracker| tracker.rumour(other, dead(at(99)));
    assert!(settled(&lost, at(101)));
}

#[test]
fn a_node_that_joins_is_waited_for_from_then_on() {
    let mut tracker = Tracker::new(at(100));
    let other = Id::from_u128(9);
    tracker.settle(&BTreeSet::from([other]), |_| true, at(100), Timestamp(0));
    assert_eq!(
        settle(&mut tracker, at(200)),
        (NodeHealth::Unknown, Some(at(205)))
    );
    assert_eq!(
        settle(&mut tracker, at(205)).0,
        down("no word from it for 5 s")
    );
}

#[test]
fn silence_takes_a_node_down_and_a_word_brings_it_back() {
    let mut tracker = introduced(at(10));
    assert_eq!(
        settle(&mut tracker, at(14)),
        (NodeHealth::Ready, Some(at(15)))
    );
    assert_eq!(
        settle(&mut tracker, at(15)).0,
        down("no word from it for 5 s")
    );
    tracker.heard(NODE, at(20));
    assert_eq!(settle(&mut tracker, at(20)).0, NodeHealth::Ready);
}

#[test]
fn a_node_that_gossip_calls_dead_is_down_once_its_session_missed_a_beat() {
    let mut tracker = introduced(ms(10_000));
    tracker.rumour(NODE, dead(ms(10_100)));
    assert_eq!(
        settle(&mut tracker, ms(10_100)),
        (NodeHealth::Ready, Some(ms(10_600)))
    );
    assert_eq!(
        settle(&mut tracker, ms(10_600)),
        (down("not heard by n2 and n3 for 0.9 s"), None)
    );
}

#[test]
fn a_new_leader_gives_up_at_once_whom_it_never_heard_and_gossip_calls_dead() {
    let mut tracker = Tracker::new(at(100));
    tracker.rumour(NODE, dead(at(99)));
    // What another manager remembers of the dead node's session.
    tracker.engine(NODE, None);
    tracker.told_all(NODE);
    tracker.task(TASK, status(TaskState::Running, at(90)));
    assert_eq!(
        settle(&mut tracker, at(100)).0,
        down("not heard by n2 and n3 for 0.9 s")
    );
}

#[test]
fn gossips_word_for_a_node_buys_its_session_time_but_not_for_ever() {
    let mut tracker = introduced(at(10));
    tracker.rumour(NODE, Some(Rumour::Alive));
    assert_eq!(
        settle(&mut tracker, at(24)),
        (NodeHealth::Ready, Some(at(25)))
    );
    assert_eq!(
        settle(&mut tracker, at(25)).0,
        down("no manager has heard it for 15 s, though other nodes do")
    );
}

#[test]
fn a_session_that_goes_on_refutes_gossip() {
    let mut tracker = introduced(ms(10_000));
    tracker.rumour(NODE, dead(ms(10_000)));
    for beat in 1..=4 {
        tracker.heard(NODE, ms(10_000 + beat * 500));
        assert_eq!(
            settle(&mut tracker, ms(10_000 + beat * 500)).0,
            NodeHealth::Ready
        );
    }
    assert_eq!(
        settle(&mut tracker, ms(16_900)),
        (NodeHealth::Ready, Some(ms(17_000))),
        "a verdict that was wrong counts no more"
    );
    tracker.rumour(NODE, dead(ms(16_900)));
    assert!(
        matches!(settle(&mut tracker, ms(16_900)).0, NodeHealth::Down { .. }),
        "a new one does"
    );
}

#[test]
fn a_word_that_was_on_its_way_does_not_refute_gossip() {
    let mut tracker = introduced(ms(10_000));
    tracker.rumour(NODE, dead(ms(10_000)));
    tracker.heard(NODE, ms(10_500));
    assert_eq!(settle(&mut tracker, ms(10_500)).1, Some(ms(11_100)));
    assert!(matches!(
        settle(&mut tracker, ms(11_100)).0,
        NodeHealth::Down { .. }
    ));
}

#[test]
fn the_first_reason_and_its_date_stay_while_a_node_is_down() {
    let mut tracker = introduced(at(10));
    let first = settle(&mut tracker, at(15)).0;
    tracker.rumour(NODE, dead(at(16)));
    assert_eq!(settle(&mut tracker, at(17)).0, first);
    let seen = &tracker.observed().nodes[&NODE];
    assert_eq!(seen.since, Timestamp(0) + at(15));
    assert_eq!(tracker.absence(NODE, at(18)), Some(at(3)));
}

#[test]
fn each_change_is_told_once() {
    let mut tracker = introduced(at(10));
    settle(&mut tracker, at(10));
    settle(&mut tracker, at(11));
    let change = |before, after| {
        vec![Change {
            node: NODE,
            before,
            after,
        }]
    };
    let changes = tracker.take_changes();
    assert_eq!(changes, change(NodeHealth::Unknown, NodeHealth::Ready));
    settle(&mut tracker, at(15));
    let changes = tracker.take_changes();
    let gone = down("no word from it for 5 s");
    assert_eq!(changes, change(NodeHealth::Ready, gone));
    settle(&mut tracker, at(16));
    assert_eq!(tracker.take_changes(), []);
}

#[test]
fn a_daemon_that_is_restarted_is_not_given_up_meanwhile() {
    let mut tracker = introduced(at(10));
    tracker.pauses(NODE, at(10));
    tracker.rumour(NODE, dead(at(11)));
    assert_eq!(
        settle(&mut tracker, at(19)),
        (NodeHealth::Ready, Some(at(20)))
    );
    let mut back = introduced(at(10));
    back.pauses(NODE, at(10));
    back.heard(NODE, at(13));
    assert_eq!(settle(&mut back, at(13)), (NodeHealth::Ready, Some(at(18))));
    assert_eq!(
        settle(&mut tracker, at(20)).0,
        down("its daemon was stopped and is not back after 10 s")
    );
}

/// Who is down of five nodes, the first of which leads and is heard, when gossip
/// calls the last `dead` ones dead.
fn down_of_five(dead_ones: usize, tracker: &mut Tracker, now: Moment) -> usize {
    let nodes: BTreeSet<Id> = (1..=5).map(Id::from_u128).collect();
    tracker.heard(Id::from_u128(1), now);
    for id in nodes.iter().rev().take(dead_ones) {
        tracker.rumour(*id, dead(now));
    }
    tracker.settle(&nodes, |_| true, now, Timestamp(1));
    let seen = tracker.observed().nodes.values();
    seen.filter(|seen| matches!(seen.health, NodeHealth::Down { .. }))
        .count()
}

#[test]
fn the_death_of_most_nodes_at_once_is_not_believed() {
    for (dead_ones, down) in [(1, 1), (2, 2), (3, 0), (4, 0)] {
        let mut tracker = Tracker::new(at(0));
        assert_eq!(down_of_five(dead_ones, &mut tracker, at(1)), down);
    }
    let mut tracker = Tracker::new(at(0));
    assert_eq!(down_of_five(2, &mut tracker, at(1)), 2);
    assert_eq!(
        down_of_five(3, &mut tracker, at(2)),
        3,
        "one after the other"
    );
    let mut tracker = Tracker::new(at(0));
    assert_eq!(
        down_of_five(4, &mut tracker, at(5)),
        4,
        "silence is believed"
    );
}

#[test]
fn an_engine_that_does_not_answer_takes_its_node_down_at_once() {
    let mut tracker = introduced(at(1));
    tracker.engine(NODE, Some("engine: refused".into()));
    assert_eq!(settle(&mut tracker, at(1)).0, down("engine: refused"));
    assert_eq!(tracker.absence(NODE, at(1)), None, "it is there");
    tracker.engine(NODE, None);
    assert_eq!(settle(&mut tracker, at(2)).0, NodeHealth::Ready);
}

#[test]
fn a_node_is_not_used_before_all_is_known_of_it() {
    let mut tracker = Tracker::new(at(0));
    tracker.heard(NODE, at(1));
    assert_eq!(settle(&mut tracker, at(1)).0, NodeHealth::Unknown);
    tracker.engine(NODE, None);
    assert_eq!(settle(&mut tracker, at(1)).0, NodeHealth::Unknown);
    tracker.told_all(NODE);
    assert_eq!(settle(&mut tracker, at(1)).0, NodeHealth::Ready);
}

#[test]
fn a_late_report_does_not_bring_a_task_back() {
    let mut tracker = Tracker::new(at(0));
    tracker.task(TASK, status(TaskState::Failed, at(5)));
    tracker.task(TASK, status(TaskState::Running, at(6)));
    assert_eq!(
        tracker.observed().tasks[&TASK].state,
        TaskState::Failed,
        "states only move forward"
    );
}

#[test]
fn what_left_the_state_is_forgotten() {
    let mut tracker = Tracker::new(at(0));
    tracker.heard(NODE, at(1));
    tracker.rumour(NODE, dead(at(1)));
    tracker.task(TASK, status(TaskState::Running, at(1)));
    settle(&mut tracker, at(9));
    tracker.settle(&BTreeSet::new(), |_| false, at(9), Timestamp(1));
    assert!(tracker.observed().nodes.is_empty());
    assert!(tracker.observed().tasks.is_empty());
    assert!(tracker.nodes.is_empty() && tracker.rumours.is_empty());
    assert_eq!(tracker.absence(NODE, at(9)), None);
}

#[test]
fn every_change_of_what_is_seen_counts_and_nothing_else() {
    let mut tracker = Tracker::new(at(0));
    let mut known = tracker.revision();
    let mut changed = |tracker: &Tracker| {
        let before = std::mem::replace(&mut known, tracker.revision());
        before != tracker.revision()
    };
    settle(&mut tracker, at(1));
    assert!(changed(&tracker), "it is unknown");
    tracker.heard(NODE, at(2));
    tracker.engine(NODE, None);
    tracker.told_all(NODE);
    assert!(!changed(&tracker), "that is not settled yet");
    settle(&mut tracker, at(2));
    assert!(changed(&tracker), "it is ready");
    tracker.task(TASK, status(TaskState::Running, at(3)));
    assert!(changed(&tracker), "its task runs");
    tracker.heard(NODE, at(3));
    tracker.task(TASK, status(TaskState::Running, at(2)));
    settle(&mut tracker, at(3));
    assert!(!changed(&tracker), "all of that was known");
    tracker.settle(&BTreeSet::from([NODE]), |_| false, at(4), Timestamp(4));
    assert!(changed(&tracker), "its task is gone");
    assert!(changed(&tracker.succeeded(at(5))), "another term");
}
