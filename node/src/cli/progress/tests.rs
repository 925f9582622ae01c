use serde_json::json;

use super::*;

fn service(replicas: u64) -> Service {
    serde_json::from_value(json!({
        "ID": "mgmz3jbcp5bs", "Spec": {"Mode": {"Replicated": {"Replicas": replicas}}},
    }))
    .unwrap()
}

fn task(slot: u64, desired: &str, state: &str, err: &str) -> Task {
    task_on("n1", slot, desired, state, err)
}

fn task_on(node: &str, slot: u64, desired: &str, state: &str, err: &str) -> Task {
    serde_json::from_value(json!({
        "ID": format!("{slot}{desired}{state}"), "Slot": slot, "NodeID": node,
        "DesiredState": desired, "Status": {"State": state, "Err": err},
    }))
    .unwrap()
}

fn node(id: &str, state: &str) -> Node {
    serde_json::from_value(json!({"ID": id, "Status": {"State": state}})).unwrap()
}

/// Looks at `service` with `tasks` at second `at`; the lines as they are shown
/// and the outcome.
fn look(progress: &mut Progress, service: &Service, tasks: &[Task], at: u64) -> (String, Outcome) {
    let nodes = [node("n1", "ready"), node("n2", "down")];
    let (lines, outcome) = progress.look(&Look {
        service,
        tasks,
        nodes: &nodes,
        at: Duration::from_secs(at),
    });
    let shown = lines.iter().map(|line| match line.reached {
        Some(reached) => format!("{}: {} {reached}/9\n", line.id, line.text),
        None => format!("{}: {}\n", line.id, line.text),
    });
    (shown.collect(), outcome)
}

#[test]
fn a_service_converges_when_its_tasks_have_run_for_the_monitor_period() {
    let mut progress = Progress::default();
    let service = service(2);
    let starting = [
        task(1, "running", "running", ""),
        task(2, "running", "preparing", ""),
    ];
    let (lines, outcome) = look(&mut progress, &service, &starting, 0);
    assert_eq!(outcome, Outcome::Pending);
    insta::assert_snapshot!(lines, @"
    overall progress: 1 out of 2 tasks
    1/2: running 9/9
    2/2: preparing 6/9
    ");

    let running = [
        task(1, "running", "running", ""),
        task(2, "running", "running", ""),
    ];
    let (lines, outcome) = look(&mut progress, &service, &running, 1);
    assert_eq!(outcome, Outcome::Pending);
    insta::assert_snapshot!(lines, @"
    overall progress: 2 out of 2 tasks
    1/2: running 9/9
    2/2: running 9/9
    verify: Waiting 5 seconds to verify that tasks are stable...
    ");
    assert_eq!(
        look(&mut progress, &service, &running, 5).1,
        Outcome::Pending
    );
    let (lines, outcome) = look(&mut progress, &service, &running, 6);
    assert_eq!(outcome, Outcome::Converged);
    insta::assert_snapshot!(lines, @"
    overall progress: 2 out of 2 tasks
    1/2: running 9/9
    2/2: running 9/9
    verify: Service mgmz3jbcp5bs converged
    ");
}

#[test]
fn a_task_that_falls_over_starts_the_period_anew() {
    let mut progress = Progress::default();
    let service = service(1);
    let running = [task(1, "running", "running", "")];
    look(&mut progress, &service, &running, 0);
    let failed = [
        task(1, "shutdown", "failed", "task: non-zero exit (1)"),
        task(1, "ready", "ready", ""),
    ];
    let (lines, outcome) = look(&mut progress, &service, &failed, 4);
    assert_eq!(outcome, Outcome::Pending);
    insta::assert_snapshot!(lines, @"
    overall progress: 0 out of 1 tasks
    1/1: task: non-zero exit (1)
    verify: Detected task failure
    ");
    look(&mut progress, &service, &running, 5);
    assert_eq!(
        look(&mut progress, &service, &running, 9).1,
        Outcome::Pending
    );
    assert_eq!(
        look(&mut progress, &service, &running, 10).1,
        Outcome::Converged
    );
}

#[test]
fn the_monitor_period_is_the_specs() {
    let mut progress = Progress::default();
    let mut service = service(1);
    service.spec.update_config = serde_json::from_value(json!({"Monitor": 1_000_000_000})).unwrap();
    let running = [task(1, "running", "running", "")];
    look(&mut progress, &service, &running, 0);
    assert_eq!(
        look(&mut progress, &service, &running, 1).1,
        Outcome::Converged
    );
}

#[test]
fn an_error_is_shown_beside_its_slot() {
    let long = "no suitable node (insufficient resources on 2 nodes;\nscheduling constraints not satisfied on 1 node)";
    let tasks = [task(1, "running", "pending", long)];
    let (lines, _) = look(&mut Progress::default(), &service(2), &tasks, 0);
    insta::assert_snapshot!(lines, @"
    overall progress: 0 out of 2 tasks
    1/2: no suitable node (insufficient resources on 2 nodes; scheduling constraint…
    ");
}

#[test]
fn tasks_on_dead_nodes_do_not_count() {
    let tasks = [task_on("n2", 1, "running", "running", "")];
    let (lines, _) = look(&mut Progress::default(), &service(1), &tasks, 0);
    insta::assert_snapshot!(lines, @"overall progress: 0 out of 1 tasks");
}

#[test]
fn many_slots_share_a_line() {
    let tasks: Vec<Task> = (1..=60)
        .map(|slot| task(slot, "running", "rejected", "No such image: nope:latest"))
        .collect();
    let (lines, _) = look(&mut Progress::default(), &service(60), &tasks, 0);
    insta::assert_snapshot!(lines, @"
    overall progress: 0 out of 60 tasks
    errors: 60 tasks: No such image: nope:latest
    ");
}

#[test]
fn no_replicas_are_all_running() {
    let mut progress = Progress::default();
    look(&mut progress, &service(0), &[], 0);
    assert_eq!(
        look(&mut progress, &service(0), &[], 5).1,
        Outcome::Converged
    );
}

#[test]
fn slots_are_counted_without_gaps() {
    let tasks = [
        task(7, "running", "running", ""),
        task(3, "running", "ready", ""),
    ];
    let (lines, _) = look(&mut Progress::default(), &service(2), &tasks, 0);
    insta::assert_snapshot!(lines, @"
    overall progress: 1 out of 2 tasks
    1/2: ready 7/9
    2/2: running 9/9
    ");
}

#[test]
fn a_paused_update_is_stuck() {
    let mut paused = service(1);
    paused.update_status = serde_json::from_value(json!({
        "State": "paused", "Message": "update paused due to failure or early termination of task x",
    }))
    .unwrap();
    let (_, outcome) = look(&mut Progress::default(), &paused, &[], 0);
    assert_eq!(
        outcome,
        Outcome::Stuck(
            "service update paused: update paused due to failure or early termination of task x"
                .into()
        )
    );
}

#[test]
fn a_rollback_is_shown_as_one() {
    let mut progress = Progress::default();
    let mut service = service(1);
    let status = |state: &str, message: &str| {
        serde_json::from_value(json!({"State": state, "Message": message})).unwrap()
    };
    let running = [task(1, "running", "running", "")];
    service.update_status = status("rollback_started", "manually requested rollback");
    insta::assert_snapshot!(look(&mut progress, &service, &running, 0).0, @"
    rollback: manually requested rollback
    overall progress: rolling back update: 1 out of 1 tasks
    1/1: running 9/9
    verify: Waiting 5 seconds to verify that tasks are stable...
    ");
    service.update_status = status("rollback_completed", "rollback completed");
    insta::assert_snapshot!(look(&mut progress, &service, &running, 5).0, @"
    overall progress: rolling back update: 1 out of 1 tasks
    1/1: running 9/9
    verify: Service mgmz3jbcp5bs converged
    rollback: rollback completed
    ");
}

#[test]
fn a_global_service_has_a_task_on_each_node() {
    let mut global = service(1);
    global.spec.mode = serde_json::from_value(json!({"Global": {}})).unwrap();
    let mut progress = Progress::default();
    assert_eq!(
        look(&mut progress, &global, &[], 0).0,
        "overall progress: waiting for new tasks\n"
    );
    let tasks = [
        task_on("n1", 0, "running", "running", ""),
        task_on("n3", 0, "running", "starting", ""),
    ];
    insta::assert_snapshot!(look(&mut progress, &global, &tasks, 1).0, @"
    overall progress: 1 out of 2 tasks
    n1: running 9/9
    n3: starting 8/9
    ");
}
