//! A project in the API's terms.

use std::collections::BTreeSet;

use services::compose::{Condition, FileObject, FileSource, Project, Service};
use services::file::FileKind;
use services::spec::RestartCondition;

use super::{Stack, order, spec};
use crate::api::convert::OVERLAY;
use crate::api::dto::{
    Data, Driver, FileSpec, Ipam, IpamConfig, NetworkCreateRequest, ServiceSpec,
};
use crate::cli::progress::Until;

/// What a project asks of a swarm, by names.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    pub stack: Stack,
    pub networks: Vec<NetworkCreateRequest>,
    pub external_networks: Vec<String>,
    pub files: Vec<WantedFile>,
    /// In the order in which they are deployed.
    pub services: Vec<WantedService>,
}

impl Wanted {
    /// The names of the secrets or configs that it has or refers to.
    pub fn file_names(&self, kind: FileKind) -> BTreeSet<String> {
        let own = self.files.iter().filter(|file| file.kind == kind);
        let mut names: BTreeSet<String> = own.map(|file| file.spec.name.clone()).collect();
        for service in &self.services {
            if let Some(container) = &service.spec.task_template.container_spec {
                let used = container.files().filter(|(of, _)| *of == kind);
                names.extend(used.map(|(_, name)| name.clone()));
            }
        }
        names
    }
}

/// A secret or a config that is the stack's own.
#[derive(Debug, Clone, PartialEq)]
pub struct WantedFile {
    pub kind: FileKind,
    /// With the name that the file has as long as its bytes do not change.
    pub spec: FileSpec,
}

#[derive(Debug, Clone, PartialEq)]
pub struct WantedService {
    pub spec: ServiceSpec,
    /// What has to be before it is deployed: names of services, and what they
    /// are waited for.
    pub waits: Vec<(String, Until)>,
    /// The names of services; it is restarted when one of them is replaced.
    pub restarts_with: Vec<String>,
}

/// What `project` asks for as `stack`; `read` gives the bytes of a secret or a
/// config.
///
/// # Errors
/// Every reason why it cannot be had.
pub fn wanted(
    stack: Stack,
    project: &Project,
    read: &dyn Fn(&FileSource) -> Result<Vec<u8>, String>,
) -> Result<Wanted, Vec<String>> {
    let mut problems = Vec::new();
    let mut files = Vec::new();
    for (kind, objects) in [
        (FileKind::Secret, &project.secrets),
        (FileKind::Config, &project.configs),
    ] {
        for (key, object) in objects {
            if object.source == FileSource::External {
                continue;
            }
            match read(&object.source) {
                Ok(data) => files.push(file(&stack, kind, key, object, data)),
                Err(why) => problems.push(format!("{kind} {key}: {why}")),
            }
        }
    }
    let mut services = Vec::new();
    for key in order::in_order(&project.services) {
        if let Some(service) = project.services.get(key) {
            match wanted_service(&stack, key, service, project) {
                Ok(service) => services.push(service),
                Err(why) => problems.push(format!("service {key}: {why}")),
            }
        }
    }
    let (mut networks, mut external_networks) = (Vec::new(), Vec::new());
    for key in project.used_networks() {
        let network = project.networks.get(key).cloned().unwrap_or_default();
        match network.external {
            true => external_networks.push(stack.name_of(key, network.name.as_ref())),
            false => networks.push(network_request(&stack, key, network)),
        }
    }
    match problems.is_empty() {
        true => Ok(Wanted {
            stack,
            networks,
            external_networks,
            files,
            services,
        }),
        false => Err(problems),
    }
}

fn file(
    stack: &Stack,
    kind: FileKind,
    key: &str,
    object: &FileObject,
    data: Vec<u8>,
) -> WantedFile {
    WantedFile {
        kind,
        spec: FileSpec {
            name: stack.name_of(key, object.name.as_ref()),
            labels: stack.labels(&object.labels),
            data: Data(data),
            driver: None,
            templating: object.templating.as_ref().map(driver),
        },
    }
}

fn driver(driver: &services::spec::Driver) -> Driver {
    Driver {
        name: driver.name.clone(),
        options: driver.options.clone(),
    }
}

fn network_request(
    stack: &Stack,
    key: &str,
    network: services::compose::Network,
) -> NetworkCreateRequest {
    let (driver, options) = match network.driver {
        Some(driver) if driver.name.is_empty() => (OVERLAY.to_owned(), driver.options),
        Some(driver) => (driver.name, driver.options),
        None => (OVERLAY.to_owned(), Default::default()),
    };
    let ipam = network.ipam;
    let text = |value: Option<String>| value.unwrap_or_default();
    let says_ipam = ipam.driver.is_some() || !ipam.configs.is_empty();
    let config = ipam.configs.into_iter().map(|config| IpamConfig {
        subnet: text(config.subnet.map(|it| it.to_string())),
        ip_range: text(config.ip_range.map(|it| it.to_string())),
        gateway: text(config.gateway.map(|it| it.to_string())),
        auxiliary_addresses: config
            .aux
            .into_iter()
            .map(|(name, addr)| (name, addr.to_string()))
            .collect(),
    });
    NetworkCreateRequest {
        name: stack.name_of(key, network.name.as_ref()),
        check_duplicate: true,
        driver,
        enable_ipv6: network.ipv6,
        ipam: says_ipam.then(|| Ipam {
            driver: ipam.driver.map(|it| it.name).unwrap_or_default(),
            options: None,
            config: Some(config.collect()),
        }),
        internal: network.internal,
        attachable: network.attachable,
        options,
        labels: stack.labels(&network.labels),
        ..NetworkCreateRequest::default()
    }
}

fn wanted_service(
    stack: &Stack,
    key: &str,
    service: &Service,
    project: &Project,
) -> Result<WantedService, String> {
    let (mut waits, mut restarts_with) = (Vec::new(), Vec::new());
    for (other, dependency) in &service.depends_on {
        let Some(known) = project.services.get(other) else {
            continue;
        };
        let until = match dependency.condition {
            Condition::Started => None,
            Condition::Healthy => Some(Until::Healthy),
            Condition::CompletedSuccessfully => {
                if !comes_to_an_end(known) {
                    return Err(format!(
                        "it waits until {other} is complete, which is restarted whenever it ends; \
                         say deploy.mode: replicated-job of {other}, or restart: on-failure"
                    ));
                }
                Some(Until::Completed)
            }
        };
        let name = stack.scoped(other);
        if let Some(until) = until {
            waits.push((name.clone(), until));
        }
        if dependency.restart {
            restarts_with.push(name);
        }
    }
    Ok(WantedService {
        spec: spec::service_spec(stack, key, service, project),
        waits,
        restarts_with,
    })
}

fn comes_to_an_end(service: &Service) -> bool {
    let deploy = &service.deploy;
    let restart = deploy.restart.as_ref();
    let condition = restart.and_then(|policy| policy.condition);
    deploy.mode.is_job() || condition.is_some_and(|it| it != RestartCondition::Any)
}
