//! What Docker was asked, with its ids, by the label of the answer.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// The body of the request; null for none.
pub fn of(label: &str) -> Value {
    match label {
        "inactive overlay create" => json!({"Name": "n", "Driver": "overlay"}),
        label if label.starts_with("init ") || label.starts_with("join ") => of_swarm(label),
        label if label.starts_with("swarm update") => cluster(label),
        "unlock not locked" => json!({"UnlockKey": "SWMKEY-1-x"}),
        "demote last" => node("worker", "active"),
        "node update bad avail" => node("manager", "foo"),
        "node update bad role" => node("foo", "active"),
        "node update stale" => node("manager", "active"),
        label if label.starts_with("net ") => network(label),
        label if label.starts_with("secret ") => secret(label),
        "config create" | "config dup" => json!({"Name": "c1", "Labels": {}, "Data": "aGVsbG8="}),
        "bad json" => json!("x"),
        label => service(label),
    }
}

fn of_swarm(label: &str) -> Value {
    let with = |key: &str, value: Value| {
        let mut body = json!({"ListenAddr": "0.0.0.0:2377"});
        body[key] = value;
        body
    };
    match label {
        "init bad addr" => with("ListenAddr", json!("")),
        "init bad name" => with("Spec", json!({"Name": "x"})),
        "init bad pool" => with("DefaultAddrPool", json!(["10.0.0.0/33"])),
        "join bad token" => json!({
            "ListenAddr": "0.0.0.0:2377", "RemoteAddrs": ["10.77.0.9:2377"], "JoinToken": "x",
        }),
        "join no remote" => json!({"ListenAddr": "0.0.0.0:2377"}),
        _ => with("AdvertiseAddr", json!("10.77.0.1")),
    }
}

fn cluster(label: &str) -> Value {
    let hours: i64 = if label.ends_with("expiry") { 0 } else { 2160 };
    let expiry = (hours * 3_600_000_000_000).max(1_000);
    json!({"Name": "default", "Labels": {}, "CAConfig": {"NodeCertExpiry": expiry}})
}

fn node(role: &str, availability: &str) -> Value {
    json!({"Labels": {}, "Role": role, "Availability": availability})
}

fn network(label: &str) -> Value {
    match label {
        "net create" | "net dup" => json!({
            "Name": "ov1", "CheckDuplicate": true, "Driver": "overlay", "Attachable": true,
            "Labels": {"a": "b"},
        }),
        "net bad driver" => json!({"Name": "ov2", "Driver": "nodrv"}),
        "net ingress2" => json!({"Name": "ing2", "Driver": "overlay", "Ingress": true}),
        _ => Value::Null,
    }
}

fn secret(label: &str) -> Value {
    let secret = |name: &str, bytes: usize| {
        let data = STANDARD.encode(vec![b'x'; bytes]);
        json!({"Name": name, "Labels": {"x": "y"}, "Data": data})
    };
    match label {
        "secret create" | "secret dup" => secret("s1", 5),
        "secret empty" => secret("s2", 0),
        "secret bad name" => secret("a b", 5),
        "secret big" => secret("s2", 512_001),
        "secret update data" => secret("s1", 6),
        label if label.starts_with("secret update") => {
            json!({"Name": "s1", "Labels": {"a": "b"}})
        }
        _ => Value::Null,
    }
}

fn web() -> Value {
    let file = |name| json!({"Name": name, "UID": "0", "GID": "0", "Mode": 292});
    json!({
        "Name": "web",
        "TaskTemplate": {
            "ContainerSpec": {
                "Image": "busybox:latest",
                "Command": ["sleep", "1000"],
                "Secrets": [{"File": file("s1"), "SecretName": "s1",
                    "SecretID": "gommbnq2z5ckke2k70s91izzu"}],
                "Configs": [{"File": file("/c1"), "ConfigName": "c1",
                    "ConfigID": "akz96qn8anpat5ery98v6qxl3"}],
            },
            "Networks": [{"Target": "ov1", "Aliases": ["w"]}],
        },
        "Mode": {"Replicated": {"Replicas": 2}},
        "EndpointSpec": {"Ports": [
            {"TargetPort": 80, "PublishedPort": 8080}, {"TargetPort": 81},
        ]},
    })
}

/// A plain service but for `part` of it.
fn other(part: Value) -> Value {
    let mut spec = json!({
        "Name": "other",
        "TaskTemplate": {"ContainerSpec": {"Image": "busybox:latest"}},
    });
    for (key, value) in part.as_object().unwrap() {
        spec[key] = value.clone();
    }
    spec
}

fn task(part: Value) -> Value {
    let mut template = json!({"ContainerSpec": {"Image": "busybox:latest"}});
    for (key, value) in part.as_object().unwrap() {
        template[key] = value.clone();
    }
    other(json!({"TaskTemplate": template}))
}

fn container(part: Value) -> Value {
    let mut container = json!({"Image": "busybox:latest"});
    for (key, value) in part.as_object().unwrap() {
        container[key] = value.clone();
    }
    task(json!({"ContainerSpec": container}))
}

fn on_network(target: &str) -> Value {
    task(json!({"Networks": [{"Target": target}]}))
}

fn reserve(amounts: &Value) -> Value {
    task(json!({"Resources": {"Reservations": amounts}}))
}

fn ports(endpoint: Value) -> Value {
    other(json!({"EndpointSpec": endpoint}))
}

fn service(label: &str) -> Value {
    let mount = json!({"Type": "bind", "Source": "/a", "Target": "/a"});
    let missing = json!([{"SecretID": "zz", "SecretName": "zz", "File": {"Name": "zz"}}]);
    match label {
        "svc create" | "svc dup" => web(),
        "svc port conflict" => ports(json!({"Ports": [{"TargetPort": 80, "PublishedPort": 8080}]})),
        "svc no image" => container(json!({"Image": ""})),
        "svc no name" => json!({"TaskTemplate": {"ContainerSpec": {"Image": "busybox"}}}),
        "svc bad name" => other(json!({"Name": "bad name"})),
        "svc long name" => other(json!({"Name": "a".repeat(64)})),
        "svc bad image" => container(json!({"Image": "BAD IMAGE"})),
        "svc low cpu" => reserve(&json!({"NanoCPUs": 1})),
        "svc low mem" => reserve(&json!({"MemoryBytes": 100})),
        "svc bad constraint" => task(json!({"Placement": {"Constraints": ["x"]}})),
        "svc dnsrr ingress" => {
            ports(json!({"Mode": "dnsrr", "Ports": [{"TargetPort": 80, "PublishedPort": 81}]}))
        }
        "svc net nf" => on_network("nonet"),
        "svc net ingress" => on_network("ingress"),
        "svc net bridge local" => json!({
            "Name": "nb",
            "TaskTemplate": {
                "ContainerSpec": {"Image": "busybox", "Command": ["sleep", "99"]},
                "Networks": [{"Target": "bridge"}],
            },
        }),
        "svc secret nf" => container(json!({"Secrets": missing})),
        "svc dup mount" => container(json!({"Mounts": [mount, mount]})),
        "svc bad ratio" => other(json!({"UpdateConfig": {"MaxFailureRatio": 2}})),
        "job + updateconfig" => with(job(), "UpdateConfig", json!({"Parallelism": 1})),
        "job ok" => job(),
        "job two modes" => other(json!({"Mode": {"Global": {}, "Replicated": {}}})),
        "global ok" => global(),
        "svc unsched" => with(
            task(json!({"Placement": {"Constraints": ["node.labels.x==y"]}})),
            "Name",
            json!("uns"),
        ),
        "svc update rename" => with(web(), "Name", json!("other")),
        "svc update mode" => with(web(), "Mode", json!({"Global": {}})),
        "svc update ok" => {
            let mut spec = web();
            spec["TaskTemplate"]["ForceUpdate"] = json!(1);
            spec
        }
        label if label.starts_with("svc update") || label.contains("rollback") => web(),
        "inactive svc create" => web(),
        _ => Value::Null,
    }
}

fn with(mut spec: Value, key: &str, value: Value) -> Value {
    spec[key] = value;
    spec
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
