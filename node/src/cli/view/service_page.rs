//! `service inspect --pretty`.

use std::collections::BTreeMap;

use super::human::bytes;
use super::page::Page;
use super::swarm::ago;
use crate::api::dto::{
    ContainerSpec, FileTarget, GenericResource, Healthcheck, Resources, Service, ServiceSpec,
    TaskSpec, Time, UpdateConfig,
};
use crate::cli::values::Nanos;

/// All about a service, to read; `networks` are names by id.
pub fn service_page(service: &Service, now: Time, networks: &BTreeMap<String, String>) -> String {
    let mut page = Page::new(20);
    let spec = &service.spec;
    let task = &spec.task_template;
    page.line(0, "ID", &service.id);
    page.line(0, "Name", &spec.name);
    page.pairs("Labels", &spec.labels);
    mode(spec, &mut page);
    job(service, now, &mut page);
    update_status(service, now, &mut page);
    placement(task, &mut page);
    if let Some(config) = &spec.update_config {
        pace("UpdateConfig", "Update order", config, &mut page);
    }
    if let Some(config) = &spec.rollback_config {
        pace("RollbackConfig", "Rollback order", config, &mut page);
    }
    if let Some(spec) = &task.container_spec {
        container(spec, &mut page);
    }
    if let Some(driver) = &task.log_driver {
        page.head("Log Driver");
        page.some(1, "Name", &driver.name);
        for (key, value) in &driver.options {
            page.line(1, key, value);
        }
    }
    if let Some(spec) = &task.resources {
        resources(spec, &mut page);
    }
    self::networks(service, networks, &mut page);
    endpoint(service, &mut page);
    if let Some(check) = task
        .container_spec
        .as_ref()
        .and_then(|c| c.healthcheck.as_ref())
    {
        healthcheck(check, &mut page);
    }
    page.finish()
}

fn mode(spec: &ServiceSpec, page: &mut Page) {
    let mode = &spec.mode;
    let number = |page: &mut Page, name: &str, number: Option<u64>| {
        page.line(1, name, &number.unwrap_or(1).to_string());
    };
    if mode.global.is_some() {
        page.line(0, "Service Mode", "Global");
    } else if mode.global_job.is_some() {
        page.line(0, "Service Mode", "Global Job");
    } else if let Some(job) = &mode.replicated_job {
        page.line(0, "Service Mode", "Replicated Job");
        number(page, "Max Concurrent", job.max_concurrent);
        number(page, "Total Completions", job.total_completions);
    } else {
        page.line(0, "Service Mode", "Replicated");
        let replicated = mode.replicated.as_ref();
        number(page, "Replicas", replicated.and_then(|mode| mode.replicas));
    }
}

fn job(service: &Service, now: Time, page: &mut Page) {
    if let Some(status) = &service.job_status {
        page.head("JobStatus");
        page.line(1, "Iteration", &status.job_iteration.index.to_string());
        page.line(1, "Last Execution", &ago(status.last_execution, now));
    }
}

fn update_status(service: &Service, now: Time, page: &mut Page) {
    let Some(status) = service
        .update_status
        .as_ref()
        .filter(|s| !s.state.is_empty())
    else {
        return;
    };
    page.head("UpdateStatus");
    page.line(1, "State", &status.state);
    if let Some(started) = status.started_at {
        page.line(1, "Started", &ago(started, now));
    }
    if let Some(completed) = status.completed_at.filter(|_| status.state == "completed") {
        page.line(1, "Completed", &ago(completed, now));
    }
    page.line(1, "Message", &status.message);
}

fn placement(task: &TaskSpec, page: &mut Page) {
    page.head("Placement");
    let Some(placement) = &task.placement else {
        return;
    };
    let list = |items: &[String]| match items.is_empty() {
        true => String::new(),
        false => format!("[{}]", items.join(" ")),
    };
    page.some(1, "Constraints", &list(&placement.constraints));
    let spreads: Vec<String> = placement
        .preferences
        .iter()
        .filter_map(|preference| preference.spread.as_ref())
        .map(|spread| format!("spread={}", spread.spread_descriptor))
        .collect();
    page.some(1, "Preferences", &list(&spreads));
    if placement.max_replicas > 0 {
        page.line(
            1,
            "Max Replicas Per Node",
            &placement.max_replicas.to_string(),
        );
    }
}

fn pace(head: &str, order: &str, config: &UpdateConfig, page: &mut Page) {
    let positive = |nanos: Option<i64>| {
        let nanos = nanos.filter(|nanos| *nanos > 0);
        nanos
            .map(|nanos| Nanos(nanos).to_string())
            .unwrap_or_default()
    };
    page.head(head);
    page.line(1, "Parallelism", &config.parallelism.to_string());
    page.some(1, "Delay", &positive(config.delay));
    page.some(1, "On failure", &config.failure_action);
    page.some(1, "Monitoring Period", &positive(config.monitor));
    page.line(
        1,
        "Max failure ratio",
        &config.max_failure_ratio.to_string(),
    );
    page.some(1, order, &config.order);
}

fn container(spec: &ContainerSpec, page: &mut Page) {
    page.head("ContainerSpec");
    page.line(1, "Image", &spec.image);
    page.some(1, "Entrypoint", &spec.command.join(" "));
    page.some(1, "Args", &spec.args.join(" "));
    page.some(1, "Env", &spec.env.join(" "));
    page.some(1, "Dir", &spec.dir);
    if let Some(init) = spec.init {
        page.line(1, "Init", &init.to_string());
    }
    page.some(1, "User", &spec.user);
    if !spec.capability_add.is_empty() || !spec.capability_drop.is_empty() {
        page.head("Capabilities");
        page.some(1, "Add", &spec.capability_add.join(", "));
        page.some(1, "Drop", &spec.capability_drop.join(", "));
    }
    if !spec.sysctls.is_empty() {
        page.head("SysCtls");
        for (key, value) in &spec.sysctls {
            page.line(1, key, value);
        }
    }
    if !spec.ulimits.is_empty() {
        page.head("Ulimits");
        for limit in &spec.ulimits {
            page.line(1, &limit.name, &format!("{}:{}", limit.soft, limit.hard));
        }
    }
    if !spec.mounts.is_empty() {
        page.head("Mounts");
        for mount in &spec.mounts {
            page.line(1, "Target", &mount.target);
            page.line(2, "Source", &mount.source);
            page.line(2, "ReadOnly", &mount.read_only.to_string());
            page.line(2, "Type", &mount.kind);
        }
    }
    let configs = spec.configs.iter().map(|it| (it.file.as_ref(), &it.name));
    files("Configs", configs, page);
    let secrets = spec.secrets.iter().map(|it| (it.file.as_ref(), &it.name));
    files("Secrets", secrets, page);
}

fn files<'a>(
    head: &str,
    files: impl ExactSizeIterator<Item = (Option<&'a FileTarget>, &'a String)>,
    page: &mut Page,
) {
    if files.len() > 0 {
        page.head(head);
    }
    for (target, name) in files {
        page.line(1, "Target", target.map_or("", |it| it.name.as_str()));
        page.line(2, "Source", name);
    }
}

fn resources(spec: &Resources, page: &mut Page) {
    let cpus = |nanos: i64| match nanos {
        0 => String::new(),
        nanos => (nanos as f64 / 1e9).to_string(),
    };
    let memory = |amount: i64| match amount {
        0 => String::new(),
        amount => bytes(amount),
    };
    page.head("Resources");
    if let Some(reserved) = &spec.reservations {
        page.head_at(1, "Reservations");
        page.some(2, "CPU", &cpus(reserved.nano_cpus));
        page.some(2, "Memory", &memory(reserved.memory_bytes));
        generic_resources(2, &reserved.generic_resources, page);
    }
    if let Some(limits) = &spec.limits {
        page.head_at(1, "Limits");
        page.some(2, "CPU", &cpus(limits.nano_cpus));
        page.some(2, "Memory", &memory(limits.memory_bytes));
        if limits.pids > 0 {
            page.line(2, "PIDs", &limits.pids.to_string());
        }
    }
}

/// A line for each kind: how many, or which.
pub(super) fn generic_resources(level: usize, resources: &[GenericResource], page: &mut Page) {
    let mut kinds: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for resource in resources {
        if let Some(named) = &resource.named_resource_spec {
            kinds
                .entry(&named.kind)
                .or_default()
                .push(named.value.clone());
        }
        if let Some(discrete) = &resource.discrete_resource_spec {
            kinds
                .entry(&discrete.kind)
                .or_default()
                .push(discrete.value.to_string());
        }
    }
    for (kind, values) in kinds {
        page.line(level, kind, &values.join(", "));
    }
}

fn networks(service: &Service, names: &BTreeMap<String, String>, page: &mut Page) {
    let name = |id: &String| names.get(id).unwrap_or(id).clone();
    let attached = &service.spec.task_template.networks;
    let attached: Vec<String> = attached
        .iter()
        .map(|network| name(&network.target))
        .collect();
    page.some(0, "Networks", &attached.join(" "));
    let vips = &service.endpoint.virtual_ips;
    if !vips.is_empty() {
        page.head("VirtualIPs");
        for vip in vips {
            page.line(1, &name(&vip.network_id), &vip.addr);
        }
    }
}

fn endpoint(service: &Service, page: &mut Page) {
    let mode = match service.endpoint.spec.mode.as_str() {
        "" => "vip",
        mode => mode,
    };
    page.line(0, "Endpoint Mode", mode);
    let ports = match service.endpoint.ports.is_empty() {
        false => &service.endpoint.ports,
        true => &service.endpoint.spec.ports,
    };
    if ports.is_empty() {
        return;
    }
    page.head("Ports");
    for port in ports {
        page.text(&format!(
            " PublishedPort = {}\n  Protocol = {}\n  TargetPort = {}\n  PublishMode = {}",
            port.published_port, port.protocol, port.target_port, port.publish_mode
        ));
        if !port.host_ip.is_empty() {
            page.text(&format!("  HostIP = {}", port.host_ip));
        }
    }
}

fn healthcheck(check: &Healthcheck, page: &mut Page) {
    let shown = |nanos: Option<i64>| Nanos(nanos.unwrap_or(0)).to_string();
    page.head("Healthcheck");
    page.some(1, "Test", &check.test.join(" "));
    page.line(1, "Interval", &shown(check.interval));
    page.line(1, "Retries", &check.retries.unwrap_or(0).to_string());
    page.line(1, "StartPeriod", &shown(check.start_period));
    page.line(1, "Timeout", &shown(check.timeout));
}
