//! Services and their specs.

use std::collections::BTreeSet;
use std::net::IpAddr;

use services::Id;
use services::object;
use services::spec::{self, EndpointMode, RestartCondition};

use super::{
    container, generic, mode, nanos, network, options, or_empty, placement, refuse_missing, said,
    task, update, word,
};
use crate::api::backend::View;
use crate::api::dto::{
    self, Endpoint, EndpointSpec, HOST_IP_LABEL, Labels, PortConfig, Time, VIP_LABEL, VirtualIp,
};
use crate::api::error::ApiError;

/// What a service's spec may ask in Docker and not here.
const MISSING_IN_TASK: &[(&str, &str)] = &[
    (
        "PluginSpec",
        "plugin services are not supported; run the plugin on each engine",
    ),
    (
        "NetworkAttachmentSpec",
        "network attachments are not in this version",
    ),
];

/// The id of a network that a user names by its id, name or an id's beginning.
pub type FindNetwork<'a> = &'a dyn Fn(&str) -> Result<Id, ApiError>;

/// Reads what a user asks for. The name may be empty.
///
/// # Errors
/// 400 for what cannot be meant, 501 for what is not in this version; what
/// `find` says of a network that is not there.
pub fn service_spec(
    mut dto: dto::ServiceSpec,
    find: FindNetwork<'_>,
) -> Result<spec::ServiceSpec, ApiError> {
    if dto.task_template.networks.is_empty() {
        dto.task_template.networks = std::mem::take(&mut dto.networks);
    }
    let mut labels = dto.labels;
    let mut task = task_spec(dto.task_template, find)?;
    task.container.run = options::run_options(&labels)?;
    network::name_addresses(&labels, &mut task.networks, find)?;
    let mut endpoint = dto
        .endpoint_spec
        .map(|endpoint| endpoint_spec(endpoint, &mut labels))
        .transpose()?;
    check_host_ip_labels(&labels, endpoint.as_ref())?;
    let addresses = network::addresses(VIP_LABEL, &labels, &task.networks, find)?;
    if !addresses.is_empty() {
        endpoint.get_or_insert_default().addresses = addresses;
    }
    Ok(spec::ServiceSpec {
        name: dto.name,
        labels,
        mode: mode::mode(dto.mode)?,
        task,
        update: dto
            .update_config
            .map(|config| update::config("update", config))
            .transpose()?,
        rollback: dto
            .rollback_config
            .map(|config| update::config("rollback", config))
            .transpose()?,
        endpoint,
    })
}

fn task_spec(dto: dto::TaskSpec, find: FindNetwork<'_>) -> Result<spec::TaskSpec, ApiError> {
    refuse_missing(&dto.extra, MISSING_IN_TASK)?;
    if !matches!(dto.runtime.as_str(), "" | "container") {
        return Err(ApiError::unimplemented(format!(
            "tasks of runtime {} are not supported; use containers",
            dto.runtime
        )));
    }
    let reserved = dto
        .resources
        .as_ref()
        .and_then(|it| it.reservations.as_ref());
    let reserved = reserved.map_or(&[][..], |it| &it.generic_resources);
    let attachments = dto.networks.into_iter();
    let attachments = attachments.map(|it| network::attachment(it, find));
    let mut networks: Vec<_> = attachments.collect::<Result<_, _>>()?;
    let own_network = network::take_own(&mut networks)?;
    Ok(spec::TaskSpec {
        generic: generic::wanted(reserved)?,
        container: container::container_spec(dto.container_spec.unwrap_or_default())?,
        resources: dto.resources.map(placement::resources).transpose()?,
        restart: dto.restart_policy.map(placement::restart).transpose()?,
        placement: dto.placement.map(placement::placement),
        log_driver: dto.log_driver.map(container::driver),
        networks,
        own_network,
        force_update: dto.force_update,
        registry_auth: None,
    })
}

/// What the ports say of host addresses is in `labels` afterwards, too.
fn endpoint_spec(dto: EndpointSpec, labels: &mut Labels) -> Result<spec::EndpointSpec, ApiError> {
    let mode = word(&dto.mode).ok_or_else(|| {
        let text = format!("invalid EndpointSpec: unknown mode {:?}", dto.mode);
        ApiError::bad_request(text)
    })?;
    let ports = dto.ports.into_iter().map(|dto| port(dto, labels));
    Ok(spec::EndpointSpec {
        mode: Some(mode),
        ports: ports.collect::<Result<_, _>>()?,
        ..spec::EndpointSpec::default()
    })
}

fn port(dto: PortConfig, labels: &mut Labels) -> Result<spec::PortSpec, ApiError> {
    let host_ip = host_ip(&dto, labels)?;
    let invalid = |what: &str, word: &str| {
        ApiError::bad_request(format!("invalid {what} {word:?} of a port"))
    };
    let protocol = word(&dto.protocol.to_ascii_lowercase());
    let protocol = protocol.ok_or_else(|| invalid("protocol", &dto.protocol))?;
    let mode = word(&dto.publish_mode);
    let mode = mode.ok_or_else(|| invalid("publish mode", &dto.publish_mode))?;
    let number = |number: u32| {
        u16::try_from(number).map_err(|_| {
            ApiError::invalid_argument(format!("invalid port {number}: must be at most 65535"))
        })
    };
    Ok(spec::PortSpec {
        name: said(dto.name),
        protocol,
        target: number(dto.target_port)?,
        published: number(dto.published_port)?,
        mode,
        host_ip,
    })
}

/// By its field or by the service's label, which is made to say the same.
fn host_ip(dto: &PortConfig, labels: &mut Labels) -> Result<Option<IpAddr>, ApiError> {
    let label = dto.host_ip_label();
    let Some(text) = said(dto.host_ip.clone()).or_else(|| labels.get(&label).cloned()) else {
        return Ok(None);
    };
    let ip: IpAddr = text.parse().map_err(|_| {
        ApiError::invalid_argument(format!(
            "invalid host IP {text:?} of published port {}",
            dto.published_port
        ))
    })?;
    if ip.is_unspecified() {
        labels.remove(&label);
        return Ok(None);
    }
    if dto.published_port == 0 {
        return Err(ApiError::invalid_argument(format!(
            "target port {} is published on {ip}: say on which port, too",
            dto.target_port
        )));
    }
    labels.insert(label, ip.to_string());
    Ok(Some(ip))
}

/// A label that is for no port would leave open what it was to restrict.
fn check_host_ip_labels(
    labels: &Labels,
    endpoint: Option<&spec::EndpointSpec>,
) -> Result<(), ApiError> {
    let ports = endpoint.map_or(&[][..], |endpoint| &endpoint.ports);
    let known: BTreeSet<String> = ports
        .iter()
        .map(|port| show_port(port).host_ip_label())
        .collect();
    let mut of_ports = labels.keys().filter(|key| key.starts_with(HOST_IP_LABEL));
    match of_ports.find(|key| !known.contains(*key)) {
        Some(key) => Err(ApiError::invalid_argument(format!(
            "label {key} is for a port that is not published; remove it"
        ))),
        None => Ok(()),
    }
}

/// Shows a service; `with_status` counts its tasks.
pub fn service(service: &object::Service, view: View<'_>, with_status: bool) -> dto::Service {
    dto::Service {
        id: service.id.to_string(),
        version: dto::Version {
            index: service.meta.version,
        },
        created_at: Time(service.meta.created),
        updated_at: Time(service.meta.updated),
        spec: show_service_spec(&service.spec),
        previous_spec: service.previous_spec.as_deref().map(show_service_spec),
        endpoint: endpoint(service),
        update_status: service.update.as_ref().map(update::status),
        service_status: with_status.then(|| mode::status(service, view)),
        job_status: service.job.map(mode::job_status),
    }
}

/// Ports are as they were asked for until they are given.
fn endpoint(service: &object::Service) -> Endpoint {
    let spec = service.spec.endpoint.as_ref().map(show_endpoint_spec);
    let spec = spec.unwrap_or_default();
    let given = &service.endpoint;
    let ports = match given.ports.as_slice() {
        [] => service.spec.ports(),
        ports => ports,
    };
    let vips = given.vips.iter().map(|vip| VirtualIp {
        network_id: vip.network.to_string(),
        addr: vip.addr.to_string(),
    });
    // Docker lists a network without an address, too.
    let has_vips = service.spec.endpoint_mode() == EndpointMode::Vip;
    let own = service.spec.task.own_network.filter(|_| has_vips);
    let own = own.into_iter().map(|network| VirtualIp {
        network_id: network.id().to_string(),
        addr: String::new(),
    });
    Endpoint {
        spec,
        ports: ports.iter().map(show_port).collect(),
        virtual_ips: own.chain(vips).collect(),
    }
}

/// As Docker shows it.
pub fn show_service_spec(spec: &spec::ServiceSpec) -> dto::ServiceSpec {
    let mut task_template = task::show_task_spec(&spec.task);
    "container".clone_into(&mut task_template.runtime);
    dto::ServiceSpec {
        name: spec.name.clone(),
        labels: spec.labels.clone(),
        task_template,
        mode: mode::show_mode(&spec.mode),
        update_config: spec.update.as_ref().map(update::show_config),
        rollback_config: spec.rollback.as_ref().map(update::show_config),
        endpoint_spec: spec.endpoint.as_ref().map(show_endpoint_spec),
        networks: Vec::new(),
        extra: dto::Extra::new(),
    }
}

/// Host addresses are in the labels: a client that sends back what it was shown
/// must not say them twice.
fn show_endpoint_spec(spec: &spec::EndpointSpec) -> EndpointSpec {
    let port = |port: &spec::PortSpec| PortConfig {
        host_ip: String::new(),
        ..show_port(port)
    };
    EndpointSpec {
        mode: spec.mode.unwrap_or_default().as_str().into(),
        ports: spec.ports.iter().map(port).collect(),
    }
}

pub fn show_port(port: &spec::PortSpec) -> PortConfig {
    PortConfig {
        name: or_empty(port.name.as_ref()),
        protocol: port.protocol.as_str().into(),
        target_port: port.target.into(),
        published_port: port.published.into(),
        publish_mode: port.mode.as_str().into(),
        host_ip: port.host_ip.map(|ip| ip.to_string()).unwrap_or_default(),
    }
}

/// `?insertDefaults=true`: what is used where the spec says nothing.
pub fn insert_defaults(spec: &mut dto::ServiceSpec) {
    let template = &mut spec.task_template;
    let container = template.container_spec.get_or_insert_default();
    container
        .stop_grace_period
        .get_or_insert(nanos(spec::defaults::STOP_GRACE));
    container.dns_config.get_or_insert_default();
    template.resources.get_or_insert_default();
    template.placement.get_or_insert_default();
    let restart = template.restart_policy.get_or_insert_default();
    if restart.condition.is_empty() {
        restart.condition = RestartCondition::default().as_str().into();
    }
    restart
        .delay
        .get_or_insert(nanos(spec::defaults::RESTART_DELAY));
    restart.max_attempts.get_or_insert(0);
    let endpoint = spec.endpoint_spec.get_or_insert_default();
    if endpoint.mode.is_empty() {
        endpoint.mode = EndpointMode::default().as_str().into();
    }
    if mode::is_job(&spec.mode) {
        return;
    }
    for config in [&mut spec.update_config, &mut spec.rollback_config] {
        let config = config.get_or_insert_with(update::default_config);
        config
            .monitor
            .get_or_insert(nanos(spec::defaults::UPDATE_MONITOR));
    }
}
