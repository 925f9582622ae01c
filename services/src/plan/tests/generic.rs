//! Generic resources are given once, and again when they are free.

use std::collections::BTreeSet;

use proptest::prelude::*;

use crate::command::{Change, Command};
use crate::generic::{Amount, Generic};
use crate::id::Id;
use crate::object::TaskState;
use crate::spec::ServiceSpec;
use crate::testing::{SECOND, World, scale, set_image, web};

fn equip(world: &mut World, name: &str, generic: Generic) {
    let node = world.state.find_node(name).unwrap().clone();
    let mut description = node.description.clone().unwrap();
    description.generic = generic;
    world.describe(node.id, description);
}

fn named(kind: &str, names: &[&str]) -> (String, Amount) {
    let names = names.iter().map(|&name| name.to_owned()).collect();
    (kind.to_owned(), Amount::Named(names))
}

fn number(kind: &str, number: u64) -> (String, Amount) {
    (kind.to_owned(), Amount::Discrete(number))
}

fn wanting(name: &str, replicas: u64, kind: &str, count: u64) -> ServiceSpec {
    let mut spec = web(replicas);
    name.clone_into(&mut spec.name);
    spec.task.generic = [(kind.to_owned(), count)].into();
    spec
}

fn given(world: &World, service: Id) -> Vec<Generic> {
    let running = world.running(service);
    running.iter().map(|task| task.generic.clone()).collect()
}

#[test]
fn named_ones_are_given_by_their_names() {
    let mut world = World::with_nodes(2);
    equip(&mut world, "h1", [named("gpu", &["a", "b", "c"])].into());
    let web = world.create(wanting("web", 2, "gpu", 2));
    world.settle();
    assert_eq!(given(&world, web), [[named("gpu", &["a", "b"])].into()]);
    let waits = world
        .live(web)
        .into_iter()
        .find(|it| it.node.is_none())
        .unwrap();
    assert_eq!(
        waits.status.error.as_deref(),
        Some("no suitable node (insufficient resources on 2 nodes: not enough gpu)")
    );
    equip(&mut world, "h2", [number("gpu", 5)].into());
    world.settle();
    let both: Vec<Generic> = vec![
        [named("gpu", &["a", "b"])].into(),
        [number("gpu", 2)].into(),
    ];
    assert_eq!(given(&world, web), both);
}

#[test]
fn what_a_task_had_is_free_when_it_has_ended() {
    let mut world = World::with_nodes(1);
    equip(&mut world, "h1", [named("gpu", &["a"])].into());
    let web = world.create(wanting("web", 1, "gpu", 1));
    world.settle();
    let first = world.running(web)[0].id;
    world.update(web, |spec| set_image(spec, "web:2"));
    world.settle();
    let second = world.running(web)[0].clone();
    assert_ne!(second.id, first);
    assert_eq!(second.generic, [named("gpu", &["a"])].into());
    let told = &world.state.assignments(second.node.unwrap())[&second.id];
    assert_eq!(
        crate::generic::environment(&told.generic),
        ["DOCKER_RESOURCE_GPU=a"]
    );
    world.command(Command::RemoveService { id: web }).unwrap();
    world.settle();
    let other = world.create(wanting("other", 1, "gpu", 1));
    world.settle();
    assert_eq!(given(&world, other), [[named("gpu", &["a"])].into()]);
}

#[test]
fn a_task_whose_resource_is_gone_is_stopped() {
    let mut world = World::with_nodes(1);
    equip(&mut world, "h1", [named("gpu", &["a", "b"])].into());
    let web = world.create(wanting("web", 2, "gpu", 1));
    world.settle();
    equip(&mut world, "h1", [named("gpu", &["b"])].into());
    world.run_for(SECOND * 10);
    assert_eq!(given(&world, web), [[named("gpu", &["b"])].into()]);
    let rejected = world.tasks(web);
    let rejected = rejected
        .iter()
        .find(|it| it.status.state == TaskState::Rejected);
    let error = rejected.unwrap().status.error.as_deref();
    assert_eq!(error, Some("assigned node no longer meets constraints"));
}

#[test]
fn what_a_task_that_was_given_up_still_uses_is_not_given() {
    let mut world = World::with_nodes(1);
    equip(&mut world, "h1", [named("gpu", &["a"])].into());
    let web = world.create(wanting("web", 1, "gpu", 1));
    world.settle();
    let node = world.node("h1");
    world.kill_node("h1");
    world.run_for(SECOND * 25 * 3600);
    world.create(wanting("other", 1, "gpu", 1));
    world.update(web, |spec| scale(spec, 0));
    world.plan();
    world.reconnect(node);
    world.plan();
    let placed = world.state.tasks().filter(|it| it.node.is_some());
    assert_eq!(placed.count(), 1, "its container runs on");
    world.settle();
    let placed: Vec<_> = world.state.tasks().filter(|it| it.node.is_some()).collect();
    assert_eq!(placed.len(), 1);
    assert_eq!(placed[0].spec.name, "other");
}

#[test]
fn a_plan_that_is_late_gives_nothing_twice() {
    let mut world = World::with_nodes(1);
    let node = world.node("h1");
    equip(&mut world, "h1", [named("gpu", &["a"])].into());
    world.create(wanting("web", 2, "gpu", 1));
    world.plan();
    let waits = world.state.tasks().find(|it| it.node.is_none()).unwrap().id;
    let generic: Generic = [named("gpu", &["a"])].into();
    let late = Change::AssignTaskWith {
        id: waits,
        node,
        generic,
    };
    world
        .command(Command::Plan {
            changes: vec![late],
        })
        .unwrap();
    assert_eq!(world.state.task(waits).unwrap().node, None);
}

#[derive(Debug, Clone)]
enum Step {
    Scale(usize, u64),
    Equip(usize, u8, u64),
    Fail(usize),
    Kill(usize),
    Revive(usize),
    Wait(u32),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..2_usize, 0..6_u64).prop_map(|(service, count)| Step::Scale(service, count)),
        (0..3_usize, any::<u8>(), 0..4_u64)
            .prop_map(|(node, names, n)| Step::Equip(node, names, n)),
        any::<usize>().prop_map(Step::Fail),
        (0..3_usize).prop_map(Step::Kill),
        (0..3_usize).prop_map(Step::Revive),
        (1..20_u32).prop_map(Step::Wait),
    ]
}

/// Of what is held on a node: no name twice, and no more than was there when it
/// was given.
fn check(world: &World) -> Result<(), TestCaseError> {
    for node in world.state.nodes() {
        let mut names: BTreeSet<&str> = BTreeSet::new();
        let mut numbers = 0;
        let tasks = world.state.tasks_of_node(node.id);
        for task in tasks.filter(|it| !it.status.state.is_final()) {
            for amount in task.generic.values() {
                match amount {
                    Amount::Named(own) => {
                        for name in own {
                            prop_assert!(names.insert(name), "{name} is given twice");
                        }
                    }
                    Amount::Discrete(own) => numbers += own,
                }
            }
        }
        let has = node.description.as_ref().unwrap();
        let has = match has.generic.get("ssd") {
            Some(Amount::Discrete(has)) => *has,
            _ => 0,
        };
        let live = world.state.tasks_of_node(node.id);
        let stopping = live.into_iter().any(|it| it.desired > TaskState::Running);
        prop_assert!(stopping || numbers <= has, "{numbers} of {has} are given");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_happens_nothing_is_given_twice(steps in prop::collection::vec(step(), 1..30)) {
        let mut world = World::with_nodes(3);
        let services = [
            world.create(wanting("gpus", 2, "gpu", 2)),
            world.create(wanting("ssds", 2, "ssd", 1)),
        ];
        let host = |node: usize| format!("h{}", node + 1);
        for step in steps {
            match step {
                Step::Scale(service, count) => {
                    world.update(services[service], |spec| scale(spec, count));
                }
                Step::Equip(node, names, count) => {
                    let gpus = (0..8).filter(|bit| names >> bit & 1 == 1);
                    let gpus = gpus.map(|bit| format!("gpu{bit}")).collect();
                    let generic = [
                        ("gpu".to_owned(), Amount::Named(gpus)),
                        ("ssd".to_owned(), Amount::Discrete(count)),
                    ];
                    equip(&mut world, &host(node), generic.into());
                }
                Step::Fail(at) => {
                    let running: Vec<Id> = services
                        .iter()
                        .flat_map(|id| world.running(*id))
                        .map(|task| task.id)
                        .collect();
                    if let Some(id) = running.get(at % running.len().max(1)) {
                        world.fail(*id);
                    }
                }
                Step::Kill(node) => world.kill_node(&host(node)),
                Step::Revive(node) => {
                    let id = world.node(&host(node));
                    world.reconnect(id);
                }
                Step::Wait(seconds) => world.run_for(SECOND * seconds),
            }
            world.settle();
            check(&world)?;
        }
    }
}
