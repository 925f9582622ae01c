use std::time::Duration;

use crate::codec::encode_proposal;
use crate::command::{Change, Command, Proposal};
use crate::object::{PublishedPort, TaskState};
use crate::observed::NodeHealth;
use crate::plan::CHANGES_PER_PROPOSAL;
use crate::spec::{
    Availability, Protocol, ResourceAmounts, RestartCondition, RestartPolicy, ServiceSpec,
};
use crate::testing::{SECOND, World, constrain, reserve_cpus, reserve_memory, set_image, web};

fn with_policy(policy: RestartPolicy) -> ServiceSpec {
    let mut spec = web(1);
    spec.task.restart = Some(policy);
    spec
}

#[test]
fn a_failed_task_is_replaced_in_its_slot_after_the_delay() {
    let mut world = World::with_nodes(1);
    let web = world.create(web(1));
    world.settle();
    world.now = world.now + SECOND * 100;
    let old = world.running(web)[0].clone();
    world.fail(old.id);
    world.settle();
    let new = world.live(web)[0].clone();
    assert_eq!((new.slot.number(), new.desired), (1, TaskState::Ready));
    assert_eq!(
        world.effective(&new),
        TaskState::Ready,
        "prepared meanwhile"
    );
    world.run_for(SECOND * 4);
    assert_eq!(world.running(web).len(), 0);
    world.run_for(SECOND);
    assert_eq!(world.running(web)[0].id, new.id);
    let old = world.state.task(old.id).unwrap();
    assert_eq!(old.status.state, TaskState::Failed);
    assert_eq!(old.status.error.as_deref(), Some("it failed"));
}

/// How many attempts an hour of `image` makes.
fn attempts_in_an_hour(image: &str, policy: RestartPolicy) -> usize {
    let mut world = World::with_nodes(2);
    let mut spec = with_policy(policy);
    set_image(&mut spec, image);
    world.create(spec);
    let mut attempts = 0;
    let end = world.now + SECOND * 3600;
    while world.now < end {
        loop {
            let changes = world.plan();
            let created = |it: &&Change| matches!(it, Change::CreateTask { .. });
            attempts += changes.iter().filter(created).count();
            if !world.work() && changes.is_empty() {
                break;
            }
        }
        world.now = world.next.unwrap_or(end);
    }
    attempts
}

#[test]
fn a_fault_that_stays_is_tried_about_once_a_minute() {
    for image in ["missing", "crash", "once"] {
        for delay in [None, Some(Duration::ZERO)] {
            let attempts = attempts_in_an_hour(
                image,
                RestartPolicy {
                    delay,
                    ..RestartPolicy::default()
                },
            );
            assert!(
                (58..75).contains(&attempts),
                "{image} {delay:?}: {attempts}"
            );
        }
    }
}

#[test]
fn a_task_that_ran_for_long_is_restarted_without_backoff() {
    let mut world = World::with_nodes(1);
    let web = world.create(with_policy(RestartPolicy {
        delay: Some(Duration::ZERO),
        ..RestartPolicy::default()
    }));
    for _ in 0..10 {
        world.run_for(SECOND * 31);
        world.fail(world.running(web)[0].id);
        world.settle();
        assert_eq!(world.running(web).len(), 1);
    }
}

#[test]
fn what_recovers_is_running_within_a_minute() {
    let mut world = World::with_nodes(1);
    let mut spec = web(1);
    constrain(&mut spec, "node.labels.disk==ssd");
    let web = world.create(spec);
    world.run_for(SECOND * 600);
    assert_eq!(world.running(web).len(), 0);
    world.edit_node("h1", |spec| {
        spec.labels.insert("disk".to_owned(), "ssd".to_owned());
    });
    world.settle();
    assert_eq!(
        world.running(web).len(),
        1,
        "a waiting task waits for no timer"
    );
}

#[test]
fn on_failure_leaves_what_completed() {
    let policy = RestartPolicy {
        condition: Some(RestartCondition::OnFailure),
        ..RestartPolicy::default()
    };
    assert_eq!(attempts_in_an_hour("once", policy.clone()), 1);
    assert!(attempts_in_an_hour("crash", policy) > 50);
}

#[test]
fn without_restarts_a_slot_ends_with_its_task() {
    let policy = RestartPolicy {
        condition: Some(RestartCondition::None),
        ..RestartPolicy::default()
    };
    assert_eq!(attempts_in_an_hour("crash", policy.clone()), 1);
    assert_eq!(attempts_in_an_hour("missing", policy), 1);
}

#[test]
fn how_a_slot_ended_is_remembered_without_history() {
    let mut world = World::with_nodes(1);
    world.set_history(0);
    let mut spec = with_policy(RestartPolicy {
        condition: Some(RestartCondition::None),
        ..RestartPolicy::default()
    });
    set_image(&mut spec, "once");
    let web = world.create(spec);
    world.run_for(SECOND * 60);
    let tasks = world.tasks(web);
    assert_eq!(tasks.len(), 1);
    assert_eq!(tasks[0].status.state, TaskState::Complete);
}

#[test]
fn attempts_are_limited() {
    for max in [1, 3, 12] {
        let policy = RestartPolicy {
            max_attempts: Some(max),
            ..RestartPolicy::default()
        };
        // The first task and `max` restarts.
        assert_eq!(attempts_in_an_hour("crash", policy), max as usize + 1);
    }
}

#[test]
fn attempts_before_the_window_do_not_count() {
    let policy = RestartPolicy {
        max_attempts: Some(3),
        window: Some(SECOND * 60),
        ..RestartPolicy::default()
    };
    // Backing off makes them rarer than three in a minute before long.
    let with_backoff = attempts_in_an_hour("crash", policy.clone());
    assert_eq!(with_backoff, 4, "5 s apart, three restarts fit in a minute");
    let slow = RestartPolicy {
        delay: Some(SECOND * 30),
        ..policy
    };
    assert!(attempts_in_an_hour("crash", slow) > 50);
}

#[test]
fn tasks_of_a_dead_node_are_replaced_at_once() {
    let mut world = World::with_nodes(3);
    let web = world.create(web(3));
    world.settle();
    world.kill_node("h2");
    world.settle();
    assert_eq!(world.running(web).len(), 3);
    assert!(!world.spread(web).contains_key("h2"));
    // Back again, it stops what was replaced, and nothing moves.
    let h2 = world.node("h2");
    world.set_health(h2, NodeHealth::Ready);
    world.settle();
    assert_eq!(world.running(web).len(), 3);
    assert!(!world.spread(web).contains_key("h2"));
    let of_h2 = world.state.tasks_of_node(h2).next().unwrap();
    assert_eq!(of_h2.status.state, TaskState::Shutdown);
}

#[test]
fn a_node_not_heard_of_yet_keeps_its_tasks_and_gets_no_more() {
    let mut world = World::with_nodes(2);
    let web = world.create(web(2));
    world.settle();
    world.observed.nodes.remove(&world.node("h1"));
    world.observed.tasks.clear();
    assert_eq!(world.plan(), []);
    world.update(web, |spec| crate::testing::scale(spec, 4));
    world.settle();
    let on_h1 = world.state.tasks_of_node(world.node("h1")).count();
    assert_eq!(on_h1, 1);
}

#[test]
fn a_removed_node_leaves_orphans_and_is_replaced() {
    let mut world = World::with_nodes(2);
    let web = world.create(web(2));
    world.settle();
    let (h1, lost) = (world.node("h1"), world.running(web)[0].clone());
    assert_eq!(lost.node, Some(h1));
    world.command(Command::RemoveNode { id: h1 }).unwrap();
    world.settle();
    let lost = world.state.task(lost.id).unwrap();
    assert_eq!(lost.status.state, TaskState::Orphaned);
    assert_eq!(world.running(web).len(), 2);
}

#[test]
fn draining_moves_tasks_without_delay_and_one_after_the_other_stopped() {
    let mut world = World::with_nodes(2);
    let web = world.create(web(2));
    world.settle();
    world.edit_node("h1", |spec| spec.availability = Availability::Drain);
    world.plan();
    let new = world.live(web)[0].clone();
    assert_eq!(new.desired, TaskState::Ready, "the old one still runs");
    world.settle();
    assert_eq!(world.spread(web), [("h2".to_owned(), 2)].into());
    world.edit_node("h1", |spec| spec.availability = Availability::Active);
    assert_eq!(world.plan(), [], "nothing moves back by itself");
}

#[test]
fn a_task_that_does_not_stop_is_waited_for_a_minute() {
    let mut world = World::with_nodes(2);
    let web = world.create(web(1));
    world.settle();
    world.edit_node("h1", |spec| spec.availability = Availability::Drain);
    world.plan();
    assert_eq!(world.next, Some(world.now + SECOND * 60));
    world.now = world.now + SECOND * 59;
    world.plan();
    assert_eq!(world.live(web)[0].desired, TaskState::Ready);
    world.now = world.now + SECOND;
    world.plan();
    assert_eq!(world.live(web)[0].desired, TaskState::Running);
}

#[test]
fn pausing_keeps_tasks_and_takes_no_more() {
    let mut world = World::with_nodes(2);
    let web = world.create(web(2));
    world.settle();
    world.edit_node("h1", |spec| spec.availability = Availability::Pause);
    assert_eq!(world.plan(), []);
    world.update(web, |spec| crate::testing::scale(spec, 6));
    world.settle();
    assert_eq!(world.spread(web)["h1"], 1);
    assert_eq!(world.spread(web)["h2"], 5);
}

#[test]
fn a_node_that_no_longer_meets_constraints_loses_its_task() {
    let mut world = World::with_nodes(2);
    let label = |spec: &mut crate::spec::NodeSpec| {
        spec.labels.insert("disk".to_owned(), "ssd".to_owned());
    };
    world.edit_node("h1", label);
    let mut spec = web(1);
    constrain(&mut spec, "node.labels.disk==ssd");
    let web = world.create(spec);
    world.settle();
    let old = world.running(web)[0].clone();
    world.edit_node("h1", |spec| spec.labels.clear());
    world.edit_node("h2", label);
    world.settle();
    assert_eq!(world.spread(web), [("h2".to_owned(), 1)].into());
    let old = world.state.task(old.id).unwrap();
    assert_eq!(old.status.state, TaskState::Rejected);
    let error = old.status.error.as_deref();
    assert_eq!(error, Some("assigned node no longer meets constraints"));
    assert_eq!(world.observed.tasks[&old.id].state, TaskState::Shutdown);
}

/// Two tasks run on one node, which then shrinks so that one fits.
fn check_shrinking(
    reserve: impl FnOnce(&mut ServiceSpec),
    shrink: impl FnOnce(&mut ResourceAmounts),
    error: &str,
) {
    let mut world = World::with_nodes(1);
    let mut spec = web(2);
    reserve(&mut spec);
    let web = world.create(spec);
    world.settle();
    let h1 = world.node("h1");
    let mut description = world.state.node(h1).unwrap().description.clone().unwrap();
    shrink(&mut description.resources);
    world.describe(h1, description);
    world.run_for(SECOND * 30);
    let slots: Vec<u64> = world
        .running(web)
        .iter()
        .map(|task| task.slot.number())
        .collect();
    assert_eq!(slots, [1]);
    let waiting = world.live(web)[1].clone();
    assert_eq!(waiting.status.error.as_deref(), Some(error));
}

#[test]
fn a_node_that_shrank_loses_its_newest_task() {
    check_shrinking(
        |spec| reserve_memory(spec, 3 << 30),
        |resources| resources.memory_bytes = 5 << 30,
        "no suitable node (insufficient resources on 1 node: not enough memory)",
    );
    check_shrinking(
        |spec| reserve_cpus(spec, 1_500_000_000),
        |resources| resources.nano_cpus = 2_000_000_000,
        "no suitable node (insufficient resources on 1 node: not enough CPU)",
    );
}

#[test]
fn what_a_node_tells_of_an_outcome_is_bounded() {
    let mut world = World::with_nodes(1);
    let web = world.create(web(1));
    world.settle();
    let id = world.running(web)[0].id;
    world.fail(id);
    let told = world.observed.tasks.get_mut(&id).unwrap();
    told.error = Some("\u{fc}".repeat(1_000_000));
    told.message = "x".repeat(1_000_000);
    let port = PublishedPort {
        protocol: Protocol::Tcp,
        target: 65_535,
        published: 65_535,
        host_ip: Some("fd00::1".parse().unwrap()),
    };
    told.ports = vec![port; 100_000];
    world.plan();
    let kept = &world.state.task(id).unwrap().status;
    assert_eq!(kept.error.as_ref().unwrap().len(), 1024);
    assert_eq!(kept.message.len(), 256);
    let (at, status) = (world.now, kept.clone());
    let changes = vec![Change::SetStatus { id, status }; CHANGES_PER_PROPOSAL];
    let command = Command::Plan { changes };
    encode_proposal(&Proposal { at, command }).unwrap();
}
