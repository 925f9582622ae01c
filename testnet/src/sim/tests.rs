use std::time::Duration;

use super::{Options, Swarm};

const SECOND: u64 = 1_000_000;

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn formed(members: usize, seed: u64) -> Swarm {
    println!("{members} members, seed {seed}");
    let mut swarm = Swarm::formed(Options::new(members, seed));
    swarm.run(secs(3));
    swarm
}

/// Kills some, and waits until all others know.
#[track_caller]
fn lose(swarm: &mut Swarm, victims: &[u32], within: u64) -> u64 {
    let killed = swarm.now;
    for victim in victims {
        swarm.kill(*victim);
    }
    let up = swarm.up().len();
    let known = |swarm: &Swarm| victims.iter().all(|v| swarm.beliefs.believers(*v) == up);
    let at = swarm.until(killed + within, known);
    let missing: Vec<_> = (victims.iter())
        .map(|v| up - swarm.beliefs.believers(*v))
        .collect();
    at.unwrap_or_else(|| panic!("after {within} us not known to {missing:?} of {up}")) - killed
}

#[test]
fn a_death_is_known_to_all_in_time_and_nobody_else_dies() {
    for (members, seed) in [
        (3, 1),
        (4, 2),
        (8, 3),
        (9, 4),
        (10, 5),
        (17, 6),
        (50, 7),
        (100, 8),
    ] {
        let mut swarm = formed(members, seed);
        for victim in 0..2 {
            let took = lose(&mut swarm, &[victim], 1_900_000);
            println!("{members} members: {} ms", took / 1_000);
            swarm.run(secs(2));
        }
        assert_eq!(
            swarm.beliefs.wrong_ever, 0,
            "{members} members, seed {seed}"
        );
        assert!(swarm.agree(), "{members} members, seed {seed}");
    }
}

#[test]
fn strangers_with_one_contact_become_a_swarm() {
    for members in [3, 12, 60] {
        let mut swarm = Swarm::strangers(Options::new(members, 9));
        for member in 1..members as u32 {
            swarm.introduce(member, 0);
        }
        let formed = swarm.until(10 * SECOND, |swarm| {
            swarm.agree() && swarm.beliefs.wrong() == 0
        });
        assert!(formed.is_some(), "{members} members");
    }
}

#[test]
fn a_fifth_lost_at_once_is_known_in_time() {
    for (members, seed) in [(10, 1), (50, 2), (100, 3)] {
        let mut swarm = formed(members, seed);
        let victims: Vec<u32> = (0..members as u32 / 5).collect();
        lose(&mut swarm, &victims, 5 * SECOND);
        swarm.run(secs(10));
        assert_eq!(swarm.beliefs.wrong(), 0);
        assert!(swarm.agree());
    }
}

#[test]
fn a_split_heals_and_all_agree() {
    for (members, seed) in [(3, 1), (8, 2), (20, 3), (60, 4)] {
        for part in [2, 3] {
            let mut swarm = formed(members, seed);
            swarm.split(|member| u8::from(member.is_multiple_of(part)));
            swarm.run(secs(20));
            assert_eq!(swarm.beliefs.wrong(), 0, "within a side nobody dies");
            swarm.split(|_| 0);
            let healed = swarm.now;
            let whole = |swarm: &Swarm| swarm.beliefs.wrong() == 0 && swarm.agree();
            let at = swarm.until(healed + 10 * SECOND, whole);
            assert!(
                at.is_some(),
                "{members} members, 1 of {part}, seed {seed}: {}",
                swarm.beliefs.wrong()
            );
        }
    }
}

#[test]
fn with_a_twentieth_lost_deaths_are_found_and_the_living_live() {
    for (members, seed) in [(4, 1), (8, 2), (30, 3)] {
        let options = Options {
            loss: 50,
            ..Options::new(members, seed)
        };
        let mut swarm = Swarm::formed(options);
        swarm.run(secs(30));
        lose(&mut swarm, &[1], 3 * SECOND);
        swarm.run(secs(30));
        assert!(swarm.beliefs.wrong_longest < 5 * SECOND);
        assert_eq!(swarm.beliefs.wrong(), 0);
    }
}

#[test]
fn a_deaf_member_and_a_mute_one_take_nobody_down() {
    for (deaf, mute) in [(true, false), (false, true)] {
        let mut swarm = formed(20, 5);
        swarm.impair(7, deaf, mute);
        swarm.run(secs(30));
        for observer in (0..20).filter(|member| *member != 7) {
            for subject in (0..20).filter(|member| *member != 7) {
                assert!(
                    !swarm.beliefs.is_dead(observer, subject),
                    "{observer} of {subject}"
                );
            }
        }
        swarm.impair(7, false, false);
        let whole = |swarm: &Swarm| swarm.beliefs.wrong() == 0 && swarm.agree();
        assert!(swarm.until(swarm.now + 10 * SECOND, whole).is_some());
    }
}

#[test]
fn members_that_freeze_take_nobody_down_and_come_back() {
    let mut swarm = formed(20, 6);
    for round in 0..20 {
        for member in 0..5 {
            swarm.freeze(member);
        }
        swarm.run(Duration::from_millis(if round % 5 == 0 {
            4_000
        } else {
            300
        }));
        for member in 0..5 {
            swarm.thaw(member);
        }
        swarm.run(Duration::from_millis(300));
        for observer in 0..20 {
            for subject in 5..20 {
                assert!(
                    !swarm.beliefs.is_dead(observer, subject),
                    "{observer} of {subject}"
                );
            }
        }
    }
    let whole = |swarm: &Swarm| (0..20).all(|m| swarm.beliefs.believers(m) == 0) && swarm.agree();
    assert!(swarm.until(swarm.now + 10 * SECOND, whole).is_some());
}

#[test]
fn the_same_seed_is_the_same_story() {
    let story = |seed| {
        let mut swarm = formed(30, seed);
        swarm.kill(3);
        swarm.run(secs(3));
        (swarm.steps, swarm.traffic.of(0).bytes)
    };
    assert_eq!(story(11), story(11));
    assert_ne!(story(11), story(12));
}

/// Loads change all the while, so that beats always differ in something.
fn run_under_load(swarm: &mut Swarm, time: Duration) {
    let members = swarm.options.members as u64;
    let end = swarm.now + time.as_micros() as u64;
    while swarm.now < end {
        let member = swarm.below(members) as u32;
        let tasks = swarm.below(1_000_000) as u32;
        swarm.load(member, tasks);
        swarm.run(Duration::from_millis(500));
    }
}

#[test]
fn who_lives_is_not_kept_waiting_by_loads_that_change_all_the_while() {
    let members = 300;
    let mut swarm = formed(members, 12);
    run_under_load(&mut swarm, secs(40));
    let (observer, subject) = (3, 100);
    swarm.kill(subject);
    // While the news goes round, and not for so long that it were dead itself.
    swarm.run(Duration::from_millis(450));
    swarm.split(|member| u8::from(member == observer));
    swarm.run(Duration::from_millis(600));
    swarm.split(|_| 0);
    assert_eq!(swarm.beliefs.believers(subject), members - 2);
    assert!(
        !swarm.beliefs.is_dead(observer, subject),
        "it has missed it"
    );
    let back = swarm.now;
    while !swarm.beliefs.is_dead(observer, subject) {
        assert!(swarm.now < back + 5 * SECOND, "it waits for its turn");
        run_under_load(&mut swarm, Duration::from_millis(500));
    }
}
