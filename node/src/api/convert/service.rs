//! Services and their specs.

use services::object::{self, TaskState};
use services::spec::{self, EndpointMode, Mode, Protocol, PublishMode};
use services::{Id, NodeHealth, Observed, State};

use super::{container, nanos, or_empty, placement, refuse_missing, said, task, update};
use crate::api::backend::View;
use crate::api::dto::{self, Endpoint, EndpointSpec, PortConfig, ServiceMode, Time};
use crate::api::error::ApiError;

const NETWORKS: &str = "overlay networks are not in this version; publish ports with mode=host \
    and let services find each other by their nodes' addresses";

/// What a service's spec may ask in Docker and not here.
const MISSING: &[(&str, &str)] = &[("Networks", NETWORKS)];
const MISSING_IN_TASK: &[(&str, &str)] = &[
    ("Networks", NETWORKS),
    (
        "PluginSpec",
        "plugin services are not supported; run the plugin on each engine",
    ),
    (
        "NetworkAttachmentSpec",
        "network attachments are not in this version",
    ),
];

/// Reads what a user asks for. The name may be empty.
///
/// # Errors
/// 400 for what cannot be meant, 501 for what is not in this version.
pub fn service_spec(dto: dto::ServiceSpec) -> Result<spec::ServiceSpec, ApiError> {
    refuse_missing(&dto.extra, MISSING)?;
    Ok(spec::ServiceSpec {
        name: dto.name,
        labels: dto.labels,
        mode: mode(dto.mode)?,
        task: task_spec(dto.task_template)?,
        update: dto
            .update_config
            .map(|config| update::config("update", config))
            .transpose()?,
        rollback: dto
            .rollback_config
            .map(|config| update::config("rollback", config))
            .transpose()?,
        endpoint: dto.endpoint_spec.map(endpoint_spec).transpose()?,
    })
}

fn mode(dto: ServiceMode) -> Result<Mode, ApiError> {
    let others = [
        ("global", dto.global.is_some()),
        ("replicated-job", dto.replicated_job.is_some()),
        ("global-job", dto.global_job.is_some()),
    ];
    let mut asked = others.iter().filter(|(_, asked)| *asked);
    match (asked.next(), asked.next(), dto.replicated) {
        (None, _, replicated) => Ok(Mode::Replicated {
            replicas: replicated
                .and_then(|replicated| replicated.replicas)
                .or(Some(spec::defaults::REPLICAS)),
        }),
        (Some((name, _)), None, None) => Err(ApiError::unimplemented(format!(
            "services of mode {name} are not in this version; use mode replicated"
        ))),
        _ => Err(ApiError::bad_request("must specify only one service mode")),
    }
}

fn task_spec(dto: dto::TaskSpec) -> Result<spec::TaskSpec, ApiError> {
    refuse_missing(&dto.extra, MISSING_IN_TASK)?;
    if !matches!(dto.runtime.as_str(), "" | "container") {
        return Err(ApiError::unimplemented(format!(
            "tasks of runtime {} are not supported; use containers",
            dto.runtime
        )));
    }
    Ok(spec::TaskSpec {
        container: container::container_spec(dto.container_spec.unwrap_or_default())?,
        resources: dto.resources.map(placement::resources).transpose()?,
        restart: dto.restart_policy.map(placement::restart).transpose()?,
        placement: dto.placement.map(placement::placement),
        log_driver: dto.log_driver.map(container::driver),
        force_update: dto.force_update,
        networks: Vec::new(),
    })
}

fn endpoint_spec(dto: EndpointSpec) -> Result<spec::EndpointSpec, ApiError> {
    let mode = match dto.mode.as_str() {
        "" | "vip" => EndpointMode::Vip,
        "dnsrr" => EndpointMode::Dnsrr,
        other => {
            return Err(ApiError::bad_request(format!(
                "invalid EndpointSpec: unknown mode {other:?}"
            )));
        }
    };
    let ports = dto.ports.into_iter().map(port).collect::<Result<_, _>>()?;
    Ok(spec::EndpointSpec {
        mode: Some(mode),
        ports,
        ..spec::EndpointSpec::default()
    })
}

fn port(dto: PortConfig) -> Result<spec::PortSpec, ApiError> {
    let protocol = match dto.protocol.to_ascii_lowercase().as_str() {
        "" | "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        "sctp" => Protocol::Sctp,
        _ => {
            let text = format!("invalid protocol {:?} of a port", dto.protocol);
            return Err(ApiError::bad_request(text));
        }
    };
    let mode = match dto.publish_mode.as_str() {
        "" | "ingress" => PublishMode::Ingress,
        "host" => PublishMode::Host,
        other => {
            let text = format!("invalid publish mode {other:?} of a port");
            return Err(ApiError::bad_request(text));
        }
    };
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
        host_ip: None,
    })
}

/// Shows a service; `with_status` counts its tasks.
pub fn service(service: &object::Service, view: View<'_>, with_status: bool) -> dto::Service {
    let endpoint = service.spec.endpoint.as_ref().map(show_endpoint_spec);
    dto::Service {
        id: service.id.to_string(),
        version: dto::Version {
            index: service.meta.version,
        },
        created_at: Time(service.meta.created),
        updated_at: Time(service.meta.updated),
        spec: show_service_spec(&service.spec),
        previous_spec: service.previous_spec.as_deref().map(show_service_spec),
        endpoint: endpoint.map_or_else(Endpoint::default, |spec| Endpoint {
            ports: spec.ports.clone(),
            spec,
            virtual_ips: Vec::new(),
        }),
        update_status: service.update.as_ref().map(update::status),
        service_status: with_status.then(|| status(service, view.state, view.observed)),
    }
}

fn status(service: &object::Service, state: &State, observed: &Observed) -> dto::ServiceStatus {
    // What a lost node still runs, if it does, is replaced already.
    let is_there = |node: Option<Id>| {
        let seen = node.and_then(|node| observed.nodes.get(&node));
        !seen.is_some_and(|seen| matches!(seen.health, NodeHealth::Down { .. }))
    };
    let running = state.tasks_of_service(service.id).filter(|task| {
        State::effective(task, observed).state == TaskState::Running && is_there(task.node)
    });
    dto::ServiceStatus {
        running_tasks: running.count() as u64,
        desired_tasks: service.spec.mode.replicas(),
        completed_tasks: 0,
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
        mode: ServiceMode {
            replicated: Some(dto::ReplicatedService {
                replicas: Some(spec.mode.replicas()),
            }),
            ..ServiceMode::default()
        },
        update_config: spec.update.as_ref().map(update::show_config),
        rollback_config: spec.rollback.as_ref().map(update::show_config),
        endpoint_spec: spec.endpoint.as_ref().map(show_endpoint_spec),
        extra: dto::Extra::new(),
    }
}

fn show_endpoint_spec(spec: &spec::EndpointSpec) -> EndpointSpec {
    EndpointSpec {
        mode: match spec.mode.unwrap_or_default() {
            EndpointMode::Vip => "vip".into(),
            EndpointMode::Dnsrr => "dnsrr".into(),
        },
        ports: spec.ports.iter().map(show_port).collect(),
    }
}

fn show_port(port: &spec::PortSpec) -> PortConfig {
    PortConfig {
        name: or_empty(port.name.as_ref()),
        protocol: show_protocol(port.protocol).into(),
        target_port: port.target.into(),
        published_port: port.published.into(),
        publish_mode: match port.mode {
            PublishMode::Ingress => "ingress".into(),
            PublishMode::Host => "host".into(),
        },
    }
}

pub(super) fn show_protocol(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        Protocol::Sctp => "sctp",
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
        restart.condition = "any".into();
    }
    restart
        .delay
        .get_or_insert(nanos(spec::defaults::RESTART_DELAY));
    restart.max_attempts.get_or_insert(0);
    for config in [&mut spec.update_config, &mut spec.rollback_config] {
        let config = config.get_or_insert_with(update::default_config);
        config
            .monitor
            .get_or_insert(nanos(spec::defaults::UPDATE_MONITOR));
    }
    let endpoint = spec.endpoint_spec.get_or_insert_default();
    if endpoint.mode.is_empty() {
        endpoint.mode = "vip".into();
    }
}
