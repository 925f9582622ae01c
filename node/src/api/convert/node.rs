//! Nodes.

use services::NodeHealth;
use services::managing;
use services::object;
use services::spec::{self, Availability};

use super::{generic, or_empty, placement, said};
use crate::api::backend::View;
use crate::api::dto::{
    EngineDescription, ManagerStatus, Node, NodeDescription, NodeSpec, NodeStatus, Plugin,
    Reservation, Time, Version,
};
use crate::api::error::ApiError;

pub fn node_spec(dto: NodeSpec) -> Result<spec::NodeSpec, ApiError> {
    let role = dto.role.to_ascii_lowercase().parse();
    let role = role.map_err(|_| ApiError::bad_request(format!("invalid Role: {:?}", dto.role)))?;
    managing::candidate(&dto.labels)?;
    Ok(spec::NodeSpec {
        name: said(dto.name),
        labels: dto.labels,
        role,
        availability: availability(&dto.availability)?,
    })
}

pub(super) fn availability(text: &str) -> Result<Availability, ApiError> {
    let availability = text.to_ascii_lowercase().parse();
    availability.map_err(|_| ApiError::bad_request(format!("invalid Availability: {text:?}")))
}

pub fn node(node: &object::Node, view: View<'_>) -> Node {
    Node {
        id: node.id.to_string(),
        version: Version {
            index: node.meta.version,
        },
        created_at: Time(node.meta.created),
        updated_at: Time(node.meta.updated),
        spec: show_spec(&node.spec),
        description: node
            .description
            .as_ref()
            .map(|description| NodeDescription {
                tls_info: view.authorities.of_node(node, view),
                ..show_description(description)
            })
            .unwrap_or_default(),
        status: status(node, view),
        manager_status: view.managers.get(&node.id).map(|manager| ManagerStatus {
            leader: manager.leader,
            reachability: if manager.reachable {
                "reachable".into()
            } else {
                "unreachable".into()
            },
            addr: manager.addr.to_string(),
        }),
    }
}

fn show_spec(spec: &spec::NodeSpec) -> NodeSpec {
    NodeSpec {
        name: or_empty(spec.name.as_ref()),
        labels: spec.labels.clone(),
        role: spec.role.as_str().into(),
        availability: spec.availability.as_str().into(),
    }
}

fn show_description(description: &object::NodeDescription) -> NodeDescription {
    let plugin = |(kind, name): &(String, String)| Plugin {
        kind: kind.clone(),
        name: name.clone(),
    };
    NodeDescription {
        hostname: description.hostname.clone(),
        platform: placement::show_platform(&description.platform),
        resources: Reservation {
            generic_resources: generic::show(&description.generic),
            ..placement::show_amounts(&description.resources)
        },
        devices: description.devices.iter().cloned().collect(),
        engine: EngineDescription {
            engine_version: description.engine_version.clone(),
            labels: description.engine_labels.clone(),
            plugins: description.plugins.iter().map(plugin).collect(),
        },
        ..NodeDescription::default()
    }
}

fn status(node: &object::Node, view: View<'_>) -> NodeStatus {
    let seen = view.observed.nodes.get(&node.id);
    let health = seen.map_or(&NodeHealth::Unknown, |seen| &seen.health);
    let message = match health {
        NodeHealth::Down { reason } => reason.clone(),
        NodeHealth::Unknown | NodeHealth::Ready => String::new(),
    };
    NodeStatus {
        state: health.as_str().into(),
        message,
        since: seen
            .filter(|seen| matches!(seen.health, NodeHealth::Down { .. }))
            .map(|seen| Time(seen.since)),
        addr: node.addr.ip().to_string(),
    }
}
