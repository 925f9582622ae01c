//! The cluster and its spec.

use std::time::Duration;

use services::managing;
use services::object;
use services::spec::{self, ClusterSpec};

use super::{duration, nanos, refuse_missing};
use crate::api::backend::{NewRoot, View};
use crate::api::dto::{
    CaConfig, ClusterInfo, Dispatcher, EncryptionConfig, Extra, JoinTokens, Orchestration,
    RaftConfig, SwarmSpec, Time, Version,
};
use crate::api::error::ApiError;

const MIN_CERTIFICATE_LIFETIME: Duration = Duration::from_secs(3600);

const MISSING_CA: &[(&str, &str)] = &[(
    "ExternalCAs",
    "external certificate authorities are not in this version",
)];

/// The CA that `config` asks for, `before` being how often it was asked for.
///
/// # Errors
/// 400 in Docker's words for one half of a CA. There is no external CA that
/// could have the other.
pub fn new_root(config: &CaConfig, before: u64) -> Result<Option<NewRoot>, ApiError> {
    let (certificate, key) = (&config.signing_ca_cert, &config.signing_ca_key);
    match (certificate.trim().is_empty(), key.pem().trim().is_empty()) {
        (true, true) => Ok((config.force_rotate > before).then_some(NewRoot::Made)),
        (false, false) => Ok(Some(NewRoot::Given {
            certificate: certificate.clone(),
            key: key.clone(),
        })),
        (true, false) => Err(ApiError::invalid_argument(
            "if a signing CA key is provided, the signing CA cert must also be provided",
        )),
        (false, true) => Err(ApiError::invalid_argument(
            "external certificate authorities are not in this version: the key of the \
             desired CA certificate must also be provided",
        )),
    }
}

/// What `spec` does not say stays as it is in `before`.
///
/// # Errors
/// 400 for what cannot be meant, 501 for what is not in this version.
pub fn cluster_spec(spec: SwarmSpec, before: &ClusterSpec) -> Result<ClusterSpec, ApiError> {
    if !matches!(spec.name.as_str(), "" | "default") {
        return Err(ApiError::bad_request(
            "swarm spec must be named \"default\"",
        ));
    }
    refuse_missing(&spec.ca_config.extra, MISSING_CA)?;
    if spec.raft.keep_old_snapshots.is_some_and(|kept| kept > 0) {
        return Err(ApiError::unimplemented(
            "old snapshots are not kept; back the data directories up instead",
        ));
    }
    let certificate_lifetime = match spec.ca_config.node_cert_expiry {
        0 => before.certificate_lifetime,
        nanos => duration("certificate expiry time", nanos)?,
    };
    if certificate_lifetime < MIN_CERTIFICATE_LIFETIME {
        return Err(ApiError::invalid_argument(
            "minimum certificate expiry time is: 1h0m0s",
        ));
    }
    managing::managers(&spec.labels)?;
    managing::autopilot(&spec.labels)?;
    let heartbeat = match spec.dispatcher.heartbeat_period {
        0 => before.heartbeat,
        nanos => duration("heartbeat period", nanos)?,
    };
    Ok(ClusterSpec {
        labels: spec.labels,
        // Negative is Docker's "all of them".
        task_history: match spec.orchestration.task_history_retention_limit {
            None => before.task_history,
            Some(limit) => u64::try_from(limit).unwrap_or(u64::MAX),
        },
        certificate_lifetime,
        heartbeat,
        snapshot_interval: match spec.raft.snapshot_interval {
            0 => before.snapshot_interval,
            interval => interval,
        },
        address_pools: before.address_pools.clone(),
        subnet_size: before.subnet_size,
        data_path_port: before.data_path_port,
        force_rotate: before.force_rotate.max(spec.ca_config.force_rotate),
    })
}

pub fn cluster_info(cluster: &object::Cluster, view: View<'_>) -> ClusterInfo {
    ClusterInfo {
        id: cluster.id.to_string(),
        version: Version {
            index: cluster.meta.version,
        },
        created_at: Time(cluster.meta.created),
        updated_at: Time(cluster.meta.updated),
        spec: show_spec(&cluster.spec, cluster.unlock_key.is_some()),
        tls_info: view.authorities.of_swarm(),
        root_rotation_in_progress: view.state.rotation().is_some(),
        default_addr_pool: cluster
            .spec
            .address_pools
            .iter()
            .map(ToString::to_string)
            .collect(),
        subnet_size: cluster.spec.subnet_size.into(),
        data_path_port: cluster.spec.data_path_port.into(),
    }
}

fn show_spec(spec: &spec::ClusterSpec, autolock: bool) -> SwarmSpec {
    SwarmSpec {
        name: "default".into(),
        labels: spec.labels.clone(),
        orchestration: Orchestration {
            task_history_retention_limit: Some(i64::try_from(spec.task_history).unwrap_or(-1)),
        },
        raft: RaftConfig {
            snapshot_interval: spec.snapshot_interval,
            keep_old_snapshots: Some(0),
            log_entries_for_slow_followers: 500,
            election_tick: 10,
            heartbeat_tick: 1,
        },
        dispatcher: Dispatcher {
            heartbeat_period: nanos(spec.heartbeat),
        },
        ca_config: CaConfig {
            node_cert_expiry: nanos(spec.certificate_lifetime),
            force_rotate: spec.force_rotate,
            ..CaConfig::default()
        },
        task_defaults: Extra::new(),
        encryption_config: EncryptionConfig {
            auto_lock_managers: autolock,
        },
        extra: Extra::new(),
    }
}

pub fn join_tokens(tokens: &object::JoinTokens) -> JoinTokens {
    JoinTokens {
        worker: tokens.worker.clone(),
        manager: tokens.manager.clone(),
    }
}
