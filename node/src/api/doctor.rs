//! `GET /swarmlet/doctor`, which the leader answers where there is one. Whoever
//! asks because nothing works is told at least what this device sees.

use std::collections::BTreeMap;

use axum::Json;
use axum::body::Bytes;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use certs::NodeId;

use super::backend::{Backend, Lead, LocalState};
use super::error::ApiError;
use super::query::Query;
use super::route::{ApiVersion, SwarmRoute};
use super::{convert, swarm_answer};
use crate::doctor::report::{Asked, report};
use crate::manager::node_id;

pub(super) async fn examine(
    backend: &dyn Backend,
    version: Option<ApiVersion>,
    head: &Parts,
    body: Bytes,
    query: &Query,
) -> Result<Response, ApiError> {
    let refused = match backend.lead(head, &body).await {
        Ok(Lead::Here(manager)) => {
            return swarm_answer(manager, SwarmRoute::Doctor, version, head, body).await;
        }
        Ok(Lead::Elsewhere(answer)) => return Ok(answer),
        Err(refused) => refused,
    };
    let (LocalState::Active(me), Some(diagnosis)) = (backend.local(), backend.diagnose().await)
    else {
        return Err(refused);
    };
    let members = backend.members().unwrap_or_default().into_iter();
    let names: BTreeMap<NodeId, String> = members
        .filter(|member| !member.hostname.is_empty())
        .filter_map(|member| Some((member.id.parse().ok()?, member.hostname)))
        .collect();
    let asked = [Asked {
        id: node_id(me.id),
        answer: Ok(diagnosis),
    }];
    let network = Some(query.text("network")).filter(|network| !network.is_empty());
    let mut shown = convert::doctor(report(&asked, &names, network));
    shown.alone = refused.message;
    Ok(Json(shown).into_response())
}
