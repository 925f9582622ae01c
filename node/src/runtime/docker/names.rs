//! How a container that is no task's is called on a network.

use std::collections::HashMap;

use bollard::models::{ContainerInspectResponse, ContainerSummary, EndpointSettings};
use bollard::query_parameters::{InspectContainerOptions, ListContainersOptions};

use super::{CALL_TIMEOUT, DockerRuntime};
use crate::runtime::Result;

impl DockerRuntime {
    /// See [`crate::runtime::Runtime::names`].
    pub(super) async fn names_on(
        &self,
        network: &str,
        endpoint: &str,
    ) -> Result<Option<Vec<String>>> {
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
        Ok(names_of(inspected, endpoint))
    }
}

/// The container's, if it has this endpoint.
fn id_of(summary: ContainerSummary, endpoint: &str) -> Option<String> {
    let networks = summary.network_settings?.networks?;
    networks.into_values().find(|it| is_it(it, endpoint))?;
    summary.id
}

/// Its own name first, then its aliases there. The engine itself adds the
/// beginning of its id.
fn names_of(container: ContainerInspectResponse, endpoint: &str) -> Option<Vec<String>> {
    let networks = container.network_settings?.networks?;
    let found = networks.into_values().find(|it| is_it(it, endpoint))?;
    let own = container.name.unwrap_or_default();
    let own = own.trim_start_matches('/').to_owned();
    let aliases = found.aliases.into_iter().chain(found.dns_names).flatten();
    Some([own].into_iter().chain(aliases).collect())
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
        let names = names_of(found.clone(), "w").unwrap();
        assert_eq!(names, ["probe", "alias", "0123456789ab"]);
        assert_eq!(names_of(found, "x"), None);
        let plain = container(&json!({"web": {"EndpointID": "w", "Aliases": null}}));
        let found: ContainerInspectResponse = serde_json::from_value(plain).unwrap();
        assert_eq!(names_of(found, "w").unwrap(), ["probe"]);
    }
}
