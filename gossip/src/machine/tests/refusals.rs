//! What a peer that is admitted, but lies, cannot do.

use std::sync::Arc;

use proptest::prelude::*;

use super::kit::{FakeKeys, Swarm, WALL, facts, hash, id_of, machine};
use crate::Facts;
use crate::machine::rng::Rng;
use crate::machine::{Effect, Event, Keys, MAX_MEMBERS, RequestId};
use crate::record::{Body, Head, Signature};
use crate::view::Moment;
use crate::wire::{
    self, Claim, Datagram, Entry, News, Opinion, Parcel, Request, Response, Verdict,
};

fn body(node: u8, facts: Facts) -> Body {
    Body {
        certificate: FakeKeys(node).certificate().into(),
        facts: Arc::new(facts),
    }
}

/// A record that `node` would sign.
fn record(node: u8, incarnation: u64, body: Body) -> News {
    let keys = FakeKeys(node);
    let head = Head::sign(&keys, incarnation, 9, body.digest(&keys), false);
    News::Record {
        head: Arc::new(head),
        body: Arc::new(body),
    }
}

/// A swarm of three, in which the third tells the first this; what the first then
/// believes of `node`'s hostname.
fn hostname_after(news: News, node: u8) -> Option<String> {
    let mut swarm = Swarm::formed(3, 1);
    swarm.datagram(3, 1, Datagram::News(vec![news]));
    let member = swarm.machines[&1].member(id_of(node))?;
    member.facts.map(|facts| facts.hostname.clone())
}

fn renamed(node: u8) -> Facts {
    Facts {
        hostname: "another".to_owned(),
        ..facts(node)
    }
}

#[test]
fn a_newcomer_with_a_certificate_is_let_in() {
    let news = record(7, WALL, body(7, facts(7)));
    assert_eq!(hostname_after(news, 7), Some("n7".to_owned()));
}

#[test]
fn a_record_signed_by_another_than_its_author_is_refused() {
    let News::Record { head, body } = record(2, WALL + 9_000, body(2, renamed(2))) else {
        return;
    };
    let mut forged = Head::clone(&head);
    forged.signature = Signature::new(FakeKeys(3).sign(b"anything"));
    let head = Arc::new(forged);
    assert_eq!(
        hostname_after(News::Record { head, body }, 2),
        Some("n2".to_owned())
    );
}

#[test]
fn a_record_with_another_s_certificate_is_refused() {
    let news = record(7, WALL, body(2, facts(7)));
    assert_eq!(hostname_after(news, 7), None);
}

#[test]
fn a_record_without_a_certificate_of_this_swarm_is_refused() {
    let mut body = body(7, facts(7));
    body.certificate = vec![1, 2, 3].into();
    assert_eq!(hostname_after(record(7, WALL, body), 7), None);
}

#[test]
fn a_body_that_was_not_signed_is_refused() {
    let News::Record { head, .. } = record(7, WALL, body(7, facts(7))) else {
        return;
    };
    let body = Arc::new(body(7, renamed(7)));
    assert_eq!(hostname_after(News::Record { head, body }, 7), None);
}

#[test]
fn a_record_from_the_future_is_refused() {
    let day = 24 * 3_600_000;
    let news = |incarnation| record(7, incarnation, body(7, facts(7)));
    assert_eq!(hostname_after(news(WALL + day + 60_000), 7), None);
    assert!(hostname_after(news(WALL + day - 60_000), 7).is_some());
}

#[test]
fn a_replayed_old_record_is_refused() {
    let news = record(2, WALL - 1, body(2, renamed(2)));
    assert_eq!(hostname_after(news, 2), Some("n2".to_owned()));
}

#[test]
fn facts_beyond_the_limits_are_refused() {
    let mut long = facts(7);
    long.hostname = "x".repeat(256);
    assert_eq!(hostname_after(record(7, WALL, body(7, long)), 7), None);
}

#[test]
fn a_claim_to_be_a_manager_needs_a_manager_s_certificate() {
    let mut bold = facts(7);
    bold.role = certs::Role::Manager;
    assert_eq!(hostname_after(record(7, WALL, body(7, bold)), 7), None);
}

#[test]
fn one_liar_cannot_kill_by_votes() {
    let mut swarm = Swarm::formed(5, 1);
    swarm.run(2_000);
    let incarnation = swarm.machines[&1].member(id_of(2)).unwrap().incarnation;
    for _ in 0..100 {
        let subject = id_of(2);
        swarm.datagram(
            3,
            1,
            Datagram::Doubt {
                subject,
                incarnation,
            },
        );
        let opinion = Opinion::Silent;
        swarm.datagram(
            3,
            1,
            Datagram::Opinion {
                subject,
                incarnation,
                opinion,
            },
        );
        swarm.run(50);
        assert!(!swarm.is_dead(1, 2));
    }
}

#[test]
fn a_false_death_is_refuted_and_incarnations_stay_near_the_time() {
    let mut swarm = Swarm::formed(5, 1);
    swarm.run(2_000);
    for lie in [0, 1_000, u64::MAX] {
        let incarnation = swarm.machines[&1].member(id_of(2)).unwrap().incarnation;
        for to in [1, 2, 4, 5] {
            let death = News::Dead {
                subject: id_of(2),
                incarnation: incarnation.saturating_add(lie),
                by: id_of(3),
                witnesses: 7,
            };
            swarm.datagram(3, to, Datagram::News(vec![death]));
            let doubt = Datagram::Doubt {
                subject: id_of(2),
                incarnation: u64::MAX,
            };
            swarm.datagram(3, to, doubt);
        }
        swarm.until(5_000, Swarm::all_alive);
        swarm.run(3_000);
        assert!(swarm.all_alive(), "{}", swarm.beliefs());
    }
    let incarnation = swarm.machines[&1].member(id_of(2)).unwrap().incarnation;
    assert!(incarnation < WALL + 60_000, "{incarnation}");
}

#[test]
fn a_peer_that_is_not_asked_is_not_believed() {
    let mut swarm = Swarm::formed(3, 1);
    let News::Record { head, body } = record(7, WALL, body(7, facts(7))) else {
        return;
    };
    let parcel = Parcel {
        head,
        body: Some(body),
        claim: Claim::Lives,
    };
    for id in 0..100 {
        let response = Event::Response {
            from: id_of(3),
            id: RequestId(id),
            message: Response::Records {
                parcels: vec![parcel.clone()],
            },
        };
        swarm.event(1, response);
    }
    assert_eq!(swarm.liveness(1, 7), None);
}

#[test]
fn lists_of_members_that_do_not_exist_fill_nothing() {
    let mut machine = machine(1, Moment::ZERO, WALL);
    let mut rng = Rng::new(1);
    for round in 0..20 {
        let entries = (0..wire::MAX_ENTRIES).map(|_| Entry {
            id: certs::NodeId::from(u128::from(rng.next()) << 64 | u128::from(rng.next())),
            incarnation: WALL,
            version: 1,
            claim: Claim::Dead(Verdict {
                by: id_of(3),
                witnesses: 2,
            }),
        });
        let request = Event::Request {
            from: id_of(200 + round),
            id: RequestId(round.into()),
            message: Request::List {
                buckets: wire::Buckets::ALL,
                entries: entries.collect(),
            },
        };
        machine.handle(request, Moment::from_millis(10));
        while machine.poll_effect().is_some() {}
    }
    assert_eq!(machine.members().count(), 1);
    let pending = std::iter::from_fn(|| machine.poll_effect()).count();
    assert!(pending <= 16, "{pending}");
    // What never comes is given up, and what is real can be asked for again.
    for second in 1..20 {
        let tick = Event::Tick { wall_ms: WALL };
        machine.handle(tick, Moment::from_secs(second));
    }
    const { assert!(MAX_MEMBERS <= 20_000) };
}

#[test]
fn subscribers_are_bounded() {
    let mut machine = machine(1, Moment::ZERO, WALL);
    for node in 2..=255 {
        let message = Datagram::Watch { lease_ms: u32::MAX };
        let event = Event::Datagram {
            from: id_of(node),
            message,
        };
        machine.handle(event, Moment::from_millis(1));
    }
    while machine.poll_effect().is_some() {}
    machine.handle(Event::Tick { wall_ms: WALL }, Moment::from_millis(300));
    let beats = std::iter::from_fn(|| machine.poll_effect())
        .filter(|effect| {
            let Effect::Datagram { message, .. } = effect else {
                return false;
            };
            matches!(message, Datagram::Beat { .. })
        })
        .count();
    assert_eq!(beats, 64);
}

fn datagrams() -> impl Strategy<Value = Datagram> {
    let node = 0u8..6;
    let incarnation = prop_oneof![Just(0), Just(WALL), Just(u64::MAX), any::<u64>()];
    let opinion = prop_oneof![
        any::<u32>().prop_map(|age_ms| Opinion::Heard { age_ms }),
        Just(Opinion::Silent),
        Just(Opinion::Unsure),
        Just(Opinion::Unwatched),
    ];
    (0..7, node, incarnation, opinion, any::<u64>()).prop_map(
        |(kind, node, incarnation, opinion, any)| {
            let subject = id_of(node);
            match kind {
                0 => Datagram::Watch {
                    lease_ms: any as u32,
                },
                1 => Datagram::Beat {
                    incarnation,
                    living: any as u32,
                    root: (any >> 32) as u32,
                },
                2 => Datagram::Doubt {
                    subject,
                    incarnation,
                },
                3 => Datagram::Opinion {
                    subject,
                    incarnation,
                    opinion,
                },
                4 => Datagram::News(vec![News::Dead {
                    subject,
                    incarnation,
                    by: id_of(3),
                    witnesses: any as u8,
                }]),
                5 => Datagram::News(vec![News::Accused {
                    subject,
                    incarnation,
                }]),
                _ => Datagram::News(vec![record(node, incarnation, body(node, facts(node)))]),
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// Whatever an admitted peer says, in whatever order and pace: no panic, and the
    /// swarm of the others is whole again soon after it stops.
    #[test]
    fn nonsense_passes(
        lies in prop::collection::vec((0u8..6, 1u8..5, datagrams(), 0u64..2_000), 1..40),
        seed in any::<u64>(),
    ) {
        let mut swarm = Swarm::formed(4, seed);
        for (from, to, datagram, pause) in lies {
            swarm.datagram(from, to, datagram);
            swarm.run(pause);
        }
        swarm.until(15_000, |swarm| {
            let mut pairs = (1..5).flat_map(|a| (1..5).map(move |b| (a, b)));
            pairs.all(|(a, b)| !swarm.is_dead(a, b))
        });
    }

    /// Random faults; when they end, all that are up agree that they are.
    #[test]
    fn faults_end_in_agreement(
        count in 2u8..14,
        seed in any::<u64>(),
        faults in prop::collection::vec((0u8..5, 1u8..14, 0u64..4_000), 1..12),
    ) {
        let mut swarm = Swarm::formed(count, seed);
        for (kind, node, pause) in faults {
            let node = 1 + node % count;
            match kind {
                0 if swarm.machines.len() > 2 => swarm.kill(node),
                1 if !swarm.machines.contains_key(&node) => swarm.boot(node),
                2 => { swarm.frozen.insert(node); }
                3 => { swarm.broken.insert((node, 1 + (node + 1) % count)); }
                _ => {
                    let rest: Vec<u8> = (1..=count).filter(|other| *other > node).collect();
                    let side: Vec<u8> = (1..=node).collect();
                    swarm.split(&side, &rest, true);
                }
            }
            swarm.run(pause);
        }
        swarm.broken.clear();
        let frozen = swarm.frozen.clone();
        frozen.into_iter().for_each(|node| swarm.thaw(node));
        let nodes: Vec<u8> = swarm.machines.keys().copied().collect();
        swarm.until(40_000, |swarm| {
            let mut pairs = nodes.iter().flat_map(|a| nodes.iter().map(move |b| (*a, *b)));
            let mut roots = swarm.machines.values().map(crate::machine::Machine::root);
            let first = roots.next();
            pairs.all(|(a, b)| !swarm.is_dead(a, b)) && roots.all(|root| Some(root) == first)
        });
    }
}

#[test]
fn the_fake_hash_tells_bodies_apart() {
    assert_ne!(hash(b"one"), hash(b"two"));
}
