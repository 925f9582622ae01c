//! What dockerd 20.10.24 answered (`recorded.json`: label, request, status,
//! body), asked again here. Ids, times, versions, tokens and certificates are
//! made equal first, and what this version does not have (networks,
//! ports in ingress mode) is taken out of the recorded bodies.

use std::collections::BTreeMap;

use axum::body::Body;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::fake::Fake;
use super::{ask, get, post};

struct Recording(BTreeMap<String, Vec<(String, u16, Value)>>);

impl Recording {
    fn read() -> Self {
        type Case = (String, String, u16, Value);
        let cases: Vec<Case> = serde_json::from_str(include_str!("recorded.json")).unwrap();
        let mut by_label = BTreeMap::<_, Vec<_>>::new();
        for (label, request, status, body) in cases {
            by_label
                .entry(label)
                .or_default()
                .push((request, status, body));
        }
        Self(by_label)
    }

    fn one(&self, label: &str) -> &(String, u16, Value) {
        &self.0[label][0]
    }
}

/// `value` without what differs from run to run.
fn normal(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(normal_text(text)),
        Value::Array(items) => {
            let mut items: Vec<_> = items.iter().map(normal).collect();
            items.sort_by_key(|item| item["Slot"].as_u64());
            Value::Array(items)
        }
        Value::Object(fields) => {
            let dropped = ["Networks", "NetworksAttachments", "VirtualIPs"];
            let fields = fields
                .iter()
                .filter(|(key, _)| !dropped.contains(&key.as_str()))
                .map(|(key, value)| {
                    let value = match key.as_str() {
                        "Index" => json!("<index>"),
                        "CreatedAt" | "UpdatedAt" | "StartedAt" | "Timestamp" | "LastExecution" => {
                            json!("<time>")
                        }
                        "TrustRoot" | "CertIssuerPublicKey" => json!("<certificate>"),
                        "Worker" | "Manager" => json!("<token>"),
                        "ContainerID" => json!("<container>"),
                        "PID" => json!("<pid>"),
                        "Plugins" => json!("<plugins>"),
                        "Ports" => json!("<ports>"),
                        _ => normal(value),
                    };
                    (key.clone(), value)
                });
            Value::Object(fields.collect())
        }
        other => other.clone(),
    }
}

/// Replaces every id among the words of a text.
fn normal_text(text: &str) -> String {
    let is_base36 = |byte: u8| byte.is_ascii_digit() || byte.is_ascii_lowercase();
    let is_id = |word: &str| word.len() == 25 && word.bytes().all(is_base36);
    let words = text
        .split(' ')
        .map(|word| if is_id(word) { "<id>" } else { word });
    words.collect::<Vec<_>>().join(" ")
}

/// Asks what was asked of Docker, with ids of ours, and compares.
async fn check(fake: &Fake, label: &str, request: &str, body: &Value) {
    let recording = Recording::read();
    let (_, status, expected) = recording.one(label);
    let (method, path) = request.split_once(' ').unwrap();
    let body = if body.is_null() {
        Body::empty()
    } else {
        Body::from(body.to_string())
    };
    let answer = ask(fake, method, path, body).await;
    let shown = normal(&answer.json());
    assert_eq!(
        (answer.status, shown),
        (*status, normal(expected)),
        "{label}"
    );
}

/// As [`check`], for a request that needs no id or body of ours.
async fn check_as_recorded(fake: &Fake, label: &str) {
    for (request, status, expected) in &Recording::read().0[label] {
        let (method, path) = request.split_once(' ').unwrap();
        let answer = ask(fake, method, path, Body::empty()).await;
        let shown = normal(&answer.json());
        assert_eq!(
            (answer.status, shown),
            (*status, normal(expected)),
            "{label} {request}"
        );
    }
}

fn spec(name: &str) -> Value {
    json!({
        "Name": name,
        "TaskTemplate": {"ContainerSpec": {"Image": "busybox:latest", "Command": ["sleep", "1000"]}},
        "Mode": {"Replicated": {"Replicas": 2}},
        "EndpointSpec": {"Mode": "vip", "Ports": [
            {"TargetPort": 80, "PublishMode": "host"}
        ]},
    })
}

/// `value` with `change` merged into it, objects into objects.
fn with(mut value: Value, change: &Value) -> Value {
    merge(&mut value, change);
    value
}

fn merge(value: &mut Value, change: &Value) {
    match (value, change) {
        (Value::Object(fields), Value::Object(changes)) => {
            for (key, change) in changes {
                merge(fields.entry(key.clone()).or_insert(Value::Null), change);
            }
        }
        (value, change) => value.clone_from(change),
    }
}

async fn id_of(fake: &Fake, path: &str) -> String {
    get(fake, path).await.json()["ID"]
        .as_str()
        .unwrap()
        .to_owned()
}

async fn index_of(fake: &Fake, path: &str) -> u64 {
    get(fake, path).await.json()["Version"]["Index"]
        .as_u64()
        .unwrap()
}

#[tokio::test]
async fn a_node_outside_a_swarm_answers_as_docker() {
    let fake = Fake::new();
    check_as_recorded(&fake, "inactive").await;
    check_as_recorded(&fake, "inactive svc create").await;
}

#[tokio::test]
async fn a_swarm_is_made_as_by_docker() {
    let fake = Fake::new();
    let init = |change: Value| with(json!({"ListenAddr": "0.0.0.0:2377"}), &change);
    let path = "POST /swarm/init";
    check(
        &fake,
        "init bad addr",
        path,
        &init(json!({"ListenAddr": ""})),
    )
    .await;
    check(
        &fake,
        "init bad name",
        path,
        &init(json!({"Spec": {"Name": "x"}})),
    )
    .await;
    check(&fake, "join no remote", "POST /swarm/join", &json!({})).await;
    check(&fake, "init ok", path, &init(json!({}))).await;
    check(&fake, "init twice", path, &init(json!({}))).await;
    check_as_recorded(&fake, "leave no force").await;
}

#[tokio::test]
async fn the_cluster_is_shown_and_updated_as_by_docker() {
    let fake = Fake::active();
    check_as_recorded(&fake, "swarm").await;
    let spec = get(&fake, "/swarm").await.json()["Spec"].take();
    let version = index_of(&fake, "/swarm").await;
    let short = with(
        spec.clone(),
        &json!({"CAConfig": {"NodeCertExpiry": 1_000}}),
    );
    let path = format!("POST /swarm/update?version={version}");
    check(
        &fake,
        "swarm update no version",
        "POST /swarm/update",
        &spec,
    )
    .await;
    let stale = format!("POST /swarm/update?version={}", version + 7);
    check(&fake, "swarm update stale", &stale, &spec).await;
    check(&fake, "swarm update short expiry", &path, &short).await;
    check_as_recorded(&fake, "unlock not locked").await;
    check_as_recorded(&fake, "unlockkey none").await;
}

#[tokio::test]
async fn nodes_are_shown_and_kept_as_by_docker() {
    let fake = Fake::active();
    let id = id_of(&fake, "/nodes/refnode").await;
    check(&fake, "node", &format!("GET /nodes/{id}"), &Value::Null).await;
    for label in [
        "node list",
        "node bad filter",
        "node bad role filter",
        "node nf",
    ] {
        check_as_recorded(&fake, label).await;
    }
    check(
        &fake,
        "node rm ready",
        &format!("DELETE /nodes/{id}"),
        &Value::Null,
    )
    .await;
    let forced = format!("DELETE /nodes/{id}?force=1");
    check(&fake, "node rm force mgr", &forced, &Value::Null).await;
    let version = index_of(&fake, "/nodes/refnode").await;
    let update = format!("POST /nodes/{id}/update?version={version}");
    let spec = json!({"Role": "manager", "Availability": "active"});
    let change = |change: Value| with(spec.clone(), &change);
    check(
        &fake,
        "demote last",
        &update,
        &change(json!({"Role": "worker"})),
    )
    .await;
    let stale = format!("POST /nodes/{id}/update?version={}", version + 7);
    check(&fake, "node update stale", &stale, &spec).await;
    let foo = change(json!({"Availability": "foo"}));
    check(&fake, "node update bad avail", &update, &foo).await;
    let foo = change(json!({"Role": "foo"}));
    check(&fake, "node update bad role", &update, &foo).await;
}

#[tokio::test]
async fn specs_are_refused_as_by_docker() {
    let fake = Fake::active();
    let container = |container: Value| json!({"TaskTemplate": {"ContainerSpec": container}});
    let reserve =
        |amounts: Value| json!({"TaskTemplate": {"Resources": {"Reservations": amounts}}});
    let mount = json!({"Type": "bind", "Source": "/a", "Target": "/a"});
    let long = "a".repeat(64);
    check(&fake, "svc create", "POST /services/create", &spec("web")).await;
    check(&fake, "svc dup", "POST /services/create", &spec("web")).await;
    for (label, change) in [
        ("svc no image", container(json!({"Image": ""}))),
        ("svc bad name", json!({"Name": "bad name"})),
        ("svc long name", json!({"Name": long})),
        ("svc bad image", container(json!({"Image": "BAD IMAGE"}))),
        ("svc low cpu", reserve(json!({"NanoCPUs": 1}))),
        ("svc low mem", reserve(json!({"MemoryBytes": 100}))),
        (
            "svc bad constraint",
            json!({"TaskTemplate": {"Placement": {"Constraints": ["x"]}}}),
        ),
        (
            "svc dup mount",
            container(json!({"Mounts": [mount, mount]})),
        ),
        (
            "svc bad ratio",
            json!({"UpdateConfig": {"MaxFailureRatio": 2}}),
        ),
        ("job two modes", json!({"Mode": {"Global": {}}})),
    ] {
        let body = with(spec("other"), &change);
        check(&fake, label, "POST /services/create", &body).await;
    }
    check(&fake, "bad json", "POST /services/create", &json!("x")).await;
}

#[tokio::test]
async fn services_and_tasks_are_shown_as_by_docker() {
    let fake = Fake::active();
    let web = with_files(&fake).await;
    post(&fake, "/services/create", &web).await;
    fake.edit(|swarm| swarm.run_all());
    for label in ["svc get", "svc get defaults", "tasks web"] {
        check_as_recorded(&fake, label).await;
    }
    for label in [
        "svc bad filter",
        "svc nf",
        "tasks svc nf",
        "tasks bad state",
        "tasks bad filter",
        "task nf",
        "logs nf",
        "logs nostream",
        "secret rm nf",
    ] {
        check_as_recorded(&fake, label).await;
    }
}

fn job() -> Value {
    json!({
        "Name": "job",
        "TaskTemplate": {
            "ContainerSpec": {"Image": "busybox:latest", "Command": ["true"]},
            "RestartPolicy": {"Condition": "none"},
        },
        "Mode": {"ReplicatedJob": {}},
    })
}

fn global() -> Value {
    json!({
        "Name": "glob",
        "TaskTemplate": {
            "ContainerSpec": {"Image": "busybox:latest", "Command": ["sleep", "1000"]},
        },
        "Mode": {"Global": {}},
        "EndpointSpec": {"Mode": "vip", "Ports": [
            {"TargetPort": 80, "PublishedPort": 8088, "PublishMode": "host"}
        ]},
    })
}

#[tokio::test]
async fn other_modes_are_created_and_shown_as_by_docker() {
    let fake = Fake::active();
    let create = "POST /services/create";
    let with_config = with(job(), &json!({"UpdateConfig": {"Parallelism": 1}}));
    check(&fake, "job + updateconfig", create, &with_config).await;
    check(&fake, "job ok", create, &job()).await;
    check(&fake, "global ok", create, &global()).await;
    fake.edit(|swarm| {
        swarm.run_all();
        swarm.end_jobs();
    });
    for label in ["job get", "tasks job", "tasks glob"] {
        check_as_recorded(&fake, label).await;
    }
    let recording = Recording::read();
    let (request, _, expected) = recording.one("svc list status");
    let shown = get(&fake, request.split_once(' ').unwrap().1).await.json();
    for name in ["job", "glob"] {
        let named = |list: &Value| {
            let mut services = list.as_array().unwrap().iter();
            normal(services.find(|it| it["Spec"]["Name"] == name).unwrap())
        };
        assert_eq!(named(&shown), named(expected), "{name}");
    }
}

#[tokio::test]
async fn a_list_with_status_is_as_by_docker() {
    let recording = Recording::read();
    let (_, _, expected) = recording.one("svc list status");
    let fake = Fake::active();
    let unnamed = json!({"TaskTemplate": {"ContainerSpec": {"Image": "busybox"}}});
    assert_eq!(post(&fake, "/services/create", &unnamed).await.status, 201);
    let uns = json!({"Name": "uns", "TaskTemplate": {
        "ContainerSpec": {"Image": "busybox:latest"},
        "Placement": {"Constraints": ["node.labels.x==y"]},
    }});
    assert_eq!(post(&fake, "/services/create", &uns).await.status, 201);

    let shown = get(&fake, "/services?status=true").await.json();
    let named = |list: &Value, name: &str| {
        let mut services = list.as_array().unwrap().iter();
        let mut service = services
            .find(|it| it["Spec"]["Name"] == name)
            .cloned()
            .unwrap();
        service["Spec"]["Name"] = json!("<name>");
        normal(&service)
    };
    assert_eq!(named(&shown, "uns"), named(expected, "uns"));
    let names = shown
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["Spec"]["Name"].as_str().unwrap());
    let chosen = names.clone().find(|name| *name != "uns").unwrap();
    assert_eq!(named(&shown, chosen), named(expected, "thirsty_ramanujan"));
}

#[tokio::test]
async fn services_are_updated_and_removed_as_by_docker() {
    let fake = Fake::active();
    let web = with_files(&fake).await;
    assert_eq!(post(&fake, "/services/create", &web).await.status, 201);
    let id = id_of(&fake, "/services/web").await;
    let version = index_of(&fake, "/services/web").await;
    let update = format!("POST /services/{id}/update");
    let current = format!("{update}?version={version}");
    let stale = format!("{update}?version={}", version + 7);
    check(&fake, "svc update stale", &stale, &spec("web")).await;
    check(&fake, "svc update nover", &update, &spec("web")).await;
    check(&fake, "svc update rename", &current, &spec("other")).await;
    let mut mode = spec("web");
    mode["Mode"] = json!({"Global": {}});
    check(&fake, "svc update mode", &current, &mode).await;
    let rollback = format!("{current}&rollback=previous");
    check(&fake, "svc rollback noprev", &rollback, &spec("web")).await;
    let bad = format!("{current}&rollback=foo");
    check(&fake, "svc bad rollback", &bad, &spec("web")).await;
    let forced = with(web, &json!({"TaskTemplate": {"ForceUpdate": 1}}));
    check(&fake, "svc update ok", &current, &forced).await;
    check_as_recorded(&fake, "svc updating").await;
    check_as_recorded(&fake, "svc rm").await;
    check_as_recorded(&fake, "svc rm nf").await;
}

/// The spec of `web` with a secret and a config, which are there.
async fn with_files(fake: &Fake) -> Value {
    for kind in ["secret", "config"] {
        let name = format!("{}1", &kind[..1]);
        let file = json!({"Name": name, "Data": "aGVsbG8="});
        let created = post(fake, &format!("/{kind}s/create"), &file).await;
        assert_eq!(created.status, 201);
    }
    let file = |name| json!({"Name": name, "UID": "0", "GID": "0", "Mode": 292});
    let files = json!({
        "Secrets": [{"File": file("s1"), "SecretName": "s1",
            "SecretID": id_of(fake, "/secrets/s1").await}],
        "Configs": [{"File": file("/c1"), "ConfigName": "c1",
            "ConfigID": id_of(fake, "/configs/c1").await}],
    });
    with(
        spec("web"),
        &json!({"TaskTemplate": {"ContainerSpec": files}}),
    )
}

#[tokio::test]
async fn secrets_are_kept_as_by_docker() {
    let fake = Fake::active();
    let secret = |name: &str, bytes: usize| {
        let data = STANDARD.encode(vec![b'x'; bytes]);
        json!({"Name": name, "Labels": {"x": "y"}, "Data": data})
    };
    let create = "POST /secrets/create";
    for (label, body) in [
        ("secret create", secret("s1", 5)),
        ("secret dup", secret("s1", 5)),
        ("secret empty", secret("s2", 0)),
        ("secret bad name", secret("a b", 5)),
        ("secret big", secret("s2", 512_001)),
    ] {
        check(&fake, label, create, &body).await;
    }
    check_as_recorded(&fake, "secret get").await;
    let id = id_of(&fake, "/secrets/s1").await;
    let version = index_of(&fake, "/secrets/s1").await;
    let update = format!("POST /secrets/{id}/update");
    let current = format!("{update}?version={version}");
    let other = secret("s1", 6);
    check(&fake, "secret update data", &current, &other).await;
    let labels = json!({"Name": "s1", "Labels": {"a": "b"}});
    let answer = post(&fake, &current["POST ".len()..], &labels).await;
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    let shown = get(&fake, "/secrets/s1").await.json();
    assert_eq!(shown["Spec"]["Labels"], json!({"a": "b"}));
    check(&fake, "secret update stale", &current, &labels).await;
    check(&fake, "secret update nover", &update, &labels).await;
}

#[tokio::test]
async fn configs_are_kept_as_by_docker() {
    let fake = Fake::active();
    let config = json!({"Name": "c1", "Labels": {}, "Data": "aGVsbG8="});
    let create = "POST /configs/create";
    check(&fake, "config create", create, &config).await;
    check(&fake, "config dup", create, &config).await;
    check_as_recorded(&fake, "config get").await;
}

#[tokio::test]
async fn what_services_refer_to_is_kept_as_by_docker() {
    let fake = Fake::active();
    let web = with_files(&fake).await;
    let missing = json!([{"SecretID": "zz", "SecretName": "zz", "File": {"Name": "zz"}}]);
    let unknown = json!({"TaskTemplate": {"ContainerSpec": {"Secrets": missing}}});
    let path = "POST /services/create";
    check(&fake, "svc secret nf", path, &with(spec("x"), &unknown)).await;
    assert_eq!(post(&fake, "/services/create", &web).await.status, 201);
    check_as_recorded(&fake, "secret rm in use").await;
    check_as_recorded(&fake, "config rm in use").await;
    check_as_recorded(&fake, "secret rm nf").await;
}
