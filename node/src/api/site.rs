//! The routes for finding other devices and forming a swarm with them, which
//! every node answers for itself.

use axum::Json;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;

use super::backend::{Backend, LocalState};
use super::dto;
use super::error::{ApiError, texts};
use super::{convert, json};

type Reply = Result<Response, ApiError>;

/// Answers as soon as the node waits; `progress` tells the rest.
pub(super) async fn up(backend: &dyn Backend, body: &Bytes) -> Reply {
    let wanted: dto::UpRequest = json::decode(body, "swarmlet.UpRequest")?;
    let wanted = convert::up_request(wanted)?;
    match backend.local() {
        LocalState::Inactive | LocalState::Waiting => {}
        _ => return Err(ApiError::unavailable(texts::ALREADY_IN_SWARM)),
    }
    Ok(Json(backend.up(wanted).await?).into_response())
}

pub(super) fn progress(backend: &dyn Backend) -> Response {
    Json(backend.progress()).into_response()
}

pub(super) async fn discover(backend: &dyn Backend) -> Response {
    Json(backend.discover().await).into_response()
}
