//! Between Docker's wire form and the domain: the only place that knows both.
//!
//! Inwards, everything that cannot be carried out is refused with Docker's
//! text, or as not there yet; nothing is dropped in silence. Outwards, what
//! was left out stays out and explicit zeros stay, except for the fields that
//! Docker fills in on every answer (isolation, protocol, publish mode, …). For
//! those, both ways of writing them are read as the same: a client that sends
//! back what it was shown, as `docker service scale` does, changes nothing.

mod cluster;
mod container;
mod doctor;
mod file;
mod generic;
mod mode;
mod network;
mod node;
mod options;
mod placement;
mod request;
mod service;
mod task;
mod update;
mod watch;

use std::str::FromStr;
use std::time::Duration;

use super::dto::Extra;
use super::error::ApiError;

pub use cluster::{cluster_info, cluster_spec, join_tokens, new_root};
pub use doctor::doctor;
pub use file::{file, file_spec};
pub use network::{OVERLAY, SWARMLET, driver_of, network, network_spec, own_network};
pub use node::{node, node_spec};
pub use placement::show_platform;
pub use request::{init_request, join_request, up_request};
pub use service::{insert_defaults, service, service_spec, show_port, show_service_spec};
pub use task::task;
pub use watch::{event, happened, member};

/// Nanoseconds, of which `field` must not have less than none.
fn duration(field: &str, nanos: i64) -> Result<Duration, ApiError> {
    u64::try_from(nanos)
        .map(Duration::from_nanos)
        .map_err(|_| ApiError::invalid_argument(format!("{field} cannot be negative")))
}

fn optional_duration(field: &str, nanos: Option<i64>) -> Result<Option<Duration>, ApiError> {
    nanos.map(|nanos| duration(field, nanos)).transpose()
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

/// Go's strings have no `null`: empty is "not said".
fn said(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

/// The value that is called so; an empty word means the default.
fn word<T: Default + FromStr>(text: &str) -> Option<T> {
    match text {
        "" => Some(T::default()),
        text => text.parse().ok(),
    }
}

fn or_empty(text: Option<&String>) -> String {
    text.cloned().unwrap_or_default()
}

/// Refuses the fields among `extra` that Docker knows and this version does
/// not have. What nobody knows is ignored, as Docker does; so is what says
/// nothing (`{}`, `[]`, `""`, `false`, `0`).
fn refuse_missing(extra: &Extra, missing: &[(&str, &str)]) -> Result<(), ApiError> {
    let asked = |field: &str| extra.get(field).is_some_and(says_something);
    match missing.iter().find(|(field, _)| asked(field)) {
        Some((_, reason)) => Err(ApiError::unimplemented(*reason)),
        None => Ok(()),
    }
}

fn says_something(value: &serde_json::Value) -> bool {
    use serde_json::Value;
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Bool(true) => true,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => fields.values().any(says_something),
    }
}
