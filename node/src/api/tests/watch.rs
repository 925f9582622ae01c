//! Who is here and what happened: what Docker's API does not know.

use axum::body::Body;
use http_body_util::BodyExt;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};
use services::managing::{AUTOPILOT, CANDIDATE, MANAGERS};
use services::spec::Role;
use services::{Id, NodeHealth, Timestamp};

use super::fake::Fake;
use super::{get, post};
use crate::api::dto::Member;
use crate::manager::events::{Event, Kind};

fn event(seconds: u64, text: &str) -> Event {
    Event {
        at: Timestamp(seconds * 1_000_000_000),
        kind: Kind::Node,
        node: Id::from_u128(1),
        name: "h1".into(),
        text: text.into(),
    }
}

fn messages(body: &[u8]) -> Vec<String> {
    let lines = body.split(|byte| *byte == b'\n');
    let lines = lines.filter(|line| !line.is_empty());
    let message = |line| serde_json::from_slice::<Value>(line).unwrap()["Message"].clone();
    lines
        .map(|line| message(line).as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn events_are_shown_since_a_time() {
    let fake = Fake::active();
    fake.edit(|swarm| swarm.events.add(event(10, "is down")));
    fake.edit(|swarm| swarm.events.add(event(20, "is back")));
    let all = get(&fake, "/swarmlet/events").await;
    assert_eq!(messages(&all.body), ["is down", "is back"]);
    let late = get(&fake, "/v1.41/swarmlet/events?since=15").await;
    assert_eq!(messages(&late.body), ["is back"]);
    let refused = get(&fake, "/swarmlet/events?since=yesterday").await;
    assert_eq!(refused.status, 400);
}

#[tokio::test]
async fn followed_events_come_as_they_happen_and_end_with_the_leader() {
    let fake = Fake::active();
    fake.edit(|swarm| swarm.events.add(event(10, "is down")));
    let request = axum::http::Request::get("/swarmlet/events?follow=1")
        .body(Body::empty())
        .unwrap();
    let router = crate::api::swarm_router(std::sync::Arc::new(fake.clone()));
    let Ok(answer) = TowerToHyperService::new(router).call(request).await;
    let mut body = answer.into_body();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(messages(&first), ["is down"]);
    fake.edit(|swarm| swarm.events.add(event(20, "is back")));
    let second = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(messages(&second), ["is back"]);
    fake.edit(|swarm| swarm.deposed = true);
    fake.edit(|swarm| swarm.events.add(event(30, "of the next term")));
    assert!(body.frame().await.is_none());
}

#[tokio::test]
async fn a_worker_says_who_is_here_and_a_node_outside_a_swarm_that_it_is_outside() {
    let fake = Fake::active();
    fake.edit(|swarm| {
        if let crate::api::backend::LocalState::Active(node) = &mut swarm.local {
            node.role = Role::Worker;
        }
        swarm.members = vec![Member {
            hostname: "h2".into(),
            state: "dead".into(),
            ..Member::default()
        }];
    });
    let members = get(&fake, "/swarmlet/members").await.json();
    assert_eq!(members[0]["Hostname"], "h2");
    assert_eq!(members[0]["State"], "dead");
    let outside = get(&Fake::new(), "/swarmlet/members").await;
    assert_eq!(outside.status, 503);
    assert_eq!(outside.message(), "This node is not part of a swarm");
}

#[tokio::test]
async fn a_node_that_is_down_says_why_and_since_when() {
    let fake = Fake::active();
    let id = fake.edit(|swarm| {
        let id = swarm.add_node("h2", Role::Worker, [10, 77, 0, 2]);
        let reason = "not heard by h1 and h3 for 0.9 s".into();
        swarm.see(id, NodeHealth::Down { reason });
        id
    });
    let status = get(&fake, &format!("/nodes/{id}")).await.json()["Status"].clone();
    assert_eq!(status["Message"], "not heard by h1 and h3 for 0.9 s");
    assert_eq!(status["Since"], "1970-01-01T00:00:00Z");
    fake.edit(|swarm| swarm.see(id, NodeHealth::Ready));
    let status = get(&fake, &format!("/nodes/{id}")).await.json()["Status"].clone();
    assert_eq!(status.get("Since"), None);
}

async fn update(fake: &Fake, labels: Value) -> (u16, String) {
    let mut swarm = get(fake, "/swarm").await.json();
    let version = swarm["Version"]["Index"].as_u64().unwrap();
    swarm["Spec"]["Labels"] = labels;
    let path = format!("/swarm/update?version={version}");
    let answer = post(fake, &path, &swarm["Spec"]).await;
    match answer.status {
        200 => (200, String::new()),
        status => (status, answer.message()),
    }
}

#[tokio::test]
async fn the_number_of_managers_is_checked_when_it_is_set() {
    let fake = Fake::active();
    for (labels, wanted) in [
        (json!({MANAGERS: "5", AUTOPILOT: "off"}), 200),
        (json!({MANAGERS: "4"}), 400),
        (json!({AUTOPILOT: "maybe"}), 400),
    ] {
        let (status, message) = update(&fake, labels.clone()).await;
        assert_eq!(status, wanted, "{labels}: {message}");
    }
    let (_, message) = update(&fake, json!({MANAGERS: "2"})).await;
    assert!(message.contains("must be 1, 3, 5 or 7"), "{message}");
    let kept = get(&fake, "/swarm").await.json();
    assert_eq!(
        kept["Spec"]["Labels"],
        json!({MANAGERS: "5", AUTOPILOT: "off"})
    );
}

#[tokio::test]
async fn a_manager_that_is_demoted_by_hand_is_no_candidate_any_more() {
    let fake = Fake::active();
    let id = fake.edit(|swarm| swarm.add_node("h2", Role::Manager, [10, 77, 0, 2]));
    for role in ["manager", "worker"] {
        let node = get(&fake, &format!("/nodes/{id}")).await.json();
        let mut spec = node["Spec"].clone();
        spec["Labels"] = json!({CANDIDATE: "true", "zone": "a"});
        spec["Role"] = json!(role);
        let version = node["Version"]["Index"].as_u64().unwrap();
        let path = format!("/nodes/{id}/update?version={version}");
        assert_eq!(post(&fake, &path, &spec).await.status, 200);
    }
    let node = get(&fake, &format!("/nodes/{id}")).await.json();
    assert_eq!(node["Spec"]["Labels"], json!({"zone": "a"}));
}
