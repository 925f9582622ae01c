//! What Docker's swarm leaves out of a container and edge hardware needs:
//! devices, privileges, namespaces of the host.

use super::super::item::Item;
use crate::spec::{Device, IpcMode, PidMode};

/// `/dev/ttyUSB0[:/dev/in][:rwm]`, or key by key.
pub(super) fn read_devices(item: &Item<'_>) -> Option<Vec<Device>> {
    item.list_of(|item| match item.node.as_map() {
        Some(_) => read_long(item),
        None => read_short(item),
    })
}

fn read_long(item: &Item<'_>) -> Option<Device> {
    let mut fields = item.fields()?;
    let on_host = fields.get("source", |item| item.parsed(path));
    let in_container = fields.get("target", |item| item.parsed(path));
    let permissions = fields.get("permissions", |item| item.parsed(permissions_of));
    if fields.item("source").is_none() {
        item.error("`source` must say which device of the node it is");
    }
    fields.finish();
    let on_host = on_host?;
    Some(Device {
        in_container: in_container.unwrap_or_else(|| on_host.clone()),
        on_host,
        permissions: permissions.unwrap_or_else(|| ALL.to_owned()),
    })
}

const ALL: &str = "rwm";

fn read_short(item: &Item<'_>) -> Option<Device> {
    item.parsed(|text| {
        if !text.starts_with('/') && text.contains('=') {
            return Err(format!(
                "{text:?} is a CDI name, which is not supported: name the device by its path"
            ));
        }
        let parts: Vec<&str> = text.split(':').collect();
        let (host, container, permissions) = match parts[..] {
            [host] => (host, host, ALL),
            [host, container] if container.starts_with('/') => (host, container, ALL),
            [host, permissions] => (host, host, permissions),
            [host, container, permissions] => (host, container, permissions),
            _ => return Err(format!("{text:?} is no /device[:/in/container][:rwm]")),
        };
        Ok(Device {
            on_host: path(host)?,
            in_container: path(container)?,
            permissions: permissions_of(permissions)?,
        })
    })
}

fn path(text: &str) -> Result<String, String> {
    match text.starts_with('/') {
        true => Ok(text.to_owned()),
        false => Err(format!("{text:?} is no absolute path")),
    }
}

fn permissions_of(text: &str) -> Result<String, String> {
    let known = !text.is_empty() && text.chars().all(|c| ALL.contains(c));
    match known {
        true => Ok(text.to_owned()),
        false => Err(format!("{text:?} are no permissions: some of r, w and m")),
    }
}

/// Docker's older `name:value` becomes `name=value`; a seccomp profile is read
/// from its file, because the file is here and the container is not.
pub(super) fn read_security_opt(item: &Item<'_>) -> Option<Vec<String>> {
    item.list_of(|item| {
        let text = item.str()?;
        let separator = text.find(['=', ':']);
        let (name, value) = match separator {
            Some(at) => (&text[..at], Some(&text[at + 1..])),
            None => (text, None),
        };
        let is_older = separator.is_some_and(|at| text.as_bytes()[at] == b':');
        if is_older && name == "label" {
            return Some(format!("label={}", value.unwrap_or_default()));
        }
        match (name, value) {
            ("seccomp", Some(value)) => Some(format!("seccomp={}", read_seccomp(item, value)?)),
            (_, Some(value)) => Some(format!("{name}={value}")),
            (_, None) => Some(text.to_owned()),
        }
    })
}

fn read_seccomp(item: &Item<'_>, value: &str) -> Option<String> {
    let is_meant_itself = matches!(value, "unconfined" | "builtin") || value.starts_with('{');
    if is_meant_itself {
        return Some(value.to_owned());
    }
    let context = item.context;
    let path = context.source(item.node.mark).resolve(value);
    let profile = match context.read(&path) {
        Ok(profile) => profile,
        Err(why) => {
            item.error(format!(
                "the profile {} cannot be read: {why}",
                context.name(&path)
            ));
            return None;
        }
    };
    // On one line, as it will travel in a label.
    match serde_json::from_str::<serde_json::Value>(&profile) {
        Ok(profile @ serde_json::Value::Object(_)) => Some(profile.to_string()),
        _ => {
            item.error(format!(
                "the profile {} is no JSON object",
                context.name(&path)
            ));
            None
        }
    }
}

pub(super) fn read_pid(item: &Item<'_>) -> Option<PidMode> {
    if item.str()? == "host" {
        return Some(PidMode::Host);
    }
    item.error("only `host` is possible: tasks of a swarm have no containers beside them");
    None
}

pub(super) fn read_ipc(item: &Item<'_>) -> Option<IpcMode> {
    let text = item.str()?;
    if text.starts_with("service:") || text.starts_with("container:") {
        item.error(
            "tasks of a swarm have no containers beside them: host, shareable, private or none",
        );
        return None;
    }
    item.value()
}
