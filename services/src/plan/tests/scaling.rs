use crate::object::TaskState;
use crate::testing::{SECOND, World, scale, set_image, web};

#[test]
fn a_new_service_gets_its_replicas_on_all_nodes() {
    let mut world = World::with_nodes(3);
    let web = world.create(web(6));
    world.settle();
    assert_eq!(
        world.spread(web),
        [("h1", 2), ("h2", 2), ("h3", 2)]
            .map(|(host, count)| (host.to_owned(), count))
            .into()
    );
    let slots: Vec<u64> = world
        .running(web)
        .iter()
        .map(|task| task.slot.number())
        .collect();
    assert_eq!(slots, [1, 2, 3, 4, 5, 6]);
    assert_eq!(world.next, None, "a swarm at rest has nothing to wake for");
}

#[test]
fn without_a_number_a_service_has_one_replica() {
    let mut world = World::with_nodes(1);
    let mut spec = web(1);
    spec.mode = crate::spec::Mode::default();
    let web = world.create(spec);
    world.settle();
    assert_eq!(world.running(web).len(), 1);
}

#[test]
fn scaling_replaces_nothing_that_runs() {
    let mut world = World::with_nodes(3);
    let web = world.create(web(3));
    world.settle();
    let before = world.running(web);
    world.update(web, |spec| scale(spec, 5));
    world.settle();
    let after = world.running(web);
    assert_eq!(after.len(), 5);
    assert!(
        before
            .iter()
            .all(|task| after.iter().any(|it| it.id == task.id))
    );
    assert_eq!(world.service(web).update, None);
}

#[test]
fn scaling_down_removes_first_what_does_not_run() {
    let mut world = World::with_nodes(3);
    let web = world.create(web(3));
    world.settle();
    let second = world.running(web)[1].clone();
    world.fail(second.id);
    world.update(web, |spec| scale(spec, 2));
    world.settle();
    let slots: Vec<u64> = world
        .running(web)
        .iter()
        .map(|task| task.slot.number())
        .collect();
    assert_eq!(slots, [1, 3]);
}

#[test]
fn scaling_down_takes_from_the_nodes_that_have_most() {
    let mut world = World::with_nodes(1);
    let web = world.create(web(4));
    world.settle();
    world.add_node("h2");
    world.update(web, |spec| scale(spec, 6));
    world.settle();
    assert_eq!(world.spread(web)["h1"], 4);
    world.update(web, |spec| scale(spec, 4));
    world.settle();
    assert_eq!(world.spread(web)["h1"], 2);
    assert_eq!(world.spread(web)["h2"], 2);
}

#[test]
fn free_slot_numbers_are_taken_again() {
    let mut world = World::with_nodes(1);
    let web = world.create(web(5));
    world.settle();
    world.update(web, |spec| scale(spec, 2));
    world.settle();
    world.update(web, |spec| scale(spec, 4));
    world.settle();
    let slots: Vec<u64> = world
        .running(web)
        .iter()
        .map(|task| task.slot.number())
        .collect();
    assert_eq!(slots, [1, 2, 3, 4]);
}

#[test]
fn a_number_taken_again_waits_for_the_task_before_it() {
    let mut world = World::with_nodes(1);
    let web = world.create(web(2));
    world.settle();
    world.update(web, |spec| scale(spec, 1));
    world.plan();
    world.update(web, |spec| scale(spec, 2));
    world.plan();
    let second = world.live(web)[1].clone();
    assert_eq!(
        (second.slot.number(), second.desired),
        (2, TaskState::Ready)
    );
    world.settle();
    assert_eq!(world.running(web).len(), 2);
}

#[test]
fn a_service_scaled_to_zero_leaves_no_tasks() {
    let mut world = World::with_nodes(2);
    let web = world.create(web(4));
    world.settle();
    world.update(web, |spec| scale(spec, 0));
    world.settle();
    assert!(world.tasks(web).is_empty());
}

#[test]
fn a_removed_service_is_stopped_and_then_forgotten() {
    let mut world = World::with_nodes(2);
    let web = world.create(web(2));
    world.settle();
    world
        .command(crate::Command::RemoveService { id: web })
        .unwrap();
    let tasks = world.tasks(web);
    assert_eq!(tasks.len(), 2, "tasks stay until they stopped");
    assert!(tasks.iter().all(|task| task.desired == TaskState::Remove));
    world.settle();
    assert!(world.tasks(web).is_empty());
    assert!(world.workers.values().all(|tasks| tasks.is_empty()));
}

#[test]
fn tasks_of_a_removed_service_wait_for_their_lost_node() {
    let mut world = World::with_nodes(2);
    let web = world.create(web(2));
    world.settle();
    world.kill_node("h1");
    world
        .command(crate::Command::RemoveService { id: web })
        .unwrap();
    world.settle();
    assert_eq!(world.tasks(web).len(), 1);
    world.run_for(SECOND * 24 * 3600);
    assert!(world.tasks(web).is_empty(), "given up after a day");
}

#[test]
fn a_slot_remembers_as_many_tasks_as_the_history_says() {
    let mut world = World::with_nodes(1);
    let mut spec = web(1);
    set_image(&mut spec, "crash");
    let web = world.create(spec);
    world.run_for(SECOND * 3600);
    let tasks = world.tasks(web);
    assert_eq!(tasks.len(), 5);
    assert_eq!(
        tasks
            .iter()
            .filter(|it| it.desired <= TaskState::Running)
            .count(),
        1
    );
}
