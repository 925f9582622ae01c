//! How updates proceed, and how far one is.

use services::object;
use services::spec::{self, FailureAction, UpdateOrder, defaults};

use super::{nanos, optional_duration};
use crate::api::dto::{Time, UpdateConfig, UpdateStatus};
use crate::api::error::ApiError;

/// `what` is `update` or `rollback`.
pub(super) fn config(what: &str, dto: UpdateConfig) -> Result<spec::UpdateConfig, ApiError> {
    let failure_action = match dto.failure_action.as_str() {
        "" | "pause" => FailureAction::Pause,
        "continue" => FailureAction::Continue,
        "rollback" if what == "update" => FailureAction::Rollback,
        other => {
            return Err(ApiError::bad_request(format!(
                "unrecognized {what} failure action {other}"
            )));
        }
    };
    let order = match dto.order.as_str() {
        "" | "stop-first" => UpdateOrder::StopFirst,
        "start-first" => UpdateOrder::StartFirst,
        other => {
            return Err(ApiError::bad_request(format!(
                "unrecognized {what} order {other}"
            )));
        }
    };
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
    let failure_action = match config.failure_action.unwrap_or_default() {
        FailureAction::Pause => "pause",
        FailureAction::Continue => "continue",
        FailureAction::Rollback => "rollback",
    };
    let order = match config.order.unwrap_or_default() {
        UpdateOrder::StopFirst => "stop-first",
        UpdateOrder::StartFirst => "start-first",
    };
    UpdateConfig {
        parallelism: config.parallelism,
        delay: config.delay.map(nanos),
        failure_action: failure_action.into(),
        monitor: config.monitor.map(nanos),
        max_failure_ratio: config.max_failure_ratio,
        order: order.into(),
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
