//! From a service of a project to the spec that Docker's own program makes of
//! it, field by field: a difference would replace tasks of a stack that the
//! other program deployed.

use services::compose::{FileUse, NetworkMode, Project, Service};
use services::spec::{self, MountKind, PortSpec};

use super::{IMAGE_LABEL, Stack, options};
use crate::api::convert;
use crate::api::dto::{
    ConfigFileReference, ContainerSpec, DiscreteResource, FileTarget, GenericResource,
    NetworkAttachmentConfig, SecretReference, ServiceSpec,
};
use crate::cli::spec::capabilities;
use crate::cli::values::tagged;

/// `key` of the project. Networks, secrets and configs are said by name; of the
/// latter two, the ids are missing.
pub fn service_spec(stack: &Stack, key: &str, service: &Service, project: &Project) -> ServiceSpec {
    let deploy = &service.deploy;
    let mut labels = stack.labels(&deploy.labels);
    labels.insert(IMAGE_LABEL.into(), service.image.clone());
    options::add(&mut labels, stack, service, project);
    let mut ports = service.ports.clone();
    ports.sort_by_key(|port| port.published);
    let mut spec = convert::show_service_spec(&spec::ServiceSpec {
        name: stack.scoped(key),
        labels,
        task: spec::TaskSpec {
            container: container(stack, service, project),
            resources: Some(deploy.resources.clone()),
            restart: deploy.restart.clone(),
            placement: Some(deploy.placement.clone()),
            log_driver: service.logging.clone(),
            ..spec::TaskSpec::default()
        },
        mode: deploy.mode.clone(),
        update: deploy.update.clone(),
        rollback: deploy.rollback.clone(),
        endpoint: Some(spec::EndpointSpec {
            mode: deploy.endpoint_mode,
            ports: ports.clone(),
            ..spec::EndpointSpec::default()
        }),
    });
    say_host_addresses(&mut spec, &ports);
    reserve_generic(&mut spec, service);
    spec.task_template.networks = networks(stack, key, service, project);
    let container = spec.task_template.container_spec.get_or_insert_default();
    refer(stack, service, project, container);
    spec
}

fn container(stack: &Stack, service: &Service, project: &Project) -> spec::ContainerSpec {
    let variables = service.environment.iter();
    let mut env: Vec<String> = variables
        .map(|(name, value)| match value {
            Some(value) => format!("{name}={value}"),
            None => name.clone(),
        })
        .collect();
    env.sort();
    let mut ulimits = service.ulimits.clone();
    ulimits.sort_by(|a, b| a.name.cmp(&b.name));
    let (cap_add, cap_drop) = capabilities(&service.cap_add, &service.cap_drop);
    spec::ContainerSpec {
        image: tagged(&service.image),
        labels: stack.labels(&service.labels),
        command: service.entrypoint.clone().unwrap_or_default(),
        args: service.command.clone().unwrap_or_default(),
        hostname: service.hostname.clone(),
        env,
        workdir: service.working_dir.clone(),
        user: service.user.clone(),
        groups: service.groups.clone(),
        tty: service.tty,
        open_stdin: service.stdin_open,
        read_only: service.read_only,
        init: service.init,
        mounts: service
            .mounts
            .iter()
            .map(|mount| self::mount(stack, mount, project))
            .collect(),
        stop_signal: service.stop_signal.clone(),
        stop_grace: service.stop_grace,
        healthcheck: service.healthcheck.clone(),
        hosts: service.hosts.clone(),
        dns: Some(service.dns.clone()).filter(|dns| *dns != spec::DnsConfig::default()),
        sysctls: service.sysctls.clone(),
        cap_add,
        cap_drop,
        ulimits,
        oom_score_adj: service.oom_score_adj,
        isolation: service.isolation.clone(),
        ..spec::ContainerSpec::default()
    }
}

/// A volume of the project is called as the swarm calls it, and made by the
/// engine as the project says.
fn mount(stack: &Stack, mount: &spec::Mount, project: &Project) -> spec::Mount {
    let mut mount = mount.clone();
    if mount.kind != MountKind::Volume {
        return mount;
    }
    let Some(volume) = project.volumes.get(&mount.source) else {
        return mount;
    };
    mount.source = stack.name_of(&mount.source, volume.name.as_ref());
    let options = mount.volume.get_or_insert_default();
    if !volume.external {
        options.labels = stack.labels(&volume.labels);
        options.driver.clone_from(&volume.driver);
    }
    mount
}

/// Specs have no field for the address that a port is published on.
fn say_host_addresses(spec: &mut ServiceSpec, ports: &[PortSpec]) {
    let shown = spec.endpoint_spec.iter().flat_map(|it| &it.ports);
    for (port, shown) in ports.iter().zip(shown) {
        if let Some(ip) = port.host_ip.filter(|ip| !ip.is_unspecified()) {
            spec.labels.insert(shown.host_ip_label(), ip.to_string());
        }
    }
}

fn reserve_generic(spec: &mut ServiceSpec, service: &Service) {
    let wanted = &service.deploy.generic_resources;
    if wanted.is_empty() {
        return;
    }
    let resources = spec.task_template.resources.get_or_insert_default();
    resources
        .reservations
        .get_or_insert_default()
        .generic_resources = wanted
        .iter()
        .map(|(kind, count)| GenericResource {
            discrete_resource_spec: Some(DiscreteResource {
                kind: kind.clone(),
                value: *count,
            }),
            ..GenericResource::default()
        })
        .collect();
}

/// By name, each with the service's own name as an alias.
fn networks(
    stack: &Stack,
    key: &str,
    service: &Service,
    project: &Project,
) -> Vec<NetworkAttachmentConfig> {
    if let Some(mode) = service.network_mode {
        let target = match mode {
            NetworkMode::Host => "host",
            NetworkMode::None => "none",
        };
        return vec![NetworkAttachmentConfig {
            target: target.into(),
            ..NetworkAttachmentConfig::default()
        }];
    }
    let attachments = service.networks.iter();
    let mut networks: Vec<_> = attachments
        .map(|(network, attachment)| {
            let said = project.networks.get(network);
            let target = stack.name_of(network, said.and_then(|it| it.name.as_ref()));
            let mut aliases = attachment.aliases.clone();
            if super::networks::is_user_defined(&target) {
                aliases.push(key.to_owned());
            }
            NetworkAttachmentConfig {
                target,
                aliases,
                driver_opts: attachment.driver_opts.clone(),
            }
        })
        .collect();
    networks.sort_by(|a, b| a.target.cmp(&b.target));
    networks
}

/// The secrets and configs, by name.
fn refer(stack: &Stack, service: &Service, project: &Project, container: &mut ContainerSpec) {
    let target = |file: &FileUse| FileTarget {
        name: file.target.clone(),
        uid: file.uid.to_string(),
        gid: file.gid.to_string(),
        mode: file.mode,
    };
    for file in &service.secrets {
        let said = project.secrets.get(&file.source);
        container.secrets.push(SecretReference {
            file: Some(target(file)),
            id: String::new(),
            name: stack.name_of(&file.source, said.and_then(|it| it.name.as_ref())),
        });
    }
    container.secrets.sort_by(|a, b| a.name.cmp(&b.name));
    for file in &service.configs {
        let said = project.configs.get(&file.source);
        container.configs.push(ConfigFileReference {
            file: Some(target(file)),
            runtime: None,
            id: String::new(),
            name: stack.name_of(&file.source, said.and_then(|it| it.name.as_ref())),
        });
    }
    container.configs.sort_by(|a, b| a.name.cmp(&b.name));
}
