//! Whole sites in virtual time: devices that start, see each other one-sidedly,
//! lose words and crash, all drawn from one seed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use certs::{ClusterId, NodeId};
use proptest::prelude::*;

use super::decide::{AWAY, FORGET, FOUND_WITHIN, Moment, Reason, Step};
use super::seen::Seen;
use super::view::{Says, SwarmDigest, View};

const TICK: Duration = Duration::from_millis(50);
const POLL: Duration = Duration::from_secs(1);

/// SplitMix64.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    fn millis(&mut self, range: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(range.start + self.below(range.end - range.start))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Off,
    Waiting,
    Founding(Moment),
    Joining(Moment, usize),
    /// Of the swarm that the device of this number founded.
    Formed,
    Member(usize),
    Crashed,
}

struct Device {
    life: Life,
    seen: Seen,
    starts: Moment,
    next_poll: Moment,
    said_two: bool,
}

enum Message {
    Ask(usize, usize, View),
    Answer(usize, usize, View),
}

/// What a site is made of.
#[derive(Debug, Clone)]
struct Site {
    seed: u64,
    devices: usize,
    /// Of when the devices start.
    spread: u64,
    loss_percent: u64,
    /// Percent of the ordered pairs in which the first is not shown the second.
    blind_percent: u64,
    /// Apart until then: those of even and those of odd numbers.
    apart_until: Moment,
}

struct World {
    site: Site,
    rng: Rng,
    now: Moment,
    devices: Vec<Device>,
    blind: BTreeSet<(usize, usize)>,
    wire: BTreeMap<(Moment, u64), Message>,
    messages: u64,
}

fn addr(device: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, device as u8 + 1], 2377))
}

fn device_at(addr: SocketAddr) -> usize {
    match addr.ip() {
        std::net::IpAddr::V4(ip) => usize::from(ip.octets()[3]) - 1,
        std::net::IpAddr::V6(_) => unreachable!("all addresses are IPv4"),
    }
}

fn digest(founder: usize) -> SwarmDigest {
    SwarmDigest([founder as u8; 32])
}

impl World {
    fn new(site: Site) -> Self {
        let mut rng = Rng(site.seed);
        let devices: Vec<Device> = (0..site.devices)
            .map(|_| {
                let starts = rng.millis(0..site.spread + 1);
                let id = NodeId::from(u128::from(rng.next()));
                Device {
                    life: Life::Off,
                    seen: Seen::new(id, starts),
                    starts,
                    next_poll: starts,
                    said_two: false,
                }
            })
            .collect();
        let mut blind = BTreeSet::new();
        for a in 0..site.devices {
            for b in 0..a {
                // One of two sees the other, or both do.
                if rng.below(100) < site.blind_percent {
                    blind.insert(if rng.below(2) == 0 { (a, b) } else { (b, a) });
                }
            }
        }
        Self {
            site,
            rng,
            now: Moment::ZERO,
            devices,
            blind,
            wire: BTreeMap::new(),
            messages: 0,
        }
    }

    fn linked(&self, a: usize, b: usize) -> bool {
        self.now >= self.site.apart_until || a % 2 == b % 2
    }

    fn answers(&self, device: usize) -> bool {
        matches!(
            self.devices[device].life,
            Life::Waiting | Life::Joining(..) | Life::Formed
        )
    }

    fn run_until(&mut self, end: Moment) {
        while self.now < end {
            self.now += TICK;
            self.deliver();
            for device in 0..self.devices.len() {
                self.tick(device);
            }
            self.check();
        }
    }

    fn send(&mut self, message: Message) {
        if self.rng.below(100) < self.site.loss_percent {
            return;
        }
        let at = self.now + self.rng.millis(1..200);
        self.messages += 1;
        self.wire.insert((at, self.messages), message);
    }

    fn view(&mut self, device: usize) -> View {
        let now = self.now;
        let device_now = &mut self.devices[device];
        let mut view = device_now.seen.view(now);
        if device_now.life == Life::Formed {
            view.says = Says::Formed {
                swarm: digest(device),
                cluster: ClusterId::from(device as u128),
            };
        }
        view
    }

    fn deliver(&mut self) {
        while let Some(entry) = self.wire.first_entry() {
            if entry.key().0 > self.now {
                return;
            }
            match entry.remove() {
                Message::Ask(from, to, view) if self.answers(to) && self.linked(from, to) => {
                    if self.devices[to].life != Life::Formed {
                        self.devices[to].seen.hear(addr(from), &view, self.now);
                    }
                    let answer = self.view(to);
                    self.send(Message::Answer(to, from, answer));
                }
                Message::Answer(from, to, view)
                    if self.linked(from, to) && self.devices[to].life == Life::Waiting =>
                {
                    self.devices[to].seen.hear(addr(from), &view, self.now);
                }
                _ => {}
            }
        }
    }

    fn tick(&mut self, device: usize) {
        let now = self.now;
        match self.devices[device].life {
            Life::Off if now >= self.devices[device].starts => {
                self.devices[device].life = Life::Waiting;
            }
            Life::Founding(at) if now >= at => self.devices[device].life = Life::Formed,
            Life::Joining(at, founder) if now >= at => {
                let there = self.devices[founder].life == Life::Formed;
                self.devices[device].life = match there && self.linked(device, founder) {
                    true => Life::Member(founder),
                    false => Life::Waiting,
                };
            }
            Life::Waiting => self.wait(device),
            Life::Founding(_) | Life::Formed if now >= self.devices[device].next_poll => {
                let told = (0..self.devices.len()).filter(|other| self.shown(device, *other));
                self.poll(device, told.collect());
            }
            _ => {}
        }
    }

    /// Whether discovery lists `other` for `device`. It goes on listing a device
    /// that is silent because it is founding.
    fn shown(&self, device: usize, other: usize) -> bool {
        let founds = matches!(self.devices[other].life, Life::Founding(_));
        other != device
            && (self.answers(other) || founds)
            && self.linked(device, other)
            && !self.blind.contains(&(device, other))
            && self.now >= self.devices[other].starts + Duration::from_millis(300)
    }

    fn poll(&mut self, device: usize, others: Vec<usize>) {
        self.devices[device].next_poll = self.now + POLL;
        for other in others {
            let view = self.view(device);
            self.send(Message::Ask(device, other, view));
        }
    }

    fn wait(&mut self, device: usize) {
        let now = self.now;
        for other in 0..self.devices.len() {
            if self.shown(device, other) {
                self.devices[device].seen.list(addr(other), now);
            }
        }
        let step = self.devices[device].seen.step(now);
        let mut poll = now >= self.devices[device].next_poll;
        match step {
            Step::Propose => poll = true,
            Step::Found => {
                let within = FOUND_WITHIN.as_millis() as u64;
                let takes = self.rng.millis(100..within);
                self.devices[device].life = Life::Founding(now + takes);
                return;
            }
            Step::Join { at, .. } => {
                let takes = self.rng.millis(50..1500);
                let founder = device_at(at[0]);
                self.devices[device].life = Life::Joining(now + takes, founder);
                return;
            }
            Step::Refuse(_) => self.devices[device].said_two = true,
            Step::Wait(_) => {}
        }
        if poll {
            let places = self.devices[device].seen.places().map(device_at);
            let places = places.collect();
            self.poll(device, places);
        }
    }

    /// The swarms that there are, by the number of their founder.
    fn swarms(&self) -> BTreeSet<usize> {
        let of = |(number, device): (usize, &Device)| match device.life {
            Life::Formed | Life::Founding(_) => Some(number),
            Life::Member(founder) => Some(founder),
            _ => None,
        };
        self.devices.iter().enumerate().filter_map(of).collect()
    }

    fn check(&self) {
        let crashed = self.devices.iter().any(|d| d.life == Life::Crashed);
        let split = self.site.apart_until > Moment::ZERO;
        assert!(
            crashed || split || self.swarms().len() <= 1,
            "two swarms at {:?}: {:?}",
            self.now,
            self.lives()
        );
    }

    fn lives(&self) -> Vec<Life> {
        self.devices.iter().map(|device| device.life).collect()
    }

    fn all_in_one(&self) -> bool {
        let settled = |life: &Life| matches!(life, Life::Formed | Life::Member(_) | Life::Crashed);
        self.lives().iter().all(settled) && self.swarms().len() == 1
    }
}

fn sites() -> impl Strategy<Value = Site> {
    let spread = prop_oneof![Just(0u64), 1u64..2_000, 2_000u64..30_000];
    let blind = prop_oneof![Just(0u64), 1u64..100];
    (any::<u64>(), 1usize..9, spread, 0u64..20, blind).prop_map(
        |(seed, devices, spread, loss_percent, blind_percent)| Site {
            seed,
            devices,
            spread,
            loss_percent,
            blind_percent,
            apart_until: Moment::ZERO,
        },
    )
}

fn secs(seconds: u64) -> Moment {
    Moment::from_secs(seconds)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn devices_that_see_each_other_form_exactly_one_swarm(site in sites()) {
        let mut world = World::new(site);
        world.run_until(secs(120));
        prop_assert!(world.all_in_one(), "{:?}", world.lives());
    }

    #[test]
    fn whoever_crashes_the_others_form_exactly_one_swarm(
        site in sites(),
        victims in proptest::collection::vec((0usize..9, 0u64..40_000), 1..4),
    ) {
        let mut world = World::new(site);
        let mut victims = victims;
        victims.sort_by_key(|(_, at)| *at);
        for (victim, at) in victims {
            world.run_until(Duration::from_millis(at));
            if victim + 1 < world.devices.len() {
                world.devices[victim].life = Life::Crashed;
            }
        }
        // A founder that died may have to be forgotten first.
        world.run_until(secs(60) + FORGET + secs(120));
        // Members of a swarm whose founder is gone stay what they are.
        let orphaned = |device: &Device| {
            matches!(device.life, Life::Member(founder) if world.devices[founder].life == Life::Crashed)
        };
        let orphans = world.devices.iter().any(orphaned);
        prop_assert!(world.all_in_one() || orphans, "{:?}", world.lives());
    }

    #[test]
    fn two_swarms_that_formed_apart_are_neither_merged_nor_chosen_between(
        seed: u64, devices in 4usize..9,
    ) {
        let site = Site {
            seed,
            devices,
            spread: 3_000,
            loss_percent: 0,
            blind_percent: 0,
            apart_until: secs(60),
        };
        let mut world = World::new(site);
        let late = devices - 1;
        world.devices[late].starts = secs(70);
        world.devices[late].seen = Seen::new(NodeId::from(7), secs(70));
        world.run_until(secs(69));
        let before = world.lives();
        prop_assert_eq!(world.swarms().len(), 2, "{:?}", before);
        world.run_until(secs(200));
        let after = world.lives();
        prop_assert_eq!(&before[..late], &after[..late]);
        prop_assert_eq!(after[late], Life::Waiting, "the late one joins neither");
        prop_assert!(world.devices[late].said_two);
    }
}

fn view(id: u128, sequence: u64, says: Says) -> View {
    View {
        id: NodeId::from(id),
        sequence,
        says,
        knows: Vec::new(),
    }
}

const IDLE: Says = Says::Waiting {
    proposes: None,
    grants: None,
};

#[test]
fn a_device_that_sees_nobody_waits_longer_before_it_founds() {
    let mut seen = Seen::new(NodeId::from(5), Moment::ZERO);
    assert_eq!(seen.step(secs(9)), Step::Wait(Reason::Settling));
    assert_eq!(seen.step(secs(10)), Step::Propose);
    assert_eq!(seen.step(secs(10)), Step::Found);
}

#[test]
fn without_an_address_nothing_is_founded() {
    let mut seen = Seen::new(NodeId::from(5), Moment::ZERO);
    seen.set_online(false, secs(1));
    assert_eq!(seen.step(secs(99)), Step::Wait(Reason::Offline));
    seen.set_online(true, secs(100));
    assert_eq!(seen.step(secs(109)), Step::Wait(Reason::Settling));
}

#[test]
fn what_never_proves_itself_holds_nobody_up_for_long() {
    let mut seen = Seen::new(NodeId::from(5), Moment::ZERO);
    let mut founded = None;
    // A stranger announces a new device of the site every second.
    for second in 0..60 {
        let at = SocketAddr::from(([10, 0, 1, second as u8], 2377));
        seen.list(at, secs(second));
        if seen.step(secs(second)) == Step::Found {
            founded = Some(second);
            break;
        }
    }
    assert_eq!(founded, Some(31));
}

#[test]
fn one_candidate_is_granted_at_a_time_and_a_withdrawal_frees_the_grant() {
    let mut seen = Seen::new(NodeId::from(9), Moment::ZERO);
    let proposes = |round| Says::Waiting {
        proposes: Some(round),
        grants: None,
    };
    let granted = |seen: &mut Seen, at| match seen.view(at).says {
        Says::Waiting { grants, .. } => grants.map(|grant| grant.candidate),
        _ => None,
    };
    seen.hear(addr(5), &view(5, 1, proposes(1)), secs(1));
    assert_eq!(granted(&mut seen, secs(1)), Some(NodeId::from(5)));
    seen.hear(addr(3), &view(3, 1, proposes(1)), secs(2));
    assert_eq!(
        granted(&mut seen, secs(2)),
        Some(NodeId::from(5)),
        "only one"
    );
    seen.hear(addr(5), &view(5, 2, IDLE), secs(3));
    seen.hear(addr(3), &view(3, 2, proposes(1)), secs(3));
    assert_eq!(granted(&mut seen, secs(3)), Some(NodeId::from(3)));
    seen.hear(addr(3), &view(3, 1, IDLE), secs(4));
    assert_eq!(
        granted(&mut seen, secs(4)),
        Some(NodeId::from(3)),
        "a word that was overtaken says nothing"
    );
    assert_eq!(granted(&mut seen, secs(3) + AWAY), None, "it has an end");
}

#[test]
fn a_device_that_met_itself_does_not_wait_for_itself() {
    let mut seen = Seen::new(NodeId::from(5), Moment::ZERO);
    let own = addr(0);
    seen.hear(own, &view(5, 1, IDLE), secs(1));
    // Others know it by that address and say so.
    let told = View {
        knows: vec![own],
        ..view(9, 1, IDLE)
    };
    seen.hear(addr(1), &told, secs(1));
    assert_eq!(seen.places().collect::<Vec<_>>(), [addr(1)]);
    assert_eq!(seen.step(secs(4)), Step::Propose);
}

#[test]
fn places_are_bounded_and_forgotten() {
    let mut seen = Seen::new(NodeId::from(9), Moment::ZERO);
    for n in 0..10_000u32 {
        let ip = std::net::Ipv4Addr::from(0x0a00_0000 + n);
        seen.list(SocketAddr::from((ip, 1)), Moment::ZERO);
    }
    assert_eq!(seen.places().count(), super::seen::MAX_PLACES);
    seen.keep_listed(&BTreeSet::new(), AWAY);
    assert_eq!(seen.places().count(), 0);
}
