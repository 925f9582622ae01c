use std::time::Duration;

use crate::command::Command;
use crate::id::Id;
use crate::object::{JobStatus, SlotId, TaskState};
use crate::observed::NodeHealth;
use crate::spec::{RestartCondition, RestartPolicy, ServiceSpec};
use crate::testing::{SECOND, World, constrain, job, scale, set_image};

/// Its tasks run until they are told how they end.
fn long(max_concurrent: u64, total_completions: u64) -> ServiceSpec {
    let mut spec = job(max_concurrent, total_completions);
    set_image(&mut spec, "web:1");
    spec
}

fn slots(world: &World, job: Id) -> Vec<u64> {
    let tasks = world.running(job);
    tasks.iter().map(|task| task.slot.number()).collect()
}

fn numbers(range: std::ops::Range<u64>) -> Vec<SlotId> {
    range.map(SlotId::Number).collect()
}

/// A task that runs ends well.
fn finish(world: &mut World, job: Id, slot: u64) {
    let running = world.running(job);
    let mut running = running.iter();
    let task = running.find(|it| it.slot.number() == slot).unwrap();
    world.end(task.id, TaskState::Complete);
}

#[test]
fn a_job_goes_on_until_all_its_tasks_ended_well() {
    let mut world = World::with_nodes(2);
    let job = world.create(job(2, 5));
    world.run_for(SECOND * 60);
    assert_eq!(world.done(job), numbers(0..5));
    assert_eq!(world.tasks(job).len(), 5);
    assert_eq!(world.next, None);
    world.run_for(SECOND * 3600);
    assert_eq!(world.done(job), numbers(0..5), "what is done is kept");
}

#[test]
fn only_so_many_tasks_run_at_a_time() {
    let mut world = World::with_nodes(2);
    let job = world.create(long(2, 4));
    world.settle();
    assert_eq!(slots(&world, job), [0, 1]);
    finish(&mut world, job, 0);
    world.settle();
    assert_eq!(slots(&world, job), [1, 2]);
    finish(&mut world, job, 2);
    finish(&mut world, job, 1);
    world.settle();
    assert_eq!(slots(&world, job), [3], "no more than are wanted");
    finish(&mut world, job, 3);
    world.settle();
    assert_eq!(world.done(job), numbers(0..4));
}

#[test]
fn a_task_of_a_job_is_to_complete() {
    let mut world = World::with_nodes(1);
    let job = world.create(long(1, 1));
    world.settle();
    let task = world.tasks(job)[0].clone();
    assert_eq!(task.shown_desired(), TaskState::Complete);
    assert_eq!(task.job_iteration, Some(0));
    let node = world.node("h1");
    assert_eq!(task.container_name(), format!("web.{node}.{}", task.id));
    finish(&mut world, job, 0);
    world.settle();
    assert_eq!(world.tasks(job)[0].shown_desired(), TaskState::Complete);
}

#[test]
fn a_node_that_forgot_everything_does_not_run_it_again() {
    let mut world = World::with_nodes(1);
    let job = world.create(job(1, 1));
    world.settle();
    let before = world.tasks(job);
    world.workers.clear();
    world.forget_observed();
    let node = world.node("h1");
    world.set_health(node, NodeHealth::Ready);
    world.settle();
    assert_eq!(world.tasks(job), before);
    let id = before[0].id;
    assert_eq!(world.observed.tasks[&id].state, TaskState::Shutdown);
}

#[test]
fn a_failed_task_is_run_again_after_its_delay() {
    for condition in [RestartCondition::Any, RestartCondition::OnFailure] {
        let mut world = World::with_nodes(1);
        let mut spec = long(2, 3);
        spec.task.restart = Some(RestartPolicy {
            condition: Some(condition),
            ..RestartPolicy::default()
        });
        let job = world.create(spec);
        world.settle();
        world.fail(world.running(job)[0].id);
        world.settle();
        assert_eq!(slots(&world, job), [1], "it waits in its place");
        world.run_for(SECOND * 5);
        assert_eq!(slots(&world, job), [0, 1]);
    }
}

#[test]
fn what_may_not_be_run_again_is_given_up_and_the_rest_goes_on() {
    let mut world = World::with_nodes(1);
    let mut spec = long(1, 3);
    spec.task.restart = Some(RestartPolicy {
        condition: Some(RestartCondition::None),
        ..RestartPolicy::default()
    });
    let job = world.create(spec);
    world.settle();
    world.fail(world.running(job)[0].id);
    world.run_for(SECOND * 60);
    assert_eq!(slots(&world, job), [1]);
    finish(&mut world, job, 1);
    world.settle();
    finish(&mut world, job, 2);
    world.run_for(SECOND * 3600);
    assert_eq!(world.done(job), numbers(1..3));
    assert_eq!(world.live(job).len(), 2);
}

#[test]
fn a_job_that_always_fails_gives_up_after_its_attempts() {
    let mut world = World::with_nodes(1);
    let mut spec = job(1, 1);
    set_image(&mut spec, "crash");
    spec.task.restart = Some(RestartPolicy {
        max_attempts: Some(3),
        delay: Some(Duration::ZERO),
        ..RestartPolicy::default()
    });
    let job = world.create(spec);
    world.run_for(SECOND * 3600);
    assert_eq!(world.tasks(job).len(), 4, "one and three more");
    assert_eq!(world.next, None);
}

#[test]
fn a_lost_task_runs_elsewhere_at_once_whatever_the_policy_says() {
    let mut world = World::with_nodes(2);
    let mut spec = long(2, 2);
    spec.task.restart = Some(RestartPolicy {
        condition: Some(RestartCondition::None),
        ..RestartPolicy::default()
    });
    let job = world.create(spec);
    world.settle();
    world.kill_node("h1");
    world.settle();
    assert_eq!(slots(&world, job), [0, 1]);
    assert_eq!(world.spread(job), [("h2".to_owned(), 2)].into());
}

#[test]
fn what_is_done_outlives_its_node() {
    let mut world = World::with_nodes(2);
    let job = world.create(job(4, 4));
    world.settle();
    let before = world.done(job);
    world.kill_node("h1");
    world.settle();
    let id = world.node("h1");
    world.command(Command::RemoveNode { id }).unwrap();
    world.run_for(SECOND * 60);
    assert_eq!(world.done(job), before);
    assert_eq!(world.tasks(job).len(), 4);
}

#[test]
fn a_new_leader_goes_on_with_the_job() {
    let mut world = World::with_nodes(2);
    let job = world.create(long(2, 3));
    world.settle();
    finish(&mut world, job, 0);
    world.settle();
    let seen = std::mem::take(&mut world.observed);
    assert_eq!(world.plan(), []);
    world.observed = seen;
    assert_eq!(world.plan(), []);
    finish(&mut world, job, 1);
    finish(&mut world, job, 2);
    world.settle();
    assert_eq!(world.done(job), numbers(0..3));
    world.forget_observed();
    assert_eq!(world.plan(), [], "it is over for every leader");
}

#[test]
fn every_write_of_the_spec_is_a_new_run() {
    let mut world = World::with_nodes(2);
    let created = world.now;
    let job = world.create(job(2, 3));
    let first = JobStatus::first(created);
    assert_eq!(world.service(job).job, Some(first));
    world.run_for(SECOND * 10);
    let old = world.tasks(job);
    world.update(job, |spec| spec.task.force_update += 1);
    assert_eq!(world.service(job).job, Some(first.next(world.now)));
    assert_eq!(world.service(job).update, None);
    assert_eq!(world.done(job), []);
    world.run_for(SECOND * 10);
    assert_eq!(world.done(job), numbers(0..3));
    let again = world.tasks(job);
    let again = again.iter().filter(|it| it.job_iteration == Some(1));
    assert_eq!(again.count(), 3);
    let is_history = |id| world.state.task(id).unwrap().desired == TaskState::Shutdown;
    assert!(old.iter().all(|task| is_history(task.id)));
}

#[test]
fn a_new_run_waits_for_what_still_stops() {
    let mut world = World::with_nodes(1);
    let job = world.create(long(2, 4));
    world.settle();
    world.update(job, |spec| set_image(spec, "web:2"));
    world.plan();
    let live = world.live(job);
    assert_eq!(live.len(), 2);
    assert!(live.iter().all(|task| task.desired == TaskState::Ready));
    world.settle();
    assert_eq!(world.images(job), ["web:2"; 2]);
    assert_eq!(slots(&world, job), [0, 1]);
}

#[test]
fn a_task_that_has_to_move_keeps_its_turn() {
    let mut world = World::with_nodes(2);
    let mut spec = long(1, 2);
    constrain(&mut spec, "node.labels.z!=a");
    let job = world.create(spec);
    world.settle();
    finish(&mut world, job, 0);
    world.settle();
    assert_eq!(slots(&world, job), [1]);
    // A new run begins while the node of the last one's task is lost.
    let lost = world.running(job)[0].node.unwrap();
    let name = name_of(&world, lost);
    world.kill_node(&name);
    world.update(job, |spec| set_image(spec, "web:2"));
    world.plan();
    assert_eq!(live_slots(&world, job), numbers(0..1));
    // It is back, and its task stops, when the new one has to move.
    world.reconnect(lost);
    let moved = world.live(job)[0].node.unwrap();
    let name = name_of(&world, moved);
    world.edit_node(&name, |spec| {
        spec.labels.insert("z".to_owned(), "a".to_owned());
    });
    world.plan();
    assert_eq!(live_slots(&world, job), numbers(0..1));
    world.settle();
    assert_eq!(slots(&world, job), [0]);
}

fn name_of(world: &World, node: Id) -> String {
    let description = world.state.node(node).unwrap().description.clone();
    description.unwrap().hostname
}

fn live_slots(world: &World, job: Id) -> Vec<SlotId> {
    world.live(job).iter().map(|task| task.slot).collect()
}

#[test]
fn a_rollback_is_a_new_run_too() {
    let mut world = World::with_nodes(1);
    let job = world.create(long(1, 1));
    world.update(job, |spec| set_image(spec, "once"));
    world.settle();
    let version = world.service(job).meta.version;
    world
        .command(Command::RollbackService { id: job, version })
        .unwrap();
    world.settle();
    assert_eq!(world.images(job), ["web:1"]);
    assert_eq!(world.service(job).update, None);
    assert_eq!(world.service(job).job.unwrap().iteration, 2);
}

#[test]
fn a_job_with_fewer_completions_forgets_the_rest() {
    let mut world = World::with_nodes(1);
    let job = world.create(job(5, 5));
    world.settle();
    world.update(job, |spec| scale(spec, 2));
    world.settle();
    assert_eq!(world.done(job), numbers(0..2));
    let highest = world.tasks(job).last().unwrap().slot;
    assert_eq!(highest, SlotId::Number(1));
}

#[test]
fn a_job_that_may_run_nothing_waits() {
    let mut world = World::with_nodes(1);
    let job = world.create(job(0, 5));
    world.settle();
    assert_eq!(world.tasks(job), []);
}
