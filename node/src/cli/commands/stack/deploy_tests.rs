//! `stack deploy` and `stack config` against a daemon that is played.

use serde_json::{Value, json};

use crate::cli::commands::fake::{Daemon, Ended};

const CONFIG: &str = "mgmz3jbcp5bsvx7uwz8vm1i3s";
const SERVICE: &str = "cyq1v1261ljhb7meogwv14ftk";

const SHOP: &str = "
services:
  web:
    image: nginx
    configs: [{source: motd, target: /etc/motd}]
    depends_on: [db]
  db:
    image: postgres:17
configs:
  motd:
    content: hello
";
const WAITING: &str = "
services:
  web:
    image: nginx
    depends_on:
      db: {condition: service_healthy}
  db:
    image: postgres:17
";

type Script = Vec<(&'static str, u16, Value)>;

/// A swarm without anything, which takes everything.
fn empty() -> Script {
    vec![
        ("GET /services", 200, json!([])),
        ("GET /networks", 200, json!([])),
        ("GET /secrets", 200, json!([])),
        ("GET /configs", 200, json!([])),
        ("GET /nodes", 200, json!([])),
        (
            "POST /networks/create",
            201,
            json!({"Id": "n1", "Warning": ""}),
        ),
        ("POST /configs/create", 201, json!({"ID": CONFIG})),
        ("POST /services/create", 201, json!({"ID": SERVICE})),
    ]
}

async fn deploy(daemon: &Daemon, flags: &[&str], file: &str) -> Ended {
    let command = ["stack", "deploy", "--resolve-image", "never", "-c", "-"];
    let line = [&command[..], flags, &["shop"]].concat();
    daemon.run_with(&line, file).await
}

/// The paths of what was asked to change.
fn changed(daemon: &Daemon) -> Vec<String> {
    let changes = daemon.changes();
    let paths = changes.iter().map(|line| line.split(" {").next());
    paths.flatten().map(ToOwned::to_owned).collect()
}

#[tokio::test]
async fn a_deploy_makes_what_others_need_first() {
    let daemon = Daemon::start(&empty());
    let ended = deploy(&daemon, &[], SHOP).await;
    ended.result.unwrap();
    insta::assert_snapshot!(ended.out, @r#"
    Creating network shop_default
    Creating config shop_motd
    Creating service shop_db
    Creating service shop_web
    "#);
    insta::assert_snapshot!(daemon.changes().join("\n"), @r#"
    POST /networks/create {"Name":"shop_default","CheckDuplicate":true,"Driver":"overlay","EnableIPv6":false,"Internal":false,"Attachable":false,"Ingress":false,"ConfigOnly":false,"Options":{},"Labels":{"com.docker.stack.namespace":"shop"}}
    POST /configs/create {"Name":"shop_motd","Labels":{"com.docker.stack.namespace":"shop"},"Data":"aGVsbG8="}
    POST /services/create {"Name":"shop_db","Labels":{"com.docker.stack.image":"postgres:17","com.docker.stack.namespace":"shop"},"TaskTemplate":{"ContainerSpec":{"Image":"postgres:17","Labels":{"com.docker.stack.namespace":"shop"},"Isolation":"default"},"Resources":{},"Placement":{},"Networks":[{"Target":"shop_default","Aliases":["db"]}],"ForceUpdate":0,"Runtime":"container"},"Mode":{"Replicated":{"Replicas":1}},"EndpointSpec":{"Mode":"vip"}}
    POST /services/create {"Name":"shop_web","Labels":{"com.docker.stack.image":"nginx","com.docker.stack.namespace":"shop"},"TaskTemplate":{"ContainerSpec":{"Image":"nginx:latest","Labels":{"com.docker.stack.namespace":"shop"},"Configs":[{"File":{"Name":"/etc/motd","UID":"0","GID":"0","Mode":292},"ConfigID":"mgmz3jbcp5bsvx7uwz8vm1i3s","ConfigName":"shop_motd"}],"Isolation":"default"},"Resources":{},"Placement":{},"Networks":[{"Target":"shop_default","Aliases":["web"]}],"ForceUpdate":0,"Runtime":"container"},"Mode":{"Replicated":{"Replicas":1}},"EndpointSpec":{"Mode":"vip"}}
    "#);
}

#[tokio::test]
async fn a_dry_run_changes_nothing() {
    let daemon = Daemon::start(&empty());
    let ended = deploy(&daemon, &["--dry-run"], SHOP).await;
    ended.result.unwrap();
    insta::assert_snapshot!(ended.out, @r#"
    create network shop_default
    create config shop_motd
    create service shop_db
    create service shop_web
    "#);
    assert!(daemon.changes().is_empty());
}

#[tokio::test]
async fn an_end_in_the_middle_says_what_was_done() {
    let mut script = empty();
    script.retain(|(request, _, _)| *request != "POST /services/create");
    let why = json!({"message": "the disk is full"});
    script.push(("POST /services/create", 500, why));
    let daemon = Daemon::start(&script);
    let error = deploy(&daemon, &[], SHOP).await.result.unwrap_err();
    insta::assert_snapshot!(error, @r#"
    failed to create service shop_db: Error response from daemon: the disk is full
    Until then, this was done: network shop_default was created, config shop_motd was created. The same command goes on from here.
    "#);
}

#[tokio::test]
async fn a_wrong_file_makes_nothing() {
    let daemon = Daemon::start(&empty());
    let file = "services: {web: {image: nginx, deploy: {placement: {constraints: [x]}}}}";
    let error = deploy(&daemon, &[], file).await.result.unwrap_err();
    insta::assert_snapshot!(error, @r#"
    -:1:67: services.web.deploy.placement.constraints[0]: constraint expected one operator from ==, !=
    "#);
    let error = deploy(&daemon, &[], "services: {web: {imagee: x}}")
        .await
        .result;
    assert!(error.unwrap_err().to_string().contains("imagee"));
    assert!(daemon.changes().is_empty());
}

#[tokio::test]
async fn what_is_waited_for_is_not_left_behind() {
    let daemon = Daemon::start(&empty());
    let error = deploy(&daemon, &["--detach"], WAITING)
        .await
        .result
        .unwrap_err();
    insta::assert_snapshot!(error, @r#"
    service shop_web is deployed only when shop_db got where it waits for it: leave out --detach, or the condition in depends_on
    "#);
    assert!(daemon.changes().is_empty());
}

fn service(name: &str, state: &str) -> Value {
    json!({"ID": SERVICE, "Spec": {"Name": name, "Labels": {},
        "TaskTemplate": {"ContainerSpec": {"Image": "postgres:17"}},
        "Mode": {"Replicated": {"Replicas": 1}}, "UpdateConfig": {"Monitor": 1}},
        "UpdateStatus": {"State": state, "Message": "a task failed"}})
}

fn task(state: &str, err: &str) -> Value {
    json!({"ID": "lwem7827prymdhyjse6cvbelt", "Slot": 1, "ServiceID": SERVICE,
        "DesiredState": "running", "Spec": {"ContainerSpec": {"Image": "postgres:17"}},
        "Status": {"State": state, "Err": err}})
}

#[tokio::test]
async fn a_service_is_deployed_when_the_other_is_healthy() {
    let mut script = empty();
    script.push(("GET /services", 200, json!([service("shop_db", "")])));
    script.push(("GET /tasks", 200, json!([task("starting", "")])));
    script.push(("GET /tasks", 200, json!([task("running", "")])));
    let daemon = Daemon::start(&script);
    let ended = deploy(&daemon, &[], WAITING).await;
    ended.result.unwrap();
    insta::assert_snapshot!(ended.out, @r#"
    Creating network shop_default
    Creating service shop_db
    Waiting for shop_db to be healthy, for shop_web
    shop_db overall progress: 0 out of 1 tasks
    shop_db 1/1: starting
    shop_db overall progress: 1 out of 1 tasks
    shop_db 1/1: running
    shop_db verify: Service cyq1v1261ljhb7meogwv14ftk converged
    Creating service shop_web
    "#);
}

#[tokio::test]
async fn a_service_is_not_deployed_when_the_other_does_not_get_there() {
    let mut script = empty();
    script.push(("GET /services", 200, json!([service("shop_db", "paused")])));
    script.push(("GET /tasks", 200, json!([])));
    let daemon = Daemon::start(&script);
    let error = deploy(&daemon, &[], WAITING).await.result.unwrap_err();
    insta::assert_snapshot!(error, @r#"
    service shop_web was not deployed, because it waits for others: shop_db: service update paused: a task failed
    Until then, this was done: network shop_default was created, service shop_db was created. The same command goes on from here.
    "#);
    assert_eq!(
        changed(&daemon),
        ["POST /networks/create", "POST /services/create"]
    );
}

#[tokio::test]
async fn a_wait_that_takes_too_long_says_for_whom_and_why() {
    let mut script = empty();
    script.push(("GET /services", 200, json!([service("shop_db", "")])));
    script.push((
        "GET /tasks",
        200,
        json!([task("preparing", "No such image: postgres:17")]),
    ));
    let daemon = Daemon::start(&script);
    let file = "services: {db: {image: \"postgres:17\"}}";
    let flags = ["--wait", "--wait-timeout", "1ms", "--quiet"];
    let error = deploy(&daemon, &flags, file).await.result.unwrap_err();
    insta::assert_snapshot!(error, @r#"
    service shop_db: it has not converged within 1ms (1 tasks: No such image: postgres:17)
    "#);
}

#[tokio::test]
async fn a_registry_says_which_image_is_meant() {
    let digest = format!("sha256:{}", "a".repeat(64));
    let mut script = empty();
    script.push((
        "GET /distribution/nginx%3Alatest/json",
        200,
        json!({"Descriptor": {"digest": digest},
               "Platforms": [{"architecture": "arm", "os": "linux", "variant": "v7"}]}),
    ));
    let daemon = Daemon::start(&script);
    let line = ["stack", "deploy", "-c", "-", "shop"];
    let ended = daemon.run_with(&line, SHOP).await;
    ended.result.unwrap();
    assert!(
        ended
            .err
            .starts_with("image postgres:17 could not be accessed on a registry"),
        "{}",
        ended.err
    );
    let changes = daemon.changes().join("\n");
    let image = format!("\"Image\":\"nginx:latest@{digest}\"");
    assert!(changes.contains(&image), "{changes}");
    assert!(
        changes.contains("\"Platforms\":[{\"Architecture\":\"arm/v7\",\"OS\":\"linux\"}]"),
        "{changes}"
    );
    assert!(changes.contains("\"Image\":\"postgres:17\""), "{changes}");
}

#[tokio::test]
async fn config_needs_no_daemon() {
    let daemon = Daemon::start(&[]);
    let line = ["stack", "config", "-c", "-"];
    let printed = daemon.run_with(&line, SHOP).await.out;
    assert!(printed.contains("image: nginx"), "{printed}");
    let file = "services: {web: {image: \"nginx:${TAG}\"}}";
    let line = ["stack", "config", "--skip-interpolation", "-c", "-"];
    let printed = daemon.run_with(&line, file).await.out;
    assert!(printed.contains("nginx:${TAG}"), "{printed}");
    assert!(daemon.asked.lock().unwrap().is_empty());
}
