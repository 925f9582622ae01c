//! `/swarm`: the cluster, its spec and its join tokens.

use axum::Json;
use axum::response::IntoResponse;
use certs::lock;
use services::spec::Role;
use services::{Command, object};

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
            cluster: convert::cluster_info(cluster, view),
            join_tokens: convert::join_tokens(&cluster.join_tokens),
        })
    })?;
    Ok(Json(shown).into_response())
}

pub(super) async fn update(swarm: &dyn Manager, call: Call) -> Reply {
    let wanted: SwarmSpec = json::decode(&call.body, "swarm.Spec")?;
    let version = call.query.version("swarm")?;
    let autolock = wanted.encryption_config.auto_lock_managers;
    let (spec, root, is_locked) = look(swarm, |view| {
        let cluster = view.state.cluster().ok_or_else(missing)?;
        let root = convert::new_root(&wanted.ca_config, cluster.spec.force_rotate)?;
        let spec = convert::cluster_spec(wanted, &cluster.spec)?;
        Ok((spec, root, cluster.unlock_key.is_some()))
    })?;
    let rotate = call.query.flag("rotateManagerUnlockKey");
    let key = match (is_locked, autolock) {
        (false, true) => Some(Some(swarm.new_unlock_key()?)),
        (true, true) if rotate => Some(Some(swarm.new_unlock_key()?)),
        (true, false) => Some(None),
        _ => None,
    };
    match root {
        Some(root) => swarm.rotate_root(version, spec, root).await?,
        None => {
            swarm
                .propose(Command::UpdateCluster { version, spec })
                .await?;
        }
    }
    if let Some(key) = key {
        swarm.propose(Command::SetUnlockKey { key }).await?;
    }
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
pub(super) fn unlock_key(swarm: &dyn Manager) -> Reply {
    let key = look(swarm, |view| {
        let cluster = view.state.cluster().ok_or_else(missing)?;
        Ok(cluster.unlock_key.clone())
    })?;
    let text = |key: object::UnlockKey| lock::UnlockKey::from_bytes(key.0).to_text().to_string();
    let unlock_key = key.map(text).unwrap_or_default();
    Ok(Json(UnlockKey { unlock_key }).into_response())
}
