use std::collections::BTreeMap;

use crate::command::{Change, Command};
use crate::id::Id;
use crate::object::{SlotId, TaskState, UpdateState};
use crate::observed::NodeHealth;
use crate::spec::{
    Availability, FailureAction, Platform, RestartCondition, RestartPolicy, ServiceSpec,
    UpdateConfig, UpdateOrder,
};
use crate::testing::{
    SECOND, World, constrain, global, global_job, publish, reserve_memory, set_image, web,
};

const GIB: i64 = 1 << 30;

/// `web:1` on each of three nodes.
fn running(edit: impl FnOnce(&mut ServiceSpec)) -> (World, Id) {
    let mut world = World::with_nodes(3);
    let mut spec = global();
    edit(&mut spec);
    let service = world.create(spec);
    world.settle();
    (world, service)
}

/// One task of the service runs on each of these nodes, and no other does.
fn check_on(world: &World, service: Id, hosts: &[&str]) {
    let expected: BTreeMap<String, usize> =
        hosts.iter().map(|host| ((*host).to_owned(), 1)).collect();
    assert_eq!(world.spread(service), expected);
    assert_eq!(world.live(service).len(), hosts.len());
}

fn label(world: &mut World, host: &str, zone: &str) {
    world.edit_node(host, |spec| {
        spec.labels.insert("zone".to_owned(), zone.to_owned());
    });
}

fn drain(world: &mut World, host: &str) {
    world.edit_node(host, |spec| spec.availability = Availability::Drain);
}

fn activate(world: &mut World, host: &str) {
    world.edit_node(host, |spec| spec.availability = Availability::Active);
}

#[test]
fn each_node_has_one_task_and_is_its_slot() {
    let (world, service) = running(|_| {});
    check_on(&world, service, &["h1", "h2", "h3"]);
    for task in world.running(service) {
        let node = task.node.unwrap();
        assert_eq!(task.slot, SlotId::Node(node));
        assert_eq!(task.container_name(), format!("web.{node}.{}", task.id));
        let assignment = &world.state.assignments(node)[&task.id];
        assert_eq!(assignment.container_name(node), task.container_name());
    }
    assert_eq!(world.next, None, "a swarm at rest has nothing to wake for");
}

#[test]
fn a_node_that_joins_gets_its_task() {
    let (mut world, service) = running(|_| {});
    let before = world.running(service);
    world.add_node("h4");
    world.settle();
    check_on(&world, service, &["h1", "h2", "h3", "h4"]);
    let after = world.running(service);
    assert!(before.iter().all(|task| after.contains(task)));
    assert_eq!(world.service(service).update, None);
}

#[test]
fn a_node_that_was_not_heard_of_gets_none() {
    let mut world = World::with_nodes(2);
    world.settle();
    world.forget_observed();
    let service = world.create(global());
    assert_eq!(world.plan(), []);
    let node = world.node("h1");
    world.set_health(node, NodeHealth::Ready);
    world.settle();
    check_on(&world, service, &["h1"]);
}

#[test]
fn a_drained_node_keeps_none_and_gets_one_again() {
    let (mut world, service) = running(|_| {});
    drain(&mut world, "h2");
    world.settle();
    check_on(&world, service, &["h1", "h3"]);
    activate(&mut world, "h2");
    world.settle();
    check_on(&world, service, &["h1", "h2", "h3"]);
}

#[test]
fn a_drained_node_gets_its_task_again_whatever_the_restart_policy_says() {
    let (mut world, service) = running(|spec| {
        spec.task.restart = Some(RestartPolicy {
            condition: Some(RestartCondition::None),
            ..RestartPolicy::default()
        });
    });
    drain(&mut world, "h2");
    world.settle();
    activate(&mut world, "h2");
    world.settle();
    check_on(&world, service, &["h1", "h2", "h3"]);
}

#[test]
fn a_paused_node_keeps_its_task_and_gets_no_new_one() {
    let (mut world, service) = running(|_| {});
    world.edit_node("h2", |spec| spec.availability = Availability::Pause);
    world.settle();
    check_on(&world, service, &["h1", "h2", "h3"]);
    let node = world.node("h2");
    let there = world.running(service);
    let there = there.iter().find(|task| task.node == Some(node)).unwrap();
    world.fail(there.id);
    world.run_for(SECOND * 60);
    check_on(&world, service, &["h1", "h3"]);
    activate(&mut world, "h2");
    world.run_for(SECOND * 60);
    check_on(&world, service, &["h1", "h2", "h3"]);
}

#[test]
fn nothing_takes_the_place_of_a_lost_node() {
    let (mut world, service) = running(|_| {});
    world.kill_node("h2");
    let changes = world.plan();
    assert!(
        !changes.iter().any(|it| matches!(
            it,
            Change::CreateTaskOnNode { .. } | Change::CreateTask { .. }
        )),
        "{changes:?}"
    );
    check_on(&world, service, &["h1", "h3"]);
    let node = world.node("h2");
    world.reconnect(node);
    world.settle();
    check_on(&world, service, &["h1", "h2", "h3"]);
}

#[test]
fn a_removed_node_leaves_nothing_behind() {
    let (mut world, service) = running(|_| {});
    let id = world.node("h2");
    world.kill_node("h2");
    world.settle();
    world.command(Command::RemoveNode { id }).unwrap();
    world.settle();
    check_on(&world, service, &["h1", "h3"]);
    assert_eq!(world.tasks(service).len(), 2);
}

#[test]
fn labels_say_which_nodes_have_a_task() {
    let (mut world, service) = running(|spec| constrain(spec, "node.labels.zone==a"));
    assert_eq!(world.tasks(service), []);
    label(&mut world, "h1", "a");
    label(&mut world, "h2", "a");
    world.settle();
    check_on(&world, service, &["h1", "h2"]);
    label(&mut world, "h1", "b");
    world.settle();
    check_on(&world, service, &["h2"]);
    let rejected = world.tasks(service);
    let rejected = rejected.iter().find(|task| !task.status.state.is_final());
    assert!(rejected.is_some(), "the other one still runs");
    label(&mut world, "h1", "a");
    world.settle();
    check_on(&world, service, &["h1", "h2"]);
}

#[test]
fn an_image_for_other_machines_is_not_sent_there() {
    let (mut world, service) = running(|spec| {
        let placement = spec.task.placement.get_or_insert_default();
        placement.platforms = vec![Platform {
            architecture: "arm64".to_owned(),
            os: "linux".to_owned(),
        }];
    });
    assert_eq!(world.tasks(service), []);
    let node = world.node("h2");
    let mut description = world.state.node(node).unwrap().description.clone().unwrap();
    description.platform.architecture = "aarch64".to_owned();
    world.describe(node, description);
    world.settle();
    check_on(&world, service, &["h2"]);
}

#[test]
fn a_task_waits_for_room_on_its_own_node() {
    let mut world = World::with_nodes(2);
    let mut other = web(1);
    other.name = "other".to_owned();
    reserve_memory(&mut other, 6 * GIB);
    constrain(&mut other, "node.hostname==h1");
    let other = world.create(other);
    world.settle();
    let mut spec = global();
    reserve_memory(&mut spec, 4 * GIB);
    let service = world.create(spec);
    world.settle();
    check_waits(
        &world,
        service,
        "insufficient resources on 1 node: not enough memory",
    );
    world.command(Command::RemoveService { id: other }).unwrap();
    world.settle();
    check_on(&world, service, &["h1", "h2"]);
}

#[test]
fn a_host_port_that_is_taken_is_said() {
    let mut world = World::with_nodes(2);
    let mut other = web(1);
    other.name = "other".to_owned();
    publish(&mut other, 8080);
    constrain(&mut other, "node.hostname==h1");
    world.create(other);
    world.settle();
    let mut spec = global();
    publish(&mut spec, 8080);
    let service = world.create(spec);
    world.settle();
    check_waits(
        &world,
        service,
        "host-mode port already in use on 1 node: 8080/tcp",
    );
}

/// It runs on `h2`, and on `h1` it waits.
fn check_waits(world: &World, service: Id, why: &str) {
    assert_eq!(world.spread(service), [("h2".to_owned(), 1)].into());
    let live = world.live(service);
    let waiting = live.iter().find(|task| task.node.is_none()).unwrap();
    assert_eq!(waiting.slot, SlotId::Node(world.node("h1")));
    let error = format!("no suitable node ({why})");
    assert_eq!(waiting.status.error, Some(error));
}

#[test]
fn a_failed_task_is_restarted_where_it_was() {
    let (mut world, service) = running(|_| {});
    let failed = world.running(service)[0].clone();
    world.fail(failed.id);
    world.run_for(SECOND * 4);
    assert_eq!(world.running(service).len(), 2, "the delay is kept");
    world.run_for(SECOND * 2);
    check_on(&world, service, &["h1", "h2", "h3"]);
    let again = world.running(service);
    let again = again.iter().find(|task| task.slot == failed.slot).unwrap();
    assert_ne!(again.id, failed.id);
}

#[test]
fn what_ended_for_good_is_not_started_again() {
    let (mut world, service) = running(|spec| {
        set_image(spec, "once");
        spec.task.restart = Some(RestartPolicy {
            condition: Some(RestartCondition::OnFailure),
            ..RestartPolicy::default()
        });
    });
    world.run_for(SECOND * 60);
    assert_eq!(world.tasks(service).len(), 3);
    assert_eq!(world.live(service).len(), 0);
}

fn one_by_one(spec: &mut ServiceSpec) {
    spec.update = Some(UpdateConfig {
        parallelism: 1,
        ..UpdateConfig::default()
    });
}

fn check_update(world: &World, service: Id, state: UpdateState) {
    let update = world.service(service).update.clone();
    assert_eq!(update.map(|it| it.state), Some(state));
}

#[test]
fn an_update_goes_from_node_to_node() {
    let (mut world, service) = running(one_by_one);
    world.update(service, |spec| set_image(spec, "web:2"));
    for done in 1..=3 {
        world.plan();
        assert_eq!(world.running(service).len(), 2);
        while world.running(service).len() < 3 {
            world.work();
            if world.running(service).len() < 3 {
                world.plan();
            }
        }
        let images = world.images(service);
        assert_eq!(images.iter().filter(|it| *it == "web:2").count(), done);
        check_on(&world, service, &["h1", "h2", "h3"]);
    }
    world.run_for(SECOND * 5);
    check_update(&world, service, UpdateState::Completed);
}

#[test]
fn a_new_task_may_run_before_the_old_one_stops() {
    let (mut world, service) = running(|spec| {
        spec.update = Some(UpdateConfig {
            order: Some(UpdateOrder::StartFirst),
            ..UpdateConfig::default()
        });
    });
    world.update(service, |spec| set_image(spec, "web:2"));
    for _ in 0..20 {
        world.plan();
        assert!(world.running(service).len() >= 3);
        world.work();
    }
    assert_eq!(world.images(service), ["web:2"; 3]);
    check_on(&world, service, &["h1", "h2", "h3"]);
}

#[test]
fn a_failing_update_rolls_back_on_every_node() {
    let (mut world, service) = running(|spec| {
        one_by_one(spec);
        let update = spec.update.get_or_insert_default();
        update.failure_action = Some(FailureAction::Rollback);
    });
    world.update(service, |spec| set_image(spec, "crash"));
    world.run_for(SECOND * 60);
    check_update(&world, service, UpdateState::RollbackCompleted);
    assert_eq!(world.images(service), ["web:1"; 3]);
}

#[test]
fn an_update_does_not_wait_for_a_lost_node_which_gets_it_later() {
    let (mut world, service) = running(one_by_one);
    world.update(service, |spec| set_image(spec, "web:2"));
    world.plan();
    world.kill_node("h1");
    world.run_for(SECOND * 30);
    check_update(&world, service, UpdateState::Completed);
    check_on(&world, service, &["h2", "h3"]);
    let node = world.node("h1");
    world.reconnect(node);
    world.settle();
    assert_eq!(world.images(service), ["web:2"; 3]);
}

#[test]
fn a_paused_node_is_updated_when_it_is_active_again() {
    let (mut world, service) = running(one_by_one);
    world.edit_node("h2", |spec| spec.availability = Availability::Pause);
    world.update(service, |spec| set_image(spec, "web:2"));
    world.run_for(SECOND * 30);
    check_update(&world, service, UpdateState::Completed);
    let mut images = world.images(service);
    images.sort();
    assert_eq!(images, ["web:1", "web:2", "web:2"]);
    activate(&mut world, "h2");
    world.run_for(SECOND * 30);
    assert_eq!(world.images(service), ["web:2"; 3]);
    check_update(&world, service, UpdateState::Completed);
}

#[test]
fn a_new_leader_does_nothing_before_it_heard_the_nodes() {
    let (mut world, service) = running(|_| {});
    let seen = std::mem::take(&mut world.observed);
    assert_eq!(world.plan(), []);
    world.observed = seen;
    assert_eq!(world.plan(), []);
    check_on(&world, service, &["h1", "h2", "h3"]);
}

#[test]
fn a_new_leader_ends_no_update_before_it_heard_the_nodes() {
    for roll_back in [false, true] {
        let (mut world, service) = running(|_| {});
        world.update(service, |spec| set_image(spec, "web:2"));
        if roll_back {
            world.run_for(SECOND * 60);
            let version = world.service(service).meta.version;
            let back = Command::RollbackService {
                id: service,
                version,
            };
            world.command(back).unwrap();
        }
        let state = |world: &World| {
            let update = world.service(service).update.as_ref();
            update.map(|update| update.state)
        };
        let under_way = state(&world);
        let seen = std::mem::take(&mut world.observed);
        world.plan();
        assert_eq!(state(&world), under_way);
        // Nor while it knows of one only.
        let h1 = world.node("h1");
        world.set_health(h1, NodeHealth::Ready);
        world.plan();
        assert_eq!(state(&world), under_way);
        world.observed = seen;
        world.run_for(SECOND * 60);
        let wanted = match roll_back {
            true => UpdateState::RollbackCompleted,
            false => UpdateState::Completed,
        };
        assert_eq!(state(&world), Some(wanted));
    }
}

#[test]
fn what_its_node_ended_is_no_attempt_of_a_task() {
    let (mut world, service) = running(|spec| {
        spec.task.restart = Some(RestartPolicy {
            max_attempts: Some(1),
            ..RestartPolicy::default()
        });
    });
    for _ in 0..3 {
        drain(&mut world, "h1");
        world.settle();
        activate(&mut world, "h1");
        world.settle();
    }
    check_on(&world, service, &["h1", "h2", "h3"]);
    let h1 = world.node("h1");
    let task = world.running(service);
    let task = task.iter().find(|task| task.node == Some(h1)).unwrap().id;
    world.fail(task);
    world.run_for(SECOND * 60);
    check_on(&world, service, &["h1", "h2", "h3"]);
}

#[test]
fn a_global_job_runs_once_on_each_node_and_on_those_that_come() {
    let mut world = World::with_nodes(2);
    let job = world.create(global_job());
    world.run_for(SECOND * 60);
    assert_eq!(world.done(job).len(), 2);
    world.add_node("h3");
    world.run_for(SECOND * 60);
    let nodes: Vec<SlotId> = world.state.nodes().map(|it| SlotId::Node(it.id)).collect();
    assert_eq!(world.done(job), nodes);
    assert_eq!(world.tasks(job).len(), 3, "once each");
    let desired = world.tasks(job)[0].shown_desired();
    assert_eq!(desired, TaskState::Complete);
}

#[test]
fn a_global_job_is_not_repeated_on_a_node_that_was_away() {
    let mut world = World::with_nodes(2);
    let job = world.create(global_job());
    world.settle();
    let before = world.tasks(job);
    drain(&mut world, "h1");
    world.kill_node("h2");
    world.settle();
    activate(&mut world, "h1");
    let node = world.node("h2");
    world.reconnect(node);
    world.run_for(SECOND * 60);
    assert_eq!(world.tasks(job), before);
}

#[test]
fn a_global_job_that_was_interrupted_runs_again() {
    let mut world = World::with_nodes(1);
    let mut spec = global_job();
    set_image(&mut spec, "web:1");
    let job = world.create(spec);
    world.settle();
    drain(&mut world, "h1");
    world.settle();
    assert_eq!(world.live(job).len(), 0);
    activate(&mut world, "h1");
    world.settle();
    assert_eq!(world.running(job).len(), 1);
}
