//! How a container that is no task's is called on a network, and whom it asks.

use std::collections::HashMap;

use bollard::models::{ContainerInspectResponse, ContainerSummary, EndpointSettings};
use bollard::query_parameters::{EventsOptions, InspectContainerOptions, ListContainersOptions};
use futures::StreamExt;
use futures::stream::BoxStream;
use overlay::dns::resolv::Wanted;

use super::{CALL_TIMEOUT, DockerRuntime, error};
use crate::runtime::{Called, Result};

impl DockerRuntime {
    /// See [`crate::runtime::Runtime::called`].
    pub(super) async fn called_on(&self, network: &str, endpoint: &str) -> Result<Option<Called>> {
        let filters = HashMap::from([("network".to_owned(), vec![network.to_owned()])]);
        let options = ListContainersOptions {
            filters: Some(filters),
            ..Default::default()
        };
        let there = self
            .call(CALL_TIMEOUT, |client| async move {
                client.list_containers(Some(options)).await
            })
            .await?;
        let Some(container) = there.into_iter().find_map(|it| id_of(it, endpoint)) else {
            return Ok(None);
        };
        let inspected = self
            .call(CALL_TIMEOUT, |client| async move {
                let options = None::<InspectContainerOptions>;
                client.inspect_container(&container, options).await
            })
            .await?;
        Ok(called(inspected, endpoint))
    }

    /// See [`crate::runtime::Runtime::renames`].
    pub(super) fn rename_stream(&self) -> Result<BoxStream<'static, Result<String>>> {
        let filter = |key: &str, value: &str| (key.to_owned(), vec![value.to_owned()]);
        let filters = [filter("type", "container"), filter("event", "rename")];
        let options = EventsOptions {
            filters: Some(filters.into()),
            ..Default::default()
        };
        let socket = self.config.socket.clone();
        let events = self.client()?.events(Some(options));
        let renames = events.filter_map(move |event| {
            let renamed = match event {
                Ok(event) => event.actor.and_then(|actor| actor.id).map(Ok),
                Err(error) => Some(Err(error::translate(error, &socket))),
            };
            std::future::ready(renamed)
        });
        Ok(renames.boxed())
    }
}

/// The container's, if it has this endpoint.
fn id_of(summary: ContainerSummary, endpoint: &str) -> Option<String> {
    let networks = summary.network_settings?.networks?;
    networks.into_values().find(|it| is_it(it, endpoint))?;
    summary.id
}

/// The engine itself adds the beginning of its id to its aliases.
fn called(container: ContainerInspectResponse, endpoint: &str) -> Option<Called> {
    let networks = container.network_settings?.networks?;
    let found = networks.into_values().find(|it| is_it(it, endpoint))?;
    let own = container.name.unwrap_or_default();
    let own = own.trim_start_matches('/').to_owned();
    let aliases = found.aliases.into_iter().chain(found.dns_names).flatten();
    let host = container.host_config.unwrap_or_default();
    let servers = host.dns.unwrap_or_default();
    Some(Called {
        container: container.id.unwrap_or_default(),
        names: [own].into_iter().chain(aliases).collect(),
        resolv: Wanted {
            servers: servers.iter().flat_map(|it| it.parse()).collect(),
            search: host.dns_search.unwrap_or_default(),
            options: host.dns_options.unwrap_or_default(),
        },
    })
}

fn is_it(settings: &EndpointSettings, endpoint: &str) -> bool {
    settings.endpoint_id.as_deref() == Some(endpoint)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn container(networks: &Value) -> Value {
        json!({"Id": "c1", "Name": "/probe", "NetworkSettings": {"Networks": networks}})
    }

    #[test]
    fn a_container_is_found_by_its_place_on_the_network() {
        let networks = json!({"bridge": {"EndpointID": "b"}, "web": {"EndpointID": "w"}});
        let summary: ContainerSummary = serde_json::from_value(container(&networks)).unwrap();
        assert_eq!(id_of(summary.clone(), "w"), Some("c1".to_owned()));
        assert_eq!(id_of(summary, "x"), None);
    }

    #[test]
    fn its_names_are_its_own_and_its_aliases_there() {
        let networks = json!({
            "bridge": {"EndpointID": "b", "Aliases": ["elsewhere"]},
            "web": {"EndpointID": "w", "Aliases": ["alias", "0123456789ab"]},
        });
        let found: ContainerInspectResponse = serde_json::from_value(container(&networks)).unwrap();
        let there = called(found.clone(), "w").unwrap();
        assert_eq!(there.names, ["probe", "alias", "0123456789ab"]);
        assert_eq!(there.container, "c1");
        assert_eq!(there.resolv, Wanted::default());
        assert_eq!(called(found, "x"), None);
        let mut plain = container(&json!({"web": {"EndpointID": "w", "Aliases": null}}));
        plain["HostConfig"] = json!({"Dns": ["192.0.2.53"], "DnsSearch": null});
        let found: ContainerInspectResponse = serde_json::from_value(plain).unwrap();
        let there = called(found, "w").unwrap();
        assert_eq!(there.names, ["probe"]);
        let server: std::net::IpAddr = "192.0.2.53".parse().unwrap();
        assert_eq!(there.resolv.servers, [server]);
    }
}
