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
        404 if message.starts_with("No such image") => RuntimeError::ImageMissing(message),
        404 if message.starts_with("No such container") => RuntimeError::ContainerMissing(message),
        409 if message.contains("is already in use by container") => {
            RuntimeError::NameTaken(message)
        }
        _ if message.contains("port is already allocated")
            || message.contains("address already in use") =>
        {
            RuntimeError::PortTaken(without_endpoint(&message).to_owned())
        }
        _ => RuntimeError::Refused(message),
    }
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
