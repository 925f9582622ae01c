//! What Docker's API cannot say goes as labels of the service.

use std::net::IpAddr;

use services::compose::{Device, GpuCount, Gpus, IpcMode, PidMode, Project, Service};

use super::Stack;
use crate::api::dto::Labels;

/// Adds the labels for what `service` asks of its containers.
pub fn add(labels: &mut Labels, stack: &Stack, service: &Service, project: &Project) {
    let mut set = |key: String, value: String| labels.insert(format!("swarmlet.{key}"), value);
    for (number, device) in service.devices.iter().enumerate() {
        set(format!("device.{number}"), device_value(device));
    }
    if let Some(gpus) = &service.gpus {
        set("gpus".into(), gpus_value(gpus));
    }
    if service.privileged {
        set("privileged".into(), "true".into());
    }
    for (number, option) in service.security_opt.iter().enumerate() {
        set(format!("security-opt.{number}"), option.clone());
    }
    if let Some(size) = service.shm_size {
        set("shm-size".into(), size.to_string());
    }
    if let Some(PidMode::Host) = service.pid {
        set("pid".into(), "host".into());
    }
    if let Some(ipc) = service.ipc {
        let mode = match ipc {
            IpcMode::Host => "host",
            IpcMode::Shareable => "shareable",
            IpcMode::Private => "private",
            IpcMode::None => "none",
        };
        set("ipc".into(), mode.into());
    }
    if let Some(platform) = &service.platform {
        set("platform".into(), platform.to_string());
    }
    for (key, attachment) in &service.networks {
        let v4 = attachment.ipv4_address.map(IpAddr::V4);
        let v6 = attachment.ipv6_address.map(IpAddr::V6);
        let addrs: Vec<String> = v4.iter().chain(&v6).map(IpAddr::to_string).collect();
        if !addrs.is_empty() {
            let said = project.networks.get(key).and_then(|it| it.name.as_ref());
            let network = stack.name_of(key, said);
            set(format!("ip.{network}"), addrs.join(","));
        }
    }
}

fn device_value(device: &Device) -> String {
    let Device {
        host,
        container,
        permissions,
    } = device;
    match permissions.is_empty() {
        true => format!("{host}:{container}"),
        false => format!("{host}:{container}:{permissions}"),
    }
}

/// As `docker run --gpus` takes it: a count, or fields with commas between,
/// where a field that has commas itself is quoted.
fn gpus_value(gpus: &Gpus) -> String {
    let count = gpus.count.map(|count| match count {
        GpuCount::All => "all".to_owned(),
        GpuCount::Of(count) => count.to_string(),
    });
    let plain = gpus.driver.is_none()
        && gpus.device_ids.is_empty()
        && gpus.options.is_empty()
        && gpus.capabilities.iter().all(|name| name == "gpu");
    let mut fields = Vec::new();
    match count {
        Some(count) if plain => return count,
        Some(count) => fields.push(format!("count={count}")),
        None => {}
    }
    if let Some(driver) = &gpus.driver {
        fields.push(format!("driver={driver}"));
    }
    let options: Vec<String> = gpus
        .options
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    for (name, values) in [
        ("device", &gpus.device_ids),
        ("capabilities", &gpus.capabilities),
        ("options", &options),
    ] {
        if !values.is_empty() {
            fields.push(quoted(&format!("{name}={}", values.join(","))));
        }
    }
    fields.join(",")
}

/// RFC 4180: a field with a comma or a quote goes in quotes.
fn quoted(field: &str) -> String {
    match field.contains([',', '"']) {
        true => format!("\"{}\"", field.replace('"', "\"\"")),
        false => field.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gpus_are_said_as_docker_run_takes_them() {
        let all = Gpus {
            count: Some(GpuCount::All),
            capabilities: vec!["gpu".into()],
            ..Gpus::default()
        };
        assert_eq!(gpus_value(&all), "all");
        let named = Gpus {
            driver: Some("nvidia".into()),
            device_ids: vec!["0".into(), "1".into()],
            capabilities: vec!["gpu".into()],
            ..Gpus::default()
        };
        assert_eq!(
            gpus_value(&named),
            "driver=nvidia,\"device=0,1\",capabilities=gpu"
        );
        let counted = Gpus {
            count: Some(GpuCount::Of(2)),
            capabilities: vec!["gpu".into(), "utility".into()],
            ..Gpus::default()
        };
        assert_eq!(gpus_value(&counted), "count=2,\"capabilities=gpu,utility\"");
    }
}
