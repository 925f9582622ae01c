//! Commands against a daemon that is played.

use clap::Parser;
use serde_json::json;

use super::fake::{Answer, Daemon, Script, run_at};
use super::*;

const NODE: &str = "cyq1v1261ljhb7meogwv14ftk";
const SERVICE: &str = "mgmz3jbcp5bsvx7uwz8vm1i3s";

fn info() -> Value {
    json!({"Name": "h1", "Swarm": {"NodeID": NODE, "LocalNodeState": "active",
           "ControlAvailable": true}})
}

fn node(role: &str) -> Value {
    json!({"ID": NODE, "Version": {"Index": 7},
           "Spec": {"Labels": {"a": "b"}, "Role": role, "Availability": "active"},
           "Description": {"Hostname": "h1", "Platform": {}, "Resources": {}, "Engine": {}},
           "Status": {"State": "ready", "Addr": "10.99.0.1"},
           "ManagerStatus": {"Leader": true, "Reachability": "reachable", "Addr": "10.99.0.1:2377"}})
}

fn swarm(index: u64, worker: &str) -> Value {
    json!({"ID": "c", "Version": {"Index": index}, "Spec": {"Name": "default", "Labels": {}},
           "JoinTokens": {"Worker": worker, "Manager": "SWMTKN-m"}})
}

fn service(index: u64) -> Value {
    json!({"ID": SERVICE, "Version": {"Index": index}, "Spec": {"Name": "web", "Labels": {},
           "TaskTemplate": {"ContainerSpec": {"Image": "busybox"}, "ForceUpdate": 0},
           "Mode": {"Replicated": {"Replicas": 1}},
           "UpdateConfig": {"Parallelism": 1, "Monitor": 1, "MaxFailureRatio": 0},
           "Later": {"kept": true}}})
}

fn task(state: &str, err: &str) -> Value {
    json!({"ID": "lwem7827prymdhyjse6cvbelt", "Slot": 1, "ServiceID": SERVICE, "NodeID": NODE,
           "DesiredState": "running", "Spec": {"ContainerSpec": {"Image": "busybox"}},
           "Status": {"State": state, "Err": err}})
}

fn refusal(message: &str) -> Value {
    json!({"message": message})
}

#[tokio::test]
async fn no_daemon_is_said_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("none.sock");
    let error = run_at(socket.to_str().unwrap(), &["node", "ls"])
        .await
        .result
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "Cannot connect to the swarmlet daemon at unix://{}. Is it running?",
            socket.display()
        )
    );
    assert_eq!(
        error.hint().unwrap(),
        "start it with: swarmlet daemon, or swarmlet init / join"
    );
}

#[tokio::test]
async fn what_is_no_answer_is_an_error() {
    let daemon = Daemon::start(&[
        ("GET /nodes", 200, json!("<html>")),
        ("GET /info", 200, info()),
    ]);
    let error = daemon.run(&["node", "ls"]).await.result.unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("The daemon's answer to /nodes makes no sense: ")
    );
}

#[tokio::test]
async fn a_running_daemon_is_asked_to_make_the_swarm() {
    let daemon = Daemon::start(&[
        ("GET /_ping", 200, json!("OK")),
        ("POST /swarm/init", 200, json!(NODE)),
        ("GET /swarm", 200, swarm(10, "SWMTKN-w")),
        (&format!("GET /nodes/{NODE}"), 200, node("manager")),
    ]);
    let ended = daemon
        .run(&[
            "init",
            "--advertise-addr",
            "10.99.0.1",
            "--cert-expiry",
            "2h",
        ])
        .await;
    ended.result.unwrap();
    assert_eq!(ended.err, "");
    assert!(
        ended
            .out
            .contains("\n    swarmlet join --token SWMTKN-w 10.99.0.1:2377\n")
    );
    insta::assert_snapshot!(daemon.changes().join("\n"), @r#"POST /swarm/init {"ListenAddr":"0.0.0.0:2377","AdvertiseAddr":"10.99.0.1","DataPathAddr":"","DataPathPort":0,"SubnetSize":24,"ForceNewCluster":false,"AutoLockManagers":false,"Availability":"active","Spec":{"Name":"default","Labels":{},"Orchestration":{"TaskHistoryRetentionLimit":5},"Raft":{"SnapshotInterval":10000,"ElectionTick":0,"HeartbeatTick":0},"Dispatcher":{"HeartbeatPeriod":5000000000},"CAConfig":{"NodeCertExpiry":7200000000000},"TaskDefaults":{},"EncryptionConfig":{"AutoLockManagers":false}}}"#);
}

#[tokio::test]
async fn a_made_swarm_is_not_denied_because_a_question_fails() {
    let daemon = Daemon::start(&[
        ("GET /_ping", 200, json!("OK")),
        ("POST /swarm/init", 200, json!(NODE)),
        (
            "GET /swarm",
            500,
            refusal("The swarm does not have a leader."),
        ),
    ]);
    let ended = daemon.run(&["init"]).await;
    ended.result.unwrap();
    assert!(ended.out.contains("is now a manager"), "{}", ended.out);
    assert!(
        ended.out.contains("swarmlet join-token worker"),
        "{}",
        ended.out
    );
}

#[tokio::test]
async fn joining_tells_as_what() {
    let worker = json!({"Swarm": {"NodeID": NODE, "ControlAvailable": false}});
    let daemon = Daemon::start(&[
        ("GET /_ping", 200, json!("OK")),
        ("POST /swarm/join", 200, json!("")),
        ("GET /info", 200, worker),
    ]);
    let ended = daemon.run(&["join", "--token", "T", "h1", "h2:99"]).await;
    ended.result.unwrap();
    assert_eq!(ended.out, "This node joined a swarm as a worker.\n");
    insta::assert_snapshot!(daemon.changes().join("\n"), @r#"POST /swarm/join {"ListenAddr":"0.0.0.0:2377","AdvertiseAddr":"","DataPathAddr":"","RemoteAddrs":["h1:2377","h2:99"],"JoinToken":"T","Availability":"active"}"#);
}

#[tokio::test]
async fn a_rotated_token_is_the_new_one() {
    let daemon = Daemon::start(&[
        ("GET /swarm", 200, swarm(10, "SWMTKN-old")),
        ("GET /swarm", 200, swarm(11, "SWMTKN-new")),
        ("POST /swarm/update", 200, json!("")),
        ("GET /info", 200, info()),
        (&format!("GET /nodes/{NODE}"), 200, node("manager")),
    ]);
    let ended = daemon
        .run(&["join-token", "--rotate", "-q", "worker"])
        .await;
    ended.result.unwrap();
    assert_eq!(ended.out, "SWMTKN-new\n");
    let change = &daemon.changes()[0];
    assert!(
        change.starts_with(
            "POST /swarm/update?version=10&rotateWorkerToken=true&rotateManagerToken=false"
        ),
        "{change}"
    );
}

#[tokio::test]
async fn leaving_is_refused_in_the_daemons_words() {
    let text =
        "You are attempting to leave the swarm on a node that is participating as a manager.";
    let daemon = Daemon::start(&[("POST /swarm/leave", 503, refusal(text))]);
    let error = daemon.run(&["leave"]).await.result.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("Error response from daemon: {text}")
    );
    assert!(error.hint().is_some());
}

#[tokio::test]
async fn self_is_the_node_that_is_asked() {
    let path = format!("GET /nodes/{NODE}");
    let daemon = Daemon::start(&[("GET /info", 200, info()), (&path, 200, node("manager"))]);
    let ended = daemon.run(&["node", "inspect", "-f", "json", "self"]).await;
    ended.result.unwrap();
    let shown: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(shown, node("manager"));
}

#[tokio::test]
async fn a_node_without_an_id_says_why() {
    let why = "this node was removed from the swarm";
    let removed = json!({"Swarm": {"LocalNodeState": "error", "Error": why}});
    let daemon = Daemon::start(&[("GET /info", 200, removed)]);
    let error = daemon.run(&["node", "ps"]).await.result.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("Error response from daemon: {why}")
    );

    let inactive = "This node is not a swarm manager. Use \"docker swarm init\"";
    let daemon = Daemon::start(&[
        (
            "GET /info",
            200,
            json!({"Swarm": {"LocalNodeState": "inactive"}}),
        ),
        ("GET /nodes", 503, refusal(inactive)),
    ]);
    let error = daemon
        .run(&["node", "inspect", "self"])
        .await
        .result
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("Error response from daemon: {inactive}")
    );
}

#[tokio::test]
async fn what_is_not_found_does_not_hide_what_is() {
    let daemon = Daemon::start(&[
        ("GET /services/web", 200, service(5)),
        ("GET /services/nope", 404, refusal("service nope not found")),
    ]);
    let ended = daemon.run(&["service", "inspect", "nope", "web"]).await;
    assert!(
        ended.out.starts_with("[\n    {\n        \"ID\": \"mgmz"),
        "{}",
        ended.out
    );
    assert_eq!(
        ended.result.unwrap_err().to_string(),
        "Error response from daemon: service nope not found"
    );
}

#[tokio::test]
async fn promoting_a_manager_changes_nothing() {
    let path = format!("GET /nodes/{NODE}");
    let update = format!("POST /nodes/{NODE}/update");
    let daemon = Daemon::start(&[(&path, 200, node("manager")), (&update, 200, json!(""))]);
    let ended = daemon.run(&["node", "promote", NODE]).await;
    assert_eq!(ended.out, format!("Node {NODE} is already a manager.\n"));
    assert_eq!(daemon.changes(), Vec::<String>::new());

    let ended = daemon.run(&["node", "demote", NODE]).await;
    assert_eq!(ended.out, format!("Manager {NODE} demoted in the swarm.\n"));
    insta::assert_snapshot!(daemon.changes().join("\n"), @r#"POST /nodes/cyq1v1261ljhb7meogwv14ftk/update?version=7 {"Labels":{"a":"b"},"Role":"worker","Availability":"active"}"#);
}

#[tokio::test]
async fn a_change_is_laid_over_what_is_there_now() {
    let update = format!("POST /services/{SERVICE}/update");
    let stale = refusal("rpc error: code = Unknown desc = update out of sequence");
    let daemon = Daemon::start(&[
        ("GET /services/web", 200, service(5)),
        ("GET /services/web", 200, service(6)),
        (&update, 500, stale),
        (&update, 200, json!({"Warnings": ["image is old"]})),
    ]);
    let ended = daemon
        .run(&["service", "update", "-d", "--image", "busybox:2", "web"])
        .await;
    ended.result.unwrap();
    assert_eq!(
        (ended.out.as_str(), ended.err.as_str()),
        ("web\n", "image is old\n")
    );
    insta::assert_snapshot!(daemon.changes().join("\n"), @r#"
    POST /services/mgmz3jbcp5bsvx7uwz8vm1i3s/update?version=5&registryAuthFrom=spec {"Name":"web","Labels":{},"TaskTemplate":{"ContainerSpec":{"Image":"busybox:2"},"ForceUpdate":0},"Mode":{"Replicated":{"Replicas":1}},"UpdateConfig":{"Parallelism":1,"Monitor":1,"MaxFailureRatio":0},"Later":{"kept":true}}
    POST /services/mgmz3jbcp5bsvx7uwz8vm1i3s/update?version=6&registryAuthFrom=spec {"Name":"web","Labels":{},"TaskTemplate":{"ContainerSpec":{"Image":"busybox:2"},"ForceUpdate":0},"Mode":{"Replicated":{"Replicas":1}},"UpdateConfig":{"Parallelism":1,"Monitor":1,"MaxFailureRatio":0},"Later":{"kept":true}}
    "#);
}

#[tokio::test]
async fn a_change_that_is_always_late_gives_up() {
    let update = format!("POST /services/{SERVICE}/update");
    let stale = refusal("rpc error: code = Unknown desc = update out of sequence");
    let daemon = Daemon::start(&[
        ("GET /services/web", 200, service(5)),
        (&update, 500, stale),
    ]);
    let ended = daemon.run(&["service", "scale", "-d", "web=3"]).await;
    assert!(
        ended
            .result
            .unwrap_err()
            .to_string()
            .ends_with("update out of sequence")
    );
    assert_eq!(daemon.changes().len(), MAX_TRIES);
}

#[tokio::test]
async fn a_detached_create_does_not_wait() {
    let daemon = Daemon::start(&[("POST /services/create", 201, json!({"ID": SERVICE}))]);
    let ended = daemon
        .run(&[
            "service", "create", "-d", "--name", "web", "busybox", "sleep", "-x",
        ])
        .await;
    ended.result.unwrap();
    assert_eq!(ended.out, format!("{SERVICE}\n"));
    insta::assert_snapshot!(daemon.changes().join("\n"), @r#"POST /services/create {"Name":"web","Labels":{},"TaskTemplate":{"ContainerSpec":{"Image":"busybox:latest","Args":["sleep","-x"]},"ForceUpdate":0},"Mode":{"Replicated":{}}}"#);
}

#[tokio::test]
async fn a_create_waits_through_an_election_until_the_service_has_converged() {
    let inspect = format!("GET /services/{SERVICE}");
    let daemon = Daemon::start(&[
        ("POST /services/create", 201, json!({"ID": SERVICE})),
        (&inspect, 200, service(5)),
        (&inspect, 500, refusal("The swarm does not have a leader.")),
        (&inspect, 200, service(5)),
        (
            "GET /tasks",
            200,
            json!([task("pending", "no suitable node")]),
        ),
        ("GET /tasks", 200, json!([task("running", "")])),
        ("GET /nodes", 200, json!([node("manager")])),
    ]);
    let ended = daemon.run(&["service", "create", "busybox"]).await;
    ended.result.unwrap();
    assert!(
        ended.out.contains("1/1: no suitable node\n"),
        "{}",
        ended.out
    );
    assert!(
        ended
            .out
            .ends_with(&format!("verify: Service {SERVICE} converged\n")),
        "{}",
        ended.out
    );
}

#[tokio::test]
async fn a_service_that_vanishes_ends_the_wait() {
    let inspect = format!("GET /services/{SERVICE}");
    let daemon = Daemon::start(&[
        ("POST /services/create", 201, json!({"ID": SERVICE})),
        (&inspect, 404, refusal("service mgmz not found")),
        ("GET /tasks", 200, json!([])),
        ("GET /nodes", 200, json!([])),
    ]);
    let ended = daemon.run(&["service", "create", "-q", "busybox"]).await;
    assert!(ended.result.unwrap_err().is_not_found());
}

#[tokio::test]
async fn tasks_are_asked_for_by_service_and_shown_by_name() {
    let daemon = Daemon::start(&[
        ("GET /services/web", 200, service(5)),
        ("GET /services", 200, json!([service(5)])),
        ("GET /nodes", 200, json!([node("manager")])),
        ("GET /info", 200, info()),
        ("GET /tasks", 200, json!([task("running", "")])),
    ]);
    let line = [
        "service",
        "ps",
        "--format",
        "json",
        "-f",
        "node=self",
        "web",
        "nope",
    ];
    let ended = daemon.run(&line).await;
    assert_eq!(
        ended.result.unwrap_err().to_string(),
        "no such service: nope"
    );
    let row: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(
        (&row["Name"], &row["Node"]),
        (&json!("web.1"), &json!("h1"))
    );
    let asked = daemon.asked.lock().unwrap();
    let tasks = asked
        .iter()
        .find(|request| request.starts_with("GET /tasks"));
    assert_eq!(
        tasks.unwrap(),
        &format!(
            "GET /tasks?filters=%7B%22node%22%3A%7B%22{NODE}%22%3Atrue%7D%2C%22service%22%3A%7B%22\
             {SERVICE}%22%3Atrue%7D%7D"
        )
    );
}

fn log_frame(stream: u8, text: &str) -> Vec<u8> {
    let line = format!(
        "com.docker.swarm.node.id={NODE},com.docker.swarm.service.id={SERVICE},\
         com.docker.swarm.task.id=t1 {text}\n"
    );
    let length = u32::try_from(line.len()).unwrap().to_be_bytes();
    [&[stream, 0, 0, 0], &length[..], line.as_bytes()].concat()
}

fn log_script(stream: Vec<u8>) -> Script {
    let ok = |value: Value| vec![Answer(200, value.to_string().into_bytes())];
    Script::from([
        ("GET /services/web".into(), ok(service(5))),
        (format!("GET /services/{SERVICE}"), ok(service(5))),
        ("GET /tasks/t1".into(), ok(task("running", ""))),
        ("GET /services/web/logs".into(), vec![Answer(200, stream)]),
    ])
}

#[tokio::test]
async fn log_lines_say_which_task_wrote_them() {
    let stream = [
        log_frame(1, "hello"),
        log_frame(2, "oh no"),
        log_frame(1, ""),
    ]
    .concat();
    let daemon = Daemon::serve(log_script(stream));
    let ended = daemon.run(&["service", "logs", "--tail", "5", "web"]).await;
    ended.result.unwrap();
    // The node is gone: its id stands for its name.
    insta::assert_snapshot!(ended.out, @"
    web.1.t1@cyq1v1261ljhb7meogwv14ftk    | hello
    web.1.t1@cyq1v1261ljhb7meogwv14ftk    |
    ");
    insta::assert_snapshot!(ended.err, @"web.1.t1@cyq1v1261ljhb7meogwv14ftk    | oh no");
    let asked = daemon.asked.lock().unwrap();
    assert!(asked.iter().any(|request| request
        == "GET /services/web/logs?stdout=1&stderr=1&follow=0&timestamps=0&tail=5&details=1"));
}

#[tokio::test]
async fn a_log_that_breaks_off_or_fails_is_an_error() {
    let mut broken = log_frame(1, "hello");
    broken.truncate(broken.len() - 3);
    let daemon = Daemon::serve(log_script(broken));
    let error = daemon
        .run(&["service", "logs", "web"])
        .await
        .result
        .unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("the stream ends within a frame"),
        "{error}"
    );

    let mut failed = vec![3, 0, 0, 0, 0, 0, 0, 4];
    failed.extend(b"gone");
    let daemon = Daemon::serve(log_script(failed));
    let error = daemon
        .run(&["service", "logs", "web"])
        .await
        .result
        .unwrap_err();
    assert_eq!(error.to_string(), "Error response from daemon: gone");
}

#[tokio::test]
async fn an_update_changes_what_is_said_and_keeps_the_rest() {
    let daemon = Daemon::start(&[
        ("GET /swarm", 200, swarm(5, "SWMTKN-w")),
        ("POST /swarm/update", 200, json!("")),
    ]);
    let ended = daemon
        .run(&["update", "--managers", "5", "--autopilot", "off"])
        .await;
    ended.result.unwrap();
    assert_eq!(ended.out, "Swarm updated.\n");
    insta::assert_snapshot!(daemon.changes().join("\n"), @r#"POST /swarm/update?version=5 {"Name":"default","Labels":{"swarmlet.autopilot":"off","swarmlet.managers":"5"},"Orchestration":{},"Raft":{"ElectionTick":0,"HeartbeatTick":0},"Dispatcher":{},"CAConfig":{},"TaskDefaults":{},"EncryptionConfig":{"AutoLockManagers":false}}"#);
    for wrong in [
        &["update"][..],
        &["update", "--managers", "4"],
        &["init", "--managers", "2"],
    ] {
        let line = [&["swarmlet"], wrong].concat();
        assert!(crate::cli::args::Cli::try_parse_from(line).is_err());
    }
}

#[tokio::test]
async fn events_are_a_line_each() {
    let event = |text: &str| {
        json!({"Time": "2026-11-20T23:02:22.5Z", "Type": "autopilot", "NodeID": NODE,
               "Hostname": "h1", "Message": text})
    };
    let lines = format!("{}\n{}\n", event("is made a manager"), event("is down"));
    let daemon = Daemon::start(&[("GET /swarmlet/events", 200, Value::String(lines))]);
    let ended = daemon.run(&["events", "--since", "1000"]).await;
    ended.result.unwrap();
    assert_eq!(
        ended.out,
        "2026-11-20T23:02:22.500Z  autopilot  h1 is made a manager\n\
         2026-11-20T23:02:22.500Z  autopilot  h1 is down\n"
    );
    let asked = daemon.asked.lock().unwrap().join("\n");
    assert_eq!(asked, "GET /swarmlet/events?since=1000");
}

const NETWORK: &str = "017d7b0wjf4n0h7dkdkivqhbq";

fn network(id: &str, name: &str) -> Value {
    json!({"Name": name, "Id": id, "Created": "2026-11-20T23:04:42Z", "Scope": "swarm",
           "Driver": "overlay", "IPAM": {"Config": null}, "Labels": null, "Later": 1})
}

#[tokio::test]
async fn a_network_is_made_and_its_id_printed() {
    let answer = json!({"Id": NETWORK, "Warning": "beware"});
    let daemon = Daemon::start(&[("POST /networks/create", 201, answer)]);
    let ended = daemon
        .run(&["network", "create", "--attachable", "net"])
        .await;
    ended.result.unwrap();
    assert_eq!(ended.out, format!("{NETWORK}\n"));
    assert_eq!(ended.err, "beware\n");
}

#[tokio::test]
async fn networks_are_listed_as_docker_lists_them() {
    let list = json!([
        network(NETWORK, "net"),
        network("1kpuqmnbm372s5wk1tw2c83lo", "ingress")
    ]);
    let daemon = Daemon::start(&[("GET /networks", 200, list)]);
    let ended = daemon.run(&["network", "ls", "-f", "driver=overlay"]).await;
    insta::assert_snapshot!(ended.out, @"
    NETWORK ID     NAME      DRIVER    SCOPE
    1kpuqmnbm372   ingress   overlay   swarm
    017d7b0wjf4n   net       overlay   swarm
    ");
    let asked = daemon.asked.lock().unwrap().join("\n");
    assert_eq!(
        asked,
        "GET /networks?filters=%7B%22driver%22%3A%7B%22overlay%22%3Atrue%7D%7D"
    );
    let ended = daemon.run(&["network", "ls", "-q", "--no-trunc"]).await;
    assert_eq!(ended.out, format!("1kpuqmnbm372s5wk1tw2c83lo\n{NETWORK}\n"));
}

#[tokio::test]
async fn a_network_is_inspected_as_it_came() {
    let daemon = Daemon::start(&[("GET /networks/net", 200, network(NETWORK, "net"))]);
    let ended = daemon
        .run(&["network", "inspect", "-v", "-f", "json", "net", "nope"])
        .await;
    assert!(ended.result.unwrap_err().is_not_found());
    assert_eq!(ended.out, format!("{}\n", network(NETWORK, "net")));
    let asked = daemon.asked.lock().unwrap()[0].clone();
    assert_eq!(asked, "GET /networks/net?verbose=true");
}

#[tokio::test]
async fn a_network_that_is_gone_can_be_removed_by_force() {
    let daemon = Daemon::start(&[("DELETE /networks/net", 204, json!(""))]);
    let ended = daemon.run(&["network", "rm", "net", "nope"]).await;
    assert_eq!(ended.out, "net\n");
    assert!(ended.result.unwrap_err().is_not_found());
    let ended = daemon
        .run(&["network", "rm", "--force", "nope", "net"])
        .await;
    ended.result.unwrap();
    assert_eq!(ended.out, "net\n");
}

#[tokio::test]
async fn networks_are_pruned_only_after_a_yes() {
    let pruned = json!({"NetworksDeleted": ["a", "b"]});
    let daemon = Daemon::start(&[("POST /networks/prune", 200, pruned)]);
    for no in ["", "n\n", "yes?\n"] {
        let ended = daemon.run_with(&["network", "prune"], no).await;
        assert_eq!(
            ended.result.unwrap_err().to_string(),
            "network prune has been cancelled"
        );
        assert!(
            ended
                .out
                .ends_with("Are you sure you want to continue? [y/N] ")
        );
    }
    assert_eq!(daemon.changes(), [""; 0]);
    let ended = daemon.run_with(&["network", "prune"], "Y\n").await;
    ended.result.unwrap();
    assert!(
        ended.out.ends_with("Deleted Networks:\na\nb\n\n"),
        "{}",
        ended.out
    );
    let ended = daemon
        .run(&["network", "prune", "-f", "--filter", "until=24h"])
        .await;
    assert_eq!(ended.out, "Deleted Networks:\na\nb\n\n");
    let asked = daemon.changes().pop().unwrap();
    assert_eq!(
        asked,
        "POST /networks/prune?filters=%7B%22until%22%3A%7B%2224h%22%3Atrue%7D%7D {}"
    );
}

#[tokio::test]
async fn an_update_names_networks_by_their_ids() {
    let mut before = service(7);
    before["Spec"]["TaskTemplate"]["Networks"] = json!([{"Target": "gone"}]);
    let daemon = Daemon::start(&[
        ("GET /networks/net", 200, network(NETWORK, "net")),
        ("GET /services/web", 200, before),
        (
            &format!("POST /services/{SERVICE}/update"),
            200,
            json!({"Warnings": null}),
        ),
    ]);
    let line = [
        "service",
        "update",
        "-d",
        "--network-rm",
        "gone",
        "--network-add",
    ];
    let ended = daemon
        .run(&[&line[..], &["name=net,alias=w", "web"]].concat())
        .await;
    ended.result.unwrap();
    let sent = daemon.changes().join("\n");
    let networks = format!(r#""Networks":[{{"Target":"{NETWORK}","Aliases":["w"]}}]"#);
    assert!(sent.contains(&networks), "{sent}");
    let asked = daemon.asked.lock().unwrap()[0].clone();
    assert_eq!(asked, "GET /networks/net?scope=swarm");
    let missing = ["service", "update", "-d", "--network-add", "nope", "web"];
    let ended = daemon.run(&missing).await;
    assert!(ended.result.unwrap_err().is_not_found());
}
