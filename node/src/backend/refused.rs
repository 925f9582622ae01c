//! Why something was not done, as the API says it.

use axum::http::StatusCode;

use crate::api::error::{ApiError, texts};
use crate::forward::ForwardError;
use crate::join::JoinError;
use crate::manager::ProposeError;
use crate::swarm::SwarmError;

impl From<ForwardError> for ApiError {
    fn from(error: ForwardError) -> Self {
        match error {
            ForwardError::NoLeader => ApiError::internal(texts::NO_LEADER),
            ForwardError::Unknown(_) => ApiError::internal(error.to_string()),
        }
    }
}

impl From<SwarmError> for ApiError {
    fn from(error: SwarmError) -> Self {
        let status = match &error {
            SwarmError::AlreadyMember
            | SwarmError::Waiting
            | SwarmError::NotFound(_)
            | SwarmError::NotMember
            | SwarmError::NotManager
            | SwarmError::Agreed { .. }
            | SwarmError::InReach { .. }
            | SwarmError::Needed(_)
            | SwarmError::Locked
            | SwarmError::Join(JoinError::Unreachable(_)) => StatusCode::SERVICE_UNAVAILABLE,
            SwarmError::NotLocked => StatusCode::CONFLICT,
            SwarmError::WrongUnlockKey => StatusCode::UNAUTHORIZED,
            SwarmError::Invalid(_) | SwarmError::Leftover(_) => StatusCode::BAD_REQUEST,
            SwarmError::Join(_) | SwarmError::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        ApiError::new(status, error.to_string())
    }
}

impl From<ProposeError> for ApiError {
    fn from(error: ProposeError) -> Self {
        match error {
            ProposeError::Refused(refusal) => refusal.into(),
            ProposeError::Raft(raft::ProposeError::NoLeader(_)) => {
                ApiError::internal(texts::NO_LEADER)
            }
            error => ApiError::internal(error.to_string()),
        }
    }
}
