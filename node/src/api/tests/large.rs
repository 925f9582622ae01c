//! A large swarm, asked as `service ls`, `service ps`, `node ls` and `node ps` ask.
//!
//! `cargo test --release -p swarmlet-node --lib large -- --nocapture` says how long
//! each answer took, of five.

use std::time::{Duration, Instant};

use serde_json::json;
use services::spec::Role;

use super::fake::Fake;
use super::{get, post};

const NODES: u8 = 100;
const SERVICES: usize = 100;
const REPLICAS: usize = 100;

pub(super) async fn large() -> Fake {
    let fake = Fake::active();
    fake.edit(|swarm| {
        for number in 1..NODES {
            swarm.add_node(&format!("node{number}"), Role::Worker, [10, 77, 1, number]);
        }
    });
    for number in 0..SERVICES {
        let spec = json!({
            "Name": format!("service{number}"),
            "TaskTemplate": {"ContainerSpec": {"Image": "busybox", "Env": ["A=1", "B=2"]}},
            "Mode": {"Replicated": {"Replicas": REPLICAS}},
        });
        assert_eq!(post(&fake, "/services/create", &spec).await.status, 201);
    }
    fake.edit(|swarm| swarm.run_all());
    fake
}

#[tokio::test]
async fn a_large_swarm_is_listed_whole() {
    let fake = large().await;
    let filter =
        |key: &str, value: &str| format!("/tasks?filters=%7B%22{key}%22:%5B%22{value}%22%5D%7D");
    let questions = [
        ("/services?status=true".to_owned(), SERVICES),
        (filter("service", "service7"), REPLICAS),
        ("/nodes".to_owned(), NODES.into()),
        (
            filter("node", "node7"),
            SERVICES * REPLICAS / usize::from(NODES),
        ),
        (filter("label", "com.docker.stack.namespace=none"), 0),
        ("/tasks".to_owned(), SERVICES * REPLICAS),
    ];
    for (question, wanted) in questions {
        let mut took: Vec<(Duration, usize)> = Vec::new();
        for _ in 0..5 {
            let start = Instant::now();
            let answer = get(&fake, &question).await;
            took.push((start.elapsed(), answer.body.len()));
            assert_eq!(
                answer.json().as_array().unwrap().len(),
                wanted,
                "{question}"
            );
        }
        took.sort();
        println!(
            "{question}: {wanted} in {:?}, {} bytes",
            took[2].0, took[2].1
        );
    }
}
