//! bollard drives the swarm half of the API, over a socket as it is served.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::Arc;

use bollard::auth::DockerCredentials;
use bollard::models::{
    ConfigSpec, NetworkCreateRequest, NodeSpecAvailabilityEnum, ObjectVersion, SecretSpec,
    ServiceSpec, ServiceSpecMode, ServiceSpecModeReplicated, SwarmInitRequest, TaskSpec,
    TaskSpecContainerSpec,
};
use bollard::query_parameters::{
    LeaveSwarmOptionsBuilder, ListServicesOptionsBuilder, ListTasksOptionsBuilder,
    LogsOptionsBuilder, UpdateConfigOptionsBuilder, UpdateNodeOptionsBuilder,
    UpdateSecretOptionsBuilder, UpdateServiceOptionsBuilder,
};
use bollard::{ClientVersion, Docker};
use bytes::Bytes;
use futures::TryStreamExt;
use services::Timestamp;
use tempfile::TempDir;
use tokio::net::UnixListener;

use super::fake::{Fake, Swarm};
use crate::runtime::{LogFrame, LogStream};

/// A client of a daemon that serves `fake`.
fn client(fake: &Fake) -> (Docker, TempDir) {
    let dir = TempDir::new().unwrap();
    let socket = dir.path().join("swarmlet.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let (backend, engine) = (Arc::new(fake.clone()), dir.path().join("engine.sock"));
    tokio::spawn(crate::api::serve(listener, backend, engine));
    let version = ClientVersion {
        major_version: 1,
        minor_version: 41,
    };
    let docker = Docker::connect_with_unix(socket.to_str().unwrap(), 10, &version).unwrap();
    (docker, dir)
}

fn index<N: TryFrom<u64, Error: Debug>>(version: Option<ObjectVersion>) -> N {
    version.unwrap().index.unwrap().try_into().unwrap()
}

fn named(key: &str, value: &str) -> HashMap<String, Vec<String>> {
    HashMap::from([(key.to_owned(), vec![value.to_owned()])])
}

fn spec(replicas: i64) -> ServiceSpec {
    ServiceSpec {
        name: Some("web".into()),
        task_template: Some(TaskSpec {
            container_spec: Some(TaskSpecContainerSpec {
                image: Some("busybox:latest".into()),
                ..TaskSpecContainerSpec::default()
            }),
            ..TaskSpec::default()
        }),
        mode: Some(ServiceSpecMode {
            replicated: Some(ServiceSpecModeReplicated {
                replicas: Some(replicas),
            }),
            ..ServiceSpecMode::default()
        }),
        ..ServiceSpec::default()
    }
}

#[tokio::test]
async fn bollard_makes_a_swarm_and_leaves_it() {
    let (docker, _dir) = client(&Fake::new());
    let request = SwarmInitRequest {
        listen_addr: Some("0.0.0.0:2377".into()),
        ..SwarmInitRequest::default()
    };
    let id = docker.init_swarm(request).await.unwrap();
    assert_eq!(id.trim_matches('"').len(), 25, "{id}");
    let swarm = docker.inspect_swarm().await.unwrap();
    assert!(
        swarm
            .join_tokens
            .unwrap()
            .worker
            .unwrap()
            .starts_with("SWMTKN-1-")
    );
    let nodes = docker.list_nodes(None).await.unwrap();
    let node = docker
        .inspect_node(nodes[0].id.as_ref().unwrap())
        .await
        .unwrap();
    let version = index(node.version);
    let mut spec = node.spec.unwrap();
    spec.availability = Some(NodeSpecAvailabilityEnum::DRAIN);
    let options = UpdateNodeOptionsBuilder::new().version(version).build();
    docker.update_node("refnode", spec, options).await.unwrap();
    let node = docker.inspect_node("refnode").await.unwrap();
    let availability = node.spec.unwrap().availability;
    assert_eq!(availability, Some(NodeSpecAvailabilityEnum::DRAIN));
    let force = LeaveSwarmOptionsBuilder::new().force(true).build();
    docker.leave_swarm(Some(force)).await.unwrap();
    assert!(docker.list_nodes(None).await.is_err());
}

#[tokio::test]
async fn bollard_runs_services_and_reads_their_logs() {
    let fake = Fake::active();
    let (docker, _dir) = client(&fake);
    let credentials = DockerCredentials {
        username: Some("u".into()),
        password: Some("a?b>c".into()),
        ..DockerCredentials::default()
    };
    let created = docker
        .create_service(spec(2), Some(credentials))
        .await
        .unwrap();
    let id = created.id.unwrap();
    fake.edit(Swarm::run_all);
    let kept = fake.edit(|swarm| {
        let service = swarm.state.services().next().unwrap();
        service.spec.task.registry_auth.clone().unwrap()
    });
    assert_eq!(kept.password, "a?b>c");

    let options = ListServicesOptionsBuilder::new()
        .filters(&named("name", "web"))
        .status(true);
    let listed = docker.list_services(Some(options.build())).await.unwrap();
    let status = listed[0].service_status.clone().unwrap();
    assert_eq!(
        (status.running_tasks, status.desired_tasks),
        (Some(2), Some(2))
    );
    let options = ListTasksOptionsBuilder::new()
        .filters(&named("service", "web"))
        .build();
    let tasks = docker.list_tasks(Some(options)).await.unwrap();
    assert_eq!(tasks.len(), 2);
    let task = tasks[0].id.clone().unwrap();
    assert_eq!(
        docker.inspect_task(&task).await.unwrap().service_id,
        Some(id.clone())
    );

    let line = LogFrame {
        stream: LogStream::Stdout,
        at: Some(Timestamp(1)),
        details: String::new(),
        data: Bytes::from_static(b"hello\n"),
    };
    fake.edit(|swarm| swarm.logs.insert(task.parse().unwrap(), Ok(vec![line])));
    let options = LogsOptionsBuilder::new().stdout(true).build();
    let logs = docker.service_logs("web", Some(options.clone()));
    let logs: Vec<_> = logs.try_collect().await.unwrap();
    assert_eq!(logs[0].to_string(), "hello\n");
    let logs: Vec<_> = docker
        .task_logs(&task, Some(options))
        .try_collect()
        .await
        .unwrap();
    assert_eq!(logs.len(), 1);

    let service = docker.inspect_service("web", None).await.unwrap();
    let version = index(service.version);
    let options = UpdateServiceOptionsBuilder::new().version(version).build();
    docker
        .update_service("web", spec(3), options, None)
        .await
        .unwrap();
    let kept = fake.edit(|swarm| {
        let service = swarm.state.services().next().unwrap();
        (
            service.spec.mode.slots(),
            service.spec.task.registry_auth.is_some(),
        )
    });
    assert_eq!(kept, (Some(3), true), "an update keeps the credentials");
    docker.delete_service("web").await.unwrap();
    let gone = docker
        .inspect_service(&id, None)
        .await
        .unwrap_err()
        .to_string();
    assert!(gone.contains(&format!("service {id} not found")), "{gone}");
}

#[tokio::test]
async fn bollard_keeps_secrets_configs_and_networks() {
    let fake = Fake::active();
    fake.edit(Swarm::plan);
    let (docker, _dir) = client(&fake);
    let secret = |labels: Option<HashMap<String, String>>| SecretSpec {
        name: Some("s".into()),
        data: labels.is_none().then(|| "eA==".into()),
        labels: labels.or_else(|| Some(HashMap::new())),
        ..SecretSpec::default()
    };
    let id = docker.create_secret(secret(None)).await.unwrap().id;
    let version = index(docker.inspect_secret("s").await.unwrap().version);
    let labels = HashMap::from([("a".to_owned(), "b".to_owned())]);
    let options = UpdateSecretOptionsBuilder::new().version(version).build();
    docker
        .update_secret(&id, secret(Some(labels.clone())), options)
        .await
        .unwrap();
    let listed = docker.list_secrets(None).await.unwrap();
    let shown = listed[0].spec.clone().unwrap();
    assert_eq!((shown.labels, shown.data), (Some(labels.clone()), None));
    docker.delete_secret("s").await.unwrap();

    let config = |labels: HashMap<String, String>| ConfigSpec {
        name: Some("c".into()),
        data: labels.is_empty().then(|| "eA==".into()),
        labels: Some(labels),
        ..ConfigSpec::default()
    };
    let id = docker
        .create_config(config(HashMap::new()))
        .await
        .unwrap()
        .id;
    let version = index(docker.inspect_config("c").await.unwrap().version);
    let options = UpdateConfigOptionsBuilder::new().version(version).build();
    docker
        .update_config(&id, config(labels), options)
        .await
        .unwrap();
    let shown = docker.list_configs(None).await.unwrap()[0]
        .spec
        .clone()
        .unwrap();
    assert_eq!(shown.data, Some("eA==".into()));
    docker.delete_config("c").await.unwrap();

    let request = NetworkCreateRequest {
        name: "n".into(),
        driver: Some("overlay".into()),
        attachable: Some(true),
        ..NetworkCreateRequest::default()
    };
    docker.create_network(request).await.unwrap();
    let network = docker.inspect_network("n", None).await.unwrap();
    assert_eq!(network.scope.as_deref(), Some("swarm"));
    let names = docker.list_networks(None).await.unwrap().into_iter();
    let mut names: Vec<_> = names.filter_map(|network| network.name).collect();
    names.sort();
    assert_eq!(names, ["ingress", "n"]);
    docker.remove_network("n").await.unwrap();
}
