//! Tables and pages over answers as a daemon gives them.

use serde_json::json;
use services::Timestamp;

use super::*;
use crate::api::dto::{Info, NetworkResource, Node, Service, Task, Time};

const NOW: &str = "2026-11-20T23:10:00Z";

fn time(text: &str) -> Time {
    serde_json::from_value(json!(text)).unwrap()
}

fn node(id: &str, hostname: &str, manager: Option<&str>) -> Node {
    let manager = manager.map(|state| {
        json!({"Leader": state == "leader", "Reachability": state, "Addr": "10.99.0.1:2377"})
    });
    serde_json::from_value(json!({
        "ID": id,
        "CreatedAt": "2026-11-20T23:04:41.95Z",
        "Spec": {"Labels": {"zone": "a", "ssd": ""}, "Role": "manager", "Availability": "active"},
        "Description": {
            "Hostname": hostname,
            "Platform": {"Architecture": "x86_64", "OS": "linux"},
            "Resources": {"NanoCPUs": 2_000_000_000_i64, "MemoryBytes": 25_276_518_400_i64},
            "Engine": {"EngineVersion": "20.10.24", "Plugins": [
                {"Type": "Network", "Name": "bridge"}, {"Type": "Log", "Name": "local"},
                {"Type": "Log", "Name": "journald"}]},
        },
        "Status": {"State": "ready", "Addr": "10.99.0.1"},
        "ManagerStatus": manager,
    }))
    .unwrap()
}

fn info_of(node: &str) -> Info {
    serde_json::from_value(json!({
        "Name": "h1", "ServerVersion": "20.10.24", "NCPU": 2, "MemTotal": 25_276_518_400_i64,
        "Swarm": {
            "NodeID": node, "NodeAddr": "10.99.0.1", "LocalNodeState": "active",
            "ControlAvailable": true, "Nodes": 3, "Managers": 3,
            "RemoteManagers": [{"NodeID": "b", "Addr": "10.99.0.2:2377"},
                               {"NodeID": "a", "Addr": "10.99.0.1:2377"}],
            "Cluster": {"ID": "4rng3di5djeq04arnie5cl4wh",
                        "Spec": {"CAConfig": {"NodeCertExpiry": 7_776_000_000_000_000_i64}}},
        },
    }))
    .unwrap()
}

fn task(id: &str, slot: u64, created: &str, state: &str, desired: &str, err: &str) -> Task {
    serde_json::from_value(json!({
        "ID": id,
        "CreatedAt": created,
        "Spec": {"ContainerSpec": {"Image": "busybox:latest@sha256:0123"}},
        "ServiceID": "mgmz3jbcp5bsvx7uwz8vm1i3s",
        "Slot": slot,
        "NodeID": "cyq1v1261ljhb7meogwv14ftk",
        "Status": {"Timestamp": created, "State": state, "Err": err,
                   "PortStatus": {"Ports": [{"Protocol": "tcp", "TargetPort": 80,
                                             "PublishedPort": 8080, "PublishMode": "host"}]}},
        "DesiredState": desired,
    }))
    .unwrap()
}

fn service(name: &str) -> Service {
    serde_json::from_value(json!({
        "ID": "mgmz3jbcp5bsvx7uwz8vm1i3s",
        "Spec": {
            "Name": name,
            "Labels": {"a": "b"},
            "TaskTemplate": {
                "ContainerSpec": {"Image": "busybox:latest@sha256:0123", "Args": ["sleep", "1"],
                    "Mounts": [{"Type": "volume", "Source": "v", "Target": "/v"}]},
                "Resources": {"Limits": {"NanoCPUs": 500_000_000, "MemoryBytes": 67_108_864}},
                "Placement": {"Constraints": ["node.role==worker"], "MaxReplicas": 1,
                    "Preferences": [{"Spread": {"SpreadDescriptor": "node.labels.zone"}}]},
                "Networks": [{"Target": "n1"}, {"Target": "n2"}],
                "ForceUpdate": 0,
            },
            "Mode": {"Replicated": {"Replicas": 3}},
            "UpdateConfig": {"Parallelism": 2, "Delay": 1_000_000_000, "FailureAction": "pause",
                "Monitor": 5_000_000_000_i64, "MaxFailureRatio": 0, "Order": "stop-first"},
        },
        "Endpoint": {"Spec": {"Mode": "vip"}, "Ports": [
            {"Protocol": "tcp", "TargetPort": 80, "PublishedPort": 8080, "PublishMode": "ingress"},
            {"Protocol": "udp", "TargetPort": 53, "PublishedPort": 53, "PublishMode": "host",
             "HostIP": "10.99.0.1"}],
            "VirtualIPs": [{"NetworkID": "n1", "Addr": "10.0.1.2/24"},
                           {"NetworkID": "n1", "Addr": "fd00:1::2/64"}]},
        "UpdateStatus": {"State": "completed", "StartedAt": "2026-11-20T23:05:05Z",
            "CompletedAt": "2026-11-20T23:05:39Z", "Message": "update completed"},
        "ServiceStatus": {"RunningTasks": 2, "DesiredTasks": 3, "CompletedTasks": 0},
    }))
    .unwrap()
}

fn names() -> Names {
    let pair = |id: &str, name: &str| [(id.to_owned(), name.to_owned())].into();
    Names {
        services: pair("mgmz3jbcp5bsvx7uwz8vm1i3s", "web"),
        nodes: pair("cyq1v1261ljhb7meogwv14ftk", "h1"),
    }
}

fn networks() -> std::collections::BTreeMap<String, String> {
    [("n1".to_owned(), "front".to_owned())].into()
}

fn network(id: &str, name: &str, driver: &str, scope: &str) -> NetworkResource {
    serde_json::from_value(json!({
        "Id": id, "Name": name, "Driver": driver, "Scope": scope, "EnableIPv6": true,
        "Created": "2026-11-20T23:04:41.95Z", "Labels": {"a": "b", "c": ""},
        "IPAM": {"Driver": "default", "Options": null, "Config": null},
        "Containers": {}, "Options": null, "ConfigFrom": {"Network": ""},
    }))
    .unwrap()
}

/// Lines without the spaces that a last column leaves behind.
fn trimmed(text: &str) -> String {
    text.lines()
        .map(|line| line.trim_end().to_owned() + "\n")
        .collect()
}

#[test]
fn nodes_are_listed_by_name_and_the_asked_one_is_marked() {
    let nodes = [
        node("cyq1v1261ljhb7meogwv14ftk", "h10", None),
        node("d8nxfir5ly4cvkk15lrqn8xvx", "h2", Some("leader")),
        node("ajfbzj6jodpewh4eoq0h4cbd5", "h1", Some("unreachable")),
    ];
    let rows = node_rows(&nodes, &info_of("d8nxfir5ly4cvkk15lrqn8xvx").swarm);
    insta::assert_snapshot!(trimmed(&node_table(&rows)), @"
    ID                            HOSTNAME   STATUS    AVAILABILITY   MANAGER STATUS   ENGINE VERSION
    ajfbzj6jodpewh4eoq0h4cbd5     h1         Ready     Active         Unreachable      20.10.24
    d8nxfir5ly4cvkk15lrqn8xvx *   h2         Ready     Active         Leader           20.10.24
    cyq1v1261ljhb7meogwv14ftk     h10        Ready     Active                          20.10.24
    ");
    insta::assert_snapshot!(json_lines(&rows[1..2]).unwrap(), @r#"{"Availability":"Active","EngineVersion":"20.10.24","Hostname":"h2","ID":"d8nxfir5ly4cvkk15lrqn8xvx","ManagerStatus":"Leader","Self":true,"Status":"Ready","TLSStatus":"Unknown"}"#);
}

#[test]
fn tasks_are_listed_with_their_history_below_them() {
    let tasks = [
        task(
            "1aaaaaaaaaaaaaaaaaaaaaaaa",
            1,
            "2026-11-20T23:00:00Z",
            "failed",
            "shutdown",
            "task: non-zero exit (137): dockerexec: unhealthy container",
        ),
        task(
            "2aaaaaaaaaaaaaaaaaaaaaaaa",
            10,
            "2026-11-20T21:00:00Z",
            "running",
            "running",
            "",
        ),
        task(
            "3aaaaaaaaaaaaaaaaaaaaaaaa",
            1,
            "2026-11-20T23:09:48Z",
            "running",
            "running",
            "",
        ),
        task(
            "4aaaaaaaaaaaaaaaaaaaaaaaa",
            2,
            "2026-11-20T23:10:01Z",
            "pending",
            "running",
            "no suitable\nnode",
        ),
    ];
    let view = TaskView {
        truncate: true,
        now: time(NOW),
    };
    let rows = task_rows(&tasks, &names(), view);
    insta::assert_snapshot!(trimmed(&task_table(&rows)), @r#"
    ID             NAME        IMAGE            NODE      DESIRED STATE   CURRENT STATE                    ERROR                              PORTS
    3aaaaaaaaaaa   web.1       busybox:latest   h1        Running         Running 12 seconds ago                                              *:8080->80/tcp
    1aaaaaaaaaaa    \_ web.1   busybox:latest   h1        Shutdown        Failed 10 minutes ago            "task: non-zero exit (137): do…"   *:8080->80/tcp
    4aaaaaaaaaaa   web.2       busybox:latest   h1        Running         Pending less than a second ago   "no suitable node"                 *:8080->80/tcp
    2aaaaaaaaaaa   web.10      busybox:latest   h1        Running         Running 2 hours ago                                                 *:8080->80/tcp
    "#);
    insta::assert_snapshot!(json_lines(&rows[2..3]).unwrap(), @r#"{"CurrentState":"Pending less than a second ago","DesiredState":"Running","Error":"\"no suitable\nnode\"","ID":"4aaaaaaaaaaa","Image":"busybox:latest","Name":"web.2","Node":"h1","Ports":"*:8080->80/tcp"}"#);
    let full = task_rows(
        &tasks,
        &Names::default(),
        TaskView {
            truncate: false,
            ..view
        },
    );
    insta::assert_snapshot!(json_lines(&full[1..2]).unwrap(), @r#"{"CurrentState":"Failed 10 minutes ago","DesiredState":"Shutdown","Error":"\"task: non-zero exit (137): dockerexec: unhealthy container\"","ID":"1aaaaaaaaaaaaaaaaaaaaaaaa","Image":"busybox:latest@sha256:0123","Name":" \\_ mgmz3jbcp5bsvx7uwz8vm1i3s.1","Node":"cyq1v1261ljhb7meogwv14ftk","Ports":"*:8080->80/tcp"}"#);
}

#[test]
fn services_are_listed_by_name() {
    let mut global = service("agent");
    global.spec.mode = serde_json::from_value(json!({"Global": {}})).unwrap();
    let rows = service_rows(&[service("web"), global]);
    insta::assert_snapshot!(trimmed(&service_table(&rows)), @"
    ID             NAME      MODE         REPLICAS               IMAGE            PORTS
    mgmz3jbcp5bs   agent     global       2/3                    busybox:latest   *:8080->80/tcp
    mgmz3jbcp5bs   web       replicated   2/3 (max 1 per node)   busybox:latest   *:8080->80/tcp
    ");
    insta::assert_snapshot!(json_lines(&rows[..1]).unwrap(), @r#"{"ID":"mgmz3jbcp5bs","Image":"busybox:latest","Mode":"global","Name":"agent","Ports":"*:8080->80/tcp","Replicas":"2/3"}"#);
}

#[test]
fn jobs_are_listed_with_what_is_done() {
    let mut job = service("batch");
    job.spec.mode = serde_json::from_value(
        json!({"ReplicatedJob": {"MaxConcurrent": 2, "TotalCompletions": 5}}),
    )
    .unwrap();
    job.service_status =
        serde_json::from_value(json!({"RunningTasks": 1, "DesiredTasks": 2, "CompletedTasks": 3}))
            .unwrap();
    let mut global = service("check");
    global.spec.mode = serde_json::from_value(json!({"GlobalJob": {}})).unwrap();
    global.service_status = job.service_status;
    let rows = service_rows(&[job, global]);
    insta::assert_snapshot!(trimmed(&service_table(&rows)), @"
    ID             NAME      MODE             REPLICAS              IMAGE            PORTS
    mgmz3jbcp5bs   batch     replicated job   1/2 (3/5 completed)   busybox:latest   *:8080->80/tcp
    mgmz3jbcp5bs   check     global job       1/2 (3/5 completed)   busybox:latest   *:8080->80/tcp
    ");
}

#[test]
fn a_page_says_how_often_a_job_ran() {
    let mut job = service("batch");
    job.spec.mode = serde_json::from_value(
        json!({"ReplicatedJob": {"MaxConcurrent": 2, "TotalCompletions": 5}}),
    )
    .unwrap();
    job.job_status = serde_json::from_value(
        json!({"JobIteration": {"Index": 1}, "LastExecution": job.update_status
            .as_ref().unwrap().started_at}),
    )
    .unwrap();
    let page = service_page(&job, time(NOW), &networks());
    let lines = page
        .lines()
        .skip_while(|line| !line.starts_with("Service Mode"));
    let lines: Vec<&str> = lines.take(6).collect();
    insta::assert_snapshot!(lines.join("\n"), @"
    Service Mode:        Replicated Job
     Max Concurrent:     2
     Total Completions:  5
    JobStatus:
     Iteration:          1
     Last Execution:     4 minutes ago
    ");
}

#[test]
fn nothing_is_a_header_alone() {
    insta::assert_snapshot!(trimmed(&service_table(&[])), @"ID        NAME      MODE      REPLICAS   IMAGE     PORTS");
}

#[test]
fn a_service_is_described_on_a_page() {
    insta::assert_snapshot!(trimmed(&service_page(&service("web"), time(NOW), &networks())), @"
    ID:                  mgmz3jbcp5bsvx7uwz8vm1i3s
    Name:                web
    Labels:
     - a=b
    Service Mode:        Replicated
     Replicas:           3
    UpdateStatus:
     State:              completed
     Started:            4 minutes ago
     Completed:          4 minutes ago
     Message:            update completed
    Placement:
     Constraints:        [node.role==worker]
     Preferences:        [spread=node.labels.zone]
     Max Replicas Per Node: 1
    UpdateConfig:
     Parallelism:        2
     Delay:              1s
     On failure:         pause
     Monitoring Period:  5s
     Max failure ratio:  0
     Update order:       stop-first
    ContainerSpec:
     Image:              busybox:latest@sha256:0123
     Args:               sleep 1
    Mounts:
     Target:             /v
      Source:            v
      ReadOnly:          false
      Type:              volume
    Resources:
     Limits:
      CPU:               0.5
      Memory:            64MiB
    Networks:            front n2
    VirtualIPs:
     front:              10.0.1.2/24
     front:              fd00:1::2/64
    Endpoint Mode:       vip
    Ports:
     PublishedPort = 8080
      Protocol = tcp
      TargetPort = 80
      PublishMode = ingress
     PublishedPort = 53
      Protocol = udp
      TargetPort = 53
      PublishMode = host
      HostIP = 10.99.0.1
    ");
}

#[test]
fn networks_fit_a_terminal() {
    let local = "4f0c4fb21d2e4f0c4fb21d2e4f0c4fb21d2e4f0c4fb21d2e4f0c4fb21d2e4f0c";
    let networks = [
        network(
            "017d7b0wjf4n0h7dkdkivqhbq",
            "stack_a-name-of-some-length",
            "overlay",
            "swarm",
        ),
        network(local, "bridge", "bridge", "local"),
    ];
    let rows = network_rows(&networks, true);
    let table = trimmed(&network_table(&rows));
    insta::assert_snapshot!(table, @"
    NETWORK ID     NAME                          DRIVER    SCOPE
    4f0c4fb21d2e   bridge                        bridge    local
    017d7b0wjf4n   stack_a-name-of-some-length   overlay   swarm
    ");
    assert!(table.lines().all(|line| line.chars().count() <= 80));
    insta::assert_snapshot!(json_lines(&rows[1..]).unwrap(), @r#"{"CreatedAt":"2026-11-20 23:04:41.95 UTC","Driver":"overlay","ID":"017d7b0wjf4n","IPv6":"true","Internal":"false","Labels":"a=b,c=","Name":"stack_a-name-of-some-length","Scope":"swarm"}"#);
    assert_eq!(network_rows(&networks, false)[0].id, local);
}

#[test]
fn a_node_is_described_on_a_page() {
    let page = node_page(&node("cyq1v1261ljhb7meogwv14ftk", "h1", Some("leader")));
    insta::assert_snapshot!(trimmed(&page), @"
    ID:                      cyq1v1261ljhb7meogwv14ftk
    Labels:
     - ssd
     - zone=a
    Hostname:                h1
    Joined at:               2026-11-20 23:04:41.95 UTC
    Status:
     State:                  Ready
     Availability:           Active
     Address:                10.99.0.1
    Manager Status:
     Address:                10.99.0.1:2377
     Raft Status:            Leader
     Leader:                 Yes
    Platform:
     Operating System:       linux
     Architecture:           x86_64
    Resources:
     CPUs:                   2
     Memory:                 23.54GiB
    Plugins:
     Log:                    local, journald
     Network:                bridge
    Engine Version:          20.10.24
    ");
}

#[test]
fn the_node_and_its_swarm_are_described_on_a_page() {
    insta::assert_snapshot!(trimmed(&info(&info_of("a"))), @"
    Name:                  h1
    Engine Version:        20.10.24
    CPUs:                  2
    Total Memory:          23.54GiB
    Swarm:                 active
     NodeID:               a
     Is Manager:           true
     ClusterID:            4rng3di5djeq04arnie5cl4wh
     Managers:             3
     Nodes:                3
     Task History Limit:   5
     Certificate Expiry:   2160h0m0s
     Node Address:         10.99.0.1
     Manager Addresses:
      10.99.0.1:2377
      10.99.0.2:2377
    ");
    let mut alone = info_of("");
    alone.swarm.local_node_state = "inactive".into();
    insta::assert_snapshot!(trimmed(&info(&alone)), @"
    Name:                  h1
    Engine Version:        20.10.24
    CPUs:                  2
    Total Memory:          23.54GiB
    Swarm:                 inactive
    ");
}

#[test]
fn an_initialized_swarm_tells_how_to_join_it() {
    insta::assert_snapshot!(initialized("cyq1v1261", "SWMTKN-1-a-b", "10.99.0.1:2377"), @"
    Swarm initialized: current node (cyq1v1261) is now a manager.

    To add a worker to this swarm, run the following command:

        swarmlet join --token SWMTKN-1-a-b 10.99.0.1:2377

    To add a manager to this swarm, run 'swarmlet join-token manager' and follow the instructions.
    ");
}

#[test]
fn a_clock_that_is_behind_shows_no_negative_time() {
    let early = TaskView {
        truncate: true,
        now: Time(Timestamp(0)),
    };
    let tasks = [task("1a", 1, NOW, "running", "running", "")];
    let rows = task_rows(&tasks, &names(), early);
    assert_eq!(rows[0].current_state, "Running less than a second ago");
}
