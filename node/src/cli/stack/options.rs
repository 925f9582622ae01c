//! What Docker's API cannot say goes as labels of the service.

use std::net::IpAddr;

use services::compose::{Project, Service};
use services::spec::Device;

use super::Stack;
use crate::api::dto::Labels;

/// Adds the labels for what `service` asks of its containers.
pub fn add(labels: &mut Labels, stack: &Stack, service: &Service, project: &Project) {
    let mut set = |key: String, value: String| labels.insert(format!("swarmlet.{key}"), value);
    for (number, device) in service.devices.iter().enumerate() {
        let Device {
            on_host,
            in_container,
            permissions,
        } = device;
        let value = format!("{on_host}:{in_container}:{permissions}");
        set(format!("device.{number}"), value);
    }
    if let Some(gpus) = &service.gpus {
        set("gpus".into(), gpus.to_string());
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
    if let Some(mode) = service.pid {
        set("pid".into(), mode.as_str().into());
    }
    if let Some(mode) = service.ipc {
        set("ipc".into(), mode.as_str().into());
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
