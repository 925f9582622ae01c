//! The engine's refusals, recognised by their status and text (Engine API 1.41
//! to 1.5x; the texts have not changed since Docker 17).

use std::path::Path;

use bollard::errors::Error;

use crate::runtime::RuntimeError;

/// The API names no error codes below the HTTP status: the text has to do.
pub(super) fn translate(error: Error, socket: &Path) -> RuntimeError {
    match error {
        Error::DockerResponseServerError {
            status_code,
            message,
        } => refusal(status_code, message),
        Error::DockerStreamError { error } => RuntimeError::Refused(error),
        Error::JsonDataError { .. } | Error::JsonSerdeError { .. } => {
            RuntimeError::Refused(format!("the engine's answer cannot be read: {error}"))
        }
        Error::RequestTimeoutError => RuntimeError::Unavailable(format!(
            "the engine at {} did not answer in time",
            socket.display()
        )),
        other => {
            tracing::debug!(error = %other, "the engine cannot be reached");
            RuntimeError::Unavailable(format!(
                "Cannot connect to the Docker daemon at unix://{}. Is the docker daemon running?",
                socket.display()
            ))
        }
    }
}

pub(super) fn refusal(status: u16, message: String) -> RuntimeError {
    let message = message.trim().to_owned();
    match status {
        404 if message.starts_with("No such image") || is_of_other_platform(&message) => {
            RuntimeError::ImageMissing(message)
        }
        404 if message.starts_with("No such container") => RuntimeError::ContainerMissing(message),
        404 if message.starts_with("network ") || message.starts_with("No such network") => {
            RuntimeError::NetworkMissing(message)
        }
        409 if message.contains("is already in use by container") => {
            RuntimeError::NameTaken(message)
        }
        _ if message.contains("port is already allocated")
            || message.contains("address already in use") =>
        {
            RuntimeError::PortTaken(without_endpoint(&message).to_owned())
        }
        _ if is_network_fault(&message) => RuntimeError::Unconnected(message),
        _ => RuntimeError::Refused(message),
    }
}

/// An image of the name is there, and not for the platform that was named.
fn is_of_other_platform(message: &str) -> bool {
    message.contains("was found but does not match the specified platform")
        || message.contains("was found but does not provide the specified platform")
}

/// Whether the engine and our network driver do not know the same, or know each
/// other not at all: no container is to blame.
fn is_network_fault(message: &str) -> bool {
    is_stale(message)
        || message.contains(".sock/NetworkDriver.")
        || message.contains(".sock/IpamDriver.")
        || message.contains("error looking up network plugin")
        || message.contains("error looking up ipam plugin")
}

/// Whether something that is no more stands in the way: an endpoint of a
/// container that does not run holds the address or the name, or the driver has
/// forgotten the network.
pub(super) fn is_stale(message: &str) -> bool {
    message.ends_with("Address already in use")
        || (message.contains("endpoint with name") && message.contains("already exists in network"))
        || message.ends_with("is not known here: remove it, it will be made again")
}

/// Cuts libnetwork's `driver failed programming external connectivity on
/// endpoint <name> (<64 hex digits>): `, behind which the reason hides.
fn without_endpoint(message: &str) -> &str {
    match message.split_once("on endpoint ") {
        Some((_, rest)) => rest.split_once("): ").map_or(message, |(_, reason)| reason),
        None => message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(status: u16, message: &str, expected: RuntimeError) {
        assert_eq!(refusal(status, message.to_owned()), expected);
    }

    #[test]
    fn the_engines_texts_are_told_apart_and_kept() {
        let image = "No such image: nope:latest";
        check(404, image, RuntimeError::ImageMissing(image.into()));
        let container = "No such container: 4de6";
        check(
            404,
            container,
            RuntimeError::ContainerMissing(container.into()),
        );
        let name = "Conflict. The container name \"/a\" is already in use by container \"4de6\". \
                    You have to remove (or rename) that container to be able to reuse that name.";
        check(409, name, RuntimeError::NameTaken(name.into()));
        let other = "invalid mount config for type \"bind\": bind source path does not exist: /x";
        check(400, other, RuntimeError::Refused(other.into()));
    }

    #[test]
    fn a_fault_of_the_network_is_no_containers_fault() {
        for message in [
            "Address already in use",
            "endpoint with name web.1 already exists in network front",
            "failed to create endpoint web.2 on network front: remote: network 0539da2bdfb8 is \
             not known here: remove it, it will be made again",
        ] {
            check(500, message, RuntimeError::Unconnected(message.into()));
            assert!(is_stale(message));
        }
        let gone = "failed to create endpoint web.7 on network front: Post \
                    \"http://%2Frun%2Fdocker%2Fplugins%2Fswarmlet.sock/NetworkDriver.CreateEndpoint\
                    \": dial unix /run/docker/plugins/swarmlet.sock: connect: no such file or \
                    directory";
        check(500, gone, RuntimeError::Unconnected(gone.into()));
        assert!(!is_stale(gone), "trying again at once costs another 15 s");
        let overlap = "Pool overlaps with other one on this address space";
        check(403, overlap, RuntimeError::Refused(overlap.into()));
        let missing = "network front not found";
        check(404, missing, RuntimeError::NetworkMissing(missing.into()));
    }

    #[test]
    fn a_taken_port_is_told_without_the_endpoints_hash() {
        let endpoint = "driver failed programming external connectivity on endpoint x2 (f55fbfb29)";
        check(
            500,
            &format!("{endpoint}: Bind for 0.0.0.0:8080 failed: port is already allocated"),
            RuntimeError::PortTaken(
                "Bind for 0.0.0.0:8080 failed: port is already allocated".into(),
            ),
        );
        check(
            500,
            &format!(
                "{endpoint}: Error starting userland proxy: listen tcp4 0.0.0.0:80: bind: \
                 address already in use"
            ),
            RuntimeError::PortTaken(
                "Error starting userland proxy: listen tcp4 0.0.0.0:80: bind: address already in \
                 use"
                .into(),
            ),
        );
    }
}
