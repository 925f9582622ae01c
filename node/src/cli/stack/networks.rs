//! The networks of a stack: made where they are missing, and never changed.

use super::Wanted;
use super::canonical::{self, Ids};
use super::diff::{self, Field};
use super::plan::{Found, NetworkStep};
use crate::api::dto::{IpamConfig, NetworkCreateRequest, NetworkResource};

/// Others are on every node, and Docker looks them up nowhere.
pub fn is_user_defined(network: &str) -> bool {
    !matches!(network, "host" | "none" | "bridge" | "default" | "")
}

pub fn network_steps(
    wanted: &Wanted,
    found: &Found,
    ids: &mut Ids,
    problems: &mut Vec<String>,
) -> Vec<NetworkStep> {
    let find = |name: &str| {
        let mut networks = found.networks.iter();
        networks.find(|it| it.scope == "swarm" && (it.name == name || it.id == name))
    };
    for name in &wanted.external_networks {
        match find(name) {
            Some(network) => ids.add_network(name, Some(&network.id)),
            None if !is_user_defined(name) => {}
            None => {
                problems.push(not_external(name, found));
                // Each service on it would say the same.
                ids.add_network(name, None);
            }
        }
    }
    let mut steps = Vec::new();
    for request in &wanted.networks {
        let known = find(&request.name);
        if let Some(known) = known
            && !known.labels.as_ref().is_some_and(|it| wanted.stack.has(it))
        {
            problems.push(format!(
                "network with name {} already exists and is not of stack {}; say external: true, \
                 or another name",
                request.name, wanted.stack.0
            ));
        }
        if known.is_none() {
            problems.extend(canonical::check_network(request).err());
        }
        ids.add_network(&request.name, known.map(|it| it.id.as_str()));
        steps.push(NetworkStep {
            request: request.clone(),
            exists: known.is_some(),
            differs: known.map_or_else(Vec::new, |known| network_fields(known, request)),
        });
    }
    steps
}

/// In Docker's words.
fn not_external(name: &str, found: &Found) -> String {
    match found.networks.iter().find(|it| it.name == name) {
        Some(other) => format!(
            "network {name:?} is declared as external, but it is not in the right scope: {:?} \
             instead of \"swarm\"",
            other.scope
        ),
        None => format!(
            "network {name:?} is declared as external, but could not be found. You need to create \
             a swarm-scoped network before the stack is deployed"
        ),
    }
}

/// What is said of addresses is compared only where it is said.
fn network_fields(known: &NetworkResource, wanted: &NetworkCreateRequest) -> Vec<Field> {
    let subnets = |configs: &[IpamConfig]| -> Vec<String> {
        configs.iter().map(|config| config.subnet.clone()).collect()
    };
    let known_ipam = known.ipam.config.as_deref().unwrap_or_default();
    let wanted_ipam = wanted.ipam.as_ref().and_then(|ipam| ipam.config.as_deref());
    let said = wanted_ipam.map_or_else(Vec::new, subnets);
    let known_subnets = match said.is_empty() {
        true => Vec::new(),
        false => subnets(known_ipam),
    };
    let view = |driver: &str, options, labels, flags: [bool; 3], subnets: Vec<String>| {
        let [internal, attachable, ipv6] = flags;
        serde_json::json!({
            "Driver": driver, "Options": options, "Labels": labels, "Internal": internal,
            "Attachable": attachable, "EnableIPv6": ipv6, "Subnets": subnets,
        })
    };
    let old = view(
        &known.driver,
        known.options.clone().unwrap_or_default(),
        known.labels.clone().unwrap_or_default(),
        [known.internal, known.attachable, known.enable_ipv6],
        known_subnets,
    );
    let new = view(
        &wanted.driver,
        wanted.options.clone(),
        wanted.labels.clone(),
        [wanted.internal, wanted.attachable, wanted.enable_ipv6],
        said,
    );
    diff::fields(&old, &new)
}
