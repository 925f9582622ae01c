//! Services with a task per node, and jobs.

use serde_json::{Value, json};

use super::fake::Fake;
use super::routes::names;
use super::{get, post};

#[tokio::test]
async fn services_are_filtered_by_their_modes() {
    let fake = Fake::active();
    for (name, mode) in [
        ("web", "Replicated"),
        ("agent", "Global"),
        ("job", "ReplicatedJob"),
        ("check", "GlobalJob"),
    ] {
        let spec = json!({
            "Name": name,
            "TaskTemplate": {"ContainerSpec": {"Image": "x"}},
            "Mode": {mode: {}},
        });
        assert_eq!(post(&fake, "/services/create", &spec).await.status, 201);
    }
    for (mode, name) in [
        ("replicated", "web"),
        ("global", "agent"),
        ("replicated-job", "job"),
        ("global-job", "check"),
    ] {
        assert_eq!(names(&fake, &json!({"mode": [mode]})).await, [name]);
    }
}

#[tokio::test]
async fn what_a_job_does_not_say_is_filled_in() {
    let fake = Fake::active();
    for (asked, shown) in [
        (json!({}), [1, 1]),
        (json!({"MaxConcurrent": 3}), [3, 3]),
        (json!({"TotalCompletions": 5}), [1, 5]),
        (
            json!({"MaxConcurrent": null, "totalCompletions": 2}),
            [1, 2],
        ),
    ] {
        let spec = json!({
            "TaskTemplate": {"ContainerSpec": {"Image": "x"}},
            "Mode": {"ReplicatedJob": asked},
        });
        let created = post(&fake, "/services/create", &spec).await.json();
        let path = format!("/services/{}", created["ID"].as_str().unwrap());
        let job = get(&fake, &path).await.json()["Spec"]["Mode"]["ReplicatedJob"].take();
        let [max_concurrent, total] = shown;
        let expected = json!({"MaxConcurrent": max_concurrent, "TotalCompletions": total});
        assert_eq!(job, expected);
    }
}

/// Older clients know neither jobs nor counts of tasks.
#[tokio::test]
async fn older_versions_of_the_api_have_no_jobs() {
    let fake = Fake::active();
    let spec = json!({
        "Name": "old",
        "TaskTemplate": {"ContainerSpec": {"Image": "x"}},
        "Mode": {"ReplicatedJob": {"MaxConcurrent": 2}},
    });
    let created = post(&fake, "/v1.40/services/create", &spec).await;
    assert_eq!(created.status, 201);
    let shown = get(&fake, "/services/old").await.json();
    assert_eq!(
        shown["Spec"]["Mode"],
        json!({"Replicated": {"Replicas": 1}})
    );
    let counted = |list: Value| list[0].get("ServiceStatus").is_some();
    assert!(!counted(
        get(&fake, "/v1.40/services?status=true").await.json()
    ));
    assert!(counted(
        get(&fake, "/v1.41/services?status=true").await.json()
    ));
}

#[tokio::test]
async fn a_job_is_shown_with_its_runs() {
    let fake = Fake::active();
    let spec = json!({
        "Name": "job",
        "TaskTemplate": {"ContainerSpec": {"Image": "x"}},
        "Mode": {"GlobalJob": {}},
    });
    assert_eq!(post(&fake, "/services/create", &spec).await.status, 201);
    fake.edit(|swarm| {
        swarm.run_all();
        swarm.end_jobs();
    });
    let shown = get(&fake, "/services/job?insertDefaults=1").await.json();
    let version = &shown["Version"]["Index"];
    let path = format!("/services/job/update?version={version}");
    // With defaults filled in, it can be sent back as it is.
    assert_eq!(post(&fake, &path, &shown["Spec"]).await.status, 200);
    let shown = get(&fake, "/services/job").await.json();
    assert_eq!(shown["JobStatus"]["JobIteration"], json!({"Index": 1}));
    assert_eq!(shown.get("UpdateStatus"), None);
    fake.edit(|swarm| swarm.run_all());
    let tasks = get(&fake, "/tasks").await.json();
    let mut runs: Vec<(Value, Value)> = tasks
        .as_array()
        .unwrap()
        .iter()
        .map(|task| (task["JobIteration"].clone(), task["DesiredState"].clone()))
        .collect();
    runs.sort_by_key(|(run, _)| run["Index"].as_u64());
    assert_eq!(
        runs,
        [
            (json!({}), json!("shutdown")),
            (json!({"Index": 1}), json!("complete")),
        ]
    );
    let complete = json!({"desired-state": ["complete"]});
    let path = format!("/tasks?filters={complete}").replace('"', "%22");
    let path = path.replace('{', "%7B").replace('}', "%7D");
    assert_eq!(get(&fake, &path).await.json().as_array().unwrap().len(), 1);
    let services = get(&fake, "/services?status=1").await.json();
    let counts = json!({"RunningTasks": 1, "DesiredTasks": 1, "CompletedTasks": 0});
    assert_eq!(services[0]["ServiceStatus"], counts);
}
