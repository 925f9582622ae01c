//! One service.

use std::collections::BTreeMap;

use super::super::item::{Fields, Item};
use super::super::model::{Attachment, Condition, Dependency, Deploy, Service};
use super::{
    deploy, devices, duration, file_object, gpus, health, mount, network, pairs, port, resources,
    unused, variables,
};
use crate::spec::{DnsConfig, LogDriver, Mode, Ulimit};
use crate::text;

pub(super) fn read_service(_name: &str, item: &Item<'_>) -> Option<Service> {
    let mut fields = item.fields()?;
    let image = fields.get("image", Item::word);
    let has_image = fields.item("image").is_some();
    unused::check(&mut fields, has_image);
    let deploy = fields.get("deploy", deploy::read_deploy);
    let (deploy, reserved) = deploy.unwrap_or_default();
    let mut service = Service {
        image: image.unwrap_or_default(),
        entrypoint: fields.get("entrypoint", read_command),
        command: fields.get("command", read_command),
        environment: variables::read_environment(&mut fields),
        labels: variables::read_labels(&mut fields),
        hostname: fields.get("hostname", Item::optional),
        user: fields.get("user", Item::optional),
        working_dir: fields.get("working_dir", Item::optional),
        groups: fields.or_default("group_add", |item| item.list_of(Item::word)),
        tty: fields.or_default("tty", Item::boolean),
        stdin_open: fields.or_default("stdin_open", Item::boolean),
        read_only: fields.or_default("read_only", Item::boolean),
        init: fields.get("init", Item::boolean),
        mounts: fields.or_default("volumes", mount::read_volumes),
        stop_signal: fields.get("stop_signal", Item::optional),
        stop_grace: fields.get("stop_grace_period", duration),
        healthcheck: fields.get("healthcheck", health::read_health),
        logging: fields.get("logging", read_logging),
        hosts: fields.or_default("extra_hosts", read_hosts),
        dns: DnsConfig {
            nameservers: fields.or_default("dns", |item| item.many_of(read_address)),
            search: fields.or_default("dns_search", |item| item.many_of(Item::word)),
            options: fields.or_default("dns_opt", |item| item.many_of(Item::word)),
        },
        sysctls: fields.or_default("sysctls", pairs::texts),
        cap_add: fields.or_default("cap_add", |item| item.list_of(Item::word)),
        cap_drop: fields.or_default("cap_drop", |item| item.list_of(Item::word)),
        ulimits: fields.or_default("ulimits", read_ulimits),
        oom_score_adj: fields.get("oom_score_adj", |item| item.number(-1000, 1000)),
        isolation: fields.get("isolation", Item::optional),
        networks: BTreeMap::new(),
        network_mode: network::read_network_mode(&mut fields),
        ports: fields.or_default("ports", port::read_ports),
        secrets: fields.or_default("secrets", file_object::read_uses),
        configs: fields.or_default("configs", file_object::read_uses),
        deploy,
        depends_on: fields.or_default("depends_on", read_dependencies),
        profiles: fields.or_default("profiles", |item| item.list_of(Item::word)),
        devices: fields.or_default("devices", devices::read_devices),
        gpus: fields.get("gpus", gpus::read_gpus),
        privileged: fields.or_default("privileged", Item::boolean),
        security_opt: fields.or_default("security_opt", devices::read_security_opt),
        shm_size: fields.get("shm_size", resources::read_bytes),
        pid: fields.get("pid", devices::read_pid),
        ipc: fields.get("ipc", devices::read_ipc),
        platform: fields.get("platform", |item| item.parsed(str::parse)),
    };
    service
        .mounts
        .extend(fields.or_default("tmpfs", mount::read_tmpfs));
    if reserved.is_some() && service.gpus.is_some() {
        fields.error_at(
            "gpus",
            "deploy.resources.reservations.devices says it, too: say it once",
        );
    }
    service.gpus = service.gpus.or(reserved);
    service.networks = read_networks(&mut fields, &service);
    read_older_deploy(&mut fields, &mut service.deploy);
    fields.finish();
    Some(service)
}

/// A text is split as a shell does it.
fn read_command(item: &Item<'_>) -> Option<Vec<String>> {
    if item.node.as_text().is_some() {
        return item.parsed(text::words).map(|words| words.0);
    }
    item.list_of(Item::text)
}

/// On the default network, where nothing is said.
fn read_networks(fields: &mut Fields<'_>, service: &Service) -> BTreeMap<String, Attachment> {
    let said = fields.get("networks", network::read_attachments);
    let said = said.filter(|networks| !networks.is_empty());
    match (said, service.network_mode) {
        (None, Some(_)) => BTreeMap::new(),
        (None, None) => BTreeMap::from([("default".to_owned(), Attachment::default())]),
        (Some(_), Some(_)) => {
            fields.error_at(
                "network_mode",
                "a service with `networks` has no network mode",
            );
            BTreeMap::new()
        }
        (Some(networks), None) => networks,
    }
}

/// The keys of services that say what `deploy` says today.
fn read_older_deploy(fields: &mut Fields<'_>, deploy: &mut Deploy) {
    resources::read_older(fields, deploy);
    deploy::read_older_restart(fields, deploy);
    let Some(scale) = fields.get("scale", |item| item.number(0, deploy::MOST)) else {
        return;
    };
    match &mut deploy.mode {
        Mode::Replicated { replicas } if replicas.is_none_or(|it| it == scale) => {
            *replicas = Some(scale);
        }
        _ => fields.error_at("scale", "`deploy` says something else: say it there alone"),
    }
}

fn read_logging(item: &Item<'_>) -> Option<LogDriver> {
    let mut fields = item.fields()?;
    let driver = fields.get("driver", Item::word);
    let options = fields.get("options", pairs::options);
    fields.finish();
    pairs::driver(driver, options)
}

fn read_address(item: &Item<'_>) -> Option<String> {
    item.parsed(|text| match text.trim().parse::<std::net::IpAddr>() {
        Ok(address) => Ok(address.to_string()),
        Err(_) => Err(format!("{text:?} is no IP address")),
    })
}

/// `name=address` or `name:address` in a list, or a mapping of names to one
/// address or several.
fn read_hosts(item: &Item<'_>) -> Option<Vec<String>> {
    let mut hosts = Vec::new();
    if item.node.as_map().is_some() {
        for (name, item) in item.entries()? {
            for item in item.one_or_many() {
                hosts.extend(item.parsed(|text| host(name, text)));
            }
        }
        return Some(hosts);
    }
    item.list_of(|item| {
        item.parsed(|text| {
            let pair = text.split_once('=').or_else(|| text.split_once(':'));
            match pair {
                Some((name, address)) => host(name, address),
                None => Err(format!("{text:?} is no name=address")),
            }
        })
    })
}

/// As specs hold it, the address first.
fn host(name: &str, address: &str) -> Result<String, String> {
    let (name, address) = (name.trim(), address.trim());
    let bare = address
        .strip_prefix('[')
        .and_then(|it| it.strip_suffix(']'));
    let bare = bare.unwrap_or(address);
    if name.is_empty() {
        return Err("there is no name before the address".to_owned());
    }
    if name.contains(|c: char| c.is_whitespace() || "=:".contains(c)) {
        return Err(format!("{name:?} is no name of a host"));
    }
    match bare.parse::<std::net::IpAddr>() {
        Ok(address) => Ok(format!("{address} {name}")),
        Err(_) if bare == "host-gateway" => Ok(format!("{bare} {name}")),
        Err(_) => Err(format!("{address:?} is no IP address")),
    }
}

/// One number for both limits, or each of its own.
fn read_ulimits(item: &Item<'_>) -> Option<Vec<Ulimit>> {
    let mut ulimits = Vec::new();
    for (name, item) in item.entries()? {
        let number = |item: &Item<'_>| item.number(-1_i64, i64::MAX);
        let limits = if item.node.as_map().is_some() {
            let mut fields = item.fields()?;
            let limits = fields.get("soft", number).zip(fields.get("hard", number));
            for name in ["soft", "hard"] {
                if fields.item(name).is_none() {
                    fields.error_at(name, "both limits must be said, or one number for both");
                }
            }
            fields.finish();
            limits
        } else {
            number(&item).map(|limit| (limit, limit))
        };
        let Some((soft, hard)) = limits else {
            continue;
        };
        if hard != -1 && (soft == -1 || soft > hard) {
            item.error(format!(
                "the soft limit {soft} is above the hard one, {hard}"
            ));
        }
        let name = name.to_owned();
        ulimits.push(Ulimit { name, soft, hard });
    }
    Some(ulimits)
}

/// Names in a list, or a mapping of them.
fn read_dependencies(item: &Item<'_>) -> Option<BTreeMap<String, Dependency>> {
    let started = Dependency {
        required: true,
        ..Dependency::default()
    };
    if item.node.as_map().is_none() {
        let names = item.list_of(Item::word)?.into_iter();
        return Some(names.map(|name| (name, started.clone())).collect());
    }
    let mut all = BTreeMap::new();
    for (name, item) in item.entries()? {
        if item.node.is_null() {
            all.insert(name.to_owned(), started.clone());
            continue;
        }
        let mut fields = item.fields()?;
        let dependency = Dependency {
            condition: fields.or_default("condition", |item| {
                item.one_of(&[
                    ("service_started", Condition::Started),
                    ("service_healthy", Condition::Healthy),
                    (
                        "service_completed_successfully",
                        Condition::CompletedSuccessfully,
                    ),
                ])
            }),
            restart: fields.or_default("restart", Item::boolean),
            required: fields.get("required", Item::boolean).unwrap_or(true),
        };
        fields.finish();
        all.insert(name.to_owned(), dependency);
    }
    Some(all)
}
