use std::time::Duration;

use crate::command::Command;
use crate::id::Id;
use crate::object::{TaskState, UpdateState};
use crate::spec::{FailureAction, ServiceSpec, UpdateConfig, UpdateOrder};
use crate::testing::{SECOND, World, constrain, scale, set_image, web};

fn with_update(replicas: u64, config: UpdateConfig) -> ServiceSpec {
    let mut spec = web(replicas);
    spec.update = Some(config);
    spec
}

fn one_by_one() -> UpdateConfig {
    UpdateConfig {
        parallelism: 1,
        ..UpdateConfig::default()
    }
}

fn update_of(world: &World, service: Id) -> (UpdateState, String) {
    let update = world.service(service).update.clone().unwrap();
    (update.state, update.message)
}

fn check_status(world: &World, service: Id, state: UpdateState, message: &str) {
    assert_eq!(update_of(world, service), (state, message.to_owned()));
}

/// Three replicas that run `web:1`, on as many nodes.
fn running(config: UpdateConfig) -> (World, Id) {
    let mut world = World::with_nodes(3);
    let web = world.create(with_update(3, config));
    world.settle();
    (world, web)
}

#[test]
fn an_update_replaces_one_task_after_the_other() {
    let (mut world, web) = running(one_by_one());
    world.update(web, |spec| set_image(spec, "web:2"));
    check_status(&world, web, UpdateState::Updating, "update in progress");
    for done in 1..=3 {
        // The old task stops; then the new one starts.
        world.plan();
        assert_eq!(world.running(web).len(), 2);
        let new: Vec<_> = world
            .live(web)
            .into_iter()
            .filter(|it| it.desired == TaskState::Ready)
            .collect();
        assert_eq!(new.len(), 1, "in step {done}");
        while world.running(web).len() < 3 {
            world.work();
            if world.running(web).len() < 3 {
                world.plan();
            }
        }
        let updated = world.images(web).iter().filter(|it| *it == "web:2").count();
        assert_eq!(updated, done);
    }
    world.settle();
    check_status(&world, web, UpdateState::Updating, "update in progress");
    world.run_for(SECOND * 5);
    check_status(&world, web, UpdateState::Completed, "update completed");
    assert!(
        world
            .service(web)
            .update
            .as_ref()
            .unwrap()
            .completed
            .is_some()
    );
    assert_eq!(world.next, None);
}

#[test]
fn parallelism_zero_is_all_at_once() {
    let (mut world, web) = running(UpdateConfig::default());
    world.update(web, |spec| set_image(spec, "web:2"));
    world.plan();
    assert_eq!(world.running(web).len(), 0);
    world.settle();
    assert_eq!(world.images(web), ["web:2"; 3]);
}

#[test]
fn the_delay_lies_between_tasks() {
    let (mut world, web) = running(UpdateConfig {
        delay: Some(SECOND * 10),
        ..one_by_one()
    });
    world.update(web, |spec| set_image(spec, "web:2"));
    let updated = |world: &World| world.images(web).iter().filter(|it| *it == "web:2").count();
    world.run_for(SECOND * 9);
    assert_eq!(updated(&world), 1);
    world.run_for(SECOND);
    assert_eq!(updated(&world), 2);
    world.run_for(SECOND * 10);
    assert_eq!(updated(&world), 3);
}

#[test]
fn start_first_stops_the_old_task_when_the_new_one_runs() {
    let (mut world, web) = running(UpdateConfig {
        order: Some(UpdateOrder::StartFirst),
        ..one_by_one()
    });
    world.update(web, |spec| set_image(spec, "web:2"));
    loop {
        let planned = world.plan();
        assert!(world.running(web).len() >= 3, "never fewer than wanted");
        if !world.work() && planned.is_empty() {
            break;
        }
    }
    assert_eq!(world.images(web), ["web:2"; 3]);
}

#[test]
fn start_first_keeps_the_old_task_while_the_new_one_fails() {
    let (mut world, web) = running(UpdateConfig {
        order: Some(UpdateOrder::StartFirst),
        failure_action: Some(FailureAction::Continue),
        ..one_by_one()
    });
    world.update(web, |spec| set_image(spec, "missing"));
    world.run_for(SECOND * 600);
    assert_eq!(world.images(web), ["web:1"; 3]);
    let (state, _) = update_of(&world, web);
    assert_eq!(state, UpdateState::Updating);
}

#[test]
fn a_failing_update_is_paused_and_a_new_one_goes_on() {
    let (mut world, web) = running(one_by_one());
    world.update(web, |spec| set_image(spec, "crash"));
    world.run_for(SECOND * 60);
    let (state, message) = update_of(&world, web);
    assert_eq!(state, UpdateState::Paused);
    let start = "update paused due to failure or early termination of task ";
    let failed: Id = message.strip_prefix(start).unwrap().parse().unwrap();
    assert_ne!(failed, Id::default());
    assert_eq!(world.images(web), ["web:1"; 2], "the others are left alone");
    world.update(web, |spec| set_image(spec, "web:3"));
    world.run_for(SECOND * 10);
    assert_eq!(world.images(web), ["web:3"; 3]);
    check_status(&world, web, UpdateState::Completed, "update completed");
}

#[test]
fn failures_after_the_monitored_time_do_not_pause() {
    let (mut world, web) = running(UpdateConfig {
        parallelism: 1,
        delay: Some(SECOND * 20),
        monitor: Some(SECOND * 5),
        ..UpdateConfig::default()
    });
    world.update(web, |spec| set_image(spec, "web:2"));
    world.run_for(SECOND * 10);
    let new = world
        .running(web)
        .into_iter()
        .find(|it| it.spec.task.container.image == "web:2");
    world.fail(new.unwrap().id);
    world.run_for(SECOND * 60);
    check_status(&world, web, UpdateState::Completed, "update completed");
    assert_eq!(world.images(web), ["web:2"; 3]);
}

#[test]
fn the_failure_ratio_is_of_the_slots_to_update() {
    let (mut world, web) = running(UpdateConfig {
        parallelism: 0,
        max_failure_ratio: 0.4,
        ..UpdateConfig::default()
    });
    world.update(web, |spec| set_image(spec, "web:2"));
    world.settle();
    world.fail(world.running(web)[0].id);
    world.settle();
    let (state, _) = update_of(&world, web);
    assert_eq!(state, UpdateState::Updating, "1 of 3 may fail");
    world.fail(world.running(web)[0].id);
    world.settle();
    let (state, _) = update_of(&world, web);
    assert_eq!(state, UpdateState::Paused, "2 of 3 may not");
}

#[test]
fn a_slot_that_failed_often_still_counts() {
    let (mut world, web) = running(UpdateConfig {
        delay: Some(SECOND * 20),
        monitor: Some(SECOND * 30),
        max_failure_ratio: 0.6,
        ..one_by_one()
    });
    world.set_history(1);
    world.update(web, |spec| {
        set_image(spec, "web:2");
        spec.task.restart = Some(crate::spec::RestartPolicy {
            delay: Some(Duration::ZERO),
            ..Default::default()
        });
    });
    let updated = |world: &World| {
        let running = world.running(web);
        let mut tasks = running.into_iter();
        tasks.rfind(|task| task.spec.task.container.image == "web:2")
    };
    world.settle();
    for _ in 0..4 {
        world.fail(updated(&world).unwrap().id);
        world.run_for(SECOND * 5);
    }
    world.run_for(SECOND * 5);
    let (state, _) = update_of(&world, web);
    assert_eq!(state, UpdateState::Updating, "1 of 3 failed");
    let second = updated(&world).unwrap();
    assert_eq!(second.slot.number(), 2);
    world.fail(second.id);
    world.settle();
    let (state, _) = update_of(&world, web);
    assert_eq!(state, UpdateState::Paused, "2 of 3 failed");
}

#[test]
fn a_failing_update_rolls_back_by_itself_once() {
    let mut config = one_by_one();
    config.failure_action = Some(FailureAction::Rollback);
    let (mut world, web) = running(config);
    world.update(web, |spec| set_image(spec, "missing"));
    world.settle();
    let (state, message) = update_of(&world, web);
    assert_eq!(state, UpdateState::RollbackStarted);
    assert!(
        message.starts_with("update rolled back due to failure"),
        "{message}"
    );
    assert_eq!(world.service(web).previous_spec, None);
    world.run_for(SECOND * 30);
    check_status(
        &world,
        web,
        UpdateState::RollbackCompleted,
        "rollback completed",
    );
    assert_eq!(world.images(web), ["web:1"; 3]);
}

#[test]
fn a_rollback_restores_the_replicas_too() {
    let mut config = one_by_one();
    config.failure_action = Some(FailureAction::Rollback);
    let (mut world, web) = running(config);
    world.update(web, |spec| {
        set_image(spec, "crash");
        scale(spec, 7);
    });
    world.run_for(SECOND * 60);
    assert_eq!(world.images(web), ["web:1"; 3]);
}

#[test]
fn a_rollback_that_fails_is_paused() {
    let (mut world, web) = running(UpdateConfig {
        parallelism: 0,
        failure_action: Some(FailureAction::Rollback),
        ..UpdateConfig::default()
    });
    world.update(web, |spec| {
        set_image(spec, "web:2");
        spec.rollback = spec.update.clone();
    });
    world.run_for(SECOND * 30);
    // Version 1 would now fail: its tasks die while it is rolled back to.
    world.update(web, |spec| set_image(spec, "crash"));
    world.settle();
    check_rollback_started(&world, web);
    let back: Vec<Id> = world.running(web).iter().map(|task| task.id).collect();
    for task in back {
        world.fail(task);
    }
    world.settle();
    let (state, message) = update_of(&world, web);
    assert_eq!(state, UpdateState::RollbackPaused);
    assert!(
        message.starts_with("rollback paused due to failure"),
        "{message}"
    );
}

fn check_rollback_started(world: &World, web: Id) {
    let (state, _) = update_of(world, web);
    assert_eq!(state, UpdateState::RollbackStarted);
}

#[test]
fn a_manual_rollback_twice_is_a_redo() {
    let (mut world, web) = running(UpdateConfig::default());
    world.update(web, |spec| set_image(spec, "web:2"));
    world.run_for(SECOND * 10);
    for image in ["web:1", "web:2"] {
        let version = world.service(web).meta.version;
        world
            .command(Command::RollbackService { id: web, version })
            .unwrap();
        check_status(
            &world,
            web,
            UpdateState::RollbackStarted,
            "manually requested rollback",
        );
        world.run_for(SECOND * 30);
        assert_eq!(world.images(web), [image; 3]);
        check_status(
            &world,
            web,
            UpdateState::RollbackCompleted,
            "rollback completed",
        );
    }
}

#[test]
fn a_forced_update_replaces_equal_tasks() {
    let (mut world, web) = running(UpdateConfig::default());
    let before = world.running(web);
    world.update(web, |spec| spec.task.force_update += 1);
    world.run_for(SECOND * 10);
    let after = world.running(web);
    assert_eq!(after.len(), 3);
    assert!(
        before
            .iter()
            .all(|old| after.iter().all(|new| new.id != old.id))
    );
}

#[test]
fn labels_of_the_service_replace_nothing() {
    let (mut world, web) = running(one_by_one());
    world.update(web, |spec| {
        spec.labels.insert("a".to_owned(), "b".to_owned());
    });
    assert_eq!(world.plan(), []);
    assert_eq!(world.service(web).update, None);
}

#[test]
fn new_constraints_move_only_the_tasks_that_break_them() {
    let (mut world, web) = running(UpdateConfig::default());
    let before = world.running(web);
    world.update(web, |spec| constrain(spec, "node.hostname!=h1"));
    world.run_for(SECOND * 10);
    let after = world.running(web);
    let kept = |it: &&std::sync::Arc<crate::object::Task>| after.iter().any(|new| new.id == it.id);
    assert_eq!(before.iter().filter(kept).count(), 2);
    assert!(!world.spread(web).contains_key("h1"));
    check_status(&world, web, UpdateState::Completed, "update completed");
}

#[test]
fn a_newer_update_supersedes_the_one_under_way() {
    let (mut world, web) = running(one_by_one());
    world.update(web, |spec| set_image(spec, "web:2"));
    world.plan();
    world.work();
    world.update(web, |spec| set_image(spec, "web:3"));
    world.run_for(SECOND * 30);
    assert_eq!(world.images(web), ["web:3"; 3]);
    check_status(&world, web, UpdateState::Completed, "update completed");
}

#[test]
fn scaling_amid_an_update_does_not_lose_it() {
    let (mut world, web) = running(one_by_one());
    world.update(web, |spec| set_image(spec, "web:2"));
    world.plan();
    world.update(web, |spec| scale(spec, 5));
    world.run_for(SECOND * 30);
    assert_eq!(world.images(web), ["web:2"; 5]);
    check_status(&world, web, UpdateState::Completed, "update completed");
}

#[test]
fn a_new_leader_goes_on_with_the_update() {
    let (mut world, web) = running(UpdateConfig {
        delay: Some(SECOND * 10),
        ..one_by_one()
    });
    world.update(web, |spec| set_image(spec, "web:2"));
    world.run_for(SECOND * 5);
    let seen = std::mem::take(&mut world.observed);
    assert_eq!(
        world.plan(),
        [],
        "nothing is done before the nodes are heard"
    );
    world.observed = seen;
    world.run_for(SECOND * 4);
    let updated = |world: &World| world.images(web).iter().filter(|it| *it == "web:2").count();
    assert_eq!(updated(&world), 1, "the delay still counts");
    world.run_for(SECOND * 30);
    assert_eq!(updated(&world), 3);
}

#[test]
fn an_update_of_no_tasks_is_complete_at_once() {
    let mut world = World::with_nodes(1);
    let web = world.create(with_update(0, one_by_one()));
    world.settle();
    world.update(web, |spec| set_image(spec, "web:2"));
    world.settle();
    check_status(&world, web, UpdateState::Completed, "update completed");
}

#[test]
fn a_finished_task_is_updated_too() {
    let mut world = World::with_nodes(1);
    let mut spec = with_update(1, one_by_one());
    set_image(&mut spec, "once");
    spec.task.restart = Some(crate::spec::RestartPolicy {
        condition: Some(crate::spec::RestartCondition::None),
        delay: Some(Duration::ZERO),
        ..Default::default()
    });
    let web = world.create(spec);
    world.run_for(SECOND * 60);
    assert_eq!(world.live(web).len(), 0);
    world.update(web, |spec| set_image(spec, "web:2"));
    world.run_for(SECOND * 60);
    assert_eq!(world.images(web), ["web:2"]);
}
