//! Nothing is lost between the wire and the domain.
//!
//! `cli_bodies.json` is what the docker CLI 28.2.2 sent for some commands, one
//! of them with every flag that this version carries out.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::fake::Fake;
use super::{get, post};
use crate::api::convert;
use crate::api::dto::ServiceSpec;
use crate::api::error::ApiError;
use crate::api::json::{canonical, decode};

fn sent(command: &str) -> Value {
    let bodies: Vec<Value> = serde_json::from_str(include_str!("cli_bodies.json")).unwrap();
    let mut bodies = bodies.into_iter().filter(|it| it["command"] == command);
    bodies.next().unwrap()["body"].take()
}

/// Every field of a service's spec, as far as this version carries it out.
fn full() -> Value {
    let mut spec = sent("service create full");
    let container = &mut spec["TaskTemplate"]["ContainerSpec"];
    container["OpenStdin"] = json!(true);
    container["Mounts"][0]["BindOptions"]["NonRecursive"] = json!(true);
    container["Mounts"][0]["BindOptions"]["CreateMountpoint"] = json!(true);
    container["Mounts"][0]["Consistency"] = json!("cached");
    container["Mounts"][1]["VolumeOptions"]["Subpath"] = json!("sub");
    spec["TaskTemplate"]["ForceUpdate"] = json!(3);
    spec["TaskTemplate"]["Runtime"] = json!("container");
    spec["TaskTemplate"]["Placement"]["Platforms"] =
        json!([{"Architecture": "amd64", "OS": "linux"}]);
    spec["TaskTemplate"]["Networks"] = json!([
        {"Target": NETWORK, "Aliases": ["w"], "DriverOpts": {"K": "v"}},
    ]);
    spec["EndpointSpec"]["Ports"][0]["Name"] = json!("dns");
    spec
}

const NETWORK: &str = "017d7b0wjf4n0h7dkdkivqhbq";

/// Every id is a network's.
fn network(text: &str) -> Result<services::Id, ApiError> {
    text.parse().map_err(|_| ApiError::not_found(text))
}

fn read(spec: &Value) -> services::spec::ServiceSpec {
    let dto: ServiceSpec = decode(spec.to_string().as_bytes(), "swarm.ServiceSpec").unwrap();
    convert::service_spec(dto, &network).unwrap()
}

/// What a service with this spec shows as its spec.
fn shown(spec: &Value) -> Value {
    serde_json::to_value(convert::show_service_spec(&read(spec))).unwrap()
}

/// `spec` with what Docker adds to every spec that it shows.
fn filled(mut spec: Value) -> Value {
    fill(
        &mut spec,
        &json!({
            "Labels": {},
            "TaskTemplate": {
                "ContainerSpec": {"Isolation": "default"},
                "ForceUpdate": 0,
                "Runtime": "container",
            },
            "Mode": {"Replicated": {"Replicas": 1}},
        }),
    );
    let update = json!({
        "Parallelism": 0, "FailureAction": "pause", "MaxFailureRatio": 0, "Order": "stop-first",
    });
    for (path, defaults) in [
        ("/UpdateConfig", update.clone()),
        ("/RollbackConfig", update),
        ("/EndpointSpec", json!({"Mode": "vip"})),
        (
            "/TaskTemplate/RestartPolicy",
            json!({"Condition": "any", "MaxAttempts": 0}),
        ),
    ] {
        if let Some(part) = spec.pointer_mut(path) {
            fill(part, &defaults);
        }
    }
    spec
}

fn fill(value: &mut Value, defaults: &Value) {
    match (value, defaults) {
        (Value::Object(fields), Value::Object(defaults)) => {
            for (key, default) in defaults {
                fill(fields.entry(key.clone()).or_insert(Value::Null), default);
            }
        }
        (value @ Value::Null, default) => value.clone_from(default),
        _ => {}
    }
}

/// Removes the keys for which `keep` says no, outside of lists and of maps
/// whose keys are the user's.
fn thinned(value: Value, keep: &mut impl FnMut() -> bool) -> Value {
    let whole = ["Labels", "Options", "Sysctls"];
    match value {
        Value::Object(fields) => fields
            .into_iter()
            .filter_map(|(key, value)| {
                let kept = keep();
                let is_whole = whole.contains(&key.as_str());
                let value = if is_whole {
                    value
                } else {
                    thinned(value, keep)
                };
                kept.then_some((key, value))
            })
            .collect(),
        other => other,
    }
}

#[test]
fn every_field_that_is_carried_out_is_shown_as_it_was_written() {
    assert_eq!(shown(&full()), full());
}

#[test]
fn a_plain_create_of_the_cli_is_shown_with_dockers_additions_only() {
    for command in ["service create web", "service create zero"] {
        let spec = sent(command);
        assert_eq!(shown(&spec), filled(spec), "{command}");
    }
}

#[tokio::test]
async fn what_the_cli_sends_is_accepted() {
    let fake = Fake::new();
    let answer = post(&fake, "/v1.41/swarm/init", &sent("swarm init")).await;
    assert_eq!(answer.status, 200, "{}", answer.json());
    for command in [
        "service create web",
        "service create full",
        "service create zero",
    ] {
        let answer = post(&fake, "/v1.41/services/create", &sent(command)).await;
        assert_eq!(answer.status, 201, "{}", answer.json());
    }
    let answer = post(&Fake::new(), "/v1.41/swarm/join", &sent("swarm join")).await;
    assert_eq!(answer.status, 200, "{}", answer.json());
}

/// Every key that is known lower-cased is known as it is shown.
fn check_keys(shown: &Value) {
    match shown {
        Value::Object(fields) => {
            for (key, value) in fields {
                let read = canonical(json!({key.to_lowercase(): 1}));
                assert!(read.get(key).is_some(), "{key} is not a known key: {read}");
                if !["DriverOpts", "Labels", "Options", "Sysctls"].contains(&key.as_str()) {
                    check_keys(value);
                }
            }
        }
        Value::Array(items) => items.iter().for_each(check_keys),
        _ => {}
    }
}

#[tokio::test]
async fn every_key_that_is_shown_is_read_whatever_its_case() {
    check_keys(&full());
    check_keys(&sent("swarm init"));
    check_keys(&sent("swarm join"));
    let fake = Fake::active();
    let mut spec = sent("service create web");
    post(&fake, "/services/create", &spec).await;
    spec["TaskTemplate"]["ForceUpdate"] = json!(1);
    let version = get(&fake, "/services/web").await.json()["Version"]["Index"].clone();
    post(
        &fake,
        &format!("/services/web/update?version={version}"),
        &spec,
    )
    .await;
    fake.edit(|swarm| swarm.run_all());
    for path in [
        "/swarm",
        "/nodes",
        "/tasks",
        "/services?status=1",
        "/swarm/unlockkey",
    ] {
        check_keys(&get(&fake, path).await.json());
    }
    check_keys(&get(&fake, "/info").await.json()["Swarm"]);
}

proptest! {
    #[test]
    fn what_is_left_out_stays_out_and_sending_it_back_changes_nothing(kept in prop::collection::vec(prop::bool::weighted(0.8), 200)) {
        let mut kept = kept.into_iter().cycle();
        let spec = thinned(full(), &mut || kept.next().unwrap_or(true));
        prop_assert_eq!(read(&shown(&spec)), read(&spec));
        prop_assert_eq!(shown(&spec), filled(spec));
    }

    #[test]
    fn numbers_of_any_size_are_read_or_refused(number: i64) {
        for path in [
            "/TaskTemplate/ContainerSpec/StopGracePeriod",
            "/TaskTemplate/ContainerSpec/Healthcheck/Interval",
            "/TaskTemplate/ContainerSpec/Healthcheck/Retries",
            "/TaskTemplate/RestartPolicy/Delay",
            "/TaskTemplate/RestartPolicy/MaxAttempts",
            "/UpdateConfig/Monitor",
            "/Mode/Replicated/Replicas",
            "/EndpointSpec/Ports/0/TargetPort",
        ] {
            let mut spec = full();
            *spec.pointer_mut(path).unwrap() = json!(number);
            let read = decode::<ServiceSpec>(spec.to_string().as_bytes(), "swarm.ServiceSpec");
            let read = read.and_then(|dto| convert::service_spec(dto, &network));
            if let Ok(read) = read {
                let shown = serde_json::to_value(convert::show_service_spec(&read)).unwrap();
                prop_assert_eq!(shown.pointer(path), Some(&json!(number)), "{}", path);
            }
        }
    }
}
