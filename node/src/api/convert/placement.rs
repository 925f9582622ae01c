//! Where tasks may run, what they may use and when they are replaced.

use services::generic::Wanted;
use services::spec::{self, ResourceAmounts};

use super::{generic, nanos, optional_duration, refuse_missing, word};
use crate::api::dto::{
    Limit, Placement, PlacementPreference, Platform, Reservation, Resources, RestartPolicy,
    SpreadOver,
};
use crate::api::error::ApiError;

const MISSING: &[(&str, &str)] = &[
    (
        "SwapBytes",
        "limits of swap are not in this version; set them on the engines",
    ),
    (
        "MemorySwappiness",
        "memory swappiness is not in this version; set it on the hosts",
    ),
];

/// Without the generic ones.
pub(super) fn resources(dto: Resources) -> Result<spec::Resources, ApiError> {
    refuse_missing(&dto.extra, MISSING)?;
    Ok(spec::Resources {
        limits: dto.limits.map(|limit| ResourceAmounts {
            nano_cpus: limit.nano_cpus,
            memory_bytes: limit.memory_bytes,
            pids: limit.pids,
        }),
        reservations: dto.reservations.map(|reserved| ResourceAmounts {
            nano_cpus: reserved.nano_cpus,
            memory_bytes: reserved.memory_bytes,
            pids: 0,
        }),
    })
}

pub(super) fn show_resources(resources: &spec::Resources, generic: &Wanted) -> Resources {
    let reservations = resources.reservations.as_ref().map(|amounts| Reservation {
        generic_resources: generic::show_wanted(generic),
        ..show_amounts(amounts)
    });
    Resources {
        limits: resources.limits.as_ref().map(|limit| Limit {
            nano_cpus: limit.nano_cpus,
            memory_bytes: limit.memory_bytes,
            pids: limit.pids,
        }),
        reservations,
        ..Resources::default()
    }
}

pub(super) fn show_amounts(amounts: &ResourceAmounts) -> Reservation {
    Reservation {
        nano_cpus: amounts.nano_cpus,
        memory_bytes: amounts.memory_bytes,
        generic_resources: Vec::new(),
    }
}

pub(super) fn restart(dto: RestartPolicy) -> Result<spec::RestartPolicy, ApiError> {
    let condition = word(&dto.condition).ok_or_else(|| {
        ApiError::bad_request(format!("invalid RestartCondition: {:?}", dto.condition))
    })?;
    Ok(spec::RestartPolicy {
        condition: Some(condition),
        delay: optional_duration("TaskSpec: restart-delay", dto.delay)?,
        max_attempts: Some(dto.max_attempts.unwrap_or(0)),
        window: optional_duration("TaskSpec: restart-window", dto.window)?,
    })
}

pub(super) fn show_restart(policy: &spec::RestartPolicy) -> RestartPolicy {
    RestartPolicy {
        condition: policy.condition.unwrap_or_default().as_str().into(),
        delay: policy.delay.map(nanos),
        max_attempts: Some(policy.max_attempts.unwrap_or(0)),
        window: policy.window.map(nanos),
    }
}

pub(super) fn placement(dto: Placement) -> spec::Placement {
    let descriptor = |preference: PlacementPreference| Some(preference.spread?.spread_descriptor);
    spec::Placement {
        constraints: dto.constraints,
        preferences: dto.preferences.into_iter().filter_map(descriptor).collect(),
        max_per_node: (dto.max_replicas > 0).then_some(dto.max_replicas),
        platforms: dto
            .platforms
            .into_iter()
            .map(|platform| spec::Platform {
                architecture: platform.architecture,
                os: platform.os,
            })
            .collect(),
    }
}

pub(super) fn show_placement(placement: &spec::Placement) -> Placement {
    let preference = |descriptor: &String| PlacementPreference {
        spread: Some(SpreadOver {
            spread_descriptor: descriptor.clone(),
        }),
    };
    Placement {
        constraints: placement.constraints.clone(),
        preferences: placement.preferences.iter().map(preference).collect(),
        max_replicas: placement.max_per_node.unwrap_or(0),
        platforms: placement.platforms.iter().map(show_platform).collect(),
    }
}

pub fn show_platform(platform: &spec::Platform) -> Platform {
    Platform {
        architecture: platform.architecture.clone(),
        os: platform.os.clone(),
    }
}
