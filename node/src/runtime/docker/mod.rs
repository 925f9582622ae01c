//! The Docker Engine as a [`Runtime`], over its unix socket.
//!
//! Thin on purpose: each call is one request, translated by a pure neighbour
//! (`create` makes the container's body, `observe` reads what the engine tells,
//! `error` its refusals, `logs` its log stream). Two limits live here: how many
//! creations and starts run at once, because an engine that is asked for sixty
//! at a time does each of them slower, and how long each call may take, because
//! an engine that hangs must not hang the node.

mod called;
mod create;
mod devices;
mod error;
mod instance;
mod logs;
mod networks;
mod observe;
mod ports;
mod pull;
mod transfer;
mod wire;

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bollard::Docker;
use bollard::models::ContainerInspectResponse;
use bollard::query_parameters::{
    CreateContainerOptions, EventsOptions, InspectContainerOptions, ListContainersOptions,
    RemoveContainerOptions, StartContainerOptions, StopContainerOptions,
};
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use overlay::names::Names;
use services::assignment::AssignedNetwork;
use services::object::NodeDescription;
use services::spec::{Platform, TaskSpec};
use services::{Assignment, Id};
use tokio::sync::{Mutex, Semaphore};

use super::{
    Called, Container, FileMount, Listed, LogFrame, LogOptions, Networks, Result, Runtime,
    RuntimeError,
};
use crate::routes;

pub use logs::MAX_LOG_FRAME;

/// Container labels of Docker Swarm; dashboards and log shippers know them.
pub mod label {
    pub const TASK: &str = "com.docker.swarm.task";
    pub const TASK_ID: &str = "com.docker.swarm.task.id";
    pub const TASK_NAME: &str = "com.docker.swarm.task.name";
    pub const NODE_ID: &str = "com.docker.swarm.node.id";
    pub const SERVICE_ID: &str = "com.docker.swarm.service.id";
    pub const SERVICE_NAME: &str = "com.docker.swarm.service.name";
}

/// For a call that answers from the engine's memory.
const PING_TIMEOUT: Duration = Duration::from_secs(2);
/// For a call that makes, starts or deletes something on a busy, slow device.
const CALL_TIMEOUT: Duration = Duration::from_secs(120);
/// For a container whose grace period only the engine knows.
const LONGEST_GRACE: Duration = Duration::from_secs(3600);
/// How far back the event stream begins, so that nothing falls between a
/// listing and the engine's noticing of the subscription.
const EVENT_OVERLAP: Duration = Duration::from_secs(1);

#[derive(Debug, Clone)]
pub struct DockerConfig {
    /// The engine's unix socket, e.g. `/var/run/docker.sock`.
    pub socket: PathBuf,
    /// Whose containers these are: several nodes may share one engine.
    pub node: Id,
    /// Of this node's network driver and name server.
    pub names: Names,
    /// Creations, starts and deletions at once; 8–16 keeps a small device busy
    /// without making each of them slow.
    pub parallel: usize,
}

impl DockerConfig {
    pub fn new(socket: impl Into<PathBuf>, node: Id, names: Names) -> Self {
        Self {
            socket: socket.into(),
            node,
            names,
            parallel: 16,
        }
    }
}

/// See the module. Connects when it is first asked something; the engine may
/// come, go and come back.
#[derive(Debug)]
pub struct DockerRuntime {
    config: DockerConfig,
    client: OnceLock<Docker>,
    slots: Semaphore,
    pulls: pull::Pulls,
    /// Held by whoever makes or removes networks: two tasks of the same would
    /// make it twice.
    networks: Mutex<()>,
}

impl DockerRuntime {
    pub fn new(config: DockerConfig) -> Self {
        Self {
            slots: Semaphore::new(config.parallel.max(1)),
            config,
            client: OnceLock::new(),
            pulls: pull::Pulls::default(),
            networks: Mutex::default(),
        }
    }

    /// bollard opens a connection per request, so one client outlives the
    /// engine's restarts; it only refuses to be made while there is no socket.
    fn client(&self) -> Result<Docker> {
        if let Some(client) = self.client.get() {
            return Ok(client.clone());
        }
        let path = self.config.socket.to_string_lossy();
        let client =
            Docker::connect_with_unix(&path, CALL_TIMEOUT.as_secs(), bollard::API_DEFAULT_VERSION)
                .map_err(|error| self.refusal(error))?;
        Ok(self.client.get_or_init(|| client).clone())
    }

    fn refusal(&self, error: bollard::errors::Error) -> RuntimeError {
        error::translate(error, &self.config.socket)
    }

    /// Performs one request within `limit`.
    async fn call<T, F, R>(&self, limit: Duration, request: R) -> Result<T>
    where
        F: Future<Output = std::result::Result<T, bollard::errors::Error>>,
        R: FnOnce(Docker) -> F,
    {
        let client = self.client()?;
        match tokio::time::timeout(limit, request(client)).await {
            Ok(answer) => answer.map_err(|error| self.refusal(error)),
            Err(_) => Err(RuntimeError::Unavailable(format!(
                "the engine at {} did not answer within {limit:?}",
                self.config.socket.display()
            ))),
        }
    }

    /// As [`call`](Self::call), when one of the limited places is free.
    async fn heavy_call<T, F, R>(&self, request: R) -> Result<T>
    where
        F: Future<Output = std::result::Result<T, bollard::errors::Error>>,
        R: FnOnce(Docker) -> F,
    {
        // The semaphore is never closed; without a place the call is just not limited.
        let _place = self.slots.acquire().await.ok();
        self.call(CALL_TIMEOUT, request).await
    }

    async fn create_container(
        &self,
        assignment: &Assignment,
        files: &[FileMount],
    ) -> Result<String> {
        let name = assignment.container_name(self.config.node);
        let connections = self.connections(&assignment.networks).await?;
        let mut body = create::container_body(assignment, self.config.node)?;
        create::mount_files(&mut body, files);
        if let Some(first) = connections.first() {
            create::connect(&mut body, assignment, first, self.config.names.gateway);
            let mut ports = create::host_ports(assignment);
            ports::number(&mut ports)?;
            create::publish(&mut body, &ports);
        }
        let platform = assignment.spec.task.container.run.platform.as_ref();
        let options = CreateContainerOptions {
            name: Some(name.clone()),
            platform: platform.map(Platform::to_string).unwrap_or_default(),
        };
        let created = self
            .heavy_call(|client| async move { client.create_container(Some(options), body).await })
            .await;
        match created {
            Ok(answer) => Ok(answer.id),
            Err(RuntimeError::NameTaken(text)) => self
                .own_container(&name, assignment.task)
                .await?
                .ok_or(RuntimeError::NameTaken(text)),
            Err(other) => Err(other),
        }
    }

    async fn start_container(&self, container: &str) -> Result<()> {
        self.heavy_call(|client| async move {
            client
                .start_container(container, None::<StartContainerOptions>)
                .await
        })
        .await
    }

    /// The id of the container called `name`, if it is of this task: an earlier
    /// creation whose answer was lost.
    async fn own_container(&self, name: &str, task: Id) -> Result<Option<String>> {
        let found = self.inspection(name).await?;
        let labels = found.config.and_then(|config| config.labels);
        let owner = labels.and_then(|mut labels| labels.remove(label::TASK_ID));
        Ok(found
            .id
            .filter(|_| owner.is_some_and(|owner| owner == task.to_string())))
    }

    fn own_label(&self) -> Vec<String> {
        vec![format!("{}={}", label::NODE_ID, self.config.node)]
    }

    async fn list_containers(&self) -> Result<Vec<Listed>> {
        let options = ListContainersOptions {
            all: true,
            filters: Some(HashMap::from([("label".to_owned(), self.own_label())])),
            ..Default::default()
        };
        let found = self
            .call(CALL_TIMEOUT, |client| async move {
                client.list_containers(Some(options)).await
            })
            .await?;
        Ok(found.into_iter().filter_map(observe::listed).collect())
    }

    async fn inspection(&self, container: &str) -> Result<ContainerInspectResponse> {
        self.call(CALL_TIMEOUT, |client| async move {
            client
                .inspect_container(container, None::<InspectContainerOptions>)
                .await
        })
        .await
    }

    async fn inspect_container(&self, container: &str) -> Result<Option<Container>> {
        match self.inspection(container).await {
            Ok(answer) => Ok(observe::container(answer)),
            Err(RuntimeError::ContainerMissing(_)) => Ok(None),
            Err(other) => Err(other),
        }
    }

    fn event_stream(&self) -> Result<BoxStream<'static, Result<Id>>> {
        let client = self.client()?;
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .saturating_sub(EVENT_OVERLAP);
        let filters = HashMap::from([
            ("type".to_owned(), vec!["container".to_owned()]),
            ("label".to_owned(), self.own_label()),
            (
                "event".to_owned(),
                ["die", "destroy", "health_status"]
                    .map(str::to_owned)
                    .to_vec(),
            ),
        ]);
        let options = EventsOptions {
            since: Some(format!("{}.{:09}", since.as_secs(), since.subsec_nanos())),
            until: None,
            filters: Some(filters),
        };
        let socket = self.config.socket.clone();
        let events = client.events(Some(options)).filter_map(move |event| {
            let event = match event {
                Ok(event) => observe::event_task(event).map(Ok),
                Err(error) => Some(Err(error::translate(error, &socket))),
            };
            std::future::ready(event)
        });
        Ok(events.boxed())
    }
}

impl Runtime for DockerRuntime {
    fn ping(&self) -> BoxFuture<'_, Result<()>> {
        self.call(PING_TIMEOUT, |client| async move {
            client.ping().await.map(drop)
        })
        .boxed()
    }

    fn describe(&self) -> BoxFuture<'_, Result<NodeDescription>> {
        async {
            let info = self
                .call(CALL_TIMEOUT, |client| async move { client.info().await })
                .await?;
            Ok(NodeDescription {
                subnets: routes::linked(),
                ..observe::description(info)
            })
        }
        .boxed()
    }

    fn devices(&self) -> BoxFuture<'_, BTreeSet<String>> {
        devices::look().boxed()
    }

    fn instance(&self) -> BoxFuture<'_, Option<String>> {
        instance::of_engine(&self.config.socket).boxed()
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<Listed>>> {
        self.list_containers().boxed()
    }

    fn create<'a>(
        &'a self,
        assignment: &'a Assignment,
        files: &'a [FileMount],
    ) -> BoxFuture<'a, Result<String>> {
        self.create_container(assignment, files).boxed()
    }

    fn pull<'a>(&'a self, task: &'a TaskSpec) -> BoxFuture<'a, Result<()>> {
        let wanted = pull::Wanted {
            image: task.container.image.clone(),
            platform: task.container.run.platform.clone(),
            auth: task.registry_auth.clone(),
        };
        async move {
            let socket = self.config.socket.clone();
            self.pulls.pull(&wanted, socket).await
        }
        .boxed()
    }

    fn start<'a>(
        &'a self,
        container: &'a str,
        networks: &'a [AssignedNetwork],
    ) -> BoxFuture<'a, Result<()>> {
        self.start_on(container, networks).boxed()
    }

    fn settle_networks<'a>(&'a self, wanted: &'a Networks) -> BoxFuture<'a, Result<()>> {
        self.settle(wanted).boxed()
    }

    fn stop<'a>(
        &'a self,
        container: &'a str,
        grace: Option<Duration>,
    ) -> BoxFuture<'a, Result<()>> {
        let limit = grace.unwrap_or(LONGEST_GRACE).min(LONGEST_GRACE) + CALL_TIMEOUT;
        let options = grace.map(|grace| StopContainerOptions {
            t: Some(create::whole_seconds(grace)),
            ..Default::default()
        });
        self.call(limit, move |client| async move {
            client
                .with_timeout(limit)
                .stop_container(container, options)
                .await
        })
        .boxed()
    }

    fn remove<'a>(&'a self, container: &'a str) -> BoxFuture<'a, Result<()>> {
        let options = RemoveContainerOptions {
            v: true,
            force: true,
            link: false,
        };
        async move {
            let removed = self
                .heavy_call(|client| async move {
                    client.remove_container(container, Some(options)).await
                })
                .await;
            match removed {
                Err(RuntimeError::ContainerMissing(_)) => Ok(()),
                other => other,
            }
        }
        .boxed()
    }

    fn inspect<'a>(&'a self, container: &'a str) -> BoxFuture<'a, Result<Option<Container>>> {
        self.inspect_container(container).boxed()
    }

    fn events(&self) -> BoxStream<'static, Result<Id>> {
        self.event_stream()
            .unwrap_or_else(|error| futures::stream::once(std::future::ready(Err(error))).boxed())
    }

    fn called<'a>(
        &'a self,
        network: &'a str,
        endpoint: &'a str,
    ) -> BoxFuture<'a, Result<Option<Called>>> {
        self.called_on(network, endpoint).boxed()
    }

    fn renames(&self) -> BoxStream<'static, Result<String>> {
        self.rename_stream()
            .unwrap_or_else(|error| futures::stream::once(std::future::ready(Err(error))).boxed())
    }

    fn logs<'a>(
        &'a self,
        container: &'a str,
        options: &'a LogOptions,
    ) -> BoxFuture<'a, Result<BoxStream<'static, Result<LogFrame>>>> {
        async move {
            let found = self.inspection(container).await?;
            let tty = found.config.and_then(|config| config.tty).unwrap_or(false);
            logs::read(&self.config.socket, container, tty, options).await
        }
        .boxed()
    }
}
