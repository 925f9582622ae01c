//! What the APIs say about a swarm, as far as the demo and the benchmarks ask.
//!
//! The same requests go to swarmlet's socket and to an engine in Docker's own
//! swarm mode, because both answer in Docker's wire form (Engine API 1.41).

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use swarmlet_testnet::{Host, Service};

/// The label with which a task's container names its task.
const TASK_LABEL: &str = "com.docker.swarm.task.id";

/// A task of `GET /tasks`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Task {
    #[serde(rename = "ID")]
    pub id: String,
    #[serde(default)]
    pub slot: u64,
    #[serde(rename = "NodeID", default)]
    pub node: String,
    pub desired_state: String,
    pub status: TaskStatus,
}

/// How a task is doing.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct TaskStatus {
    pub state: String,
    #[serde(default)]
    pub container_status: ContainerStatus,
    #[serde(default)]
    pub port_status: PortStatus,
}

/// The container of a task; its id is empty before there is one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct ContainerStatus {
    #[serde(rename = "ContainerID", default)]
    pub id: String,
}

/// The ports that a task publishes on its node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct PortStatus {
    #[serde(rename = "Ports", default)]
    pub ports: Option<Vec<Port>>,
}

/// One published port.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Port {
    #[serde(rename = "PublishedPort", default)]
    pub published: u16,
}

impl Task {
    /// Does it run, and is it meant to?
    pub fn runs(&self) -> bool {
        self.status.state == "running" && self.desired_state == "running"
    }

    /// The port that it publishes on its node.
    pub fn port(&self) -> Option<u16> {
        let ports = self.status.port_status.ports.as_ref()?;
        ports.first().map(|port| port.published)
    }
}

/// A node of `GET /nodes`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Node {
    #[serde(rename = "ID")]
    pub id: String,
    pub description: Description,
    pub status: NodeStatus,
}

/// What a node says it is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Description {
    pub hostname: String,
}

/// How a node is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct NodeStatus {
    /// ready, down, unknown
    pub state: String,
    #[serde(default)]
    pub message: String,
}

/// A container of an engine's `GET /containers/json`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Container {
    pub id: String,
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

impl Container {
    /// The task that it runs, if it is one of a swarm's.
    pub fn task(&self) -> Option<&str> {
        self.labels.get(TASK_LABEL).map(String::as_str)
    }
}

/// All tasks of the service, also those that ended.
pub fn tasks(manager: &Service, service: &str) -> Result<Vec<Task>> {
    let filters = encoded(&format!(r#"{{"service":["{service}"]}}"#));
    get(manager, &format!("/tasks?filters={filters}"))
}

/// The nodes of the swarm, by host name.
pub fn nodes(manager: &Service) -> Result<BTreeMap<String, Node>> {
    let nodes: Vec<Node> = get(manager, "/nodes")?;
    let named = nodes.into_iter().map(|n| (n.description.hostname.clone(), n));
    Ok(named.collect())
}

/// The engine's containers; with `all`, also those that do not run.
pub fn containers(host: &Host, all: bool) -> Result<Vec<Container>> {
    get(&host.engine(), &format!("/containers/json?all={all}"))
}

/// Reads `path` of an API as JSON.
pub fn get<T: DeserializeOwned>(api: &Service, path: &str) -> Result<T> {
    let answer = api.api("GET", path, "")?;
    let (status, body) = (answer.status, &answer.body);
    ensure!(status == 200, "GET {path}: {status} {body:.300}");
    serde_json::from_str(body).with_context(|| format!("GET {path}: {body:.300}"))
}

/// `text` as a value in a URL's query.
pub fn encoded(text: &str) -> String {
    let mut url = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => url.push(byte.into()),
            _ => url += &format!("%{byte:02X}"),
        }
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(json: &str) -> Task {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_task_is_read_with_and_without_a_container() {
        let waiting = task(
            r#"{"ID":"t1","Slot":1,"DesiredState":"running",
                "Status":{"State":"pending","PortStatus":{}}}"#,
        );
        assert!(!waiting.runs());
        assert_eq!(waiting.port(), None);
        let running = task(
            r#"{"ID":"t2","Slot":2,"NodeID":"n","DesiredState":"running","Labels":null,
                "Status":{"State":"running","ContainerStatus":{"ContainerID":"c","PID":3},
                "PortStatus":{"Ports":[{"TargetPort":80,"PublishedPort":49153}]}}}"#,
        );
        assert!(running.runs());
        assert_eq!(running.port(), Some(49153));
        assert_eq!(running.status.container_status.id, "c");
    }

    #[test]
    fn a_task_that_is_to_stop_does_not_count_as_running() {
        let doomed =
            task(r#"{"ID":"t","DesiredState":"shutdown","Status":{"State":"running"}}"#);
        assert!(!doomed.runs());
    }

    #[test]
    fn filters_pass_through_a_url() {
        assert_eq!(encoded(r#"{"a":["b c"]}"#), "%7B%22a%22%3A%5B%22b%20c%22%5D%7D");
    }
}
