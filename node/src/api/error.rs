//! How a request is refused: an HTTP status and Docker's text.
//!
//! Scripts and SDKs match on these texts, so they are Docker's to the letter.
//! What the replicated state refuses carries a gRPC code in its text
//! (`rpc error: code = InvalidArgument desc = …`), because in Docker it comes
//! from swarmkit; what the API itself refuses does not.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use services::{Refusal, RefusalKind};

use super::dto::ErrorMessage;

/// Nothing was changed by the request that this answers, unless its text says
/// otherwise.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    pub status: StatusCode,
    pub message: String,
}

impl ApiError {
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
        }
    }

    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, message)
    }

    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, message)
    }

    /// 400 in swarmkit's words.
    pub fn invalid_argument(reason: impl Into<String>) -> Self {
        refused(RefusalKind::InvalidArgument, reason)
    }

    /// 400 in swarmkit's words.
    pub fn failed_precondition(reason: impl Into<String>) -> Self {
        refused(RefusalKind::FailedPrecondition, reason)
    }

    /// 501 in swarmkit's words.
    pub fn unimplemented(reason: impl Into<String>) -> Self {
        refused(RefusalKind::Unimplemented, reason)
    }

    /// The answer to a lookup that found nothing or too much: Docker does
    /// those outside swarmkit, so there is no gRPC code in the text.
    pub fn lookup(refusal: Refusal) -> Self {
        let status = match refusal.kind {
            RefusalKind::NotFound => StatusCode::NOT_FOUND,
            _ => StatusCode::BAD_REQUEST,
        };
        Self::new(status, refusal.message)
    }
}

fn refused(kind: RefusalKind, reason: impl Into<String>) -> ApiError {
    ApiError::from(Refusal {
        kind,
        message: reason.into(),
    })
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let (status, code) = match refusal.kind {
            RefusalKind::NotFound => return Self::not_found(refusal.message),
            RefusalKind::AlreadyExists => (StatusCode::CONFLICT, "AlreadyExists"),
            RefusalKind::InvalidArgument => (StatusCode::BAD_REQUEST, "InvalidArgument"),
            RefusalKind::FailedPrecondition => (StatusCode::BAD_REQUEST, "FailedPrecondition"),
            RefusalKind::Unimplemented => (StatusCode::NOT_IMPLEMENTED, "Unimplemented"),
            RefusalKind::Unknown => (StatusCode::INTERNAL_SERVER_ERROR, "Unknown"),
        };
        Self::new(
            status,
            format!("rpc error: code = {code} desc = {}", refusal.message),
        )
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = ErrorMessage {
            message: self.message,
        };
        (self.status, Json(body)).into_response()
    }
}

/// Answers of a node that cannot do what only (other) managers can.
pub mod texts {
    pub const INACTIVE: &str = "This node is not a swarm manager. Use \"docker swarm init\" or \
        \"docker swarm join\" to connect this node to swarm and try again.";
    pub const WORKER: &str = "This node is not a swarm manager. Worker nodes can't be used to \
        view or modify cluster state. Please run this command on a manager node or promote the \
        current node to a manager.";
    pub const PREPARING: &str = "This node is not a swarm manager. Manager is being prepared or \
        has trouble connecting to the cluster.";
    pub const LOCKED: &str = "Swarm is encrypted and needs to be unlocked before it can be used. \
        Please use \"docker swarm unlock\" to unlock it.";
    pub const NETWORK_ON_WORKER: &str = "Cannot create a multi-host network from a worker node. \
        Please create the network from a manager node.";
    pub const NO_LEADER: &str = "rpc error: code = Unknown desc = The swarm does not have a \
        leader. It's possible that too few managers are online. Make sure more than half of the \
        managers are online.";
    pub const NOT_IN_SWARM: &str = "This node is not part of a swarm";
    pub const ALREADY_IN_SWARM: &str = "This node is already part of a swarm. Use \"docker swarm \
        leave\" to leave this swarm and join another one.";
    pub const LAST_MANAGER_LEAVES: &str = "You are attempting to leave the swarm on a node that \
        is participating as a manager. Removing the last manager erases all current state of the \
        swarm. Use `--force` to ignore this message. ";
    pub const MANAGER_LEAVES: &str = "You are attempting to leave the swarm on a node that is \
        participating as a manager. ";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_of_the_state_names_its_grpc_code() {
        let error = ApiError::from(Refusal {
            kind: RefusalKind::Unknown,
            message: "update out of sequence".into(),
        });
        assert_eq!(error.status, 500);
        assert_eq!(
            error.message,
            "rpc error: code = Unknown desc = update out of sequence"
        );
    }

    #[test]
    fn a_failed_lookup_has_no_grpc_code() {
        let error = ApiError::lookup(Refusal {
            kind: RefusalKind::InvalidArgument,
            message: "service mgm is ambiguous (2 matches found)".into(),
        });
        assert_eq!(error.status, 400);
        assert_eq!(error.message, "service mgm is ambiguous (2 matches found)");
    }
}
