//! How updates proceed, and how far one is.

use services::object;
use services::spec::{self, FailureAction, defaults};

use super::{nanos, optional_duration, word};
use crate::api::dto::{Time, UpdateConfig, UpdateStatus};
use crate::api::error::ApiError;

/// `what` is `update` or `rollback`.
pub(super) fn config(what: &str, dto: UpdateConfig) -> Result<spec::UpdateConfig, ApiError> {
    let unrecognized =
        |key: &str, word: &str| ApiError::bad_request(format!("unrecognized {what} {key} {word}"));
    let failure_action = word(&dto.failure_action)
        .filter(|action| what == "update" || *action != FailureAction::Rollback)
        .ok_or_else(|| unrecognized("failure action", &dto.failure_action))?;
    let order = word(&dto.order).ok_or_else(|| unrecognized("order", &dto.order))?;
    Ok(spec::UpdateConfig {
        parallelism: dto.parallelism,
        delay: optional_duration(&format!("TaskSpec: {what}-delay"), dto.delay)?,
        failure_action: Some(failure_action),
        monitor: optional_duration(&format!("TaskSpec: {what}-monitor"), dto.monitor)?,
        max_failure_ratio: dto.max_failure_ratio,
        order: Some(order),
    })
}

pub(super) fn show_config(config: &spec::UpdateConfig) -> UpdateConfig {
    UpdateConfig {
        parallelism: config.parallelism,
        delay: config.delay.map(nanos),
        failure_action: config.failure_action.unwrap_or_default().as_str().into(),
        monitor: config.monitor.map(nanos),
        max_failure_ratio: config.max_failure_ratio,
        order: config.order.unwrap_or_default().as_str().into(),
    }
}

pub(super) fn default_config() -> UpdateConfig {
    show_config(&spec::UpdateConfig {
        parallelism: defaults::UPDATE_PARALLELISM,
        ..spec::UpdateConfig::default()
    })
}

pub(super) fn status(status: &object::UpdateStatus) -> UpdateStatus {
    UpdateStatus {
        state: status.state.as_str().into(),
        started_at: Some(Time(status.started)),
        completed_at: status.completed.map(Time),
        message: status.message.clone(),
    }
}
