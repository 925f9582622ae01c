//! What is refused until the nodes carry the overlay's traffic: the one place
//! that says so.

use super::dto::{PortConfig, ServiceSpec};
use super::error::ApiError;

/// What might need the overlay.
pub(super) enum Asked<'a> {
    Service(&'a ServiceSpec),
    Network,
}

/// # Errors
/// 501 for what needs it.
pub(super) fn overlay(asked: &Asked<'_>) -> Result<(), ApiError> {
    let ingress = |port: &PortConfig| port.publish_mode != "host";
    let needs = match asked {
        Asked::Network => true,
        Asked::Service(spec) => {
            let ports = spec.endpoint_spec.as_ref().map_or(&[][..], |it| &it.ports);
            let networks = [&spec.networks, &spec.task_template.networks];
            networks.iter().any(|it| !it.is_empty()) || ports.iter().any(ingress)
        }
    };
    match needs {
        false => Ok(()),
        true => Err(ApiError::unimplemented(
            "overlay networks are not in this version; publish ports with mode=host and let \
             services find each other by their nodes' addresses",
        )),
    }
}
