use super::kit::{Swarm, WALL, facts, id_of};
use crate::machine::Event;
use crate::view::{Liveness, Through};

/// The promise, on a network without loss.
const KNOWN_MS: u64 = 1_500;

#[test]
fn members_that_know_one_address_meet_all() {
    for count in [2, 3, 9, 10, 30] {
        let swarm = Swarm::formed(count, 1);
        assert!(swarm.now.as_millis() < 3_000, "{count}: {:?}", swarm.now);
    }
}

#[test]
fn a_death_is_known_to_all_within_a_second_and_a_half() {
    for count in 3..=12 {
        for seed in 0..10 {
            let mut swarm = Swarm::formed(count, seed);
            swarm.run(3_000 + seed * 29);
            swarm.kill(2);
            let took = swarm.until(KNOWN_MS, |swarm| swarm.dead_for_all(2));
            assert!(took >= 450, "{count} members, seed {seed}: {took} ms");
        }
    }
}

#[test]
fn of_two_the_other_is_presumed_dead_after_a_second_and_a_half() {
    let mut swarm = Swarm::formed(2, 1);
    swarm.run(3_000);
    swarm.kill(2);
    let took = swarm.until(1_800, |swarm| swarm.is_dead(1, 2));
    assert!(took > 1_100, "{took}");
}

#[test]
fn confirmed_by_as_many_as_there_are() {
    for (count, least) in [(3, 1), (4, 2), (8, 2)] {
        let mut swarm = Swarm::formed(count, 5);
        swarm.run(3_000);
        swarm.kill(2);
        swarm.until(KNOWN_MS, |swarm| swarm.dead_for_all(2));
        let Some(Liveness::Dead { witnesses, .. }) = swarm.liveness(1, 2) else {
            panic!("{}", swarm.beliefs());
        };
        assert!(witnesses >= least, "{count} members: {witnesses}");
    }
}

#[test]
fn nothing_changes_while_nothing_happens() {
    let mut swarm = Swarm::formed(8, 1);
    swarm.run(5_000);
    for machine in swarm.machines.values_mut() {
        while machine.poll_effect().is_some() {}
    }
    let (sent, seconds) = (swarm.sent, 60);
    swarm.run(seconds * 1_000);
    assert!(swarm.all_alive());
    // 7 beats four times a second and a lease every three, of each of 8.
    let each = (swarm.sent - sent) as f64 / (8 * seconds) as f64;
    assert!(
        each <= 7.0 * 4.0 + 7.0 / 3.0 + 0.5,
        "{each} messages a second"
    );
}

#[test]
fn the_beats_of_a_small_swarm_fall_together() {
    for seed in 0..10 {
        let mut swarm = Swarm::formed(5, seed);
        swarm.run(5_000);
        let beats = swarm.machines.values();
        let beats: Vec<u128> = beats.map(|machine| machine.last_beat.as_millis()).collect();
        let apart = beats.iter().max().unwrap() - beats.iter().min().unwrap();
        // Some may have begun the next round.
        let apart = apart.min(apart.abs_diff(250));
        assert!(apart <= 30, "seed {seed}: {beats:?}");
    }
}

#[test]
fn a_returner_is_alive_for_all_within_a_second() {
    let mut swarm = Swarm::formed(5, 1);
    swarm.run(1_000);
    swarm.kill(2);
    swarm.until(KNOWN_MS, |swarm| swarm.dead_for_all(2));
    swarm.run(60_000);
    swarm.boot(2);
    swarm.until(1_000, Swarm::all_alive);
}

#[test]
fn a_returner_whose_clock_went_back_goes_beyond_its_earlier_life() {
    let mut swarm = Swarm::formed(5, 1);
    swarm.kill(2);
    swarm.until(KNOWN_MS, |swarm| swarm.dead_for_all(2));
    swarm.boot_as(2, WALL - 3_600_000);
    swarm.until(3_000, Swarm::all_alive);
}

#[test]
fn a_restart_between_two_beats_is_no_death() {
    let mut swarm = Swarm::formed(5, 1);
    swarm.run(1_000);
    swarm.kill(2);
    swarm.run(300);
    swarm.boot(2);
    for _ in 0..200 {
        swarm.run(10);
        assert!(
            (1..=5).all(|node| !swarm.is_dead(node, 2)),
            "{}",
            swarm.beliefs()
        );
    }
    swarm.until(1_000, Swarm::all_alive);
}

#[test]
fn who_says_good_bye_is_gone_at_once() {
    let mut swarm = Swarm::formed(12, 1);
    swarm.run(1_000);
    swarm.event(2, Event::Leave);
    swarm.run(5);
    swarm.kill(2);
    swarm.until(100, |swarm| {
        let mut others = swarm.machines.keys();
        others.all(|node| swarm.liveness(*node, 2) == Some(Liveness::Left))
    });
    swarm.run(5_000);
    assert_eq!(swarm.liveness(1, 2), Some(Liveness::Left));
}

#[test]
fn a_path_that_is_broken_one_way_is_no_death() {
    for path in [(1, 2), (2, 1)] {
        let mut swarm = Swarm::formed(4, 3);
        swarm.run(2_000);
        swarm.broken.insert(path);
        for _ in 0..600 {
            swarm.run(100);
            for (observer, subject) in [(1, 2), (2, 1), (3, 1), (3, 2)] {
                assert!(!swarm.is_dead(observer, subject), "{}", swarm.beliefs());
            }
        }
    }
}

#[test]
fn who_is_heard_by_one_watcher_only_lives_through_it_without_flapping() {
    let mut swarm = Swarm::formed(6, 3);
    swarm.run(2_000);
    swarm.split(&[1], &[3, 4, 5, 6], true);
    swarm.run(1_200);
    for _ in 0..600 {
        swarm.run(50);
        let seen = swarm.machines[&3].member(id_of(1)).unwrap();
        assert_eq!(seen.liveness, Liveness::Alive, "{}", swarm.beliefs());
        assert_eq!(seen.through, Through::Peer(id_of(2)));
    }
}

#[test]
fn a_device_that_runs_in_jerks_takes_nobody_down() {
    let mut swarm = Swarm::formed(5, 4);
    swarm.run(2_000);
    for _ in 0..300 {
        swarm.frozen.insert(1);
        swarm.run(300);
        swarm.thaw(1);
        for _ in 0..3 {
            swarm.run(100);
            assert!(swarm.all_known_alive(), "{}", swarm.beliefs());
        }
    }
}

#[test]
fn a_long_pause_is_a_death_that_is_refuted_and_nobody_else_s() {
    let mut swarm = Swarm::formed(5, 4);
    swarm.run(2_000);
    swarm.frozen.insert(1);
    swarm.until(KNOWN_MS, |swarm| (2..=5).all(|node| swarm.is_dead(node, 1)));
    swarm.run(30_000);
    swarm.thaw(1);
    for _ in 0..30 {
        swarm.run(100);
        assert!(
            (2..=5).all(|node| !swarm.is_dead(1, node)),
            "{}",
            swarm.beliefs()
        );
    }
    swarm.until(2_000, Swarm::all_alive);
}

#[test]
fn the_halves_of_a_split_believe_each_other_dead_and_meet_again() {
    let halves: [(&[u8], &[u8]); 4] = [
        (&[1], &[2, 3]),
        (&[1, 2], &[3, 4]),
        (&[1, 2], &[3, 4, 5, 6, 7, 8]),
        (&[1, 2, 3, 4, 5, 6], &[7, 8, 9, 10, 11, 12]),
    ];
    for (one, other) in halves {
        for pause in [1_000, 3_000, 60_000] {
            let count = one.len() + other.len();
            let mut swarm = Swarm::formed(count as u8, 6);
            swarm.run(2_000);
            swarm.split(one, other, true);
            swarm.run(pause);
            if pause > 10_000 {
                for (a, b) in one.iter().flat_map(|a| other.iter().map(move |b| (*a, *b))) {
                    assert!(
                        swarm.is_dead(a, b) && swarm.is_dead(b, a),
                        "{}",
                        swarm.beliefs()
                    );
                }
            }
            swarm.split(one, other, false);
            swarm.until(8_000, Swarm::all_alive);
            swarm.run(5_000);
            assert!(swarm.all_alive());
        }
    }
}

#[test]
fn a_fifth_of_the_members_lost_at_once_is_found_by_the_rest() {
    let mut swarm = Swarm::formed(40, 7);
    swarm.run(3_000);
    for node in 1..=8 {
        swarm.kill(node);
    }
    swarm.until(5_000, |swarm| (1..=8).all(|node| swarm.dead_for_all(node)));
    swarm.run(5_000);
    for node in 9..=40 {
        assert!((9..=40).all(|other| !swarm.is_dead(node, other)));
    }
}

#[test]
fn two_of_three_lost_leave_one_that_knows() {
    let mut swarm = Swarm::formed(3, 7);
    swarm.run(3_000);
    swarm.kill(1);
    swarm.kill(2);
    swarm.until(2_500, |swarm| swarm.is_dead(3, 1) && swarm.is_dead(3, 2));
    swarm.boot(2);
    swarm.until(3_000, |swarm| !swarm.is_dead(3, 2) && swarm.is_dead(3, 1));
    swarm.until(15_000, |swarm| swarm.is_dead(2, 1));
    assert!(swarm.is_dead(3, 1));
}

#[test]
fn a_changed_address_and_a_changed_load_reach_all() {
    let mut swarm = Swarm::formed(15, 8);
    swarm.run(12_000);
    let mut changed = facts(4);
    changed.addrs[0].set_port(9_999);
    swarm.event(4, Event::Facts(changed.clone()));
    let reached = |facts: crate::Facts| {
        move |swarm: &Swarm| {
            let mut machines = swarm.machines.values();
            machines.all(|m| m.member(id_of(4)).unwrap().facts.as_deref() == Some(&facts))
        }
    };
    swarm.until(200, reached(changed.clone()));
    changed.load.cpu = 50;
    swarm.event(4, Event::Facts(changed.clone()));
    swarm.until(3_000, reached(changed.clone()));
    // The next change of the load waits its turn, and is not lost.
    changed.load.cpu = 60;
    swarm.event(4, Event::Facts(changed.clone()));
    swarm.run(5_000);
    assert!(!reached(changed.clone())(&swarm));
    swarm.until(10_000, reached(changed));
}

#[test]
fn with_a_twentieth_of_all_datagrams_lost_nobody_dies_and_news_arrive() {
    for seed in 0..3 {
        let mut swarm = Swarm::formed(8, seed);
        swarm.loss = 5;
        for _ in 0..1_200 {
            swarm.run(100);
            assert!(swarm.all_known_alive(), "seed {seed}: {}", swarm.beliefs());
        }
        swarm.kill(8);
        swarm.until(2_500, |swarm| swarm.dead_for_all(8));
    }
}

#[test]
fn the_revoked_are_nobody() {
    let mut swarm = Swarm::formed(4, 1);
    let revoked = std::collections::BTreeSet::from([id_of(4)]);
    for node in 1..=3 {
        swarm.event(node, Event::Revoked(revoked.clone()));
    }
    swarm.run(10_000);
    for node in 1..=3 {
        assert_eq!(swarm.liveness(node, 4), None);
    }
}

impl Swarm {
    fn all_known_alive(&self) -> bool {
        let nodes: Vec<u8> = self.machines.keys().copied().collect();
        let mut pairs = nodes
            .iter()
            .flat_map(|a| nodes.iter().map(move |b| (*a, *b)));
        pairs.all(|(observer, subject)| !self.is_dead(observer, subject))
    }
}
