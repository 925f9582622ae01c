//! What managers and engines answer, as far as scenarios look at it.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use swarmlet_testnet::{Host, Service};

/// One attempt to run one slot of a service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Task {
    pub id: String,
    pub slot: u64,
    /// The name of its node, empty while it has none.
    pub node: String,
    pub desired: String,
    pub state: String,
    pub error: String,
    /// The id of its container, empty while it has none.
    pub container: String,
    /// The port that it publishes on its node; of several the first, or 0.
    pub port: u64,
}

impl Task {
    pub fn runs(&self) -> bool {
        self.state == "running" && self.desired == "running"
    }
}

/// A member of the swarm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    pub id: String,
    pub name: String,
    pub state: String,
    /// Why it is in that state, if there is something to say.
    pub message: String,
    /// As the manager that leads would dial it, without a port.
    pub address: String,
    pub availability: String,
    pub role: String,
    /// Empty for workers.
    pub reachability: String,
    pub leads: bool,
}

/// A device as another one sees it, without asking a manager.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    pub id: String,
    pub name: String,
    /// `alive`, `suspect`, `dead` or `left`.
    pub state: String,
    pub incarnation: u64,
    /// How that is known: `self`, `direct`, `watchers`, or the id of another
    /// device that hears it.
    pub through: String,
}

/// A container in one host's engine, whatever its state.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Container {
    pub host: String,
    pub id: String,
    pub task: String,
    pub runs: bool,
    pub started: String,
}

/// `GET`s `path` from the host's swarmlet; anything but 200 is an error.
pub fn get(host: &Host, path: &str) -> Result<Value> {
    get_from(host, &host.daemon(), path)
}

/// `GET`s `path` from the host's engine.
pub fn get_engine(host: &Host, path: &str) -> Result<Value> {
    get_from(host, &host.engine(), path)
}

fn get_from(host: &Host, service: &Service, path: &str) -> Result<Value> {
    let answer = service.api("GET", path, "")?;
    ensure!(
        answer.status == 200,
        "{}: GET {path}: {} {}",
        host.name(),
        answer.status,
        answer.body
    );
    Ok(answer.json()?)
}

/// `filters=…` for a query that selects by one key.
pub fn filters(key: &str, value: &str) -> String {
    format!("filters=%7B%22{key}%22%3A%5B%22{value}%22%5D%7D")
}

/// The members, as the manager on `ask` sees them.
pub fn nodes(ask: &Host) -> Result<Vec<Node>> {
    list(&get(ask, "/nodes")?)?.iter().map(read_node).collect()
}

/// The member called `name`.
pub fn node(ask: &Host, name: &str) -> Result<Node> {
    let all = nodes(ask)?;
    all.into_iter()
        .find(|node| node.name == name)
        .with_context(|| format!("{} lists no node {name}", ask.name()))
}

/// Everyone whom `ask` itself knows.
pub fn members(ask: &Host) -> Result<Vec<Member>> {
    let answer = get(ask, "/swarmlet/members")?;
    let read = |member: &Value| Member {
        id: text(&member["ID"]),
        name: text(&member["Hostname"]),
        state: text(&member["State"]),
        incarnation: member["Incarnation"].as_u64().unwrap_or_default(),
        through: text(&member["Through"]),
    };
    Ok(list(&answer)?.iter().map(read).collect())
}

/// The one called `name` among them.
pub fn member(ask: &Host, name: &str) -> Result<Member> {
    let all = members(ask)?;
    all.into_iter()
        .find(|member| member.name == name)
        .with_context(|| format!("{} knows no member {name}", ask.name()))
}

/// The name of the leader.
pub fn leader(ask: &Host) -> Result<String> {
    let all = nodes(ask)?;
    let leader = all.into_iter().find(|node| node.leads);
    Ok(leader.context("no node is the leader")?.name)
}

/// A service as the API shows it.
pub fn service(ask: &Host, name: &str) -> Result<Value> {
    get(ask, &format!("/services/{name}"))
}

/// All tasks of a service that are remembered.
pub fn tasks(ask: &Host, service: &str) -> Result<Vec<Task>> {
    let nodes = nodes(ask)?;
    let answer = get(ask, &format!("/tasks?{}", filters("service", service)))?;
    let all = list(&answer)?.iter();
    Ok(all.map(|task| read_task(task, &nodes)).collect())
}

/// Those that run and should.
pub fn running(ask: &Host, service: &str) -> Result<Vec<Task>> {
    let all = tasks(ask, service)?;
    Ok(all.into_iter().filter(Task::runs).collect())
}

/// All containers that the host's engine has for a service.
pub fn containers(host: &Host, service: &str) -> Result<Vec<Container>> {
    let label = filters("label", &format!("com.docker.swarm.service.name={service}"));
    let answer = get_engine(host, &format!("/containers/json?all=1&{label}"))?;
    let mut found = Vec::new();
    for listed in list(&answer)? {
        let id = text(&listed["Id"]);
        let inspected = host
            .engine()
            .api("GET", &format!("/containers/{id}/json"), "")?;
        if inspected.status == 404 {
            continue; // removed since it was listed
        }
        let inspected = inspected.json()?;
        found.push(Container {
            host: host.name().to_owned(),
            task: text(&inspected["Config"]["Labels"]["com.docker.swarm.task.id"]),
            runs: inspected["State"]["Running"] == true,
            started: text(&inspected["State"]["StartedAt"]),
            id,
        });
    }
    found.sort();
    Ok(found)
}

fn list(answer: &Value) -> Result<&[Value]> {
    let array = answer.as_array().map(Vec::as_slice);
    array.with_context(|| format!("not a list: {answer}"))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn read_node(node: &Value) -> Result<Node> {
    let manager = &node["ManagerStatus"];
    Ok(Node {
        id: text(&node["ID"]),
        name: text(&node["Description"]["Hostname"]),
        state: text(&node["Status"]["State"]),
        message: text(&node["Status"]["Message"]),
        address: text(&node["Status"]["Addr"]),
        availability: text(&node["Spec"]["Availability"]),
        role: text(&node["Spec"]["Role"]),
        reachability: text(&manager["Reachability"]),
        leads: manager["Leader"] == true,
    })
}

fn read_task(task: &Value, nodes: &[Node]) -> Task {
    let status = &task["Status"];
    let node = text(&task["NodeID"]);
    let known = nodes.iter().find(|known| known.id == node);
    Task {
        id: text(&task["ID"]),
        slot: task["Slot"].as_u64().unwrap_or_default(),
        node: known.map_or(node, |known| known.name.clone()),
        desired: text(&task["DesiredState"]),
        state: text(&status["State"]),
        error: text(&status["Err"]),
        container: text(&status["ContainerStatus"]["ContainerID"]),
        port: status["PortStatus"]["Ports"][0]["PublishedPort"]
            .as_u64()
            .unwrap_or_default(),
    }
}
