//! Networks: as users ask for them, and as they are shown.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use services::object::{self, TaskAddress};
use services::spec::{self, OwnNetwork};
use services::{Id, State};

use super::{container, said, service};
use crate::api::backend::View;
use crate::api::dto::{
    self, Driver, IP_LABEL, Ipam, IpamConfig, IpamOptions, Labels, NetworkAttachment,
    NetworkAttachmentConfig, NetworkCreateRequest, NetworkResource, ServiceInfo, SubnetConfig,
    TaskEndpoint, Time, Version,
};
use crate::api::error::ApiError;

/// Docker's driver for networks of the whole swarm; ours goes by its name.
pub const OVERLAY: &str = "overlay";
/// The same by our name; of the local networks behind it, what their driver's
/// name begins with.
pub const SWARMLET: &str = "swarmlet";
const DEFAULT_IPAM: &str = "default";

/// # Errors
/// 400 for what cannot be meant, 501 for what is not in this version.
pub fn network_spec(dto: NetworkCreateRequest) -> Result<spec::NetworkSpec, ApiError> {
    let driver = match dto.driver.as_str() {
        "" => None,
        OVERLAY | SWARMLET => Some(spec::Driver {
            name: dto.driver,
            options: dto.options,
        }),
        _ if dto.ingress => {
            return Err(ApiError::invalid_argument(
                "only overlay driver is currently supported for routing mesh",
            ));
        }
        other => {
            return Err(ApiError::unimplemented(format!(
                "networks of driver {other} are each node's own; create them on the nodes, \
                 without scope swarm"
            )));
        }
    };
    if dto.config_only || dto.config_from.is_some_and(|from| !from.network.is_empty()) {
        return Err(ApiError::unimplemented(
            "networks of the swarm have their configuration themselves; say it with --subnet and \
             the other flags",
        ));
    }
    if dto.enable_ipv4 == Some(false) {
        return Err(ApiError::unimplemented(
            "networks without IPv4 are not in this version; let it have both",
        ));
    }
    Ok(spec::NetworkSpec {
        name: dto.name,
        labels: dto.labels,
        driver,
        internal: dto.internal,
        attachable: dto.attachable,
        ingress: dto.ingress,
        ipv6: dto.enable_ipv6,
        ipam: dto.ipam.map(ipam_spec).transpose()?.unwrap_or_default(),
    })
}

fn ipam_spec(dto: Ipam) -> Result<spec::IpamSpec, ApiError> {
    let driver = match dto.driver.as_str() {
        "" => None,
        DEFAULT_IPAM => Some(spec::Driver {
            name: dto.driver,
            options: dto.options.unwrap_or_default(),
        }),
        other => {
            return Err(ApiError::unimplemented(format!(
                "the IPAM driver {other} is not in this version; the swarm gives addresses itself"
            )));
        }
    };
    let configs = dto.config.unwrap_or_default().into_iter();
    Ok(spec::IpamSpec {
        driver,
        configs: configs.map(ipam_config).collect::<Result<_, _>>()?,
    })
}

fn ipam_config(dto: IpamConfig) -> Result<spec::IpamConfig, ApiError> {
    Ok(spec::IpamConfig {
        subnet: net("subnet", dto.subnet)?,
        ip_range: net("range", dto.ip_range)?,
        gateway: said(dto.gateway)
            .map(|it| addr("gateway", &it))
            .transpose()?,
        aux: dto
            .auxiliary_addresses
            .into_iter()
            .map(|(name, text)| Ok((name, addr("auxiliary address", &text)?)))
            .collect::<Result<_, ApiError>>()?,
    })
}

fn net(what: &str, text: String) -> Result<Option<IpNet>, ApiError> {
    let read = |text: String| match text.parse::<IpNet>() {
        Ok(net) => Ok(net.trunc()),
        Err(_) => Err(invalid_ipam(what, &text)),
    };
    said(text).map(read).transpose()
}

fn addr(what: &str, text: &str) -> Result<IpAddr, ApiError> {
    text.parse().map_err(|_| invalid_ipam(what, text))
}

fn invalid_ipam(what: &str, text: &str) -> ApiError {
    ApiError::invalid_argument(format!("ipam configuration: invalid {what} {text}"))
}

/// Shows a network; in verbose form with the services on it.
pub fn network(network: &object::Network, view: View<'_>, verbose: bool) -> NetworkResource {
    let spec = &network.spec;
    let driver = driver(spec);
    NetworkResource {
        name: spec.name.clone(),
        id: network.id.to_string(),
        created: Time(network.meta.created),
        scope: "swarm".into(),
        driver: driver.name,
        enable_ipv6: spec.ipv6,
        ipam: Ipam {
            driver: DEFAULT_IPAM.into(),
            options: spec.ipam.driver.as_ref().map(|it| it.options.clone()),
            config: Some(network.subnets.iter().map(|it| subnet(it, spec)).collect()),
        },
        internal: spec.internal,
        attachable: spec.attachable,
        ingress: spec.ingress,
        options: Some(driver.options),
        labels: Some(spec.labels.clone()),
        services: verbose.then(|| services_on(network.id, view)),
        ..NetworkResource::default()
    }
}

/// The name of the driver that carries the network.
pub fn driver_of(spec: &spec::NetworkSpec) -> &str {
    spec.driver.as_ref().map_or(OVERLAY, |driver| &driver.name)
}

/// The one that carries the network, with what the user said of it.
fn driver(spec: &spec::NetworkSpec) -> Driver {
    let said = spec.driver.as_ref().map(container::show_driver);
    said.unwrap_or_else(|| Driver {
        name: OVERLAY.into(),
        options: Labels::new(),
    })
}

fn subnet(subnet: &object::Subnet, spec: &spec::NetworkSpec) -> IpamConfig {
    let reserved = spec.ipam.configs.iter().flat_map(|config| &config.aux);
    IpamConfig {
        subnet: subnet.net.to_string(),
        ip_range: subnet.range.map(|it| it.to_string()).unwrap_or_default(),
        gateway: subnet.gateway.to_string(),
        auxiliary_addresses: reserved
            .filter(|(_, addr)| subnet.net.contains(*addr))
            .map(|(name, addr)| (name.clone(), addr.to_string()))
            .collect(),
    }
}

fn services_on(network: Id, view: View<'_>) -> BTreeMap<String, ServiceInfo> {
    let mut services = BTreeMap::<String, ServiceInfo>::new();
    let tasks = view.state.tasks().filter(|task| {
        let status = State::effective(task, view.observed);
        !status.state.is_final() && task.addresses.iter().any(|it| it.network == network)
    });
    for task in tasks {
        let Some(service) = view.state.service(task.service) else {
            continue;
        };
        let shown = services
            .entry(service.spec.name.clone())
            .or_insert_with(|| service_info(service, network));
        shown.tasks.push(task_endpoint(task, network, view));
    }
    services
}

fn service_info(service: &object::Service, network: Id) -> ServiceInfo {
    let endpoint = &service.endpoint;
    let vip = endpoint.vips.iter().find(|vip| vip.network == network);
    let port =
        |port: &spec::PortSpec| format!("Target: {}, Publish: {}", port.target, port.published);
    ServiceInfo {
        vip: vip.map_or("<nil>".into(), |vip| vip.addr.addr().to_string()),
        ports: endpoint.ports.iter().map(port).collect(),
        ..ServiceInfo::default()
    }
}

fn task_endpoint(task: &object::Task, network: Id, view: View<'_>) -> TaskEndpoint {
    let on = task.addresses.iter().find(|it| it.network == network);
    let addr = on.and_then(|it| it.addrs.first());
    let node = task.node.and_then(|node| view.state.node(node));
    let host = node.map(|node| ("Host IP".into(), node.addr.ip().to_string()));
    TaskEndpoint {
        name: task.container_name(),
        endpoint_id: String::new(),
        endpoint_ip: addr.map(|it| it.addr().to_string()).unwrap_or_default(),
        info: host.into_iter().collect(),
    }
}

/// A network that is gone is left out.
pub(super) fn show_attachment(address: &TaskAddress, state: &State) -> Option<NetworkAttachment> {
    let network = state.network(address.network)?;
    let spec = &network.spec;
    Some(NetworkAttachment {
        network: dto::Network {
            id: network.id.to_string(),
            version: Version {
                index: network.meta.version,
            },
            created_at: Time(network.meta.created),
            updated_at: Time(network.meta.updated),
            spec: dto::NetworkSpec {
                name: spec.name.clone(),
                labels: spec.labels.clone(),
                driver_configuration: Some(
                    spec.driver
                        .as_ref()
                        .map(container::show_driver)
                        .unwrap_or_default(),
                ),
                ipv6_enabled: spec.ipv6,
                internal: spec.internal,
                attachable: spec.attachable,
                ingress: spec.ingress,
                ipam_options: None,
                scope: "swarm".into(),
            },
            driver_state: driver(spec),
            ipam_options: Some(ipam_options(network)),
        },
        addresses: address.addrs.iter().map(IpNet::to_string).collect(),
    })
}

fn ipam_options(network: &object::Network) -> IpamOptions {
    IpamOptions {
        driver: Driver {
            name: DEFAULT_IPAM.into(),
            options: Labels::new(),
        },
        configs: network
            .subnets
            .iter()
            .map(|subnet| SubnetConfig {
                subnet: subnet.net.to_string(),
                range: subnet.range.map(|it| it.to_string()).unwrap_or_default(),
                gateway: subnet.gateway.to_string(),
            })
            .collect(),
    }
}

/// A node's own network, as far as the swarm has it: Docker shows as little.
pub fn own_network(network: OwnNetwork, view: View<'_>) -> NetworkResource {
    let cluster = view.state.cluster();
    NetworkResource {
        name: network.as_str().into(),
        id: network.id().to_string(),
        created: Time(cluster.map(|it| it.meta.created).unwrap_or_default()),
        scope: "swarm".into(),
        driver: network.driver().into(),
        ipam: Ipam {
            config: Some(Vec::new()),
            ..Ipam::default()
        },
        labels: Some(predefined()),
        ..NetworkResource::default()
    }
}

pub(super) fn show_own_attachment(network: OwnNetwork, state: &State) -> NetworkAttachment {
    let made = state.cluster().map(|it| it.meta.created);
    let driver = || Driver {
        name: network.driver().into(),
        options: Labels::new(),
    };
    NetworkAttachment {
        network: dto::Network {
            id: network.id().to_string(),
            created_at: Time(made.unwrap_or_default()),
            updated_at: Time(made.unwrap_or_default()),
            spec: dto::NetworkSpec {
                name: network.as_str().into(),
                labels: predefined(),
                driver_configuration: Some(driver()),
                scope: "swarm".into(),
                ..dto::NetworkSpec::default()
            },
            driver_state: driver(),
            ipam_options: Some(IpamOptions::default()),
            ..dto::Network::default()
        },
        addresses: Vec::new(),
    }
}

/// Docker's mark.
fn predefined() -> Labels {
    Labels::from([("com.docker.swarm.predefined".into(), "true".into())])
}

/// Takes the node's own network out of what a service is on.
///
/// # Errors
/// 400 where there are several: a container is on one at most.
pub(super) fn take_own(
    networks: &mut Vec<spec::NetworkAttachment>,
) -> Result<Option<OwnNetwork>, ApiError> {
    let mut own = None;
    for network in networks
        .iter()
        .filter_map(|it| OwnNetwork::with_id(it.target))
    {
        if let Some(other) = own.replace(network) {
            return Err(ApiError::invalid_argument(format!(
                "TaskSpec: a task cannot be on networks {:?} and {:?} of its node at once",
                other.as_str(),
                network.as_str()
            )));
        }
    }
    networks.retain(|it| OwnNetwork::with_id(it.target).is_none());
    Ok(own)
}

pub(super) fn show_own_target(network: OwnNetwork) -> NetworkAttachmentConfig {
    NetworkAttachmentConfig {
        target: network.id().to_string(),
        ..NetworkAttachmentConfig::default()
    }
}

pub(super) fn attachment(
    dto: NetworkAttachmentConfig,
    find: service::FindNetwork<'_>,
) -> Result<spec::NetworkAttachment, ApiError> {
    Ok(spec::NetworkAttachment {
        target: find(&dto.target)?,
        aliases: dto.aliases,
        driver_opts: dto.driver_opts,
        addresses: Vec::new(),
    })
}

pub(super) fn show_target(attachment: &spec::NetworkAttachment) -> NetworkAttachmentConfig {
    NetworkAttachmentConfig {
        target: attachment.target.to_string(),
        aliases: attachment.aliases.clone(),
        driver_opts: attachment.driver_opts.clone(),
    }
}

/// The addresses that labels name for the task of a service on `networks`.
pub(super) fn name_addresses(
    labels: &Labels,
    networks: &mut [spec::NetworkAttachment],
    find: service::FindNetwork<'_>,
) -> Result<(), ApiError> {
    let mut named = addresses(IP_LABEL, labels, networks, find)?;
    for network in networks {
        network.addresses = named.remove(&network.target).unwrap_or_default();
    }
    Ok(())
}

/// The addresses that labels with this beginning name on `networks`.
pub(super) fn addresses(
    of: &str,
    labels: &Labels,
    networks: &[spec::NetworkAttachment],
    find: service::FindNetwork<'_>,
) -> Result<BTreeMap<Id, Vec<IpAddr>>, ApiError> {
    let on: BTreeSet<Id> = networks.iter().map(|network| network.target).collect();
    let mut named = BTreeMap::new();
    for (label, value) in labels {
        let Some(name) = label.strip_prefix(of) else {
            continue;
        };
        let id = find(name)
            .ok()
            .filter(|id| on.contains(id))
            .ok_or_else(|| {
                ApiError::invalid_argument(format!(
                    "label {label} is for a network that the service is not on; remove it"
                ))
            })?;
        let addrs = value.split(',').map(|text| text.trim().parse());
        let addrs: Vec<IpAddr> = addrs.collect::<Result<_, _>>().map_err(|_| {
            ApiError::invalid_argument(format!("label {label} is no IP address: {value:?}"))
        })?;
        named.insert(id, addrs);
    }
    Ok(named)
}
