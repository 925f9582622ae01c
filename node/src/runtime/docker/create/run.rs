//! What only `docker run` can say, as `docker run` says it.

use bollard::models::{DeviceMapping, DeviceRequest, HostConfig};
use services::spec::{Device, GpuCount, GpuRequest, RunOptions, SecurityOption};

/// With nothing else in it.
pub(super) fn host_config(run: &RunOptions) -> HostConfig {
    let devices: Vec<DeviceMapping> = run.devices.iter().map(device).collect();
    let security = run.security.iter().filter_map(|option| match option {
        SecurityOption::Engine(text) => Some(text.clone()),
        SecurityOption::UnconfinedPaths => None,
    });
    let security: Vec<String> = security.collect();
    // Empty lists are other than none: nothing is masked, nothing read-only.
    let unconfined = run.security.contains(&SecurityOption::UnconfinedPaths);
    let no_paths = unconfined.then(Vec::new);
    HostConfig {
        devices: Some(devices).filter(|it| !it.is_empty()),
        device_requests: run.gpus.as_ref().map(|gpus| vec![device_request(gpus)]),
        privileged: run.privileged.then_some(true),
        security_opt: Some(security).filter(|it| !it.is_empty()),
        masked_paths: no_paths.clone(),
        readonly_paths: no_paths,
        shm_size: run.shm_size,
        pid_mode: run.pid.map(|mode| mode.as_str().to_owned()),
        ipc_mode: run.ipc.map(|mode| mode.as_str().to_owned()),
        ..HostConfig::default()
    }
}

fn device(device: &Device) -> DeviceMapping {
    DeviceMapping {
        path_on_host: Some(device.on_host.clone()),
        path_in_container: Some(device.in_container.clone()),
        cgroup_permissions: Some(device.permissions.clone()),
    }
}

fn device_request(gpus: &GpuRequest) -> DeviceRequest {
    let (count, device_ids) = match &gpus.count {
        GpuCount::All => (Some(-1), None),
        GpuCount::Number(number) => (Some(i64::from(*number)), None),
        GpuCount::Named(names) => (None, Some(names.clone())),
    };
    DeviceRequest {
        driver: Some(gpus.driver.clone()).filter(|it| !it.is_empty()),
        count,
        device_ids,
        capabilities: Some(vec![gpus.capabilities.iter().cloned().collect()]),
        options: Some(gpus.options.clone().into_iter().collect()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn config(run: &RunOptions) -> serde_json::Value {
        serde_json::to_value(host_config(run)).unwrap()
    }

    #[test]
    fn run_options_are_those_of_docker_run() {
        let run = RunOptions {
            devices: vec!["/dev/ttyUSB0:/dev/gps:rw".parse().unwrap()],
            gpus: Some("all,driver=nvidia".parse().unwrap()),
            privileged: true,
            security: vec![
                "seccomp=unconfined".parse().unwrap(),
                "systempaths=unconfined".parse().unwrap(),
            ],
            shm_size: Some(64 << 20),
            pid: Some("host".parse().unwrap()),
            ipc: Some("shareable".parse().unwrap()),
            platform: None,
        };
        assert_eq!(
            config(&run),
            json!({
                "Devices": [{
                    "PathOnHost": "/dev/ttyUSB0",
                    "PathInContainer": "/dev/gps",
                    "CgroupPermissions": "rw",
                }],
                "DeviceRequests": [{
                    "Driver": "nvidia",
                    "Count": -1,
                    "Capabilities": [["gpu"]],
                    "Options": {},
                }],
                "Privileged": true,
                "SecurityOpt": ["seccomp=unconfined"],
                "MaskedPaths": [],
                "ReadonlyPaths": [],
                "ShmSize": 64 << 20,
                "PidMode": "host",
                "IpcMode": "shareable",
            })
        );
    }

    #[test]
    fn what_is_not_said_is_left_to_the_engine() {
        assert_eq!(config(&RunOptions::default()), json!({}));
        let named = RunOptions {
            gpus: Some(r#""device=0,1""#.parse().unwrap()),
            ..RunOptions::default()
        };
        assert_eq!(
            config(&named)["DeviceRequests"],
            json!([{"DeviceIDs": ["0", "1"], "Capabilities": [["gpu"]], "Options": {}}])
        );
    }
}
