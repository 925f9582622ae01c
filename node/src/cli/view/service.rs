//! `service ls`.

use serde::Serialize;

use super::human::{natural_order, short_id};
use super::table::table;
use super::{image, ports};
use crate::api::dto::Service;

/// A line of `service ls`; its fields are the keys of `--format json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ServiceRow {
    #[serde(rename = "ID")]
    pub id: String,
    pub image: String,
    pub mode: String,
    pub name: String,
    pub ports: String,
    pub replicas: String,
}

/// The services by name.
pub fn service_rows(services: &[Service]) -> Vec<ServiceRow> {
    let mut services: Vec<&Service> = services.iter().collect();
    services.sort_by(|a, b| natural_order(&a.spec.name, &b.spec.name));
    services
        .into_iter()
        .map(|service| ServiceRow {
            id: short_id(&service.id).to_owned(),
            image: service
                .spec
                .task_template
                .container_spec
                .as_ref()
                .map(|container| image::familiar(&container.image).to_owned())
                .unwrap_or_default(),
            mode: mode(service).to_owned(),
            name: service.spec.name.clone(),
            ports: ports::of_service(&service.endpoint.ports),
            replicas: replicas(service),
        })
        .collect()
}

fn mode(service: &Service) -> &'static str {
    let mode = &service.spec.mode;
    if mode.global.is_some() {
        "global"
    } else if mode.replicated_job.is_some() {
        "replicated job"
    } else if mode.global_job.is_some() {
        "global job"
    } else {
        "replicated"
    }
}

/// `running/desired`, and the most that a node may have, or how far a job is.
fn replicas(service: &Service) -> String {
    let wanted = service.spec.mode.replicated.as_ref();
    let (running, desired) = match &service.service_status {
        Some(status) => (status.running_tasks, status.desired_tasks),
        None => (0, wanted.and_then(|mode| mode.replicas).unwrap_or(1)),
    };
    let completed = service.service_status.map_or(0, |it| it.completed_tasks);
    let mode = &service.spec.mode;
    let total = match &mode.replicated_job {
        Some(job) => job.total_completions,
        // What is complete is no longer desired.
        None => mode.global_job.as_ref().map(|_| desired + completed),
    };
    if let Some(total) = total {
        return format!("{running}/{desired} ({completed}/{total} completed)");
    }
    let placement = service.spec.task_template.placement.as_ref();
    match placement.map(|placement| placement.max_replicas) {
        Some(max) if max > 0 && wanted.is_some() => {
            format!("{running}/{desired} (max {max} per node)")
        }
        _ => format!("{running}/{desired}"),
    }
}

pub fn service_table(rows: &[ServiceRow]) -> String {
    let cells = rows.iter().map(|row| {
        [
            &row.id,
            &row.name,
            &row.mode,
            &row.replicas,
            &row.image,
            &row.ports,
        ]
        .map(String::clone)
        .to_vec()
    });
    table(
        &["ID", "NAME", "MODE", "REPLICAS", "IMAGE", "PORTS"],
        &cells.collect::<Vec<_>>(),
    )
}
