//! Every request of Docker's own program.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::fake::{Fake, Swarm};
use super::compare::Difference;
use super::{Played, check_listed};

/// A command, and what it asked with the status of each answer.
struct Command {
    line: String,
    asked: Vec<(String, u16)>,
}

fn recorded() -> Vec<Command> {
    let text = include_str!("../cli_trace.txt");
    let commands = text.split("### ").skip(1);
    let read = |text: &str| {
        let mut lines = text.lines();
        let line = lines.next().unwrap().to_owned();
        let lines: Vec<&str> = lines.collect();
        let mut asked = Vec::new();
        for pair in lines.chunks_exact(2) {
            let request = pair[0].strip_prefix("> ").unwrap().to_owned();
            let status = pair[1].strip_prefix("< ").unwrap();
            asked.push((request, status.parse().unwrap()));
        }
        Command { line, asked }
    };
    commands.map(read).collect()
}

/// Where an object of ours is found that had another id in the recording.
const OBJECTS: &[(&str, &str)] = &[
    ("qe2w4fv6v039zdsz6v9k28a0l", "/nodes/refnode"),
    ("5n34faxxloyig5m88gmipq58r", "/networks/net1"),
    ("gu4627vb0bjtt4ijktto3u4op", "/services/web"),
    ("7o47dfenn41nehxdhyasd10f6", "/services/conv"),
    ("jr0j2tw4b99dxidy5uekx0an0", "/services/st_web"),
    ("96x39w3fqhhlvvzzza88wpmj7", "/secrets/st_s"),
    ("wfh6n9eehg2ch96ax69ptv417", "/configs/st_c"),
    ("cj029g5ecdlbmqbh30syt3uys", "/networks/st_default"),
];

#[tokio::test]
async fn dockers_program_is_answered_as_by_docker_but_for_what_is_listed() {
    let played = Played::start(Fake::active());
    played.fake.edit(|swarm| swarm.plan());
    let mut ids = BTreeMap::new();
    let mut seen = Vec::new();
    let commands = recorded();
    assert_eq!(commands.len(), 39);
    for command in commands {
        for (request, status) in command.asked {
            let (method, path) = request.split_once(' ').unwrap();
            played.fake.edit(Swarm::obey);
            let (path, body) = ours(&played, &mut ids, &command.line, path, method).await;
            let answer = played.ask(method, &path, &body).await;
            if answer.status != status {
                seen.push(Difference {
                    case: command.line.clone(),
                    place: request.split('?').next().unwrap_or_default().to_owned(),
                    docker: json!(status),
                    ours: json!([answer.status, String::from_utf8_lossy(&answer.body)]),
                });
            }
        }
    }
    check_listed(
        "\n## Requests of the docker program that end otherwise\n",
        &seen,
    );
}

/// What is to be asked here: with our ids, our versions, and a body that the
/// command would have sent.
async fn ours(
    played: &Played,
    ids: &mut BTreeMap<&'static str, String>,
    line: &str,
    path: &str,
    method: &str,
) -> (String, Value) {
    let mut path = path.to_owned();
    for (theirs, place) in OBJECTS {
        if !path.contains(theirs) {
            continue;
        }
        if !ids.contains_key(theirs) {
            let found = played.get(place).await;
            let id = found["ID"].as_str().or(found["Id"].as_str());
            ids.insert(*theirs, id.expect(place).to_owned());
        }
        path = path.replace(theirs, &ids[theirs]);
    }
    if method != "POST" {
        return (path, Value::Null);
    }
    let Some((before, _)) = path.split_once("version=") else {
        let body = created(played, line, &path).await;
        return (path, body);
    };
    let object = before.split('?').next().unwrap_or_default();
    let object = object.trim_end_matches("/update");
    let current = played.get(object).await;
    let version = current["Version"]["Index"].to_string();
    let mut spec = current["Spec"].clone();
    change(&mut spec, line);
    (format!("{before}version={version}"), spec)
}

/// What the command makes of the spec that it was shown.
fn change(spec: &mut Value, line: &str) {
    match line {
        line if line.contains("--label-add a=b") => spec["Labels"]["a"] = json!("b"),
        line if line.contains("--env-add A=B") => {
            spec["TaskTemplate"]["ContainerSpec"]["Env"] = json!(["A=B"]);
        }
        line if line.contains("web=1") => spec["Mode"]["Replicated"]["Replicas"] = json!(1),
        line if line.contains("--task-history-limit") => {
            spec["Orchestration"]["TaskHistoryRetentionLimit"] = json!(4);
        }
        _ => {}
    }
}

async fn created(played: &Played, line: &str, path: &str) -> Value {
    let stack = line
        .contains("stack")
        .then(|| json!({"com.docker.stack.namespace": "st"}));
    let name = |plain: &str, stacked: &str| match stack {
        Some(_) => json!(stacked),
        None => json!(plain),
    };
    let labels = stack.clone().unwrap_or_else(|| json!({}));
    let kind = path.split('/').nth(2).unwrap_or_default();
    match kind {
        "networks" => json!({
            "Name": name("net1", "st_default"), "Driver": "overlay", "Labels": labels,
            "Attachable": stack.is_none(), "CheckDuplicate": true,
        }),
        "secrets" => json!({"Name": name("sec1", "st_s"), "Labels": labels, "Data": "eA=="}),
        "configs" => json!({"Name": name("cfg1", "st_c"), "Labels": labels, "Data": "eA=="}),
        "services" => match stack {
            Some(_) => service(
                "st_web",
                &labels,
                json!({"Networks": [{"Target": "st_default"}]}),
            ),
            None if line.contains("--name conv") => service("conv", &labels, json!({})),
            None => web(played, &labels).await,
        },
        _ => json!({}),
    }
}

fn service(name: &str, labels: &Value, mut template: Value) -> Value {
    if template["ContainerSpec"].is_null() {
        template["ContainerSpec"] = json!({"Image": "busybox:latest", "Args": ["sleep", "1000"]});
    }
    json!({"Name": name, "Labels": labels, "TaskTemplate": template})
}

async fn web(played: &Played, labels: &Value) -> Value {
    let file = |name: &str| json!({"Name": name, "UID": "0", "GID": "0", "Mode": 292});
    let secret = played.get("/secrets/sec1").await;
    let config = played.get("/configs/cfg1").await;
    let network = played.get("/networks/net1").await;
    let container = json!({
        "Image": "busybox:latest", "Args": ["sleep", "1000"],
        "Secrets": [{"File": file("sec1"), "SecretID": secret["ID"], "SecretName": "sec1"}],
        "Configs": [{"File": file("/cfg1"), "ConfigID": config["ID"], "ConfigName": "cfg1"}],
    });
    let networks = json!([{"Target": network["Id"]}]);
    let mut spec = service(
        "web",
        labels,
        json!({"ContainerSpec": container, "Networks": networks}),
    );
    spec["Mode"] = json!({"Replicated": {"Replicas": 2}});
    spec["EndpointSpec"] = json!({"Ports": [{"TargetPort": 80, "PublishedPort": 8080}]});
    spec
}
