//! The rules that need no engine to be shown.

use std::time::Duration;

use services::spec::ServiceSpec;

use super::*;
use crate::runtime::{Container, Exit, Health, Phase, RuntimeError};
use crate::worker::{DRAIN, testing};

const A: Id = Id::from_u128(1);
const NETWORK: Id = Id::from_u128(11);
const NOW: Timestamp = Timestamp(1_000_000_000_000);

fn assigned(desired: TaskState) -> Assigned {
    let assignment = Assignment {
        desired,
        ..testing::assignment(A, ServiceSpec::default())
    };
    [(A, assignment)].into()
}

fn container(phase: Phase) -> Container {
    Container {
        id: "c".into(),
        phase,
        pid: 0,
        started: Some(Timestamp(5)),
        ports: Vec::new(),
        addrs: Vec::new(),
    }
}

fn exited(code: i64) -> Container {
    container(Phase::Exited(Exit {
        code,
        at: Some(Timestamp(6)),
        ..Exit::default()
    }))
}

fn listed(running: bool) -> Vec<Listed> {
    vec![Listed {
        id: "c".into(),
        task: A,
        running,
    }]
}

fn up(tasks: &mut Tasks, instance: Option<&str>, found: Vec<Listed>) {
    tasks.engine_found(instance.map(str::to_owned), found, NOW);
}

fn check(tasks: &mut Tasks, now: Timestamp, expected: &[&str]) {
    let steps = tasks.decide(now).into_iter().map(|(_, step)| match step {
        Step::Prepare(_) => "prepare",
        Step::Start(..) => "start",
        Step::Stop(..) => "stop",
        Step::Remove(_) => "remove",
        Step::Inspect(_) => "inspect",
    });
    assert_eq!(steps.collect::<Vec<_>>(), expected);
}

fn state(tasks: &Tasks) -> TaskState {
    tasks.local[&A].status.state
}

/// A task that runs on engine `e1`.
fn running() -> Tasks {
    let mut tasks = Tasks::default();
    tasks.assign_all(assigned(TaskState::Running));
    up(&mut tasks, Some("e1"), vec![]);
    check(&mut tasks, NOW, &["prepare"]);
    tasks.finish(A, Done::Created("c".into()), NOW);
    check(&mut tasks, NOW, &["start"]);
    let seen = container(Phase::Running(Health::Unchecked));
    tasks.finish(A, Done::Seen(Some(seen)), NOW);
    check(&mut tasks, NOW, &[]);
    assert_eq!(state(&tasks), TaskState::Running);
    tasks
}

#[test]
fn nothing_is_done_while_the_engine_is_out_of_sight() {
    let mut tasks = Tasks::default();
    tasks.assign_all(assigned(TaskState::Running));
    check(&mut tasks, NOW, &[]);
    assert!(tasks.take_changed().is_empty());
}

#[test]
fn a_death_that_is_told_by_the_next_engine_is_not_the_tasks_own() {
    let mut tasks = running();
    tasks.hint(A);
    check(&mut tasks, NOW, &["inspect"]);
    tasks.engine_lost();
    // The call waited in the socket and was answered by the new engine.
    tasks.finish(A, Done::Seen(Some(exited(143))), NOW);
    check(&mut tasks, NOW, &[]);
    up(&mut tasks, Some("e2"), listed(false));
    check(&mut tasks, NOW, &["inspect"]);
    tasks.finish(A, Done::Seen(Some(exited(143))), NOW);
    assert_eq!(state(&tasks), TaskState::Starting);
    check(&mut tasks, NOW, &["start"]);
}

#[test]
fn a_second_loss_before_the_first_look_changes_no_verdict() {
    let mut tasks = running();
    tasks.engine_lost();
    up(&mut tasks, Some("e2"), listed(false));
    tasks.engine_lost();
    up(&mut tasks, Some("e2"), listed(false));
    check(&mut tasks, NOW, &["inspect"]);
    tasks.finish(A, Done::Seen(Some(exited(0))), NOW);
    check(&mut tasks, NOW, &["start"]);
}

#[test]
fn an_engine_that_cannot_be_named_is_another_after_it_was_lost() {
    let mut tasks = running();
    tasks.engine_lost();
    up(&mut tasks, None, listed(false));
    check(&mut tasks, NOW, &["inspect"]);
    tasks.finish(A, Done::Seen(Some(exited(137))), NOW);
    check(&mut tasks, NOW, &["start"]);
}

#[test]
fn the_new_engine_is_recorded_when_nothing_of_the_old_is_down_any_more() {
    let mut tasks = running();
    let record = tasks.take_record().unwrap();
    assert_eq!(record.instance.as_deref(), Some("e1"));
    tasks.engine_lost();
    up(&mut tasks, Some("e2"), listed(false));
    check(&mut tasks, NOW, &["inspect"]);
    tasks.finish(A, Done::Seen(Some(exited(255))), NOW);
    // A power cut now must find that `e1` was the last engine it ran under.
    assert_eq!(tasks.take_record(), None);
    check(&mut tasks, NOW, &["start"]);
    let record = tasks.take_record().unwrap();
    assert_eq!(record.instance.as_deref(), Some("e2"));
}

#[test]
fn a_fallen_task_that_nobody_wants_is_not_started_again() {
    let mut tasks = running();
    tasks.engine_lost();
    tasks.assign_all(assigned(TaskState::Shutdown));
    up(&mut tasks, Some("e2"), listed(false));
    check(&mut tasks, NOW, &["inspect"]);
    tasks.finish(A, Done::Seen(Some(exited(255))), NOW);
    check(&mut tasks, NOW, &["stop"]);
    tasks.finish(A, Done::Seen(Some(exited(255))), NOW);
    assert_eq!(state(&tasks), TaskState::Shutdown);
}

#[test]
fn a_listing_finds_what_no_event_told() {
    let mut tasks = running();
    tasks.listed(listed(true), NOW);
    check(&mut tasks, NOW, &[]);
    tasks.listed(listed(false), NOW);
    check(&mut tasks, NOW, &["inspect"]);
    tasks.finish(A, Done::Seen(Some(exited(1))), NOW);
    assert_eq!(state(&tasks), TaskState::Failed);
    // Gone altogether: nothing is left to remove.
    tasks.listed(vec![], NOW);
    tasks.assign_all(Assigned::new());
    check(&mut tasks, NOW, &[]);
    assert_eq!(tasks.take_changed(), [(A, None)]);
}

#[test]
fn a_death_during_a_step_is_looked_at_after_it() {
    let mut tasks = running();
    tasks.hint(A);
    check(&mut tasks, NOW, &["inspect"]);
    tasks.hint(A);
    check(&mut tasks, NOW, &[]);
    let seen = container(Phase::Running(Health::Unchecked));
    tasks.finish(A, Done::Seen(Some(seen)), NOW);
    check(&mut tasks, NOW, &["inspect"]);
}

#[test]
fn an_unanswered_step_is_paused_for_longer_each_time() {
    let mut tasks = Tasks::default();
    tasks.assign_all(assigned(TaskState::Running));
    up(&mut tasks, Some("e1"), vec![]);
    let mut now = NOW;
    for pause in [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000] {
        check(&mut tasks, now, &["prepare"]);
        let away = RuntimeError::Unavailable("away".into());
        tasks.finish(A, Done::Failed(away), now);
        check(&mut tasks, now, &[]);
        let next = tasks.next_deadline().unwrap();
        assert_eq!(next.since(now), Duration::from_millis(pause));
        now = next;
    }
    assert_eq!(state(&tasks), TaskState::Preparing);
}

#[test]
fn a_creation_whose_answer_was_lost_is_found() {
    let mut tasks = Tasks::default();
    tasks.assign_all(assigned(TaskState::Running));
    up(&mut tasks, Some("e1"), vec![]);
    check(&mut tasks, NOW, &["prepare"]);
    let away = RuntimeError::Unavailable("timeout".into());
    tasks.finish(A, Done::Failed(away), NOW);
    tasks.listed(listed(false), NOW);
    let later = tasks.next_deadline().unwrap();
    check(&mut tasks, later, &["inspect"]);
    tasks.finish(A, Done::Seen(Some(container(Phase::Created))), later);
    check(&mut tasks, later, &["start"]);
}

#[test]
fn an_ill_task_that_cannot_be_stopped_is_stopped_later() {
    let mut tasks = running();
    tasks.hint(A);
    check(&mut tasks, NOW, &["inspect"]);
    let ill = container(Phase::Running(Health::Unhealthy));
    tasks.finish(A, Done::Seen(Some(ill)), NOW);
    check(&mut tasks, NOW, &["stop"]);
    let stuck = RuntimeError::Refused("did not receive an exit event".into());
    tasks.finish(A, Done::Failed(stuck), NOW);
    check(&mut tasks, NOW, &[]);
    let later = tasks.next_deadline().unwrap();
    check(&mut tasks, later, &["stop"]);
    tasks.finish(A, Done::Seen(Some(exited(137))), later);
    assert_eq!(state(&tasks), TaskState::Failed);
}

#[test]
fn changes_before_the_first_full_set_say_nothing_of_the_rest() {
    let mut tasks = Tasks::default();
    let change = assigned(TaskState::Running).into_iter();
    tasks.assign(change.map(|(id, it)| (id, Some(it))).collect());
    up(&mut tasks, Some("e1"), listed(true));
    check(&mut tasks, NOW, &["inspect"]);
    let seen = container(Phase::Running(Health::Unchecked));
    tasks.finish(A, Done::Seen(Some(seen)), NOW);
    check(&mut tasks, NOW, &[]);
    assert_eq!(tasks.take_record(), None);
}

/// [`running`], on a network.
fn connected() -> Tasks {
    let mut tasks = running();
    tasks.assign_all(on_network(TaskState::Running));
    check(&mut tasks, NOW, &[]);
    tasks
}

fn on_network(desired: TaskState) -> Assigned {
    let mut assigned = assigned(desired);
    let task = assigned.get_mut(&A).unwrap();
    task.networks = vec![testing::network(NETWORK, &["10.0.1.7/24"])];
    assigned
}

fn announced(tasks: &Tasks) -> Option<bool> {
    let endpoints = tasks.links().endpoints;
    Some(endpoints.get(&(A, NETWORK))?.ready)
}

#[test]
fn a_task_that_serves_is_stopped_when_others_have_heard_of_it() {
    // Told to stop, and no longer assigned at all.
    for after in [on_network(TaskState::Shutdown), Assigned::new()] {
        let mut tasks = connected();
        assert_eq!(announced(&tasks), Some(true));
        tasks.assign_all(after);
        check(&mut tasks, NOW, &[]);
        assert_eq!(announced(&tasks), Some(false));
        let heard = tasks.next_deadline().unwrap();
        assert_eq!(heard.since(NOW), DRAIN);
        check(&mut tasks, heard - Duration::from_nanos(1), &[]);
        check(&mut tasks, heard, &["stop"]);
        assert_eq!(tasks.next_deadline(), None);
        assert_eq!(announced(&tasks), Some(false), "it still has connections");
        tasks.finish(A, Done::Seen(Some(exited(143))), heard);
        assert_eq!(announced(&tasks), None);
    }
}

#[test]
fn what_does_not_serve_is_stopped_at_once() {
    let mut alone = running();
    alone.assign_all(assigned(TaskState::Shutdown));
    check(&mut alone, NOW, &["stop"]);

    let mut ill = connected();
    ill.hint(A);
    check(&mut ill, NOW, &["inspect"]);
    let seen = container(Phase::Running(Health::Unhealthy));
    ill.finish(A, Done::Seen(Some(seen)), NOW);
    assert_eq!(announced(&ill), Some(false));
    check(&mut ill, NOW, &["stop"]);

    let mut fallen = connected();
    fallen.engine_lost();
    up(&mut fallen, Some("e2"), listed(false));
    check(&mut fallen, NOW, &["inspect"]);
    fallen.finish(A, Done::Seen(Some(exited(255))), NOW);
    assert_eq!(announced(&fallen), Some(false));
    fallen.assign_all(on_network(TaskState::Shutdown));
    check(&mut fallen, NOW, &["stop"]);
}

#[test]
fn a_task_that_dies_while_others_hear_of_its_stop_is_not_waited_for() {
    let mut tasks = connected();
    tasks.assign_all(on_network(TaskState::Shutdown));
    check(&mut tasks, NOW, &[]);
    tasks.hint(A);
    check(&mut tasks, NOW, &["inspect"]);
    tasks.finish(A, Done::Seen(Some(exited(0))), NOW);
    assert_eq!(state(&tasks), TaskState::Complete);
    assert_eq!((announced(&tasks), tasks.next_deadline()), (None, None));
}

#[test]
fn a_clock_that_is_set_back_makes_nothing_wait_longer() {
    let mut tasks = connected();
    tasks.assign_all(on_network(TaskState::Shutdown));
    check(&mut tasks, NOW, &[]);
    check(&mut tasks, NOW - Duration::from_secs(900), &["stop"]);
}

#[test]
fn a_task_that_cannot_be_connected_says_why_until_it_is() {
    let mut tasks = Tasks::default();
    tasks.assign_all(on_network(TaskState::Running));
    up(&mut tasks, Some("e1"), vec![]);
    assert_eq!(announced(&tasks), None);
    let mut now = NOW;
    for _ in 0..2 {
        check(&mut tasks, now, &["prepare"]);
        let fault = RuntimeError::Unconnected("no /dev/net/tun".into());
        tasks.finish(A, Done::Failed(fault), now);
        let status = &tasks.local[&A].status;
        assert_eq!(status.state, TaskState::Preparing);
        assert_eq!(status.error.as_deref(), Some("no /dev/net/tun"));
        now = tasks.next_deadline().unwrap();
    }
    // Said once, not at each try.
    tasks.take_changed();
    check(&mut tasks, now, &["prepare"]);
    assert_eq!(tasks.take_changed(), []);
    tasks.finish(A, Done::Created("c".into()), now);
    assert_eq!(announced(&tasks), Some(false));
    assert_eq!(tasks.local[&A].status.error, None);
}

#[test]
fn a_start_that_fails_again_and_again_is_tried_less_often() {
    let mut tasks = connected();
    tasks.engine_lost();
    up(&mut tasks, Some("e2"), listed(false));
    check(&mut tasks, NOW, &["inspect"]);
    tasks.finish(A, Done::Seen(Some(exited(255))), NOW);
    let mut now = NOW;
    for pause in [500, 1000, 2000] {
        check(&mut tasks, now, &["start"]);
        let fault = RuntimeError::Unconnected("no plugin".into());
        tasks.finish(A, Done::Failed(fault), now);
        check(&mut tasks, now, &[]);
        let next = tasks.next_deadline().unwrap();
        assert_eq!(next.since(now), Duration::from_millis(pause));
        now = next;
        check(&mut tasks, now, &["inspect"]);
        tasks.finish(A, Done::Seen(Some(container(Phase::Created))), now);
    }
}

#[test]
fn nothing_is_due_while_the_engine_is_away() {
    let mut tasks = connected();
    tasks.assign_all(on_network(TaskState::Shutdown));
    check(&mut tasks, NOW, &[]);
    tasks.engine_lost();
    assert_eq!(tasks.next_deadline(), None);
}

#[test]
fn what_was_here_before_is_looked_at_before_others_hear_of_it() {
    let mut tasks = Tasks::default();
    assert!(!tasks.is_oriented());
    tasks.assign_all(on_network(TaskState::Running));
    up(&mut tasks, Some("e1"), listed(true));
    check(&mut tasks, NOW, &["inspect"]);
    assert!(!tasks.is_oriented());
    let seen = container(Phase::Running(Health::Unchecked));
    tasks.finish(A, Done::Seen(Some(seen)), NOW);
    assert!(tasks.is_oriented());
    assert_eq!(announced(&tasks), Some(true));

    let mut alone = Tasks::default();
    alone.engine_lost();
    assert!(alone.is_oriented(), "there is nothing to look at");
}
