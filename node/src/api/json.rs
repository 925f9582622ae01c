//! Reading JSON as Go reads it.
//!
//! Go's decoder ignores the case of keys and takes `null` for "not said";
//! clients rely on both (`HealthCheck` and `Healthcheck`, docker-py's explicit
//! nulls). serde does neither, so a body is brought into canonical form first:
//! known keys in their one spelling, nulls left out. What users name
//! themselves (labels, options, sysctls) is left as it is.

mod syntax;

use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::error::ApiError;

/// Keys of maps whose own keys are the user's.
const FREE_FORM: &[&str] = &[
    "AuxiliaryAddresses",
    "DriverOpts",
    "Labels",
    "Options",
    "Sysctls",
];

/// Every other key of the swarm API, sorted without regard to case.
#[rustfmt::skip]
const KEYS: &[&str] = &[
    "Addr", "AdvertiseAddr", "Aliases", "Architecture", "Args", "Attachable",
    "AutoLockManagers", "AuxiliaryAddresses", "Availability", "BindOptions", "CACert",
    "CAConfig", "CapabilityAdd", "CapabilityDrop", "CertIssuerPublicKey",
    "CertIssuerSubject", "CheckDuplicate", "Cluster", "ClusterOptions", "Command",
    "CompletedAt", "CompletedTasks", "Condition", "Config", "ConfigFrom", "ConfigID",
    "ConfigName", "ConfigOnly", "Configs", "Consistency", "Constraints", "ContainerID",
    "ContainerSpec", "ContainerStatus", "ControlAvailable", "CreatedAt",
    "CreateMountpoint", "CredentialSpec", "Data", "DataPathAddr", "DataPathPort",
    "DefaultAddrPool", "Delay", "Description", "DesiredState", "DesiredTasks", "Dir",
    "Dispatcher", "DNSConfig", "Driver", "DriverConfig", "DriverOpts", "ElectionTick",
    "EnableIPv4", "EnableIPv6", "EncryptionConfig", "Endpoint", "EndpointSpec",
    "Engine", "EngineVersion", "Env", "Err", "Error", "ExitCode", "ExternalCAs",
    "FailureAction", "File", "ForceNewCluster", "ForceRotate", "ForceUpdate", "Gateway",
    "GenericResources", "GID", "Global", "GlobalJob", "Groups", "Hard", "Healthcheck",
    "HeartbeatPeriod", "HeartbeatTick", "HostIP", "Hostname", "Hosts", "ID", "Image",
    "ImageOptions", "Index", "Ingress", "Init", "Internal", "Interval", "IPAM",
    "IPRange", "Isolation", "JobIteration", "JobStatus", "JoinToken", "JoinTokens",
    "KeepOldSnapshots", "Labels", "LastExecution", "Leader", "Limits", "ListenAddr",
    "LocalNodeState", "LogDriver", "LogEntriesForSlowFollowers", "Manager", "Managers", "ManagerStatus", "MaxAttempts",
    "MaxConcurrent", "MaxFailureRatio", "MaxReplicas", "MemoryBytes",
    "MemorySwappiness", "Message", "Mode", "Monitor", "Mounts", "Name", "Nameservers",
    "NanoCPUs", "Network", "NetworkAttachmentSpec", "NetworkID", "Networks", "NoCopy",
    "NodeAddr", "NodeCertExpiry", "NodeID", "Nodes", "NonRecursive", "OomScoreAdj",
    "OpenStdin", "Options", "Orchestration", "Order", "OS", "Parallelism", "PID",
    "Pids", "Placement", "Platform", "Platforms", "Plugins", "PluginSpec", "Ports",
    "PortStatus", "Preferences", "PreviousSpec", "Privileges", "Propagation",
    "Protocol", "PublishedPort", "PublishMode", "Raft", "Reachability", "ReadOnly",
    "ReadOnlyForceRecursive", "ReadOnlyNonRecursive", "RemoteAddrs", "RemoteManagers",
    "Replicas", "Replicated", "ReplicatedJob", "Reservations", "Resources",
    "RestartPolicy", "Retries", "Role", "RollbackConfig", "RootRotationInProgress",
    "RunningTasks", "Runtime", "Scope", "Search", "SecretID", "SecretName", "Secrets",
    "ServerVersion", "ServiceID", "ServiceStatus", "SigningCACert", "SigningCAKey",
    "SizeBytes", "Slot", "SnapshotInterval", "Soft", "Source", "Spec", "Spread",
    "SpreadDescriptor", "StartedAt", "StartInterval", "StartPeriod", "State", "Status",
    "StopGracePeriod", "StopSignal", "Subnet", "SubnetSize", "Subpath", "SwapBytes",
    "Swarm", "Sysctls", "Target", "TargetPort", "TaskDefaults",
    "TaskHistoryRetentionLimit", "TaskTemplate", "Templating", "Test", "Timeout",
    "Timestamp", "TLSInfo", "TmpfsOptions", "TotalCompletions", "TrustRoot", "TTY",
    "Type", "UID", "Ulimits", "UnlockKey", "UpdateConfig", "UpdatedAt", "UpdateStatus",
    "User", "Version", "VirtualIPs", "VolumeOptions", "Warnings", "Window", "Worker",
];

/// Whether a body says that it is JSON. As the docker program calls one that is
/// empty whatever it likes, nobody is told of that.
///
/// # Errors
/// 400 in the words of Docker 28.
pub fn check_type(headers: &HeaderMap, body: &[u8]) -> Result<(), ApiError> {
    const JSON: &str = "application/json";
    let said = headers.get(CONTENT_TYPE).map(|it| it.as_bytes());
    let said = String::from_utf8_lossy(said.unwrap_or_default());
    let kind = said.split(';').next().unwrap_or_default().trim();
    if body.is_empty() || kind.eq_ignore_ascii_case(JSON) {
        return Ok(());
    }
    Err(ApiError::bad_request(match kind {
        "" => format!("malformed Content-Type header ({said}): mime: no media type"),
        _ => format!("unsupported Content-Type header ({said}): must be '{JSON}'"),
    }))
}

/// Reads `body` into `T`, which Go calls `go_type` (for its error texts).
///
/// # Errors
/// 400 in Go's words.
pub fn decode<T: DeserializeOwned>(body: &[u8], go_type: &str) -> Result<T, ApiError> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Err(ApiError::bad_request(
            "invalid JSON: got EOF while reading request body",
        ));
    }
    let value: Value = serde_json::from_slice(body)
        .map_err(|error| ApiError::bad_request(syntax::refusal(&error, body)))?;
    if !value.is_object() && !value.is_null() {
        return Err(ApiError::bad_request(format!(
            "json: cannot unmarshal {} into Go value of type {go_type}",
            go_kind(&value)
        )));
    }
    let value = match canonical(value) {
        Value::Null => Value::Object(Map::new()),
        value => value,
    };
    serde_path_to_error::deserialize(value).map_err(|error| {
        let field = go_type.rsplit('.').next().unwrap_or(go_type);
        ApiError::bad_request(format!(
            "json: cannot unmarshal into Go struct field {field}.{}: {}",
            error.path(),
            error.inner()
        ))
    })
}

/// `value` with every known key in its one spelling and without nulls.
pub fn canonical(value: Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(canonical_map(map)),
        Value::Array(items) => Value::Array(items.into_iter().map(canonical).collect()),
        other => other,
    }
}

fn canonical_map(map: Map<String, Value>) -> Map<String, Value> {
    map.into_iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(key, value)| {
            let key = canonical_key(key);
            let value = if FREE_FORM.contains(&key.as_str()) {
                free_form(value)
            } else {
                canonical(value)
            };
            (key, value)
        })
        .collect()
}

fn canonical_key(key: String) -> String {
    KEYS.iter()
        .find(|known| known.eq_ignore_ascii_case(&key))
        .map_or(key, |known| (*known).to_owned())
}

/// In Go, a null in a map of strings is the empty string. `Options` is a list
/// in some objects, which is left alone.
fn free_form(value: Value) -> Value {
    let Value::Object(map) = value else {
        return value;
    };
    let text = |value| match value {
        Value::Null => Value::String(String::new()),
        value => value,
    };
    Value::Object(
        map.into_iter()
            .map(|(key, value)| (key, text(value)))
            .collect(),
    )
}

fn go_kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::dto::{NetworkCreateRequest, NodeSpec, ServiceSpec};
    use proptest::prelude::*;
    use serde_json::json;

    fn spec(value: &Value) -> ServiceSpec {
        decode(value.to_string().as_bytes(), "swarm.ServiceSpec").unwrap()
    }

    #[test]
    fn the_case_of_keys_does_not_matter() {
        let lower = spec(&json!({
            "name": "web",
            "tasktemplate": {"containerspec": {"image": "x", "HealthCheck": {"test": ["NONE"]}}},
        }));
        assert_eq!(lower.name, "web");
        let container = lower.task_template.container_spec.unwrap();
        assert_eq!(container.image, "x");
        assert_eq!(container.healthcheck.unwrap().test, ["NONE"]);
    }

    #[test]
    fn null_is_not_said() {
        let read = spec(&json!({
            "Name": "web", "Labels": null, "UpdateConfig": null,
            "TaskTemplate": {"ContainerSpec": {"Args": null, "Mounts": null}, "Networks": null},
        }));
        assert_eq!(
            read,
            spec(&json!({"Name": "web", "TaskTemplate": {"ContainerSpec": {}}}))
        );
    }

    #[test]
    fn the_users_own_keys_keep_their_case_and_their_nulls() {
        let read = spec(&json!({"Labels": {"name": "a", "IMAGE": null}}));
        assert_eq!(read.labels["name"], "a");
        assert_eq!(read.labels["IMAGE"], "");
    }

    #[test]
    fn reserved_addresses_keep_their_names() {
        let body = br#"{"name": "n", "enableipv6": true, "ipam": {"driver": null, "config":
            [{"subnet": "10.0.0.0/24", "auxiliaryaddresses": {"name": "10.0.0.9"}}]}}"#;
        let read: NetworkCreateRequest = decode(body, "network.CreateRequest").unwrap();
        assert!(read.enable_ipv6);
        let config = &read.ipam.unwrap().config.unwrap()[0];
        assert_eq!(config.subnet, "10.0.0.0/24");
        assert_eq!(config.auxiliary_addresses["name"], "10.0.0.9");
    }

    #[test]
    fn a_wrong_type_is_refused_in_gos_words() {
        let refused = decode::<ServiceSpec>(b"\"x\"", "swarm.ServiceSpec").unwrap_err();
        assert_eq!(
            refused.message,
            "json: cannot unmarshal string into Go value of type swarm.ServiceSpec"
        );
        let refused = decode::<ServiceSpec>(
            br#"{"TaskTemplate": {"ForceUpdate": "x"}}"#,
            "swarm.ServiceSpec",
        )
        .unwrap_err();
        assert!(
            refused
                .message
                .contains("Go struct field ServiceSpec.TaskTemplate.ForceUpdate"),
            "{refused}"
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(body: Vec<u8>) {
            let _ = decode::<ServiceSpec>(&body, "swarm.ServiceSpec");
            let _ = decode::<NodeSpec>(&body, "swarm.NodeSpec");
            let _ = decode::<NetworkCreateRequest>(&body, "network.CreateRequest");
        }
    }
}
