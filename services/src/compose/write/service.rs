//! One service.

mod deploy;

use super::super::model::{Attachment, Condition, Dependency, FileUse, NetworkMode, Service};
use super::Fields;
use super::text::Yaml;
use crate::spec::{
    BindOptions, Device, GpuCount, GpuRequest, Healthcheck, IpcMode, Mount, PidMode, Platform,
    PortSpec, TmpfsOptions, Ulimit, VolumeOptions,
};

pub(super) fn service(service: &Service) -> Yaml {
    let mut fields = Fields::default();
    let texts = |list: &Vec<String>| Yaml::List(list.iter().map(|it| Yaml::text(it)).collect());
    fields.text("image", Some(&service.image));
    fields.nested("entrypoint", service.entrypoint.as_ref().map(texts));
    fields.nested("command", service.command.as_ref().map(texts));
    fields.named("environment", &service.environment, |value| match value {
        Some(value) => Yaml::text(value),
        None => Yaml::null(),
    });
    fields.pairs("labels", &service.labels);
    fields.text("hostname", service.hostname.as_ref());
    fields.text("user", service.user.as_ref());
    fields.text("working_dir", service.working_dir.as_ref());
    fields.texts("group_add", &service.groups);
    fields.flag("tty", service.tty);
    fields.flag("stdin_open", service.stdin_open);
    fields.flag("read_only", service.read_only);
    fields.plain("init", service.init);
    fields.list("volumes", &service.mounts, mount);
    fields.text("stop_signal", service.stop_signal.as_ref());
    fields.duration("stop_grace_period", service.stop_grace);
    fields.nested("healthcheck", service.healthcheck.as_ref().map(health));
    fields.nested(
        "logging",
        service.logging.as_ref().map(|driver| {
            let mut fields = Fields::default();
            fields.driver("driver", "options", Some(driver));
            fields.done()
        }),
    );
    fields.list("extra_hosts", &service.hosts, |entry| {
        match entry.split_once(' ') {
            Some((address, name)) => Yaml::text(&format!("{name}={address}")),
            None => Yaml::text(entry),
        }
    });
    fields.texts("dns", &service.dns.nameservers);
    fields.texts("dns_search", &service.dns.search);
    fields.texts("dns_opt", &service.dns.options);
    fields.pairs("sysctls", &service.sysctls);
    fields.texts("cap_add", &service.cap_add);
    fields.texts("cap_drop", &service.cap_drop);
    let ulimits = service.ulimits.iter();
    let ulimits = ulimits.map(|limit| (limit.name.clone(), ulimit(limit)));
    fields.put("ulimits", Yaml::Map(ulimits.collect()));
    fields.plain("oom_score_adj", service.oom_score_adj);
    fields.text("isolation", service.isolation.as_ref());
    fields.named("networks", &service.networks, attachment);
    fields.text(
        "network_mode",
        service.network_mode.map(|mode| match mode {
            NetworkMode::Host => "host",
            NetworkMode::None => "none",
        }),
    );
    fields.list("ports", &service.ports, port);
    fields.list("secrets", &service.secrets, file_use);
    fields.list("configs", &service.configs, file_use);
    fields.put("deploy", deploy::deploy(&service.deploy));
    fields.text(
        "platform",
        service.platform.as_ref().map(Platform::to_string),
    );
    fields.named("depends_on", &service.depends_on, dependency);
    fields.texts("profiles", &service.profiles);
    fields.list("devices", &service.devices, device);
    fields.nested(
        "gpus",
        service.gpus.as_ref().map(|it| Yaml::List(vec![gpus(it)])),
    );
    fields.flag("privileged", service.privileged);
    fields.texts("security_opt", &service.security_opt);
    fields.plain("shm_size", service.shm_size);
    fields.text("pid", service.pid.map(PidMode::as_str));
    fields.text("ipc", service.ipc.map(IpcMode::as_str));
    fields.done()
}

fn mount(mount: &Mount) -> Yaml {
    let mut fields = Fields::default();
    fields.text("type", Some(mount.kind.as_str()));
    fields.text(
        "source",
        Some(&mount.source).filter(|source| !source.is_empty()),
    );
    fields.text("target", Some(&mount.target));
    fields.flag("read_only", mount.read_only);
    fields.text("consistency", mount.consistency.as_ref());
    fields.nested("bind", mount.bind.as_ref().map(bind));
    fields.nested("volume", mount.volume.as_ref().map(volume));
    fields.nested("tmpfs", mount.tmpfs.as_ref().map(tmpfs));
    fields.done()
}

fn bind(bind: &BindOptions) -> Yaml {
    let mut fields = Fields::default();
    fields.text("propagation", bind.propagation.as_ref());
    fields.text("recursive", bind.non_recursive.then_some("disabled"));
    fields.flag("create_host_path", bind.create_mountpoint);
    fields.done()
}

fn volume(volume: &VolumeOptions) -> Yaml {
    let mut fields = Fields::default();
    fields.flag("nocopy", volume.no_copy);
    fields.text("subpath", volume.subpath.as_ref());
    fields.pairs("labels", &volume.labels);
    fields.done()
}

fn tmpfs(tmpfs: &TmpfsOptions) -> Yaml {
    let mut fields = Fields::default();
    fields.plain("size", tmpfs.size_bytes);
    fields.text("mode", tmpfs.mode.map(octal));
    fields.done()
}

fn octal(mode: u32) -> String {
    format!("{mode:04o}")
}

fn health(health: &Healthcheck) -> Yaml {
    let mut fields = Fields::default();
    fields.texts("test", &health.test);
    fields.duration("interval", health.interval);
    fields.duration("timeout", health.timeout);
    fields.duration("start_period", health.start_period);
    fields.duration("start_interval", health.start_interval);
    fields.plain("retries", health.retries);
    fields.done()
}

fn ulimit(limit: &Ulimit) -> Yaml {
    let mut fields = Fields::default();
    fields.plain("soft", Some(limit.soft));
    fields.plain("hard", Some(limit.hard));
    fields.done()
}

fn attachment(attachment: &Attachment) -> Yaml {
    let mut fields = Fields::default();
    fields.texts("aliases", &attachment.aliases);
    fields.text(
        "ipv4_address",
        attachment.ipv4_address.map(|ip| ip.to_string()),
    );
    fields.text(
        "ipv6_address",
        attachment.ipv6_address.map(|ip| ip.to_string()),
    );
    fields.pairs("driver_opts", &attachment.driver_opts);
    fields.done()
}

fn port(port: &PortSpec) -> Yaml {
    let mut fields = Fields::default();
    fields.text("name", port.name.as_ref());
    fields.plain("target", Some(port.target));
    fields.amount("published", port.published.into());
    fields.text("protocol", Some(port.protocol.as_str()));
    fields.text("mode", Some(port.mode.as_str()));
    fields.text("host_ip", port.host_ip.map(|ip| ip.to_string()));
    fields.done()
}

fn file_use(file: &FileUse) -> Yaml {
    let mut fields = Fields::default();
    fields.text("source", Some(&file.source));
    fields.text("target", Some(&file.target));
    fields.amount("uid", file.uid.into());
    fields.amount("gid", file.gid.into());
    fields.text("mode", Some(octal(file.mode)));
    fields.done()
}

fn dependency(dependency: &Dependency) -> Yaml {
    let mut fields = Fields::default();
    fields.text(
        "condition",
        Some(match dependency.condition {
            Condition::Started => "service_started",
            Condition::Healthy => "service_healthy",
            Condition::CompletedSuccessfully => "service_completed_successfully",
        }),
    );
    fields.flag("restart", dependency.restart);
    fields.plain("required", Some(dependency.required));
    fields.done()
}

fn device(device: &Device) -> Yaml {
    let mut fields = Fields::default();
    fields.text("source", Some(&device.on_host));
    fields.text("target", Some(&device.in_container));
    fields.text("permissions", Some(&device.permissions));
    fields.done()
}

fn gpus(gpus: &GpuRequest) -> Yaml {
    let mut fields = Fields::default();
    fields.text("driver", Some(&gpus.driver).filter(|it| !it.is_empty()));
    match &gpus.count {
        GpuCount::All => fields.text("count", Some("all")),
        GpuCount::Number(count) => fields.text("count", Some(count.to_string())),
        GpuCount::Named(ids) => fields.texts("device_ids", ids),
    }
    fields.texts("capabilities", &gpus.capabilities);
    fields.pairs("options", &gpus.options);
    fields.done()
}
