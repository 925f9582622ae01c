//! Tasks, as they are shown.

use services::State;
use services::object::{self, PublishedPort, TaskStatus};
use services::spec::{self, PublishMode};

use super::{container, generic, network, placement};
use crate::api::dto::{
    ContainerStatus, Extra, PortConfig, PortStatus, Task, TaskSpec, TaskStatus as Status, Time,
    Version,
};

/// `status` is the newest that is known of the task.
pub fn task(task: &object::Task, status: &TaskStatus, state: &State) -> Task {
    let given = task.addresses.iter();
    let given = given.filter_map(|address| network::show_attachment(address, state));
    let own = task.spec.task.own_network.into_iter();
    let own = own.map(|network| network::show_own_attachment(network, state));
    Task {
        id: task.id.to_string(),
        version: Version {
            index: task.meta.version,
        },
        created_at: Time(task.meta.created),
        updated_at: Time(task.meta.updated.max(status.at)),
        labels: Default::default(),
        spec: show_task_spec(&task.spec.task),
        service_id: task.service.to_string(),
        slot: task.slot.number(),
        node_id: task
            .known_node()
            .map(|id| id.to_string())
            .unwrap_or_default(),
        status: show_status(status),
        desired_state: task.shown_desired().as_str().into(),
        networks_attachments: own.chain(given).collect(),
        generic_resources: generic::show(&task.generic),
        job_iteration: task.job_iteration.map(|index| Version { index }),
    }
}

pub(super) fn show_task_spec(spec: &spec::TaskSpec) -> TaskSpec {
    let resources = spec.resources.as_ref();
    let networks = spec.networks.iter().map(network::show_target);
    let own = spec.own_network.into_iter().map(network::show_own_target);
    TaskSpec {
        container_spec: Some(container::show_container_spec(&spec.container)),
        resources: resources.map(|it| placement::show_resources(it, &spec.generic)),
        restart_policy: spec.restart.as_ref().map(placement::show_restart),
        placement: spec.placement.as_ref().map(placement::show_placement),
        networks: own.chain(networks).collect(),
        log_driver: spec.log_driver.as_ref().map(container::show_driver),
        force_update: spec.force_update,
        runtime: String::new(),
        extra: Extra::new(),
    }
}

fn show_status(status: &TaskStatus) -> Status {
    Status {
        timestamp: Time(status.at),
        state: status.state.as_str().into(),
        message: status.message.clone(),
        err: status.error.clone().unwrap_or_default(),
        container_status: status.container.as_ref().map(|container| ContainerStatus {
            container_id: container.id.clone(),
            pid: container.pid,
            exit_code: container.exit_code,
        }),
        port_status: PortStatus {
            ports: status.ports.iter().map(show_published).collect(),
        },
    }
}

/// Only host-mode ports are published by a task.
fn show_published(port: &PublishedPort) -> PortConfig {
    PortConfig {
        name: String::new(),
        protocol: port.protocol.as_str().into(),
        target_port: port.target.into(),
        published_port: port.published.into(),
        publish_mode: PublishMode::Host.as_str().into(),
        host_ip: port
            .host_ip
            .filter(|ip| !ip.is_unspecified())
            .map(|ip| ip.to_string())
            .unwrap_or_default(),
    }
}
