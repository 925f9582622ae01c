use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn node(id: u128, role: Role, presence: Presence) -> (Id, Node) {
    let vote = match role {
        Role::Manager => Vote::Voter,
        Role::Worker => Vote::None,
    };
    let node = Node {
        name: format!("h{id}"),
        role,
        vote,
        candidate: true,
        zone: None,
        presence,
    };
    (Id::from_u128(id), node)
}

const GONE: Presence = Presence::Gone(Duration::from_secs(12));

/// `M` a manager, `m` one that is gone, `C` a candidate, `c` one that is gone,
/// `?` a candidate that was not heard yet, `U` a manager that a user made,
/// `u` one that is gone, `W` a worker that is no candidate. The first leads.
fn swarm(nodes: &str) -> Situation {
    let nodes = nodes.chars().zip(1u128..).map(|(kind, id)| {
        let role = match kind {
            'M' | 'm' | 'U' | 'u' => Role::Manager,
            _ => Role::Worker,
        };
        let presence = match kind {
            'm' | 'c' | 'u' => GONE,
            '?' => Presence::Unsure,
            _ => Presence::Ready,
        };
        let (id, mut node) = node(id, role, presence);
        node.candidate = !matches!(kind, 'U' | 'u' | 'W');
        (id, node)
    });
    Situation {
        nodes: nodes.collect(),
        wanted: None,
        leader: Id::from_u128(1),
    }
}

fn wanting(wanted: usize, nodes: &str) -> Situation {
    Situation {
        wanted: Some(wanted),
        ..swarm(nodes)
    }
}

fn reasons(mut situation: Situation) -> Vec<String> {
    let mut reasons = Vec::new();
    while let Some(step) = decide(&situation) {
        assert!(reasons.len() < 30, "for ever: {reasons:#?}");
        carry_out(&mut situation, &step);
        let name = &situation.nodes[&step.node].name;
        reasons.push(format!("{name} {}", step.reason));
    }
    reasons
}

/// As the manager does: the role at once, the vote some time after.
fn carry_out(situation: &mut Situation, step: &Step) {
    let node = situation.nodes.get_mut(&step.node).unwrap();
    node.role = step.role;
    if step.role == Role::Worker {
        node.candidate = true;
    }
    let before = decide(situation);
    assert_eq!(before, None, "one step at a time");
    let node = situation.nodes.get_mut(&step.node).unwrap();
    node.vote = match step.role {
        Role::Manager => Vote::Voter,
        Role::Worker => Vote::None,
    };
}

#[test]
fn one_manager_becomes_three_when_there_are_two_candidates() {
    assert_eq!(reasons(swarm("UC")), Vec::<String>::new());
    assert_eq!(
        reasons(swarm("UCC")),
        [
            "h2 is made a manager: 1 of 3 managers",
            "h3 is made a manager: 2 of 3 managers"
        ]
    );
}

#[test]
fn a_swarm_that_is_being_founded_is_left_alone() {
    assert_eq!(decide(&swarm("")), None);
    assert_eq!(decide(&swarm("CCC")), None);
}

#[test]
fn a_dead_manager_is_replaced_before_it_is_let_go() {
    assert_eq!(
        reasons(swarm("MMmCC")),
        [
            "h4 is made a manager: h3 is gone for 12 s",
            "h3 is made a worker: gone for 12 s, and 3 others vote"
        ]
    );
}

#[test]
fn without_a_candidate_a_dead_manager_keeps_its_place() {
    assert_eq!(decide(&swarm("UUu")), None);
    assert_eq!(decide(&swarm("MMmWW")), None);
    assert_eq!(decide(&swarm("MMmc?")), None);
}

#[test]
fn an_even_number_of_managers_is_better_without_the_dead_one() {
    assert_eq!(
        reasons(swarm("UUUu")),
        ["h4 is made a worker: gone for 12 s, and 3 others vote"]
    );
}

#[test]
fn a_worker_that_is_no_candidate_is_never_promoted() {
    assert_eq!(decide(&swarm("UWWWW")), None);
}

#[test]
fn managers_that_users_made_stay_however_many_they_are() {
    for nodes in ["UU", "UUUU", "UUUUU", "UUUUUUU"] {
        assert_eq!(decide(&swarm(nodes)), None, "{nodes}");
        assert_eq!(decide(&wanting(3, nodes)), None, "{nodes}");
    }
}

#[test]
fn fewer_managers_are_kept_where_a_user_wants_fewer() {
    assert_eq!(
        reasons(wanting(3, "MMMMM")),
        [
            "h5 is made a worker: there are 5 managers, 3 are wanted",
            "h4 is made a worker: there are 4 managers, 3 are wanted"
        ]
    );
    assert_eq!(decide(&swarm("MMMMM")), None, "nobody said so");
}

#[test]
fn a_second_manager_without_a_third_is_taken_back() {
    assert_eq!(
        reasons(swarm("UMc")),
        ["h2 is made a worker: 2 managers bear no more losses than 1"]
    );
    assert_eq!(decide(&swarm("UM?")), None, "the third may come");
}

#[test]
fn a_step_under_way_is_waited_for() {
    let mut situation = swarm("UCC");
    let joining = situation.nodes.get_mut(&Id::from_u128(2)).unwrap();
    joining.role = Role::Manager;
    joining.vote = Vote::Learner;
    assert_eq!(decide(&situation), None);
    let joining = situation.nodes.get_mut(&Id::from_u128(2)).unwrap();
    joining.presence = GONE;
    assert_eq!(
        decide(&situation).unwrap().reason,
        "is made a worker: it went away before it took part"
    );
}

#[test]
fn managers_are_spread_over_zones() {
    let mut situation = swarm("UCCC");
    for (id, zone) in [(1, "a"), (2, "a"), (3, "b"), (4, "a")] {
        let node = situation.nodes.get_mut(&Id::from_u128(id)).unwrap();
        node.zone = Some(zone.into());
    }
    assert_eq!(decide(&situation).unwrap().node, Id::from_u128(3));
}

#[test]
fn an_engine_at_fault_costs_no_manager_its_vote_and_makes_none() {
    let mut situation = swarm("MMMCC");
    for id in [3, 4] {
        let node = situation.nodes.get_mut(&Id::from_u128(id)).unwrap();
        node.presence = Presence::Faulty;
    }
    assert_eq!(decide(&situation), None);
    situation.nodes.get_mut(&Id::from_u128(3)).unwrap().presence = GONE;
    assert_eq!(decide(&situation).unwrap().node, Id::from_u128(5));
}

fn live(situation: &Situation) -> usize {
    let voters = situation.voters();
    voters.filter(|(_, node)| !node.is_gone()).count()
}

/// Live voters beyond the quorum; negative where nothing can be agreed on.
fn margin(situation: &Situation) -> isize {
    let quorum = situation.voters().count() / 2 + 1;
    live(situation) as isize - quorum as isize
}

fn any_swarm() -> impl Strategy<Value = Situation> {
    let kinds = prop::sample::select("MmCc?UuWC".chars().collect::<Vec<_>>());
    let nodes = prop::collection::vec((kinds, 0..3u8), 0..12);
    let wanted = prop::sample::select(vec![None, Some(1), Some(3), Some(5), Some(7)]);
    (nodes, wanted).prop_map(|(kinds, wanted)| {
        let letters: String = kinds.iter().map(|(kind, _)| kind).collect();
        let mut situation = swarm(&format!("U{letters}"));
        situation.wanted = wanted;
        for (node, (_, zone)) in situation.nodes.values_mut().skip(1).zip(kinds) {
            node.zone = (zone > 0).then(|| zone.to_string());
        }
        situation
    })
}

proptest! {
    #[test]
    fn no_step_lessens_the_margin_but_to_what_was_asked_for(mut situation in any_swarm()) {
        let asked = situation.wanted.map_or(isize::MAX, |wanted| wanted as isize / 2);
        for _ in 0..40 {
            let before = margin(&situation);
            let Some(step) = decide(&situation) else { break };
            carry_out(&mut situation, &step);
            let after = margin(&situation);
            prop_assert!(after >= before.min(asked), "{step:?}: {before} to {after}");
        }
    }

    #[test]
    fn what_stays_as_it_is_comes_to_rest_and_nobody_is_moved_twice(mut situation in any_swarm()) {
        let mut moved = BTreeSet::new();
        while let Some(step) = decide(&situation) {
            prop_assert!(moved.insert(step.node), "to and fro: {step:?}");
            carry_out(&mut situation, &step);
        }
    }

    #[test]
    fn with_candidates_enough_there_are_as_many_live_managers_as_wanted(
        mut situation in any_swarm(),
        wanted in prop::sample::select(vec![1usize, 3, 5, 7]),
    ) {
        situation.wanted = Some(wanted);
        for id in 100..110 {
            let (id, node) = node(id, Role::Worker, Presence::Ready);
            situation.nodes.insert(id, node);
        }
        situation.nodes.retain(|_, node| node.presence != Presence::Unsure);
        while let Some(step) = decide(&situation) {
            carry_out(&mut situation, &step);
        }
        prop_assert!(live(&situation) >= wanted);
        let surplus = live(&situation) - wanted;
        let made = situation.voters().filter(|(_, node)| !node.candidate).count();
        prop_assert!(surplus == 0 || made + 1 >= live(&situation), "{situation:?}");
    }

    #[test]
    fn failures_and_returns_in_any_order_end_with_the_wanted_managers(
        seed in prop::collection::vec((0..9u128, any::<bool>()), 0..40),
    ) {
        let mut situation = wanting(3, "UCCCCCCCC");
        for (id, there) in seed {
            let voters = situation.voters().count();
            let node = situation.nodes.get_mut(&Id::from_u128(id + 1)).unwrap();
            let before = node.presence;
            node.presence = if there { Presence::Ready } else { GONE };
            // Without a majority there is no leader, and nothing is decided.
            if live(&situation) <= voters / 2 {
                situation.nodes.get_mut(&Id::from_u128(id + 1)).unwrap().presence = before;
            }
            if let Some(step) = decide(&situation) {
                let before = margin(&situation);
                carry_out(&mut situation, &step);
                prop_assert!(margin(&situation) >= before.min(1), "{step:?}");
            }
        }
        for node in situation.nodes.values_mut() {
            node.presence = Presence::Ready;
        }
        while let Some(step) = decide(&situation) {
            carry_out(&mut situation, &step);
        }
        prop_assert_eq!(situation.voters().count(), 3);
    }
}
