use serde_json::{Value, json};

use crate::cli::commands::fake::Daemon;

fn service(name: &str, stack: &str) -> Value {
    json!({"ID": format!("{name}-id"), "Spec": {
        "Name": name,
        "Labels": {"com.docker.stack.namespace": stack},
        "TaskTemplate": {"ContainerSpec": {"Image": "busybox:latest"}},
        "Mode": {"Replicated": {"Replicas": 1}},
    }, "ServiceStatus": {"RunningTasks": 1, "DesiredTasks": 1}})
}

fn named(id: &str, name: &str) -> Value {
    json!({"ID": id, "Spec": {"Name": name, "Labels": {}}})
}

#[tokio::test]
async fn stacks_are_counted_by_the_label_of_their_services() {
    let services = json!([
        service("shop_web", "shop"),
        service("a10_x", "a10"),
        service("shop_db", "shop"),
        service("a9_x", "a9"),
    ]);
    let daemon = Daemon::start(&[("GET /services", 200, services)]);
    let table = daemon.run(&["stack", "ls"]).await.out;
    insta::assert_snapshot!(table, @r#"
    NAME      SERVICES
    a9        1
    a10       1
    shop      2
    "#);
    let json = daemon.run(&["stack", "ls", "--format", "json"]).await.out;
    assert!(json.starts_with("{\"Name\":\"a9\",\"Services\":\"1\"}\n"));
}

#[tokio::test]
async fn the_services_and_tasks_of_a_stack_are_asked_by_its_label() {
    let task = json!({"ID": "lwem7827prymdhyjse6cvbelt", "Slot": 1, "ServiceID": "shop_web-id",
        "DesiredState": "running", "Spec": {"ContainerSpec": {"Image": "busybox:latest"}},
        "Status": {"State": "running"}});
    let daemon = Daemon::start(&[
        ("GET /services", 200, json!([service("shop_web", "shop")])),
        ("GET /tasks", 200, json!([task])),
        ("GET /nodes", 200, json!([])),
    ]);
    let listed = daemon
        .run(&["stack", "services", "-f", "mode=global", "shop"])
        .await;
    insta::assert_snapshot!(listed.out, @r#"
    ID            NAME       MODE         REPLICAS   IMAGE            PORTS
    shop_web-id   shop_web   replicated   1/1        busybox:latest
    "#);
    let ps = [
        "stack",
        "ps",
        "-f",
        "desired-state=running",
        "--format",
        "json",
        "shop",
    ];
    let tasks: Value = serde_json::from_str(&daemon.run(&ps).await.out).unwrap();
    assert_eq!(tasks["Name"], "shop_web.1");
    let quiet = daemon.run(&["stack", "ps", "-q", "shop"]).await.out;
    assert_eq!(quiet, "lwem7827prymdhyjse6cvbelt\n");
    let asked = daemon.asked.lock().unwrap().join("\n").replace("%22", "'");
    insta::assert_snapshot!(asked, @r#"
    GET /services?status=true&filters=%7B'label'%3A%7B'com.docker.stack.namespace%3Dshop'%3Atrue%7D%2C'mode'%3A%7B'global'%3Atrue%7D%7D
    GET /tasks?filters=%7B'desired-state'%3A%7B'running'%3Atrue%7D%2C'label'%3A%7B'com.docker.stack.namespace%3Dshop'%3Atrue%7D%7D
    GET /services
    GET /nodes
    GET /tasks?filters=%7B'label'%3A%7B'com.docker.stack.namespace%3Dshop'%3Atrue%7D%7D
    GET /services
    GET /nodes
    "#);
}

#[tokio::test]
async fn what_is_no_stack_is_said() {
    let none = || json!([]);
    let daemon = Daemon::start(&[
        ("GET /services", 200, none()),
        ("GET /tasks", 200, none()),
        ("GET /networks", 200, none()),
        ("GET /secrets", 200, none()),
        ("GET /configs", 200, none()),
    ]);
    for command in ["services", "rm"] {
        let ended = daemon.run(&["stack", command, "shop"]).await;
        ended.result.unwrap();
        assert_eq!(ended.err, "Nothing found in stack: shop\n");
    }
    let error = daemon
        .run(&["stack", "ps", "shop"])
        .await
        .result
        .unwrap_err();
    assert_eq!(error.to_string(), "nothing found in stack: shop");
    assert!(daemon.changes().is_empty());
}

#[tokio::test]
async fn a_stack_is_removed_from_its_services_to_its_networks() {
    let refused = json!({"message": "network n1 is in use by task t1"});
    let daemon = Daemon::start(&[
        (
            "GET /services",
            200,
            json!([service("shop_web", "shop"), service("shop_db", "shop")]),
        ),
        (
            "GET /networks",
            200,
            json!([{"Id": "n1", "ID": "n1", "Name": "shop_default"}]),
        ),
        ("GET /secrets", 200, json!([named("s1", "shop_password")])),
        (
            "GET /configs",
            200,
            json!([named("c1", "shop_motd"), named("c2", "shop_motd-2")]),
        ),
        ("DELETE /services/shop_web-id", 200, json!("")),
        ("DELETE /secrets/s1", 204, json!("")),
        ("DELETE /configs/c1", 204, json!("")),
        ("DELETE /configs/c2", 204, json!("")),
        ("DELETE /networks/n1", 400, refused),
    ]);
    let ended = daemon.run(&["stack", "rm", "shop"]).await;
    let error = ended.result.unwrap_err().to_string();
    assert_eq!(error, "failed to remove some resources from stack: shop");
    insta::assert_snapshot!(ended.out, @r#"
    Removing service shop_db
    Removing service shop_web
    Removing secret shop_password
    Removing config shop_motd
    Removing config shop_motd-2
    Removing network shop_default
    "#);
    assert_eq!(
        ended.err,
        "Failed to remove network shop_default: Error response from daemon: network n1 is in use \
         by task t1\n"
    );
    insta::assert_snapshot!(daemon.changes().join("\n"), @r#"
    DELETE /services/shop_db-id
    DELETE /services/shop_web-id
    DELETE /secrets/s1
    DELETE /configs/c1
    DELETE /configs/c2
    DELETE /networks/n1
    "#);
}

#[tokio::test]
async fn rm_waits_until_the_tasks_have_stopped() {
    let task = |state: &str| json!([{"ID": "t", "Status": {"State": state}}]);
    let daemon = Daemon::start(&[
        ("GET /services", 200, json!([service("shop_web", "shop")])),
        ("GET /networks", 200, json!([])),
        ("GET /secrets", 200, json!([])),
        ("GET /configs", 200, json!([])),
        ("DELETE /services/shop_web-id", 200, json!("")),
        ("GET /tasks", 200, task("running")),
        ("GET /tasks", 200, task("shutdown")),
    ]);
    let ended = daemon.run(&["stack", "rm", "--detach=false", "shop"]).await;
    ended.result.unwrap();
    let asked = daemon.asked.lock().unwrap();
    assert_eq!(
        asked
            .iter()
            .filter(|line| line.starts_with("GET /tasks"))
            .count(),
        2
    );
}
