//! What Traefik's swarm provider asks, and what it makes of the answers.
//!
//! The requests are those of Traefik 3 (`pkg/provider/docker/pswarm.go`), in its
//! order: the version, the services, the swarm's networks, and then for each
//! service either its addresses or its running tasks and their nodes. Releases
//! before 3.6 speak API 1.24, later ones what the socket tells.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::{Value, json};
use services::NodeHealth;

use super::fake::Fake;
use super::networks::swarm_with_network;
use super::{get, post};

/// Where Traefik sends requests: by the name that it gives a backend, the
/// address on each network.
type Backends = BTreeMap<String, BTreeMap<String, IpAddr>>;

const LB_SWARM: &str = "traefik.swarm.lbswarm";

struct Provider<'a> {
    fake: &'a Fake,
    /// With a slash before it.
    version: String,
}

impl Provider<'_> {
    async fn get(&self, path: &str) -> Value {
        let path = format!("{}{path}", self.version);
        let answer = get(self.fake, &path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.json());
        answer.json()
    }

    async fn list(&self, path: &str, filters: &Value) -> Vec<Value> {
        let filters: String = filters.to_string().bytes().map(escaped).collect();
        let answer = self.get(&format!("{path}?filters={filters}")).await;
        answer.as_array().unwrap().clone()
    }

    async fn backends(&self) -> Backends {
        assert!(self.get("/version").await["ApiVersion"].is_string());
        let services = self.get("/services").await;
        let networks = self
            .list("/networks", &json!({"scope": {"swarm": true}}))
            .await;
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let named = networks.iter();
        let names: BTreeMap<String, String> = named
            .map(|it| (text(&it["Id"]), text(&it["Name"])))
            .collect();
        let mut backends = Backends::new();
        for service in services.as_array().unwrap() {
            let name = text(&service["Spec"]["Name"]);
            if service["Spec"]["Labels"][LB_SWARM] == "true" {
                backends.insert(name, by_address(service, &names));
            } else {
                backends.extend(self.by_task(service, &name, &names).await);
            }
        }
        backends
    }

    async fn by_task(
        &self,
        service: &Value,
        name: &str,
        names: &BTreeMap<String, String>,
    ) -> Backends {
        let id = service["ID"].as_str().unwrap();
        let filters = json!({"desired-state": {"running": true}, "service": {id: true}});
        let is_global = service["Spec"]["Mode"]["Global"].is_object();
        let mut backends = Backends::new();
        for task in self.list("/tasks", &filters).await {
            if task["Status"]["State"] != "running" {
                continue;
            }
            let node = task["NodeID"].as_str().unwrap();
            let node = self.get(&format!("/nodes/{node}")).await;
            assert!(address(&node["Status"]["Addr"]).is_ipv4());
            let which = match is_global {
                true => task["ID"].as_str().unwrap().to_owned(),
                false => task["Slot"].as_u64().unwrap().to_string(),
            };
            let mut addresses = BTreeMap::new();
            for on in task["NetworksAttachments"].as_array().into_iter().flatten() {
                let network = on["Network"]["ID"].as_str().unwrap();
                for text in on["Addresses"].as_array().unwrap() {
                    addresses.insert(names[network].clone(), address(text));
                }
            }
            backends.insert(format!("{name}.{which}"), addresses);
        }
        backends
    }
}

/// Only what is reached by one is asked for its addresses.
fn by_address(service: &Value, names: &BTreeMap<String, String>) -> BTreeMap<String, IpAddr> {
    if service["Spec"]["EndpointSpec"]["Mode"] != "vip" {
        return BTreeMap::new();
    }
    let vips = service["Endpoint"]["VirtualIPs"].as_array();
    let addresses = vips.into_iter().flatten().map(|vip| {
        let network = vip["NetworkID"].as_str().unwrap();
        (names[network].clone(), address(&vip["Addr"]))
    });
    addresses.collect()
}

/// With the length of its prefix, or without.
fn address(shown: &Value) -> IpAddr {
    let text = shown.as_str().unwrap();
    text.split('/').next().unwrap().parse().unwrap()
}

fn escaped(byte: u8) -> String {
    format!("%{byte:02X}")
}

/// What a router is made of is in the labels of the service.
fn spec(name: &str, mode: &str, more: &Value) -> Value {
    let mut spec = json!({
        "Name": name,
        "Labels": {"traefik.http.services.x.loadbalancer.server.port": "80"},
        "TaskTemplate": {
            "ContainerSpec": {"Image": "whoami:latest"},
            "Networks": [{"Target": "ov1"}],
        },
        "Mode": {"Replicated": {"Replicas": 2}},
        "EndpointSpec": {"Mode": mode},
    });
    for (key, value) in more.as_object().unwrap() {
        spec[key] = value.clone();
    }
    spec
}

async fn swarm() -> Fake {
    let fake = swarm_with_network().await;
    for spec in [
        spec("web", "vip", &json!({})),
        spec("direct", "vip", &json!({"Labels": {LB_SWARM: "true"}})),
        spec("names", "dnsrr", &json!({})),
        spec("all", "vip", &json!({"Mode": {"Global": {}}})),
    ] {
        let answer = post(&fake, "/services/create", &spec).await;
        assert_eq!(answer.status, 201, "{}", answer.json());
    }
    fake.edit(|swarm| swarm.run_all());
    fake
}

/// As the state has it: the tasks' addresses by what Traefik calls them, and
/// the service's own.
fn expected(fake: &Fake) -> Backends {
    fake.edit(|swarm| {
        let on = |addr: IpNet| BTreeMap::from([("ov1".to_owned(), addr.addr())]);
        let mut backends = Backends::new();
        for service in swarm.state.services() {
            let name = &service.spec.name;
            if name == "direct" {
                backends.insert(name.clone(), on(service.endpoint.vips[0].addr));
                continue;
            }
            for task in swarm.state.tasks_of_service(service.id) {
                let which = match name.as_str() {
                    "all" => task.id.to_string(),
                    _ => task.slot.number().to_string(),
                };
                backends.insert(format!("{name}.{which}"), on(task.addresses[0].addrs[0]));
            }
        }
        backends
    })
}

#[tokio::test]
async fn traefik_finds_every_running_task_and_what_has_one_address() {
    let fake = swarm().await;
    let expected = expected(&fake);
    assert_eq!(expected.len(), 2 + 1 + 2 + 1);
    for version in ["/v1.24", "/v1.41"] {
        let version = version.to_owned();
        let provider = Provider {
            fake: &fake,
            version,
        };
        assert_eq!(provider.backends().await, expected);
    }
}

#[tokio::test]
async fn traefik_is_told_of_no_task_that_does_not_run() {
    let fake = swarm().await;
    fake.edit(|swarm| {
        let node = swarm.state.nodes().next().unwrap().id;
        let reason = "its cable is cut".into();
        swarm.see(node, NodeHealth::Down { reason });
        swarm.plan();
    });
    let version = "/v1.41".to_owned();
    let provider = Provider {
        fake: &fake,
        version,
    };
    let left: Vec<String> = provider.backends().await.into_keys().collect();
    assert_eq!(left, ["direct"]);
}
