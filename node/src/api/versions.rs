//! What a request's version of the API does not have is not in the request, as
//! in Docker: a client that speaks an older version means something else by it,
//! or nothing. Who names no version speaks the newest.

use super::dto::{ContainerSpec, InitRequest, ServiceSpec};
use super::route::ApiVersion;

/// From which on there are jobs, and counts of tasks in lists.
pub(super) const SINCE_JOBS: ApiVersion = ApiVersion(1, 41);

/// Takes out of the spec what came after `version`.
pub(super) fn service(spec: &mut ServiceSpec, version: ApiVersion) {
    let task = &mut spec.task_template;
    if let Some(container) = &mut task.container_spec {
        self::container(container, version);
    }
    if version < ApiVersion(1, 40)
        && let Some(placement) = &mut task.placement
    {
        placement.max_replicas = 0;
    }
    if version < SINCE_JOBS {
        spec.mode.replicated_job = None;
        spec.mode.global_job = None;
        let resources = task.resources.as_mut();
        if let Some(limits) = resources.and_then(|resources| resources.limits.as_mut()) {
            limits.pids = 0;
        }
    }
}

fn container(container: &mut ContainerSpec, version: ApiVersion) {
    if version < ApiVersion(1, 40) {
        container.sysctls.clear();
    }
    if version < ApiVersion(1, 41) {
        container.capability_add.clear();
        container.capability_drop.clear();
        container.ulimits.clear();
    }
    if version < ApiVersion(1, 44)
        && let Some(check) = &mut container.healthcheck
    {
        check.start_interval = None;
    }
    if version < ApiVersion(1, 46) {
        container.oom_score_adj = None;
    }
}

/// The same of what a swarm is made of.
pub(super) fn init(request: &mut InitRequest, version: ApiVersion) {
    if version < ApiVersion(1, 39) {
        request.default_addr_pool.clear();
        request.subnet_size = 0;
    }
    if version < ApiVersion(1, 40) {
        request.data_path_port = 0;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::api::json;

    fn of(version: u16) -> Value {
        let sent = json!({
            "TaskTemplate": {
                "ContainerSpec": {
                    "Sysctls": {"a": "1"}, "CapabilityAdd": ["A"], "OomScoreAdj": 5,
                    "Healthcheck": {"StartInterval": 7}, "Ulimits": [{"Name": "n"}],
                },
                "Resources": {"Limits": {"Pids": 9}},
                "Placement": {"MaxReplicas": 2},
            },
            "Mode": {"GlobalJob": {}},
        });
        let body = sent.to_string();
        let mut spec: ServiceSpec = json::decode(body.as_bytes(), "swarm.ServiceSpec").unwrap();
        service(&mut spec, ApiVersion(1, version));
        serde_json::to_value(spec).unwrap()
    }

    #[test]
    fn each_field_is_there_from_its_version_on() {
        for (since, place) in [
            (40, "/TaskTemplate/ContainerSpec/Sysctls/a"),
            (40, "/TaskTemplate/Placement/MaxReplicas"),
            (41, "/TaskTemplate/ContainerSpec/CapabilityAdd/0"),
            (41, "/TaskTemplate/ContainerSpec/Ulimits/0"),
            (41, "/TaskTemplate/Resources/Limits/Pids"),
            (41, "/Mode/GlobalJob"),
            (44, "/TaskTemplate/ContainerSpec/Healthcheck/StartInterval"),
            (46, "/TaskTemplate/ContainerSpec/OomScoreAdj"),
        ] {
            assert!(of(since).pointer(place).is_some(), "{place} in 1.{since}");
            assert!(
                of(since - 1).pointer(place).is_none(),
                "{place} before 1.{since}"
            );
        }
    }

    #[test]
    fn a_swarms_address_plan_is_there_from_its_versions_on() {
        let request = InitRequest {
            default_addr_pool: vec!["10.0.0.0/8".into()],
            subnet_size: 26,
            data_path_port: 5000,
            ..InitRequest::default()
        };
        for (version, expected) in [(40, (1, 26, 5000)), (39, (1, 26, 0)), (38, (0, 0, 0))] {
            let mut request = request.clone();
            init(&mut request, ApiVersion(1, version));
            let pools = request.default_addr_pool.len();
            assert_eq!(
                (pools, request.subnet_size, request.data_path_port),
                expected
            );
        }
    }
}
