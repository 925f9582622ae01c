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
        Some(reached) => format!("{}: {} {reached}/{}\n", line.id, line.text, line.of),
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
        // Drained meanwhile: nothing is to come there.
        task_on("n4", 0, "shutdown", "shutdown", ""),
    ];
    insta::assert_snapshot!(look(&mut progress, &global, &tasks, 1).0, @"
    overall progress: 1 out of 2 tasks
    n1: running 9/9
    n3: starting 8/9
    ");
}

fn job(mode: serde_json::Value) -> Service {
    serde_json::from_value(json!({
        "ID": "mgmz3jbcp5bs", "Spec": {"Mode": mode},
        "JobStatus": {"JobIteration": {"Index": 1}},
    }))
    .unwrap()
}

fn of_run(run: u64, task: Task) -> Task {
    let job_iteration = serde_json::from_value(json!({"Index": run})).unwrap();
    Task {
        id: format!("{run}{}", task.id),
        job_iteration: Some(job_iteration),
        ..task
    }
}

#[test]
fn a_job_is_over_when_its_tasks_are_complete() {
    let job = job(json!({"ReplicatedJob": {"MaxConcurrent": 2, "TotalCompletions": 3}}));
    let mut progress = Progress::default();
    let tasks = [
        of_run(0, task(0, "shutdown", "complete", "")),
        of_run(1, task(0, "complete", "complete", "")),
        of_run(1, task(1, "shutdown", "failed", "task: non-zero exit (1)")),
        of_run(1, task(1, "ready", "ready", "")),
        of_run(1, task(2, "complete", "running", "")),
    ];
    let (lines, outcome) = look(&mut progress, &job, &tasks, 0);
    assert_eq!(outcome, Outcome::Pending);
    insta::assert_snapshot!(lines, @"
    job progress: 1 out of 3 complete 1/3
    active tasks: 2 out of 2 tasks
    1/3: complete 10/10
    2/3: task: non-zero exit (1)
    3/3: running 9/10
    ");
    let tasks = [0, 1, 2].map(|slot| of_run(1, task(slot, "complete", "complete", "")));
    let (lines, outcome) = look(&mut progress, &job, &tasks, 1);
    assert_eq!(outcome, Outcome::Converged, "and is not watched any longer");
    insta::assert_snapshot!(lines, @"
    job progress: 3 out of 3 complete 3/3
    active tasks: 0 out of 0 tasks
    1/3: complete 10/10
    2/3: complete 10/10
    3/3: complete 10/10
    job: complete
    ");
}

#[test]
fn a_job_that_was_given_up_is_stuck() {
    let job = job(json!({"ReplicatedJob": {"MaxConcurrent": 1, "TotalCompletions": 2}}));
    let mut progress = Progress::default();
    let failed = of_run(1, task(0, "shutdown", "failed", "task: non-zero exit (1)"));
    let running = of_run(1, task(1, "complete", "running", ""));
    let tasks = [failed.clone(), running];
    assert_eq!(look(&mut progress, &job, &tasks, 0).1, Outcome::Pending);
    let tasks = [failed, of_run(1, task(1, "complete", "complete", ""))];
    let reason = "1 of 2 tasks of the job failed and are not run again";
    let stuck = Outcome::Stuck(reason.to_owned());
    assert_eq!(look(&mut progress, &job, &tasks, 1).1, stuck);
}

#[test]
fn a_global_job_is_over_when_the_nodes_that_it_began_on_are_done() {
    let job = job(json!({"GlobalJob": {}}));
    let mut progress = Progress::default();
    let (lines, outcome) = look(&mut progress, &job, &[], 0);
    assert_eq!(outcome, Outcome::Pending);
    assert_eq!(lines, "job progress: waiting for tasks\n");
    let on = |node, state| of_run(1, task_on(node, 0, "complete", state, ""));
    let tasks = [on("n1", "running"), on("n3", "complete")];
    let (lines, outcome) = look(&mut progress, &job, &tasks, 1);
    assert_eq!(outcome, Outcome::Pending);
    insta::assert_snapshot!(lines, @"
    job progress: 1 out of 2 complete 1/2
    n1: running 9/10
    n3: complete 10/10
    ");
    let tasks = [
        on("n1", "complete"),
        on("n3", "complete"),
        on("n4", "preparing"),
    ];
    let (_, outcome) = look(&mut progress, &job, &tasks, 2);
    assert_eq!(outcome, Outcome::Converged, "later ones are not waited for");
}
