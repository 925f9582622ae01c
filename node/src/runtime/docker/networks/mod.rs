//! The engine's networks of this node's driver: made on demand, adopted where
//! they are, removed when nobody wants them; and containers put on them.
//!
//! What is to be done is decided in [`plan`], from what the engine tells just
//! then: it may have been restarted, or its users may have been at work.

mod plan;

use std::collections::HashMap;

use bollard::models::{ContainerInspectResponse, NetworkConnectRequest, NetworkDisconnectRequest};
use bollard::query_parameters::{
    InspectNetworkOptions, ListContainersOptions, ListNetworksOptions,
};
use services::assignment::AssignedNetwork;

use super::{CALL_TIMEOUT, DockerRuntime, error};
use crate::runtime::{NetworkPlan, Networks, Result, RuntimeError};
pub(super) use plan::Connection;
use plan::{Choice, Found, Mend};

impl DockerRuntime {
    /// How a container is put on these networks, which are there then.
    pub(super) async fn connections(
        &self,
        assigned: &[AssignedNetwork],
    ) -> Result<Vec<Connection>> {
        if assigned.is_empty() {
            return Ok(Vec::new());
        }
        let _alone = self.networks.lock().await;
        let mut found = self.found_networks().await?;
        let mut connections = Vec::with_capacity(assigned.len());
        for network in assigned {
            let (id, name) = self.ensure(&network.into(), &mut found).await?;
            connections.push(Connection::new(id, name, network));
        }
        Ok(connections)
    }

    /// Starts a container after it was put on its networks.
    pub(super) async fn start_on(
        &self,
        container: &str,
        networks: &[AssignedNetwork],
    ) -> Result<()> {
        let wanted = self.connections(networks).await?;
        self.mend(container, &wanted).await?;
        match self.start_container(container).await {
            Err(RuntimeError::Unconnected(text)) if error::is_stale(&text) => {
                tracing::info!(%container, %text, "clearing what is left of others");
            }
            done => return done,
        }
        self.clear(&wanted).await?;
        let wanted = self.connections(networks).await?;
        self.mend(container, &wanted).await?;
        self.start_container(container).await
    }

    /// See [`Runtime::settle_networks`](crate::runtime::Runtime::settle_networks).
    pub(super) async fn settle(&self, wanted: &Networks) -> Result<()> {
        let _alone = self.networks.lock().await;
        let mut found = self.found_networks().await?;
        let mut done = Ok(());
        let unwanted = plan::unwanted(wanted, &found);
        for network in &unwanted {
            let removed = self.remove_unused(network, wanted.evict).await;
            done = done.and(removed);
        }
        if !unwanted.is_empty() {
            found = self.found_networks().await?;
        }
        for plan in wanted.make.values() {
            let made = self.ensure(plan, &mut found).await.map(drop);
            done = done.and(made);
        }
        done
    }

    async fn found_networks(&self) -> Result<Vec<Found>> {
        let networks = self
            .call(CALL_TIMEOUT, |client| async move {
                client.list_networks(None::<ListNetworksOptions>).await
            })
            .await?;
        let plugin = &self.config.names.plugin;
        let networks = networks.into_iter();
        Ok(networks.filter_map(|it| Found::read(it, plugin)).collect())
    }

    /// The engine's id and name of the network, which is there then.
    async fn ensure(&self, plan: &NetworkPlan, found: &mut Vec<Found>) -> Result<(String, String)> {
        let plugin = &self.config.names.plugin;
        let (name, stale) = match plan::choose(plan, found, plugin) {
            Choice::Adopt(found) => return Ok((found.id.clone(), found.name.clone())),
            Choice::Make { name, stale } => (name, stale),
        };
        for network in stale {
            tracing::info!(network = %network.name, "the engine's network is out of date");
            self.remove_unused(network, false).await?;
        }
        let request = plan::create_request(plan, name.clone(), plugin);
        let created = self
            .heavy_call(|client| async move { client.create_network(request).await })
            .await
            .map_err(|error| in_network(&plan.name, error))?;
        *found = self.found_networks().await?;
        Ok((created.id, name))
    }

    /// Puts a container that does not run on these networks and off all others.
    async fn mend(&self, container: &str, wanted: &[Connection]) -> Result<()> {
        if wanted.is_empty() {
            return Ok(());
        }
        let found = self.inspection(container).await?;
        if runs(&found) {
            return Ok(());
        }
        let settings = found.network_settings.unwrap_or_default();
        let has = settings.networks.unwrap_or_default();
        for mend in plan::mending(wanted, &has) {
            match mend {
                Mend::Disconnect(network) => self.disconnect(network, container).await?,
                Mend::Connect(connection) => {
                    let request = NetworkConnectRequest {
                        container: container.to_owned(),
                        endpoint_config: Some(connection.endpoint.clone()),
                    };
                    let network = &connection.id;
                    self.heavy_call(|client| async move {
                        client.connect_network(network, request).await
                    })
                    .await
                    .map_err(|error| in_network(&connection.name, error))?;
                }
            }
        }
        Ok(())
    }

    /// Takes the endpoints of what does not run off these networks, and removes
    /// those on which nothing runs: the next who needs one makes it anew.
    async fn clear(&self, networks: &[Connection]) -> Result<()> {
        let _alone = self.networks.lock().await;
        for network in networks {
            let mut in_use = false;
            for endpoint in self.endpoints_of(&network.id).await? {
                match self.inspection(&endpoint).await {
                    Ok(found) if runs(&found) => in_use = true,
                    Ok(_) | Err(RuntimeError::ContainerMissing(_)) => {
                        self.disconnect(&network.id, &endpoint).await?;
                    }
                    Err(error) => return Err(error),
                }
            }
            if !in_use {
                self.remove_network(&network.id).await?;
            }
        }
        Ok(())
    }

    async fn disconnect(&self, network: &str, container: &str) -> Result<()> {
        let request = NetworkDisconnectRequest {
            container: container.to_owned(),
            force: Some(true),
        };
        self.heavy_call(|client| async move { client.disconnect_network(network, request).await })
            .await
    }

    /// Removes the network if no container is on it, running or not; with
    /// `evict`, in any case.
    async fn remove_unused(&self, network: &Found, evict: bool) -> Result<()> {
        let users = self.containers_on(network).await?;
        if !users.is_empty() && !evict {
            return Ok(());
        }
        for container in &users {
            self.disconnect(&network.id, container).await?;
        }
        match self.remove_network(&network.id).await {
            Err(RuntimeError::Refused(_)) => {}
            done => return done,
        }
        // Endpoints of containers that are no more, left by an engine that was
        // killed.
        for name in self.endpoints_of(&network.id).await? {
            self.disconnect(&network.id, &name).await?;
        }
        self.remove_network(&network.id).await
    }

    async fn containers_on(&self, network: &Found) -> Result<Vec<String>> {
        let network = vec![network.id.clone(), network.name.clone()];
        let options = ListContainersOptions {
            all: true,
            filters: Some(HashMap::from([("network".to_owned(), network)])),
            ..Default::default()
        };
        let found = self
            .call(CALL_TIMEOUT, |client| async move {
                client.list_containers(Some(options)).await
            })
            .await?;
        Ok(found.into_iter().filter_map(|it| it.id).collect())
    }

    /// The names of containers that the engine holds for connected.
    async fn endpoints_of(&self, network: &str) -> Result<Vec<String>> {
        let found = self
            .call(CALL_TIMEOUT, |client| async move {
                client
                    .inspect_network(network, None::<InspectNetworkOptions>)
                    .await
            })
            .await?;
        let endpoints = found.containers.unwrap_or_default().into_values();
        Ok(endpoints.filter_map(|it| it.name).collect())
    }

    async fn remove_network(&self, id: &str) -> Result<()> {
        let removed = self
            .heavy_call(|client| async move { client.remove_network(id).await })
            .await;
        match removed {
            Err(RuntimeError::NetworkMissing(_)) => Ok(()),
            other => other,
        }
    }
}

fn runs(container: &ContainerInspectResponse) -> bool {
    let state = container.state.as_ref();
    state.and_then(|state| state.running) == Some(true)
}

/// Says which network a refusal is about.
fn in_network(network: &str, error: RuntimeError) -> RuntimeError {
    match error {
        RuntimeError::Refused(text) => RuntimeError::Refused(format!("network {network}: {text}")),
        other => other,
    }
}
