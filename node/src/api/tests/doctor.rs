//! How devices reach each other, asked of a manager, a worker and nobody.

use serde_json::Value;
use services::spec::Role;

use super::fake::Fake;
use super::get;
use crate::api::backend::LocalState;
use crate::doctor::Diagnosis;

async fn doctor(fake: &Fake, path: &str) -> (u16, Value) {
    let answer = get(fake, path).await;
    let body = serde_json::from_slice(&answer.body).unwrap_or_default();
    (answer.status, body)
}

fn with_a_diagnosis() -> Fake {
    let fake = Fake::active();
    fake.edit(|swarm| {
        let LocalState::Active(me) = &swarm.local else {
            panic!("not part of a swarm");
        };
        let diagnosis = Diagnosis {
            findings: vec!["interface swl0 is missing".into()],
            ..Diagnosis::default()
        };
        swarm.diagnoses.insert(me.id, diagnosis);
    });
    fake
}

#[tokio::test]
async fn all_devices_are_asked_and_who_is_silent_is_named() {
    let fake = with_a_diagnosis();
    let other = fake.edit(|swarm| swarm.add_node("h2", Role::Worker, [10, 99, 0, 2]));
    let (status, body) = doctor(&fake, "/v1.41/swarmlet/doctor").await;
    assert_eq!(status, 200);
    let devices = body["Devices"].as_array().unwrap();
    let silent: Vec<_> = devices
        .iter()
        .filter(|device| device["Answered"] == false)
        .map(|device| device["ID"].as_str().unwrap())
        .collect();
    assert_eq!(silent, [other.to_string()]);
    let problems = body["Problems"].to_string();
    assert!(problems.contains("interface swl0 is missing"));
    assert!(problems.contains("does not answer: its cable is cut"));
    assert_eq!(body.get("Alone"), None);
}

#[tokio::test]
async fn a_network_that_is_not_there_is_an_error() {
    let fake = with_a_diagnosis();
    let (status, body) = doctor(&fake, "/swarmlet/doctor?network=nothing").await;
    assert_eq!(status, 404);
    assert_eq!(body["message"], "network nothing not found");
}

#[tokio::test]
async fn a_worker_tells_what_it_sees_itself() {
    let fake = with_a_diagnosis();
    fake.edit(|swarm| {
        if let LocalState::Active(node) = &mut swarm.local {
            node.role = Role::Worker;
        }
    });
    let (status, body) = doctor(&fake, "/swarmlet/doctor").await;
    assert_eq!(status, 200);
    assert!(body["Alone"].as_str().unwrap().contains("manager"));
    assert!(
        body["Problems"][0]
            .as_str()
            .unwrap()
            .ends_with("interface swl0 is missing")
    );
}

#[tokio::test]
async fn outside_a_swarm_there_is_nothing_to_examine() {
    let fake = Fake::active();
    fake.edit(|swarm| swarm.local = LocalState::Inactive);
    let (status, _) = doctor(&fake, "/swarmlet/doctor").await;
    assert_eq!(status, 503);
}
