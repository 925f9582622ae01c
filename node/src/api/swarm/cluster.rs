//! `/swarm`: the cluster, its spec and its join tokens.

use axum::Json;
use axum::response::IntoResponse;
use services::Command;
use services::spec::Role;

use super::{Call, Reply, done, look};
use crate::api::backend::Manager;
use crate::api::convert;
use crate::api::dto::{Swarm, SwarmSpec, UnlockKey};
use crate::api::error::{ApiError, texts};
use crate::api::json;

fn missing() -> ApiError {
    ApiError::unavailable(texts::PREPARING)
}

pub(super) fn inspect(swarm: &dyn Manager) -> Reply {
    let shown = look(swarm, |view| {
        let cluster = view.state.cluster().ok_or_else(missing)?;
        Ok(Swarm {
            cluster: convert::cluster_info(cluster, view.authority),
            join_tokens: convert::join_tokens(&cluster.join_tokens),
        })
    })?;
    Ok(Json(shown).into_response())
}

pub(super) async fn update(swarm: &dyn Manager, call: Call) -> Reply {
    let wanted: SwarmSpec = json::decode(&call.body, "swarm.Spec")?;
    let version = call.query.version("swarm")?;
    if call.query.flag("rotateManagerUnlockKey") {
        return Err(ApiError::unimplemented("autolock is not in this version"));
    }
    let spec = look(swarm, |view| {
        let cluster = view.state.cluster().ok_or_else(missing)?;
        convert::cluster_spec(wanted, &cluster.spec)
    })?;
    swarm
        .propose(Command::UpdateCluster { version, spec })
        .await?;
    for (flag, role) in [
        ("rotateWorkerToken", Role::Worker),
        ("rotateManagerToken", Role::Manager),
    ] {
        if call.query.flag(flag) {
            swarm.rotate_token(role).await?;
        }
    }
    done()
}

/// A swarm that is not locked has no key.
pub(super) fn unlock_key() -> Reply {
    Ok(Json(UnlockKey::default()).into_response())
}
