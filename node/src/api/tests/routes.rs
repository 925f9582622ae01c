//! What the recording does not show.

use std::collections::BTreeMap;

use axum::body::Body;
use proptest::prelude::*;
use serde_json::{Value, json};
use services::NodeHealth;
use services::spec::Role;

use super::fake::Fake;
use super::{ask, get, post};
use crate::api::MAX_BODY;
use crate::api::backend::LocalState;

fn spec(name: &str) -> Value {
    json!({"Name": name, "TaskTemplate": {"ContainerSpec": {"Image": "busybox"}}})
}

pub(super) async fn names(fake: &Fake, filters: &Value) -> Vec<String> {
    let text: String = filters
        .to_string()
        .bytes()
        .map(|byte| format!("%{byte:02X}"))
        .collect();
    let list = get(fake, &format!("/services?filters={text}")).await.json();
    let name = |service: &Value| service["Spec"]["Name"].as_str().unwrap().to_owned();
    let mut names: Vec<_> = list.as_array().unwrap().iter().map(name).collect();
    names.sort();
    names
}

#[tokio::test]
async fn every_answer_names_the_api_version_and_the_server() {
    let fake = Fake::active();
    for path in ["/_ping", "/services", "/v1.41/nodes/nope", "/swarm/foo"] {
        let answer = get(&fake, path).await;
        assert_eq!(answer.headers["api-version"], "1.41", "{path}");
        assert_eq!(answer.headers["ostype"], "linux", "{path}");
        assert!(answer.headers.contains_key("server"), "{path}");
    }
}

#[tokio::test]
async fn a_ping_says_what_the_node_is_in_the_swarm() {
    let fake = Fake::new();
    assert_eq!(get(&fake, "/_ping").await.headers["swarm"], "inactive");
    let fake = Fake::active();
    let answer = ask(&fake, "HEAD", "/v1.41/_ping", Body::empty()).await;
    assert_eq!(answer.headers["swarm"], "active/manager");
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    assert_eq!(get(&fake, "/_ping").await.body, b"OK");
}

#[tokio::test]
async fn info_tells_of_the_swarm_without_an_engine() {
    let fake = Fake::active();
    let info = get(&fake, "/info").await.json();
    assert_eq!(info["Swarm"]["LocalNodeState"], "active");
    assert_eq!(info["Swarm"]["ControlAvailable"], true);
    assert_eq!(info["Swarm"]["Nodes"], 1);
    assert!(info["Swarm"]["Cluster"]["Spec"].is_object());
    assert!(info["Swarm"]["Cluster"].get("JoinTokens").is_none());
    let warning = info["Warnings"][0].as_str().unwrap();
    assert!(
        warning.contains("Cannot connect to the Docker daemon"),
        "{warning}"
    );

    let info = get(&Fake::new(), "/info").await.json();
    assert_eq!(info["Swarm"]["LocalNodeState"], "inactive");
    assert_eq!(info["Swarm"]["RemoteManagers"], Value::Null);
}

#[tokio::test]
async fn a_worker_says_that_it_is_one() {
    let fake = Fake::active();
    fake.edit(|swarm| {
        if let LocalState::Active(node) = &mut swarm.local {
            node.role = Role::Worker;
        }
    });
    for path in ["/services", "/swarm", "/nodes/x"] {
        let answer = get(&fake, path).await;
        assert_eq!(answer.status, 503);
        assert!(
            answer.message().contains("Worker nodes can't be used"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_client_that_is_too_new_is_told_so() {
    let answer = get(&Fake::active(), "/v1.60/services").await;
    assert_eq!(answer.status, 400);
    assert_eq!(
        answer.message(),
        "client version 1.60 is too new. Maximum supported API version is 1.41"
    );
}

#[tokio::test]
async fn what_is_not_there_yet_is_refused_and_says_what_to_use() {
    let fake = Fake::active();
    let container = |container: Value| json!({"TaskTemplate": {"ContainerSpec": container}});
    let runtime = json!([{"Runtime": {}, "ConfigID": "x", "ConfigName": "x"}]);
    for (asked, expected) in [
        (
            container(json!({"Image": "x", "configs": runtime})),
            "runtime target",
        ),
        (
            json!({"TaskTemplate": {"Runtime": "plugin"}}),
            "use containers",
        ),
    ] {
        let mut body = json!({"Name": "web"});
        body.as_object_mut()
            .unwrap()
            .extend(asked.as_object().unwrap().clone());
        let answer = post(&fake, "/services/create", &body).await;
        let message = answer.message();
        assert_eq!(answer.status, 501, "{message}");
        assert!(
            message.starts_with("rpc error: code = Unimplemented desc = "),
            "{message}"
        );
        assert!(message.contains(expected), "{message}");
    }
    for (path, asked, expected) in [
        (
            "/secrets/create",
            json!({"Driver": {"Name": "vault"}}),
            "secret driver \"vault\"",
        ),
        (
            "/configs/create",
            json!({"Data": "eA==", "Templating": {"Name": "x"}}),
            "template driver",
        ),
    ] {
        let mut body = json!({"Name": "x"});
        body.as_object_mut()
            .unwrap()
            .extend(asked.as_object().unwrap().clone());
        let answer = post(&fake, path, &body).await;
        assert_eq!(answer.status, 501);
        assert!(answer.message().contains(expected), "{}", answer.message());
    }
}

#[tokio::test]
async fn what_says_nothing_is_not_refused() {
    let fake = Fake::active();
    let body = json!({
        "Name": "web", "Networks": [], "FromTheFuture": {"x": 1},
        "TaskTemplate": {
            "ContainerSpec": {"Image": "x", "Secrets": null, "Configs": [],
                "Privileges": {"CredentialSpec": null, "NoNewPrivileges": false}},
            "Networks": null, "Runtime": "container",
        },
    });
    assert_eq!(post(&fake, "/services/create", &body).await.status, 201);
}

#[tokio::test]
async fn services_are_filtered_as_the_clients_ask() {
    let fake = Fake::active();
    for name in ["web", "website", "db"] {
        let mut spec = spec(name);
        spec["Labels"] = json!({"com.docker.stack.namespace": name});
        assert_eq!(post(&fake, "/services/create", &spec).await.status, 201);
    }
    assert_eq!(
        names(&fake, &json!({"name": {"web": true}})).await,
        ["web", "website"]
    );
    assert_eq!(
        names(&fake, &json!({"name": ["db", "website"]})).await,
        ["db", "website"]
    );
    let label = json!({"label": {"com.docker.stack.namespace=db": true}});
    assert_eq!(names(&fake, &label).await, ["db"]);
    assert_eq!(names(&fake, &json!({"mode": ["global"]})).await, [""; 0]);
}

#[tokio::test]
async fn an_unnamed_service_gets_a_name_that_is_free() {
    let fake = Fake::active();
    let body = json!({"TaskTemplate": {"ContainerSpec": {"Image": "x"}}});
    for _ in 0..20 {
        assert_eq!(post(&fake, "/services/create", &body).await.status, 201);
    }
    assert_eq!(
        get(&fake, "/services")
            .await
            .json()
            .as_array()
            .unwrap()
            .len(),
        20
    );
}

#[tokio::test]
async fn tasks_of_an_older_spec_are_not_up_to_date() {
    let fake = Fake::active();
    post(&fake, "/services/create", &spec("web")).await;
    fake.edit(|swarm| swarm.run_all());
    let filters = "%7B%22_up-to-date%22%3A%7B%22true%22%3Atrue%7D%2C%22service%22%3A%7B%22web%22%3Atrue%7D%7D";
    let path = format!("/v1.41/tasks?filters={filters}");
    assert_eq!(get(&fake, &path).await.json().as_array().unwrap().len(), 1);

    let service = get(&fake, "/services/web").await.json();
    let mut changed = service["Spec"].clone();
    changed["TaskTemplate"]["ForceUpdate"] = json!(1);
    let version = &service["Version"]["Index"];
    let path_of_update = format!("/services/web/update?version={version}");
    assert_eq!(post(&fake, &path_of_update, &changed).await.status, 200);
    assert_eq!(get(&fake, &path).await.json(), json!([]));
    assert_eq!(
        get(&fake, "/tasks").await.json().as_array().unwrap().len(),
        1
    );
}

#[tokio::test]
async fn scaling_by_the_shown_spec_replaces_no_task() {
    let fake = Fake::active();
    let mut plain = spec("web");
    plain["TaskTemplate"]["RestartPolicy"] = json!({"Delay": 1_000_000_000});
    plain["EndpointSpec"] = json!({});
    post(&fake, "/services/create", &plain).await;
    fake.edit(|swarm| swarm.run_all());
    let service = get(&fake, "/services/web").await.json();
    let mut scaled = service["Spec"].clone();
    scaled["Mode"]["Replicated"]["Replicas"] = json!(3);
    let version = &service["Version"]["Index"];
    let path = format!("/services/web/update?version={version}");
    assert_eq!(post(&fake, &path, &scaled).await.status, 200);
    fake.edit(|swarm| swarm.run_all());
    let tasks = get(&fake, "/tasks").await.json();
    let states: Vec<_> = tasks
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["DesiredState"])
        .collect();
    assert_eq!(states, ["running"; 3]);
}

#[tokio::test]
async fn a_rollback_brings_the_previous_spec_back() {
    let fake = Fake::active();
    post(&fake, "/services/create", &spec("web")).await;
    let service = get(&fake, "/services/web").await.json();
    let mut changed = service["Spec"].clone();
    changed["TaskTemplate"]["ContainerSpec"]["Image"] = json!("busybox:2");
    let version = &service["Version"]["Index"];
    post(
        &fake,
        &format!("/services/web/update?version={version}"),
        &changed,
    )
    .await;
    let version = &get(&fake, "/services/web").await.json()["Version"]["Index"];
    let path = format!("/services/web/update?rollback=previous&version={version}");
    assert_eq!(post(&fake, &path, &changed).await.status, 200);
    let rolled_back = get(&fake, "/services/web").await.json();
    assert_eq!(rolled_back["Spec"], service["Spec"]);
    assert_eq!(rolled_back["PreviousSpec"], changed);
}

#[tokio::test]
async fn a_worker_is_removed_when_it_is_down_or_by_force() {
    let fake = Fake::active();
    let (lost, live) = fake.edit(|swarm| {
        let lost = swarm.add_node("lost", Role::Worker, [10, 77, 0, 2]);
        let live = swarm.add_node("live", Role::Worker, [10, 77, 0, 3]);
        let reason = "silent for 5 s".into();
        swarm.see(lost, NodeHealth::Down { reason });
        (lost, live)
    });
    let status = get(&fake, "/nodes/lost").await.json()["Status"].take();
    assert_eq!(status["State"], "down");
    assert_eq!(status["Message"], "silent for 5 s");
    let remove = |path: String| {
        let fake = fake.clone();
        async move { ask(&fake, "DELETE", &path, Body::empty()).await }
    };
    assert_eq!(remove(format!("/nodes/{lost}")).await.status, 200);
    let refused = remove(format!("/nodes/{live}")).await;
    assert_eq!(refused.status, 400);
    assert_eq!(
        refused.message(),
        format!(
            "rpc error: code = FailedPrecondition desc = node {live} is not down and can't be removed"
        )
    );
    assert_eq!(remove(format!("/nodes/{live}?force=1")).await.status, 200);
    assert_eq!(
        get(&fake, "/nodes").await.json().as_array().unwrap().len(),
        1
    );
}

#[tokio::test]
async fn a_join_token_is_rotated_by_an_update_that_changes_nothing_else() {
    let fake = Fake::active();
    let before = get(&fake, "/swarm").await.json();
    let version = &before["Version"]["Index"];
    let path = format!("/swarm/update?rotateWorkerToken=true&version={version}");
    assert_eq!(post(&fake, &path, &before["Spec"]).await.status, 200);
    let after = get(&fake, "/swarm").await.json();
    assert_ne!(
        after["JoinTokens"]["Worker"],
        before["JoinTokens"]["Worker"]
    );
    assert_eq!(
        after["JoinTokens"]["Manager"],
        before["JoinTokens"]["Manager"]
    );
    assert_eq!(after["Spec"], before["Spec"]);
}

#[tokio::test]
async fn an_id_that_several_have_is_ambiguous() {
    let fake = Fake::active();
    // More than there are first digits.
    for number in 0..40 {
        post(&fake, "/services/create", &spec(&format!("s-{number}"))).await;
    }
    let mut by_digit = BTreeMap::<char, usize>::new();
    fake.edit(|swarm| {
        for service in swarm.state.services() {
            let digit = service.id.to_string().chars().next().unwrap();
            *by_digit.entry(digit).or_default() += 1;
        }
    });
    let (digit, count) = by_digit
        .into_iter()
        .find(|(digit, count)| *count > 1 && *digit != 's')
        .unwrap();
    let answer = get(&fake, &format!("/services/{digit}")).await;
    assert_eq!(answer.status, 400);
    assert_eq!(
        answer.message(),
        format!("service {digit} is ambiguous ({count} matches found)")
    );
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused() {
    let fake = Fake::active();
    let answer = ask(&fake, "POST", "/services/create", vec![b' '; MAX_BODY + 1]).await;
    assert_eq!(answer.status, 413);
}

#[tokio::test]
async fn what_is_the_engines_fails_clearly_without_one() {
    let answer = get(&Fake::active(), "/v1.41/containers/json").await;
    assert_eq!(answer.status, 503);
    assert!(
        answer
            .message()
            .starts_with("Cannot connect to the Docker daemon at unix://")
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_body_is_answered(body: Vec<u8>) {
        answer_all(&body, "");
    }

    #[test]
    fn any_filter_is_answered(filter in "[ -~]{0,40}", key in "(id|name|label|node|service|desired-state|driver|until|dangling)", value: String) {
        let typed = json!({key: [value]}).to_string();
        for text in [filter, typed] {
            let encoded: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
            answer_all(b"{}", &format!("?filters={encoded}&version={encoded}&since={encoded}&stdout=1"));
        }
    }
}

fn answer_all(body: &[u8], query: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let fake = Fake::active();
        post(&fake, "/services/create", &spec("web")).await;
        for (method, path) in [
            ("POST", "/services/create"),
            ("POST", "/services/web/update"),
            ("POST", "/nodes/refnode/update"),
            ("POST", "/swarm/update"),
            ("POST", "/swarm/init"),
            ("POST", "/swarm/join"),
            ("GET", "/services"),
            ("GET", "/tasks"),
            ("GET", "/nodes"),
            ("GET", "/services/web/logs"),
            ("GET", "/networks"),
            ("GET", "/networks/ingress"),
            ("POST", "/networks/create"),
            ("POST", "/networks/prune"),
        ] {
            let answer = ask(&fake, method, &format!("{path}{query}"), body.to_vec()).await;
            assert!((200..600).contains(&answer.status));
        }
    });
}
