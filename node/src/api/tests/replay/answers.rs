//! Every recorded answer.

use serde_json::{Value, json};

use super::super::fake::{Fake, Swarm};
use super::compare::{Difference, Names};
use super::{Played, bodies, check_listed};

type Case = (String, String, u16, Value);

fn recorded() -> Vec<Case> {
    serde_json::from_str(include_str!("../answers.json")).unwrap()
}

#[tokio::test]
async fn docker_and_we_answer_the_same_but_for_what_is_listed() {
    let played = Played::start(Fake::new());
    let cases = recorded();
    let mut names = Names::default();
    let mut seen = Vec::new();
    for (label, request, status, docker) in &cases {
        arrange(&played, &names, label, &cases);
        let (method, path) = request.split_once(' ').unwrap();
        let path = path_of(&played, &names, label, path).await;
        let body = names.ours(&bodies::of(label));
        let answer = played.ask(method, &path, &body).await;
        let ours = answer.json();
        if answer.status != *status {
            seen.push(Difference {
                case: label.clone(),
                place: "Status".into(),
                docker: json!(status),
                ours: json!([answer.status, ours]),
            });
            continue;
        }
        names.meet(docker, &ours);
        seen.extend(names.compare(label, docker, &ours));
    }
    check_listed("\n## Answers that differ\n", &seen);
}

/// What was asked, with our ids, and with the version that the object has here
/// where Docker was told the one that it had there.
async fn path_of(played: &Played, names: &Names, label: &str, path: &str) -> String {
    let web = names.in_text("mgmz3jbcp5bsvx7uwz8vm1i3s");
    let path = match label {
        "svc ambiguous?" => format!("/services/{}", &web[..3]),
        _ => names.in_text(path),
    };
    let Some((before, after)) = path.split_once("version=") else {
        return path;
    };
    let end = after.find('&').unwrap_or(after.len());
    let object = before.trim_end_matches('?').trim_end_matches("/update");
    let current = played.get(object).await["Version"]["Index"]
        .as_u64()
        .unwrap();
    let stale = label.ends_with("stale");
    let version = if stale { current + 7 } else { current };
    format!("{before}version={version}{}", &after[end..])
}

/// Brings about what had happened by itself when `label` was asked.
fn arrange(played: &Played, names: &Names, label: &str, cases: &[Case]) {
    let fake = &played.fake;
    match label {
        // As its engine would describe itself.
        "node" => fake.edit(|swarm| swarm.describe_plugins(&plugins(cases))),
        "net create" => fake.edit(Swarm::plan),
        "svc get" => fake.edit(|swarm| {
            swarm.run_all();
            swarm.end_jobs();
            // The image's own command is a shell, which has nothing to do.
            let unnamed = names.in_text("ky83cskqgvlcdz5bfh42nkf85");
            swarm.end_tasks_of(unnamed.parse().unwrap());
        }),
        "svc updated" => fake.edit(Swarm::roll_out),
        _ => {}
    }
}

fn plugins(cases: &[Case]) -> Vec<(String, String)> {
    let node = cases.iter().find(|case| case.0 == "node").unwrap();
    let plugins = node.3["Description"]["Engine"]["Plugins"]
        .as_array()
        .unwrap()
        .iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    plugins
        .map(|it| (text(&it["Type"]), text(&it["Name"])))
        .collect()
}
